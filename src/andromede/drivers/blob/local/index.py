"""A shard's index: for each key what its entry is, or where in the journal it stands; in SQLite, and never the truth.

It says up to where it has applied the journal, in the same transaction as what it applied; so it may fall behind, and may be
thrown away. Every row carries a checksum over its key and itself. The name of its file has a number that all processes share
(`epoch`): an index that was built anew takes the next one, and whoever has the old one open notices at the next look.
"""

import contextlib
import mmap
import os
import sqlite3
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from andromede.core.errors import DriverError
from andromede.drivers.blob import Usage
from andromede.drivers.blob.local.disk import Disk
from andromede.drivers.blob.local.journal import HEADER

SHORT = 128
"""Entries up to this size stand in the index too; longer ones only in the journal."""
_row = struct.Struct("<IIII")
_place = struct.Struct("<III").pack
_count = struct.Struct("<Iqq")
_position = struct.Struct("<IIIQ")
_epoch = struct.Struct("<II")

_TABLES = """
create table entries (key blob primary key, row blob not null) without rowid;
create table groups (name blob primary key, row blob not null) without rowid;
create table meta (name text primary key, row blob not null) without rowid;
"""
_PUT = "insert or replace into entries values (?, ?)"
_DELETE = "delete from entries where key = ?"
FORWARD = "select key, row from entries where key >= ? and key < ? order by key limit ?"
BACKWARD = "select key, row from entries where key >= ? and key < ? order by key desc limit ?"


class Position(msgspec.Struct, frozen=True):
    """Up to where the journal is applied, and the number of the next record."""

    segment: int = 0
    offset: int = HEADER
    sequence: int = 1


class Row(msgspec.Struct, frozen=True, gc=False):
    """Where an entry stands in the journal, and the entry as it is kept where it is short."""

    segment: int
    offset: int
    length: int
    kept: bytes


_MACHINE = {
    sqlite3.SQLITE_PERM, sqlite3.SQLITE_ABORT, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_TOOBIG,
}  # fmt: skip
"""Errors of SQLite that the machine is the cause of, or whoever asks, and never what is in a file."""


class Damaged(DriverError):
    """The index is not as it was written: `check` with `repair` builds it again."""


def damaged(cause: str = "a row of the index fails its checksum") -> Damaged:
    """The one refusal of a damaged index."""
    return Damaged(f"The object store is damaged ({cause}): check it with repair.")


def is_rot(error: sqlite3.Error) -> bool:
    """Whether an error of SQLite, met with our own statements, says that the file is not what was written; else the machine is in the way.

    A bit that turns in the schema makes tables and columns unknown, which SQLite tells as an error of the statement.
    """
    return getattr(error, "sqlite_errorcode", 0) & 0xFF not in _MACHINE


def pack_row(key: bytes, segment: int, offset: int, length: int, kept: bytes) -> bytes:
    """The row of an item, which stands at a place of the journal and holds an entry."""
    rest = _place(segment, offset, length)
    if len(kept) <= SHORT:
        rest += kept
    return zlib.crc32(rest, zlib.crc32(key)).to_bytes(4, "little") + rest


def unpack_row(key: bytes, row: bytes) -> Row:
    """What a row says. Raises `Damaged`."""
    if not _is_row(key, row, _row.size):
        raise damaged()
    _, segment, offset, length = _row.unpack_from(row)
    return Row(segment, offset, length, row[_row.size :])


def _is_row(key: object, row: object, size: int) -> bool:
    """Whether a row is as it was written; damage may make either of them anything."""
    return (
        type(row) is bytes
        and type(key) is bytes
        and len(row) >= size
        and zlib.crc32(row[4:], zlib.crc32(key)).to_bytes(4, "little") == row[:4]
    )


def _text(data: bytes) -> str:
    return data.decode("latin-1")


class Index:
    """A connection to an index, for one thread at a time; the one of a writer also changes it."""

    def __init__(self, path: Path, *, writer: bool) -> None:
        self._db = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
        self._db.text_factory = _text
        self.executemany = self._db.executemany
        try:
            if writer:
                self.execute("pragma journal_mode = wal")
                self.execute("pragma wal_autocheckpoint = 1000")
                self.execute("pragma journal_size_limit = 4194304")
            self.execute("pragma synchronous = normal")
            self.execute(f"pragma cache_size = {-4096 if writer else -1024}")
        except sqlite3.Error:
            self._db.close()
            raise

    def execute(self, statement: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        """Run a statement. Raises sqlite3.Error, and nothing else where the file is damaged."""
        try:
            return self._db.execute(statement, values)
        except UnicodeDecodeError as error:
            raise sqlite3.DatabaseError("a message about damage that is no text") from error

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def row(self, key: bytes) -> bytes | None:
        """The row of a key."""
        found = self.execute("select row from entries where key = ?", (key,)).fetchone()
        return None if found is None else found[0]

    def usage(self, group: bytes) -> Usage:
        """The count of a group. Raises `Damaged`."""
        found = self.execute("select row from groups where name = ?", (group,)).fetchone()
        return Usage(0, 0) if found is None else unpack_count(group, found[0])

    def position(self) -> Position:
        """Up to where the journal is applied. Raises `Damaged`."""
        found = self.execute("select row from meta where name = 'position'").fetchone()
        if found is None or not _is_row(b"", found[0], _position.size):
            raise damaged("the position of the index fails its checksum")
        _, segment, offset, sequence = _position.unpack(found[0])
        return Position(segment, offset, sequence)

    def put(self, rows: list[tuple[bytes, bytes]], gone: list[tuple[bytes]]) -> None:
        """Put rows and remove keys, within the transaction that is open."""
        if rows:
            self.executemany(_PUT, rows)
        if gone:
            self.executemany(_DELETE, gone)

    def set_count(self, group: bytes, entries: int, weight: int) -> None:
        """Set the count of a group; one without entries is removed."""
        if entries:
            self.execute("insert or replace into groups values (?, ?)", (group, pack_count(group, entries, weight)))
        else:
            self.execute("delete from groups where name = ?", (group,))

    def set_position(self, position: Position) -> None:
        """Say up to where the journal is applied."""
        rest = _position.pack(0, position.segment, position.offset, position.sequence)[4:]
        self.execute("insert or replace into meta values ('position', ?)", (zlib.crc32(rest).to_bytes(4, "little") + rest,))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction that writes; undone where the body raises."""
        self.execute("begin immediate")
        try:
            yield
            self.execute("commit")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self.execute("rollback")
            raise


def pack_count(group: bytes, entries: int, weight: int) -> bytes:
    """The row of a group."""
    rest = _count.pack(0, entries, weight)[4:]
    return zlib.crc32(rest, zlib.crc32(group)).to_bytes(4, "little") + rest


def unpack_count(group: bytes, row: bytes) -> Usage:
    """What the row of a group says. Raises `Damaged`."""
    if not _is_row(group, row, _count.size):
        raise damaged()
    _, entries, weight = _count.unpack(row)
    return Usage(entries, weight)


def create(path: Path) -> Index:
    """Begin an empty index, in the place of what was left of one that nobody uses."""
    for ending in ("", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    index = Index(path, writer=True)
    index.execute("begin immediate")
    for table in _TABLES.strip().splitlines():
        index.execute(table)
    index.set_position(Position())
    index.execute("commit")
    return index


class Epochs:
    """The number of each shard's index, shared by all processes through one small file. A damaged one counts as none."""

    def __init__(self, path: Path, shards: int, disk: Disk) -> None:
        size = _epoch.size * shards
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(fd).st_size < size:
                os.ftruncate(fd, size)
                disk.sync(fd)
            self._map = mmap.mmap(fd, size)
        finally:
            os.close(fd)

    def get(self, shard: int) -> int:
        """The number of a shard's index; 0 where there is none."""
        number, inverse = _epoch.unpack_from(self._map, shard * _epoch.size)
        return int(number) if number ^ inverse == 0xFFFFFFFF else 0

    def set(self, shard: int, number: int) -> None:
        """Name the index that is to be used from now on."""
        _epoch.pack_into(self._map, shard * _epoch.size, number, number ^ 0xFFFFFFFF)
        self._map.flush()
