"""Manifests of static large objects: put, after each segment was looked at, and deleted together with their segments."""

import base64
import binascii
import hashlib
import json
import mimetypes
from typing import Any

import msgspec

from andromede.http.plain import Reply
from andromede.services.object.contents import Segment, length, segments_of
from andromede.services.object.model import LINK, SLO, Object
from andromede.services.object.service import Found, Place
from andromede.services.object.swift import (
    access,
    bulk,
    conditions,
    metadata,
    quotas,
    ranges,
    reading,
    report,
    slo,
    versions,
    writing,
)
from andromede.services.object.swift.answers import Refused, bad, date, iso, line, quoted, reply, true
from andromede.services.object.swift.call import Call
from andromede.services.object.swift.report import Errors, Facts

RESERVED = "X-Static-Large-Object is a reserved header. To create a static large object add query param multipart-manifest=put."
_KEYS = {"path": {"path", "etag", "size_bytes", "range"}, "data": {"data"}}


async def put(call: Call) -> Reply:
    """Put a manifest."""
    place = writing.writable(call)
    wanted = _parsed(await _body(call), f"/{call.container}/{call.name}")
    backed = sum("path" in segment for segment in wanted)
    if backed > call.settings.max_manifest_segments:
        raise Refused(413, f"Number of object-backed segments must be <= {call.settings.max_manifest_segments}")
    thing = _described(call)
    kind = report.media(call, strict=False)
    if true(call.query.get("heartbeat")):

        async def work() -> tuple[Facts, Errors]:
            segments, errors = await _looked_at(call, wanted)
            if errors:
                return {"Response Status": line(400), "Response Body": "\n".join(_reason(400))}, errors
            made = await keep(call, place, thing, segments, slo.etag(segments))
            facts: Facts = {"Response Status": line(201), "Response Body": "", "Etag": f'"{made.object.etag}"'}
            return {**facts, "Last Modified": date(made.object.stamp)}, []

        return await report.answer(call, 202, kind, work, {}, "upload", beat=True)
    segments, errors = await _looked_at(call, wanted)
    if errors:
        return Reply(400, [("Content-Type", kind)], report.written(kind, {}, errors, "upload"))
    made = await keep(call, place, thing, segments, slo.etag(segments))
    extra = versions.shown(place, made.object)
    return reply(201, [("Etag", f'"{made.object.etag}"'), ("Last-Modified", date(made.object.stamp)), *extra])


def _reason(status: int) -> tuple[str, str]:
    from andromede.services.object.swift.answers import REASONS

    return REASONS[status]


def total(segments: list[Segment]) -> str:
    """The ETag that a manifest of these segments has."""
    return slo.etag(segments)


def _described(call: Call) -> Object:
    writing.named(call, call.name)
    text = call.headers.get("content-type")
    kind = writing.content_type(call, call.name) if text else mimetypes.guess_type(call.name)[0] or "application/octet-stream"
    return Object(content_type=kind, headers=metadata.of_object(call), delete_at=metadata.delete_at(call))


async def keep(call: Call, place: Place, thing: Object, segments: list[Segment], etag: str) -> Found:
    """Put the manifest of these segments. Raises Refused."""
    client = call.headers.get("etag").strip().strip('"').lower()
    if client and client != etag:
        raise Refused(422)
    raw = json.dumps(segments).encode()
    size = sum(length(segment) for segment in segments)
    if quotas.limited(call, place):
        await quotas.check(call, place, len(raw))
    if "x-versions-location" in place.container.headers or "x-history-location" in place.container.headers:
        from andromede.services.object.swift import archive

        await archive.keep(call, place, call.name)

    async def once() -> Any:
        yield raw

    when = conditions.of_put(call.headers) if "if-none-match" in call.headers else None
    blob = await call.store.write(place.account, once(), storage=place.container.headers.get("x-storage-policy", ""))
    target = {"etag": hashlib.md5(raw, usedforsecurity=False).hexdigest(), "count": len(segments)}
    made = msgspec.structs.replace(thing, kind=SLO, size=size, stored=max(len(raw), 1), etag=etag, target=target)
    return await writing.kept(call, place, call.name, made, [blob], when)


async def _body(call: Call) -> bytes:
    most, size = call.settings.max_manifest_size, call.request.length
    if size == 0 and "content-length" not in call.headers:
        raise Refused(411)
    if size is not None and size > most:
        raise Refused(413)
    parts, length = [], 0
    async for chunk in call.request.body():
        length += len(chunk)
        if length > most:
            raise Refused(413)
        parts.append(chunk)
    return b"".join(parts)


def _parsed(raw: bytes, itself: str) -> list[Segment]:
    """The segments that a manifest names, each well-formed. Raises Refused with what is wrong with each."""
    try:
        found = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        raise Refused(400, "Manifest must be valid JSON.\n") from None
    if not isinstance(found, list):
        raise Refused(400, "Manifest must be a list.\n")
    faults = [f"Index {index}: {fault}" for index, one in enumerate(found) if (fault := _fault(one, itself, last=index == len(found) - 1))]
    if found and all(isinstance(one, dict) and "data" in one for one in found):
        faults.append("Inline data segments require at least one object-backed segment.")
    if faults:
        raise bad("".join(fault + "\n" for fault in faults))
    return found


def _fault(one: Any, itself: str, *, last: bool) -> str:
    if not isinstance(one, dict):
        return "not a JSON object"
    kind = next((key for key in _KEYS if key in one), None)
    if kind is None:
        return "expected keys to include one of b'path' or b'data'"
    surplus = sorted(key for key in one if key not in _KEYS[kind])
    if surplus:
        return "extraneous keys " + ", ".join(msgspec.json.encode(key).decode() for key in surplus)
    return _data_fault(one) if kind == "data" else _path_fault(one, itself, last=last)


def _data_fault(one: Segment) -> str:
    try:
        data = base64.b64decode(one["data"] + "=" * (-len(one["data"]) % 4), validate=True)
    except (binascii.Error, ValueError, TypeError):
        return "data must be valid base64"
    if not data:
        return "too small; each segment must be at least 1 byte."
    one["data"] = base64.b64encode(data).decode()
    return ""


def _path_fault(one: Segment, itself: str, *, last: bool) -> str:
    path, etag, size = one["path"], one.get("etag"), one.get("size_bytes")
    if not isinstance(path, str):
        return '"path" must be a string'
    if etag is not None and not isinstance(etag, str):
        return '"etag" must be a string or null (if provided)'
    if "/" not in path.strip("/"):
        return "path does not refer to an object. Path must be of the form /container/object."
    if size is not None:
        try:
            size = one["size_bytes"] = int(size)
        except (TypeError, ValueError, OverflowError):
            return "invalid size_bytes"
        if size < 1 and not last:
            return "too small; each segment must be at least 1 byte."
    if "/" + path.lstrip("/") == itself:
        return "manifest must not include itself as a segment"
    if one.get("range"):
        parts = ranges.wanted(f"bytes={one['range']}")
        if parts is None:
            return "invalid range"
        if len(parts) > 1:
            return "multiple ranges (only one allowed)"
        if size is not None and len(ranges.spans(f"bytes={one['range']}", size) or []) != 1:
            return "unsatisfiable range"
    return ""


async def _looked_at(call: Call, wanted: list[Segment]) -> tuple[list[Segment], Errors]:
    """The segments as they are kept, and what is wrong with them."""
    out: list[Segment] = []
    errors: Errors = []
    known: dict[str, tuple[Found, int, str] | str] = {}
    for index, one in enumerate(wanted):
        if "data" in one:
            out.append(one)
            continue
        path = one["path"]
        if path not in known:
            known[path] = await _segment(call, path)
        there = known[path]
        if isinstance(there, str):
            errors.append((quoted(path), there))
        else:
            out.append(_checked(one, *there, errors, empty=index == len(wanted) - 1))
    return out, errors


async def _segment(call: Call, path: str) -> tuple[Found, int, str] | str:
    """A segment with its size and ETag, or the status that asking for it gives; 409 for bytes under a key of the client's."""
    container, _, name = path.lstrip("/").partition("/")
    place = call.objects.find(call.account, container)
    if not access.may(call, place, method="HEAD"):
        return line(401 if call.caller is None else 403)
    try:
        if place is None:
            return line(404)
        found = reading.looked_up(call, place, name)
        if found.object.kind == LINK:
            place, found = reading.followed(call, place, found)
        if found.object.kind == "dlo":
            whole = await reading.dynamic(call, place, found)
            return found, whole.size, whole.etag.strip('"')
    except Refused as fault:
        return line(fault.status)
    if "ssec" in found.object.s3:
        return line(409)
    return found, found.object.size, found.object.etag


def _checked(one: Segment, found: Found, size: int, etag: str, errors: Errors, *, empty: bool) -> Segment:
    path, length, span = one["path"], size, None
    if one.get("range"):
        spans = ranges.spans(f"bytes={one['range']}", size)
        if not spans:
            errors.append((quoted(path), "Unsatisfiable Range"))
        elif spans[0] != (0, size):
            span = f"{spans[0][0]}-{spans[0][1] - 1}"
            length = spans[0][1] - spans[0][0]
    if length < 1 and not empty:
        errors.append((quoted(path), "Too small; each segment must be at least 1 byte."))
    if one.get("size_bytes") is not None and one["size_bytes"] != size:
        errors.append((quoted(path), "Size Mismatch"))
    if one.get("etag") is not None and one["etag"].strip('"') != etag:
        errors.append((quoted(path), "Etag Mismatch"))
    thing = found.object
    out: Segment = {
        "name": "/" + path.lstrip("/"), "bytes": size, "hash": etag, "content_type": thing.content_type,
        "last_modified": iso(thing.posted or thing.stamp),
    }  # fmt: skip
    if span:
        out["range"] = span
    if thing.kind == SLO:
        out["sub_slo"] = True
    return out


async def delete(call: Call, place: Place) -> Reply:
    """Delete an object and all its segments, those of manifests within it too."""
    kind = report.media(call, strict=False)

    async def work() -> tuple[Facts, Errors]:
        paths, errors = await _all(call, place)
        return await bulk.deleted(call, paths, errors)

    return await report.answer(call, 200, kind, work, {"Number Deleted": 0, "Number Not Found": 0}, "delete")


async def _all(call: Call, place: Place) -> tuple[list[str], Errors]:
    """The paths of a manifest's segments, and its own at the end."""
    out: list[str] = []
    itself = f"/{place.name}/{call.name}"
    waiting = [(itself, True)]
    while waiting:
        if len(out) + len(waiting) > call.settings.max_manifest_segments * 10:
            raise Refused(400, "Too many buffered slo segments to delete.")
        path, manifest = waiting.pop()
        if path not in out:
            out.append(path)
        if not manifest:
            continue
        container, _, name = path.lstrip("/").partition("/")
        where = call.objects.find(call.account, container)
        if where is None or not access.may(call, where, method="GET"):
            return out, [(quoted(path), line(404 if where is None else 401))] if path == itself else []
        try:
            found = reading.looked_up(call, where, name, call.query.get("version-id") if path == itself else None)
        except Refused as fault:
            if path == itself:
                return ([path], []) if fault.status == 404 else ([], [(quoted(path), line(fault.status))])
            continue
        if found.object.kind != SLO:
            if path == itself:
                return [], [(quoted(path), "Not an SLO manifest")]
            continue
        segments = await segments_of(call.objects, where, found)
        waiting += [(segment["name"], bool(segment.get("sub_slo"))) for segment in segments if "data" not in segment]
    return [*reversed(out)], []
