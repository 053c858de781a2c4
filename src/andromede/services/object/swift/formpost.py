"""FormPOST: files that a browser sends from a form, whose fields carry a signature. Source: the Swift documentation, "FormPost"."""

import hmac
from collections.abc import AsyncIterator
from email.message import Message
from urllib.parse import quote

from andromede.core.clock import now
from andromede.core.errors import CloudError
from andromede.http.plain import Reply
from andromede.services.object.model import Object
from andromede.services.object.swift import metadata, tempurl, writing
from andromede.services.object.swift.answers import PLAIN, Refused, line, page
from andromede.services.object.swift.call import Call

VALUE, HEADERS, PARTS = 4096, 16 << 10, 1000
"""Bytes of a field, of a part's headers, and how many parts a form may have."""


def _header(text: str) -> tuple[str, dict[str, str]]:
    """A header's value and its parameters."""
    message = Message()
    message["x"] = text
    pairs = message.get_params(header="x") or [("", "")]
    return pairs[0][0].lower(), {str(key).lower(): value if isinstance(value, str) else value[2] for key, value in pairs[1:]}


def is_form(call: Call) -> bool:
    """Whether a POST is a browser's form."""
    return call.headers.get("content-type").lower().startswith("multipart/form-data") and "boundary" in call.headers.get("content-type").lower()


class _Form:
    """The parts of a body, one after another. Source: RFC 7578."""

    def __init__(self, body: AsyncIterator[bytes], boundary: bytes) -> None:
        self._body, self._mark, self._buffer, self._over = body, b"\r\n--" + boundary, bytearray(b"\r\n"), False

    async def _more(self) -> None:
        chunk = await anext(self._body, b"")
        if not chunk:
            raise Refused(400, "FormPost: unexpected end of the form", plain=True)
        self._buffer += chunk

    async def begin(self) -> None:
        """Come to the first part. Raises Refused."""
        while len(self._buffer) < len(self._mark):
            await self._more()
        if not self._buffer.startswith(self._mark):
            raise Refused(400, "FormPost: invalid starting boundary", plain=True)

    async def headers(self) -> dict[str, str] | None:
        """The headers of the next part, None after the last."""
        del self._buffer[: len(self._mark)]
        while len(self._buffer) < 2:
            await self._more()
        if self._buffer.startswith(b"--"):
            return None
        while (at := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > HEADERS:
                raise Refused(400, "FormPost: headers are too large", plain=True)
            await self._more()
        lines = bytes(self._buffer[:at]).decode("utf-8", "replace").split("\r\n")
        del self._buffer[: at + 4]
        self._buffer[:0] = b"" if not self._buffer.startswith(self._mark[2:]) else b"\r\n"
        return {name.strip().lower(): value.strip() for name, _, value in (one.partition(":") for one in lines if ":" in one)}

    async def data(self) -> AsyncIterator[bytes]:
        """The bytes of the present part."""
        while (at := self._buffer.find(self._mark)) < 0:
            ready = len(self._buffer) - len(self._mark)
            if ready > 0:
                piece = bytes(self._buffer[:ready])
                del self._buffer[:ready]
                yield piece
            await self._more()
        if at:
            piece = bytes(self._buffer[:at])
            del self._buffer[:at]
            yield piece


async def post(call: Call) -> Reply:
    """Put the files of a form. The answer is a text, or leads to `redirect`."""
    if not call.container:
        raise Refused(401, "FormPost: Invalid Signature")
    boundary = _header(call.headers.get("content-type"))[1].get("boundary", "")
    if not boundary or len(boundary) > 200:
        raise Refused(400, "FormPost: invalid starting boundary", plain=True)
    form = _Form(call.request.body(), boundary.encode("utf-8", "surrogateescape"))
    await form.begin()
    fields: dict[str, str] = {}
    status, text, body = 0, "", b""
    count = 0
    for _part in range(PARTS):
        headers = await form.headers()
        if headers is None:
            break
        kind, names = _header(headers.get("content-disposition", ""))
        if kind == "form-data" and names.get("filename"):
            count += 1
            if count > _number(fields, "max_file_count"):
                status, text = 400, "Max File Count Exceeded"
                break
            status, body = await _file(call, form, fields, names["filename"], headers)
            if status // 100 != 2:
                break
        else:
            value = b"".join([piece async for piece in _capped(form.data(), VALUE)])
            if names.get("name"):
                fields[names["name"].lower()] = value.decode("utf-8", "replace").rstrip("\r\n-")
    if not status:
        status, text = 400, "No Files To Process"
    return _answer(fields, status, text, body)


async def _capped(pieces: AsyncIterator[bytes], most: int) -> AsyncIterator[bytes]:
    """As many bytes as are kept of a field; the rest is passed over."""
    async for piece in pieces:
        if most > 0:
            yield piece[:most]
        most -= len(piece)


def _answer(fields: dict[str, str], status: int, text: str, body: bytes) -> Reply:
    target = fields.get("redirect", "")
    if not target:
        told = f"{line(status)}\r\nFormPost: {text}" if text else line(status)
        return Reply(status, [PLAIN], body if status // 100 != 2 and body else told.encode())
    where = f"{target}{'&' if '?' in target else '?'}status={status}&message={quote(text.lower())}"
    where = quote(where, safe="/:?&=%#+,;@!$'()*[]~")
    page_ = f'<html><body><p><a href="{where}">Click to continue...</a></p></body></html>'
    return Reply(303, [("Location", where)], page_.encode())


def _number(fields: dict[str, str], name: str, text: str = "") -> int:
    value = fields.get(name) or "0"
    try:
        return int(value) if len(value) < 20 else 0
    except ValueError:
        raise Refused(400, f"FormPost: {text or name + ' not an integer'}", plain=True) from None


def _proven(call: Call, fields: dict[str, str]) -> str | None:
    """The container that the form's signature is for, None for the whole account. Raises Refused."""
    if _number(fields, "expires", "expired not an integer") < now().timestamp():
        raise Refused(401, "FormPost: Form Expired")
    found = tempurl.digest(fields.get("signature", ""))
    values = [fields.get(name) or default for name, default in (("redirect", ""), ("max_file_size", "0"), ("max_file_count", "0"), ("expires", "0"))]
    text = "\n".join([call.request.path.decode(), *values])
    if found is not None and found[0] in call.settings.digests:
        for key, container in tempurl.keys(call):
            if hmac.compare_digest(tempurl.signature(key, found[0], text), found[1]):
                return container
    raise Refused(401, "FormPost: Invalid Signature")


async def _file(call: Call, form: _Form, fields: dict[str, str], filename: str, headers: dict[str, str]) -> tuple[int, bytes]:
    most = _number(fields, "max_file_size")
    scope = _proven(call, fields)
    name = (call.name + filename) if call.name else filename
    one = call.at(call.account_name, call.container, name, "PUT", {})
    one.caller, one.granted, one.scope = None, call.account, scope

    async def pieces() -> AsyncIterator[bytes]:
        size = 0
        async for piece in form.data():
            size += len(piece)
            if size > most:
                raise Refused(400, "FormPost: max_file_size exceeded", plain=True)
            yield piece

    kept = {}
    encoding = fields.get("content-encoding") or headers.get("content-encoding")
    if encoding and metadata.sendable(encoding):
        kept["content-encoding"] = encoding
    content_type = fields.get("content-type") or headers.get("content-type") or "application/octet-stream"
    try:
        if not metadata.valid(name):
            raise Refused(412, "Invalid UTF8 or contains NULL")
        if not metadata.sendable(content_type):
            raise Refused(400, "Invalid Content-Type", plain=True)
        writing.named(one, name)
        thing = Object(content_type=content_type, headers=kept, delete_at=_delete_at(fields))
        await writing.store(one, writing.writable(one), name, thing, pieces(), None, etag="")
    except Refused as fault:
        if fault.text.startswith("FormPost"):
            raise
        return fault.status, fault.text.encode() or page(fault.status)
    except CloudError as fault:
        return fault.status, b""
    return 201, b""


def _delete_at(fields: dict[str, str]) -> int:
    moment = int(now().timestamp())
    at = 0
    if "x_delete_at" in fields:
        at = _number(fields, "x_delete_at", "x_delete_at not an integer: Unix timestamp required.")
    if "x_delete_after" in fields:
        at = moment + _number(fields, "x_delete_after", "x_delete_after not an integer: Number of seconds required.")
    if at and at <= moment:
        raise Refused(400, "X-Delete-At in past", plain=True)
    return min(at, metadata.LATEST)
