"""`andromede hadoop …`: clusters for people, through the public API with the standard client's settings (`OS_CLOUD`, `clouds.yaml`).

Nothing here is known that the API does not tell: whoever can sign in anywhere can do the same with `openstack dataprocessing`.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from andromede.core.errors import CloudError
from andromede.run.hadoop_pages import Pages

SERVICE, VERSION = "data-processing", "2"
PLUGIN = {"plugin_name": "hadoop", "plugin_version": "3.5.0"}
MASTER, WORKER = ("namenode", "resourcemanager", "historyserver"), ("datanode", "nodemanager")
USER = "hadoop"
_LOOK, _DISK = 0.5, 8
_ENDED = ("SUCCEEDED", "FAILED", "KILLED")
_PAGES = {"HDFS": 9870, "YARN": 8088, "jobs": 19888}
TERASORT = """#!/bin/sh
# Writes, sorts and checks a million rows of a hundred bytes.
set -eu
jar=/usr/lib/hadoop/hadoop-mapreduce-examples.jar
hdfs dfs -rm -r -f -skipTrash /terasort
hadoop jar $jar teragen "${1:-1000000}" /terasort/in
hadoop jar $jar terasort /terasort/in /terasort/out
hadoop jar $jar teravalidate /terasort/out /terasort/report
hdfs dfs -cat /terasort/report/part-r-00000
"""
BUILT_IN = {"terasort": TERASORT}


class Processing:
    """Data Processing, as whoever is signed in. connection: of openstacksdk; made from the environment where none is given. Raises CloudError where
    that signs nobody in."""

    def __init__(self, connection: Any = None) -> None:
        try:
            import openstack
            from keystoneauth1.adapter import Adapter
            from keystoneauth1.exceptions import ClientException
            from openstack.exceptions import SDKException
        except ImportError as error:
            raise CloudError("The openstack client is not installed beside this program: pip install 'andromede[clients]'.") from error
        try:
            self.connection = connection or openstack.connect()
            self.connection.session.get_token()
        except (ClientException, SDKException) as error:
            raise CloudError(f"Nobody can be signed in by OS_CLOUD or clouds.yaml: {str(error).splitlines()[0]}") from error
        self._adapter = Adapter(self.connection.session, service_type=SERVICE, version=VERSION, region_name=self.connection.config.region_name)

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON that a call answers, None for none. Raises CloudError with what the service says."""
        more = {} if body is None else {"json": body}
        answer = self._adapter.request(path, method, raise_exc=False, **more)
        if answer.status_code >= 400:
            try:
                said = answer.json()["error_message"]
            except (ValueError, KeyError):
                said = f"{answer.status_code} {answer.reason}"
            raise CloudError(said, status=answer.status_code)
        return answer.json() if answer.content else None

    def page(self, path: str) -> tuple[int, Mapping[str, str], bytes]:
        """Whatever a call answers: status, headers, body."""
        answer = self._adapter.request(path, "GET", raise_exc=False, redirect=False, headers={"Accept": "*/*"})
        return answer.status_code, answer.headers, answer.content

    def cluster(self, name: str) -> dict[str, Any]:
        """A cluster by name or id, with its steps. Raises CloudError where there is none."""
        for one in self("GET", "/clusters")["clusters"]:
            if name in (one["name"], one["id"]):
                return dict(self("GET", f"/clusters/{one['id']}?show_progress=true")["cluster"])
        raise CloudError(f"There is no cluster {name}.", status=404)


def flavor(api: Processing, wanted: str, memory: int) -> str:
    """The id of a flavor by name or id; the smallest with so much memory (MiB) and a disk for a node where none is named. Raises CloudError."""
    flavors = list(api.connection.compute.flavors())
    if wanted:
        found = next((one for one in flavors if wanted in (one.id, one.name)), None)
        if found is None:
            raise CloudError(f"There is no flavor {wanted}.")
        return str(found.id)
    fitting = sorted((one for one in flavors if one.ram >= memory and one.disk >= _DISK), key=lambda one: (one.ram, one.vcpus, one.disk, one.name))
    if not fitting:
        raise CloudError(f"There is no flavor with {memory} MiB of memory and {_DISK} GiB of disk. Name one: --flavor.")
    return str(fitting[0].id)


def network(api: Processing, wanted: str) -> str | None:
    """The id of a network by name or id; None where none is named: then it is the project's only one. Raises CloudError."""
    if not wanted:
        return None
    found = api.connection.network.find_network(wanted)
    if found is None:
        raise CloudError(f"There is no network {wanted}.")
    return str(found.id)


def create(
    api: Processing, name: str, *, workers: int, master_flavor: str = "", worker_flavor: str = "", net: str = "", key: str = "", pool: str = "",
    image: str = "", volumes: int = 0, volume_size: int = 10, transient: bool = False, most: int = 0, out: Console | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Make a cluster of a master and some workers, and show how it comes to be; answers it once it is Active. Raises CloudError."""
    common: dict[str, Any] = {"volumes_per_node": volumes, "volumes_size": volume_size} if volumes else {}
    body: dict[str, Any] = {
        "name": name, **PLUGIN, "is_transient": transient, "neutron_management_network": network(api, net),
        "user_keypair_id": key or None, "default_image_id": image or None,
        "node_groups": [
            {"name": "master", "count": 1, "flavor_id": flavor(api, master_flavor, 2048), "node_processes": MASTER, "floating_ip_pool": pool or None},
            {"name": "worker", "count": workers, "flavor_id": flavor(api, worker_flavor, 2048), "node_processes": WORKER, **common},
        ],
    }  # fmt: skip
    if most:
        body["cluster_configs"] = {"Autoscaling": {"enabled": True, "node_group": "worker", "minimum": workers, "maximum": most}}
    made = api("POST", "/clusters", body)["cluster"]
    return watch(api, made["id"], out=out)


def watch(api: Processing, cluster_id: str, *, out: Console | None = None, seconds: float = 1800) -> dict[str, Any]:
    """Show the steps of a cluster until it is Active; answers it. Raises CloudError where it fails, or after so many seconds."""
    began = time.monotonic()
    with Live(console=out or Console(), refresh_per_second=4, transient=False) as live:
        while True:
            one: dict[str, Any] = api("GET", f"/clusters/{cluster_id}?show_progress=true")["cluster"]
            passed = time.monotonic() - began
            live.update(progress(one, passed), refresh=True)
            if one["status"] == "Active":
                return one
            if one["status"] == "Error":
                raise CloudError(f"The cluster {one['name']} failed: {one['status_description']}")
            if passed > seconds:
                raise CloudError(f"The cluster {one['name']} is still in {one['status']} after {passed:.0f} seconds.")
            time.sleep(_LOOK)


def progress(one: Mapping[str, Any], passed: float) -> Group:
    """The steps of a cluster, how many nodes have reached each, and when."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for step in one["provision_progress"]:
        mark = {True: "✓", False: "✗", None: "…"}[step["successful"]]
        good = sum(bool(event["successful"]) for event in step["events"])
        last = step["updated_at"] or step["created_at"]
        failed = next((event["event_info"] for event in step["events"] if not event["successful"]), None)
        table.add_row(mark, step["step_name"], f"{good}/{step['total']}", last.partition("T")[2], failed or "")
    nodes = sum(len(group["instances"]) for group in one["node_groups"])
    return Group(Text(f"{one['name']}: {one['status']}, {nodes} nodes, {passed:.1f} s"), table)


def listing(api: Processing, out: Console) -> None:
    """Show the clusters."""
    table = Table(box=None, pad_edge=False)
    for title in ("NAME", "STATUS", "NODES", "HEALTH", "ID"):
        table.add_column(title)
    for one in api("GET", "/clusters")["clusters"]:
        nodes = sum(len(group["instances"]) for group in one["node_groups"])
        table.add_row(one["name"], one["status"], str(nodes), (one["verification"] or {}).get("status", ""), one["id"])
    out.print(table)


def show(api: Processing, name: str, out: Console) -> None:
    """Show a cluster: its nodes, its health, where its pages are."""
    one = api.cluster(name)
    out.print(progress(one, 0) if one["status"] != "Active" else Text(f"{one['name']}: {one['status']}"))
    for group in one["node_groups"]:
        for node in group["instances"]:
            out.print(f"  {node['instance_name']:32} {node['internal_ip']:15} {', '.join(group['node_processes'])}")
    for check in (one["verification"] or {}).get("checks", []):
        out.print(f"  {check['status']:6} {check['name']}: {check['description']}")
    for service, places in one["info"].items():
        out.print(f"  {service}: " + ", ".join(f"{what} {where}" for what, where in places.items()))


def scale(api: Processing, name: str, workers: int, *, group: str = "worker", out: Console | None = None) -> dict[str, Any]:
    """Give a group of a cluster so many nodes; answers the cluster once it is whole again. Raises CloudError."""
    one = api.cluster(name)
    api("PUT", f"/clusters/{one['id']}", {"resize_node_groups": [{"name": group, "count": workers}]})
    return watch(api, one["id"], out=out)


def delete(api: Processing, name: str, *, force: bool = False, seconds: float = 120) -> float:
    """Delete a cluster; answers after how many seconds nothing of it was left. Raises CloudError."""
    one, began = api.cluster(name), time.monotonic()
    api("DELETE", f"/clusters/{one['id']}", {"force": force})
    while time.monotonic() - began < seconds:
        try:
            api("GET", f"/clusters/{one['id']}")
        except CloudError as error:
            if error.status == 404:
                return time.monotonic() - began
            raise
        time.sleep(0.2)
    raise CloudError(f"The cluster {name} is not gone after {seconds:.0f} seconds.")


def submit(
    api: Processing, name: str, program: str, args: Sequence[str], *, kind: str = "", main_class: str = "", source: str = "", target: str = "",
    libs: Sequence[str] = (), configs: Mapping[str, str] | None = None, tell: Callable[[str], None] = lambda _status: None,
) -> dict[str, Any]:  # fmt: skip
    """Run a program on a cluster, and wait for its end; answers the run. Raises CloudError.

    program: `terasort`, a file of this machine, or a URL of the store; kind: the type of job, chosen by the program's name where it is
    empty; source, target: URLs that it reads and writes.
    """
    one = api.cluster(name)
    kind = kind or _kind(program, main_class)
    stamp = f"{int(time.time() * 1000):x}"
    made: list[tuple[str, str]] = []

    def keep(path: str, key: str, **body: Any) -> str:
        found = api("POST", path, body)[key]
        made.append((path, found["id"]))
        return str(found["id"])

    try:
        urls = [_url(api, each, stamp) for each in (program, *libs)]
        binaries = [keep("/job-binaries", "job_binary", name=f"{stamp}-{at}-{url.rpartition('/')[2]}"[:80], url=url) for at, url in enumerate(urls)]
        as_libs = kind in ("MapReduce", "Java", "MapReduce.Streaming")
        programs = {"mains": [], "libs": binaries} if as_libs else {"mains": binaries[:1], "libs": binaries[1:]}
        template = keep("/job-templates", "job_template", name=f"job-{stamp}", type=kind, **programs)
        body: dict[str, Any] = {"cluster_id": one["id"], "job_template_id": template}
        for field, url in (("input_id", source), ("output_id", target)):
            if url:
                scheme = {"swift": "swift", "s3": "s3", "s3a": "s3"}.get(url.partition("://")[0], "hdfs")
                body[field] = keep("/data-sources", "data_source", name=f"{field[:-3]}-{stamp}", type=scheme, url=url)
        wanted = dict(configs or {}) | ({"edp.java.main_class": main_class} if main_class else {})
        body["job_configs"] = {"configs": wanted, "args": list(args)}
        run: dict[str, Any] = api("POST", "/jobs", body)["job"]
        return _followed(api, run["id"], tell)
    finally:
        _forget(api, made)


def _forget(api: Processing, made: Sequence[tuple[str, str]]) -> None:
    """Take away what was made for one run; what the run itself still needs stays with it."""
    for path, id_ in reversed(made):
        try:
            api("DELETE", f"{path}/{id_}")
        except CloudError as error:
            if error.status not in (400, 404):
                raise


def _kind(program: str, main_class: str) -> str:
    if program.endswith(".jar"):
        return "Java" if main_class else "MapReduce"
    return "Spark" if program.endswith(".py") else "Shell"


def _url(api: Processing, program: str, stamp: str) -> str:
    """Where a program is in the store; one of this machine is put there first."""
    if "://" in program:
        return program
    name, data = (program, BUILT_IN[program].encode()) if program in BUILT_IN else (Path(program).name, b"")
    if not data:
        try:
            data = Path(program).read_bytes()
        except OSError as error:
            raise CloudError(f"{program} cannot be read: {error.strerror}. It is neither a file nor one of {', '.join(BUILT_IN)}.") from error
    store = api.connection.object_store
    store.create_container("hadoop-programs")
    store.upload_object("hadoop-programs", f"{stamp}/{name}", data=data)
    return f"swift://hadoop-programs/{stamp}/{name}"


def _followed(api: Processing, id_: str, tell: Callable[[str], None]) -> dict[str, Any]:
    last = ""
    while True:
        run: dict[str, Any] = api("GET", f"/jobs/{id_}?refresh_status=true")["job"]
        if run["info"]["status"] != last:
            last = run["info"]["status"]
            tell(last)
        if last in _ENDED:
            return run
        time.sleep(_LOOK)


def tunnel(one: Mapping[str, Any], *, key: str = "", first: int = 9870) -> tuple[list[str], dict[str, str]]:
    """The ssh command that leads the pages of a cluster to this machine, and where they are then. Raises CloudError without a way in."""
    for group in one["node_groups"]:
        for node in group["instances"]:
            if node["management_ip"] != node["internal_ip"]:
                pages = dict(_PAGES)
                inside = {what: _inside(one, what, node["internal_ip"]) for what in pages}
                ways = [word for what, port in pages.items() for word in ("-L", f"127.0.0.1:{port - 9870 + first}:{inside[what]}:{port}")]
                command = ["ssh", "-N", "-o", "ExitOnForwardFailure=yes", *(["-i", key] if key else []), *ways, f"{USER}@{node['management_ip']}"]
                return command, {what: f"http://127.0.0.1:{port - 9870 + first}/" for what, port in pages.items()}
    raise CloudError(
        f"No node of {one['name']} has a floating address to come in by. Its pages are open to nobody outside; make it with --pool and --key."
    )


def _inside(one: Mapping[str, Any], what: str, otherwise: str) -> str:
    process = {"HDFS": "namenode", "YARN": "resourcemanager", "jobs": "historyserver"}[what]
    for group in one["node_groups"]:
        if process in group["node_processes"] and group["instances"]:
            return str(group["instances"][0]["internal_ip"])
    return otherwise


def ui(api: Processing, name: str, *, key: str = "", first: int = 9870, out: Console) -> int:
    """Lead the pages of a cluster to this machine until it is interrupted: through the cloud, or through ssh where there is a key; answers
    ssh's code. Raises CloudError where a port of this machine is taken."""
    if not key:
        return _ui(api, api.cluster(name)["id"], first=first, out=out)
    command, pages = tunnel(api.cluster(name), key=key, first=first)
    for what, where in pages.items():
        out.print(f"{what:5} {where}")
    out.print("They are there until you end this (Ctrl+C).")
    return subprocess.run(command, check=False).returncode


def _ui(api: Processing, cluster_id: str, *, first: int, out: Console) -> int:
    try:
        pages = Pages(api, cluster_id, first=first)
    except OSError as error:
        raise CloudError(f"The pages cannot be served at {first} and the ports that go with it: {error.strerror}. Name another: --port.") from error
    for what, where in pages.where.items():
        out.print(f"{what:5} {where}")
    out.print("They are there until you end this (Ctrl+C), for whoever uses this machine.")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        out.print()
    finally:
        pages.close()
    return 0


def signed_in(home: Path | None) -> Processing:
    """As the user of `OS_CLOUD`, or the first user of the cloud on this machine."""
    from andromede.run.home import Home

    name = Home.at(home).name
    os.environ["OS_CLOUD"] = name if home else os.environ.get("OS_CLOUD", name)
    return Processing()


def ended(run: Mapping[str, Any], out: Console) -> int:
    """Say how a run ended; the exit code that says the same."""
    out.print(f"{run['info']['status']} {run['info']['application_id'] or ''}".strip())
    if run["info"]["detail"]:
        sys.stderr.write(run["info"]["detail"].rstrip() + "\n")
    return 0 if run["info"]["status"] == "SUCCEEDED" else 1
