"""Checksums of objects beside MD5: computed as the bytes come, put together from those of parts.

Source: Amazon S3 User Guide, "Checking object integrity".
"""

import base64
import binascii
import hashlib
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from awscrt import checksums

from andromede.services.object.s3.errors import S3Error

Update = Callable[[bytes, int], int]
COMPOSITE, FULL = "COMPOSITE", "FULL_OBJECT"


class Crc:
    """A cyclic redundancy check as hashlib has its hashes."""

    __slots__ = ("_length", "_update", "value")

    def __init__(self, update: Update, length: int) -> None:
        self._update, self._length, self.value = update, length, 0

    def update(self, data: bytes) -> None:
        """Take more bytes."""
        self.value = self._update(data, self.value)

    def digest(self) -> bytes:
        """The checksum."""
        return self.value.to_bytes(self._length)


_CRCS: dict[str, tuple[Update, int, Callable[[int, int, int], int]]] = {
    "crc32": (zlib.crc32, 4, checksums.combine_crc32),
    "crc32c": (checksums.crc32c, 4, checksums.combine_crc32c),
    "crc64nvme": (checksums.crc64nvme, 8, checksums.combine_crc64nvme),
}
LENGTHS = {"crc32": 4, "crc32c": 4, "crc64nvme": 8, "sha1": 20, "sha256": 32}
PREFIX = "x-amz-checksum-"
HEADERS = {PREFIX + name: name for name in LENGTHS}


def new(name: str) -> Any:
    """Something with `update` and `digest` for an algorithm, in lower case."""
    if name in _CRCS:
        return Crc(*_CRCS[name][:2])
    return hashlib.new(name, usedforsecurity=False)


def told(name: str, value: str) -> bytes:
    """The checksum that a client sent in base64. Raises InvalidRequest."""
    try:
        digest = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != LENGTHS[name]:
        raise S3Error("InvalidRequest", f"Value for {PREFIX}{name} header is invalid.")
    return digest


def text(digest: bytes) -> str:
    """A checksum as it is sent."""
    return base64.b64encode(digest).decode()


def algorithm(name: str) -> str:
    """The algorithm of a name as S3 writes it, in lower case. Raises InvalidRequest."""
    if name.lower() not in LENGTHS:
        raise S3Error("InvalidRequest", "Checksum algorithm provided is unsupported. Please try again with any of the valid types: "
                      "[CRC32, CRC32C, CRC64NVME, SHA1, SHA256]")  # fmt: skip
    return name.lower()


def kind_for(name: str, wanted: str) -> str:
    """The kind of checksum that an upload of parts gets. Raises InvalidRequest where the algorithm has no such kind."""
    kind = wanted or (FULL if name == "crc64nvme" else COMPOSITE)
    if kind not in {COMPOSITE, FULL}:
        raise S3Error("InvalidRequest", "Value for x-amz-checksum-type header is invalid.")
    if (kind == FULL and name not in _CRCS) or (kind == COMPOSITE and name == "crc64nvme"):
        raise S3Error("InvalidRequest", f"The {kind} checksum type cannot be used with the {name} checksum algorithm.")
    return kind


def composite(name: str, digests: Sequence[str]) -> str:
    """The checksum of the checksums of parts."""
    whole = new(name)
    for digest in digests:
        whole.update(base64.b64decode(digest))
    return f"{text(whole.digest())}-{len(digests)}"


def combined(name: str, parts: Sequence[tuple[str, int]]) -> str:
    """The checksum of all the bytes, from the checksums and lengths of parts."""
    _update, length, combine = _CRCS[name]
    value = 0
    for digest, size in parts:
        value = combine(value, int.from_bytes(base64.b64decode(digest)), size)
    return text(value.to_bytes(length))
