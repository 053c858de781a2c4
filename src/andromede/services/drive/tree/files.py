"""Files with their content: what a PUT does to the tree."""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from andromede.services.drive.errors import Exists
from andromede.services.drive.tree import nodes, room, versions
from andromede.services.drive.tree.nodes import File, Node
from andromede.services.drive.tree.spaces import Space

Check = Callable[[Connection, Sequence[Node], Node | None], None]
"""Raises unless something may be put into the folder of a chain, in the place of what has its name there."""


def put(
    db: Connection, where: Space, names: Sequence[str], file: File, *, quota: int, by: str, check: Check, created: int | None = None
) -> tuple[Node, bool]:  # fmt: skip
    """Put a file at a path; the node, and whether it is new. What it had before becomes a version.

    Raises Exists where a folder is there, Conflict where the folder to put it in is missing, NoRoom, and what `check` raises.
    """
    if not names:
        raise Exists("This is a folder.")
    parent, before = nodes.parents(db, where.root_id, names)
    check(db, parent, before)
    if before is None:
        room.take(db, where, quota, file.size)
        return nodes.make(db, parent, names[-1], nodes.stamp(parent[0]), file, created), True
    if before.folder:
        raise Exists("A folder has that name.")
    if file.size == before.size and before.body_id is not None and nodes.extents_of(db, before.body_id) == file.extents:
        return nodes.replace(db, parent, before, file, nodes.stamp(parent[0])), False
    room.take(db, where, quota, file.size - before.size)
    versions.keep(db, where, before, by)
    return nodes.replace(db, parent, before, file, nodes.stamp(parent[0])), False
