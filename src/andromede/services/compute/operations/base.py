"""What the operations on servers have in common: reading the row, writing it with a step, ending the action that a request began."""

from typing import Any

from sqlalchemy import Connection, select, update

from andromede.core.clock import iso_z, now
from andromede.drivers.hypervisor import State
from andromede.engine.model import Work
from andromede.services.compute.tables import action, server

LOOK = 3.0
"""Seconds between two looks at what is seen; news from the host hurry an operation."""
RUNNING, STOPPED, PAUSED, ABSENT, CRASHED = (str(one) for one in (State.RUNNING, State.STOPPED, State.PAUSED, State.ABSENT, State.CRASHED))


def row_of(work: Work) -> Any:
    """The server as it is now."""
    with work.database.read() as db:
        return db.execute(select(server).where(server.c.id == work.resource)).one()


def put(work: Work, **values: Any) -> None:
    """Commit these columns of the server with the step."""
    work.then(lambda db: write(db, work.resource, **values))


def write(db: Connection, server_id: str, **values: Any) -> None:
    """Change a server's columns, and say when."""
    db.execute(update(server).where(server.c.id == server_id).values(updated=now(), **values))


def finish(db: Connection, work: Work, message: str | None = None) -> None:
    """End the instance action that the request began."""
    match = (action.c.server_id == work.resource, action.c.request_id == work.request_id, action.c.finished.is_(None))
    db.execute(update(action).where(*match).values(finished=now(), result="Error" if message else "Success", message=message))


def fail(db: Connection, work: Work, fault: str) -> None:
    """A server that could not be built, or not be brought where it should be: ERROR, with the reason."""
    details = {"code": 500, "created": iso_z(now()), "message": fault}
    write(db, work.resource, vm_state="error", task_state=None, fault=details)
    finish(db, work, fault)
