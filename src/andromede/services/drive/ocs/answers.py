"""The envelope of OCS, in XML and JSON, in its versions 1 and 2."""

from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import escape

import msgspec

from andromede.core.errors import CloudError
from andromede.http.plain import Reply

OK_1, OK_2 = 100, 200
_V1 = {401: 997, 403: 403, 404: 404, 400: 400, 429: 429}
_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")


class Data(msgspec.Struct, frozen=True):
    """What a handler answers: data, and headers that go with it; status: of HTTP in version 2 where it is not 200."""

    data: Any = None
    headers: list[tuple[str, str]] = []
    status: int = 200


def reply(version: int, json: bool, found: Data) -> Reply:
    """An answer that went well."""
    code = OK_1 if version == 1 else found.status
    return _reply(version, json, found.data if found.data is not None else [], "ok", code, "OK", 200 if version == 1 else found.status, found.headers)


def failure(version: int, json: bool, fault: CloudError) -> Reply:
    """An answer that says what went wrong. Version 1 says it within, but for missing proof."""
    code = _V1.get(fault.status, 996 if fault.status >= 500 else fault.status) if version == 1 else fault.status
    status = fault.status if version == 2 or fault.status in {401, 429} or fault.status >= 500 else 200
    return _reply(version, json, [], "failure", code, fault.message, status, list(fault.headers.items()))


def _reply(version: int, json: bool, data: Any, status: str, code: int, message: str, http: int, headers: list[tuple[str, str]]) -> Reply:
    meta: dict[str, Any] = {"status": status, "statuscode": code, "message": message}
    if version == 1:
        meta |= {"totalitems": "", "itemsperpage": ""}
    whole = {"meta": meta, "data": data}
    kind = "application/json" if json else "application/xml"
    body = msgspec.json.encode({"ocs": whole}) if json else b'<?xml version="1.0"?>\n<ocs>' + "".join(_xml(whole)).encode() + b"</ocs>\n"
    fixed = [("Content-Type", f"{kind}; charset=utf-8"), ("Cache-Control", "no-store")]
    return Reply(http, [*fixed, *headers], body)


def _xml(value: Any) -> Iterator[str]:
    """The content of an element: maps by their names, lists as `element`, true as 1, false and nothing as empty."""
    if isinstance(value, dict):
        for key, one in value.items():
            name = key if set(key) <= _NAME and not key[:1].isdigit() and key[:1] not in "-." else "element"
            yield f"<{name}>"
            yield from _xml(one)
            yield f"</{name}>"
    elif isinstance(value, list | tuple):
        for one in value:
            yield "<element>"
            yield from _xml(one)
            yield "</element>"
    elif value is True:
        yield "1"
    elif value is not None and value is not False:
        yield escape("".join(letter for letter in str(value) if letter >= " " or letter in "\t\n\r"))
