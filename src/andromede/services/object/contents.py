"""What an object gives its reader, whichever protocol asks: its own bytes, those of the segments of a manifest, or what a link leads to.

A static manifest (SLO) is kept as the object's bytes, a JSON list of segments with the ETag and size that each had; a segment that
is another one now makes the object unreadable, never silently different. A dynamic one (DLO) is made of all objects of a
container whose names begin with a prefix, in their order. Who may read what is asked of the `Reader`, for each thing that is
touched. Source: the Swift documentation, "Large objects" and "Symlink".
"""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, NoReturn, Protocol
from urllib.parse import unquote

import msgspec

from andromede.core.errors import CloudError
from andromede.drivers.blob import Blob, Store
from andromede.services.object import sealing
from andromede.services.object.errors import NoObject
from andromede.services.object.model import DLO, LINK, SLO, Object, expired, project_of
from andromede.services.object.service import Found, Listed, Objects, Place

DEPTH, LOOPS = 10, 2
"""Manifests that may be within one another, and links that may follow one another."""
FEW, MOST = 300, 10_000
"""Objects of a container that are looked through on the event loop (more are elsewhere), and how many segments are too many."""
_BREATH = 200
Segment = dict[str, Any]
Source = Callable[[int, int], AsyncIterator[bytes]]
"""Content: from a first byte to before a last one."""


class Broken(CloudError):
    """A manifest or a link leads to something that is not what it was. at: account, container and name of what is not."""

    status, kind = 409, "OperationAborted"

    def __init__(self, message: str, at: tuple[str, str, str] | None = None) -> None:
        super().__init__(message)
        self.at = at


class Dangling(NoObject):
    """A link leads to nothing. at: account, container and name."""

    def __init__(self, at: tuple[str, str, str]) -> None:
        super().__init__("The object that the link leads to does not exist.")
        self.at = at


class Sealed(CloudError):
    """The bytes are encrypted with a key that the client keeps (SSE-C), and that was not brought."""

    status, kind = 403, "AccessDenied"


class OwnReader:
    """A `Reader` that may have everything of one account, and nothing of another: whoever copies objects for their owner."""

    each = True

    def __init__(self, account: str, refusal: type[CloudError]) -> None:
        self._account, self._refusal = account, refusal

    def allow(self, account: str, place: Place | None, name: str, thing: Object | None, *, segment: bool = False) -> None:
        """Raise where something is another account's."""
        del place, name, thing, segment
        if account != self._account:
            raise self._refusal("The object leads to another account.")


class Reader(Protocol):
    """Who reads. each: they are allowed objects one by one, rather than whole containers."""

    each: bool

    def allow(self, account: str, place: Place | None, name: str, thing: Object | None, *, segment: bool = False) -> None:
        """Raise unless the caller may read an object, which may not be there; `segment`: as part of another one."""


class Whole(msgspec.Struct):
    """What a reader gets. found: whose headers it has; joined: the ETag is over those of segments, `count` of them."""

    place: Place
    found: Found
    size: int
    etag: str
    source: Source
    joined: bool = False
    count: int = 0


async def opened(objects: Objects, reader: Reader, place: Place, found: Found, key: bytes | None = None) -> Whole:
    """What an object gives; links are followed. key: what opens the object's own bytes. Raises Broken, Dangling, and what `reader` raises."""
    if found.object.kind == LINK:
        place, found = followed(objects, reader, place, found)
    if found.object.kind == SLO:
        return static(objects, reader, place, found)
    if found.object.kind == DLO:
        return await dynamic(objects, reader, place, found)
    return Whole(place, found, found.object.size, found.object.etag, bytes_of(objects, place.account, found, key))


def tag(thing: Object) -> str:
    """An object's ETag as S3 has it: what is made of N segments says so, as what was put in N parts does."""
    return f"{thing.etag}-{thing.target.get('count', 1)}" if thing.kind == SLO else thing.etag


def bytes_of(objects: Objects, account: str, found: Found, key: bytes | None = None) -> Source:
    """The bytes that an object has itself; those under a key that is named raise when they are asked for where it may not be used."""
    if "kms" in found.object.s3:
        return lambda start, stop: _unsealed(objects, account, found, start, stop)
    return own(objects.store, account, found.blobs, key)


async def _unsealed(objects: Objects, account: str, found: Found, start: int, stop: int) -> AsyncIterator[bytes]:
    key = await sealing.secret_of(objects, found.object)
    async for chunk in own(objects.store, account, found.blobs, key)(start, stop):
        yield chunk


def own(store: Store, account: str, blobs: Sequence[Blob], key: bytes | None = None) -> Source:
    """The bytes of blobs, one after another. Raises Sealed when they are asked for without their key."""
    if blobs and blobs[0].foreign and key is None:
        return _sealed
    if len(blobs) == 1:
        return lambda start, stop: store.read(account, blobs[0], start, stop, key=key)
    return lambda start, stop: _several(store, account, blobs, start, stop, key)


def _sealed(_start: int, _stop: int) -> NoReturn:
    raise Sealed("The object is encrypted with a key that its owner keeps: read it through S3, with that key.")


async def _several(store: Store, account: str, blobs: Sequence[Blob], start: int, stop: int, key: bytes | None) -> AsyncIterator[bytes]:
    for blob in blobs:
        if stop <= 0:
            return
        if start < blob.size:
            async for chunk in store.read(account, blob, max(start, 0), min(stop, blob.size), key=key):
                yield chunk
        start, stop = start - blob.size, stop - blob.size


async def whole(stream: AsyncIterator[bytes]) -> bytes:
    """All of a stream that is known to be small."""
    return b"".join([chunk async for chunk in stream])


# links
def followed(objects: Objects, reader: Reader, place: Place, found: Found, *, segment: bool = False) -> tuple[Place, Found]:
    """What a link leads to in the end. Raises Broken, Dangling."""
    loops, wanted = 0, ""
    while found.object.kind == LINK:
        target, here = found.object.target, (place.account, place.name, found.name)
        if wanted and wanted != (target.get("etag") or found.object.etag):
            raise Broken("X-Symlink-Target-Etag headers do not match", here)
        wanted = target.get("etag") or ""
        if loops >= LOOPS:
            raise Broken(f"Too many levels of symbolic links, maximum allowed is {LOOPS}")
        loops += 1
        account = project_of(target["account"]) if target["account"] else place.account
        container, _, name = target["path"].partition("/")
        next_place, next_found = _at(objects, account, container, name)
        reader.allow(account, next_place, name, next_found.object if next_found else None, segment=segment)
        if next_place is None or next_found is None:
            raise Dangling((account, container, name))
        place, found = next_place, next_found
    if wanted and wanted != found.object.etag:
        text = f"Object Etag {found.object.etag!r} does not match X-Symlink-Target-Etag header {wanted!r}"
        raise Broken(text, (place.account, place.name, found.name))
    return place, found


def _at(objects: Objects, account: str, container: str, name: str) -> tuple[Place | None, Found | None]:
    place = objects.find(account, container)
    try:
        found = objects.get(place, name) if place else None
    except NoObject:
        found = None
    return place, None if found is None or expired(found.object) else found


# static large objects
def length(segment: Segment) -> int:
    """Bytes that a segment adds to the object."""
    if "data" in segment:
        return len(data(segment))
    if segment.get("range"):
        first, last = _range(segment)
        return last - first + 1
    return int(segment["bytes"])


def data(segment: Segment) -> bytes:
    """The bytes that a segment holds itself."""
    return base64.b64decode(segment["data"])


def _range(segment: Segment) -> tuple[int, int]:
    first, _, last = str(segment["range"]).partition("-")
    return int(first), int(last)


async def segments_of(objects: Objects, place: Place, found: Found) -> list[Segment]:
    """What a manifest names."""
    raw = await whole(own(objects.store, place.account, found.blobs)(0, sum(blob.size for blob in found.blobs)))
    segments: list[Segment] = msgspec.json.decode(raw)
    return segments


def static(objects: Objects, reader: Reader, place: Place, found: Found) -> Whole:
    """The bytes that a static manifest leads to; they raise Broken where a segment is not what it was."""
    reading = _Static(objects, reader, place.account)

    def source(start: int, stop: int) -> AsyncIterator[bytes]:
        return reading.read(place, found, start, stop, 1)

    thing = found.object
    return Whole(place, found, thing.size, thing.etag, source, joined=True, count=thing.target.get("count", 1))


class _Static:
    """Reads through manifests within manifests, each of which is read once."""

    def __init__(self, objects: Objects, reader: Reader, account: str) -> None:
        self._objects, self._reader, self._account = objects, reader, account
        self._known: dict[bytes, list[Segment]] = {}

    async def read(self, place: Place, found: Found, start: int, stop: int, depth: int) -> AsyncIterator[bytes]:
        """The bytes of a manifest from `start` to before `stop`."""
        key = found.blobs[0].id
        if key not in self._known:
            if len(self._known) > 2 * DEPTH:
                self._known.clear()
            self._known[key] = await segments_of(self._objects, place, found)
        for segment in self._known[key]:
            size = length(segment)
            if stop <= 0:
                return
            if start < size:
                async for chunk in self._segment(segment, max(start, 0), min(stop, size), depth):
                    yield chunk
            start, stop = start - size, stop - size

    async def _segment(self, segment: Segment, start: int, stop: int, depth: int) -> AsyncIterator[bytes]:
        if "data" in segment:
            yield data(segment)[start:stop]
            return
        if segment.get("sub_slo") and depth >= DEPTH:
            raise Broken(f"The manifest holds more than {DEPTH} others within one another.")
        place, found = self._found(segment)
        thing, skip = found.object, _range(segment)[0] if segment.get("range") else 0
        if thing.etag != segment["hash"] or thing.size != segment["bytes"]:
            raise Broken("A segment of the object is another one now.")
        if thing.kind == SLO:
            stream = self.read(place, found, skip + start, skip + stop, depth + 1)
        else:
            stream = bytes_of(self._objects, place.account, found)(skip + start, skip + stop)
        async for chunk in stream:
            yield chunk

    def _found(self, segment: Segment) -> tuple[Place, Found]:
        container, _, name = segment["name"].removeprefix("/").partition("/")
        place, found = _at(self._objects, self._account, container, name)
        self._reader.allow(self._account, place, name, found.object if found else None, segment=True)
        try:
            if place is not None and found is not None:
                return followed(self._objects, self._reader, place, found, segment=True)
        except (Broken, Dangling) as fault:
            raise Broken("A segment of the object leads nowhere.") from fault
        raise Broken("A segment of the object is gone.")


# dynamic large objects
async def dynamic(objects: Objects, reader: Reader, place: Place, found: Found) -> Whole:
    """What a dynamic manifest leads to. Raises Broken, NoObject where its container is gone, and what `reader` raises."""
    container, _, prefix = unquote(str(found.object.target)).partition("/")
    segments = objects.find(place.account, container)
    if segments is None or not reader.each:
        reader.allow(place.account, segments, prefix, None)
    if segments is None:
        raise NoObject("The container of the segments does not exist.")
    if objects.usage(segments).entries > FEW:
        lines = await asyncio.to_thread(objects.listing, segments, prefix=prefix, limit=MOST)
    else:
        lines = objects.listing(segments, prefix=prefix, limit=MOST)
    if len(lines) >= MOST:
        raise Broken(f"A dynamic large object may have {MOST - 1} segments.")
    digest = hashlib.md5(usedforsecurity=False)
    size, sealed = 0, False
    for number, line in enumerate(lines):
        thing = _object(line)
        if reader.each:
            reader.allow(place.account, segments, line.name, thing, segment=True)
            if number % _BREATH == _BREATH - 1:
                await asyncio.sleep(0)
        digest.update(thing.etag.encode())
        size += thing.size
        sealed = sealed or "ssec" in thing.s3
    if not lines and reader.each:
        reader.allow(place.account, segments, prefix, None)

    def source(start: int, stop: int) -> AsyncIterator[bytes]:
        return _dynamic(objects, reader, segments, lines, start, stop)

    return Whole(place, found, size, digest.hexdigest(), _sealed if sealed else source, joined=True, count=max(len(lines), 1))


def _object(line: Listed) -> Object:
    return line.object or Object()


async def _dynamic(objects: Objects, reader: Reader, place: Place, lines: list[Listed], start: int, stop: int) -> AsyncIterator[bytes]:
    for line in lines:
        size = _object(line).size
        if stop <= 0:
            return
        if start < size and size:
            try:
                found = objects.get(place, line.name)
            except NoObject:
                raise Broken("A segment of the object is gone.") from None
            if found.object.size != size:
                raise Broken("A segment of the object is another one now.")
            source = bytes_of(objects, place.account, found)
            if found.object.kind == SLO:
                source = static(objects, reader, place, found).source
            async for chunk in source(max(start, 0), min(stop, size)):
                yield chunk
        start, stop = start - size, stop - size
