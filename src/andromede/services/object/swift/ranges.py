"""Range: which bytes are asked for, and bodies of several ranges. Source: RFC 9110, 14."""

import itertools
import re
import secrets
from collections.abc import AsyncIterator

from andromede.services.object.contents import Source

MOST, OVERLAPS, UNORDERED = 50, 2, 8
_RANGE = re.compile(r"\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.ASCII)
Span = tuple[int, int]


def wanted(text: str) -> list[tuple[int | None, int | None]] | None:
    """The ranges of a header, None where it is to be ignored."""
    if not text.startswith("bytes="):
        return None
    out: list[tuple[int | None, int | None]] = []
    for each in text[6:].split(","):
        found = _RANGE.fullmatch(each)
        if found is None or found[0].strip() == "-":
            return None
        first, last = (int(part) if part else None for part in found.groups())
        if first is not None and last is not None and last < first:
            return None
        out.append((first, last))
    return out


def spans(text: str, size: int) -> list[Span] | None:
    """The parts of something of a size, each to before its end; none where nothing can be given, None for the whole."""
    asked = wanted(text)
    if asked is None or (not size and any(first is None and last for first, last in asked)):
        return None
    out = []
    for first, last in asked:
        if first is None:
            if last:
                out.append((max(0, size - last), size))
        elif first < size:
            out.append((first, size if last is None else min(last + 1, size)))
    if len(asked) > 1 and (len(out) > MOST or not _sane(out)):
        return []
    return out


def _sane(parts: list[Span]) -> bool:
    """Whether nobody would be hurt by so many parts."""
    overlaps = sum(1 for index, one in enumerate(parts) for other in parts[:index] if one[0] < other[1] and other[0] < one[1])
    unordered = sum(1 for one, other in itertools.pairwise(parts) if other[0] < one[0])
    return overlaps <= OVERLAPS and unordered <= UNORDERED


class Several:
    """A body of several ranges. Its length is known before the first byte is read."""

    def __init__(self, parts: list[Span], size: int, content_type: str) -> None:
        self.boundary = secrets.token_hex(16)
        self._parts = parts
        self._heads = [
            f"--{self.boundary}\r\nContent-Type: {content_type}\r\nContent-Range: bytes {first}-{last - 1}/{size}\r\n\r\n".encode()
            for first, last in parts
        ]
        self._tail = f"--{self.boundary}--".encode()
        self.length = sum(len(head) + last - first + 2 for head, (first, last) in zip(self._heads, parts, strict=True)) + len(self._tail)

    async def body(self, source: Source) -> AsyncIterator[bytes]:
        """The bytes."""
        for head, (first, last) in zip(self._heads, self._parts, strict=True):
            yield head
            async for chunk in source(first, last):
                yield chunk
            yield b"\r\n"
        yield self._tail
