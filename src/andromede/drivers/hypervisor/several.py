"""Several hypervisors on one host: virtual machines and containers side by side. Each guest says which it is for."""

import asyncio
import socket
from collections.abc import Mapping

import msgspec

from andromede.core.errors import DriverError
from andromede.drivers.hypervisor import TRAIT, Guest, Host, Hypervisor, Reach, Seen


class Several:
    """A `Hypervisor` over others, by name. The first one says what the host offers; each of them is a trait of the host."""

    def __init__(self, drivers: Mapping[str, Hypervisor], changes: asyncio.Queue[str]) -> None:
        self.changes = changes
        self._drivers = dict(drivers)
        self._first = next(iter(self._drivers.values()))
        self._where: dict[str, Hypervisor] = {}

    @property
    def reach(self) -> Reach:
        """As `Hypervisor.reach`."""
        return self._first.reach

    @reach.setter
    def reach(self, reach: Reach) -> None:
        for driver in self._drivers.values():
            driver.reach = reach

    async def host(self) -> Host:
        """As `Hypervisor.host`."""
        found, traits = await self._first.host(), []
        for name, driver in self._drivers.items():
            try:
                await driver.host()
            except DriverError:
                continue
            traits.append(TRAIT + name.upper())
        return msgspec.structs.replace(found, traits=(*found.traits, *traits))

    async def observe(self) -> list[Seen]:
        """As `Hypervisor.observe`."""
        out: list[Seen] = []
        for driver in self._drivers.values():
            found = await driver.observe()
            self._where |= {seen.id: driver for seen in found}
            out += found
        return out

    async def owner(self, guest_id: str) -> int:
        """As `Hypervisor.owner`; a container's network ends are opened by nobody."""
        return await self._first.owner(guest_id)

    async def ensure(self, guest: Guest) -> Seen:
        """As `Hypervisor.ensure`."""
        driver = self._drivers.get(guest.hypervisor)
        if driver is None:
            raise DriverError(f"This host has no hypervisor {guest.hypervisor}.")
        self._where[guest.id] = driver
        return await driver.ensure(guest)

    async def remove(self, guest_id: str) -> None:
        """As `Hypervisor.remove`; of one that was never seen, wherever anything of it may be."""
        known = self._where.get(guest_id)
        for driver in [known] if known is not None else self._drivers.values():
            await driver.remove(guest_id)
        self._where.pop(guest_id, None)

    async def console(self, guest_id: str) -> bytes:
        """As `Hypervisor.console`."""
        return await self._of(guest_id).console(guest_id)

    async def open(self, guest_id: str, what: str) -> socket.socket:
        """As `Hypervisor.open`."""
        return await self._of(guest_id).open(guest_id, what)

    async def diagnostics(self, guest_id: str) -> dict[str, object]:
        """As `Hypervisor.diagnostics`."""
        return await self._of(guest_id).diagnostics(guest_id)

    async def close(self) -> None:
        """As `Hypervisor.close`."""
        for driver in self._drivers.values():
            await driver.close()

    def _of(self, guest_id: str) -> Hypervisor:
        return self._where.get(guest_id, self._first)
