"""How HDFS and YARN are, by what the NameNode and the ResourceManager say over HTTP on this node's own address."""

import http.client
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

TIMEOUT = 3.0


def ask(address: str, port: int, path: str, method: str = "GET", body: Any = None) -> Any:
    """The JSON that a web interface answers with. Errors: OSError where there is no answer or another one."""
    connection = http.client.HTTPConnection(address, port, timeout=TIMEOUT)
    try:
        sent = None if body is None else json.dumps(body).encode()
        connection.request(method, path, sent, {"Content-Type": "application/json"} if sent else {})
        answer = connection.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise OSError(f"{path.partition('?')[0]} answered {answer.status}")
        return json.loads(content) if content else {}
    except (http.client.HTTPException, ValueError) as error:
        raise OSError(f"{path.partition('?')[0]}: {error!r}") from error
    finally:
        connection.close()


def hdfs(address: str, hosts: Mapping[str, str]) -> dict[str, Any]:
    """What the state says of HDFS; hosts: address to name, of the cluster as it is now. Errors: OSError."""
    return of_namenode(ask(address, 9870, "/jmx?qry=Hadoop:service=NameNode,name=*&user.name=hdfs"), hosts)


def of_namenode(said: Mapping[str, Any], hosts: Mapping[str, str]) -> dict[str, Any]:
    """The state's part of what the NameNode's beans say. It never forgets a node that it knew; the dead are those who should be there."""
    beans = {bean["name"].rpartition("name=")[2]: bean for bean in said.get("beans", ())}
    system, state, about = (beans.get(name, {}) for name in ("FSNamesystem", "FSNamesystemState", "NameNodeInfo"))
    if "FSState" not in state:
        raise OSError("the NameNode does not say how it is yet")
    live: dict[str, Any] = json.loads(about.get("LiveNodes") or "{}")
    dead: dict[str, Any] = json.loads(about.get("DeadNodes") or "{}")
    left = [node for node in live.values() if node.get("adminState") == "Decommissioned"]
    going = [node for node in live.values() if node.get("adminState") == "Decommission In Progress"]
    return {
        "safe_mode": state["FSState"] != "Operational",
        "live": int(state.get("NumLiveDataNodes", 0)) - len(left),
        "dead": sum(1 for node in dead.values() if not node.get("decommissioned") and _address(node) in hosts),
        "leaving": sorted(_address(node) for node in going),
        "left": sorted([_address(node) for node in left] + [_address(node) for node in dead.values() if node.get("decommissioned")]),
        "missing_blocks": int(system.get("MissingBlocks", 0)),
        "under_replicated": int(state.get("UnderReplicatedBlocks", 0)),
        "capacity": int(state.get("CapacityTotal", 0)),
        "used": int(state.get("CapacityUsed", 0)),
    }


def _address(node: Mapping[str, Any]) -> str:
    return str(node.get("xferaddr", "")).rpartition(":")[0]


def yarn(address: str, hosts: Mapping[str, str]) -> dict[str, Any]:
    """What the state says of YARN; hosts: address to name. Errors: OSError."""
    metrics = ask(address, 8088, "/ws/v1/cluster/metrics?user.name=yarn")["clusterMetrics"]
    nodes = ask(address, 8088, "/ws/v1/cluster/nodes?user.name=yarn")["nodes"] or {}
    return of_resourcemanager(metrics, nodes.get("node") or [], hosts)


def of_resourcemanager(metrics: Mapping[str, Any], nodes: list[Mapping[str, Any]], hosts: Mapping[str, str]) -> dict[str, Any]:
    """The state's part of what the ResourceManager says. It calls a node that it knows of its list alone by the name of its address.

    The lost are those who should be there, as for HDFS.
    """
    addresses = {name: address for address, name in hosts.items()}
    lost = {str(node.get("nodeHostName", "")) for node in nodes if node.get("state") == "LOST"}
    left = {str(node.get("nodeHostName", "")) for node in nodes if node.get("state") == "DECOMMISSIONED"}
    return {
        "running": int(metrics.get("activeNodes", 0)),
        "lost": sum(1 for name in lost if addresses.get(name, name) in hosts),
        "left": sorted({addresses.get(name, name) for name in left}),
        "pending_mb": int(metrics.get("pendingMB", 0)),
        "available_mb": int(metrics.get("availableMB", 0)),
        "apps_running": int(metrics.get("appsRunning", 0)),
    }


STANDING = (
    # path, owner, group, mode
    ("/tmp", "hdfs", "supergroup", "1777"),  # noqa: S108 - of HDFS
    ("/user", "hdfs", "supergroup", "755"),
    ("/user/hadoop", "hadoop", "hadoop", "755"),
    ("/mr-history", "mapred", "hadoop", "755"),
    ("/mr-history/tmp", "mapred", "hadoop", "1777"),
    ("/mr-history/done", "mapred", "hadoop", "750"),
    ("/spark-history", "hadoop", "hadoop", "1777"),
)


def furnish(address: str) -> None:
    """Have the folders that every cluster has, with their owners. May be repeated. Errors: OSError."""
    for path, owner, group, mode in STANDING:
        base = f"/webhdfs/v1{path}?user.name=hdfs"
        ask(address, 9870, f"{base}&op=MKDIRS&permission={mode}", "PUT")
        ask(address, 9870, f"{base}&op=SETPERMISSION&permission={mode}", "PUT")
        ask(address, 9870, f"{base}&op=SETOWNER&owner={owner}&group={group}", "PUT")


def thin(address: str, most: int) -> int:
    """Have every file keep no more than `most` copies of its blocks: HDFS lets no node go while files want more than those that stay can
    hold. Answers how many files there were to tell of. Errors: OSError."""
    told = 0
    folders = ["/"]
    while folders:
        folder = folders.pop()
        for one in _listing(address, folder):
            path = f"{folder.rstrip('/')}/{one['pathSuffix']}"
            if one["type"] == "DIRECTORY":
                folders.append(path)
            elif one["type"] == "FILE" and one["replication"] > most:
                ask(address, 9870, f"/webhdfs/v1{quote(path)}?user.name=hdfs&op=SETREPLICATION&replication={most}", "PUT")
                told += 1
    return told


def _listing(address: str, folder: str) -> Iterator[Mapping[str, Any]]:
    after = ""
    while True:
        more = f"&startAfter={quote(after, safe='')}" if after else ""
        said = ask(address, 9870, f"/webhdfs/v1{quote(folder)}?user.name=hdfs&op=LISTSTATUS_BATCH{more}")["DirectoryListing"]
        found = said["partialListing"]["FileStatuses"]["FileStatus"]
        yield from found
        if not found or not said["remainingEntries"]:
            return
        after = found[-1]["pathSuffix"]
