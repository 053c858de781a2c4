"""Routers with their interfaces, gateway, routes and NAT as rows of the northbound database. Pure functions."""

import hashlib
import ipaddress
from collections.abc import Sequence
from typing import Any

from andromede.drivers.network import Leg, Nat, Qos, Router
from andromede.drivers.network.ovn import switches
from andromede.drivers.network.ovn.rows import (
    BALANCER,
    GATEWAY,
    NAT,
    NETWORK,
    POLICY,
    ROUTE,
    ROUTER,
    ROUTER_PORT,
    SWITCH_PORT,
    Key,
    Wanted,
    router_port_name,
)

_APART = 1000
_RA_MODES = {"slaac": "slaac", "dhcpv6-stateful": "dhcpv6_stateful", "dhcpv6-stateless": "dhcpv6_stateless"}
MOST_CHASSIS = 5
"""On how many hosts a gateway may be, in order of preference; the others only make more work for each failover."""


def router(spec: Router, chassis: Sequence[str], *, distributed: bool) -> list[Wanted]:
    """A router. chassis: the hosts that may carry its gateway. distributed: whether floating IPs leave from the guest's host."""
    columns: dict[str, Any] = {
        "name": f"router-{spec.id}",
        "enabled": [spec.enabled],
        "options": {"always_learn_from_arp_request": "false", "dynamic_neigh_routers": "true"},
        "load_balancer": [Key("router", spec.id, BALANCER, each.id) for each in spec.forwards] if spec.gateway else [],
    }
    rows = [Wanted(Key("router", spec.id, ROUTER), columns)]
    for leg in spec.legs:
        rows += _leg(spec, leg)
    if spec.gateway is not None:
        rows += _gateway(spec, spec.gateway, chassis, distributed=distributed)
    rows += [_route(spec, destination, hop, f"route/{destination}/{hop}") for destination, hop in spec.routes]
    for number, (one, other) in enumerate(spec.apart):
        family = f"ip{_version(one)}"
        for part, source, target in (("to", one, other), ("fro", other, one)):
            rule = {"priority": _APART, "match": f"{family}.src == {source} && {family}.dst == {target}", "action": "drop"}
            rows.append(Wanted(Key("router", spec.id, POLICY, f"{number}/{part}"), rule))
    return rows


def _leg(spec: Router, leg: Leg, *, gateway: bool = False) -> list[Wanted]:
    name = router_port_name(leg.port_id)
    six = any(_version(address) == 6 for address in leg.addresses)
    advertise = {}
    if six and leg.ra_mode in _RA_MODES:
        advertise = {"address_mode": _RA_MODES[leg.ra_mode], "send_periodic": "true", "mtu": str(leg.mtu)}
    inside: dict[str, Any] = {"mac": leg.mac, "name": name, "networks": list(leg.addresses), "ipv6_ra_configs": advertise, "options": {}}
    outside = {"router-port": name}
    if gateway:
        # announces the addresses of NAT when the gateway comes up on a host
        outside |= {"nat-addresses": "router", "exclude-lb-vips-from-garp": "false" if spec.forwards else "true"}
        if any(other.mtu > leg.mtu for other in spec.legs):
            inside["options"] = {"gateway_mtu": str(leg.mtu)}
    switch = {"name": leg.port_id, "type": "router", "addresses": ["router"], "options": outside, "enabled": [True]}
    return [
        Wanted(Key("router", spec.id, ROUTER_PORT, leg.port_id), inside),
        Wanted(Key("router", spec.id, SWITCH_PORT, leg.port_id), switch, {NETWORK: leg.network_id}),
    ]


def _gateway(spec: Router, leg: Leg, chassis: Sequence[str], *, distributed: bool) -> list[Wanted]:
    name = router_port_name(leg.port_id)
    rows = _leg(spec, leg, gateway=True)
    # each router prefers another host, the same at every time
    order = sorted(chassis, key=lambda host: hashlib.sha256(f"{spec.id}{host}".encode()).digest())[:MOST_CHASSIS]
    rows += [
        Wanted(
            Key("router", spec.id, GATEWAY, f"{leg.port_id}@{host}"),
            {"name": f"{name}_{host}", "chassis_name": host, "priority": len(order) - place},
        )
        for place, host in enumerate(order)
    ]
    for hop in spec.next_hops:
        anywhere = "0.0.0.0/0" if _version(hop) == 4 else "::/0"
        rows.append(_route(spec, anywhere, hop, f"default/{hop}", output=name))
    for cidr in spec.snat:
        own = [address for address in leg.addresses if _version(address) == _version(cidr)]
        if own:
            address = own[0].partition("/")[0]
            columns = {"type": "snat", "logical_ip": cidr, "external_ip": address, "external_mac": [], "logical_port": []}
            rows.append(Wanted(Key("router", spec.id, NAT, f"snat/{cidr}"), columns))
    for nat in spec.floating:
        rows += [_floating(spec, nat, distributed=distributed), *_qos(spec, leg, nat.external, nat.qos)]
    for address, held in spec.limits:
        rows += _qos(spec, leg, address, held)
    for forward in spec.forwards:
        vips = {f"{forward.external}:{outer}": f"{forward.internal}:{inner}" for outer, inner in forward.ports}
        balancer = {"name": f"forward-{forward.id}", "vips": vips, "protocol": [forward.protocol]}
        rows.append(Wanted(Key("router", spec.id, BALANCER, forward.id), balancer))
    return rows


def _qos(spec: Router, leg: Leg, address: str, held: Qos | None) -> list[Wanted]:
    return switches.qos("router", spec.id, leg.network_id, leg.port_id, held, f"{address}/", address)


def _floating(spec: Router, nat: Nat, *, distributed: bool) -> Wanted:
    columns = {
        "type": "dnat_and_snat",
        "external_ip": nat.external,
        "logical_ip": nat.internal,
        "external_mac": [nat.mac] if distributed else [],
        "logical_port": [nat.port_id] if distributed else [],
    }
    return Wanted(Key("router", spec.id, NAT, f"floating/{nat.id}"), columns)


def _route(spec: Router, destination: str, hop: str, part: str, output: str | None = None) -> Wanted:
    columns = {"ip_prefix": destination, "nexthop": hop, "output_port": [output] if output else []}
    return Wanted(Key("router", spec.id, ROUTE, part), columns)


def _version(text: str) -> int:
    return ipaddress.ip_interface(text).version
