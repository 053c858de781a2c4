"""Shelving: a server is stopped, kept as an image, and leaves its host; unshelving builds it again from there, on any host."""

from typing import Any

from sqlalchemy import Connection, select

from andromede.core.clock import now
from andromede.core.errors import Conflict, Unavailable
from andromede.engine.model import Later, Step, Work
from andromede.services.compute import hosts, inventory
from andromede.services.compute.operations import carry
from andromede.services.compute.operations.base import (
    ABSENT,
    LOOK,
    STOPPED,
    finish,
    give_up,
    kind,
    reached,
    restart,
    row_of,
    write,
)
from andromede.services.compute.operations.snapshot import capture, uncapture, upload
from andromede.services.compute.tables import host, server
from andromede.services.image.service import snapshots as image
from andromede.services.network import service as network
from andromede.services.volume import service as volume


def _fresh(db: Connection, work: Work) -> Any:
    return db.execute(select(server).where(server.c.id == work.resource)).one()


def _stop(work: Work) -> Later | None:
    """The request has wished it off."""
    row = row_of(work)
    return None if row.power == "stopped" and (row.seen_state == STOPPED or reached(work, row, gone=True)) else Later(LOOK)


def _unstop(work: Work) -> None:
    def back(db: Connection) -> None:
        if _fresh(db, work).power != work.memo["power"]:
            restart(db, work, power=work.memo["power"], soft=False)

    work.then(back)


def _uncapture(work: Work) -> None:
    """Nobody has asked for the image itself."""
    if "image" not in work.memo:
        return
    uncapture(work)
    work.then(lambda db: image.forget(db, work.parts, work.memo["image"]))


def _capture(work: Work) -> Later | None:
    return capture(work) if "image" in work.memo else None


def _upload(work: Work) -> Later | None:
    return upload(work) if "image" in work.memo else None


def _shelved(work: Work) -> Later | None:
    def shelve(db: Connection) -> None:
        row = _fresh(db, work)
        image_id = work.memo.get("image")
        offload = image_id is None or work.parts.settings.compute.offload_shelved
        write(db, row.id, vm_state="shelved", shelved_image=image_id, task_state="shelving_offloading" if offload else None)
        if not offload:
            finish(db, work)

    work.then(shelve)
    return None


def _leave(work: Work) -> Later | None:
    """Leave the host; its guest is gone before its room is."""
    row = row_of(work)
    if row.host is None or (work.kind == "server.shelve" and row.vm_state == "shelved" and row.task_state is None):
        return None
    if row.placed:

        def unplace(db: Connection) -> None:
            write(db, row.id, placed=False)
            hosts.changed(db, work.parts.operations, row.host)

        work.then(unplace)
        return Later(0.1)
    with work.database.read() as db:
        one = db.execute(hosts.known().where(host.c.name == row.host)).first()
    if one is not None and hosts.alive(one):
        held = work.memo.setdefault("generation", one.generation)
        if one.seen_generation < held or row.seen_state != ABSENT:
            return Later(LOOK)

    def offload(db: Connection) -> None:
        _offload(db, work)
        finish(db, work)

    work.then(offload)
    return None


def _offload(db: Connection, work: Work) -> None:
    network.bind(db, work.parts.operations, work.resource, None)
    inventory.free(db, work.resource)
    write(db, work.resource, host=None, vm_state="shelved_offloaded", task_state=None, point=None, past=None)


def _failed(db: Connection, work: Work, fault: str) -> None:
    """As it was before; or shelved, once there is an image; or off its host, once that has been told to remove the guest."""
    row = _fresh(db, work)
    if row.vm_state == "shelved":
        work.memo["was"] = "shelved" if row.placed else "shelved_offloaded"
    elif "image" in work.memo:
        image.discard(db, work.parts, work.memo["image"])
        write(db, row.id, shelved_image=None)
    if row.vm_state == "shelved" and not row.placed:
        _offload(db, work)
    give_up(db, work, fault)


SHELVE = kind(
    "server.shelve",
    Step("stop", _stop, _unstop), Step("capture", _capture, _uncapture), Step("upload", _upload), Step("shelve", _shelved), Step("offload", _leave),
    deadline=6 * 3600, failed=_failed, commit="shelve",
)  # fmt: skip
OFFLOAD = kind("server.offload", Step("offload", _leave), deadline=3600, failed=_failed, commit="offload")


# unshelve


def _schedule(work: Work) -> Later | None:
    if row_of(work).host is not None:
        return None

    def choose(db: Connection) -> str:
        """Where its volumes are, if it fits there; or on another host, to which they can go."""
        row, held = _fresh(db, work), carry.ids(db, work.resource)
        where = next(iter(volume.hosts_of(db, held)), None)
        return hosts.choose(db, row, target=work.memo.get("wanted"), prefer=where, with_volumes=not volume.immovable(db, held))

    def place(db: Connection) -> None:
        row = _fresh(db, work)
        try:
            chosen = choose(db)
        except Conflict as error:
            raise Unavailable(error.message) from error
        inventory.claim(db, row.id, chosen, inventory.need(row))
        write(db, row.id, host=chosen)

    work.database.look(choose)
    work.then(place)
    return None


def _unschedule(work: Work) -> None:
    def unplace(db: Connection) -> None:
        row = _fresh(db, work)
        if row.vm_state == "shelved_offloaded":
            inventory.free(db, row.id)
            write(db, row.id, host=None)

    work.then(unplace)


def _bring(work: Work) -> Later | None:
    """Its volumes go where it is to run."""
    row = row_of(work)
    if row.vm_state != "shelved_offloaded":
        return None
    if "from" not in work.memo:
        work.memo["from"] = next(iter(work.database.look(lambda db: volume.hosts_of(db, carry.ids(db, row.id)))), row.host)
    return carry.carry(work, row.host)


def _unbring(work: Work) -> None:
    if "from" in work.memo:
        carry.uncarry(work, work.memo["from"])


def _spawn(work: Work) -> Later | None:
    def spawn(db: Connection) -> None:
        row = _fresh(db, work)
        if row.task_state == "spawning":
            return
        values: dict[str, Any] = {"power": "running", "task_state": "spawning", "soft": False}
        if row.vm_state == "shelved_offloaded":
            network.bind(db, work.parts.operations, row.id, row.host)
            carry.arrived(db, row.id, row.host)
            values |= {"placed": True, "base": work.memo.get("base"), "root_number": row.root_number + 1, "past": None, "point": None}
        restart(db, work, **values)

    work.then(spawn)
    return None


def _unspawn(work: Work) -> None:
    def back(db: Connection) -> None:
        row = _fresh(db, work)
        if row.vm_state == "shelved_offloaded":
            network.bind(db, work.parts.operations, row.id, None)
            write(db, row.id, placed=False, power="stopped", task_state="unshelving")
            hosts.changed(db, work.parts.operations, row.host)
        elif row.power == "running":
            restart(db, work, power="stopped", task_state="unshelving")

    work.then(back)


def _unshelved(work: Work) -> Later | None:
    row = row_of(work)
    if not reached(work, row):
        return Later(LOOK)

    def arrive(db: Connection) -> None:
        if row.shelved_image is not None:
            image.forget(db, work.parts, row.shelved_image)
        write(db, row.id, vm_state="active", task_state=None, fault=None, shelved_image=None, launched=now())
        finish(db, work)

    work.then(arrive)
    return None


UNSHELVE = kind(
    "server.unshelve",
    Step("schedule", _schedule, _unschedule), Step("volumes", _bring, _unbring), Step("spawn", _spawn, _unspawn), Step("reach", _unshelved),
    deadline=3600, failed=give_up,
)  # fmt: skip
KINDS = (SHELVE, OFFLOAD, UNSHELVE)
