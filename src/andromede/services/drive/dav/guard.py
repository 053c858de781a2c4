"""Whether a request may change something: its conditions and others' locks, looked at in the transaction of the change."""

from collections.abc import Sequence

from sqlalchemy import Connection

from andromede.core.errors import BadRequest
from andromede.services.drive.dav import conditions
from andromede.services.drive.dav.call import Call
from andromede.services.drive.dav.conditions import State
from andromede.services.drive.errors import Forbidden
from andromede.services.drive.tree import locks, nodes
from andromede.services.drive.tree.nodes import Node


def proven(call: Call, db: Connection, one: Node | None) -> None:
    """Whether the conditions hold for what the request is for. Raises PreconditionFailed."""
    conditions.prove(call.request.headers, one.etag if one else "", one.mtime if one else None)
    if call.given:
        call.given.prove(lambda path: _state(call, db, path))


def _state(call: Call, db: Connection, path: bytes | None) -> State:
    try:
        names = call.names if path is None else call.target(path)
    except BadRequest:
        names = None
    if names is None:
        return "", frozenset()
    chain = nodes.walk(db, call.space.root_id, names)
    there = len(chain) > len(names)
    return (chain[-1].etag if there else "", frozenset(one.token for one in (locks.on(db, chain) if there else _above(db, chain))))


def _above(db: Connection, chain: Sequence[Node]) -> list[locks.Lock]:
    return [one for one in locks.on(db, chain) if one.infinite]


def changed(call: Call, db: Connection, chain: Sequence[Node], *, deep: bool = False) -> None:
    """Whether the last node of a chain may be changed. Raises Locked, and Forbidden where that is not shared."""
    call.permit(chain)
    locks.guard(db, chain, call.given.tokens, call.person.id, deep=deep and chain[-1].folder)


def put(call: Call, db: Connection, parent: Sequence[Node], before: Node | None) -> None:
    """Whether a file may be put into a folder, or take the place of the one that is called so: `files.Check`. Raises PreconditionFailed, Locked."""
    proven(call, db, before)
    placed(call, db, parent, before)


def placed(call: Call, db: Connection, parent: Sequence[Node], before: Node | None) -> None:
    """The same for a file whose conditions the request does not have."""
    changed(call, db, parent if before is None else [*parent, before])


def replaced(call: Call, db: Connection, parent: Sequence[Node], before: Node | None) -> None:
    """Whether something may come to a folder, in the place of what has its name. Raises Locked."""
    changed(call, db, parent if before is None else [*parent, before], deep=before is not None)


def removed(call: Call, db: Connection, chain: Sequence[Node]) -> None:
    """Whether the last node of a chain may leave its place. Raises Forbidden for the root, Locked."""
    if len(chain) == 1:
        raise Forbidden("The root stays where it is.")
    changed(call, db, chain, deep=True)
    changed(call, db, chain[:-1])
