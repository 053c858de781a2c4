"""What every network driver does, asked of the fake and of the real one alike."""

import asyncio
import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from andromede.core.daemon import is_ready
from andromede.core.errors import DriverError
from andromede.core.ids import new_id, tap_name
from andromede.drivers.network import (
    KINDS,
    Addresses,
    Fabric,
    Fixed,
    Forward,
    Group,
    Leg,
    Limit,
    MetadataEnd,
    Nat,
    Network,
    Plug,
    Plugged,
    Port,
    Qos,
    Router,
    Rule,
    Spec,
    Subnet,
)
from andromede.drivers.network.fake import FakeFabric, FakePlug
from andromede.drivers.network.ovn import databases, host, links
from andromede.drivers.network.ovn.fabric import OvnFabric
from andromede.drivers.network.ovn.layout import Layout
from tests.host.ovn_cloud import Cloud, missing

REAL = pytest.param("real", marks=pytest.mark.skipif(bool(missing), reason=f"missing here: {', '.join(missing)}"))


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    made = Cloud()
    yield made
    made.close()


@pytest.fixture(params=["fake", REAL])
def fabric(request: pytest.FixtureRequest) -> Iterator[Fabric]:
    if request.param == "fake":
        yield FakeFabric()
        return
    real = request.getfixturevalue("cloud").fabric
    yield real
    for kind in KINDS:
        real.remove(kind, list(real.observe(kind)))


@pytest.fixture(params=["fake", REAL])
def plug(request: pytest.FixtureRequest) -> Plug:
    return FakePlug() if request.param == "fake" else request.getfixturevalue("cloud").plug


class Site:
    """One of each kind, and what is needed around it."""

    def __init__(self) -> None:
        self.network, self.public = Network(id=new_id(), dns={"A.example": ("10.0.0.5",)}), Network(id=new_id(), external=True, physical="public")
        self.subnet = Subnet(id=new_id(), network_id=self.network.id, cidr="10.0.0.0/24", gateway="10.0.0.1", metadata="10.0.0.2")
        rules = (Rule(id=new_id(), direction="ingress", ethertype="IPv4", protocol="tcp", port_min=22, port_max=22),)
        self.friends = Addresses(id=new_id(), addresses=("10.9.0.0/16", "fd00::/64"))
        rules += (Rule(id=new_id(), direction="ingress", ethertype="IPv4", remote_addresses=self.friends.id),)
        self.group = Group(id=new_id(), rules=rules)
        self.port = Port(
            id=new_id(), network_id=self.network.id, mac="fa:16:3e:00:00:05", fixed=(Fixed(self.subnet.id, "10.0.0.5"),),
            groups=(self.group.id,), qos=Qos(limits=(Limit(direction="egress", kbps=1000, burst=80), Limit(direction="ingress", kbps=9)), dscp=26),
        )  # fmt: skip
        self.inner = Port(id=new_id(), network_id=self.network.id, mac="fa:16:3e:00:00:07", parent=self.port.id, segment=7, security=False)
        self.router = Router(
            id=new_id(),
            legs=(Leg(port_id=new_id(), network_id=self.network.id, mac="fa:16:3e:00:00:01", addresses=("10.0.0.1/24",)),),
            gateway=Leg(port_id=new_id(), network_id=self.public.id, mac="fa:16:3e:00:00:02", addresses=("172.24.4.9/24",)),
            next_hops=("172.24.4.1",),
            snat=("10.0.0.0/24",),
            floating=(Nat(id=new_id(), external="172.24.4.30", internal="10.0.0.5", port_id=self.port.id, mac="fa:16:3e:00:00:03",
                          qos=Qos(limits=(Limit(direction="egress", kbps=500),))),),
            forwards=(Forward(id=new_id(), external="172.24.4.31", internal="10.0.0.5", protocol="udp", ports=((53, 5353), (54, 5354))),),
            limits=(("172.24.4.31", Qos(limits=(Limit(direction="ingress", kbps=500),))),),
            apart=(("10.0.0.0/24", "10.8.0.0/24"),),
        )  # fmt: skip

    @property
    def all(self) -> list[Spec]:
        return [self.router, self.inner, self.port, self.group, self.friends, self.subnet, self.network, self.public]


def struct(spec: Any, **fields: object) -> Any:
    return type(spec)(**{**{name: getattr(spec, name) for name in spec.__struct_fields__}, **fields})


def test_what_is_ensured_in_any_order_is_observed(fabric: Fabric) -> None:
    site = Site()
    fabric.ensure(site.all)
    fabric.ensure(site.all)
    held = {kind: fabric.observe(kind) for kind in KINDS}
    assert held == {
        "network": {site.network.id, site.public.id}, "subnet": {site.subnet.id}, "port": {site.port.id, site.inner.id},
        "group": {site.group.id}, "router": {site.router.id}, "addresses": {site.friends.id},
    }  # fmt: skip
    assert fabric.bound() == {site.port.id: False, site.inner.id: False}


def test_what_is_removed_is_gone_and_may_be_removed_again(fabric: Fabric) -> None:
    site = Site()
    fabric.ensure(site.all)
    for _ in range(2):
        for kind, spec in (
            ("router", site.router), ("port", site.inner), ("port", site.port), ("group", site.group), ("addresses", site.friends),
            ("subnet", site.subnet),
        ):  # fmt: skip
            fabric.remove(kind, [spec.id])
        fabric.remove("network", [site.network.id, site.public.id, new_id()])
    assert all(fabric.observe(kind) == set() for kind in KINDS)


def test_removing_a_network_takes_its_ports(fabric: Fabric) -> None:
    site = Site()
    fabric.ensure([site.network, site.subnet, site.group, site.port])
    fabric.remove("network", [site.network.id])
    assert fabric.observe("port") == set()
    fabric.remove("port", [site.port.id])


def test_a_metadata_port_is_observed_and_never_bound(fabric: Fabric) -> None:
    site = Site()
    end = Port(id=new_id(), network_id=site.network.id, mac="fa:16:3e:00:00:06", metadata=True)
    fabric.ensure([site.network, end])
    assert fabric.observe("port") == {end.id}
    assert fabric.bound() == {}


def test_the_last_description_counts(fabric: Fabric) -> None:
    site = Site()
    fabric.ensure([*site.all, struct(site.router, gateway=None, floating=(), snat=(), next_hops=(), forwards=(), limits=(), apart=())])
    fabric.ensure([struct(site.port, groups=(), security=False, qos=None), struct(site.network, dns={}), struct(site.group, rules=())])
    fabric.ensure([struct(site.inner, parent=None, segment=None), struct(site.friends, addresses=())])
    assert fabric.observe("router") == {site.router.id}


def test_a_port_of_no_network_is_refused_and_nothing_is_written(fabric: Fabric) -> None:
    site = Site()
    with pytest.raises(DriverError):
        fabric.ensure([site.group, struct(site.port, fixed=())])
    with pytest.raises(DriverError):
        fabric.ensure([struct(site.network, dns={}), struct(site.subnet, dns=("1.1.1.1, x",))])
    with pytest.raises(DriverError):
        fabric.ensure([struct(site.friends, addresses=("10.0.0.0/8", "x"))])
    assert all(fabric.observe(kind) == set() for kind in KINDS)


def test_an_unknown_kind_is_refused(fabric: Fabric) -> None:
    with pytest.raises(DriverError):
        fabric.remove("planet", ["x"])


def test_taps_come_and_go(plug: Plug) -> None:
    port = Plugged(port_id=new_id(), mac="fa:16:3e:00:00:05", mtu=1400, owner=1234)

    async def steps() -> None:
        for _ in range(2):
            assert await plug.ensure(port) == tap_name(port.port_id)
        assert (await plug.observe())[0] == {port.port_id[:11]}
        for _ in range(2):
            await plug.remove(port.port_id)
        assert await plug.observe() == (set(), set())
        await plug.close()

    asyncio.run(steps())


def test_metadata_ends_come_and_go(plug: Plug) -> None:
    end = MetadataEnd(network_id=new_id(), port_id=new_id(), mac="fa:16:3e:00:00:06", addresses=("10.0.0.2/24", "fd00::2/64"))

    async def steps() -> None:
        first = await plug.ensure_metadata(end)
        assert first.startswith("andromd-")
        assert await plug.ensure_metadata(end) == first
        assert (await plug.observe())[1] == {end.network_id[:11]}
        for _ in range(2):
            await plug.remove_metadata(end.network_id)
        assert await plug.observe() == (set(), set())

    asyncio.run(steps())


def test_the_fake_carries_a_large_cloud_and_breaks_on_demand() -> None:
    fabric = FakeFabric()
    network = Network(id=new_id())
    ports: list[Spec] = [Port(id=new_id(), network_id=network.id, mac="fa:16:3e:00:00:05", host="h") for _ in range(30_000)]
    fabric.ensure([network, *ports])
    assert fabric.writes == 30_001
    fabric.ensure(ports)
    assert fabric.writes == 30_001
    assert all(fabric.bound().values())
    assert fabric.get("network", network.id) == network
    fabric.close()
    fabric.broken = True
    for ask in (lambda: fabric.observe("port"), lambda: fabric.ensure([]), lambda: fabric.remove("port", []), fabric.bound):
        with pytest.raises(DriverError):
            ask()


class TestReal:
    """What only the real one can get wrong."""

    pytestmark = pytest.mark.skipif(bool(missing), reason="needs the real one")

    def rows(self, cloud: Cloud, table: str) -> list[Any]:
        return cloud.fabric._db.read(lambda: list(cloud.fabric._db.tables[table].rows.values()))

    @pytest.fixture
    def site(self, cloud: Cloud) -> Iterator[Site]:
        site = Site()
        cloud.fabric.ensure(site.all)
        yield site
        for kind in KINDS:
            cloud.fabric.remove(kind, list(cloud.fabric.observe(kind)))
        assert {row.external_ids["andromede:kind"] for table in cloud.fabric._db.tables for row in self.rows(cloud, table)} <= {"system"}

    def test_repeating_writes_nothing(self, cloud: Cloud, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        written: list[int] = []
        write = cloud.fabric._db.write

        def watch(work: Callable[[Any], None], **limits: float) -> None:
            write(lambda txn: (work(txn), written.append(len(txn._txn_rows)))[0], **limits)

        monkeypatch.setattr(cloud.fabric._db, "write", watch)
        cloud.fabric.ensure(site.all)
        cloud.fabric.ensure([struct(site.port, hostname="other")])
        assert written == [0, 1]

    def test_drift_is_repaired(self, cloud: Cloud, site: Site) -> None:
        def spoil(_txn: Any) -> None:
            for table, row in [(name, row) for name in cloud.fabric._db.tables for row in cloud.fabric._db.tables[name].rows.values()]:
                if table == "Logical_Switch_Port" and row.name == site.port.id:
                    row.port_security, row.dhcpv4_options = [], []
                if table == "Port_Group":
                    row.ports = []
                    row.acls = []
                if table == "Logical_Router":
                    row.nat, row.load_balancer, row.policies = [], [], []
                if table == "Logical_Switch":
                    row.qos_rules = []
                if table == "Address_Set":
                    row.addresses = []

        before = self.shape(cloud)
        cloud.fabric._db.write(spoil)
        assert self.shape(cloud) != before
        cloud.fabric.ensure(site.all)
        assert self.shape(cloud) == before

    def shape(self, cloud: Cloud) -> list[Any]:
        secured = [row for row in self.rows(cloud, "Port_Group") for _ in row.ports]
        ports = [(row.name, row.port_security, bool(row.dhcpv4_options)) for row in self.rows(cloud, "Logical_Switch_Port")]
        balanced = [len(row.load_balancer) for row in self.rows(cloud, "Logical_Router")]
        counted = ("ACL", "NAT", "QoS", "Load_Balancer", "Address_Set", "Logical_Router_Policy")
        return [len(secured), sorted(ports), balanced, *(len(self.rows(cloud, table)) for table in counted)]

    def test_ports_follow_their_groups_subnets_and_networks(self, cloud: Cloud, site: Site) -> None:
        members = lambda: {row.name: len(row.ports) for row in self.rows(cloud, "Port_Group")}  # noqa: E731
        name = "pg_" + site.group.id.replace("-", "_")
        other = Group(id=new_id())
        cloud.fabric.ensure([other, struct(site.port, groups=(other.id,))])
        assert (members()[name], members()["pg_" + other.id.replace("-", "_")]) == (0, 1)
        cloud.fabric.remove("group", [other.id])
        cloud.fabric.ensure([other])
        assert members()["pg_" + other.id.replace("-", "_")] == 1
        cloud.fabric.ensure([struct(site.port, security=False)])
        assert set(members().values()) == {0}
        cloud.fabric.ensure([struct(site.subnet, dhcp=False)])
        lsp = lambda: next(row for row in self.rows(cloud, "Logical_Switch_Port") if row.name == site.port.id)  # noqa: E731
        assert lsp().dhcpv4_options == []
        cloud.fabric.ensure([site.subnet])
        assert len(lsp().dhcpv4_options) == 1
        moved = Network(id=new_id())
        cloud.fabric.ensure([moved, struct(site.port, network_id=moved.id, dhcp_options=(("15", "x"),))])
        switches = {row.name: [port.name for port in row.ports] for row in self.rows(cloud, "Logical_Switch")}
        assert switches[f"network-{moved.id}"] == [site.port.id]

    def test_without_a_server_it_fails_soon_and_comes_back(self, cloud: Cloud, site: Site) -> None:
        cloud.fabric._db._timeout = 0.5
        cloud.launcher.kill("ovn-ovsdb")
        try:
            for ask in (lambda: cloud.fabric.observe("port"), lambda: cloud.fabric.ensure([site.network]), cloud.fabric.bound):
                with pytest.raises(DriverError):
                    ask()
        finally:
            cloud.launcher.start("ovn-ovsdb")
            cloud.fabric._db._timeout = 5
        assert cloud.fabric.observe("port") == {site.port.id, site.inner.id}
        cloud.fabric.close()
        assert cloud.fabric.observe("port") == {site.port.id, site.inner.id}

    def test_no_server_at_all(self, tmp_path: Any) -> None:
        lost = OvnFabric(f"unix:{tmp_path}/none.sock", timeout=0.3)
        with pytest.raises(DriverError):
            lost.observe("port")
        lost.close()

    def test_many_threads_share_one_fabric(self, cloud: Cloud, site: Site) -> None:
        ports = [struct(site.port, id=new_id(), fixed=(), mac=f"fa:16:3e:00:01:{number:02x}") for number in range(64)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda port: cloud.fabric.ensure([port]), ports))
        assert cloud.fabric.observe("port") == {site.port.id, site.inner.id, *(port.id for port in ports)}

    def test_half_made_taps_are_mended(self, cloud: Cloud) -> None:

        port = Plugged(port_id=new_id(), mac="fa:16:3e:00:00:05", owner=1234)
        plug, name = cloud.plug, tap_name(port.port_id)
        asyncio.run(plug.ensure(port))
        links.remove_link(cloud.layout.namespace, name)
        asyncio.run(plug.ensure(port))
        plug._part(name)
        asyncio.run(plug.ensure(struct(port, mtu=1300, owner=4321)))
        with links.inside(cloud.layout.namespace) as netlink:
            found = netlink.get_links(links.index(netlink, name))[0]
            assert found.get_attr("IFLA_MTU") == 1300
            assert links._owner(netlink, found["index"]) == 4321
        interface = plug._db.read(lambda: plug._rows(name)[2])
        assert interface.external_ids == {"iface-id": port.port_id, "iface-status": "active", "attached-mac": port.mac}
        plug._db.write(lambda _txn: setattr(interface, "external_ids", {}))
        asyncio.run(plug.ensure(port))
        assert plug._db.read(lambda: plug._rows(name)[2].external_ids["iface-id"]) == port.port_id
        asyncio.run(plug.remove(port.port_id))

    def test_half_made_metadata_ends_are_mended(self, cloud: Cloud) -> None:

        end = MetadataEnd(network_id=new_id(), port_id=new_id(), mac="fa:16:3e:00:00:06", addresses=("10.0.0.2/24",))
        plug = cloud.plug
        namespace = asyncio.run(plug.ensure_metadata(end))
        links.remove_link(namespace, "meta0")
        assert asyncio.run(plug.ensure_metadata(struct(end, addresses=("10.0.0.3/24",)))) == namespace
        with links.inside(namespace) as netlink:
            number = links.index(netlink, "meta0")
            assert number is not None
            has = {found.get_attr("IFA_ADDRESS") for found in netlink.get_addr(index=number)}
        assert {"10.0.0.3", "169.254.169.254", "fe80::a9fe:a9fe"} <= has
        assert "10.0.0.2" not in has
        links.remove_namespace(namespace)
        Path(f"/run/netns/{namespace}").touch()
        assert asyncio.run(plug.ensure_metadata(end)) == namespace
        links.remove_namespace(namespace)
        Path(f"/run/netns/{namespace}").touch()
        asyncio.run(plug.remove_metadata(end.network_id))
        assert namespace not in links.namespaces()

    def test_the_host_side_is_made_once_and_daemons_have_few_rights(self, cloud: Cloud) -> None:

        host.make(cloud.layout)
        databases.prepare(cloud.layout)
        status = {name: Path(f"/proc/{process.pid}/status").read_text() for name, process in cloud.launcher.running.items()}
        effective = {name: next(line for line in text.splitlines() if line.startswith("CapEff")).split()[1] for name, text in status.items()}
        assert {name for name, text in effective.items() if int(text, 16) == 0} == {"ovn-ovsdb", "ovn-northd", "ovs-ovsdb"}
        assert all(is_ready(daemon) for daemon in cloud.launcher.daemons.values())
        sockets = {name: Path(f"{cloud.layout.central_dir}/{name}.sock").stat() for name in ("nb", "sb")}
        assert all((found.st_gid, found.st_mode & 0o777) == (cloud.layout.gid, 0o770) for found in sockets.values())
        assert Path(cloud.layout.switch_dir).stat().st_mode & 0o777 == 0o700
        with links.inside(cloud.layout.namespace) as netlink:
            assert {"lo", cloud.layout.host_link} <= links.names(netlink)
        assert cloud.seconds < 5
        assert sum(cloud.launcher.memory().values()) < 150_000

    def test_stopping_the_controller_keeps_the_flows(self, cloud: Cloud) -> None:
        dump = ["ovs-ofctl", "dump-flows", f"unix:{cloud.layout.switch_dir}/br-int.mgmt"]

        def flows() -> str:
            return subprocess.run(dump, capture_output=True, text=True, check=False, timeout=10).stdout

        deadline = time.monotonic() + 30
        while "table=0" not in flows():
            assert time.monotonic() < deadline, "the controller has made no flows"
            time.sleep(0.1)
        daemon = cloud.launcher.daemons["ovn-controller"]
        process = cloud.launcher.running.pop("ovn-controller")
        subprocess.run(daemon.stop, env={**os.environ, **daemon.env}, check=True, timeout=10)
        assert process.wait(10) == 0
        assert not is_ready(daemon)
        assert "table=0" in flows()
        cloud.launcher.start("ovn-controller")


def test_teardown_leaves_nothing() -> None:
    if missing:
        pytest.skip("needs the real one")

    cloud = Cloud()
    asyncio.run(cloud.plug.ensure_metadata(MetadataEnd(network_id=new_id(), port_id=new_id(), mac="fa:16:3e:00:00:06", addresses=())))
    pids = [process.pid for process in cloud.launcher.running.values()]
    cloud.close()
    assert not [name for name in links.namespaces() if cloud.layout.tag in name]
    assert not Path(cloud.directory).exists()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 0)
            raise AssertionError("a daemon is left")


@pytest.mark.skipif(bool(missing), reason="needs the real one")
def test_databases_are_upgraded_and_settings_follow(tmp_path: Path) -> None:
    layout = Layout(state=str(tmp_path), chassis="one", tag="zz")
    home = Path(layout.central_dir)
    home.mkdir()
    schema = json.loads(Path(databases.SCHEMAS["nb"]).read_text())
    schema["version"] = "6.0.0"
    del schema["tables"]["Logical_Switch_Port"]["columns"]["mirror_rules"], schema["cksum"]
    (tmp_path / "old.ovsschema").write_text(json.dumps(schema))

    def tool(*words: str) -> str:
        return subprocess.run(["ovsdb-tool", *words], capture_output=True, text=True, check=True, timeout=10).stdout

    tool("create", f"{home}/nb.db", f"{tmp_path}/old.ovsschema")
    databases.prepare(layout)
    assert tool("db-version", f"{home}/nb.db") != "6.0.0\n"
    conf = f"{layout.switch_dir}/conf.db"
    gone = '["Open_vSwitch",{"op":"mutate","table":"Bridge","where":[["name","==","br-ex"]],"mutations":[["ports","delete",%s]]}]'
    port = json.loads(tool("query", conf, '["Open_vSwitch",{"op":"select","table":"Port","where":[["name","==","andro-zz"]]}]'))
    tool("transact", conf, gone % json.dumps(port[0]["rows"][0]["_uuid"]))
    (Path(layout.switch_dir) / "ovn-controller.4194305.ctl").touch()
    databases.prepare(struct(layout, chassis="two", datapath="system"))
    assert not list(Path(layout.switch_dir).glob("ovn-controller.*"))
    ask = '["Open_vSwitch",{"op":"select","table":"Open_vSwitch","where":[]},{"op":"select","table":"Bridge","where":[]},'
    roots, bridges, ports = (answer["rows"] for answer in json.loads(tool("query", conf, ask + '{"op":"select","table":"Port","where":[]}]')))
    assert dict(roots[0]["external_ids"][1])["system-id"] == "two"
    assert {(row["name"], row["datapath_type"]) for row in bridges} == {("br-int", "system"), ("br-ex", "system")}
    assert "andro-zz" in {row["name"] for row in ports}
    with pytest.raises(DriverError):
        databases._transact(layout, [{"op": "select", "table": "Nothing", "where": []}])
