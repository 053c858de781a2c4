"""Routes of networks."""

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET
from sqlalchemy import RowMapping, select

from andromede.core.context import Context
from andromede.core.errors import NotFound
from andromede.services.network import groups, networks, qos, sharing
from andromede.services.network.api import api, member, reader
from andromede.services.network.errors import invalid
from andromede.services.network.resource import (
    Resource,
    View,
    find_own,
    flag,
    for_admins,
    given,
    listing,
    many,
    owner_of,
    same,
    show,
    shown,
    standard_filters,
    standard_sort,
    standard_view,
    tags_of,
    truth,
    whole,
)  # fmt: skip
from andromede.services.network.rows import gather, grouped
from andromede.services.network.tables import network, scope, subnet, subnetpool
from andromede.services.network.values import domain
from andromede.services.network.wire import CreateNetwork, NetworkChange, NewNetwork, UpdateNetwork

_COLUMNS = {
    "name": "name", "description": "description", "admin_state_up": "admin_state_up", "external": "external", "is_default": "is_default",
    "port_security_enabled": "port_security",
}  # fmt: skip


def zones(ctx: Context) -> list[str]:
    """The availability zones that networks and routers are in."""
    return [ctx.parts.settings.compute.zone]


def check_hints(ctx: Context, hints: object) -> list[str]:
    """Availability zones asked for. Raises NotFound for one that is not there."""
    wanted = hints if isinstance(hints, list) else []
    for each in wanted:
        if each not in zones(ctx):
            raise NotFound(f"AvailabilityZone {each} could not be found.", kind="AvailabilityZoneNotFound")
    return wanted


def _scopes(ctx: Context, ids: list[str]) -> dict[tuple[str, int], str]:
    """The address scopes of networks, by network and IP version: those of the pools that their subnets are from."""
    query = (
        select(subnet.c.network_id, scope.c.ip_version, scope.c.id)
        .join(subnetpool, subnetpool.c.id == subnet.c.subnetpool_id)
        .join(scope, scope.c.id == subnetpool.c.scope_id)
    )
    return {
        (row["network_id"], row["ip_version"]): row["id"] for row in gather(ctx.db, ids, lambda some: query.where(subnet.c.network_id.in_(some)))
    }


def _view(ctx: Context, rows: Sequence[RowMapping]) -> list[View]:
    ids = [row["id"] for row in rows]
    tags, in_scope = tags_of(ctx, rows), _scopes(ctx, ids)
    columns = select(subnet.c.network_id, subnet.c.id).order_by(subnet.c.created, subnet.c.id)
    inside = grouped(gather(ctx.db, ids, lambda some: columns.where(subnet.c.network_id.in_(some))), "network_id")
    shared = sharing.shared_ids(ctx, ids)
    out = []
    for row in rows:
        id_ = row["id"]
        view = standard_view(row, tags) | {
            "status": "ACTIVE", "admin_state_up": row["admin_state_up"], "shared": id_ in shared, "router:external": row["external"],
            "mtu": row["mtu"], "port_security_enabled": row["port_security"], "dns_domain": row["dns_domain"],
            "availability_zone_hints": row["hints"], "qos_policy_id": row["qos_id"], "availability_zones": zones(ctx),
            "subnets": [each["id"] for each in inside.get(id_, [])],
            "ipv4_address_scope": in_scope.get((id_, 4)), "ipv6_address_scope": in_scope.get((id_, 6)),
        }  # fmt: skip
        if row["external"]:
            view["is_default"] = row["is_default"]
        if ctx.caller.admin:
            view["provider:network_type"] = row["type"]
            view["provider:physical_network"] = row["physical"]
            view["provider:segmentation_id"] = row["segment"]
        out.append(view)
    return out


NETWORK = Resource(
    name="network", plural="networks", table=network, visible=networks.visible, view=_view,
    filters=standard_filters(network) | {
        "admin_state_up": flag(network.c.admin_state_up),
        "shared": sharing.filter_shared(network, truth), "router:external": flag(network.c.external),
        "is_default": flag(network.c.is_default), "mtu": whole(network.c.mtu), "port_security_enabled": flag(network.c.port_security),
        "dns_domain": same(network.c.dns_domain), "qos_policy_id": same(network.c.qos_id), "provider:network_type": same(network.c.type),
        "provider:physical_network": same(network.c.physical), "provider:segmentation_id": whole(network.c.segment),
        "status": lambda _ctx, values: network.c.id.is_not(None) if "ACTIVE" in values else network.c.id.is_(None),
    },
    sort=standard_sort(network) | {"admin_state_up": network.c.admin_state_up, "mtu": network.c.mtu, "router:external": network.c.external},
)  # fmt: skip


def _values(ctx: Context, body: NetworkChange, kind: str, owner: str, *, new: bool, held: str | None = None) -> View:
    values = given(body, _COLUMNS)
    if body.dns_domain is not UNSET:
        values["dns_domain"] = domain(body.dns_domain or "", "dns_domain")
    if body.qos_policy_id is not UNSET:
        values["qos_id"] = qos.chosen(ctx, body.qos_policy_id, held)
    elif new:
        values["qos_id"] = qos.default_of(ctx.db, owner)
    if body.mtu is not UNSET or new:
        most, wanted = networks.mtu_of(ctx, kind), body.mtu or 0
        if wanted > most:
            raise invalid(f"Requested MTU is out of range: {wanted} is not from 1 to {most}.")
        values["mtu"] = wanted or most
    return values


def _create(ctx: Context, body: NewNetwork) -> str:
    owner = owner_of(ctx, body.project_id, body.tenant_id)
    ctx.take(owner, network=1)
    provider = (body.network_type or UNSET, body.physical_network or UNSET, body.segmentation_id or UNSET)
    for_admins(ctx, "create_network:shared, router:external, is_default or provider", body.shared or UNSET, body.external or UNSET,
               body.is_default or UNSET, *provider)  # fmt: skip
    kind, physical = networks.check_provider(body.network_type or None, body.physical_network or None, body.segmentation_id or None)
    values = _values(ctx, body, kind, owner, new=True)
    hints = check_hints(ctx, body.availability_zone_hints)
    groups.ensure_default(ctx.db, owner)
    return networks.create(
        ctx, owner, values | {"type": kind, "physical": physical, "segment": body.segmentation_id or None, "hints": hints},
        shared=body.shared is True,
    )  # fmt: skip


@api.get("/networks", policy=reader("get_network"))
def list_networks(ctx: Context) -> dict[str, Any]:
    """The networks that the caller may use: its project's, shared ones and external ones."""
    return listing(ctx, NETWORK)


@api.get("/networks/{network_id}", policy=reader("get_network"))
def show_network(ctx: Context, network_id: str) -> dict[str, Any]:
    """One network."""
    return show(ctx, NETWORK, network_id)


@api.post("/networks", policy=member("create_network"), status=201, quota=("network",))
def create_network(ctx: Context, body: CreateNetwork) -> dict[str, Any]:
    """Make a network, or several at once.

    Errors: 400 a provider network that this cloud does not carry; 409 over quota, or a physical network in use.
    """
    wanted, bulk = many(body.network, body.networks, "network")
    return shown(ctx, NETWORK, [_create(ctx, each) for each in wanted], bulk=bulk)


@api.put("/networks/{network_id}", policy=member("update_network"))
def update_network(ctx: Context, network_id: str, body: UpdateNetwork) -> dict[str, Any]:
    """Change a network. Errors: 400 for what a network cannot change; 409 where others use what would be taken from them."""
    row, wanted = find_own(ctx, NETWORK, network_id), body.network
    for_admins(ctx, "update_network:shared, router:external, is_default or provider", wanted.shared, wanted.external, wanted.is_default,
               wanted.network_type, wanted.physical_network, wanted.segmentation_id)  # fmt: skip
    for name, field in (("type", wanted.network_type), ("physical", wanted.physical_network), ("segment", wanted.segmentation_id)):
        if field not in (UNSET, row[name]):
            raise invalid("Plugin does not support updating provider attributes.")
    values = _values(ctx, wanted, row["type"], row["project_id"], new=False, held=row["qos_id"])
    networks.update(ctx, row, values, shared=None if wanted.shared is UNSET else wanted.shared)
    return shown(ctx, NETWORK, [network_id])


@api.delete("/networks/{network_id}", policy=member("delete_network"))
def delete_network(ctx: Context, network_id: str) -> None:
    """Delete a network with its subnets. Errors: 409 while ports are on it."""
    networks.remove(ctx, find_own(ctx, NETWORK, network_id))
