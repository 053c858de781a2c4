"""Networks: who sees them, making, changing and deleting them."""

import random
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, or_, select, true

from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict
from andromede.services.network import ports, sharing
from andromede.services.network.errors import invalid
from andromede.services.network.rows import add, bump, bury, changed, touch
from andromede.services.network.sharing import EXTERNAL, SHARED
from andromede.services.network.tables import fixed, floating, network, port, rbac, subnet

PHYSICAL = ("public",)
"""The physical networks that a flat network may be: the provider bridge of the hosts."""
_OWN_PORTS = ("network:distributed", "network:floatingip")
_SEGMENTS = 1 << 16
LEAST_MTU = {4: 68, 6: 1280}
"""What a network must carry for each IP version (RFC 791, RFC 8200)."""


def shared_with(project_id: str | None, *actions: str) -> ColumnElement[bool]:
    """Networks that a rule lets a project use."""
    return sharing.shared_with(network, project_id, *actions)


def visible(ctx: Context) -> ColumnElement[bool]:
    """The networks that the caller may see."""
    if ctx.caller.admin:
        return true()
    mine = ctx.caller.project_id
    return or_(network.c.project_id == mine, shared_with(mine, SHARED, EXTERNAL))


def subnets_visible(ctx: Context) -> ColumnElement[bool]:
    """The subnets that the caller may see: its project's, and those on networks shared with it; of an external network none."""
    if ctx.caller.admin:
        return true()
    mine = ctx.caller.project_id
    open_to = select(network.c.id).where(or_(network.c.project_id == mine, shared_with(mine, SHARED)))
    return or_(subnet.c.project_id == mine, subnet.c.network_id.in_(open_to))


def mtu_of(ctx: Context, kind: str) -> int:
    """The largest MTU of a kind of network."""
    return 1500 if kind == "flat" else int(ctx.parts.settings.network.mtu)


def create(ctx: Context, project_id: str, values: dict[str, Any], *, shared: bool) -> str:
    """A new network from checked `values` (columns). Raises Conflict for a provider network that is taken."""
    kind, physical = values["type"], values["physical"]
    if physical is not None and ctx.db.scalar(select(network.c.id).where(network.c.physical == physical)):
        raise Conflict(f"Unable to create the flat network. Physical network {physical} is in use.", kind="FlatNetworkInUse")
    segment = values.pop("segment", None)
    if kind == "geneve":
        segment = _segment(ctx.db, segment)
    if values.get("is_default"):
        _only_default(ctx, values)
    id_ = add(ctx.db, network, project_id=project_id, segment=segment, **values)
    if shared:
        sharing.grant(ctx.db, network, id_, project_id)
    if values.get("external"):
        sharing.grant(ctx.db, network, id_, project_id, EXTERNAL)
    changed(ctx)
    return id_


def _segment(db: Connection, wanted: int | None) -> int:
    if wanted is not None:
        if db.scalar(select(network.c.id).where(network.c.segment == wanted)):
            raise Conflict(f"Unable to create the network. The tunnel ID {wanted} is in use.", kind="TunnelIdInUse")
        return wanted
    while True:
        drawn = random.sample(range(1, _SEGMENTS), 16)
        held = set(db.scalars(select(network.c.segment).where(network.c.segment.in_(drawn))))
        if free := [one for one in drawn if one not in held]:
            return free[0]


def _only_default(ctx: Context, values: Mapping[Any, Any], id_: str = "") -> None:
    if not values.get("external"):
        raise BadRequest("Only an external network can be the default.", kind="HTTPBadRequest")
    other = ctx.db.scalar(select(network.c.id).where(network.c.is_default, network.c.id != id_))
    if other is not None:
        raise Conflict(f"A default external network already exists: {other}.", kind="DefaultExternalNetworkExists")


def update(ctx: Context, row: Mapping[Any, Any], values: dict[str, Any], *, shared: bool | None) -> None:
    """Change a network by checked `values`."""
    db, id_ = ctx.db, row["id"]
    if values.get("is_default"):
        _only_default(ctx, {**row, **values}, id_)
    if shared:
        sharing.grant(db, network, id_, row["project_id"])
    elif shared is False:
        sharing.revoke(db, network, row)
    if values.get("external"):
        sharing.grant(db, network, id_, row["project_id"], EXTERNAL)
    elif values.get("external") is False:
        _inward(db, id_)
    if values.get("mtu", row["mtu"]) != row["mtu"]:
        versions = set(db.scalars(select(subnet.c.ip_version).where(subnet.c.network_id == id_)))
        least = max((LEAST_MTU[version] for version in versions), default=0)
        if values["mtu"] < least:
            text = f"MTU {values['mtu']} is below the minimum {least} of the network's subnets."
            raise Conflict(text, kind="NetworkMTUSubnetConflict")
    touch(db, network, id_, **values)
    if "mtu" in values and values["mtu"] != row["mtu"]:
        bump(db, subnet, subnet.c.network_id == id_)
        ports.bump_routers(db, port.c.network_id == id_)
    if "qos_id" in values:
        bump(db, port, port.c.network_id == id_)
    if "dns_domain" in values:
        bump(db, port, and_(port.c.network_id == id_, port.c.dns_name != ""))
    changed(ctx)


def _inward(db: Connection, id_: str) -> None:
    owners = ("network:router_gateway", "network:floatingip")
    if db.scalar(select(port.c.id).where(port.c.network_id == id_, port.c.device_owner.in_(owners)).limit(1)):
        raise Conflict(
            f"External network {id_} cannot be updated to be made non-external, since it has existing gateway ports.",
            kind="ExternalNetworkInUse",
        )
    db.execute(delete(rbac).where(rbac.c.object_id == id_, rbac.c.action == EXTERNAL))


def remove(ctx: Context, row: Mapping[Any, Any]) -> None:
    """Delete a network with its subnets, its metadata port and floating IPs that lead nowhere. Raises Conflict while it is in use."""
    db, id_ = ctx.db, row["id"]
    blocking = select(port.c.id).where(port.c.network_id == id_, port.c.device_owner.not_in(_OWN_PORTS)).limit(1)
    led = select(floating.c.id).where(floating.c.network_id == id_, floating.c.router_id.is_not(None)).limit(1)
    if db.scalar(blocking) or db.scalar(led):
        raise Conflict(
            f"Unable to complete operation on network {id_}. There are one or more ports still in use on the network.", kind="NetworkInUse"
        )
    bury(db, floating, list(db.scalars(select(floating.c.id).where(floating.c.network_id == id_))))
    inside = list(db.scalars(select(port.c.id).where(port.c.network_id == id_)))
    db.execute(delete(fixed).where(fixed.c.port_id.in_(inside)))
    bury(db, port, inside)
    bury(db, subnet, list(db.scalars(select(subnet.c.id).where(subnet.c.network_id == id_))))
    bury(db, network, [id_])
    changed(ctx)


def find_usable(ctx: Context, id_: str) -> Mapping[Any, Any] | None:
    """A network that the caller may see."""
    return ctx.db.execute(select(network).where(network.c.id == id_, visible(ctx))).mappings().first()


def check_provider(kind: str | None, physical: str | None, segment: int | None) -> tuple[str, str | None]:
    """The kind and physical network of what an admin asks for. Raises BadRequest for what this cloud does not carry."""
    if kind is None:
        if physical is not None or segment is not None:
            raise invalid("network_type required.")
        return "geneve", None
    if kind == "geneve":
        if physical is not None:
            raise invalid("provider:physical_network specified for geneve network.")
        if segment is not None and not 0 < segment < _SEGMENTS:
            raise invalid(f"provider:segmentation_id must be from 1 to {_SEGMENTS - 1}.")
        return kind, None
    if kind == "flat":
        if physical not in PHYSICAL:
            raise invalid(f"physical_network '{physical}' unknown for flat provider network.")
        if segment is not None:
            raise invalid("segmentation_id specified for flat network.")
        return kind, physical
    raise invalid(f"network_type value '{kind}' not supported.")


