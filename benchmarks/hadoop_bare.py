"""Run inside an image's root by `hadoop.py`: the daemons of one master and some workers, as one starts them by hand.

No archive of classes, Java's own options but for the heap, the same settings and archives as a node of ours has, addresses of the
loopback. Says one line of JSON: seconds to format, to a healthy cluster, of each job, and the memory of each role.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, "/usr/lib/andromede")

from hadoop_node import ground, health, sites
from hadoop_node.daemons import resident
from hadoop_node.document import parse
from hadoop_node.places import Places
from hadoop_node.roles import JAVA, ROLES

MASTERS, WORKERS = ("namenode", "resourcemanager", "historyserver"), ("datanode", "nodemanager")
EXAMPLES = "org.apache.hadoop.examples.ExampleDriver"


def main(workers: int, memory_mb: int, rows: str) -> None:
    """Everything, once."""
    jars = ":".join(str(path) for path in sorted(Path("/usr/lib/hadoop/jars").glob("*.jar")))
    names = {"127.0.9.10": MASTERS} | {f"127.0.9.{11 + number}": WORKERS for number in range(workers)}
    master, places = "127.0.9.10", {}
    for address, processes in names.items():
        root = Path(f"/bare/{address}")
        (root / "usr/lib").mkdir(parents=True)
        (root / "etc").mkdir()
        (root / "usr/lib/hadoop").symlink_to("/usr/lib/hadoop")
        document = parse(
            {
                "generation": 1,
                "cluster": {"id": "bare", "identity": "CID-bare"},
                "node": {"name": f"n{address[-2:]}", "address": address, "processes": processes, "vcpus": 2, "memory_mb": memory_mb},
                "roles": {role: [master] for role in MASTERS},
                "hosts": {one: f"n{one[-2:]}" for one in names},
                "config": {"mapred-site": {"mapreduce.map.java.opts": "", "mapreduce.reduce.java.opts": "", "yarn.app.mapreduce.am.command-opts": "-Xmx332m"}},
                "secret": "bare",
            }
        )
        places[address] = Places(root)
        ground.folders(document, places[address])
        sites.write_all(document, places[address])
        shutil.copy("/etc/hadoop/log4j.properties", places[address].conf)
        Path("/etc/hosts").write_text(f"127.0.0.1 localhost {socket.gethostname()}\n" + "".join(f"{one} n{one[-2:]}\n" for one in names))

    def java(address, user, *words):
        conf = places[address].conf
        place = os.environ | {"HADOOP_USER_NAME": user, "HADOOP_CONF_DIR": str(conf), "JAVA_HOME": JAVA.removesuffix("/bin/java")}
        out = (places[address].logs / f"{words[-1].rpartition('.')[2]}.out").open("wb")
        return subprocess.Popen([JAVA, "-cp", f"{jars}:{conf}:/usr/lib/hadoop/web", *words], env=place, stdout=out, stderr=out)

    said, running = {}, {}
    began = time.monotonic()
    assert java(master, "hdfs", ROLES["namenode"].main, "-format").wait() == 0
    said["format"] = time.monotonic() - began
    users = {901: "hdfs", 902: "yarn", 903: "mapred"}
    began = time.monotonic()
    for address, processes in names.items():
        for role in processes:
            # the history server wants its folders first, as in any guide
            if role != "historyserver":
                running[f"{role} {address}"] = java(address, users[ROLES[role].uid], f"-Xmx{ROLES[role].heap_mb}m", ROLES[role].main)
    until(lambda: health.furnish(master) is None)
    role = ROLES["historyserver"]
    running[f"historyserver {master}"] = java(master, "mapred", f"-Xmx{role.heap_mb}m", role.main)
    until(lambda: health.hdfs(master)["live"] == workers and not health.hdfs(master)["safe_mode"] and health.yarn(master)["running"] == workers)
    until(lambda: not subprocess.run(["bash", "-c", f"</dev/tcp/{master}/10020"], capture_output=True, check=False).returncode or 1 / 0)
    said["healthy"] = time.monotonic() - began
    said["rss"] = {name: resident(process.pid) for name, process in running.items()}
    for words in (("teragen", rows, "/rows"), ("terasort", "/rows", "/sorted")):
        began = time.monotonic()
        assert java(master, "hadoop", "-Xmx384m", EXAMPLES, *words).wait() == 0, words
        said[words[0]] = time.monotonic() - began
    for process in running.values():
        process.kill()
    print(json.dumps(said), flush=True)


def until(ready, limit=300.0):
    """Wait until something is so, and does not raise."""
    end = time.monotonic() + limit
    while True:
        try:
            if ready():
                return
        except (OSError, KeyError, ZeroDivisionError):
            pass
        assert time.monotonic() < end, "".join(path.read_text()[-1500:] for path in Path("/bare").rglob("*.out"))
        time.sleep(0.05)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
