"""Fetching what a tenant names by URL, without letting it reach the inside of the cloud.

A name is resolved once and the connection goes to the address that was checked, so a name cannot change its mind in
between; a redirect is checked like the first URL.
"""

import http.client
import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterator
from urllib.parse import SplitResult, urljoin, urlsplit

import msgspec

from andromede.core.clock import monotonic
from andromede.core.errors import BadRequest, CloudError, TooLarge
from andromede.core.units import KIB, MIB

_REDIRECTS = (301, 302, 303, 307, 308)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """ports: those that may be fetched from. hosts: those that may be inside. size: most bytes. seconds: for all of it.

    silence: seconds without a byte. slowest: bytes a second on average, once a minute has passed.
    """

    ports: tuple[int, ...]
    hosts: tuple[str, ...]
    size: int
    seconds: float
    redirects: int = 3
    silence: float = 20.0
    slowest: int = 16 * KIB


def check(uri: str, rules: Rules) -> SplitResult:
    """The parts of a URL that may be fetched as far as its text tells. Raises BadRequest."""
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError as error:
        raise BadRequest("URI for web-download does not pass filtering: it is not a URL.") from error
    shown = f"{parts.scheme}://{host or ''}"
    if parts.scheme not in ("http", "https") or not host:
        raise BadRequest(f"URI for web-download does not pass filtering: {shown} is neither http nor https.")
    if port not in rules.ports:
        raise BadRequest(f"URI for web-download does not pass filtering: port {port} of {shown} is not allowed.")
    if parts.username is not None or not uri.isascii() or any(ord(one) <= 32 for one in uri):
        raise BadRequest("URI for web-download does not pass filtering: it holds a user name, blanks or characters that need quoting.")
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        return parts
    if host not in rules.hosts and not outside(literal):
        raise BadRequest(f"URI for web-download does not pass filtering: {host} is not a public address.")
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


def fetch(uri: str, rules: Rules, alive: Callable[[], None]) -> Iterator[bytes]:
    """The bytes behind a URL, in chunks. alive: called at least as often as the other side speaks.

    Raises BadRequest for what is not allowed or not there, TooLarge for too many bytes.
    """
    deadline = monotonic() + rules.seconds
    for _ in range(rules.redirects + 1):
        parts = check(uri, rules)
        connection, response = _get(parts, rules, uri)
        try:
            if response.status not in _REDIRECTS:
                yield from _body(response, rules, deadline, alive)
                return
            uri = urljoin(uri, response.getheader("Location") or "")
        except (OSError, http.client.HTTPException) as error:
            raise CloudError(f"The download from {parts.hostname} broke off.", status=400) from error
        finally:
            connection.close()
    raise BadRequest("The download was redirected too often.")


def _get(parts: SplitResult, rules: Rules, uri: str) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    address = _resolve(host, port, rules)
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = kind(host, port, timeout=rules.silence)
    try:
        plain = socket.create_connection((address, port), timeout=rules.silence)
        connection.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=host) if secure else plain
        target = uri.partition("://")[2].partition("/")[2].partition("#")[0]
        connection.request("GET", "/" + target, headers={"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "andromede"})
        return connection, connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        raise BadRequest(f"Nothing could be downloaded from {host}:{port}.") from error


def _resolve(host: str, port: int, rules: Rules) -> str:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise BadRequest(f"The name {host} could not be resolved.") from error
    addresses = [str(entry[4][0]).partition("%")[0] for entry in found]
    if host not in rules.hosts and not all(outside(ipaddress.ip_address(address)) for address in addresses):
        raise BadRequest(f"URI for web-download does not pass filtering: {host} is not a public address.")
    return addresses[0]


def _body(response: http.client.HTTPResponse, rules: Rules, deadline: float, alive: Callable[[], None]) -> Iterator[bytes]:
    if response.status != 200:
        raise BadRequest(f"The download was answered with status {response.status}.")
    if (response.getheader("Content-Encoding") or "identity").lower() != "identity":
        raise BadRequest("The download was answered with compressed content.")
    length = response.getheader("Content-Length")
    expected = int(length) if length is not None and length.isdecimal() else None
    too_large = TooLarge(f"The download is larger than the {rules.size} bytes allowed.")
    if expected is not None and expected > rules.size:
        raise too_large
    total, began = 0, monotonic()
    while data := response.read1(MIB):
        total += len(data)
        if total > rules.size:
            raise too_large
        if monotonic() > deadline:
            raise BadRequest(f"The download did not end within {rules.seconds:.0f} seconds.")
        if (passed := monotonic() - began) > 60 and total < passed * rules.slowest:
            raise BadRequest(f"The download came at less than {rules.slowest} bytes a second.")
        alive()
        yield data
    if expected is not None and total != expected:
        raise BadRequest("The download broke off before its end.")
