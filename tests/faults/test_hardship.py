"""A disk that is full or read-only, a program that is missing, a clock that jumps, a supervisor and an agent that are killed.

Each time a message says what to do, and nothing is lost.
"""

import contextlib
import datetime as real_datetime
import os
import signal
import subprocess
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from andromede.core import clock
from andromede.core.context import Parts
from andromede.core.daemon import Daemon
from andromede.core.errors import CloudError
from andromede.db.base import metadata
from andromede.db.engine import Database
from andromede.engine.client import Operations
from andromede.engine.engine import Engine
from andromede.engine.model import Kind, Later, Step
from andromede.engine.tables import operation
from andromede.run import supervisor
from tests.api.test_servers import act, new, show
from tests.real import RealCloud
from tests.waiting import until

pytestmark = pytest.mark.real
NETWORKS = "/network/v2.0/networks"
HARDSHIP = (CloudError, OSError)
"""What a client meets while things are bad."""


@pytest.fixture(scope="module")
def small():
    """A real cloud without guests, whose database has a disk of 24 MiB for itself."""
    cloud = RealCloud('[compute]\nhypervisor = "fake"\n', public="172.24.8.0/24")
    folder = cloud.path / "db"
    folder.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=700", "tmpfs", str(folder)], check=True, timeout=10)
    try:
        cloud.cli("up")
        yield cloud
    finally:
        cloud.cli("down", check=False)
        subprocess.run(["umount", "-l", str(folder)], check=False, timeout=10)
        cloud.destroy()


def names(cloud):
    return {one["name"] for one in cloud.user.get(NETWORKS)["networks"]}


def refused_with(cloud, client, *words):
    """A write is refused with 503 and a message that holds these words; answers it."""

    def tried():
        try:
            client.post(NETWORKS, {"network": {"name": "lost", "description": "x" * 255}})
        except CloudError as error:
            return str(error)
        return ""

    said = until(tried, ignore=HARDSHIP)
    assert ": 503 " in said, said
    assert all(word in said for word in words), said
    assert str(cloud.path) not in said


def test_a_full_disk_refuses_changes_and_says_so_and_all_goes_on_when_there_is_room(small):
    user, before = small.user, names(small)
    filler = small.path / "db" / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 65536)
    with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 512)
    refused_with(small, user, "full", "free space")
    assert {one["name"] for one in user.get(NETWORKS)["networks"]} >= before
    filler.unlink()
    until(lambda: user.post(NETWORKS, {"network": {"name": "after the flood"}}), ignore=HARDSHIP)
    assert "after the flood" in names(small)
    serves_again(small, user, "flood")


def test_a_read_only_directory_is_named_and_the_cloud_comes_up_once_it_is_writable(small):
    folder = small.path / "db"
    small.cli("down")
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True, timeout=10)
    try:
        refused = small.cli("up", check=False)
        assert refused.returncode != 0
        assert "writable" in refused.stderr
        assert str(folder) in refused.stderr
        assert "Traceback" not in refused.stderr
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True, timeout=10)
    small.cli("up")
    serves_again(small, small.user, "dry")


def serves_again(cloud, user, name):
    """A server can be built and deleted: API, engine and agent all go on."""
    (image,) = user.get("/image/v2/images?name=petit")["images"]
    network = user.one(f"{NETWORKS}?name=private", "networks")["id"]
    wanted = {"name": name, "imageRef": image["id"], "flavorRef": "1", "networks": [{"uuid": network}]}
    made = until(lambda: user.post("/compute/v2.1/servers", {"server": wanted}), ignore=HARDSHIP)["server"]["id"]
    user.until(f"/compute/v2.1/servers/{made}", "server", "ACTIVE", 90)
    user.delete(f"/compute/v2.1/servers/{made}")
    until(lambda: name not in {one["name"] for one in user.get("/compute/v2.1/servers")["servers"]}, ignore=HARDSHIP)


def test_a_killed_supervisor_leaves_a_serving_cloud_that_up_takes_over(small):
    user, before = small.user, {one["name"]: one["pid"] for one in supervisor.status(small.home.run)["programs"]}
    os.kill(supervisor.pid_of(small.home.run), signal.SIGKILL)
    until(lambda: supervisor.pid_of(small.home.run) is None)
    assert user.get(NETWORKS)["networks"]
    said = small.cli("status", check=False)
    assert said.returncode == 1
    small.cli("up")
    now = {one["name"]: one["pid"] for one in supervisor.status(small.home.run)["programs"]}
    assert now.keys() == before.keys()
    assert not [pid for pid in before.values() if alive(pid)]
    serves_again(small, small.user, "taken-over")


def test_down_ends_what_a_killed_supervisor_left(small):
    pids = [one["pid"] for one in supervisor.status(small.home.run)["programs"]]
    os.kill(supervisor.pid_of(small.home.run), signal.SIGKILL)
    until(lambda: supervisor.pid_of(small.home.run) is None)
    small.cli("down")
    assert not [pid for pid in pids if alive(pid)]
    small.cli("up")


def test_a_killed_agent_is_back_in_moments_and_knows_its_guests(small):
    user = small.user
    (server,) = user.get("/compute/v2.1/servers/detail?name=^bonjour$")["servers"]
    for _ in range(3):
        agent = next(one for one in supervisor.status(small.home.run)["programs"] if one["name"] == "agent")
        os.kill(agent["pid"], signal.SIGKILL)
        until(lambda agent=agent: running(small, "agent") not in (None, agent["pid"]))
    assert user.get(f"/compute/v2.1/servers/{server['id']}")["server"]["status"] == "ACTIVE"
    serves_again(small, user, "after-agent")


def running(cloud, name):
    one = next(one for one in supervisor.status(cloud.home.run)["programs"] if one["name"] == name)
    return one["pid"] if one["ready"] else None


def alive(pid):
    """Whether a process runs; one that ended and is not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_missing_program_is_named_with_the_reason(tmp_path):
    """What the supervisor tells is what `up` and `status` print."""
    (tmp_path / "logs").mkdir()
    absent = Daemon(name="absent", argv=("/usr/sbin/not-here", "--option"), ready=str(tmp_path / "never"), uid=os.getuid(), gid=os.getgid())
    keeper = supervisor.Supervisor([absent], tmp_path, tmp_path / "logs")
    keeper._start(keeper._kept[0])
    keeper._tell()
    (told,) = supervisor.status(tmp_path)["programs"]
    assert told["said"] == "not-here is not installed"
    assert told["running"] is False


class Shifted(real_datetime.datetime):
    """`datetime` on a clock that somebody sets."""

    by = timedelta(0)

    @classmethod
    def now(cls, tz=None):
        return real_datetime.datetime.now(tz) + cls.by


@pytest.fixture
def jump(monkeypatch):
    """`jump(hours)` sets the clock of the whole process forward or back."""
    monkeypatch.setattr(clock, "datetime", Shifted)
    Shifted.by = timedelta(0)

    def to(hours):
        Shifted.by = timedelta(hours=hours)

    yield to
    Shifted.by = timedelta(0)


def live(cloud):
    with cloud.database.read() as db:
        return list(db.execute(select(operation.c.kind).where(operation.c.state.in_(("running", "undoing")))))


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_jumps_loses_no_operation(ready, jump, hours):
    """Servers under way when the clock is set end ACTIVE or with a named fault, those that run go on, and all can be deleted."""
    steady = new(ready)["id"]
    waiting = [new(ready, settle=False)["id"] for _ in range(3)]
    jump(hours)
    if hours > 0:
        ready.user = ready.sign_in("demo", "user-secret", "demo")
    ready.settle(40)
    assert show(ready, steady)["status"] == "ACTIVE"
    for id_ in waiting:
        server = show(ready, id_)
        assert server["status"] == "ACTIVE" or (server["status"] == "ERROR" and server["fault"]["message"])
    later = new(ready)["id"]
    assert show(ready, later)["status"] == "ACTIVE"
    act(ready, later, "os-stop")
    assert show(ready, later)["status"] == "SHUTOFF"
    jump(0)
    ready.user = ready.sign_in("demo", "user-secret", "demo")
    for id_ in (steady, later, *waiting):
        assert ready.user.delete(f"/compute/v2.1/servers/{id_}").status == 204
    ready.settle(40)
    assert ready.user.get("/compute/v2.1/servers").json["servers"] == []
    assert live(ready) == []
    assert ready.plugs["host-1"].taps == {}


def test_a_token_lives_as_long_as_the_clock_says_and_never_longer_when_it_is_set_back(cloud, jump):
    jump(1.01)
    assert cloud.user.get(NETWORKS).status == 401
    jump(-1)
    assert cloud.user.get(NETWORKS).status in (200, 401)
    assert cloud.sign_in("demo", "user-secret", "demo").get(NETWORKS).status == 200
    jump(0)
    assert cloud.user.get(NETWORKS).status == 200


class Quiet:
    def wake(self, topic):
        """Nobody listens."""


def test_an_operation_that_waits_goes_on_when_the_clock_is_set_back(tmp_path, jump):
    """Nothing hurries it: without a rule for it, it would sleep until the clock is where it was."""
    database = Database(f"sqlite:///{tmp_path}/t.db")
    metadata.create_all(database.engine, tables=[operation])
    looks, enough = [], threading.Event()

    def look(_work):
        looks.append(time.monotonic())
        if len(looks) >= 4:
            enough.set()
            return None
        return Later(0.2)

    kind = Kind(name="wait", steps=(Step("look", look),), deadline=60, failed=lambda *_: None)
    engine = Engine(database, Parts(), [kind], workers=1)
    database.run(lambda db: Operations(Quiet()).submit(db, kind, "r"))
    engine.start()
    try:
        until(lambda: looks)
        jump(-1)
        assert enough.wait(5)
    finally:
        engine.stop()
        database.close()
