"""Deleting a server: its guest is gone from its host before its ports and its row are."""

from sqlalchemy import Connection, select

from andromede.core.clock import now
from andromede.engine.model import Later, Step, Work
from andromede.services.compute import channel, consoles, devices, hosts, inventory
from andromede.services.compute.operations import moves
from andromede.services.compute.operations.base import ABSENT, LOOK, finish, kind, row_of, write
from andromede.services.compute.operations.snapshot import abandon
from andromede.services.compute.tables import host, server
from andromede.services.image.service import snapshots as image
from andromede.services.network import service as network
from andromede.services.volume import service as volume


def _unplace(work: Work) -> Later | None:
    row = row_of(work)
    if row.host is None or not row.placed:
        return None

    def unplace(db: Connection) -> None:
        write(db, row.id, placed=False, task_state="deleting")
        hosts.changed(db, work.parts.operations, row.host, row.target)

    work.then(unplace)
    return None


def _gone(work: Work) -> Later | None:
    """Wait until the host holds a set without the guest and sees none; one that is away removes it when it comes back."""
    row = row_of(work)
    with work.database.read() as db:
        one = db.execute(hosts.known().where(host.c.name == row.host)).first()
    if one is None or not hosts.alive(one):
        return None
    held = work.memo.setdefault("generation", one.generation)
    if one.seen_generation >= held and row.seen_state == ABSENT:
        return None
    return Later(LOOK)


def _erase(work: Work) -> Later | None:
    def erase(db: Connection) -> None:
        row = db.execute(select(server).where(server.c.id == work.resource)).mappings().one()
        network.release(db, work.parts.operations, work.resource)
        volume.stay(db, work.parts, [one.volume_id for one in devices.of_servers(db, [work.resource]).get(work.resource, [])])
        devices.release(db, work.parts, work.resource, request_id=work.request_id)
        abandon(db, work.parts, row)
        consoles.forget(db, row["id"])
        channel.drop(db, row["id"])
        inventory.free(db, row["id"])
        moves.abandon(db, row)
        if row["before"] is not None:
            moves.forget(db, work.parts, row["before"])
        if row["shelved_image"] is not None:
            image.forget(db, work.parts, row["shelved_image"])
        write(
            db, work.resource, vm_state="deleted", task_state=None, host=None, placed=False, power="stopped",
            seen_state="absent", deleted=now(), terminated=now(), user_data=None, files={}, fault=None, before=None, confirm_by=None,
            rescue=None, captures=None, seen_captures=None, shelved_image=None, reclaim=None, base=None,
            target=None, move=None, seen_move=None,
        )  # fmt: skip
        finish(db, work)

    work.then(erase)
    return None


DELETE = kind("server.delete", Step("unplace", _unplace), Step("gone", _gone), Step("erase", _erase), deadline=3600, commit="unplace")
