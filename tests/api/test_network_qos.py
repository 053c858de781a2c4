"""QoS policies through the API, and what the fabric is told of them."""

import pytest

from andromede.drivers.network import Limit, Qos
from tests.api.test_network_basics import V, make, net, public, refused

assert net
assert public
Q = f"{V}/qos/policies"


def policy(client, **facts):
    answer = client.post(Q, {"policy": {"name": "q", **facts}})
    assert answer.status == 201, answer
    return answer.json["policy"]


def rule(client, policy, kind="bandwidth_limit", **facts):
    return client.post(f"{Q}/{policy['id']}/{kind}_rules", {f"{kind}_rule": facts})


def told(cloud, port):
    cloud.settle()
    return cloud.fabric.get("port", port["id"]).qos


def test_policies_are_the_operators_and_read_by_those_they_are_shared_with(cloud):
    assert cloud.user.post(Q, {"policy": {"name": "mine"}}).status == 403
    mine = policy(cloud.admin, description="d")
    assert (mine["shared"], mine["rules"], mine["is_default"], mine["description"]) == (False, [], False, "d")
    refused(cloud.user.get(f"{Q}/{mine['id']}"), 404, "QosPolicyNotFound")
    assert cloud.user.get(Q).json == {"policies": []}
    changed = cloud.admin.put(f"{Q}/{mine['id']}", {"policy": {"shared": True, "name": "r"}}).json["policy"]
    assert (changed["shared"], changed["name"]) == (True, "r")
    assert [each["id"] for each in cloud.user.get(f"{Q}?shared=true&name=r").json["policies"]] == [mine["id"]]
    assert cloud.admin.put(f"{Q}/{mine['id']}/tags/gold").status == 201
    assert cloud.admin.get(f"{Q}?tags=gold").json["policies"][0]["tags"] == ["gold"]
    assert cloud.admin.delete(f"{Q}/{mine['id']}").status == 204


def test_rules_of_both_types(cloud):
    held = policy(cloud.admin, shared=True)
    limit = rule(cloud.admin, held, max_kbps="1000").json["bandwidth_limit_rule"]
    assert {name: limit[name] for name in ("max_kbps", "max_burst_kbps", "direction")} == {
        "max_kbps": 1000, "max_burst_kbps": 0, "direction": "egress",
    }  # fmt: skip
    refused(rule(cloud.admin, held, max_kbps=5), 409, "QoSRulesConflict")
    other = rule(cloud.admin, held, max_kbps=5, direction="ingress").json["bandwidth_limit_rule"]
    for wrong in ({}, {"max_kbps": -1}, {"max_kbps": 1, "direction": "up"}, {"max_kbps": 1, "dscp_mark": 8}, {"max_kbps": 1 << 31}):
        assert rule(cloud.admin, held, **wrong).status == 400, wrong
    assert rule(cloud.user, held, "dscp_marking", dscp_mark=8).status == 403
    mark = rule(cloud.admin, held, "dscp_marking", dscp_mark=26).json["dscp_marking_rule"]
    for wrong in ({}, {"dscp_mark": 7}, {"dscp_mark": 8, "max_kbps": 1}):
        assert rule(cloud.admin, held, "dscp_marking", **wrong).status == 400, wrong
    shown = cloud.user.get(f"{Q}/{held['id']}").json["policy"]["rules"]
    assert [(each["type"], each["id"]) for each in shown] == [
        ("bandwidth_limit", limit["id"]), ("bandwidth_limit", other["id"]), ("dscp_marking", mark["id"]),
    ]  # fmt: skip
    path, marks = f"{Q}/{held['id']}/bandwidth_limit_rules", f"{Q}/{held['id']}/dscp_marking_rules"
    assert len(cloud.user.get(path).json["bandwidth_limit_rules"]) == 2
    assert cloud.user.get(f"{path}?direction=ingress&fields=id").json == {"bandwidth_limit_rules": [{"id": other["id"]}]}
    refused(cloud.admin.put(f"{path}/{other['id']}", {"bandwidth_limit_rule": {"direction": "egress"}}), 409, "QoSRulesConflict")
    faster = cloud.admin.put(f"{path}/{limit['id']}", {"bandwidth_limit_rule": {"max_kbps": 7, "max_burst_kbps": 3}}).json
    assert (faster["bandwidth_limit_rule"]["max_kbps"], faster["bandwidth_limit_rule"]["max_burst_kbps"]) == (7, 3)
    assert cloud.user.get(f"{marks}/{mark['id']}").json["dscp_marking_rule"]["dscp_mark"] == 26
    assert len(cloud.user.get(marks).json["dscp_marking_rules"]) == 1
    assert cloud.admin.put(f"{marks}/{mark['id']}", {"dscp_marking_rule": {"dscp_mark": 8}}).json["dscp_marking_rule"]["dscp_mark"] == 8
    refused(cloud.user.get(f"{path}/{mark['id']}"), 404, "QosRuleNotFound")
    assert cloud.admin.delete(f"{path}/{other['id']}").status == 204
    assert cloud.admin.delete(f"{marks}/{mark['id']}").status == 204
    refused(rule(cloud.admin, {"id": "none"}, max_kbps=1), 404, "QosPolicyNotFound")


def test_rules_without_their_policy_in_the_path(cloud):
    held = policy(cloud.admin, shared=True)
    limit = rule(cloud.admin, held, max_kbps=1000).json["bandwidth_limit_rule"]
    mark = rule(cloud.admin, held, "dscp_marking", dscp_mark=26).json["dscp_marking_rule"]
    for kind, each, change in (("bandwidth_limit", limit, {"max_kbps": 9}), ("dscp_marking", mark, {"dscp_mark": 10})):
        path, name = f"{V}/qos/alias-{kind.replace('_', '-')}-rules/{each['id']}", f"alias_{kind}_rule"
        assert cloud.user.get(path).json[name] == each
        assert cloud.admin.put(path, {name: change}).json[name] == {**each, **change}
        assert cloud.admin.delete(path).status == 204
        refused(cloud.user.get(path), 404, "QosRuleNotFound")


def test_the_types_of_rules(cloud):
    assert cloud.user.get(f"{V}/qos/rule-types").json == {"rule_types": [{"type": "bandwidth_limit"}, {"type": "dscp_marking"}]}
    assert cloud.user.get(f"{V}/qos/rule-types/dscp_marking").status == 403
    told = cloud.admin.get(f"{V}/qos/rule-types/bandwidth_limit").json["rule_type"]["drivers"]
    assert [each["parameter_name"] for each in told[0]["supported_parameters"]] == ["max_kbps", "max_burst_kbps", "direction"]
    assert cloud.admin.get(f"{V}/qos/rule-types/minimum_bandwidth").status == 404


def test_ports_are_held_to_their_policy_or_their_networks(cloud, net):
    network, _ = net
    slow, marked = policy(cloud.admin, shared=True), policy(cloud.admin, shared=True)
    limit = rule(cloud.admin, slow, max_kbps=1000, max_burst_kbps=80).json["bandwidth_limit_rule"]
    rule(cloud.admin, slow, max_kbps=0, direction="ingress")
    rule(cloud.admin, marked, "dscp_marking", dscp_mark=26)
    port, plain = (make(cloud.user, "port", network_id=network["id"]) for _ in range(2))
    assert (port["qos_policy_id"], told(cloud, port)) == (None, None)
    put = cloud.user.put
    assert put(f"{V}/networks/{network['id']}", {"network": {"qos_policy_id": slow["id"]}}).json["network"]["qos_policy_id"] == slow["id"]
    held = Qos(limits=(Limit(direction="egress", kbps=1000, burst=80),))
    assert (told(cloud, port), told(cloud, plain)) == (held, held)
    (meta,) = cloud.user.get(f"{V}/ports?device_owner=network:distributed").json["ports"]
    assert told(cloud, meta) is None
    own = put(f"{V}/ports/{port['id']}", {"port": {"qos_policy_id": marked["id"]}}).json["port"]
    assert (own["qos_policy_id"], own["qos_network_policy_id"]) == (marked["id"], slow["id"])
    assert told(cloud, port) == Qos(dscp=26)
    cloud.admin.put(f"{V}/qos/alias-bandwidth-limit-rules/{limit['id']}", {"alias_bandwidth_limit_rule": {"max_kbps": 5}})
    assert told(cloud, plain).limits[0].kbps == 5
    for held_policy, user in ((slow, "network"), (marked, "port")):
        assert user in refused(cloud.admin.delete(f"{Q}/{held_policy['id']}"), 409, "QosPolicyInUse")
    refused(cloud.admin.put(f"{Q}/{slow['id']}", {"policy": {"shared": False}}), 409, "InvalidSharedSetting")
    put(f"{V}/networks/{network['id']}", {"network": {"qos_policy_id": None}})
    assert told(cloud, plain) is None
    refused(cloud.user.post(f"{V}/ports", {"port": {"network_id": network["id"], "qos_policy_id": "none"}}), 404, "QosPolicyNotFound")


def test_who_may_not_use_a_policy_may_not_take_it_away(cloud, net):
    hidden = policy(cloud.admin)
    path = f"{V}/networks/{net[0]['id']}"
    refused(cloud.user.put(path, {"network": {"qos_policy_id": hidden["id"]}}), 404, "QosPolicyNotFound")
    assert cloud.admin.put(path, {"network": {"qos_policy_id": hidden["id"]}}).status == 200
    refused(cloud.user.put(path, {"network": {"qos_policy_id": None}}), 403, "PolicyRemoveAuthorizationError")


def test_the_default_policy_of_a_project(cloud):
    project = make(cloud.user, "network")["project_id"]
    first = policy(cloud.admin, project_id=project, is_default=True)
    refused(cloud.admin.post(Q, {"policy": {"project_id": project, "is_default": True}}), 409, "QoSPolicyDefaultAlreadyExists")
    second = policy(cloud.admin, project_id=project)
    refused(cloud.admin.put(f"{Q}/{second['id']}", {"policy": {"is_default": True}}), 409, "QoSPolicyDefaultAlreadyExists")
    assert make(cloud.user, "network")["qos_policy_id"] == first["id"]
    assert make(cloud.user, "network", qos_policy_id=None)["qos_policy_id"] is None


@pytest.mark.parametrize("forwarded", [False, True])
def test_floating_ips_are_held_to_theirs(cloud, net, public, forwarded):
    held = policy(cloud.admin, shared=True)
    rule(cloud.admin, held, max_kbps=1000)
    router = make(cloud.user, "router", external_gateway_info={"network_id": public[0]["id"]})
    cloud.user.put(f"{V}/routers/{router['id']}/add_router_interface", {"subnet_id": net[1]["id"]})
    port = make(cloud.user, "port", network_id=net[0]["id"])
    led = {} if forwarded else {"port_id": port["id"]}
    floating = make(cloud.user, "floatingip", floating_network_id=public[0]["id"], qos_policy_id=held["id"], **led)
    assert floating["qos_policy_id"] == held["id"]
    if forwarded:
        body = {"internal_port_id": port["id"], "internal_ip_address": port["fixed_ips"][0]["ip_address"], "internal_port": 22}
        made = cloud.user.post(
            f"{V}/floatingips/{floating['id']}/port_forwardings", {"port_forwarding": {**body, "external_port": 22, "protocol": "tcp"}}
        )
        assert made.status == 201, made
    cloud.settle()
    wanted = Qos(limits=(Limit(direction="egress", kbps=1000),))
    spec = cloud.fabric.get("router", router["id"])
    assert (spec.limits if forwarded else spec.floating[0].qos) == (((floating["floating_ip_address"], wanted),) if forwarded else wanted)
    assert "floatingip" in refused(cloud.admin.delete(f"{Q}/{held['id']}"), 409, "QosPolicyInUse")
    cloud.user.put(f"{V}/floatingips/{floating['id']}", {"floatingip": {"qos_policy_id": None}})
    cloud.settle()
    spec = cloud.fabric.get("router", router["id"])
    assert (spec.limits if forwarded else spec.floating[0].qos) == (() if forwarded else None)
