"""How a blob's bytes lie on the disk: chunks, each encrypted and each with a checksum of its own.

A chunk holds 64 KiB of content (the last one the rest, and an empty blob is one empty chunk). With a key it is AES-256-GCM: the
nonce is the chunk's number and whether it is the last, the blob's id is authenticated too; so chunks that are cut off, swapped or
taken from another blob are refused. A data key encrypts one blob only, so that no nonce is used twice. Behind it stands the
CRC64-NVME of the blob's id, the nonce and what is on the disk: whoever looks for rot needs no key.
"""

import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from andromede.drivers.blob.local.sums import crc64

CHUNK = 64 << 10
_TAG, _SUM = 16, 8
_nonce = struct.Struct("<QI").pack
_sum = struct.Struct("<Q")
Bytes = bytes | bytearray | memoryview


class DamagedError(Exception):
    """Bytes that are not what was written."""


class WrongKeyError(DamagedError):
    """Bytes that are whole, and that this key does not open."""


class Seal:
    """Seals and opens the chunks of one blob. key: 32 bytes, None where nothing is encrypted."""

    __slots__ = ("_cipher", "_id", "chunk", "encrypted")

    def __init__(self, blob_id: bytes, key: bytes | None) -> None:
        self._id = blob_id
        self._cipher = None if key is None else AESGCM(key)
        self.encrypted = key is not None
        self.chunk = stored_chunk(encrypted=key is not None)

    def seal(self, number: int, data: Bytes, *, last: bool) -> bytes:
        """One chunk as it lies on the disk."""
        nonce = _nonce(number, last)
        stored = bytes(data) if self._cipher is None else self._cipher.encrypt(nonce, data, self._id)
        return stored + _sum.pack(crc64(stored, crc64(self._id + nonce)))

    def seal_into(self, target: memoryview, number: int, data: Bytes, *, last: bool) -> int:
        """As `seal`, into `target`; how many bytes that took."""
        nonce, size = _nonce(number, last), len(data)
        if self._cipher is None:
            target[:size] = data
        else:
            size += _TAG
            self._cipher.encrypt_into(nonce, data, self._id, target[:size])
        _sum.pack_into(target, size, crc64(target[:size], crc64(self._id + nonce)))
        return size + _SUM

    def seal_all(self, data: bytes) -> bytes:
        """A small blob, whole."""
        if len(data) <= CHUNK:
            return self.seal(0, data, last=True)
        count = -(-len(data) // CHUNK)
        return b"".join(self.seal(at, data[at * CHUNK : (at + 1) * CHUNK], last=at == count - 1) for at in range(count))

    def open(self, number: int, stored: memoryview, *, last: bool) -> bytes:
        """The content of one chunk. Raises `DamagedError`."""
        nonce = _nonce(number, last)
        if self._cipher is None:
            if not is_sound(self._id, number, stored, last=last):
                raise DamagedError
            return bytes(stored[:-_SUM])
        try:
            return self._cipher.decrypt(nonce, stored[:-_SUM], self._id)
        except (InvalidTag, ValueError) as error:
            if is_sound(self._id, number, stored, last=last):
                raise WrongKeyError from error
            raise DamagedError from error

    def open_range(self, first: int, stored: Bytes, count: int) -> list[bytes]:
        """The contents of the chunks in `stored`, which begins with number `first`, of a blob of `count` chunks."""
        view, found = memoryview(stored), []
        for at in range(0, len(view), self.chunk):
            number = first + at // self.chunk
            found.append(self.open(number, view[at : at + self.chunk], last=number == count - 1))
        return found


def stored_chunk(*, encrypted: bool) -> int:
    """How many bytes a full chunk takes on the disk."""
    return CHUNK + _SUM + (_TAG if encrypted else 0)


def chunks_of(size: int) -> int:
    """How many chunks a blob of `size` bytes has."""
    return max(1, -(-size // CHUNK))


def stored_size(size: int, *, encrypted: bool) -> int:
    """How many bytes a blob of `size` bytes takes on the disk."""
    return size + chunks_of(size) * (_SUM + (_TAG if encrypted else 0))


def is_sound(blob_id: bytes, number: int, stored: memoryview, *, last: bool) -> bool:
    """Whether a chunk is as it was written."""
    if len(stored) < _SUM:
        return False
    return stored[-_SUM:] == _sum.pack(crc64(stored[:-_SUM], crc64(blob_id + _nonce(number, last))))
