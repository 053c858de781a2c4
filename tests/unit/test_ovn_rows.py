"""What specs become in OVN's northbound database, and the parts around it that need no daemon."""

import json

import pytest

from andromede.core.daemon import is_ready
from andromede.core.errors import DriverError
from andromede.core.ids import new_id
from andromede.drivers.network import Fixed, Group, Leg, Nat, Network, Port, Router, Rule, Subnet
from andromede.drivers.network.ovn import commands, databases, groups, host, links, routers, switches
from andromede.drivers.network.ovn.daemons import daemons
from andromede.drivers.network.ovn.layout import Layout, short_tag
from andromede.drivers.network.ovn.messages import Parser
from andromede.drivers.network.ovn.rows import Key, derived_mac, holder, key_of

ME = "a-b"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "outport == @pg_a_b && ip4"),
        ({"direction": "egress", "ethertype": "IPv6"}, "inport == @pg_a_b && ip6"),
        ({"protocol": "any"}, "outport == @pg_a_b && ip4"),
        ({"protocol": "tcp", "port_min": 1, "port_max": 9}, "outport == @pg_a_b && ip4 && tcp && tcp.dst >= 1 && tcp.dst <= 9"),
        ({"protocol": "17", "port_min": 53, "port_max": 53}, "outport == @pg_a_b && ip4 && udp && udp.dst == 53"),
        ({"protocol": "sctp"}, "outport == @pg_a_b && ip4 && sctp"),
        ({"protocol": "icmp", "port_min": 8, "port_max": 0}, "outport == @pg_a_b && ip4 && icmp4 && icmp4.type == 8 && icmp4.code == 0"),
        ({"protocol": "icmp", "ethertype": "IPv6"}, "outport == @pg_a_b && ip6 && icmp6"),
        ({"protocol": "icmpv6", "ethertype": "IPv6", "port_min": 128}, "outport == @pg_a_b && ip6 && icmp6 && icmp6.type == 128"),
        ({"protocol": "58", "ethertype": "IPv6"}, "outport == @pg_a_b && ip6 && icmp6"),
        ({"protocol": "ipv6-icmp"}, None),
        ({"protocol": "VRRP"}, "outport == @pg_a_b && ip4 && ip.proto == 112"),
        ({"protocol": "47"}, "outport == @pg_a_b && ip4 && ip.proto == 47"),
        ({"protocol": "0"}, "outport == @pg_a_b && ip4 && ip.proto == 0"),
        ({"protocol": "udplite", "port_min": 1, "port_max": 2}, None),
        ({"protocol": "tcp || 1"}, None),
        ({"protocol": "256"}, None),
        ({"remote_cidr": "10.0.0.7/8"}, "outport == @pg_a_b && ip4 && ip4.src == 10.0.0.0/8"),
        ({"remote_cidr": "0.0.0.0/0"}, "outport == @pg_a_b && ip4"),
        ({"remote_cidr": "fd00::/8"}, None),
        ({"direction": "egress", "remote_group": "c-d"}, "inport == @pg_a_b && ip4 && ip4.dst == $pg_c_d_ip4"),
        ({"remote_group": "c-d", "ethertype": "IPv6"}, "outport == @pg_a_b && ip6 && ip6.src == $pg_c_d_ip6"),
    ],
)
def test_a_rule_becomes_an_expression(fields: dict, expected: str | None) -> None:
    assert groups.match(ME, Rule(**{"id": new_id(), "direction": "ingress", "ethertype": "IPv4", **fields})) == expected


def test_an_address_that_is_none_becomes_no_expression() -> None:
    with pytest.raises(ValueError, match="does not appear"):
        groups.match(ME, Rule(id="r", direction="ingress", ethertype="IPv4", remote_cidr="0.0.0.0/0 || 1"))


def test_a_rule_that_cannot_be_said_lets_nothing_in() -> None:
    rule = Rule(id="r", direction="ingress", ethertype="IPv4", protocol="dccp", port_min=1, port_max=2)
    assert [row.key.table for row in groups.group(Group(id=ME, rules=(rule,)))] == ["Port_Group"]


def options(**fields: object) -> dict[str, str]:
    subnet = Subnet(**{"id": "s", "network_id": "n", "cidr": "10.0.0.0/24", "gateway": "10.0.0.1", **fields})
    return switches.subnet(subnet)[0].columns["options"]


def test_dhcp_of_subnets() -> None:
    assert options() == {
        "server_id": "10.0.0.1", "server_mac": derived_mac("s"), "lease_time": "43200", "mtu": "1442", "router": "10.0.0.1",
    }  # fmt: skip
    assert options(gateway=None, metadata="10.0.0.2")["classless_static_route"] == "{169.254.169.254/32,10.0.0.2}"
    assert options(gateway=None)["server_id"] == "10.0.0.1"
    assert options(cidr="10.0.0.0/32", gateway=None)["server_id"] == "10.0.0.0"
    assert options(dns=("1.1.1.1", "9.9.9.9"))["dns_server"] == "{1.1.1.1, 9.9.9.9}"
    assert options(routes=(("0.0.0.0/0", "10.0.0.9"),))["classless_static_route"] == "{0.0.0.0/0,10.0.0.9}"
    assert options(dhcp=False) == {}
    six = {"cidr": "fd00::/64", "gateway": "fd00::1"}
    assert options(**six) == {}
    assert options(**six, address_mode="dhcpv6-stateful", dns=("fd00::5",)) == {"server_id": derived_mac("s"), "dns_server": "fd00::5"}
    assert options(**six, address_mode="dhcpv6-stateless")["dhcpv6_stateless"] == "true"


def port(**fields: object) -> dict:
    spec = Port(**{"id": "p", "network_id": "n", "mac": "fa:16:3e:00:00:01", "fixed": (Fixed("s", "10.0.0.5"),), **fields})
    facts = {"s": switches.SubnetFacts(six=False, options={"router": "10.0.0.1"})}
    return {row.key.table: row.columns for row in switches.port(spec, facts)}


def test_what_a_port_may_send() -> None:
    pairs = (("fa:16:3e:00:00:01", "10.9.0.0/16"), ("fa:16:3e:00:00:02", "10.0.0.6"), ("fa:16:3e:00:00:02", "10.0.0.7"))
    held = port(pairs=pairs)["Logical_Switch_Port"]
    assert held["port_security"] == ["fa:16:3e:00:00:01 10.0.0.5 10.9.0.0/16 fe80::f816:3eff:fe00:1", "fa:16:3e:00:00:02 10.0.0.6 10.0.0.7"]
    assert held["addresses"] == ["fa:16:3e:00:00:01 10.0.0.5", "fa:16:3e:00:00:02"]
    free = port(security=False)["Logical_Switch_Port"]
    assert (free["port_security"], free["addresses"][-1]) == ([], "unknown")
    assert port(metadata=True)["Logical_Switch_Port"]["type"] == "localport"
    assert port(hostname='x"y')["Logical_Switch_Port"]["options"] == {"hostname": '"x\\"y"'}


def test_a_hostile_option_stays_a_value() -> None:
    given = (("domain-name", 'a"); drop;'), ("mtu", "1); drop"), ("tftp_server_address", "10.0.0.3"), ("66", '"boot"'), ("nonsense", "1"))
    assert port(dhcp_options=given)["DHCP_Options"]["options"] == {
        "router": "10.0.0.1", "domain_name": '"a\\"); drop;"', "tftp_server_address": "10.0.0.3", "tftp_server": '"boot"',
    }  # fmt: skip


def test_networks() -> None:
    rows = {row.key.table: row.columns for row in switches.network(Network(id="n", external=True, physical="public", dns={"A.b": ("1.2.3.4",)}))}
    assert rows["DNS"] == {"records": {"a.b": "1.2.3.4"}}
    assert rows["Logical_Switch_Port"]["options"]["network_name"] == "public"


def test_a_router_with_everything() -> None:
    leg = Leg(port_id="l", network_id="n", mac="m", addresses=("10.0.0.1/24", "fd00::1/64"), ra_mode="slaac", mtu=9000)
    gate = Leg(port_id="g", network_id="x", mac="m2", addresses=("172.24.4.9/24", "fd99::9/64"), mtu=1500)
    nat = Nat(id="f", external="172.24.4.30", internal="10.0.0.5", port_id="p", mac="m3")
    spec = Router(
        id="r", legs=(leg,), gateway=gate, next_hops=("172.24.4.1", "fd99::1"), snat=("10.0.0.0/24", "fd00::/64"), floating=(nat,),
        routes=(("10.9.0.0/16", "10.0.0.7"),),
    )  # fmt: skip
    hosts = [f"host-{number}" for number in range(9)]
    rows = {(row.key.table, row.key.part): row.columns for row in routers.router(spec, hosts, distributed=True)}
    assert rows["Logical_Router_Port", "l"]["ipv6_ra_configs"] == {"address_mode": "slaac", "send_periodic": "true", "mtu": "9000"}
    assert rows["Logical_Router_Port", "g"]["options"] == {"gateway_mtu": "1500"}
    places = [columns["priority"] for (table, _), columns in rows.items() if table == "Gateway_Chassis"]
    assert sorted(places) == [1, 2, 3, 4, 5]
    assert rows["NAT", "floating/f"]["external_mac"] == ["m3"]
    assert rows["NAT", "snat/fd00::/64"]["external_ip"] == "fd99::9"
    assert rows["Logical_Router_Static_Route", "default/fd99::1"]["ip_prefix"] == "::/0"
    assert rows["Logical_Router_Static_Route", "route/10.9.0.0/16/10.0.0.7"]["output_port"] == []
    central = {row.key.part: row.columns for row in routers.router(spec, [], distributed=False)}
    assert central["floating/f"]["logical_port"] == []


def test_keys_tell_who_owns_and_holds_a_row() -> None:
    assert key_of("ACL", {"neutron": "x"}) is None
    assert key_of("ACL", {"andromede:kind": "group", "andromede:id": "g"}) == Key("group", "g", "ACL", "main")
    assert holder(Key("router", "r", "Gateway_Chassis", "g@host-1"), {}) == Key("router", "r", "Logical_Router_Port", "g")
    assert holder(Key("subnet", "s", "DHCP_Options"), {}) is None


def test_messages_are_cut_where_they_end() -> None:
    texts = [json.dumps({"a": 'q"{\\', "b": [{"c": "}"}]}), json.dumps({"id": None})]
    stream = "".join(texts)
    for size in (1, 2, 3, 7, 1000):
        found, parser, rest = [], Parser(), stream
        while rest:
            chunk = rest[:size]
            used = parser.feed(chunk)
            rest = rest[used:]
            if parser.is_done():
                found.append(parser.finish())
                parser = Parser()
        assert found == [json.loads(text) for text in texts]
    broken = Parser(check_trailer=True)
    broken.feed('{"a":}')
    assert isinstance(broken.finish(), str)


def test_names_fit_where_they_go() -> None:
    assert short_tag("main") == "main"
    layout = Layout(state="/s", chassis="h", tag=short_tag("/var/lib/other"), central=False, southbound="ssl:10.0.0.1:6642")
    assert len(layout.host_link) <= 15
    assert [daemon.name for daemon in daemons(layout)] == ["ovs-ovsdb", "ovs-vswitchd", "ovn-controller"]
    assert databases.switch_settings(layout)["ovn-remote"] == "ssl:10.0.0.1:6642"
    assert not any(is_ready(daemon) for daemon in daemons(layout))


def test_a_command_that_fails_says_so_without_a_path() -> None:
    for argv in (["/bin/false"], ["/bin/nothing-here"]):
        with pytest.raises(DriverError) as caught:
            commands.run(argv)
        assert "/" not in caught.value.message


def test_the_namespace_we_are_in() -> None:
    with links.inside(None) as netlink:
        assert "lo" in links.names(netlink)
    links.remove_link(None, "andro-absent")
    links.remove_link("andromede-absent", "x")
    links.remove_namespace("andromede-absent")
    with pytest.raises(DriverError), links.faults("a thing"), links.inside("andromede-absent"):
        pass


def test_the_probe_gives_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    assert host.datapath().type in {"system", "netdev"}
    monkeypatch.setattr(host, "_family", lambda _name: None)
    assert host.datapath().type == "system"
    with pytest.raises(DriverError), links.faults("a thing"):
        raise OSError(1, "no")
