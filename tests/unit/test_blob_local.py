"""What is particular to the blob driver of one machine: its folder, its keys, several processes on it, upkeep under load."""

import asyncio
import multiprocessing
import os
import random
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from andromede.core.errors import DriverError, NotFound
from andromede.core.units import KIB, MIB
from andromede.drivers.blob import Blob, Entry, Finding, View
from andromede.drivers.blob.local import Local
from tests.waiting import until

pytestmark = pytest.mark.timeout(180)
KEY = b"m" * 32


def make(folder: Path, **how: object) -> Local:
    return Local(folder, KEY, **{"shards": 2, "inline": 8 * KIB, "grace": 0, "segment_size": 64 * KIB, "sync": False} | how)


async def pieces(data: bytes, size: int = MIB) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def put(store: Local, key: bytes, data: bytes, shard: int = 0, **how: object) -> None:
    blob = await store.write("tenant", pieces(data), **how)
    await store.commit(shard, lambda view: view.put(key, Entry(key * 3, (blob,), group=b"g", weight=len(data))))


async def read(store: Local, blob: Blob, **how: object) -> bytes:
    return b"".join([piece async for piece in store.read("tenant", blob, **how)])


async def get(store: Local, key: bytes, shard: int = 0) -> bytes | None:
    entry = store.get(shard, key)
    return None if entry is None else await read(store, entry.blobs[0])


def found(store: Local, **how: bool) -> list[Finding]:
    return [one for one in store.check(**how) if isinstance(one, Finding)]


def files(folder: Path) -> list[Path]:
    return [path for path in folder.glob("**/*") if path.is_file()]


def test_only_we_may_look(tmp_path: Path) -> None:
    store = make(tmp_path / "store")
    for size in (10, 100 * KIB):
        asyncio.run(put(store, b"k%d" % size, bytes(size)))
    for path in [tmp_path / "store", *(tmp_path / "store").glob("**/*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path
    store.close()


def test_nothing_is_readable_on_the_disk_but_what_is_plain(tmp_path: Path) -> None:
    store = make(tmp_path / "store")
    for size in (50, 1000):
        asyncio.run(put(store, b"s%d" % size, b"geheim" * size * 3))
        asyncio.run(put(store, b"f%d" % size, b"fremd!" * size * 3))
    asyncio.run(put(store, b"p", b"offen!" * 9000, storage="plain"))
    store.close()
    everything = b"".join(path.read_bytes() for path in files(tmp_path / "store"))
    assert b"geheim" not in everything
    assert b"offen!" in everything
    assert KEY not in everything
    assert b"tenant" not in everything


def test_another_master_key_and_other_shards_are_refused(tmp_path: Path) -> None:
    make(tmp_path / "store").close()
    with pytest.raises(DriverError, match="master key"):
        Local(tmp_path / "store", b"x" * 32, shards=2)
    with pytest.raises(DriverError, match="2 shards"):
        Local(tmp_path / "store", KEY, shards=3)
    with pytest.raises(ValueError, match="32 bytes"):
        Local(tmp_path / "other", b"short")


def test_everything_is_there_after_opening_again(tmp_path: Path) -> None:
    store = make(tmp_path / "store")
    for size in (0, 10, 5000, 9 * KIB, 3 * MIB):
        asyncio.run(put(store, b"k%d" % size, b"x" * size))
    usage = store.usage(0, b"g")
    store.close()
    again = make(tmp_path / "store")
    for size in (0, 10, 5000, 9 * KIB, 3 * MIB):
        assert asyncio.run(get(again, b"k%d" % size)) == b"x" * size
    assert again.usage(0, b"g") == usage
    again.close()


def test_a_closed_store_takes_nothing(tmp_path: Path) -> None:
    store = make(tmp_path / "store")
    store.close()
    with pytest.raises(RuntimeError, match="closed"):
        asyncio.run(put(store, b"k", b""))


@pytest.mark.parametrize("storage", ["standard", "plain"])
def test_chunks_that_are_cut_off_swapped_or_replaced_are_refused(tmp_path: Path, storage: str) -> None:
    store = make(tmp_path / "store")
    data = random.Random(1).randbytes(64 * KIB * 4)
    asyncio.run(put(store, b"a", data, storage=storage))
    asyncio.run(put(store, b"b", data[::-1], storage=storage))
    one, two = (store.files.paths(storage, store.get(0, key).blobs[0].id)[0] for key in (b"a", b"b"))
    good, other = one.read_bytes(), two.read_bytes()
    chunk = len(good) // 4
    parts = [good[at : at + chunk] for at in range(0, len(good), chunk)]
    wrong = {
        "cut": good[:-chunk],
        "cut within": good[:-1],
        "swapped": parts[1] + parts[0] + parts[2] + parts[3],
        "last first": parts[3] + parts[0] + parts[1] + parts[2],
        "repeated": parts[0] + parts[0] + parts[2] + parts[3],
        "of another": parts[0] + other[chunk : 2 * chunk] + parts[2] + parts[3],
        "another": other,
        "empty": b"",
        "longer": good + parts[3],
    }
    blob = store.get(0, b"a").blobs[0]
    for name, content in wrong.items():
        one.write_bytes(content)
        assert [found_.kind for found_ in found(store)] == ["rot"], name
        if name != "longer":
            with pytest.raises(DriverError):
                asyncio.run(read(store, blob))
    shorter = msgspec.structs.replace(blob, size=64 * KIB * 3)
    one.write_bytes(good[:-chunk])
    with pytest.raises(DriverError):
        asyncio.run(read(store, shorter))
    one.unlink()
    with pytest.raises(DriverError):
        asyncio.run(read(store, blob))
    assert [found_.kind for found_ in found(store)] == ["lost"]
    store.close()


def test_a_tenants_key_that_is_gone_or_damaged_opens_nothing(tmp_path: Path) -> None:
    store = make(tmp_path / "store")
    asyncio.run(put(store, b"a", b"x" * 100))
    store.close()
    (path,) = (tmp_path / "store" / "keys").iterdir()
    good = path.read_bytes()
    for content in (good[:-1] + b"!", good[:10], b"", None):
        path.unlink() if content is None else path.write_bytes(content)
        store = make(tmp_path / "store")
        with pytest.raises(DriverError):
            asyncio.run(get(store, b"a"))
        if content is not None:
            with pytest.raises(DriverError):
                asyncio.run(put(store, b"b", b"x"))
        store.close()


def test_copies_stand_in_for_each_other_and_are_mended(tmp_path: Path) -> None:
    classes = {"standard": [], "plain": [], "copies": [tmp_path / "one", tmp_path / "two"]}
    store = make(tmp_path / "store", classes=classes)
    for size in (0, 100, 3 * MIB):
        data = random.Random(size).randbytes(size)
        asyncio.run(put(store, b"a", data, storage="copies"))
        blob = store.get(0, b"a").blobs[0]
        paths = store.files.paths("copies", blob.id)
        assert [path.is_relative_to(tmp_path / name) for path, name in zip(paths, ("one", "two"), strict=True)] == [True, True]
        for path in paths:
            good = path.read_bytes()
            for bad in (None, good[:-1], bytes([good[0] ^ 1]) + good[1:]):
                path.unlink() if bad is None else path.write_bytes(bad)
                assert asyncio.run(read(store, blob)) == data
                assert [one.mended for one in found(store)] == [False]
                assert [one.mended for one in found(store, repair=True)] == [True]
                assert found(store) == []
                assert path.read_bytes() == good
        for path in paths:
            path.write_bytes(b"!" * (size + 24))
        assert [one.kind for one in found(store)] == ["rot", "rot"]
        if size:
            with pytest.raises(DriverError):
                asyncio.run(read(store, blob))
        asyncio.run(store.commit(0, lambda view: view.delete(b"a")))
        until(lambda paths=paths: not any(path.exists() for path in paths))
    store.close()


def _many(folder: Path, name: str, count: int) -> None:
    async def run() -> None:
        store = make(folder)

        def add(view: View) -> None:
            entry = view.get(b"shared")
            view.put(b"shared", Entry(b"%d" % (int(entry.value) + 1 if entry else 1), group=b"g", weight=1))

        async def one(number: int) -> None:
            await put(store, b"%s%03d" % (name.encode(), number), os.urandom(random.choice((10, 3000, 9000))))
            await store.commit(0, add)
            if number % 3 == 0:
                await store.commit(0, lambda view: view.delete(b"%s%03d" % (name.encode(), number)))

        for at in range(0, count, 10):
            await asyncio.gather(*(one(number) for number in range(at, at + 10)))
        store.close()

    asyncio.run(run())


def test_two_processes_on_one_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    folder = tmp_path / "store"
    others = [context.Process(target=_many, args=(folder, name, 60)) for name in ("x", "y", "z")]
    store = make(folder)
    for other in others:
        other.start()
    seen = 0
    while any(other.is_alive() for other in others):
        entry = store.get(0, b"shared")
        number = int(entry.value) if entry else 0
        assert number >= seen
        seen = number
    for other in others:
        other.join()
        assert other.exitcode == 0
    entry = store.get(0, b"shared")
    assert entry is not None
    assert entry.value == b"180"
    assert len(store.scan(0, b"x", b"y", 100)) == 40
    assert store.usage(0, b"g").entries == 121
    assert found(store) == []
    store.close()


def test_room_is_given_back_while_others_read_and_write(tmp_path: Path) -> None:
    store, other = make(tmp_path / "store"), make(tmp_path / "store")
    chance = random.Random(4)
    model: dict[bytes, bytes] = {}
    stop = False

    async def writing() -> None:
        for _ in range(500):
            key = b"k%03d" % chance.randrange(50)
            if chance.random() < 0.15:
                await other.commit(0, lambda view, key=key: view.delete(key))
                model.pop(key, None)
            elif chance.random() < 0.2 and key in model:
                target = b"k%03d" % chance.randrange(50)
                if target != key:

                    def move(view: View, key: bytes = key, target: bytes = target) -> None:
                        view.put(target, view.get(key))
                        view.delete(key)

                    await other.commit(0, move)
                    model[target] = model.pop(key)
            else:
                data = chance.randbytes(chance.choice((10, 4000, 8000)))
                await put(other, key, data)
                model[key] = data

    async def reading() -> int:
        times = 0
        while not stop:
            for key, entry in store.scan(0, b"", b"\xff", 100):
                try:
                    data = await read(store, entry.blobs[0])
                except NotFound:
                    continue
                assert len(data) == entry.weight, key
                times += 1
            await asyncio.sleep(0)
        return times

    async def compacting() -> None:
        while not stop:
            await asyncio.to_thread(lambda: list(store.compact()))

    async def run() -> None:
        nonlocal stop
        tasks = [asyncio.create_task(reading()), asyncio.create_task(compacting())]
        await writing()
        stop = True
        assert (await asyncio.gather(*tasks))[0]

    asyncio.run(run())
    list(store.compact())
    assert {key for key, _ in store.scan(0, b"", b"\xff", 100)} == set(model)
    for key, data in model.items():
        assert asyncio.run(get(store, key)) == data
    assert found(store) == []
    sizes = sum(path.stat().st_size for path in (tmp_path / "store").glob("shard-*/segment-*"))
    assert sizes < 3 * sum(map(len, model.values())) + 3 * 64 * KIB
    for path in (tmp_path / "store").glob("shard-*/index-*"):
        path.unlink()
    again = make(tmp_path / "store")
    assert {key for key, _ in again.scan(0, b"", b"\xff", 100)} == set(model)
    for one in (store, other, again):
        one.close()


def test_a_deleted_key_stays_deleted_after_compaction_and_a_lost_index(tmp_path: Path) -> None:
    store = make(tmp_path / "store")

    async def run() -> None:
        for number in range(40):
            await put(store, b"old%02d" % number, b"x" * 8000)
        for number in range(0, 40, 2):
            await store.commit(0, lambda view, number=number: view.delete(b"old%02d" % number))
        for _ in range(40):
            await put(store, b"new", b"y" * 8000)

    asyncio.run(run())
    before = store.scan(0, b"", b"\xff", 100)
    for _ in range(4):
        list(store.compact())
        store.close()
        for path in (tmp_path / "store").glob("shard-*/index-*"):
            path.unlink()
        store = make(tmp_path / "store")
        assert [key for key, _ in store.scan(0, b"", b"\xff", 100)] == [key for key, _ in before]
    assert found(store) == []
    store.close()


MEMORY = """
import asyncio, hashlib, resource, sys
from pathlib import Path
from andromede.drivers.blob.local import Local

async def pieces(count):
    for number in range(count):
        yield number.to_bytes(4, "big") * 65536

async def main():
    store = Local(Path(sys.argv[1]), b"k" * 32, shards=1, sync=False)
    await store.write("t", pieces(16), hashers=(hashlib.md5(),))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    md5 = hashlib.md5()
    blob = await store.write("t", pieces(2000), hashers=(md5,))
    again = hashlib.md5()
    async for piece in store.read("t", blob):
        again.update(piece)
    assert blob.size == 2000 * 262144 and md5.digest() == again.digest()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    store.close()

asyncio.run(main())
"""


def test_memory_stays_flat_over_500_mib(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", MEMORY, str(tmp_path / "store")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 16 * KIB


def _watcher(folder: Path, ready: Any, wanted: "multiprocessing.Queue[bytes]", seen: "multiprocessing.Queue[bytes]") -> None:
    store = make(folder, watched=(b"c\0",))
    store.get(0, b"c\0key")
    ready.set()
    while (_ := wanted.get(timeout=60)) != b"end":
        entry = store.get(0, b"c\0key")
        seen.put(b"" if entry is None else entry.value)
    store.close()


def test_what_is_watched_is_remembered_and_never_stale(tmp_path, monkeypatch):
    context = multiprocessing.get_context("spawn")
    ready, wanted, seen = context.Event(), context.Queue(), context.Queue()
    other = context.Process(target=_watcher, args=(tmp_path, ready, wanted, seen))
    store = make(tmp_path, watched=(b"c\0",))
    asked = []
    try:
        other.start()
        assert ready.wait(60)
        for number in range(200):
            value = b"%d" % number
            change = (lambda view, value=value: view.put(b"c\0key", Entry(value))) if number % 7 else (lambda view: view.delete(b"c\0key"))
            asyncio.run(store.commit(0, change))
            wanted.put(value)
            assert seen.get(timeout=60) == (value if number % 7 else b"")
        reading = store.parts[0].reading
        monkeypatch.setattr(store.parts[0], "reading", lambda: asked.append(1) or reading())
        for _ in range(5):
            assert store.get(0, b"c\0key").value == b"199"
        asyncio.run(store.commit(0, lambda view: view.put(b"o\0another", Entry(b"x"))))
        for _ in range(5):
            assert store.get(0, b"c\0key").value == b"199"
        assert len(asked) == 1
        store.parts[0]._marks.begin(0)  # as a crash in the middle of a commit leaves it
        for _ in range(3):
            assert store.get(0, b"c\0key").value == b"199"
        assert len(asked) == 4
        wanted.put(b"after")
        assert seen.get(timeout=60) == b"199"
        third = make(tmp_path, watched=(b"c\0",))
        asyncio.run(third.commit(0, lambda view: view.put(b"c\0key", Entry(b"new"))))
        third.close()
        assert store.get(0, b"c\0key").value == b"new"
        assert not store.parts[0]._marks.get(0) & 1
    finally:
        wanted.put(b"end")
        other.join(60)
        store.close()
