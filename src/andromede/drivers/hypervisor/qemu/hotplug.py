"""Network cards of a guest that runs: plugged in and taken out until they are those it should have.

What a crash of ours left half done is found in the record (`guest.nics`, written before anything is made) and in QEMU's own
list of devices, and brought to its end.
"""

import contextlib
import os
from collections.abc import Callable

import msgspec

from andromede.core.clock import monotonic
from andromede.core.errors import DriverError
from andromede.core.ids import tap_name
from andromede.drivers.hypervisor import Guest, Nic
from andromede.drivers.hypervisor.qemu import cmdline
from andromede.drivers.hypervisor.qemu.files import open_tap
from andromede.drivers.hypervisor.qemu.live import Live
from andromede.drivers.hypervisor.qemu.qmp import Monitor, MonitorError
from andromede.drivers.hypervisor.qemu.store import Record

_CARD = "nic-"
_ANEW = 5.0


async def converge(
    live: Live, monitor: Monitor, guest: Guest, record: Record, save: Callable[[Record], None], *, vnet_hdr: bool, patience: float
) -> None:
    """Move the cards one step towards `guest.nics`. patience: seconds a guest has to let go of a card.

    Raises MonitorError where QEMU does not answer, DriverError where a card cannot be plugged in.
    """
    if record.guest is None:
        return
    before = msgspec.structs.replace(record)
    devices = {entry["name"] for entry in await monitor.run("qom-list", path="/machine/peripheral")}
    there = {name.removeprefix(_CARD) for name in devices if name.startswith(_CARD)}
    wanted = {nic.port_id for nic in guest.nics}
    held = {nic.port_id: nic for nic in record.guest.nics}
    for port in there - wanted:
        if port in record.cut:
            continue
        if await _ask(live, monitor, port, patience):
            await _remove_tap(monitor, port)
            record.cut = (*record.cut, port)
            held.pop(port, None)
    for port in held.keys() - wanted - there:
        await _remove_tap(monitor, port)
        held.pop(port)
    for port in live.leaving.keys() - there:
        del live.leaving[port]
    record.cut = tuple(port for port in record.cut if port in there)
    new = [nic for nic in guest.nics if nic.port_id not in there]
    held |= {nic.port_id: nic for nic in new}
    if tuple(held.values()) != record.guest.nics:
        record.guest = msgspec.structs.replace(record.guest, nics=tuple(held.values()))
    if record != before:
        save(record)
    if wanted.intersection(record.cut):
        raise DriverError("The server has not let go of a network card that was taken away before; restart it to plug it in again.")
    bus = cmdline.LATER if cmdline.LATER in devices else "pci.0"
    for nic in new:
        await _plug(monitor, nic, bus, vnet_hdr=vnet_hdr)


async def _plug(monitor: Monitor, nic: Nic, bus: str, *, vnet_hdr: bool) -> None:
    await _remove_tap(monitor, nic.port_id)
    name = f"net-{nic.port_id}"
    names = [f"{name}-{number}" for number in range(nic.queues)]
    for each in names:
        tap = open_tap(tap_name(nic.port_id), vnet_hdr=vnet_hdr, several=nic.queues > 1)
        try:
            await monitor.give(tap, each)
        finally:
            os.close(tap)
    fds = {"fd": names[0]} if nic.queues == 1 else {"fds": ":".join(names)}
    await monitor.send("netdev_add", {"type": "tap", "id": name, "vhost": False, **fds})
    try:
        await monitor.send("device_add", cmdline.card(nic) | {"bus": bus})
    except MonitorError as error:
        await _remove_tap(monitor, nic.port_id)
        raise DriverError("The hypervisor could not plug the network card into the running server.") from error


async def _ask(live: Live, monitor: Monitor, port: str, patience: float) -> bool:
    """Ask the guest to let go of a card, again now and then; whether it has had time enough."""
    now = monotonic()
    first, last = live.leaving.get(port, (now, -_ANEW))
    if now - first >= patience:
        return True
    if now - last >= _ANEW:
        live.leaving[port] = (first, now)
        # Refused while an earlier request is under way.
        with contextlib.suppress(MonitorError):
            await monitor.run("device_del", id=f"{_CARD}{port}")
    return False


async def _remove_tap(monitor: Monitor, port: str) -> None:
    """No netdev of a port; there may be none."""
    try:
        await monitor.run("netdev_del", id=f"net-{port}")
    except MonitorError:
        await monitor.status()
