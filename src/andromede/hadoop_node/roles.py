"""The daemons there are: their class, their user, the port that answers when they do, and how Java runs them."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .document import Document
from .places import Places

JAVA = "/usr/lib/jvm/java-17-openjdk-amd64/bin/java"
HADOOP, HDFS, YARN, MAPRED = 1000, 901, 902, 903
SUPERGROUP = 904


@dataclass(frozen=True)
class Role:
    """One kind of daemon."""

    name: str
    main: str
    uid: int
    port: int
    heap_mb: int
    """What it has where neither the user nor the node's size says otherwise."""


ROLES: dict[str, Role] = {
    role.name: role
    for role in (
        # In the order of stopping, last to first.
        Role("namenode", "org.apache.hadoop.hdfs.server.namenode.NameNode", HDFS, 8020, 256),
        Role("secondarynamenode", "org.apache.hadoop.hdfs.server.namenode.SecondaryNameNode", HDFS, 9868, 256),
        Role("datanode", "org.apache.hadoop.hdfs.server.datanode.DataNode", HDFS, 9867, 192),
        Role("historyserver", "org.apache.hadoop.mapreduce.v2.hs.JobHistoryServer", MAPRED, 10020, 192),
        Role("resourcemanager", "org.apache.hadoop.yarn.server.resourcemanager.ResourceManager", YARN, 8032, 256),
        Role("nodemanager", "org.apache.hadoop.yarn.server.nodemanager.NodeManager", YARN, 8042, 192),
    )
}


def heap(role: Role, document: Document) -> int:
    """MiB: what the user said (`env`: `<role>_heap_mb`), else the role's, and more on larger nodes."""
    said = document.config.get("env", {}).get(f"{role.name}_heap_mb", "")
    return int(said) if said.isdigit() else max(role.heap_mb, document.node.memory_mb // 16)


def command(role: Role, document: Document, places: Places) -> list[str]:
    """What runs the daemon, by Java itself: the shell scripts around it take a second of their own."""
    return [
        JAVA,
        f"@{places.share}/daemon.args",
        f"-Xmx{heap(role, document)}m",
        f"-Dhadoop.log.dir={places.logs}",
        f"-Dhadoop.log.file={role.name}.log",
        "-Dhadoop.root.logger=INFO,file",
        role.main,
    ]


def client(places: Places, *words: str) -> list[str]:
    """What runs a class as a client."""
    return [JAVA, f"@{places.share}/client.args", "-Xmx256m", *words]


def as_user(uid: int) -> tuple[int | None, list[int] | None]:
    """Whose a process is and its further groups, without what root holds; none of both where we are not root."""
    if os.geteuid() != 0:
        return None, None
    return uid, [SUPERGROUP] if uid == HADOOP else []


def environment(uid: int, places: Places) -> dict[str, str]:
    """The environment of every Java process."""
    names = {HADOOP: "hadoop", HDFS: "hdfs", YARN: "yarn", MAPRED: "mapred"}
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "JAVA_HOME": JAVA.removesuffix("/bin/java"),
        "HADOOP_CONF_DIR": str(places.conf),
        "SPARK_HOME": str(places.root / "usr/lib/spark"),
        "HADOOP_USER_NAME": names[uid],
        "USER": names[uid],
        "HOME": "/home/hadoop" if uid == HADOOP else str(places.state),
        "LC_ALL": "C.UTF-8",
    }


def spawn(
    words: Sequence[str], uid: int, places: Places, log: Path, *, fresh: bool = False, cwd: Path | None = None, more: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:  # fmt: skip
    """Start something of `uid` that reads nothing and writes to `log`. fresh: without what was there; cwd: `/` by default; more: environment."""
    user, groups = as_user(uid)
    with log.open("wb" if fresh else "ab") as out:
        return subprocess.Popen(
            words, env={**environment(uid, places), **(more or {})}, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            cwd=cwd or "/", user=user, group=user, extra_groups=groups,
        )  # fmt: skip


def run(words: list[str], uid: int, places: Places) -> subprocess.Popen[bytes]:
    """Start a client of `uid` whose output nobody reads but its log below the logs' folder, `client.out`."""
    return spawn(words, uid, places, places.logs / "client.out")
