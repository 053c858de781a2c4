"""The sites of a node: what Hadoop reads, from the cluster's document. Pure, but for `write_all`.

Every address is a number and every service listens on its node's own address, so nothing depends on names. The intervals are short,
which costs nothing in clusters of tens of nodes: a lost node is known after 30 s, not after 10 minutes. Retries are short, but as long in
all as Hadoop's.
"""

from collections.abc import Mapping
from xml.sax.saxutils import escape

from .document import MASTERS, Document
from .places import Places, folder, write

Site = dict[str, str]
LEFT = 512
"""MiB of a worker that its own daemons and system have beside the tasks."""
HEAP_SHARE = 0.65
"""Of a task's memory; the rest is Java's own."""


def sites(document: Document, places: Places) -> dict[str, Site]:
    """File name to properties, the user's on top of ours."""
    made = {
        "core-site": _core(document, places),
        "hdfs-site": _hdfs(document, places),
        "yarn-site": _yarn(document, places),
        "mapred-site": _mapred(document, places),
        "hadoop-policy": dict(_POLICY),
        "capacity-scheduler": _scheduler(document),
    }
    return {f"{name}.xml": site | dict(document.config.get(name, {})) for name, site in made.items()}


def xml(site: Mapping[str, str]) -> str:
    """A site as Hadoop reads it."""
    rows = (f"<property><name>{escape(key)}</name><value>{escape(value)}</value></property>\n" for key, value in sorted(site.items()))
    return f'<?xml version="1.0"?>\n<configuration>\n{"".join(rows)}</configuration>\n'


def write_all(document: Document, places: Places) -> bool:
    """Make the files say what the document does; whether any did not."""
    folder(places.conf, 0)
    changed = [write(places.conf / name, xml(site)) for name, site in sites(document, places).items()]
    changed.append(write(places.conf / "http-secret", document.secret + "\n", 0o644))
    leaving = places.conf / "leaving"
    if not leaving.exists():
        write(leaving, "")
    return any(changed)


def _core(document: Document, places: Places) -> Site:
    site = {
        "fs.defaultFS": f"hdfs://{document.first('namenode')}:8020",
        "hadoop.tmp.dir": f"{places.state}/tmp/${{user.name}}",  # noqa: S108 - not of the system
        "hadoop.security.authorization": "true",
        "hadoop.http.filter.initializers": "org.apache.hadoop.security.AuthenticationFilterInitializer",
        "hadoop.http.authentication.type": "simple",
        # `hdfs fsck` names nobody. Who reaches the pages at all is for the security group to say.
        "hadoop.http.authentication.simple.anonymous.allowed": "true",
        "hadoop.http.authentication.signature.secret.file": f"{places.conf}/http-secret",
        "io.file.buffer.size": "65536",
        "ipc.client.connect.retry.interval": "250",
        "ipc.client.connect.max.retries": "160",
        "ipc.client.connect.max.retries.on.timeouts": "9",
        "ipc.client.connect.timeout": "5000",
        "ipc.client.tcpnodelay": "true",
    }
    if document.s3.endpoint:
        site |= {
            "fs.s3a.endpoint": document.s3.endpoint,
            "fs.s3a.endpoint.region": document.s3.region,
            "fs.s3a.access.key": document.s3.access_key,
            "fs.s3a.secret.key": document.s3.secret_key,
            "fs.s3a.path.style.access": "true",
            "fs.s3a.connection.ssl.enabled": "true" if document.s3.endpoint.startswith("https:") else "false",
            "fs.s3a.aws.credentials.provider": "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider",
        }
    return site


def data_folders(document: Document, places: Places) -> list[str]:
    """Where blocks and tasks' files are: the node's disks, else its root."""
    return [f"/mnt/{disk.rsplit('/', 1)[-1]}" if disk.startswith("/dev/") else disk for disk in document.node.disks] or [str(places.state)]


def replicas(document: Document) -> int:
    """How many copies of a block there are: three, or as many as there are workers that stay."""
    masters = {address for role in MASTERS for address in document.roles.get(role, ())}
    return min(3, max(1, len(set(document.hosts) - masters - set(document.leaving))))


def _hdfs(document: Document, places: Places) -> Site:
    master, here = document.first("namenode"), document.node.address
    site = {
        "dfs.namenode.rpc-address": f"{master}:8020",
        "dfs.namenode.http-address": f"{master}:9870",
        "dfs.namenode.name.dir": f"file://{places.state}/name",
        "dfs.namenode.checkpoint.dir": f"file://{places.state}/checkpoint",
        "dfs.datanode.data.dir": ",".join(f"file://{one}/hdfs" for one in data_folders(document, places)),
        "dfs.datanode.address": f"{here}:9866",
        "dfs.datanode.ipc.address": f"{here}:9867",
        "dfs.datanode.http.address": f"{here}:9864",
        "dfs.datanode.hostname": here,
        "dfs.datanode.du.reserved": str(256 << 20),
        "dfs.replication": str(replicas(document)),
        "dfs.permissions.enabled": "true",
        "dfs.permissions.superusergroup": "supergroup",
        "dfs.block.access.token.enable": "true",
        "dfs.hosts.exclude": f"{places.conf}/leaving",
        "dfs.namenode.datanode.registration.ip-hostname-check": "false",
        "dfs.namenode.safemode.extension": "0",
        "dfs.namenode.decommission.interval": "2",
        "dfs.namenode.redundancy.interval.seconds": "1",
        # a copy that its node took with it is ordered again after so long, not after five minutes
        "dfs.namenode.reconstruction.pending.timeout-sec": "30",
        "dfs.namenode.heartbeat.recheck-interval": "10000",
        "dfs.heartbeat.interval": "1",
        "dfs.namenode.handler.count": "10",
        "dfs.client.block.write.replace-datanode-on-failure.best-effort": "true",
    }
    if second := document.first("secondarynamenode"):
        site["dfs.namenode.secondary.http-address"] = f"{second}:9868"
    return site


def _yarn(document: Document, places: Places) -> Site:
    master, node = document.first("resourcemanager"), document.node
    return {
        "yarn.resourcemanager.hostname": master,
        "yarn.resourcemanager.webapp.address": f"{master}:8088",
        "yarn.resourcemanager.nodes.exclude-path": f"{places.conf}/leaving",
        "yarn.resourcemanager.recovery.enabled": "true",
        "yarn.resourcemanager.store.class": "org.apache.hadoop.yarn.server.resourcemanager.recovery.LeveldbRMStateStore",
        "yarn.resourcemanager.leveldb-state-store.path": f"{places.state}/rm",
        "yarn.resourcemanager.connect.retry-interval.ms": "250",
        "yarn.resourcemanager.nodemanagers.heartbeat-interval-ms": "250",
        "yarn.resourcemanager.am.max-attempts": "3",
        "yarn.resourcemanager.decommissioning-nodes-watcher.poll-interval-secs": "2",
        "yarn.resourcemanager.node-removal-untracked.timeout-ms": "60000",
        "yarn.nm.liveness-monitor.expiry-interval-ms": "30000",
        "yarn.am.liveness-monitor.expiry-interval-ms": "120000",
        "yarn.nodemanager.hostname": node.address,
        "yarn.nodemanager.address": f"{node.address}:8041",
        "yarn.nodemanager.localizer.address": f"{node.address}:8040",
        "yarn.nodemanager.webapp.address": f"{node.address}:8042",
        "yarn.nodemanager.aux-services": "mapreduce_shuffle",
        "yarn.nodemanager.resource.memory-mb": str(max(512, node.memory_mb - LEFT)),
        "yarn.nodemanager.resource.cpu-vcores": str(node.vcpus),
        "yarn.nodemanager.vmem-check-enabled": "false",
        # the archive of classes is every process's, and is no task's memory
        "yarn.nodemanager.containers-monitor.procfs-tree.smaps-based-rss.enabled": "true",
        "yarn.nodemanager.local-dirs": ",".join(f"{one}/yarn" for one in data_folders(document, places)),
        "yarn.nodemanager.log-dirs": f"{places.logs}/userlogs",
        "yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage": "98",
        "yarn.scheduler.minimum-allocation-mb": "128",
        "yarn.acl.enable": "true",
        "yarn.admin.acl": "yarn,hadoop",
        "yarn.application.classpath": f"{places.conf},{places.share}/jars/*",
    }


def _mapred(document: Document, places: Places) -> Site:
    history, said = document.first("historyserver"), document.config.get("mapred-site", {})
    tasks, small = f"@{places.share}/task.args", str(task_memory(document))
    manager = said.get("yarn.app.mapreduce.am.resource.mb", small)
    heap = int(int(manager) * HEAP_SHARE) if manager.isdigit() else 256
    return {
        "mapreduce.framework.name": "yarn",
        "mapreduce.application.classpath": f"{places.conf},{places.share}/jars/*",
        "mapreduce.jobhistory.address": f"{history}:10020",
        "mapreduce.jobhistory.webapp.address": f"{history}:19888",
        "mapreduce.jobhistory.intermediate-done-dir": "/mr-history/tmp",
        "mapreduce.jobhistory.done-dir": "/mr-history/done",
        "mapreduce.job.heap.memory-mb.ratio": str(HEAP_SHARE),
        "mapreduce.task.io.sort.mb": "48" if small == "256" else "100",
        "mapreduce.map.memory.mb": small,
        "mapreduce.map.java.opts": tasks,
        "mapreduce.reduce.memory.mb": small,
        "mapreduce.reduce.java.opts": tasks,
        "mapreduce.client.submit.file.replication": str(replicas(document)),
        "mapreduce.client.completion.pollinterval": "500",
        "mapreduce.client.progressmonitor.pollinterval": "500",
        "yarn.app.mapreduce.am.resource.mb": small,
        "yarn.app.mapreduce.am.command-opts": f"{tasks} -XX:TieredStopAtLevel=1 -Xmx{heap}m",
        "yarn.app.mapreduce.am.staging-dir": "/user",
        "yarn.app.mapreduce.am.scheduler.heartbeat.interval-ms": "250",
    }


def task_memory(document: Document) -> int:
    """MiB of a task where nobody says otherwise: two of them, one the job's manager, must find room on the smallest worker.

    The heap's size is Hadoop's to reckon, by its ratio, wherever somebody sets another memory.
    """
    have = document.node.memory_mb
    return 256 if have < 2048 else 512 if have < 8192 else 1024


def _scheduler(document: Document) -> Site:
    capacity = "yarn.scheduler.capacity"
    return {
        f"{capacity}.root.queues": "default",
        f"{capacity}.root.default.capacity": "100",
        f"{capacity}.maximum-am-resource-percent": "0.5",
        f"{capacity}.node-locality-delay": str(len(document.hosts)),
    }


_POLICY = {
    "security.client.protocol.acl": "*",
    "security.client.datanode.protocol.acl": "*",
    "security.datanode.protocol.acl": "hdfs",
    "security.inter.datanode.protocol.acl": "hdfs",
    "security.namenode.protocol.acl": "hdfs",
    "security.admin.operations.protocol.acl": "hdfs,hadoop",
    "security.refresh.user.mappings.protocol.acl": "hdfs,yarn,hadoop",
    "security.refresh.policy.protocol.acl": "hdfs,yarn,hadoop",
    "security.refresh.callqueue.protocol.acl": "hdfs,yarn,hadoop",
    "security.refresh.generic.protocol.acl": "hdfs,yarn,hadoop",
    "security.resourcetracker.protocol.acl": "yarn",
    "security.resourcemanager-administration.protocol.acl": "yarn,hadoop",
    "security.resourcelocalizer.protocol.acl": "*",
    "security.applicationclient.protocol.acl": "*",
    "security.applicationmaster.protocol.acl": "*",
    "security.containermanagement.protocol.acl": "*",
    "security.job.client.protocol.acl": "*",
    "security.job.task.protocol.acl": "*",
    "security.mrhs.client.protocol.acl": "*",
}
