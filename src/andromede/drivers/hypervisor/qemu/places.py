"""Where a running guest's devices are, so that another process can be started with each in the same place.

The memory of a guest, suspended or on its way to another host, fits only the very same machine.
"""

from typing import Any

from andromede.drivers.hypervisor.qemu.qmp import Monitor, MonitorError

Places = dict[str, dict[str, object]]
"""By the device's id: `bus`, and `addr` where that is not the only place of its bus."""


async def find(monitor: Monitor) -> tuple[Places, int, str]:
    """Places of what can be plugged, how many root ports there are, and the machine's exact type. Raises MonitorError."""
    names = [entry["name"] for entry in await monitor.run("qom-list", path="/machine/peripheral")]
    ports = sum(name.startswith("port") and name[4:].isdigit() for name in names)
    places: Places = {}
    for name in names:
        path = f"/machine/peripheral/{name}"
        try:
            bus = str(await monitor.run("qom-get", path=path, property="parent_bus")).rpartition("/")[2]
            address: Any = await monitor.run("qom-get", path=path, property="addr")
        except MonitorError:
            await monitor.status()
            continue
        if bus.startswith("port") or bus in ("later", "pci.0"):
            places[name] = {"bus": bus} if bus.startswith("port") else {"bus": bus, "addr": f"{address >> 3:#x}.{address & 7}"}
    machine = str(await monitor.run("qom-get", path="/machine", property="type")).removesuffix("-machine")
    return places, ports, machine
