"""Archives as they come in, file by file, without ever holding more than a piece: tar, plain or compressed.

What a tenant sends may be made to hurt: only plain files are taken (no link, no device, no sparse file), names are only ever
names of objects, headers that describe files are small, and what unpacks to far more than was sent is refused.
"""

import bz2
import mimetypes
import re
import tarfile
import zlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from andromede.services.object.swift.metadata import sendable

PIECE = 64 << 10
RATIO, FLOOR = 200, 256 << 20
"""How many times what was sent it may unpack to, and from how many bytes on that is looked at."""
MOST_HEADER = 1 << 20
ENTRIES = 1_000_000


class Bad(Exception):
    """It is no archive, or one that is not taken."""


class Stream:
    """Unpacked bytes, as many at a time as one wants."""

    def __init__(self, body: AsyncIterator[bytes], form: str) -> None:
        self._body = body
        self._unpacker: Any = {"gz": lambda: zlib.decompressobj(31), "bz2": bz2.BZ2Decompressor}.get(form, lambda: None)()
        self._gz = form == "gz"
        self._buffer = bytearray()
        self._pending = b""
        self._sent = self._made = 0
        self._ended = False

    async def _more(self) -> bool:
        """Take some more; whether there was any."""
        if self._unpacker is None:
            chunk = await anext(self._body, b"")
            self._buffer += chunk
            return bool(chunk)
        if self._ended:
            return False
        if not self._pending and (self._gz or self._unpacker.needs_input):
            self._pending = await anext(self._body, b"")
            self._sent += len(self._pending)
            if not self._pending:
                raise Bad("unexpected end of data")
        try:
            made = self._unpacker.decompress(self._pending, PIECE)
        except (zlib.error, OSError, ValueError, EOFError):
            raise Bad("not compressed as it says") from None
        self._pending = self._unpacker.unconsumed_tail if self._gz else b""
        self._ended = self._unpacker.eof
        self._made += len(made)
        if self._made > FLOOR and self._made > RATIO * self._sent:
            raise Bad("it unpacks to too much")
        self._buffer += made
        return True

    async def take(self, size: int) -> bytes:
        """That many bytes, fewer only at the end."""
        while len(self._buffer) < size and await self._more():
            pass
        out = bytes(self._buffer[:size])
        del self._buffer[:size]
        return out

    async def pieces(self, size: int) -> AsyncIterator[bytes]:
        """That many bytes, in pieces. Raises Bad where there are fewer."""
        while size:
            piece = await self.take(min(size, PIECE))
            if not piece:
                raise Bad("unexpected end of data")
            size -= len(piece)
            yield piece

    async def skip(self, size: int) -> None:
        """Pass over bytes."""
        async for _piece in self.pieces(size):
            pass


class File(msgspec.Struct):
    """A file of an archive. content_type: empty where the archive names none."""

    name: str
    size: int
    content_type: str
    metadata: dict[str, str]
    stream: Stream
    left: int = 0

    async def pieces(self) -> AsyncIterator[bytes]:
        """Its bytes."""
        async for piece in self.stream.pieces(self.size):
            self.left -= len(piece)
            yield piece


async def files(stream: Stream) -> AsyncIterator[File]:
    """The plain files of an archive; what is not read of one is passed over. Raises Bad."""
    extended: dict[str, str] = {}
    name = ""
    for number in range(ENTRIES):
        block = await stream.take(512)
        if not block:
            if not number:
                raise Bad("empty file")
            return
        if len(block) == 512 and not block.strip(b"\0"):
            return
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as fault:
            raise Bad(str(fault)) from None
        if info.size < 0:
            raise Bad("invalid header")
        if info.type in {b"x", b"g", b"L", b"K", b"X"}:
            if info.size > MOST_HEADER:
                raise Bad("a header is too large")
            data = b"".join([piece async for piece in stream.pieces(info.size)])
            await stream.skip(-info.size % 512)
            if info.type == b"L":
                name = data.rstrip(b"\0").decode("utf-8", "surrogateescape")
            elif info.type in {b"x", b"X"}:
                extended = _extended(data)
            continue
        size = int(extended.get("size", info.size)) if extended.get("size", "0").isdigit() else info.size
        if info.type in {b"0", b"\0", b"7"} and not info.name.endswith("/") and "GNU.sparse.major" not in extended:
            path = extended.get("path") or name or info.name
            file = File(_plain(path), size, _type(extended), _metadata(extended), stream, size)
            yield file
            await stream.skip(file.left)
        else:
            if info.type == b"S":
                raise Bad("sparse files are not taken")
            await stream.skip(size)
        await stream.skip(-size % 512)
        extended, name = {}, ""
    raise Bad("too many entries")


def _plain(name: str) -> str:
    return name.removeprefix("./").lstrip("/")


def _extended(data: bytes) -> dict[str, str]:
    """The records of a pax header. Source: POSIX, pax."""
    out = {}
    at = 0
    while at < len(data):
        head, blank, _ = data[at : at + 20].partition(b" ")
        if not blank or not head.isdigit() or not (len(head) + 1 < int(head) <= len(data) - at):
            raise Bad("invalid header")
        key, equals, value = data[at + len(head) + 1 : at + int(head) - 1].partition(b"=")
        if not equals:
            raise Bad("invalid header")
        out[key.decode("utf-8", "surrogateescape")] = value.decode("utf-8", "surrogateescape")
        at += int(head)
    return out


_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,128}")
_MARKS = ("SCHILY.xattr.user.", "LIBARCHIVE.xattr.user.")


def _type(extended: dict[str, str]) -> str:
    found = next((extended[mark + "mime_type"] for mark in _MARKS if mark + "mime_type" in extended), "")
    if not sendable(found):
        raise Bad("a content type that cannot be kept")
    return found


def _metadata(extended: dict[str, str]) -> dict[str, str]:
    out = {}
    for key, value in extended.items():
        for mark in _MARKS:
            if key.startswith(mark + "meta.") and value:
                name = key[len(mark) + 5 :].lower()
                if not _NAME.fullmatch(name) or not sendable(value) or len(value.encode()) > 256:
                    raise Bad("metadata that cannot be kept")
                out["meta-" + name] = value
    if len(out) > 90:
        raise Bad("too many metadata")
    return out


def guessed(name: str) -> str:
    """The content type that a name suggests."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
