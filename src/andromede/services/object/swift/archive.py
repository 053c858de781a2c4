"""The older way to keep versions: `X-Versions-Location` (a stack) and `X-History-Location` (with marks for deletions).

What is replaced is copied to another container, as `LLLname/moment` with the name's length in three hexadecimal digits.
"""

from urllib.parse import unquote

import msgspec

from andromede.services.object.changes import swift_time
from andromede.services.object.errors import NoContainer, NoObject
from andromede.services.object.model import DLO, Object, expired, stamp
from andromede.services.object.service import Found, Place
from andromede.services.object.swift import access
from andromede.services.object.swift.answers import Refused
from andromede.services.object.swift.call import Call
from andromede.services.object.swift.content import duplicate

DELETED = "application/x-deleted;swift_versions_deleted=1"
EMPTY = "d41d8cd98f00b204e9800998ecf8427e"


def _archive(call: Call, place: Place) -> Place:
    kept = place.container.headers
    found = call.objects.find(place.account, unquote(kept.get("x-versions-location") or kept["x-history-location"]))
    if found is None:
        raise Refused(412)
    return found


def _prefix(name: str) -> str:
    return f"{len(name.encode()):03x}{name}/"


def _current(call: Call, place: Place, name: str) -> Found | None:
    try:
        found = call.objects.get(place, name)
    except NoObject:
        return None
    return None if expired(found.object) else found


async def keep(call: Call, place: Place, name: str) -> None:
    """Copy the current object to the archive, where there is one. Raises Refused: 412 where the archive is missing."""
    found = _current(call, place, name)
    if found is None or found.object.kind == DLO:
        return
    there = _archive(call, place)
    await _copy(call, place, found, there, _prefix(name) + swift_time(found.object.posted or found.object.stamp))


async def _copy(call: Call, place: Place, found: Found, there: Place, name: str) -> None:
    blob = await duplicate(call.objects, place, found, there.account, there.container.headers.get("x-storage-policy", ""))
    s3 = {name: value for name, value in found.object.s3.items() if name not in {"kms", "sse"}}
    thing = msgspec.structs.replace(found.object, version="", stored=0, posted=0, s3=s3)
    if found.object.stored != found.object.size:
        thing = msgspec.structs.replace(thing, stored=found.object.stored)
    try:
        await call.objects.put(there, name, thing, [blob])
    except NoContainer:
        raise Refused(412) from None


async def back(call: Call, place: Place, name: str) -> bool:
    """Put the newest of the archive in the place of what is deleted; whether there was one."""
    there = call.objects.find(place.account, unquote(place.container.headers["x-versions-location"]))
    if there is None:
        return False
    prefix = _prefix(name)
    for line in call.objects.listing(there, prefix=prefix, limit=1, reverse=True):
        if not access.may(call, there, account=there.account, method="GET"):
            raise access.denied(call)
        found = call.objects.get(there, line.name)
        if found.object.content_type == DELETED:
            return False
        await _copy(call, there, found, place, name)
        await call.objects.delete(there, line.name)
        return True
    return False


async def mark(call: Call, place: Place, name: str) -> None:
    """Copy what is deleted to the archive, and put a mark after it."""
    if _current(call, place, name) is None:
        return
    await keep(call, place, name)
    there = _archive(call, place)
    await call.objects.put(there, _prefix(name) + swift_time(stamp()), Object(etag=EMPTY, content_type=DELETED), [])
