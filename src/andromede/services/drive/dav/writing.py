"""PUT, MKCOL, DELETE, COPY, MOVE, and PATCH, which has a checksum found out."""

import mimetypes
from collections.abc import Sequence
from functools import partial

from sqlalchemy import Connection

from andromede.core.errors import BadRequest, CloudError, UnsupportedMedia
from andromede.http.plain import Reply
from andromede.services.drive import checksums
from andromede.services.drive.checksums import Check
from andromede.services.drive.content import SMALL, Stored
from andromede.services.drive.dav import guard
from andromede.services.drive.dav.call import Call, Headers
from andromede.services.drive.errors import Forbidden, Mismatch
from andromede.services.drive.tree import files, moving, names, nodes, room, trash
from andromede.services.drive.tree.nodes import File, Node

PLAIN = "application/octet-stream"


class Elsewhere(CloudError):
    """The destination is not in this tree (RFC 4918, 9.8.5)."""

    status, kind = 502, "BadGateway"


def mime_of(name: str) -> str:
    """The type of a file, by its name."""
    return mimetypes.guess_type(name, strict=False)[0] or PLAIN


def times(call: Call) -> tuple[int | None, int | None, Headers]:
    """The times that come with content, and what is answered to that."""
    mtime, created = call.number("x-oc-mtime"), call.number("x-oc-ctime")
    told = [("X-OC-MTime", "accepted")] if mtime is not None else []
    return mtime, created, told + ([("X-OC-CTime", "accepted")] if created is not None else [])


async def put(call: Call) -> Reply:
    """Put a file where nothing or a file is. The content is durable before the tree names it."""
    request = call.request
    if "content-range" in request.headers:
        raise BadRequest("A part of a file cannot be put.")
    if not call.names:
        raise Forbidden("This is a folder.", status=405)
    names.allow(call.names)
    mtime, created, told = times(call)
    checks = checksums.of_header(call.header("oc-checksum"))
    expected = max(request.length or 0, call.number("oc-total-length") or 0)
    if request.length is None or expected > SMALL:
        await call.dav.desk.read(lambda db: _look(call, db, expected))
    stored = await take(call, checks)
    file = File(stored.size, stored.extents, mime_of(call.names[-1]), mtime, checksums.texts(checks))
    allow = partial(guard.put, call)
    made, new = await call.dav.desk.write(
        lambda db: files.put(db, call.space, call.names, file, quota=call.quota, by=call.person.id, check=allow, created=created)
    )
    told = [*call.told(made), *told]
    return Reply(201 if new else 204, [*told, ("OC-Checksum", made.checksums)] if made.checksums else told)


async def take(call: Call, checks: Sequence[Check]) -> Stored:
    """Keep the body of a request. Raises Mismatch where it is not as long as was announced, or not what `checks` say."""
    stored = await call.dav.content.put(call.space.id, call.request.body(), checks)
    if call.request.length is not None and stored.size != call.request.length:
        raise Mismatch(f"{stored.size} bytes came, and {call.request.length} were announced.")
    checksums.prove(checks)
    return stored


def _look(call: Call, db: Connection, expected: int) -> None:
    """What is wrong with a PUT is said before its bytes are taken, as far as it is known."""
    parent, before = nodes.parents(db, call.space.root_id, call.names)
    guard.put(call, db, parent, before)
    room.look(db, call.space, call.quota, expected - (before.size if before is not None else 0))


async def mkcol(call: Call) -> Reply:
    """Make a folder."""
    if call.request.length != 0:
        raise UnsupportedMedia("MKCOL has no body here.")

    def change(db: Connection) -> Node:
        chain = nodes.walk(db, call.space.root_id, call.names)
        guard.proven(call, db, chain[-1] if len(chain) > len(call.names) else None)
        if len(chain) == len(call.names):
            guard.changed(call, db, chain)
        return nodes.make_folder(db, call.space.root_id, call.names)

    return Reply(201, call.told(await call.dav.desk.write(change)))


async def delete(call: Call) -> Reply:
    """Move something to the trash."""
    if call.depth("infinity") != "infinity":
        raise BadRequest("What is deleted is deleted with all that is in it.")

    def change(db: Connection) -> None:
        chain = nodes.find(db, call.space.root_id, call.names)
        guard.proven(call, db, chain[-1])
        guard.removed(call, db, chain)
        trash.put(db, call.space, chain, call.person.id)

    await call.dav.desk.write(change)
    return Reply(204)


async def copy(call: Call) -> Reply:
    """Copy something to another path."""
    deep = call.depth("infinity")
    if deep == "1":
        raise BadRequest("COPY has the depth 0 or infinity.")
    return await _away(call, keep=True, deep=deep == "infinity")


async def move(call: Call) -> Reply:
    """Move something to another path."""
    if call.depth("infinity") != "infinity":
        raise BadRequest("MOVE has the depth infinity.")
    return await _away(call, keep=False, deep=True)


async def _away(call: Call, *, keep: bool, deep: bool) -> Reply:
    to, overwrite = call.target(call.destination()), call.overwrite()
    if to is None:
        raise Elsewhere("The destination is not in this tree.")

    def change(db: Connection) -> tuple[Node, bool]:
        chain = nodes.find(db, call.space.root_id, call.names)
        guard.proven(call, db, chain[-1])
        if not keep:
            guard.removed(call, db, chain)
        there, before = moving.target(db, call.space, chain, to, overwrite=overwrite)
        guard.replaced(call, db, there, before)
        if keep:
            return moving.copy(db, call.space, chain, to, overwrite=overwrite, by=call.person.id, quota=call.quota, deep=deep)
        return moving.move(db, call.space, chain, to, overwrite=overwrite, by=call.person.id)

    made, new = await call.dav.desk.write(change)
    return Reply(201 if new else 204, call.told(made))


async def patch(call: Call) -> Reply:
    """Find a checksum of a file out, and keep it (`X-Recalculate-Hash`)."""
    kind = call.header("x-recalculate-hash")
    if not kind:
        raise BadRequest("A file is changed with PUT.")
    check = checksums.of_kind(kind)

    def look(db: Connection) -> tuple[Node, bytes]:
        one = nodes.find(db, call.space.root_id, call.names)[-1]
        if one.body_id is None:
            raise Forbidden("A folder has no checksum.")
        return one, nodes.extents_of(db, one.body_id)

    one, extents = await call.dav.desk.read(look)
    async for piece in call.dav.content.read(call.space.id, extents, 0, one.size):
        await call.dav.desk.run(partial(check.update, piece))

    def change(db: Connection) -> None:
        now = nodes.by_id(db, one.id)
        if now is not None and now.body_id == one.body_id:
            nodes.set_checksums(db, now, checksums.with_kind(now.checksums, check.text()))

    await call.dav.desk.write(change)
    return Reply(204, [("OC-Checksum", check.text()), *call.told(one)])


