"""How transactions become durable: many at once, by whichever process has the shard's lock.

A writer takes the lock, applies what others left behind, runs the waiting changes one after another, appends the records of all
of them with one write and one sync, commits the index, and lets go. The index is committed last, so nothing is seen that is not
durable. Where the write or the sync fails the file is cut back, and a file that a sync failed on is never written again.
"""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from andromede.core.errors import CloudError, DriverError
from andromede.core.units import MIB
from andromede.drivers.blob import Blob
from andromede.drivers.blob.local import places
from andromede.drivers.blob.local.disk import Disk, Handle, refusal
from andromede.drivers.blob.local.entries import Batch
from andromede.drivers.blob.local.index import Index, Position, damaged, is_rot, pack_row, unpack_row
from andromede.drivers.blob.local.journal import HEAD, HEADER, ITEM, Journal, Record, Segment, Torn, item_head, record_head
from andromede.drivers.blob.local.marks import Marks
from andromede.drivers.blob.overlay import Overlay

_BATCH = 64 * MIB


class Job:
    """A transaction that waits. `error` or `result` tell how it went; `removed`: the blobs that lost their owner."""

    __slots__ = ("change", "error", "removed", "result")

    def __init__(self, change: Callable[[Overlay], Any]) -> None:
        self.change = change
        self.result: Any = None
        self.error: BaseException | None = None
        self.removed: list[Blob] = []


class Writer:
    """Writes one shard for one thread. opened: gives the index to use, or with True an empty one in its place."""

    def __init__(
        self, shard: int, folder: Path, journal: Journal, marks: Marks, disk: Disk, *, segment_size: int, opened: Callable[[bool], Index]
    ) -> None:
        self.shard = shard
        self.journal = journal
        self.disk = disk
        self._marks = marks
        self._watched = False
        self._segment_size = segment_size
        self._opened = opened
        self._lock = Handle(folder / "lock", os.O_RDWR | os.O_CREAT)
        self._file: Segment | None = None
        self._at = Position()
        self._bad: Position | None = None
        self._index: Index | None = None
        self._prefix = f"{folder}/segment-"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the shard, against every other process and thread."""
        fcntl.flock(self._lock.fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock.fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the index."""
        if self._index is not None:
            self._index.close()
            self._index = None

    def run(self, jobs: list[Job]) -> int:
        """Run as many of the jobs as go into one append, at least one; how many. Every one of those has an error or is durable."""
        try:
            with self.locked():
                return self.run_held(jobs)
        except (OSError, sqlite3.Error, CloudError) as error:
            for job in jobs:
                job.error = job.error or told(error)
            return len(jobs)

    def catch_up(self) -> Index:
        """Apply what the index lacks, and cut off what is torn; the lock must be held. Raises OSError, sqlite3.Error, DriverError."""
        try:
            index = self._opened(False)
            if index is self._index and self._bad is None and self._untouched():
                return index
            at = index.position()
        except (sqlite3.DatabaseError, DriverError) as error:
            if isinstance(error, sqlite3.Error) and not is_rot(error):
                raise
            index = self._opened(True)
            at = index.position()
        if self._bad is not None:
            if self._bad == at:
                self._roll(at)
            self._bad = None
        if self._file is None or at.segment != self._at.segment:
            self._file = None
            if at.segment:
                with contextlib.suppress(FileNotFoundError):
                    self._file = self._open(at.segment)
        self._at = at
        self._index = None
        if not self._untouched():
            self._at = self._replay(index, at)
        if self._marks.get(self.shard) & 1:
            self._marks.end(self.shard)
        self._index = index
        return index

    def _untouched(self) -> bool:
        """Whether nobody wrote since this writer did; whoever writes makes the segment longer, or begins the next one."""
        if self._file is None or os.fstat(self._file.fd).st_size != self._at.offset:
            return False
        return not os.access(f"{self._prefix}{self._at.segment + 1:08d}", os.F_OK)

    def seal(self) -> None:
        """Begin a new segment, so that nothing is written to the present one any more; the lock must be held."""
        index = self.catch_up()
        self._roll(self._at)
        with index.transaction():
            index.set_position(self._at)

    def _open(self, segment: int) -> Segment:
        return Segment(self.journal.path(segment), os.O_RDWR, self.journal.handle(segment).mark)

    def _replay(self, index: Index, at: Position) -> Position:
        """Apply the journal from a position on; the one where it ends. What is torn is cut off there."""
        numbers = [number for number in self.journal.numbers() if number >= at.segment]
        last: int | None = None
        for number in numbers:
            try:
                start = self.journal.start(number)
            except FileNotFoundError:
                continue
            if start is None and number == numbers[-1] and self.journal.path(number).stat().st_size <= HEADER:
                continue
            if number != at.segment:
                at = Position(number, HEADER, max(at.sequence, start.first if start is not None else 0))
            last = number
            at = self._replay_segment(index, at)
        if last is None:
            first = max([at.segment, *numbers]) + (1 if at.segment else 0) or 1
            self._file = self.journal.create(first, at.sequence, 0)
            return Position(first, HEADER, at.sequence)
        self._file = self._open(last)
        size = os.fstat(self._file.fd).st_size
        if size > at.offset:
            self.disk.truncate(self._file.fd, at.offset)
            self.disk.sync(self._file.fd)
        elif size < at.offset:
            self._roll(Position(at.segment, size, at.sequence))
            return self._at
        return at

    def _replay_segment(self, index: Index, at: Position) -> Position:
        sequence, offset = at.sequence, at.offset
        self.disk.sync(self.journal.handle(at.segment).fd)
        walk = self.journal.walk(at.segment, offset)
        while True:
            with index.transaction():
                for number, record in enumerate(walk):
                    if isinstance(record, Torn):
                        break
                    offset = record.stop
                    if isinstance(record, Record):
                        if record.sequence < sequence:
                            continue
                        sequence = record.sequence + 1
                        self.apply(index, at.segment, record)
                    if number > 1000:
                        break
                else:
                    record = None
                index.set_position(Position(at.segment, offset, sequence))
            if record is None or isinstance(record, Torn):
                return Position(at.segment, offset, sequence)

    def apply(self, index: Index, segment: int, record: Record) -> None:
        """Bring a record of the journal into an index."""
        for item in record.items:
            counts: dict[bytes, list[int]] = {}
            row = index.row(item.key)
            if row is not None:
                old = unpack_row(item.key, row)
                kept = old.kept or self._item(old.segment, old.offset, old.length, item.key)
                _count(counts, kept, -1)
            if item.kept is None:
                index.put([], [(item.key,)])
            else:
                _count(counts, item.kept, 1)
                index.put([(item.key, pack_row(item.key, segment, item.offset, item.length, item.kept))], [])
            for group, (entries, weight) in counts.items():
                known = index.usage(group)
                index.set_count(group, known.entries + entries, known.weight + weight)

    def _item(self, segment: int, offset: int, length: int, key: bytes) -> bytes | None:
        try:
            return self.journal.item(segment, offset, length, key)
        except FileNotFoundError:
            return None

    def run_held(self, jobs: list[Job]) -> int:
        """As `run`, by whoever holds the lock; raises OSError, sqlite3.Error, DriverError where all of it failed."""
        index = self.catch_up()
        if self._at.offset >= self._segment_size:
            self._roll(self._at)
        assert self._file is not None
        start, at = self._at, self._at
        reading = Batch(self.shard, index, self.journal)
        parts: list[bytes] = []
        done = 0
        appended = False
        try:
            with index.transaction():
                for job in jobs:
                    done += 1
                    try:
                        at = self._one(job, reading, start, at, parts)
                    except sqlite3.Error:
                        raise
                    except BaseException as error:  # noqa: BLE001 - what a change raises is its caller's, and must not end the others
                        job.error = error
                    if at.offset - start.offset > _BATCH:
                        break
                if at is not start:
                    reading.finish()
                    index.set_position(at)
                    if self._watched:
                        self._marks.begin(self.shard)
                    self._append(b"".join(parts), start)
                    appended = True
        except sqlite3.Error:
            if appended:
                self._take_back(start, trusted=True)
            raise
        finally:
            if self._watched:
                self._marks.end(self.shard)
                self._watched = False
        self._at = at
        return done

    def _append(self, data: bytes, start: Position) -> None:
        """Bring bytes to the disk. Where that fails nothing of them is left, and the next write goes elsewhere if need be."""
        assert self._file is not None
        trusted = True
        try:
            self.disk.write(self._file.fd, data, start.offset)
            trusted = False
            self.disk.sync(self._file.fd)
        except OSError:
            self._take_back(start, trusted=trusted)
            raise

    def _take_back(self, start: Position, *, trusted: bool) -> None:
        """Cut the file back to where a batch began. trusted: what is written to it can be believed to reach the disk."""
        assert self._file is not None
        try:
            self.disk.truncate(self._file.fd, start.offset)
            self.disk.sync(self._file.fd)
        except OSError:
            trusted = False
        if not trusted:
            try:
                self._roll(start)
            except OSError:
                self._bad = start

    def _roll(self, at: Position) -> None:
        """Begin the next segment, and say in it where this one ends."""
        self._file = self.journal.create(at.segment + 1, at.sequence, at.offset)
        self._at = Position(at.segment + 1, HEADER, at.sequence)

    def _one(self, job: Job, reading: Batch, start: Position, at: Position, parts: list[bytes]) -> Position:
        """Run one change and bring it into the index's open transaction; where the next record begins."""
        assert self._file is not None
        view = Overlay(reading, places.owner_of)
        result = job.change(view)
        removed = view.settle()
        if view.after:
            payload: list[bytes] = []
            kept: list[tuple[bytes, bytes | None]] = []
            offset = at.offset + HEAD
            watched = self._marks.watched
            for key, entry in view.after.items():
                self._watched |= key[:2] in watched
                before = len(payload)
                kept.append((key, None if entry is None else places.keep(entry, self.shard, at.segment, offset, payload)))
                offset += sum(map(len, payload[before:]))
            body: list[bytes] = []
            changes: list[tuple[bytes, bytes | None, bytes | None]] = []
            for key, what in kept:
                length = ITEM + len(key) + (0 if what is None else len(what))
                body += (item_head(key, what), key)
                row = None
                if what is not None:
                    body.append(what)
                    row = pack_row(key, at.segment, offset, length, what)
                changes.append((key, what, row))
                offset += length
            items = b"".join(body)
            head = record_head(self._file.mark, len(kept), payload, items, at.sequence, start.offset)
            totals = {group: reading.grown(group, *count) for group, count in view.counts.items()}
            reading.take(changes, totals)
            parts += (head, *payload, items)
            at = Position(at.segment, offset, at.sequence + 1)
        job.result, job.removed = result, removed
        return at


def _count(counts: dict[bytes, list[int]], kept: bytes | None, sign: int) -> None:
    if kept is None:
        return
    entry = places.decode(kept)
    if entry.group:
        count = counts.setdefault(entry.group, [0, 0])
        count[0] += sign
        count[1] += sign * entry.weight


def told(error: Exception) -> CloudError:
    """What a caller is told of a failure below."""
    if isinstance(error, CloudError):
        return error
    if isinstance(error, sqlite3.Error) and is_rot(error):
        found: CloudError = damaged("its index can't be written")
    else:
        found = refusal(error)
    found.__cause__ = error
    return found

