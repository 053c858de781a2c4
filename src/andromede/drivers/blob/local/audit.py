"""The comparison of a shard's index with its journal: what the journal alone says is worked out again, beside the index."""

import sqlite3
from collections.abc import Iterable, Iterator

from andromede.core.errors import DriverError
from andromede.core.units import MIB
from andromede.drivers.blob import Finding
from andromede.drivers.blob.local.compact import snapshot
from andromede.drivers.blob.local.entries import Reading
from andromede.drivers.blob.local.index import Position, damaged, pack_row, unpack_count, unpack_row
from andromede.drivers.blob.local.journal import HEADER, Record, Rot
from andromede.drivers.blob.local.shard import Shard

_Pair = tuple[bytes, bytes]


class Audit:
    """findings: what it found. broken: the index can't be believed. rotten: the segments that have bytes that fail their checksum.

    unproven: keys whose entries the index has and the journal can't tell. extra: keys that are deleted, and whose delete the
    journal can't tell.
    """

    def __init__(self, shard: Shard, *, deep: bool) -> None:
        self._shard = shard
        self._deep = deep
        self.findings: list[Finding] = []
        self.broken = False
        self.rotten: set[int] = set()
        self.unproven: list[bytes] = []
        self.extra: list[bytes] = []

    def steps(self) -> Iterator[int]:
        """Compare; now and then how many bytes were read."""
        position: Position | None = None
        try:
            with snapshot(self._shard) as (reading, position):
                problem = reading.index.execute(f"pragma {'integrity_check' if self._deep else 'quick_check'}(1)").fetchone()[0]
                if problem != "ok":
                    self._break(str(problem))
                if self._deep:
                    yield from self._compare(reading, position)
        except (DriverError, sqlite3.Error) as error:
            self._break(str(error))
            if self._deep and position is None:
                for _ in self._journal(None, None):
                    pass

    def _found(self, kind: str, key: bytes, text: str) -> None:
        self.findings.append(Finding(kind, self._shard.number, key, text))

    def _break(self, text: str) -> None:
        self.broken = True
        self._found("index", b"", f"the index is damaged: {text}")

    def _compare(self, reading: Reading, position: Position) -> Iterator[int]:
        scratch = sqlite3.connect("", isolation_level=None)
        try:
            scratch.execute("pragma synchronous = off")
            scratch.execute("create table entries (key blob primary key, row blob not null) without rowid")
            scratch.execute("begin")
            yield from self._journal(position, scratch)
            query = "select key, row from entries order by key"
            counts: dict[bytes, list[int]] = {}
            for key, ours, theirs in _side_by_side(_typed(reading.index.execute(query)), iter(scratch.execute(query))):
                if ours is not None:
                    self._row(reading, key, ours, counts)
                if ours != theirs:
                    self._differs(key, ours, theirs)
            self._counts(reading, counts)
        finally:
            scratch.close()

    def _row(self, reading: Reading, key: bytes, row: bytes, counts: dict[bytes, list[int]]) -> None:
        try:
            entry = reading.entry(key, row)
        except (DriverError, FileNotFoundError):
            return
        if entry.group:
            count = counts.setdefault(entry.group, [0, 0])
            count[0] += 1
            count[1] += entry.weight

    def _differs(self, key: bytes, ours: bytes | None, theirs: bytes | None) -> None:
        if ours is None:
            if self.rotten and not self.broken:
                self.extra.append(key)
            else:
                self._found("index", key, "it is missing in the index")
            return
        try:
            unpack_row(key, ours)
        except DriverError as error:
            self.broken = True
            self._found("index", key, error.message)
            return
        if self.rotten and not self.broken:
            self.unproven.append(key)
        else:
            self._found("index", key, "it is not in the journal" if theirs is None else "the journal has another entry")

    def _counts(self, reading: Reading, counts: dict[bytes, list[int]]) -> None:
        known = {}
        for group, row in reading.index.execute("select name, row from groups"):
            try:
                usage = unpack_count(group, row)
            except DriverError as error:
                self._break(error.message)
                return
            known[group] = [usage.entries, usage.weight]
        if not self.rotten and known != counts:
            self._break("the counts of groups are wrong")

    def _journal(self, position: Position | None, scratch: sqlite3.Connection | None) -> Iterator[int]:
        """Walk through the journal up to a position, and write into a scratch index what it says."""
        journal, done, told = self._shard.journal, 0, 0
        for number in journal.numbers():
            if position is not None and number > position.segment:
                break
            try:
                if journal.start(number) is None:
                    self._rot(number, "its head fails its checksum")
                size = journal.end(number)
            except FileNotFoundError:
                raise
            except OSError as error:
                self._rot(number, f"it can't be read: {error.strerror}")
                continue
            last = position is not None and number == position.segment
            stop = position.offset if position is not None and last else size
            if stop > size:
                self._found("lost", b"", f"segment {number} ends at {size}, and had {stop} bytes")
                stop = size
            for record in journal.walk(number, HEADER, stop):
                done += record.stop - record.start if isinstance(record, Record | Rot) else 0
                if not isinstance(record, Record) or not record.sound:
                    end = record.stop if isinstance(record, Record | Rot) else stop
                    self._rot(number, f"the bytes from {record.start} to {end} fail their checksum")
                if isinstance(record, Record) and scratch is not None:
                    _replay(scratch, number, record)
                if done - told >= MIB:
                    told = done
                    yield done
        yield done

    def _rot(self, segment: int, text: str) -> None:
        self.rotten.add(segment)
        self._found("rot", b"", f"segment {segment}: {text}")


def _replay(scratch: sqlite3.Connection, segment: int, record: Record) -> None:
    for item in record.items:
        if item.kept is None:
            scratch.execute("delete from entries where key = ?", (item.key,))
        else:
            row = pack_row(item.key, segment, item.offset, item.length, item.kept)
            scratch.execute("insert or replace into entries values (?, ?)", (item.key, row))


def _typed(rows: Iterable[_Pair]) -> Iterator[_Pair]:
    """Rows whose keys are bytes, as damage may make them anything. Raises `Damaged`."""
    for key, row in rows:
        if type(key) is not bytes:
            raise damaged()
        yield key, row


def _side_by_side(ours: Iterator[_Pair], theirs: Iterator[_Pair]) -> Iterator[tuple[bytes, bytes | None, bytes | None]]:
    """Two ordered lists as one: a key with what each has for it."""
    one, two = next(ours, None), next(theirs, None)
    while one is not None or two is not None:
        if two is None or (one is not None and one[0] < two[0]):
            assert one is not None
            yield one[0], one[1], None
            one = next(ours, None)
        elif one is None or two[0] < one[0]:
            yield two[0], None, two[1]
            two = next(theirs, None)
        else:
            yield one[0], one[1], two[1]
            one, two = next(ours, None), next(theirs, None)
