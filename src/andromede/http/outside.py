"""Reaching what a tenant names by URL, without letting it reach the inside of the cloud.

A name is resolved once and the connection goes to the address that was checked, so a name cannot change its mind in between.
"""

import http.client
import ipaddress
import socket
import ssl
from urllib.parse import SplitResult, urlsplit

import msgspec

from andromede.core.errors import BadRequest

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_PORTS = {"http": 80, "https": 443}


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """ports: those that may be reached, any where it is None. hosts: those that may be inside. what: how refusals begin. silence: seconds
    without a byte."""

    ports: tuple[int, ...] | None
    hosts: tuple[str, ...]
    what: str
    silence: float = 20.0


def checked(uri: str, limits: Limits) -> SplitResult:
    """The parts of a URL that may be reached as far as its text tells. Raises BadRequest."""
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError as error:
        raise BadRequest(f"{limits.what}: it is not a URL.") from error
    shown = f"{parts.scheme}://{host or ''}"
    if parts.scheme not in _PORTS or not host:
        raise BadRequest(f"{limits.what}: {shown} is neither http nor https.")
    if limits.ports is not None and port not in limits.ports:
        raise BadRequest(f"{limits.what}: port {port} of {shown} is not allowed.")
    if parts.username is not None or not uri.isascii() or any(ord(one) <= 32 for one in uri):
        raise BadRequest(f"{limits.what}: it holds a user name, blanks or characters that need quoting.")
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        return parts
    if host not in limits.hosts and not outside(literal):
        raise _inside(host, limits)
    return parts


def outside(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address is on the public internet, also the one that it carries inside."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return outside(inner)
        if address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def connection(parts: SplitResult, limits: Limits) -> http.client.HTTPConnection:
    """A connection to a URL's host, at an address that may be reached. Raises BadRequest where none may, OSError where none answers."""
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or _PORTS[parts.scheme]
    address = _resolve(host, port, limits)
    made = (http.client.HTTPSConnection if secure else http.client.HTTPConnection)(host, port, timeout=limits.silence)
    plain = socket.create_connection((address, port), timeout=limits.silence)
    try:
        made.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=host) if secure else plain
    except OSError:
        plain.close()
        raise
    return made


def target(uri: str) -> str:
    """What a request for a URL names: path and query."""
    return "/" + uri.partition("://")[2].partition("/")[2].partition("#")[0]


def _resolve(host: str, port: int, limits: Limits) -> str:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise BadRequest(f"The name {host} could not be resolved.") from error
    addresses = [str(entry[4][0]).partition("%")[0] for entry in found]
    if host not in limits.hosts and not all(outside(ipaddress.ip_address(address)) for address in addresses):
        raise _inside(host, limits)
    return addresses[0]


def _inside(host: str, limits: Limits) -> BadRequest:
    return BadRequest(f"{limits.what}: {host} is not a public address.")
