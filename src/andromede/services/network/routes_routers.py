"""Routes of routers and floating IPs."""

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET
from sqlalchemy import ColumnElement, RowMapping, false, or_, select

from andromede.core.context import Context
from andromede.core.errors import BadRequest
from andromede.services.network import floatings, routers, ties
from andromede.services.network.api import api, member, reader
from andromede.services.network.resource import (
    Resource,
    View,
    find_own,
    flag,
    for_admins,
    given,
    listing,
    many,
    owned,
    owner_of,
    same,
    show,
    shown,
    standard_filters,
    standard_sort,
    standard_view,
    tags_of,
)  # fmt: skip
from andromede.services.network.routes_networks import check_hints, zones
from andromede.services.network.rows import add, changed, gather, grouped, one, touch
from andromede.services.network.tables import fixed, floating, port, router
from andromede.services.network.values import route
from andromede.services.network.wire_l3 import (
    CreateFloating,
    CreateRouter,
    Interface,
    NewFloating,
    NewRouter,
    RouterChange,
    RouterRoutes,
    UpdateFloating,
    UpdateRouter,
)  # fmt: skip

_ROUTER = "/routers/{router_id}"


def _view(ctx: Context, rows: Sequence[RowMapping]) -> list[View]:
    tags = tags_of(ctx, rows)
    gates = {
        each["id"]: each["network_id"]
        for each in gather(
            ctx.db, [row["gateway_port_id"] for row in rows if row["gateway_port_id"]],
            lambda some: select(port.c.id, port.c.network_id).where(port.c.id.in_(some)),
        )
    }  # fmt: skip
    held = grouped(gather(ctx.db, gates, lambda some: select(fixed).where(fixed.c.port_id.in_(some)).order_by(fixed.c.place)), "port_id")
    out = []
    for row in rows:
        gateway = None
        if row["gateway_port_id"]:
            addresses = held.get(row["gateway_port_id"], [])
            gateway = {
                "network_id": gates[row["gateway_port_id"]], "enable_snat": row["snat"],
                "external_fixed_ips": [{"subnet_id": each["subnet_id"], "ip_address": each["address"]} for each in addresses],
            }  # fmt: skip
        view = standard_view(row, tags) | {
            "status": "ACTIVE", "admin_state_up": row["admin_state_up"], "external_gateway_info": gateway,
            "routes": [{"destination": to, "nexthop": hop} for to, hop in row["routes"]],
            "availability_zone_hints": row["hints"], "availability_zones": zones(ctx),
        }  # fmt: skip
        if ctx.caller.admin:
            view |= {"distributed": False, "ha": False}
        out.append(view)
    return out


ROUTER = Resource(
    name="router", plural="routers", table=router, visible=owned(router), view=_view,
    filters=standard_filters(router) | {
        "admin_state_up": flag(router.c.admin_state_up),
        "status": lambda _ctx, values: router.c.id.is_not(None) if "ACTIVE" in values else false(),
    },
    sort=standard_sort(router) | {"admin_state_up": router.c.admin_state_up},
)  # fmt: skip


@api.get("/routers", policy=reader("get_router"))
def list_routers(ctx: Context) -> dict[str, Any]:
    """The project's routers."""
    return listing(ctx, ROUTER)


@api.get(_ROUTER, policy=reader("get_router"))
def show_router(ctx: Context, router_id: str) -> dict[str, Any]:
    """One router."""
    return show(ctx, ROUTER, router_id)


def _values(ctx: Context, body: RouterChange) -> View:
    for_admins(ctx, "distributed or ha", body.distributed or UNSET, body.ha or UNSET)
    if body.distributed or body.ha:
        raise BadRequest("Unrecognized attribute(s) 'distributed, ha': they can only be false.", kind="HTTPBadRequest")
    return given(body, {"name": "name", "description": "description", "admin_state_up": "admin_state_up"})


def _create(ctx: Context, body: NewRouter) -> str:
    owner = owner_of(ctx, body.project_id, body.tenant_id)
    ctx.take(owner, router=1)
    id_ = add(ctx.db, router, project_id=owner, routes=[], hints=check_hints(ctx, body.availability_zone_hints), **_values(ctx, body))
    if body.external_gateway_info:
        routers.set_gateway(ctx, one(ctx.db, router, id_), body.external_gateway_info)
    if body.routes:
        touch(ctx.db, router, id_, routes=routers.check_routes(ctx.db, id_, body.routes))
    return id_


@api.post("/routers", policy=member("create_router"), status=201, quota=("router",))
def create_router(ctx: Context, body: CreateRouter) -> dict[str, Any]:
    """Make a router. Errors: 400 a gateway that is not external; 403 what only admins may ask; 409 over quota or no address left."""
    wanted, bulk = many(body.router, body.routers, "router")
    ids = [_create(ctx, each) for each in wanted]
    changed(ctx)
    return shown(ctx, ROUTER, ids, bulk=bulk)


@api.put(_ROUTER, policy=member("update_router"))
def update_router(ctx: Context, router_id: str, body: UpdateRouter) -> dict[str, Any]:
    """Change a router; `routes` and `external_gateway_info` replace what was there. Errors: 409 while floating IPs need the gateway."""
    row, wanted = find_own(ctx, ROUTER, router_id), body.router
    values = _values(ctx, wanted)
    if wanted.routes is None or wanted.routes == []:
        values["routes"] = []
        row = {**row, "routes": []}  # type: ignore[assignment]
    touch(ctx.db, router, router_id, **values)
    if wanted.external_gateway_info is not UNSET:
        routers.set_gateway(ctx, row, wanted.external_gateway_info)
    if wanted.routes:
        touch(ctx.db, router, router_id, routes=routers.check_routes(ctx.db, router_id, wanted.routes))
    changed(ctx)
    return shown(ctx, ROUTER, [router_id])


@api.delete(_ROUTER, policy=member("delete_router"))
def delete_router(ctx: Context, router_id: str) -> None:
    """Delete a router. Errors: 409 while it has interfaces."""
    routers.remove(ctx, find_own(ctx, ROUTER, router_id))


@api.put(f"{_ROUTER}/add_router_interface", policy=member("add_router_interface"))
def add_router_interface(ctx: Context, router_id: str, body: Interface) -> dict[str, Any]:
    """Join a router to a subnet, by the subnet or by a port. Errors: 400 a subnet it is on already or that overlaps; 409 a port in use."""
    return routers.add_interface(ctx, find_own(ctx, ROUTER, router_id), body)


@api.put(f"{_ROUTER}/remove_router_interface", policy=member("remove_router_interface"))
def remove_router_interface(ctx: Context, router_id: str, body: Interface) -> dict[str, Any]:
    """Take a router off a subnet. Errors: 404 where it is not there; 409 while floating IPs or routes need it."""
    return routers.remove_interface(ctx, find_own(ctx, ROUTER, router_id), body)


def _routed(ctx: Context, row: RowMapping, routes: list[list[str]]) -> dict[str, Any]:
    touch(ctx.db, router, row["id"], routes=routes)
    changed(ctx)
    return shown(ctx, ROUTER, [row["id"]])


@api.put(f"{_ROUTER}/add_extraroutes", policy=member("add_extraroutes"))
def add_extraroutes(ctx: Context, router_id: str, body: RouterRoutes) -> dict[str, Any]:
    """Add routes to those a router has; one that is there already is left. Errors: 400 a next hop that is not connected."""
    row = find_own(ctx, ROUTER, router_id)
    added = routers.check_routes(ctx.db, router_id, body.router.routes)
    return _routed(ctx, row, [*row["routes"], *(each for each in added if each not in row["routes"])])


@api.put(f"{_ROUTER}/remove_extraroutes", policy=member("remove_extraroutes"))
def remove_extraroutes(ctx: Context, router_id: str, body: RouterRoutes) -> dict[str, Any]:
    """Take routes away; one that is not there is left out of it."""
    row = find_own(ctx, ROUTER, router_id)
    gone = [route(each.destination, each.nexthop, "routes") for each in body.router.routes]
    return _routed(ctx, row, [each for each in row["routes"] if each not in gone])


# floating IPs


def _floating_view(ctx: Context, rows: Sequence[RowMapping]) -> list[View]:
    tags = tags_of(ctx, rows)
    led = {
        each["id"]: each
        for each in gather(
            ctx.db, [row["port_id"] for row in rows if row["port_id"]], lambda some: select(port).where(port.c.id.in_(some))
        )
    }
    forwards = grouped(ties.forwards_of(ctx.db, [row["id"] for row in rows]), "floating_id")
    out = []
    for row in rows:
        inner = led.get(row["port_id"])
        names = ("name", "network_id", "admin_state_up", "status", "device_id", "device_owner")
        view = standard_view(row, tags) | {
            "floating_ip_address": row["address"], "floating_network_id": row["network_id"], "port_id": row["port_id"],
            "fixed_ip_address": row["fixed_address"], "router_id": row["router_id"], "status": "ACTIVE" if row["router_id"] else "DOWN",
            "dns_name": row["dns_name"], "dns_domain": row["dns_domain"], "qos_policy_id": row["qos_id"],
            "port_forwardings": [ties.forward_view(each) for each in forwards.get(row["id"], [])],
            "port_details": None if inner is None else {name: inner[name] for name in names} | {"mac_address": inner["mac"]},
        }  # fmt: skip
        del view["name"]
        out.append(view)
    return out


def _status(_ctx: Context, values: list[str]) -> ColumnElement[bool]:
    terms = {"ACTIVE": floating.c.router_id.is_not(None), "DOWN": floating.c.router_id.is_(None)}
    return or_(*(terms.get(value, false()) for value in values))


FLOATING = Resource(
    name="floatingip", plural="floatingips", table=floating, visible=owned(floating), view=_floating_view,
    filters=standard_filters(floating) | {
        "floating_ip_address": same(floating.c.address), "floating_network_id": same(floating.c.network_id),
        "port_id": same(floating.c.port_id), "fixed_ip_address": same(floating.c.fixed_address), "router_id": same(floating.c.router_id),
        "status": _status, "qos_policy_id": same(floating.c.qos_id), "dns_name": same(floating.c.dns_name), "dns_domain": same(floating.c.dns_domain),
    },
    sort=standard_sort(floating) | {
        "floating_ip_address": floating.c.address, "floating_network_id": floating.c.network_id, "port_id": floating.c.port_id,
        "fixed_ip_address": floating.c.fixed_address, "router_id": floating.c.router_id,
    },
)  # fmt: skip


@api.get("/floatingips", policy=reader("get_floatingip"))
def list_floatingips(ctx: Context) -> dict[str, Any]:
    """The project's floating IPs."""
    return listing(ctx, FLOATING)


@api.get("/floatingips/{floatingip_id}", policy=reader("get_floatingip"))
def show_floatingip(ctx: Context, floatingip_id: str) -> dict[str, Any]:
    """One floating IP."""
    return show(ctx, FLOATING, floatingip_id)


def _create_floating(ctx: Context, body: NewFloating) -> str:
    owner = owner_of(ctx, body.project_id, body.tenant_id)
    ctx.take(owner, floatingip=1)
    return floatings.create(ctx, owner, body)


@api.post("/floatingips", policy=member("create_floatingip"), status=201, quota=("floatingip",))
def create_floatingip(ctx: Context, body: CreateFloating) -> dict[str, Any]:
    """Take a floating IP, and lead it to a port.

    Errors: 400 a network that is not external; 404 a port that the network does not reach; 409 over quota, or an address in use.
    """
    wanted, bulk = many(body.floatingip, body.floatingips, "floatingip")
    return shown(ctx, FLOATING, [_create_floating(ctx, each) for each in wanted], bulk=bulk)


@api.put("/floatingips/{floatingip_id}", policy=member("update_floatingip"))
def update_floatingip(ctx: Context, floatingip_id: str, body: UpdateFloating) -> dict[str, Any]:
    """Lead a floating IP to another port, or (null) to none. Errors as for a new one."""
    floatings.update(ctx, find_own(ctx, FLOATING, floatingip_id), body.floatingip)
    return shown(ctx, FLOATING, [floatingip_id])


@api.delete("/floatingips/{floatingip_id}", policy=member("delete_floatingip"))
def delete_floatingip(ctx: Context, floatingip_id: str) -> None:
    """Give a floating IP back."""
    floatings.remove(ctx, find_own(ctx, FLOATING, floatingip_id))
