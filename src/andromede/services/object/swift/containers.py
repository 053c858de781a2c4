"""Containers: made, changed, listed and removed."""

import asyncio

import msgspec

from andromede.http.plain import Reply
from andromede.services.object.changes import swift_time
from andromede.services.object.errors import NoContainer, NotEmpty
from andromede.services.object.model import LINK, SLO, Container, Object, stamp
from andromede.services.object.service import Place
from andromede.services.object.swift import access, listings, metadata, quotas, sync, versions
from andromede.services.object.swift.accounts import held, policy, put_stamp
from andromede.services.object.swift.answers import Pairs, Refused, bad, date, iso, quoted, reply
from andromede.services.object.swift.call import Call
from andromede.services.object.swift.listings import Asked, Line
from andromede.services.object.watching import SYNC_KEY, SYNC_TO

OTHERS = ("x-container-read", "x-container-write", SYNC_TO, SYNC_KEY)
SHOWN = ("x-container-", "x-versions-location", "x-history-location")
FEW = 300
"""Objects that are listed on the event loop; more are listed elsewhere."""


async def get(call: Call) -> Reply:
    """List a container."""
    place = call.place()
    access.to_container(call, place)
    media, wanted = listings.form(call), listings.asked(call)
    if place is None:
        raise Refused(404)
    if "versions" in call.query:
        lines = await asyncio.to_thread(versions.lines, call, place, wanted)
        media, call.query["format"] = "application/json", "json"
    elif min(call.objects.usage(place).entries, wanted.limit) > FEW:
        lines = await asyncio.to_thread(lines_of, call, place, wanted)
    else:
        lines = lines_of(call, place, wanted)
    return listings.answer(call, media, _headers(call, place), lines, ("container", place.name))


async def head(call: Call) -> Reply:
    """What a container holds, and how it is set."""
    place = call.place()
    access.to_container(call, place)
    media = listings.form(call)
    if place is None:
        raise Refused(404)
    return listings.head(call, media, 204, _headers(call, place))


async def put(call: Call) -> Reply:
    """Make a container, or change the one that is there."""
    access.to_account(call)
    if length(call.container) > call.settings.max_container_name_length:
        raise Refused(400, f"Container name length of {length(call.container)} longer than {call.settings.max_container_name_length}")
    wanted = _wanted(call)
    kind = call.headers.get("x-storage-policy")
    known = {name.lower(): name for name in call.policies}
    if kind and kind.lower() not in known:
        raise bad(f"Invalid X-Storage-Policy '{kind}'")
    if call.account_of(call.account) is None:
        await call.objects.set_account(call.account, lambda before: before)

    def change(before: Container | None) -> Container:
        if before is not None and kind and policy(call.objects, before) != known[kind.lower()]:
            raise Refused(409)
        base = before or Container(id=b"", created=0)
        after = _changed(call, base, wanted)
        if before is None:
            headers = {name: value for name, value in after.headers.items() if name != "put"}
            if kind or call.policies[0] != call.store.classes[0]:
                headers["x-storage-policy"] = known[kind.lower()] if kind else call.policies[0]
            after = msgspec.structs.replace(after, headers=headers)
        return after

    made, new = await call.objects.create(
        call.account, call.container, change, owner=call.caller.user_id if call.caller else ""
    )  # fmt: skip
    await _synchronized(call, made, wanted)
    return reply(201 if new else 202)


async def _synchronized(call: Call, place: Place, wanted: metadata.Changes) -> None:
    """Have what a container holds already be sent to where it is synchronized from now on."""
    if wanted.get(SYNC_TO) and call.objects.usage(place).entries:
        await call.store.commit(place.shard, lambda view: sync.walk(view, place))


async def post(call: Call) -> Reply:
    """Change a container's metadata and settings."""
    access.to_account(call)
    wanted = _wanted(call)
    place = call.place()
    if place is None:
        raise Refused(404)
    await _synchronized(call, await call.objects.change(place, lambda before: _changed(call, before, wanted)), wanted)
    return reply(204)


async def delete(call: Call) -> Reply:
    """Remove an empty container."""
    access.to_account(call)
    place = call.place()
    if place is None:
        raise Refused(404)
    try:
        await call.objects.remove(place)
    except NotEmpty:
        raise Refused(409, "Delete all versions before deleting container." if _only_versions(call, place) else "") from None
    except NoContainer:
        raise Refused(404) from None
    return reply(204)


def _only_versions(call: Call, place: Place) -> bool:
    return bool(place.container.versioning) and call.objects.usage(place).entries == 0


def length(name: str) -> int:
    """Bytes of a name."""
    return len(name.encode())


def _wanted(call: Call) -> metadata.Changes:
    wanted = metadata.changes(call, "container", OTHERS)
    if not call.owner:
        wanted = {name: value for name, value in wanted.items() if name not in access.PRIVATE}
    quotas.valid_of_container(wanted)
    sync.asked(call, wanted)
    return access.valid_lists(wanted) | versions.settings_of(call)


def _changed(call: Call, before: Container, wanted: metadata.Changes) -> Container:
    own = {name: value for name, value in wanted.items() if name != versions.ENABLED}
    headers = metadata.merged(call.settings, before.headers, own, "container")
    after = versions.enabled(before, msgspec.structs.replace(before, headers={**headers, "put": str(stamp())}), wanted.get(versions.ENABLED))
    if after.headers.get(SYNC_TO) and after.versioning and (wanted.get(SYNC_TO) or wanted.get(versions.ENABLED)):
        raise bad("Cannot configure container sync on a container with object versioning configured.")
    return after


def _headers(call: Call, place: Place) -> Pairs:
    container = place.container
    count, size = held(call.objects, place)
    out = [
        ("X-Container-Object-Count", str(count)), ("X-Container-Bytes-Used", str(size)), ("X-Timestamp", swift_time(container.created)),
        ("Last-Modified", date(put_stamp(container))), ("Accept-Ranges", "bytes"), ("X-Storage-Policy", policy(call.objects, container)),
    ]  # fmt: skip
    if container.headers:
        out += metadata.shown(access.fields(call, container.headers), SHOWN)
    if container.versioning:
        out.append(("X-Versions-Enabled", "True" if container.versioning == "on" else "False"))
    return out


def lines_of(call: Call, place: Place, wanted: Asked) -> list[Line]:
    """The lines of a listing."""
    lines: list[Line] = []
    start, stop, after = wanted.start, wanted.stop, True
    while len(lines) < wanted.limit:
        room = wanted.limit - len(lines)
        found = call.objects.listing(
            place, prefix=wanted.prefix, delimiter=wanted.delimiter, start=start, stop=stop, limit=room, reverse=wanted.reverse, after=after
        )
        for one in found:
            if one.object is not None:
                if wanted.path is None or one.name != wanted.prefix:
                    lines.append(line(call, one.name, one.object))
            elif wanted.path is None:
                if one.name != wanted.marker:
                    lines.append({"subdir": one.name})
            elif (same := call.objects.newest(place, one.name)) is not None and same.current:
                lines.append(line(call, one.name, same.object))
        if len(found) < room:
            break
        last = found[-1]
        if wanted.reverse:
            stop = last.name
        elif last.object is None:
            start, after = last.name[:-1] + chr(ord(last.name[-1]) + 1), False
        else:
            start, after = last.name, True
    return lines


def line(call: Call, name: str, thing: Object) -> Line:
    """An object in a listing."""
    out: Line = {
        "bytes": thing.size, "hash": thing.etag, "name": name, "content_type": thing.content_type, "last_modified": iso(thing.posted or thing.stamp)
    }  # fmt: skip
    if thing.kind == SLO:
        out["hash"], out["slo_etag"] = thing.target["etag"], f'"{thing.etag}"'
    elif thing.kind == LINK:
        target = thing.target
        out["symlink_path"] = f"/v1/{quoted(target['account'] or call.account_name)}/{quoted(target['path'])}"
        if target.get("etag"):
            out |= {"symlink_etag": target["etag"], "symlink_bytes": target["bytes"]}
    return out


