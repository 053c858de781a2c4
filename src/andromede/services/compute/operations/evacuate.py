"""Building a server anew on another host, because its own is down. If that comes back, it removes what it has of the server."""

from typing import Any

from sqlalchemy import Connection, select

from andromede.core.clock import now
from andromede.core.errors import Conflict, Unavailable
from andromede.engine.model import Later, Step, Work
from andromede.services.compute import hosts, inventory
from andromede.services.compute.operations import moves
from andromede.services.compute.operations.base import LOOK, fail, finish, kind, reached, row_of, write
from andromede.services.compute.tables import server
from andromede.services.network import service as network


def _fresh(db: Connection, work: Work) -> Any:
    return db.execute(select(server).where(server.c.id == work.resource)).one()


def _choose(db: Connection, work: Work) -> str:
    return hosts.choose(db, _fresh(db, work), avoid=work.memo["source"], target=work.memo.get("wanted"))


def _move(work: Work) -> Later | None:
    """Claim the room, and be there from now on."""
    if row_of(work).boots >= work.memo["boots"]:
        return None
    work.database.look(lambda db: _choose(db, work))

    def move(db: Connection) -> None:
        row = _fresh(db, work)
        try:
            chosen = _choose(db, work)
        except Conflict as error:
            raise Unavailable(error.message) from error
        inventory.claim(db, row.id, chosen, inventory.need(row))
        network.bind(db, work.parts.operations, row.id, chosen)
        moves.note(db, work.memo["migration"], "pre-migrating", target=chosen)
        write(
            db, row.id, host=chosen, placed=True, boots=work.memo["boots"], power=work.memo["power"], root_number=row.root_number + 1,
            past=None, point=None, base=None, captures=None, seen_state="absent", seen_fault=None,
        )  # fmt: skip
        hosts.changed(db, work.parts.operations, row.host, chosen)

    work.then(move)
    return None


def _reach(work: Work) -> Later | None:
    row = row_of(work)
    if not reached(work, row):
        return Later(LOOK)

    def arrive(db: Connection) -> None:
        moves.note(db, work.memo["migration"], "done")
        write(db, row.id, vm_state="stopped" if row.power == "stopped" else "active", task_state=None, fault=None, launched=now())
        finish(db, work)

    work.then(arrive)
    return None


def _failed(db: Connection, work: Work, fault: str) -> None:
    moves.note(db, work.memo["migration"], "error")
    fail(db, work, fault)


EVACUATE = kind("server.evacuate", Step("move", _move), Step("reach", _reach), deadline=600, failed=_failed, commit="move")
