"""Moving keeps ids, versions and properties; copying makes new nodes over the same content, which is not copied."""

from collections.abc import Sequence

from sqlalchemy import Connection, insert, literal, select, update

from andromede.core.errors import Conflict
from andromede.services.drive.errors import Forbidden, Kept
from andromede.services.drive.tables import node, prop
from andromede.services.drive.tree import locks, names, nodes, room, trash
from andromede.services.drive.tree.nodes import Node, Stamp
from andromede.services.drive.tree.spaces import Space

_TAKEN = ("space_id", "name", "folder", "size", "mtime", "created", "mime", "checksums", "body_id")


def target(
    db: Connection, where: Space, source: Sequence[Node], to: Sequence[str], *, overwrite: bool
) -> tuple[list[Node], Node | None]:  # fmt: skip
    """The chain of the folder that something is to come to, and what has its name there.

    Raises Forbidden where it is the thing itself or the root, Conflict where it is within itself or the folder is missing, Kept where
    something is there that may not be overwritten.
    """
    if len(source) == 1 or not to:
        raise Forbidden("The root stays where it is.")
    names.allow(tuple(to))
    chain, before = nodes.parents(db, where.root_id, to)
    if before is not None and before.id == source[-1].id:
        raise Forbidden("Source and destination are the same.")
    if any(one.id == source[-1].id for one in chain):
        raise Conflict("A folder cannot come to be within itself.")
    if before is not None and any(one.id == before.id for one in source):
        raise Conflict("What is to be replaced holds what is to replace it.")
    if before is not None and not overwrite:
        raise Kept("The destination is there already.")
    return chain, before


def move(db: Connection, where: Space, source: Sequence[Node], to: Sequence[str], *, overwrite: bool, by: str) -> tuple[Node, bool]:
    """Move the last node of a chain to a path of the same space; the node, and whether the path is new. What was there goes to the trash."""
    chain, before = target(db, where, source, to, overwrite=overwrite)
    if before is not None:
        trash.put(db, where, [*chain, before], by)
        chain, _ = nodes.parents(db, where.root_id, to)
        source = nodes.chain_of(db, source[-1])
    one, at = source[-1], nodes.stamp(chain[0])
    locks.drop(db, [one.id])
    db.execute(update(node).where(node.c.id == one.id).values(parent_id=chain[-1].id, name=to[-1], changed=at.number, placed=at.number))
    nodes.note_gone(db, source[-2], one.name, at)
    nodes.touch(db, at, (source[:-1], -one.size), (chain, one.size))
    moved = nodes.by_id(db, one.id)
    assert moved is not None
    return moved, before is None


def copy(
    db: Connection, where: Space, source: Sequence[Node], to: Sequence[str], *, overwrite: bool, by: str, quota: int, deep: bool = True
) -> tuple[Node, bool]:  # fmt: skip
    """Copy the last node of a chain to a path of the same space; the copy, and whether the path is new. deep: with what is in a folder.
    Raises NoRoom besides what `target` raises."""
    chain, before = target(db, where, source, to, overwrite=overwrite)
    one = source[-1]
    size = one.size if deep or not one.folder else 0
    if before is not None:
        trash.put(db, where, [*chain, before], by)
        chain, _ = nodes.parents(db, where.root_id, to)
    room.take(db, where, quota, size)
    at = nodes.stamp(chain[0])
    made = Node(
        0, one.space_id, chain[-1].id, to[-1], one.folder, size, at.etag, at.moment if one.folder else one.mtime, at.moment, one.mime,
        one.checksums, one.body_id, at.number, at.number,
    )  # fmt: skip
    made.id = nodes.place(db, made)
    db.execute(insert(prop).from_select(list(prop.c), select(literal(made.id), prop.c.name, prop.c.value).where(prop.c.node_id == one.id)))
    if deep and one.folder:
        _below(db, one.id, made.id, at)
    nodes.touch(db, at, (chain, size))
    return made, before is None


def _below(db: Connection, from_id: int, to_id: int, at: Stamp) -> None:
    """Copy what is in a folder, folder by folder."""
    waiting = [(from_id, to_id)]
    while waiting:
        old, new = waiting.pop()
        taken = [node.c[name] for name in _TAKEN]
        given = [literal(new), literal(at.etag), literal(at.number), literal(at.number)]
        columns = [*_TAKEN, "parent_id", "etag", "changed", "placed"]
        db.execute(insert(node).from_select(columns, select(*taken, *given).where(node.c.parent_id == old)))
        one, two = node.alias("one"), node.alias("two")
        pairs = select(one.c.id, two.c.id).join(two, two.c.name == one.c.name).where(one.c.parent_id == old, two.c.parent_id == new)
        waiting += [(row[0], row[1]) for row in db.execute(pairs.where(one.c.folder))]
        source = (
            select(two.c.id, prop.c.name, prop.c.value).join(one, one.c.id == prop.c.node_id).join(two, two.c.name == one.c.name)
            .where(one.c.parent_id == old, two.c.parent_id == new)
        )  # fmt: skip
        db.execute(insert(prop).from_select(list(prop.c), source))
