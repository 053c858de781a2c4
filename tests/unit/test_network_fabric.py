"""Rows to specs, and the reconciler that brings them to the fabric: drift, tombstones, refusals, what it costs."""

import pytest

from andromede.core.errors import DriverError
from andromede.drivers.network import Group, Network, Port, Rule, Subnet
from andromede.drivers.network.fake import FakeFabric
from andromede.services.network import ports, service
from andromede.services.network.addresses import Asked
from andromede.services.network.fabric import specs
from andromede.services.network.reconcile import Follower
from andromede.services.network.rows import add, bury, one, touch
from andromede.services.network.tables import group, network, port, router, rule, subnet, tombstone
from tests.unit.test_network_addresses import home, inside


@pytest.fixture
def fabric():
    return FakeFabric()


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def follower(database, fabric, clock):
    return Follower(database, fabric, clock=lambda: clock[0])


def prepared(database):
    """A network with a subnet and a port in a group; their ids."""
    with database.write() as db:
        on = home(db, name="n")
        within = inside(db, on, "10.0.0.0/24", gateway="10.0.0.1")
        ports.metadata_addresses(db, on)
        guard = add(db, group, project_id="p", name="g")
        add(db, rule, project_id="p", group_id=guard, direction="ingress", ethertype="IPv4", protocol="tcp", port_min=22, port_max=22)
        mine = ports.make(
            db, on, project_id="p", groups=[guard], security=True, dns_name="web", asked=[Asked(address="10.0.0.7")], mac="fa:16:3e:00:00:07",
            device_id="server-1", device_owner="compute:nova",
        )  # fmt: skip
    return on["id"], within["id"], guard, mine


def test_specs_say_what_the_rows_say(database):
    on, within, guard, mine = prepared(database)
    with database.write() as db:
        touch(db, network, on, dns_domain="example.org.")
    with database.read() as db:
        (spec,), generations = specs(db, "network", [on, "gone"])
        assert spec == Network(id=on, mtu=1442, dns={"web": ("10.0.0.7",), "web.example.org": ("10.0.0.7",)})
        assert generations[on] > 1
        serving = service.metadata_ends(db, [on])[0]
        (spec,), _ = specs(db, "subnet", [within])
        assert spec == Subnet(
            id=within, network_id=on, cidr="10.0.0.0/24", gateway="10.0.0.1", metadata=serving.addresses[0].removesuffix("/24")
        )
        (spec,), _ = specs(db, "group", [guard])
        assert isinstance(spec, Group)
        assert [(each.protocol, each.port_min, each.remote_cidr) for each in spec.rules] == [("tcp", 22, None)]
        assert isinstance(spec.rules[0], Rule)
        (spec,), _ = specs(db, "port", [mine])
        assert isinstance(spec, Port)
        assert (spec.groups, spec.hostname, spec.host, spec.metadata) == ((guard,), "web", None, False)
        (spec,), _ = specs(db, "port", [serving.port_id])
        assert (spec.metadata, spec.security) == (True, False)


def test_a_router_is_one_spec_with_its_ports(database, follower, fabric):
    on, within, _, mine = prepared(database)
    with database.write() as db:
        outside = home(db, name="public", external=True)
        out = inside(db, outside, "172.24.4.0/24", gateway="172.24.4.1", dhcp=False)
        id_ = add(db, router, project_id="p", routes=[["10.9.0.0/16", "10.0.0.9"]], hints=[])
        leg = ports.make(
            db, one(db, network, on), project_id="p", asked=[Asked(within, "10.0.0.1")], device_owner=ports.INTERFACE, device_id=id_
        )
        gate = ports.make(
            db, outside, project_id="", asked=[Asked(out["id"], "172.24.4.9")], device_owner=ports.GATEWAY, device_id=id_
        )
        touch(db, router, id_, gateway_port_id=gate)
    with database.read() as db:
        (spec,), _ = specs(db, "router", [id_])
    assert [(each.port_id, each.addresses) for each in spec.legs] == [(leg, ("10.0.0.1/24",))]
    assert (spec.gateway.port_id, spec.gateway.addresses) == (gate, ("172.24.4.9/24",))
    assert (spec.next_hops, spec.snat, spec.routes) == (("172.24.4.1",), ("10.0.0.0/24",), (("10.9.0.0/16", "10.0.0.9"),))
    follower.run()
    assert fabric.get("router", id_) == spec
    assert fabric.get("port", leg) is None
    assert fabric.get("port", mine) is not None


def test_what_changed_is_ensured_once(database, follower, fabric):
    on, _, _, mine = prepared(database)
    assert follower.run() != ""
    before = fabric.writes
    assert follower.run() == ""
    assert fabric.writes == before
    with database.write() as db:
        ports.change(db, one(db, port, mine), admin_state_up=False)
    follower.run()
    assert fabric.writes == before + 1
    assert fabric.get("port", mine).enabled is False
    assert fabric.get("network", on) is not None


def test_what_is_deleted_is_removed_at_once(database, follower, fabric):
    on, within, _, mine = prepared(database)
    follower.run()
    with database.write() as db:
        ports.destroy(db, [mine])
        bury(db, port, list(db.scalars(port.select().with_only_columns(port.c.id))))
        bury(db, subnet, [within])
        bury(db, network, [on])
    follower.run()
    assert [fabric.observe(kind) for kind in ("network", "subnet", "port")] == [set(), set(), set()]
    with database.read() as db:
        assert db.execute(tombstone.select()).first() is None


def test_a_full_pass_mends_what_drifted(database, follower, fabric, clock):
    on, _, _, mine = prepared(database)
    follower.run()
    fabric.ensure([Network(id="stray"), Port(id="lost", network_id=on, mac="fa:16:3e:00:00:99")])
    fabric.remove("port", [mine])
    follower.run()
    assert fabric.get("network", "stray") is not None
    clock[0] += 61
    follower.run()
    assert fabric.get("network", "stray") is None
    assert fabric.get("port", "lost") is None
    assert fabric.get("port", mine) is not None


def test_nothing_is_lost_while_the_fabric_is_away(database, follower, fabric):
    on, _, _, mine = prepared(database)
    fabric.broken = True
    with pytest.raises(DriverError):
        follower.run()
    with database.write() as db:
        ports.destroy(db, [mine])
    fabric.broken = False
    follower.run()
    assert fabric.get("network", on) is not None
    assert fabric.get("port", mine) is None


def test_one_row_that_is_refused_holds_up_no_other(database, follower, fabric):
    on, within, *_ = prepared(database)
    with database.write() as db:
        bad = inside(db, one(db, network, on), "10.1.0.0/24")
        touch(db, subnet, bad["id"], dns=["nonsense"])
    with pytest.raises(DriverError):
        follower.run()
    assert fabric.get("subnet", within) is not None
    assert fabric.get("subnet", bad["id"]) is None
    with database.write() as db:
        touch(db, subnet, bad["id"], dns=["9.9.9.9"])
    follower.run()
    assert fabric.get("subnet", bad["id"]) is not None


def test_a_change_during_a_pass_is_not_taken_for_seen(database, follower, fabric):
    *_, mine = prepared(database)
    ensure = fabric.ensure

    def meanwhile(wanted):
        ensure(wanted)
        if any(each.id == mine for each in wanted):
            with database.write() as db:
                ports.change(db, one(db, port, mine), admin_state_up=False)
            fabric.ensure = ensure

    fabric.ensure = meanwhile
    follower.run()
    assert fabric.get("port", mine).enabled is True
    follower.run()
    assert fabric.get("port", mine).enabled is False


def test_a_port_that_becomes_a_routers_leaves_the_fabric_as_a_port(database, follower, fabric):
    *_, mine = prepared(database)
    follower.run()
    with database.write() as db:
        id_ = add(db, router, project_id="p", routes=[], hints=[])
        ports.become_interface(db, one(db, port, mine), id_, "p")
        touch(db, router, id_)
    follower.run()
    assert fabric.get("port", mine) is None
    assert [each.port_id for each in fabric.get("router", id_).legs] == [mine]


def test_ports_are_up_when_the_fabric_says_so(database, follower, fabric, clock):
    *_, mine = prepared(database)

    def status():
        with database.read() as db:
            return one(db, port, mine)["status"]

    follower.run()
    assert follower.watch() == ""
    with database.write() as db:
        ports.change(db, one(db, port, mine), host="host-1")
    clock[0] += 3
    assert follower.watch() == ""
    follower.run()
    clock[0] += 3
    assert follower.watch() == "1 up, 0 down"
    assert status() == "ACTIVE"
    with database.write() as db:
        ports.change(db, one(db, port, mine), host="")
    assert status() == "DOWN"
