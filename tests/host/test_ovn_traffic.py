"""Real packets through OVN: what guests of one cloud get, reach, and are kept from. Needs root and the daemons' programs."""

import contextlib
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from andromede.core.ids import new_id
from andromede.drivers.network import Fixed, Group, Leg, MetadataEnd, Nat, Network, Port, Router, Rule, Subnet
from andromede.drivers.network.ovn import plug
from andromede.drivers.network.ovn.fabric import OvnFabric
from tests.host.ovn_cloud import Cloud, Guest, ask_dns, connect, listen, missing, opens, transfer, wait_for

pytestmark = pytest.mark.skipif(bool(missing), reason=f"missing here: {', '.join(missing)}")
OUT = "172.24.4.1"


def allow(direction: str, protocol: str | None = None, low: int | None = None, high: int | None = None, **more: str | None) -> Rule:
    return Rule(id=new_id(), direction=direction, ethertype=more.pop("ethertype", None) or "IPv4", protocol=protocol, port_min=low,
                port_max=high, **more)  # fmt: skip


class World:
    """Two networks behind a router with a gateway, and three guests: one and two on `left`, three on `right`."""

    def __init__(self) -> None:
        self.cloud = Cloud()
        ids = {name: new_id() for name in ("left", "right", "public", "router", "one", "two", "three", "meta", "metaend")}
        self.ids = ids
        self.out = allow("egress"), allow("egress", ethertype="IPv6")
        self.web = Group(id=new_id(), rules=(*self.out, allow("ingress", "icmp"), allow("ingress", "tcp", 8000, 8010)))
        self.shut = Group(id=new_id(), rules=self.out)
        self.friends = Group(id=new_id(), rules=(*self.out, allow("ingress", "tcp", 9000, 9000, remote_group=self.web.id)))
        self.left = Network(id=ids["left"], dns={"two.example": ("10.1.0.12", "fd00:1::12")})
        self.right = Network(id=ids["right"])
        self.public = Network(id=ids["public"], external=True, physical="public", mtu=1500)
        self.left4 = Subnet(
            id=new_id(), network_id=self.left.id, cidr="10.1.0.0/24", gateway="10.1.0.1", dns=("10.1.0.1",), metadata="10.1.0.2",
            routes=(("10.99.0.0/16", "10.1.0.12"),),
        )  # fmt: skip
        self.left6 = Subnet(
            id=new_id(), network_id=self.left.id, cidr="fd00:1::/64", gateway="fd00:1::1", ra_mode="dhcpv6-stateful",
            address_mode="dhcpv6-stateful",
        )  # fmt: skip
        self.right4 = Subnet(id=new_id(), network_id=self.right.id, cidr="10.2.0.0/24", gateway="10.2.0.1")
        self.one = self.port("one", self.left, 1, (self.web.id,), Fixed(self.left4.id, "10.1.0.11"), Fixed(self.left6.id, "fd00:1::11"))
        self.two = self.port("two", self.left, 2, (self.web.id,), Fixed(self.left4.id, "10.1.0.12"), Fixed(self.left6.id, "fd00:1::12"))
        self.three = self.port("three", self.right, 3, (self.web.id,), Fixed(self.right4.id, "10.2.0.13"))
        self.meta = Port(
            id=ids["meta"], network_id=self.left.id, mac="fa:16:3e:00:00:fe", fixed=(Fixed(self.left4.id, "10.1.0.2"),), metadata=True
        )
        self.router = Router(
            id=ids["router"],
            legs=(
                Leg(port_id=new_id(), network_id=self.left.id, mac="fa:16:3e:01:00:01", addresses=("10.1.0.1/24", "fd00:1::1/64"),
                    ra_mode="dhcpv6-stateful"),
                Leg(port_id=new_id(), network_id=self.right.id, mac="fa:16:3e:01:00:02", addresses=("10.2.0.1/24",)),
            ),
            gateway=Leg(port_id=new_id(), network_id=self.public.id, mac="fa:16:3e:01:00:03", addresses=("172.24.4.10/24",), mtu=1500),
            next_hops=(OUT,),
            snat=("10.1.0.0/24", "10.2.0.0/24"),
            floating=(Nat(id=new_id(), external="172.24.4.20", internal="10.1.0.11", port_id=self.one.id, mac="fa:16:3e:01:00:04"),),
        )  # fmt: skip
        try:
            self.specs = [self.left, self.right, self.public, self.left4, self.left6, self.right4, self.web, self.shut, self.friends,
                          self.one, self.two, self.three, self.meta, self.router]  # fmt: skip
            self.cloud.fabric.ensure(self.specs)
            self.guests = {name: self.cloud.guest(port) for name, port in (("one", self.one), ("two", self.two), ("three", self.three))}
            self.metadata = self.cloud.metadata(self.end)
            wait_for(lambda: all(self.cloud.fabric.bound().values()), say="ports are not bound")
            for guest in self.guests.values():
                guest.dhcp()
        except BaseException:
            self.cloud.close()
            raise

    @property
    def end(self) -> MetadataEnd:
        return MetadataEnd(network_id=self.left.id, port_id=self.meta.id, mac=self.meta.mac, addresses=("10.1.0.2/24",))

    def port(self, name: str, network: Network, number: int, groups: tuple[str, ...], *fixed: Fixed) -> Port:
        return Port(id=self.ids[name], network_id=network.id, mac=f"fa:16:3e:00:00:0{number}", fixed=fixed, groups=groups,
                    host="host-1", hostname=name)  # fmt: skip

    @contextlib.contextmanager
    def instead(self, *specs: Group | Port | Router | Subnet | Network) -> Iterator[None]:
        """With these in place of what stood before, and back again."""
        before = [next(spec for spec in self.specs if spec.id == other.id) for other in specs]
        self.cloud.fabric.ensure(list(specs))
        try:
            yield
        finally:
            self.cloud.fabric.ensure(list(before))


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


def changed(port: Port, **fields: object) -> Port:
    return Port(**{**{name: getattr(port, name) for name in port.__struct_fields__}, **fields})  # type: ignore[arg-type]


def test_dhcp_gives_address_name_mtu_and_routes(one: Guest) -> None:
    lease = one.dhcp("121", "249", "12")
    assert (lease["ip"], lease["router"], lease["dns"], lease["mtu"], lease["hostname"]) == ("10.1.0.11", "10.1.0.1", "10.1.0.1", "1442", "one")
    assert lease["staticroutes"] == "169.254.169.254/32 10.1.0.2 10.99.0.0/16 10.1.0.12 0.0.0.0/0 10.1.0.1"
    assert lease["msstaticroutes"] == lease["staticroutes"]


def test_options_of_one_port(world: World, one: Guest) -> None:
    with world.instead(changed(world.one, dhcp_options=(("domain-name", "lab.example"), ("42", "10.1.0.9"), ("evil", 'x"); drop;')))):
        lease = wait_for(lambda: (found := one.dhcp("15", "42")).get("domain") and found)
        assert (lease["domain"], lease["ntpsrv"], lease["router"]) == ("lab.example", "10.1.0.9", "10.1.0.1")
        # what the subnet gives later reaches the port's own options as well
        subnet = Subnet(id=world.left4.id, network_id=world.left.id, cidr="10.1.0.0/24", gateway="10.1.0.1", dns=("10.1.0.7",))
        with world.instead(subnet):
            assert wait_for(lambda: (found := one.dhcp("15"))["dns"] == "10.1.0.7" and found)["domain"] == "lab.example"
    assert wait_for(lambda: "domain" not in one.dhcp("15"))


def test_a_subnet_without_dhcp_is_silent(world: World, one: Guest) -> None:
    quiet = Subnet(id=world.left4.id, network_id=world.left.id, cidr="10.1.0.0/24", gateway="10.1.0.1", dhcp=False)
    with world.instead(quiet):
        def silent() -> bool:
            return one.run("busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "1", "-T", "1", "-s", "/bin/true").returncode != 0

        assert wait_for(silent)
        assert world.left4.id in world.cloud.fabric.observe("subnet")
    wait_for(lambda: one.dhcp()["ip"] == "10.1.0.11")


def test_neighbours_ping_and_transfer(one: Guest, two: Guest) -> None:
    one.reaches("10.1.0.12")
    assert one.pings("10.1.0.12", size=1400)
    with two.listener("10.1.0.12", 8000) as server:
        assert transfer(server, lambda: one.connect("10.1.0.12", 8000)) == "10.1.0.11"


def test_a_router_joins_networks(one: Guest, three: Guest) -> None:
    one.reaches("10.2.0.13")
    with three.listener("10.2.0.13", 8001) as server:
        assert transfer(server, lambda: one.connect("10.2.0.13", 8001)) == "10.1.0.11"


def test_ports_outside_the_rules_are_shut(world: World, one: Guest, two: Guest) -> None:
    with two.listener("10.1.0.12", 8011), two.listener("10.1.0.12", 8010):
        assert wait_for(lambda: opens(one.namespace, "10.1.0.12", 8010))
        assert not opens(one.namespace, "10.1.0.12", 8011)
    shut = changed(world.two, groups=(world.shut.id,))
    with two.listener("10.1.0.12", 8000), world.instead(shut):
        wait_for(lambda: not one.pings("10.1.0.12"))
        assert not opens(one.namespace, "10.1.0.12", 8000)
        assert two.pings("10.1.0.11")
        opened = Group(id=world.shut.id, rules=(*world.out, allow("ingress", "6", 8000, 8000, remote_cidr="10.1.0.11/32")))
        with world.instead(opened):
            wait_for(lambda: opens(one.namespace, "10.1.0.12", 8000))
            assert not one.pings("10.1.0.12")
    one.reaches("10.1.0.12")


def test_rules_for_kinds_of_icmp(world: World, one: Guest, two: Guest) -> None:
    echo = Group(id=world.shut.id, rules=(*world.out, allow("ingress", "icmp", 8, 0)))
    other = Group(id=world.shut.id, rules=(*world.out, allow("ingress", "1", 13)))
    with world.instead(changed(world.two, groups=(world.shut.id,))):
        with world.instead(echo):
            one.reaches("10.1.0.12")
        with world.instead(other):
            wait_for(lambda: not one.pings("10.1.0.12"))
    one.reaches("10.1.0.12")


def test_rules_of_a_remote_group(world: World, one: Guest, two: Guest) -> None:
    with two.listener("10.1.0.12", 9000), world.instead(changed(world.two, groups=(world.friends.id,))):
        wait_for(lambda: opens(one.namespace, "10.1.0.12", 9000))
        with world.instead(changed(world.one, groups=(world.shut.id,))):
            wait_for(lambda: not opens(one.namespace, "10.1.0.12", 9000))
    one.reaches("10.1.0.12")


def test_a_stateless_group(world: World, one: Guest, two: Guest) -> None:
    halves = Group(id=world.shut.id, stateful=False, rules=(*world.out, allow("ingress", "icmp"), allow("ingress", "tcp", 8000, 8000)))
    with two.listener("10.1.0.12", 8000) as server, world.instead(halves, changed(world.two, groups=(world.shut.id,))):
        wait_for(lambda: opens(one.namespace, "10.1.0.12", 8000))
        server.accept()[0].close()
        transfer(server, lambda: one.connect("10.1.0.12", 8000))
        assert not opens(one.namespace, "10.1.0.12", 8001)
    one.reaches("10.1.0.12")


def test_a_guest_cannot_pretend_to_be_another(world: World, one: Guest, two: Guest) -> None:
    one.run("ip", "addr", "add", "10.1.0.77/24", "dev", "eth0")
    try:
        assert not one.pings("10.1.0.12", source="10.1.0.77")
        with world.instead(changed(world.one, pairs=((world.one.mac, "10.1.0.77"),))):
            wait_for(lambda: one.pings("10.1.0.12", source="10.1.0.77"))
        wait_for(lambda: not one.pings("10.1.0.12", source="10.1.0.77"))
        one.run("ip", "link", "set", "eth0", "address", "fa:16:3e:00:00:99")
        assert not one.pings("10.1.0.12")
        for guest in (one, two):
            guest.run("ip", "neigh", "flush", "dev", "eth0")
        with world.instead(changed(world.one, security=False, groups=())):
            wait_for(lambda: one.pings("10.1.0.12", source="10.1.0.77"))
    finally:
        one.run("ip", "link", "set", "eth0", "address", world.one.mac)
        one.run("ip", "addr", "del", "10.1.0.77/24", "dev", "eth0")
        one.dhcp()
        two.run("ip", "neigh", "flush", "dev", "eth0")
    one.reaches("10.1.0.12")


def test_a_guest_cannot_lease_addresses(world: World, one: Guest, two: Guest) -> None:
    with world.instead(Group(id=world.web.id, rules=(*world.out, allow("ingress"), allow("ingress", ethertype="IPv6")))):
        with plug.links.inside(two.namespace):
            heard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            heard.bind(("10.1.0.12", 68))
            other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            other.bind(("10.1.0.12", 6868))
        with plug.links.inside(one.namespace):
            server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            server.bind(("10.1.0.11", 67))
        with heard, other, server:
            for each in (heard, other):
                each.settimeout(0.5)

            def passes() -> bool:
                server.sendto(b"x", ("10.1.0.12", 6868))
                with contextlib.suppress(TimeoutError):
                    return bool(other.recv(10))
                return False

            wait_for(passes)
            server.sendto(b"x", ("10.1.0.12", 68))
            with pytest.raises(TimeoutError):
                heard.recv(10)


def test_a_disabled_port_is_silent(world: World, one: Guest) -> None:
    with world.instead(changed(world.two, enabled=False)):
        wait_for(lambda: not one.pings("10.1.0.12"))
    one.reaches("10.1.0.12")


def test_the_way_out_and_floating_addresses(world: World, one: Guest, two: Guest) -> None:
    outside = world.cloud.outside
    one.reaches(OUT)
    two.reaches(OUT)
    with listen(outside, OUT, 8080) as server:
        assert transfer(server, lambda: two.connect(OUT, 8080)) == "172.24.4.10"
        assert transfer(server, lambda: one.connect(OUT, 8080)) == "172.24.4.20"
    with one.listener("10.1.0.11", 8002) as server:
        assert transfer(server, lambda: connect(outside, "172.24.4.20", 8002)) == OUT
    with one.listener("10.1.0.11", 8003) as server:
        transfer(server, lambda: two.connect("172.24.4.20", 8003))
    without = Router(id=world.router.id, legs=world.router.legs, gateway=world.router.gateway, next_hops=(OUT,), snat=world.router.snat)
    with world.instead(without), one.listener("10.1.0.11", 8002):
        wait_for(lambda: not opens(outside, "172.24.4.20", 8002))
        one.reaches(OUT)
    with one.listener("10.1.0.11", 8002):
        wait_for(lambda: opens(outside, "172.24.4.20", 8002))


def test_floating_addresses_that_leave_from_the_guests_host(world: World, one: Guest) -> None:
    fabric = OvnFabric(world.cloud.layout.nb, chassis=lambda: ["host-1"], distributed=True)
    try:
        fabric.ensure([world.router])
        with one.listener("10.1.0.11", 8002) as server:
            wait_for(lambda: opens(world.cloud.outside, "172.24.4.20", 8002))
            server.accept()[0].close()
            assert transfer(server, lambda: connect(world.cloud.outside, "172.24.4.20", 8002)) == OUT
    finally:
        fabric.close()
        world.cloud.fabric.ensure([world.router])


def test_a_router_that_is_off_and_extra_routes(world: World, one: Guest, two: Guest) -> None:
    with world.instead(Router(id=world.router.id, enabled=False, legs=world.router.legs)):
        wait_for(lambda: not one.pings("10.2.0.13"))
    routed = Router(id=world.router.id, legs=world.router.legs, routes=(("10.99.0.0/16", "10.1.0.12"),))
    three = world.guests["three"]
    two.run("ip", "addr", "add", "10.99.0.1/32", "dev", "lo")
    with world.instead(routed, changed(world.two, pairs=((world.two.mac, "10.99.0.0/16"),))):
        three.reaches("10.99.0.1")
    one.reaches(OUT)


def test_metadata_is_reached_on_both_families(world: World, one: Guest) -> None:
    for address in ("169.254.169.254", "fe80::a9fe:a9fe"):
        with plug.listen(world.metadata, address, 80) as server:
            wait_for(lambda address=address: opens(one.namespace, address, 80))  # type: ignore[misc]
            server.accept()[0].close()
            peer = transfer(server, lambda address=address: connect(one.namespace, address, 80))  # type: ignore[misc]
            assert peer.partition("%")[0] == ("10.1.0.11" if "." in address else "fe80::f816:3eff:fe00:1")


def test_names_of_neighbours(world: World, one: Guest) -> None:
    assert ask_dns(one.namespace, "10.1.0.1", "two.example") == ["10.1.0.12"]
    assert ask_dns(one.namespace, "10.1.0.1", "TWO.example", 28) == ["fd00:1::12"]
    assert ask_dns(one.namespace, "10.1.0.1", "absent.example") == []


def test_ipv6_by_advertisement_and_dhcp(world: World, one: Guest, two: Guest) -> None:
    for guest, address in ((one, "fd00:1::11"), (two, "fd00:1::12")):
        guest.run("ip", "-6", "addr", "add", f"{address}/64", "dev", "eth0", "nodad")
    wait_for(lambda: one.run("busybox", "ping6", "-c", "1", "-W", "1", "fd00:1::1").returncode == 0)
    six = Group(id=world.web.id, rules=(*world.web.rules, allow("ingress", "icmpv6", ethertype="IPv6"), allow("ingress", "icmpv6")))
    assert one.run("busybox", "ping6", "-c", "1", "-W", "1", "fd00:1::12").returncode != 0
    with world.instead(six):
        wait_for(lambda: one.run("busybox", "ping6", "-c", "1", "-W", "1", "fd00:1::12").returncode == 0)
    routes = wait_for(lambda: one.run("ip", "-6", "route", "show", "default").stdout, 15)
    assert "proto ra" in routes
    assert socket.inet_pton(socket.AF_INET6, "fd00:1::11") in solicit(one)


def solicit(guest: Guest) -> bytes:
    """What DHCPv6 advertises (RFC 8415): a SOLICIT with the client's DUID-LL and an IA_NA, and its answer."""
    duid = struct.pack("!HHHH", 1, 10, 3, 1) + bytes.fromhex(guest.port.mac.replace(":", ""))
    message = b"\x01abc" + duid + struct.pack("!HHIII", 3, 12, 1, 0, 0)
    with plug.links.inside(guest.namespace) as netlink:
        client = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        client.bind(("::", 546))
        scope = plug.links.index(netlink, "eth0")
    with client:
        client.settimeout(3)
        client.sendto(message, ("ff02::1:2", 547, 0, scope))
        return client.recv(1500)


@pytest.mark.parametrize("name", ["ovn-ovsdb", "ovn-northd", "ovs-ovsdb", "ovs-vswitchd", "ovn-controller"])
def test_everything_again_after_a_daemon_was_killed(world: World, one: Guest, two: Guest, three: Guest, name: str) -> None:
    world.cloud.launcher.restart(name)
    started = time.monotonic()
    one.reaches("10.1.0.12", 15)
    one.reaches("10.2.0.13", 15)
    one.reaches(OUT, 15)
    assert time.monotonic() - started < 15, name
    world.cloud.fabric.ensure(world.specs)
    assert world.cloud.metadata(world.end) == world.metadata
    with two.listener("10.1.0.12", 8011):
        assert not opens(one.namespace, "10.1.0.12", 8011)
    one.dhcp()
    test_neighbours_ping_and_transfer(one, two)
    test_metadata_is_reached_on_both_families(world, one)
    test_names_of_neighbours(world, one)
    with one.listener("10.1.0.11", 8002) as server:
        transfer(server, lambda: connect(world.cloud.outside, "172.24.4.20", 8002))
