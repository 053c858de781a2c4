"""Routers: gateway, interfaces and routes. Source: Networking API v2.0, routers, extra routes and gateway modes."""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import UNSET
from sqlalchemy import Connection, RowMapping, delete, select

from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, NotFound
from andromede.services.network import networks, ports, ties, values
from andromede.services.network.addresses import Asked
from andromede.services.network.errors import missing
from andromede.services.network.port_requests import asked_addresses
from andromede.services.network.resource import for_admins
from andromede.services.network.rows import bury, changed, one, touch
from andromede.services.network.tables import fixed, floating, port, router, subnet, topology
from andromede.services.network.wire import HostRoute
from andromede.services.network.wire_l3 import Gateway, Interface

_MOST_ROUTES = 30


def _bad(text: str) -> BadRequest:
    return BadRequest(f"Bad router request: {text}.", kind="BadRequest")


def interfaces(db: Connection, router_id: str) -> Sequence[RowMapping]:
    """Where a router is: (port_id, network_id, device_owner, subnet_id, address, cidr, gateway, ip_version) of each address."""
    query = (
        select(
            port.c.id.label("port_id"), port.c.network_id, port.c.device_owner, fixed.c.subnet_id, fixed.c.address, subnet.c.cidr,
            subnet.c.gateway, subnet.c.ip_version,
        )
        .join(fixed, fixed.c.port_id == port.c.id)
        .join(subnet, subnet.c.id == fixed.c.subnet_id)
        .where(port.c.device_id == router_id, port.c.device_owner.in_(ports.OF_ROUTERS))
        .order_by(port.c.created, port.c.id, fixed.c.place)
    )  # fmt: skip
    return _rows(db, query)


def _rows(db: Connection, query: Any) -> Sequence[RowMapping]:
    return db.execute(query).mappings().all()


def set_gateway(ctx: Context, row: Mapping[Any, Any], wanted: Gateway | None) -> None:
    """Give a router its way out, change it, or take it away. Raises Conflict while floating IPs need the old one."""
    db = ctx.db
    if wanted is not None:
        for_admins(
            ctx, "external_gateway_info:enable_snat or external_fixed_ips", False if wanted.enable_snat is False else UNSET,
            wanted.external_fixed_ips or UNSET,
        )  # fmt: skip
    held = one(db, port, row["gateway_port_id"]) if row["gateway_port_id"] else None
    network_id = wanted.network_id if wanted is not None and wanted.network_id else None
    if wanted is not None and network_id is None and (wanted.enable_snat is not UNSET or wanted.external_fixed_ips is not UNSET):
        raise BadRequest("Invalid input for external_gateway_info. Reason: network_id is required.", kind="HTTPBadRequest")
    asked = asked_addresses(wanted.external_fixed_ips) if wanted is not None and wanted.external_fixed_ips else None
    snat = wanted is None or wanted.enable_snat is not False
    if held is not None and held["network_id"] == network_id:
        if asked is not None:
            ports.change(db, held, asked=asked)
        touch(db, router, row["id"], snat=snat)
        return
    if held is not None:
        if db.scalar(select(floating.c.id).where(floating.c.router_id == row["id"]).limit(1)):
            raise Conflict(
                f"Gateway cannot be updated for router {row['id']}, since a gateway to external network {held['network_id']} is required "
                "by one or more floating IPs.",
                kind="RouterExternalGatewayInUseByFloatingIp",
            )
        _routes_left(row, [each for each in interfaces(db, row["id"]) if each["port_id"] != held["id"]])
        touch(db, router, row["id"], gateway_port_id=None)
        ports.destroy(db, [held["id"]])
    if network_id is None:
        touch(db, router, row["id"], snat=True)
        return
    home = networks.find_usable(ctx, network_id)
    if home is None:
        raise missing("network", network_id)
    if not home["external"]:
        raise _bad(f"Network {network_id} is not an external network")
    _apart(interfaces(db, row["id"]), _rows(db, select(subnet).where(subnet.c.network_id == network_id)))
    id_ = ports.make(db, home, project_id="", asked=asked, device_owner=ports.GATEWAY, device_id=row["id"])
    touch(db, router, row["id"], gateway_port_id=id_, snat=snat)


def _apart(held: Sequence[Mapping[Any, Any]], new: Sequence[Mapping[Any, Any]]) -> None:
    for each in new:
        inside = ipaddress.ip_network(each["cidr"])
        for other in held:
            if other["ip_version"] == each["ip_version"] and inside.overlaps(ipaddress.ip_network(other["cidr"])):
                raise _bad(f"Cidr {each['cidr']} of subnet {each['id']} overlaps with cidr {other['cidr']} of subnet {other['subnet_id']}")


def add_interface(ctx: Context, row: Mapping[Any, Any], body: Interface) -> dict[str, Any]:
    """Join a router to a subnet, by the subnet's gateway address or by a port that is there. Raises BadRequest, NotFound, Conflict."""
    if bool(body.port_id) == bool(body.subnet_id):
        raise _bad("Cannot specify both subnet-id and port-id" if body.port_id else "Either subnet_id or port_id must be specified")
    if body.port_id:
        port_id, subnet_ids = _join_port(ctx, row, body.port_id)
    else:
        port_id, subnet_ids = _join_subnet(ctx, row, body.subnet_id or "")
    touch(ctx.db, router, row["id"])
    changed(ctx)
    return _answer(ctx, row, port_id, subnet_ids)


def _answer(ctx: Context, row: Mapping[Any, Any], port_id: str, subnet_ids: list[str], network_id: str | None = None) -> dict[str, Any]:
    home = network_id or one(ctx.db, port, port_id)["network_id"]
    return {
        "id": row["id"], "project_id": row["project_id"], "tenant_id": row["project_id"], "port_id": port_id, "network_id": home,
        "subnet_id": subnet_ids[0], "subnet_ids": subnet_ids,
    }  # fmt: skip


def _join_port(ctx: Context, row: Mapping[Any, Any], port_id: str) -> tuple[str, list[str]]:
    db = ctx.db
    found = db.execute(select(port).where(port.c.id == port_id)).mappings().first()
    if found is None or not (ctx.caller.admin or found["project_id"] == ctx.caller.project_id):
        raise missing("port", port_id)
    if found["device_id"] or found["device_owner"].startswith("network:"):
        raise Conflict(
            f"Unable to complete operation on port {port_id} for network {found['network_id']}. Port already has an attached device "
            f"{found['device_id']}.",
            kind="PortInUse",
        )
    query = select(subnet).join(fixed, fixed.c.subnet_id == subnet.c.id).where(fixed.c.port_id == port_id).order_by(fixed.c.place)
    held = _rows(db, query)
    if not held:
        raise _bad("Router port must have at least one fixed IP")
    if sum(each["ip_version"] == 4 for each in held) > 1:
        raise _bad("Cannot have multiple IPv4 subnets on router port")
    for each in held:
        _joinable(db, row, each)
    ports.become_interface(db, found, row["id"], row["project_id"])
    return port_id, [each["id"] for each in held]


def _joinable(db: Connection, row: Mapping[Any, Any], inside: Mapping[Any, Any]) -> None:
    held = interfaces(db, row["id"])
    if any(each["subnet_id"] == inside["id"] for each in held):
        raise _bad(f"Router already has a port on subnet {inside['id']}")
    _apart(held, [inside])


def _join_subnet(ctx: Context, row: Mapping[Any, Any], subnet_id: str) -> tuple[str, list[str]]:
    db = ctx.db
    found = db.execute(select(subnet).where(subnet.c.id == subnet_id, networks.subnets_visible(ctx))).mappings().first()
    home = None if found is None else networks.find_usable(ctx, found["network_id"])
    if found is None or home is None:
        raise missing("subnet", subnet_id)
    if not found["gateway"]:
        raise _bad("Subnet for router interface must have a gateway IP")
    _joinable(db, row, found)
    asked = Asked(subnet_id, found["gateway"])
    if found["ip_version"] == 6 and (same := _of_six(db, row["id"], found["network_id"])) is not None:
        held = [Asked(each.subnet_id, each.address) for each in db.execute(select(fixed).where(fixed.c.port_id == same).order_by(fixed.c.place))]
        ports.change(db, one(db, port, same), asked=[*held, asked])
        return same, [subnet_id]
    ctx.take(row["project_id"], port=1)
    return ports.make(
        db, home, project_id=row["project_id"], asked=[asked], device_owner=ports.INTERFACE, device_id=row["id"]
    ), [subnet_id]  # fmt: skip


def _of_six(db: Connection, router_id: str, network_id: str) -> str | None:
    """The router's IPv6 interface on a network: further IPv6 subnets share it."""
    mine = [each for each in interfaces(db, router_id) if each["network_id"] == network_id and each["device_owner"] == ports.INTERFACE]
    fours = {each["port_id"] for each in mine if each["ip_version"] == 4}
    return next((each["port_id"] for each in mine if each["port_id"] not in fours), None)


def remove_interface(ctx: Context, row: Mapping[Any, Any], body: Interface) -> dict[str, Any]:
    """Take a router off a subnet. Raises NotFound where it is not there, Conflict while floating IPs or routes need it."""
    db, id_ = ctx.db, row["id"]
    if not body.port_id and not body.subnet_id:
        raise _bad("Either subnet_id or port_id must be specified")
    held = interfaces(db, id_)
    mine = [each for each in held if each["device_owner"] == ports.INTERFACE]
    if body.port_id:
        leaving = [each for each in mine if each["port_id"] == body.port_id]
        if not leaving:
            raise NotFound(f"Router {id_} does not have an interface with id {body.port_id}", kind="RouterInterfaceNotFound")
        if body.subnet_id and body.subnet_id not in [each["subnet_id"] for each in leaving]:
            raise Conflict(
                f"Subnet on port {body.port_id} does not match the requested subnet {body.subnet_id}.", kind="SubnetMismatchForPort"
            )
    else:
        leaving = [each for each in mine if each["subnet_id"] == body.subnet_id]
        if not leaving:
            raise NotFound(
                f"Router {id_} has no interface on subnet {body.subnet_id}", kind="RouterInterfaceNotFoundForSubnet"
            )
    _unneeded(db, row, held, leaving)
    port_id, network_id = leaving[0]["port_id"], leaving[0]["network_id"]
    staying = [each for each in mine if each["port_id"] == port_id and each not in leaving]
    if staying:
        ports.change(db, one(db, port, port_id), asked=[Asked(each["subnet_id"], each["address"]) for each in staying])
    else:
        ports.destroy(db, [port_id])
    touch(db, router, id_)
    changed(ctx)
    return _answer(ctx, row, port_id, [each["subnet_id"] for each in leaving], network_id)


def _unneeded(db: Connection, row: Mapping[Any, Any], held: Sequence[Mapping[Any, Any]], leaving: Sequence[Mapping[Any, Any]]) -> None:
    gone = {each["subnet_id"] for each in leaving}
    led = (
        select(floating.c.id)
        .join(fixed, (fixed.c.port_id == floating.c.port_id) & (fixed.c.address == floating.c.fixed_address))
        .where(floating.c.router_id == row["id"], fixed.c.subnet_id.in_(gone))
    )
    if db.scalar(led.limit(1)) or ties.forwarding_by(db, row["id"], gone):
        raise Conflict(
            f"Router interface for subnet {leaving[0]['subnet_id']} on router {row['id']} cannot be deleted, as it is required by one or "
            "more floating IPs.",
            kind="RouterInterfaceInUseByFloatingIP",
        )
    _routes_left(row, [each for each in held if each["subnet_id"] not in gone])


def _routes_left(row: Mapping[Any, Any], staying: Sequence[Mapping[Any, Any]]) -> None:
    for _, hop in row["routes"]:
        if not any(_reaches(each, hop) for each in staying):
            raise Conflict(
                f"Router interface on router {row['id']} cannot be deleted, as it is required by one or more routes.",
                kind="RouterInterfaceInUseByRoute",
            )


def _reaches(each: Mapping[Any, Any], hop: str) -> bool:
    return ipaddress.ip_address(hop) in ipaddress.ip_network(each["cidr"])


def check_routes(db: Connection, router_id: str, wanted: Sequence[HostRoute]) -> list[list[str]]:
    """Routes in canonical form. Raises BadRequest for a next hop that the router does not reach, or is."""
    routes = [values.route(each.destination, each.nexthop, "routes") for each in wanted]
    if len(routes) > _MOST_ROUTES:
        text = f"Unable to complete operation for {router_id}. The number of routes exceeds the maximum {_MOST_ROUTES}."
        raise BadRequest(text, kind="RoutesExhausted")
    if len({tuple(each) for each in routes}) < len(routes):
        raise BadRequest("Invalid input for routes. Reason: Duplicate route.", kind="HTTPBadRequest")
    held = interfaces(db, router_id) if routes else []
    own = {each["address"] for each in held}
    for _, hop in routes:
        if hop in own:
            raise BadRequest(f"Invalid format for routes: {routes}, the nexthop {hop} is used by router", kind="InvalidRoutes")
        if not any(_reaches(each, hop) for each in held):
            raise BadRequest(f"Invalid format for routes: {routes}, the nexthop {hop} is not connected with router", kind="InvalidRoutes")
    return routes


def remove(ctx: Context, row: Mapping[Any, Any]) -> None:
    """Delete a router. Raises Conflict while it has interfaces."""
    db, id_ = ctx.db, row["id"]
    inside = select(port.c.id).where(port.c.device_id == id_, port.c.device_owner == ports.INTERFACE)
    if db.scalar(inside.limit(1)) or db.scalar(select(floating.c.id).where(floating.c.router_id == id_).limit(1)):
        raise Conflict(f"Router {id_} still has ports", kind="RouterInUse")
    db.execute(delete(topology).where(topology.c.router_id == id_))
    bury(db, router, [id_])
    if row["gateway_port_id"]:
        ports.destroy(db, [row["gateway_port_id"]])
    changed(ctx)
