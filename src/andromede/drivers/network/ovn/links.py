"""Links, namespaces and taps, through netlink. Each function asks for a state and may be repeated.

A thread enters a namespace for the time of a `with inside(name)` block and comes back; a socket opened there stays there.
"""

import ctypes
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pyroute2.iproute.linux import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from andromede.core.errors import DriverError
from andromede.drivers.network.ovn import commands

Netlink = Any
"""An `IPRoute` of pyroute2, whose methods have no types."""

_NAMESPACES = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_SIOCETHTOOL, _SET_RX, _SET_TX = 0x8946, 0x15, 0x17
_TUNSETIFF, _TUNSETPERSIST, _TUNSETOWNER = 0x400454CA, 0x400454CB, 0x400454CC
_IFF_TAP, _IFF_NO_PI, _IFF_MULTI_QUEUE = 0x0002, 0x1000, 0x0100
_libc = ctypes.CDLL(None, use_errno=True)


def _enter(fd: int) -> None:
    if _libc.setns(fd, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@contextmanager
def inside(namespace: str | None) -> Iterator[Netlink]:
    """Netlink in a namespace, the calling thread in it meanwhile; None is where we are. OSError when it is not there."""
    if namespace is None:
        with IPRoute() as netlink:
            yield netlink
        return
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(_NAMESPACES / namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(there)
        finally:
            os.close(there)
        try:
            with IPRoute() as netlink:
                yield netlink
        finally:
            _enter(home)
    finally:
        os.close(home)


def namespaces() -> set[str]:
    """The names of the machine's network namespaces."""
    try:
        return {path.name for path in _NAMESPACES.iterdir()}
    except FileNotFoundError:
        return set()


def ensure_namespace(name: str) -> None:
    """A network namespace of that name with its loopback up. A file left by a crash, on which none is mounted, is replaced."""
    if name in namespaces() and not _mounted(name):
        (_NAMESPACES / name).unlink()
    if name not in namespaces():
        commands.run(["ip", "netns", "add", name])
    with inside(name) as netlink:
        netlink.link("set", index=1, state="up")


def without_ipv6(namespace: str) -> None:
    """Links made there from now on have no IPv6 of their own: the host must not speak on its guests' networks."""
    with inside(namespace):
        Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")


def _mounted(name: str) -> bool:
    try:
        with inside(name):
            return True
    except OSError:
        return False


def remove_namespace(name: str) -> None:
    """No namespace of that name; processes in it keep it alive, nameless."""
    if name not in namespaces():
        return
    if _mounted(name):
        commands.run(["ip", "netns", "delete", name])
    else:
        (_NAMESPACES / name).unlink()


def index(netlink: Netlink, name: str) -> int | None:
    """The number of a link, None when there is none of that name."""
    found = netlink.link_lookup(ifname=name)
    return int(found[0]) if found else None


def names(netlink: Netlink) -> set[str]:
    """The names of all links here."""
    return {str(link.get_attr("IFLA_IFNAME")) for link in netlink.get_links()}


def remove_link(namespace: str | None, name: str) -> None:
    """No link of that name there; nor its other end, where it is a veth."""
    with suppress(FileNotFoundError), inside(namespace) as netlink:
        number = index(netlink, name)
        if number is not None:
            with tolerate(errno.ENODEV):
                netlink.link("del", index=number)


@contextmanager
def tolerate(*numbers: int) -> Iterator[None]:
    """Let netlink's answers with these error numbers pass; they say that it is so already."""
    try:
        yield
    except NetlinkError as failed:
        if failed.code not in numbers:
            raise


@contextmanager
def faults(what: str) -> Iterator[None]:
    """Turn what the kernel refuses into a DriverError that says what could not be done."""
    try:
        yield
    except (OSError, NetlinkError) as failed:
        raise DriverError(f"{what} could not be made so") from failed


def checksums_off(name: str) -> None:
    """Checksums of a link of this namespace are computed in software: the userspace datapath forwards none that is left open."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for command in (_SET_TX, _SET_RX):
            value = ctypes.create_string_buffer(struct.pack("II", command, 0))
            request = struct.pack("16sP", name.encode(), ctypes.addressof(value))
            try:
                fcntl.ioctl(control, _SIOCETHTOOL, request.ljust(40, b"\0"))
            except OSError as failed:
                if failed.errno != errno.EOPNOTSUPP:
                    raise


def ensure_veth(
    near: str | None, name: str, far: str | None, peer: str, *, mtu: int, mac: str | None = None, checksums: bool
) -> None:
    """A veth pair: `name` in the namespace `near`, with `mac` if given, and `peer` in `far`, both up.

    A half that lost its way is made anew. checksums: whether they may be left to the hardware that is not there.
    """
    with inside(near) as netlink:
        here = index(netlink, name)
    with inside(far) as netlink:
        there = index(netlink, peer)
    if here is None or there is None:
        remove_link(near, name)
        remove_link(far, peer)
        with inside(far):
            target = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            with inside(near) as netlink:
                netlink.link("add", ifname=name, kind="veth", peer={"ifname": peer, "net_ns_fd": target})
        finally:
            os.close(target)
    for place, link, address in ((near, name, mac), (far, peer, None)):
        with inside(place) as netlink:
            number = index(netlink, link)
            if number is None:
                raise DriverError("a link vanished while it was made")
            if not checksums:
                checksums_off(link)
            settle(netlink, number, mtu=mtu, mac=address)


def ensure_pair(netlink: Netlink, name: str, peer: str, *, mac: str, mtu: int, checksums: bool) -> bool:
    """A veth pair in this thread's namespace: `name`, up, and `peer` with this MAC, which somebody may have taken elsewhere since.

    Answers whether it was made now.
    """
    number = index(netlink, name)
    if number is not None:
        away = netlink.get_links(number)[0].get_attr("IFLA_LINK_NETNSID") is not None
        if not away and index(netlink, peer) is None:
            netlink.link("del", index=number)
            number = None
    made = number is None
    if made:
        netlink.link("add", ifname=name, kind="veth", peer=peer)
        number = index(netlink, name)
    if number is None:
        raise DriverError("a link vanished while it was made")
    if not checksums:
        checksums_off(name)
    settle(netlink, number, mtu=mtu)
    here = index(netlink, peer)
    if here is not None:
        if not checksums:
            checksums_off(peer)
        settle(netlink, here, mtu=mtu, mac=mac)
    return made


def settle(netlink: Netlink, number: int, *, mtu: int, mac: str | None = None) -> None:
    """A link with this MTU and MAC, up; written only where it differs."""
    link = netlink.get_links(number)[0]
    change: dict[str, object] = {}
    if link.get_attr("IFLA_MTU") != mtu:
        change["mtu"] = mtu
    if mac and link.get_attr("IFLA_ADDRESS") != mac.lower():
        change["address"] = mac.lower()
    if not link["flags"] & 1:
        change["state"] = "up"
    if change:
        netlink.link("set", index=number, **change)


def ensure_addresses(netlink: Netlink, number: int, wanted: tuple[str, ...]) -> None:
    """These addresses (CIDR) on a link and no others, but for link-local ones the kernel made; without duplicate detection."""
    has = {}
    for found in netlink.get_addr(index=number):
        text = f"{found.get_attr('IFA_LOCAL') or found.get_attr('IFA_ADDRESS')}/{found['prefixlen']}"
        has[text] = found["family"]
    for text in wanted:
        if text not in has:
            address, _, length = text.partition("/")
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            extra = {"flags": 0x02} if family == socket.AF_INET6 else {}
            with tolerate(errno.EEXIST):
                netlink.addr("add", index=number, address=address, prefixlen=int(length), family=family, **extra)
    for text, family in has.items():
        if text not in wanted and not text.startswith("fe80:"):
            address, _, length = text.partition("/")
            with tolerate(errno.EADDRNOTAVAIL):
                netlink.addr("del", index=number, address=address, prefixlen=int(length), family=family)


def ensure_tap(netlink: Netlink, name: str, *, owner: int, mtu: int, several: bool = False) -> None:
    """A persistent tap in this thread's namespace that `owner` (uid) may open, up; one that a guest holds open keeps its owner.

    several: it is made so that it can be opened more than once, for as many queues.
    """
    number = index(netlink, name)
    if number is None or _owner(netlink, number) != owner:
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI | (_IFF_MULTI_QUEUE if several else 0)))
            fcntl.ioctl(device, _TUNSETOWNER, owner)
            fcntl.ioctl(device, _TUNSETPERSIST, 1)
        except OSError as failed:
            if number is None or failed.errno != errno.EBUSY:
                raise
        finally:
            os.close(device)
        number = index(netlink, name)
    if number is None:
        raise DriverError("a tap vanished while it was made")
    settle(netlink, number, mtu=mtu)


def _owner(netlink: Netlink, number: int) -> int | None:
    info = netlink.get_links(number)[0].get_attr("IFLA_LINKINFO")
    data = info.get_attr("IFLA_INFO_DATA") if info else None
    return data.get_attr("IFLA_TUN_OWNER") if data else None
