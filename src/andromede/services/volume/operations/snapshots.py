"""Making and deleting snapshots. Their operations are the volume's, so that they follow one another and its other changes."""

from typing import Any

from sqlalchemy import Connection, delete, select, update

from andromede.core.clock import now
from andromede.engine.model import Kind, Later, Step, Work
from andromede.services.volume import groups_of, messages, waiting
from andromede.services.volume.tables import snapshot


def _row(work: Work) -> Any:
    with work.database.read() as db:
        return db.execute(select(snapshot).where(snapshot.c.id == work.memo["snapshot"])).first()


def write(db: Connection, snapshot_id: str, **values: Any) -> None:
    """Change a snapshot's columns, and say when."""
    db.execute(update(snapshot).where(snapshot.c.id == snapshot_id).values(updated=now(), **values))


def _place(work: Work, *, placed: bool) -> None:
    def commit(db: Connection) -> None:
        write(db, work.memo["snapshot"], placed=placed)
        waiting.push(work, db, work.resource)

    work.then(commit)


def _take(work: Work) -> Later | None:
    row, one = waiting.read(work), _row(work)
    if one is None:
        return None
    if not one.placed:
        _place(work, placed=True)
        return Later(0.0)
    return waiting.reached(work, row, lambda seen: one.id in (seen.seen_snapshots or ()))


def _untake(work: Work) -> None:
    _place(work, placed=False)


def _taken(work: Work) -> Later | None:
    work.then(lambda db: write(db, work.memo["snapshot"], status="available"))
    return None


def _failed(db: Connection, work: Work, fault: str) -> None:
    row = db.execute(select(snapshot).where(snapshot.c.id == work.memo["snapshot"])).first()
    if row is not None:
        write(db, row.id, status="error")
        messages.tell(db, work, "VOLUME_SNAPSHOT", row.project_id, row.id, messages.SNAPSHOT, fault)


SNAPSHOT = Kind(name="snapshot.create", steps=(Step("take", _take, _untake), Step("finish", _taken)), deadline=3600, failed=_failed)


def _drop(work: Work) -> Later | None:
    row, one = waiting.read(work), _row(work)
    if row is None or one is None:
        return None
    if one.placed:
        _place(work, placed=False)
        return Later(0.0)
    with work.database.read() as db:
        carrier = next((carrier for carrier in work.parts.carriers.every(db) if carrier.name == row.host), None)
    if carrier is None or not carrier.alive or not row.placed:
        return None
    return waiting.reached(work, row, lambda seen: one.id not in (seen.seen_snapshots or ()))


def _erase(work: Work) -> Later | None:
    one = _row(work)

    def commit(db: Connection) -> None:
        db.execute(delete(snapshot).where(snapshot.c.id == work.memo["snapshot"]))
        groups_of.tidy_snapshot(db, one.group_snapshot_id if one is not None else None)

    work.then(commit)
    return None


def _undropped(db: Connection, work: Work, fault: str) -> None:
    row = db.execute(select(snapshot).where(snapshot.c.id == work.memo["snapshot"])).first()
    if row is not None:
        write(db, row.id, status="error_deleting")
        messages.tell(db, work, "VOLUME_SNAPSHOT", row.project_id, row.id, messages.DELETE_SNAPSHOT, fault)


UNSNAPSHOT = Kind(
    name="snapshot.delete", steps=(Step("drop", _drop), Step("erase", _erase)), deadline=3600, failed=_undropped, commit="drop"
)
