"""What happens to servers by the clock: resizes are confirmed, and soft deletes become final."""

from sqlalchemy import Connection, select

from andromede.core.clock import now
from andromede.core.context import Parts
from andromede.engine.model import Reconciler
from andromede.services.compute import operations
from andromede.services.compute.operations.base import write
from andromede.services.compute.tables import server


def reconcilers(parts: Parts) -> list[Reconciler]:
    """`compute.clock`."""
    return [Reconciler("compute.clock", 1.0, lambda: parts.database.run(lambda db: run(db, parts)) if _due(parts) else "")]


def _due(parts: Parts) -> bool:
    """Whether there is anything to do, found out without writing."""
    terms = (server.c.confirm_by <= now()) | (server.c.reclaim <= now())
    return parts.database.look(lambda db: db.scalar(select(server.c.id).where(terms, server.c.task_state.is_(None)).limit(1))) is not None


def run(db: Connection, parts: Parts) -> str:
    """One pass, in one transaction."""
    idle = (server.c.task_state.is_(None), server.c.deleted.is_(None))
    confirmed = db.execute(select(server).where(server.c.confirm_by <= now(), server.c.vm_state == "resized", *idle)).all()
    for row in confirmed:
        write(db, row.id, task_state="resize_confirming", confirm_by=None)
        parts.operations.submit(db, operations.CONFIRM, row.id, project_id=row.project_id)
    gone = db.execute(select(server).where(server.c.reclaim <= now(), server.c.vm_state == "soft-delete", *idle)).all()
    for row in gone:
        write(db, row.id, task_state="deleting", reclaim=None)
        parts.operations.submit(db, operations.DELETE, row.id, project_id=row.project_id)
    return f"{len(confirmed)} resizes confirmed, {len(gone)} servers reclaimed" if confirmed or gone else ""
