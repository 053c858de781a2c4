"""Earlier versions of files: kept when a file gets other content, thinned out as they grow old, unless somebody gave them a label."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from andromede.core.errors import NotFound
from andromede.services.drive.tables import version
from andromede.services.drive.tree import nodes, room
from andromede.services.drive.tree.nodes import File, Node
from andromede.services.drive.tree.spaces import Space

_STEPS = ((10, 2), (60, 10), (3600, 60), (86_400, 3600), (30 * 86_400, 86_400), (1 << 62, 7 * 86_400))
"""Up to which age, in seconds, versions lie how far apart at least."""
_COLUMNS = (
    version.c.id, version.c.node_id, version.c.body_id, version.c.size, version.c.mtime, version.c.etag, version.c.mime, version.c.checksums,
    version.c.label, version.c.author,
)  # fmt: skip


class Version(msgspec.Struct, frozen=True):
    """An earlier version of a file. mtime: the file's at that time."""

    id: int
    node_id: int
    body_id: int
    size: int
    mtime: int
    etag: str
    mime: str
    checksums: str
    label: str
    author: str


def of(db: Connection, node_id: int) -> list[Version]:
    """The versions of a file, newest first."""
    rows = db.execute(select(*_COLUMNS).where(version.c.node_id == node_id).order_by(version.c.id.desc()))
    return [Version(*tuple(row)) for row in rows]


def find(db: Connection, node_id: int, version_id: int) -> Version:
    """A version of a file. Raises NotFound."""
    row = db.execute(select(*_COLUMNS).where(version.c.node_id == node_id, version.c.id == version_id)).first()
    if row is None:
        raise NotFound("There is no such version.")
    return Version(*tuple(row))


def keep(db: Connection, where: Space, before: Node, author: str) -> None:
    """Keep what a file has, since it is about to be replaced; nothing where it is empty."""
    if not before.size:
        return
    db.execute(
        insert(version).values(
            node_id=before.id, body_id=before.body_id, size=before.size, mtime=before.mtime, etag=before.etag, mime=before.mime,
            checksums=before.checksums, label="", author=author,
        )
    )  # fmt: skip
    room.add_kept(db, where, before.size)
    for old in spare([one for one in of(db, before.id) if not one.label], nodes.seconds()):
        remove(db, where, old)


def spare(kept: Sequence[Version], moment: int) -> list[int]:
    """Those of versions, newest first, that lie too near to a newer one for their age."""
    gone, last = [], None
    for one in kept:
        apart = next(apart for age, apart in _STEPS if moment - one.mtime <= age)
        if last is not None and 0 <= last - one.mtime < apart:
            gone.append(one.id)
        else:
            last = one.mtime
    return gone


def remove(db: Connection, where: Space, version_id: int) -> None:
    """Forget a version."""
    size = db.execute(select(version.c.size).where(version.c.id == version_id)).scalar_one()
    db.execute(delete(version).where(version.c.id == version_id))
    room.add_kept(db, where, -size)


def name(db: Connection, version_id: int, label: str) -> None:
    """Give a version a label; it is not thinned out then."""
    db.execute(update(version).where(version.c.id == version_id).values(label=label))


def restore(db: Connection, where: Space, chain: Sequence[Node], found: Version, quota: int, author: str) -> Node:
    """Have a file, the last of a chain, be what it was; what it is becomes a version. Raises NoRoom."""
    one = chain[-1]
    room.take(db, where, quota, found.size - one.size)
    still = db.execute(select(version.c.id).where(version.c.id == found.id)).first()
    keep(db, where, one, author)
    file = File(found.size, nodes.extents_of(db, found.body_id), found.mime, found.mtime, found.checksums)
    made = nodes.replace(db, chain[:-1], one, file, nodes.stamp(chain[0]))
    if still is not None and db.execute(select(version.c.id).where(version.c.id == found.id)).first() is not None:
        remove(db, where, found.id)
    return made


def weight_below(db: Connection, ids: Sequence[int]) -> int:
    """Bytes of versions of nodes and of everything below them."""
    sizes = db.execute(select(version.c.size).where(version.c.node_id.in_(nodes.below(ids)))).scalars()
    return sum(sizes)


