"""Hadoop: nodes of the image beside the same daemons started by hand, one master and three workers: until healthy, and the first TeraSort.

    sudo python benchmarks/hadoop.py [ROUNDS] [ROWS]

Bare is Java with its own options, the same settings and archives, in the same namespaces; its name directory is formatted and its
settings are there before the clock runs. Ours are nodes of the image in namespaces of their own: what the node program and the archive of
classes make of it, without the time that a cloud takes to make servers.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lib

WORKERS, MEMORY = 3, 2048
HEALTHY_BAR, SORT_BAR = 2.0, 1.3
EXAMPLES = "file:///usr/lib/hadoop/hadoop-mapreduce-examples.jar"
CODE = Path(__file__).with_name("hadoop_bare.py")
SETTINGS = {"mapreduce.map.java.opts": "", "mapreduce.reduce.java.opts": "", "yarn.app.mapreduce.am.command-opts": "-Xmx332m"}


def bare(root: Path, work: Path, rows: str) -> dict[str, Any]:
    """One run by hand."""
    from tests.host.hadoop_nodes import Cluster

    began = time.monotonic()
    cluster = Cluster(root, work, WORKERS, MEMORY, ("-c", CODE.read_text()))
    try:
        cluster.wait(lambda _state: len(cluster.metadata.states) == WORKERS + 1)
        formatted = time.monotonic() - began
        cluster.order(config={"mapred-site": SETTINGS})
        cluster.began = time.monotonic()
        return measure(cluster, rows) | {"format": formatted}
    finally:
        cluster.close()


def ours(root: Path, work: Path, rows: str) -> dict[str, Any]:
    """One run of nodes of the image."""
    from tests.host.hadoop_nodes import Cluster

    cluster = Cluster(root, work, WORKERS, MEMORY)
    try:
        return measure(cluster, rows)
    finally:
        cluster.close()


def measure(cluster: Any, rows: str) -> dict[str, Any]:
    """Seconds until healthy and of each job, MB of each daemon."""
    said: dict[str, Any] = {"healthy": cluster.healthy(WORKERS), "rss": {}}
    for address, state in cluster.metadata.states.items():
        said["rss"] |= {f"{role} {address}": about["rss_mb"] for role, about in state["daemons"].items()}
    for words in (["teragen", rows, "/rows"], ["terasort", "/rows", "/sorted"]):
        record, said[words[0]] = cluster.run(limit=900, type="Java", main=EXAMPLES, args=words)
        if record["state"] != "SUCCEEDED":
            sys.exit(f"{words}: {record}")
    return said


def main(rounds: int, rows: str) -> None:
    """Take turns and print."""
    from tests.host.hadoop_nodes import unpacked

    from andromede.run import images

    began = time.monotonic()
    built = images.build("hadoop", Path(lib.os.environ["ANDROMEDE_CACHE"]), lambda _stage, _share: None)
    assert built.root is not None
    lib.say("image built, or found in the cache", seconds=time.monotonic() - began, MB=built.root.size / 1e6)
    with tempfile.TemporaryDirectory(prefix="hadoop-", dir=lib.os.environ["ANDROMEDE_TEST_WORK"]) as scratch:
        work = Path(scratch)
        began = time.monotonic()
        root = unpacked(built.root.path, work / "root")
        lib.say("image unpacked", seconds=time.monotonic() - began)
        ways: dict[str, Callable[[Path, Path, str], dict[str, Any]]] = {"bare": bare, "ours": ours}
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in ways}
        for _round in range(rounds):
            for name, way in ways.items():
                runs[name].append(way(root, work, rows))
        report(runs)


def report(runs: dict[str, list[dict[str, Any]]]) -> None:
    """Print the medians and the bars."""
    figures = {name: {what: lib.middle(one[what] for one in all_of) for what in ("healthy", "teragen", "terasort")} for name, all_of in runs.items()}
    lib.say("format by hand, not counted", bare=lib.middle(one["format"] for one in runs["bare"]))
    for what, title in (("healthy", "until healthy, s"), ("teragen", "TeraGen, s"), ("terasort", "first TeraSort, s")):
        mine, theirs = figures["ours"][what], figures["bare"][what]
        lib.say(f"{title}, 1 + {WORKERS}", ours=mine, bare=theirs, ratio=mine / theirs)
    for role in ("namenode", "resourcemanager", "historyserver", "datanode", "nodemanager"):
        memory = {name: lib.middle(mb for name_of, mb in all_of[-1]["rss"].items() if name_of.startswith(role)) for name, all_of in runs.items()}
        lib.say(f"resident, {role}, MB", **memory)
    lib.verdict(f"healthy within {HEALTHY_BAR} times bare", holds=figures["ours"]["healthy"] <= HEALTHY_BAR * figures["bare"]["healthy"])
    lib.verdict(f"first TeraSort within {SORT_BAR} times bare", holds=figures["ours"]["terasort"] <= SORT_BAR * figures["bare"]["terasort"])


if __name__ == "__main__":
    lib.isolate()
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1, sys.argv[2] if len(sys.argv) > 2 else "1000000")
