"""Networks, subnets and ports through the API: what is answered, refused and seen by whom."""

import pytest

V = "/network/v2.0"


def make(client, kind, **facts):
    plural = {"security_group": "security-groups", "security_group_rule": "security-group-rules", "address_scope": "address-scopes",
              "rbac_policy": "rbac-policies"}.get(kind, kind + "s")  # fmt: skip
    answer = client.post(f"{V}/{plural}", {kind: facts})
    assert answer.status == 201, answer
    return answer.json[kind]


def refused(answer, status, kind):
    assert (answer.status, answer.json["NeutronError"]["type"]) == (status, kind), answer
    return answer.json["NeutronError"]["message"]


@pytest.fixture
def net(cloud):
    network = make(cloud.user, "network", name="private")
    subnet = make(cloud.user, "subnet", network_id=network["id"], ip_version=4, cidr="10.0.0.0/24")
    return network, subnet


@pytest.fixture
def public(cloud):
    facts = {"router:external": True, "provider:network_type": "flat", "provider:physical_network": "public", "is_default": True}
    network = make(cloud.admin, "network", name="public", **facts)
    pool = [{"start": "172.24.4.100", "end": "172.24.4.254"}]
    subnet = make(
        cloud.admin, "subnet", network_id=network["id"], ip_version=4, cidr="172.24.4.0/24", enable_dhcp=False, gateway_ip="172.24.4.1",
        allocation_pools=pool,
    )  # fmt: skip
    return network, subnet


def test_versions_and_extensions_are_told_to_anyone(cloud):
    versions = cloud.anyone.get("/network/").json["versions"]
    assert versions[0]["id"] == "v2.0"
    assert {"network", "subnet", "port"} <= {each["name"] for each in cloud.anyone.get(V).json["resources"]}
    listed = cloud.anyone.get(f"{V}/extensions").json["extensions"]
    assert {"router", "security-group", "port-security"} <= {each["alias"] for each in listed}
    assert cloud.anyone.get(f"{V}/extensions/router").json["extension"] in listed
    assert cloud.anyone.get(f"{V}/extensions/metering").status == 404
    assert cloud.anyone.get(f"{V}/networks").status == 401


def test_a_network_is_seen_by_its_project_and_by_admins_alone(cloud, net):
    network, subnet = net
    other = cloud.other()
    assert network["status"] == "ACTIVE"
    assert network["mtu"] == 1442
    assert network["tenant_id"] == network["project_id"]
    assert "provider:network_type" not in network
    assert cloud.admin.get(f"{V}/networks/{network['id']}").json["network"]["provider:network_type"] == "geneve"
    assert cloud.user.get(f"{V}/networks/{network['id']}").json["network"]["subnets"] == [subnet["id"]]
    refused(other.get(f"{V}/networks/{network['id']}"), 404, "NetworkNotFound")
    refused(other.get(f"{V}/subnets/{subnet['id']}"), 404, "SubnetNotFound")
    assert other.get(f"{V}/networks").json == {"networks": []}
    assert other.delete(f"{V}/networks/{network['id']}").status == 404


def test_readers_read(cloud, net):
    reader = cloud.other("demo-reader", "reader")
    assert reader.get(f"{V}/networks").status == 200
    assert reader.post(f"{V}/networks", {"network": {}}).status == 403


def test_only_admins_say_what_is_shared_external_or_provided(cloud, public):
    for facts in ({"shared": True}, {"router:external": True}, {"provider:network_type": "geneve"}):
        assert cloud.user.post(f"{V}/networks", {"network": facts}).status == 403
    network = public[0]
    assert network["is_default"] is True
    seen = cloud.user.get(f"{V}/networks?router:external=True").json["networks"]
    assert [each["id"] for each in seen] == [network["id"]]
    refused(cloud.user.put(f"{V}/networks/{network['id']}", {"network": {"name": "mine"}}), 404, "NetworkNotFound")
    taken = {"provider:network_type": "flat", "provider:physical_network": "public"}
    refused(cloud.admin.post(f"{V}/networks", {"network": taken}), 409, "FlatNetworkInUse")
    for facts in ({"provider:network_type": "vlan"}, {"provider:network_type": "flat", "provider:physical_network": "moon"}):
        refused(cloud.admin.post(f"{V}/networks", {"network": facts}), 400, "InvalidInput")
    assert cloud.user.post(f"{V}/ports", {"port": {"network_id": network["id"]}}).status == 403


def test_fields_sorting_paging_and_filters(cloud):
    ids = [make(cloud.user, "network", name=name)["id"] for name in ("c", "a", "b")]
    get = cloud.user.get
    assert get(f"{V}/networks?fields=id&fields=name&name=a").json == {"networks": [{"id": ids[1], "name": "a"}]}
    page = get(f"{V}/networks?sort_key=name&sort_dir=asc&limit=2").json
    assert [each["name"] for each in page["networks"]] == ["a", "b"]
    href = next(link["href"] for link in page["networks_links"] if link["rel"] == "next")
    page = get(href.removeprefix("http://cloud.test")).json
    assert [each["name"] for each in page["networks"]] == ["c"]
    (link,) = page["networks_links"]
    assert link["rel"] == "previous"
    back = get(link["href"].removeprefix("http://cloud.test")).json
    assert [each["name"] for each in back["networks"]] == ["a", "b"]
    assert {each["name"] for each in get(f"{V}/networks?name=a&name=b").json["networks"]} == {"a", "b"}
    assert get(f"{V}/networks?description=").json["networks"] != []
    assert len(get(f"{V}/networks?admin_state_up=true&status=ACTIVE").json["networks"]) == 3
    assert get(f"{V}/networks?colour=red").status == 400
    assert get(f"{V}/networks?limit=-1").status == 400
    assert get(f"{V}/networks?sort_key=colour").status == 400
    assert get(f"{V}/networks?marker=nothing&limit=1").status == 400
    bulk = cloud.user.post(f"{V}/networks", {"networks": [{"name": "x"}, {"name": "y"}]})
    assert [each["name"] for each in bulk.json["networks"]] == ["x", "y"]


def test_tags_and_their_filters(cloud):
    first, second = (make(cloud.user, "network", name=name)["id"] for name in "ab")
    tags = f"{V}/networks/{first}/tags"
    assert cloud.user.put(f"{tags}/red").status == 201
    assert cloud.user.put(tags, {"tags": ["blue", "green"]}).json == {"tags": ["blue", "green"]}
    assert cloud.user.get(f"{tags}/blue").status == 204
    refused(cloud.user.get(f"{tags}/red"), 404, "TagNotFound")
    cloud.user.put(f"{V}/networks/{second}/tags", {"tags": ["blue"]})

    def found(query):
        return {each["id"] for each in cloud.user.get(f"{V}/networks?{query}").json["networks"]}

    assert found("tags=blue") == {first, second}
    assert found("tags=blue,green") == {first}
    assert found("tags-any=green,red") == {first}
    assert found("not-tags=green") == {second}
    assert found("not-tags-any=blue") == set()
    assert cloud.user.delete(f"{tags}/blue").status == 204
    assert cloud.user.delete(tags).status == 204
    assert cloud.user.get(f"{V}/networks/{first}").json["network"]["tags"] == []


def test_a_revision_that_has_passed_is_not_changed(cloud):
    network = make(cloud.user, "network")
    path, body = f"{V}/networks/{network['id']}", {"network": {"name": "new"}}
    match = {"if-match": f"revision_number={network['revision_number']}"}
    assert cloud.user.put(path, body, headers=match).status == 200
    assert cloud.user.put(path, body, headers=match).status == 412


def test_a_subnet_has_a_gateway_pools_and_no_neighbour_in_its_range(cloud, net):
    network, subnet = net
    assert subnet["gateway_ip"] == "10.0.0.1"
    assert subnet["allocation_pools"] == [{"start": "10.0.0.2", "end": "10.0.0.254"}]

    def create(**facts):
        return cloud.user.post(f"{V}/subnets", {"subnet": {"network_id": network["id"], "ip_version": 4, **facts}})

    refused(create(cidr="10.0.0.128/25"), 400, "InvalidInput")
    assert create(cidr="10.1.0.0/33").status == 400
    assert create().status == 400
    inside = [{"start": "10.2.0.1", "end": "10.2.0.9"}]
    refused(create(cidr="10.2.0.0/24", gateway_ip="10.2.0.1", allocation_pools=inside), 409, "GatewayConflictWithAllocationPools")
    refused(create(cidr="10.2.0.0/24", allocation_pools=[{"start": "10.3.0.2", "end": "10.3.0.9"}]), 400, "OutOfBoundsAllocationPool")
    twice = [{"start": "10.2.0.2", "end": "10.2.0.9"}, {"start": "10.2.0.9", "end": "10.2.0.12"}]
    refused(create(cidr="10.2.0.0/24", allocation_pools=twice), 409, "OverlappingAllocationPools")
    whole = create(
        cidr="10.2.0.0/24", gateway_ip=None, dns_nameservers=["9.9.9.9"], host_routes=[{"destination": "10.9.0.0/16", "nexthop": "10.2.0.7"}]
    )
    assert whole.json["subnet"]["gateway_ip"] is None
    path = f"{V}/subnets/{whole.json['subnet']['id']}"
    changed = cloud.user.put(path, {"subnet": {"gateway_ip": "10.2.0.254", "dns_nameservers": ["1.1.1.1"]}})
    refused(changed, 409, "GatewayConflictWithAllocationPools")
    pools = [{"start": "10.2.0.10", "end": "10.2.0.20"}]
    body = {"subnet": {"gateway_ip": "10.2.0.1", "allocation_pools": pools, "dns_nameservers": ["1.1.1.1"], "enable_dhcp": False}}
    changed = cloud.user.put(path, body).json["subnet"]
    assert (changed["gateway_ip"], changed["allocation_pools"], changed["dns_nameservers"]) == ("10.2.0.1", pools, ["1.1.1.1"])
    assert changed["host_routes"] == [{"destination": "10.9.0.0/16", "nexthop": "10.2.0.7"}]
    assert cloud.user.delete(path).status == 204


def test_ipv6_modes_and_addresses_made_from_the_mac(cloud, net):
    network, _ = net

    def create(**facts):
        return cloud.user.post(f"{V}/subnets", {"subnet": {"network_id": network["id"], "ip_version": 6, "cidr": "fd00:1::/64", **facts}})

    refused(create(ipv6_ra_mode="slaac", ipv6_address_mode="dhcpv6-stateful"), 400, "InvalidInput")
    refused(create(cidr="fd00:1::/72", ipv6_address_mode="slaac"), 400, "InvalidInput")
    refused(create(ipv6_ra_mode="slaac", enable_dhcp=False), 400, "InvalidInput")
    before = make(cloud.user, "port", network_id=network["id"], mac_address="fa:16:3e:00:00:01")
    subnet = create(ipv6_ra_mode="slaac", ipv6_address_mode="slaac").json["subnet"]
    automatic = {"subnet_id": subnet["id"], "ip_address": "fd00:1::f816:3eff:fe00:1"}
    assert automatic in cloud.user.get(f"{V}/ports/{before['id']}").json["port"]["fixed_ips"]
    after = make(cloud.user, "port", network_id=network["id"], mac_address="fa:16:3e:00:00:02")
    assert len(after["fixed_ips"]) == 2
    asked = {"network_id": network["id"], "fixed_ips": [{"subnet_id": subnet["id"], "ip_address": "fd00:1::5"}]}
    refused(cloud.user.post(f"{V}/ports", {"port": asked}), 400, "InvalidInput")
    assert cloud.user.delete(f"{V}/subnets/{subnet['id']}").status == 204
    assert len(cloud.user.get(f"{V}/ports/{after['id']}").json["port"]["fixed_ips"]) == 1


def test_a_port_gets_what_it_asks_for_or_an_address_of_its_own(cloud, net):
    network, subnet = net
    port = make(cloud.user, "port", network_id=network["id"], name="p")
    assert port["status"] == "DOWN"
    assert port["mac_address"].startswith("fa:16:3e:")
    assert len(port["security_groups"]) == 1
    assert port["fixed_ips"][0]["subnet_id"] == subnet["id"]
    address = port["fixed_ips"][0]["ip_address"]
    assert port["dns_assignment"][0]["fqdn"] == f"host-{address.replace('.', '-')}.openstacklocal."
    assert "binding:host_id" not in port

    def create(**facts):
        return cloud.user.post(f"{V}/ports", {"port": {"network_id": network["id"], **facts}})

    refused(create(fixed_ips=[{"ip_address": address}]), 409, "IpAddressInUse")
    refused(create(fixed_ips=[{"ip_address": "10.1.0.1"}]), 400, "InvalidIpForNetwork")
    refused(create(fixed_ips=[{"ip_address": "10.0.0.0", "subnet_id": subnet["id"]}]), 400, "InvalidIpForSubnet")
    refused(create(mac_address=port["mac_address"]), 409, "MacAddressInUse")
    refused(create(security_groups=["no-such"]), 404, "SecurityGroupNotFound")
    refused(cloud.user.post(f"{V}/ports", {"port": {"network_id": "no-such"}}), 404, "NetworkNotFound")
    two = create(fixed_ips=[{"subnet_id": subnet["id"]}, {"ip_address": "10.0.0.77"}]).json["port"]
    assert two["fixed_ips"][1]["ip_address"] == "10.0.0.77"
    found = cloud.user.get(f"{V}/ports?fixed_ips=ip_address=10.0.0.77").json["ports"]
    assert [each["id"] for each in found] == [two["id"]]
    assert cloud.user.get(f"{V}/ports?fixed_ips=ip_address_substr=0.0.77&fixed_ips=subnet_id={subnet['id']}").json["ports"] == found
    none = create(fixed_ips=[]).json["port"]
    assert none["fixed_ips"] == []
    kept = cloud.user.put(f"{V}/ports/{two['id']}", {"port": {"fixed_ips": [{"subnet_id": subnet["id"]}]}}).json["port"]
    assert len(kept["fixed_ips"]) == 1
    assert create(fixed_ips=[{"ip_address": "10.0.0.77"}]).status in (201, 409)
    assert cloud.user.delete(f"{V}/ports/{port['id']}").status == 204
    refused(cloud.user.get(f"{V}/ports/{port['id']}"), 404, "PortNotFound")


def test_extensions_of_ports(cloud, net):
    network, _ = net
    port = make(
        cloud.user, "port", network_id=network["id"], dns_name="Web", extra_dhcp_opts=[{"opt_name": "mtu", "opt_value": "1400"}],
        allowed_address_pairs=[{"ip_address": "10.0.0.200"}, {"ip_address": "10.8.0.0/16", "mac_address": "fa:16:3e:11:22:33"}],
    )  # fmt: skip
    path = f"{V}/ports/{port['id']}"
    assert port["dns_assignment"][0]["hostname"] == "web"
    assert port["allowed_address_pairs"][0] == {"ip_address": "10.0.0.200", "mac_address": port["mac_address"]}
    assert port["extra_dhcp_opts"] == [{"opt_name": "mtu", "opt_value": "1400", "ip_version": 4}]
    changed = cloud.user.put(path, {"port": {"extra_dhcp_opts": [{"opt_name": "mtu", "opt_value": None}]}}).json["port"]
    assert changed["extra_dhcp_opts"] == []
    refused(cloud.user.put(path, {"port": {"port_security_enabled": False}}), 409, "PortSecurityPortHasSecurityGroup")
    off = {"port_security_enabled": False, "security_groups": [], "allowed_address_pairs": []}
    assert cloud.user.put(path, {"port": off}).json["port"]["port_security_enabled"] is False
    assert cloud.user.put(path, {"port": {"binding:host_id": "host-1"}}).status == 403
    bound = cloud.admin.put(path, {"port": {"binding:host_id": "host-1"}}).json["port"]
    assert (bound["binding:host_id"], bound["binding:vif_type"]) == ("host-1", "ovs")
    assert cloud.user.put(path, {"port": {"device_owner": "network:router_interface"}}).status == 400


def test_what_is_in_use_is_not_deleted_and_a_network_takes_its_subnets_along(cloud, net):
    network, subnet = net
    port = make(cloud.user, "port", network_id=network["id"])
    refused(cloud.user.delete(f"{V}/networks/{network['id']}"), 409, "NetworkInUse")
    refused(cloud.user.delete(f"{V}/subnets/{subnet['id']}"), 409, "SubnetInUse")
    cloud.user.delete(f"{V}/ports/{port['id']}")
    owned = cloud.user.get(f"{V}/ports?device_owner=network:distributed").json["ports"]
    assert [each["device_id"] for each in owned] == [f"ovnmeta-{network['id']}"]
    assert cloud.user.delete(f"{V}/networks/{network['id']}").status == 204
    refused(cloud.user.get(f"{V}/subnets/{subnet['id']}"), 404, "SubnetNotFound")
    assert cloud.user.get(f"{V}/ports").json["ports"] == []


def test_quotas_hold_and_are_told(cloud, net):
    network, _ = net
    project = network["project_id"]
    assert cloud.user.put(f"{V}/quotas/{project}", {"quota": {"port": 1}}).status == 403
    assert cloud.admin.put(f"{V}/quotas/{project}", {"quota": {"port": 1}}).json["quota"]["port"] == 1
    make(cloud.user, "port", network_id=network["id"])
    refused(cloud.user.post(f"{V}/ports", {"port": {"network_id": network["id"]}}), 409, "OverQuota")
    refused(cloud.user.post(f"{V}/ports", {"ports": [{"network_id": network["id"]}]}), 409, "OverQuota")
    details = cloud.user.get(f"{V}/quotas/{project}/details.json").json["quota"]
    assert details["port"] == {"limit": 1, "used": 1, "reserved": 0}
    assert [each["project_id"] for each in cloud.admin.get(f"{V}/quotas").json["quotas"]] == [project]
    assert cloud.user.get(f"{V}/quotas/{project}/default").json["quota"]["port"] == 500
    assert cloud.admin.delete(f"{V}/quotas/{project}").status == 204
    assert cloud.user.get(f"{V}/quotas/{project}").json["quota"]["port"] == 500
    assert cloud.admin.put(f"{V}/quotas/{project}", {"quota": {"moons": 1}}).status == 400
    assert cloud.user.get(f"{V}/quotas/tenant").json["tenant"]["tenant_id"] == project


def test_subnets_are_cut_from_pools(cloud):
    scope = make(cloud.user, "address_scope", name="s", ip_version=4)
    pool = make(
        cloud.user, "subnetpool", name="pool", prefixes=["10.10.0.0/24", "10.10.1.0/24"], default_prefixlen=26, min_prefixlen=24,
        address_scope_id=scope["id"], default_quota=512,
    )  # fmt: skip
    assert pool["prefixes"] == ["10.10.0.0/23"]
    network = make(cloud.user, "network")
    first = make(cloud.user, "subnet", network_id=network["id"], ip_version=4, subnetpool_id=pool["id"])
    second = make(cloud.user, "subnet", network_id=network["id"], ip_version=4, subnetpool_id=pool["id"], prefixlen=24)
    third = make(cloud.user, "subnet", network_id=network["id"], ip_version=4, subnetpool_id=pool["id"], cidr="10.10.0.128/26")
    assert [each["cidr"] for each in (first, second, third)] == ["10.10.0.0/26", "10.10.1.0/24", "10.10.0.128/26"]
    assert cloud.user.get(f"{V}/networks/{network['id']}").json["network"]["ipv4_address_scope"] == scope["id"]

    def create(**facts):
        return cloud.user.post(f"{V}/subnets", {"subnet": {"network_id": network["id"], "subnetpool_id": pool["id"], **facts}})

    refused(create(prefixlen=25), 409, "SubnetAllocationError")
    refused(create(prefixlen=20), 400, "MinPrefixSubnetAllocationError")
    refused(cloud.user.delete(f"{V}/subnetpools/{pool['id']}"), 409, "SubnetPoolDeleteError")
    refused(cloud.user.delete(f"{V}/address-scopes/{scope['id']}"), 409, "AddressScopeInUse")
    less = cloud.user.put(f"{V}/subnetpools/{pool['id']}", {"subnetpool": {"prefixes": ["10.10.0.0/24"]}})
    refused(less, 400, "IllegalSubnetPoolPrefixUpdate")
    assert cloud.user.put(f"{V}/subnetpools/{pool['id']}", {"subnetpool": {"name": "new"}}).json["subnetpool"]["name"] == "new"
    cloud.user.delete(f"{V}/networks/{network['id']}")
    assert cloud.user.delete(f"{V}/subnetpools/{pool['id']}").status == 204


def test_a_network_is_shared_with_a_project_by_a_rule(cloud, net):
    network, _ = net
    other = cloud.other()
    theirs = make(other, "network")["project_id"]
    rule = make(cloud.user, "rbac_policy", object_type="network", object_id=network["id"], action="access_as_shared", target_tenant=theirs)
    assert other.get(f"{V}/networks/{network['id']}").json["network"]["shared"] is True
    port = make(other, "port", network_id=network["id"])
    refused(cloud.user.delete(f"{V}/rbac-policies/{rule['id']}"), 409, "RbacPolicyInUse")
    assert cloud.user.get(f"{V}/ports/{port['id']}").status == 200
    other.delete(f"{V}/ports/{port['id']}")
    assert cloud.user.delete(f"{V}/rbac-policies/{rule['id']}").status == 204
    assert other.get(f"{V}/networks/{network['id']}").status == 404
    every = {"object_type": "network", "object_id": network["id"], "action": "access_as_shared", "target_tenant": "*"}
    assert cloud.user.post(f"{V}/rbac-policies", {"rbac_policy": every}).status == 403
    assert cloud.admin.put(f"{V}/networks/{network['id']}", {"network": {"shared": True}}).json["network"]["shared"] is True


def test_how_many_addresses_are_left(cloud, net):
    network, _ = net
    (found,) = cloud.admin.get(f"{V}/network-ip-availabilities").json["network_ip_availabilities"]
    assert (found["network_id"], found["total_ips"], found["used_ips"]) == (network["id"], 253, 1)
    one = cloud.admin.get(f"{V}/network-ip-availabilities/{network['id']}").json["network_ip_availability"]
    assert one == found
    assert {each["resource"] for each in cloud.user.get(f"{V}/availability_zones").json["availability_zones"]} == {"network", "router"}
    assert cloud.user.get(f"{V}/service-providers").json == {"service_providers": []}


def test_several_at_once_count_each_against_the_quota_and_none_at_all_is_refused(cloud):
    project = cloud.id_of("projects", "demo")
    assert cloud.admin.put(f"/network/v2.0/quotas/{project}", {"quota": {"network": 2}}).status == 200
    refused = cloud.user.post("/network/v2.0/networks", {"networks": [{"name": str(number)} for number in range(3)]})
    assert refused.status == 409
    assert refused.json["NeutronError"]["type"] == "OverQuota"
    assert cloud.user.get("/network/v2.0/networks").json["networks"] == []
    for kind in ("networks", "subnets", "ports", "subnetpools", "floatingips"):
        assert cloud.user.post(f"/network/v2.0/{kind}", {kind: []}).status == 400


def test_a_network_carries_what_its_subnets_need(cloud):
    network = make(cloud.user, "network", mtu=1200)
    six = {"subnet": {"network_id": network["id"], "ip_version": 6, "cidr": "fd00::/64"}}
    refused(cloud.user.post(f"{V}/subnets", six), 409, "NetworkMTUSubnetConflict")
    make(cloud.user, "subnet", network_id=network["id"], ip_version=4, cidr="10.0.0.0/24")
    refused(cloud.user.put(f"{V}/networks/{network['id']}", {"network": {"mtu": 60}}), 409, "NetworkMTUSubnetConflict")
    assert cloud.user.get(f"{V}/subnets?shared=true").json["subnets"] == []
    assert len(cloud.user.get(f"{V}/subnets?shared=false").json["subnets"]) == 1


def test_groups_of_one_port_are_of_one_kind(cloud, net):
    stateful, stateless = make(cloud.user, "security_group"), make(cloud.user, "security_group", stateful=False)
    body = {"port": {"network_id": net[0]["id"], "security_groups": [stateful["id"], stateless["id"]]}}
    refused(cloud.user.post(f"{V}/ports", body), 409, "SecurityGroupConflict")
    body["port"]["security_groups"] = [stateful["id"], stateful["id"]]
    assert cloud.user.post(f"{V}/ports", body).status == 400


def test_the_owner_of_a_network_takes_others_ports_off_it(cloud):
    network, other = make(cloud.user, "network"), cloud.other()
    share = {"object_type": "network", "object_id": network["id"], "action": "access_as_shared"}
    make(cloud.user, "rbac_policy", target_tenant=other.get(f"{V}/quotas/tenant").json["tenant"]["tenant_id"], **share)
    theirs, mine = make(other, "port", network_id=network["id"]), make(cloud.user, "port", network_id=network["id"])
    assert other.delete(f"{V}/ports/{mine['id']}").status == 404
    assert cloud.user.put(f"{V}/ports/{theirs['id']}", {"port": {"name": "x"}}).status == 404
    assert cloud.user.delete(f"{V}/ports/{theirs['id']}").status == 204
