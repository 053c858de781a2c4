"""Building a server: a host is chosen, its ports are bound there, and the guest is seen to run."""


from sqlalchemy import Connection, select

from andromede.core.clock import now
from andromede.core.errors import CloudError, Conflict, Unavailable
from andromede.engine.model import Later, Step, Work
from andromede.services.compute import hosts, inventory
from andromede.services.compute.operations import volumes
from andromede.services.compute.operations.base import CRASHED, FAULTS, LOOK, RUNNING, STOPPED, finish, kind, row_of, write
from andromede.services.compute.tables import server
from andromede.services.network import service as network

_WAITS = 15


def _schedule(work: Work) -> Later | None:
    row = row_of(work)
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
        inventory.claim(db, row.id, chosen, inventory.need(row))
        write(db, row.id, host=chosen, task_state="networking")

    work.then(place)
    return None


def _unschedule(work: Work) -> None:
    def unschedule(db: Connection) -> None:
        inventory.free(db, work.resource)
        write(db, work.resource, host=None)

    work.then(unschedule)


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
    row = row_of(work)
    if row.seen_state == RUNNING:

        def active(db: Connection) -> None:
            write(db, row.id, vm_state="active", task_state=None, launched=now(), fault=None)
            volumes.arrived(db, row.id, row.host)
            finish(db, work)

        work.then(active)
        return None
    if row.seen_state in (CRASHED, STOPPED):
        raise CloudError(row.seen_fault or "The server ended as soon as it was started.", status=409)
    work.blame(row.seen_fault, FAULTS)
    return Later(LOOK)


BUILD = kind(
    "server.build", Step("schedule", _schedule, _unschedule), Step("volumes", volumes.made, volumes.unmade), Step("bind", _bind, _unbind),
    Step("spawn", _spawned), deadline=1800,
)  # fmt: skip
