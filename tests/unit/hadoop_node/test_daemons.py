"""Daemons: begun, watched, begun again, found again, ended; with small programs in Java's place."""

import os
import signal
import socket
import subprocess
import sys
import time
from itertools import pairwise

import pytest

from andromede.hadoop_node import daemons, leaving, roles
from andromede.hadoop_node.adopted import find
from andromede.hadoop_node.daemons import Daemon, Daemons
from andromede.hadoop_node.leaving import Leaving
from andromede.hadoop_node.roles import HDFS, ROLES, Role
from tests.unit.hadoop_node.world import document, places, raw
from tests.waiting import until

LISTENS = "import socket,sys,time; s=socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(600)"
STUBBORN = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); time.sleep(600)"


@pytest.fixture
def role():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return Role("namenode", f"test.of.{os.getpid()}.{free.getsockname()[1]}", HDFS, free.getsockname()[1], 64)


@pytest.fixture
def program(monkeypatch):
    """What is run in the place of Java."""

    def use(code):
        words = lambda role, *_rest: [sys.executable, "-c", code, str(role.port), role.main]  # noqa: E731
        monkeypatch.setattr(daemons, "command", words)
        monkeypatch.setattr(roles, "as_user", lambda _uid: (None, None))

    return use


def turns(daemon, state):
    def turn():
        daemon.tick(time.monotonic())
        return daemon.state == state

    until(turn)


def test_a_daemon_runs_when_it_answers(tmp_path, role, program):
    program(LISTENS)
    daemon = Daemon(role, document(), places(tmp_path))
    assert daemon.state == "starting"
    turns(daemon, "running")
    said = daemon.report()
    assert said["state"] == "running"
    assert said["rss_mb"] > 0
    assert "detail" not in said
    daemon.stop(5)
    assert daemon.process is None


def test_a_daemon_that_ends_is_begun_again(tmp_path, role, program):
    program(LISTENS)
    daemon = Daemon(role, document(), places(tmp_path))
    turns(daemon, "running")
    first = daemon.process.pid
    daemon.process.kill()
    turns(daemon, "starting")
    turns(daemon, "running")
    assert daemon.process.pid != first
    daemon.stop(5)


def test_the_wait_grows_and_the_reason_is_told(tmp_path, role, program):
    program("import sys; print('no such thing'); sys.exit(1)")
    here = places(tmp_path)
    daemon = Daemon(role, document(), here)
    now = time.monotonic()
    begun = []
    while daemon.state != "failed":
        daemon.tick(now)
        if daemon.process is not None:
            begun.append(now)
            daemon.process.wait()
        now += 0.25
    gaps = [later - sooner for sooner, later in pairwise(begun)]
    assert gaps == sorted(gaps)
    assert gaps[-1] >= 4 * gaps[0]
    assert "no such thing" in daemon.report()["detail"]


def test_a_daemon_of_a_node_that_leaves_may_end(tmp_path, role, program):
    program(LISTENS)
    daemon = Daemon(role, document(), places(tmp_path))
    turns(daemon, "running")
    daemon.renew(document(leaving=["127.0.0.1"]))
    assert daemon.state == "running"
    daemon.process.kill()
    turns(daemon, "stopped")
    daemon.tick(time.monotonic() + 60)
    assert daemon.process is None
    daemon.renew(document())
    turns(daemon, "running")
    daemon.stop(5)


def test_what_does_not_end_is_killed(tmp_path, role, program):
    program(STUBBORN)
    here = places(tmp_path)
    daemon = Daemon(role, document(), here)
    daemon.tick(time.monotonic())
    until(lambda: "here" in daemons.tail(here.logs / "namenode.out", 100))
    process = daemon.process
    daemon.stop(0.2)
    assert process.returncode == -signal.SIGKILL


def test_a_daemon_of_an_earlier_run_is_found_again(tmp_path, role, program):
    program(LISTENS)
    begun = Daemon(role, document(), places(tmp_path))
    turns(begun, "running")
    found = find(role.main)
    assert found.pid == begun.process.pid
    daemon = Daemon(role, document(), begun._places, found)
    turns(daemon, "running")
    assert daemon.process is found
    with pytest.raises(subprocess.TimeoutExpired):
        found.wait(0.1)
    begun.process.send_signal(signal.SIGTERM)
    begun.process.wait()
    daemon.stop(5)
    assert found.poll() == -1
    found.kill()
    assert find(role.main) is None


def test_daemons_are_those_of_the_document(tmp_path, role, program, monkeypatch):
    program(LISTENS)
    monkeypatch.setitem(ROLES, "namenode", role)
    all_of = Daemons(places(tmp_path))
    all_of.follow(document(node=raw()["node"] | {"processes": ["namenode", "unknown"]}))
    assert [*all_of.all] == ["namenode"]
    assert not all_of.up
    until(lambda: all_of.tick() or all_of.up)
    all_of.follow(document(generation=2))
    assert all_of.report()["namenode"]["state"] == "running"
    all_of.follow(document(node=raw()["node"] | {"processes": []}))
    assert all_of.all == {}
    all_of.stop()


def test_small_things_that_are_not_there(tmp_path):
    assert daemons.resident(2**22 + 1) == 0
    assert daemons.tail(tmp_path / "none", 10) == ""


@pytest.fixture
def orders(monkeypatch):
    """What leaving runs; the file `fail` makes it fail."""
    said = []

    def run(words, _uid, here):
        said.append(words[-1] if "DFSAdmin" in str(words) else words[-4])
        code = f"import pathlib, sys; sys.exit(pathlib.Path({str(here.root / 'fail')!r}).exists())"
        return subprocess.Popen([sys.executable, "-c", code])

    def thin(_address, most):
        said.append(f"thin {most}")
        if most == 0:
            raise OSError("not yet")

    monkeypatch.setattr(leaving, "run", run)
    monkeypatch.setattr(leaving.health, "thin", thin)
    return said


def heard(leave, told, running, now):
    """Until it is its turn again."""
    until(lambda: leave.tick(told, running, now) or not leave._talks)


def test_who_leaves_is_told_to_those_who_mind(tmp_path, orders):
    here = places(tmp_path)
    leave, both, going = Leaving(here), {"namenode", "resourcemanager"}, document(leaving=["10.0.0.12"])
    leave.tick(document(), set(), 0)
    leave.tick(going, both, 1)
    assert (here.conf / "leaving").read_text() == "10.0.0.12\n"
    heard(leave, going, both, 2)
    leave.tick(going, both, 3)
    heard(leave, going, both, 3)
    assert sorted(orders) == ["-refreshNodes", "-refreshNodes", "thin 1"]
    assert orders.index("thin 1") < 2
    leave.tick(going, both, 4)
    assert len(orders) == 3
    leave.tick(document(), both, 5)
    assert len(orders) == 5
    heard(leave, document(), both, 6)


def test_what_was_not_heard_is_told_again(tmp_path, orders):
    here, going = places(tmp_path), document(leaving=["a"])
    (tmp_path / "fail").touch()
    leave = Leaving(here)
    leave.tick(going, {"namenode"}, 1)
    heard(leave, going, {"namenode"}, 1)
    leave.tick(going, {"namenode"}, 1)
    heard(leave, going, {"namenode"}, 1)
    (tmp_path / "fail").unlink()
    leave.tick(going, {"namenode"}, 2)
    assert orders == ["thin 2", "-refreshNodes"]
    leave.tick(going, {"namenode"}, 4)
    assert orders == ["thin 2", "-refreshNodes", "-refreshNodes"]
    heard(leave, going, {"namenode"}, 4)


def test_files_that_cannot_be_told_yet_are_told_later(tmp_path, orders, monkeypatch, capfd):
    monkeypatch.setattr(leaving, "replicas", lambda _document: 0)
    leave, going = Leaving(places(tmp_path)), document(leaving=["a"])
    leave.tick(going, {"namenode"}, 1)
    heard(leave, going, {"namenode"}, 1)
    leave.tick(going, {"namenode"}, 2)
    assert orders == ["thin 0"]
    assert "fewer copies yet: not yet" in capfd.readouterr().err
    leave.tick(going, {"namenode"}, 4)
    heard(leave, going, {"namenode"}, 4)
    assert orders == ["thin 0", "thin 0"]


def test_a_master_that_starts_reads_the_list_by_itself(tmp_path, orders):
    leave = Leaving(places(tmp_path))
    leave.tick(document(leaving=["a"]), set(), 0)
    leave.tick(document(leaving=["a"]), {"namenode"}, 1)
    heard(leave, document(leaving=["a"]), {"namenode"}, 1)
    assert orders == ["thin 2"]
