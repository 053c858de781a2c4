"""The clients that Data Processing has: python-saharaclient in both versions, its commands as the guide has them, and Sahara's Tempest plugin."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests import hadoop
from tests.cloud import ADMIN_PASSWORD, USER_PASSWORD, Cloud
from tests.conformance import features, in_process, tempest
from tests.conformance.clients import SAHARA
from tests.conformance.environments import Absent, environment
from tests.conformance.fakes import _facts

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "hadoop.md"
PATCH = """
from sahara_tempest_plugin.common import plugin_utils

plugin_utils.DEFAULT_TEMPLATES["hadoop"] = {"3.5.0": {
    "NODES": {
        "master1": {"count": 1, "node_processes": ["namenode", "resourcemanager"]},
        "master2": {"count": 1, "node_processes": ["historyserver", "secondarynamenode"]},
        "worker1": {"count": 1, "node_processes": ["datanode", "nodemanager"],
                    "node_configs": {"YARN": {"yarn.scheduler.minimum-allocation-mb": 256}}},
    },
    "cluster_configs": {"HDFS": {"dfs.replication": 1}},
}}
"""
"""Sahara's plugin knows what clusters of the plugins of its time are made of, and not of ours."""


@pytest.fixture
def served(cloud, network):
    """A cloud in this process with its nodes, over HTTP: `cloud.url`."""
    cloud.network, cloud.image = network, hadoop.image(cloud)
    with hadoop.Nodes(cloud) as cloud.nodes, in_process.api(cloud) as cloud.url:
        yield cloud


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_saharaclient(served, version):
    from saharaclient import client as sahara
    from saharaclient.api.base import APIException

    new = version == "2"
    api = sahara.Client(version, session=in_process.sdk(served.url, "demo").session, region_name="RegionOne")
    number = {"plugin_version" if new else "hadoop_version": "3.5.0"}
    assert api.plugins.get("hadoop").versions == ["3.5.0"]
    assert api.plugins.get_version_details("hadoop", "3.5.0").required_image_tags == ["hadoop", "3.5.0"]
    assert {one.name for one in api.job_types.list()} >= {"MapReduce", "Spark", "Shell"}
    assert [one.id for one in api.images.list({"tags": "hadoop"})] == [served.image]
    master = api.node_group_templates.create("master", "hadoop", flavor_id="1", node_processes=hadoop.MASTER, **number)
    worker = api.node_group_templates.create("worker", "hadoop", flavor_id="1", node_processes=hadoop.WORKER, **number)
    assert api.node_group_templates.update(worker.id, description="words").description == "words"
    groups = [
        {"name": "master", "node_group_template_id": master.id, "count": 1}, {"name": "worker", "node_group_template_id": worker.id, "count": 1}
    ]  # fmt: skip
    template = api.cluster_templates.create("small", "hadoop", node_groups=groups, **number)
    assert [one.name for one in api.cluster_templates.list(limit=1)] == ["small"]
    made = api.clusters.create("demo", "hadoop", cluster_template_id=template.id, default_image_id=served.image, net_id=served.network, **number)
    hadoop.status(served, made.id, "Active")
    assert api.clusters.get(made.id, show_progress=True).provision_progress[0]["events"]
    assert api.clusters.verification_update(made.id, "START").cluster["verification"]["status"] == "GREEN"
    api.clusters.scale(made.id, {"resize_node_groups": [{"name": "worker", "count": 2}]})
    hadoop.status(served, made.id, "Active")
    binary = api.job_binaries.create("run.sh", "swift://box/run.sh")
    into = api.data_sources.create("in", "", "swift", "swift://box/in")
    assert api.data_sources.update(into.id, {"name": "from"})
    if new:
        kept = api.job_templates.create("run", "Shell", [binary.id], [], "words")
        run = api.jobs.create(kept.id, made.id, configs={"args": ["a"]})
        hadoop.until(lambda: api.jobs.refresh_status(run.id).info["status"] == "SUCCEEDED")
        api.jobs.delete(run.id)
        api.job_templates.delete(kept.id)
        assert api.clusters.force_delete(made.id) == {"stack_name": None}
    else:
        inside = api.job_binary_internals.create("word.sh", b"echo word")
        assert api.job_binaries.get_file(api.job_binaries.create("word", f"internal-db://{inside.id}").id) == b"echo word"
        kept = api.jobs.create("run", "Shell", [binary.id], [], "words")
        run = api.job_executions.create(kept.id, made.id, configs={"args": ["a"]})
        hadoop.until(lambda: api.job_executions.get(run.id).info["status"] == "SUCCEEDED")
        api.job_executions.delete(run.id)
        api.jobs.delete(kept.id)
        api.clusters.delete(made.id)
    hadoop.gone(served, made.id)
    with pytest.raises(APIException) as refused:
        api.clusters.get(made.id)
    assert (refused.value.error_code, refused.value.error_name) == (404, "NOT_FOUND")
    for manager, one in ((api.cluster_templates, template), (api.node_group_templates, worker), (api.data_sources, into)):
        manager.delete(one.id)
    assert hadoop.left(served) == []


def commands():
    """The commands of the guide, in order."""
    return re.findall(r"^(openstack dataprocessing .*)$", GUIDE.read_text(), re.MULTILINE)


@pytest.fixture(scope="session")
def program():
    """The openstack client with the commands of python-saharaclient."""
    try:
        return environment("sahara", SAHARA) / "openstack"
    except Absent as why:
        pytest.skip(f"LEFT OUT: {why}")


@pytest.mark.timeout(900)
def test_the_commands_of_the_guide(served, program):
    login = {
        "OS_AUTH_URL": f"{served.url}/identity/v3", "OS_USERNAME": "demo", "OS_PASSWORD": USER_PASSWORD, "OS_PROJECT_NAME": "demo",
        "OS_USER_DOMAIN_ID": "default", "OS_PROJECT_DOMAIN_ID": "default", "OS_IDENTITY_API_VERSION": "3", "OS_REGION_NAME": "RegionOne",
    }  # fmt: skip
    env = {name: value for name, value in os.environ.items() if not name.startswith(("OS_", "PYTHON", "COVERAGE"))} | login
    assert len(commands()) > 15
    for command in commands():
        words = [str(program), *shlex.split(command)[1:]]
        done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=120, check=False, cwd="/")
        assert done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"
    hadoop.until(lambda: hadoop.left(served) == [])


@pytest.mark.timeout(900)
@pytest.mark.parametrize("newer", [False, True], ids=["v1.1", "v2"])
def test_sahara_tempest_plugin(tmp_path, monkeypatch, newer):
    pytest.importorskip("sahara_tempest_plugin", reason="sahara-tests is not installed")
    (tmp_path / "patch").mkdir()
    (tmp_path / "patch" / "sitecustomize.py").write_text(PATCH)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "patch"), os.environ.get("PYTHONPATH", "")]))
    cloud = Cloud(tmp_path)
    try:
        hadoop.image(cloud)
        cloud.start()
        with in_process.api(cloud) as url:
            sections = features.sections(_facts(cloud, url, 1, ""))
            sections["service_available"] = sections.get("service_available", {}) | {"sahara": True}
            sections["data-processing"] = {"use_api_v2": newer}
            sections["data-processing-feature-enabled"] = {"plugins": "hadoop", "s3": True}
            tempest.write(tmp_path / "tempest", url, ADMIN_PASSWORD, sections)
            ids = tempest.wanted("hadoop_v2" if newer else "hadoop")
            tempest.all_passed(ids, tempest.run(tmp_path / "tempest", ids, workers=2))
    finally:
        cloud.close()
