"""Floating IPs: an address of an external network that leads to a port behind a router. Source: Networking API v2.0, floating IPs."""

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET
from sqlalchemy import Connection, and_, select

from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, NotFound
from andromede.core.ids import new_id
from andromede.services.network import networks, ports, qos, ties, values
from andromede.services.network.addresses import Asked
from andromede.services.network.errors import missing
from andromede.services.network.resource import for_admins
from andromede.services.network.rows import add, bump, bury, changed, touch
from andromede.services.network.tables import fixed, floating, port, router, subnet
from andromede.services.network.wire_l3 import FloatingChange, NewFloating


def _bad(text: str) -> BadRequest:
    return BadRequest(f"Bad floatingip request: {text}.", kind="BadRequest")


def create(ctx: Context, project_id: str, body: NewFloating) -> str:
    """A new floating IP; answers its id. Raises BadRequest, NotFound, and Conflict for an address that is taken or where none is left."""
    for_admins(ctx, "create_floatingip:floating_ip_address", body.floating_ip_address or UNSET)
    home = networks.find_usable(ctx, body.floating_network_id)
    if home is None:
        raise missing("network", body.floating_network_id)
    if not home["external"]:
        raise _bad(f"Network {home['id']} is not a valid external network")
    id_ = new_id()
    outer = ports.make(ctx.db, home, project_id="", asked=_asked(ctx, home, body), device_owner=ports.FLOATING, device_id=id_)
    address = ctx.db.scalar(
        select(fixed.c.address).join(subnet, subnet.c.id == fixed.c.subnet_id)
        .where(fixed.c.port_id == outer, subnet.c.ip_version == 4).order_by(fixed.c.place)
    )  # fmt: skip
    if address is None:
        raise BadRequest(f"Unable to find any IP address on external network {home['id']}.", kind="ExternalIpAddressExhausted")
    add(
        ctx.db, floating, id=id_, project_id=project_id, description=body.description or "", network_id=home["id"], outer_port_id=outer,
        address=address, qos_id=qos.chosen(ctx, body.qos_policy_id, None),
        dns_name=values.label(body.dns_name or "", "dns_name"), dns_domain=values.domain(body.dns_domain or "", "dns_domain"),
    )  # fmt: skip
    row = _row(ctx.db, id_)
    if body.port_id:
        _lead(ctx, row, body.port_id, body.fixed_ip_address or None)
    elif body.fixed_ip_address:
        raise _bad("fixed_ip_address cannot be specified without a port_id")
    changed(ctx)
    return id_


def _row(db: Connection, id_: str) -> Mapping[Any, Any]:
    return db.execute(select(floating).where(floating.c.id == id_)).mappings().one()


def _asked(ctx: Context, home: Mapping[Any, Any], body: NewFloating) -> list[Asked] | None:
    wanted = values.address(body.floating_ip_address, "floating_ip_address", 4) if body.floating_ip_address else None
    if wanted or body.subnet_id:
        return [Asked(body.subnet_id or None, wanted)]
    query = select(subnet.c.id).where(subnet.c.network_id == home["id"], subnet.c.ip_version == 4)
    if ctx.db.scalar(query) is None:
        raise BadRequest(f"Unable to find any IP address on external network {home['id']}.", kind="ExternalIpAddressExhausted")
    return None


def update(ctx: Context, row: Mapping[Any, Any], body: FloatingChange) -> None:
    """Lead a floating IP elsewhere or nowhere, or describe it anew. Raises as `create`."""
    if body.description is not UNSET:
        touch(ctx.db, floating, row["id"], description=body.description)
    if body.qos_policy_id is not UNSET:
        touch(ctx.db, floating, row["id"], qos_id=qos.chosen(ctx, body.qos_policy_id, row["qos_id"]))
        bump(ctx.db, router, router.c.id == row["router_id"])
    blank = all(getattr(body, name) is UNSET for name in body.__struct_fields__)  # leads nowhere, as in Neutron
    target = None if blank else row["port_id"] if body.port_id is UNSET else body.port_id
    if not target:
        if body.fixed_ip_address:
            raise _bad("fixed_ip_address cannot be specified without a port_id")
        if row["port_id"]:
            ports.dissociate(ctx.db, [row["id"]])
    elif body.port_id is not UNSET or body.fixed_ip_address is not UNSET:
        _lead(ctx, row, target, body.fixed_ip_address or None)
    changed(ctx)


def _lead(ctx: Context, row: Mapping[Any, Any], port_id: str, wanted: str | None) -> None:
    db = ctx.db
    target = db.execute(select(port).where(port.c.id == port_id)).mappings().first()
    if target is None or not (ctx.caller.admin or target["project_id"] == ctx.caller.project_id):
        raise missing("port", port_id)
    if target["project_id"] != row["project_id"] and not ctx.caller.admin:
        raise _bad(f"Cannot process floating IP association with Port {port_id}, since that port is owned by a different tenant")
    ties.refuse_forwarding(db, row["id"])
    query = select(fixed.c.address, fixed.c.subnet_id).join(subnet, subnet.c.id == fixed.c.subnet_id)
    held = db.execute(query.where(fixed.c.port_id == port_id, subnet.c.ip_version == 4).order_by(fixed.c.place)).all()
    inner = [each for each in held if wanted is None or each.address == values.address(wanted, "fixed_ip_address")]
    if not inner:
        raise _bad(
            f"Port {port_id} does not have fixed ip {wanted}" if wanted
            else f"Cannot add floating IP to port {port_id} that has no fixed IPv4 addresses"
        )  # fmt: skip
    if len(inner) > 1:
        raise _bad(f"Port {port_id} has multiple fixed IPv4 addresses. Must provide a specific IPv4 address when assigning a floating IP")
    address, subnet_id = inner[0]
    router_id = router_between(db, subnet_id, row["network_id"])
    if router_id is None:
        raise NotFound(
            f"External network {row['network_id']} is not reachable from subnet {subnet_id}. Therefore, cannot associate Port {port_id} "
            "with a Floating IP.",
            kind="ExternalGatewayForFloatingIPNotFound",
        )
    if ties.forwarded_to(db, port_id, address):
        text = f"Cannot associate floating IP {row['address']} ({row['id']}) with port {port_id} using fixed IP {address}, as that fixed IP "
        raise BadRequest(text + "already has Port Forwarding resources.", kind="PortHasPortForwarding")
    taken = and_(
        floating.c.port_id == port_id, floating.c.fixed_address == address, floating.c.network_id == row["network_id"], floating.c.id != row["id"]
    )
    if db.scalar(select(floating.c.id).where(taken)):
        raise Conflict(
            f"Cannot associate floating IP {row['address']} ({row['id']}) with port {port_id} using fixed IP {address}, as that fixed IP "
            f"already has a floating IP on external network {row['network_id']}.",
            kind="FloatingIPPortAlreadyAssociated",
        )
    touch(db, floating, row["id"], port_id=port_id, fixed_address=address, router_id=router_id)
    bump(db, router, router.c.id.in_([each for each in (router_id, row["router_id"]) if each]))


def router_between(db: Connection, subnet_id: str, external_id: str) -> str | None:
    """The router that is on the subnet and leaves by the external network; the one that has the subnet's gateway address first."""
    gateway = port.alias("gateway")
    query = (
        select(router.c.id)
        .join(port, and_(port.c.device_id == router.c.id, port.c.device_owner == ports.INTERFACE))
        .join(fixed, fixed.c.port_id == port.c.id)
        .join(subnet, subnet.c.id == fixed.c.subnet_id)
        .join(gateway, gateway.c.id == router.c.gateway_port_id)
        .where(fixed.c.subnet_id == subnet_id, gateway.c.network_id == external_id)
        .order_by((subnet.c.gateway == fixed.c.address).desc(), router.c.created)
        .limit(1)
    )
    return db.scalar(query)


def remove(ctx: Context, row: Mapping[Any, Any]) -> None:
    """Give a floating IP back. Raises Conflict while ports of it lead inside."""
    ties.refuse_forwarding(ctx.db, row["id"])
    if row["router_id"]:
        bump(ctx.db, router, router.c.id == row["router_id"])
    bury(ctx.db, floating, [row["id"]])
    ports.destroy(ctx.db, [row["outer_port_id"]])
    changed(ctx)
