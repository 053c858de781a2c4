"""Networks, subnets and ports as rows of the northbound database. Pure functions.

Sources: ovn-nb(5); the rows are those of Neutron's ML2/OVN where it has a counterpart.
"""

import ipaddress
import json
import re
from typing import Any

import msgspec

from andromede.drivers.network import Network, Port, Qos, Subnet, link_local
from andromede.drivers.network.ovn.rows import DHCP, DNS, NETWORK, QOS, SPEC, SWITCH, SWITCH_PORT, Key, Wanted, derived_mac

METADATA4, METADATA6 = "169.254.169.254", "fe80::a9fe:a9fe"
LEASE_SECONDS = 43200
_QOS_PRIORITY = 2002

_OPTION_NAMES = {
    "bootfile-name": "bootfile_name", "tftp-server": "tftp_server", "tftp-server-address": "tftp_server_address",
    "server-ip-address": "tftp_server_address", "next-server": "next_server", "ntp-server": "ntp_server",
    "dns-server": "dns_server", "domain-name": "domain_name", "domain-search": "domain_search_list", "lease-time": "lease_time",
    "log-server": "log_server", "lpr-server": "lpr_server", "nis-server": "nis_server", "router-discovery": "router_discovery",
    "router-solicitation": "router_solicitation", "arp-timeout": "arp_cache_timeout", "ip-forward-enable": "ip_forward_enable",
    "policy-filter": "policy_filter", "path-prefix": "path_prefix", "wpad": "wpad", "mtu": "mtu", "router": "router",
    "netmask": "netmask", "default-ttl": "default_ttl", "tcp-ttl": "tcp_ttl", "tcp-keepalive": "tcp_keepalive_interval",
    "ethernet-encap": "ethernet_encap", "swap-server": "swap_server", "broadcast-address": "broadcast_address",
    "netbios-name-server": "netbios_name_server", "netbios-node-type": "netbios_node_type",
    "classless-static-route": "classless_static_route", "ms-classless-static-route": "ms_classless_static_route",
}  # fmt: skip
"""Names of DHCP options as dnsmasq (and Neutron) write them, and OVN's; another name is not served."""
_OPTION_NUMBERS = {
    "1": "netmask", "3": "router", "6": "dns_server", "15": "domain_name", "26": "mtu", "42": "ntp_server", "51": "lease_time",
    "66": "tftp_server", "67": "bootfile_name", "119": "domain_search_list", "121": "classless_static_route",
    "150": "tftp_server_address", "249": "ms_classless_static_route", "252": "wpad",
}  # fmt: skip


_TEXTS = {"domain_name", "bootfile_name", "path_prefix", "wpad", "tftp_server", "domain_search_list"}
_PLAIN = re.compile(r"[0-9A-Fa-f.:/,{} ]{1,500}")


class SubnetFacts(msgspec.Struct, frozen=True):
    """What a port must know of a subnet: its DHCP options, empty when it has no DHCP, and whether it is IPv6."""

    six: bool
    options: dict[str, str]


def network_key(network_id: str) -> Key:
    """The switch of a network."""
    return Key("network", network_id, SWITCH)


def subnet_key(subnet_id: str) -> Key:
    """The DHCP options of a subnet, a row that exists even where DHCP is off."""
    return Key("subnet", subnet_id, DHCP)


def network(spec: Network) -> list[Wanted]:
    """A switch, its names, and its way out where it is external."""
    names = Key("network", spec.id, DNS, "dns")
    rows = [
        Wanted(
            network_key(spec.id),
            {
                "name": f"network-{spec.id}",
                "other_config": {"mcast_snoop": "false", "vlan-passthru": "false"},
                "dns_records": [names] if spec.dns else [],
            },
            {"andromede:mtu": str(spec.mtu)},
        )
    ]
    if spec.dns:
        rows.append(Wanted(names, {"records": {name.lower(): " ".join(addresses) for name, addresses in spec.dns.items()}}))
    if spec.external:
        columns = {
            "name": f"provnet-{spec.id}",
            "type": "localnet",
            "addresses": ["unknown"],
            "options": {"network_name": spec.physical, "mcast_flood": "false", "mcast_flood_reports": "true"},
        }
        rows.append(Wanted(Key("network", spec.id, SWITCH_PORT, "localnet"), columns, {NETWORK: spec.id}))
    return rows


def subnet(spec: Subnet) -> list[Wanted]:
    """The DHCP options of a subnet."""
    six = ipaddress.ip_network(spec.cidr, strict=False).version == 6
    options = (_options6(spec) if six else _options4(spec)) if spec.dhcp else {}
    return [Wanted(subnet_key(spec.id), {"cidr": spec.cidr, "options": options}, {NETWORK: spec.network_id})]


def _options4(spec: Subnet) -> dict[str, str]:
    hosts = ipaddress.ip_network(spec.cidr, strict=False)
    server = spec.gateway or spec.metadata or str(hosts[1] if hosts.num_addresses > 2 else hosts[0])
    options = {"server_id": server, "server_mac": derived_mac(spec.id), "lease_time": str(LEASE_SECONDS), "mtu": str(spec.mtu)}
    if spec.gateway:
        options["router"] = spec.gateway
    if spec.dns:
        options["dns_server"] = _braces(spec.dns)
    routes = [(METADATA4 + "/32", spec.metadata)] if spec.metadata else []
    routes += [(str(ipaddress.ip_network(destination, strict=False)), _address(hop)) for destination, hop in spec.routes]
    if routes and spec.gateway and all(destination != "0.0.0.0/0" for destination, _ in routes):
        # a client that gets this option ignores the router option (RFC 3442)
        routes.append(("0.0.0.0/0", spec.gateway))
    if routes:
        text = "{" + ", ".join(f"{destination},{hop}" for destination, hop in routes) + "}"
        options |= {"classless_static_route": text, "ms_classless_static_route": text}
    return options


def _options6(spec: Subnet) -> dict[str, str]:
    if spec.address_mode not in {"dhcpv6-stateful", "dhcpv6-stateless"}:
        return {}
    options = {"server_id": derived_mac(spec.id)}
    if spec.dns:
        options["dns_server"] = _braces(spec.dns)
    if spec.address_mode == "dhcpv6-stateless":
        options["dhcpv6_stateless"] = "true"
    return options


def _braces(values: tuple[str, ...]) -> str:
    checked = [_address(value) for value in values]
    return checked[0] if len(checked) == 1 else "{" + ", ".join(checked) + "}"


def _address(text: str) -> str:
    return str(ipaddress.ip_address(text))


def port(spec: Port, subnets: dict[str, SubnetFacts]) -> list[Wanted]:
    """The switch's port. `subnets`: what is known of those it has addresses in."""
    own = " ".join((spec.mac, *(fixed.address for fixed in spec.fixed)))
    held, macs = _held(spec)
    columns: dict[str, Any] = {
        "name": spec.id,
        "type": "localport" if spec.metadata else "",
        "enabled": [spec.enabled],
        "addresses": [own, *macs] if spec.security or spec.metadata else [own, "unknown"],
        "port_security": held if spec.security and not spec.metadata else [],
        "options": _port_options(spec),
        "dhcpv4_options": [],
        "dhcpv6_options": [],
        "parent_name": [spec.parent] if spec.parent else [],
        "tag_request": [spec.segment] if spec.segment else [],
    }
    rows = qos("port", spec.id, spec.network_id, spec.id, spec.qos)
    served: set[bool] = set()
    for fixed in () if spec.metadata else spec.fixed:
        facts = subnets.get(fixed.subnet_id)
        if facts is None or not facts.options or facts.six in served:
            continue
        served.add(facts.six)
        key = subnet_key(fixed.subnet_id)
        extra = {} if facts.six else own_options(spec)
        if extra:
            key = Key("port", spec.id, DHCP, "dhcp")
            cidr = {"cidr": fixed.address + "/32", "options": {**facts.options, **extra}}
            rows.append(Wanted(key, cidr, {"andromede:subnet": fixed.subnet_id}))
        columns["dhcpv6_options" if facts.six else "dhcpv4_options"] = [key]
    text = msgspec.json.encode(spec).decode()
    return [*rows, Wanted(Key("port", spec.id, SWITCH_PORT), columns, {NETWORK: spec.network_id, SPEC: text})]


def qos(kind: str, owner: str, network_id: str, port_name: str, held: Qos | None, part: str = "", address: str = "") -> list[Wanted]:
    """The limits and the mark of what a switch's port sends and gets, or of one IPv4 address behind it alone."""
    rows = []
    for limit in held.limits if held else ():
        columns = {"action": {}, "bandwidth": {"rate": limit.kbps} | ({"burst": limit.burst} if limit.burst else {})}
        rows.append((f"{part}{limit.direction}", limit.direction == "egress", columns))
    if held and held.dscp is not None:
        rows.append((f"{part}dscp", True, {"action": {"dscp": held.dscp}, "bandwidth": {}}))
    whose = {out: f" && ip4.{'src' if out else 'dst'} == {address}" if address else "" for out in (True, False)}
    return [
        Wanted(
            Key(kind, owner, QOS, name),
            {
                "priority": _QOS_PRIORITY, "direction": "from-lport" if out else "to-lport", **columns,
                "match": f'{"inport" if out else "outport"} == "{port_name}"{whose[out]}',
            },
            {NETWORK: network_id},
        )
        for name, out, columns in rows
    ]  # fmt: skip


def _held(spec: Port) -> tuple[list[str], list[str]]:
    """What the port may send as (`mac address…` each), and the macs it answers to besides its own."""
    own = [spec.mac, *(fixed.address for fixed in spec.fixed), *(cidr for mac, cidr in spec.pairs if mac == spec.mac)]
    if len(own) > 1:
        # OVN lets a port speak as its link-local address only where it has another IPv6 one, and metadata is served on the link
        own.append(link_local(spec.mac))
    others: dict[str, list[str]] = {}
    for mac, cidr in spec.pairs:
        if mac != spec.mac:
            others.setdefault(mac, []).append(cidr)
    return [" ".join(own), *(" ".join((mac, *cidrs)) for mac, cidrs in others.items())], list(others)


def _port_options(spec: Port) -> dict[str, str]:
    options = {}
    if spec.host and not spec.metadata:
        options["requested-chassis"] = spec.host
        if spec.next:
            options |= {"requested-chassis": f"{spec.host},{spec.next}", "activation-strategy": "rarp"}
    if spec.hostname and not spec.metadata:
        options["hostname"] = json.dumps(spec.hostname)
    return options


def own_options(spec: Port) -> dict[str, str]:
    """The DHCP options of one port, by OVN's names; those OVN cannot serve, and values of the wrong form, are left out."""
    found = {}
    for name, value in spec.dhcp_options:
        known = _OPTION_NAMES.get(name) or _OPTION_NUMBERS.get(name) or (name if name in _OPTION_NAMES.values() else None)
        if known in _TEXTS:
            # values become part of an expression of OVN's, where text is written as in JSON
            found[known] = json.dumps(value.strip('"'))
        elif known and _PLAIN.fullmatch(value):
            found[known] = value
    return found
