"""The processes that serve the drive are killed while clients synchronise; afterwards both sides are equal, and nothing was lost or doubled.

A failure tells the seed; ANDROMEDE_TEST_SEED repeats what is put where (the moments depend on the machine).
"""

import contextlib
import os
import random
import signal
import time
from pathlib import Path

import pytest

from andromede.run import supervisor
from tests import nextcloud
from tests.nextcloud import Computer, two
from tests.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.skipif(nextcloud.PROGRAM is None, reason="nextcloudcmd is not installed")]
SEED = int(os.environ.get("ANDROMEDE_TEST_SEED") or random.randrange(1_000_000))


@pytest.fixture(scope="module")
def cloud():
    with nextcloud.serving() as made:
        yield made


def workers(cloud) -> list[int]:
    """The processes that serve objects, the one that watches over them first."""
    found = supervisor.status(cloud.home.run).get("programs")
    (first,) = [int(one["pid"]) for one in found if one["name"] == "object" and one["pid"]]
    with contextlib.suppress(FileNotFoundError):
        return [first, *map(int, Path(f"/proc/{first}/task/{first}/children").read_text().split())]
    return [first]


def kill(cloud) -> None:
    """All of them, with no word; waits until others serve."""
    before = workers(cloud)
    for pid in before:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def serves() -> bool:
        now = workers(cloud)
        return now[0] != before[0] and Computer.answers(f"127.0.0.1:{cloud.drive_port}")

    until(serves, ignore=(ValueError, OSError))


def finish(computer, tries=12) -> None:
    """Synchronise until the client says that all went well: what failed it tries again after a while."""
    for _ in range(tries):
        if computer.end(computer.start()) == 0:
            return
        time.sleep(1)
    raise AssertionError(computer.said[-6000:])


@pytest.mark.parametrize("phase", ["up", "down", "change"])
def test_killed_in_the_middle(cloud, tmp_path, phase):
    chance = random.Random(f"{SEED} {phase}")
    one, other = two(cloud, tmp_path, chunk=5_000_000)
    want: dict[str, bytes] = {}

    def put(name: str, data: bytes) -> None:
        (one.files / name).parent.mkdir(exist_ok=True)
        (one.files / name).write_bytes(data)
        want[name] = data

    for number in range(400):
        put(f"folder {number % 7}/{number}", chance.randbytes(chance.randrange(9000)))
    put("large", chance.randbytes(40_000_000))
    if phase != "up":
        finish(one)
    if phase == "change":
        finish(other)
        for number in range(0, 400, 3):
            put(f"folder {number % 7}/{number}", chance.randbytes(5000))
        for number in range(1, 400, 3):
            (one.files / f"folder {number % 7}" / str(number)).rename(one.files / f"moved {number}")
            want[f"moved {number}"] = want.pop(f"folder {number % 7}/{number}")
        put("large", chance.randbytes(25_000_000))
    working = other if phase == "down" else one
    process = working.start()
    for _ in range(3):
        time.sleep(chance.uniform(0.3, 1.2))
        kill(cloud)
    working.end(process)
    for computer in (working, one, other, one):
        finish(computer)
    for computer in (one, other):
        tree = {name: data for name, data in computer.tree().items() if data is not None}
        assert set(tree) == set(want), SEED
        assert tree == want, SEED
