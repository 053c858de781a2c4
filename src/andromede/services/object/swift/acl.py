"""Access control lists of containers and accounts: how they are written, and whom they let in.

An element of a container's list is `.r:HOST` (a page that refers, `*` any, `-HOST` not this one, `.example.com` a domain),
`.rlistings`, `PROJECT:USER` by id or name with `*` for any, or a role. Source: the Swift documentation, "Access Control Lists".
"""

from urllib.parse import unquote, urlsplit

import msgspec

from andromede.core.context import Caller
from andromede.services.object.swift.answers import Refused, bad

LEVELS = ("read-only", "read-write", "admin")
DEFAULT_DOMAIN = "default"


def cleaned(name: str, text: str) -> str:
    """A list as it is kept. Raises Refused where it is not one."""
    kept = []
    for raw in text.split(","):
        item = raw.strip()
        head, colon, rest = (part.strip() for part in item.partition(":"))
        if not item:
            continue
        if not colon or not head.startswith("."):
            kept.append(item)
        elif head not in {".r", ".ref", ".referer", ".referrer"}:
            raise Refused(400, f"Unknown designator {head!r} in ACL: {item!r}")
        elif "write" in name:
            raise Refused(400, f"Referrers not allowed in write ACL: {item!r}")
        else:
            minus, host = ("-", rest[1:].strip()) if rest.startswith("-") else ("", rest)
            if host != "*" and host.startswith("*"):
                host = host[1:].strip()
            if not host or host == ".":
                raise Refused(400, f"No host/domain value after referrer designation in ACL: {item!r}")
            kept.append(f".r:{minus}{host}")
    return ",".join(kept)


def people(caller: Caller, elements: list[str]) -> bool:
    """Whether one of the elements names the caller in their project."""
    projects, users = [caller.project_id, "*"], [caller.user_id, "*"]
    if caller.user_domain_id == DEFAULT_DOMAIN and (caller.project_domain_id or DEFAULT_DOMAIN) == DEFAULT_DOMAIN:
        projects.append(caller.project_name)
        users.append(caller.user_name)
    return any(f"{project}:{user}" in elements for project in projects for user in users)


def roles(caller: Caller, elements: list[str]) -> bool:
    """Whether one of the elements is a role of the caller's."""
    named = {element.lower() for element in elements}
    return any(role.lower() in named for role in caller.roles)


def parsed(text: str) -> tuple[list[str], list[str]]:
    """The hosts of a list, in order, and its other elements."""
    hosts, others = [], []
    for element in text.split(",") if text else ():
        if element.startswith(".r:"):
            hosts.append(element[3:])
        else:
            others.append(unquote(element))
    return hosts, others


def referred(hosts: list[str], referrer: str) -> bool:
    """Whether a page may lead here: the last host that fits decides."""
    if not hosts:
        return False
    try:
        host = urlsplit(referrer).hostname or "unknown"
    except ValueError:
        host = "unknown"
    allowed = False
    for each in hosts:
        minus, name = each.startswith("-"), each.removeprefix("-")
        if name in {"*", host} or (name.startswith(".") and host.endswith(name)):
            allowed = not minus
    return allowed


def account_list(text: str) -> dict[str, list[str]] | None:
    """An account's list, None where it is not one: `{"admin": […], "read-write": […], "read-only": […]}`."""
    try:
        return msgspec.convert(msgspec.json.decode(text), dict[str, list[str]]) if text else {}
    except msgspec.MsgspecError:
        return None


def checked_account_list(text: str) -> str:
    """An account's list as it is kept. Raises Refused."""
    try:
        value = msgspec.json.decode(text) if text.strip() else {}
    except msgspec.DecodeError:
        raise bad("Syntax error in X-Account-Access-Control") from None
    if not isinstance(value, dict):
        raise bad("X-Account-Access-Control is not a JSON object")
    for key, names in value.items():
        if key not in LEVELS:
            raise bad(f"Key {key!r} in X-Account-Access-Control is not recognized")
        if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
            raise bad(f"Value of {key!r} in X-Account-Access-Control must be a list of strings")
    return msgspec.json.encode(value).decode() if any(value.values()) else ""


def level(caller: Caller, headers: dict[str, str]) -> str:
    """What the account's own list lets a caller do: one of LEVELS, empty for nothing."""
    found = account_list(headers.get("x-account-access-control", "")) or {}
    for name in reversed(LEVELS):
        elements = found.get(name, [])
        if elements and (people(caller, elements) or roles(caller, elements) or caller.user_id in elements):
            return name
    return ""
