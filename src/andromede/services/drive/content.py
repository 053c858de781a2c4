"""Content: cut into chunks where its bytes say so, each kept once for its space, under its BLAKE3, in the blob store.

A chunk is an entry `f\\0 space \\0 hash` whose value is the moment at which it was last needed. A body in the database names its chunks by
hash and length, its `extents`; nothing is counted. So a chunk is written before anything names it, one that is there already is
only made young again, and `sweep` removes what no body names and nobody needed for long. Its grace is longer than any
time between the look at a chunk and the transaction that names it: `put` looks again where it took long.
"""

import asyncio
import collections
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import cast

import msgspec
from blake3 import blake3
from pyfastcdc import FastCDC

from andromede.core.clock import monotonic, now
from andromede.core.errors import DriverError
from andromede.core.units import KIB, MIB
from andromede.drivers.blob import Entry, Hasher, Store, View

PREFIX = b"f\0"
SMALL, WINDOW, MIDDLE, MOST = 256 * KIB, 8 * MIB, MIB, 4 * MIB
"""Bytes: what is not cut; what is cut at once; the usual chunk; the largest one."""
_HASH, _EXTENT = 32, 36
_BUSY, _AHEAD = 6, 3
_PAGE = 500


class Stored(msgspec.Struct, frozen=True):
    """Content that is kept. extents: as `drive_body` has them."""

    size: int
    extents: bytes


class Chunks(msgspec.Struct, frozen=True):
    """How many chunks there are, and their bytes together."""

    count: int
    size: int


class Content:
    """The content of all spaces. grace: seconds for which a chunk that nothing names is kept."""

    def __init__(self, store: Store, *, grace: float = 24 * 3600) -> None:
        self._store, self.grace = store, grace

    async def put(self, space: str, body: AsyncIterator[bytes], checks: Sequence[Hasher] = ()) -> Stored:
        """Keep all of a stream; durable when this returns. checks: are fed with it.

        Raises what the stream raises, and Unavailable where the disk is full; chunks that were written stay until the sweep.
        """
        began, buffer = monotonic(), bytearray()
        async for piece in body:
            buffer += piece
            if len(buffer) > SMALL:
                break
        else:
            return await self._small(space, bytes(buffer), checks)
        putting = _Putting(self, space, checks)
        try:
            if len(buffer) >= WINDOW:
                await putting.cut(buffer)
                buffer = bytearray()
            async for piece in body:
                buffer += piece
                if len(buffer) >= WINDOW:
                    await putting.cut(buffer)
                    buffer = bytearray()
            await putting.cut(buffer, last=True)
            made = await putting.done()
        finally:
            putting.close()
        if monotonic() - began > self.grace / 4:
            await self.renew(space, made.extents)
        return made

    async def _small(self, space: str, data: bytes, checks: Sequence[Hasher]) -> Stored:
        for check in checks:
            check.update(data)
        if not data:
            return Stored(0, b"")
        digest = blake3(data).digest()
        await self.keep(space, digest, data)
        return Stored(len(data), digest + len(data).to_bytes(4))

    async def keep(self, space: str, digest: bytes, data: bytes) -> None:
        """Keep one chunk; nothing is written where it is there."""
        shard, key = self._where(space, digest)
        entry, moment = self._store.get(shard, key), now().timestamp()
        if entry is not None and moment - _needed(entry) < self.grace / 2:
            return
        blob = None if entry is not None else await self._store.write(space, _one(data))
        value = int(moment * 1000).to_bytes(8)

        def change(view: View) -> bool:
            there = view.get(key)
            if there is not None:
                view.put(key, msgspec.structs.replace(there, value=value))
            elif blob is not None:
                view.put(key, Entry(value, (blob,), b"f" + space.encode(), blob.size))
            return there is not None or blob is not None

        if not await self._store.commit(shard, change, fresh=[blob] if blob is not None else []):
            await self.keep(space, digest, data)

    async def renew(self, space: str, extents: bytes) -> None:
        """Make chunks young again. Raises DriverError where one is gone."""
        for digest, _ in parts(extents):
            shard, key = self._where(space, digest)
            entry = self._store.get(shard, key)
            if entry is not None and now().timestamp() - _needed(entry) < self.grace / 2:
                continue
            value = int(now().timestamp() * 1000).to_bytes(8)

            def change(view: View, key: bytes = key, value: bytes = value) -> bool:
                there = view.get(key)
                if there is not None:
                    view.put(key, msgspec.structs.replace(there, value=value))
                return there is not None

            if not await self._store.commit(shard, change):
                raise DriverError("A chunk of this content is not there any more.")

    async def read(self, space: str, extents: bytes, start: int, stop: int) -> AsyncIterator[bytes]:
        """The bytes from `start` to before `stop`. Raises DriverError where they are damaged or gone."""
        wanted = list(_within(extents, start, stop))
        if len(wanted) == 1:
            digest, first, last = wanted[0]
            async for piece in self._read(space, digest, first, last):
                yield piece
            return
        ahead: collections.deque[asyncio.Task[list[bytes]]] = collections.deque()
        try:
            for digest, first, last in wanted:
                ahead.append(asyncio.ensure_future(self._whole(space, digest, first, last)))
                if len(ahead) >= _AHEAD:
                    for piece in await ahead.popleft():
                        yield piece
            while ahead:
                for piece in await ahead.popleft():
                    yield piece
        finally:
            for task in ahead:
                task.cancel()

    async def _whole(self, space: str, digest: bytes, start: int, stop: int) -> list[bytes]:
        return [piece async for piece in self._read(space, digest, start, stop)]

    def _read(self, space: str, digest: bytes, start: int, stop: int) -> AsyncIterator[bytes]:
        shard, key = self._where(space, digest)
        entry = self._store.get(shard, key)
        if entry is None or not entry.blobs:
            raise DriverError("A chunk of this content is not there: the operator must check the store.")
        return self._store.read(space, entry.blobs[0], start, stop)

    def _where(self, space: str, digest: bytes) -> tuple[int, bytes]:
        return self._shard(space), _prefix(space) + digest.hex().encode()

    def _shard(self, space: str) -> int:
        """The shard with all chunks of a space: those that are put at the same time share a commit, and a wait for the disk."""
        return zlib.crc32(space.encode()) % self._store.shards

    def spaces(self) -> set[str]:
        """Of which spaces there are chunks."""
        found: set[str] = set()
        for shard in range(self._store.shards):
            at = PREFIX
            while rows := self._store.scan(shard, at, b"f\x01", 1):
                space = rows[0][0][len(PREFIX) :].partition(b"\0")[0]
                found.add(space.decode())
                at = PREFIX + space + b"\x01"
        return found

    def usage(self, space: str) -> Chunks:
        """What is kept of a space."""
        found = self._store.usage(self._shard(space), b"f" + space.encode())
        return Chunks(found.entries, found.weight)

    async def sweep(self, space: str, named: Callable[[], set[bytes]]) -> int:
        """Remove the chunks of a space that are not named, and that nobody needed for the grace; how many. named: the hashes that
        anything names, looked up in one transaction."""
        oldest = now().timestamp() - self.grace
        kept = await asyncio.to_thread(named)
        count, shard, prefix = 0, self._shard(space), _prefix(space)
        at, end = prefix, PREFIX + space.encode() + b"\x01"
        while rows := await asyncio.to_thread(self._store.scan, shard, at, end, _PAGE):
            at = rows[-1][0] + b"\0"
            old = [key for key, entry in rows if _needed(entry) < oldest and bytes.fromhex(key[len(prefix) :].decode()) not in kept]

            def change(view: View, old: Sequence[bytes] = old) -> int:
                gone = 0
                for key in old:
                    there = view.get(key)
                    if there is not None and _needed(there) < oldest:
                        view.delete(key)
                        gone += 1
                return gone

            if old:
                count += await self._store.commit(shard, change)
        return count


class _Putting:
    """One large stream: while a window is cut and hashed, the next one comes in, and chunks of earlier ones are written."""

    def __init__(self, content: Content, space: str, checks: Sequence[Hasher]) -> None:
        self._content, self._space, self._checks = content, space, checks
        self._cutter = FastCDC(avg_size=MIDDLE, min_size=SMALL, max_size=MOST)
        self._room = asyncio.Semaphore(_BUSY)
        self._cutting: asyncio.Task[bytes] | None = None
        self._writing: set[asyncio.Task[None]] = set()
        self._failed: BaseException | None = None
        self._extents: list[bytes] = []
        self._size = 0

    async def cut(self, data: bytearray, *, last: bool = False) -> None:
        """Take the next window; with `last` all of it."""
        rest = await self._cutting if self._cutting is not None else b""
        if self._failed is not None:
            raise self._failed
        self._cutting = asyncio.ensure_future(self._cut(rest, data, last=last))

    async def _cut(self, rest: bytes, data: bytearray, *, last: bool) -> bytes:
        found, left = await asyncio.to_thread(self._chunks, rest, data, last)
        for digest, chunk in found:
            self._extents.append(digest + len(chunk).to_bytes(4))
            self._size += len(chunk)
            await self._room.acquire()
            if self._failed is not None:
                self._room.release()
                raise self._failed
            task = asyncio.ensure_future(self._content.keep(self._space, digest, chunk))
            self._writing.add(task)
            task.add_done_callback(self._written)
        return left

    def _chunks(self, rest: bytes, data: bytearray, last: bool) -> tuple[list[tuple[bytes, bytes]], bytes]:
        for check in self._checks:
            check.update(cast("bytes", data))
        whole = rest + data
        found = [(one.offset, one.offset + one.length) for one in self._cutter.cut_buf(whole)]
        left = b""
        if not last and found:
            left = bytes(whole[found.pop()[0] :])
        view = memoryview(whole)
        chunks = [cast("bytes", view[first:stop]) for first, stop in found]
        return [(blake3(chunk).digest(), chunk) for chunk in chunks], left

    def _written(self, task: "asyncio.Task[None]") -> None:
        self._room.release()
        self._writing.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed = self._failed or error

    async def done(self) -> Stored:
        """Wait until all is kept."""
        if self._cutting is not None:
            await self._cutting
        while self._writing:
            await asyncio.wait(self._writing)
        if self._failed is not None:
            raise self._failed
        return Stored(self._size, b"".join(self._extents))

    def close(self) -> None:
        """Let go of what is still under way."""
        for task in [*self._writing, *([self._cutting] if self._cutting is not None else [])]:
            task.cancel()


async def _one(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _prefix(space: str) -> bytes:
    return PREFIX + space.encode() + b"\0"


def _needed(entry: Entry) -> float:
    """When a chunk was last needed."""
    return int.from_bytes(entry.value) / 1000


def parts(extents: bytes) -> Iterator[tuple[bytes, int]]:
    """Hash and length of each chunk."""
    for at in range(0, len(extents), _EXTENT):
        yield extents[at : at + _HASH], int.from_bytes(extents[at + _HASH : at + _EXTENT])


def hashes(many: Iterable[bytes]) -> set[bytes]:
    """The hashes that extents name."""
    return {digest for extents in many for digest, _ in parts(extents)}


def _within(extents: bytes, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """The chunks that bytes lie in, each with the first and the end of what is wanted of it."""
    for digest, size in parts(extents):
        if stop <= 0:
            return
        if start < size:
            yield digest, max(start, 0), min(stop, size)
        start, stop = start - size, stop - size
