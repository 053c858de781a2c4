"""The one plugin, `hadoop`: what nodes can run, what can be set, which jobs there are. The image that fits it has its tags.

Everything here is about Apache Hadoop 3.5 as the image has it, with Spark on YARN.
"""

from collections.abc import Mapping
from typing import Any

from andromede.core.errors import NotFound
from andromede.services.hadoop.api import wrong

NAME, VERSION = "hadoop", "3.5.0"
TITLE = "Apache Hadoop"
DESCRIPTION = "Apache Hadoop: HDFS, YARN and MapReduce, with Spark on YARN, as servers of the project."
PROCESSES = {
    "HDFS": ["namenode", "secondarynamenode", "datanode"],
    "YARN": ["resourcemanager", "nodemanager"],
    "MapReduce": ["historyserver"],
    "Hadoop": [],
    "Spark": [],
    "Autoscaling": [],
}
KNOWN = frozenset(process for some in PROCESSES.values() for process in some)
WORKERS = frozenset({"datanode", "nodemanager"})
SITES = {"HDFS": "hdfs-site", "YARN": "yarn-site", "MapReduce": "mapred-site", "Hadoop": "core-site", "Spark": "spark"}
"""Where a service's settings go, by the names of the node program."""
GENERAL, AUTOSCALING = "general", "Autoscaling"
JOBS = ("MapReduce", "MapReduce.Streaming", "Java", "Spark", "Shell")
NOT_HERE = ("Pig", "Hive", "Storm", "Storm.Pyleus")
"""Types that Sahara knows: templates of them can be kept, and no cluster of this plugin runs them."""
_BOUNDS = {
    "namenode": (1, 1), "resourcemanager": (1, 1), "historyserver": (0, 1), "secondarynamenode": (0, 1), "datanode": (1, 0), "nodemanager": (1, 0),
}  # fmt: skip
HEAPS = {
    "NameNode Heap Size": "namenode_heap_mb", "SecondaryNameNode Heap Size": "secondarynamenode_heap_mb", "DataNode Heap Size": "datanode_heap_mb",
    "ResourceManager Heap Size": "resourcemanager_heap_mb", "NodeManager Heap Size": "nodemanager_heap_mb",
    "JobHistoryServer Heap Size": "historyserver_heap_mb",
}  # fmt: skip
IDLE, LOGS = "Transient Idle Seconds", "Keep Logs"
_AUTO = {"enabled": bool, "node_group": str, "minimum": int, "maximum": int, "pending_mb": int, "idle_seconds": int}


def _config(name: str, target: str, default: Any, description: str, *, scope: str = "node", priority: int = 2) -> dict[str, Any]:
    kind = "bool" if isinstance(default, bool) else "int" if isinstance(default, int) else "string"
    return {
        "name": name, "applicable_target": target, "scope": scope, "config_type": kind, "default_value": default, "is_optional": True,
        "priority": priority, "description": description,
    }  # fmt: skip


CONFIGS = [
    _config("dfs.replication", "HDFS", 3, "Copies of each block; no more than there are data nodes.", scope="cluster", priority=1),
    _config("dfs.blocksize", "HDFS", 134217728, "Bytes of a block.", scope="cluster"),
    _config("dfs.encrypt.data.transfer", "HDFS", False, "Encrypt what data nodes send.", scope="cluster"),
    _config("yarn.nodemanager.resource.memory-mb", "YARN", 1536, "Memory of a node that containers may have, in MiB.", priority=1),
    _config("yarn.nodemanager.resource.cpu-vcores", "YARN", 1, "Virtual cores of a node that containers may have.", priority=1),
    _config("yarn.scheduler.minimum-allocation-mb", "YARN", 128, "The smallest container, in MiB.", scope="cluster"),
    _config("yarn.scheduler.maximum-allocation-mb", "YARN", 1536, "The largest container, in MiB.", scope="cluster"),
    _config("mapreduce.map.memory.mb", "MapReduce", 256, "Memory of a map task, in MiB.", scope="cluster"),
    _config("mapreduce.reduce.memory.mb", "MapReduce", 256, "Memory of a reduce task, in MiB.", scope="cluster"),
    _config("fs.trash.interval", "Hadoop", 0, "Minutes that deleted files are kept.", scope="cluster"),
    _config("spark.executor.memory", "Spark", "512m", "Memory of an executor.", scope="cluster"),
    *(_config(name, "general", 0, "MiB; chosen by the node's memory when 0.") for name in HEAPS),
    _config(IDLE, GENERAL, 300, "Seconds without a job after which a transient cluster ends.", scope="cluster"),
    _config(LOGS, GENERAL, True, "Keep the logs of daemons and jobs in the container hadoop-logs.", scope="cluster"),
    _config("enabled", AUTOSCALING, False, "Let the cluster grow and shrink by YARN's pending memory.", scope="cluster"),
    _config("node_group", AUTOSCALING, "", "The group of workers that grows; the first one when empty.", scope="cluster"),
    _config("minimum", AUTOSCALING, 1, "Nodes that the group has at least.", scope="cluster"),
    _config("maximum", AUTOSCALING, 1, "Nodes that the group has at most.", scope="cluster"),
    _config("pending_mb", AUTOSCALING, 1, "Pending memory from which on a node is added, in MiB.", scope="cluster"),
    _config("idle_seconds", AUTOSCALING, 120, "Seconds without an application after which a node is taken away.", scope="cluster"),
]
_WORDS = {bool: "true or false", int: "a whole number of 0 or more", str: "a text"}
_HINTS = {
    "MapReduce": ["mapreduce.job.reduces", "mapreduce.map.memory.mb", "mapreduce.reduce.memory.mb"],
    "MapReduce.Streaming": ["edp.streaming.mapper", "edp.streaming.reducer", "mapreduce.job.reduces"],
    "Java": ["edp.java.main_class", "edp.java.adapt_for_oozie"],
    "Spark": ["edp.java.main_class", "spark.executor.memory", "spark.executor.cores", "spark.executor.instances"],
    "Shell": [],
}


def check(name: str, version: str) -> None:
    """Raise BadRequest for another plugin or version than there is."""
    if name != NAME:
        raise wrong(f"Sahara doesn't contain plugin with name '{name}'; this cloud has {NAME}.", "INVALID_REFERENCE")
    if version != VERSION:
        raise wrong(f"Requested plugin '{name}' doesn't support version '{version}'; it has {VERSION}.", "INVALID_REFERENCE")


def brief(*, new: bool) -> dict[str, Any]:
    """The plugin in a list. new: as v2 has it."""
    stable = {"plugin_labels": {"enabled": _label(True, "Plugin is enabled and can be used by user.")}}
    labels = {VERSION: {"enabled": _label(True, "Plugin version is enabled and can be used by user."), "stable": _label(True, "Stable.")}}
    del new
    return {"name": NAME, "title": TITLE, "description": DESCRIPTION, "versions": [VERSION], **stable, "version_labels": labels}


def _label(status: bool, description: str) -> dict[str, Any]:
    return {"description": description, "mutable": False, "status": status}


def full(*, new: bool) -> dict[str, Any]:
    """The plugin's one version, whole."""
    return brief(new=new) | {"required_image_tags": [NAME, VERSION], "node_processes": PROCESSES, "configs": CONFIGS}


def find(name: str, version: str | None = None) -> None:
    """Raise NotFound for another plugin or version."""
    if name != NAME or version not in (None, VERSION):
        what = name if version is None else f"{name} {version}"
        raise NotFound(f"Object '{what}' is not found: this cloud has the plugin {NAME} {VERSION}.")


def check_processes(processes: list[str]) -> None:
    """Raise BadRequest for an unknown process, or one that is named twice."""
    unknown = sorted(set(processes) - KNOWN)
    if unknown:
        raise wrong(f"node_processes: Plugin '{NAME}' doesn't support the following node processes: {unknown}", "INVALID_REFERENCE")
    if len(set(processes)) != len(processes):
        raise wrong("node_processes: Duplicates in node processes have been detected")


def check_counts(groups: list[tuple[list[str], int]]) -> None:
    """Raise BadRequest where a cluster of groups (processes, nodes) would lack something, or have too much of it."""
    for process, (least, most) in _BOUNDS.items():
        have = sum(count for processes, count in groups if process in processes)
        if have < least or (most and have > most):
            wanted = f"{least}" if least == most else f"0 or {most}" if most else f"{least} or more"
            raise wrong(
                f"Hadoop cluster should contain {wanted} {process} component(s). Actual {process} count is {have}", "INVALID_COMPONENT_COUNT"
            )


def check_configs(field: str, configs: Mapping[str, Any], *, cluster: bool) -> None:
    """Raise BadRequest for settings of what is not there, or that are no texts, numbers or truth values."""
    for target, values in configs.items():
        if target not in SITES and target != GENERAL and not (cluster and target == AUTOSCALING):
            raise wrong(f"{field}: Plugin doesn't contain applicable target '{target}'", "INVALID_REFERENCE")
        if not isinstance(values, dict):
            raise wrong(f"{field}.{target}: it must be an object of settings by name.")
        for name, value in values.items():
            if not isinstance(value, str | int | float | bool):
                raise wrong(f"{field}.{target}.{name}: it must be a text, a number or a truth value.")
            if target == GENERAL and name not in HEAPS and name not in (IDLE, LOGS):
                raise wrong(f"{field}: Plugin's applicable target '{target}' doesn't contain config with name '{name}'", "INVALID_REFERENCE")
    for name, value in configs.get(GENERAL, {}).items():
        if name != LOGS and not (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1 << 20):
            raise wrong(f"{field}.{GENERAL}.{name}: it must be a whole number of 0 or more.")
        if name == LOGS and not isinstance(value, bool):
            raise wrong(f"{field}.{GENERAL}.{name}: it must be true or false.")
    for name, value in configs.get(AUTOSCALING, {}).items():
        kind = _AUTO.get(name)
        if kind is None:
            raise wrong(f"{field}: Plugin's applicable target '{AUTOSCALING}' doesn't contain config with name '{name}'", "INVALID_REFERENCE")
        if type(value) is not kind or (isinstance(value, int) and not 0 <= value <= 100000):
            raise wrong(f"{field}.{AUTOSCALING}.{name}: it must be {_WORDS[kind]}.")


def sites(*several: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Settings by the node program's names, of the cluster's and then the group's, which win."""
    out: dict[str, dict[str, Any]] = {}
    for configs in several:
        for target, values in configs.items():
            if target in SITES:
                out.setdefault(SITES[target], {}).update({name: _text(value) for name, value in values.items()})
            elif target == GENERAL:
                heaps = {HEAPS[name]: value for name, value in values.items() if name in HEAPS and value}
                out.setdefault("env", {}).update(heaps)
    return {name: values for name, values in out.items() if values}


def _text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def hints(kind: str) -> dict[str, Any]:
    """What can be set for a type of job. Raises NotFound."""
    if kind not in JOBS:
        raise NotFound(f"Object '{kind}' is not found: there is no such type of job here.")
    configs = [{"name": name, "value": "", "description": ""} for name in _HINTS[kind]]
    interface = {"job_config": {"configs": configs, "args": [], "params": {}}}
    if kind in ("Java", "Spark", "Shell"):
        return interface
    return interface
