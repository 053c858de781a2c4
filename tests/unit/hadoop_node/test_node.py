"""The loop of a node: what it does when, and what it says."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from andromede.hadoop_node import health, main, roles
from andromede.hadoop_node.cloud import Cloud
from andromede.hadoop_node.main import Node
from tests.host.hadoop_nodes import Metadata
from tests.unit.hadoop_node.world import HERE, places, raw

HDFS = {"safe_mode": False, "live": 1}


class Daemon:
    state = "starting"


class Daemons:
    """Daemons that are as the test says."""

    def __init__(self):
        self.all, self.rss, self.stopped = {}, 1, False

    @property
    def up(self):
        return all(one.state == "running" for one in self.all.values())

    def follow(self, document):
        self.all = {name: self.all.get(name, Daemon()) for name in document.node.processes}

    def tick(self):
        self.rss += 1

    def report(self):
        return {name: {"state": one.state, "rss_mb": self.rss} for name, one in self.all.items()}

    def stop(self):
        self.stopped = True


@pytest.fixture
def metadata():
    server = Metadata(HERE, 0)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def world(tmp_path, metadata, monkeypatch):
    monkeypatch.setattr(health, "hdfs", lambda _address, _hosts: dict(HDFS))
    monkeypatch.setattr(health, "yarn", lambda _address, _hosts: {"running": 1})
    monkeypatch.setattr(roles, "as_user", lambda _uid: (None, None))
    daemons = Daemons()
    node = Node(places(tmp_path), Cloud(f"http://{HERE}:{metadata.server_address[1]}"), daemons)
    return node, daemons, metadata


def both(**changes):
    return raw(node=raw()["node"] | {"processes": ["namenode", "resourcemanager"]}, **changes)


def test_a_node_says_nothing_before_it_is_told_something(world):
    node, _daemons, metadata = world
    node.turn(10)
    assert metadata.states == {}


def test_a_node_starts_runs_and_stops(world):
    node, daemons, metadata = world
    metadata.documents[HERE] = both()
    node.turn(10)
    assert metadata.states[HERE]["phase"] == "starting"
    assert "hdfs" not in metadata.states[HERE]
    for one in daemons.all.values():
        one.state = "running"
    node.turn(11)
    said = metadata.states[HERE]
    assert (said["phase"], said["hdfs"], said["yarn"], said["jobs"], said["generation"]) == ("running", HDFS, {"running": 1}, {}, 1)
    metadata.documents[HERE] = both(generation=2, stop=True)
    node.turn(13)
    assert daemons.stopped
    assert metadata.states[HERE]["phase"] == "stopped"
    assert node.stopped
    metadata.states.clear()
    node.turn(14)
    assert metadata.states == {}
    node.turn(30)
    assert metadata.states[HERE]["phase"] == "stopped"


def test_memory_alone_is_no_news(world):
    node, _daemons, metadata = world
    metadata.documents[HERE] = both()
    node.turn(10)
    metadata.states.clear()
    node.turn(11)
    assert metadata.states == {}
    node.turn(21)
    assert HERE in metadata.states


def test_jobs_wait_for_a_worker(world, monkeypatch):
    node, daemons, metadata = world
    monkeypatch.setattr(health, "yarn", lambda _address, _hosts: {"running": 0})
    metadata.documents[HERE] = both(jobs=[{"id": "j", "type": "Shell"}])
    for now in (10, 12, 14):
        node.turn(now)
        for one in daemons.all.values():
            one.state = "running"
    assert metadata.states[HERE]["jobs"]["j"]["state"] == "PENDING"


def test_what_cannot_be_prepared_is_a_failure_that_is_told(world, tmp_path):
    node, daemons, metadata = world
    (tmp_path / "var/lib/hadoop/name/current").mkdir(parents=True)
    (tmp_path / "var/lib/hadoop/name/current/VERSION").write_text("clusterID=other\n")
    metadata.documents[HERE] = both()
    node.turn(10)
    assert metadata.states[HERE]["phase"] == "failed"
    assert "other" in metadata.states[HERE]["detail"]
    assert daemons.all == {}


def test_masters_that_do_not_answer_are_not_well(world, monkeypatch):
    node, daemons, metadata = world

    def silent(*_words):
        raise OSError("no answer")

    monkeypatch.setattr(health, "hdfs", silent)
    monkeypatch.setattr(health, "yarn", silent)
    metadata.documents[HERE] = both()
    for now in (10, 12, 14):
        node.turn(now)
        for one in daemons.all.values():
            one.state = "running"
    assert metadata.states[HERE]["phase"] == "starting"
    node.close()
    assert daemons.stopped


def test_the_loop_ends_when_it_is_told_to(world):
    node, daemons, metadata = world
    metadata.documents[HERE] = both()

    def end():
        while HERE not in metadata.states:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    try:
        threading.Thread(target=end).start()
        assert main.loop(node) == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    assert daemons.stopped


def test_the_end_of_the_loop_is_waited_for(tmp_path):
    mark = tmp_path / "pid"
    assert main.end(mark) == 0
    code = "import signal,sys,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        mark.write_text(str(process.pid))
        assert main.end(mark, 0.3) == 1
        process.kill()
    assert main.end(mark) == 0
