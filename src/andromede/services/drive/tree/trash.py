"""The trash: what is deleted goes there as it is, and comes back from there with its id, its versions and its properties."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from andromede.core.errors import NotFound
from andromede.services.drive.tables import node, trashed
from andromede.services.drive.tree import locks, names, nodes, room, versions
from andromede.services.drive.tree.nodes import COLUMNS, Node
from andromede.services.drive.tree.spaces import Space

_DAY = 86_400


class Trashed(msgspec.Struct, frozen=True):
    """Something in the trash. node.name is unique there; path: where it was; by: the id of the user who deleted it."""

    node: Node
    path: str
    deleted: int
    by: str

    @property
    def name(self) -> str:
        """What it was called."""
        return self.path.rpartition("/")[2]


def put(db: Connection, where: Space, chain: Sequence[Node], by: str) -> None:
    """Move a node, the last of a chain, to the trash."""
    one, at = chain[-1], nodes.stamp(chain[0])
    bin_ = nodes.by_id(db, where.trash_id)
    assert bin_ is not None
    name = _free(db, bin_, one.name, at.moment)
    locks.drop(db, [one.id])
    db.execute(update(node).where(node.c.id == one.id).values(parent_id=bin_.id, name=name, changed=at.number, placed=at.number))
    db.execute(insert(trashed).values(node_id=one.id, path=nodes.path_of(chain), deleted=at.moment, deleted_by=by))
    nodes.note_gone(db, chain[-2], one.name, at)
    nodes.touch(db, at, (chain[:-1], -one.size), ([bin_], one.size))


def _free(db: Connection, bin_: Node, name: str, moment: int) -> str:
    """A name for something in the trash: its own with the moment; of those that are taken the next moment's."""
    while True:
        end = f".d{moment}"
        taken = name.encode()[: names.NAME - len(end)].decode(errors="ignore") + end
        if nodes.child(db, bin_, taken) is None:
            return taken
        moment += 1


def entries(db: Connection, where: Space) -> list[Trashed]:
    """What is in the trash, the last deleted first."""
    rows = db.execute(
        select(*COLUMNS, trashed.c.path, trashed.c.deleted, trashed.c.deleted_by).join(trashed, trashed.c.node_id == node.c.id)
        .where(node.c.parent_id == where.trash_id).order_by(trashed.c.deleted.desc(), node.c.id.desc())
    )  # fmt: skip
    return [Trashed(Node(*row[:-3]), *row[-3:]) for row in rows]


def find(db: Connection, where: Space, name: str) -> Trashed:
    """What is in the trash under a name. Raises NotFound."""
    row = db.execute(
        select(*COLUMNS, trashed.c.path, trashed.c.deleted, trashed.c.deleted_by).join(trashed, trashed.c.node_id == node.c.id)
        .where(node.c.parent_id == where.trash_id, node.c.name == name)
    ).first()  # fmt: skip
    if row is None:
        raise NotFound("There is no such thing in the trash.")
    return Trashed(Node(*row[:-3]), *row[-3:])


def restore(db: Connection, where: Space, found: Trashed, quota: int) -> tuple[str, ...]:
    """Bring something back to where it was, beside what has its name by now, and to the root where its folder is gone; the path.
    Raises NoRoom."""
    one = found.node
    below = found.path.split("/")[:-1]
    chain = nodes.walk(db, where.root_id, below)
    if len(chain) <= len(below) or not chain[-1].folder:
        chain = chain[:1]
    name, number = found.name, 1
    while nodes.child(db, chain[-1], name) is not None:
        stem, dot, end = found.name.rpartition(".")
        number += 1
        name = f"{stem} ({number}).{end}" if dot and stem and not one.folder else f"{found.name} ({number})"
    names.allow((*[above.name for above in chain[1:]], name))
    bin_ = nodes.by_id(db, where.trash_id)
    assert bin_ is not None
    at = nodes.stamp(chain[0])
    db.execute(delete(trashed).where(trashed.c.node_id == one.id))
    db.execute(update(node).where(node.c.id == one.id).values(parent_id=chain[-1].id, name=name, changed=at.number, placed=at.number))
    nodes.touch(db, at, ([bin_], -one.size))
    room.take(db, where, quota, one.size)
    nodes.touch(db, at, (chain, one.size))
    return (*[above.name for above in chain[1:]], name)


def purge(db: Connection, where: Space, node_id: int) -> None:
    """Remove something that is in the trash for ever, with all below it."""
    one, bin_ = nodes.by_id(db, node_id), nodes.by_id(db, where.trash_id)
    assert one is not None
    assert bin_ is not None
    kept = versions.weight_below(db, [one.id])
    db.execute(delete(node).where(node.c.id.in_(nodes.below([one.id]))))
    if kept:
        room.add_kept(db, where, -kept)
    nodes.touch(db, nodes.stamp(bin_), ([bin_], -one.size))


def empty(db: Connection, where: Space, *, before: int | None = None, most: int = 1 << 30) -> int:
    """Remove everything in the trash for ever, or what was deleted before a moment; how much that was."""
    old = [one for one in entries(db, where) if before is None or one.deleted < before][:most]
    for one in old:
        purge(db, where, one.node.id)
    return len(old)
