"""The supervisor with small real programs: order, restarts, adoption, bounded logs."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from andromede.core.daemon import Daemon, is_ready
from andromede.core.errors import CloudError
from andromede.run import supervisor
from tests.waiting import until

SERVE = """
import os, socket, sys, time
path = sys.argv[1]
if os.path.exists(path): os.unlink(path)
s = socket.socket(socket.AF_UNIX); s.bind(path); s.listen()
open(path + ".pid", "w").write(str(os.getpid()))
print("serving", flush=True)
time.sleep(60)
"""
RUN = """
import sys, json
from pathlib import Path
import msgspec
from andromede.core.daemon import Daemon
from andromede.run.supervisor import Supervisor
daemons = [msgspec.convert(one, Daemon) for one in json.loads(sys.argv[1])]
Supervisor(daemons, Path(sys.argv[2]), Path(sys.argv[2])).supervise()
"""


def daemon(folder: Path, name: str, **values) -> dict:
    path = str(folder / f"{name}.sock")
    me = {"uid": os.getuid(), "gid": os.getgid()}
    return {"name": name, "argv": [sys.executable, "-c", SERVE, path], "ready": path, "pidfile": f"{path}.pid", **me, **values}


@pytest.fixture
def supervise(tmp_path):
    started = []

    def start(*daemons):
        process = subprocess.Popen([sys.executable, "-c", RUN, json.dumps(daemons), str(tmp_path)], stderr=subprocess.PIPE)
        started.append(process)
        return process

    yield start
    for process in started:
        process.terminate()
        process.wait(15)
        process.stderr.close()


def programs(folder):
    return {one["name"]: one for one in supervisor.status(folder).get("programs", [])}


def ready(folder, *names):
    return lambda: all(programs(folder).get(name, {}).get("ready") for name in names)


def test_programs_start_in_order_and_come_back_when_killed(tmp_path, supervise):
    supervise(daemon(tmp_path, "one"), daemon(tmp_path, "two"))
    until(ready(tmp_path, "one", "two"))
    pid = programs(tmp_path)["one"]["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: programs(tmp_path)["one"]["restarts"] == 1 and ready(tmp_path, "one")())
    assert programs(tmp_path)["one"]["pid"] != pid
    assert programs(tmp_path)["two"]["restarts"] == 0
    assert (tmp_path / "one.log").read_text() == "serving\nserving\n"
    assert (tmp_path / "one.log").stat().st_mode & 0o777 == 0o600


def test_a_program_that_cannot_start_is_named_and_tried_again(tmp_path, supervise):
    supervise(daemon(tmp_path, "absent", argv=["/nonexistent/program"]), daemon(tmp_path, "there"))
    until(ready(tmp_path, "there"))
    until(lambda: programs(tmp_path)["absent"]["restarts"] >= 2)
    assert programs(tmp_path)["absent"]["said"] == "program is not installed"


def test_more_programs_come_before_the_first_ones_once_those_were_started(tmp_path):
    first, later = (msgspec.convert(daemon(tmp_path, name), Daemon) for name in ("first", "later"))
    keeper = supervisor.Supervisor([first], tmp_path, tmp_path, then=lambda: [later])
    try:
        keeper._start_all()
        assert supervisor.status(tmp_path)["complete"] is False
        assert keeper._kept[0].running
        keeper._start_more()
        assert [kept.daemon.name for kept in keeper._kept] == ["later", "first"]
        assert all(kept.running for kept in keeper._kept)
        assert supervisor.status(tmp_path)["complete"] is True
    finally:
        keeper._stop_all()


def test_a_host_that_cannot_be_made_ready_ends_everything_and_says_why(tmp_path):
    def refuse():
        raise CloudError("There is no room for a bridge.") from OSError("ENOSPC")

    keeper = supervisor.Supervisor([msgspec.convert(daemon(tmp_path, "one"), Daemon)], tmp_path, tmp_path, then=refuse)
    try:
        keeper._start_all()
        keeper._start_more()
        keeper._tell()
        assert keeper._ending
        assert supervisor.status(tmp_path)["failed"] == "There is no room for a bridge. ENOSPC"
    finally:
        keeper._stop_all()


def test_what_guests_depend_on_outlives_the_supervisor_and_is_adopted(tmp_path, supervise):
    both = daemon(tmp_path, "switch", outlives=True), daemon(tmp_path, "other")
    first = supervise(*both)
    until(ready(tmp_path, "switch", "other"))
    pid = programs(tmp_path)["switch"]["pid"]
    assert supervisor.pid_of(tmp_path) == first.pid
    first.terminate()
    first.wait(15)
    try:
        assert supervisor.pid_of(tmp_path) is None
        assert not programs(tmp_path)["other"]["running"]
        assert Path(f"/proc/{pid}").exists()
        supervise(*both)
        until(ready(tmp_path, "switch", "other"))
        assert programs(tmp_path)["switch"]["pid"] == pid
        assert programs(tmp_path)["switch"]["said"] == "adopted"
    finally:
        os.kill(pid, signal.SIGKILL)


def test_only_one_supervisor_runs_for_a_cloud(tmp_path, supervise):
    supervise(daemon(tmp_path, "one"))
    until(ready(tmp_path, "one"))
    second = supervise(daemon(tmp_path, "one"))
    assert second.wait(10) != 0


def test_logs_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "_LOG_MOST", 100)
    (tmp_path / "one.log").write_bytes(b"x" * 150)
    (tmp_path / "two.log").write_bytes(b"y" * 50)
    supervisor.Supervisor([], tmp_path, tmp_path)._bound_logs()
    assert (tmp_path / "one.log").stat().st_size == 0
    assert (tmp_path / "one.log.1").stat().st_size == 100
    assert (tmp_path / "two.log").stat().st_size == 50


def test_readiness_over_tcp_and_unix(tmp_path):
    import socket

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        assert is_ready(Daemon(name="x", argv=(), ready=f"tcp:127.0.0.1:{port}"))
    assert not is_ready(Daemon(name="x", argv=(), ready=f"tcp:127.0.0.1:{port}"))
    assert not is_ready(Daemon(name="x", argv=(), ready=str(tmp_path / "none")))
    assert not is_ready(Daemon(name="x", argv=(), ready=str(tmp_path / "{pid}"), pidfile=str(tmp_path / "none")))


def test_without_a_supervisor_there_is_no_status(tmp_path):
    assert supervisor.status(tmp_path) == {}
    assert supervisor.pid_of(tmp_path) is None
    assert supervisor.wait_ended(2**22 + 1, 1)
