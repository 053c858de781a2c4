"""Clusters through the API, with the real engine and agents; nodes that say what the program in the image would."""

import pytest

from tests import hadoop
from tests.hadoop import V1, V2, Nodes


@pytest.fixture
def ready(cloud, network):
    """A cloud with the plugin's image, a network of the project demo, and programs in every node."""
    cloud.network, cloud.image = network, hadoop.image(cloud)
    with Nodes(cloud) as cloud.nodes:
        yield cloud


def make(cloud, **more):
    answer = cloud.user.post(f"{V1}/clusters", hadoop.wanted(**more))
    assert answer.status == 202, answer
    return answer.json["cluster"]


def test_a_cluster_is_made_of_servers_and_leaves_nothing(ready):
    made = make(ready)
    assert made["status"] == "Spawning"
    assert (made["hadoop_version"], made["tenant_id"]) == ("3.5.0", ready.id_of("projects", "demo"))
    whole = hadoop.status(ready, made["id"], "Active")
    names = [one["instance_name"] for group in whole["node_groups"] for one in group["instances"]]
    assert names == ["demo-master-0", "demo-worker-0", "demo-worker-1"]
    assert sorted(one["name"] for one in ready.user.get("/compute/v2.1/servers").json["servers"]) == names
    assert [(one["step_name"], one["total"], one["successful"]) for one in whole["provision_progress"]] == [
        ("Run instances", 3, True), ("Wait for instances to answer", 3, True), ("Start the daemons", 3, True),
        ("Wait until the cluster is whole", 1, True),
    ]  # fmt: skip
    assert len(whole["provision_progress"][0]["events"]) == 3
    assert whole["info"]["HDFS"]["NameNode"].startswith("hdfs://10.1.0.")
    assert whole["verification"]["status"] == "GREEN"
    assert ready.user.delete(f"{V1}/clusters/{made['id']}").status == 204
    hadoop.gone(ready, made["id"])
    assert hadoop.left(ready) == []
    assert ready.parts.objects.find(ready.id_of("projects", "demo"), "hadoop-logs") is not None


def test_nodes_are_told_what_the_contract_says(ready):
    made = make(ready, cluster_configs={"HDFS": {"dfs.replication": 2}, "general": {"NameNode Heap Size": 200}})
    hadoop.status(ready, made["id"], "Active")
    master, worker = ready.nodes.documents["demo-master-0"], ready.nodes.documents["demo-worker-1"]
    address = {name: one["node"]["address"] for name, one in ready.nodes.documents.items()}
    assert master["roles"] == {
        "namenode": [address["demo-master-0"]], "resourcemanager": [address["demo-master-0"]], "historyserver": [address["demo-master-0"]],
        "secondarynamenode": [],
    }  # fmt: skip
    assert worker["hosts"] == {where: name for name, where in address.items()}
    assert worker["node"] == {
        "name": "demo-worker-1", "address": address["demo-worker-1"], "processes": hadoop.WORKER, "vcpus": 1, "memory_mb": 128, "disks": [],
    }  # fmt: skip
    assert worker["config"] == {"hdfs-site": {"dfs.replication": "2"}, "env": {"namenode_heap_mb": 200}}
    assert worker["cluster"]["id"] == made["id"]
    assert worker["cluster"]["identity"].startswith("CID-")
    assert worker["s3"]["endpoint"] == "http://172.24.4.1:9000"
    assert len(worker["secret"]) == 64
    assert worker["logs"].startswith("s3a://hadoop-logs/demo-")
    assert (worker["leaving"], worker["stop"], worker["jobs"]) == ([], False, [])
    user = ready.id_of("users", "demo")
    (key,) = ready.user.get(f"/identity/v3/users/{user}/credentials/OS-EC2").json["credentials"]
    assert (worker["s3"]["access_key"], worker["s3"]["secret_key"]) == (key["access"], key["secret"])
    shown = ready.user.get(f"{V2}/clusters/{made['id']}")
    assert key["secret"].encode() not in shown.body
    assert worker["secret"].encode() not in shown.body
