"""An answer with the bytes of an object, or with those of them that `Range` asks for."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import msgspec

from andromede.drivers.blob import Blob
from andromede.http.plain import Reply
from andromede.services.object.contents import Source, bytes_of, whole
from andromede.services.object.model import Object
from andromede.services.object.service import Found, Objects, Place
from andromede.services.object.swift import ranges
from andromede.services.object.swift.answers import Pairs


class Content(msgspec.Struct):
    """What a GET gives. etag: as the answer has it; size None: not known, so no ranges; extra: headers beside the object's;
    plain: the ETag is over the bytes; content_type: where it is not the object's."""

    place: Place
    found: Found
    size: int
    etag: str
    source: Source
    extra: Pairs
    plain: bool = True
    content_type: str = ""

    @property
    def object(self) -> Object:
        """The object whose headers are answered."""
        return self.found.object


async def begun(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A stream whose first piece is there already. Raises whatever makes the first piece fail."""
    try:
        first = await anext(stream)
    except StopAsyncIteration:
        first = b""

    async def rest() -> AsyncIterator[bytes]:
        async with aclosing(stream):  # type: ignore[type-var]
            yield first
            async for chunk in stream:
                yield chunk

    return rest()


async def body(method: str, headers: Pairs, content: Content, wanted: str, inline: int) -> Reply:
    """The answer with all bytes, or with those of `Range`."""
    size = content.size
    headers.append(("Accept-Ranges", "bytes"))
    parts = ranges.spans(wanted, size) if wanted else None
    if parts is None:
        return await _one(200, method, headers, content.source, 0, size, inline)
    if not parts:
        from andromede.services.object.swift.answers import page

        kept = [pair for pair in headers if pair[0] != "Content-Type"]
        return Reply(416, [("Content-Type", "text/html; charset=UTF-8"), *kept, ("Content-Range", f"bytes */{size}")], page(416))
    if len(parts) == 1:
        start, stop = parts[0]
        headers.append(("Content-Range", f"bytes {start}-{stop - 1}/{size}"))
        return await _one(206, method, headers, content.source, start, stop, inline)
    several = ranges.Several(parts, size, content.content_type or content.object.content_type)
    headers = [pair for pair in headers if pair[0] != "Content-Type"]
    headers += [("Content-Type", f"multipart/byteranges;boundary={several.boundary}"), ("Content-Length", str(several.length))]
    return Reply(206, headers, stream=await begun(several.body(content.source)))


async def _one(status: int, method: str, headers: Pairs, source: Source, start: int, stop: int, inline: int) -> Reply:
    headers.append(("Content-Length", str(stop - start)))
    if method == "HEAD" or stop <= start:
        return Reply(status, headers)
    if stop - start <= inline:
        return Reply(status, headers, await whole(source(start, stop)))
    return Reply(status, headers, stream=await begun(source(start, stop)))


async def duplicate(objects: Objects, place: Place, found: Found, account: str, storage: str) -> Blob:
    """The bytes of an object once more, owned by nothing."""
    size = sum(blob.size for blob in found.blobs)
    return await objects.store.write(account, bytes_of(objects, place.account, found)(0, size), storage=storage)
