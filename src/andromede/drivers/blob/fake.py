"""A blob driver in memory: for tests of what stands on it, and for nothing else, since nothing outlives the process.

It passes the contract suite of the real driver. It proves nothing about disks.
"""

import asyncio
import bisect
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TypeVar

import msgspec

from andromede.core.errors import DriverError, Forbidden, NotFound, Unavailable
from andromede.core.units import KIB, MIB
from andromede.drivers.blob import Blob, Entry, Finding, Hasher, Progress, Usage
from andromede.drivers.blob.overlay import Noted, Overlay

T = TypeVar("T")


class Fake:
    """A `Store`. `full`: set it, and nothing can be written. grace: seconds for which a blob may be without an owner."""

    def __init__(
        self, *, shards: int = 16, inline: int = 128 * KIB, classes: tuple[str, ...] = ("standard", "plain"), grace: float = 3600
    ) -> None:
        self.shards = shards
        self.inline = inline
        self.classes = classes
        self.grace = grace
        self.full = False
        self._shards = [_Shard(self) for _ in range(shards)]
        self._bytes: dict[bytes, _Bytes] = {}

    def get(self, shard: int, key: bytes) -> Entry | None:
        """As `Store.get`."""
        return self._shards[shard].get(key)

    def scan(self, shard: int, start: bytes, stop: bytes, limit: int, *, reverse: bool = False) -> list[tuple[bytes, Entry]]:
        """As `Store.scan`."""
        return self._shards[shard].scan(start, stop, limit, reverse=reverse)

    def usage(self, shard: int, group: bytes) -> Usage:
        """As `Store.usage`."""
        return self._shards[shard].usage(group)

    async def commit(self, shard: int, change: Callable[[Overlay], T], *, fresh: Sequence[Blob] = ()) -> T:
        """As `Store.commit`."""
        noted, committed = Noted(change), False
        try:
            result = await asyncio.to_thread(self._shards[shard].commit, noted)
            committed = True
        finally:
            self.forget(noted.unowned(fresh, committed=committed))
        return result

    async def write(
        self, tenant: str, chunks: AsyncIterator[bytes], *, storage: str = "", key: bytes | None = None, hashers: Sequence[Hasher] = (),
    ) -> Blob:  # fmt: skip
        """As `Store.write`."""
        if storage and storage not in self.classes:
            raise ValueError(f"there is no storage class {storage!r}")
        content = bytearray()
        async for chunk in chunks:
            content += chunk
        data = bytes(content)
        for hasher in hashers:
            await asyncio.to_thread(hasher.update, data)
        if self.full:
            raise Unavailable("The disk of the object store is full: free room on it, or add some.")
        blob = Blob(os.urandom(16), len(data), storage or self.classes[0], foreign=key is not None)
        self._bytes[blob.id] = _Bytes(data, tenant, key, time.monotonic(), blob.storage == "plain")
        return blob

    async def read(
        self, tenant: str, blob: Blob, start: int = 0, stop: int | None = None, *, key: bytes | None = None
    ) -> AsyncIterator[bytes]:
        """As `Store.read`."""
        kept = self._bytes.get(blob.id)
        if kept is None:
            raise NotFound("The bytes are no longer there.")
        if blob.foreign and kept.key != key:
            raise Forbidden("The key is not the one that the bytes were written with.")
        if kept.damaged or (blob.storage != "plain" and not blob.foreign and kept.tenant != tenant):
            raise DriverError("The bytes are damaged.")
        stop = blob.size if stop is None else min(stop, blob.size)
        if start < 0:
            raise ValueError(f"start is {start}")
        for at in range(start, stop, MIB):
            await asyncio.sleep(0)
            yield kept.data[at : min(at + MIB, stop)]

    def shred(self, tenant: str) -> None:
        """As `Store.shred`."""
        for kept in self._bytes.values():
            kept.damaged = kept.damaged or (kept.tenant == tenant and kept.key is None and not kept.plain)

    def check(self, *, repair: bool = False, deep: bool = True, give_up: bool = False) -> Iterator[Finding | Progress]:  # noqa: ARG002
        """As `Store.check`; entries that are kept in memory can't rot."""
        owned = set[bytes]()
        for number, shard in enumerate(self._shards):
            for key, entry in shard.scan(b"", b"\xff" * 2049, 1 << 62):
                for blob in entry.blobs:
                    owned.add(blob.id)
                    kept = self._bytes.get(blob.id)
                    if kept is None:
                        yield Finding("lost", number, key, f"{blob.size} bytes are not there")
                    elif kept.damaged and deep:
                        yield Finding("rot", number, key, f"{blob.size} bytes fail their checksum")
        total = sum(len(kept.data) for kept in self._bytes.values())
        oldest = time.monotonic() - self.grace
        for name, kept in list(self._bytes.items()):
            if name not in owned and kept.written <= oldest:
                if repair:
                    self._bytes.pop(name, None)
                yield Finding("orphan", -1, b"", f"{len(kept.data)} bytes belong to no entry", mended=repair)
        yield Progress(total, total)

    def compact(self) -> Iterator[Progress]:
        """As `Store.compact`; there is nothing to give back."""
        yield Progress(0, 0)

    def damage(self, blob: Blob) -> None:
        """Make the bytes of a blob fail their checksum."""
        self._bytes[blob.id].damaged = True

    def forget(self, blobs: list[Blob]) -> None:
        """Remove bytes that lost their owner."""
        for blob in blobs:
            self._bytes.pop(blob.id, None)

    def close(self) -> None:
        """Nothing is held open."""


class _Bytes(msgspec.Struct):
    data: bytes
    tenant: str
    key: bytes | None
    written: float
    plain: bool = False
    damaged: bool = False


class _Shard:
    """A map and its keys in order, and one lock for all of it."""

    def __init__(self, store: Fake) -> None:
        self._store = store
        self._lock = threading.RLock()
        self._turn = threading.Lock()
        self._entries: dict[bytes, Entry] = {}
        self._keys: list[bytes] = []
        self._usage: dict[bytes, Usage] = {}
        self._owners: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> Entry | None:
        return self._entries.get(key)

    def scan(self, start: bytes, stop: bytes, limit: int, *, reverse: bool = False) -> list[tuple[bytes, Entry]]:
        with self._lock:
            first, last = bisect.bisect_left(self._keys, start), bisect.bisect_left(self._keys, stop)
            found = self._keys[max(first, last - limit) : last][::-1] if reverse else self._keys[first : min(last, first + limit)]
            return [(key, self._entries[key]) for key in found]

    def usage(self, group: bytes) -> Usage:
        return self._usage.get(group, Usage(0, 0))

    def commit(self, change: Callable[[Overlay], T]) -> T:
        with self._turn:
            view = Overlay(self, lambda blob: blob.place or None)
            result = change(view)
            dropped = view.settle()
            for key, entry in view.after.items():
                for blob in entry.blobs if entry is not None else ():
                    if not blob.place and self._owners.get(blob.id, key) != key:
                        raise ValueError("a blob may be named by one entry only")
            if self._store.full and view.after:
                raise Unavailable("The disk of the object store is full: free room on it, or add some.")
            with self._lock:
                self._apply(view)
            for blob in dropped:
                self._owners.pop(blob.id, None)
            self._store.forget(dropped)
            return result

    def _apply(self, view: Overlay) -> None:
        for key, entry in view.after.items():
            if entry is None:
                if self._entries.pop(key, None) is not None:
                    del self._keys[bisect.bisect_left(self._keys, key)]
                continue
            if key not in self._entries:
                bisect.insort(self._keys, key)
            blobs = tuple(msgspec.structs.replace(blob, place=key) for blob in entry.blobs)
            self._owners.update((blob.id, key) for blob in blobs)
            self._entries[key] = msgspec.structs.replace(entry, blobs=blobs) if blobs else entry
        for group, (entries, weight) in view.counts.items():
            known = self.usage(group)
            self._usage[group] = Usage(known.entries + entries, known.weight + weight)
