"""Clusters through the API, with the real engine and agents; nodes that say what the program in the image would."""

import asyncio
import socket
import time
from datetime import timedelta

import pytest
from sqlalchemy import event, func, select

from andromede.agent.metadata import STATE, Posted
from andromede.drivers.host import Told
from andromede.services.compute import hosts
from andromede.services.compute.channel import note
from andromede.services.compute.tables import change
from andromede.services.compute.tables import host as compute_host
from andromede.services.compute.tables_channel import channel, told
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


def test_version_2_has_its_own_names_and_makes_several(ready):
    body = hadoop.wanted(version="plugin_version", workers=1)
    refused = ready.user.post(f"{V2}/clusters", hadoop.wanted())
    assert (refused.status, refused.json["error_name"]) == (400, "INVALID_DATA")
    assert "hadoop_version" in refused.json["error_message"]
    made = ready.user.post(f"{V2}/clusters", body | {"count": 2})
    assert made.status == 202, made
    shown = [one["cluster"] for one in made.json["clusters"]]
    assert [one["name"] for one in shown] == ["demo-1", "demo-2"]
    assert shown[0]["plugin_version"] == "3.5.0"
    assert "project_id" in shown[0]
    for one in shown:
        hadoop.status(ready, one["id"], "Active")
    project = ready.id_of("projects", "demo")
    assert len(ready.user.get(f"{V2}/{project}/clusters").json["clusters"]) == 2
    assert ready.user.get(f"{V2}/0f0f0f0f/clusters").status == 404
    several = ready.user.post(f"{V1}/clusters/multiple", hadoop.wanted("more", 1) | {"count": 1})
    assert several.status == 202, several
    assert len(several.json["clusters"]) == 1
    for one in [*shown, {"id": several.json["clusters"][0]}]:
        answer = ready.user.delete(f"{V2}/clusters/{one['id']}", body={"force": True})
        assert (answer.status, answer.json) == (200, {"stack_name": None})
        hadoop.gone(ready, one["id"])
    assert hadoop.left(ready) == []


def test_a_quota_refuses_the_whole_and_nothing_is_left(ready):
    project = ready.id_of("projects", "demo")
    assert ready.admin.put(f"/compute/v2.1/os-quota-sets/{project}", {"quota_set": {"instances": 3}}).status == 200
    refused = ready.user.post(f"{V1}/clusters", hadoop.wanted(workers=3))
    assert (refused.status, refused.json["error_name"]) == (400, "QUOTA_ERROR")
    assert "instances" in refused.json["error_message"]
    assert hadoop.left(ready) == []
    assert ready.user.get(f"{V1}/clusters").json == {"clusters": []}


WRONG = [
    ({"plugin_name": "vanilla"}, "vanilla", "INVALID_REFERENCE"),
    ({"hadoop_version": "2.7.1"}, "2.7.1", "INVALID_REFERENCE"),
    ({"name": "no_such_host"}, "name", "VALIDATION_ERROR"),
    ({"name": "x" * 60}, "name", "VALIDATION_ERROR"),
    ({"node_groups": []}, "node_groups", "VALIDATION_ERROR"),
    ({"node_groups": hadoop.groups(0)}, "datanode", "INVALID_COMPONENT_COUNT"),
    ({"node_groups": hadoop.groups() * 2}, "node_groups", "INVALID_DATA"),
    ({"node_groups": hadoop.groups(flavor_id="none")}, "flavor_id", "NOT_FOUND"),
    ({"node_groups": hadoop.groups(node_processes=["oozie"])}, "oozie", "INVALID_REFERENCE"),
    ({"node_groups": hadoop.groups(node_configs={"Hive": {}})}, "Hive", "INVALID_REFERENCE"),
    ({"node_groups": hadoop.groups(shares=[{"id": "x"}])}, "shares", "INVALID_REFERENCE"),
    ({"node_groups": hadoop.groups(volumes_per_node=1)}, "volumes_size", "INVALID_DATA"),
    ({"node_groups": hadoop.groups(boot_from_volume=True)}, "boot_from_volume", "INVALID_REFERENCE"),
    ({"node_groups": hadoop.groups(floating_ip_pool="none")}, "none", "NOT_FOUND"),
    ({"node_groups": hadoop.groups(security_groups=["none"])}, "none", "INVALID_REFERENCE"),
    ({"node_groups": hadoop.groups(node_group_template_id="0f0f0f0f-0000-4000-8000-0f0f0f0f0f0f")}, "node_group_template_id", "NOT_FOUND"),
    ({"cluster_template_id": "0f0f0f0f-0000-4000-8000-0f0f0f0f0f0f"}, "cluster_template_id", "NOT_FOUND"),
    ({"cluster_configs": {"HDFS": {"dfs.replication": []}}}, "dfs.replication", "INVALID_DATA"),
    ({"cluster_configs": {"general": {"Keep Logs": 1}}}, "Keep Logs", "INVALID_DATA"),
    ({"cluster_configs": {"Autoscaling": {"enabled": 3}}}, "enabled", "INVALID_DATA"),
    ({"cluster_configs": {"Autoscaling": {"colour": 3}}}, "colour", "INVALID_REFERENCE"),
    ({"anti_affinity": ["oozie"]}, "anti_affinity", "INVALID_REFERENCE"),
    ({"user_keypair_id": "none"}, "user_keypair_id", "NOT_FOUND"),
    ({"neutron_management_network": "0f0f0f0f-0000-4000-8000-0f0f0f0f0f0f"}, "neutron_management_network", "NOT_FOUND"),
    ({"neutron_management_network": "words"}, "neutron_management_network", "VALIDATION_ERROR"),
    ({"default_image_id": "0f0f0f0f-0000-4000-8000-0f0f0f0f0f0f"}, "default_image_id", "NOT_FOUND"),
    ({"domain_name": "example.org."}, "domain_name", "INVALID_REFERENCE"),
    ({"count": 2}, "count", "VALIDATION_ERROR"),
    ({"colour": "red"}, "colour", "INVALID_DATA"),
    ({"is_transient": "perhaps"}, "is_transient", "INVALID_DATA"),
]


def test_what_cannot_be_is_refused_by_name_and_leaves_nothing(ready):
    for other, word, name in WRONG:
        refused = ready.user.post(f"{V1}/clusters", hadoop.wanted() | other)
        assert refused.status == 400, (other, refused)
        assert refused.json["error_code"] == 400
        assert (word in refused.json["error_message"], refused.json["error_name"]) == (True, name), (other, refused)
    assert hadoop.left(ready) == []


def test_it_grows_and_shrinks_and_decommissions_first(ready):
    id_ = make(ready, workers=1)["id"]
    hadoop.status(ready, id_, "Active")
    path = f"{V2}/clusters/{id_}"
    added = {"name": "spare", "flavor_id": "1", "node_processes": ["nodemanager", "datanode"], "count": 1}
    grown = ready.user.put(path, {"resize_node_groups": [{"name": "worker", "count": 3}], "add_node_groups": [added]})
    assert grown.status == 202, grown
    assert grown.json["cluster"]["status"] == "Adding Instances"
    assert ready.user.put(path, {"resize_node_groups": [{"name": "worker", "count": 1}]}).json["error_name"] == "INVALID_REFERENCE"
    whole = hadoop.status(ready, id_, "Active")
    assert {group["name"]: len(group["instances"]) for group in whole["node_groups"]} == {"master": 1, "worker": 3, "spare": 1}
    wrong = ready.user.put(path, {"resize_node_groups": [{"name": "worker", "count": 2, "instances": ["none"]}]})
    assert "none" in wrong.json["error_message"]
    fewer = [{"name": "worker", "count": 1, "instances": ["demo-worker-0"]}, {"name": "spare", "count": 0}]
    shrunk = ready.user.put(path, {"resize_node_groups": fewer})
    assert shrunk.status == 202, shrunk
    assert shrunk.json["cluster"]["status"] == "Decommissioning"
    whole = hadoop.status(ready, id_, "Active")
    left = [one["instance_name"] for group in whole["node_groups"] for one in group["instances"]]
    assert left == ["demo-master-0", "demo-worker-1"]
    steps = [one["step_name"] for one in whole["provision_progress"] if one["step_type"] == "Engine: scale cluster"]
    assert steps[-1] == "Decommission nodes"
    assert all(len(one["events"]) == one["total"] for one in whole["provision_progress"])
    for group, count in (("master", 2), ("worker", 0), ("none", 1)):
        refused = ready.user.put(path, {"resize_node_groups": [{"name": group, "count": count}]})
        assert refused.status == 400, (group, refused)
    assert ready.user.put(path, {}).status == 400
    assert ready.user.put(f"{V1}/clusters/{id_}", {"resize_node_groups": [{"name": "worker", "count": 1, "instances": []}]}).status == 400


def test_what_nodes_say_all_the_time_refuses_nobody_who_scales(ready):
    """A database that is some way off, and nodes that speak twice a second: requests once lost against every one of these words."""
    id_ = make(ready, workers=2)["id"]
    hadoop.status(ready, id_, "Active")
    ready.nodes.beat = True
    before = ready.database.look(lambda db: db.scalar(select(hosts.GENERATION)))
    said = hadoop.until(lambda: ready.database.look(lambda db: db.scalar(select(func.max(told.c.heard)))))
    hadoop.until(lambda: ready.database.look(lambda db: db.scalar(select(func.min(told.c.heard)))) > said)
    assert ready.database.look(lambda db: db.scalar(select(hosts.GENERATION))) == before
    if not ready.database.sqlite:
        event.listen(ready.database.engine, "before_cursor_execute", lambda *_: time.sleep(0.002))
    for count in (4, 1):
        answer = ready.user.put(f"{V2}/clusters/{id_}", {"resize_node_groups": [{"name": "worker", "count": count}]})
        assert answer.status == 202, answer
        hadoop.status(ready, id_, "Active", seconds=60)
    assert ready.user.get(f"{V2}/clusters/{id_}").json["cluster"]["health"]["hdfs"]["live"] == 1


def test_changes_of_hosts_are_counted_together_without_changing_what_they_come_to(ready):
    make(ready, workers=1)
    hadoop.until(lambda: ready.database.look(lambda db: db.scalar(select(func.count()).select_from(change))))
    before = ready.database.look(lambda db: db.scalar(select(hosts.GENERATION)))
    ready.database.note(hosts.gather)
    assert ready.database.look(lambda db: db.scalar(select(hosts.GENERATION))) >= before
    assert ready.database.look(lambda db: db.scalar(select(func.max(compute_host.c.generation)))) > 1


def test_a_lost_worker_is_replaced(ready):
    id_ = make(ready)["id"]
    whole = hadoop.status(ready, id_, "Active")
    worker = whole["node_groups"][1]["instances"][0]
    assert ready.user.delete(f"/compute/v2.1/servers/{worker['instance_id']}").status == 204
    replaced = hadoop.until(lambda: _workers(ready, id_, "demo-worker-2"))
    assert [one["instance_name"] for one in replaced] == ["demo-worker-1", "demo-worker-2"]
    whole = hadoop.status(ready, id_, "Active")
    assert "Engine: replace lost nodes" in [one["step_type"] for one in whole["provision_progress"]]


def _workers(cloud, id_, name):
    found = cloud.user.get(f"{V1}/clusters/{id_}").json["cluster"]["node_groups"][1]["instances"]
    return found if name in [one["instance_name"] for one in found] else None


def test_a_worker_that_says_nothing_any_more_is_replaced(ready, monkeypatch):
    id_ = make(ready)["id"]
    hadoop.status(ready, id_, "Active")
    monkeypatch.setattr("andromede.services.hadoop.checks.SILENT", timedelta(seconds=3))
    ready.nodes.mute = {"demo-worker-0"}
    ready.nodes.beat = True
    hadoop.until(lambda: _workers(ready, id_, "demo-worker-2"), 20)
    hadoop.status(ready, id_, "Active")
    assert len(ready.user.get("/compute/v2.1/servers").json["servers"]) == 3


def test_a_lost_master_and_a_daemon_that_fails_are_told(ready):
    ready.nodes.failing = {"demo-worker-1"}
    id_ = make(ready)["id"]
    failed = hadoop.status(ready, id_, "Error")
    assert "demo-worker-1" in failed["status_description"]
    assert "no room" in failed["status_description"]
    assert [one["successful"] for one in failed["provision_progress"]][-1] is False
    ready.nodes.failing = set()
    whole = hadoop.status(ready, id_, "Active")
    master = whole["node_groups"][0]["instances"][0]["instance_id"]
    assert ready.user.delete(f"/compute/v2.1/servers/{master}").status == 204
    failed = hadoop.status(ready, id_, "Error")
    assert "demo-master-0 is lost" in failed["status_description"]
    assert ready.user.delete(f"{V1}/clusters/{id_}").status == 204
    hadoop.gone(ready, id_)
    assert hadoop.left(ready) == []


def test_pages_of_a_cluster_are_read_through_the_cloud(ready, monkeypatch):
    id_ = make(ready)["id"]
    whole = hadoop.status(ready, id_, "Active")
    master = whole["node_groups"][0]["instances"][0]
    path = f"{V2}/clusters/{id_}/pages"
    page = ready.user.get(f"{path}/hdfs?path=/jmx%3Fqry=x")
    assert (page.status, page.body) == (200, f"guest-{master['instance_id']}".encode())
    assert ready.user.get(f"{path}/none").status == 404
    assert ready.other("stranger").get(f"{path}/hdfs").status == 404
    for wrong in ("jmx", "/a%20b", "/a%0d%0ab", "/%C3%A9"):
        assert ready.user.get(f"{path}/yarn?path={wrong}").status == 400, wrong
    ours, theirs = socket.socketpair()
    monkeypatch.setattr(ready.parts.hosts, "open", lambda *_: ours)
    theirs.sendall(f"HTTP/1.1 302 Found\r\nLocation: http://{master['internal_ip']}:8088/cluster?a=b\r\nContent-Length: 0\r\n\r\n".encode())
    sent = ready.user.get(f"{path}/yarn")
    assert (sent.status, sent.headers["location"]) == (302, "/cluster?a=b")
    assert theirs.recv(4096).startswith(b"GET / HTTP/1.1\r\nHost: " + master["internal_ip"].encode())
    ours, theirs = socket.socketpair()
    theirs.close()
    assert ready.user.get(f"{path}/jobs").status == 503
    monkeypatch.undo()
    assert ready.user.post(f"/compute/v2.1/servers/{master['instance_id']}/action", {"os-stop": None}).status == 202
    hadoop.until(lambda: ready.user.get(f"{path}/hdfs").status == 409)


def test_names_sharing_protection_and_health(ready):
    id_ = make(ready, is_protected=True, description="words")["id"]
    path = f"{V1}/clusters/{id_}"
    early = ready.user.patch(path, {"is_protected": False, "verification": {"status": "START"}})
    assert early.status in (202, 400)
    hadoop.status(ready, id_, "Active")
    assert ready.user.patch(path, {"is_protected": True}).status == 202
    assert ready.user.delete(path).json["error_name"] == "DELETION_FAILED"
    assert ready.user.patch(path, {"name": "other"}).json["error_name"] == "UPDATE_FAILED"
    changed = ready.user.patch(path, {"is_protected": False, "is_public": True, "name": "other"})
    assert (changed.status, changed.json["cluster"]["name"]) == (202, "other")
    other = ready.other("stranger")
    assert other.get(path).status == 200
    assert other.patch(path, {"name": "mine"}).status == 403
    assert other.delete(path).status == 403
    assert [one["id"] for one in other.get(f"{V1}/clusters").json["clusters"]] == [id_]
    assert ready.user.patch(path, {"is_public": False}).status == 202
    assert other.get(path).status == 404
    ready.nodes.safe = True
    verified = hadoop.until(lambda: _verified(ready, path, "YELLOW"))
    assert [one["name"] for one in verified["checks"]] == ["Nodes", "HDFS", "YARN"]
    assert ready.user.patch(path, {"shares": [{}]}).status == 400
    assert ready.user.patch(path, {"verification": {"status": "STOP"}}).status == 400


def _verified(cloud, path, status):
    answer = cloud.user.patch(path, {"verification": {"status": "START"}})
    found = answer.json["cluster"]["verification"] if answer.status == 202 else {}
    return found if found.get("status") == status else None


def test_nodes_apart_with_volumes_addresses_a_key_and_groups_of_their_own(ready):
    public = ready.admin.post("/network/v2.0/networks", {"network": {"name": "public", "router:external": True}}).json["network"]["id"]
    ready.admin.post("/network/v2.0/subnets", {"subnet": {"network_id": public, "ip_version": 4, "cidr": "203.0.113.0/24"}})
    router = ready.user.post("/network/v2.0/routers", {"router": {"external_gateway_info": {"network_id": public}}}).json["router"]["id"]
    subnet = ready.user.get(f"/network/v2.0/subnets?network_id={ready.network}").json["subnets"][0]["id"]
    assert ready.user.put(f"/network/v2.0/routers/{router}/add_router_interface", {"subnet_id": subnet}).status == 200
    assert ready.user.post("/compute/v2.1/os-keypairs", {"keypair": {"name": "mine"}}).status == 200
    given = hadoop.groups(1, volumes_per_node=2, volumes_size=1, security_groups=["default"])
    given[0] |= {"floating_ip_pool": "public"}
    made = make(ready, node_groups=given, user_keypair_id="mine", neutron_management_network=ready.network)
    whole = hadoop.status(ready, made["id"], "Active")
    master, worker = (group["instances"][0] for group in whole["node_groups"])
    assert master["management_ip"].startswith("203.0.113.")
    assert len(worker["volumes"]) == 2
    servers = {one["name"]: one for one in ready.user.get("/compute/v2.1/servers/detail").json["servers"]}
    assert servers["demo-worker-0"]["key_name"] == "mine"
    names = {one["name"] for one in servers["demo-worker-0"]["security_groups"]}
    assert "default" in names
    assert any(name.startswith("hadoop-demo-") for name in names)
    assert len(servers["demo-worker-0"]["os-extended-volumes:volumes_attached"]) == 2
    hadoop.until(lambda: len(ready.nodes.documents["demo-worker-0"]["node"]["disks"]) == 2)
    assert ready.user.delete(f"{V1}/clusters/{made['id']}").status == 204
    hadoop.gone(ready, made["id"])
    hadoop.until(lambda: hadoop.left(ready) == [])


def test_one_that_asks_for_more_hosts_than_there_are_is_told_so(ready):
    made = make(ready, anti_affinity=["datanode"])
    failed = hadoop.status(ready, made["id"], "Error")
    assert "lost" in failed["status_description"]
    ready.user.delete(f"{V1}/clusters/{made['id']}")
    hadoop.gone(ready, made["id"])
    assert hadoop.left(ready) == []


def test_it_grows_with_what_yarn_waits_for_and_shrinks_again(ready, monkeypatch):
    monkeypatch.setattr("andromede.services.hadoop.life._REST", timedelta(0))
    auto = {"enabled": True, "minimum": 1, "maximum": 2, "idle_seconds": 0}
    id_ = make(ready, workers=1, cluster_configs={"Autoscaling": auto})["id"]
    hadoop.status(ready, id_, "Active")
    ready.nodes.pending = 512
    hadoop.until(lambda: _workers(ready, id_, "demo-worker-1"))
    hadoop.status(ready, id_, "Active")
    ready.nodes.pending = 0
    hadoop.until(lambda: len(ready.user.get("/compute/v2.1/servers").json["servers"]) == 2, 20)


def test_a_transient_cluster_ends_when_it_has_been_idle(ready):
    id_ = make(ready, workers=1, is_transient=True, cluster_configs={"general": {"Transient Idle Seconds": 0}})["id"]
    hadoop.gone(ready, id_, seconds=30)
    assert hadoop.left(ready) == []


def test_one_can_be_deleted_at_any_moment(ready):
    id_ = make(ready)["id"]
    assert ready.user.delete(f"{V1}/clusters/{id_}").status == 204
    assert ready.user.delete(f"{V1}/clusters/{id_}").status in (204, 404)
    hadoop.gone(ready, id_)
    assert hadoop.left(ready) == []


def test_what_nodes_are_told_is_sealed_and_what_they_say_is_not_trusted(ready):
    id_ = make(ready)["id"]
    whole = hadoop.status(ready, id_, "Active")
    secret = ready.nodes.documents["demo-master-0"]["secret"]
    rows = ready.database.look(lambda db: list(db.execute(select(channel.c.documents, channel.c.topic))))
    assert len(rows) == 3
    assert all(secret not in row.documents for row in rows)
    worker = whole["node_groups"][1]["instances"][0]["instance_id"]
    nonsense = (
        b"\xff\0", b"[]", b'{"phase": 3}', b'{"phase": "running", "daemons": {"x": 1}}', b'{"jobs": {"x": {"state": "SUCCEEDED"}}}', b"[" * 30000,
    )  # fmt: skip

    def kept():
        return ready.database.look(lambda db: db.scalar(select(told.c.state).where(told.c.server_id == worker)))

    ready.nodes.mute = {"demo-worker-0"}
    for data in nonsense:
        wish = ready.hosts._loops["host-1"]._wishes[worker]

        async def say(wish=wish, data=data):
            loop = ready.hosts._loops["host-1"]
            loop.hear(Posted(wish.nics[0].network_id, wish.nics[0].addresses[0], data, STATE))
            await loop._tell()

        asyncio.run_coroutine_threadsafe(say(), ready.hosts._loop).result(10)
        text = data.decode("utf-8", "replace").replace("\0", "�")
        hadoop.until(lambda text=text: kept() == text)
        assert ready.user.get(f"{V1}/clusters/{id_}").json["cluster"]["status"] == "Active"
    words = {worker: Told(serial=1, data=b"{}")}
    ready.database.note(lambda db: note(db, ready.parts.operations, "elsewhere", words))
    assert kept() != "{}"


def test_a_disk_that_does_not_hold_the_image_is_refused(ready):
    image = {"name": "hadoop", "tags": ["hadoop", "3.5.0"], "hypervisor_type": "lxc", "container_format": "docker", "min_disk": 4}
    made = hadoop.active(ready.admin, visibility="public", **image)["id"]
    refused = ready.user.post(f"{V1}/clusters", hadoop.wanted(default_image_id=made))
    assert "need 4 GiB" in refused.json["error_message"]
