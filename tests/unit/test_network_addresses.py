"""Which addresses are given out: never one twice, never one outside the pools, all of them before none is left."""

import ipaddress
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from andromede.core.errors import BadRequest, Conflict
from andromede.services.network import addresses, ports, subnetpools, subnets
from andromede.services.network.addresses import Asked
from andromede.services.network.rows import add, one
from andromede.services.network.tables import network, port, subnet


def home(db, **facts):
    id_ = add(db, network, project_id="p", mtu=1442, type="geneve", hints=[], **facts)
    return one(db, network, id_)


def inside(db, on, cidr, pools=None, **facts):
    version = ipaddress.ip_network(cidr).version
    gateway = facts.pop("gateway", None)
    id_ = add(
        db, subnet, project_id="p", network_id=on["id"], cidr=cidr, ip_version=version, gateway=gateway, dns=[], routes=[],
        pools=pools or subnets.default_pools(cidr, gateway), **facts,
    )  # fmt: skip
    return one(db, subnet, id_)


def addresses_of(db, port_id):
    query = addresses.select(addresses.fixed.c.address).where(addresses.fixed.c.port_id == port_id)
    return list(db.scalars(query.order_by(addresses.fixed.c.place)))


@pytest.mark.parametrize("cidr", ["10.0.0.0/28", "10.0.0.0/31", "10.0.0.4/32", "fd00::/124"])
def test_every_address_is_given_once_and_then_none(database, cidr):
    with database.write() as db:
        on = home(db)
        row = inside(db, on, cidr)
        whole = {str(one_) for one_ in ipaddress.ip_network(cidr) if addresses.usable(cidr, str(one_))}
        got = [addresses_of(db, ports.make(db, on, project_id="p"))[0] for _ in whole]
        assert set(got) == whole
        assert len(got) == len(whole)
        with pytest.raises(Conflict) as caught:
            ports.make(db, on, project_id="p")
        assert caught.value.kind == "IpAddressGenerationFailure"
        some = db.scalars(addresses.select(port.c.id).limit(1)).one()
        freed = addresses_of(db, some)
        ports.destroy(db, [some])
        assert addresses_of(db, ports.make(db, on, project_id="p")) == freed
        assert row["cidr"] == cidr


def test_the_last_free_address_of_a_large_subnet_is_found(database):
    with database.write() as db:
        on = home(db)
        row = inside(db, on, "10.0.0.0/22")
        holder = ports.make(db, on, project_id="p", asked=[])
        free = "10.0.2.77"
        values = [
            {"subnet_id": row["id"], "number": addresses.number(str(each)), "port_id": holder, "address": str(each), "place": 0}
            for each in ipaddress.ip_network(row["cidr"]).hosts() if str(each) != free
        ]  # fmt: skip
        db.execute(addresses.insert(addresses.fixed), values)
        assert addresses.pick(db, row) == free


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_picked_addresses_are_free_and_in_the_pools(database, data):
    cidr = data.draw(st.sampled_from(["10.0.0.0/26", "10.0.0.0/23", "fd00::/120", "fd00::/64"]))
    base, size = int(ipaddress.ip_network(cidr).network_address), min(ipaddress.ip_network(cidr).num_addresses, 512)
    cuts = sorted(data.draw(st.sets(st.integers(1, size - 2), min_size=2, max_size=6)))
    kind = type(ipaddress.ip_network(cidr).network_address)
    pools = [[str(kind(base + first)), str(kind(base + last - 1))] for first, last in list(pairwise(cuts))[::2]]
    with database.engine.connect() as db, db.begin() as transaction:
        on = home(db)
        row = inside(db, on, cidr, pools)
        room = {each for first, last in pools for each in range(int(ipaddress.ip_address(first)), int(ipaddress.ip_address(last)) + 1)}
        got = [addresses_of(db, ports.make(db, on, project_id="p"))[0] for _ in range(min(len(room), 30))]
        assert len(set(got)) == len(got)
        assert {int(ipaddress.ip_address(each)) for each in got} <= room
        assert all(addresses.usable(row["cidr"], each) for each in got)
        transaction.rollback()


@given(prefix=st.integers(16, 31), hole=st.integers(0, 100))
def test_default_pools_hold_every_address_but_the_gateway(prefix, hole):
    cidr = f"10.0.0.0/{prefix}"
    hosts = ipaddress.ip_network(cidr)
    gateway = str(hosts[min(hole, hosts.num_addresses - 1)])
    pools = subnets.default_pools(cidr, gateway)
    size = sum(int(ipaddress.ip_address(last)) - int(ipaddress.ip_address(first)) + 1 for first, last in pools)
    usable = hosts.num_addresses - (2 if hosts.num_addresses > 2 else 0)
    assert size == usable - addresses.usable(cidr, gateway)
    assert all(addresses.usable(cidr, edge) and edge != gateway for pool in pools for edge in pool)


@given(lengths=st.lists(st.integers(25, 30), max_size=12))
def test_prefixes_cut_from_a_pool_do_not_overlap(lengths):
    prefix, held = ipaddress.ip_network("10.0.0.0/24"), []
    for length in lengths:
        text = subnetpools._first_free(prefix, length, held)
        if text is None:
            room = 256 - sum(each.num_addresses for each in held)
            assert room < 256
            continue
        found = ipaddress.ip_network(text)
        assert found.subnet_of(prefix)
        assert not any(found.overlaps(each) for each in held)
        held = sorted([*held, found], key=lambda each: int(each.network_address))


def test_an_address_made_from_a_mac():
    assert addresses.eui64("2001:db8::/64", "fa:16:3e:12:34:56") == "2001:db8::f816:3eff:fe12:3456"


def test_one_address_of_each_version_and_none_where_none_is_asked(database):
    with database.write() as db:
        on = home(db)
        assert addresses_of(db, ports.make(db, on, project_id="p")) == []
        inside(db, on, "10.0.0.0/24")
        inside(db, on, "10.0.1.0/24")
        six = inside(db, on, "fd00::/64", address_mode="slaac", ra_mode="slaac")
        inside(db, on, "fd01::/64", address_mode="dhcpv6-stateful", ra_mode="dhcpv6-stateful")
        got = addresses_of(db, ports.make(db, on, project_id="p", mac="fa:16:3e:00:00:01"))
        assert [":" in each for each in got] == [False, True, True]
        assert addresses.eui64(six["cidr"], "fa:16:3e:00:00:01") in got
        assert addresses_of(db, ports.make(db, on, project_id="p", asked=[])) == []
        with pytest.raises(BadRequest):
            ports.make(db, on, project_id="p", asked=[Asked(address="10.0.0.9"), Asked(address="10.0.0.9")])
