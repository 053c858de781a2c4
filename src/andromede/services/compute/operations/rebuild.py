"""Rebuilding a server on its host from an image, rescuing it with another, and ending that.

From the first step on there is no way back: what the old disk held is gone, or the guest has been ended.
"""

from typing import Any

from sqlalchemy import Connection, select

from andromede.core.clock import now
from andromede.core.errors import CloudError
from andromede.engine.model import Later, Step, Work
from andromede.services.compute import hosts
from andromede.services.compute.operations.base import LOOK, STOPPED, finish, kind, reached, restart, row_of, write
from andromede.services.compute.tables import server
from andromede.services.volume import service as volume


def _fresh(db: Connection, work: Work) -> Any:
    return db.execute(select(server).where(server.c.id == work.resource)).one()


def _change(**fixed: Any) -> Any:
    """A step that restarts the guest with the columns of `memo["values"]` and these; once, however often it is repeated."""

    def change(work: Work) -> Later | None:
        def write_it(db: Connection) -> None:
            row = _fresh(db, work)
            if row.boots >= work.memo["boots"]:
                return
            values = work.memo.get("values", {}) | fixed
            if "image" in values and "reimage" not in work.memo:
                values |= {"root_number": row.root_number + 1, "past": None, "point": None, "base": None}
            restart(db, work, task_state=work.memo["task"], **values)

        work.then(write_it)
        return None

    return change


def _off(work: Work) -> Later | None:
    """The guest lets go of a volume that is made anew."""
    if "reimage" not in work.memo:
        return None
    row = row_of(work)
    if row.power != "stopped":

        def stop(db: Connection) -> None:
            write(db, row.id, power="stopped", soft=False)
            hosts.changed(db, work.parts.operations, row.host)

        work.then(stop)
        return Later(LOOK)
    return None if row.seen_state == STOPPED or reached(work, row, gone=True) else Later(LOOK)


def _reimage(work: Work) -> Later | None:
    """Have the volume made anew, and wait until it is."""
    if "reimage" not in work.memo:
        return None
    id_ = work.memo["volume"]
    if not work.memo.get("begun"):
        work.memo["begun"] = True
        work.then(lambda db: volume.reimage(db, work.parts, id_, work.memo["reimage"], request_id=work.request_id))
        return Later(LOOK)
    status, fault = work.database.look(lambda db: volume.state_of(db, id_))
    if status == "downloading":
        return Later(LOOK)
    if status != "in-use":
        raise CloudError(f"The volume {id_} could not be made anew: {fault or 'its messages say why'}", status=409)
    return None


def _reach(state: str | None) -> Any:
    def reach(work: Work) -> Later | None:
        row = row_of(work)
        if not reached(work, row):
            return Later(LOOK)

        def arrive(db: Connection) -> None:
            then = state or ("stopped" if row.power == "stopped" else "active")
            write(db, row.id, vm_state=then, task_state=None, fault=None, launched=now())
            finish(db, work)

        work.then(arrive)
        return None

    return reach


REBUILD = kind(
    "server.rebuild", Step("off", _off), Step("reimage", _reimage), Step("change", _change()), Step("reach", _reach(None)),
    deadline=3600, commit="off",
)  # fmt: skip
RESCUE = kind("server.rescue", Step("change", _change(power="running")), Step("reach", _reach("rescued")), deadline=600, commit="change")
UNRESCUE = kind(
    "server.unrescue", Step("change", _change(rescue=None, power="running")), Step("reach", _reach("active")), deadline=600, commit="change"
)
KINDS = (REBUILD, RESCUE, UNRESCUE)
