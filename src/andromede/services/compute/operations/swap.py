"""Putting another volume in the place of one that a server has, with its data, while the server runs."""

from typing import Any

from sqlalchemy import Connection, select

from andromede.core.errors import CloudError, Unavailable
from andromede.engine.model import Later, Step, Work
from andromede.services.compute import devices, hosts
from andromede.services.compute.operations.base import FAULTS, LOOK, PAUSED, RUNNING, finish, kind, row_of
from andromede.services.compute.tables import host, server
from andromede.services.compute.tables_volumes import block_device
from andromede.services.volume import service as volume


def _device(work: Work) -> Any:
    with work.database.read() as db:
        return db.execute(select(block_device).where(block_device.c.id == work.memo["device"])).first()


def _wish(work: Work, *, on: bool) -> None:
    def commit(db: Connection) -> None:
        devices.change(db, work.memo["device"], swap=work.memo["new"], swapping=on)
        hosts.changed(db, work.parts.operations, db.scalar(select(server.c.host).where(server.c.id == work.resource)))

    work.then(commit)


def _begin(work: Work) -> Later | None:
    if _device(work) is not None:
        _wish(work, on=True)
    return None


def _unbegin(work: Work) -> None:
    """The server keeps what it has, once its host has heard of that and closed the other."""
    row, device = row_of(work), _device(work)
    with work.database.read() as db:
        one = db.execute(hosts.known().where(host.c.name == row.host)).first()
    if one is not None and device is not None and device.swap is not None:
        told = work.memo.setdefault("generation", one.generation)
        if device.seen_swap or one.seen_generation < told:
            raise Unavailable("The volume is still in use.")
    work.then(lambda db: _drop(db, work))


def _drop(db: Connection, work: Work) -> None:
    device = db.execute(select(block_device).where(block_device.c.id == work.memo["device"])).first()
    if device is not None and device.swap is not None:
        devices.change(db, device.id, swap=None, swapping=False, seen_swap=False)
    volume.detach(db, work.memo["attachment"])
    volume.detaching(db, work.memo["old"], on=False)


def _follow(work: Work) -> Later | None:
    row, device = row_of(work), _device(work)
    if device is None or device.volume_id == work.memo["new"]:
        return None
    if device.seen_swap and not device.seen:

        def commit(db: Connection) -> None:
            one = db.execute(select(block_device).where(block_device.c.id == device.id)).one()
            if one.swap is None:
                return
            values = {"volume_id": one.swap, "swap": None, "swapping": False, "slot": devices.slot_of(one), "seen": True, "seen_swap": False}
            devices.change(db, one.id, attachment_id=work.memo["attachment"], **values)
            volume.attached(db, work.memo["attachment"], device=one.device_name, host=row.host)
            volume.detach(db, work.memo["old"])
            hosts.changed(db, work.parts.operations, row.host)
            finish(db, work)

        work.then(commit)
        return None
    if row.seen_state not in (RUNNING, PAUSED):
        raise CloudError("The server ended before the other volume had all the data.", status=409)
    return Later(1.0 if work.blame(row.seen_fault, FAULTS) else LOOK)


def _unfollow(work: Work) -> None:
    device = _device(work)
    if device is not None and device.swap is not None:
        _wish(work, on=False)


def _failed(db: Connection, work: Work, fault: str) -> None:
    device = db.execute(select(block_device).where(block_device.c.id == work.memo["device"])).first()
    if device is None or device.volume_id != work.memo["new"]:
        _drop(db, work)
    finish(db, work, fault)


SWAP = kind("server.swap", Step("begin", _begin, _unbegin), Step("mirror", _follow, _unfollow), deadline=6 * 3600, failed=_failed)
