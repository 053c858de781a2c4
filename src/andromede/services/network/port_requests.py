"""What a request may ask of a port: the rules between a body and the rows. Source: Networking API v2.0, ports and their extensions."""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import UNSET
from sqlalchemy import select

from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, Forbidden
from andromede.services.network import groups, networks, ports, qos, sharing, ties, values
from andromede.services.network.addresses import Asked
from andromede.services.network.errors import invalid, missing, wrong
from andromede.services.network.resource import for_admins, owner_of
from andromede.services.network.rows import changed, one
from andromede.services.network.tables import network, port, port_group
from andromede.services.network.wire import DhcpOption, FixedIp, NewPort, Pair, PortChange

_MOST_ADDRESSES, _MOST_PAIRS = 5, 10
_VNIC_TYPES = ("normal", "direct", "macvtap", "baremetal", "direct-physical", "virtio-forwarder", "smart-nic", "vdpa")
VIF_DETAILS = {"port_filter": True, "connectivity": "l2"}
"""How a port is joined to its host."""
_RESERVED = (*ports.NOT_PLUGGED, ports.METADATA)


def asked_addresses(wanted: Sequence[FixedIp]) -> list[Asked]:
    """The addresses of a request, in canonical form. Raises BadRequest."""
    if len(wanted) > _MOST_ADDRESSES:
        raise invalid(f"Exceeded maximum amount of fixed ips per port ({_MOST_ADDRESSES}).")
    out = [
        Asked(each.subnet_id or None, values.address(each.ip_address, "fixed_ips") if each.ip_address else None) for each in wanted
    ]
    named = [each.address for each in out if each.address]
    if len(set(named)) < len(named):
        raise invalid(f"Duplicate IP address in fixed_ips: {named}")
    return out


def _pairs(wanted: Sequence[Pair], mac: str) -> list[list[str]]:
    if len(wanted) > _MOST_PAIRS:
        raise BadRequest(f"The number of allowed address pairs exceeds the maximum {_MOST_PAIRS}.", kind="AllowedAddressPairExhausted")
    out = []
    for each in wanted:
        try:
            text = str(ipaddress.ip_interface(each.ip_address))
        except ValueError as error:
            raise wrong("allowed_address_pairs", f"'{each.ip_address}' is not a valid IP address or subnet") from error
        short = text.removesuffix("/32") if ":" not in text else text.removesuffix("/128")
        pair = [values.mac(each.mac_address) if each.mac_address else mac, short if "/" not in each.ip_address else each.ip_address]
        if pair in out:
            text = f"Request contains duplicate address pair: mac_address {pair[0]} ip_address {pair[1]}."
            raise BadRequest(text, kind="DuplicateAddressPairInRequest")
        out.append(pair)
    return out


def _options(wanted: Sequence[DhcpOption], held: Sequence[Mapping[Any, Any]]) -> list[dict[str, Any]]:
    """The DHCP options of a port after a change: each one named replaces its namesake, a null value takes it away."""
    out = {(each["opt_name"], each["ip_version"]): dict(each) for each in held}
    for each in wanted:
        version = 4 if each.ip_version is UNSET else each.ip_version
        if version not in (4, 6):
            raise wrong("extra_dhcp_opts", f"'{version}' is not in [4, 6]")
        if each.opt_value is None:
            out.pop((each.opt_name, version), None)
        elif not str(each.opt_value).strip() and each.opt_name != "router":
            raise wrong("extra_dhcp_opts", f"'{each.opt_name}' has a blank value")
        else:
            out[each.opt_name, version] = {"opt_name": each.opt_name, "opt_value": str(each.opt_value), "ip_version": version}
    return list(out.values())


def _simple(ctx: Context, body: PortChange, owner: str) -> dict[str, Any]:
    """Columns that need no look at others."""
    for_admins(ctx, "binding:host_id or binding:profile", body.host_id or UNSET, body.profile or UNSET)
    out: dict[str, Any] = {
        name: value for name in ("name", "description", "admin_state_up", "device_id") if (value := getattr(body, name)) is not UNSET
    }
    if "device_id" in out:
        out["device_id"] = out["device_id"] or ""
        if len(out["device_id"]) > 255:
            raise wrong("device_id", "it is longer than 255 characters")
    if body.device_owner is not UNSET:
        out["device_owner"] = body.device_owner or ""
        if owner != out["device_owner"] and out["device_owner"] in _RESERVED:
            raise invalid(f"device_owner {out['device_owner']} is for the network itself.")
        if out["device_owner"].startswith("network:") and not ctx.caller.admin:
            raise Forbidden("Policy doesn't allow device_owner network:* to be set.", kind="PolicyNotAuthorized")
    if body.dns_name is not UNSET:
        out["dns_name"] = values.label(body.dns_name or "", "dns_name")
    if body.host_id is not UNSET:
        out["host"] = body.host_id or ""
    if body.profile is not UNSET:
        out["profile"] = body.profile or {}
    if body.vnic_type is not UNSET:
        out["vnic_type"] = vnic_type(body.vnic_type or "normal")
    return out


def vnic_type(wanted: str) -> str:
    """A kind of card that this cloud has. Raises BadRequest for another."""
    if wanted not in _VNIC_TYPES:
        raise wrong("binding:vnic_type", f"'{wanted}' is not in {list(_VNIC_TYPES)}")
    if wanted != "normal":
        raise invalid(f"binding:vnic_type {wanted} is not served by this cloud.")
    return wanted


def _secured(row: Mapping[str, Any]) -> None:
    """Raise where a port without security has what needs it. `row`: security, groups and pairs as they would be."""
    if row["security"]:
        return
    if row["groups"]:
        text = "Port Security must be enabled in order to have security groups on a port."
        raise BadRequest(text, kind="PortSecurityAndIPRequiredForSecurityGroups")
    if row["pairs"]:
        text = "Port Security must be enabled in order to have allowed address pairs on a port."
        raise Conflict(text, kind="AddressPairAndPortSecurityRequired")


def create(ctx: Context, body: NewPort) -> str:
    """A new port; answers its id. Raises NotFound for the network, BadRequest, Forbidden, and Conflict for what is taken."""
    home = networks.find_usable(ctx, body.network_id)
    if home is None:
        raise missing("network", body.network_id)
    owner = owner_of(ctx, body.project_id, body.tenant_id)
    mine = ctx.caller.admin or home["project_id"] == ctx.caller.project_id
    if home["external"] and not mine and not _shared(ctx, home["id"]):
        raise Forbidden(f"Policy doesn't allow create_port on network {home['id']}.", kind="PolicyNotAuthorized")
    asked = asked_addresses(body.fixed_ips) if isinstance(body.fixed_ips, list) else None
    if not mine and any(each.address for each in asked or []):
        raise Forbidden("Policy doesn't allow create_port:fixed_ips:ip_address.", kind="PolicyNotAuthorized")
    if not mine and (body.mac_address or body.port_security_enabled is not UNSET or body.allowed_address_pairs):
        text = "Policy doesn't allow create_port:mac_address, port_security_enabled or allowed_address_pairs."
        raise Forbidden(text, kind="PolicyNotAuthorized")
    ctx.take(owner, port=1)
    columns = _simple(ctx, body, "")
    if body.qos_policy_id is not UNSET:
        columns["qos_id"] = qos.chosen(ctx, body.qos_policy_id, None)
    mac = values.mac(body.mac_address) if body.mac_address else None
    unplugged = columns.get("device_owner", "").startswith("network:")
    security = not unplugged and (home["port_security"] if body.port_security_enabled is UNSET else body.port_security_enabled)
    _secured({"security": security, "groups": body.security_groups or [], "pairs": body.allowed_address_pairs or []})
    chosen: list[str] = []
    if isinstance(body.security_groups, list):
        chosen = groups.of_ids(ctx, body.security_groups, owner)
    elif security:
        chosen = [groups.ensure_default(ctx.db, owner)]
    id_ = ports.make(
        ctx.db, home, project_id=owner, asked=asked, mac=mac, groups=chosen, security=security,
        dhcp_options=_options(body.extra_dhcp_opts or [], []), **columns,
    )  # fmt: skip
    if body.allowed_address_pairs:
        row = one(ctx.db, port, id_)
        ports.change(ctx.db, row, pairs=_pairs(body.allowed_address_pairs, row["mac"]))
    changed(ctx)
    return id_


def _shared(ctx: Context, network_id: str) -> bool:
    shared = networks.shared_with(ctx.caller.project_id, sharing.SHARED)
    return ctx.db.scalar(select(network.c.id).where(network.c.id == network_id, shared)) is not None


def update(ctx: Context, row: Mapping[Any, Any], body: PortChange) -> None:
    """Change a port. Raises as `create`; Conflict for the address of a bound port's MAC, too."""
    db = ctx.db
    columns = _simple(ctx, body, row["device_owner"])
    if body.qos_policy_id is not UNSET:
        columns["qos_id"] = qos.chosen(ctx, body.qos_policy_id, row["qos_id"])
    if row["device_owner"] in _RESERVED and (columns.keys() & {"device_id", "device_owner"}):
        same = all(columns.get(name, row[name]) == row[name] for name in ("device_id", "device_owner"))
        if not same:
            ports.held_by_router(row, action="changed")
    home = one(db, network, row["network_id"])
    if not ctx.caller.admin and home["project_id"] != ctx.caller.project_id and (
        body.mac_address or body.allowed_address_pairs or body.port_security_enabled is not UNSET
    ):
        text = "Policy doesn't allow update_port:mac_address, port_security_enabled or allowed_address_pairs."
        raise Forbidden(text, kind="PolicyNotAuthorized")
    if body.mac_address:
        columns["mac"] = values.mac(body.mac_address)
        if columns["mac"] != row["mac"] and row["host"]:
            raise Conflict(f"Unable to change the MAC address of port {row['id']}: it is bound to a host.", kind="PortBound")
    asked = asked_addresses(body.fixed_ips or []) if body.fixed_ips is not UNSET else None
    if asked is not None and row["device_owner"] == ports.FLOATING:
        ports.held_by_router(row, action="changed")
    if asked is not None and row["device_owner"] == ports.INTERFACE and not asked:
        raise invalid("A router's interface needs an address.")
    if body.extra_dhcp_opts is not UNSET:
        columns["dhcp_options"] = _options(body.extra_dhcp_opts or [], row["dhcp_options"])
    held = list(db.scalars(select(port_group.c.group_id).where(port_group.c.port_id == row["id"])))
    chosen: list[str] | None = None
    if body.security_groups is not UNSET:
        chosen = groups.of_ids(ctx, body.security_groups or [], row["project_id"])
    if body.allowed_address_pairs is not UNSET:
        columns["pairs"] = _pairs(body.allowed_address_pairs or [], columns.get("mac", row["mac"]))
    security = row["security"] if body.port_security_enabled is UNSET else body.port_security_enabled
    if body.port_security_enabled is not UNSET:
        columns["security"] = security
    if row["security"] and not security and held and chosen is None:
        text = "Port has security group associated. Cannot disable port security or IP address until security group is removed."
        raise Conflict(text, kind="PortSecurityPortHasSecurityGroup")
    _secured({**row, "security": security, "groups": held if chosen is None else chosen, **columns})
    ports.change(db, row, asked=asked, groups=chosen, **columns)
    changed(ctx)


def remove(ctx: Context, row: Mapping[Any, Any]) -> None:
    """Delete a port. Raises Conflict for one that a router, a floating IP, a trunk or the network holds."""
    ports.held_by_router(row)
    ties.refuse_trunked(ctx.db, row["id"])
    ports.destroy(ctx.db, [row["id"]])
    changed(ctx)

