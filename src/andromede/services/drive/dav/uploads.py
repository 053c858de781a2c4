"""Uploads in parts: MKCOL of a folder, PUT of its parts, MOVE of `.file` in it to where the whole belongs.

Source: the Nextcloud developer manual, "Chunked file upload". Names of parts as of both versions of it are taken.
"""

from collections.abc import Sequence
from functools import partial

from sqlalchemy import Connection

from andromede.core.errors import BadRequest, MethodNotAllowed, NotFound
from andromede.http.plain import Reply
from andromede.services.drive import checksums
from andromede.services.drive.dav import finding, guard, writing
from andromede.services.drive.dav.call import Call
from andromede.services.drive.dav.props import http_date, simple
from andromede.services.drive.dav.shared import Shared, put_of
from andromede.services.drive.dav.xml import d, oc
from andromede.services.drive.tree import files, names, nodes, room, uploads
from andromede.services.drive.tree.nodes import File, Node

WHOLE = ".file"


async def answer(call: Call) -> Reply:
    """A request below /uploads/USER."""
    method, depth = call.request.method, len(call.names)
    if method == "PROPFIND":
        return await _list(call)
    if method == "MKCOL" and depth == 1:
        return await _begin(call)
    if method == "PUT" and depth == 2:
        return await _part(call)
    if method == "MOVE" and depth == 2 and call.names[1] == WHOLE:
        return await _finish(call)
    if method == "DELETE" and depth in {1, 2}:
        await call.dav.desk.write(lambda db: uploads.drop(db, call.space, *call.names))
        return Reply(204)
    raise MethodNotAllowed("An upload is made with MKCOL, PUT and MOVE.", headers={"Allow": "OPTIONS, PROPFIND, MKCOL, PUT, MOVE, DELETE"})


async def _begin(call: Call) -> Reply:
    total = call.number("oc-total-length") or 0
    target = call.target(call.destination()) if call.header("destination") else ()
    if target is None:
        raise BadRequest("The destination is not in this tree.")
    if target:
        names.allow(target)
    names.allow(call.names)

    def change(db: Connection) -> None:
        room.look(db, call.space, call.quota, _needed(db, call, target, total))
        uploads.begin(db, call.space, call.names[0], "/".join(target))

    await call.dav.desk.write(change)
    return Reply(201)


def _needed(db: Connection, call: Call, target: Sequence[str], total: int) -> int:
    """Bytes that a whole adds to the tree."""
    chain = nodes.walk(db, call.space.root_id, target)
    return total - (chain[-1].size if target and len(chain) > len(target) and not chain[-1].folder else 0)


async def _part(call: Call) -> Reply:
    request, (name, part) = call.request, call.names
    uploads.order(part)
    checks = checksums.of_header(call.header("oc-checksum"))
    total = call.number("oc-total-length") or 0

    def look(db: Connection) -> None:
        up = uploads.find(db, call.space, name)
        target = up.target.split("/") if up.target else ()
        room.look(db, call.space, call.quota, _needed(db, call, target, max(total, room.pending(db, call.space) + (request.length or 0))))

    await call.dav.desk.read(look)
    stored = await writing.take(call, checks)
    made, new = await call.dav.desk.write(lambda db: uploads.keep(db, call.space, name, part, stored.size, stored.extents))
    return Reply(201 if new else 204, [("ETag", f'"{made.etag}"'), ("OC-ETag", f'"{made.etag}"')])


async def _finish(call: Call) -> Reply:
    to, total = call.target(call.destination()), call.number("oc-total-length")
    if not to:
        raise BadRequest("The destination is not a file in this tree.")
    mtime, created, told = writing.times(call)
    checks = checksums.of_header(call.header("oc-checksum"))
    other = put_of(call, to)
    if other is not None:
        return await _finish_there(call, other, total)
    allow = partial(guard.put, Call(call.dav, call.request, call.person, call.space, call.base, to))

    def change(db: Connection) -> tuple[Node, bool]:
        size, extents = uploads.whole(db, call.space, call.names[0], total)
        said = " ".join(f"{check.kind}:{check.expected}" for check in checks)
        file = File(size, extents, writing.mime_of(to[-1]), mtime, said)
        made = files.put(db, call.space, to, file, quota=call.quota, by=call.person.id, check=allow, created=created)
        uploads.drop(db, call.space, call.names[0])
        return made

    made, new = await call.dav.desk.write(change)
    return Reply(201 if new else 204, [*call.told(made), *told])


async def _finish_there(call: Call, other: Shared, total: int | None) -> Reply:
    """The whole belongs into what another shares: its bytes come to be the other's."""
    mtime, created, told = writing.times(call)
    checks, name = checksums.of_header(call.header("oc-checksum")), other.names[-1]
    size, extents = await call.dav.desk.read(lambda db: uploads.whole(db, call.space, call.names[0], total))
    await call.dav.desk.read(lambda db: room.look(db, other.space, call.quota, size))
    stored = await call.dav.content.put(other.space.id, call.dav.content.read(call.space.id, extents, 0, size), checks)
    checksums.prove(checks)
    file, allow = File(stored.size, stored.extents, writing.mime_of(name), mtime, checksums.texts(checks)), partial(guard.put, other)

    def change(db: Connection) -> tuple[Node, bool]:
        made = files.put(db, other.space, other.names, file, quota=call.quota, by=call.person.id, check=allow, created=created)
        uploads.drop(db, call.space, call.names[0])
        return made

    made, new = await call.dav.desk.write(change)
    return Reply(201 if new else 204, [*call.told(made), *told])


async def _list(call: Call) -> Reply:
    asked, _ = await finding.asked(call)
    depth = call.depth("1")

    def look(db: Connection) -> str:
        folder = (d("resourcetype"), "<d:collection/>")
        if not call.names:
            found = [(call.href((), folder=True), [folder])]
            if depth != "0":
                found += [(call.href((up.name,), folder=True), [folder]) for up in uploads.every(db, call.space)]
            return "".join(simple(*one, asked) for one in found)
        up = uploads.find(db, call.space, call.names[0])
        parts = uploads.parts(db, up)
        if len(call.names) > 1:
            parts = [one for one in parts if one.name == call.names[1]]
            if not parts or len(call.names) > 2:
                raise NotFound("There is no such part.")
            made = []
        else:
            made = [simple(call.href((up.name,), folder=True), [folder, (d("getlastmodified"), http_date(up.created))], asked)]
        for one in parts if depth != "0" or len(call.names) > 1 else ():
            about = [
                (d("resourcetype"), ""), (d("getcontentlength"), str(one.size)), (oc("size"), str(one.size)),
                (d("getetag"), f"&quot;{one.etag}&quot;"), (d("getlastmodified"), http_date(one.mtime)),
            ]  # fmt: skip
            made.append(simple(call.href((up.name, one.name)), about, asked))
        return "".join(made)

    return finding.multistatus(await call.dav.desk.read(look))
