"""Many small files in one request: `multipart/related`, each part with its path, length and checksum; the answer tells of each.

The content of parts is kept while the next ones come in, and all of them come to the tree in one transaction.
"""

import asyncio
from collections.abc import AsyncIterator
from email.message import Message
from functools import partial

import msgspec
from sqlalchemy import Connection

from andromede.core.errors import BadRequest, CloudError
from andromede.http.plain import Reply
from andromede.services.drive import checksums
from andromede.services.drive.content import SMALL
from andromede.services.drive.dav import guard, writing
from andromede.services.drive.dav.call import FILE, Call
from andromede.services.drive.dav.shared import put_of
from andromede.services.drive.tree import files, names
from andromede.services.drive.tree.nodes import File

MOST = 1000
"""Files that one request may have."""
_HEAD, _AT_ONCE = 16 << 10, 32


class _Body:
    """The body of a request, read piece by piece."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces, self._buffer = pieces, bytearray()

    async def _more(self) -> None:
        piece = await anext(self._pieces, None)
        if piece is None:
            raise BadRequest("The body ends before its last part does.")
        self._buffer += piece

    async def line_end(self, mark: bytes, most: int) -> bytes:
        """What comes before a mark, which is taken too."""
        while (at := self._buffer.find(mark)) < 0:
            if len(self._buffer) > most:
                raise BadRequest("The headers of a part are too long.")
            await self._more()
        found = bytes(self._buffer[:at])
        del self._buffer[: at + len(mark)]
        return found

    async def take(self, size: int) -> AsyncIterator[bytes]:
        """The next bytes."""
        while size:
            if not self._buffer:
                await self._more()
            piece = bytes(self._buffer[:size])
            del self._buffer[: len(piece)]
            size -= len(piece)
            yield piece


class _Part(msgspec.Struct):
    path: str
    call: Call | None = None
    """The request as it is for this part: in one's own tree, or in what another shares."""
    file: File | None = None
    error: str = ""


async def post(call: Call) -> Reply:
    """Put what the parts of the body are."""
    kind = Message()
    kind["content-type"] = call.header("content-type")
    boundary = kind.get_param("boundary")
    if kind.get_content_type() != "multipart/related" or not isinstance(boundary, str) or not boundary:
        raise BadRequest("The body is a multipart/related.")
    body, parts, tasks = _Body(call.request.body()), list[_Part](), list[asyncio.Task[None]]()
    await body.line_end(b"--" + boundary.encode(), _HEAD)
    room = asyncio.Semaphore(_AT_ONCE)
    try:
        while not (await body.line_end(b"\n", _HEAD)).startswith(b"--"):
            if len(parts) >= MOST:
                raise BadRequest(f"A request may have {MOST} files.")
            head = _fields((await body.line_end(b"\r\n\r\n", _HEAD)).decode("utf-8", "replace"))
            part = _Part(head.get("x-file-path", ""))
            parts.append(part)
            size = head.get("content-length", "")
            if not (size.isascii() and size.isdigit() and len(size) < 15):
                raise BadRequest("A part has no Content-Length.")
            data = body.take(int(size))
            if int(size) > SMALL:
                await _keep(call, part, head, data, int(size))
            else:
                whole = b"".join([piece async for piece in data])
                await room.acquire()
                task = asyncio.create_task(_keep(call, part, head, _once(whole), int(size)))
                task.add_done_callback(lambda _: room.release())
                tasks.append(task)
            await body.line_end(b"--" + boundary.encode(), _HEAD)
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    found = await call.dav.desk.write(lambda db: [_put(call, db, part) for part in parts])
    told = {part.path: one for part, one in zip(parts, found, strict=True)}
    return Reply(200, [("Content-Type", "application/json")], msgspec.json.encode(told))


def _fields(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.split("\r\n"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _keep(call: Call, part: _Part, head: dict[str, str], data: AsyncIterator[bytes], size: int) -> None:
    """Keep the content of a part; what is wrong with it alone is noted, and its bytes are passed over."""
    try:
        path = names.split(part.path)
        if not path:
            raise BadRequest("A part has no X-File-Path.")
        names.allow(path)
        part.call = put_of(call, path) or Call(call.dav, call.request, call.person, call.space, call.base, path)
        said = head.get("oc-checksum") or (f"MD5:{head['x-file-md5']}" if head.get("x-file-md5") else "")
        checks = checksums.of_header(said)
        if not checks:
            raise BadRequest("A part has neither X-File-MD5 nor OC-Checksum.")
        mtime = head.get("x-file-mtime", "").partition(".")[0]
        moment = int(mtime) if mtime.isascii() and mtime.isdigit() and len(mtime) < 16 else None
    except CloudError as error:
        part.error = error.message
        async for _ in data:
            pass
        return
    stored = await call.dav.content.put(part.call.space.id, data, checks)
    try:
        checksums.prove(checks)
    except CloudError as error:
        part.error = error.message
        return
    assert stored.size == size
    part.file = File(stored.size, stored.extents, writing.mime_of(path[-1]), moment, checksums.texts(checks))


def _put(call: Call, db: Connection, part: _Part) -> dict[str, object]:
    at = part.call
    if part.file is None or at is None:
        return {"error": True, "message": part.error}
    try:
        with db.begin_nested():
            made, _ = files.put(db, at.space, at.names, part.file, quota=call.quota, by=call.person.id, check=partial(guard.placed, at))
    except CloudError as error:
        return {"error": True, "message": error.message}
    return {"error": False, "etag": made.etag, "fileid": call.dav.oc_id(made.id), "permissions": FILE}
