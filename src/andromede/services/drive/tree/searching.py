"""Looking for nodes below a folder by what their rows say."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, func, select

from andromede.services.drive.tables import node
from andromede.services.drive.tree.nodes import COLUMNS, Node

MOST = 10_000
"""Nodes that are found at once."""
Path = tuple[str, ...]


def below(
    db: Connection, top: Node, where: ColumnElement[bool], *, deep: bool = True, order: Sequence[ColumnElement[object]] = (),
    limit: int = 100, offset: int = 0,
) -> list[tuple[Node, Path]]:  # fmt: skip
    """The nodes below a folder that meet a condition, with their paths from it."""
    if deep:
        tree = select(node.c.id).where(node.c.parent_id == top.id).cte("tree", recursive=True)
        tree = tree.union_all(select(node.c.id).join(tree, node.c.parent_id == tree.c.id))
        query = select(*COLUMNS).where(node.c.id.in_(select(tree.c.id)))
    else:
        query = select(*COLUMNS).where(node.c.parent_id == top.id)
    query = query.where(where).order_by(*order, node.c.id).limit(min(limit, MOST)).offset(offset)
    return placed(db, top, [Node(*row) for row in db.execute(query)])


def among(db: Connection, top: Node, ids: Sequence[int]) -> list[tuple[Node, Path]]:
    """Those of some nodes that are below a folder, with their paths from it."""
    found: list[Node] = []
    for at in range(0, len(ids), 500):
        query = select(*COLUMNS).where(node.c.id.in_(ids[at : at + 500]), node.c.space_id == top.space_id)
        found += [Node(*row) for row in db.execute(query)]
    return placed(db, top, found)


def placed(db: Connection, top: Node, many: Sequence[Node]) -> list[tuple[Node, Path]]:
    """Nodes with their paths from a folder; those that are not below it are left out."""
    known: dict[int, tuple[int | None, str]] = {one.id: (one.parent_id, one.name) for one in many}
    missing = {one.parent_id for one in many if one.parent_id is not None} - known.keys()
    while missing:
        ids = list(missing)
        missing = set()
        for at in range(0, len(ids), 500):
            query = select(node.c.id, node.c.parent_id, node.c.name).where(node.c.id.in_(ids[at : at + 500]))
            for node_id, parent_id, name in db.execute(query):
                known[node_id] = (parent_id, name)
                if parent_id is not None and node_id != top.id:
                    missing.add(parent_id)
        missing -= known.keys()
    made = []
    for one in many:
        path: list[str] = []
        at_id: int | None = one.id
        while at_id is not None and at_id != top.id:
            at_id, name = known[at_id]
            path.append(name)
        if at_id == top.id and path:
            made.append((one, tuple(reversed(path))))
    return made


def like(column: ColumnElement[str], pattern: str) -> ColumnElement[bool]:
    """Whether a text is like a pattern of SEARCH, `%` for any characters and `_` for one, in whatever case."""
    return func.lower(column).like(pattern.lower(), escape="\\")
