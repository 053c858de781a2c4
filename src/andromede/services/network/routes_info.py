"""Routes that tell about the service: versions, resources, extensions, availability zones, addresses left."""

import ipaddress
from typing import Any

from sqlalchemy import func, select

from andromede.core.context import Context
from andromede.core.errors import BadRequest, NotFound
from andromede.http.policy import Level, Policy
from andromede.services.network import extensions
from andromede.services.network.api import admin, api, reader, root
from andromede.services.network.errors import missing
from andromede.services.network.routes_networks import zones
from andromede.services.network.rows import gather, grouped
from andromede.services.network.tables import fixed, network, subnet

_RESOURCES = (
    "agent", "network", "subnet", "subnetpool", "address_scope", "port", "router", "floatingip", "security_group", "security_group_rule",
    "default_security_group_rule", "address_group", "trunk", "rbac_policy", "quota", "extension", "availability_zone", "network_ip_availability",
)  # fmt: skip


def _plural(name: str) -> str:
    return name[:-1] + "ies" if name.endswith("y") else name + "s"


@root.get("", policy=Policy("network:versions", Level.PUBLIC), tx="none")
def list_versions(ctx: Context) -> dict[str, Any]:
    """The versions of Network."""
    link = {"rel": "self", "href": f"{ctx.root}/network/v2.0/"}
    return {"versions": [{"id": "v2.0", "status": "CURRENT", "links": [link]}]}


@api.get("", policy=Policy("network:version", Level.PUBLIC), tx="none")
def show_version(ctx: Context) -> dict[str, Any]:
    """The resources of version 2.0."""
    return {
        "resources": [
            {"name": name, "collection": _plural(name), "links": [{"rel": "self", "href": f"{ctx.base}/{_plural(name).replace('_', '-')}"}]}
            for name in _RESOURCES
        ]
    }


@api.get("/extensions", policy=Policy("network:get_extensions", Level.PUBLIC), tx="none")
def list_extensions(ctx: Context) -> dict[str, Any]:
    """The extensions that are here."""
    wanted = set(ctx.query.all("alias")) or set(extensions.NAMES)
    return {"extensions": [extensions.one(alias) for alias in extensions.NAMES if alias in wanted]}


@api.get("/extensions/{alias}", policy=Policy("network:get_extension", Level.PUBLIC), tx="none")
def show_extension(_ctx: Context, alias: str) -> dict[str, Any]:
    """One extension. Errors: 404 one that is not here."""
    if alias not in extensions.NAMES:
        raise NotFound(f"Extension with alias {alias} does not exist", kind="HTTPNotFound")
    return {"extension": extensions.one(alias)}


@api.get("/availability_zones", policy=reader("get_availability_zone"))
def list_availability_zones(ctx: Context) -> dict[str, Any]:
    """The zones that networks and routers may be asked to be in."""
    found = [{"name": name, "resource": kind, "state": "available"} for name in zones(ctx) for kind in ("network", "router")]
    for field in ("name", "resource", "state"):
        if field in ctx.query:
            found = [each for each in found if each[field] in ctx.query.all(field)]
    return {"availability_zones": found}


@api.get("/service-providers", policy=reader("get_service_provider"), tx="none")
def list_service_providers(_ctx: Context) -> dict[str, Any]:
    """There are none: routers have no flavors."""
    return {"service_providers": []}


def _availability(ctx: Context, rows: list[Any]) -> list[dict[str, Any]]:
    held = grouped(gather(ctx.db, [row["id"] for row in rows], lambda some: select(subnet).where(subnet.c.network_id.in_(some))), "network_id")
    inside = [each["id"] for rows_ in held.values() for each in rows_]
    counted = select(fixed.c.subnet_id, func.count().label("used")).group_by(fixed.c.subnet_id)
    used = {each["subnet_id"]: each["used"] for each in gather(ctx.db, inside, lambda some: counted.where(fixed.c.subnet_id.in_(some)))}
    out = []
    for row in rows:
        parts = [
            {
                "subnet_id": each["id"], "subnet_name": each["name"], "cidr": each["cidr"], "ip_version": each["ip_version"],
                "total_ips": sum(int(ipaddress.ip_address(last)) - int(ipaddress.ip_address(first)) + 1 for first, last in each["pools"]),
                "used_ips": used.get(each["id"], 0),
            }
            for each in held.get(row["id"], [])
        ]  # fmt: skip
        out.append(
            {
                "network_id": row["id"], "network_name": row["name"], "project_id": row["project_id"], "tenant_id": row["project_id"],
                "subnet_ip_availability": parts, "total_ips": sum(each["total_ips"] for each in parts),
                "used_ips": sum(each["used_ips"] for each in parts),
            }
        )  # fmt: skip
    return out


@api.get("/network-ip-availabilities", policy=admin("get_network_ip_availability"))
def list_network_ip_availabilities(ctx: Context) -> dict[str, Any]:
    """How many addresses each network has, and how many are taken."""
    query = select(network).order_by(network.c.created, network.c.id)
    columns = {"network_id": "id", "network_name": "name", "project_id": "project_id", "tenant_id": "project_id"}
    for name, column in columns.items():
        if name in ctx.query:
            query = query.where(network.c[column].in_(ctx.query.all(name)))
    versions = ctx.query.all("ip_version")
    if any(each not in ("4", "6") for each in versions):
        raise BadRequest(f"'{versions[0]}' is not an IP version", kind="InvalidInput")
    if versions:
        query = query.where(network.c.id.in_(select(subnet.c.network_id).where(subnet.c.ip_version.in_([int(each) for each in versions]))))
    return {"network_ip_availabilities": _availability(ctx, list(ctx.db.execute(query).mappings()))}


@api.get("/network-ip-availabilities/{network_id}", policy=admin("get_network_ip_availability"))
def show_network_ip_availability(ctx: Context, network_id: str) -> dict[str, Any]:
    """The same of one network."""
    row = ctx.db.execute(select(network).where(network.c.id == network_id)).mappings().first()
    if row is None:
        raise missing("network", network_id)
    return {"network_ip_availability": _availability(ctx, [row])[0]}
