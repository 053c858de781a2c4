"""`andromede hadoop`, with the standard client's libraries, against a cloud in this process; nodes say what the program in them would."""

import io
import itertools
import threading

import pytest
import requests
from rich.console import Console

from andromede.core.errors import CloudError
from andromede.run import cli_hadoop, hadoop, hadoop_pages
from tests import hadoop as nodes
from tests.conformance import in_process


@pytest.fixture
def cloud(cloud, network):
    nodes.image(cloud)
    assert cloud.user.post("/compute/v2.1/os-keypairs", {"keypair": {"name": "mine"}}).status == 200
    cloud.network = network
    with nodes.Nodes(cloud) as cloud.nodes, in_process.api(cloud) as url:
        cloud.processing = hadoop.Processing(in_process.sdk(url, "demo"))
        yield cloud


@pytest.fixture
def line(cloud, monkeypatch, capsys):
    """Runs the command line; answers its exit code and what it printed."""
    monkeypatch.setattr(hadoop, "signed_in", lambda _home: cloud.processing)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words):
        code = 0
        try:
            cli_hadoop.app(words, result_action="return_value")
        except SystemExit as end:
            code = end.code or 0
        return code, capsys.readouterr().out

    return run


def test_the_guide_line_by_line(cloud, line):
    code, said = line("create", "demo", "--workers", "1", "--flavor", "petit-1", "--master-flavor", "petit-2", "--network", "net", "--key", "mine")
    assert (code, "Active" in said, "Wait until the cluster is whole" in said) == (0, True, True), said
    assert "demo" in line("list")[1]
    shown = line("show", "demo")[1]
    assert "demo-master-0" in shown
    assert "GREEN" in shown
    cloud.nodes.jobs = nodes.Held("SUCCEEDED")
    code, said = line("submit", "demo", "swift://programs/run.sh", "--", "-x")
    assert (code, "SUCCEEDED" in said) == (0, True), said
    cloud.nodes.jobs.state = "FAILED"
    assert line("submit", "demo", "swift://programs/count.jar", "--input", "swift://t/in", "--output", "/out")[0] == 1
    code, said = line("scale", "demo", "2")
    assert (code, "demo: Active, 3 nodes" in said) == (0, True), said
    with pytest.raises(CloudError, match="floating address"):
        line("ui", "demo", "--key", "/k")
    code, said = line("delete", "demo")
    assert (code, "is gone after" in said) == (0, True)
    assert nodes.left(cloud) == []


def test_for_one_job_and_with_what_is_on_this_machine(cloud, line, tmp_path, monkeypatch):
    class Store:
        def __init__(self):
            self.kept = {}

        def create_container(self, name):
            self.kept.setdefault(name, {})

        def upload_object(self, container, name, data):
            self.kept[container][name] = data

    store = Store()
    monkeypatch.setattr(type(cloud.processing.connection), "object_store", store)
    small = ("--workers", "1", "--flavor", "1", "--master-flavor", "1")
    code, said = line("create", "once", *small, "--transient", "--job", "terasort", "--grow-to", "2")
    assert code == 0, said
    (script,) = store.kept["hadoop-programs"].values()
    assert b"teravalidate" in script
    nodes.until(lambda: cloud.user.get(f"{nodes.V1}/clusters").json["clusters"] == [])
    with pytest.raises(CloudError, match="There is no cluster once"):
        line("delete", "once")
    made = cloud.user.post(f"{nodes.V1}/clusters", nodes.wanted(workers=1)).json["cluster"]["id"]
    nodes.status(cloud, made, "Active")
    path = tmp_path / "count.py"
    path.write_text("print(1)")
    assert hadoop.submit(cloud.processing, "demo", str(path), [], libs=["s3://b/lib.jar"])["info"]["status"] == "SUCCEEDED"
    assert hadoop.submit(cloud.processing, "demo", "swift://b/x.jar", [], main_class="X", configs={"a": "b"})["info"]["status"] == "SUCCEEDED"
    with pytest.raises(CloudError, match="neither a file nor one of terasort"):
        hadoop.submit(cloud.processing, "demo", "nothing.sh", [])
    with pytest.raises(CloudError, match="main_class"):
        hadoop.submit(cloud.processing, "demo", "swift://b/x.jar", [], kind="Java")
    assert hadoop.delete(cloud.processing, "demo", force=True) < 10


def test_what_goes_wrong_is_said(cloud, line):
    for words, text in (
        (("--flavor", "none"), "There is no flavor none"), (("--network", "none"), "There is no network none"),
        (("--flavor", "1", "--master-flavor", "1", "--key", "none"), "keypair 'none'"),
    ):  # fmt: skip
        with pytest.raises(CloudError, match=text):
            line("create", "demo", *words)
    with pytest.raises(CloudError, match="no flavor with"):
        hadoop.flavor(cloud.processing, "", 1 << 30)
    assert hadoop.flavor(cloud.processing, "", 2048) == "SCS-2V-2-10s"
    cloud.nodes.failing = {"bad-worker-0"}
    with pytest.raises(CloudError, match="no room"):
        line("create", "bad", "--workers", "1", "--flavor", "1", "--master-flavor", "1")
    assert line("show", "bad")[0] == 0
    cloud.nodes.mute = {"slow-worker-0"}
    slow = cloud.user.post(f"{nodes.V1}/clusters", nodes.wanted("slow", 1)).json["cluster"]["id"]
    with pytest.raises(CloudError, match="is still in"):
        hadoop.watch(cloud.processing, slow, out=Console(file=io.StringIO()), seconds=0)
    with pytest.raises(CloudError, match="is not gone"):
        hadoop.delete(cloud.processing, "slow", seconds=0)


def test_pages_are_on_this_machine_for_whoever_is_signed_in(cloud, line, monkeypatch):
    assert line("create", "demo", "--workers", "1", "--flavor", "petit-1", "--master-flavor", "petit-2")[0] == 0
    one = cloud.processing.cluster("demo")
    master = one["node_groups"][0]["instances"][0]["instance_id"]
    pages = hadoop_pages.Pages(cloud.processing, one["id"], first=0)
    try:
        for where in pages.where.values():
            answer = requests.get(f"{where}dfshealth.html?a=b%20c", timeout=20)
            assert (answer.status_code, answer.headers["Content-Type"], answer.text) == (200, "text/html", f"guest-{master}")
            assert requests.get(where, headers={"Host": "evil.test"}, timeout=20).status_code == 403
        monkeypatch.setattr(threading.Event, "wait", interrupt)
        port = int(pages.where["hdfs"].rstrip("/").rpartition(":")[2])
        with pytest.raises(CloudError, match="--port"):
            hadoop.ui(cloud.processing, "demo", first=port, out=Console(file=io.StringIO()))
    finally:
        monkeypatch.undo()
        pages.close()


def interrupt(*_words):
    raise KeyboardInterrupt


def test_the_tunnel_leads_to_each_page_through_the_node_that_has_a_way_in():
    def group(processes, inside, outside):
        return {"node_processes": processes, "instances": [{"internal_ip": inside, "management_ip": outside}]}

    masters = group(["namenode", "resourcemanager"], "10.0.0.5", "172.24.4.9")
    one = {"name": "demo", "node_groups": [masters, group(["historyserver"], "10.0.0.6", "10.0.0.6")]}
    command, pages = hadoop.tunnel(one, key="/k", first=10000)
    assert command[-1] == "hadoop@172.24.4.9"
    ways = [word for before, word in itertools.pairwise(command) if before == "-L"]
    assert ways == ["127.0.0.1:10000:10.0.0.5:9870", "127.0.0.1:8218:10.0.0.5:8088", "127.0.0.1:20018:10.0.0.6:19888"]
    assert pages["HDFS"] == "http://127.0.0.1:10000/"


def test_who_is_not_signed_in_is_told_so(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OS_CLOUD", "nowhere")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CloudError, match="Nobody can be signed in"):
        hadoop.signed_in(None)
