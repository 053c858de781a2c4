"""RBAC policies of every type, address groups, and the rest of subnet pools and address scopes, through the API."""

import pytest

from andromede.drivers.network import Addresses
from tests.api.test_network_basics import V, make, net, public, refused

assert net
assert public
R = f"{V}/rbac-policies"


def share(client, kind, object_id, target, **more):
    body = {"object_type": kind, "object_id": object_id, "action": "access_as_shared", "target_tenant": target, **more}
    return client.post(R, {"rbac_policy": body})


def project_of(client):
    return client.get(f"{V}/quotas/tenant").json["tenant"]["tenant_id"]


PATHS = {"security_group": "security-groups", "address_scope": "address-scopes", "subnetpool": "subnetpools", "address_group": "address-groups"}
FACTS = {"security_group": {}, "address_scope": {"ip_version": 4}, "subnetpool": {"prefixes": ["10.0.0.0/8"]}, "address_group": {"addresses": []}}


def thing(client, kind):
    answer = client.post(f"{V}/{PATHS[kind]}", {kind: {"name": "x", **FACTS[kind]}})
    assert answer.status == 201, answer
    return answer.json[kind]


@pytest.mark.parametrize("kind", PATHS)
def test_what_is_shared_with_a_project_is_seen_and_used_by_it_alone(cloud, kind, net):
    other, third = cloud.other(), cloud.other("third")
    mine = thing(cloud.user, kind)
    path = f"{V}/{PATHS[kind]}/{mine['id']}"
    assert (mine["shared"], other.get(path).status) == (False, 404)
    assert share(other, kind, mine["id"], project_of(other)).status == 404
    made = share(cloud.user, kind, mine["id"], project_of(other)).json["rbac_policy"]
    assert (made["object_type"], made["target_tenant"]) == (kind, project_of(other))
    refused(share(cloud.user, kind, mine["id"], project_of(other)), 409, "DuplicateRbacPolicy")
    seen = other.get(path).json[kind]
    assert (seen["id"], seen["shared"], third.get(path).status) == (mine["id"], True, 404)
    plural = next(iter(other.get(f"{V}/{PATHS[kind]}?shared=true").json.values()))
    assert [each["id"] for each in plural] == [mine["id"]]
    assert [each["id"] for each in cloud.user.get(f"{R}?object_type={kind}").json["rbac_policies"]] == [made["id"]]
    assert other.put(path, {kind: {"name": "mine"}}).status == 404
    refused(share(other, kind, mine["id"], project_of(third)), 400, "RbacPolicyInitError")
    user = use(other, kind, mine)
    assert user.status == 201, user
    refused(cloud.user.delete(f"{R}/{made['id']}"), 409, "RbacPolicyInUse")
    refused(cloud.user.put(f"{R}/{made['id']}", {"rbac_policy": {"target_tenant": project_of(third)}}), 409, "RbacPolicyInUse")
    assert share(cloud.admin, kind, mine["id"], "*").status == 201
    assert cloud.user.delete(f"{R}/{made['id']}").status == 204
    assert third.get(path).json[kind]["shared"] is True


def use(client, kind, mine):
    network = make(client, "network")
    if kind == "security_group":
        return client.post(f"{V}/ports", {"port": {"network_id": network["id"], "security_groups": [mine["id"]]}})
    if kind == "address_scope":
        return client.post(f"{V}/subnetpools", {"subnetpool": {"prefixes": ["10.9.0.0/16"], "address_scope_id": mine["id"]}})
    if kind == "subnetpool":
        return client.post(f"{V}/subnets", {"subnet": {"network_id": network["id"], "ip_version": 4, "subnetpool_id": mine["id"], "prefixlen": 24}})
    group = make(client, "security_group")
    facts = {"security_group_id": group["id"], "direction": "ingress", "remote_address_group_id": mine["id"]}
    return client.post(f"{V}/security-group-rules", {"security_group_rule": facts})


def test_who_leaves_by_a_network_keeps_the_rule_for_it(cloud, public):
    outside = public[0]["id"]
    (rule,) = cloud.admin.get(f"{R}?object_id={outside}").json["rbac_policies"]
    path = f"{R}/{rule['id']}"
    refused(cloud.admin.delete(path), 409, "RbacPolicyInUse")
    cloud.admin.put(f"{V}/networks/{outside}", {"network": {"is_default": False}})
    router = make(cloud.user, "router", external_gateway_info={"network_id": outside})
    refused(cloud.admin.delete(path), 409, "RbacPolicyInUse")
    refused(cloud.admin.put(path, {"rbac_policy": {"target_tenant": "other"}}), 409, "RbacPolicyInUse")
    assert cloud.admin.put(path, {"rbac_policy": {"target_tenant": router["project_id"]}}).status == 200
    cloud.user.delete(f"{V}/routers/{router['id']}")
    assert cloud.admin.delete(path).status == 204
    assert cloud.admin.get(f"{V}/networks/{outside}").json["network"]["router:external"] is False


def test_what_no_rule_may_say(cloud):
    mine, target = thing(cloud.user, "subnetpool"), project_of(cloud.other())
    assert share(cloud.user, "port", mine["id"], target).status == 400
    refused(share(cloud.user, "subnetpool", mine["id"], target, action="access_as_external"), 400, "InvalidInput")
    assert share(cloud.user, "subnetpool", mine["id"], "*").status == 403
    assert share(cloud.user, "subnetpool", mine["id"], "").status == 400
    scope = thing(cloud.user, "address_scope")
    cloud.user.put(f"{V}/subnetpools/{mine['id']}", {"subnetpool": {"address_scope_id": scope["id"]}})
    refused(share(cloud.user, "subnetpool", mine["id"], target), 400, "RbacPolicyInitError")
    assert share(cloud.user, "address_scope", scope["id"], target).status == 201
    assert share(cloud.user, "subnetpool", mine["id"], target).status == 201


def test_what_is_deleted_takes_its_rules_along(cloud):
    mine = thing(cloud.user, "address_scope")
    made = share(cloud.user, "address_scope", mine["id"], project_of(cloud.other())).json["rbac_policy"]
    assert cloud.user.delete(f"{V}/address-scopes/{mine['id']}").status == 204
    refused(cloud.user.get(f"{R}/{made['id']}"), 404, "RbacPolicyNotFound")


def test_address_groups_and_rules_that_name_them(cloud):
    group = cloud.user.post(f"{V}/address-groups", {"address_group": {"addresses": ["10.0.0.7/24", "fd00::1/128"]}}).json["address_group"]
    path = f"{V}/address-groups/{group['id']}"
    assert group["addresses"] == ["10.0.0.0/24", "fd00::1/128"]
    for wrong in (["10.0.0.1"], ["x/8"], ["10.0.0.0/33"]):
        assert cloud.user.post(f"{V}/address-groups", {"address_group": {"addresses": wrong}}).status == 400
    home = make(cloud.user, "security_group")
    facts = {"security_group_id": home["id"], "direction": "ingress", "remote_address_group_id": group["id"]}
    rule = make(cloud.user, "security_group_rule", **facts)
    assert (rule["remote_address_group_id"], rule["remote_ip_prefix"]) == (group["id"], None)
    refused(cloud.user.post(f"{V}/security-group-rules", {"security_group_rule": facts}), 409, "SecurityGroupRuleExists")
    both = {"security_group_rule": {**facts, "remote_ip_prefix": "10.0.0.0/8"}}
    refused(cloud.user.post(f"{V}/security-group-rules", both), 400, "SecurityGroupRemoteGroupAndRemoteIpPrefix")
    unknown = {"security_group_rule": {**facts, "remote_address_group_id": "none"}}
    refused(cloud.user.post(f"{V}/security-group-rules", unknown), 404, "AddressGroupNotFound")
    cloud.settle()
    assert cloud.fabric.get("addresses", group["id"]) == Addresses(id=group["id"], addresses=("10.0.0.0/24", "fd00::1/128"))
    assert group["id"] in {each.remote_addresses for each in cloud.fabric.get("group", home["id"]).rules}
    assert cloud.user.put(path, {"address_group": {"name": "n"}}).json["address_group"]["name"] == "n"
    added = cloud.user.put(f"{path}/add_addresses", {"addresses": ["10.1.0.0/16"]}).json["address_group"]
    assert added["addresses"][-1] == "10.1.0.0/16"
    refused(cloud.user.put(f"{path}/add_addresses", {"address_group": {"addresses": ["10.1.0.0/16"]}}), 400, "AddressesAlreadyExist")
    refused(cloud.user.put(f"{path}/remove_addresses", {"addresses": ["10.2.0.0/16"]}), 404, "AddressesNotFound")
    assert cloud.user.put(f"{path}/remove_addresses", {}).status == 400
    assert cloud.user.put(f"{path}/remove_addresses", {"addresses": ["10.1.0.0/16"]}).json["address_group"]["addresses"] == group["addresses"]
    assert cloud.user.put(f"{path}/add_addresses", {"addresses": [f"10.{n >> 8}.{n & 255}.0/24" for n in range(1, 1002)]}).status == 400
    refused(cloud.user.delete(path), 409, "AddressGroupInUse")
    cloud.user.delete(f"{V}/security-group-rules/{rule['id']}")
    assert cloud.user.delete(path).status == 204
    cloud.settle()
    assert cloud.fabric.observe("addresses") == set()


def test_prefixes_of_a_subnet_pool(cloud, net):
    pool = make(cloud.user, "subnetpool", prefixes=["10.1.0.0/16"], default_prefixlen=24)
    path = f"{V}/subnetpools/{pool['id']}"
    assert cloud.user.put(f"{path}/add_prefixes", {"prefixes": ["10.2.0.0/16"]}).json == {"prefixes": ["10.1.0.0/16", "10.2.0.0/16"]}
    assert cloud.user.put(f"{path}/add_prefixes", {"prefixes": ["fd00::/64"]}).status == 400
    network = make(cloud.user, "network")
    make(cloud.user, "subnet", network_id=network["id"], ip_version=4, cidr="10.1.4.0/24", subnetpool_id=pool["id"])
    for wrong in (["10.1.0.0/16"], ["10.9.0.0/16"]):
        refused(cloud.user.put(f"{path}/remove_prefixes", {"prefixes": wrong}), 400, "IllegalSubnetPoolPrefixUpdate")
    assert cloud.user.put(f"{path}/remove_prefixes", {"prefixes": ["10.1.128.0/17", "10.2.0.0/16"]}).json == {"prefixes": ["10.1.0.0/17"]}
    assert cloud.user.put(f"{path}/onboard_network_subnets", {"network_id": net[0]["id"]}).status == 200
    assert cloud.user.get(path).json["subnetpool"]["prefixes"] == ["10.0.0.0/24", "10.1.0.0/17"]
    assert cloud.user.get(f"{V}/subnets/{net[1]['id']}").json["subnet"]["subnetpool_id"] == pool["id"]
    second = make(cloud.user, "subnetpool", prefixes=["10.3.0.0/16"])
    again = f"{V}/subnetpools/{second['id']}/onboard_network_subnets"
    refused(cloud.user.put(again, {"network_id": net[0]["id"]}), 400, "IllegalSubnetOnboard")
    refused(cloud.user.put(again, {"network_id": "none"}), 404, "NetworkNotFound")
    overlapping = make(cloud.user, "network")
    make(cloud.user, "subnet", network_id=overlapping["id"], ip_version=4, cidr="10.1.0.0/20")
    refused(cloud.user.put(f"{path}/onboard_network_subnets", {"network_id": overlapping["id"]}), 409, "AddressScopePrefixConflict")


def test_address_scopes_decide_what_is_routed_and_translated(cloud, public):
    scope = make(cloud.admin, "address_scope", ip_version=4, shared=True)
    pools = {
        name: make(cloud.admin, "subnetpool", prefixes=[prefix], shared=True, **facts)
        for name, prefix, facts in (
            ("in", "10.60.0.0/16", {"address_scope_id": scope["id"]}), ("out", "172.24.4.0/24", {"address_scope_id": scope["id"]}),
            ("none", "10.61.0.0/16", {}),
        )
    }  # fmt: skip
    router = make(cloud.user, "router", external_gateway_info={"network_id": public[0]["id"]})
    cidrs = {}
    for name in ("in", "none"):
        network = make(cloud.user, "network")
        subnet = make(cloud.user, "subnet", network_id=network["id"], ip_version=4, subnetpool_id=pools[name]["id"], prefixlen=24)
        cloud.user.put(f"{V}/routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})
        cidrs[name] = subnet["cidr"]
    cloud.settle()
    spec = cloud.fabric.get("router", router["id"])
    assert (spec.apart, set(spec.snat)) == (((cidrs["in"], cidrs["none"]),), set(cidrs.values()))
    onboard = f"{V}/subnetpools/{pools['out']['id']}/onboard_network_subnets"
    assert cloud.admin.put(onboard, {"network_id": public[0]["id"]}).status == 200
    cloud.settle()
    assert cloud.fabric.get("router", router["id"]).snat == (cidrs["none"],)
    cloud.admin.put(f"{V}/subnetpools/{pools['in']['id']}", {"subnetpool": {"address_scope_id": None}})
    cloud.settle()
    spec = cloud.fabric.get("router", router["id"])
    assert (spec.apart, set(spec.snat)) == ((), set(cidrs.values()))
