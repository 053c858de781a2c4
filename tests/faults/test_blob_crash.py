"""Whatever was acknowledged is there after a crash at any moment, byte for byte, and nothing is there in halves."""

import asyncio
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from andromede.drivers.blob import Entry, Finding, Usage
from andromede.drivers.blob.local import Local
from andromede.drivers.blob.local.disk import Disk
from tests.faults.blob_child import SHARDS, content, hash_of, make, pieces

KILLS, SEED = int(os.environ.get("ANDROMEDE_TEST_KILLS") or 12), int(os.environ.get("ANDROMEDE_TEST_SEED") or 20)
"""ANDROMEDE_TEST_KILLS=1000 is the long run."""
pytestmark = pytest.mark.timeout(240 + 10 * KILLS)
State = tuple[int, str]


class History:
    """What was begun and what was acknowledged of each key, by the logs of all who wrote."""

    def __init__(self) -> None:
        self.known: dict[str, set[State]] = {}

    def read(self, log: Path) -> int:
        """Take in a log; how many changes were acknowledged in it."""
        done = 0
        begun: dict[str, State] = {}
        for line in log.read_text().splitlines() if log.exists() else ():
            words = line.split()
            if len(words) != 4:
                continue
            word, number, key, what = words
            if word == "begin":
                begun[key] = (int(number), what)
            else:
                self.known[key] = {begun.pop(key)}
                done += 1
        for key, state in begun.items():
            self.known.setdefault(key, {(0, "delete")}).add(state)
        return done

    def settle(self, found: dict[str, State]) -> None:
        """What was found is what is known from now on."""
        for key in self.known:
            self.known[key] = {found.get(key, (0, "delete"))}


async def whole(store: Local, history: History) -> dict[str, State]:
    """Look at everything in a store, and compare it with its history."""
    found: dict[str, State] = {}
    usage: dict[bytes, list[int]] = {}
    for shard in range(SHARDS):
        for key, entry in store.scan(shard, b"", b"\xff", 1 << 30):
            name = key.decode()
            number = entry.weight
            assert entry.value in {str(number).encode(), str(number).encode() * 100}
            assert hash_of(name) == shard
            data = b"".join([piece async for piece in store.read("tenant", entry.blobs[0])])
            assert data == content(name, number), name
            found[name] = (number, "put")
            count = usage.setdefault(entry.group, [0, 0])
            count[0] += 1
            count[1] += number
    for key, states in history.known.items():
        may = {state for state in states if state[1] == "put"}
        if key in found:
            assert found[key] in may, (key, states)
        else:
            assert any(state[1] == "delete" for state in states), (key, states)
    assert found.keys() <= history.known.keys()
    for group, (entries, weight) in usage.items():
        both = [store.usage(shard, group) for shard in range(SHARDS)]
        assert Usage(sum(one.entries for one in both), sum(one.weight for one in both)) == Usage(entries, weight)
    problems = [one for one in store.check() if isinstance(one, Finding) and one.kind != "orphan"]
    assert problems == []
    return found


def test_a_kill_at_any_moment_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    history = History()
    total = 0
    folder = tmp_path / "store"
    for turn in range(KILLS):
        logs = [tmp_path / f"log.{turn}.{name}" for name in ("a", "b")]
        children = [
            subprocess.Popen([sys.executable, "-m", "tests.faults.blob_child", str(folder), str(log), log.suffix[1:], str(chance.random())])
            for log in logs
        ]
        try:
            limit = time.monotonic() + 30
            while not all(log.exists() for log in logs):
                assert time.monotonic() < limit
                assert all(child.poll() is None for child in children)
                time.sleep(0.01)
            for child in children:
                time.sleep(chance.uniform(0, 0.6))
                assert child.poll() is None
                child.kill()
        finally:
            for child in children:
                child.kill()
                child.wait()
        total += sum(history.read(log) for log in logs)
        store = make(folder, grace=0)
        history.settle(asyncio.run(whole(store, history)))
        if turn % 4 == 3:
            for _ in store.compact():
                pass
            for _ in store.check(repair=True):
                pass
            asyncio.run(whole(store, history))
            assert [one for one in store.check() if isinstance(one, Finding)] == []
        store.close()
    assert total > 100


class PowerError(BaseException):
    """The power is gone: nothing more is done by anybody."""


class Cuttable(Disk):
    """Knows what of each segment reached the disk. `cut`: the power goes at the next sync but this many."""

    def __init__(self) -> None:
        super().__init__(sync=False)
        self.synced: dict[str, int] = {}
        self.cut = -1

    def sync(self, fd: int) -> None:
        path = Path(f"/proc/self/fd/{fd}")
        name = str(path.readlink())
        if "segment-" in name:
            if self.cut == 0:
                raise PowerError
            self.cut -= 1
            self.synced[name] = path.stat().st_size


def lose(chance: random.Random, folder: Path, disk: Cuttable, to: Path) -> None:
    """What may be left of a folder: of what was not synced some, none, or something else."""
    shutil.copytree(folder, to)
    for path in to.glob("shard-*/segment-*"):
        safe = disk.synced.get(str(folder / path.relative_to(to)), 0)
        data = bytearray(path.read_bytes())
        tail = data[safe:]
        how = chance.randrange(4)
        if how == 0:
            tail = tail[: chance.randrange(len(tail) + 1)]
        elif how == 1:
            tail = bytearray(len(tail))
        elif how == 2:
            for _ in range(3):
                if tail:
                    at = chance.randrange(len(tail))
                    tail[at : at + 512] = bytes(len(tail[at : at + 512]))
        path.write_bytes(data[:safe] + tail)


@pytest.mark.parametrize("seed", range(15))
def test_a_lost_tail_is_cut_off_and_no_more(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    disk = Cuttable()
    folder = tmp_path / "store"
    store = make(folder, disk=disk)
    known: dict[str, int] = {}
    begun: dict[str, int] = {}

    async def change(key: str, number: int) -> None:
        blob = await store.write("tenant", pieces(content(key, number)[:4096]))
        begun[key] = number
        await store.commit(hash_of(key), lambda view: view.put(key.encode(), Entry(str(number).encode(), (blob,))))
        known[key] = number
        begun.pop(key)

    async def many() -> None:
        for number in range(30):
            await asyncio.gather(*(change(f"k{key}", number) for key in range(8)))

    async def until_cut() -> None:
        tasks = [asyncio.create_task(change(f"k{key}", 1000 + key)) for key in range(8)]
        await asyncio.wait(tasks, timeout=0.5)
        for task in tasks:
            task.cancel()

    asyncio.run(many())
    older = tmp_path / "older"
    shutil.copytree(folder, older)
    asyncio.run(many())
    disk.cut = chance.randrange(3)
    asyncio.run(until_cut())
    after = tmp_path / "after"
    lose(chance, folder, disk, after)
    if chance.random() < 0.5:
        for path in after.glob("shard-*/index-*"):
            path.unlink()
        for path in older.glob("shard-*/index-*"):
            shutil.copy(path, after / path.relative_to(older))
    again = make(after)

    async def compare() -> None:
        for key, number in known.items():
            entry = again.get(hash_of(key), key.encode())
            assert entry is not None
            got = int(entry.value)
            assert got == number or got == begun.get(key)
            data = b"".join([piece async for piece in again.read("tenant", entry.blobs[0])])
            assert data == content(key, got)[:4096]
            await again.commit(hash_of(key), lambda view, key=key, entry=entry: view.put(key.encode(), entry))

    asyncio.run(compare())
    assert [one for one in again.check() if isinstance(one, Finding)] == []
    again.close()
