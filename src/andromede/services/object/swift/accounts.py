"""Accounts: what they hold together, their metadata, and the listing of their containers."""

import asyncio
from collections.abc import Callable

import msgspec

from andromede.http.plain import Reply
from andromede.services.object.changes import swift_time
from andromede.services.object.errors import NotEmpty
from andromede.services.object.model import Container, stamp
from andromede.services.object.service import Objects, Place
from andromede.services.object.swift import access, acl, listings, metadata, quotas
from andromede.services.object.swift.answers import Pairs, Refused, bad, iso, reply
from andromede.services.object.swift.call import Call
from andromede.services.object.swift.listings import Asked, Line

SHOWN = ("x-account-meta-", "x-account-access-control", "x-account-quota-")
BREATH = 500
"""Containers that are counted before others get their turn."""


class Totals(msgspec.Struct):
    """What an account holds."""

    containers: int = 0
    objects: int = 0
    bytes: int = 0
    policies: dict[str, list[int]] = {}
    """The same three of each storage policy."""


async def totals(objects: Objects, account: str) -> Totals:
    """Count an account."""
    out = Totals()
    for place in objects.containers(account):
        count, size = held(objects, place)
        out.containers, out.objects, out.bytes = out.containers + 1, out.objects + count, out.bytes + size
        part = out.policies.setdefault(policy(objects, place.container), [0, 0, 0])
        part[:] = part[0] + 1, part[1] + count, part[2] + size
        if out.containers % BREATH == 0:
            await asyncio.sleep(0)
    return out


def held(objects: Objects, place: Place) -> tuple[int, int]:
    """How many objects a container has, and its bytes, those of kept versions too."""
    usage = objects.usage(place)
    versions = objects.store.usage(place.shard, b"v" + place.id).weight if place.container.versioning else 0
    return usage.entries, usage.weight + versions


async def get(call: Call) -> Reply:
    """List the containers of an account."""
    access.to_account(call)
    media, wanted = listings.form(call), listings.asked(call)
    headers = await _headers(call)
    lines = await asyncio.to_thread(_lines, call, wanted)
    return listings.answer(call, media, headers, lines, ("account", call.account_name))


async def head(call: Call) -> Reply:
    """What an account holds."""
    access.to_account(call)
    media = listings.form(call)
    there = call.account_of(call.account) is not None or next(call.objects.containers(call.account), None) is not None
    return listings.head(call, media, 204 if there else 200, await _headers(call))


async def post(call: Call) -> Reply:
    """Change an account's metadata."""
    access.to_account(call)
    await _change(call)
    return reply(204)


async def put(call: Call) -> Reply:
    """Make an account, which otherwise comes to be with its first container."""
    access.to_account(call)
    if len(call.account_name) > call.settings.max_account_name_length:
        raise Refused(400, f"Account name length of {len(call.account_name)} longer than {call.settings.max_account_name_length}")
    new = call.account_of(call.account) is None
    await _change(call)
    return reply(201 if new else 202)


async def delete(call: Call) -> Reply:
    """Forget an empty account."""
    access.to_account(call)
    if call.account_of(call.account) is None and next(call.objects.containers(call.account), None) is None:
        raise Refused(404)
    try:
        await call.objects.remove_account(call.account)
    except NotEmpty:
        raise Refused(409) from None
    return reply(204)


async def _change(call: Call) -> None:
    wanted = metadata.changes(call, "account", ("x-account-access-control",))
    wanted |= quotas.of_account(call, wanted)
    if "x-account-access-control" in wanted:
        if call.owner:
            wanted["x-account-access-control"] = acl.checked_account_list(wanted["x-account-access-control"])
        else:
            del wanted["x-account-access-control"]
    if not call.owner:
        wanted = {name: value for name, value in wanted.items() if name not in access.PRIVATE}
    admin = call.caller is not None and call.caller.admin
    if admin and "x-account-project-read-only" in call.headers:
        wanted["read-only"] = call.headers.get("x-account-project-read-only")
    if "\0" in "".join(wanted.values()):
        raise bad("Metadata must be valid UTF-8")
    await call.objects.set_account(call.account, lambda before: metadata.merged(call.settings, before, wanted, "account"))


async def _headers(call: Call) -> Pairs:
    found, count = call.account_of(call.account), await totals(call.objects, call.account)
    kept = access.fields(call, found.headers) if found else {}
    first = next(call.objects.containers(call.account), None) if found is None else None
    made = found.created if found else first.container.created if first else stamp()
    out = [
        ("X-Account-Container-Count", str(count.containers)), ("X-Account-Object-Count", str(count.objects)),
        ("X-Account-Bytes-Used", str(count.bytes)), ("X-Timestamp", swift_time(made)), ("Accept-Ranges", "bytes"),
        *metadata.shown(kept, SHOWN),
    ]  # fmt: skip
    for name, parts in count.policies.items():
        out += [
            (f"X-Account-Storage-Policy-{name.title()}-{what}", str(part))
            for what, part in zip(("Container-Count", "Object-Count", "Bytes-Used"), parts, strict=True)
        ]
    if kept.get("read-only"):
        out.append(("X-Account-Project-Read-Only", kept["read-only"]))
    return out


def _lines(call: Call, wanted: Asked) -> list[Line]:
    lines: list[Line] = []
    start, stop, last = wanted.start, wanted.stop, wanted.marker
    cut = len(wanted.prefix)
    while len(lines) < wanted.limit:
        group = ""
        for place in call.objects.containers(call.account, prefix=wanted.prefix, start=start, stop=stop, reverse=wanted.reverse):
            if place.name == wanted.start:
                continue
            at = place.name.find(wanted.delimiter, cut) if wanted.delimiter else -1
            if at >= 0:
                group = place.name[: at + len(wanted.delimiter)]
                break
            lines.append(_line(call.objects, place))
            if len(lines) >= wanted.limit:
                return lines
        if not group:
            return lines
        if group != last:
            lines.append({"subdir": group})
        if wanted.reverse:
            stop = group
        else:
            start = group[:-1] + chr(ord(group[-1]) + 1)
    return lines


def _line(objects: Objects, place: Place) -> Line:
    count, size = held(objects, place)
    return {
        "name": place.name, "count": count, "bytes": size, "last_modified": iso(put_stamp(place.container)),
        "storage_policy": policy(objects, place.container),
    }  # fmt: skip


def put_stamp(container: Container) -> int:
    """When a container was last put or posted to."""
    return int(container.headers.get("put", container.created))


def policy(objects: Objects, container: Container) -> str:
    """The storage policy of a container."""
    return container.headers.get("x-storage-policy", objects.store.classes[0])


Change = Callable[[Container], Container]
