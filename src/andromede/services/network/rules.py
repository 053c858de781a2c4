"""Rules of security groups: what one may say. Source: Networking API v2.0, security group rules; IANA's protocol numbers."""

import ipaddress
from collections.abc import Mapping
from typing import Any

from msgspec import UNSET

from andromede.core.errors import BadRequest
from andromede.services.network.errors import wrong
from andromede.services.network.wire_l3 import RuleFacts

PROTOCOLS = {
    "ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "hopopt": 0, "icmp": 1, "icmpv6": 58, "igmp": 2, "ip": 0, "ipip": 4,
    "ipv6-encap": 41, "ipv6-frag": 44, "ipv6-icmp": 58, "ipv6-nonxt": 59, "ipv6-opts": 60, "ipv6-route": 43, "ospf": 89, "pgm": 113,
    "rsvp": 46, "sctp": 132, "tcp": 6, "udp": 17, "udplite": 136, "vrrp": 112,
}  # fmt: skip
_WITH_PORTS = {6, 17, 33, 132, 136}
_ICMP = {1, 58}
_SIX_ONLY = {41, 43, 44, 58, 59, 60}


def number_of(protocol: str) -> int:
    """The number of a protocol by its name or its number as text."""
    return PROTOCOLS[protocol] if protocol in PROTOCOLS else int(protocol)


def columns(body: RuleFacts) -> dict[str, Any]:
    """A rule's columns from a request. Raises BadRequest for what is none, or contradicts itself."""
    direction, ethertype = body.direction.lower(), _ethertype(body)
    if direction not in ("ingress", "egress"):
        raise wrong("direction", f"'{body.direction}' is not in ['ingress', 'egress']")
    protocol = _protocol(body)
    if protocol is not None and number_of(protocol) in _SIX_ONLY and ethertype == "IPv4":
        raise BadRequest(
            f"Invalid ethertype {ethertype} for protocol {protocol}.", kind="SecurityGroupEthertypeConflictWithProtocol"
        )
    low = body.port_range_min if body.port_range_min is not UNSET else None
    high = body.port_range_max if body.port_range_max is not UNSET else None
    _check_ports(protocol, low, high)
    if sum(bool(each) for each in (body.remote_ip_prefix, body.remote_group_id, body.remote_address_group_id)) > 1:
        raise BadRequest(
            "Only one of remote_ip_prefix, remote_group_id and remote_address_group_id may be provided.",
            kind="SecurityGroupRemoteGroupAndRemoteIpPrefix",
        )
    return {
        "direction": direction, "ethertype": ethertype, "protocol": protocol, "port_min": low, "port_max": high,
        "remote_cidr": _prefix(body.remote_ip_prefix, ethertype) if body.remote_ip_prefix else None,
        "remote_group_id": body.remote_group_id or None, "remote_addresses_id": body.remote_address_group_id or None,
        "description": body.description or "",
    }  # fmt: skip


def _ethertype(body: RuleFacts) -> str:
    given = "IPv4" if body.ethertype is UNSET or body.ethertype is None else body.ethertype
    found = {"ipv4": "IPv4", "ipv6": "IPv6"}.get(given.lower())
    if found is None:
        raise BadRequest(
            f"Security group rule for ethertype '{given}' not supported. Allowed values are ['IPv4', 'IPv6'].",
            kind="SecurityGroupRuleInvalidEtherType",
        )
    return found


def _protocol(body: RuleFacts) -> str | None:
    if body.protocol is UNSET or body.protocol is None or body.protocol == "":
        return None
    text = str(body.protocol).lower()
    if text == "any":
        return None
    if text not in PROTOCOLS and not (text.isdecimal() and int(text) < 256):
        raise BadRequest(
            f"Security group rule protocol {body.protocol} not supported. Only protocol values {sorted(PROTOCOLS)} and integer "
            "representations [0 to 255] are supported.",
            kind="SecurityGroupRuleInvalidProtocol",
        )
    return text


def _check_ports(protocol: str | None, low: int | None, high: int | None) -> None:
    if low is None and high is None:
        return
    if protocol is None:
        raise BadRequest("Must also specify protocol if port range is given.", kind="SecurityGroupProtocolRequiredWithPorts")
    number = number_of(protocol)
    if number in _ICMP:
        for name, field, value in (("type", "port-range-min", low), ("code", "port-range-max", high)):
            if value is not None and not 0 <= value <= 255:
                raise BadRequest(f"Invalid value for ICMP {name} ({field}) {value}. It must be 0 to 255.", kind="SecurityGroupInvalidIcmpValue")
        if low is None:
            raise BadRequest(
                f"ICMP code (port-range-max) {high} is provided but ICMP type (port-range-min) is missing.",
                kind="SecurityGroupMissingIcmpType",
            )
    elif number in _WITH_PORTS:
        for value in (low, high):
            if value is not None and not 1 <= value <= 65535:
                raise BadRequest(f"Invalid value for port {value}", kind="SecurityGroupInvalidPortValue")
        if low is None or high is None or low > high:
            raise BadRequest("For TCP/UDP protocols, port_range_min must be <= port_range_max", kind="SecurityGroupInvalidPortRange")
    else:
        raise BadRequest(
            f"Protocol {protocol} does not have ports: port_range_min and port_range_max cannot be given.",
            kind="SecurityGroupInvalidProtocolForPort",
        )


def _prefix(text: str, ethertype: str) -> str:
    """The prefix in the usual form, with the bits beyond its length that were given."""
    try:
        found = ipaddress.ip_interface(text)
    except ValueError as error:
        raise BadRequest(f"'{text}' is not a valid IP subnet for remote_ip_prefix.", kind="InvalidCIDR") from error
    if found.version != (4 if ethertype == "IPv4" else 6):
        raise BadRequest(f"Conflicting value ethertype {ethertype} for CIDR {text}", kind="SecurityGroupRuleParameterConflict")
    return found.with_prefixlen


def normalized(cidr: str | None) -> str | None:
    """The range that a prefix stands for."""
    return str(ipaddress.ip_network(cidr, strict=False)) if cidr else None


def view(row: Mapping[Any, Any]) -> dict[str, Any]:
    """What a rule says, for answers."""
    return {
        "direction": row["direction"], "ethertype": row["ethertype"], "protocol": row["protocol"], "port_range_min": row["port_min"],
        "port_range_max": row["port_max"], "remote_ip_prefix": row["remote_cidr"], "remote_group_id": row["remote_group_id"],
        "remote_address_group_id": row["remote_addresses_id"],
    }  # fmt: skip
