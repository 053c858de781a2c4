"""Real packets through what networks offer beyond the plain: limits and marks, forwarded ports, trunks, address groups, scopes, IPv6."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from andromede.core.ids import new_id
from andromede.drivers.network import Addresses, Fixed, Forward, Group, Leg, Limit, Nat, Network, Port, Qos, Router, Subnet
from andromede.drivers.network.ovn import links
from tests.host.ovn_cloud import Guest, connect, missing, opens, transfer, wait_for
from tests.host.test_ovn_traffic import OUT, World, allow, changed

pytestmark = pytest.mark.skipif(bool(missing), reason=f"missing here: {', '.join(missing)}")
KBPS, BURST, SECONDS = 2000, 400, 3.0
FLOATING = "172.24.4.21"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    made = World()
    yield made
    made.cloud.close()


@pytest.fixture
def one(world: World) -> Guest:
    return world.guests["one"]


@pytest.fixture
def two(world: World) -> Guest:
    return world.guests["two"]


@pytest.fixture
def three(world: World) -> Guest:
    return world.guests["three"]


def router(world: World, **fields: object) -> Router:
    return Router(**{**{name: getattr(world.router, name) for name in world.router.__struct_fields__}, **fields})  # type: ignore[arg-type]


def datagrams(namespace: str | None, address: str) -> socket.socket:
    with links.inside(namespace):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((address, 0))
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    made.setsockopt(socket.SOL_IP, socket.IP_RECVTOS, 1)
    made.settimeout(0.3)
    return made


def rate(source: socket.socket, sink: socket.socket, address: str, *, offered: float = 20e6) -> float:
    """Kilobits per second that arrive, headers counted, while `offered` bits per second are sent, after the burst is spent."""
    target, size = (address, sink.getsockname()[1]), 1200
    stop = threading.Event()

    def send() -> None:
        begin, sent = time.monotonic(), 0
        while not stop.is_set():
            if sent * size * 8 < (time.monotonic() - begin) * offered:
                source.sendto(b"x" * size, target)
                sent += 1
            else:
                time.sleep(0.001)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        spent = time.monotonic() + 1
        while time.monotonic() < spent:
            with contextlib.suppress(TimeoutError):
                sink.recv(2000)
        begin, got = time.monotonic(), 0
        while time.monotonic() < begin + SECONDS:
            with contextlib.suppress(TimeoutError):
                got += len(sink.recv(2000)) + 42
        return got * 8 / 1000 / (time.monotonic() - begin)
    finally:
        stop.set()
        thread.join(5)


def near(measured: float) -> bool:
    return 0.7 * KBPS < measured < 1.25 * KBPS


@pytest.fixture
def open_world(world: World) -> Iterator[World]:
    with world.instead(Group(id=world.web.id, rules=(*world.out, allow("ingress"), allow("ingress", ethertype="IPv6")))):
        yield world


def arrives(source: socket.socket, sink: socket.socket, address: str) -> bool:
    source.sendto(b"?", (address, sink.getsockname()[1]))
    with contextlib.suppress(TimeoutError):
        return bool(sink.recv(10))
    return False


@pytest.mark.parametrize("direction", ["egress", "ingress"])
def test_a_limit_holds_in_its_direction_alone(open_world: World, one: Guest, two: Guest, direction: str) -> None:
    with datagrams(one.namespace, "10.1.0.11") as mine, datagrams(two.namespace, "10.1.0.12") as other:
        wait_for(lambda: arrives(mine, other, "10.1.0.12"))
        wait_for(lambda: arrives(other, mine, "10.1.0.11"))
        limited = Qos(limits=(Limit(direction=direction, kbps=KBPS, burst=BURST),))
        with open_world.instead(changed(open_world.one, qos=limited)):
            held, free = ((mine, other, "10.1.0.12"), (other, mine, "10.1.0.11"))[:: 1 if direction == "egress" else -1]
            assert wait_for(lambda: near(found := rate(*held)) and found, 25)
            assert rate(*free) > 2 * KBPS
        assert wait_for(lambda: rate(*held) > 2 * KBPS, 25)


def test_packets_are_marked(open_world: World, one: Guest, two: Guest) -> None:
    def mark() -> int:
        mine.sendto(b"?", ("10.1.0.12", other.getsockname()[1]))
        with contextlib.suppress(TimeoutError):
            return next(iter(data[0] for _, _, data in other.recvmsg(10, 100)[1:2][0])) >> 2
        return -1

    with datagrams(one.namespace, "10.1.0.11") as mine, datagrams(two.namespace, "10.1.0.12") as other:
        wait_for(lambda: mark() == 0)
        with open_world.instead(changed(open_world.one, qos=Qos(dscp=26))):
            wait_for(lambda: mark() == 26)
        wait_for(lambda: mark() == 0)


@pytest.mark.parametrize("direction", ["egress", "ingress"])
def test_a_limit_of_a_floating_ip(open_world: World, one: Guest, direction: str) -> None:
    (nat,) = open_world.router.floating
    limited = Nat(
        id=nat.id, external=nat.external, internal=nat.internal, port_id=nat.port_id, mac=nat.mac,
        qos=Qos(limits=(Limit(direction=direction, kbps=KBPS, burst=BURST),)),
    )  # fmt: skip
    with datagrams(one.namespace, "10.1.0.11") as mine, datagrams(open_world.cloud.outside, OUT) as other:
        wait_for(lambda: arrives(mine, other, OUT))
        wait_for(lambda: arrives(other, mine, nat.external))
        with open_world.instead(router(open_world, floating=(limited,))):
            held, free = ((mine, other, OUT), (other, mine, nat.external))[:: 1 if direction == "egress" else -1]
            assert wait_for(lambda: near(rate(*held)), 25)
            assert rate(*free) > 2 * KBPS


def test_forwarded_ports(open_world: World, two: Guest, three: Guest) -> None:
    outside = open_world.cloud.outside
    forwards = (
        Forward(id=new_id(), external=FLOATING, internal="10.1.0.12", protocol="tcp", ports=((2200, 22), (2201, 8001))),
        Forward(id=new_id(), external=FLOATING, internal="10.2.0.13", protocol="tcp", ports=((2300, 22),)),
        Forward(id=new_id(), external=FLOATING, internal="10.1.0.12", protocol="udp", ports=((2200, 5353),)),
    )
    with open_world.instead(router(open_world, forwards=forwards)):
        for guest, address, outer, inner in (
            (two, "10.1.0.12", 2200, 22), (two, "10.1.0.12", 2201, 8001), (three, "10.2.0.13", 2300, 22),
        ):  # fmt: skip
            with guest.listener(address, inner) as server:
                wait_for(lambda outer=outer: opens(outside, FLOATING, outer))  # type: ignore[misc]
                server.accept()[0].close()
                assert transfer(server, lambda outer=outer: connect(outside, FLOATING, outer)) == OUT  # type: ignore[misc]
        assert not opens(outside, FLOATING, 2202)
        with datagrams(outside, OUT) as asking, links.inside(two.namespace):
            answering = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            with answering:
                answering.bind(("10.1.0.12", 5353))
                answering.settimeout(2)
                asking.sendto(b"?", (FLOATING, 2200))
                answering.sendto(b"!", answering.recvfrom(10)[1])
                assert asking.recvfrom(10) == (b"!", (FLOATING, 2200))
        limited = Qos(limits=(Limit(direction="ingress", kbps=KBPS, burst=BURST),))
        with open_world.instead(router(open_world, forwards=forwards, limits=((FLOATING, limited),))):
            rows = open_world.cloud.fabric._db.read(lambda: list(open_world.cloud.fabric._db.tables["QoS"].rows.values()))
            assert [row.bandwidth["rate"] for row in rows] == [KBPS]
    with two.listener("10.1.0.12", 22):
        wait_for(lambda: not opens(outside, FLOATING, 2200))


def test_a_trunk_carries_a_network_in_a_vlan_of_its_guest(open_world: World, one: Guest, three: Guest) -> None:
    inner = Port(
        id=new_id(), network_id=open_world.right.id, mac=open_world.one.mac, fixed=(Fixed(open_world.right4.id, "10.2.0.14"),),
        groups=(open_world.web.id,), host="host-1", parent=open_world.one.id, segment=42,
    )  # fmt: skip
    fabric = open_world.cloud.fabric
    fabric.ensure([inner])
    try:
        wait_for(lambda: fabric.bound()[inner.id])
        asked = arp("10.2.0.14", "10.2.0.13", open_world.one.mac)
        assert heard(one, asked, 42) == open_world.three.mac
        assert heard(one, asked, 43) is None
        assert heard(one, arp("10.2.0.99", "10.2.0.13", open_world.one.mac), 42) is None, "an address is pretended inside a trunk"
        three.run("ip", "neigh", "flush", "dev", "eth0")
        fabric.ensure([changed(inner, enabled=False)])
        wait_for(lambda: heard(one, asked, 42, 0.3) is None)
    finally:
        fabric.remove("port", [inner.id])
    wait_for(lambda: heard(one, asked, 42, 0.3) is None)


def arp(source: str, target: str, mac: str) -> bytes:
    """Who has `target`? (RFC 826)"""
    own = bytes.fromhex(mac.replace(":", ""))
    return struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + own + socket.inet_aton(source) + bytes(6) + socket.inet_aton(target)


def heard(guest: Guest, question: bytes, vlan: int, seconds: float = 1.5) -> str | None:
    """The MAC address that is answered within a VLAN of the guest's card."""
    with links.inside(guest.namespace):
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
    with raw:
        raw.setsockopt(263, 8, 1)  # SOL_PACKET, PACKET_AUXDATA: the kernel takes the tag out of a frame, and tells of it beside
        raw.bind(("eth0", 0))
        frame = b"\xff" * 6 + question[8:14] + struct.pack("!HHH", 0x8100, vlan, 0x0806) + question
        end, again = time.monotonic() + seconds, 0.0
        while (left := end - time.monotonic()) > 0:
            if time.monotonic() >= again:
                raw.send(frame)
                again = time.monotonic() + 0.25
            raw.settimeout(min(left, 0.25))
            with contextlib.suppress(TimeoutError):
                data, notes, _, where = raw.recvmsg(2000, 100)
                tags = [struct.unpack_from("=HH", note, 16)[0] for _, kind, note in notes if kind == 8]
                if data[12:14] == b"\x81\x00":
                    tags, data = [struct.unpack_from("!H", data, 14)[0]], data[:12] + data[16:]
                answer = data[14:]
                if where[2] != socket.PACKET_OUTGOING and data[12:14] == b"\x08\x06" and answer[6:8] == b"\0\x02" and vlan in tags:
                    return ":".join(f"{byte:02x}" for byte in answer[8:14])
    return None


def test_a_rule_of_an_address_group(world: World, one: Guest, two: Guest) -> None:
    friends = Addresses(id=new_id(), addresses=("10.1.0.64/26", "fd00:1::/64"))
    rule = allow("ingress", "tcp", 9000, 9000, remote_addresses=friends.id)
    guarded = Group(id=world.shut.id, rules=(*world.out, rule))
    world.cloud.fabric.ensure([friends])
    with two.listener("10.1.0.12", 9000), world.instead(guarded, changed(world.two, groups=(world.shut.id,))):
        wait_for(lambda: not one.pings("10.1.0.12"))
        assert not opens(one.namespace, "10.1.0.12", 9000)
        world.cloud.fabric.ensure([Addresses(id=friends.id, addresses=("10.1.0.11/32",))])
        wait_for(lambda: opens(one.namespace, "10.1.0.12", 9000))
        world.cloud.fabric.ensure([Addresses(id=friends.id)])
        wait_for(lambda: not opens(one.namespace, "10.1.0.12", 9000))
    world.cloud.fabric.remove("addresses", [friends.id])
    one.reaches("10.1.0.12")


def test_ranges_that_are_kept_apart(open_world: World, one: Guest, three: Guest) -> None:
    with open_world.instead(router(open_world, apart=(("10.1.0.0/24", "10.2.0.0/24"),))):
        wait_for(lambda: not one.pings("10.2.0.13"))
        assert not three.pings("10.1.0.11")
        one.reaches(OUT)
    one.reaches("10.2.0.13")


@pytest.mark.parametrize("mode", ["slaac", "dhcpv6-stateless"])
def test_a_guest_makes_its_own_ipv6_address(world: World, mode: str) -> None:
    network = Network(id=new_id())
    subnet = Subnet(
        id=new_id(), network_id=network.id, cidr="fd00:7::/64", gateway="fd00:7::1", ra_mode=mode, address_mode=mode, dns=("fd00:7::53",)
    )
    mac = "fa:16:3e:00:07:07"
    own = "fd00:7::f816:3eff:fe00:707"
    port = Port(id=new_id(), network_id=network.id, mac=mac, fixed=(Fixed(subnet.id, own),), groups=(world.web.id,), host="host-1", hostname="six")
    inside = Leg(port_id=new_id(), network_id=network.id, mac="fa:16:3e:01:07:01", addresses=("fd00:7::1/64",), ra_mode=mode)
    six = Router(id=new_id(), legs=(inside,))
    fabric = world.cloud.fabric
    fabric.ensure([network, subnet, port, six])
    guest = world.cloud.guest(port)
    try:
        wait_for(lambda: f"inet6 {own}/64" in guest.run("ip", "-6", "addr", "show", "dev", "eth0").stdout, 20)
        wait_for(lambda: guest.run("busybox", "ping6", "-c", "1", "-W", "1", "fd00:7::1").returncode == 0)
        assert "via fe80::f816:3eff:fe01:701" in guest.run("ip", "-6", "route", "show", "default").stdout
        if mode == "dhcpv6-stateless":
            assert socket.inet_pton(socket.AF_INET6, "fd00:7::53") in wait_for(lambda: information(guest))
    finally:
        fabric.remove("router", [six.id])
        fabric.remove("network", [network.id])
        fabric.remove("subnet", [subnet.id])


def information(guest: Guest) -> bytes:
    """What DHCPv6 replies to an INFORMATION-REQUEST for resolvers (RFC 8415)."""
    duid = struct.pack("!HHHH", 1, 10, 3, 1) + bytes.fromhex(guest.port.mac.replace(":", ""))
    message = b"\x0babc" + duid + struct.pack("!HHH", 6, 2, 23)
    with links.inside(guest.namespace) as netlink:
        client = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        client.bind(("::", 546))
        scope = links.index(netlink, "eth0")
    with client:
        client.settimeout(1)
        client.sendto(message, ("ff02::1:2", 547, 0, scope))
        with contextlib.suppress(TimeoutError):
            return client.recv(1500)
    return b""
