"""Volumes of a guest that runs: plugged in and taken out, enlarged, snapshotted and limited until they are as described.

What a crash of ours left half done is found in the record (`guest.drives`, written before anything is made) and in QEMU's own
lists of devices and nodes, and brought to its end.
"""

import contextlib
import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import msgspec

from andromede.core.clock import monotonic
from andromede.core.errors import DriverError
from andromede.drivers.hypervisor import Drive, Guest, Held
from andromede.drivers.hypervisor.qemu import cmdline, drive, swapping
from andromede.drivers.hypervisor.qemu.live import Live
from andromede.drivers.hypervisor.qemu.qmp import Monitor, MonitorError
from andromede.drivers.hypervisor.qemu.store import Record

_ANEW = 5.0
Unseal = Callable[[bytes], bytes]


async def converge(live: Live, monitor: Monitor, guest: Guest, record: Record, save: Callable[[Record], None], unseal: Unseal) -> None:
    """Move the volumes one step towards `guest.drives`.

    Raises MonitorError where QEMU does not answer, DriverError where a volume cannot be brought to what is asked.
    """
    if record.guest is None or not (guest.drives or record.guest.drives or record.drives):
        return
    devices = {entry["name"] for entry in await monitor.run("qom-list", path="/machine/peripheral")}
    there = {name.removeprefix(drive.DEVICE) for name in devices if name.startswith(drive.DEVICE)}
    wanted = {drive.slot(one): one for one in guest.drives}
    held = {drive.slot(one): one for one in record.guest.drives}
    for slot in there - wanted.keys():
        await _ask(live, monitor, slot)
    for slot in live.parting.keys() - there:
        del live.parting[slot]
    for slot in held.keys() - wanted.keys() - there:
        await _drop(monitor, held.pop(slot).id)
    held |= {slot: one for slot, one in wanted.items() if slot not in held or held[slot].id == one.id}
    if tuple(held.values()) != record.guest.drives:
        record.guest = msgspec.structs.replace(record.guest, drives=tuple(held.values()))
        save(record)
    try:
        for slot, one in held.items():
            if slot in wanted and slot not in there:
                await _plug(monitor, one, devices, unseal)
        for slot in [slot for slot in record.mirrors if slot not in wanted or held[slot].id == wanted[slot].id]:
            await swapping.give_up(monitor, slot, record, save, partial(_drop, monitor))
        for slot, one in wanted.items():
            if held[slot].id != one.id:
                await swapping.step(monitor, held[slot], one, record, save, partial(_open, monitor, unseal=unseal), partial(_drop, monitor))
        await _tend(monitor, [one for slot, one in wanted.items() if held[slot].id == one.id])
    finally:
        await note(monitor, record, save)


async def note(monitor: Monitor, record: Record, save: Callable[[Record], None]) -> None:
    """Keep what QEMU says of the volumes that it has."""
    nodes = await _nodes(monitor)
    drives = tuple(
        Held(id=one.id, size=image["virtual-size"], snapshots=tuple(sorted(made["name"] for made in image.get("snapshots", []))))
        for one in (*(record.guest.drives if record.guest else ()), *record.mirrors.values())
        if (image := nodes.get(drive.node(one.id))) is not None
    )
    if drives != record.drives:
        record.drives = drives
        save(record)


async def _nodes(monitor: Monitor) -> dict[str, Any]:
    return {one["node-name"]: one["image"] for one in await monitor.run("query-named-block-nodes", flat=True)}


async def _plug(monitor: Monitor, one: Drive, devices: set[str], unseal: Unseal) -> None:
    await _drop(monitor, one.id)
    place: dict[str, Any] = {"bus": cmdline.LATER if cmdline.LATER in devices else "pci.0"}
    if one.bus != "virtio":
        if one.bus != "scsi" or "scsi" not in devices:
            raise DriverError(f"A volume on the {one.bus} bus cannot be plugged into this server while it runs; stop it first.")
        place = {"bus": "scsi.0"}
    try:
        await _open(monitor, one, unseal=unseal)
        await monitor.send("device_add", drive.device(one) | place)
    except MonitorError as error:
        await _drop(monitor, one.id)
        raise DriverError("The hypervisor could not plug the volume into the running server.") from error


async def _open(monitor: Monitor, one: Drive, *, unseal: Unseal) -> None:
    """Make the nodes of a volume."""
    try:
        fd = os.open(one.path, (os.O_RDONLY if one.readonly else os.O_RDWR) | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise DriverError("The data of a volume is not there on the host.") from error
    try:
        fdset = await monitor.give_set(fd, drive.DEVICE + one.id)
    finally:
        os.close(fd)
    if one.secret:
        key = {"qom-type": "secret", "id": drive.secret(one.id), "data": unseal(one.secret).decode()}
        await monitor.send("object-add", key)
    for node in drive.nodes(one, fdset):
        await monitor.send("blockdev-add", node)


async def _tend(monitor: Monitor, drives: Iterable[Drive]) -> None:
    """Sizes, snapshots and limits."""
    nodes = await _nodes(monitor)
    limits = {one.get("qdev", ""): one.get("inserted", {}) for one in await monitor.run("query-block")}
    for one in drives:
        name = drive.node(one.id)
        if (image := nodes.get(name)) is None:
            continue
        if image["virtual-size"] < one.size:
            await _act(monitor, "block_resize", node_name=name, size=one.size)
        have, wanted = {made["name"] for made in image.get("snapshots", [])}, set(one.snapshots)
        if wanted - have and one.format == "raw":
            raise DriverError("A volume of the raw format cannot be snapshotted while a server has it.")
        if one.format != "raw":
            for snapshot in sorted(have - wanted):
                await _act(monitor, "blockdev-snapshot-delete-internal-sync", device=name, name=snapshot)
            for snapshot in sorted(wanted - have):
                await _act(monitor, "blockdev-snapshot-internal-sync", device=name, name=snapshot)
        path = f"/machine/peripheral/{drive.DEVICE}{drive.slot(one)}" + ("/virtio-backend" if one.bus == "virtio" else "")
        asked = drive.throttle(one.limits)
        if path in limits and any(limits[path].get(key, 0) != value for key, value in asked.items()):
            await monitor.send("block_set_io_throttle", {"id": path} | asked)


async def _act(monitor: Monitor, command: str, **arguments: Any) -> None:
    """A command that QEMU may refuse for reasons that are the volume's, and that may take a while on a slow disk."""
    try:
        await monitor.run(command, 60.0, **arguments)
    except MonitorError as error:
        await monitor.status()
        raise DriverError("The hypervisor could not change the volume while the server has it.") from error


async def _ask(live: Live, monitor: Monitor, slot: str) -> None:
    """Ask the guest to let go of a volume, again now and then."""
    now = monotonic()
    if now - live.parting.get(slot, -_ANEW) >= _ANEW:
        live.parting[slot] = now
        # Refused while an earlier request is under way.
        with contextlib.suppress(MonitorError):
            await monitor.run("device_del", id=drive.DEVICE + slot)


async def _drop(monitor: Monitor, volume_id: str) -> None:
    """Nothing of a volume in QEMU; there may be nothing."""
    name = drive.node(volume_id)
    known = await _nodes(monitor)
    for node in (name, f"{name}-file"):
        if node in known:
            await monitor.run("blockdev-del", node_name=node, patience=30.0)
    for entry in await monitor.run("query-fdsets"):
        if any(one.get("opaque") == drive.DEVICE + volume_id for one in entry["fds"]):
            await monitor.run("remove-fd", fdset_id=entry["fdset-id"])
    objects = {entry["name"] for entry in await monitor.run("qom-list", path="/objects")}
    if drive.secret(volume_id) in objects:
        await monitor.run("object-del", id=drive.secret(volume_id))
