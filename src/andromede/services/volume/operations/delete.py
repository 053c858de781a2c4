"""Deleting a volume, in whatever state it is."""

from sqlalchemy import Connection, delete, select

from andromede.engine.model import Kind, Later, Step, Work
from andromede.services.key_manager import service as keys
from andromede.services.volume import groups_of, messages, waiting
from andromede.services.volume.tables import snapshot, volume


def _unplace(work: Work) -> Later | None:
    def commit(db: Connection) -> None:
        waiting.write(db, work.resource, placed=False, status="deleting", source=None, reading=None)
        waiting.push(work, db, work.resource)
        for row in db.execute(select(snapshot.c.id, snapshot.c.volume_id).where(snapshot.c.purpose == work.resource)).all():
            db.execute(delete(snapshot).where(snapshot.c.id == row.id))
            waiting.push(work, db, row.volume_id)

    work.then(commit)
    return None


def _gone(work: Work) -> Later | None:
    """Wait until the host holds a set without it and sees none; one that is away removes it when it comes back."""
    row = waiting.read(work)
    if row is None or row.host is None:
        return None
    with work.database.read() as db:
        carrier = next((one for one in work.parts.carriers.every(db) if one.name == row.host), None)
    if carrier is None or not carrier.alive:
        return None
    if carrier.held >= work.memo.setdefault("generation", carrier.generation) and not row.seen_made:
        return None
    return Later(waiting.LOOK)


def _erase(work: Work) -> Later | None:
    def commit(db: Connection) -> None:
        row = db.execute(select(volume).where(volume.c.id == work.resource)).first()
        if row is not None:
            db.execute(delete(volume).where(volume.c.id == row.id))
            groups_of.tidy(db, row.group_id)
            keys.forget(db, row.key_id)

    work.then(commit)
    return None


def _failed(db: Connection, work: Work, fault: str) -> None:
    row = db.execute(select(volume).where(volume.c.id == work.resource)).first()
    if row is not None:
        waiting.write(db, row.id, status="error_deleting")
        messages.tell(db, work, "VOLUME", row.project_id, row.id, messages.DELETE, fault)


DELETE = Kind(
    name="volume.delete",
    steps=(Step("unplace", _unplace), Step("gone", _gone), Step("erase", _erase)),
    deadline=3600,
    failed=_failed,
    commit="unplace",
)
