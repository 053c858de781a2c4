"""Routes of subnets, subnet pools and address scopes."""

import ipaddress
from collections.abc import Sequence
from typing import Any

from msgspec import UNSET
from sqlalchemy import ColumnElement, RowMapping, select

from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, Forbidden
from andromede.services.network import networks, ports, sharing, subnetpools, subnets
from andromede.services.network.api import api, member, reader
from andromede.services.network.errors import missing
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
from andromede.services.network.rows import add, bury, changed, one, touch
from andromede.services.network.tables import fixed, network, port, scope, subnet, subnetpool
from andromede.services.network.wire import (
    CreateScope,
    CreateSubnet,
    CreateSubnetpool,
    NewScope,
    NewSubnet,
    NewSubnetpool,
    Onboard,
    Prefixes,
    UpdateScope,
    UpdateSubnet,
    UpdateSubnetpool,
)  # fmt: skip


def _view(ctx: Context, rows: Sequence[RowMapping]) -> list[View]:
    tags = tags_of(ctx, rows)
    return [
        standard_view(row, tags) | {
            "network_id": row["network_id"], "ip_version": row["ip_version"], "cidr": row["cidr"], "gateway_ip": row["gateway"],
            "enable_dhcp": row["dhcp"], "allocation_pools": [{"start": start, "end": end} for start, end in row["pools"]],
            "dns_nameservers": row["dns"], "host_routes": [{"destination": to, "nexthop": hop} for to, hop in row["routes"]],
            "ipv6_ra_mode": row["ra_mode"], "ipv6_address_mode": row["address_mode"], "subnetpool_id": row["subnetpool_id"],
        }
        for row in rows
    ]  # fmt: skip


def _shared(ctx: Context, values: list[str]) -> ColumnElement[bool]:
    """On a network that is shared with the caller's project."""
    return subnet.c.network_id.in_(select(network.c.id).where(sharing.filter_shared(network, truth)(ctx, values)))


SUBNET = Resource(
    name="subnet", plural="subnets", table=subnet, visible=networks.subnets_visible, view=_view,
    filters=standard_filters(subnet) | {
        "network_id": same(subnet.c.network_id), "ip_version": whole(subnet.c.ip_version), "cidr": same(subnet.c.cidr),
        "shared": _shared, "gateway_ip": same(subnet.c.gateway), "enable_dhcp": flag(subnet.c.dhcp), "ipv6_ra_mode": same(subnet.c.ra_mode),
        "ipv6_address_mode": same(subnet.c.address_mode), "subnetpool_id": same(subnet.c.subnetpool_id),
    },
    sort=standard_sort(subnet) | {
        "network_id": subnet.c.network_id, "ip_version": subnet.c.ip_version, "cidr": subnet.c.cidr, "gateway_ip": subnet.c.gateway,
        "enable_dhcp": subnet.c.dhcp,
    },
)  # fmt: skip


@api.get("/subnets", policy=reader("get_subnet"))
def list_subnets(ctx: Context) -> dict[str, Any]:
    """The project's subnets, and those of networks shared with it."""
    return listing(ctx, SUBNET)


@api.get("/subnets/{subnet_id}", policy=reader("get_subnet"))
def show_subnet(ctx: Context, subnet_id: str) -> dict[str, Any]:
    """One subnet."""
    return show(ctx, SUBNET, subnet_id)


def _create(ctx: Context, body: NewSubnet) -> str:
    home = networks.find_usable(ctx, body.network_id)
    if home is None:
        raise missing("network", body.network_id)
    if not ctx.caller.admin and home["project_id"] != ctx.caller.project_id:
        raise Forbidden(f"Tenant {ctx.caller.project_id} not allowed to create subnet on this network", kind="NotAuthorized")
    owner = owner_of(ctx, body.project_id, body.tenant_id)
    ctx.take(owner, subnet=1)
    return subnets.create(ctx, home, owner, body)


@api.post("/subnets", policy=member("create_subnet"), status=201, quota=("subnet",))
def create_subnet(ctx: Context, body: CreateSubnet) -> dict[str, Any]:
    """Make a subnet, or several at once; its range is given, or cut from a subnet pool.

    Errors: 400 values that contradict each other or overlap; 403 on another's network; 409 over quota, or no room in the pool.
    """
    wanted, bulk = many(body.subnet, body.subnets, "subnet")
    return shown(ctx, SUBNET, [_create(ctx, each) for each in wanted], bulk=bulk)


@api.put("/subnets/{subnet_id}", policy=member("update_subnet"))
def update_subnet(ctx: Context, subnet_id: str, body: UpdateSubnet) -> dict[str, Any]:
    """Change a subnet. Errors: 409 where a router has the gateway that would change."""
    row = find_own(ctx, SUBNET, subnet_id)
    subnets.update(ctx, row, one(ctx.db, network, row["network_id"]), body.subnet)
    return shown(ctx, SUBNET, [subnet_id])


@api.delete("/subnets/{subnet_id}", policy=member("delete_subnet"))
def delete_subnet(ctx: Context, subnet_id: str) -> None:
    """Delete a subnet. Errors: 409 while ports have addresses in it."""
    subnets.remove(ctx, find_own(ctx, SUBNET, subnet_id))


# subnet pools


def _pool_view(ctx: Context, rows: Sequence[RowMapping]) -> list[View]:
    tags, shared = tags_of(ctx, rows), sharing.shared_ids(ctx, [row["id"] for row in rows])
    return [
        standard_view(row, tags) | {
            "ip_version": row["ip_version"], "prefixes": row["prefixes"], "min_prefixlen": str(row["min_prefix"]),
            "max_prefixlen": str(row["max_prefix"]), "default_prefixlen": str(row["default_prefix"]), "default_quota": row["default_quota"],
            "shared": row["id"] in shared, "is_default": row["is_default"], "address_scope_id": row["scope_id"],
        }
        for row in rows
    ]  # fmt: skip


POOL = Resource(
    name="subnetpool", plural="subnetpools", table=subnetpool, visible=sharing.visible(subnetpool), view=_pool_view,
    filters=standard_filters(subnetpool) | {
        "ip_version": whole(subnetpool.c.ip_version), "shared": sharing.filter_shared(subnetpool, truth), "is_default": flag(subnetpool.c.is_default),
        "address_scope_id": same(subnetpool.c.scope_id), "min_prefixlen": whole(subnetpool.c.min_prefix),
        "max_prefixlen": whole(subnetpool.c.max_prefix), "default_prefixlen": whole(subnetpool.c.default_prefix),
        "default_quota": whole(subnetpool.c.default_quota),
    },
    sort=standard_sort(subnetpool) | {"ip_version": subnetpool.c.ip_version, "is_default": subnetpool.c.is_default},
)  # fmt: skip


@api.get("/subnetpools", policy=reader("get_subnetpool"))
def list_subnetpools(ctx: Context) -> dict[str, Any]:
    """The project's subnet pools and the shared ones."""
    return listing(ctx, POOL)


@api.get("/subnetpools/{pool_id}", policy=reader("get_subnetpool"))
def show_subnetpool(ctx: Context, pool_id: str) -> dict[str, Any]:
    """One subnet pool."""
    return show(ctx, POOL, pool_id)


def _create_pool(ctx: Context, body: NewSubnetpool) -> str:
    owner = owner_of(ctx, body.project_id, body.tenant_id)
    for_admins(ctx, "create_subnetpool:shared or is_default", body.shared or UNSET, body.is_default or UNSET)
    ctx.take(owner, subnetpool=1)
    prefixes = subnetpools.compact(body.prefixes or [])
    version = subnetpools.version_of(prefixes)
    sizes = subnetpools.lengths(version, body.min_prefixlen or None, body.max_prefixlen or None, body.default_prefixlen or None)
    if body.is_default:
        subnetpools.only_default(ctx.db, version)
    if body.address_scope_id:
        subnetpools.check_scope(ctx, body.address_scope_id, version, prefixes)
    id_ = add(
        ctx.db, subnetpool, project_id=owner, name=body.name or "", description=body.description or "", ip_version=version,
        prefixes=prefixes, is_default=body.is_default is True, scope_id=body.address_scope_id or None,
        default_quota=_quota_of(body.default_quota), **sizes,
    )  # fmt: skip
    if body.shared is True:
        sharing.grant(ctx.db, subnetpool, id_, owner)
    return id_


def _quota_of(wanted: object) -> int | None:
    if not isinstance(wanted, int):
        return None
    if not 0 <= wanted < 1 << 31:
        raise BadRequest("default_quota must be from 0 to 2147483647.", kind="HTTPBadRequest")
    return wanted


@api.post("/subnetpools", policy=member("create_subnetpool"), status=201, quota=("subnetpool",))
def create_subnetpool(ctx: Context, body: CreateSubnetpool) -> dict[str, Any]:
    """Make a subnet pool. Errors: 400 prefixes or lengths that contradict each other; 409 over quota."""
    wanted, bulk = many(body.subnetpool, body.subnetpools, "subnetpool")
    return shown(ctx, POOL, [_create_pool(ctx, each) for each in wanted], bulk=bulk)


@api.put("/subnetpools/{pool_id}", policy=member("update_subnetpool"))
def update_subnetpool(ctx: Context, pool_id: str, body: UpdateSubnetpool) -> dict[str, Any]:
    """Change a subnet pool; prefixes may only be added. Errors: 400, 409 as for a new one."""
    row, wanted = find_own(ctx, POOL, pool_id), body.subnetpool
    for_admins(ctx, "update_subnetpool:is_default", wanted.is_default)
    values = given(wanted, {"name": "name", "description": "description", "is_default": "is_default"})
    version, prefixes = row["ip_version"], row["prefixes"]
    if wanted.prefixes is not UNSET:
        prefixes = values["prefixes"] = subnetpools.compact(wanted.prefixes)
        kept = [ipaddress.ip_network(text) for text in prefixes]
        if subnetpools.version_of(prefixes) != version or any(
            not any(old.network_address in new and old.prefixlen >= new.prefixlen for new in kept)
            for old in map(ipaddress.ip_network, row["prefixes"])
        ):
            raise BadRequest(f"Illegal update to prefixes: {prefixes} does not hold all of {row['prefixes']}.", kind="IllegalSubnetPoolPrefixUpdate")
    lengths = [
        row[column] if field is UNSET else field
        for column, field in (
            ("min_prefix", wanted.min_prefixlen), ("max_prefix", wanted.max_prefixlen), ("default_prefix", wanted.default_prefixlen),
        )
    ]  # fmt: skip
    values |= subnetpools.lengths(version, *lengths)
    if wanted.default_quota is not UNSET:
        values["default_quota"] = _quota_of(wanted.default_quota)
    if wanted.is_default:
        subnetpools.only_default(ctx.db, version, pool_id)
    if wanted.address_scope_id is not UNSET:
        values["scope_id"] = wanted.address_scope_id or None
    if values.get("scope_id", row["scope_id"]) and (wanted.address_scope_id or wanted.prefixes):
        subnetpools.check_scope(ctx, values.get("scope_id", row["scope_id"]), version, prefixes, pool_id)
    touch(ctx.db, subnetpool, pool_id, **values)
    if values.get("scope_id", row["scope_id"]) != row["scope_id"]:
        inside = select(fixed.c.port_id).join(subnet, subnet.c.id == fixed.c.subnet_id).where(subnet.c.subnetpool_id == pool_id)
        ports.bump_routers(ctx.db, port.c.id.in_(inside))
        changed(ctx)
    return shown(ctx, POOL, [pool_id])


def _prefixes(ctx: Context, row: RowMapping, prefixes: list[str]) -> dict[str, Any]:
    if row["scope_id"]:
        subnetpools.check_scope(ctx, row["scope_id"], row["ip_version"], prefixes, row["id"])
    touch(ctx.db, subnetpool, row["id"], prefixes=prefixes)
    return {"prefixes": prefixes}


@api.put("/subnetpools/{pool_id}/add_prefixes", policy=member("add_prefixes"))
def add_prefixes(ctx: Context, pool_id: str, body: Prefixes) -> dict[str, Any]:
    """Add prefixes to a subnet pool. Errors: 400 those of the other IP version; 409 those of another pool in its address scope."""
    row = find_own(ctx, POOL, pool_id)
    prefixes = subnetpools.compact([*row["prefixes"], *body.prefixes])
    return _prefixes(ctx, row, prefixes)


@api.put("/subnetpools/{pool_id}/remove_prefixes", policy=member("remove_prefixes"))
def remove_prefixes(ctx: Context, pool_id: str, body: Prefixes) -> dict[str, Any]:
    """Take prefixes from a subnet pool. Errors: 400 those that it does not have, or that subnets are from."""
    row = find_own(ctx, POOL, pool_id)
    return _prefixes(ctx, row, subnetpools.without(ctx.db, row, body.prefixes))


@api.put("/subnetpools/{pool_id}/onboard_network_subnets", policy=member("onboard_network_subnets"))
def onboard_network_subnets(ctx: Context, pool_id: str, body: Onboard) -> dict[str, Any]:
    """Take the subnets of a network into a subnet pool. Errors: 400 those of another pool; 404 no such network; 409 an overlap."""
    row, home = find_own(ctx, POOL, pool_id), networks.find_usable(ctx, body.network_id)
    if home is None or not (ctx.caller.admin or home["project_id"] == ctx.caller.project_id):
        raise missing("network", body.network_id)
    touch(ctx.db, subnetpool, pool_id, prefixes=subnetpools.onboard(ctx, row, home["id"]))
    ports.bump_routers(ctx.db, port.c.network_id == home["id"])
    changed(ctx)
    return {}


@api.delete("/subnetpools/{pool_id}", policy=member("delete_subnetpool"))
def delete_subnetpool(ctx: Context, pool_id: str) -> None:
    """Delete a subnet pool. Errors: 409 while subnets are from it."""
    row = find_own(ctx, POOL, pool_id)
    if ctx.db.scalar(select(subnet.c.id).where(subnet.c.subnetpool_id == row["id"]).limit(1)):
        raise Conflict("Unable to delete subnet pool: Subnet pool has existing allocations.", kind="SubnetPoolDeleteError")
    bury(ctx.db, subnetpool, [row["id"]])


# address scopes


def _scope_view(ctx: Context, rows: Sequence[RowMapping]) -> list[View]:
    names, shared = ("id", "name", "project_id", "ip_version"), sharing.shared_ids(ctx, [row["id"] for row in rows])
    return [{name: row[name] for name in names} | {"tenant_id": row["project_id"], "shared": row["id"] in shared} for row in rows]


SCOPE = Resource(
    name="address_scope", plural="address_scopes", table=scope, visible=sharing.visible(scope), view=_scope_view,
    filters=standard_filters(scope) | {"ip_version": whole(scope.c.ip_version), "shared": sharing.filter_shared(scope, truth)},
    sort=standard_sort(scope) | {"ip_version": scope.c.ip_version},
)  # fmt: skip


@api.get("/address-scopes", policy=reader("get_address_scope"))
def list_address_scopes(ctx: Context) -> dict[str, Any]:
    """The project's address scopes and the shared ones."""
    return listing(ctx, SCOPE)


@api.get("/address-scopes/{scope_id}", policy=reader("get_address_scope"))
def show_address_scope(ctx: Context, scope_id: str) -> dict[str, Any]:
    """One address scope."""
    return show(ctx, SCOPE, scope_id)


def _create_scope(ctx: Context, body: NewScope) -> str:
    owner = owner_of(ctx, body.project_id, body.tenant_id)
    for_admins(ctx, "create_address_scope:shared", body.shared or UNSET)
    if body.ip_version not in (4, 6):
        raise BadRequest(f"Invalid input for ip_version. Reason: '{body.ip_version}' is not in [4, 6].", kind="HTTPBadRequest")
    id_ = add(ctx.db, scope, project_id=owner, name=body.name or "", ip_version=body.ip_version)
    if body.shared is True:
        sharing.grant(ctx.db, scope, id_, owner)
    return id_


@api.post("/address-scopes", policy=member("create_address_scope"), status=201)
def create_address_scope(ctx: Context, body: CreateScope) -> dict[str, Any]:
    """Make an address scope."""
    wanted, bulk = many(body.address_scope, body.address_scopes, "address_scope")
    return shown(ctx, SCOPE, [_create_scope(ctx, each) for each in wanted], bulk=bulk)


@api.put("/address-scopes/{scope_id}", policy=member("update_address_scope"))
def update_address_scope(ctx: Context, scope_id: str, body: UpdateScope) -> dict[str, Any]:
    """Change an address scope; what is shared stays so."""
    row = find_own(ctx, SCOPE, scope_id)
    for_admins(ctx, "update_address_scope:shared", body.address_scope.shared)
    if body.address_scope.shared is True:
        sharing.grant(ctx.db, scope, scope_id, row["project_id"])
    elif body.address_scope.shared is False and scope_id in sharing.shared_ids(ctx, [scope_id]):
        raise BadRequest("Unable to update address scope: Shared address scope can't be unshared.", kind="AddressScopeUpdateError")
    touch(ctx.db, scope, row["id"], **given(body.address_scope, {"name": "name"}))
    return shown(ctx, SCOPE, [scope_id])


@api.delete("/address-scopes/{scope_id}", policy=member("delete_address_scope"))
def delete_address_scope(ctx: Context, scope_id: str) -> None:
    """Delete an address scope. Errors: 409 while subnet pools are in it."""
    row = find_own(ctx, SCOPE, scope_id)
    if ctx.db.scalar(select(subnetpool.c.id).where(subnetpool.c.scope_id == row["id"]).limit(1)):
        raise Conflict(f"Address scope {scope_id} in use by one or more subnet pools.", kind="AddressScopeInUse")
    bury(ctx.db, scope, [row["id"]])


