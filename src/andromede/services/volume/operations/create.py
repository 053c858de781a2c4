"""Making a volume: from nothing, from an image, from a snapshot, from another volume."""

from typing import Any

import msgspec
from sqlalchemy import Connection, select

from andromede.core.clock import now
from andromede.core.errors import CloudError, Unavailable
from andromede.drivers import block
from andromede.engine.model import Kind, Later, Step, Work
from andromede.services.volume import attachments, messages, placing, types, waiting
from andromede.services.volume.tables import volume

_WAITS = 15
_NO_HOST = "No storage has room for the volume."


def schedule(work: Work) -> Later | None:
    """Choose a host for a volume that has none."""
    row = waiting.read(work)
    if row.host is not None:
        return None
    only = None
    if row.reading is not None and (other := waiting.read(work, row.reading)) is not None:
        only = other.host
    with work.database.read() as db:
        every = work.parts.carriers.every(db)
        kind = types.by_id(db, row.type_id)
        if kind is not None and not placing.suits(kind.extra_specs):
            raise CloudError("No storage has what the volume type asks for.", status=409)
        if placing.choose(work.parts.carriers, db, row.size, row.wanted_zone, only=only, avoid=row.hints.get("_different", ())) is None:
            work.memo["waits"] = work.memo.get("waits", 0) + 1
            if any(one.enabled and not one.alive for one in every) and work.memo["waits"] <= _WAITS:
                return Later(1.0)
            raise CloudError(_NO_HOST, status=409)

    def place(db: Connection) -> None:
        name = placing.choose(work.parts.carriers, db, row.size, row.wanted_zone, only=only, avoid=row.hints.get("_different", ()))
        if name is None:  # room or host went away since we looked: look again, and wait or give up there
            raise Unavailable(_NO_HOST)
        zone = next(one.zone for one in work.parts.carriers.every(db) if one.name == name)
        waiting.write(db, row.id, host=name, zone=zone)

    work.then(place)
    return None


def _unschedule(work: Work) -> None:
    work.then(lambda db: waiting.write(db, work.resource, host=None))


def _freeze(work: Work) -> Later | None:
    row = waiting.read(work)
    if row.reading is None or row.source is None or row.source.get("snapshot"):
        return None
    return waiting.frozen(work, row.reading)


def _make(work: Work) -> Later | None:
    row = waiting.read(work)
    if not row.placed:
        waiting.change(work, placed=True, source=_source(work, row))
        return Later(0.0)
    return waiting.reached(work, row, lambda seen: seen.seen_made >= seen.make)


def _source(work: Work, row: Any) -> dict[str, Any] | None:
    """What the volume is made from, as the host is told."""
    if row.reading is None or row.source is None or row.source.get("snapshot"):
        return row.source  # type: ignore[no-any-return]
    other = waiting.read(work, row.reading)
    if other is None:
        raise CloudError("The volume that is read is gone.", status=409)
    source = block.Source(volume=other.id, snapshot=waiting.passing(work, other))
    return msgspec.to_builtins(source)  # type: ignore[no-any-return]


def _unmake(work: Work) -> None:
    waiting.change(work, placed=False)


def _finish(work: Work) -> Later | None:
    def commit(db: Connection) -> None:
        waiting.write(db, work.resource, status="available", launched=now(), source=None, reading=None, seen_fault=None)
        waiting.push(work, db, work.resource)
        attachments.settle(db, work.resource)
        attachments.hurry_servers(db, work.parts.operations, work.resource)

    waiting.thaw(work)
    work.then(commit)
    return None


def failed(db: Connection, work: Work, fault: str) -> None:
    """A volume that could not be made: `error`, and a message that says why."""
    row = db.execute(select(volume).where(volume.c.id == work.resource)).first()
    if row is not None:
        waiting.write(db, row.id, status="error", source=None, reading=None)
        messages.tell(db, work, "VOLUME", row.project_id, row.id, messages.CREATE, fault)
        attachments.hurry_servers(db, work.parts.operations, work.resource)


CREATE = Kind(
    name="volume.create",
    steps=(
        Step("schedule", schedule, _unschedule),
        Step("freeze", _freeze, waiting.thaw),
        Step("make", _make, _unmake),
        Step("finish", _finish),
    ),
    deadline=6 * 3600,
    failed=failed,
)
