"""What the drive does by itself: content that nothing names goes, uploads that nobody finishes, trash that is old, locks that ran out."""

import asyncio
from functools import partial

import msgspec
from sqlalchemy import Connection, delete, exists, select

from andromede.core.context import Parts
from andromede.db.engine import Database
from andromede.engine.model import Reconciler
from andromede.services.drive.content import Content, hashes
from andromede.services.drive.tables import body, lock, node, part, space, upload, version
from andromede.services.drive.tree import nodes, spaces, trash

DAY = 86_400
_PORTION = 200


class Rules(msgspec.Struct, frozen=True):
    """Days for which things are kept: the trash (0: until room is needed), and uploads that are not finished."""

    trash_days: int = 30
    upload_days: int = 7


def named(db: Connection, space_id: str) -> set[bytes]:
    """The hashes of all chunks that a space needs."""
    found = hashes(row[0] for row in db.execute(select(body.c.extents).where(body.c.space_id == space_id)))
    of_parts = select(part.c.extents).join(upload, upload.c.id == part.c.upload_id).where(upload.c.space_id == space_id)
    return found | hashes(row[0] for row in db.execute(of_parts))


def forget_bodies(db: Connection, space_id: str) -> int:
    """Remove the bodies of a space that no file and no version has any more; how many."""
    unused = ~exists().where(node.c.body_id == body.c.id) & ~exists().where(version.c.body_id == body.c.id)
    return db.execute(delete(body).where(body.c.space_id == space_id, unused)).rowcount


def forget_old(db: Connection, space_id: str, rules: Rules) -> int:
    """Empty a space's trash of what is old, and forget old uploads; how much that was."""
    moment = nodes.seconds()
    count = 0
    if rules.trash_days:
        count = trash.empty(db, spaces.by_id(db, space_id), before=moment - rules.trash_days * DAY, most=_PORTION)
    left = delete(upload).where(upload.c.space_id == space_id, upload.c.created < moment - rules.upload_days * DAY)
    return count + db.execute(left).rowcount


async def tidy(database: Database, content: Content, rules: Rules) -> str:
    """Do all of it; what was done, in words."""
    with database.read() as db:
        ids = list(db.execute(select(space.c.id)).scalars())
    database.run(lambda db: db.execute(delete(lock).where(lock.c.expires <= nodes.seconds())))
    old = chunks = 0
    for space_id in sorted({*ids, *content.spaces()}):
        if space_id in ids:
            old += await asyncio.to_thread(database.run, partial(forget_old, space_id=space_id, rules=rules))
            await asyncio.to_thread(database.run, partial(forget_bodies, space_id=space_id))
        chunks += await content.sweep(space_id, partial(database.look, partial(named, space_id=space_id)))
    return ", ".join([*([f"{old} old things"] if old else []), *([f"{chunks} chunks"] if chunks else [])])


def reconcilers(parts: Parts) -> list[Reconciler]:
    """Those of the drive. Needs `parts.objects.store`."""
    content = Content(parts.objects.store)
    return [Reconciler("drive.tidy", 3600.0, lambda: asyncio.run(tidy(parts.database, content, Rules())))]
