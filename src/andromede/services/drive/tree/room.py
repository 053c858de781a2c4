"""Quota: what is in the tree may take that much. The trash and earlier versions have what is left, and go, oldest first, where room
is needed."""

import msgspec
from sqlalchemy import Connection, bindparam, func, select, update

from andromede.core.units import show_bytes
from andromede.services.drive.errors import NoRoom
from andromede.services.drive.tables import node, space, trashed, upload, version
from andromede.services.drive.tree.spaces import Space

_BOTH = select(
    select(node.c.size).where(node.c.id == bindparam("root")).scalar_subquery(),
    select(node.c.size).where(node.c.id == bindparam("trash")).scalar_subquery(),
    space.c.kept, space.c.quota,
).where(space.c.id == bindparam("space"))  # fmt: skip
_PORTION = 50


class Usage(msgspec.Struct, frozen=True):
    """Bytes: of files, of the trash, of earlier versions, and what files may take."""

    files: int
    trash: int
    versions: int
    quota: int

    @property
    def free(self) -> int:
        """Bytes that files may take besides."""
        return max(0, self.quota - self.files)


def usage(db: Connection, where: Space, quota: int) -> Usage:
    """What a space holds. quota: where it has none of its own."""
    files, trash, kept, own = db.execute(_BOTH, {"root": where.root_id, "trash": where.trash_id, "space": where.id}).one()
    return Usage(files, trash, kept, quota if own is None else own)


def look(db: Connection, where: Space, quota: int, more: int) -> None:
    """Whether that many bytes may come, as far as is known before they do. Raises NoRoom."""
    found = usage(db, where, quota)
    if more > 0 and found.files + more > found.quota:
        raise NoRoom(f"This needs {show_bytes(more)}, and of {show_bytes(found.quota)} only {show_bytes(found.free)} are free.")


def pending(db: Connection, where: Space) -> int:
    """Bytes of uploads that are not finished."""
    return int(db.execute(select(func.coalesce(func.sum(upload.c.size), 0)).where(upload.c.space_id == where.id)).scalar_one())


def take(db: Connection, where: Space, quota: int, more: int) -> None:
    """Have that many bytes come to the tree: the trash and versions make room for them. Raises NoRoom."""
    if more <= 0:
        return
    from andromede.services.drive.tree import trash, versions

    found = usage(db, where, quota)
    if found.files + more > found.quota:
        raise NoRoom(f"This needs {show_bytes(more)}, and of {show_bytes(found.quota)} only {show_bytes(found.free)} are free.")
    while (found.trash or found.versions) and found.files + found.trash + found.versions + more > found.quota:
        rows = db.execute(
            select(trashed.c.node_id).join(node, node.c.id == trashed.c.node_id)
            .where(node.c.parent_id == where.trash_id, node.c.size > 0).order_by(trashed.c.deleted, trashed.c.node_id).limit(1)
        ).all()  # fmt: skip
        if rows:
            trash.purge(db, where, rows[0][0])
        else:
            old = db.execute(
                select(version.c.id).join(node, node.c.id == version.c.node_id)
                .where(node.c.space_id == where.id).order_by(version.c.mtime, version.c.id).limit(_PORTION)
            ).all()  # fmt: skip
            if not old:
                break
            for (version_id,) in old:
                versions.remove(db, where, version_id)
        found = usage(db, where, quota)


def add_kept(db: Connection, where: Space, more: int) -> None:
    """Count bytes of earlier versions."""
    db.execute(update(space).where(space.c.id == where.id).values(kept=space.c.kept + more))
