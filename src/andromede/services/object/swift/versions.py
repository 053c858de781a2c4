"""Object versioning: `X-Versions-Enabled` keeps what is replaced or deleted, to be had by `version-id`."""

import itertools
from collections.abc import Iterator

import msgspec

from andromede.drivers.blob import Entry, View
from andromede.http.plain import Reply
from andromede.services.object import changes, model
from andromede.services.object.model import MARKER, Container, Object
from andromede.services.object.service import Found, Place
from andromede.services.object.swift.answers import Pairs, Refused, bad, iso, reply, true
from andromede.services.object.swift.call import Call
from andromede.services.object.swift.listings import Asked, Line
from andromede.services.object.swift.metadata import Changes

ENABLED = "x-versions-enabled"
HISTORY, STACK = "x-history-location", "x-versions-location"
_EMPTY = "d41d8cd98f00b204e9800998ecf8427e"
_BOTH = "Cannot enable object versioning on a container that is already using the legacy versioned writes feature."


def settings_of(call: Call) -> Changes:
    """What a request changes of a container's versioning, of either kind. Raises Refused."""
    headers = call.headers
    out: Changes = {}
    if ENABLED in headers:
        out[ENABLED] = "on" if true(headers.get(ENABLED)) else "off"
    if headers.get(STACK) and headers.get(HISTORY):
        raise bad(f"Only one of {STACK} or {HISTORY} may be specified")
    for name, other in ((STACK, HISTORY), (HISTORY, STACK)):
        if headers.get(name):
            out |= {name: _container(headers.get(name)), other: ""}
        elif (name in headers or "x-remove-" + name[2:] in headers) and name not in out:
            out |= {name: "", other: ""} if not headers.get(other) else {}
    if out.get(ENABLED) == "on" and (out.get(STACK) or out.get(HISTORY)):
        raise Refused(400, _BOTH)
    return out


def _container(text: str) -> str:
    from urllib.parse import unquote

    name = unquote(text)
    if "/" in name:
        raise Refused(412, "Container name cannot contain slashes")
    return text


def enabled(before: Container, after: Container, wanted: str | None) -> Container:
    """A container with its versioning set. Raises Refused where it has the older kind."""
    location = after.headers.get(STACK) or after.headers.get(HISTORY)
    if location and (wanted == "on" or (wanted is None and before.versioning == "on")):
        raise Refused(400, _BOTH)
    if wanted == "off" and before.s3.get("lock"):
        raise Refused(409, "The versions of a bucket with object lock are kept.", plain=True)
    if wanted == "off" and before.s3.get("replication"):
        raise Refused(409, "The versions of a bucket that is replicated are kept.", plain=True)
    if wanted is None or (wanted == "off" and not before.versioning):
        return after
    return msgspec.structs.replace(after, versioning="on" if wanted == "on" else "suspended")


def valid(place: Place | None, version: str) -> None:
    """Raise Refused for what is no version's id, or where none are kept."""
    if version != "null" and (place is None or not place.container.versioning):
        raise Refused(400, "version-aware operations require that the container is versioned")
    if version != "null" and changes.moment(version) is None:
        raise Refused(400, "Invalid version parameter")


def shown(place: Place, thing: Object) -> Pairs:
    """What an answer says of an object's version."""
    return [("X-Object-Version-Id", thing.version or "null")] if place.container.versioning else []


def of_delete(call: Call, place: Place, name: str, version: str | None, found: Found | None) -> Pairs:
    """What the answer to a DELETE says of versions. found: the marker that was made, or the version that was removed."""
    if not place.container.versioning or found is None:
        return []
    if version is None:
        return [("X-Object-Version-Id", found.object.version or "null")]
    now = call.objects.newest(place, name)
    current = now.object.version or "null" if now is not None and now.current else "null"
    return [("X-Object-Version-Id", version), ("X-Object-Current-Version-Id", current)]


async def restore(call: Call, place: Place) -> Reply:
    """Make an earlier version the current one; no byte is moved. Raises Refused."""
    version = call.query["version-id"]
    valid(place, version)
    if call.request.length is None:
        raise Refused(411)
    if call.request.length:
        raise bad("PUT version-id requests require a zero byte body")

    def run(view: View) -> Object:
        container = call.objects.present(view, place)
        key = model.object_key(place.id, call.name)
        found = changes.find(lambda _shard, one: view.get(one), lambda _shard, *rest: view.scan(*rest), place, call.name, version)
        if found is None or found.object.kind == MARKER:
            raise Refused(404, "The specified version does not exist", plain=True)
        if found.current:
            return found.object
        entry = view.get(key)
        if entry is not None:
            before = model.as_object(entry.value)
            changes.expire(view, container.id, call.name, before, None)
            view.put(
                model.version_key(place.id, call.name, before.stamp), Entry(entry.value, entry.blobs, b"v" + place.id, before.stored)
            )  # fmt: skip
        view.delete(model.version_key(place.id, call.name, found.object.stamp))
        changes.expire(view, container.id, call.name, None, found.object)
        changes.keep(view, container.id, call.name, found.object, found.blobs)
        return found.object

    thing = await call.store.commit(place.shard, run)
    return reply(201, [("Etag", thing.etag), *shown(place, thing)])


def lines(call: Call, place: Place, wanted: Asked) -> list[Line]:
    """The lines of `?versions`. Raises Refused."""
    marker, version = call.query.get("marker", ""), call.query.get("version_marker", "")
    if version and not marker:
        raise Refused(400, "version_marker param requires marker")
    if version and version != "null" and changes.moment(version) is None:
        raise Refused(400, "invalid version_marker param")
    if set(wanted.delimiter) & set("0123456789.\0"):
        raise Refused(400, "invalid delimiter param")
    if wanted.reverse:
        raise Refused(400, "reverse cannot be had with versions")
    found = call.objects.versions(place, prefix=wanted.prefix, start=marker, version=version, stop=wanted.stop)
    if marker and not version:
        found = itertools.dropwhile(lambda one: one.name == marker, found)
    return list(itertools.islice(_lines(call, wanted, found), wanted.limit))


def _lines(call: Call, wanted: Asked, found: Iterator[Found]) -> Iterator[Line]:
    from andromede.services.object.swift.containers import line

    last = ""
    for one in found:
        at = one.name.find(wanted.delimiter, len(wanted.prefix)) if wanted.delimiter else -1
        if at >= 0:
            group = one.name[: at + len(wanted.delimiter)]
            if group not in {last, wanted.marker}:
                yield {"subdir": group}
            last = group
            continue
        thing = one.object
        if thing.kind == MARKER:
            shown_line = {
                "bytes": 0, "hash": _EMPTY, "name": one.name, "content_type": thing.content_type, "last_modified": iso(thing.stamp)
            }  # fmt: skip
        else:
            shown_line = line(call, one.name, thing)
        yield {**shown_line, "version_id": thing.version or "null", "is_latest": one.current}


