"""GET and HEAD of objects: find it, follow links and manifests, look at the conditions, give the bytes."""

from andromede.http.plain import Reply
from andromede.services.object import contents
from andromede.services.object.changes import swift_time
from andromede.services.object.contents import bytes_of, own
from andromede.services.object.errors import NoObject, NoVersion
from andromede.services.object.model import DLO, LINK, MARKER, SLO, expired
from andromede.services.object.service import Found, Place
from andromede.services.object.swift import access, conditions, content, metadata, slo, symlinks, versions
from andromede.services.object.swift.answers import HTML, Pairs, Refused, date
from andromede.services.object.swift.call import Call
from andromede.services.object.swift.content import Content


async def get(call: Call) -> Reply:
    """An object, or what a HEAD says of it."""
    try:
        found = await content_of(call)
    except Refused as fault:
        if fault.status == 404 and "*" in conditions.tags(call.headers.get("if-match")):
            return Reply(412, [HTML, *fault.pairs])
        raise
    thing = found.object
    headers: Pairs = [
        ("Content-Type", found.content_type or thing.content_type), ("Etag", found.etag), ("Last-Modified", date(thing.posted or thing.stamp)),
        ("X-Timestamp", swift_time(thing.posted or thing.stamp)), *metadata.of_answer(thing), *found.extra,
    ]  # fmt: skip
    request = call.headers
    if "if-none-match" in request or "if-match" in request or "if-modified-since" in request or "if-unmodified-since" in request:
        status = conditions.unmet(request, found.etag.strip('"'), thing.posted or thing.stamp)
        if status == 304:
            return Reply(304, [*headers, ("Accept-Ranges", "bytes")])
        if status:
            return Reply(412, [HTML, *[pair for pair in headers if pair[0] != "Content-Type"]])
    wanted = request.get("range") if call.method == "GET" else ""
    if thing.kind == SLO and "part-number" in call.query and not found.content_type and not found.plain:
        wanted, told = await slo.part(call, found)
        headers += told
    return await content.body(call.method, headers, found, wanted, call.store.inline)


async def content_of(call: Call) -> Content:
    """What a GET of the call's URL gives. Raises Refused."""
    place = call.place()
    access.to_object(call, place)
    if place is None:
        versions.valid(None, call.query.get("version-id", "null"))
        raise Refused(404)
    query = call.query
    found = looked_up(call, place, call.name, query.get("version-id"))
    if not query and not found.object.kind:
        thing = found.object
        return Content(place, found, thing.size, thing.etag, bytes_of(call.objects, place.account, found), versions.shown(place, thing))
    link: Pairs = []
    if found.object.kind == LINK:
        if query.get("symlink") == "get":
            told = [*symlinks.shown(found.object), *versions.shown(place, found.object)]
            return Content(place, found, 0, found.object.etag, own(call.store, place.account, found.blobs), told)
        place, found = followed(call, place, found)
        link = [("Content-Location", symlinks.path(place.account, place.name, found.name))]
    out = await of_found(call, place, found)
    out.extra = [*out.extra, *link, *versions.shown(place, found.object)]
    return out


async def of_found(call: Call, place: Place, found: Found) -> Content:
    """The bytes of an object that is no link. Raises Refused."""
    thing, raw = found.object, call.query.get("multipart-manifest") == "get"
    if thing.kind == SLO and raw:
        return await slo.manifest(call, place, found)
    if thing.kind == SLO:
        return slo.content(contents.static(call.objects, access.Reader(call), place, found))
    if thing.kind == DLO and not raw:
        return await dynamic(call, place, found)
    return Content(place, found, thing.size, thing.etag, bytes_of(call.objects, place.account, found), [])


async def dynamic(call: Call, place: Place, found: Found) -> Content:
    """What a dynamic manifest leads to. Raises Refused."""
    try:
        whole = await contents.dynamic(call.objects, access.Reader(call), place, found)
    except contents.Broken as fault:
        raise Refused(409, fault.message, plain=True) from None
    except NoObject:
        raise Refused(404) from None
    return Content(place, found, whole.size, f'"{whole.etag}"', whole.source, [], plain=False)


def looked_up(call: Call, place: Place, name: str, version: str | None = None) -> Found:
    """An object that is there and has not expired. Raises Refused."""
    if version is not None:
        versions.valid(place, version)
    try:
        found = call.objects.get(place, name, version)
    except (NoObject, NoVersion):
        raise Refused(404) from None
    if found.object.kind == MARKER:
        raise Refused(404, headers=[("Content-Type", found.object.content_type), *versions.shown(place, found.object)])
    if expired(found.object):
        raise Refused(404)
    return found


def followed(call: Call, place: Place, found: Found) -> tuple[Place, Found]:
    """What a link leads to in the end. Raises Refused: 404, 409."""
    try:
        return contents.followed(call.objects, access.Reader(call), place, found)
    except contents.Dangling as fault:
        raise Refused(404, headers=[("Content-Location", symlinks.path(*fault.at))]) from None
    except contents.Broken as fault:
        where = [("Content-Location", symlinks.path(*fault.at))] if fault.at else []
        raise Refused(409, fault.message, plain=True, headers=where) from None
