"""What is limited of networks, and how it is counted. Source of the defaults: Neutron's configuration reference."""

from collections.abc import Callable

from sqlalchemy import Connection, Table, func, select

from andromede.services.network import ports
from andromede.services.network.tables import (
    address_group,
    floating,
    group,
    network,
    port,
    rbac,
    router,
    rule,
    subnet,
    subnetpool,
    trunk,
)
from andromede.services.quota import service as quota

SERVICE = "network"


def _rows(table: Table) -> Callable[[Connection, str], int]:
    return lambda db, owner: db.scalar(select(func.count()).select_from(table).where(table.c.project_id == owner)) or 0


def _ports(db: Connection, owner: str) -> int:
    """A network's own metadata port does not count."""
    mine = select(func.count()).select_from(port).where(port.c.project_id == owner, port.c.device_owner != ports.METADATA)
    return db.scalar(mine) or 0


RESOURCES = {
    "network": (100, _rows(network)),
    "subnet": (100, _rows(subnet)),
    "port": (500, _ports),
    "router": (10, _rows(router)),
    "floatingip": (50, _rows(floating)),
    "security_group": (10, _rows(group)),
    "security_group_rule": (100, _rows(rule)),
    "subnetpool": (-1, _rows(subnetpool)),
    "rbac_policy": (10, _rows(rbac)),
    "trunk": (100, _rows(trunk)),
    "address_group": (100, _rows(address_group)),
}
quota.register(*(quota.Resource(name, SERVICE, default, count, status=409) for name, (default, count) in RESOURCES.items()))
