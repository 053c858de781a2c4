"""Changing a server's power: start, stop, reboot, pause, unpause, suspend, resume; and deleting it for the time being."""

from sqlalchemy import Connection

from andromede.engine.model import Later, Step, Work
from andromede.services.compute.operations.base import LOOK, finish, kind, reached, row_of, write

_STATES = {"running": "active", "stopped": "stopped", "paused": "paused", "suspended": "suspended"}


def _reach(work: Work) -> Later | None:
    row = row_of(work)
    if not reached(work, row, gone=row.power == "stopped"):
        return Later(LOOK)

    def arrive(db: Connection) -> None:
        write(db, row.id, vm_state=work.memo.get("then", _STATES[row.power]), task_state=None, fault=None)
        finish(db, work)

    work.then(arrive)
    return None


POWER = kind("server.power", Step("reach", _reach), deadline=300)
