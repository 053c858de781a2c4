"""COPY, and PUT with X-Copy-From: an object made of another one's bytes."""

from typing import Any

from andromede.http.plain import Reply
from andromede.services.object.contents import segments_of
from andromede.services.object.model import DLO, LINK, SLO, Object, project_of
from andromede.services.object.swift import access, conditions, metadata, ranges, reading, slo_put, symlinks, writing
from andromede.services.object.swift.answers import Pairs, Refused, bad, date, quoted, true
from andromede.services.object.swift.call import Call
from andromede.services.object.swift.content import Content
from andromede.services.object.swift.listings import two_names

_FROM = "X-Copy-From header must be of the form <container name>/<object name>"
_TO = "Destination header must be of the form <container name>/<object name>"


async def copy(call: Call) -> Reply:
    """COPY: from the URL to `Destination`."""
    text = call.headers.get("destination")
    if not text:
        raise Refused(412, "Destination header required")
    account = call.account_name
    if "destination-account" in call.headers:
        account = symlinks.account_named(call.headers.get("destination-account"))
    container, name = two_names(text, _TO)
    if not project_of(account):
        raise Refused(403)
    to = call.at(account, container, name, "PUT")
    access.writable(to)
    return await _copy(to, call.at(call.account_name, call.container, call.name, "GET"))


async def put(call: Call) -> Reply:
    """PUT with `X-Copy-From`."""
    account = call.account_name
    if "x-copy-from-account" in call.headers:
        account = symlinks.account_named(call.headers.get("x-copy-from-account"))
    container, name = two_names(call.headers.get("x-copy-from"), _FROM)
    return await _copy(call, call.at(account, container, name, "GET"))


async def _copy(call: Call, source: Call) -> Reply:
    if call.request.length:
        raise bad("Copy requests require a zero byte body")
    found = await reading.content_of(source)
    thing = found.object
    if any(name in call.headers for name in conditions.NAMES):
        status = conditions.unmet(call.headers, found.etag.strip('"'), thing.posted or thing.stamp)
        if status:
            return Reply(status, [])
    place = writing.writable(call)
    writing.named(call, call.name)
    start, stop = _span(call, found)
    if stop - start > call.settings.max_file_size:
        raise Refused(413)
    after = _described(call, found)
    raw = source.query.get("multipart-manifest") == "get"
    extra: Pairs = _told(source, found, after)
    if raw and thing.kind == SLO:
        segments = await segments_of(call.objects, found.place, found.found)
        made = await slo_put.keep(call, place, after, segments, slo_put.total(segments))
        return writing.created(place, made, extra, etag=f'"{made.object.etag}"')
    values: dict[str, Any] = {}
    if thing.kind == LINK and source.query.get("symlink") == "get":
        values = {"kind": LINK, "target": thing.target}
    elif raw and thing.kind == DLO:
        values = {"kind": DLO, "target": thing.target}
    elif call.headers.get("x-object-manifest"):
        from andromede.services.object.swift import dlo

        values = {"kind": DLO, "target": dlo.wanted(call)}
    whole = (start, stop) == (0, found.size)
    etag = thing.etag if found.plain and whole and "-" not in thing.etag else None if not whole else ""
    made = await writing.store(call, place, call.name, after, found.source(start, stop), stop - start, etag=etag, values=values)
    return writing.created(place, made, extra)


def _span(call: Call, found: Content) -> ranges.Span:
    text = call.headers.get("range")
    parts = ranges.spans(text, found.size) if text else None
    if parts is None:
        return 0, found.size
    if len(parts) != 1:
        raise Refused(416)
    return parts[0]


def _described(call: Call, found: Content) -> Object:
    """What the copy shall be besides its bytes: what the source has, and over it what the request says."""
    before, fresh = found.object, true(call.headers.get("x-fresh-metadata"))
    headers = metadata.of_object(call)
    delete_at = metadata.delete_at(call)
    if not fresh:
        headers = {**before.headers, **headers}
        delete_at = delete_at or before.delete_at
    kind = writing.content_type(call, call.name) if call.headers.get("content-type") else before.content_type
    return Object(content_type=kind, headers=headers, delete_at=delete_at)


def _told(source: Call, found: Content, after: Object) -> Pairs:
    """What the answer says of the source, and of what was copied."""
    thing = found.object
    out = [
        ("X-Copied-From-Account", quoted(source.account_name)), ("X-Copied-From", quoted(f"{source.container}/{source.name}")),
        ("X-Copied-From-Last-Modified", date(thing.posted or thing.stamp)),
    ]  # fmt: skip
    if found.place.container.versioning:
        out.append(("X-Copied-From-Version-Id", thing.version or "null"))
    out += [("X-Object-" + name.title(), value) for name, value in after.headers.items() if name.startswith("meta-")]
    if after.delete_at:
        out.append(("X-Delete-At", str(after.delete_at)))
    return out


