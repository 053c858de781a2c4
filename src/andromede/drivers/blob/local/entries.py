"""The entries of a shard, as its index and its journal have them, and as a batch that is not yet committed changes them."""

import contextlib
import sqlite3

from andromede.drivers.blob import Entry, Usage
from andromede.drivers.blob.local import places
from andromede.drivers.blob.local.index import BACKWARD, FORWARD, Index, damaged, unpack_row
from andromede.drivers.blob.local.journal import Journal


class Reading:
    """The entries of a shard through one connection."""

    def __init__(self, shard: int, index: Index, journal: Journal) -> None:
        self._shard = shard
        self.index = index
        self._item = journal.item

    def get(self, key: bytes) -> Entry | None:
        """As `Store.get`."""
        try:
            for _ in range(3):
                row = self.index.row(key)
                if row is None:
                    return None
                try:
                    return self.entry(key, row)
                except FileNotFoundError:
                    continue
        except sqlite3.Error as error:
            raise damaged("its index can't be read") from error
        raise damaged("a segment of the journal is not there")

    def scan(self, start: bytes, stop: bytes, limit: int, *, reverse: bool = False) -> list[tuple[bytes, Entry]]:
        """As `Store.scan`."""
        try:
            for _ in range(3):
                rows = self.index.execute(BACKWARD if reverse else FORWARD, (start, stop, max(0, min(limit, 1 << 62)))).fetchall()
                with contextlib.suppress(FileNotFoundError):
                    return [(key, self.entry(key, row)) for key, row in rows]
        except sqlite3.Error as error:
            raise damaged("its index can't be read") from error
        raise damaged("a segment of the journal is not there")

    def usage(self, group: bytes) -> Usage:
        """As `Store.usage`."""
        try:
            return self.index.usage(group)
        except sqlite3.Error as error:
            raise damaged("its index can't be read") from error

    def entry(self, key: bytes, row: bytes) -> Entry:
        """The entry that a row leads to. Raises `Damaged`, and FileNotFoundError where its segment was removed."""
        found = unpack_row(key, row)
        kept: bytes | None = found.kept
        if not kept:
            try:
                kept = self._item(found.segment, found.offset, found.length, key)
            except FileNotFoundError:
                raise
            except OSError as error:
                raise damaged("a disk fails") from error
            if kept is None:
                raise damaged("an entry in the journal fails its checksum")
        return places.give(kept, self._shard, key)


class Batch(Reading):
    """The entries as a batch of transactions changes them, within the index's open transaction.

    Rows are written with one statement, when somebody scans or at the end; counts at the end.
    """

    def __init__(self, shard: int, index: Index, journal: Journal) -> None:
        super().__init__(shard, index, journal)
        self._new: dict[bytes, bytes] = {}
        self._rows: dict[bytes, bytes | None] = {}
        self._totals: dict[bytes, Usage] = {}

    def get(self, key: bytes) -> Entry | None:
        """As `View.get`."""
        if key in self._new:
            return places.give(self._new[key], self._shard, key)
        if key in self._rows and self._rows[key] is None:
            return None
        return super().get(key)

    def scan(self, start: bytes, stop: bytes, limit: int, *, reverse: bool = False) -> list[tuple[bytes, Entry]]:
        """As `View.scan`."""
        self._flush()
        return super().scan(start, stop, limit, reverse=reverse)

    def entry(self, key: bytes, row: bytes) -> Entry:
        """As `Reading.entry`; what is new is not yet in the journal."""
        return places.give(self._new[key], self._shard, key) if key in self._new else super().entry(key, row)

    def usage(self, group: bytes) -> Usage:
        """As `View.usage`."""
        return self._totals.get(group) or super().usage(group)

    def grown(self, group: bytes, entries: int, weight: int) -> Usage:
        """The count of a group after it grew. Raises `Damaged`."""
        known = self.usage(group)
        return Usage(known.entries + entries, known.weight + weight)

    def take(self, kept: list[tuple[bytes, bytes | None, bytes | None]], totals: dict[bytes, Usage]) -> None:
        """Take in what a transaction changes: keys with their entries and rows, None for those that go, and counts."""
        for key, entry, row in kept:
            if entry is None:
                self._new.pop(key, None)
            else:
                self._new[key] = entry
            self._rows[key] = row
        self._totals.update(totals)

    def finish(self) -> None:
        """Write all of it to the index."""
        self._flush()
        for group, usage in self._totals.items():
            self.index.set_count(group, usage.entries, usage.weight)

    def _flush(self) -> None:
        rows = sorted(self._rows.items())
        self._rows = {}
        self.index.put([(key, row) for key, row in rows if row is not None], [(key,) for key, row in rows if row is None])
