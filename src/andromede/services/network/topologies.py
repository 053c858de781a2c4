"""A network with its way out, made for a project that asks for one. Source: Networking API v2.0, auto allocated topologies."""

from typing import Any

from sqlalchemy import Connection, RowMapping, delete, insert, or_, select

from andromede.core.context import Context
from andromede.core.errors import Conflict
from andromede.services.network import groups, networks, qos, routers, sharing, subnets
from andromede.services.network.rows import add, changed, one
from andromede.services.network.tables import fixed, network, port, router, subnet, subnetpool, topology
from andromede.services.network.wire import NewSubnet
from andromede.services.network.wire_l3 import Gateway, Interface

_NAME = "auto_allocated_"


def find(db: Connection, project_id: str) -> str | None:
    """The network that was made for a project."""
    return db.scalar(select(topology.c.network_id).where(topology.c.project_id == project_id))


def needed(db: Connection, project_id: str) -> tuple[str, list[RowMapping]]:
    """The external network and the subnet pools that one is made with. Raises Conflict where there are none."""
    outside = db.scalar(select(network.c.id).where(network.c.is_default, network.c.external))
    if outside is None:
        raise _failure("No default router:external network")
    mine = or_(subnetpool.c.project_id == project_id, sharing.shared_with(subnetpool, project_id, sharing.SHARED))
    pools = list(db.execute(select(subnetpool).where(subnetpool.c.is_default, mine).order_by(subnetpool.c.ip_version)).mappings())
    if not pools:
        raise _failure("No default subnetpools defined")
    return outside, pools


def _failure(reason: str) -> Conflict:
    return Conflict(f"Deployment error: {reason}.", kind="AutoAllocationFailure")


def make(ctx: Context, project_id: str) -> str:
    """The network of a project's topology, which is made where there is none. Raises Conflict where it cannot be, or over quota."""
    db = ctx.db
    if (found := find(db, project_id)) is not None:
        return found
    outside, pools = needed(db, project_id)
    ctx.take(project_id, network=1, subnet=len(pools), router=1)
    groups.ensure_default(db, project_id)
    values: dict[str, Any] = {
        "name": f"{_NAME}network", "type": "geneve", "physical": None, "mtu": networks.mtu_of(ctx, "geneve"), "hints": [],
        "qos_id": qos.default_of(db, project_id),
    }  # fmt: skip
    network_id = networks.create(ctx, project_id, values, shared=False)
    router_id = add(db, router, project_id=project_id, name=f"{_NAME}router", routes=[], hints=[])
    routers.set_gateway(ctx, one(db, router, router_id), Gateway(network_id=outside))
    for pool in pools:
        mode = "slaac" if pool["ip_version"] == 6 else None
        wanted = NewSubnet(
            name=f"{_NAME}subnet_v{pool['ip_version']}", network_id=network_id, ip_version=pool["ip_version"], subnetpool_id=pool["id"],
            ipv6_ra_mode=mode, ipv6_address_mode=mode,
        )  # fmt: skip
        subnet_id = subnets.create(ctx, one(db, network, network_id), project_id, wanted)
        routers.add_interface(ctx, one(db, router, router_id), Interface(subnet_id=subnet_id))
    db.execute(insert(topology).values(project_id=project_id, network_id=network_id, router_id=router_id))
    changed(ctx)
    return network_id


def remove(ctx: Context, project_id: str) -> bool:
    """Take a project's topology away; whether there was one. Raises Conflict while its network is in use."""
    db = ctx.db
    row = db.execute(select(topology).where(topology.c.project_id == project_id)).mappings().first()
    if row is None:
        return False
    db.execute(delete(topology).where(topology.c.project_id == project_id))
    joined = (
        select(subnet.c.id).join(fixed, fixed.c.subnet_id == subnet.c.id).join(port, port.c.id == fixed.c.port_id)
        .where(port.c.device_id == row["router_id"], subnet.c.network_id == row["network_id"])
    )  # fmt: skip
    for subnet_id in list(db.scalars(joined)):
        routers.remove_interface(ctx, one(db, router, row["router_id"]), Interface(subnet_id=subnet_id))
    routers.remove(ctx, one(db, router, row["router_id"]))
    networks.remove(ctx, one(db, network, row["network_id"]))
    return True
