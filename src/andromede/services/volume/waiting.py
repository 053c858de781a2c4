"""What every operation on volumes does: change rows with a step, and wait until the host has it so."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from andromede.core.clock import now
from andromede.core.errors import CloudError
from andromede.engine.model import Later, Work
from andromede.services.volume.tables import snapshot, volume

LOOK = 2.0
FAULTS = 5
"""Looks at a fault before it is believed: a busy host tells one now and then that is over a moment later."""


def read(work: Work, volume_id: str | None = None) -> Any:
    """The row of the operation's volume (or another); None where it is gone."""
    with work.database.read() as db:
        return db.execute(select(volume).where(volume.c.id == (volume_id or work.resource))).first()


def write(db: Connection, volume_id: str, **values: Any) -> None:
    """Change a volume's columns, and say when."""
    db.execute(update(volume).where(volume.c.id == volume_id).values(updated=now(), **values))


def back(db: Connection, volume_id: str, status: str) -> None:
    """A volume that is in this status, for a while, has again the one that it had before."""
    row = db.execute(select(volume).where(volume.c.id == volume_id)).first()
    if row is not None and row.status == status:
        write(db, row.id, status=row.previous or "available", previous=None)


def push(work: Work, db: Connection, volume_id: str) -> None:
    """The host of a volume has something else to do now."""
    work.parts.carriers.changed(db, work.parts.operations, db.scalar(select(volume.c.host).where(volume.c.id == volume_id)))


def change(work: Work, volume_id: str | None = None, **values: Any) -> None:
    """Commit these columns with the step, and tell the host."""
    id_ = volume_id or work.resource

    def commit(db: Connection) -> None:
        write(db, id_, **values)
        push(work, db, id_)

    work.then(commit)


def reached(work: Work, row: Any, done: Callable[[Any], bool]) -> Later | None:
    """None once `done` holds of what is seen; raises the fault that the host tells, where it has heard what is asked.

    The generation of the host's set is remembered at the first look, which must come after the change is committed.
    """
    with work.database.read() as db:
        carrier = next((one for one in work.parts.carriers.every(db) if one.name == row.host), None)
    if carrier is None:
        raise CloudError("The host of the volume is not known any more.", status=409)
    wanted = work.memo.setdefault(f"generation-{row.id}", carrier.generation)
    if done(row) and carrier.held >= wanted:
        work.memo.pop(f"generation-{row.id}")
        return None
    return Later(1.0 if carrier.held >= wanted and work.blame(row.seen_fault, FAULTS) else LOOK)


# a passing snapshot, from which a volume is read while it may be in use


def frozen(work: Work, volume_id: str) -> Later | None:
    """Wait until a snapshot that nobody sees is made of a volume; its id is the operation's. A raw volume has none."""
    row = read(work, volume_id)
    if row is None:
        raise CloudError("The volume that is read is gone.", status=409)
    if row.format == "raw":
        return None
    with work.database.read() as db:
        begun = db.execute(select(snapshot.c.id).where(snapshot.c.id == work.id)).first() is not None
    if not begun:

        def commit(db: Connection) -> None:
            values = {"project_id": row.project_id, "user_id": row.user_id, "size": row.size, "metadata": {}, "created": now()}
            db.execute(
                insert(snapshot).values(
                    id=work.id, volume_id=volume_id, status="available", purpose=work.resource, placed=True, counted=False, **values
                )
            )
            push(work, db, volume_id)

        work.then(commit)
        return Later(0.0)
    return reached(work, row, lambda seen: work.id in (seen.seen_snapshots or ()))


def passing(work: Work, row: Any) -> str:
    """The name of the passing snapshot of a volume; empty where it has none."""
    return "" if row.format == "raw" else work.id


def thaw(work: Work) -> None:
    """No passing snapshot of this operation any more."""

    def commit(db: Connection) -> None:
        found = db.execute(select(snapshot.c.volume_id).where(snapshot.c.id == work.id)).first()
        if found is not None:
            db.execute(delete(snapshot).where(snapshot.c.id == work.id))
            push(work, db, found.volume_id)

    work.then(commit)
