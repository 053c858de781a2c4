"""The disks of a guest that does not run: made, brought back to a point, grown, and their points made and deleted.

A point is an internal snapshot of the qcow2 file: made at once, with the size that the disk had.
"""

import asyncio
from pathlib import Path

from andromede.core.errors import DriverError
from andromede.drivers.hypervisor import Disk, Guest
from andromede.drivers.hypervisor.qemu import image_tool
from andromede.drivers.hypervisor.qemu.files import drop_disks, overlay, virtual_size
from andromede.drivers.hypervisor.qemu.qmp import Monitor, MonitorError
from andromede.drivers.hypervisor.qemu.store import Record


async def prepare(folder: Path, guest: Guest, record: Record) -> None:
    """Have the disks as described, and no others. Notes in `record` which points there are; the caller saves it."""
    await asyncio.gather(*(_make(folder, disk, record) for disk in guest.disks))
    drop_disks(folder, guest.disks)
    for disk in guest.disks:
        await _keep_points(folder, disk, record)
    record.points = {disk.id: record.points[disk.id] for disk in guest.disks if record.points.get(disk.id)}


async def _make(folder: Path, disk: Disk, record: Record) -> None:
    path = overlay(folder, disk)
    if not path.exists() and disk.past is not None:
        await _go_back(folder, disk, record)
    if not path.exists():
        await image_tool.create(path, disk.size, base=disk.base, base_format=disk.base_format)
    elif virtual_size(path) < disk.size:
        await _mark(folder, disk, record)
        await image_tool.run("resize", "-q", "-f", "qcow2", str(path), str(disk.size))


async def _go_back(folder: Path, disk: Disk, record: Record) -> None:
    assert disk.past is not None
    before, point = disk.past
    old = folder / f"{before}.qcow2"
    if not old.exists():
        raise DriverError("The disk that the server is to go back to is not on the host.")
    await image_tool.run("snapshot", "-q", "-a", point, str(old))
    old.replace(overlay(folder, disk))
    record.points[disk.id] = record.points.pop(before, (point,))


async def _mark(folder: Path, disk: Disk, record: Record) -> None:
    """Make the points that are missing."""
    for name in disk.points:
        if name not in record.points.get(disk.id, ()):
            # One that a crash left unnoted is replaced: nothing has run since.
            await _drop(overlay(folder, disk), name)
            await image_tool.run("snapshot", "-q", "-c", name, str(overlay(folder, disk)))
            record.points[disk.id] = (*record.points.get(disk.id, ()), name)


async def _keep_points(folder: Path, disk: Disk, record: Record) -> None:
    await _mark(folder, disk, record)
    for name in set(record.points.get(disk.id, ())) - set(disk.points):
        await _drop(overlay(folder, disk), name)
    record.points[disk.id] = disk.points


async def _drop(path: Path, name: str) -> None:
    """Delete a point; there may be none of that name."""
    process = await image_tool.start("snapshot", "-q", "-d", name, str(path))
    await process.communicate()


async def converge(monitor: Monitor, folder: Path, guest: Guest, record: Record) -> bool:
    """Grow a running guest's disks, and delete points that are not wanted any more; whether `record` changed. Raises MonitorError."""
    changed = False
    numbers = {disk.id: number for number, disk in enumerate(record.guest.disks if record.guest else ())}
    for disk in guest.disks:
        path = overlay(folder, disk)
        if disk.id in numbers and path.exists() and virtual_size(path) < disk.size:
            await monitor.run("block_resize", node_name=f"disk{numbers[disk.id]}", size=disk.size)
        for name in set(record.points.get(disk.id, ())) - set(disk.points):
            if disk.id in numbers:
                try:
                    await monitor.run("blockdev-snapshot-delete-internal-sync", device=f"disk{numbers[disk.id]}", name=name)
                except MonitorError:
                    await monitor.status()
                record.points[disk.id] = tuple(one for one in record.points[disk.id] if one != name)
                changed = True
    return changed
