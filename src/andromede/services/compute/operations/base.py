"""What the operations on servers have in common: reading the row, writing it with a step, ending the action that a request began."""

from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select, update

from andromede.core.clock import iso_micro, iso_z, now, parse
from andromede.core.errors import CloudError
from andromede.drivers.hypervisor import State
from andromede.engine.model import Kind, Later, Step, Work
from andromede.services.compute import hosts
from andromede.services.compute.tables import action, action_event, server

LOOK = 3.0
"""Seconds between two looks at what is seen; news from the host hurry an operation."""
FAULTS = 3
"""Faults of the host after which an operation gives up."""
RUNNING, STOPPED, PAUSED, SUSPENDED = (str(one) for one in (State.RUNNING, State.STOPPED, State.PAUSED, State.SUSPENDED))
ABSENT, CRASHED = str(State.ABSENT), str(State.CRASHED)


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
    _tell_end(db, work, fault)
    finish(db, work, fault)


def give_up(db: Connection, work: Work, fault: str) -> None:
    """What was asked for did not come about, and the server is as it was before: the action says why."""
    row = db.execute(select(server).where(server.c.id == work.resource)).one()
    write(db, row.id, vm_state=work.memo.get("was", row.vm_state), task_state=None)
    _tell_end(db, work, fault)
    finish(db, work, fault)


def kind(name: str, *steps: Step, deadline: float, failed: Callable[[Connection, Work, str], None] = fail, commit: str | None = None) -> Kind:
    """A kind of operation on servers, whose steps are the events of the instance action."""
    told = tuple(msgspec.structs.replace(step, do=_telling(name.partition(".")[2], step)) for step in steps)
    return Kind(name=name, steps=told, deadline=deadline, failed=failed, commit=commit)


def _telling(name: str, step: Step) -> Callable[[Work], Later | None]:
    event = f"compute_{name}_{step.name}"

    def do(work: Work) -> Later | None:
        if work.memo.get("event") != event:
            work.memo |= {"event": event, "began": iso_micro(now())}
        outcome = step.do(work)
        if outcome is None:
            work.then(lambda db: _tell(db, work, None))
        return outcome

    return do


def _tell(db: Connection, work: Work, fault: str | None) -> None:
    began = parse(work.memo["began"])
    where = db.scalar(select(server.c.host).where(server.c.id == work.resource))
    db.execute(
        insert(action_event).values(
            server_id=work.resource, request_id=work.request_id or "", event=work.memo["event"], started=began, finished=now(),
            result="Error" if fault else "Success", details=fault, host=where,
        )
    )  # fmt: skip


def _tell_end(db: Connection, work: Work, fault: str) -> None:
    if "event" in work.memo:
        _tell(db, work, fault)


def restart(db: Connection, work: Work, **values: Any) -> None:
    """Have the guest started anew as these columns say; a server that is not to run stays off."""
    row = db.execute(select(server).where(server.c.id == work.resource)).one()
    write(db, row.id, boots=row.boots + 1, **values)
    hosts.changed(db, work.parts.operations, row.host)


def reached(work: Work, row: Any, *, gone: bool = False) -> bool:
    """Whether the guest is seen to be as its row wishes, in this run. Raises CloudError (409) where it will not come to that.

    gone: whether a guest that is not there, or has ended by itself, counts as one that is off: there is nothing to be made ready.
    """
    wanted = {"running": RUNNING, "stopped": STOPPED, "paused": PAUSED, "suspended": SUSPENDED}[row.power]
    if row.seen_state == wanted and (row.seen_boots == row.boots or gone):
        return True
    if gone and row.power == "stopped" and row.seen_state in (CRASHED, ABSENT):
        return True
    if row.power != "stopped" and row.seen_state == CRASHED and row.seen_boots == row.boots:
        raise CloudError(row.seen_fault or "The server ended unexpectedly.", status=409)
    work.blame(row.seen_fault, FAULTS)
    return False
