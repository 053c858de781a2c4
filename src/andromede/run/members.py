"""The hosts that were added to a cloud on the same machine: each a directory of its own, named by a file in the cloud's `hosts`."""

from pathlib import Path

import msgspec

from andromede.run.home import Home

MOST = 16
"""Hosts that one machine can play; each has its own user ids and an address of its own."""
UIDS = 10_010
_RANGES, _FIRST_RANGES = 128, 2_175


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A host that was added. number: from 2 on; the first host is the cloud's own directory."""

    name: str
    path: str
    number: int

    @property
    def home(self) -> Home:
        """Its directory and settings."""
        return Home.at(Path(self.path))


def members(cloud: Home) -> list[Member]:
    """The hosts that were added, in order."""
    found = (msgspec.json.decode(path.read_bytes(), type=Member) for path in cloud.hosts.glob("*.json"))
    return sorted(found, key=lambda one: one.number)


def note(cloud: Home, member: Member) -> None:
    """Keep that a host was added; its group is that of the processes that speak to it."""
    cloud.hosts.mkdir(exist_ok=True)
    fresh = cloud.hosts / f"{member.name}.new"
    fresh.write_bytes(msgspec.json.encode(member))
    fresh.chmod(0o644)
    fresh.replace(cloud.hosts / f"{member.name}.json")


def forget(cloud: Home, name: str) -> None:
    """The host is the cloud's no more."""
    (cloud.hosts / f"{name}.json").unlink(missing_ok=True)


def sockets(cloud: Home) -> dict[str, Path]:
    """Where the agents of the hosts listen, by name."""
    return {cloud.host: cloud.agent_socket} | {one.name: one.home.agent_socket for one in members(cloud)}


def number(home: Home) -> int:
    """Which of the machine's hosts a directory is; 1 for the cloud's own."""
    return next((one.number for one in members(home.cloud) if one.path == str(home.path)), 1)


def tunnel(which: int) -> str:
    """The address that a host is reached at by the others, inside their namespaces."""
    return f"100.127.0.{which}"


def container_ranges(home: Home) -> range:
    """The ranges of ids that the containers of a host may have; no two hosts of a machine share one."""
    which = number(home)
    if which == 1:
        return range(1, _FIRST_RANGES + 1)
    start = _FIRST_RANGES + 1 + (which - 2) * _RANGES
    return range(start, start + _RANGES)
