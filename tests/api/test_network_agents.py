"""Agents of Network: what works on each host, for those who run the cloud."""

from tests.waiting import until

V = "/network/v2.0/agents"


def agents(cloud, query=""):
    return cloud.admin.get(V + query).json["agents"]


def test_agents_are_those_of_the_hosts_and_alive_as_observed(cloud):
    assert [one["alive"] for one in agents(cloud)] == [False, False], "no host has reported yet"
    cloud.settle()
    until(lambda: all(one["alive"] for one in agents(cloud)))
    controller, metadata = agents(cloud)
    assert (controller["agent_type"], controller["binary"], controller["host"]) == ("OVN Controller agent", "ovn-controller", "host-1")
    assert metadata["agent_type"] == "OVN Metadata agent"
    assert controller["admin_state_up"] is True
    assert cloud.admin.get(f"{V}/{controller['id']}").json["agent"]["id"] == controller["id"]
    assert agents(cloud, "?agent_type=OVN+Metadata+agent&fields=id") == [{"id": metadata["id"]}]
    assert agents(cloud, "?alive=false") == agents(cloud, "?host=host-2") == []
    cloud.plugs["host-1"].up = False
    cloud.hosts._do(_sweep(cloud))
    until(lambda: not agents(cloud)[0]["alive"])
    assert agents(cloud)[1]["alive"]


async def _sweep(cloud):
    await cloud.hosts._loops["host-1"]._sweep()


def test_others_see_none_and_admins_may_describe_them(cloud):
    (one, _) = agents(cloud)
    assert cloud.user.get(V).json == {"agents": []}
    assert cloud.user.get(f"{V}/{one['id']}").status in (403, 404)
    assert cloud.admin.get(f"{V}/none").json["NeutronError"]["type"] == "AgentNotFound"
    said = cloud.admin.put(f"{V}/{one['id']}", {"agent": {"description": "the first", "admin_state_up": True}}).json["agent"]
    assert (said["description"], agents(cloud, "?description=the+first")) == ("the first", [said])
    assert cloud.admin.put(f"{V}/{one['id']}", {"agent": {"description": None}}).json["agent"]["description"] == ""
    assert cloud.admin.put(f"{V}/{one['id']}", {"agent": {"admin_state_up": False}}).status == 400
    assert cloud.admin.delete(f"{V}/{one['id']}").status == 409
