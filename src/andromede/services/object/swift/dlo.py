"""Dynamic large objects: `X-Object-Manifest: CONTAINER/PREFIX` makes an object of all whose names begin so, in their order."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from urllib.parse import unquote

from andromede.services.object.errors import NoObject
from andromede.services.object.model import SLO, Object
from andromede.services.object.service import Found, Listed, Place
from andromede.services.object.swift import access, slo
from andromede.services.object.swift.answers import Refused
from andromede.services.object.swift.call import Call
from andromede.services.object.swift.content import Content, own

HEADER = "x-object-manifest"
FEW = 300
"""Objects of a container that are looked through on the event loop; more are elsewhere."""
MOST = 10_000
"""How many segments there are too many of."""


def wanted(call: Call) -> str:
    """The manifest that a request sets, as it is kept. Raises Refused."""
    text = call.headers.get(HEADER)
    container, slash, prefix = unquote(text).partition("/")
    if not container or not slash or not prefix or "?" in text or "&" in text or prefix.startswith("/"):
        raise Refused(400, "X-Object-Manifest must be in the format container/prefix")
    return text


async def content(call: Call, place: Place, found: Found) -> Content:
    """What a manifest leads to. Raises Refused."""
    container, _, prefix = unquote(str(found.object.target)).partition("/")
    segments = call.objects.find(place.account, container)
    if not access.may(call, segments, account=place.account, method="GET"):
        raise access.denied(call)
    if segments is None:
        raise Refused(404)
    if call.objects.usage(segments).entries > FEW:
        lines = await asyncio.to_thread(call.objects.listing, segments, prefix=prefix, limit=MOST)
    else:
        lines = call.objects.listing(segments, prefix=prefix, limit=MOST)
    digest = hashlib.md5(usedforsecurity=False)
    size = 0
    for line in lines:
        thing = _object(line)
        digest.update(thing.etag.encode())
        size += thing.size
    if len(lines) >= MOST:
        raise Refused(409, f"A dynamic large object may have {MOST - 1} segments.", plain=True)

    def source(start: int, stop: int) -> AsyncIterator[bytes]:
        return _read(call, segments, lines, start, stop)

    return Content(place, found, size, f'"{digest.hexdigest()}"', source, [], plain=False)


def _object(line: Listed) -> Object:
    return line.object or Object()


async def _read(call: Call, place: Place, lines: list[Listed], start: int, stop: int) -> AsyncIterator[bytes]:
    for line in lines:
        size = _object(line).size
        if stop <= 0:
            return
        if start < size and size:
            try:
                found = call.objects.get(place, line.name)
            except NoObject:
                raise Refused(409) from None
            if found.object.size != size:
                raise Refused(409)
            part = Content(place, found, size, "", own(call.store, place, found), [])
            if found.object.kind == SLO:
                part = await slo.content(call, place, found)
            async for chunk in part.source(max(start, 0), min(stop, size)):
                yield chunk
        start, stop = start - size, stop - size
