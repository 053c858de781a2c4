"""Port forwarding, trunks, bindings, and topologies made for projects, through the API; and what the fabric is told of them."""

import pytest

from andromede.drivers.network import Forward
from tests.api.images import active
from tests.api.test_network_basics import V, make, net, public, refused

assert net
assert public


@pytest.fixture
def joined(cloud, net, public):
    """A router between `net` and `public`, and a port."""
    router = make(cloud.user, "router", external_gateway_info={"network_id": public[0]["id"]})
    cloud.user.put(f"{V}/routers/{router['id']}/add_router_interface", {"subnet_id": net[1]["id"]})
    return router, make(cloud.user, "port", network_id=net[0]["id"])


def forward(client, floating, port, **facts):
    body = {"internal_port_id": port["id"], "internal_ip_address": port["fixed_ips"][0]["ip_address"], "protocol": "tcp", **facts}
    return client.post(f"{V}/floatingips/{floating['id']}/port_forwardings", {"port_forwarding": body})


def test_ports_of_a_floating_ip_lead_inside(cloud, joined, public):
    router, port = joined
    inner = port["fixed_ips"][0]["ip_address"]
    floating = make(cloud.user, "floatingip", floating_network_id=public[0]["id"])
    path = f"{V}/floatingips/{floating['id']}"
    assert (floating["status"], floating["port_forwardings"]) == ("DOWN", [])
    made = forward(cloud.user, floating, port, internal_port=22, external_port=2200, description="ssh").json["port_forwarding"]
    assert made == {
        "id": made["id"], "protocol": "tcp", "internal_ip_address": inner, "internal_port_id": port["id"], "external_port": 2200,
        "internal_port": 22, "external_port_range": "2200:2200", "internal_port_range": "22:22", "description": "ssh",
    }  # fmt: skip
    shown = cloud.user.get(path).json["floatingip"]
    assert (shown["status"], shown["router_id"], shown["port_id"]) == ("ACTIVE", router["id"], None)
    hidden = ("external_port_range", "internal_port_range", "description")
    assert shown["port_forwardings"] == [{name: value for name, value in made.items() if name not in hidden}]
    ranged = forward(
        cloud.user, floating, port, protocol="udp", internal_port_range="5000:5002", external_port_range="6000:6002"
    ).json["port_forwarding"]
    assert (ranged["external_port"], ranged["internal_port_range"]) == (None, "5000:5002")
    cloud.settle()
    assert cloud.fabric.get("router", router["id"]).forwards == (
        Forward(id=made["id"], external=floating["floating_ip_address"], internal=inner, protocol="tcp", ports=((2200, 22),)),
        Forward(
            id=ranged["id"], external=floating["floating_ip_address"], internal=inner, protocol="udp",
            ports=((6000, 5000), (6001, 5001), (6002, 5002)),
        ),
    )  # fmt: skip
    assert len(cloud.user.get(f"{path}/port_forwardings?protocol=udp").json["port_forwardings"]) == 1
    refused(cloud.user.delete(path), 409, "FipInUseByPortForwarding")
    refused(cloud.user.put(path, {"floatingip": {"port_id": port["id"]}}), 409, "FipInUseByPortForwarding")
    leave = {"subnet_id": port["fixed_ips"][0]["subnet_id"]}
    refused(cloud.user.put(f"{V}/routers/{router['id']}/remove_router_interface", leave), 409, "RouterInterfaceInUseByFloatingIP")
    one = f"{path}/port_forwardings/{made['id']}"
    assert cloud.user.put(one, {"port_forwarding": {"internal_port": 23}}).json["port_forwarding"]["internal_port"] == 23
    assert cloud.user.get(one).json["port_forwarding"]["internal_port"] == 23
    assert cloud.other().get(one).status == 404
    for each in (made, ranged):
        assert cloud.user.delete(f"{path}/port_forwardings/{each['id']}").status == 204
    refused(cloud.user.get(one), 404, "PortForwardingNotFound")
    assert cloud.user.get(path).json["floatingip"]["status"] == "DOWN"
    cloud.settle()
    assert cloud.fabric.get("router", router["id"]).forwards == ()
    assert cloud.user.delete(path).status == 204


def test_what_leads_elsewhere_already_is_refused(cloud, joined, public):
    _, port = joined
    other, lone = (make(cloud.user, "floatingip", floating_network_id=public[0]["id"]) for _ in range(2))
    good = {"internal_port": 22, "external_port": 2200}
    assert forward(cloud.user, other, port, **good).status == 201
    for wrong in (
        {"internal_port": 23, "external_port": 2200}, {"internal_port": 22, "external_port": 2201}, {"internal_port": 0, "external_port": 1},
        {"internal_port": 1, "external_port": 65536}, {"internal_port": 1}, {"external_port": 1},
        {"internal_port": 3, "external_port": 3, "internal_port_range": "3:4"}, {"external_port_range": "10:20", "internal_port_range": "1:2"},
        {"external_port_range": "x", "internal_port": 4}, {"internal_port": 5, "external_port": 5, "protocol": "icmp"},
        {"internal_port": 5, "external_port": 5, "internal_ip_address": "10.0.0.250"},
    ):  # fmt: skip
        assert forward(cloud.user, other, port, **wrong).status == 400, wrong
    refused(cloud.user.put(f"{V}/floatingips/{lone['id']}", {"floatingip": {"port_id": port["id"]}}), 400, "PortHasPortForwarding")
    second = make(cloud.user, "port", network_id=port["network_id"])
    cloud.user.put(f"{V}/floatingips/{lone['id']}", {"floatingip": {"port_id": second["id"]}})
    refused(forward(cloud.user, lone, port, **good), 409, "FloatingIpInUse")
    refused(forward(cloud.user, other, second, internal_port=1, external_port=1), 409, "PortHasBindingFloatingIP")
    refused(forward(cloud.user, other, {**port, "id": "none"}, **good), 404, "PortNotFound")
    apart = make(cloud.user, "network")
    make(cloud.user, "subnet", network_id=apart["id"], ip_version=4, cidr="10.9.0.0/24")
    refused(forward(cloud.user, other, make(cloud.user, "port", network_id=apart["id"]), **good), 404, "ExternalGatewayForFloatingIPNotFound")
    body = {"port_forwarding": {"internal_port_id": port["id"]}}
    assert cloud.user.post(f"{V}/floatingips/{other['id']}/port_forwardings", body).status == 400


def test_forwarding_ends_with_the_address_it_leads_to(cloud, joined, public):
    router, port = joined
    floating = make(cloud.user, "floatingip", floating_network_id=public[0]["id"])
    forward(cloud.user, floating, port, internal_port=22, external_port=2200)
    moved = cloud.user.put(f"{V}/ports/{port['id']}", {"port": {"fixed_ips": [{"ip_address": "10.0.0.77"}]}}).json["port"]
    assert cloud.user.get(f"{V}/floatingips/{floating['id']}").json["floatingip"]["port_forwardings"] == []
    forward(cloud.user, floating, moved, internal_port=22, external_port=2200)
    assert cloud.user.delete(f"{V}/ports/{port['id']}").status == 204
    assert cloud.user.get(f"{V}/floatingips/{floating['id']}").json["floatingip"]["router_id"] is None
    cloud.settle()
    assert cloud.fabric.get("router", router["id"]).forwards == ()


def vlan(port, number):
    return {"port_id": port["id"], "segmentation_type": "vlan", "segmentation_id": number}


def test_a_trunk_and_its_ports(cloud, net):
    network = make(cloud.user, "network")
    make(cloud.user, "subnet", network_id=network["id"], ip_version=4, cidr="10.7.0.0/24")
    parent, one, two = (make(cloud.user, "port", network_id=home) for home in (net[0]["id"], network["id"], network["id"]))
    trunk = make(cloud.user, "trunk", port_id=parent["id"], sub_ports=[vlan(one, 5)], name="t")
    path = f"{V}/trunks/{trunk['id']}"
    assert (trunk["status"], trunk["sub_ports"], trunk["admin_state_up"]) == ("DOWN", [vlan(one, 5)], True)
    held = cloud.user.get(f"{V}/ports/{one['id']}").json["port"]
    assert (held["device_owner"], held["device_id"]) == ("trunk:subport", trunk["id"])
    details = cloud.user.get(f"{V}/ports/{parent['id']}").json["port"]["trunk_details"]
    assert details == {"trunk_id": trunk["id"], "sub_ports": [{**vlan(one, 5), "mac_address": one["mac_address"]}]}
    assert cloud.user.put(f"{path}/add_subports", {"sub_ports": [vlan(two, 6)]}).json["sub_ports"] == [vlan(one, 5), vlan(two, 6)]
    cloud.settle()
    spec = cloud.fabric.get("port", two["id"])
    assert (spec.parent, spec.segment, spec.host) == (parent["id"], 6, None)
    cloud.admin.put(f"{V}/ports/{parent['id']}", {"port": {"binding:host_id": "host-1", "device_id": "s", "device_owner": "compute:nova"}})
    cloud.settle()
    assert cloud.fabric.get("port", two["id"]).host == "host-1"
    for _ in range(100):
        if (status := cloud.user.get(path).json["trunk"]["status"]) == "ACTIVE":
            break
        cloud.settle()
    assert status == "ACTIVE"
    for state, found in (("ACTIVE", 1), ("DOWN", 0), ("BUILD", 0), ("X", 0)):
        assert len(cloud.user.get(f"{V}/trunks?status={state}").json["trunks"]) == found
    refused(cloud.user.delete(f"{V}/ports/{parent['id']}"), 409, "PortInUseAsTrunkParent")
    refused(cloud.user.delete(f"{V}/ports/{one['id']}"), 409, "PortInUseAsSubPort")
    assert cloud.user.get(f"{path}/get_subports").json == {"sub_ports": [vlan(one, 5), vlan(two, 6)]}
    assert cloud.user.put(f"{path}/remove_subports", {"sub_ports": [{"port_id": one["id"]}]}).json["sub_ports"] == [vlan(two, 6)]
    cloud.settle()
    spec = cloud.fabric.get("port", one["id"])
    assert (spec.parent, spec.segment, spec.host) == (None, None, None)
    assert cloud.user.put(path, {"trunk": {"admin_state_up": False, "name": "u"}}).json["trunk"]["name"] == "u"
    refused(cloud.user.delete(path), 409, "TrunkDisabled")
    refused(cloud.user.put(f"{path}/remove_subports", {"sub_ports": [vlan(two, 6)]}), 409, "TrunkDisabled")
    cloud.user.put(path, {"trunk": {"admin_state_up": True}})
    assert cloud.other().get(path).status == 404
    assert cloud.user.delete(path).status == 204
    assert cloud.user.get(f"{V}/ports/{two['id']}").json["port"]["device_owner"] == ""


def test_what_cannot_be_trunked(cloud, net):
    network = net[0]
    parent, one, two = (make(cloud.user, "port", network_id=network["id"]) for _ in range(3))

    def create(**facts):
        return cloud.user.post(f"{V}/trunks", {"trunk": {"port_id": parent["id"], **facts}})

    for wrong in (
        [{"port_id": one["id"]}], [{**vlan(one, 5), "segmentation_type": "inherit"}], [{"port_id": one["id"], "segmentation_type": "inherit"}],
        [vlan(one, 0)], [vlan(one, 4095)], [vlan(one, "x")], [vlan(one, 5), vlan(one, 6)], [vlan(one, 5), vlan(two, 5)],
        [{**vlan(one, 5), "segmentation_type": "vxlan"}],
    ):  # fmt: skip
        assert create(sub_ports=wrong).status == 400, wrong
    refused(create(sub_ports=[vlan({"id": "none"}, 5)]), 404, "PortNotFound")
    refused(create(sub_ports=[vlan(parent, 5)]), 409, "PortInUseAsTrunkParent")
    small = make(cloud.user, "network", mtu=1200)
    low = make(cloud.user, "port", network_id=small["id"])
    body = {"trunk": {"port_id": low["id"], "sub_ports": [vlan(one, 5)]}}
    refused(cloud.user.post(f"{V}/trunks", body), 409, "SubPortMtuGreaterThanTrunkPortMtu")
    trunk = create(sub_ports=[vlan(one, 5)]).json["trunk"]
    refused(create(), 409, "PortInUseAsTrunkParent")
    refused(cloud.user.put(f"{V}/trunks/{trunk['id']}/add_subports", {"sub_ports": [vlan(two, 5)]}), 409, "DuplicateSubPort")
    refused(cloud.user.put(f"{V}/trunks/{trunk['id']}/remove_subports", {"sub_ports": [vlan(two, 5)]}), 404, "SubPortNotFound")
    twice = {"sub_ports": [vlan(one, 5), vlan(one, 5)]}
    assert cloud.user.put(f"{V}/trunks/{trunk['id']}/remove_subports", twice).status == 400
    refused(cloud.user.post(f"{V}/trunks", {"trunk": {"port_id": one["id"]}}), 409, "PortInUseAsSubPort")
    taken = make(cloud.user, "port", network_id=network["id"], device_id="s", device_owner="compute:nova")
    refused(cloud.user.put(f"{V}/trunks/{trunk['id']}/add_subports", {"sub_ports": [vlan(taken, 6)]}), 409, "PortInUse")
    (meta,) = cloud.admin.get(f"{V}/ports?device_owner=network:distributed&network_id={network['id']}").json["ports"]
    refused(cloud.admin.post(f"{V}/trunks", {"trunk": {"port_id": meta["id"]}}), 409, "ParentPortInUse")
    project = network["project_id"]
    cloud.admin.put(f"{V}/quotas/{project}", {"quota": {"trunk": 1}})
    refused(cloud.user.post(f"{V}/trunks", {"trunk": {"port_id": two["id"]}}), 409, "OverQuota")


def test_bindings_to_further_hosts(cloud, net):
    port = make(cloud.user, "port", network_id=net[0]["id"], device_id="s", device_owner="compute:nova")
    path = f"{V}/ports/{port['id']}/bindings"
    assert cloud.user.get(path).status == 403
    first = cloud.admin.post(path, {"binding": {"host": "a", "profile": {"x": "1"}}}).json["binding"]
    assert (first["host"], first["status"], first["vif_type"], first["profile"]) == ("a", "ACTIVE", "ovs", {"x": "1"})
    assert cloud.admin.post(path, {"binding": {"host": "b"}}).json["binding"]["status"] == "INACTIVE"
    refused(cloud.admin.post(path, {"binding": {"host": "b"}}), 409, "PortBindingAlreadyExists")
    assert cloud.admin.post(path, {"binding": {"host": "c", "vnic_type": "direct"}}).status == 400
    refused(cloud.admin.put(f"{path}/a/activate"), 409, "PortBindingAlreadyActive")
    refused(cloud.admin.put(f"{path}/c/activate"), 404, "PortBindingNotFound")
    assert cloud.admin.put(f"{path}/b/activate").json["binding"]["status"] == "ACTIVE"
    assert cloud.admin.get(f"{V}/ports/{port['id']}").json["port"]["binding:host_id"] == "b"
    assert {each["host"]: each["status"] for each in cloud.admin.get(path).json["bindings"]} == {"b": "ACTIVE", "a": "INACTIVE"}
    assert [each["host"] for each in cloud.admin.get(f"{path}?status=INACTIVE").json["bindings"]] == ["a"]
    for host in "ab":
        changed = cloud.admin.put(f"{path}/{host}", {"binding": {"profile": {"y": host}}}).json["binding"]
        assert changed["profile"] == {"y": host}
        assert cloud.admin.delete(f"{path}/{host}").status == 204
    refused(cloud.admin.get(f"{path}/a"), 404, "PortBindingNotFound")
    assert cloud.admin.get(f"{V}/ports/{port['id']}").json["port"]["binding:host_id"] == ""
    free = make(cloud.user, "port", network_id=net[0]["id"])
    refused(cloud.admin.get(f"{V}/ports/{free['id']}/bindings"), 400, "PortInvalid")


def test_a_topology_is_made_for_a_project_that_asks(cloud):
    project = make(cloud.user, "network")["project_id"]
    path = f"{V}/auto-allocated-topology/{project}"
    refused(cloud.user.get(path), 409, "AutoAllocationFailure")
    facts = {"router:external": True, "provider:network_type": "flat", "provider:physical_network": "public", "is_default": True}
    outside = make(cloud.admin, "network", **facts)
    make(cloud.admin, "subnet", network_id=outside["id"], ip_version=4, cidr="172.24.4.0/24")
    refused(cloud.user.get(f"{path}?fields=dry-run"), 409, "AutoAllocationFailure")
    for prefix in ("10.50.0.0/16", "fd50::/48"):
        make(cloud.admin, "subnetpool", prefixes=[prefix], shared=True, is_default=True, default_prefixlen=64 if ":" in prefix else 26)
    trial = {"id": "dry-run=pass", "project_id": project, "tenant_id": project}
    assert cloud.user.get(f"{path}?fields=dry-run").json == {"auto_allocated_topology": trial}
    made = cloud.user.get(path).json["auto_allocated_topology"]
    assert cloud.user.get(f"{V}/auto-allocated-topology/None").json["auto_allocated_topology"] == made
    network = cloud.user.get(f"{V}/networks/{made['id']}").json["network"]
    assert (network["name"], len(network["subnets"])) == ("auto_allocated_network", 2)
    (router,) = cloud.user.get(f"{V}/routers?name=auto_allocated_router").json["routers"]
    assert router["external_gateway_info"]["network_id"] == outside["id"]
    other = cloud.other()
    assert other.get(path).status == 403
    flavor = cloud.user.get("/compute/v2.1/flavors").json["flavors"][0]["id"]
    body = {"server": {"name": "s", "imageRef": active(cloud.admin, visibility="public")["id"], "flavorRef": flavor, "networks": "auto"}}
    server = other.post("/compute/v2.1/servers", body, headers={"openstack-api-version": "compute 2.37"})
    assert server.status == 202, server
    assert [each["name"] for each in other.get(f"{V}/networks?name=auto_allocated_network").json["networks"]] == ["auto_allocated_network"]
    port = make(cloud.user, "port", network_id=made["id"])
    assert cloud.user.delete(path).status == 409
    cloud.user.delete(f"{V}/ports/{port['id']}")
    assert cloud.user.delete(path).status == 204
    refused(cloud.user.delete(path), 404, "AutoAllocatedTopologyNotFound")
    assert cloud.user.get(f"{V}/routers").json["routers"] == []
