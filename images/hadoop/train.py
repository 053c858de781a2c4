"""A first run of everything in an image that is being built: it shows that the image works, and what it leaves makes later starts quick.

- `name`: a formatted name directory with the folders that every cluster has. A node copies it and gives it its cluster's identity.
- `classes.jsa`: the classes that the daemons, clients and tasks were seen to load, read and linked once (class data sharing, CDS).
- `daemon.args`, `client.args`, `task.args`: Java's options for each kind of process. CDS wants the same archives first on every class
  path, and so the folder of settings stands after them.

The run has namespaces of its own: nothing of the host's network or processes is seen by it.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

HERE, SHARE = Path(__file__).resolve().parent, "usr/lib/hadoop"
JAVA = "/usr/lib/jvm/java-17-openjdk-amd64/bin/java"
LISTS = "/tmp/lists"  # noqa: S108 - inside the new root
PORT = 8775
EMPTY = b'<?xml version="1.0"?><ListBucketResult><Name>x</Name><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>'
PROCESSES = ("namenode", "secondarynamenode", "datanode", "resourcemanager", "nodemanager", "historyserver")
EXAMPLES = "file:///usr/lib/hadoop/hadoop-mapreduce-examples.jar"
JOBS: tuple[dict[str, Any], ...] = (
    {"type": "Java", "main": EXAMPLES, "args": ["teragen", "-Dmapreduce.job.maps=1", "2000", "/rows"]},
    {"type": "Java", "main": EXAMPLES, "args": ["terasort", "/rows", "/sorted"]},
    {"type": "MapReduce.Streaming", "mapper": "cat", "reducer": "wc", "input": "/sorted", "output": "/counted", "configs": {"mapreduce.job.maps": "1"}},
)


def class_path(root: Path) -> str:
    """Every archive, in a fixed order."""
    return ":".join(f"/{SHARE}/jars/{path.name}" for path in sorted((root / SHARE / "jars").glob("*.jar")))


def arguments(root: Path, sharing: str) -> None:
    """Write Java's options; `sharing` is what they say of CDS."""
    jars = class_path(root)
    every = [sharing, "-XX:+UseSerialGC", "-XX:-UsePerfData", "-Djava.net.preferIPv4Stack=true"]
    quiet = ["-Xlog:disable", "-Xlog:all=error:stderr"]
    first, settings = "-XX:TieredStopAtLevel=1", "/etc/hadoop"
    kinds = {
        "daemon": [*every, first, "-XX:+ExitOnOutOfMemoryError", f'-cp "{jars}:{settings}:/{SHARE}/web"'],
        "client": [*every, *quiet, first, f'-cp "{jars}:{settings}"'],
        "task": [*every, *quiet, f'-cp "{jars}:{settings}:job.jar/job.jar:job.jar/classes/:job.jar/lib/*:.:./*"'],
    }
    for kind, lines in kinds.items():
        (root / SHARE / f"{kind}.args").write_text("\n".join([*lines, ""]))


def learn(root: Path, work: Path) -> None:
    """Run everything once and leave the results in `root`. Ends the recipe with what was said where it does not work."""
    names = ["--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child"]
    done = subprocess.run(["unshare", *names, sys.executable, str(HERE / "train.py"), str(root)], cwd=work, check=False, timeout=1500)
    if done.returncode:
        sys.exit(f"the first run failed ({done.returncode})")


class Cloud:
    """A metadata service for one node, and an object storage that has nothing."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = {}
        self.state: dict[str, Any] = {}
        cloud = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:  # noqa: N802
                ours = self.path == "/openstack/latest/andromede/cluster"
                self.answer(json.dumps(cloud.document).encode() if ours else EMPTY)

            def do_PUT(self) -> None:  # noqa: N802
                cloud.state = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.answer(b"")

            def do_HEAD(self) -> None:  # noqa: N802
                self.answer(b"")

            def answer(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_words: Any) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def order(self, **changes: Any) -> None:
        """Change the document."""
        self.document = {**self.document, **changes, "generation": self.document.get("generation", 0) + 1}

    def wait(self, what: str, ready: Any, limit: float = 300) -> None:
        """Until `ready` says yes of the state; ends the recipe when that takes too long."""
        until = time.monotonic() + limit
        while not ready(self.state):
            if time.monotonic() > until:
                sys.exit(f"{what} did not come: {json.dumps(self.state)[-3000:]}")
            time.sleep(0.1)


def prepare(root: Path) -> None:
    """Mounts and the loopback: what a kernel would give."""
    tool("mount", "--make-rprivate", "/")
    tool("mount", "-t", "proc", "proc", root / "proc")
    tool("mount", "-t", "tmpfs", "-o", "mode=755", "dev", root / "dev")
    for name in ("null", "zero", "random", "urandom"):
        (root / "dev" / name).touch()
        tool("mount", "--bind", f"/dev/{name}", root / "dev" / name)
    for name, mode in (("tmp", 1777), ("run", 755), ("var/lib/hadoop", 755), ("var/log/hadoop", 1777)):
        (root / name).mkdir(parents=True, exist_ok=True)
        tool("mount", "-t", "tmpfs", "-o", f"mode={mode}", "scratch", root / name)
    (root / LISTS[1:]).mkdir(mode=0o777)
    (root / LISTS[1:]).chmod(0o1777)
    tool("chroot", root, "/usr/bin/busybox", "ip", "link", "set", "lo", "up")


def tool(*words: Any) -> str:
    """Run a tool; ends the recipe with what it said where it fails."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(str(word) for word in words)[:300]}: {(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


def formatted(root: Path) -> None:
    """Make the name directory, once the node program has written the sites."""
    sys.path.insert(0, str(root / "usr/lib/andromede"))
    from hadoop_node import health

    inside = ["chroot", "--userspec=901:901", root]
    node, client = f"@/{SHARE}/daemon.args", f"@/{SHARE}/client.args"
    state = root / "var/lib/hadoop"
    (state / "name").mkdir()
    shutil.chown(state / "name", 901, 901)
    main = "org.apache.hadoop.hdfs.server.namenode.NameNode"
    tool(*inside, JAVA, node, main, "-format", "-nonInteractive", "-clusterId", "CID-image")
    words = [*(str(word) for word in inside), JAVA, node, main]
    with (state / "out").open("wb") as out, subprocess.Popen(words, stdout=out, stderr=out) as process:
        until = time.monotonic() + 120
        while True:
            try:
                health.furnish("127.0.0.1")
                break
            except OSError as error:
                if time.monotonic() > until:
                    sys.exit(f"the NameNode cannot be furnished: {error}: {(state / 'out').read_text()[-2000:]}")
                time.sleep(0.2)
        admin = "org.apache.hadoop.hdfs.tools.DFSAdmin"
        tool(*inside, JAVA, client, admin, "-safemode", "enter")
        tool(*inside, JAVA, client, admin, "-saveNamespace")
        process.send_signal(signal.SIGTERM)
    (state / "name/in_use.lock").unlink(missing_ok=True)
    shutil.copytree(state / "name", root / SHARE / "name")
    shutil.rmtree(state / "name")


def jobs(cloud: Cloud) -> None:
    """Run each job to its end."""
    for number, job in enumerate(JOBS):
        name = f"job-{number}"
        cloud.order(jobs=[*cloud.document["jobs"], {"id": name, **job}])
        cloud.wait(f"the end of {job}", lambda state, name=name: state.get("jobs", {}).get(name, {}).get("ended"))
        if cloud.state["jobs"][name]["state"] != "SUCCEEDED":
            sys.exit(f"{job}: {cloud.state['jobs'][name]}")


def classes(root: Path) -> None:
    """Make the archive of what was loaded: names alone, for those of our archives and of Java's own loaders."""
    lines: dict[str, None] = {}
    for path in sorted((root / LISTS[1:]).iterdir()):
        for line in path.read_text(errors="replace").splitlines():
            if line.startswith("@"):
                lines[line] = None
            elif line and not line.startswith("#") and " source: " not in line:
                lines[line.split()[0]] = None
    known = root / "tmp/classes"
    known.write_text("\n".join([*lines, ""]))
    made = ["-Xshare:dump", "-XX:SharedClassListFile=/tmp/classes", f"-XX:SharedArchiveFile=/{SHARE}/classes.jsa", "-Xmx1g"]
    tool("chroot", root, JAVA, *made, "-cp", class_path(root))
    (root / SHARE / "classes.jsa").chmod(0o644)


def main(root: Path) -> None:
    """In the new namespaces."""
    prepare(root)
    arguments(root, f"-XX:DumpLoadedClassList={LISTS}/%p.classes")
    cloud = Cloud()
    address = "127.0.0.1"
    cloud.order(
        cluster={"id": "image", "identity": "CID-first-run"},
        node={"name": "hadoop", "address": address, "processes": [], "vcpus": 2, "memory_mb": 4096},
        roles=dict.fromkeys(("namenode", "resourcemanager", "historyserver", "secondarynamenode"), [address]),
        hosts={address: "hadoop"},
        secret="first-run",
        s3={"endpoint": f"http://{address}:{PORT}", "region": "here", "access_key": "a", "secret_key": "b"},
        jobs=[],
    )
    place = os.environ | {"ANDROMEDE_METADATA": f"http://{address}:{PORT}", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    with subprocess.Popen(["chroot", str(root), "/usr/lib/andromede/node"], env=place) as node:
        cloud.wait("the node program's first word", lambda state: state.get("generation"))
        formatted(root)
        cloud.order(node={**cloud.document["node"], "processes": PROCESSES})
        cloud.wait("HDFS and YARN", lambda state: state.get("hdfs", {}).get("live") == 1 and state.get("yarn", {}).get("running") == 1)
        jobs(cloud)
        client = ["chroot", "--userspec=1000:1000", root, JAVA, f"@/{SHARE}/client.args", "org.apache.hadoop.fs.FsShell"]
        tool(*client, "-ls", "s3a://bucket/")
        cloud.order(stop=True)
        cloud.wait("the end", lambda state: state.get("phase") == "stopped")
        node.send_signal(signal.SIGTERM)
    classes(root)
    arguments(root, f"-XX:SharedArchiveFile=/{SHARE}/classes.jsa\n-Xshare:auto")
    for name in ("core-site", "hdfs-site", "yarn-site", "mapred-site", "hadoop-policy", "capacity-scheduler"):
        (root / f"etc/hadoop/{name}.xml").unlink()
    for name in ("http-secret", "leaving"):
        (root / "etc/hadoop" / name).unlink()
    (root / "etc/hostname").write_text("hadoop\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
