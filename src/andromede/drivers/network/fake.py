"""A network without a network: the same faces as the real driver, in memory, for tests and for hosts that run nothing.

It proves what is asked for and removed, and how specs depend on each other; it carries no traffic.
"""

import asyncio
import ipaddress
import threading

from andromede.core.errors import DriverError
from andromede.core.ids import tap_name
from andromede.drivers.network import KINDS, Addresses, MetadataEnd, Plugged, Port, Router, Spec, Subnet

_PREFIX = 11


class FakeFabric:
    """A `Fabric` in memory. A guest port with a host is up at once; `broken` makes every call fail, as a lost database does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, dict[str, Spec]] = {kind: {} for kind in KINDS}
        self._kinds = {form: kind for kind, form in KINDS.items()}
        self.broken = False
        self.writes = 0
        """How many specs were new or different when they were ensured, or there when they were removed."""

    def ensure(self, specs: list[Spec]) -> None:
        """Make these be so, or none of them."""
        with self._lock:
            self._answer()
            named = {(self._kinds[type(spec)], spec.id) for spec in specs}
            for spec in specs:
                self._check(spec, named)
            for spec in specs:
                held = self._held[self._kinds[type(spec)]]
                if held.get(spec.id) != spec:
                    held[spec.id] = spec
                    self.writes += 1

    def remove(self, kind: str, ids: list[str]) -> None:
        """Make these be gone; a network takes the ports on it along, as the real one does."""
        with self._lock:
            self._answer()
            if kind not in KINDS:
                raise DriverError(f"There is no kind {kind} of thing in a network")
            self.writes += sum(self._held[kind].pop(each, None) is not None for each in ids)
            if kind == "network":
                gone, ports = set(ids), self._held["port"]
                for each in [spec.id for spec in ports.values() if isinstance(spec, Port) and spec.network_id in gone]:
                    del ports[each]

    def observe(self, kind: str) -> set[str]:
        """The ids of that kind which are held now."""
        with self._lock:
            self._answer()
            return set(self._held[kind])

    def bound(self) -> dict[str, bool]:
        """For each guest port: whether it names a host."""
        with self._lock:
            self._answer()
            ports = self._held["port"].values()
            return {spec.id: spec.host is not None for spec in ports if isinstance(spec, Port) and not spec.metadata}

    def get(self, kind: str, each: str) -> Spec | None:
        """What was last ensured of one thing; for tests."""
        with self._lock:
            return self._held[kind].get(each)

    def close(self) -> None:
        """Nothing to let go of."""

    def _answer(self) -> None:
        if self.broken:
            raise DriverError("The network database does not answer")

    def _check(self, spec: Spec, named: set[tuple[str, str]]) -> None:
        if isinstance(spec, Port | Router):
            on = [spec.network_id] if isinstance(spec, Port) else [leg.network_id for leg in (*spec.legs, *filter(None, [spec.gateway]))]
            for network in on:
                if network not in self._held["network"] and ("network", network) not in named:
                    raise DriverError(f"There is no network {network} to be on")
        if isinstance(spec, Subnet | Addresses):
            ranges, dns = ((spec.cidr,), spec.dns) if isinstance(spec, Subnet) else (spec.addresses, ())
            try:
                for each in ranges:
                    ipaddress.ip_network(each, strict=False)
                for each in dns:
                    ipaddress.ip_address(each)
            except ValueError as wrong:
                raise DriverError(f"The {self._kinds[type(spec)]} {spec.id} has an address that is none") from wrong


class FakePlug:
    """A `Plug` in memory."""

    def __init__(self, tag: str = "main") -> None:
        self._tag, self.up = tag, True
        self.taps: dict[str, Plugged] = {}
        self.ends: dict[str, MetadataEnd] = {}

    async def ensure(self, port: Plugged) -> str:
        """Note a tap; answers the name it would have."""
        await asyncio.sleep(0)
        self.taps[port.port_id[:_PREFIX]] = port
        return tap_name(port.port_id)

    async def remove(self, port_id: str) -> None:
        """Forget a tap."""
        await asyncio.sleep(0)
        self.taps.pop(port_id[:_PREFIX], None)

    async def ensure_metadata(self, end: MetadataEnd) -> str:
        """Note a metadata end; answers the name its namespace would have."""
        await asyncio.sleep(0)
        self.ends[end.network_id[:_PREFIX]] = end
        return f"andromd-{self._tag}-{end.network_id[:_PREFIX]}"

    async def remove_metadata(self, network_id: str) -> None:
        """Forget a metadata end."""
        await asyncio.sleep(0)
        self.ends.pop(network_id[:_PREFIX], None)

    async def serves(self) -> bool:
        """As `up` says."""
        await asyncio.sleep(0)
        return self.up

    async def observe(self) -> tuple[set[str], set[str]]:
        """(the first 11 characters of port ids, of network ids)."""
        await asyncio.sleep(0)
        return set(self.taps), set(self.ends)

    async def close(self) -> None:
        """Nothing to let go of."""
        await asyncio.sleep(0)
