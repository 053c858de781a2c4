"""A guest's memory on disk: written by QEMU through an open file when the guest is suspended, read when it goes on."""

import asyncio
import os
from pathlib import Path

from andromede.core.clock import monotonic
from andromede.core.errors import DriverError
from andromede.drivers.hypervisor import Guest
from andromede.drivers.hypervisor.qemu import places
from andromede.drivers.hypervisor.qemu.cmdline import Before
from andromede.drivers.hypervisor.qemu.live import Live
from andromede.drivers.hypervisor.qemu.qmp import Monitor, MonitorError
from andromede.drivers.hypervisor.qemu.store import SAVED, Record

_NAME = "state"
_FAST = 1 << 40
_LOADING = 300.0


def path(folder: Path) -> Path:
    """Where the memory of a suspended guest is."""
    return folder / "memory.state"


def before(guest: Guest, record: Record, folder: Path) -> Before | None:
    """The machine whose memory is on disk, where the guest goes on from there."""
    if record.ended != SAVED or guest.boots > record.boots or not path(folder).exists():
        return None
    return Before(record.places, record.ports, record.machine)


async def save(live: Live, monitor: Monitor, folder: Path, record: Record) -> bool:
    """Move towards memory on disk; whether it is all there, and QEMU may end. The caller saves `record`.

    Raises MonitorError where QEMU does not answer, DriverError where it could not.
    """
    fresh = path(folder).with_suffix(".new")
    if not record.saving:
        await monitor.run("stop")
        record.places, record.ports, record.machine = await places.find(monitor)
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            await monitor.give(handle, _NAME)
        finally:
            os.close(handle)
        await monitor.run("migrate-set-parameters", max_bandwidth=_FAST)
        await monitor.run("migrate", uri=f"fd:{_NAME}")
        record.saving = True
        return False
    status = str((await monitor.run("query-migrate")).get("status"))
    if status == "completed":
        with fresh.open("rb") as file:
            await asyncio.to_thread(os.fsync, file.fileno())
        fresh.replace(path(folder))
        record.saving = False
        return True
    if status in ("failed", "cancelled", "None"):
        record.saving = False
        fresh.unlink(missing_ok=True)
        await monitor.run("cont")
        raise DriverError("The memory of the server could not be written to disk; the host may have no space left.")
    live.nudged = 0.0
    return False


async def take_back(monitor: Monitor, folder: Path, record: Record) -> None:
    """A suspend that is not wanted any more."""
    await monitor.run("migrate_cancel")
    record.saving = False
    path(folder).with_suffix(".new").unlink(missing_ok=True)


async def load(monitor: Monitor, folder: Path) -> None:
    """Fill a fresh QEMU that waits for it. Raises MonitorError, DriverError where what is on disk does not fit."""
    handle = os.open(path(folder), os.O_RDONLY | os.O_CLOEXEC)
    try:
        await monitor.give(handle, _NAME)
    finally:
        os.close(handle)
    await monitor.run("migrate-incoming", uri=f"fd:{_NAME}")
    deadline = monotonic() + _LOADING
    while monotonic() < deadline:
        status = (await monitor.run("query-migrate")).get("status")
        if status == "completed":
            return
        if status == "failed":
            break
        await asyncio.sleep(0.05)
    raise MonitorError("incoming")
