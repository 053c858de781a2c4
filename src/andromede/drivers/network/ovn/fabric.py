"""The logical network of a cloud in OVN's northbound database.

What each spec needs is computed as rows (`switches`, `groups`, `routers`); what the database has of it is found by the
marks on its rows; the difference is written, in one transaction. A spec that is so already writes nothing.
"""

from collections.abc import Callable, Sequence

from andromede.core.errors import DriverError
from andromede.drivers.network import KINDS, Addresses, Group, Network, Port, Router, Spec, Subnet
from andromede.drivers.network.ovn import groups, routers, switches
from andromede.drivers.network.ovn.batch import Batch, Index
from andromede.drivers.network.ovn.ovsdb import Ovsdb, Transaction
from andromede.drivers.network.ovn.rows import TABLES

_ORDER = (Network, Subnet, Addresses, Group, Port, Router)
Chassis = Sequence[str] | Callable[[], Sequence[str]]
_SECONDS_PER_SPEC = 0.01


class OvnFabric:
    """A `Fabric` on OVN.

    nb: the northbound database (`unix:…`). chassis: the hosts that may carry gateways, or a function that answers them, read
    at each ensure of a router. distributed: floating IPs leave from the guest's host, which must have the provider network.
    """

    def __init__(self, nb: str, *, chassis: Chassis = (), distributed: bool = False, timeout: float = 5) -> None:
        self._chassis, self._distributed = chassis, distributed
        self._index = Index()
        self._db = Ovsdb(nb, "OVN_Northbound", TABLES, timeout=timeout, listener=self._index.heed)

    def ensure(self, specs: list[Spec]) -> None:
        """Make these be so, in one transaction."""
        latest = {(type(spec), spec.id): spec for spec in specs}
        ordered = sorted(latest.values(), key=lambda spec: _ORDER.index(type(spec)))
        kinds = {form: kind for kind, form in KINDS.items()}
        chassis = self._chassis() if callable(self._chassis) else self._chassis

        def work(txn: Transaction) -> None:
            batch = Batch(self._db, self._index, txn)
            for spec in ordered:
                try:
                    self._ensure(batch, spec, chassis)
                except ValueError as wrong:
                    raise DriverError(f"The {kinds[type(spec)]} {spec.id} has an address that is none") from wrong
            batch.finish()

        self._db.write(work, extra=len(specs) * _SECONDS_PER_SPEC)

    def _ensure(self, batch: Batch, spec: Spec, chassis: Sequence[str]) -> None:
        if isinstance(spec, Network):
            batch.converge("network", spec.id, switches.network(spec))
        elif isinstance(spec, Subnet):
            if batch.converge("subnet", spec.id, switches.subnet(spec)).changed:
                batch.refresh_ports(spec.id)
        elif isinstance(spec, Addresses):
            batch.converge("addresses", spec.id, groups.addresses(spec))
        elif isinstance(spec, Group):
            if batch.converge("group", spec.id, groups.group(spec)).created:
                batch.refresh_ports(spec.id)
        elif isinstance(spec, Port):
            batch.port(spec)
        else:
            batch.converge("router", spec.id, routers.router(spec, chassis, distributed=self._distributed))

    def remove(self, kind: str, ids: list[str]) -> None:
        """Make these be gone."""
        if kind not in KINDS:
            raise DriverError(f"There is no kind {kind} of thing in a network")

        def work(txn: Transaction) -> None:
            batch = Batch(self._db, self._index, txn)
            if kind == "network":
                batch.remove_ports_of(set(ids))
            for each in ids:
                batch.converge(kind, each, [])
            batch.finish()

        self._db.write(work, extra=len(ids) * _SECONDS_PER_SPEC)

    def observe(self, kind: str) -> set[str]:
        """The ids of that kind which the database holds now."""
        return self._db.read(lambda: {each for each, _ in self._index.primary(self._db, kind)})

    def bound(self) -> dict[str, bool]:
        """For each guest port: whether a host has it up now."""
        return self._db.read(
            lambda: {each: row.up == [True] for each, row in self._index.primary(self._db, "port") if row.type != "localport"}
        )

    def close(self) -> None:
        """Let go of the connection."""
        self._db.close()
