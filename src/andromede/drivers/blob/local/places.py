"""Where a blob's bytes are, as `Blob.place` says it. Nobody else looks into it.

Just written: `F`, they are a file; or `D` and the bytes themselves, sealed, on their way into a record. As an entry is kept:
nothing, they are a file; or the segment, offset and length of a payload. As an entry is given out: `O`, its shard, what was
kept, and its key; so that they can be looked up again where they have moved, and can have no second owner.
"""

import struct

import msgspec

from andromede.drivers.blob import Blob, Entry

FILE = b"F"
_payload = struct.Struct("<III")
_owned = struct.Struct("<cHB")
_encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Entry).decode


def owner_of(blob: Blob) -> bytes | None:
    """The key of the entry that a blob was read with; None for one that was just written."""
    place = blob.place
    if place[:1] != b"O":
        return None
    return place[_owned.size + place[3] :]


def shard_of(blob: Blob) -> int | None:
    """The shard of the entry that a blob was read with."""
    return _owned.unpack_from(blob.place)[1] if blob.place[:1] == b"O" else None


def payload_of(blob: Blob) -> tuple[int, int, int] | None:
    """Segment, offset and length of a blob that lies in a record; None for a file."""
    place = blob.place
    if place[:1] != b"O" or not place[3]:
        return None
    return _payload.unpack_from(place, _owned.size)


def kept_payload(blob: Blob) -> tuple[int, int, int] | None:
    """As `payload_of`, for an entry as it is kept."""
    return _payload.unpack(blob.place) if blob.place else None


def fresh(payload: bytes) -> bytes:
    """The place of a small blob that was just sealed."""
    return b"D" + payload


def sealed(blob: Blob) -> bytes | None:
    """The bytes of a small blob that was just sealed."""
    return blob.place[1:] if blob.place[:1] == b"D" else None


def keep(entry: Entry, shard: int, segment: int, offset: int, payloads: list[bytes]) -> bytes:
    """An entry as it is kept. What is just sealed is added to `payloads`, and will lie at `offset` of `segment`."""
    if not entry.blobs:
        return _encode(entry)
    blobs = []
    for blob in entry.blobs:
        place, kind = blob.place, blob.place[:1]
        if kind == b"D":
            payloads.append(place[1:])
            stored = _payload.pack(segment, offset, len(place) - 1)
            offset += len(place) - 1
        elif kind == b"O":
            if _owned.unpack_from(place)[1] != shard:
                raise ValueError("a blob can't move to another shard")
            stored = place[_owned.size : _owned.size + place[3]]
        elif kind == b"F":
            stored = b""
        else:
            raise ValueError("a blob that this store did not write")
        blobs.append(Blob(blob.id, blob.size, blob.storage, stored, blob.foreign))
    return _encode(Entry(entry.value, tuple(blobs), entry.group, entry.weight))


def give(kept: bytes, shard: int, key: bytes) -> Entry:
    """An entry as it is given out."""
    entry = decode(kept)
    if not entry.blobs:
        return entry
    return Entry(
        entry.value,
        tuple(
            Blob(blob.id, blob.size, blob.storage, _owned.pack(b"O", shard, len(blob.place)) + blob.place + key, blob.foreign)
            for blob in entry.blobs
        ),
        entry.group,
        entry.weight,
    )
