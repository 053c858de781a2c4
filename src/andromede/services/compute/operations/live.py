"""Moving a server to another host while it runs.

It has two halves meanwhile: its host is told of a departure, the target of an arrival, and both say how that stands. Only what its host says
decides: until that has sent all, the server is there and goes on there, whatever fails; from then on it is the target's.
"""

from typing import Any

from sqlalchemy import Connection, select

from andromede.core.clock import iso_z
from andromede.core.errors import CloudError, Conflict, Unavailable
from andromede.engine.model import Later, Step, Work
from andromede.services.compute import devices, hosts, inventory
from andromede.services.compute.operations import moves
from andromede.services.compute.operations.base import (
    ABSENT,
    CRASHED,
    FAULTS,
    LOOK,
    PAUSED,
    RUNNING,
    STOPPED,
    finish,
    give_up,
    kind,
    row_of,
    write,
)
from andromede.services.compute.tables import server
from andromede.services.network import service as network
from andromede.services.volume import service as volume

_SENT = ("sent", "gone")


def _fresh(db: Connection, work: Work) -> Any:
    return db.execute(select(server).where(server.c.id == work.resource)).one()


def _source(row: Any) -> dict[str, Any]:
    """What its host says of the move under way."""
    told = (row.seen_move or {}).get("source") or {}
    return told if row.move is not None and told.get("id") == row.move["id"] else {}


def _there(row: Any) -> str:
    """The state that the target says it is in."""
    return str(((row.seen_move or {}).get("target") or {}).get("state", ABSENT))


def _watch(work: Work, row: Any) -> Later:
    """Nothing speaks against going on. Raises CloudError (409) where something does."""
    if row.move is not None and row.move.get("abort"):
        work.memo["aborted"] = True
        raise CloudError("The live migration was aborted.", status=409)
    if row.seen_state in (STOPPED, CRASHED, ABSENT):
        raise CloudError("The server ended while it was to be moved.", status=409)
    faults = [row.seen_fault, ((row.seen_move or {}).get("target") or {}).get("fault")]
    work.blame(next((one for one in faults if one), None), FAULTS)
    return Later(LOOK)


def _schedule(work: Work) -> Later | None:
    """Claim the room there; what it has here is held by the migration. `memo`: migration, wanted."""
    if row_of(work).move is not None:
        return None

    def choose(db: Connection, row: Any) -> str:
        return hosts.choose(db, row, avoid=row.host, target=work.memo.get("wanted"), with_volumes=True)

    work.database.look(lambda db: choose(db, _fresh(db, work)))

    def place(db: Connection) -> None:
        row, id_ = _fresh(db, work), work.memo["migration"]
        if row.move is not None:
            return
        try:
            chosen = choose(db, row)
        except Conflict as error:
            raise Unavailable(error.message) from error
        inventory.hand_over(db, row.id, id_)
        inventory.claim(db, row.id, chosen, inventory.need(row))
        moves.note(db, id_, "preparing", target=chosen)
        write(db, row.id, move={"id": id_, "target": chosen}, seen_move=None)
        hosts.changed(db, work.parts.operations, row.host)

    work.then(place)
    return None


def _unclear(row: Any) -> bool:
    """Whether all was sent, and nobody has said what became of it: nothing is taken from either host then."""
    return _source(row).get("phase") in _SENT


def _unschedule(work: Work) -> None:
    def unplace(db: Connection) -> None:
        row, id_ = _fresh(db, work), work.memo["migration"]
        if row.move is not None and not _unclear(row):
            inventory.hand_over(db, id_, row.id)
            write(db, row.id, move=None, seen_move=None)
            hosts.changed(db, work.parts.operations, row.host)
            moves.note(db, id_, "cancelled" if work.memo.get("aborted") else "error")

    work.then(unplace)


def _describe(work: Work) -> Later | None:
    row = row_of(work)
    machine = _source(row).get("machine")
    if not machine:
        return _watch(work, row)
    work.then(lambda db: write(db, row.id, move={**_fresh(db, work).move, "machine": machine}))
    return None


def _volumes(db: Connection, server_id: str) -> list[str]:
    return [one.volume_id for one in devices.of_servers(db, [server_id]).get(server_id, [])]


def _make(work: Work) -> Later | None:
    """Have its volumes made empty on the target."""
    row = row_of(work)
    with work.database.read() as db:
        ids = _volumes(db, row.id)
        if not ids or volume.travels(db, ids):
            return None
    work.then(lambda db: volume.travel(db, work.parts, ids, row.move["target"]))
    return _watch(work, row)


def _unmake(work: Work) -> None:
    def stay(db: Connection) -> None:
        if not _unclear(_fresh(db, work)):
            volume.stay(db, work.parts, _volumes(db, work.resource))

    work.then(stay)


def _receive(work: Work) -> Later | None:
    row = row_of(work)
    if row.target is None:

        def come(db: Connection) -> None:
            now_ = _fresh(db, work)
            write(db, row.id, target=now_.move["target"])
            network.expect(db, work.parts.operations, row.id, now_.move["target"])
            hosts.changed(db, work.parts.operations, now_.move["target"])

        work.then(come)
        return Later(0.0)
    if _there(row) == "arriving":
        return None
    if _there(row) in (CRASHED, STOPPED):
        raise CloudError("The other host could not make the server ready.", status=409)
    return _watch(work, row)


def _unreceive(work: Work) -> None:
    def leave(db: Connection) -> None:
        row = _fresh(db, work)
        if row.target is not None and not _unclear(row):
            write(db, row.id, target=None)
            network.expect(db, work.parts.operations, row.id, None)
            hosts.changed(db, work.parts.operations, row.target)

    work.then(leave)


def _send(work: Work) -> Later | None:
    def tell(db: Connection) -> None:
        row = _fresh(db, work)
        write(db, row.id, move={**row.move, "to": row.target})
        moves.note(db, work.memo["migration"], "running")
        hosts.changed(db, work.parts.operations, row.host)

    work.then(tell)
    return None


def _unsend(work: Work) -> None:
    """Wait until it is clear where the server runs: here again, or there after all."""
    row = row_of(work)
    if row.move is None:
        return
    source = _source(row)
    if source.get("phase") in _SENT:
        if _arrived(row):
            work.then(lambda db: _arrive(db, work))
            return
        if _there(row) in (CRASHED, STOPPED, ABSENT) and not row.move.get("back"):
            work.database.run(lambda db: _told(db, work, back=True))
        raise Unavailable("It is not clear yet on which host the server runs.")
    if source.get("phase") == "sending" or source.get("fault"):
        raise Unavailable("The server's host has not taken the departure back yet.")


def _told(db: Connection, work: Work, **more: Any) -> None:
    """The departure is not asked for any more."""
    row = _fresh(db, work)
    if row.move is not None and ("to" in row.move or more):
        kept = {name: value for name, value in row.move.items() if name not in ("to", "force")}
        write(db, row.id, move=kept | more)
        hosts.changed(db, work.parts.operations, row.host)


def _arrived(row: Any) -> bool:
    phase, there = _source(row).get("phase"), _there(row)
    if there in (ABSENT, "arriving"):
        return False
    return phase == "gone" or (there in (RUNNING, PAUSED) and (phase == "sent" or row.seen_state in (STOPPED, CRASHED, ABSENT)))


def _follow(work: Work) -> Later | None:
    row = row_of(work)
    if _arrived(row):
        return None
    source = _source(row)
    if source.get("fault"):
        raise CloudError(source["fault"], status=409)
    if source.get("phase") in _SENT:
        if _there(row) in (CRASHED, STOPPED):
            raise CloudError("The other host could not take over the server.", status=409)
        return Later(LOOK)
    progress = _progress(source)
    if progress != work.memo.get("progress"):
        work.memo["progress"] = progress
        work.then(lambda db: moves.note(db, work.memo["migration"], "running", progress=progress))
    return _watch(work, row)


def _progress(source: dict[str, Any]) -> dict[str, int]:
    out: dict[str, int] = {}
    for part, prefix in (("memory", ""), ("disk", "disk_")):
        done, total = source.get(f"{prefix}done", 0), source.get(f"{prefix}total", 0)
        out |= {f"{part}_total_bytes": total, f"{part}_processed_bytes": done, f"{part}_remaining_bytes": total - done}
    return out


def _unfollow(work: Work) -> None:
    work.then(lambda db: _told(db, work))


def _arrive(db: Connection, work: Work) -> None:
    """It is the target's from now on, with a disk that holds all of it; its former host removes what it has."""
    row = _fresh(db, work)
    if row.move is None:
        return
    state, made_of = _there(row), row.base or row.image
    size = made_of.get("virtual_size") or made_of.get("size")
    ended = {"vm_state": "stopped", "power": "stopped"} if state in (STOPPED, CRASHED) else {}
    inventory.free(db, row.move["id"])
    network.expect(db, work.parts.operations, row.id, None)
    network.bind(db, work.parts.operations, row.id, row.target)
    volume.land(db, work.parts, _volumes(db, row.id))
    moves.note(db, row.move["id"], "completed")
    write(
        db, row.id, host=row.target, target=None, move=None, seen_move=None, task_state=None,
        base={"id": row.move["id"], "size": size, "virtual_size": size}, seen_state=state, seen_boots=row.boots, seen_fault=None, **ended,
    )  # fmt: skip
    hosts.changed(db, work.parts.operations, row.host, row.target)


def _land(work: Work) -> Later | None:
    def land(db: Connection) -> None:
        _arrive(db, work)
        finish(db, work)

    work.then(land)
    return None


def _failed(db: Connection, work: Work, fault: str) -> None:
    give_up(db, work, fault)
    row = _fresh(db, work)
    if row.move is not None:  # all was sent, and neither host says that it runs there
        write(db, row.id, vm_state="error", fault={"code": 500, "created": iso_z(row.updated), "message": fault})
    elif row.seen_state in (STOPPED, CRASHED):
        write(db, row.id, vm_state="stopped", power="stopped")
        hosts.changed(db, work.parts.operations, row.host)


LIVE = kind(
    "server.live",
    Step("schedule", _schedule, _unschedule), Step("describe", _describe), Step("volumes", _make, _unmake),
    Step("receive", _receive, _unreceive), Step("send", _send, _unsend), Step("follow", _follow, _unfollow), Step("land", _land),
    deadline=3600, failed=_failed, commit="land",
)  # fmt: skip
