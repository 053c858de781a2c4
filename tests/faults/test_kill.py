"""Programs of a real cloud are killed at random while a user works on it; afterwards everything is as it was asked for.

The seed is printed; ANDROMEDE_TEST_SEED repeats the order of what is done and killed (its moments depend on the machine).
ANDROMEDE_TEST_ACTIONS says how many actions there are: CI does a part.
"""

import os
import random
import signal
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from tests.faults.actions import SERVERS, VOLUMES, Actions
from tests.faults.shaking import Killer, Patient, left, programs, qemu_of, until
from tests.real import RealCloud

pytestmark = pytest.mark.real
SEED = int(os.environ.get("ANDROMEDE_TEST_SEED") or random.randrange(1_000_000))
ACTIONS = int(os.environ.get("ANDROMEDE_TEST_ACTIONS") or 150)


@pytest.fixture
def shaken():
    cloud = RealCloud(public="172.24.7.0/24")
    try:
        cloud.cli("up")
        yield cloud
    finally:
        cloud.destroy()


class Diary:
    """Lines that a guest wrote to a volume and had acknowledged: each in a block of its own, asked for with `conv=fsync`."""

    def __init__(self, cloud, client, server):
        self.cloud, self.client, self.server, self.lines = cloud, client, server, []
        self.volume = client("post", f"{VOLUMES}/volumes", {"volume": {"name": "diary", "size": 1}})["volume"]["id"]
        until(lambda: self._status() == "available" or self._status(), what="the volume")
        client("post", f"{SERVERS}/{server['id']}/os-volume_attachments", {"volumeAttachment": {"volumeId": self.volume}})
        until(lambda: self._status() == "in-use" or self._status(), what="the attachment")
        (self.address,) = [
            one["addr"] for addresses in server["addresses"].values() for one in addresses if one["OS-EXT-IPS:type"] == "floating"
        ]

    def _status(self):
        return self.client("get", f"{VOLUMES}/volumes/{self.volume}")["volume"]["status"]

    def _ssh(self, command):
        return self.cloud.ssh(self.address, command, seconds=60)

    def ready(self):
        until(lambda: self._ssh("sudo test -b /dev/vdb").returncode == 0, 240, "the guest's disk")

    def write(self):
        line = f"line-{len(self.lines):06d}"
        done = self._ssh(f"echo {line} | sudo dd of=/dev/vdb bs=4096 seek={len(self.lines)} conv=fsync,notrunc,sync 2>/dev/null")
        if done.returncode == 0:
            self.lines.append(line)

    def check(self):
        script = f"for i in $(seq 0 {len(self.lines) - 1}); do sudo dd if=/dev/vdb bs=4096 skip=$i count=1 2>/dev/null | head -c 12; done"
        assert self._ssh(script).stdout.split() == self.lines

    def close(self):
        self.client("delete", f"{SERVERS}/{self.server['id']}/os-volume_attachments/{self.volume}")
        until(lambda: self._status() == "available" or self._status(), what="the detachment")
        self.client("delete", f"{VOLUMES}/volumes/{self.volume}")


@pytest.mark.timeout(1500)
def test_nothing_is_lost_or_left_when_programs_are_killed_at_random(shaken):
    print(f"seed {SEED}: repeat with ANDROMEDE_TEST_SEED={SEED}")  # noqa: T201 - what a failure is repeated with
    client = Patient(shaken, "demo")
    (steady,) = client("get", f"{SERVERS}/detail?name=^bonjour$")["servers"]
    diary = Diary(shaken, client, steady)
    diary.ready()
    process = qemu_of(steady["id"])
    assert process is not None
    actions, killer = Actions(client, random.Random(SEED), ACTIONS), Killer(shaken, random.Random(SEED + 1))
    killer.start()
    with ThreadPoolExecutor(1) as pool:
        doing = pool.submit(actions.run)
        while not doing.done():
            diary.write()
            wait([doing], 1.0)
    killer.end()
    doing.result()
    assert len(killer.killed) >= 10, killer.killed
    assert sum(actions.done.values()) >= ACTIONS / 3, (actions.done, actions.refused)
    assert diary.lines

    until(lambda: all(one["ready"] for one in programs(shaken).values()) or str(programs(shaken)), 40, "the programs' return")
    until(lambda: not actions.unsettled() or actions.unsettled(), 240, "an end for everything")
    assert qemu_of(steady["id"]) == process, "a server that ran before has been stopped"
    until(lambda: not actions.clear() or actions.clear(), 120, "the deletion of all")
    until(lambda: not left(shaken, {steady["id"]}, {diary.volume}) or str(left(shaken, {steady["id"]}, {diary.volume})), 60, "a clean host")

    assert qemu_of(steady["id"]) == process
    os.kill(process[0], signal.SIGKILL)
    until(lambda: status(client, steady) in ("SHUTOFF", "ERROR") or status(client, steady), what="the end of the guest")
    client("post", f"{SERVERS}/{steady['id']}/action", {"os-start": None})
    diary.ready()
    diary.check()
    diary.close()
    client("delete", f"{SERVERS}/{steady['id']}")
    until(lambda: not left(shaken, set(), set()) or str(left(shaken, set(), set())), 60, "an empty host")


def status(client, server):
    return client("get", f"{SERVERS}/{server['id']}")["server"]["status"]
