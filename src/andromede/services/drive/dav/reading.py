"""GET and HEAD: the content of a file, or a part of it."""

from urllib.parse import quote

from sqlalchemy import Connection

from andromede.core.errors import MethodNotAllowed
from andromede.http.plain import Reply
from andromede.services.drive.dav import conditions
from andromede.services.drive.dav.call import Call, Headers
from andromede.services.drive.dav.props import http_date
from andromede.services.drive.tree import nodes
from andromede.services.drive.tree.nodes import Node
from andromede.services.drive.tree.versions import Version

SAFE: Headers = [("X-Content-Type-Options", "nosniff"), ("Content-Security-Policy", "sandbox; default-src 'none'")]
"""What keeps a browser from running what somebody put here."""


async def get(call: Call) -> Reply:
    """What is at a path."""

    def look(db: Connection) -> tuple[Node, bytes]:
        one = nodes.find(db, call.space.root_id, call.names)[-1]
        return one, nodes.extents_of(db, one.body_id) if one.body_id is not None and call.request.method == "GET" else b""

    one, extents = await call.dav.desk.read(look)
    headers = [("ETag", f'"{one.etag}"'), ("OC-ETag", f'"{one.etag}"'), ("Last-Modified", http_date(one.mtime))]
    if one.folder:
        if call.request.method == "HEAD":
            return Reply(200, [*headers, ("Content-Type", "httpd/unix-directory"), ("Content-Length", "0")])
        raise MethodNotAllowed("This is a folder: it is listed with PROPFIND.", headers={"Allow": call.dav.allowed(folder=True)})
    if conditions.unmodified(call.request.headers, one.etag, one.mtime):
        return Reply(304, headers)
    headers += [("OC-FileId", call.dav.oc_id(one.id)), ("Accept-Ranges", "bytes"), *SAFE]
    headers.append(("Content-Disposition", f"attachment; filename*=UTF-8''{quote(one.name, safe='')}"))
    if one.checksums:
        headers.append(("OC-Checksum", one.checksums.split()[0]))
    return content(call, headers, extents, one.size, one.mime, one.etag, one.mtime)


def beside(call: Call, extents: bytes, one: Node | Version) -> Reply:
    """What is not in the tree any more, or was before."""
    headers = [("ETag", f'"{one.etag}"'), ("Last-Modified", http_date(one.mtime)), ("Accept-Ranges", "bytes"), *SAFE]
    headers.append(("Content-Disposition", "attachment"))
    return content(call, headers, extents, one.size, one.mime, one.etag, one.mtime)


def content(call: Call, headers: Headers, extents: bytes, size: int, mime: str, etag: str, mtime: int) -> Reply:
    """An answer with content, or the part of it that is asked for. Several parts are not given: then it is all of it."""
    headers = [*headers, ("Content-Type", mime or "application/octet-stream")]
    wanted, unless = call.header("range"), call.header("if-range").strip()
    if unless and unless.strip('"') != etag and conditions.when(unless) != mtime:
        wanted = ""
    found = conditions.ranges(wanted, size) if wanted and call.request.method == "GET" else None
    if found is not None and not found:
        return Reply(416, [*headers[:3], ("Content-Range", f"bytes */{size}")])
    status, start, stop = 200, 0, size
    if found is not None and len(found) == 1:
        status, (start, stop) = 206, found[0]
        headers.append(("Content-Range", f"bytes {start}-{stop - 1}/{size}"))
    headers.append(("Content-Length", str(stop - start)))
    if call.request.method == "HEAD" or start == stop:
        return Reply(status, headers)
    return Reply(status, headers, stream=call.dav.content.read(call.space.id, extents, start, stop))
