"""Volumes of servers: made while one is built, attached and detached while it is there."""

from typing import Any

from sqlalchemy import Connection, select

from andromede.core.errors import CloudError
from andromede.engine.model import Later, Step, Work
from andromede.services.compute import devices, hosts
from andromede.services.compute.operations.base import LOOK, PAUSED, RUNNING, finish, kind, row_of
from andromede.services.compute.tables import host, server
from andromede.services.compute.tables_volumes import block_device
from andromede.services.volume import service as volume

_FAULTS = 2
_UP = (RUNNING, PAUSED, "stopping")


def made(work: Work) -> Later | None:
    """Have the volumes of a server that is being built made on its host, and wait until they are."""
    row = row_of(work)
    with work.database.read() as db:
        rows = devices.of_servers(db, [row.id]).get(row.id, [])
        states = {one.volume_id: volume.state_of(db, one.volume_id) for one in rows}
    if not rows:
        return None
    for id_, (status, fault) in states.items():
        if status in ("error", "deleted"):
            raise CloudError(f"Block Device Mapping is Invalid: volume {id_} is {status}: {fault or 'its messages say why'}", status=409)
    if not work.memo.get("volumes"):

        def begin(db: Connection) -> None:
            for one in rows:
                if one.made:
                    volume.begin(db, work.parts, one.volume_id, row.host, request_id=work.request_id)

        work.memo["volumes"] = True
        work.then(begin)
        return Later(0.0)
    return None if all(status in ("attaching", "in-use") for status, _ in states.values()) else Later(LOOK)


def unmade(work: Work) -> None:
    """Volumes that were not begun are not wanted any more."""

    def commit(db: Connection) -> None:
        for one in devices.of_servers(db, [work.resource]).get(work.resource, []):
            if one.made:
                volume.forget(db, one.volume_id)

    work.then(commit)


def arrived(db: Connection, server_id: str, host_name: str | None) -> None:
    """A server runs for the first time, with all its volumes."""
    for one in devices.of_servers(db, [server_id]).get(server_id, []):
        volume.attached(db, one.attachment_id, device=one.device_name, host=host_name)


def _device(db: Connection, work: Work) -> Any:
    return db.execute(select(block_device).where(block_device.c.id == work.memo["device"])).first()


def _look(work: Work) -> tuple[Any, Any, bool]:
    """The server, its volume's row, and whether its host has heard of what is asked."""
    with work.database.read() as db:
        row = db.execute(select(server).where(server.c.id == work.resource)).one()
        one = db.execute(hosts.known().where(host.c.name == row.host)).first()
        heard = one is None or one.seen_generation >= work.memo.setdefault("generation", one.generation)
        return row, _device(db, work), heard


def _plugged(work: Work) -> Later | None:
    row, device, heard = _look(work)
    if device is None or row.host is None or (row.seen_state not in _UP and heard) or device.seen:

        def commit(db: Connection) -> None:
            if _device(db, work) is not None:
                volume.attached(db, work.memo["attachment"], device=work.memo["name"], host=row.host)
            finish(db, work)

        work.then(commit)
        return None
    return Later(1.0 if heard and work.blame(row.seen_fault, _FAULTS) else LOOK)


def _unplugged(work: Work) -> None:
    """As if it had never been asked for."""

    def commit(db: Connection) -> None:
        devices.drop(db, work.memo["device"])
        volume.detach(db, work.memo["attachment"])
        hosts.changed(db, work.parts.operations, db.scalar(select(server.c.host).where(server.c.id == work.resource)))

    work.then(commit)


def _failed(db: Connection, work: Work, fault: str) -> None:
    finish(db, work, fault)


def _brought(work: Work) -> Later | None:
    """Wait until the volume is on the server's host, and tell that of it then."""
    row, device, _ = _look(work)
    if device is None or not device.leaving:
        return None
    with work.database.read() as db:
        if not volume.brought(db, work.memo["volume"], row.host):
            return Later(LOOK)

    def commit(db: Connection) -> None:
        devices.change(db, device.id, leaving=False)
        hosts.changed(db, work.parts.operations, row.host)

    work.memo.pop("generation", None)
    work.then(commit)
    return None


BRING = kind("server.bring", Step("bring", _brought, _unplugged), Step("plug", _plugged, _unplugged), deadline=6 * 3600, failed=_failed)
ATTACH = kind("server.attach", Step("plug", _plugged, _unplugged), deadline=180, failed=_failed)


def _let_go(work: Work) -> Later | None:
    row, device, heard = _look(work)
    if device is None or row.host is None or (heard and not device.seen):

        def commit(db: Connection) -> None:
            devices.drop(db, work.memo["device"])
            volume.detach(db, work.memo["attachment"])
            finish(db, work)

        work.then(commit)
        return None
    return Later(LOOK)


def _kept(work: Work) -> None:
    """The guest does not let go of it: it stays the server's."""

    def commit(db: Connection) -> None:
        if _device(db, work) is not None:
            devices.change(db, work.memo["device"], leaving=False)
            volume.detaching(db, work.memo["attachment"], on=False)
            hosts.changed(db, work.parts.operations, db.scalar(select(server.c.host).where(server.c.id == work.resource)))

    work.then(commit)


DETACH = kind("server.detach", Step("unplug", _let_go, _kept), deadline=120, failed=_failed)
KINDS = (ATTACH, BRING, DETACH)
