"""Resizing a server and moving it while it is off; confirming that, and taking it back.

On its host, the root disk keeps a point to go back to. To another host, a copy of the disk goes there, and is kept until the move
is confirmed: so taking it back gives the disk as it was before, in both cases.
"""

from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, select

from andromede.core.clock import now
from andromede.core.errors import CloudError, Conflict, Unavailable
from andromede.engine.model import Later, Step, Work
from andromede.services.compute import containers, hosts, inventory
from andromede.services.compute.operations import carry, moves
from andromede.services.compute.operations.base import (
    ABSENT,
    CRASHED,
    LOOK,
    STOPPED,
    fail,
    finish,
    give_up,
    kind,
    reached,
    restart,
    row_of,
    write,
)
from andromede.services.compute.tables import server
from andromede.services.image.service import ARCHIVE
from andromede.services.network import service as network

_SIZES = ("flavor", "flavor_id", "vcpus", "ram", "disk")


def _fresh(db: Connection, work: Work) -> Any:
    return db.execute(select(server).where(server.c.id == work.resource)).one()


def _elsewhere(work: Work) -> bool:
    return bool(work.memo["target"] != work.memo["source"])


def _schedule(work: Work) -> Later | None:
    """Claim the room; the room it has is held by the migration from now on. `memo`: flavor, flavor_id, migration, avoid, wanted."""
    memo, flavor, before = work.memo, work.memo["flavor"], row_of(work).before
    if before is not None:
        memo["source"], memo["target"] = before["host"], before["target"]
        return None
    amounts = {inventory.VCPU: flavor["vcpus"], inventory.MEMORY: flavor["ram"], inventory.DISK: memo.get("disk", flavor["disk"])}

    def look(db: Connection) -> tuple[str, str]:
        row = _fresh(db, work)
        avoid = row.host if memo.get("avoid") else None
        prefer = None if avoid else row.host
        chosen = hosts.choose(
            db, row, amounts=amounts, extra_specs=flavor["extra_specs"], avoid=avoid, prefer=prefer, target=memo.get("wanted"),
            with_volumes=memo.get("volumes", False),
        )  # fmt: skip
        return row.host, chosen

    with work.database.read() as db:
        memo["source"], memo["target"] = look(db)

    def place(db: Connection) -> None:
        row = _fresh(db, work)
        try:
            _, chosen = look(db)
        except Conflict as error:
            raise Unavailable(error.message) from error
        if chosen != memo["target"]:
            raise Unavailable("The hosts have changed meanwhile.")
        inventory.hand_over(db, row.id, memo["migration"])
        inventory.claim(db, row.id, chosen, amounts)
        moves.note(db, memo["migration"], "migrating", target=chosen)
        write(db, row.id, before=moves.as_it_was(row, memo["migration"]) | {"target": chosen}, task_state="resize_migrating")

    work.then(place)
    return None


def _unschedule(work: Work) -> None:
    row = row_of(work)
    if row.before is not None and row.base is not None and row.base["id"] == row.before["migration"] and not reached(work, row):
        raise Unavailable("The server's disk is not yet back on its host.")

    def unplace(db: Connection) -> None:
        row = _fresh(db, work)
        if row.before is None:
            return
        inventory.hand_over(db, row.before["migration"], row.id)
        moves.forget(db, work.parts, row.before)
        moves.note(db, row.before["migration"], "error")
        write(db, row.id, before=None)

    work.then(unplace)


def _stop(work: Work) -> Later | None:
    """A server that goes to another host is off while its disk is copied."""
    row = row_of(work)
    if not _elsewhere(work) or row.seen_state == STOPPED:
        return None
    if row.power != "stopped":
        _wish_power(work, "stopped")
    return Later(LOOK)


def _unstop(work: Work) -> None:
    row = row_of(work)
    if row.before is not None and row.power != row.before["power"]:
        power = row.before["power"]
        work.then(lambda db: restart(db, work, power=power))


def _wish_power(work: Work, power: str) -> None:
    def wish(db: Connection) -> None:
        write(db, work.resource, power=power, soft=True)
        hosts.changed(db, work.parts.operations, _fresh(db, work).host)

    work.then(wish)


def _copy(work: Work) -> Later | None:
    row, id_ = row_of(work), work.memo["migration"]
    if not _elsewhere(work) or row.image.get("from_volume"):
        return None
    fault = (row.seen_captures or {}).get(id_)
    if fault == "":
        return None
    if fault:
        raise CloudError(fault, status=409)
    if id_ not in (row.captures or {}):

        def ask(db: Connection) -> None:
            write(db, row.id, captures={**(row.captures or {}), id_: moves.path(work.parts, id_)})
            hosts.changed(db, work.parts.operations, row.host)

        work.then(ask)
    return Later(LOOK)


def _uncopy(work: Work) -> None:
    row, id_ = row_of(work), work.memo["migration"]
    if id_ in (row.captures or {}):

        def drop(db: Connection) -> None:
            write(db, row.id, captures={key: path for key, path in row.captures.items() if key != id_} or None)
            hosts.changed(db, work.parts.operations, row.host)

        work.then(drop)


def _carry(work: Work) -> Later | None:
    return carry.carry(work, work.memo["target"]) if _elsewhere(work) else None


def _uncarry(work: Work) -> None:
    row = row_of(work)
    if row.before is not None:
        carry.uncarry(work, row.before["host"])


def copied(parts: Any, row: Any, migration_id: str) -> dict[str, Any] | None:
    """What a root disk is made from on the host that a server comes to; nothing where it boots from a volume."""
    if row.image.get("from_volume"):
        return None
    image = row.base or row.image
    size = (row.disk << 30) or image.get("virtual_size") or image.get("size")
    form = ARCHIVE if containers.is_container(row.image.get("properties", {})) else "qcow2"
    return {"id": migration_id, "path": moves.path(parts, migration_id), "format": form, "size": size, "virtual_size": size}


def land(db: Connection, work: Work, target: str, **values: Any) -> None:
    """Have a server on another host from now on, its root disk made of the copy."""
    row = _fresh(db, work)
    network.bind(db, work.parts.operations, row.id, target)
    carry.arrived(db, row.id, target)
    values = {"captures": None, "seen_captures": None, "seen_fault": None, "point": None, "past": None, **values}
    write(db, row.id, host=target, placed=True, boots=row.boots + 1, root_number=row.root_number + 1, seen_state="absent", **values)
    hosts.changed(db, work.parts.operations, row.host, target)


def _change(work: Work) -> Later | None:
    memo = work.memo

    def change(db: Connection) -> None:
        row = _fresh(db, work)
        if row.task_state == "resize_finish":
            return
        flavor = memo["flavor"]
        disk = memo.get("disk", flavor["disk"])
        sizes = {"vcpus": flavor["vcpus"], "ram": flavor["ram"], "disk": disk, "flavor": flavor, "flavor_id": flavor["id"]}
        common = {"task_state": "resize_finish", "power": row.before["power"]}
        if _elsewhere(work):
            land(db, work, memo["target"], base=copied(work.parts, row, memo["migration"]), **sizes, **common)
        else:
            restart(db, work, point=f"before-{memo['migration']}", soft=True, **sizes, **common)

    work.then(change)
    return None


def _unchange(work: Work) -> None:
    """As it was; its disk stays as it is, so that nothing is lost that was written since. Its volumes go back before it does."""
    now_ = row_of(work)
    if now_.before is not None and now_.host != now_.before["host"] and work.database.look(lambda db: carry.ids(db, now_.id)):
        if now_.power != "stopped":
            work.database.run(lambda db: restart(db, work, power="stopped", soft=False))
            raise Unavailable("The server is not off yet on the other host.")
        if now_.seen_state not in (STOPPED, CRASHED, ABSENT):
            raise Unavailable("The server is not off yet on the other host.")
        carry.uncarry(work, now_.before["host"])

    def back(db: Connection) -> None:
        row = _fresh(db, work)
        if row.before is None:
            return
        sizes = {name: row.before[name] for name in (*_SIZES, "power")}
        if row.host != row.before["host"]:
            land(db, work, row.before["host"], base=copied(work.parts, row, row.before["migration"]), **sizes)
        elif row.point is not None:
            restart(db, work, point=None, **sizes)

    work.then(back)


def _reach(work: Work) -> Later | None:
    row = row_of(work)
    if not reached(work, row):
        return Later(LOOK)

    def arrive(db: Connection) -> None:
        window = work.parts.settings.compute.resize_confirm_window
        moves.note(db, work.memo["migration"], "finished")
        confirm_by = now() + timedelta(seconds=window) if window else None
        write(db, row.id, vm_state="resized", task_state=None, fault=None, confirm_by=confirm_by, launched=now())
        finish(db, work)

    work.then(arrive)
    return None


RESIZE = kind(
    "server.resize",
    Step("schedule", _schedule, _unschedule), Step("stop", _stop, _unstop), Step("copy", _copy, _uncopy),
    Step("volumes", _carry, _uncarry), Step("change", _change, _unchange), Step("reach", _reach),
    deadline=3600, failed=give_up,
)  # fmt: skip


# confirm


def _confirm(work: Work) -> Later | None:
    def confirm(db: Connection) -> None:
        row = _fresh(db, work)
        if row.before is not None:
            moves.note(db, row.before["migration"], "confirmed")
            moves.forget(db, work.parts, row.before)
        off = row.power == "stopped" or row.seen_state in (STOPPED, CRASHED)  # it may have switched itself off meanwhile
        state, power = ("stopped", "stopped") if off else ("active", row.power)
        write(db, row.id, before=None, confirm_by=None, point=None, vm_state=state, power=power, task_state=None)
        hosts.changed(db, work.parts.operations, row.host)
        finish(db, work)

    work.then(confirm)
    return None


CONFIRM = kind("server.confirm", Step("confirm", _confirm), deadline=300)


# revert


def _returns(work: Work, row: Any) -> bool:
    """Whether the server goes back to another host with volumes."""
    back = row.before is not None and not row.before.get("reverted") and row.before["host"] != row.host
    return back and bool(work.database.look(lambda db: carry.ids(db, row.id)))


def _rest(work: Work) -> Later | None:
    """A server that takes volumes back with it is off meanwhile, so that they hold what it has written."""
    row = row_of(work)
    if not _returns(work, row) or row.seen_state in (STOPPED, CRASHED):
        return None
    if row.power != "stopped":
        work.memo["power"] = row.power
        _wish_power(work, "stopped")
    return Later(LOOK)


def _unrest(work: Work) -> None:
    if "power" in work.memo:
        power = work.memo["power"]
        work.then(lambda db: restart(db, work, power=power))


def _return(work: Work) -> Later | None:
    row = row_of(work)
    return carry.carry(work, row.before["host"]) if _returns(work, row) else None


def _unreturn(work: Work) -> None:
    carry.uncarry(work, row_of(work).host)


def _revert(work: Work) -> Later | None:
    def revert(db: Connection) -> None:
        row = _fresh(db, work)
        if row.before is None or row.before.get("reverted"):
            return
        before = row.before
        inventory.free(db, row.id)
        inventory.hand_over(db, before["migration"], row.id)
        sizes = {name: before[name] for name in (*_SIZES, "power")}
        if row.host != before["host"]:
            land(db, work, before["host"], base=copied(work.parts, row, before["migration"]), **sizes)
        else:
            past = [hosts.root_of(row.id, row.root_number), row.point]
            restart(db, work, past=past, point=None, root_number=row.root_number + 1, **sizes)
        moves.note(db, before["migration"], "reverting")
        write(db, row.id, confirm_by=None, before={**before, "reverted": True})

    work.then(revert)
    return None


def _reverted(work: Work) -> Later | None:
    row = row_of(work)
    if not reached(work, row):
        return Later(LOOK)

    def arrive(db: Connection) -> None:
        if row.before is not None:
            moves.note(db, row.before["migration"], "reverted")
            moves.forget(db, work.parts, row.before)
        write(db, row.id, vm_state="stopped" if row.power == "stopped" else "active", task_state=None, before=None, fault=None)
        finish(db, work)

    work.then(arrive)
    return None


def _unreverted(db: Connection, work: Work, fault: str) -> None:
    """Where it has not gone back, it is what it was."""
    before = _fresh(db, work).before
    (give_up if before is not None and not before.get("reverted") else fail)(db, work, fault)


REVERT = kind(
    "server.revert",
    Step("stop", _rest, _unrest), Step("volumes", _return, _unreturn), Step("revert", _revert), Step("reach", _reverted),
    deadline=3600, failed=_unreverted, commit="revert",
)  # fmt: skip
KINDS = (RESIZE, CONFIRM, REVERT)
