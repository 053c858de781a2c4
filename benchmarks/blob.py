"""The blob driver of one machine: durable commits, gets, large blobs, room on the disk, scans, and opening again after a kill.

    python benchmarks/blob.py [ENTRIES] [FOLDER]

Each figure stands beside what the machine can do at most in the same run: the same bytes appended and synced by a bare loop, the
same files read, MD5 alone, decryption alone. ENTRIES: how many the large map has (1,000,000).
"""

import asyncio
import hashlib
import multiprocessing
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import lib

from andromede.core.units import KIB, MIB
from andromede.drivers.blob import Entry, View
from andromede.drivers.blob.local import Local
from andromede.drivers.blob.local.keys import data_key
from andromede.drivers.blob.local.seal import Seal, chunks_of

KEY, SHARDS, TASKS = b"k" * 32, 16, 64
ROUNDS = 5


async def pieces(data: bytes, size: int = 256 * KIB) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def commits(store: Local, count: int, data: bytes, shards: int) -> float:
    """Commits of one small object each, a second, by many tasks at once."""
    numbers = iter(range(count))
    run = os.urandom(4).hex()

    async def work() -> None:
        for number in numbers:
            md5 = hashlib.md5(usedforsecurity=False)
            blob = await store.write("tenant", pieces(data), hashers=(md5,))
            entry = Entry(md5.digest() * 6, (blob,), group=b"bucket", weight=len(data))
            key = b"bucket/%s.%08d" % (run.encode(), number)
            await store.commit(number % shards, lambda view, key=key, entry=entry: view.put(key, entry))

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(TASKS)))
    return count / (time.perf_counter() - began)


def appends(folder: Path, count: int, size: int) -> float:
    """The most that the disk allows: as many bytes, appended and synced `TASKS` at a time."""
    data = os.urandom(size * TASKS)
    fd = os.open(folder / "appends", os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    began = time.perf_counter()
    for _ in range(0, count, TASKS):
        os.write(fd, data)
        os.fdatasync(fd)
    took = time.perf_counter() - began
    os.close(fd)
    return count / took


async def gets(store: Local) -> float:
    """Small objects read, a second: the entry and the content."""
    found = [(shard, key) for shard in range(SHARDS) for key, _ in store.scan(shard, b"", b"\xff", 500)]
    random.Random(1).shuffle(found)
    began = time.perf_counter()
    for shard, key in found:
        entry = store.get(shard, key)
        async for _ in store.read("tenant", entry.blobs[0]):
            pass
    return len(found) / (time.perf_counter() - began)


def file_reads(folder: Path) -> float:
    """The same with a file for each object."""
    paths = [folder / f"file.{number}" for number in range(2000)]
    for path in paths:
        path.write_bytes(bytes(4 * KIB))
    began = time.perf_counter()
    for path in paths:
        path.read_bytes()
    return len(paths) / (time.perf_counter() - began)


def md5_alone(data: bytes) -> float:
    began = time.perf_counter()
    md5 = hashlib.md5(usedforsecurity=False)
    for at in range(0, len(data), MIB):
        md5.update(data[at : at + MIB])
    return len(data) / (time.perf_counter() - began)


async def large_write(store: Local, data: bytes) -> float:
    began = time.perf_counter()
    blob = await store.write("tenant", pieces(data, MIB), hashers=(hashlib.md5(usedforsecurity=False),))
    took = time.perf_counter() - began
    store.files.remove(blob)
    return len(data) / took


async def large_read(store: Local, data: bytes) -> tuple[float, float]:
    """Bytes a second of a read, and of a loop that reads the same file and decrypts."""
    blob = await store.write("tenant", pieces(data, MIB))
    (path,) = store.files.paths(blob.storage, blob.id)
    seal = Seal(blob.id, data_key(store.keys.key("tenant", make=False), blob.id, foreign=False))
    rates = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        async for _ in store.read("tenant", blob):
            pass
        middle = time.perf_counter()
        with path.open("rb") as file:
            number = 0
            while block := file.read(16 * seal.chunk):
                number += len(seal.open_range(number, block, chunks_of(blob.size)))
        rates.append((len(data) / (middle - began), len(data) / (time.perf_counter() - middle)))
    store.files.remove(blob)
    return statistics.median(one for one, _ in rates), statistics.median(two for _, two in rates)


async def fill(store: Local, count: int, size: int) -> None:
    """Many entries with a blob of `size` bytes each, in one shard, in transactions of a thousand."""
    for at in range(0, count, 1000):
        entries = []
        for number in range(at, min(at + 1000, count)):
            blobs = (await store.write("tenant", pieces(os.urandom(size))),) if size else ()
            entries.append((b"bucket/%s" % hashlib.sha1(b"%d" % number, usedforsecurity=False).hexdigest().encode(), Entry(bytes(100), blobs, b"b", size)))

        def change(view: View, entries: list[tuple[bytes, Entry]] = entries) -> None:
            for key, entry in entries:
                view.put(key, entry)

        await store.commit(0, change)


def scan_times(store: Local) -> list[float]:
    times = []
    for number in range(200):
        start = b"bucket/%s" % hashlib.sha1(b"x%d" % number, usedforsecurity=False).hexdigest()[:3].encode()
        began = time.perf_counter()
        store.scan(0, start, b"c", 1000)
        times.append(time.perf_counter() - began)
    return sorted(times)


def used(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.glob("**/*") if path.is_file())


def killed(folder: Path) -> None:
    """A process that writes until it is killed."""

    async def run() -> None:
        store = Local(folder, KEY, shards=SHARDS)
        number = 0
        while True:
            number += 1
            await asyncio.gather(*(store.commit(shard, lambda view, n=number: view.put(b"n%d" % n, Entry(b""))) for shard in range(SHARDS)))

    asyncio.run(run())


def reopen(folder: Path) -> float:
    writer = multiprocessing.get_context("spawn").Process(target=killed, args=(folder,))
    writer.start()
    time.sleep(3)
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    began = time.perf_counter()
    store = Local(folder, KEY, shards=SHARDS)
    took = time.perf_counter() - began
    store.close()
    return took


def median(run: Callable[[], float]) -> float:
    return statistics.median(run() for _ in range(ROUNDS))


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    folder = Path(tempfile.mkdtemp(prefix="blob.", dir=sys.argv[2] if len(sys.argv) > 2 else "/var/tmp"))
    try:
        store = Local(folder / "store", KEY, shards=SHARDS)
        small = os.urandom(4 * KIB)
        for shards in (SHARDS, 1):
            pairs = [(asyncio.run(commits(store, 4000, small, shards)), appends(folder, 4000, 4 * KIB)) for _ in range(ROUNDS)]
            ours, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
            lib.say(f"durable commits of 4 KiB a second, {TASKS} tasks, {shards} shards", ours=ours, bare_appends=bare, ratio=ours / bare)
        ours, bare = median(lambda: asyncio.run(gets(store))), median(lambda: file_reads(folder))
        lib.say("gets of 4 KiB a second, one core", ours=ours, bare_files=bare, ratio=ours / bare)
        large = os.urandom(64 * MIB)
        pairs = [(asyncio.run(large_write(store, large)), md5_alone(large)) for _ in range(ROUNDS)]
        ours, bare = (statistics.median(column) / 1e6 for column in zip(*pairs, strict=True))
        lib.say("write of 64 MiB with MD5, MB/s", ours=ours, md5_alone=bare, ratio=statistics.median(one / two for one, two in pairs), bar=0.9)
        ours, bare = asyncio.run(large_read(store, large))
        lib.say("read of 64 MiB, MB/s", ours=ours / 1e6, read_and_decrypt=bare / 1e6, ratio=ours / bare)
        store.close()
        there, entries = folder / "small", 100_000
        store = Local(there, KEY, shards=SHARDS)
        asyncio.run(fill(store, entries, KIB))
        lib.say(f"bytes on the disk for {entries} entries of 1 KiB", ratio=used(there) / (entries * KIB), bar=1.5)
        store.close()
        for entries in (10_000, count):
            there = folder / f"map.{entries}"
            store = Local(there, KEY, shards=SHARDS)
            asyncio.run(fill(store, entries, 0))
            times = scan_times(store)
            lib.say(f"scan of 1,000 of {entries} entries, ms", p50=times[100] * 1e3, p99=times[198] * 1e3)
            store.close()
            lib.say(f"opening {entries} entries after a kill, s", ours=reopen(there), bar=2)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
