"""TempURL: a URL that itself proves that somebody with a key of the account's or the container's allows the request.

The signature is over method, moment and path (or a prefix of it, and an IP range). Source: the Swift documentation, "TempURL".
"""

import base64
import binascii
import calendar
import hmac
import ipaddress
import time
from urllib.parse import quote

from andromede.core.clock import now
from andromede.http.plain import Reply
from andromede.services.object.swift.answers import Refused, date_of
from andromede.services.object.swift.call import Call
from andromede.services.object.swift.info import METHODS

_INVALID = "401 Unauthorized: Temp URL invalid\n"
_REFUSED = ("x-object-manifest", "x-symlink-target")
_HEAD = ("HEAD", "GET", "POST", "PUT")
SIZES = {20: "sha1", 32: "sha256", 64: "sha512"}
_KEYS = ("temp-url-key", "temp-url-key-2")
Key = tuple[str, str | None]
"""A key, and the container that it is for, None for the whole account."""


def grant(call: Call) -> None:
    """Let the request do what its signature allows. Raises Refused where it allows nothing."""
    if call.method == "OPTIONS":
        return
    query = call.query
    until = moment(query.get("temp_url_expires", ""))
    found = digest(query.get("temp_url_sig", ""))
    prefix, addresses = query.get("temp_url_prefix"), query.get("temp_url_ip_range", "")
    root = call.method in {"GET", "HEAD"} and prefix == "" and bool(call.container)
    if not until or found is None or found[0] not in call.settings.digests or call.method not in METHODS:
        raise _invalid(call)
    if not (root or call.name.strip("/")) or (addresses and not _within(call.request.remote, addresses)):
        raise _invalid(call)
    if prefix is not None and not call.name.startswith(prefix):
        raise _invalid(call)
    named = f"/v1/{call.account_name}/{call.container}/"
    path = f"{named}{call.name}" if prefix is None else f"prefix:{named}{prefix}"
    name, given = found
    for key, container in keys(call):
        for method in _HEAD if call.method == "HEAD" else (call.method,):
            if hmac.compare_digest(signature(key, name, f"{method}\n{until}\n{path}", addresses), given):
                _admit(call, container)
                return
    raise _invalid(call)


def _admit(call: Call, container: str | None) -> None:
    if call.method not in {"GET", "HEAD"}:
        for header in _REFUSED:
            if header in call.headers:
                raise Refused(400, f"The header {header.title()!r} is not allowed in this tempurl")
    call.caller, call.granted, call.scope = None, call.account, container
    kept = ("temp_url_expires", "temp_url_prefix", "filename", "inline")
    call.grant = {name: call.query[name] for name in kept if name in call.query}
    call.query = {}


def signature(key: str, name: str, text: str, addresses: str = "") -> bytes:
    """What a request is signed with."""
    whole = f"ip={addresses}\n{text}" if addresses else text
    return hmac.digest(key.encode(), whole.encode(), name)


def keys(call: Call) -> list[Key]:
    """The keys of the account and of the container."""
    account = call.account_headers()
    out: list[Key] = [(account[name], None) for each in _KEYS if (name := f"x-account-meta-{each}") in account]
    place = call.place() if call.container else None
    kept = place.container.headers if place else {}
    return out + [(kept[name], call.container) for each in _KEYS if (name := f"x-container-meta-{each}") in kept]


def digest(text: str) -> tuple[str, bytes] | None:
    """A signature and the algorithm it is of: hexadecimal, or `ALGORITHM:BASE64`."""
    name, colon, rest = text.partition(":")
    try:
        if colon:
            raw = base64.b64decode(rest.replace("-", "+").replace("_", "/") + "=" * (-len(rest) % 4), validate=True)
            return (name, raw) if SIZES.get(len(raw)) == name else None
        raw = bytes.fromhex(text)
    except (ValueError, binascii.Error):
        return None
    return (SIZES[len(raw)], raw) if len(raw) in SIZES else None


def moment(text: str) -> int:
    """When a signature ends, from seconds or an ISO 8601 text; 0 where that is over, or no moment."""
    if text.isascii() and text.isdigit() and len(text) < 13:
        value = int(text)
    else:
        value = 0
        for form in ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"):
            try:
                value = calendar.timegm(time.strptime(text, form))
                break
            except (ValueError, OverflowError):
                continue
    return value if value >= now().timestamp() else 0


def _within(address: str, addresses: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(addresses)
    except ValueError:
        return False


def _invalid(call: Call) -> Refused:
    headers = [("Www-Authenticate", 'Swift realm="unknown"')]
    return Refused(401, _INVALID if call.method != "HEAD" else "", headers=headers)


def cleaned(call: Call, reply: Reply) -> Reply:
    """An answer without what is not for everybody, and with the name that a browser shall save it under."""
    reply.headers = [
        (name, value)
        for name, value in reply.headers
        if not name.lower().startswith("x-object-meta-") or name.lower().startswith("x-object-meta-public-")
    ]
    if call.method not in {"GET", "HEAD"} or reply.status // 100 != 2:
        return reply
    filename, inline = call.grant.get("filename", ""), "inline" in call.grant
    there = next((value for name, value in reply.headers if name == "Content-Disposition"), "")
    if inline or filename:
        kind = "inline" if inline else "attachment"
        value = disposition(kind, filename) if filename else kind
    else:
        value = there or disposition("attachment", call.name.rstrip("/").rpartition("/")[2])
    until = moment(call.grant.get("temp_url_expires", ""))
    reply.headers = [pair for pair in reply.headers if pair[0] not in {"Content-Disposition", "Expires"}]
    reply.headers += [("Content-Disposition", value.replace("\n", "%0A").replace("\r", "%0D")), ("Expires", date_of(until))]
    return reply


def disposition(kind: str, filename: str) -> str:
    """`attachment; filename="…"`, in both forms."""
    return f"{kind}; filename=\"{quote(filename, safe=' /')}\"; filename*=UTF-8''{quote(filename)}"
