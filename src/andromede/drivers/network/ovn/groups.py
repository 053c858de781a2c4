"""Security groups as port groups and ACLs of the northbound database. Pure functions.

A port with security is in the group of all such ports, which drops IP traffic, and in those of its groups, whose rules
let some through. OVN itself always lets ARP and neighbour discovery pass, and keeps an address set of each port group's members.
"""

import ipaddress

from andromede.drivers.network import Addresses, Group, Rule
from andromede.drivers.network.ovn.rows import ACL, ADDRESS_SET, GROUP, MAIN, Key, Wanted, addresses_name, group_name
from andromede.drivers.network.ovn.switches import METADATA4, METADATA6

DROP, ALLOW, GUARD = 1001, 1002, 1003
EVERYONE = Key("system", "secured", GROUP)
_EVERYONE_NAME = "pg_andromede_secured"

_NUMBERS = {
    "ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "igmp": 2, "ipip": 4, "ipv6-encap": 41, "ipv6-frag": 44, "ipv6-nonxt": 59,
    "ipv6-opts": 60, "ipv6-route": 43, "ospf": 89, "pgm": 113, "rsvp": 46, "udplite": 136, "vrrp": 112, "hopopt": 0,
}  # fmt: skip
_NAMES = {"1": "icmp", "6": "tcp", "17": "udp", "58": "ipv6-icmp", "132": "sctp", "icmpv6": "ipv6-icmp"}
_WITH_PORTS = {"tcp", "udp", "sctp"}


def group_key(group_id: str) -> Key:
    """The port group of a security group."""
    return Key("group", group_id, GROUP)


def everyone() -> list[Wanted]:
    """The group of all ports with security: nothing passes that no rule lets through.

    A guest may ask for an address and may not lease addresses, whatever its rules. That it announces itself as an IPv6 router
    cannot be forbidden: OVN 23.03 lets all neighbour discovery through every stage of ACLs before any rule.
    """
    who = f"@{_EVERYONE_NAME}"
    acls = {
        "drop-in": ("to-lport", DROP, "drop", f"outport == {who} && ip"),
        "drop-out": ("from-lport", DROP, "drop", f"inport == {who} && ip"),
        "dhcp4": ("from-lport", ALLOW, "allow", f"inport == {who} && ip4 && udp.src == 68 && udp.dst == 67"),
        "dhcp6": ("from-lport", ALLOW, "allow", f"inport == {who} && ip6 && udp.src == 546 && udp.dst == 547"),
        "no-dhcp4": ("from-lport", GUARD, "drop", f"inport == {who} && ip4 && udp.src == 67 && udp.dst == 68"),
        "no-dhcp6": ("from-lport", GUARD, "drop", f"inport == {who} && ip6 && udp.src == 547 && udp.dst == 546"),
    }
    return [
        Wanted(EVERYONE, {"name": _EVERYONE_NAME}),
        *(
            Wanted(
                Key(EVERYONE.kind, EVERYONE.id, ACL, part),
                {"direction": direction, "priority": priority, "action": action, "match": match},
            )
            for part, (direction, priority, action, match) in acls.items()
        ),
    ]


def group(spec: Group) -> list[Wanted]:
    """The port group of a security group with its rules; members are linked by their ports."""
    action = "allow-related" if spec.stateful else "allow-stateless"
    rows = [Wanted(group_key(spec.id), {"name": group_name(spec.id)})]
    matches = {rule.id: (rule.direction, match(spec.id, rule)) for rule in spec.rules}
    if not spec.stateful:
        # answers to requests that the rules let out find no connection to belong to
        who = f"outport == @{group_name(spec.id)}"
        matches["metadata4"] = ("ingress", f"{who} && ip4 && ip4.src == {METADATA4} && tcp && tcp.src == 80")
        matches["metadata6"] = ("ingress", f"{who} && ip6 && ip6.src == {METADATA6} && tcp && tcp.src == 80")
    for part, (direction, text) in matches.items():
        if text is not None:
            columns = {"direction": "to-lport" if direction == "ingress" else "from-lport", "priority": ALLOW, "action": action, "match": text}
            rows.append(Wanted(Key("group", spec.id, ACL, part), columns))
    return rows


def addresses(spec: Addresses) -> list[Wanted]:
    """The two address sets of an address group."""
    found = [ipaddress.ip_network(text, strict=False) for text in spec.addresses]
    return [
        Wanted(
            Key("addresses", spec.id, ADDRESS_SET, part),
            {"name": f"{addresses_name(spec.id)}_ip{version}", "addresses": [str(one) for one in found if one.version == version]},
        )
        for part, version in ((MAIN, 4), ("six", 6))
    ]


def match(group_id: str, rule: Rule) -> str | None:
    """The expression (ovn-sb(5), Logical_Flow) for a rule; None where OVN cannot tell its traffic apart, so that it lets nothing in."""
    ingress, four = rule.direction == "ingress", rule.ethertype == "IPv4"
    family = "ip4" if four else "ip6"
    parts = [f"{'outport' if ingress else 'inport'} == @{group_name(group_id)}", family]
    side = f"{family}.{'src' if ingress else 'dst'}"
    if rule.remote_group:
        parts.append(f"{side} == ${group_name(rule.remote_group)}_{family}")
    if rule.remote_addresses:
        parts.append(f"{side} == ${addresses_name(rule.remote_addresses)}_{family}")
    if rule.remote_cidr:
        remote = ipaddress.ip_network(rule.remote_cidr, strict=False)
        if remote.version != (4 if four else 6):
            return None
        if remote.prefixlen:
            parts.append(f"{side} == {remote}")
    protocol = None if rule.protocol in {None, "", "any"} else str(rule.protocol).lower()
    if protocol:
        wanted = _protocol(protocol, rule, four=four)
        if wanted is None:
            return None
        parts += wanted
    return " && ".join(parts)


def _protocol(protocol: str, rule: Rule, *, four: bool) -> list[str] | None:
    name = _NAMES.get(protocol, protocol)
    if name in {"icmp", "ipv6-icmp"}:
        # Neutron takes `icmp` in an IPv6 rule for ICMPv6
        if name == "ipv6-icmp" and four:
            return None
        word = "icmp4" if four else "icmp6"
        kinds = [f"{word}.type == {rule.port_min}"] if rule.port_min is not None else []
        codes = [f"{word}.code == {rule.port_max}"] if rule.port_max is not None and kinds else []
        return [word, *kinds, *codes]
    if name in _WITH_PORTS:
        return [name, *_ports(name, rule)]
    number = _NUMBERS.get(name, int(name) if name.isdecimal() and int(name) < 256 else None)
    if number is None or rule.port_min is not None or rule.port_max is not None:
        return None
    return [f"ip.proto == {number}"]


def _ports(name: str, rule: Rule) -> list[str]:
    low, high = rule.port_min, rule.port_max
    if low is not None and low == high:
        return [f"{name}.dst == {low}"]
    least = [f"{name}.dst >= {low}"] if low is not None else []
    most = [f"{name}.dst <= {high}"] if high is not None else []
    return least + most
