"""Static large objects: a manifest that names segments, each with the ETag and size it had, is answered as one object.

The manifest is kept as the object's bytes, in the form that `?multipart-manifest=get` answers. What it says is checked when it
is put, and again with every read: a segment that is another one now makes the object unreadable, never silently different.
"""

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from andromede.services.object.errors import NoObject
from andromede.services.object.model import LINK, SLO
from andromede.services.object.service import Found, Place
from andromede.services.object.swift import access
from andromede.services.object.swift.answers import Pairs, Refused
from andromede.services.object.swift.call import Call
from andromede.services.object.swift.content import Content, own, whole

DEPTH = 10
"""Manifests that may be within one another."""
Segment = dict[str, Any]


def length(segment: Segment) -> int:
    """Bytes that a segment adds to the object."""
    if "data" in segment:
        return len(base64.b64decode(segment["data"]))
    if segment.get("range"):
        first, last = _range(segment)
        return last - first + 1
    return int(segment["bytes"])


def etag(segments: list[Segment]) -> str:
    """The ETag of the object that segments make."""
    digest = hashlib.md5(usedforsecurity=False)
    for segment in segments:
        if "data" in segment:
            text = hashlib.md5(base64.b64decode(segment["data"]), usedforsecurity=False).hexdigest()
        else:
            text = f"{segment['hash']}:{segment['range']};" if segment.get("range") else segment["hash"]
        digest.update(text.encode())
    return digest.hexdigest()


async def segments_of(call: Call, place: Place, found: Found) -> list[Segment]:
    """What a manifest names."""
    raw = await whole(own(call.store, place, found)(0, sum(blob.size for blob in found.blobs)))
    segments: list[Segment] = msgspec.json.decode(raw)
    return segments


async def manifest(call: Call, place: Place, found: Found) -> Content:
    """The manifest itself, as it is kept or (`format=raw`) as it could be put again."""
    thing, size = found.object, sum(blob.size for blob in found.blobs)
    tag = thing.target["etag"]
    if call.query.get("format") == "raw":
        raw = json.dumps([_raw(segment) for segment in await segments_of(call, place, found)], sort_keys=True).encode()
        tag, size = hashlib.md5(raw, usedforsecurity=False).hexdigest(), len(raw)

        async def pieces(start: int, stop: int) -> AsyncIterator[bytes]:
            yield raw[start:stop]

        return Content(place, found, size, tag, pieces, [])
    return Content(place, found, size, tag, own(call.store, place, found), [], content_type="application/json; charset=utf-8")


def _raw(segment: Segment) -> Segment:
    if "data" in segment:
        return segment
    out = {"etag": segment["hash"], "path": segment["name"], "size_bytes": segment["bytes"]}
    return {**out, "range": segment["range"]} if segment.get("range") else out


async def content(call: Call, place: Place, found: Found) -> Content:
    """The bytes that a manifest leads to. Raises Refused: 409 where a segment is not what it was."""
    thing = found.object
    reader = _Reader(call, place.account)

    def source(start: int, stop: int) -> AsyncIterator[bytes]:
        return reader.read(place, found, start, stop, 1)

    return Content(place, found, thing.size, f'"{thing.etag}"', source, [("X-Manifest-Etag", thing.target["etag"])], plain=False)


async def part(call: Call, found: Content) -> tuple[str, Pairs]:
    """The range that `part-number` asks for, and what the answer says besides. Raises Refused: 400, 416."""
    text = call.query["part-number"]
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if number < 1:
        raise Refused(400, "Part number must be an integer greater than 0")
    if call.headers.get("range"):
        raise Refused(400, "Range requests are not supported with part number queries")
    segments = await segments_of(call, found.place, found.found)
    told = [("X-Parts-Count", str(len(segments)))]
    if number > len(segments):
        raise Refused(416, "The requested part number is not satisfiable", headers=[*told, ("Content-Range", f"bytes */{found.size}")])
    start = sum(length(segment) for segment in segments[: number - 1])
    return f"bytes={start}-{start + length(segments[number - 1]) - 1}", told


class _Reader:
    """Reads through manifests within manifests, each of which is read once."""

    def __init__(self, call: Call, account: str) -> None:
        self._call, self._account = call, account
        self._known: dict[bytes, list[Segment]] = {}

    async def read(self, place: Place, found: Found, start: int, stop: int, depth: int) -> AsyncIterator[bytes]:
        """The bytes of a manifest from `start` to before `stop`."""
        key = found.blobs[0].id
        if key not in self._known:
            if len(self._known) > 2 * DEPTH:
                self._known.clear()
            self._known[key] = await segments_of(self._call, place, found)
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
            yield base64.b64decode(segment["data"])[start:stop]
            return
        if segment.get("sub_slo") and depth >= DEPTH:
            raise Refused(409)
        place, found = self._found(segment)
        thing, skip = found.object, _range(segment)[0] if segment.get("range") else 0
        if thing.etag != segment["hash"] or thing.size != segment["bytes"]:
            raise Refused(409)
        if thing.kind == SLO:
            stream = self.read(place, found, skip + start, skip + stop, depth + 1)
        else:
            stream = own(self._call.store, place, found)(skip + start, skip + stop)
        async for chunk in stream:
            yield chunk

    def _found(self, segment: Segment) -> tuple[Place, Found]:
        from andromede.services.object.swift.reading import followed, looked_up

        container, _, name = segment["name"].removeprefix("/").partition("/")
        place = self._call.objects.find(self._account, container)
        if place is None or not access.may(self._call, place, account=self._account, method="GET"):
            raise Refused(409)
        try:
            found = looked_up(self._call, place, name)
            return followed(self._call, place, found) if found.object.kind == LINK else (place, found)
        except (Refused, NoObject):
            raise Refused(409) from None


def _range(segment: Segment) -> tuple[int, int]:
    first, _, last = str(segment["range"]).partition("-")
    return int(first), int(last)
