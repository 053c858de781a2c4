"""What a node makes of its document: sites, names, disks' folders, the name directory with the cluster's identity."""

import json
import stat
import xml.etree.ElementTree as ET

import pytest

from andromede.hadoop_node import ground, sites
from andromede.hadoop_node.cloud import MOST, Cloud, encode
from andromede.hadoop_node.document import parse
from andromede.hadoop_node.places import write
from andromede.hadoop_node.roles import ROLES, command, heap
from tests.host.hadoop_nodes import Metadata
from tests.unit.hadoop_node.world import HERE, document, places, raw, web


def test_document_has_what_it_says_and_nothing_else():
    jobs = [{"id": "j", "type": "Java", "main": "s3a://b/a.jar", "args": [1], "configs": {"a": True}, "cancel": True, "new": 1}]
    found = document(jobs=jobs, leaving=["b", "a"], config={"core-site": {"x": 1}, "env": None}, s3={"endpoint": "http://e"})
    assert (found.leaving, found.config, found.s3.endpoint, found.stop) == (("a", "b"), {"core-site": {"x": "1"}, "env": {}}, "http://e", False)
    (job,) = found.jobs
    assert (job.args, job.configs, job.cancel, job.libs) == (("1",), {"a": "true"}, True, ())
    assert found.first("secondarynamenode") == ""


def test_secrets_are_not_shown():
    assert "hidden" not in repr(document(s3={"secret_key": "hidden"}))


def test_sites_name_addresses_and_the_users_settings_win(tmp_path):
    made = sites.sites(document(config={"hdfs-site": {"dfs.replication": "1"}, "capacity-scheduler": {"x": "y"}}), places(tmp_path))
    assert made["core-site.xml"]["fs.defaultFS"] == f"hdfs://{HERE}:8020"
    assert made["hdfs-site.xml"]["dfs.replication"] == "1"
    assert made["capacity-scheduler.xml"]["x"] == "y"
    assert made["core-site.xml"]["hadoop.security.authorization"] == "true"
    assert made["core-site.xml"]["hadoop.http.authentication.simple.anonymous.allowed"] == "true"
    assert "fs.s3a.endpoint" not in made["core-site.xml"]


@pytest.mark.parametrize(("workers", "copies"), [(0, "1"), (1, "1"), (2, "2"), (5, "3")])
def test_there_are_as_many_copies_as_workers_can_hold(tmp_path, workers, copies):
    hosts = {HERE: "m"} | {f"10.0.0.{number}": f"w{number}" for number in range(workers)}
    assert sites.sites(document(hosts=hosts), places(tmp_path))["hdfs-site.xml"]["dfs.replication"] == copies


@pytest.mark.parametrize(("memory", "task", "room"), [(1024, "256", "512"), (2048, "512", "1536"), (16384, "1024", "15872")])
def test_tasks_fit_their_nodes(tmp_path, memory, task, room):
    made = sites.sites(document(node=raw()["node"] | {"memory_mb": memory}), places(tmp_path))
    assert made["mapred-site.xml"]["mapreduce.map.memory.mb"] == task
    assert made["yarn-site.xml"]["yarn.nodemanager.resource.memory-mb"] == room
    assert 2 * int(task) <= int(room)


@pytest.mark.parametrize(("said", "heap"), [("1000", "-Xmx650m"), ("much", "-Xmx256m")])
def test_the_managers_heap_follows_what_the_user_gives_it(tmp_path, said, heap):
    made = sites.sites(document(config={"mapred-site": {"yarn.app.mapreduce.am.resource.mb": said}}), places(tmp_path))
    assert heap in made["mapred-site.xml"]["yarn.app.mapreduce.am.command-opts"]


def test_object_storage_and_a_second_namenode_are_named_where_there_are(tmp_path):
    s3 = {"endpoint": "https://s3:8082", "region": "r", "access_key": "a", "secret_key": "b"}
    made = sites.sites(document(s3=s3, roles={"namenode": [HERE], "secondarynamenode": ["10.0.0.11"]}), places(tmp_path))
    assert made["core-site.xml"]["fs.s3a.connection.ssl.enabled"] == "true"
    assert made["hdfs-site.xml"]["dfs.namenode.secondary.http-address"] == "10.0.0.11:9868"


def test_sites_are_written_once(tmp_path):
    here = places(tmp_path)
    assert sites.write_all(document(config={"core-site": {"a<b": "&"}}), here)
    assert not sites.write_all(document(config={"core-site": {"a<b": "&"}}), here)
    rows = {row.findtext("name"): row.findtext("value") for row in ET.parse(here.conf / "core-site.xml").getroot()}
    assert rows["a<b"] == "&"
    assert (here.conf / "http-secret").read_text() == "hidden\n"


def test_data_goes_to_the_disks_where_there_are(tmp_path):
    node = raw()["node"] | {"disks": ["/mnt/one", "/dev/vdb"]}
    assert sites.data_folders(document(node=node), places(tmp_path)) == ["/mnt/one", "/mnt/vdb"]


def test_heap_is_the_users_the_roles_or_the_nodes(tmp_path):
    role = ROLES["namenode"]
    large = raw()["node"] | {"memory_mb": 16384}
    said = [document(), document(config={"env": {"namenode_heap_mb": "300"}}), document(node=large)]
    assert [heap(role, one) for one in said] == [256, 300, 1024]
    assert "-Xmx256m" in command(role, document(), places(tmp_path))


def test_names_are_those_of_the_document(tmp_path):
    here = places(tmp_path)
    ground.names(document(), here)
    assert f"{HERE} demo-master-0\n" in here.hosts.read_text()


def test_folders_are_made(tmp_path):
    here = places(tmp_path)
    ground.folders(document(), here)
    assert stat.S_IMODE((here.state / "hdfs").stat().st_mode) == 0o700
    assert (here.state / "yarn").is_dir()
    assert stat.S_IMODE(here.logs.stat().st_mode) == 0o1777


def test_a_disk_that_cannot_be_used_says_why():
    with pytest.raises(RuntimeError, match="there-is-no-such-disk"):
        ground.mount("/dev/there-is-no-such-disk")


def test_name_directory_gets_the_clusters_identity_and_keeps_it(tmp_path):
    here = places(tmp_path)
    ground.name_directory(document(), here)
    version = here.state / "name/current/VERSION"
    found = ground.properties(version.read_text())
    assert found["clusterID"] == "CID-1"
    assert found["blockpoolID"].split("-")[2] == HERE
    assert found["layoutVersion"] == "-67"
    assert int(found["namespaceID"]) > 1
    before = version.read_text()
    ground.name_directory(document(), here)
    assert version.read_text() == before
    with pytest.raises(RuntimeError, match="CID-1, not of CID-2"):
        ground.name_directory(document(cluster={"id": "c", "identity": "CID-2"}), here)


def test_an_interrupted_copy_of_the_name_directory_is_made_again(tmp_path):
    here = places(tmp_path)
    (here.state / "name.part/rest").mkdir(parents=True)
    ground.name_directory(document(), here)
    assert not (here.state / "name/rest").exists()


def test_writing_keeps_the_mode(tmp_path):
    assert write(tmp_path / "a", "x", 0o600)
    assert not write(tmp_path / "a", "x", 0o600)
    assert write(tmp_path / "a", "x", 0o644)


@pytest.fixture
def metadata():
    server = Metadata(HERE, 0)
    yield server
    server.shutdown()
    server.server_close()


def test_the_document_is_answered_when_it_is_another(metadata):
    cloud = Cloud(f"http://{HERE}:{metadata.server_address[1]}")
    assert cloud.document() is None
    assert cloud.trouble.endswith("404")
    metadata.documents[HERE] = raw()
    assert cloud.document() == parse(raw())
    assert cloud.document() is None
    assert cloud.trouble == ""
    metadata.documents[HERE] = raw(generation=2)
    assert cloud.document().generation == 2
    metadata.documents[HERE] = {"generation": 3}
    assert cloud.document() is None
    assert "cannot be read" in cloud.trouble


def test_the_state_is_put(metadata):
    cloud = Cloud(f"http://{HERE}:{metadata.server_address[1]}")
    assert cloud.tell({"phase": "running"})
    assert metadata.states == {HERE: {"phase": "running"}}


def test_no_service_is_no_error():
    with web({}) as (port, _heard):
        pass
    cloud = Cloud(f"http://{HERE}:{port}", timeout=1)
    assert cloud.document() is None
    assert not cloud.tell({})
    assert cloud.trouble


def test_the_state_is_never_too_long():
    jobs = {f"j{number}": {"state": "FAILED", "detail": "x" * 400, "ended": f"2026-01-01T{number:05}"} for number in range(600)}
    said = encode({"phase": "running", "jobs": jobs})
    assert len(said) <= MOST
    left = json.loads(said)["jobs"]
    assert "j599" in left
    assert "j0" not in left
