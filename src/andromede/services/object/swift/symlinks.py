"""Symbolic links: objects that lead to another one, dynamically or only while that one has an ETag."""

from urllib.parse import unquote

from andromede.services.object.errors import NoObject
from andromede.services.object.model import LINK, PREFIX, Object, expired, project_of
from andromede.services.object.service import Found
from andromede.services.object.swift import access
from andromede.services.object.swift.answers import Pairs, Refused, bad, quoted
from andromede.services.object.swift.call import Call
from andromede.services.object.swift.listings import two_names

EMPTY = "d41d8cd98f00b204e9800998ecf8427e"
TARGET = "x-symlink-target"
_FORM = "X-Symlink-Target header must be of the form <container name>/<object name>"


def wanted(call: Call) -> tuple[dict[str, str | int], Found | None]:
    """What a PUT shall lead to, and what is there where the link is to be static. Raises Refused."""
    if call.request.length != 0:
        raise bad("Symlink requests require a zero byte body")
    text = call.headers.get(TARGET)
    if unquote(text).startswith("/"):
        raise Refused(412, _FORM, plain=True)
    try:
        container, name = two_names(text, _FORM)
    except Refused:
        raise Refused(412, _FORM) from None
    account = account_named(call.headers.get("x-symlink-target-account")) if "x-symlink-target-account" in call.headers else ""
    if (account or call.account_name, container, name) == (call.account_name, call.container, call.name):
        raise bad("Symlink cannot target itself")
    target: dict[str, str | int] = {"path": f"{container}/{name}", "account": account}
    etag = call.headers.get("x-symlink-target-etag").strip().strip('"')
    if not etag:
        return target, None
    if any(mark in etag for mark in ';"\\'):
        raise bad("Bad X-Symlink-Target-Etag format")
    place = call.objects.find(project_of(account) or call.account, container)
    access.to_object(call, place, account=project_of(account) or call.account, method="HEAD")
    try:
        found = call.objects.get(place, name) if place else None
    except NoObject:
        found = None
    location = f"/v1/{account or call.account_name}/{container}/{name}"
    if found is None or expired(found.object):
        raise Refused(409, "X-Symlink-Target does not exist", plain=True, headers=[("Content-Location", location)])
    there = (found.object.target.get("etag") or found.object.etag) if found.object.kind == LINK else found.object.etag
    if there != etag:
        text = f"Object Etag {there!r} does not match X-Symlink-Target-Etag header {etag!r}"
        raise Refused(409, text, plain=True, headers=[("Content-Location", location)])
    return {**target, "etag": etag, "bytes": found.object.size}, found


def account_named(text: str) -> str:
    """The account that a header names. Raises Refused."""
    name = unquote(text)
    if not name:
        raise Refused(412, "Account name cannot be empty")
    if "/" in name:
        raise Refused(412, "Account name cannot contain slashes")
    return name


def shown(thing: Object) -> Pairs:
    """What `?symlink=get` says of a link."""
    target = thing.target
    out = [("X-Symlink-Target", quoted(target["path"]))]
    if target["account"]:
        out.append(("X-Symlink-Target-Account", quoted(target["account"])))
    if target.get("etag"):
        out += [*fixed(thing), ("X-Symlink-Target-Bytes", str(target["bytes"]))]
    return out


def fixed(thing: Object) -> Pairs:
    """The ETag that a static link's target must have."""
    return [("X-Symlink-Target-Etag", thing.target["etag"])] if thing.target.get("etag") else []


def path(account: str, container: str, name: str) -> str:
    """The path of an object."""
    return f"/v1/{PREFIX}{quoted(account)}/{quoted(container)}/{quoted(name)}"


def location(call: Call, target: dict[str, str]) -> str:
    """Where a link leads, as a path."""
    return f"/v1/{quoted(target['account'] or PREFIX + call.account)}/{quoted(target['path'])}"


