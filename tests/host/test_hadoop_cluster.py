"""Whole clusters of containers in a real cloud, through the API and `andromede hadoop`: jobs, the object store, a worker killed, growing, shrinking.

`ANDROMEDE_HADOOP_ROWS`: rows that are sorted; a hundred thousand without it, so that it does not take long.
"""

import collections
import os
import signal
import subprocess
import sys
import threading

import openstack
import pytest
import requests

from andromede.drivers.hypervisor.lxc import processes
from andromede.run import hadoop, hadoop_pages
from tests.host.hypervisors import HAVE_LXC, WHY_NO_LXC
from tests.waiting import until

pytestmark = [pytest.mark.timeout(1500), pytest.mark.skipif(not HAVE_LXC, reason=WHY_NO_LXC)]
DP, SERVERS = "/data-processing/v2", "/compute/v2.1/servers"
ROWS = os.environ.get("ANDROMEDE_HADOOP_ROWS", "100000")
JAR = "/usr/lib/hadoop/hadoop-mapreduce-examples.jar"
TEXT = "one fish two fish\nred fish blue fish\n" * 500
BLOCKS = 100
COUNT = """
import sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.appName("count").getOrCreate()
words = spark.sparkContext.textFile(sys.argv[1]).flatMap(str.split)
counts = words.map(lambda word: (word, 1)).reduceByKey(lambda one, two: one + two)
counts.map(lambda pair: f"{pair[0]}\\t{pair[1]}").saveAsTextFile(sys.argv[2])
spark.stop()
"""


class Herd:
    """A cluster by its name, as its user sees it."""

    def __init__(self, real, name, sdk):
        self.real, self.name, self.store = real, name, sdk.object_store

    def look(self):
        return next(one for one in self.real.user.get(f"{DP}/clusters")["clusters"] if one["name"] == self.name)

    def active(self, nodes):
        """Wait until it is whole with so many nodes, all of them known to HDFS and YARN."""

        def whole():
            one = self.look()
            members = [node for group in one["node_groups"] for node in group["instances"]]
            live = (one["health"]["hdfs"]["live"], one["health"]["yarn"]["running"])
            return one["status"] == "Active" and len(members) == nodes and live == (nodes - 1, nodes - 1) and one

        return until(whole, 300)

    def workers(self):
        return [node for group in self.look()["node_groups"] if group["name"] == "worker" for node in group["instances"]]

    def run(self, tmp_path, text):
        """Run a script on it; it must succeed."""
        path = tmp_path / "run.sh"
        path.write_text(f"#!/bin/sh\nset -eux\n{text}")
        done = self.real.cli("hadoop", "submit", self.name, str(path), seconds=1200)
        assert "SUCCEEDED" in done.stdout, done

    def words(self, prefix):
        """Words and numbers in all parts of a result in the container `texts`."""
        found = {}
        for one in self.store.objects("texts", prefix=f"{prefix}/part-"):
            lines = self.store.download_object(one.name, "texts").decode().splitlines()
            found |= {word: int(number) for word, number in (line.split("\t") for line in lines)}
        return found


@pytest.fixture(scope="module")
def sdk(real):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OS_CLIENT_CONFIG_FILE", str(real.clouds))
        sdk = openstack.connect(cloud=real.name)
        sdk.object_store.create_container("texts")
        sdk.object_store.upload_object("texts", "in/fish", data=TEXT.encode())
        yield sdk


@pytest.fixture(scope="module")
def herd(real, sdk):
    real.cli("image", "hadoop", seconds=1400)
    real.cli("hadoop", "create", "herd", "--workers", "3", seconds=600)
    herd = Herd(real, "herd", sdk)
    yield herd
    real.cli("hadoop", "delete", "herd")
    user = real.user
    assert [one["name"] for one in user.get(f"{DP}/clusters")["clusters"] if one["name"] == "herd"] == []
    assert [one["name"] for one in user.get(SERVERS)["servers"] if one["name"].startswith("herd")] == []
    assert [one["name"] for one in user.get("/network/v2.0/security-groups")["security_groups"] if one["name"].startswith("hadoop")] == []
    # its logs stay
    assert [one for one in herd.store.objects("hadoop-logs") if one.name.startswith("herd-")]


@pytest.fixture(scope="module")
def report(herd, tmp_path_factory):
    """Rows in /in, sorted into /out; what is said of their order."""
    text = f"hadoop jar {JAR} teragen {ROWS} /in\nhadoop jar {JAR} terasort /in /out\nhadoop jar {JAR} teravalidate /out /report\n"
    herd.run(tmp_path_factory.mktemp("rows"), f"{text}hdfs dfs -cp /report/part-r-00000 s3a://texts/report\n")
    return herd.store.download_object("report", "texts")


def test_rows_are_sorted_and_found_in_order(report, capsys):
    with capsys.disabled():
        sys.stdout.write(f" {ROWS} rows ")
    (line,) = report.decode().splitlines()
    assert line.startswith("checksum\t")


def test_words_in_the_object_store_are_counted_as_elsewhere(herd, tmp_path):
    herd.run(tmp_path, f"hadoop jar {JAR} wordcount s3a://texts/in s3a://texts/out\n")
    command = "tr -s '[:space:]' '\\n' | sort | uniq -c | awk '{print $2\"\\t\"$1}'"
    said = subprocess.run(["sh", "-c", command], input=TEXT, capture_output=True, text=True, timeout=60, check=True).stdout
    assert herd.words("out") == {word: int(number) for word, number in (line.split("\t") for line in said.splitlines())}


def test_its_pages_are_read_through_the_cloud(real, herd):
    processing = hadoop.Processing(openstack.connect(cloud=real.name))
    pages = hadoop_pages.Pages(processing, herd.look()["id"], first=0)
    try:
        said = {page: requests.get(where, timeout=60) for page, where in pages.where.items()}
        beans = requests.get(f"{pages.where['hdfs']}jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState", timeout=60).json()["beans"]
        metrics = requests.get(f"{pages.where['yarn']}ws/v1/cluster/metrics", timeout=60).json()["clusterMetrics"]
        history = requests.get(f"{pages.where['jobs']}ws/v1/history/info", timeout=60).json()["historyInfo"]
    finally:
        pages.close()
    assert [(one.status_code, "<html" in one.text.lower()) for one in said.values()] == [(200, True)] * 3
    assert (beans[0]["NumLiveDataNodes"], metrics["activeNodes"], history["hadoopVersion"]) == (3, 3, "3.5.0")


def test_a_worker_that_is_killed_in_a_job_costs_the_job_nothing_and_is_replaced(real, herd, report, tmp_path):
    trouble = []

    def sort():
        try:
            text = f"hadoop jar {JAR} terasort /in /again\nhadoop jar {JAR} teravalidate /again /again-report\n"
            herd.run(tmp_path, f"{text}hdfs dfs -cp /again-report/part-r-00000 s3a://texts/again\n")
        except (AssertionError, subprocess.TimeoutExpired) as error:
            trouble.append(error)

    run = threading.Thread(target=sort)
    run.start()
    until(lambda: herd.look()["health"]["yarn"]["apps_running"] or trouble, 120)
    lost = herd.workers()[0]["instance_id"]
    os.kill(processes.find(real.home.host_state / "containers", lost).init, signal.SIGKILL)
    run.join()
    assert trouble == []
    assert herd.store.download_object("again", "texts") == report
    until(lambda: lost not in [one["instance_id"] for one in herd.workers()], 120)
    herd.active(4)


def test_it_grows_and_shrinks_without_losing_a_block(real, herd, tmp_path):
    text = f"hdfs dfs -mkdir /blocks\nfor n in $(seq {BLOCKS}); do head -c 65536 /dev/urandom >block$n; done\n"
    text += "hdfs dfs -D dfs.replication=2 -put block* /blocks/\n"
    herd.run(tmp_path, f"{text}cat block* | sha256sum | cut -c -64 >sum\nhdfs dfs -put sum /sum\n")
    for workers in (5, 2):
        real.cli("hadoop", "scale", "herd", str(workers), seconds=900)
        herd.active(workers + 1)
    text = f"hdfs fsck /blocks >said\ncat said\ngrep HEALTHY said\ngrep -E 'Total blocks.*{BLOCKS}' said\n"
    herd.run(tmp_path, f"{text}test $(hdfs dfs -cat '/blocks/*' | sha256sum | cut -c -64) = $(hdfs dfs -cat /sum)\n")


@pytest.mark.slow
def test_spark_counts_the_same(real, sdk, tmp_path):
    real.cli("image", "hadoop-spark", seconds=1400)
    (image,) = real.user.get("/image/v2/images?name=hadoop-spark")["images"]
    real.cli("hadoop", "create", "spark", "--workers", "1", "--image", image["id"], seconds=600)
    try:
        (tmp_path / "count.py").write_text(COUNT)
        words = ("--input", "swift://texts/in", "--output", "swift://texts/spark")
        assert "SUCCEEDED" in real.cli("hadoop", "submit", "spark", str(tmp_path / "count.py"), *words, seconds=900).stdout
        assert Herd(real, "spark", sdk).words("spark") == collections.Counter(TEXT.split())
    finally:
        real.cli("hadoop", "delete", "spark")
