"""Moving a volume that no server has to another host: its data goes through a stage there, and its host keeps its own until that is whole."""

from typing import Any

from sqlalchemy import Connection, select

from andromede.core.clock import monotonic
from andromede.core.errors import CloudError
from andromede.engine.model import Kind, Later, Step, Work
from andromede.services.volume import attachments, messages, waiting
from andromede.services.volume.operations import reading
from andromede.services.volume.tables import volume

_CHUNK = 4 << 20


def _tell(work: Work, **values: Any) -> None:
    """Commit these columns with the step, and tell the host that the data goes to."""

    def commit(db: Connection) -> None:
        waiting.write(db, work.resource, **values)
        work.parts.carriers.changed(db, work.parts.operations, work.memo["target"])

    work.then(commit)


def _heard(work: Work, row: Any, *, made: int) -> Later | None:
    """None once the target has heard what is asked of it, and has made the volume so often. Raises the fault that it tells."""
    with work.database.read() as db:
        there = next((one for one in work.parts.carriers.every(db) if one.name == work.memo["target"]), None)
    if there is None:
        raise CloudError("The host that the volume was to come to is not known any more.", status=409)
    told = row.seen_target or {}
    if there.held < work.memo.setdefault("generation", there.generation):
        return Later(waiting.LOOK)
    if told.get("made", 0) >= made:
        work.memo.pop("generation")
        return None
    work.blame(told.get("fault"), waiting.FAULTS)
    return Later(1.0)


def _open(work: Work) -> Later | None:
    """Have the target take what is written to a stage of the volume."""
    row = waiting.read(work)
    if row.target is None:
        _tell(work, target=work.memo["target"], move={"stage": work.id, "make": 0}, seen_target=None)
        return Later(0.0)
    return _heard(work, row, made=0)


def _close(work: Work) -> None:
    _tell(work, target=None, move=None, seen_target=None)


def _copy(work: Work) -> Later | None:
    """A while at a time; what is zero there already is left out."""
    row, end = waiting.read(work), reading.until()
    size, offset = row.seen_exports[work.id], work.memo.get("offset", 0)
    while offset < size:
        if data := reading.read(work, row, offset, min(_CHUNK, size - offset)):
            try:
                work.parts.hosts.write_volume(work.memo["target"], row.id, work.id, offset, data)
            except CloudError:
                work.blame((row.seen_target or {}).get("fault"), waiting.FAULTS)
                raise
        offset += _CHUNK
        work.memo["offset"] = offset
        if monotonic() > end:
            return Later(0.0)
    return None


def _make(work: Work) -> Later | None:
    row = waiting.read(work)
    if not row.move.get("source"):
        _tell(work, move={"stage": work.id, "make": row.make, "source": True})
        return Later(0.0)
    return _heard(work, row, made=row.make)


def _land(work: Work) -> Later | None:
    def commit(db: Connection) -> None:
        row = db.execute(select(volume).where(volume.c.id == work.resource)).one()
        if row.target is None:
            return
        zone = next((one.zone for one in work.parts.carriers.every(db) if one.name == row.target), row.zone)
        waiting.write(
            db, row.id, host=row.target, zone=zone, target=None, move=None, seen_target=None, status=row.previous or "available", previous=None,
            migration_status="success", seen_made=row.make, seen_snapshots=[], seen_exports={}, seen_fault=None,
        )  # fmt: skip
        work.parts.carriers.changed(db, work.parts.operations, row.host, row.target)
        attachments.settle(db, row.id)
        attachments.hurry_servers(db, work.parts.operations, row.id)

    reading.unexport(work)
    waiting.thaw(work)
    work.then(commit)
    return None


def _failed(db: Connection, work: Work, fault: str) -> None:
    waiting.back(db, work.resource, "maintenance")
    waiting.write(db, work.resource, migration_status="error")
    attachments.hurry_servers(db, work.parts.operations, work.resource)
    messages.tell(db, work, "VOLUME", work.project_id or "", work.resource, messages.MIGRATE, fault)


MOVE = Kind(
    name="volume.move",
    steps=(
        Step("freeze", reading.freeze, waiting.thaw), Step("export", reading.export, reading.unexport), Step("open", _open, _close),
        Step("copy", _copy), Step("make", _make), Step("land", _land),
    ),
    deadline=12 * 3600, failed=_failed, commit="land",
)  # fmt: skip
