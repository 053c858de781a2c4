"""Changing a server's power: start, stop, reboot, pause, unpause."""

from sqlalchemy import Connection

from andromede.core.errors import CloudError
from andromede.engine.model import Kind, Later, Step, Work
from andromede.services.compute.operations.base import (
    ABSENT,
    CRASHED,
    LOOK,
    PAUSED,
    RUNNING,
    STOPPED,
    fail,
    finish,
    row_of,
    write,
)


def _reached(work: Work) -> Later | None:
    row = row_of(work)
    wanted = {"running": RUNNING, "stopped": STOPPED, "paused": PAUSED}[row.power]
    ended = row.power == "stopped" and row.seen_state in (CRASHED, ABSENT)
    if (row.seen_state == wanted or ended) and (row.seen_boots == row.boots or row.power == "stopped"):

        def arrive(db: Connection) -> None:
            write(db, row.id, vm_state={"running": "active", "stopped": "stopped", "paused": "paused"}[row.power], task_state=None, fault=None)
            finish(db, work)

        work.then(arrive)
        return None
    if row.seen_state == CRASHED and row.seen_boots == row.boots:
        raise CloudError(row.seen_fault or "The server ended unexpectedly.", status=409)
    return Later(LOOK)


POWER = Kind(name="server.power", steps=(Step("reach", _reached),), deadline=300, failed=fail)
