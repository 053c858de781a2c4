"""From rows to the specs of the fabric: each kind is read with what it depends on, in a few queries for any number of rows."""

import ipaddress
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, select

from andromede.drivers.network import Addresses, Fixed, Forward, Group, Leg, Nat, Network, Port, Qos, Router, Rule, Spec, Subnet
from andromede.services.network import ports, qos, ties
from andromede.services.network.rows import gather, grouped
from andromede.services.network.tables import (
    FABRIC,
    binding,
    fixed,
    floating,
    forward,
    network,
    port,
    port_group,
    rule,
    subnet,
    subnetpool,
)

Rows = Sequence[RowMapping]


def plugged() -> ColumnElement[bool]:
    """The ports that are ports of the fabric too; a router's interfaces and floating IPs' are part of its router."""
    return port.c.device_owner.not_in(ports.NOT_PLUGGED)


def within(kind: str) -> list[ColumnElement[bool]]:
    """Which rows of a kind the fabric has."""
    return [plugged()] if kind == "port" else []


def _ids(rows: Rows) -> list[str]:
    return [row["id"] for row in rows]


def _fixed_of(db: Connection, port_ids: Sequence[str]) -> dict[str, list[RowMapping]]:
    query = (
        select(fixed, subnet.c.cidr, subnet.c.gateway, subnet.c.ip_version, subnet.c.ra_mode)
        .join(subnet, subnet.c.id == fixed.c.subnet_id).order_by(fixed.c.place)
    )  # fmt: skip
    return grouped(gather(db, port_ids, lambda some: query.where(fixed.c.port_id.in_(some))), "port_id")


def _networks(db: Connection, rows: Rows) -> list[Spec]:
    """Names are those of ports, and the same with the network's domain."""
    query = select(port.c.network_id, port.c.dns_name, fixed.c.address).join(fixed, fixed.c.port_id == port.c.id)
    named = query.where(port.c.dns_name != "").order_by(port.c.created, port.c.id, fixed.c.place)
    held = grouped(gather(db, _ids(rows), lambda some: named.where(port.c.network_id.in_(some))), "network_id")
    out: list[Spec] = []
    for row in rows:
        names: dict[str, tuple[str, ...]] = {}
        domain = row["dns_domain"].rstrip(".")
        for each in held.get(row["id"], []):
            for name in [each["dns_name"], *([f"{each['dns_name']}.{domain}"] if domain else [])]:
                names[name] = (*names.get(name, ()), each["address"])
        flat = row["type"] == "flat"
        out.append(Network(id=row["id"], mtu=row["mtu"], external=flat, physical=row["physical"] or "", dns=names))
    return out


def _subnets(db: Connection, rows: Rows) -> list[Spec]:
    homes = [row["network_id"] for row in rows]
    mtus = {each["id"]: each["mtu"] for each in gather(db, homes, lambda some: select(network.c.id, network.c.mtu).where(network.c.id.in_(some)))}
    query = select(fixed.c.subnet_id, fixed.c.address).join(port, port.c.id == fixed.c.port_id).where(port.c.device_owner == ports.METADATA)
    serving = {each["subnet_id"]: each["address"] for each in gather(db, _ids(rows), lambda some: query.where(fixed.c.subnet_id.in_(some)))}
    return [
        Subnet(
            id=row["id"], network_id=row["network_id"], cidr=row["cidr"], gateway=row["gateway"], dhcp=row["dhcp"], dns=tuple(row["dns"]),
            routes=tuple((to, hop) for to, hop in row["routes"]), ra_mode=row["ra_mode"], address_mode=row["address_mode"],
            mtu=mtus[row["network_id"]], metadata=serving.get(row["id"]),
        )
        for row in rows
    ]  # fmt: skip


def _addresses(_db: Connection, rows: Rows) -> list[Spec]:
    return [Addresses(id=row["id"], addresses=tuple(row["addresses"])) for row in rows]


def _groups(db: Connection, rows: Rows) -> list[Spec]:
    query = select(rule).order_by(rule.c.created, rule.c.id)
    held = grouped(gather(db, _ids(rows), lambda some: query.where(rule.c.group_id.in_(some))), "group_id")
    return [
        Group(
            id=row["id"], stateful=row["stateful"],
            rules=tuple(
                Rule(
                    id=each["id"], direction=each["direction"], ethertype=each["ethertype"], protocol=each["protocol"],
                    port_min=each["port_min"], port_max=each["port_max"], remote_cidr=each["remote_cidr"],
                    remote_group=each["remote_group_id"], remote_addresses=each["remote_addresses_id"],
                )
                for each in held.get(row["id"], [])
            ),
        )
        for row in rows
    ]  # fmt: skip


def _qos_of_ports(db: Connection, rows: Rows) -> dict[str, Qos]:
    homes = {row["network_id"] for row in rows}
    policies = select(network.c.id, network.c.qos_id)
    of_networks = {each["id"]: each["qos_id"] for each in gather(db, homes, lambda some: policies.where(network.c.id.in_(some)))}
    held = {row["id"]: row["qos_id"] or of_networks.get(row["network_id"]) for row in rows if row["device_owner"] != ports.METADATA}
    known = qos.specs(db, set(held.values()))
    return {id_: known[policy] for id_, policy in held.items() if policy in known}


def _ports(db: Connection, rows: Rows) -> list[Spec]:
    ids = _ids(rows)
    held = grouped(gather(db, ids, lambda some: select(fixed).where(fixed.c.port_id.in_(some)).order_by(fixed.c.place)), "port_id")
    held_to, parents = _qos_of_ports(db, rows), ties.parents_of(db, ids)
    joined = select(port_group).order_by(port_group.c.group_id)
    groups = grouped(gather(db, ids, lambda some: joined.where(port_group.c.port_id.in_(some))), "port_id")
    ahead = {one["port_id"]: one["host"] for one in gather(db, ids, lambda some: ports.ahead().where(binding.c.port_id.in_(some)))}
    return [
        Port(
            id=row["id"], network_id=row["network_id"], mac=row["mac"],
            fixed=tuple(Fixed(each["subnet_id"], each["address"]) for each in held.get(row["id"], [])),
            pairs=tuple((mac, address) for mac, address in row["pairs"]), security=row["security"],
            groups=tuple(each["group_id"] for each in groups.get(row["id"], [])), enabled=row["admin_state_up"],
            host=row["host"] or None, next=ahead.get(row["id"]), metadata=row["device_owner"] == ports.METADATA, hostname=row["dns_name"],
            qos=held_to.get(row["id"]), parent=parents.get(row["id"], (None, None))[0], segment=parents.get(row["id"], (None, None))[1],
            dhcp_options=tuple((each["opt_name"], each["opt_value"]) for each in row["dhcp_options"] if each["ip_version"] == 4),
        )
        for row in rows
    ]  # fmt: skip


def _leg(row: Mapping[Any, Any], held: Sequence[Mapping[Any, Any]], mtu: int) -> Leg:
    return Leg(
        port_id=row["id"], network_id=row["network_id"], mac=row["mac"], mtu=mtu,
        addresses=tuple(f"{each['address']}/{ipaddress.ip_network(each['cidr']).prefixlen}" for each in held),
        ra_mode=next((each["ra_mode"] for each in held if each["ra_mode"]), None),
    )  # fmt: skip


def _nats(db: Connection, ids: Sequence[str]) -> dict[str, list[RowMapping]]:
    outer = port.alias("outer")
    query = (
        select(floating.c.id, floating.c.router_id, floating.c.address, floating.c.fixed_address, floating.c.port_id, floating.c.qos_id, outer.c.mac)
        .join(outer, outer.c.id == floating.c.outer_port_id).order_by(floating.c.address)
    )  # fmt: skip
    return grouped(gather(db, ids, lambda some: query.where(floating.c.router_id.in_(some), floating.c.port_id.is_not(None))), "router_id")


def _forwards(db: Connection, ids: Sequence[str]) -> dict[str, list[RowMapping]]:
    query = (
        select(forward, floating.c.router_id, floating.c.address.label("outside"), floating.c.qos_id)
        .join(floating, floating.c.id == forward.c.floating_id).order_by(forward.c.created, forward.c.id)
    )  # fmt: skip
    return grouped(gather(db, ids, lambda some: query.where(floating.c.router_id.in_(some))), "router_id")


def _forward(row: Mapping[Any, Any]) -> Forward:
    alone = row["inner_first"] == row["inner_last"]
    outer = range(row["outer_first"], row["outer_last"] + 1)
    return Forward(
        id=row["id"], external=row["outside"], internal=row["address"], protocol=row["protocol"],
        ports=tuple((one, row["inner_first"] + (0 if alone else one - row["outer_first"])) for one in outer),
    )  # fmt: skip


def _scopes(db: Connection, subnet_ids: Iterable[str]) -> dict[str, str]:
    """The address scope of each subnet whose pool is in one."""
    query = select(subnet.c.id, subnetpool.c.scope_id).join(subnetpool, subnetpool.c.id == subnet.c.subnetpool_id)
    rows = gather(db, subnet_ids, lambda some: query.where(subnet.c.id.in_(some), subnetpool.c.scope_id.is_not(None)))
    return {row["id"]: row["scope_id"] for row in rows}


def _translated(inside: Sequence[Mapping[Any, Any]], outside: Sequence[Mapping[Any, Any]], scopes: Mapping[str, str]) -> tuple[str, ...]:
    """The ranges that leave with the router's address: all but those of the address scope outside, which are known there."""
    known = {scopes[each["subnet_id"]] for each in outside if each["subnet_id"] in scopes and each["ip_version"] == 4}
    return tuple(each["cidr"] for each in inside if scopes.get(each["subnet_id"]) not in known)


def _apart(reached: Sequence[Mapping[Any, Any]], scopes: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Ranges of different address scopes, between which a router does not route; where there are no scopes, none."""
    if not scopes:
        return ()
    return tuple(
        (one["cidr"], other["cidr"])
        for one, other in itertools.combinations(reached, 2)
        if one["ip_version"] == other["ip_version"] and scopes.get(one["subnet_id"]) != scopes.get(other["subnet_id"])
    )


def _routers(db: Connection, rows: Rows) -> list[Spec]:
    ids = _ids(rows)
    query = select(port, network.c.mtu).join(network, network.c.id == port.c.network_id).where(port.c.device_owner.in_(ports.OF_ROUTERS))
    joined = list(gather(db, ids, lambda some: query.where(port.c.device_id.in_(some)).order_by(port.c.created, port.c.id)))
    legs, held, nats = grouped(joined, "device_id"), _fixed_of(db, _ids(joined)), _nats(db, ids)
    forwarded = _forwards(db, ids)
    known = qos.specs(db, {each["qos_id"] for found in (*nats.values(), *forwarded.values()) for each in found})
    scopes = _scopes(db, {each["subnet_id"] for found in held.values() for each in found})
    out: list[Spec] = []
    for row in rows:
        inside = [each for each in legs.get(row["id"], []) if each["device_owner"] == ports.INTERFACE and each["id"] in held]
        gate = next((each for each in legs.get(row["id"], []) if each["id"] == row["gateway_port_id"] and each["id"] in held), None)
        outside = held[gate["id"]] if gate else []
        gateway = None if gate is None else _leg(gate, held[gate["id"]], gate["mtu"])
        reached = [address for each in inside for address in held[each["id"]]]
        fours = [address for address in reached if address["ip_version"] == 4]
        out.append(
            Router(
                id=row["id"], enabled=row["admin_state_up"], legs=tuple(_leg(each, held[each["id"]], each["mtu"]) for each in inside),
                gateway=gateway, next_hops=tuple(each["gateway"] for each in held[gate["id"]] if each["gateway"]) if gate else (),
                snat=_translated(fours, outside, scopes) if gate and row["snat"] else (),
                routes=tuple((to, hop) for to, hop in row["routes"]),
                floating=tuple(
                    Nat(
                        id=each["id"], external=each["address"], internal=each["fixed_address"], port_id=each["port_id"], mac=each["mac"],
                        qos=known.get(each["qos_id"]),
                    )
                    for each in nats.get(row["id"], [])
                ),
                forwards=tuple(_forward(each) for each in forwarded.get(row["id"], [])) if gate else (),
                limits=tuple(
                    {each["outside"]: known[each["qos_id"]] for each in forwarded.get(row["id"], []) if each["qos_id"] in known}.items()
                ) if gate else (),
                apart=_apart(reached, scopes),
            )
        )  # fmt: skip
    return out


_BUILDERS: dict[str, Callable[[Connection, Rows], list[Spec]]] = {
    "network": _networks, "subnet": _subnets, "addresses": _addresses, "group": _groups, "port": _ports, "router": _routers,
}  # fmt: skip


def specs(db: Connection, kind: str, ids: Sequence[str]) -> tuple[list[Spec], dict[str, int]]:
    """The specs of rows, and the generation that each was read at; those that are gone are left out."""
    table = FABRIC[kind]
    rows = list(gather(db, ids, lambda some: select(table).where(table.c.id.in_(some), *within(kind))))
    return _BUILDERS[kind](db, rows), {row["id"]: row["generation"] for row in rows}
