"""Putting another volume in the place of one that a running guest has: its data is mirrored, then the guest's device gets the other.

Which of both a device has is QEMU's to say. The record keeps the one that is open beside it until that is closed again, whichever it is.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from andromede.core.clock import monotonic
from andromede.core.errors import DriverError
from andromede.drivers.hypervisor import Drive, Guest
from andromede.drivers.hypervisor.qemu import drive
from andromede.drivers.hypervisor.qemu.process import sanitise
from andromede.drivers.hypervisor.qemu.qmp import Monitor
from andromede.drivers.hypervisor.qemu.store import Record

_JOB = "swap-"
_PATIENCE, _PAUSE = 20.0, 0.05
Save = Callable[[Record], None]


def standing(guest: Guest, record: Record) -> Guest:
    """A guest with the volumes whose data is whole: what is to take another's place has not done so before the record says it."""
    held = {drive.slot(one): one for one in (record.guest.drives if record.guest else ())}
    drives = (held.get(drive.slot(one), one) for one in guest.drives)
    kept = tuple(one if one.id == old.id else old for one, old in zip(guest.drives, drives, strict=True))
    return msgspec.structs.replace(guest, drives=kept)


async def step(
    monitor: Monitor, old: Drive, new: Drive, record: Record, save: Save, opened: Callable[[Drive], Awaitable[None]],
    drop: Callable[[str], Awaitable[None]],
) -> None:  # fmt: skip
    """Move a swap one step on. opened, drop: make the nodes of a volume, and remove them. Raises MonitorError, DriverError."""
    slot = drive.slot(new)
    name, beside = f"{_JOB}{slot}", record.mirrors.get(slot)
    if beside is not None and beside.id != new.id:
        await give_up(monitor, slot, record, save, drop)
        return
    job = (await _jobs(monitor)).get(name)
    if job is None:
        record.mirrors = {**record.mirrors, slot: new}
        save(record)
        await drop(new.id)
        await opened(new)
        await _grow(monitor, old, new)
        nodes = {"device": drive.node(old.id), "target": drive.node(new.id)}
        await monitor.send("blockdev-mirror", {"job-id": name, "sync": "full", "auto-dismiss": False} | nodes, _PATIENCE)
    elif job["status"] == "ready":
        await monitor.run("job-complete", id=name)
    elif job["status"] == "concluded":
        fault = "" if await _has(monitor, slot) == drive.node(new.id) else sanitise(str(job.get("error", "it was ended")))
        await give_up(monitor, slot, record, save, drop)
        if fault:
            raise DriverError(f"The volume could not be copied to the one that is to take its place: {fault}")


async def _grow(monitor: Monitor, old: Drive, new: Drive) -> None:
    """A mirror needs two of one size: the volume that is left keeps the room behind its end, which is never used."""
    known = {one["node-name"]: one["image"]["virtual-size"] for one in await monitor.run("query-named-block-nodes", flat=True)}
    before, after = (known.get(drive.node(one.id), 0) for one in (old, new))
    if before < after:
        await monitor.run("block_resize", _PATIENCE, node_name=drive.node(old.id), size=after)


async def give_up(monitor: Monitor, slot: str, record: Record, save: Save, drop: Callable[[str], Awaitable[None]]) -> None:
    """End a swap, done or not, and close the volume that the guest does not have. Raises MonitorError, DriverError."""
    name, until = f"{_JOB}{slot}", monotonic() + _PATIENCE
    asked = False
    while (job := (await _jobs(monitor)).get(name)) is not None and job["status"] != "concluded":
        if not asked:
            await monitor.run("job-cancel", id=name)
            asked = True
        if monotonic() > until:
            raise DriverError("A volume could not be kept in its place in time.")
        await asyncio.sleep(_PAUSE)
    beside, has = record.mirrors[slot], await _has(monitor, slot)
    if record.guest is not None:
        old = next((one for one in record.guest.drives if drive.slot(one) == slot), None)
        if old is not None and has == drive.node(beside.id) != drive.node(old.id):
            drives = tuple(beside if one is old else one for one in record.guest.drives)
            record.guest, record.mirrors = msgspec.structs.replace(record.guest, drives=drives), {**record.mirrors, slot: old}
            save(record)
            beside = old
    if job is not None:
        await monitor.run("job-dismiss", id=name)
    await drop(beside.id)
    record.mirrors = {key: one for key, one in record.mirrors.items() if key != slot}
    save(record)


async def _jobs(monitor: Monitor) -> dict[str, Any]:
    return {job["id"]: job for job in await monitor.run("query-jobs") if job["id"].startswith(_JOB)}


async def _has(monitor: Monitor, slot: str) -> str:
    """The node that a device has."""
    path = f"/machine/peripheral/{drive.DEVICE}{slot}"
    found = (one for one in await monitor.run("query-block") if one.get("qdev", "").removesuffix("/virtio-backend") == path)
    return str(next((one.get("inserted", {}).get("node-name", "") for one in found), ""))
