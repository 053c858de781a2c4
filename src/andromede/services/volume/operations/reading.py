"""Reading a volume's data out, for a backup or an image: a passing snapshot, an export of it, and its bytes a while at a time."""

from typing import Any

import msgspec
from sqlalchemy import Connection, select

from andromede.core.clock import monotonic
from andromede.core.errors import CloudError
from andromede.drivers import block
from andromede.engine.model import Later, Work
from andromede.services.volume import waiting
from andromede.services.volume.tables import volume

TURN = 2.0
"""Seconds that a step reads before it lets others go on."""


def freeze(work: Work) -> Later | None:
    """A passing snapshot of the volume, unless a snapshot of it is what is read."""
    return None if work.memo.get("snapshot") else waiting.frozen(work, work.resource)


def export(work: Work) -> Later | None:
    """Have the host export it, and wait until it has."""
    row = waiting.read(work)
    if row is None:
        raise CloudError("The volume is gone.", status=409)
    if work.id not in [one["id"] for one in row.exports]:
        wanted = block.Export(id=work.id, snapshot=work.memo.get("snapshot") or waiting.passing(work, row), format=work.memo["format"])
        waiting.change(work, exports=[*row.exports, msgspec.to_builtins(wanted)])
        return Later(0.0)
    return waiting.reached(work, row, lambda seen: work.id in (seen.seen_exports or {}))


def unexport(work: Work) -> None:
    """No export of this operation any more."""

    def commit(db: Connection) -> None:
        row = db.execute(select(volume).where(volume.c.id == work.resource)).first()
        if row is not None and work.id in [one["id"] for one in row.exports]:
            waiting.write(db, row.id, exports=[one for one in row.exports if one["id"] != work.id])
            waiting.push(work, db, row.id)

    work.then(commit)


def read(work: Work, row: Any, offset: int, count: int) -> bytes:
    """Bytes of the export; none where all are zero. Raises Unavailable where the host cannot now."""
    data: bytes = work.parts.hosts.read_volume(row.host, row.id, work.id, offset, count)
    return data


def until() -> float:
    """When this turn is over."""
    return monotonic() + TURN
