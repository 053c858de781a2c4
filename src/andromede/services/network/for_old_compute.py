"""Networks and floating IPs as Compute's old face shows them (up to 2.35, actions up to 2.43)."""

from typing import Any

from sqlalchemy import or_, select, true

from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, NotFound
from andromede.services.network import floatings, networks, sharing
from andromede.services.network import routes_routers as routes
from andromede.services.network.resource import find_own
from andromede.services.network.tables import fixed, floating, network, port, subnet
from andromede.services.network.wire_l3 import FloatingChange, NewFloating

View = dict[str, Any]


def list_networks(ctx: Context) -> list[View]:
    """The networks that the caller sees: id, label, cidr (of its first subnet) and what else Compute knew."""
    mine = true() if ctx.caller.admin else or_(network.c.project_id == ctx.project_id, networks.shared_with(ctx.project_id, sharing.SHARED))
    rows = list(ctx.db.execute(select(network).where(or_(mine, network.c.external)).order_by(network.c.name, network.c.id)))
    cidrs: dict[str, str] = {}
    for one in ctx.db.execute(select(subnet.c.network_id, subnet.c.cidr).order_by(subnet.c.created, subnet.c.id)):
        cidrs.setdefault(one.network_id, one.cidr)
    return [{"id": row.id, "label": row.name, "cidr": cidrs.get(row.id)} for row in rows]


def show_network(ctx: Context, network_id: str) -> View:
    """One. Raises NotFound."""
    found = next((one for one in list_networks(ctx) if one["id"] == network_id), None)
    if found is None:
        raise NotFound(f"Network {network_id} not found")
    return found


def pools(ctx: Context) -> list[str]:
    """The names of external networks."""
    return list(ctx.db.scalars(select(network.c.name).where(network.c.external).order_by(network.c.name)))


def list_floating(ctx: Context) -> list[View]:
    """The project's floating IPs."""
    query = (
        select(floating, network.c.name.label("pool"), port.c.device_id)
        .join(network, network.c.id == floating.c.network_id)
        .outerjoin(port, port.c.id == floating.c.port_id)
        .where(floating.c.project_id == ctx.project_id)
        .order_by(floating.c.address)
    )
    return [
        {"id": row.id, "ip": row.address, "fixed_ip": row.fixed_address, "pool": row.pool, "instance_id": row.device_id or None}
        for row in ctx.db.execute(query)
    ]


def show_floating(ctx: Context, floating_id: str) -> View:
    """One. Raises NotFound."""
    found = next((one for one in list_floating(ctx) if one["id"] == floating_id), None)
    if found is None:
        raise NotFound(f"Floating IP not found for ID {floating_id}")
    return found


def create_floating(ctx: Context, pool: str | None) -> View:
    """Take one from a pool (name or id of an external network; the first where none is named). Raises NotFound, QuotaExceeded."""
    query = select(network.c.id).where(network.c.external).order_by(network.c.name)
    if pool:
        query = query.where(or_(network.c.name == pool, network.c.id == pool))
    network_id = ctx.db.scalar(query.limit(1))
    if network_id is None:
        raise NotFound(f"Floating IP pool {pool} not found." if pool else "No floating IP pool is there.")
    ctx.take(floatingip=1)
    return show_floating(ctx, floatings.create(ctx, ctx.project_id, NewFloating(floating_network_id=network_id)))


def delete_floating(ctx: Context, floating_id: str) -> None:
    """Give one back. Raises NotFound."""
    show_floating(ctx, floating_id)
    floatings.remove(ctx, find_own(ctx, routes.FLOATING, floating_id))


def _by_address(ctx: Context, address: str) -> View:
    found = next((one for one in list_floating(ctx) if one["ip"] == address), None)
    if found is None:
        raise NotFound(f"Floating IP not found for address {address}.")
    return found


def lead(ctx: Context, server_id: str, address: str, inside: str | None) -> None:
    """Lead a floating IP to a server: to `inside`, one of its addresses, or to its first. Raises NotFound, BadRequest (in use, too)."""
    found = _by_address(ctx, address)
    query = select(fixed.c.port_id, fixed.c.address).join(port, port.c.id == fixed.c.port_id)
    query = query.where(port.c.device_id == server_id, port.c.device_owner.startswith("compute:"), fixed.c.address.contains("."))
    if inside is not None:
        query = query.where(fixed.c.address == inside)
    row = ctx.db.execute(query.order_by(port.c.attached, fixed.c.place).limit(1)).first()
    if row is None:
        raise BadRequest("No fixed IPs associated to instance" if inside is None else f"Specified fixed address {inside} not assigned to instance")
    change = FloatingChange(port_id=row.port_id, fixed_ip_address=row.address)
    try:
        floatings.update(ctx, find_own(ctx, routes.FLOATING, found["id"]), change)
    except Conflict as error:
        raise BadRequest(error.message) from error


def unlead(ctx: Context, server_id: str, address: str) -> None:
    """Lead it nowhere. Raises NotFound, Conflict where it does not lead to the server."""
    found = _by_address(ctx, address)
    if found["instance_id"] != server_id:
        raise Conflict(f"Floating IP {address} is not associated with instance {server_id}.")
    floatings.update(ctx, find_own(ctx, routes.FLOATING, found["id"]), FloatingChange(port_id=None))
