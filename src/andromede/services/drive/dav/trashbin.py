"""The trash as a tree: `trash` holds what was deleted, and what is moved to `restore` goes back to where it was."""

from sqlalchemy import Connection

from andromede.core.errors import MethodNotAllowed, NotFound
from andromede.http.plain import Reply
from andromede.services.drive.dav import finding, reading
from andromede.services.drive.dav.call import Call
from andromede.services.drive.dav.props import Reader, simple
from andromede.services.drive.dav.xml import d, element, escape, nc
from andromede.services.drive.errors import Forbidden
from andromede.services.drive.tree import nodes, trash
from andromede.services.drive.tree.nodes import Node
from andromede.services.drive.tree.trash import Trashed

TRASH, RESTORE = "trash", "restore"


async def answer(call: Call) -> Reply:
    """A request below /trashbin/USER."""
    method, at = call.request.method, call.names
    if method == "PROPFIND":
        return await _list(call)
    if not at or at[0] != TRASH:
        raise MethodNotAllowed("What is deleted is in `trash`.", headers={"Allow": "OPTIONS, PROPFIND"})
    if method in {"GET", "HEAD"} and len(at) > 1:
        return await _get(call)
    if method == "DELETE" and len(at) == 1:
        await call.dav.desk.write(lambda db: trash.empty(db, call.space))
        return Reply(204)
    if method == "DELETE" and len(at) == 2:
        await call.dav.desk.write(lambda db: trash.purge(db, call.space, trash.find(db, call.space, at[1]).node.id))
        return Reply(204)
    if method == "MOVE" and len(at) == 2:
        if f"/trashbin/{call.base.rpartition('/')[2]}/{RESTORE}/".encode() not in call.destination():
            raise Forbidden("What is in the trash is moved to `restore`.")
        await call.dav.desk.write(lambda db: trash.restore(db, call.space, trash.find(db, call.space, at[1]), call.quota))
        return Reply(201)
    raise MethodNotAllowed(
        "What is in the trash is restored, or removed for ever.", headers={"Allow": "OPTIONS, PROPFIND, GET, HEAD, DELETE, MOVE"}
    )


def _find(db: Connection, call: Call) -> tuple[Trashed, Node]:
    """What was deleted, and what of it is asked for."""
    top = trash.find(db, call.space, call.names[1])
    one = top.node
    for name in call.names[2:]:
        found = nodes.child(db, one, name) if one.folder else None
        if found is None:
            raise NotFound("There is no such thing in the trash.")
        one = found
    return top, one


async def _get(call: Call) -> Reply:
    def look(db: Connection) -> tuple[Node, bytes]:
        _, one = _find(db, call)
        if one.body_id is None:
            raise MethodNotAllowed("This is a folder: it is listed with PROPFIND.")
        return one, nodes.extents_of(db, one.body_id)

    one, extents = await call.dav.desk.read(look)
    return reading.beside(call, extents, one)


async def _list(call: Call) -> Reply:
    asked, _ = await finding.asked(call)
    depth, at = call.depth("1"), call.names
    folder = [(d("resourcetype"), "<d:collection/>")]
    if not at or at == (RESTORE,):
        found = [(call.href(at, folder=True), folder)]
        if not at and depth != "0":
            found += [(call.href((name,), folder=True), folder) for name in (RESTORE, TRASH)]
        return finding.multistatus("".join(simple(*one, asked) for one in found))
    if at[0] != TRASH:
        raise NotFound("There is nothing here.")

    def look(db: Connection) -> str:
        reader = Reader(call, asked)
        if len(at) == 1:
            made = [simple(call.href(at, folder=True), folder, asked)]
            tops = trash.entries(db, call.space) if depth != "0" else []
            many = [(top, top.node, top.node.name) for top in tops]
        else:
            top, one = _find(db, call)
            made, many = [], [(top, one, "")]
            if one.folder and depth != "0":
                many += [(top, child, child.name) for child in nodes.children(db, one)]
        reader.learn(db, [one for _, one, _ in many])
        for top, one, name in many:
            reader.add(one.id, _about(top, one, call.names[2:] + ((name,) if name and len(at) > 1 else ())))
            made.append(reader.entry(one, call.href((*at, name) if name else at, folder=one.folder)))
        return "".join(made)

    return finding.multistatus(await call.dav.desk.read(look))


def _about(top: Trashed, one: Node, below: tuple[str, ...]) -> dict[str, str]:
    """What is told of something in the trash besides what is told of all nodes."""
    path = "/".join((top.path, *below))
    said = {
        "trashbin-filename": escape(top.name if one.id == top.node.id else one.name), "trashbin-original-location": escape(path),
        "trashbin-title": escape(path.rpartition("/")[2]), "trashbin-deletion-time": str(top.deleted),
        "trashbin-deleted-by-id": escape(top.by),
    }  # fmt: skip
    return {nc(name): element(nc(name), value) for name, value in said.items()}
