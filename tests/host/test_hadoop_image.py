"""The image `hadoop`: nodes of it become a cluster, by what the metadata service says alone, and work as one.

The metadata service is a stand-in that keeps to the contract; nodes are in namespaces of their own. Whole clusters in a cloud are in
the tests of Data Processing.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from andromede.run import images
from tests.host.hadoop_nodes import WORKERS, Cluster, unpacked
from tests.host.test_images import cache

CAN = os.geteuid() == 0 and shutil.which("mmdebstrap") and shutil.which("mvn")
pytestmark = [pytest.mark.timeout(900), pytest.mark.skipif(not CAN, reason="needs root, mmdebstrap and maven")]
EXAMPLES = "file:///usr/lib/hadoop/hadoop-mapreduce-examples.jar"
TEXT = "one fish two fish\nred fish blue fish\n"


@pytest.fixture(scope="module")
def cluster():
    """One master, two workers."""
    built = images.build("hadoop", cache(), lambda _stage, _share: None)
    with tempfile.TemporaryDirectory(prefix="hadoop-", dir=os.environ.get("ANDROMEDE_TEST_WORK", "/var/tmp")) as scratch:
        made = Cluster(unpacked(built.root.path, Path(scratch) / "root"), Path(scratch), 2)
        try:
            made.healthy(2)
            yield made
        finally:
            made.close()


def hdfs(cluster, *words, user="hadoop"):
    return cluster.inside(cluster.master, "env", f"HADOOP_USER_NAME={user}", "hdfs", *words)


def succeeds(cluster, **job):
    record, _seconds = cluster.run(**job)
    assert record["state"] == "SUCCEEDED", record
    return record


def test_daemons_run_as_users_of_their_own_with_the_archive_of_classes(cluster):
    rows = [line.split(None, 1) for line in cluster.inside(cluster.master, "ps", "-ww", "-eo", "user:20,args").splitlines() if "/java" in line]
    assert sorted(row[0] for row in rows) == ["hdfs", "mapred", "yarn"]
    worker = next(address for address, (_name, processes) in cluster.names.items() if processes == WORKERS)
    (pid, *_more) = cluster.inside(worker, "pgrep", "java").split()
    assert "/usr/lib/hadoop/classes.jsa" in cluster.inside(worker, "cat", f"/proc/{pid}/maps")


def test_rows_are_generated_sorted_and_valid(cluster):
    for words in (["teragen", "10000", "/rows"], ["terasort", "/rows", "/sorted"], ["teravalidate", "/sorted", "/report"]):
        record = succeeds(cluster, type="Java", main=EXAMPLES, args=words)
        assert record["application_id"].startswith("application_")
    assert "checksum" in hdfs(cluster, "dfs", "-cat", "/report/part-r-00000")


def test_words_are_counted_by_streaming(cluster):
    cluster.inside(cluster.master, "sh", "-c", f"printf '{TEXT}' >/tmp/text && chmod 644 /tmp/text")
    hdfs(cluster, "dfs", "-put", "/tmp/text", "/text")
    succeeds(cluster, type="MapReduce.Streaming", mapper="tr ' ' '\\n'", reducer="uniq -c", input="/text", output="/counts")
    counts = dict(reversed(line.split()) for line in hdfs(cluster, "dfs", "-cat", "/counts/part-*").splitlines() if line.strip())
    assert counts == {"one": "1", "two": "1", "red": "1", "blue": "1", "fish": "4"}


def test_mapreduce_of_two_classes_is_run(cluster):
    hdfs(cluster, "dfs", "-mkdir", "-p", "/classes")
    hdfs(cluster, "dfs", "-put", "-f", "/tmp/text", "/classes/text")
    names = "org.apache.hadoop.mapred.lib"
    classes = {"mapper": f"{names}.IdentityMapper", "reducer": f"{names}.IdentityReducer"}
    configs = {"mapreduce.job.output.key.class": "org.apache.hadoop.io.LongWritable"}
    record = succeeds(cluster, type="MapReduce", **classes, input="/classes", output="/same", configs=configs)
    assert record["application_id"]
    assert "red fish blue fish" in hdfs(cluster, "dfs", "-cat", "/same/part-00000")


def test_a_job_that_fails_and_one_that_is_cancelled_say_so(cluster):
    record, _seconds = cluster.run(type="Java", main=EXAMPLES, args=["terasort", "/there-is-none", "/x"])
    assert record["state"] == "FAILED"
    assert "there-is-none" in record["detail"]
    name = f"job-{len(cluster.jobs)}"
    cluster.jobs = [*cluster.jobs, {"id": name, "type": "Java", "main": EXAMPLES, "args": ["pi", "1", "100000000000"]}]
    cluster.order()
    cluster.wait(lambda state: state["jobs"].get(name, {}).get("state") == "RUNNING")
    cluster.jobs[-1] = {**cluster.jobs[-1], "cancel": True}
    cluster.order()
    cluster.wait(lambda state: state["jobs"][name]["state"] == "KILLED")


def test_pages_are_read_by_who_reaches_them_and_nobody_changes_anything_without_a_name(cluster):
    words = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}"]
    for port, path in ((9870, "/jmx"), (8088, "/ws/v1/cluster/metrics"), (19888, "/ws/v1/history/info")):
        assert cluster.inside(cluster.master, *words, f"http://{cluster.master}:{port}{path}") == "200"
    made = f"http://{cluster.master}:9870/webhdfs/v1/of-nobody?op=MKDIRS"
    assert cluster.inside(cluster.master, *words, "-X", "PUT", made) in {"401", "403"}
    with pytest.raises(subprocess.CalledProcessError):
        hdfs(cluster, "dfs", "-test", "-e", "/of-nobody", user="hdfs")


def test_permissions_hold(cluster):
    hdfs(cluster, "dfs", "-mkdir", "-p", "/private", user="hdfs")
    hdfs(cluster, "dfs", "-chmod", "700", "/private", user="hdfs")
    with pytest.raises(subprocess.CalledProcessError) as failed:
        hdfs(cluster, "dfs", "-ls", "/private", user="somebody")
    assert "Permission denied" in failed.value.stderr


def test_a_daemon_that_is_killed_comes_back(cluster):
    before = cluster.inside(cluster.master, "pgrep", "-f", "resourcemanager.ResourceManager").split()[0]
    cluster.inside(cluster.master, "kill", "-9", before)
    cluster.wait(lambda state: state["daemons"]["resourcemanager"]["state"] == "starting")
    cluster.healthy(2)
    assert cluster.inside(cluster.master, "pgrep", "-f", "resourcemanager.ResourceManager").split()[0] != before


def test_a_worker_comes_and_another_leaves_without_loss(cluster):
    cluster.add("10.99.0.20", "demo-worker-9", WORKERS)
    cluster.order()
    cluster.start("10.99.0.20")
    cluster.wait(lambda state: state["hdfs"]["live"] == 3 and state["yarn"]["running"] == 3)
    hdfs(cluster, "dfs", "-D", "dfs.replication=3", "-put", "/etc/hosts", "/user/hadoop/thrice")
    cluster.order(leaving=["10.99.0.11"])
    cluster.wait(lambda state: state["hdfs"]["left"] == ["10.99.0.11"] and state["yarn"]["left"] == ["10.99.0.11"])
    cluster.kill("10.99.0.11")
    del cluster.names["10.99.0.11"]
    cluster.order(leaving=[])
    assert "HEALTHY" in hdfs(cluster, "fsck", "/", user="hdfs")
    assert hdfs(cluster, "dfs", "-stat", "%r", "/user/hadoop/thrice").strip() == "2"
    cluster.wait(lambda state: state["hdfs"]["live"] == 2 and state["yarn"]["running"] == 2)


def test_the_cluster_ends_in_order(cluster):
    cluster.order(stop=True)
    cluster.wait(lambda _state: all(cluster.metadata.states[address].get("phase") == "stopped" for address in cluster.names))
    assert "SHUTDOWN_MSG" in cluster.inside(cluster.master, "tail", "-n", "5", "/var/log/hadoop/namenode.log")
