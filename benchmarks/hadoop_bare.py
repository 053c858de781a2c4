"""Run inside a node's namespaces by `hadoop.py`, in the place of our node program: its daemons as one starts them by hand.

Java's own options but for the heap, no archive of classes, and the settings, archives and folders that a node of ours has. It says how
things are in the way of our program, so the same clock is read for both.
"""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, "/usr/lib/andromede")

from hadoop_node import ground, health, sites
from hadoop_node.cloud import Cloud
from hadoop_node.daemons import answers, resident
from hadoop_node.places import Places
from hadoop_node.roles import JAVA, ROLES

USERS = {901: "hdfs", 902: "yarn", 903: "mapred"}
PLACES = Places()


def java(user, *words):
    """Begin a Java process."""
    jars = ":".join(str(path) for path in sorted((PLACES.share / "jars").glob("*.jar")))
    place = os.environ | {"HADOOP_USER_NAME": user, "HADOOP_CONF_DIR": str(PLACES.conf), "JAVA_HOME": JAVA.removesuffix("/bin/java")}
    with (PLACES.logs / f"{words[-1].rpartition('.')[2].strip('/')}.out").open("wb") as out:
        return subprocess.Popen([JAVA, "-cp", f"{jars}:{PLACES.conf}:{PLACES.share}/web", *words], env=place, stdout=out, stderr=out)


def main():
    """Format, wait for the word, start, run what is asked for."""
    cloud, document = Cloud(), None
    while document is None:
        document = cloud.document()
    ground.names(document, PLACES)
    ground.folders(document, PLACES)
    sites.write_all(document, PLACES)
    address, roles = document.node.address, document.node.processes
    if "namenode" in roles and java("hdfs", ROLES["namenode"].main, "-format").wait():
        sys.exit("not formatted")
    cloud.tell({"phase": "formatted"})
    while document.generation < 2:
        document = cloud.document() or document
    sites.write_all(document, PLACES)
    running = {name: java(USERS[ROLES[name].uid], f"-Xmx{ROLES[name].heap_mb}m", ROLES[name].main) for name in roles if name != "historyserver"}
    state, done, furnished = {"phase": "starting", "jobs": {}}, {}, False
    while True:
        with contextlib.suppress(OSError):
            if "namenode" in roles:
                if not furnished:
                    health.furnish(address)
                    furnished = True
                    running["historyserver"] = java("mapred", f"-Xmx{ROLES['historyserver'].heap_mb}m", ROLES["historyserver"].main)
                state |= {"hdfs": health.hdfs(address, document.hosts), "yarn": health.yarn(address, document.hosts)}
        if all(answers(address, ROLES[name].port) for name in roles):
            state["phase"] = "running"
        state["daemons"] = {name: {"rss_mb": resident(process.pid)} for name, process in running.items()}
        for job in document.jobs:
            if job.id not in done:
                done[job.id] = java("hadoop", "-Xmx384m", "org.apache.hadoop.examples.ExampleDriver", *job.args)
            code = done[job.id].poll()
            if code is not None:
                state["jobs"][job.id] = {"state": "FAILED" if code else "SUCCEEDED", "ended": "now"}
        cloud.tell(state)
        document = cloud.document() or document
        time.sleep(0.1)


if __name__ == "__main__" or Path("/usr/lib/hadoop").exists():
    main()
