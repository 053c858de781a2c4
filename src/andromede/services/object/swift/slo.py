"""Static large objects as Swift answers them: the object, its manifest, or one of its parts.

The manifest is kept as the object's bytes, in the form that `?multipart-manifest=get` answers.
"""

import hashlib
import json
from collections.abc import AsyncIterator

from andromede.services.object import contents
from andromede.services.object.contents import Segment, Whole, length, own, segments_of
from andromede.services.object.service import Found, Place
from andromede.services.object.swift.answers import Pairs, Refused
from andromede.services.object.swift.call import Call
from andromede.services.object.swift.content import Content


def etag(segments: list[Segment]) -> str:
    """The ETag of the object that segments make."""
    digest = hashlib.md5(usedforsecurity=False)
    for segment in segments:
        if "data" in segment:
            text = hashlib.md5(contents.data(segment), usedforsecurity=False).hexdigest()
        else:
            text = f"{segment['hash']}:{segment['range']};" if segment.get("range") else segment["hash"]
        digest.update(text.encode())
    return digest.hexdigest()


async def manifest(call: Call, place: Place, found: Found) -> Content:
    """The manifest itself, as it is kept or (`format=raw`) as it could be put again."""
    thing, size = found.object, sum(blob.size for blob in found.blobs)
    tag = thing.target["etag"]
    if call.query.get("format") == "raw":
        raw = json.dumps([_raw(segment) for segment in await segments_of(call.objects, place, found)], sort_keys=True).encode()
        tag, size = hashlib.md5(raw, usedforsecurity=False).hexdigest(), len(raw)

        async def pieces(start: int, stop: int) -> AsyncIterator[bytes]:
            yield raw[start:stop]

        return Content(place, found, size, tag, pieces, [])
    return Content(place, found, size, tag, own(call.store, place.account, found.blobs), [], content_type="application/json; charset=utf-8")


def _raw(segment: Segment) -> Segment:
    if "data" in segment:
        return segment
    out = {"etag": segment["hash"], "path": segment["name"], "size_bytes": segment["bytes"]}
    return {**out, "range": segment["range"]} if segment.get("range") else out


def content(found: Whole) -> Content:
    """The bytes that a manifest leads to."""
    thing = found.found.object
    told = [("X-Manifest-Etag", thing.target["etag"])]
    return Content(found.place, found.found, thing.size, f'"{thing.etag}"', found.source, told, plain=False)


async def part(call: Call, found: Content) -> tuple[str, Pairs]:
    """The range that `part-number` asks for, and what the answer says besides. Raises Refused: 400, 416."""
    text = call.query["part-number"]
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if number < 1:
        raise Refused(400, "Part number must be an integer greater than 0")
    if call.headers.get("range"):
        raise Refused(400, "Range requests are not supported with part number queries")
    segments = await segments_of(call.objects, found.place, found.found)
    told = [("X-Parts-Count", str(len(segments)))]
    if number > len(segments):
        raise Refused(416, "The requested part number is not satisfiable", headers=[*told, ("Content-Range", f"bytes */{found.size}")])
    start = sum(length(segment) for segment in segments[: number - 1])
    return f"bytes={start}-{start + length(segments[number - 1]) - 1}", told
