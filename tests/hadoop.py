"""Hadoop clusters for the tests: their image, and nodes that say what the program in it would, through the agents.

What it proves is our side of the contract: that nodes are told who is who and what to do, and that what they say is believed.
"""

import asyncio
import threading
import time
from datetime import UTC, datetime

import msgspec

from andromede.agent.metadata import STATE, Posted
from tests.api.images import active
from tests.cloud import Cloud
from tests.waiting import until

__all__ = ["CLUSTER", "MASTER", "V1", "V2", "WORKER", "Held", "Nodes", "active", "until"]

CLUSTER = "openstack/latest/andromede/cluster"
V1, V2 = "/data-processing/v1.1", "/data-processing/v2"
MASTER = ["namenode", "resourcemanager", "historyserver"]
WORKER = ["datanode", "nodemanager"]


def image(cloud: Cloud) -> str:
    """The id of an image that everybody has and that is the plugin's by its tags."""
    made = active(cloud.admin, b"BOOT" + b"\0" * 65532, visibility="public", name="hadoop", tags=["hadoop", "3.5.0"])
    return made["id"]


def groups(workers: int = 2, **more) -> list[dict]:
    """One master and some workers."""
    return [
        {"name": "master", "flavor_id": "1", "node_processes": MASTER, "count": 1},
        {"name": "worker", "flavor_id": "1", "node_processes": WORKER, "count": workers, **more},
    ]


def wanted(name: str = "demo", workers: int = 2, version: str = "hadoop_version", **more) -> dict:
    """The body of a cluster to be made."""
    return {"name": name, "plugin_name": "hadoop", version: "3.5.0", "node_groups": groups(workers), **more}


class Held(dict):
    """What becomes of every job that is not told of otherwise."""

    def __init__(self, state: str = "PENDING") -> None:
        super().__init__()
        self.state = state

    def get(self, key, default=None):
        return super().get(key, self.state)


class Nodes:
    """The programs in the nodes of all clusters of a cloud in this process. They run on a thread, and follow their documents.

    `mute` and `failing` name nodes that say nothing and that cannot start; `pending`: memory that YARN waits for; `jobs`: what is to become
    of jobs, by id (`SUCCEEDED` where nothing is said); `safe`: whether HDFS stays in safe mode; `beat`: whether nodes speak twice a second.
    """

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.mute: set[str] = set()
        self.beat = False
        self.failing: set[str] = set()
        self.jobs: dict[str, str] = {}
        self.pending, self.safe, self.running = 0, False, 0
        self.documents: dict[str, dict] = {}
        self._last: dict[str, tuple[bytes, float]] = {}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.cloud.start()
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ending.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._ending.wait(0.05):
            asyncio.run_coroutine_threadsafe(self._round(), self.cloud.hosts._loop).result(30)

    async def _round(self) -> None:
        told = {}
        for host, loop in self.cloud.hosts._loops.items():
            for wish in list(loop._wishes.values()):
                seen = loop._seen.get(wish.id)
                if CLUSTER in wish.private and seen is not None and str(seen.state) == "running":
                    told[wish.id] = (host, wish, msgspec.json.decode(wish.private[CLUSTER]))
        self.documents = {document["node"]["name"]: document for _host, _wish, document in told.values()}
        alive = {document["node"]["address"]: document for _host, _wish, document in told.values() if document["node"]["name"] not in self.mute}
        for id_, (host, wish, document) in told.items():
            if document["node"]["name"] in self.mute:
                continue
            data = msgspec.json.encode(self.state(document, alive))
            loop = self.cloud.hosts._loops[host]
            before, at = self._last.get(id_, (b"", 0.0))
            if before != data or time.monotonic() - at > (0.5 if self.beat else 8.0):
                self._last[id_] = data, time.monotonic()
                loop.hear(Posted(wish.nics[0].network_id, wish.nics[0].addresses[0], data, STATE))
                await loop._tell()

    def state(self, document: dict, alive: dict[str, dict]) -> dict:
        """What a node says."""
        node = document["node"]
        if node["name"] in self.failing:
            daemons = {name: {"state": "failed", "seconds": 1.0, "rss_mb": 0, "detail": "no room"} for name in node["processes"]}
            return {"generation": document["generation"], "boot": "b", "phase": "failed", "detail": "", "daemons": daemons}
        phase = "stopped" if document["stop"] else "running"
        out = {
            "generation": document["generation"], "boot": "b", "phase": phase, "detail": "",
            "daemons": {name: {"state": "running", "seconds": 2.5, "rss_mb": 150, "detail": ""} for name in node["processes"]},
        }  # fmt: skip
        mine = {address: one for address, one in alive.items() if one["cluster"]["id"] == document["cluster"]["id"]}
        data = [address for address, one in mine.items() if "datanode" in one["node"]["processes"] and address not in document["leaving"]]
        if "namenode" in node["processes"]:
            out["hdfs"] = {
                "safe_mode": self.safe, "live": len(data), "dead": 0, "leaving": [], "left": document["leaving"], "missing_blocks": 0,
                "under_replicated": 0, "capacity": 1 << 30, "used": 4096,
            }  # fmt: skip
        if "resourcemanager" in node["processes"]:
            out["yarn"] = {
                "running": len(data), "lost": 0, "left": document["leaving"], "pending_mb": self.pending, "available_mb": 512,
                "apps_running": self.running,
            }  # fmt: skip
            out["jobs"] = {order["id"]: self.ran(order) for order in document["jobs"]}
        return out

    def ran(self, order: dict) -> dict:
        """What became of a job."""
        state = "KILLED" if order["cancel"] else self.jobs.get(order["id"], "SUCCEEDED")
        ended = datetime(2026, 1, 1, tzinfo=UTC).isoformat() if state in ("SUCCEEDED", "FAILED", "KILLED") else ""
        return {"state": state, "detail": "", "application_id": f"application_1_{order['id'][:4]}", "started": ended, "ended": ended}


def status(cloud: Cloud, id_: str, wanted_: str, *, seconds: float = 20, client=None) -> dict:
    """A cluster, once it is in a status."""
    last: list = []

    def look():
        last[:] = [(client or cloud.user).get(f"{V1}/clusters/{id_}?show_progress=true").json["cluster"]]
        return last[0] if last[0]["status"] == wanted_ else None

    try:
        return until(look, seconds)
    except AssertionError as error:
        raise AssertionError(f"{last[0]['status']}: {last[0]['status_description']} {last[0]['provision_progress']}") from error


def gone(cloud: Cloud, id_: str, *, seconds: float = 20) -> None:
    """Wait until a cluster is gone."""
    until(lambda: cloud.user.get(f"{V1}/clusters/{id_}").status == 404, seconds)


def left(cloud: Cloud) -> list:
    """Everything of a cluster's that is there: servers, ports of servers, groups, keys, addresses, volumes."""
    user = cloud.id_of("users", "demo")
    groups_ = cloud.user.get("/network/v2.0/security-groups").json["security_groups"]
    return [
        *cloud.user.get("/compute/v2.1/servers").json["servers"],
        *(one for one in cloud.user.get("/network/v2.0/ports").json["ports"] if one["device_owner"].startswith("compute:")),
        *(one["name"] for one in groups_ if one["name"] != "default"),
        *cloud.user.get("/compute/v2.1/os-server-groups").json["server_groups"],
        *cloud.user.get(f"/identity/v3/users/{user}/credentials/OS-EC2").json["credentials"],
        *cloud.user.get("/network/v2.0/floatingips").json["floatingips"],
        *cloud.user.get("/volume/v3/volumes").json["volumes"],
    ]
