"""A running guest on its way to another host: its disks are mirrored into the other QEMU's NBD server, then its memory follows.

Both go over connections that the agents have made and hand over open, so that neither QEMU needs a network or a path. The record here says
alone whether all has been sent: from then on the guest is the other host's, unless the cloud says that it is to go on here.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from andromede.core.clock import monotonic
from andromede.core.errors import DriverError
from andromede.drivers.hypervisor import Arrival, Departure, Guest, Move, Phase, Power, Reach
from andromede.drivers.hypervisor.qemu import drive, places
from andromede.drivers.hypervisor.qemu.cmdline import Before
from andromede.drivers.hypervisor.qemu.process import sanitise
from andromede.drivers.hypervisor.qemu.qmp import Monitor, MonitorError, listen, short_path
from andromede.drivers.hypervisor.qemu.store import Record

_JOB, _NBD, _MEMORY = "move-", "nbd", "memory"
_TURN, _PATIENCE, _PAUSE = 2.0, 20.0, 0.02
_FASTEST = 1 << 40
_DOWNTIME = 300
"""Milliseconds that a guest may stand still for the last of its memory."""
_UNDER_WAY = ("setup", "active", "pre-switchover", "device", "cancelling", "wait-unplug")
Save = Callable[[Record], None]


def machine(arrival: Arrival) -> Before:
    """The machine that a guest was on the host that it comes from. Raises DriverError."""
    try:
        return msgspec.json.decode(arrival.machine, type=Before)
    except msgspec.MsgspecError as error:
        raise DriverError("The other host describes the server in a way that this one does not know.") from error


async def depart(monitor: Monitor, guest: Guest, record: Record, save: Save, reach: Reach) -> Move | None:
    """Move a departure one step on; None where there is none. Raises MonitorError where QEMU does not answer, DriverError."""
    going = guest.departure
    if record.sent and not (going is not None and going.back):
        if going is not None and going.to and not record.gone:
            (await reach(going.to, guest.id, "finish")).close()
            record.gone = True
            save(record)
        return Move(id=record.departing, phase=Phase.GONE if record.gone else Phase.SENT)
    if record.departing and (going is None or going.back or not going.to or going.id != record.departing):
        await _take_back(monitor, record, save)
    if going is None or going.back:
        return None
    if not going.to:
        known, ports, exact = await places.find(monitor)
        return Move(id=going.id, phase=Phase.DESCRIBED, machine=msgspec.json.encode(Before(known, ports, exact)))
    if record.failed:
        return Move(id=going.id, phase=Phase.DESCRIBED, fault=record.failed)
    try:
        return await _send(monitor, guest, going, record, save, reach)
    except (DriverError, MonitorError, OSError) as error:
        if record.sent:  # it is the other host's; telling it so is tried again
            raise
        await _take_back(monitor, record, save)
        record.departing, record.failed = going.id, error.message if isinstance(error, DriverError) else "The hypervisor could not send the server."
        save(record)
        return Move(id=going.id, phase=Phase.DESCRIBED, fault=record.failed)


async def _send(monitor: Monitor, guest: Guest, going: Departure, record: Record, save: Save, reach: Reach) -> Move:
    if not record.departing:
        record.departing, record.was = going.id, await monitor.status()
        save(record)
    if not record.streaming:
        jobs = await _jobs(monitor)
        for node in _nodes(record):
            if _JOB + node not in jobs:
                await _mirror(monitor, node, await reach(going.to, guest.id, f"disk {node}"))
        jobs = await _jobs(monitor)
        for job in jobs.values():
            if job["status"] in ("concluded", "aborting"):
                raise DriverError(f"A disk of the server could not be sent: {sanitise(str(job.get('error', 'it was ended')))}")
        if not all(job["status"] == "ready" for job in jobs.values()):
            return _progress(going.id, jobs, {})
        await _begin(monitor, await reach(going.to, guest.id, _MEMORY), record, save)
    until = monotonic() + _TURN
    while True:
        stands = await monitor.run("query-migrate")
        status = stands.get("status", "none")
        if status == "completed":
            record.sent = True
            save(record)
            (await reach(going.to, guest.id, "finish")).close()
            record.gone = True
            save(record)
            return Move(id=going.id, phase=Phase.GONE)
        if status not in _UNDER_WAY:
            raise DriverError(f"The memory of the server could not be sent: {sanitise(str(stands.get('error-desc', status)))}")
        if status == "pre-switchover":
            await _end_mirrors(monitor)
            await monitor.run("migrate-continue", state="pre-switchover")
        elif status == "active" and going.force and await monitor.status() == "running":
            await monitor.run("stop")
        elif status == "active" and monotonic() > until:
            return _progress(going.id, await _jobs(monitor), stands)
        await asyncio.sleep(_PAUSE)


def _progress(id_: str, jobs: dict[str, Any], stands: dict[str, Any]) -> Move:
    ram = stands.get("ram", {})
    total = int(ram.get("total", 0))
    return Move(
        id=id_, phase=Phase.SENDING, done=total - int(ram.get("remaining", total)), total=total,
        disk_done=sum(job["current-progress"] for job in jobs.values()), disk_total=sum(job["total-progress"] for job in jobs.values()),
    )  # fmt: skip


def _nodes(record: Record) -> list[str]:
    """The disks and volumes that are sent, by the names that they have in QEMU on both hosts."""
    if record.guest is None:
        return []
    disks = [f"disk{number}" for number, disk in enumerate(record.guest.disks) if not disk.cdrom]
    return [*disks, *(drive.node(one.id) for one in record.guest.drives)]


async def _jobs(monitor: Monitor) -> dict[str, Any]:
    return {job["id"]: job for job in await monitor.run("query-jobs") if job["id"].startswith(_JOB)}


async def _mirror(monitor: Monitor, node: str, link: socket.socket) -> None:
    name = _target(node)
    with link:
        await monitor.give(link.fileno(), name)
    server = {"type": "fd", "str": name}
    await monitor.send("blockdev-add", {"driver": "nbd", "node-name": name, "server": server, "export": node}, _PATIENCE)
    job = {"job-id": _JOB + node, "device": node, "target": name, "sync": "full", "auto-dismiss": False}
    await monitor.send("blockdev-mirror", job, _PATIENCE)


def _target(node: str) -> str:
    """The node of what is on the other host; QEMU allows 31 characters."""
    return f"to-{node}"


async def _begin(monitor: Monitor, link: socket.socket, record: Record, save: Save) -> None:
    wanted = {"pause-before-switchover": True, "events": True, "auto-converge": True}
    await monitor.send("migrate-set-capabilities", {"capabilities": [{"capability": one, "state": on} for one, on in wanted.items()]})
    await monitor.run("migrate-set-parameters", max_bandwidth=_FASTEST, downtime_limit=_DOWNTIME)
    with link:
        await monitor.give(link.fileno(), _MEMORY)
    record.streaming = True
    save(record)
    await monitor.run("migrate", uri=f"fd:{_MEMORY}")


async def _end_mirrors(monitor: Monitor, *, whole: bool = True) -> None:
    """End the mirrors; whole: once the other side has everything. Raises DriverError where it has not."""
    until, fault = monotonic() + _PATIENCE, ""
    asked: set[str] = set()
    while jobs := await _jobs(monitor):
        for name, job in jobs.items():
            if job["status"] == "concluded":
                fault = fault or str(job.get("error", ""))
                await monitor.run("job-dismiss", id=name)
                await _drop(monitor, _target(name.removeprefix(_JOB)))
            elif name not in asked:
                asked.add(name)
                with contextlib.suppress(MonitorError):
                    await monitor.run("block-job-cancel", device=name, force=not whole)
        if monotonic() > until:
            raise DriverError("The other host did not take the last of the server's disks in time.")
        await asyncio.sleep(_PAUSE)
    if fault and whole:
        raise DriverError(f"A disk of the server could not be sent: {sanitise(fault)}")


async def _drop(monitor: Monitor, node: str) -> None:
    """Close a connection; there may be none."""
    with contextlib.suppress(MonitorError):
        await monitor.run("blockdev-del", node_name=node)


async def _take_back(monitor: Monitor, record: Record, save: Save) -> None:
    """The guest goes on here, and nothing of the departure is left."""
    if not record.sent:
        await monitor.run("migrate_cancel")
        until = monotonic() + _PATIENCE
        while (await monitor.run("query-migrate")).get("status") in _UNDER_WAY and monotonic() < until:
            await asyncio.sleep(_PAUSE)
    await _end_mirrors(monitor, whole=False)
    for node in _nodes(record):
        await _drop(monitor, _target(node))
    if record.was == "running" and await monitor.status() in ("paused", "postmigrate", "finish-migrate", "pre-switchover"):
        await monitor.run("cont", _PATIENCE)
    record.departing = record.was = record.failed = ""
    record.streaming = record.sent = record.gone = False
    save(record)


async def receive(monitor: Monitor, folder: Path, record: Record) -> None:
    """Have a fresh QEMU wait for disks and memory. Raises MonitorError."""
    with listen(folder / "nbd.sock") as listener:
        await monitor.give(listener.fileno(), _NBD)
    await monitor.send("nbd-server-start", {"addr": {"type": "fd", "data": {"str": _NBD}}})
    for number, node in enumerate(_nodes(record)):
        await monitor.send("block-export-add", {"type": "nbd", "id": f"export{number}", "node-name": node, "name": node, "writable": True})


async def take(monitor: Monitor, folder: Path, record: Record, save: Save, what: str) -> socket.socket:
    """A connection for the host that a guest comes from. Raises DriverError where it does not wait for that."""
    try:
        if what == "finish":
            await _finish(monitor, folder, record, save)
            ours, theirs = socket.socketpair()
            theirs.close()
            return ours
        if record.arrived:
            raise DriverError("The server has arrived already.", status=409)
        if what != _MEMORY:
            line = socket.socket(socket.AF_UNIX)
            with short_path(folder / "nbd.sock") as name:
                line.connect(name)
            return line
        ours, theirs = socket.socketpair()
        with theirs:
            await monitor.give(theirs.fileno(), _MEMORY)
        await monitor.run("migrate-incoming", uri=f"fd:{_MEMORY}")
    except MonitorError as error:
        raise DriverError("The hypervisor of the host does not take the server.") from error
    return ours


async def _finish(monitor: Monitor, folder: Path, record: Record, save: Save) -> None:
    """All has been sent: close what was open for it, and run. Repeated, it does what is left to do."""
    if record.arrived:
        return
    until = monotonic() + _PATIENCE
    while (status := (await monitor.run("query-migrate")).get("status")) != "completed":
        if status == "failed" or monotonic() > until:
            raise DriverError("The host could not take over the memory of the server.")
        await asyncio.sleep(_PAUSE)
    with contextlib.suppress(MonitorError):  # it has been stopped already
        await monitor.run("nbd-server-stop")
    if record.guest is not None and record.guest.power is Power.RUNNING:
        await monitor.run("cont", _PATIENCE)
    record.arrived = True
    save(record)
    (folder / "nbd.sock").unlink(missing_ok=True)
