"""Earlier versions of files: `versions/ID` holds those of a file, and what is moved to `restore` becomes the file again."""

from sqlalchemy import Connection

from andromede.core.errors import MethodNotAllowed, NotFound
from andromede.http.plain import Reply
from andromede.services.drive.dav import finding, guard, reading
from andromede.services.drive.dav.call import Call
from andromede.services.drive.dav.props import http_date, simple
from andromede.services.drive.dav.xml import MOST, d, escape, nc, oc, parse, propstat, text
from andromede.services.drive.errors import Forbidden
from andromede.services.drive.tree import nodes, versions
from andromede.services.drive.tree.nodes import Node
from andromede.services.drive.tree.versions import Version

VERSIONS, RESTORE = "versions", "restore"
_LABEL = 500


async def answer(call: Call) -> Reply:
    """A request below /versions/USER."""
    method, at = call.request.method, call.names
    if method == "PROPFIND" and len(at) <= 2:
        return await _list(call)
    if len(at) != 3 or at[0] != VERSIONS:
        raise NotFound("There is nothing here.")
    if method in {"GET", "HEAD"}:
        return await _get(call)
    if method == "MOVE":
        return await _restore(call)
    if method == "DELETE":
        await call.dav.desk.write(lambda db: versions.remove(db, call.space, _find(db, call)[1].id))
        return Reply(204)
    if method == "PROPPATCH":
        return await _label(call)
    allowed = "OPTIONS, PROPFIND, PROPPATCH, GET, HEAD, DELETE, MOVE"
    raise MethodNotAllowed("A version is read, restored, named or removed.", headers={"Allow": allowed})


def _number(name: str) -> int:
    if not (name.isascii() and name.isdigit() and len(name) < 10):
        raise NotFound("There is no such file, or no such version.")
    return int(name)


def _file(db: Connection, call: Call) -> Node:
    """The file that the path names. Raises NotFound."""
    one = nodes.by_id(db, _number(call.names[1]))
    if one is None or one.space_id != call.space.id or one.folder:
        raise NotFound("There is no such file.")
    return one


def _find(db: Connection, call: Call) -> tuple[Node, Version]:
    one = _file(db, call)
    return one, versions.find(db, one.id, _number(call.names[2]))


async def _get(call: Call) -> Reply:
    def look(db: Connection) -> tuple[Version, bytes]:
        _, found = _find(db, call)
        return found, nodes.extents_of(db, found.body_id)

    found, extents = await call.dav.desk.read(look)
    return reading.beside(call, extents, found)


async def _restore(call: Call) -> Reply:
    if f"/versions/{call.base.rpartition('/')[2]}/{RESTORE}/".encode() not in call.destination():
        raise Forbidden("A version is moved to `restore`.")

    def change(db: Connection) -> Node:
        one, found = _find(db, call)
        chain = nodes.chain_of(db, one)
        if chain[0].id != call.space.root_id:
            raise Forbidden("What is in the trash is restored first.")
        guard.changed(call, db, chain)
        return versions.restore(db, call.space, chain, found, call.quota, call.person.id)

    return Reply(201, call.told(await call.dav.desk.write(change)))


async def _label(call: Call) -> Reply:
    root = parse(await call.request.read(MOST), d("propertyupdate"))
    label = root.find(f"{d('set')}/{d('prop')}/{nc('version-label')}")
    if label is None or len(text(label)) > _LABEL:
        raise Forbidden("Of a version its label can be set, to a short text.")

    def change(db: Connection) -> None:
        versions.name(db, _find(db, call)[1].id, text(label))

    await call.dav.desk.write(change)
    stat = propstat(["<nc:version-label/>"], "200 OK")
    return finding.multistatus(f"<d:response><d:href>{escape(call.href(call.names))}</d:href>{stat}</d:response>")


async def _list(call: Call) -> Reply:
    asked, _ = await finding.asked(call)
    depth, at = call.depth("1"), call.names
    folder = [(d("resourcetype"), "<d:collection/>")]
    made = [simple(call.href(at, folder=True), folder, asked)]
    if not at and depth != "0":
        made += [simple(call.href((name,), folder=True), folder, asked) for name in (RESTORE, VERSIONS)]
    if at and at[0] not in {VERSIONS, RESTORE}:
        raise NotFound("There is nothing here.")
    if len(at) == 2:
        found = await call.dav.desk.read(lambda db: versions.of(db, _file(db, call).id))
        for one in found if depth != "0" else ():
            about = [
                (d("resourcetype"), ""), (d("getcontentlength"), str(one.size)), (d("getcontenttype"), escape(one.mime)),
                (d("getlastmodified"), http_date(one.mtime)), (d("getetag"), f"&quot;{one.etag}&quot;"), (oc("size"), str(one.size)),
                (nc("version-label"), escape(one.label)), (nc("version-author"), escape(one.author)), (nc("has-preview"), "false"),
            ]  # fmt: skip
            made.append(simple(call.href((*at, str(one.id))), about, asked))
    return finding.multistatus("".join(made))
