"""Nodes: finding them, making and replacing them, and the one way in which a change becomes known to everything above it.

A chain is the list of nodes from a space's root to a node. Whoever changes a node finds its chain in the same transaction, makes a
`Stamp` of its root, and gives the chain of its parent to `touch`.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import Connection, CursorResult, Select, bindparam, case, delete, insert, select, update

from andromede.core.clock import now
from andromede.core.errors import Conflict, NotFound
from andromede.core.ids import random_bytes
from andromede.services.drive.errors import Exists
from andromede.services.drive.tables import body, gone, node
from andromede.services.drive.tree import names as names_of

COLUMNS = tuple(node.c)
_CHILD = select(*COLUMNS).where(node.c.parent_id == bindparam("parent"), node.c.name == bindparam("name"))
_BY_ID = select(*COLUMNS).where(node.c.id == bindparam("id"))


class Node(msgspec.Struct, array_like=True):
    """A row of `drive_node`, in the order of its columns."""

    id: int
    space_id: str
    parent_id: int | None
    name: str
    folder: bool
    size: int
    etag: str
    mtime: int
    created: int
    mime: str
    checksums: str
    body_id: int | None
    changed: int
    placed: int


class Stamp(msgspec.Struct, frozen=True):
    """One change of a space: the etag that all have whom it touches, its number, and its moment."""

    etag: str
    number: int
    moment: int


class File(msgspec.Struct, frozen=True):
    """What a file is to be. extents: as in `drive_body`; mtime: None for now; checksums: as `SHA1:… MD5:…`."""

    size: int
    extents: bytes
    mime: str
    mtime: int | None = None
    checksums: str = ""


def seconds() -> int:
    """The present, as nodes have it."""
    return int(now().timestamp())


def new_etag() -> str:
    """An etag that never was."""
    return random_bytes(16).hex()


def stamp(root: Node) -> Stamp:
    """The next change of the space of a root."""
    return Stamp(new_etag(), root.changed + 1, seconds())


def by_id(db: Connection, node_id: int) -> Node | None:
    """A node wherever it is, in the tree or in the trash."""
    row = db.execute(_BY_ID, {"id": node_id}).first()
    return None if row is None else Node(*row)


def child(db: Connection, parent: Node, name: str) -> Node | None:
    """What is called so in a folder."""
    row = db.execute(_CHILD, {"parent": parent.id, "name": name}).first()
    return None if row is None else Node(*row)


def walk(db: Connection, root_id: int, names: Sequence[str]) -> list[Node]:
    """The chain from the root along the names, as far as it is there."""
    first = names[:_JOINED]
    row = db.execute(_chain(len(first)), {"root": root_id} | {f"name_{depth}": name for depth, name in enumerate(first)}).first()
    if row is None:
        raise NotFound("There is no such space any more.")
    chain = [Node(*row[at : at + _WIDTH]) for at in range(0, len(row), _WIDTH) if row[at] is not None]
    if len(chain) > len(first):
        for name in names[_JOINED:]:
            found = child(db, chain[-1], name)
            if found is None:
                break
            chain.append(found)
    return chain


_JOINED, _WIDTH = 16, len(COLUMNS)


@cache
def _chain(count: int) -> Select[Any]:
    """A query for the root and what is below it along so many names, in one row; what is not there is NULL."""
    above = node.alias("n")
    columns, joined = list(above.c), above
    made: Any = joined
    for depth in range(count):
        below = node.alias(f"n{depth}")
        made = made.outerjoin(below, (below.c.parent_id == above.c.id) & (below.c.name == bindparam(f"name_{depth}")))
        columns += list(below.c)
        above = below
    return select(*columns).select_from(made).where(joined.c.id == bindparam("root"))


def find(db: Connection, root_id: int, names: Sequence[str]) -> list[Node]:
    """The chain to what is at a path. Raises NotFound."""
    chain = walk(db, root_id, names)
    if len(chain) <= len(names):
        raise NotFound(f"There is nothing at /{'/'.join(names)}.")
    return chain


def parents(db: Connection, root_id: int, names: Sequence[str]) -> tuple[list[Node], Node | None]:
    """The chain to the folder that a path's last name is in, and what it is the name of. Raises Conflict where the folder is missing."""
    chain = walk(db, root_id, names)
    if len(chain) > len(names):
        return chain[:-1], chain[-1]
    if len(chain) < len(names) or not chain[-1].folder:
        raise Conflict(f"There is no folder /{'/'.join(names[:-1])} to put it in.")
    return chain, None


def chain_of(db: Connection, one: Node) -> list[Node]:
    """The chain to a node, from the top: the root of its space, or of its space's trash."""
    chain = [one]
    while chain[-1].parent_id is not None:
        above = by_id(db, chain[-1].parent_id)
        assert above is not None
        chain.append(above)
    return chain[::-1]


def path_of(chain: Sequence[Node]) -> str:
    """The path of a chain, without slashes at its ends."""
    return "/".join(one.name for one in chain[1:])


def children(db: Connection, parent: Node, *, after: str = "", limit: int = 1 << 30, folders: bool = False) -> list[Node]:
    """What is in a folder, by name. after: only names beyond it; folders: only those."""
    query = select(*COLUMNS).where(node.c.parent_id == parent.id).order_by(node.c.name).limit(limit)
    if after:
        query = query.where(node.c.name > after)
    if folders:
        query = query.where(node.c.folder)
    return [Node(*row) for row in db.execute(query)]


_TOUCH = (
    update(node)
    .where(node.c.id.in_(bindparam("ids", expanding=True)))
    .values(
        etag=bindparam("to_etag"), size=node.c.size + bindparam("delta"), changed=bindparam("number"),
        mtime=case((node.c.id == bindparam("direct"), bindparam("moment")), else_=node.c.mtime),
    )
)  # fmt: skip


def touch(db: Connection, at: Stamp, *chains: tuple[Sequence[Node], int], named: bool = True) -> None:
    """Make a change known to the folders above it: each chain with the bytes that came to it. named: the last folder of each has other
    names now, and another mtime by that. The nodes of the chains are changed too."""
    deltas: dict[int, int] = {}
    direct = {chain[-1].id for chain, _ in chains} if named else set()
    for chain, delta in chains:
        for one in chain:
            deltas[one.id] = deltas.get(one.id, 0) + delta
            one.etag, one.changed, one.size = at.etag, at.number, one.size + delta
            if one.id in direct:
                one.mtime = at.moment
    groups: dict[tuple[int, int], list[int]] = {}
    for node_id, delta in deltas.items():
        groups.setdefault((delta, node_id if node_id in direct and len(direct) > 1 else 0), []).append(node_id)
    for (delta, alone), ids in groups.items():
        given = {"ids": ids, "to_etag": at.etag, "delta": delta, "number": at.number, "moment": at.moment}
        db.execute(_TOUCH, {**given, "direct": alone or next(iter(direct), 0)})


_BODY = insert(body)
_NODE = insert(node)
_REPLACE = (
    update(node)
    .where(node.c.id == bindparam("at"))
    .values({name: bindparam(f"to_{name}") for name in ("size", "etag", "mtime", "mime", "checksums", "body_id", "changed")})
)


def keep_body(db: Connection, space_id: str, size: int, extents: bytes) -> int:
    """Note content; its id."""
    return _id(db.execute(_BODY, {"space_id": space_id, "size": size, "extents": extents}))


def _id(result: CursorResult[Any]) -> int:
    made = result.inserted_primary_key
    assert made is not None
    return int(made[0])


def make(db: Connection, parent: Sequence[Node], name: str, at: Stamp, file: File | None = None, created: int | None = None) -> Node:
    """Make a file, or a folder where none is given, in the folder of a chain, in which nothing is called so."""
    above = parent[-1]
    names_of.allow((*[one.name for one in parent[1:]], name))
    size = file.size if file else 0
    body_id = keep_body(db, above.space_id, file.size, file.extents) if file else None
    made = Node(
        0, above.space_id, above.id, name, file is None, size, at.etag, file.mtime if file and file.mtime is not None else at.moment,
        at.moment if created is None else created, file.mime if file else "", file.checksums if file else "", body_id, at.number, at.number,
    )  # fmt: skip
    made.id = place(db, made)
    touch(db, at, (parent, size))
    return made


def place(db: Connection, one: Node) -> int:
    """Insert a node as it is, except for its id; the id."""
    values = {name: getattr(one, name) for name in Node.__struct_fields__ if name != "id"}
    return _id(db.execute(_NODE, values))


def make_folder(db: Connection, root_id: int, names: Sequence[str]) -> Node:
    """A new folder. Raises Exists, Conflict where the folder that it is to be in is missing, and what `names.allow` raises."""
    if not names:
        raise Exists("There is a folder already.")
    parent, before = parents(db, root_id, names)
    if before is not None:
        raise Exists("There is something of that name already.")
    return make(db, parent, names[-1], stamp(parent[0]))


def replace(db: Connection, parent: Sequence[Node], before: Node, file: File, at: Stamp) -> Node:
    """Give a file other content; what it had is the caller's to keep."""
    size = file.size - before.size
    body_id = keep_body(db, before.space_id, file.size, file.extents)
    mtime = at.moment if file.mtime is None else file.mtime
    db.execute(
        _REPLACE,
        {
            "at": before.id, "to_size": file.size, "to_etag": at.etag, "to_mtime": mtime, "to_mime": file.mime,
            "to_checksums": file.checksums, "to_body_id": body_id, "to_changed": at.number,
        },
    )  # fmt: skip
    touch(db, at, (parent, size), named=False)
    return msgspec.structs.replace(
        before, size=file.size, etag=at.etag, mtime=mtime, mime=file.mime, checksums=file.checksums, body_id=body_id, changed=at.number
    )


def set_times(db: Connection, chain: Sequence[Node], *, mtime: int | None = None, created: int | None = None) -> None:
    """Give a node, the last of a chain, other times."""
    one, at = chain[-1], stamp(chain[0])
    one.mtime, one.created = one.mtime if mtime is None else mtime, one.created if created is None else created
    one.etag, one.changed = at.etag, at.number
    db.execute(update(node).where(node.c.id == one.id).values(mtime=one.mtime, created=one.created, etag=at.etag, changed=at.number))
    if len(chain) > 1:
        touch(db, at, (chain[:-1], 0), named=False)


def set_checksums(db: Connection, one: Node, checksums: str) -> None:
    """Note what the content's checksums are."""
    db.execute(update(node).where(node.c.id == one.id).values(checksums=checksums))


def extents_of(db: Connection, body_id: int) -> bytes:
    """The chunks of content."""
    return bytes(db.execute(select(body.c.extents).where(body.c.id == body_id)).scalar_one())


def note_gone(db: Connection, parent: Node, name: str, at: Stamp) -> None:
    """Remember, for those who ask what changed, that a name left a folder."""
    db.execute(delete(gone).where(gone.c.parent_id == parent.id, gone.c.name == name))
    db.execute(insert(gone).values(parent_id=parent.id, name=name, changed=at.number))


def below(ids: Iterable[int]) -> Select[tuple[int]]:
    """The ids of nodes and of everything below them, as a query."""
    tree = select(node.c.id).where(node.c.id.in_(list(ids))).cte("tree", recursive=True)
    return select(tree.union_all(select(node.c.id).join(tree, node.c.parent_id == tree.c.id)).c.id)
