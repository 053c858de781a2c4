"""A whole network of a cloud for tests: its daemons, a stand-in for the machine, and namespaces in place of guests."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from andromede.core.ids import tap_name
from andromede.drivers.network import MetadataEnd, Port
from andromede.drivers.network.ovn import daemons, databases, host, links
from andromede.drivers.network.ovn.fabric import OvnFabric
from andromede.drivers.network.ovn.layout import Layout, short_tag
from andromede.drivers.network.ovn.plug import OvsPlug
from tests.host.ovn_launcher import Launcher

T = TypeVar("T")
NEEDED = ("ovs-vswitchd", "ovn-controller", "ovn-northd", "ovsdb-server", "ip", "busybox")
missing = ("not root",) if os.geteuid() else tuple(name for name in NEEDED if shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") is None)
UNPRIVILEGED = 64055
GROUP = 64056

LEASE = """#!/bin/sh
case "$1" in bound|renew) env > "$LEASE_FILE"
ip addr flush dev $interface scope global; ip addr add $ip/$mask dev $interface
[ -n "$mtu" ] && ip link set $interface mtu $mtu
set -- $staticroutes; [ $# = 0 ] && [ -n "$router" ] && ip route replace default via $router
while [ $# -gt 1 ]; do ip route replace $1 via $2 dev $interface; shift 2; done;; esac
"""


def wait_for(what: Callable[[], T], timeout: float = 8, say: str = "") -> T:
    deadline = time.monotonic() + timeout
    while not (answer := what()):
        assert time.monotonic() < deadline, say or f"waited {timeout} s in vain"
        time.sleep(0.05)
    return answer


class Guest:
    """A namespace with one link on a port, as a guest would have it."""

    def __init__(self, cloud: "Cloud", port: Port) -> None:
        self.cloud, self.port = cloud, port
        self.namespace = f"andg-{cloud.layout.tag}-{port.id[:8]}"
        self.address = port.fixed[0].address if port.fixed else ""
        cloud.guests.append(self)
        links.ensure_namespace(self.namespace)
        self.plug()

    def plug(self) -> None:
        name = tap_name(self.port.id)
        links.ensure_veth(
            self.namespace, "eth0", self.cloud.layout.namespace, name, mtu=1442, mac=self.port.mac, checksums=False
        )
        self.cloud.plug._join(name, self.port.id, self.port.mac, 1442)

    def run(self, *argv: str, timeout: float = 10) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LEASE_FILE": self.lease_file}
        return subprocess.run(
            ["ip", "netns", "exec", self.namespace, *argv], capture_output=True, text=True, timeout=timeout, check=False, env=environment
        )

    @property
    def lease_file(self) -> str:
        return f"{self.cloud.directory}/{self.namespace}.lease"

    def dhcp(self, *options: str) -> dict[str, str]:
        """What DHCP gave, after taking it on."""
        Path(self.lease_file).unlink(missing_ok=True)
        asked = [word for option in options for word in ("-O", option)]
        done = self.run(
            "busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "6", "-T", "1", "-s", f"{self.cloud.directory}/lease.sh", *asked
        )
        assert done.returncode == 0, done.stderr
        return dict(line.split("=", 1) for line in Path(self.lease_file).read_text().splitlines() if "=" in line)

    def pings(self, address: str, *, source: str | None = None, size: int = 56, wait: float = 1) -> bool:
        extra = ["-I", source] if source else []
        return self.run("busybox", "ping", "-c", "1", "-W", str(int(wait)), "-s", str(size), *extra, address).returncode == 0

    def reaches(self, address: str, timeout: float = 8) -> None:
        wait_for(lambda: self.pings(address), timeout, f"{self.namespace} does not reach {address}")

    def listener(self, address: str, port: int) -> socket.socket:
        return listen(self.namespace, address, port)

    def connect(self, address: str, port: int, timeout: float = 3) -> socket.socket:
        return connect(self.namespace, address, port, timeout)


def listen(namespace: str | None, address: str, port: int) -> socket.socket:
    with links.inside(namespace):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return socket.create_server((address, port), family=family)


def connect(namespace: str | None, address: str, port: int, timeout: float = 3) -> socket.socket:
    with links.inside(namespace) as netlink:
        six = ":" in address
        made = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_STREAM)
        scope = (links.index(netlink, "eth0") or 0) if address.startswith("fe80") else 0
        made.settimeout(timeout)
        try:
            made.connect((address, port, 0, scope) if six else (address, port))
        except BaseException:
            made.close()
            raise
        return made


def opens(namespace: str | None, address: str, port: int, timeout: float = 1) -> bool:
    try:
        connect(namespace, address, port, timeout).close()
    except OSError:
        return False
    return True


def transfer(server: socket.socket, connect_it: Callable[[], socket.socket], size: int = 1 << 20) -> str:
    """Carry `size` bytes over a connection and answer the address it came from, as the server saw it."""
    seen: list[str] = []
    got = bytearray()

    def serve() -> None:
        server.settimeout(8)
        with contextlib.suppress(OSError):
            taken, peer = server.accept()
            with taken:
                taken.settimeout(8)
                seen.append(peer[0])
                while part := taken.recv(65536):
                    got.extend(part)
                taken.sendall(b"done")

    thread = threading.Thread(target=serve)
    thread.start()
    payload = os.urandom(size)
    try:
        with connect_it() as client:
            client.settimeout(8)
            client.sendall(payload)
            client.shutdown(socket.SHUT_WR)
            assert client.recv(4) == b"done"
    finally:
        thread.join(10)
    assert bytes(got) == payload
    return seen[0]


def ask_dns(namespace: str, server: str, name: str, kind: int = 1) -> list[str]:
    """The addresses that a DNS server gives for a name; kind 1 is A, 28 AAAA."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    query = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)
    with links.inside(namespace):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with client:
        client.settimeout(1)
        try:
            client.sendto(query, (server, 53))
            answer = client.recv(1500)
        except OSError:
            return []
    at, found = len(query), []
    for _ in range(struct.unpack("!H", answer[6:8])[0]):
        at += 2 if answer[at] & 0xC0 else len(labels) + 1
        length = struct.unpack("!H", answer[at + 8 : at + 10])[0]
        found.append(socket.inet_ntop(socket.AF_INET if length == 4 else socket.AF_INET6, answer[at + 10 : at + 10 + length]))
        at += 10 + length
    return found


class Cloud:
    def __init__(self) -> None:
        self.directory = tempfile.mkdtemp(prefix="andromede-net-")
        Path(self.directory).chmod(0o755)
        tag = short_tag(uuid.uuid4().hex)
        self.outside = f"ando-{tag}"
        self.layout = Layout(
            state=self.directory, chassis="host-1", tag=tag, uid=UNPRIVILEGED, gid=GROUP, datapath=host.datapath().type, outside=self.outside
        )
        self.guests: list[Guest] = []
        Path(self.directory, "lease.sh").write_text(LEASE)
        Path(self.directory, "lease.sh").chmod(0o755)
        links.ensure_namespace(self.outside)
        databases.prepare(self.layout)
        host.make(self.layout)
        self.launcher = Launcher(daemons.daemons(self.layout), f"{self.directory}/log")
        try:
            self.seconds = self.launcher.start_all()
            self.fabric = OvnFabric(self.layout.nb, chassis=["host-1"], timeout=5)
            self.plug = OvsPlug(self.layout, timeout=5)
        except BaseException:
            self.launcher.close()
            self._remove()
            raise

    def guest(self, port: Port) -> Guest:
        return Guest(self, port)

    def metadata(self, end: MetadataEnd) -> str:
        return asyncio.run(self.plug.ensure_metadata(end))

    def close(self) -> None:
        self.fabric.close()
        asyncio.run(self.plug.close())
        self.launcher.close()
        self._remove()

    def _remove(self) -> None:
        for guest in self.guests:
            for pid in subprocess.run(["ip", "netns", "pids", guest.namespace], capture_output=True, text=True, check=False).stdout.split():
                os.kill(int(pid), signal.SIGKILL)
            links.remove_namespace(guest.namespace)
        host.teardown(self.layout)
        links.remove_namespace(self.outside)
        shutil.rmtree(self.directory)
