"""Routers, floating IPs and security groups through the API."""

from tests.api.test_network_basics import V, make, net, public, refused

assert net
assert public


def interface(client, router, **facts):
    return client.put(f"{V}/routers/{router['id']}/add_router_interface", facts)


def leave(client, router, **facts):
    return client.put(f"{V}/routers/{router['id']}/remove_router_interface", facts)


def test_a_router_joins_subnets_and_leaves_them(cloud, net):
    network, subnet = net
    router = make(cloud.user, "router", name="r")
    assert (router["status"], router["external_gateway_info"], router["routes"]) == ("ACTIVE", None, [])
    joined = interface(cloud.user, router, subnet_id=subnet["id"])
    assert joined.status == 200
    port = cloud.user.get(f"{V}/ports/{joined.json['port_id']}").json["port"]
    assert (port["device_id"], port["device_owner"], port["status"]) == (router["id"], "network:router_interface", "ACTIVE")
    assert port["fixed_ips"] == [{"subnet_id": subnet["id"], "ip_address": "10.0.0.1"}]
    refused(interface(cloud.user, router, subnet_id=subnet["id"]), 400, "BadRequest")
    refused(interface(cloud.user, router), 400, "BadRequest")
    refused(cloud.user.delete(f"{V}/routers/{router['id']}"), 409, "RouterInUse")
    refused(cloud.user.delete(f"{V}/ports/{port['id']}"), 409, "ServicePortInUse")
    refused(cloud.user.put(f"{V}/subnets/{subnet['id']}", {"subnet": {"gateway_ip": None}}), 409, "GatewayIpInUse")
    refused(cloud.user.delete(f"{V}/networks/{network['id']}"), 409, "NetworkInUse")
    free = make(cloud.user, "port", network_id=network["id"])
    refused(interface(cloud.user, router, port_id=free["id"]), 400, "BadRequest")
    second = make(cloud.user, "router")
    assert interface(cloud.user, second, port_id=free["id"]).json["subnet_id"] == subnet["id"]
    refused(interface(cloud.user, router, port_id=free["id"]), 409, "PortInUse")
    assert leave(cloud.user, second, port_id=free["id"]).status == 200
    refused(cloud.user.get(f"{V}/ports/{free['id']}"), 404, "PortNotFound")
    refused(leave(cloud.user, second, subnet_id=subnet["id"]), 404, "RouterInterfaceNotFoundForSubnet")
    assert leave(cloud.user, router, subnet_id=subnet["id"]).status == 200
    assert cloud.user.delete(f"{V}/routers/{router['id']}").status == 204


def test_routers_of_others_are_out_of_reach(cloud, net):
    router, other = make(cloud.user, "router"), cloud.other()
    assert other.get(f"{V}/routers").json == {"routers": []}
    refused(interface(other, router, subnet_id=net[1]["id"]), 404, "RouterNotFound")
    refused(interface(other, make(other, "router"), subnet_id=net[1]["id"]), 404, "SubnetNotFound")


def test_ipv6_subnets_of_a_network_share_an_interface(cloud, net):
    network, subnet = net
    router = make(cloud.user, "router")
    sixes = [make(cloud.user, "subnet", network_id=network["id"], ip_version=6, cidr=f"fd00:{n}::/64") for n in (1, 2)]
    four = interface(cloud.user, router, subnet_id=subnet["id"]).json["port_id"]
    ports = {interface(cloud.user, router, subnet_id=each["id"]).json["port_id"] for each in sixes}
    assert len(ports) == 1
    assert four not in ports
    assert leave(cloud.user, router, subnet_id=sixes[0]["id"]).status == 200
    left = cloud.user.get(f"{V}/ports/{ports.pop()}").json["port"]["fixed_ips"]
    assert [each["subnet_id"] for each in left] == [sixes[1]["id"]]


def test_a_gateway_is_on_an_external_network(cloud, net, public):
    network, _ = net
    refused(cloud.user.post(f"{V}/routers", {"router": {"external_gateway_info": {"network_id": network["id"]}}}), 400, "BadRequest")
    router = make(cloud.user, "router", external_gateway_info={"network_id": public[0]["id"]})
    gateway = router["external_gateway_info"]
    assert (gateway["network_id"], gateway["enable_snat"]) == (public[0]["id"], True)
    assert gateway["external_fixed_ips"][0]["subnet_id"] == public[1]["id"]
    path = f"{V}/routers/{router['id']}"
    off = {"router": {"external_gateway_info": {"network_id": public[0]["id"], "enable_snat": False}}}
    assert cloud.user.put(path, off).status == 403
    assert cloud.admin.put(path, off).json["router"]["external_gateway_info"]["enable_snat"] is False
    asked = {"network_id": public[0]["id"], "external_fixed_ips": [{"ip_address": "172.24.4.99"}]}
    moved = cloud.admin.put(path, {"router": {"external_gateway_info": asked}}).json["router"]["external_gateway_info"]
    assert moved["external_fixed_ips"][0]["ip_address"] == "172.24.4.99"
    refused(cloud.admin.delete(f"{V}/networks/{public[0]['id']}"), 409, "NetworkInUse")
    assert cloud.user.put(path, {"router": {"external_gateway_info": {}}}).json["router"]["external_gateway_info"] is None
    assert cloud.user.delete(path).status == 204


def test_routes_go_by_next_hops_that_the_router_reaches(cloud, net):
    _, subnet = net
    router = make(cloud.user, "router")
    path = f"{V}/routers/{router['id']}"

    def routed(to, hop, verb=""):
        return cloud.user.put(path + verb, {"router": {"routes": [{"destination": to, "nexthop": hop}]}})

    refused(routed("10.9.0.0/16", "10.0.0.9"), 400, "InvalidRoutes")
    interface(cloud.user, router, subnet_id=subnet["id"])
    refused(routed("10.9.0.0/16", "10.0.0.1"), 400, "InvalidRoutes")
    assert routed("10.9.0.0/16", "10.0.0.9").status == 200
    assert len(routed("10.8.0.0/16", "10.0.0.9", "/add_extraroutes").json["router"]["routes"]) == 2
    assert routed("10.9.0.0/16", "10.0.0.9", "/remove_extraroutes").json["router"]["routes"] == [
        {"destination": "10.8.0.0/16", "nexthop": "10.0.0.9"}
    ]
    refused(leave(cloud.user, router, subnet_id=subnet["id"]), 409, "RouterInterfaceInUseByRoute")
    assert cloud.user.put(path, {"router": {"routes": None}}).json["router"]["routes"] == []


def test_a_floating_ip_leads_to_a_port_behind_a_router(cloud, net, public):
    network, subnet = net
    port = make(cloud.user, "port", network_id=network["id"])
    facts = {"floating_network_id": public[0]["id"], "port_id": port["id"]}
    refused(cloud.user.post(f"{V}/floatingips", {"floatingip": facts}), 404, "ExternalGatewayForFloatingIPNotFound")
    refused(cloud.user.post(f"{V}/floatingips", {"floatingip": {"floating_network_id": network["id"]}}), 400, "BadRequest")
    router = make(cloud.user, "router", external_gateway_info={"network_id": public[0]["id"]})
    interface(cloud.user, router, subnet_id=subnet["id"])
    floating = make(cloud.user, "floatingip", **facts)
    assert (floating["status"], floating["router_id"]) == ("ACTIVE", router["id"])
    assert floating["fixed_ip_address"] == port["fixed_ips"][0]["ip_address"]
    assert floating["port_details"]["mac_address"] == port["mac_address"]
    refused(cloud.user.post(f"{V}/floatingips", {"floatingip": facts}), 409, "FloatingIPPortAlreadyAssociated")
    refused(leave(cloud.user, router, subnet_id=subnet["id"]), 409, "RouterInterfaceInUseByFloatingIP")
    cleared = cloud.user.put(f"{V}/routers/{router['id']}", {"router": {"external_gateway_info": None}})
    refused(cleared, 409, "RouterExternalGatewayInUseByFloatingIp")
    path = f"{V}/floatingips/{floating['id']}"
    free = cloud.user.put(path, {"floatingip": {"port_id": None}}).json["floatingip"]
    assert [free[name] for name in ("port_id", "fixed_ip_address", "router_id", "status")] == [None, None, None, "DOWN"]
    assert cloud.user.put(path, {"floatingip": {"port_id": port["id"]}}).json["floatingip"]["status"] == "ACTIVE"
    cloud.user.delete(f"{V}/ports/{port['id']}")
    assert cloud.user.get(path).json["floatingip"]["port_id"] is None
    held = cloud.admin.get(f"{V}/ports?device_owner=network:floatingip").json["ports"]
    refused(cloud.admin.delete(f"{V}/ports/{held[0]['id']}"), 409, "ServicePortInUse")
    assert cloud.user.post(f"{V}/floatingips", {"floatingip": facts | {"floating_ip_address": "172.24.4.50"}}).status == 403
    mine = {"floating_network_id": public[0]["id"], "floating_ip_address": "172.24.4.50"}
    assert cloud.admin.post(f"{V}/floatingips", {"floatingip": mine}).json["floatingip"]["floating_ip_address"] == "172.24.4.50"
    refused(cloud.admin.post(f"{V}/floatingips", {"floatingip": mine}), 409, "IpAddressInUse")
    assert cloud.other().get(path).status == 404
    assert cloud.user.delete(path).status == 204


def test_a_port_of_several_addresses_needs_to_be_told_which(cloud, net, public):
    network, subnet = net
    router = make(cloud.user, "router", external_gateway_info={"network_id": public[0]["id"]})
    interface(cloud.user, router, subnet_id=subnet["id"])
    port = make(cloud.user, "port", network_id=network["id"], fixed_ips=[{"ip_address": "10.0.0.50"}, {"ip_address": "10.0.0.51"}])
    facts = {"floating_network_id": public[0]["id"], "port_id": port["id"]}
    refused(cloud.user.post(f"{V}/floatingips", {"floatingip": facts}), 400, "BadRequest")
    floating = make(cloud.user, "floatingip", **facts, fixed_ip_address="10.0.0.51")
    moved = cloud.user.put(f"{V}/floatingips/{floating['id']}", {"floatingip": {"fixed_ip_address": "10.0.0.50"}}).json["floatingip"]
    assert moved["fixed_ip_address"] == "10.0.0.50"
    cloud.user.put(f"{V}/ports/{port['id']}", {"port": {"fixed_ips": [{"ip_address": "10.0.0.51"}]}})
    assert cloud.user.get(f"{V}/floatingips/{floating['id']}").json["floatingip"]["port_id"] is None


def test_an_external_network_is_deleted_with_floating_ips_that_lead_nowhere(cloud, public):
    floating = make(cloud.user, "floatingip", floating_network_id=public[0]["id"])
    assert cloud.admin.delete(f"{V}/networks/{public[0]['id']}").status == 204
    refused(cloud.user.get(f"{V}/floatingips/{floating['id']}"), 404, "FloatingIPNotFound")


def test_every_project_has_a_default_group_that_stays(cloud):
    (default,) = cloud.user.get(f"{V}/security-groups").json["security_groups"]
    assert default["name"] == "default"
    said = {(rule["direction"], rule["ethertype"], rule["remote_group_id"]) for rule in default["security_group_rules"]}
    assert said == {(way, kind, default["id"] if way == "ingress" else None) for way in ("ingress", "egress") for kind in ("IPv4", "IPv6")}
    path = f"{V}/security-groups/{default['id']}"
    refused(cloud.user.delete(path), 409, "SecurityGroupCannotRemoveDefault")
    refused(cloud.user.put(path, {"security_group": {"name": "mine"}}), 409, "SecurityGroupCannotUpdateDefault")
    refused(cloud.user.post(f"{V}/security-groups", {"security_group": {"name": "default"}}), 409, "SecurityGroupDefaultAlreadyExists")
    assert cloud.user.put(path, {"security_group": {"description": "ours"}}).json["security_group"]["description"] == "ours"


def test_rules_are_checked(cloud):
    group = make(cloud.user, "security_group", name="web")
    assert {(rule["direction"], rule["ethertype"]) for rule in group["security_group_rules"]} == {("egress", "IPv4"), ("egress", "IPv6")}

    def create(**facts):
        body = {"security_group_id": group["id"], "direction": "ingress", **facts}
        return cloud.user.post(f"{V}/security-group-rules", {"security_group_rule": body})

    good = create(protocol="TCP", port_range_min=80, port_range_max=80, remote_ip_prefix="10.1.2.3/16").json["security_group_rule"]
    assert (good["protocol"], good["remote_ip_prefix"], good["normalized_cidr"]) == ("tcp", "10.1.2.3/16", "10.1.0.0/16")
    one = create(protocol="udp", remote_ip_prefix="10.1.2.3").json["security_group_rule"]
    assert (one["remote_ip_prefix"], one["normalized_cidr"], one["ethertype"]) == ("10.1.2.3/32", "10.1.2.3/32", "IPv4")
    assert create(protocol="sctp").json["security_group_rule"]["normalized_cidr"] is None
    refused(create(protocol="tcp", port_range_min=80, port_range_max=80, remote_ip_prefix="10.1.0.0/16"), 409, "SecurityGroupRuleExists")
    refused(create(protocol="tcp", port_range_min=90, port_range_max=80), 400, "SecurityGroupInvalidPortRange")
    refused(create(protocol="tcp", port_range_min=-16, port_range_max=80), 400, "SecurityGroupInvalidPortValue")
    refused(create(protocol="icmp", port_range_min=300), 400, "SecurityGroupInvalidIcmpValue")
    refused(create(protocol="icmp", port_range_max=3), 400, "SecurityGroupMissingIcmpType")
    refused(create(port_range_min=80, port_range_max=80), 400, "SecurityGroupProtocolRequiredWithPorts")
    refused(create(protocol="bad"), 400, "SecurityGroupRuleInvalidProtocol")
    refused(create(protocol="ipv6-icmp"), 400, "SecurityGroupEthertypeConflictWithProtocol")
    refused(create(ethertype="IPv5"), 400, "SecurityGroupRuleInvalidEtherType")
    refused(create(ethertype="IPv6", remote_ip_prefix="10.0.0.0/8"), 400, "SecurityGroupRuleParameterConflict")
    both = create(remote_ip_prefix="10.0.0.0/8", remote_group_id=group["id"])
    refused(both, 400, "SecurityGroupRemoteGroupAndRemoteIpPrefix")
    refused(create(remote_group_id="no-such"), 404, "SecurityGroupNotFound")
    assert create(protocol=17).json["security_group_rule"]["protocol"] == "17"
    assert create(protocol="any", ethertype="ipv6").json["security_group_rule"]["protocol"] is None
    assert len(cloud.user.get(f"{V}/security-group-rules?security_group_id={group['id']}").json["security_group_rules"]) == 7
    assert cloud.user.delete(f"{V}/security-group-rules/{good['id']}").status == 204
    refused(cloud.user.get(f"{V}/security-group-rules/{good['id']}"), 404, "SecurityGroupRuleNotFound")
    assert cloud.other().get(f"{V}/security-groups/{group['id']}").status == 404


def test_a_group_in_use_stays(cloud, net):
    group = make(cloud.user, "security_group", name="web")
    port = make(cloud.user, "port", network_id=net[0]["id"], security_groups=[group["id"]])
    refused(cloud.user.delete(f"{V}/security-groups/{group['id']}"), 409, "SecurityGroupInUse")
    assert cloud.user.get(f"{V}/ports?security_groups={group['id']}").json["ports"][0]["id"] == port["id"]
    cloud.user.put(f"{V}/ports/{port['id']}", {"port": {"security_groups": []}})
    assert cloud.user.delete(f"{V}/security-groups/{group['id']}").status == 204


def test_what_new_groups_begin_with(cloud):
    path = f"{V}/default-security-group-rules"
    assert len(cloud.user.get(path).json["default_security_group_rules"]) == 4
    body = {"direction": "ingress", "protocol": "tcp", "port_range_min": 22, "port_range_max": 22}
    assert cloud.user.post(path, {"default_security_group_rule": body}).status == 403
    rule = cloud.admin.post(path, {"default_security_group_rule": body}).json["default_security_group_rule"]
    refused(cloud.admin.post(path, {"default_security_group_rule": body}), 409, "DefaultSecurityGroupRuleExists")
    assert len(make(cloud.user, "security_group", name="a")["security_group_rules"]) == 3
    assert cloud.admin.delete(f"{path}/{rule['id']}").status == 204
    assert len(make(cloud.user, "security_group", name="b")["security_group_rules"]) == 2
