"""Locks of RFC 4918: who holds one says who else may write. Those that ran out are not there any more."""

from collections.abc import Collection, Sequence

import msgspec
from sqlalchemy import Connection, bindparam, delete, insert, select, update

from andromede.core.errors import Conflict
from andromede.core.ids import new_id
from andromede.services.drive.errors import Locked
from andromede.services.drive.tables import lock
from andromede.services.drive.tree import nodes
from andromede.services.drive.tree.nodes import Node

MOST = 7 * 86_400
"""Seconds for which a lock may be had."""
_COLUMNS = (
    lock.c.token, lock.c.node_id, lock.c.user_id, lock.c.owner, lock.c.infinite, lock.c.shared, lock.c.seconds, lock.c.expires, lock.c.created,
)  # fmt: skip
_ON = select(*_COLUMNS).where(lock.c.node_id.in_(bindparam("ids", expanding=True)), lock.c.expires > bindparam("moment"))


class Lock(msgspec.Struct, frozen=True):
    """A lock that holds. owner: XML that its client sent; infinite: it holds for all below too."""

    token: str
    node_id: int
    user_id: str
    owner: str
    infinite: bool
    shared: bool
    seconds: int
    expires: int
    created: int


def on(db: Connection, chain: Sequence[Node]) -> list[Lock]:
    """The locks that hold for a node, the last of a chain: its own and those of folders above that reach down to it."""
    ids = [one.id for one in chain]
    found = [Lock(*row) for row in db.execute(_ON, {"ids": ids, "moment": nodes.seconds()})]
    return [one for one in found if one.infinite or one.node_id == ids[-1]]


def of(db: Connection, ids: Sequence[int]) -> dict[int, list[Lock]]:
    """The locks of each of some nodes."""
    made: dict[int, list[Lock]] = {}
    for at in range(0, len(ids), 500):
        for row in db.execute(_ON, {"ids": ids[at : at + 500], "moment": nodes.seconds()}):
            made.setdefault(row[1], []).append(Lock(*row))
    return made


def below(db: Connection, node_id: int) -> list[Lock]:
    """The locks of everything below a node, and its own."""
    query = select(*_COLUMNS).where(lock.c.expires > nodes.seconds())
    if db.execute(query.limit(1)).first() is None:
        return []
    return [Lock(*row) for row in db.execute(query.where(lock.c.node_id.in_(nodes.below([node_id]))))]


def guard(db: Connection, chain: Sequence[Node], tokens: Collection[str], user_id: str, *, deep: bool = False) -> None:
    """Whether a user may write to the last node of a chain with these tokens. deep: and to everything below it. Raises Locked."""
    held = on(db, chain)
    if deep:
        held += below(db, chain[-1].id)
    _allow(held, tokens, user_id)


def _allow(held: Sequence[Lock], tokens: Collection[str], user_id: str) -> None:
    mine = [one for one in held if one.token in tokens and one.user_id == user_id]
    places = {one.node_id for one in mine}
    if any(one not in mine and not (one.shared and one.node_id in places) for one in held):
        raise Locked("Somebody has locked this.")


def take(
    db: Connection, chain: Sequence[Node], user_id: str, owner: str, *, infinite: bool, shared: bool, seconds: int
) -> Lock:  # fmt: skip
    """Lock the last node of a chain. Raises Locked where another lock does not allow it."""
    held = on(db, chain)
    if infinite and chain[-1].folder:
        held += below(db, chain[-1].id)
    if any(not (one.shared and shared) for one in held):
        raise Locked("Somebody has locked this, or something in it.")
    moment = nodes.seconds()
    seconds = max(1, min(seconds, MOST))
    made = Lock(f"opaquelocktoken:{new_id()}", chain[-1].id, user_id, owner, infinite, shared, seconds, moment + seconds, moment)
    db.execute(delete(lock).where(lock.c.expires <= moment))
    db.execute(insert(lock).values(**msgspec.structs.asdict(made)))
    return made


def refresh(db: Connection, chain: Sequence[Node], tokens: Collection[str], user_id: str, seconds: int) -> Lock:
    """Have a lock hold longer. Raises Conflict (412 to the client) where none of the tokens is one's own here."""
    for one in on(db, chain):
        if one.token in tokens and one.user_id == user_id:
            seconds = max(1, min(seconds, MOST))
            expires = nodes.seconds() + seconds
            db.execute(update(lock).where(lock.c.token == one.token).values(seconds=seconds, expires=expires))
            return msgspec.structs.replace(one, seconds=seconds, expires=expires)
    raise Conflict("There is no such lock here.", status=412)


def release(db: Connection, chain: Sequence[Node], token: str, user_id: str) -> None:
    """Give up a lock. Raises Conflict where it is not here, Locked where it is somebody else's."""
    for one in on(db, chain):
        if one.token == token:
            if one.user_id != user_id:
                raise Locked("Somebody else holds this lock.", status=403)
            db.execute(delete(lock).where(lock.c.token == token))
            return
    raise Conflict("There is no such lock here.")


def drop(db: Connection, ids: Sequence[int]) -> None:
    """Forget the locks of nodes, and of everything below them, since they are elsewhere now."""
    if db.execute(select(lock.c.token).limit(1)).first() is not None:
        db.execute(delete(lock).where(lock.c.node_id.in_(nodes.below(ids))))
