"""What takes longer than a request: building a server, changing its power, deleting it.

None of them touches a host: they write what is wished for and look at what is seen; the host loop does the rest.
"""

from typing import Any

from sqlalchemy import Connection, select, update

from andromede.core.clock import iso_z, now
from andromede.core.errors import CloudError, Conflict, Unavailable
from andromede.drivers.hypervisor import State
from andromede.engine.model import Kind, Later, Step, Work
from andromede.services.compute import hosts
from andromede.services.compute.tables import action, host, server
from andromede.services.network import service as network

_LOOK = 3.0
_WAITS = 15
_FAULTS = 3
_RUNNING, _STOPPED, _PAUSED = str(State.RUNNING), str(State.STOPPED), str(State.PAUSED)


def _row(work: Work) -> Any:
    with work.database.read() as db:
        return db.execute(select(server).where(server.c.id == work.resource)).one()


def _set(work: Work, **values: Any) -> None:
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


# build


def _schedule(work: Work) -> Later | None:
    row = _row(work)
    if row.host is not None:
        return None
    with work.database.read() as db:
        try:
            hosts.choose(db, row)
        except Conflict:
            work.memo["waits"] = work.memo.get("waits", 0) + 1
            if hosts.awaited(db) and work.memo["waits"] <= _WAITS:
                return Later(1.0)
            raise

    def place(db: Connection) -> None:
        row = db.execute(select(server).where(server.c.id == work.resource)).one()
        try:
            chosen = hosts.choose(db, row)
        except Conflict as error:  # room or host went away since we looked: look again, and wait or give up there
            raise Unavailable(error.message) from error
        write(db, row.id, host=chosen, task_state="networking")

    work.then(place)
    return None


def _unschedule(work: Work) -> None:
    _set(work, host=None)


def _bind(work: Work) -> Later | None:
    def bind(db: Connection) -> None:
        row = db.execute(select(server).where(server.c.id == work.resource)).one()
        network.bind(db, work.parts.operations, row.id, row.host)
        write(db, row.id, placed=True, task_state="spawning")
        hosts.changed(db, work.parts.operations, row.host)

    work.then(bind)
    return None


def _unbind(work: Work) -> None:
    def unbind(db: Connection) -> None:
        row = db.execute(select(server).where(server.c.id == work.resource)).one()
        network.bind(db, work.parts.operations, row.id, None)
        write(db, row.id, placed=False)
        hosts.changed(db, work.parts.operations, row.host)

    work.then(unbind)


def _spawned(work: Work) -> Later | None:
    row = _row(work)
    if row.seen_state == _RUNNING:

        def active(db: Connection) -> None:
            write(db, row.id, vm_state="active", task_state=None, launched=now(), fault=None)
            finish(db, work)

        work.then(active)
        return None
    if row.seen_state in (str(State.CRASHED), _STOPPED):
        raise CloudError(row.seen_fault or "The server ended as soon as it was started.", status=409)
    if row.seen_fault:
        work.memo["faults"] = work.memo.get("faults", 0) + 1
        if work.memo["faults"] > _FAULTS:
            raise CloudError(row.seen_fault, status=409)
    return Later(_LOOK)


BUILD = Kind(
    name="server.build",
    steps=(Step("schedule", _schedule, _unschedule), Step("bind", _bind, _unbind), Step("spawn", _spawned)),
    deadline=600,
    failed=fail,
)


# power


def _reached(work: Work) -> Later | None:
    row = _row(work)
    wanted = {"running": _RUNNING, "stopped": _STOPPED, "paused": _PAUSED}[row.power]
    ended = row.power == "stopped" and row.seen_state in (str(State.CRASHED), str(State.ABSENT))
    if (row.seen_state == wanted or ended) and (row.seen_boots == row.boots or row.power == "stopped"):

        def arrive(db: Connection) -> None:
            write(db, row.id, vm_state={"running": "active", "stopped": "stopped", "paused": "paused"}[row.power], task_state=None, fault=None)
            finish(db, work)

        work.then(arrive)
        return None
    if row.seen_state == str(State.CRASHED) and row.seen_boots == row.boots:
        raise CloudError(row.seen_fault or "The server ended unexpectedly.", status=409)
    return Later(_LOOK)


POWER = Kind(name="server.power", steps=(Step("reach", _reached),), deadline=300, failed=fail)


# delete


def _unplace(work: Work) -> Later | None:
    row = _row(work)
    if row.host is None or not row.placed:
        return None

    def unplace(db: Connection) -> None:
        write(db, row.id, placed=False, task_state="deleting")
        hosts.changed(db, work.parts.operations, row.host)

    work.then(unplace)
    return None


def _gone(work: Work) -> Later | None:
    """Wait until the host holds a set without the guest and sees none; one that is away removes it when it comes back."""
    row = _row(work)
    with work.database.read() as db:
        one = db.execute(select(host).where(host.c.name == row.host)).first()
    if one is None or not hosts.alive(one):
        return None
    held = work.memo.setdefault("generation", one.generation)
    if one.seen_generation >= held and row.seen_state == str(State.ABSENT):
        return None
    return Later(_LOOK)


def _erase(work: Work) -> Later | None:
    def erase(db: Connection) -> None:
        network.release(db, work.parts.operations, work.resource)
        write(
            db, work.resource, vm_state="deleted", task_state=None, host=None, placed=False, power="stopped",
            seen_state="absent", deleted=now(), terminated=now(), user_data=None, files={}, fault=None,
        )  # fmt: skip
        finish(db, work)

    work.then(erase)
    return None


DELETE = Kind(
    name="server.delete",
    steps=(Step("unplace", _unplace), Step("gone", _gone), Step("erase", _erase)),
    deadline=3600,
    failed=fail,
    commit="unplace",
)

KINDS = (BUILD, POWER, DELETE)
