"""Fetching what a tenant names by URL, without letting it reach the inside of the cloud (`http.outside`).

A redirect is checked like the first URL.
"""

import http.client
from collections.abc import Callable, Iterator
from urllib.parse import SplitResult, urljoin

import msgspec

from andromede.core.clock import monotonic
from andromede.core.errors import BadRequest, CloudError, TooLarge
from andromede.core.units import KIB, MIB
from andromede.http.outside import Limits, checked, connection, outside, target

__all__ = ["Rules", "check", "fetch", "outside"]
_REDIRECTS = (301, 302, 303, 307, 308)


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

    @property
    def limits(self) -> Limits:
        """What may be reached."""
        return Limits(ports=self.ports, hosts=self.hosts, what="URI for web-download does not pass filtering", silence=self.silence)


def check(uri: str, rules: Rules) -> SplitResult:
    """The parts of a URL that may be fetched as far as its text tells. Raises BadRequest."""
    return checked(uri, rules.limits)


def fetch(uri: str, rules: Rules, alive: Callable[[], None]) -> Iterator[bytes]:
    """The bytes behind a URL, in chunks. alive: called at least as often as the other side speaks.

    Raises BadRequest for what is not allowed or not there, TooLarge for too many bytes.
    """
    deadline = monotonic() + rules.seconds
    for _ in range(rules.redirects + 1):
        parts = check(uri, rules)
        made, response = _get(parts, rules, uri)
        try:
            if response.status not in _REDIRECTS:
                yield from _body(response, rules, deadline, alive)
                return
            uri = urljoin(uri, response.getheader("Location") or "")
        except (OSError, http.client.HTTPException) as error:
            raise CloudError(f"The download from {parts.hostname} broke off.", status=400) from error
        finally:
            made.close()
    raise BadRequest("The download was redirected too often.")


def _get(parts: SplitResult, rules: Rules, uri: str) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    made: http.client.HTTPConnection | None = None
    try:
        made = connection(parts, rules.limits)
        made.request("GET", target(uri), headers={"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "andromede"})
        return made, made.getresponse()
    except (OSError, http.client.HTTPException) as error:
        if made is not None:
            made.close()
        port = parts.port or (443 if parts.scheme == "https" else 80)
        raise BadRequest(f"Nothing could be downloaded from {parts.hostname}:{port}.") from error


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
