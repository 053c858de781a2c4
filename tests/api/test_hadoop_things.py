"""Plugins, images, templates, data sources, binaries and jobs of Data Processing, in both of its versions."""

import pytest

from tests import hadoop
from tests.hadoop import MASTER, V1, V2, WORKER, Nodes

MADE_UP = "0f0f0f0f-0000-4000-8000-0f0f0f0f0f0f"
GROUP = {"name": "worker", "plugin_name": "hadoop", "flavor_id": "1", "node_processes": WORKER}


def new(client, path, body, key, status=202):
    answer = client.post(path, body)
    assert answer.status == status, answer
    return answer.json[key] if status == 202 else answer.json


def test_versions_and_the_plugin(cloud):
    found = cloud.anyone.get("/data-processing")
    assert found.status == 300
    assert [one["id"] for one in found.json["versions"]] == ["v1.1", "v2"]
    for base in (V1, V2):
        (one,) = cloud.user.get(f"{base}/plugins").json["plugins"]
        assert (one["name"], one["versions"]) == ("hadoop", ["3.5.0"])
        assert cloud.user.get(f"{base}/plugins/hadoop").json["plugin"] == one
        whole = cloud.user.get(f"{base}/plugins/hadoop/3.5.0").json["plugin"]
        assert whole["required_image_tags"] == ["hadoop", "3.5.0"]
        assert whole["node_processes"]["HDFS"] == ["namenode", "secondarynamenode", "datanode"]
        assert {one["config_type"] for one in whole["configs"]} == {"bool", "int", "string"}
        for path in ("vanilla", "hadoop/2.7.1", "vanilla/3.5.0"):
            assert cloud.user.get(f"{base}/plugins/{path}").json["error_name"] == "NOT_FOUND"
        assert cloud.admin.patch(f"{base}/plugins/hadoop", {"plugin_labels": {"hidden": {"status": True}}}).status == 400
        assert cloud.admin.patch(f"{base}/plugins/hadoop", {}).status == 202
        assert cloud.user.patch(f"{base}/plugins/hadoop", {}).status == 403
    kinds = cloud.user.get(f"{V1}/job-types").json["job_types"]
    assert [one["name"] for one in kinds] == ["MapReduce", "MapReduce.Streaming", "Java", "Spark", "Shell"]
    (hinted,) = cloud.user.get(f"{V2}/job-types?type=Java&hints=true&plugin=hadoop").json["job_types"]
    assert "job_config" in hinted["plugins"][0]["versions"]["3.5.0"]
    assert cloud.user.get(f"{V2}/job-types?plugin=vanilla").json["job_types"] == []
    assert cloud.user.get(f"{V2}/job-types?plugin_version=1").json["job_types"] == []
    assert "job_config" in cloud.user.get(f"{V1}/jobs/config-hints/Spark").json
    assert "job_config" in cloud.user.get(f"{V2}/job-templates/config-hints/MapReduce").json
    assert cloud.user.get(f"{V1}/jobs/config-hints/Pig").status == 404


def test_images_are_registered_and_tagged(cloud, image):
    mine = hadoop.active(cloud.user)["id"]
    assert cloud.user.get(f"{V1}/images").json == {"images": []}
    assert cloud.user.get(f"{V1}/images/{mine}").json["error_name"] == "IMAGE_NOT_REGISTERED"
    assert cloud.user.get(f"{V1}/images/{MADE_UP}").status == 404
    made = cloud.user.post(f"{V1}/images/{mine}", {"username": "debian", "description": "words"})
    assert made.status == 202, made
    assert (made.json["image"]["username"], made.json["image"]["description"], made.json["image"]["tags"]) == ("debian", "words", [])
    assert cloud.user.post(f"{V1}/images/{mine}/tag", {"tags": ["hadoop", "3.5.0", "x"]}).json["image"]["tags"] == ["3.5.0", "hadoop", "x"]
    assert cloud.user.post(f"{V1}/images/{mine}/untag", {"tags": ["x"]}).status == 202
    assert [one["id"] for one in cloud.user.get(f"{V2}/images?tags=hadoop&tags=3.5.0").json["images"]] == [mine]
    assert cloud.user.get(f"{V2}/images?tags=none").json["images"] == []
    assert sorted(cloud.user.get(f"{V2}/images/{mine}/tags").json["tags"]) == ["3.5.0", "hadoop"]
    replaced = cloud.user.put(f"{V2}/images/{mine}/tags", {"tags": ["hadoop"]})
    assert (replaced.status, replaced.json["image"]["tags"]) == (200, ["hadoop"])
    assert cloud.user.delete(f"{V2}/images/{mine}/tags").status == 204
    assert cloud.user.post(f"{V1}/images/{image}", {"username": "debian"}).status == 403
    assert cloud.user.delete(f"{V1}/images/{mine}").status == 204
    assert cloud.user.get(f"{V1}/images").json == {"images": []}


@pytest.mark.parametrize(("base", "version", "change"), [(V1, "hadoop_version", "put"), (V2, "plugin_version", "patch")])
def test_templates(cloud, base, version, change):
    hadoop.image(cloud)
    groups, clusters = f"{base}/node-group-templates", f"{base}/cluster-templates"
    made = new(cloud.user, groups, GROUP | {version: "3.5.0", "node_configs": {"YARN": {"x": 1}}}, "node_group_template")
    assert (made[version], "count" in made, made["volume_mount_prefix"]) == ("3.5.0", False, "/volumes/disk")
    assert ("boot_from_volume" in made) == (base == V2)
    again = cloud.user.post(groups, GROUP | {version: "3.5.0"})
    assert (again.status, again.json["error_name"]) == (400, "NAME_ALREADY_EXISTS")
    assert "name" in cloud.user.post(groups, {key: value for key, value in GROUP.items() if key != "name"} | {version: "3.5.0"}).json["error_message"]
    assert version.partition("_")[2] in cloud.user.post(groups, GROUP | {"name": "other"}).json["error_message"]
    path = f"{groups}/{made['id']}"
    changed = getattr(cloud.user, change)(path, {"name": "other", "node_processes": ["datanode"]})
    assert changed.status == 202, changed
    assert (changed.json["node_group_template"]["name"], changed.json["node_group_template"]["node_processes"]) == ("other", ["datanode"])
    assert cloud.user.get(path).json["node_group_template"]["node_configs"] == {"YARN": {"x": 1}}
    export = cloud.user.get(f"{path}/export").json["node_group_template"]
    assert (export["flavor_id"], "id" in export) == ("{flavor_id}", False)
    assert getattr(cloud.user, change)(path, {"node_processes": WORKER}).status == 202
    wanted = {
        "name": "small", "plugin_name": "hadoop", version: "3.5.0", "cluster_configs": {"HDFS": {"dfs.replication": 1}},
        "node_groups": [
            {"name": "master", "flavor_id": "1", "node_processes": MASTER, "count": 1},
            {"name": "worker", "node_group_template_id": made["id"], "count": 2},
        ],
    }  # fmt: skip
    template = new(cloud.user, clusters, wanted, "cluster_template")
    assert [one["count"] for one in template["node_groups"]] == [1, 2]
    assert template["node_groups"][1]["node_configs"] == {"YARN": {"x": 1}}
    used = cloud.user.delete(path)
    assert "in use by cluster template 'small'" in used.json["error_message"]
    one = f"{clusters}/{template['id']}"
    changed = getattr(cloud.user, change)(one, {"description": "words", "cluster_configs": {"Hadoop": {"fs.trash.interval": 5}}})
    assert changed.json["cluster_template"]["cluster_configs"] == {"Hadoop": {"fs.trash.interval": 5}}
    assert getattr(cloud.user, change)(one, {"node_groups": wanted["node_groups"][:1]}).json["error_name"] == "INVALID_COMPONENT_COUNT"
    assert cloud.user.get(f"{one}/export").json["cluster_template"]["node_groups"] == "{node_groups}"
    assert len(cloud.user.get(f"{clusters}?plugin_name=hadoop").json["cluster_templates"]) == 1
    assert cloud.user.get(f"{clusters}?plugin_name=none").json["cluster_templates"] == []
    assert cloud.user.delete(one).status == 204
    assert cloud.user.delete(path).status == 204
    assert cloud.user.get(path).status == 404


def test_lists_have_pages_and_an_order(cloud):
    for name in ("a", "b", "c", "d"):
        new(cloud.user, f"{V1}/data-sources", {"name": name, "type": "hdfs", "url": f"/{name}"}, "data_source")
    first = cloud.user.get(f"{V1}/data-sources?limit=2&sort_by=-name").json
    assert [one["name"] for one in first["data_sources"]] == ["d", "c"]
    second = cloud.user.get(f"{V1}/data-sources?limit=2&sort_by=-name&marker={first['markers']['next']}").json
    assert [one["name"] for one in second["data_sources"]] == ["b", "a"]
    assert second["markers"]["next"] is None
    assert cloud.user.get(f"{V1}/data-sources?name=b").json["data_sources"][0]["url"] == "/b"
    assert cloud.user.get(f"{V1}/data-sources?sort_by=colour").status == 400
    assert cloud.user.get(f"{V1}/data-sources?marker=none").status == 400
    assert cloud.user.get(f"{V1}/data-sources?limit=none").status == 400


def test_data_sources(cloud):
    path = f"{V2}/data-sources"
    swift = {"name": "in", "type": "swift", "url": "swift://box.sahara/in", "credentials": {"user": "demo", "password": "hidden-word"}}
    made = new(cloud.user, path, swift, "data_source")
    assert (made["url"], made["type"], "credentials" in made) == ("swift://box.sahara/in", "swift", False)
    secret = {"accesskey": "k", "secretkey": "hidden-word", "endpoint": "far.example"}
    far = {"name": "far", "type": "s3", "url": "s3://bucket/x", "credentials": secret}
    other = new(cloud.user, path, far, "data_source")
    assert b"hidden-word" not in cloud.user.get(path).body
    wrong = [
        ({"type": "manila", "url": "manila://x/y"}, "type"), ({"type": "maprfs"}, "type"), ({"url": ""}, "url"), ({"url": "http://x/"}, "url"),
        ({"url": "swift://"}, "url"), ({"type": "hdfs", "url": "http://x"}, "url"), ({"type": "s3", "url": "swift://x/y"}, "url"),
        ({"name": "in"}, "name"), ({"name": "in valid"}, "name"), ({"credentials": {"user": "x"}}, "password"),
        ({"type": "s3", "url": "s3://b/k", "credentials": {"accesskey": "k"}}, "secretkey"),
        ({"type": "s3", "url": "s3://b/k", "credentials": {"accesskey": "k", "secretkey": "s", "x": 1}}, "x"),
        ({"type": "s3", "url": "s3://b/k", "credentials": {"accesskey": "k", "secretkey": "s", "endpoint": 1}}, "endpoint"),
    ]  # fmt: skip
    for change, word in wrong:
        refused = cloud.user.post(path, {"name": "new", "type": "swift", "url": "swift://box/x"} | change)
        assert (refused.status, word in refused.json["error_message"]) == (400, True), (change, refused)
    for field in ("name", "type", "url"):
        refused = cloud.user.post(path, {key: value for key, value in swift.items() if key != field})
        assert field in refused.json["error_message"]
    changed = cloud.user.patch(f"{path}/{other['id']}", {"url": "s3a://bucket/y", "is_public": True})
    assert (changed.status, changed.json["data_source"]["url"]) == (202, "s3a://bucket/y")
    assert cloud.user.patch(f"{path}/{other['id']}", {"credentials": None, "name": "near"}).status == 202
    assert cloud.other("stranger").get(f"{path}/{other['id']}").status == 200
    assert cloud.user.delete(f"{path}/{made['id']}").status == 204


def test_job_binaries_and_those_of_the_service_itself(cloud):
    kept = cloud.user.put(f"{V1}/job-binary-internals/word.sh", b"#!/bin/sh\necho word\n")
    assert kept.status == 202, kept
    inside = kept.json["job_binary_internal"]
    assert (inside["name"], inside["datasize"]) == ("word.sh", 20)
    assert cloud.user.get(f"{V1}/job-binary-internals/{inside['id']}/data").body == b"#!/bin/sh\necho word\n"
    assert cloud.user.put(f"{V1}/job-binary-internals/word.sh", b"x").json["error_name"] == "NAME_ALREADY_EXISTS"
    assert cloud.user.put(f"{V1}/job-binary-internals/empty", b"").status == 400
    assert len(cloud.user.get(f"{V1}/job-binary-internals").json["binaries"]) == 1
    assert cloud.user.get(f"{V1}/job-binary-internals/{inside['id']}").status == 200
    renamed = cloud.user.patch(f"{V1}/job-binary-internals/{inside['id']}", {"name": "other.sh", "is_protected": True})
    assert renamed.json["job_binary_internal"]["name"] == "other.sh"
    assert cloud.user.delete(f"{V1}/job-binary-internals/{inside['id']}").json["error_name"] == "DELETION_FAILED"
    path = f"{V1}/job-binaries"
    made = new(cloud.user, path, {"name": "word", "url": f"internal-db://{inside['id']}"}, "job_binary")
    assert cloud.user.get(f"{path}/{made['id']}/data").body == b"#!/bin/sh\necho word\n"
    swift = new(cloud.user, path, {"name": "far.jar", "url": "swift://box/far.jar", "extra": {"user": "u", "password": "p"}}, "job_binary")
    assert cloud.user.get(f"{path}/{swift['id']}/data").status == 404
    from andromede.services.hadoop import storing

    storing.deliver(cloud.parts.objects, cloud.id_of("projects", "demo"), "", "near.jar", b"jar")
    near = new(cloud.user, path, {"name": "near.jar", "url": "s3://hadoop-programs/near.jar"}, "job_binary")
    assert cloud.user.get(f"{path}/{near['id']}/data").body == b"jar"
    keyed = {"name": "keyed", "url": "s3://b/k", "extra": {"accesskey": "k", "secretkey": "s"}}
    elsewhere = new(cloud.user, path, keyed, "job_binary")
    assert cloud.user.get(f"{path}/{elsewhere['id']}/data").json["error_name"] == "BAD_JOB_BINARY"
    wrong = [
        ({"url": f"internal-db://{MADE_UP}"}, "BAD_JOB_BINARY"), ({"url": "http://x/y"}, "VALIDATION_ERROR"),
        ({"url": "swift://box"}, "INVALID_DATA"), ({"url": "manila://x/y"}, "INVALID_REFERENCE"), ({"name": "word"}, "NAME_ALREADY_EXISTS"),
    ]  # fmt: skip
    for change, name in wrong:
        refused = cloud.user.post(path, {"name": "new", "url": "swift://box/new.jar"} | change)
        assert (refused.status, refused.json["error_name"]) == (400, name), (change, refused)
    assert cloud.user.post(path, {"name": "new"}).status == 400
    changed = cloud.user.put(f"{path}/{swift['id']}", {"url": "s3://box/other.jar", "description": "words", "extra": {}})
    assert changed.json["job_binary"]["url"] == "s3://box/other.jar"
    assert [one["name"] for one in cloud.user.get(path).json["binaries"]] == ["word", "far.jar", "near.jar", "keyed"]
    assert cloud.user.delete(f"{path}/{swift['id']}").status == 204


def binary(cloud, name="prog.jar", url=None, **more):
    return new(cloud.user, f"{V1}/job-binaries", {"name": name, "url": url or f"swift://box/{name}", **more}, "job_binary")["id"]


def test_job_templates(cloud):
    jar = binary(cloud)
    for base, path, key in ((V1, "jobs", "job"), (V2, "job-templates", "job_template")):
        wanted = {"name": f"sort-{key}", "type": "MapReduce", "libs": [jar]}
        made = new(cloud.user, f"{base}/{path}", wanted, key)
        assert (made["type"], made["mains"], made["libs"][0]["name"]) == ("MapReduce", [], "prog.jar")
        assert cloud.user.get(f"{base}/{path}/{made['id']}").json[key] == made
        assert len(cloud.user.get(f"{base}/{path}").json[f"{key}s"]) == 1
        changed = cloud.user.patch(f"{base}/{path}/{made['id']}", {"name": "other", "description": "words"})
        assert (changed.status, changed.json[key]["name"]) == (202, "other")
        assert "other" in cloud.user.delete(f"{base}/job-binaries/{jar}").json["error_message"]
        assert cloud.user.delete(f"{base}/{path}/{made['id']}").status == 204
    assert new(cloud.user, f"{V1}/jobs", {"name": "pig", "type": "Pig", "mains": [jar]}, "job")["type"] == "Pig"
    argument = {"name": "In", "mapping_type": "args", "location": "0", "value_type": "string"}
    wrong = [
        ({"type": "Words"}, "type"), ({"type": "Spark", "libs": []}, "mains"), ({"type": "Shell", "mains": [jar], "libs": [jar]}, "overlap"),
        ({"mains": [jar]}, "mains"), ({"libs": []}, "libs"), ({"libs": [MADE_UP]}, MADE_UP), ({"libs": ["x"]}, "libs"),
        ({"interface": [{}]}, "interface[0]"), ({"interface": [argument | {"mapping_type": "x"}]}, "mapping_type"),
        ({"interface": [argument | {"location": "x"}]}, "location"), ({"interface": [argument, argument]}, "name"),
        ({"interface": [argument | {"location": "1"}]}, "interface"),
    ]  # fmt: skip
    for change, word in wrong:
        refused = cloud.user.post(f"{V1}/jobs", {"name": "new", "type": "MapReduce", "libs": [jar]} | change)
        assert (refused.status, word in refused.json["error_message"]) == (400, True), (change, refused)
    assert cloud.user.post(f"{V1}/jobs", {"name": "new"}).status == 400
    assert cloud.user.post(f"{V1}/jobs", {"type": "Java"}).status == 400


@pytest.fixture
def whole(cloud, network):
    """A cloud with a cluster that is whole: `cloud.cluster`."""
    hadoop.image(cloud)
    with Nodes(cloud) as cloud.nodes:
        made = cloud.user.post(f"{V1}/clusters", hadoop.wanted(workers=1))
        assert made.status == 202, made
        cloud.cluster = made.json["cluster"]["id"]
        hadoop.status(cloud, cloud.cluster, "Active")
        yield cloud


def source(cloud, name, url, kind="swift", **more):
    return new(cloud.user, f"{V1}/data-sources", {"name": name, "type": kind, "url": url, **more}, "data_source")["id"]


def ended(cloud, id_, status):
    return hadoop.until(lambda: (found := cloud.user.get(f"{V2}/jobs/{id_}").json["job"])["info"]["status"] == status and found)


def test_a_job_runs_and_is_told_of(whole):
    user = whole.user
    kept = user.put(f"{V1}/job-binary-internals/count.jar", b"jar").json["job_binary_internal"]["id"]
    jar = binary(whole, "count", f"internal-db://{kept}")
    template = new(user, f"{V1}/jobs", {"name": "count", "type": "MapReduce", "libs": [jar]}, "job")["id"]
    into, out = source(whole, "in", "swift://box.sahara/in"), source(whole, "out", "s3://far/%RANDSTR(4)%", "s3", credentials={
        "accesskey": "k", "secretkey": "s", "endpoint": "far.example", "ssl": True, "bucket_in_path": False})  # fmt: skip
    whole.nodes.jobs = hadoop.Held()
    configs = {"configs": {"mapreduce.job.reduces": 2}, "args": ["swift://box/x", "datasource://in", 3], "params": {"p": into}}
    body = {"cluster_id": whole.cluster, "input_id": into, "output_id": out, "job_configs": configs}
    run = new(user, f"{V1}/jobs/{template}/execute", body, "job_execution")
    assert (run["info"]["status"], run["job_id"], run["cluster_id"]) == ("PENDING", template, whole.cluster)
    (order,) = hadoop.until(lambda: whole.nodes.documents["demo-master-0"]["jobs"])
    far = order["output"].removeprefix("s3a://far/")
    assert order | {"output": ""} == {
        "id": run["id"], "type": "MapReduce", "main": f"s3a://hadoop-programs/{kept}/count.jar", "libs": [],
        "args": ["s3a://box/x", "s3a://box/in", "3"], "params": {"p": "s3a://box/in"}, "input": "s3a://box/in", "output": "", "main_class": "",
        "mapper": "", "reducer": "", "cancel": False, "configs": {
            "mapreduce.job.reduces": "2", "fs.s3a.bucket.far.access.key": "k", "fs.s3a.bucket.far.secret.key": "s",
            "fs.s3a.bucket.far.endpoint": "https://far.example", "fs.s3a.bucket.far.path.style.access": "false",
        },
    }  # fmt: skip
    assert len(far) == 4
    assert b'"s"' not in user.get(f"{V1}/job-executions/{run['id']}").body
    place = hadoop.until(lambda: whole.parts.objects.find(whole.id_of("projects", "demo"), "hadoop-programs"))
    hadoop.until(lambda: whole.parts.objects.newest(place, f"{kept}/count.jar"))
    assert whole.nodes.documents["demo-worker-0"]["jobs"] == []
    assert user.delete(f"{V1}/data-sources/{into}").json["error_name"] == "DELETION_FAILED"
    whole.nodes.jobs.state = "RUNNING"
    ended(whole, run["id"], "RUNNING")
    whole.nodes.jobs.state = "SUCCEEDED"
    done = ended(whole, run["id"], "SUCCEEDED")
    assert (done["engine_job_id"], done["end_time"]) == (f"application_1_{run['id'][:4]}", "2026-01-01T00:00:00")
    assert user.get(f"{V1}/job-executions/{run['id']}/refresh-status").json["job_execution"]["oozie_job_id"] == done["engine_job_id"]
    hadoop.until(lambda: whole.nodes.documents["demo-master-0"]["jobs"] == [])
    assert user.delete(f"{V1}/jobs/{template}").json["error_name"] == "DELETION_FAILED"
    assert user.delete(f"{V1}/job-executions/{run['id']}").status == 204
    assert user.delete(f"{V1}/jobs/{template}").status == 204


def test_jobs_are_cancelled_and_kept_after_their_cluster(whole):
    user = whole.user
    script = binary(whole, "run.sh")
    template = new(user, f"{V2}/job-templates", {"name": "run", "type": "Shell", "mains": [script], "interface": [
        {"name": "Word", "mapping_type": "args", "location": "0", "value_type": "string", "required": True},
        {"name": "Size", "mapping_type": "params", "location": "SIZE", "value_type": "number", "required": False, "default": "3"},
    ]}, "job_template")["id"]  # fmt: skip
    whole.nodes.jobs = hadoop.Held("RUNNING")
    body = {"cluster_id": whole.cluster, "job_template_id": template, "interface": {"Word": "yes"}}
    first, second, third = (new(user, f"{V2}/jobs", body, "job")["id"] for _ in range(3))
    (order, *_rest) = hadoop.until(lambda: whole.nodes.documents["demo-master-0"]["jobs"])
    assert (order["main"], order["args"], order["params"]) == ("s3a://box/run.sh", ["yes"], {"SIZE": "3"})
    ended(whole, third, "RUNNING")
    assert user.get(f"{V1}/job-executions/{first}/cancel").status == 200
    ended(whole, first, "KILLED")
    assert user.patch(f"{V2}/jobs/{second}", {"is_protected": True, "is_public": True}).status == 202
    assert user.patch(f"{V2}/jobs/{second}", {"info": {"status": "cancel"}}).json["error_name"] == "CANCELING_FAILED"
    assert whole.other("stranger").get(f"{V1}/job-executions/{second}/cancel").json["error_name"] == "CANCELING_FAILED"
    assert user.patch(f"{V2}/jobs/{second}", {"is_protected": False}).status == 202
    assert user.patch(f"{V2}/jobs/{second}", {"info": {"status": "suspend"}}).status == 400
    assert user.patch(f"{V2}/jobs/{second}", {"info": {"status": "cancel"}}).json["job"]["info"]["status"] == "TOBEKILLED"
    ended(whole, second, "KILLED")
    assert user.delete(f"{V1}/clusters/{whole.cluster}").status == 204
    hadoop.gone(whole, whole.cluster)
    over = user.get(f"{V2}/jobs/{third}").json["job"]
    assert (over["info"]["status"], over["cluster_id"]) == ("KILLED", None)
    assert len(user.get(f"{V1}/job-executions").json["job_executions"]) == 3


def test_what_a_job_lacks_is_said(whole):
    user = whole.user
    jar = binary(whole)
    def template(kind, **more):
        return new(user, f"{V1}/jobs", {"name": f"t-{kind}", "type": kind, **more}, "job")["id"]

    java, pig, streaming = template("Java", libs=[jar]), template("Pig", mains=[jar]), template("MapReduce.Streaming")
    reduce = template("MapReduce", libs=[jar])
    one, same = source(whole, "one", "swift://box/in"), source(whole, "same", "swift://box/in")
    pair = {"edp.streaming.mapper": "/bin/cat", "edp.streaming.reducer": "/usr/bin/wc"}
    wrong = [
        (pig, {}, "Pig"), (java, {}, "edp.java.main_class"), (streaming, {}, "streaming"), (reduce, {}, "input_id"),
        (reduce, {"input_id": one, "output_id": same}, "output_id"), (reduce, {"input_id": MADE_UP}, "input_id"),
        (streaming, {"job_configs": {"configs": pair}, "input_id": one}, "output_id"), (java, {"cluster_id": MADE_UP}, "cluster_id"),
        (java, {"cluster_id": "x"}, "cluster_id"), (java, {"job_configs": {"job_execution_info": {"start": "x"}}}, "job_execution_info"),
        (java, {"interface": {"x": 1}}, "interface"), (java, {"job_template_id": java}, "job_template_id"),
        (java, {"job_configs": {"configs": {"edp.java.main_class": "X"}, "args": ["datasource://none"]}}, "none"),
    ]  # fmt: skip
    for id_, change, word in wrong:
        refused = user.post(f"{V1}/jobs/{id_}/execute", {"cluster_id": whole.cluster} | change)
        assert (refused.status, word in refused.json["error_message"]) == (400, True), (change, refused)
    assert user.post(f"{V1}/jobs/{MADE_UP}/execute", {"cluster_id": whole.cluster}).status == 404
    assert user.post(f"{V2}/jobs", {"cluster_id": whole.cluster, "job_template_id": MADE_UP}).status == 400
    assert user.post(f"{V2}/jobs", {"cluster_id": whole.cluster}).status == 400
    assert user.get(f"{V1}/job-executions").json["job_executions"] == []
    assert whole.nodes.documents["demo-master-0"]["jobs"] == []
    user.patch(f"{V1}/clusters/{whole.cluster}", {"is_public": True})
    stranger = whole.other("stranger")
    theirs = stranger.post(f"{V1}/job-binaries", {"name": "x", "url": "swift://b/x"}).json["job_binary"]["id"]
    shell = stranger.post(f"{V1}/jobs", {"name": "x", "type": "Shell", "mains": [theirs]}).json["job"]["id"]
    refused = stranger.post(f"{V1}/jobs/{shell}/execute", {"cluster_id": whole.cluster})
    assert "another project" in refused.json["error_message"]
    user.delete(f"{V1}/clusters/{whole.cluster}")
    assert "Active" in user.post(f"{V1}/jobs/{java}/execute", {"cluster_id": whole.cluster, "job_configs": {
        "configs": {"edp.java.main_class": "X"}}}).json["error_message"]  # fmt: skip


def test_a_transient_cluster_ends_after_its_job(cloud, network):
    hadoop.image(cloud)
    with Nodes(cloud) as cloud.nodes:
        made = cloud.user.post(f"{V1}/clusters", hadoop.wanted(workers=1, is_transient=True)).json["cluster"]["id"]
        hadoop.status(cloud, made, "Active")
        template = new(cloud.user, f"{V1}/jobs", {"name": "run", "type": "Shell", "mains": [binary(cloud)]}, "job")["id"]
        run = new(cloud.user, f"{V1}/jobs/{template}/execute", {"cluster_id": made}, "job_execution")["id"]
        hadoop.gone(cloud, made, seconds=30)
        assert cloud.user.get(f"{V1}/job-executions/{run}").json["job_execution"]["info"]["status"] == "SUCCEEDED"
        assert hadoop.left(cloud) == []
