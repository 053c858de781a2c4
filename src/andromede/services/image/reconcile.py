"""Keeping rows and files together: what a crash left is found and ended or removed."""


from sqlalchemy import Connection, delete, or_, select, update

from andromede.core.clock import now
from andromede.core.context import Parts
from andromede.engine.model import Reconciler
from andromede.services.image import imports, writing
from andromede.services.image.store import ImageStore, drop
from andromede.services.image.tables import image, task

_AGE = 3 * writing.DEAD.total_seconds()


def reconcilers(parts: Parts) -> list[Reconciler]:
    """`image.files`: ends uploads and imports whose holder died, removes files no row refers to, forgets old tasks."""
    return [Reconciler("image.files", 60.0, lambda: run(parts))]


def run(parts: Parts, *, age: float = _AGE) -> str:
    """One pass. age: seconds that a file must be old before it counts as left behind."""
    database, store = parts.database, parts.images
    ended = database.run(_end_dead) + database.run(lambda db: _end_lost(db, parts))
    removed = _remove(store, database.look(_known), age)
    forgotten = database.run(lambda db: db.execute(delete(task).where(task.c.expires_at < now())).rowcount)
    said = {"uploads ended": ended, "files removed": removed, "tasks forgotten": forgotten}
    return ", ".join(f"{count} {what}" for what, count in said.items() if count)


def _end_dead(db: Connection) -> int:
    """Uploads that were not heard of for too long: their image waits for data again."""
    dead = (image.c.status.in_(("saving", "uploading")), image.c.writer.is_not(None), image.c.beat < now() - writing.DEAD)
    return db.execute(update(image).where(*dead).values(status="queued", writer=None, beat=None, updated_at=now())).rowcount


def _end_lost(db: Connection, parts: Parts) -> int:
    """Imports that no operation looks after any more."""
    count = 0
    for row in db.execute(select(image.c.id).where(image.c.status == "importing")).all():
        if parts.operations.busy(db, row.id) or writing.held(db, row.id):
            continue
        values = {"status": "queued", "importing": "", "failed_import": imports.STORE, "staged": None, "staged_size": None}
        db.execute(update(image).where(image.c.id == row.id).values(writer=None, beat=None, updated_at=now(), **values))
        for one in db.scalars(select(task.c.id).where(task.c.image_id == row.id)).all():
            imports.end_task(db, one, row.id, "The import was interrupted.")
        count += 1
    return count


def _known(db: Connection) -> set[str]:
    used = or_(image.c.blob.is_not(None), image.c.staged.is_not(None), image.c.writer.is_not(None))
    out = set()
    for row in db.execute(select(image.c.id, image.c.blob, image.c.staged, image.c.writer).where(used)):
        out |= {f"{row.id}.{one}" for one in (row.blob, row.staged, row.writer) if one}
    return out


def _remove(store: ImageStore, known: set[str], age: float) -> int:
    count = 0
    for path in store.leftovers(known, age):
        drop(path)
        count += 1
    return count


