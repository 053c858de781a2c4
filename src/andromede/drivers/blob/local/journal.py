"""A shard's journal: the truth. Segments that are only ever appended to, of records, one for each transaction.

A segment begins with its shard and number, where the segment before it ends (what lies beyond that was never acknowledged), and a
mark, drawn by chance, that every head in it begins with; so that nobody's content can pass for a record.
A record is a head, the sealed bytes of small blobs, and items: a key with its entry, or with nothing for a delete. Every head and
item has a checksum, and so has all that follows a head. Records are numbered without gaps from one segment to the next.

A record that fails its checksum is either the torn end of a write that was never acknowledged, or rot. It is rot where a sound
record stands behind it that was written by a later append: since that one was made after a sync, all before it was on the disk.
"""

import os
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from andromede.core.units import MIB
from andromede.drivers.blob.local.disk import Disk, Handle
from andromede.drivers.blob.local.sums import crc64

MAGIC = b"ANDJRNL1"
DELETED = 0xFFFFFFFF
LIMIT = 1 << 30
"""How many bytes a record may have; offsets within a segment fit 32 bits."""
_MENDABLE = 16 << 10
_segment = struct.Struct("<8sIIQQ8sI")
_head = struct.Struct("<8sIIIQIQI")
_item = struct.Struct("<IHI")
HEADER, HEAD, ITEM = _segment.size, _head.size, _item.size
_Look = Callable[[int, int, int], bytes]
_NAME = re.compile(r"segment-(\d{8})")


class Start(msgspec.Struct, frozen=True):
    """The head of a segment. first: the number of its first record. ended: the size of the segment before it, 0 for none.
    mark: what heads begin with."""

    shard: int
    number: int
    first: int
    ended: int
    mark: bytes


class Item(msgspec.Struct, frozen=True, gc=False):
    """A key, where its item lies in the segment, and the entry as it is kept; None for a delete."""

    key: bytes
    offset: int
    length: int
    kept: bytes | None


class Record(msgspec.Struct, frozen=True):
    """A transaction. start, stop: where it lies. batch: where the append began that wrote it. items: those that are sound.
    sound: whether every byte of it is."""

    start: int
    stop: int
    batch: int
    sequence: int
    items: list[Item]
    sound: bool


class Rot(msgspec.Struct, frozen=True):
    """Bytes from `start` to before `stop` in which no record can be made out, though there was one."""

    start: int
    stop: int


class Torn(msgspec.Struct, frozen=True):
    """From `start` on, there is nothing that was acknowledged."""

    start: int


class Segment(Handle):
    """An open segment and its mark."""

    __slots__ = ("mark",)

    def __init__(self, path: Path, flags: int = os.O_RDONLY, mark: bytes = b"") -> None:
        super().__init__(path, flags)
        self.mark = mark


class Journal:
    """The segments in the folder of a shard."""

    def __init__(self, folder: Path, shard: int, disk: Disk) -> None:
        self.folder = folder
        self.shard = shard
        self._disk = disk
        self._open: dict[int, Segment] = {}

    def path(self, segment: int) -> Path:
        """Where a segment lies."""
        return self.folder / f"segment-{segment:08d}"

    def numbers(self) -> list[int]:
        """The segments that are there, the oldest first."""
        with os.scandir(self.folder) as found:
            return sorted(int(match[1]) for one in found if (match := _NAME.fullmatch(one.name)))

    def handle(self, segment: int) -> Segment:
        """A segment, open for reading. Raises FileNotFoundError where it was removed."""
        found = self._open.get(segment)
        if found is None:
            if len(self._open) > 128:
                self._open.clear()
            found = Segment(self.path(segment))
            head = self._disk.read(found.fd, HEADER + 8, 0)
            start = self._parse_start(segment, head)
            found.mark = head[HEADER:] if start is None else start.mark
            if start is not None or len(found.mark) == 8:
                self._open[segment] = found
        return found

    def forget(self) -> None:
        """Let go of the segments that were opened for reading."""
        self._open.clear()

    def read(self, segment: int, offset: int, length: int) -> bytes:
        """Bytes of a segment, fewer where it ends. Raises FileNotFoundError where it was removed."""
        handle = self.handle(segment)
        return self._disk.read(handle.fd, length, offset)

    def _look(self, segment: int, offset: int, length: int) -> bytes:
        """As `read`; nothing where the disk fails."""
        try:
            return self.read(segment, offset, length)
        except FileNotFoundError:
            raise
        except OSError:
            return b""

    def item(self, segment: int, offset: int, length: int, key: bytes) -> bytes | None:
        """The entry that is kept at a place, None where it is not as it was written. Raises FileNotFoundError."""
        data = self.read(segment, offset, length)
        if len(data) != length or length < ITEM + len(key) or not _is_item(data) or data[ITEM : ITEM + len(key)] != key:
            return None
        return data[ITEM + len(key) :]

    def mended(self, segment: int, offset: int, length: int, key: bytes) -> bytes | None:
        """The entry that was kept at a place where one bit has turned since; None where that is not all. The checksum of the
        item finds the bit, and that of its record proves it. Raises FileNotFoundError."""
        if length > _MENDABLE:
            return None
        for record in self.walk(segment, HEADER, self.end(segment)):
            if not isinstance(record, Record) or not record.start < offset < record.stop:
                continue
            data = bytearray(self._look(segment, record.start, record.stop - record.start))
            head = _parse_head(bytes(data[:HEAD]), self.handle(segment).mark)
            at, view = offset - record.start, memoryview(data)
            item, wanted = view[at : at + length], (key, None if head is None else head[5])
            for bit in range(length * 8):
                item[bit >> 3] ^= 1 << (bit & 7)
                if _is_item(item) and (bytes(item[ITEM : ITEM + len(key)]), crc64(view[HEAD:])) == wanted:
                    return bytes(item[ITEM + len(key) :])
                item[bit >> 3] ^= 1 << (bit & 7)
        return None

    def create(self, segment: int, first: int, ended: int) -> Segment:
        """Begin a segment, durably, in the place of a beginning of one that no record followed."""
        handle = Segment(self.path(segment), os.O_RDWR | os.O_CREAT | os.O_TRUNC, os.urandom(8))
        head = _segment.pack(MAGIC, self.shard, segment, first, ended, handle.mark, 0)[:-4]
        self._disk.write(handle.fd, head + zlib.crc32(head).to_bytes(4, "little"), 0)
        self._disk.sync(handle.fd)
        self._disk.sync_folder(self.folder)
        self._open.pop(segment, None)
        return handle

    def start(self, segment: int) -> Start | None:
        """The head of a segment; None where it is damaged. Raises FileNotFoundError."""
        return self._parse_start(segment, self.read(segment, 0, HEADER))

    def _parse_start(self, segment: int, data: bytes) -> Start | None:
        data = data[:HEADER]
        if len(data) < HEADER or zlib.crc32(data[:-4]).to_bytes(4, "little") != data[-4:]:
            return None
        magic, shard, number, first, ended, mark, _ = _segment.unpack(data)
        return Start(shard, number, first, ended, mark) if (magic, shard, number) == (MAGIC, self.shard, segment) else None

    def end(self, segment: int) -> int:
        """Where a segment ends: what the next one says of it, and its own size where that is less. Raises FileNotFoundError."""
        size = os.fstat(self.handle(segment).fd).st_size
        try:
            following = self.start(segment + 1)
        except FileNotFoundError:
            return size
        return min(size, following.ended) if following is not None and following.ended else size

    def walk(self, segment: int, offset: int, stop: int | None = None) -> Iterator[Record | Rot | Torn]:
        """The records of a segment, from a place where one begins: up to its end, which may be torn; or up to `stop`, before which
        all was acknowledged. What is not sound is given too. A disk that fails counts as rot before `stop`, and raises OSError
        otherwise: what can't be read must not be taken for torn."""
        end = self.end(segment) if stop is None else stop
        look = self.read if stop is None else self._look
        while offset < end:
            record = self._record(segment, offset, end, look)
            if record is None or not record.sound:
                behind = offset + 1 if record is None else record.stop
                following = self._following(segment, behind, end, offset if stop is None else -1, look)
                if following is None and stop is None:
                    yield Torn(offset)
                    return
                if record is None:
                    yield Rot(offset, following or end)
                    offset = following or end
                    continue
            yield record
            offset = record.stop

    def _record(self, segment: int, offset: int, end: int, look: _Look) -> Record | None:
        head = look(segment, offset, HEAD)
        found = _parse_head(head, self.handle(segment).mark) if head else None
        if found is None:
            return None
        count, payload, body, sequence, batch, total = found
        stop = offset + HEAD + payload + body
        if stop > end:
            return None
        data = look(segment, offset + HEAD, payload + body)
        sound = len(data) == payload + body and crc64(data) == total
        items = list(_items(memoryview(data)[payload:], offset + HEAD + payload, count))
        return Record(offset, stop, batch, sequence, items, sound and len(items) == count)

    def _following(self, segment: int, offset: int, end: int, beyond: int, look: _Look) -> int | None:
        """Where the next sound record begins whose append began behind `beyond`."""
        mark = self.handle(segment).mark if look(segment, 0, 1) else b""
        while len(mark) == 8 and offset < end:
            window = look(segment, offset, MIB + HEAD)
            at = window.find(mark)
            while 0 <= at < MIB:
                found = _parse_head(window[at : at + HEAD], mark)
                if found is not None and found[4] > beyond:
                    record = self._record(segment, offset + at, end, look)
                    if record is not None and record.sound:
                        return offset + at
                at = window.find(mark, at + 1)
            offset += MIB
        return None


def item_head(key: bytes, kept: bytes | None) -> bytes:
    """What stands before the key and the entry of an item."""
    rest = _item.pack(0, len(key), DELETED if kept is None else len(kept))[4:]
    total = zlib.crc32(key, zlib.crc32(rest))
    return (total if kept is None else zlib.crc32(kept, total)).to_bytes(4, "little") + rest


def record_head(mark: bytes, count: int, payload: list[bytes], items: bytes, sequence: int, batch: int) -> bytes:
    """What stands before the payload and the items of a record. Raises ValueError where they are too much for one."""
    total = lengths = 0
    for part in payload:
        total = crc64(part, total)
        lengths += len(part)
    if lengths + len(items) > LIMIT:
        raise ValueError("a transaction with more bytes than a record can have")
    head = _head.pack(mark, count, lengths, len(items), sequence, batch, crc64(items, total), 0)[:-4]
    return head + zlib.crc32(head).to_bytes(4, "little")


def _parse_head(head: bytes, mark: bytes) -> tuple[int, int, int, int, int, int] | None:
    if len(head) < HEAD or head[:8] != mark or zlib.crc32(head[:-4]).to_bytes(4, "little") != head[-4:]:
        return None
    _, count, payload, body, sequence, batch, total, _ = _head.unpack(head)
    return count, payload, body, sequence, batch, total


def _is_item(data: bytes | memoryview) -> bool:
    return zlib.crc32(data[4:]).to_bytes(4, "little") == data[:4]


def _items(body: memoryview, offset: int, count: int) -> Iterator[Item]:
    """The sound items of a body; what follows lengths that cannot be is left."""
    at = 0
    for _ in range(count):
        if at + ITEM > len(body):
            return
        _, key_length, length = _item.unpack_from(body, at)
        deleted = length == DELETED
        stop = at + ITEM + key_length + (0 if deleted else length)
        if stop > len(body):
            return
        if _is_item(body[at:stop]):
            start = at + ITEM
            kept = None if deleted else bytes(body[start + key_length : stop])
            yield Item(bytes(body[start : start + key_length]), offset + at, stop - at, kept)
        at = stop
