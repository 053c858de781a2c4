"""Microversions: parsing, negotiation, and the headers that tell about them.

Source: the API SIG's microversion specification; Compute also takes its older header of its own.
"""

from collections.abc import Mapping

import msgspec

from andromede.core.errors import BadRequest, NotAcceptable

Version = tuple[int, int]
NONE: Version = (0, 0)


def parse(text: str) -> Version:
    """`2.79` as (2, 79). Raises BadRequest."""
    major, dot, minor = text.strip().partition(".")
    if not (dot and major.isdecimal() and minor.isdecimal()) or (len(minor) > 1 and minor[0] == "0") or len(text) > 12:
        raise BadRequest(f"API Version String '{text}' is of invalid format. It must be of format Major.Minor.", kind="BadRequest")
    return int(major), int(minor)


def show(version: Version) -> str:
    """(2, 79) as `2.79`."""
    return f"{version[0]}.{version[1]}"


class Microversions(msgspec.Struct, frozen=True):
    """The range a service serves. `older` is a header of its own from before the common one."""

    service: str
    lowest: Version
    highest: Version
    older: str | None = None

    def negotiate(self, headers: Mapping[str, str]) -> Version:
        """The version for one request; the lowest when none is asked for. Raises NotAcceptable out of range."""
        asked = None
        for part in headers.get("openstack-api-version", "").split(","):
            words = part.split()
            if len(words) == 2 and words[0].lower() == self.service:
                asked = words[1]
        if asked is None and self.older:
            asked = headers.get(self.older.lower())
        if asked is None:
            return self.lowest
        if asked.lower() == "latest":
            return self.highest
        version = parse(asked)
        if not self.lowest <= version <= self.highest:
            raise NotAcceptable(
                f"Version {asked} is not supported by the API. Minimum is {show(self.lowest)} and maximum is {show(self.highest)}."
            )
        return version

    def headers(self, version: Version) -> list[tuple[str, str]]:
        """What an answer says of the version it speaks."""
        out = [("openstack-api-version", f"{self.service} {show(version)}"), ("vary", "OpenStack-API-Version")]
        if self.older:
            out += [(self.older.lower(), show(version)), ("vary", self.older)]
        return out
