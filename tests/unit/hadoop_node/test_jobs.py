"""Jobs: what runs them, what of them is kept, how they end; and the object storage that they and the logs use."""

import json
import sys
import zipfile
from dataclasses import asdict
from datetime import UTC, datetime

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from andromede.hadoop_node import document as documents
from andromede.hadoop_node import health, job, jobs, roles, s3
from andromede.hadoop_node.document import S3, Job
from andromede.hadoop_node.jobs import Jobs
from andromede.hadoop_node.logs import EVERY, Logs
from tests.unit.hadoop_node.world import HERE, document, places, web
from tests.waiting import until

KEYS = S3("https://s3.example:8082", "here", "AK", "SK")
PROGRAM = """
import json, pathlib, sys, time
order = json.loads((pathlib.Path(sys.argv[2]) / "job.json").read_text())["job"]
print("Submitted application application_17_0001", flush=True)
time.sleep(float(order["params"].get("seconds", 0)))
sys.exit(int(order["params"].get("status", 0)))
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setattr(roles, "as_user", lambda _uid: (None, None))
    return places(tmp_path)


@pytest.fixture
def many(here):
    (here.root / "program.py").write_text(PROGRAM)
    return Jobs(here, (sys.executable, str(here.root / "program.py")))


def one(**changes):
    return document(jobs=[{"id": "j", "type": "Shell"} | changes])


def ended(many, said):
    until(lambda: many.tick(said, True) or many.all["j"]["ended"])
    return many.all["j"]


def test_a_job_waits_for_the_cluster_and_succeeds(many, here):
    many.tick(one(), ready=False)
    assert many.all["j"]["state"] == "PENDING"
    record = ended(many, one())
    assert (record["state"], record["application_id"]) == ("SUCCEEDED", "application_17_0001")
    again = Jobs(here)
    again.tick(one(), ready=True)
    assert again.all["j"] == record


def test_a_job_that_fails_says_why(many):
    record = ended(many, one(params={"status": "3"}))
    assert record["state"] == "FAILED"
    assert "Submitted" in record["detail"]


def test_a_job_is_cancelled_before_it_begins_and_while_it_runs(many):
    many.tick(one(cancel=True), ready=True)
    assert many.all["j"]["detail"] == "cancelled before it began"
    second = {"id": "k", "type": "Shell", "params": {"seconds": "600"}}
    many.tick(document(jobs=[second]), ready=True)
    assert many.all["k"]["state"] == "RUNNING"
    many.tick(document(jobs=[second | {"cancel": True}]), ready=True)
    assert many.all["k"]["state"] == "KILLED"


def test_jobs_end_with_the_cluster(many):
    said = one(params={"seconds": "600"})
    many.tick(said, ready=True)
    many.stop(said)
    assert many.all["j"]["state"] == "KILLED"


def test_a_job_that_ran_when_the_node_went_down_has_failed(many, here):
    said = one(params={"seconds": "600"})
    many.tick(said, ready=True)
    again = Jobs(here)
    again.tick(said, ready=True)
    assert again.all["j"]["state"] == "FAILED"
    many.stop(said)


def test_an_application_is_killed_by_its_resourcemanager(monkeypatch):
    with web({("PUT", "/ws/v1/cluster/apps/application_1_2/state"): (202, {"state": "KILLED"})}) as (port, heard):
        at(monkeypatch, port)
        assert jobs.kill(HERE, "application_1_2")
        assert not jobs.kill(HERE, "application_9_9")
        assert not jobs.kill(HERE, "")
    assert json.loads(heard[0][3]) == {"state": "KILLED"}


def at(monkeypatch, port):
    """Have the ports of Hadoop be this one."""
    real = health.ask
    changed = lambda address, _port, *rest: real(address, port, *rest)  # noqa: E731
    for module in (health, jobs, job):
        monkeypatch.setattr(module, "ask", changed)


@pytest.mark.parametrize(("final", "status"), [("SUCCEEDED", 0), ("KILLED", 1)])
def test_an_application_is_followed_to_its_end(monkeypatch, capsys, final, status):
    said = {"state": "FINISHED", "finalStatus": final, "diagnostics": "so it is"}
    with web({("GET", "/ws/v1/cluster/apps/application_1_2"): (200, {"app": said})}) as (port, _heard):
        at(monkeypatch, port)
        assert job.follow(HERE, "application_1_2", 0.01) == status
    assert "so it is" in capsys.readouterr().out


def jar(path, manifest="Main-Class: org.x.Main\r\n"):
    with zipfile.ZipFile(path, "w") as archive:
        if manifest:
            archive.writestr("META-INF/MANIFEST.MF", manifest)
        archive.writestr("a.class", b"")
    return path


def words(here, made, settings=None):
    place = here.state / "jobs/j"
    place.mkdir(exist_ok=True)
    return job.command(made, job.fetch(made, KEYS, place), place, here, settings or {}), place


def test_java_runs_the_class_that_the_archive_names(here):
    archive = jar(here.root / "a.jar")
    said, place = words(here, Job("j", "Java", main=f"file://{archive}", args=("in", "out"), configs={"a.b": "c"}))
    assert said[-3:] == ["org.x.Main", "in", "out"]
    assert said[1] == f"@{place}/java.args"
    assert f":{place}/conf:/etc/hadoop:{archive}" in (place / "java.args").read_text()
    assert "<name>a.b</name><value>c</value>" in (place / "conf/mapred-site.xml").read_text()


def test_java_runs_the_class_that_the_job_names_on_its_data(here):
    archive = jar(here.root / "a.jar")
    said, _place = words(here, Job("j", "Java", libs=(f"file://{archive}",), main_class="x.Y", input="s3a://a/b", output="/c"))
    assert said[-3:] == ["x.Y", "s3a://a/b", "/c"]


def test_streaming_has_its_files_and_ends(here):
    (here.root / "map.py").touch()
    made = Job("j", "MapReduce.Streaming", libs=(f"file://{here.root}/map.py",), mapper="map.py", reducer="wc", input="/a", output="/b")
    said, _place = words(here, made)
    assert said[said.index("-files") + 1] == f"{here.root}/map.py"
    assert said[-8:] == ["-input", "/a", "-output", "/b", "-mapper", "map.py", "-reducer", "wc"]


def test_mapreduce_of_classes_is_handed_in(here):
    archive = jar(here.root / "a.jar")
    made = Job("j", "MapReduce", libs=(f"file://{archive}",), mapper="x.Map", input="/a", output="/b", configs={"mapred.reducer.class": "x.Reduce"})
    said, place = words(here, made)
    assert said[-3:] == ["org.apache.hadoop.mapred.JobClient", "-submit", f"{place}/job.xml"]
    text = (place / "job.xml").read_text()
    assert all(part in text for part in ("x.Map", "x.Reduce", f"<value>{archive}</value>", "<value>/a</value>"))


def test_spark_goes_to_yarn(here):
    (here.root / "usr/lib/spark").mkdir(parents=True)
    program, archive, helper = here.root / "a.py", jar(here.root / "l.jar"), here.root / "h.py"
    program.touch()
    helper.touch()
    libs = (f"file://{archive}", f"file://{helper}")
    configs = {"spark.a": "1", "deploy-mode": "client", "x": "y"}
    made = Job("j", "Spark", main=f"file://{program}", libs=libs, main_class="C", configs=configs, args=("in",))
    said, _place = words(here, made, {"spark.b": "2"})
    text = " ".join(said)
    assert "--master yarn --deploy-mode client --class C" in text
    assert f"--jars {archive} --py-files {helper}" in text
    assert text.endswith(f"--conf spark.b=2 --conf spark.a=1 {program} in")


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (Job("j", "Pig"), "nothing that runs jobs of the type Pig"),
        (Job("j", "Shell"), "needs its script"),
        (Job("j", "Spark"), "no Spark"),
        (Job("j", "Java"), "which class"),
        (Job("j", "MapReduce.Streaming", mapper="x"), "needs input"),
        (Job("j", "Java", main="file:///nothing"), "not in the image"),
        (Job("j", "Java", main="s3a://bucket/"), "names no file"),
    ],
)
def test_what_cannot_run_is_refused_with_a_reason(here, made, reason):
    with pytest.raises(job.JobError, match=reason):
        words(here, made)


def test_spark_needs_a_program(here):
    (here.root / "usr/lib/spark").mkdir(parents=True)
    with pytest.raises(job.JobError, match="its program"):
        words(here, Job("j", "Spark"))


def test_archives_without_a_class_and_what_is_no_archive(here):
    assert job.main_class(jar(here.root / "a.jar", "")) == ""
    (here.root / "b.jar").write_text("x")
    with pytest.raises(job.JobError, match="no archive"):
        job.main_class(here.root / "b.jar")


def order(here, made, endpoint=""):
    place = here.state / "jobs/j"
    place.mkdir()
    said = {"job": asdict(made), "s3": asdict(S3(endpoint, "here", "AK", "SK")), "spark": {}, "address": HERE}
    (place / "job.json").write_text(json.dumps(said))
    return place


def test_a_script_is_fetched_and_run(here, capfd):
    with web({("GET", "/bucket/a/run%20me.sh"): (200, b'echo "$WHO $1"; exit 4')}) as (port, heard):
        place = order(here, Job("j", "Shell", main="s3a://bucket/a/run me.sh", args=("x",), params={"WHO": "me"}), f"http://{HERE}:{port}")
        assert job.main(place, here) == 4
    assert "me x" in capfd.readouterr().out
    assert heard[0][2]["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AK/")


def test_a_script_that_is_missing_is_named(here, capsys):
    with web({("GET", "/bucket/none"): (404, b"<Error><Code>NoSuchKey</Code></Error>")}) as (port, _heard):
        place = order(here, Job("j", "Shell", main="s3a://bucket/none"), f"http://{HERE}:{port}")
        assert job.main(place, here) == 2
    assert "s3a://bucket/none: the object storage answered 404 NoSuchKey" in capsys.readouterr().out


@pytest.mark.parametrize(("said", "status"), [("Created job job_17_0002", 0), ("nothing", 1)])
def test_a_job_that_is_handed_in_is_followed(here, monkeypatch, said, status):
    made = Job("j", "MapReduce", mapper="x.Map", input="/a", output="/b")
    monkeypatch.setattr(job, "command", lambda *_words: [sys.executable, "-c", f"print({said!r})"])
    monkeypatch.setattr(job, "follow", lambda _address, application: 0 if application == "application_17_0002" else 9)
    assert job.main(order(here, made), here) == status


def test_signatures_are_those_of_amazons_client():
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    path = "/bucket/a%20b/c"
    made = s3.sign(KEYS, "PUT", "s3.example:8082", path, now)
    request = AWSRequest("PUT", f"https://s3.example:8082{path}", headers={"x-amz-date": made["x-amz-date"]})
    request.context["timestamp"] = made["x-amz-date"]
    request.headers["x-amz-content-sha256"] = made["x-amz-content-sha256"]
    auth = S3SigV4Auth(Credentials("AK", "SK"), "s3", "here")
    auth.payload = lambda _request: "UNSIGNED-PAYLOAD"
    signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    assert made["Authorization"].endswith(f"Signature={signature}")


def test_what_is_no_object_is_refused():
    with pytest.raises(s3.S3Error, match="no s3a"):
        s3.parts("http://x/y")


def test_an_object_storage_that_is_away_is_an_error(tmp_path):
    with web({}) as (port, _heard):
        pass
    with pytest.raises(s3.S3Error, match="s3a://a/b"):
        s3.get(S3(f"http://{HERE}:{port}"), "s3a://a/b", tmp_path / "x")


def test_logs_are_sent_when_they_have_changed(here):
    (here.logs / "namenode.log").write_text("one")
    (here.logs / "empty.out").touch()
    (here.state / "jobs/j").mkdir()
    (here.state / "jobs/j/log").write_text("job")
    answers = {("PUT", f"/logs/c/demo-master-0/{name}"): (200, b"") for name in ("namenode.log", "jobs/j.log")}
    with web(answers) as (port, heard):
        said = document(logs="s3a://logs/c", s3={"endpoint": f"http://{HERE}:{port}", "access_key": "a", "secret_key": "b"})
        logs = Logs(here)
        logs.tick(said, 1.0)
        logs.tick(said, 2.0)
        assert heard == []
        logs.tick(said, 2.0 + EVERY)
        until(lambda: len(heard) == 2)
        (here.logs / "namenode.log").write_text("one two")
        logs.finish(said)
        assert [one[3] for one in heard] == [b"one", b"job", b"one two"]
        answers.clear()
        (here.logs / "namenode.log").write_text("three")
        logs.finish(said)
        assert "404" in logs.trouble
    Logs(here).finish(document())


def test_the_namenodes_word_becomes_the_states():
    nodes = {
        "a": {"xferaddr": "10.0.0.11:9866", "adminState": "In Service"},
        "b": {"xferaddr": "10.0.0.12:9866", "adminState": "Decommission In Progress"},
        "c": {"xferaddr": "10.0.0.13:9866", "adminState": "Decommissioned"},
    }
    dead = {"d": {"xferaddr": "10.0.0.14:9866", "decommissioned": True}, "e": {"xferaddr": "10.0.0.15:9866", "decommissioned": False}}
    dead["f"] = {"xferaddr": "10.0.0.16:9866", "decommissioned": False}
    hosts = {f"10.0.0.{number}": f"w{number}" for number in range(11, 16)}
    beans = [
        {"name": "Hadoop:service=NameNode,name=FSNamesystem", "MissingBlocks": 2},
        {
            "name": "Hadoop:service=NameNode,name=FSNamesystemState", "FSState": "Operational", "NumLiveDataNodes": 3, "NumDeadDataNodes": 2,
            "UnderReplicatedBlocks": 4, "CapacityTotal": 100, "CapacityUsed": 10,
        },
        {"name": "Hadoop:service=NameNode,name=NameNodeInfo", "LiveNodes": json.dumps(nodes), "DeadNodes": json.dumps(dead)},
    ]  # fmt: skip
    with web({("GET", "/jmx"): (200, {"beans": beans})}) as (port, heard):
        said = health.of_namenode(health.ask(HERE, port, "/jmx?user.name=hdfs"), hosts)
    assert said == {
        "safe_mode": False, "live": 2, "dead": 1, "leaving": ["10.0.0.12"], "left": ["10.0.0.13", "10.0.0.14"], "missing_blocks": 2,
        "under_replicated": 4, "capacity": 100, "used": 10,
    }  # fmt: skip
    assert "user.name=hdfs" in heard[0][1]
    with pytest.raises(OSError, match="yet"):
        health.of_namenode({"beans": []}, hosts)


def test_files_are_told_to_keep_fewer_copies_wherever_they_are(monkeypatch):
    def listing(rest, *found):
        return 200, {"DirectoryListing": {"partialListing": {"FileStatuses": {"FileStatus": list(found)}}, "remainingEntries": rest}}

    def entry(name, copies):
        return {"pathSuffix": name, "type": "FILE" if copies else "DIRECTORY", "replication": copies}

    first, second = listing(1, entry("a", 0), entry("b", 3)), listing(0, entry("c", 2))
    pages = iter([first, second, listing(0, entry("d e", 4), entry("link", 0) | {"type": "SYMLINK"})])
    asked = []

    def ask(_address, _port, path, method="GET", _body=None):
        asked.append((method, path))
        return next(pages)[1] if method == "GET" else {"boolean": True}

    monkeypatch.setattr(health, "ask", ask)
    assert health.thin(HERE, 2) == 2
    assert [path for method, path in asked if method == "PUT"] == [
        "/webhdfs/v1/b?user.name=hdfs&op=SETREPLICATION&replication=2", "/webhdfs/v1/a/d%20e?user.name=hdfs&op=SETREPLICATION&replication=2",
    ]  # fmt: skip
    assert asked[2] == ("GET", "/webhdfs/v1/?user.name=hdfs&op=LISTSTATUS_BATCH&startAfter=b")


def test_the_resourcemanagers_word_becomes_the_states(monkeypatch):
    metrics = {"clusterMetrics": {"activeNodes": 2, "lostNodes": 1, "pendingMB": 512, "availableMB": 1024, "appsRunning": 1}}
    nodes = {"nodes": {"node": [{"nodeHostName": "w2", "state": "DECOMMISSIONED"}, {"nodeHostName": "10.0.0.11", "state": "RUNNING"}]}}
    nodes["nodes"]["node"] += [{"nodeHostName": "w3", "state": "LOST"}, {"nodeHostName": "w4", "state": "LOST"}]
    hosts = {"10.0.0.12": "w2", "10.0.0.13": "w3"}
    answers = {("GET", "/ws/v1/cluster/metrics"): (200, metrics), ("GET", "/ws/v1/cluster/nodes"): (200, nodes)}
    with web(answers) as (port, _heard):
        at(monkeypatch, port)
        said = {"running": 2, "lost": 1, "left": ["10.0.0.12"], "pending_mb": 512, "available_mb": 1024, "apps_running": 1}
        assert health.yarn(HERE, hosts) == said
        answers["GET", "/ws/v1/cluster/nodes"] = (200, b"no json")
        with pytest.raises(OSError, match="nodes"):
            health.yarn(HERE, hosts)
        answers.clear()
        with pytest.raises(OSError, match="404"):
            health.yarn(HERE, hosts)
        with pytest.raises(OSError, match="404"):
            health.hdfs(HERE, hosts)


def test_every_cluster_has_its_folders(monkeypatch):
    with web({("PUT", f"/webhdfs/v1{path}"): (200, {}) for path, *_rest in health.STANDING}) as (port, heard):
        at(monkeypatch, port)
        health.furnish(HERE)
    assert any("/webhdfs/v1/tmp?user.name=hdfs&op=MKDIRS&permission=1777" in one[1] for one in heard)
    assert len(heard) == 3 * len(health.STANDING)


def test_clients_have_a_log_of_their_own(here, monkeypatch):
    monkeypatch.setattr(roles, "as_user", lambda _uid: (None, None))
    process = roles.run([sys.executable, "-c", "import os; print(os.environ['HADOOP_USER_NAME'])"], roles.HDFS, here)
    assert process.wait() == 0
    assert (here.logs / "client.out").read_text() == "hdfs\n"
    assert roles.client(here, "x")[-1] == "x"
    assert documents.text(value=True) == "true"
