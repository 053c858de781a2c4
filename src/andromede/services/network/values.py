"""The forms of addresses, networks, routes and names in requests. Each answers the canonical form or raises BadRequest."""

import ipaddress
import re

from andromede.services.network.errors import wrong

_MAC = re.compile(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")


def address(text: str, field: str, version: int | None = None) -> str:
    """An IP address."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError as error:
        raise wrong(field, f"'{text}' is not a valid IP address") from error
    if version is not None and found.version != version:
        raise wrong(field, f"'{text}' is not an IPv{version} address")
    if "%" in text:
        raise wrong(field, f"'{text}' is not a valid IP address")
    return str(found)


def cidr(text: str, field: str, version: int | None = None, *, strict: bool = True) -> str:
    """A network. strict: no bits of a host may be set; otherwise they are dropped."""
    try:
        found = ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise wrong(field, f"'{text}' is not a valid IP subnet") from error
    if version is not None and found.version != version:
        raise wrong(field, f"'{text}' is not an IPv{version} subnet")
    if strict and "/" in text and str(ipaddress.ip_interface(text).ip) != str(found.network_address):
        raise wrong(field, f"'{text}' isn't a recognized IP subnet cidr, '{found}' is recommended")
    return str(found)


def mac(text: str, field: str = "mac_address") -> str:
    """A MAC address of one host, in lower case with colons."""
    if not _MAC.fullmatch(text):
        raise wrong(field, f"'{text}' is not a valid MAC address")
    plain = text.lower().replace("-", ":")
    if int(plain[:2], 16) & 1 or plain == "00:00:00:00:00:00":
        raise wrong(field, f"'{text}' is not the MAC address of one host")
    return plain


def route(destination: str, hop: str, field: str) -> list[str]:
    """A route as [destination, next hop], both of one IP version."""
    network = cidr(destination, field)
    return [network, address(hop, field, ipaddress.ip_network(network).version)]


def domain(text: str, field: str) -> str:
    """A DNS domain, or nothing."""
    if text and (len(text) > 253 or not all(_LABEL.fullmatch(label) for label in text.removesuffix(".").split("."))):
        raise wrong(field, f"'{text}' is not a valid domain name")
    return text


def label(text: str, field: str) -> str:
    """A DNS name, or nothing."""
    return domain(text, field).lower()
