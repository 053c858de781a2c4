"""How room is given back: what is alive in a segment that is mostly dead is written again at the end, and the segment removed.

It is written again by ordinary transactions, so a crash at any moment leaves a segment too many and nothing else. What is alive is
what the index leads to: the items of entries, and the sealed bytes that entries name, wherever their item is. A delete is kept as
long as an older segment might hold what it deleted. A segment with rot is left to `check`, unless that one asks for it.
"""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from andromede.core.errors import DriverError
from andromede.drivers.blob import Entry, Progress
from andromede.drivers.blob.local import places
from andromede.drivers.blob.local.disk import Handle, refusal
from andromede.drivers.blob.local.entries import Reading
from andromede.drivers.blob.local.index import Position, damaged, unpack_row
from andromede.drivers.blob.local.journal import HEADER, Item, Record
from andromede.drivers.blob.local.seal import is_sound, stored_chunk
from andromede.drivers.blob.local.shard import Shard
from andromede.drivers.blob.local.writer import Job, Writer
from andromede.drivers.blob.overlay import Overlay

_MANY = 200
_PLACE = 40


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep every other upkeep away from a shard."""
    handle = Handle(folder / "upkeep", os.O_RDWR | os.O_CREAT)
    fcntl.flock(handle.fd, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(handle.fd, fcntl.LOCK_UN)


@contextlib.contextmanager
def snapshot(shard: Shard) -> Iterator[tuple[Reading, Position]]:
    """The index as it is now, whatever is written meanwhile. Raises DriverError, sqlite3.Error."""
    reading = shard.open_reading()
    try:
        reading.index.execute("begin")
        yield reading, reading.index.position()
    finally:
        reading.index.close()


def compact(shards: list[Shard]) -> Iterator[Progress]:
    """As `Store.compact`."""
    total = sum(shard.journal.path(number).stat().st_size for shard in shards for number in shard.journal.numbers())
    done = 0
    for shard in shards:
        before = sum(shard.journal.path(number).stat().st_size for number in shard.journal.numbers())
        try:
            with alone(shard.folder):
                for _ in _compact_shard(shard):
                    yield Progress(done, total)
        except OSError as error:
            raise refusal(error) from error
        except sqlite3.Error as error:
            raise damaged("its index can't be read") from error
        done += before
        yield Progress(min(done, total), total)


def _compact_shard(shard: Shard) -> Iterator[None]:
    with snapshot(shard) as (reading, position):
        sealed = [number for number in shard.journal.numbers() if number < position.segment]
        if not sealed:
            return
        live = dict.fromkeys(sealed, 0)
        for _, segment, length in references(reading):
            if segment in live:
                live[segment] += length
    sizes = {number: shard.journal.path(number).stat().st_size for number in sealed}
    victims = [number for number in sealed if live[number] * 2 < sizes[number] - HEADER or sizes[number] <= HEADER]
    if victims:
        move = Move(shard, set(victims))
        for number in victims:
            deletes = move.deletes(number)
            oldest = number == shard.journal.numbers()[0]
            if deletes is None or (not oldest and (live[number] + sum(len(key) + 16 for key in deletes)) * 2 >= sizes[number]):
                continue
            yield from move.away(number, [] if oldest else deletes)
    with move_lock(shard) as writer:
        writer.catch_up().execute("pragma wal_checkpoint(truncate)")


@contextlib.contextmanager
def move_lock(shard: Shard) -> Iterator[Writer]:
    """A writer of a shard that holds its lock."""
    writer = shard.writer()
    try:
        with writer.locked():
            yield writer
    finally:
        writer.close()


def references(reading: Reading) -> Iterator[tuple[bytes, int, int]]:
    """Each key with each segment that it needs, and how many bytes of it. What is damaged is left out."""
    for key, row in reading.index.execute("select key, row from entries order by key"):
        with contextlib.suppress(DriverError, FileNotFoundError):
            found = unpack_row(key, row)
            yield key, found.segment, found.length + _PLACE
            for blob in reading.entry(key, row).blobs:
                if (place := places.payload_of(blob)) is not None:
                    yield key, place[0], place[2]


class Move:
    """Brings what is alive in some segments to the end of the journal."""

    def __init__(self, shard: Shard, segments: set[int]) -> None:
        self._shard = shard
        self._writer = shard.writer()
        self._keys: dict[int, list[bytes]] = {number: [] for number in segments}
        with snapshot(shard) as (reading, self._position):
            for key, segment, _ in references(reading):
                if segment in self._keys and (not self._keys[segment] or self._keys[segment][-1] != key):
                    self._keys[segment].append(key)

    def deletes(self, segment: int) -> list[bytes] | None:
        """The keys that a segment deletes; None where it has rot."""
        found: dict[bytes, None] = {}
        for record in self._shard.journal.walk(segment, HEADER, self._shard.journal.end(segment)):
            if not isinstance(record, Record) or not record.sound:
                return None
            found.update((item.key, None) for item in record.items if item.kept is None)
        return None if self._shard.journal.start(segment) is None else list(found)

    def sound_deletes(self, segment: int) -> list[bytes]:
        """The keys that a segment deletes, as far as it can be read."""
        walk = self._shard.journal.walk(segment, HEADER, self._shard.journal.end(segment))
        return [item.key for record in walk if isinstance(record, Record) for item in record.items if item.kept is None]

    def away(self, segment: int, deletes: list[bytes]) -> Iterator[None]:
        """Move all that is alive and remove the segment, unless something in it is damaged. Raises OSError, CloudError."""
        kept = [False]
        for batch in _batches(self._keys[segment]):
            self._run(self._again(segment, batch, kept))
            yield
        for batch in _batches(deletes):
            self._run(_delete_again(batch))
            yield
        with self._writer.locked():
            self._writer.catch_up()
            late = list(self._since(segment))
            if late:
                self._held(self._again(segment, late, kept))
            if not kept[0]:
                self._remove(segment)

    def _run(self, change: Callable[[Overlay], object]) -> None:
        job = Job(change)
        self._writer.run([job])
        if job.error is not None:
            raise job.error

    def _held(self, change: Callable[[Overlay], object]) -> None:
        job = Job(change)
        self._writer.run_held([job])
        if job.error is not None:
            raise job.error

    def _again(self, segment: int, keys: list[bytes], kept: list[bool]) -> Callable[[Overlay], None]:
        def change(view: Overlay) -> None:
            for key in keys:
                try:
                    entry = view.get(key)
                    if entry is not None:
                        view.put(key, self._carried(entry, segment))
                except DriverError:
                    kept[0] = True

        return change

    def _carried(self, entry: Entry, segment: int) -> Entry:
        """An entry whose bytes in the segment are taken along. Raises DriverError where they are damaged."""
        blobs = []
        for blob in entry.blobs:
            place = places.payload_of(blob)
            if place is None or place[0] != segment:
                blobs.append(blob)
                continue
            stored = self._shard.journal.read(*place)
            if not is_whole(blob.id, stored, encrypted=blob.foreign or blob.storage != "plain", length=place[2]):
                raise damaged("a blob fails its checksum")
            blobs.append(msgspec.structs.replace(blob, place=places.fresh(stored)))
        return msgspec.structs.replace(entry, blobs=tuple(blobs)) if blobs else entry

    def _since(self, segment: int) -> Iterator[bytes]:
        """The keys that were given bytes of a segment since it was looked for them."""
        journal = self._shard.journal
        for number in journal.numbers():
            if number < self._position.segment:
                continue
            offset = self._position.offset if number == self._position.segment else HEADER
            for record in journal.walk(number, offset, journal.end(number)):
                for item in record.items if isinstance(record, Record) else ():
                    if segment in _segments(item):
                        yield item.key

    def _remove(self, segment: int) -> None:
        """Remove a segment; first the one before it is cut to what this one says of its end."""
        journal = self._shard.journal
        with contextlib.suppress(FileNotFoundError):
            end = journal.end(segment - 1)
            handle = Handle(journal.path(segment - 1), os.O_RDWR)
            if os.fstat(handle.fd).st_size > end:
                self._shard.disk.truncate(handle.fd, end)
                self._shard.disk.sync(handle.fd)
        journal.path(segment).unlink()
        journal.forget()
        self._shard.disk.sync_folder(journal.folder)


def is_whole(blob_id: bytes, stored: bytes, *, encrypted: bool, length: int) -> bool:
    """Whether the sealed bytes of a small blob are as they were written."""
    chunk = stored_chunk(encrypted=encrypted)
    view, count = memoryview(stored), -(-length // chunk)
    return len(stored) == length and all(
        is_sound(blob_id, number, view[number * chunk : (number + 1) * chunk], last=number == count - 1) for number in range(count)
    )


def _segments(item: Item) -> set[int]:
    if item.kept is None:
        return set()
    return {found[0] for blob in places.decode(item.kept).blobs if (found := places.kept_payload(blob)) is not None}


def _delete_again(keys: list[bytes]) -> Callable[[Overlay], None]:
    def change(view: Overlay) -> None:
        for key in keys:
            with contextlib.suppress(DriverError):
                if view.get(key) is None:
                    view.after[key] = None

    return change


def _batches(keys: list[bytes]) -> Iterator[list[bytes]]:
    for at in range(0, len(keys), _MANY):
        yield keys[at : at + _MANY]
