"""openstacksdk, which `openstack` stands on, with what Network offers beyond the plain."""

import pytest

from tests.api.test_network_basics import make
from tests.cloud import Cloud
from tests.conformance import in_process


@pytest.fixture
def both(tmp_path):
    """(an operator's and a project's connection)."""
    cloud = Cloud(tmp_path)
    try:
        facts = {"router:external": True, "provider:network_type": "flat", "provider:physical_network": "public", "is_default": True}
        public = make(cloud.admin, "network", name="public", **facts)
        make(cloud.admin, "subnet", network_id=public["id"], ip_version=4, cidr="172.24.4.0/24", enable_dhcp=False)
        with in_process.api(cloud) as url:
            yield in_process.sdk(url, "admin"), in_process.sdk(url, "demo")
    finally:
        cloud.close()


def inside(network, **facts):
    home = network.create_network(name="inside", **facts)
    return home, network.create_subnet(network_id=home.id, ip_version=4, cidr="10.5.0.0/24")


def test_limits_and_marks(both):
    admin, user = (each.network for each in both)
    policy = admin.create_qos_policy(name="slow", shared=True)
    limit = admin.create_qos_bandwidth_limit_rule(policy, max_kbps=1000, max_burst_kbps=80, direction="ingress")
    mark = admin.create_qos_dscp_marking_rule(policy, dscp_mark=26)
    assert admin.update_qos_bandwidth_limit_rule(limit, policy, max_kbps=2000).max_kbps == 2000
    assert [each.dscp_mark for each in user.qos_dscp_marking_rules(policy)] == [26]
    assert {rule["type"] for rule in user.find_qos_policy("slow").rules} == {"bandwidth_limit", "dscp_marking"}
    assert {each.type for each in user.qos_rule_types()} == {"bandwidth_limit", "dscp_marking"}
    home, _ = inside(user, qos_policy_id=policy.id)
    port = user.create_port(network_id=home.id)
    assert (port.qos_policy_id, port.qos_network_policy_id) == (None, policy.id)
    assert user.update_port(port, qos_policy_id=policy.id).qos_policy_id == policy.id
    user.delete_port(port)
    user.delete_network(home)
    admin.delete_qos_dscp_marking_rule(mark, policy)
    admin.delete_qos_policy(policy)
    assert user.find_qos_policy("slow") is None


def test_forwarded_ports_and_trunks(both):
    user = both[1].network
    home, subnet = inside(user)
    outside = user.find_network("public")
    router = user.create_router(external_gateway_info={"network_id": outside.id})
    user.add_interface_to_router(router, subnet_id=subnet.id)
    port, other = user.create_port(network_id=home.id), user.create_port(network_id=home.id)
    floating = user.create_ip(floating_network_id=outside.id)
    facts = {"internal_port_id": port.id, "internal_ip_address": port.fixed_ips[0]["ip_address"], "protocol": "tcp"}
    made = user.create_floating_ip_port_forwarding(floating, internal_port=22, external_port=2222, **facts)
    assert user.update_floating_ip_port_forwarding(floating, made, external_port=2223).external_port == 2223
    assert [each.id for each in user.floating_ip_port_forwardings(floating)] == [made.id]
    assert user.get_ip(floating).port_details is None
    user.delete_floating_ip_port_forwarding(floating, made)
    user.delete_ip(floating)
    trunk = user.create_trunk(port_id=port.id, sub_ports=[{"port_id": other.id, "segmentation_type": "vlan", "segmentation_id": 7}])
    assert user.get_port(port).trunk_details["trunk_id"] == trunk.id
    assert user.get_trunk_subports(trunk)["sub_ports"][0]["segmentation_id"] == 7
    user.delete_trunk_subports(trunk, [{"port_id": other.id}])
    user.add_trunk_subports(trunk, [{"port_id": other.id, "segmentation_type": "vlan", "segmentation_id": 8}])
    assert user.update_trunk(trunk, name="t").name == "t"
    user.set_tags(trunk, ["x"])
    assert [each.id for each in user.trunks(tags="x")] == [trunk.id]
    user.delete_trunk(trunk)


def test_groups_of_addresses_pools_and_sharing(both):
    admin, user = (each.network for each in both)
    friends = user.create_address_group(name="friends", addresses=["10.0.0.0/24"])
    assert user.add_addresses_to_address_group(friends, ["10.1.0.0/24"]).addresses == ["10.0.0.0/24", "10.1.0.0/24"]
    user.remove_addresses_from_address_group(friends, ["10.0.0.0/24"])
    group = user.create_security_group(name="g")
    rule = user.create_security_group_rule(security_group_id=group.id, direction="ingress", remote_address_group_id=friends.id)
    assert rule.remote_address_group_id == friends.id
    shared = user.create_rbac_policy(
        object_type="address_group", object_id=friends.id, action="access_as_shared", target_project_id=both[0].current_project_id
    )
    assert [each.id for each in user.rbac_policies(object_type="address_group")] == [shared.id]
    user.delete_rbac_policy(shared)
    pool = admin.create_subnet_pool(name="p", prefixes=["10.77.0.0/16"], is_shared=True, is_default=True, default_prefix_length=26)
    assert (pool.minimum_prefix_length, pool.is_shared) == (8, True)
    topology = user.get_auto_allocated_topology()
    assert user.get_network(topology.id).name == "auto_allocated_network"
    user.delete_auto_allocated_topology()
    assert user.find_network("auto_allocated_network") is None
