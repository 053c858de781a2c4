"""Listings: what is asked for, and the three forms in which lines are written."""

from typing import Any
from urllib.parse import unquote
from xml.sax.saxutils import escape, quoteattr

import msgspec

from andromede.http.plain import Reply
from andromede.services.object.swift.answers import Pairs, Refused, true
from andromede.services.object.swift.call import Call

FORMATS = {"json": "application/json", "xml": "application/xml", "plain": "text/plain"}
OFFERED = ("text/plain", "application/json", "application/xml", "text/xml")
Line = dict[str, Any]


class Asked(msgspec.Struct, frozen=True):
    """What a listing is asked for. start, stop: between which names, both left out, in the order of names whatever `reverse` is."""

    limit: int
    prefix: str
    delimiter: str
    start: str
    stop: str
    marker: str
    reverse: bool
    path: str | None


def asked(call: Call) -> Asked:
    """From the query. Raises Refused."""
    query, most = call.query, call.settings.listing_limit
    text = query.get("limit", "")
    limit = int(text) if text.isdigit() and text.isascii() and len(text) < 18 else most
    if limit > most:
        raise Refused(412, f"Maximum limit is {most}")
    if any("\0" in value for value in query.values()):
        raise Refused(400, "Invalid UTF8 or contains NULL")
    marker, end, reverse = query.get("marker", ""), query.get("end_marker", ""), true(query.get("reverse"))
    start, stop = (end, marker) if reverse else (marker, end)
    prefix, delimiter, path = query.get("prefix", ""), query.get("delimiter", ""), query.get("path")
    if path is not None:
        prefix, delimiter = (path.rstrip("/") + "/" if path else ""), "/"
    return Asked(limit, prefix, delimiter, start, stop, marker, reverse, path)


def accepted(header: str, offered: tuple[str, ...]) -> str | None:
    """The best of what is offered, None where nothing is acceptable. Raises ValueError. Source: RFC 9110, 12.5.1."""
    if not header:
        return offered[0]
    best, chosen = 0.0, None
    weights = []
    for each in header.split(","):
        name, *parameters = (part.strip() for part in each.split(";"))
        kind, slash, sub = name.partition("/")
        if name == "*":
            kind, slash, sub = "*", "/", "*"
        if not slash or not kind or not sub or (kind == "*" and sub != "*") or " " in name:
            raise ValueError(name)
        q = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip().lower() == "q":
                q = float(value.strip().strip('"'))
        weights.append((kind.lower(), sub.lower(), q))
    for offer in offered:
        kind, _, sub = offer.partition("/")
        fits = [(w[0] != "*", w[1] != "*", w[2]) for w in weights if w[0] in {kind, "*"} and w[1] in {sub, "*"}]
        if fits:
            q = max(fits)[2]
            if q > best:
                best, chosen = q, offer
    return chosen


def form(call: Call) -> str:
    """The media type to answer in. Raises Refused: 400, 406."""
    wanted = call.query.get("format")
    if wanted:
        return FORMATS.get(wanted.lower(), "text/plain")
    try:
        found = accepted(call.headers.get("accept"), OFFERED)
    except ValueError:
        raise Refused(400, "Invalid Accept header") from None
    if found is None:
        raise Refused(406)
    return found


def answer(call: Call, media: str, headers: Pairs, lines: list[Line], title: tuple[str, str]) -> Reply:
    """A listing. title: of the XML document, its element and what is listed."""
    headers = vary(call, [("Content-Type", media + "; charset=utf-8"), *headers])
    if media == "application/json":
        return Reply(200, headers, msgspec.json.encode(lines))
    if media.endswith("/xml"):
        return Reply(200, headers, _xml(lines, *title))
    body = "".join([(line.get("name") or line.get("subdir") or "") + "\n" for line in lines])
    return Reply(200 if body else 204, [*headers, ("Content-Length", "0")] if not body else headers, body.encode())


def head(call: Call, media: str, status: int, headers: Pairs) -> Reply:
    """The answer to a HEAD of something that can be listed."""
    return Reply(status, vary(call, [("Content-Type", media + "; charset=utf-8"), ("Content-Length", "0"), *headers]))


def vary(call: Call, headers: Pairs) -> Pairs:
    """With word of what the form depends on."""
    return headers if "format" in call.query else [*headers, ("Vary", "Accept")]


_OBJECT = ("name", "hash", "bytes", "content_type", "last_modified")
_CONTAINER = ("name", "count", "bytes", "last_modified", "storage_policy")


def _xml(lines: list[Line], element: str, name: str) -> bytes:
    account = element == "account"
    tag, fields, between = ("container", _CONTAINER, "\n") if account else ("object", _OBJECT, "")
    out = [f'<?xml version="1.0" encoding="UTF-8"?>\n<{element} name={quoteattr(name)}>{between}']
    for line in lines:
        if "subdir" in line:
            name = line["subdir"]
            inner = "" if account else f"<name>{escape(name)}</name>"
            out.append(f"<subdir name={quoteattr(name)}>{inner}</subdir>{between}" if inner else f"<subdir name={quoteattr(name)} />{between}")
        else:
            values = "".join(f"<{field}>{escape(str(line[field]))}</{field}>" for field in fields)
            out.append(f"<{tag}>{values}</{tag}>{between}")
    if len(out) == 1 and not account:
        return f'<?xml version="1.0" encoding="UTF-8"?>\n<{element} name={quoteattr(name)} />'.encode()
    out.append(f"</{element}>")
    return "".join(out).encode()


def two_names(text: str, fault: str) -> tuple[str, str]:
    """The container and the object that a header names, quoted. Raises Refused."""
    path = unquote(text)
    container, slash, name = path.removeprefix("/").partition("/")
    if not container or not slash or not name or "\0" in path or not _utf8(path):
        raise Refused(412, fault)
    return container, name


def _utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
