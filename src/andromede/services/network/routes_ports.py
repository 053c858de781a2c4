"""Routes of ports."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, or_, select, true

from andromede.core.context import Context
from andromede.core.errors import BadRequest
from andromede.services.network import port_requests, ties
from andromede.services.network.api import api, member, reader
from andromede.services.network.resource import (
    Resource,
    View,
    find,
    find_own,
    flag,
    listing,
    many,
    same,
    show,
    shown,
    standard_filters,
    standard_sort,
    standard_view,
    tags_of,
)  # fmt: skip
from andromede.services.network.rows import gather, grouped, one
from andromede.services.network.tables import fixed, network, port, port_group, trunk
from andromede.services.network.wire import CreatePort, UpdatePort

DOMAIN = "openstacklocal."
"""Where ports' names are whose network has no domain of its own."""


def _visible(ctx: Context) -> ColumnElement[bool]:
    if ctx.caller.admin:
        return true()
    mine = ctx.caller.project_id
    return or_(port.c.project_id == mine, port.c.network_id.in_(select(network.c.id).where(network.c.project_id == mine)))


def _fixed_ips(_ctx: Context, values: list[str]) -> ColumnElement[bool]:
    """`ip_address=`, `ip_address_substr=` and `subnet_id=`: values of one name are alternatives, names must all hold for the port."""
    wanted: dict[str, list[str]] = {}
    for value in values:
        for part in value.split(","):
            name, _, text = part.partition("=")
            if name not in ("ip_address", "ip_address_substr", "subnet_id"):
                raise BadRequest(f"'{part}' is not a filter for fixed_ips.", kind="InvalidInput")
            wanted.setdefault(name, []).append(text)
    terms: dict[str, Callable[[list[str]], ColumnElement[bool]]] = {
        "ip_address": fixed.c.address.in_, "subnet_id": fixed.c.subnet_id.in_,
        "ip_address_substr": lambda texts: or_(*(fixed.c.address.contains(text, autoescape=True) for text in texts)),
    }  # fmt: skip
    return port.c.id.in_(select(fixed.c.port_id).where(*(terms[name](texts) for name, texts in wanted.items())))


def _security_groups(_ctx: Context, values: list[str]) -> ColumnElement[bool]:
    return port.c.id.in_(select(port_group.c.port_id).where(port_group.c.group_id.in_(values)))


def _mac(_ctx: Context, values: list[str]) -> ColumnElement[bool]:
    return port.c.mac.in_([re.sub("-", ":", value.lower()) for value in values])


def _names(row: RowMapping, addresses: Sequence[str], domain: str) -> list[View]:
    suffix = f"{domain.rstrip('.')}."
    out = []
    for address in addresses:
        host = row["dns_name"] or "host-" + re.sub(r"[.:]+", "-", address)
        out.append({"hostname": host, "ip_address": address, "fqdn": f"{host}.{suffix}"})
    return out


def _view(ctx: Context, rows: Sequence[RowMapping]) -> list[View]:
    ids, tags = [row["id"] for row in rows], tags_of(ctx, rows)
    held = grouped(gather(ctx.db, ids, lambda some: select(fixed).where(fixed.c.port_id.in_(some)).order_by(fixed.c.place)), "port_id")
    joined = select(port_group).order_by(port_group.c.group_id)
    groups = grouped(gather(ctx.db, ids, lambda some: joined.where(port_group.c.port_id.in_(some))), "port_id")
    domains = {
        row["id"]: row["dns_domain"] or DOMAIN
        for row in gather(ctx.db, {row["network_id"] for row in rows}, lambda some: select(network).where(network.c.id.in_(some)))
    }
    networks = {row["network_id"] for row in rows}
    limited = {
        row["id"]: row["qos_id"]
        for row in gather(ctx.db, networks, lambda some: select(network.c.id, network.c.qos_id).where(network.c.id.in_(some)))
    }
    of_trunks = {row["port_id"]: row["id"] for row in gather(ctx.db, ids, lambda some: select(trunk).where(trunk.c.port_id.in_(some)))}
    inside = grouped(ties.subports_of(ctx.db, of_trunks.values()), "trunk_id")
    out = []
    for row in rows:
        addresses = held.get(row["id"], [])
        view = standard_view(row, tags) | {
            "network_id": row["network_id"], "mac_address": row["mac"], "admin_state_up": row["admin_state_up"], "status": row["status"],
            "device_id": row["device_id"], "device_owner": row["device_owner"],
            "fixed_ips": [{"subnet_id": each["subnet_id"], "ip_address": each["address"]} for each in addresses],
            "security_groups": [each["group_id"] for each in groups.get(row["id"], [])], "port_security_enabled": row["security"],
            "allowed_address_pairs": [{"mac_address": mac, "ip_address": address} for mac, address in row["pairs"]],
            "extra_dhcp_opts": row["dhcp_options"], "binding:vnic_type": row["vnic_type"], "qos_policy_id": row["qos_id"],
            "qos_network_policy_id": limited.get(row["network_id"]), "dns_name": row["dns_name"],
            "dns_assignment": _names(row, [each["address"] for each in addresses], domains.get(row["network_id"], DOMAIN)),
        }  # fmt: skip
        if row["id"] in of_trunks:
            trunk_id = of_trunks[row["id"]]
            view["trunk_details"] = {
                "trunk_id": trunk_id,
                "sub_ports": [
                    {"port_id": each["port_id"], "segmentation_type": "vlan", "segmentation_id": each["segment"], "mac_address": each["mac"]}
                    for each in inside.get(trunk_id, [])
                ],
            }
        if ctx.caller.admin:
            view |= {
                "binding:host_id": row["host"], "binding:profile": row["profile"],
                "binding:vif_type": "ovs" if row["host"] else "unbound",
                "binding:vif_details": port_requests.VIF_DETAILS if row["host"] else {},
            }  # fmt: skip
        out.append(view)
    return out


PORT = Resource(
    name="port", plural="ports", table=port, visible=_visible, view=_view,
    filters=standard_filters(port) | {
        "network_id": same(port.c.network_id), "mac_address": _mac, "admin_state_up": flag(port.c.admin_state_up),
        "status": same(port.c.status), "device_id": same(port.c.device_id), "device_owner": same(port.c.device_owner),
        "fixed_ips": _fixed_ips, "security_groups": _security_groups, "port_security_enabled": flag(port.c.security),
        "binding:host_id": same(port.c.host), "qos_policy_id": same(port.c.qos_id),
        "binding:vnic_type": same(port.c.vnic_type), "dns_name": same(port.c.dns_name),
    },
    sort=standard_sort(port) | {
        "network_id": port.c.network_id, "mac_address": port.c.mac, "admin_state_up": port.c.admin_state_up, "status": port.c.status,
        "device_id": port.c.device_id, "device_owner": port.c.device_owner,
    },
)  # fmt: skip


@api.get("/ports", policy=reader("get_port"))
def list_ports(ctx: Context) -> dict[str, Any]:
    """The project's ports, and those on its networks."""
    return listing(ctx, PORT)


@api.get("/ports/{port_id}", policy=reader("get_port"))
def show_port(ctx: Context, port_id: str) -> dict[str, Any]:
    """One port."""
    return show(ctx, PORT, port_id)


@api.post("/ports", policy=member("create_port"), status=201, quota=("port",))
def create_port(ctx: Context, body: CreatePort) -> dict[str, Any]:
    """Make a port, or several at once.

    Errors: 400 addresses that the network does not have; 403 what only the network's owner may ask; 404 no such network;
    409 over quota, an address or MAC in use, or no address left.
    """
    wanted, bulk = many(body.port, body.ports, "port")
    return shown(ctx, PORT, [port_requests.create(ctx, each) for each in wanted], bulk=bulk)


@api.put("/ports/{port_id}", policy=member("update_port"))
def update_port(ctx: Context, port_id: str, body: UpdatePort) -> dict[str, Any]:
    """Change a port. Errors as for a new one."""
    port_requests.update(ctx, find_own(ctx, PORT, port_id), body.port)
    return shown(ctx, PORT, [port_id])


@api.delete("/ports/{port_id}", policy=member("delete_port"))
def delete_port(ctx: Context, port_id: str) -> None:
    """Delete a port; a network's owner may delete those of others on it. Errors: 409 for one that a router, floating IP or trunk holds."""
    row = find(ctx, PORT, port_id)
    port_requests.remove(ctx, row if one(ctx.db, network, row["network_id"])["project_id"] == ctx.caller.project_id else find_own(ctx, PORT, port_id))
