"""The operation `image.import`: it sees to it that an import is under way, and ends when its task has."""

from typing import Any

from sqlalchemy import Connection, select, update

from andromede.core.clock import now
from andromede.core.errors import CloudError
from andromede.engine.model import Kind, Later, Step, Work
from andromede.services.image import imports, writing
from andromede.services.image.tables import image, task

_LOOK = 1.0


def _watch(work: Work) -> Later | None:
    """Begin where nobody works on it, wait while somebody does."""

    def look(db: Connection) -> tuple[Any, Any]:
        one = db.execute(select(task).where(task.c.id == work.memo["task"])).mappings().first()
        return one, db.execute(select(image).where(image.c.id == work.resource)).mappings().first()

    found, row = work.database.look(look)
    if found is None or row is None or found["status"] == "success":
        return None
    if found["status"] == "failure":
        raise CloudError(found["message"], status=409)
    if not imports.JOBS.running(work.resource) and not imports.JOBS.full(row["owner"]):
        token = work.database.run(lambda db: _begin(db, work))
        if token is not None:
            hold = writing.Hold(work.database, work.resource, token)
            imports.JOBS.start(work.resource, row["owner"], imports.Job(work.parts, hold, row, dict(work.memo)))
    return Later(_LOOK)


def _begin(db: Connection, work: Work) -> str | None:
    db.execute(
        update(task).where(task.c.id == work.memo["task"], task.c.status == "pending").values(status="processing", updated_at=now())
    )
    return writing.seize(db, work.resource, status="importing", before=("importing",))


def _failed(db: Connection, work: Work, fault: str) -> None:
    """Where the import did not get so far as to say so itself, its deadline above all.

    One that did has freed the image already, and another import may hold it by now.
    """
    if db.scalar(select(task.c.status).where(task.c.id == work.memo["task"])) in ("success", "failure"):
        return
    values = {"status": "queued", "importing": "", "failed_import": imports.STORE, "staged": None, "staged_size": None}
    stuck = (image.c.id == work.resource, image.c.status == "importing")
    db.execute(update(image).where(*stuck).values(writer=None, beat=None, updated_at=now(), **values))
    imports.end_task(db, work.memo["task"], work.resource, fault)


IMPORT = Kind(name="image.import", steps=(Step("watch", _watch),), deadline=imports.HOURS, failed=_failed)
KINDS = (IMPORT,)
