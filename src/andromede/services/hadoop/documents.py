"""What every node of a cluster is told through its metadata service: who is who, what to run, the settings, and to the master the jobs."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select, update

from andromede.core.context import Parts
from andromede.services.compute import service as compute
from andromede.services.hadoop import keeping, plugin
from andromede.services.hadoop.tables import cluster, job, node, node_group

TOPIC, NAME = "hadoop.clusters", "cluster"
_ROLES = ("namenode", "resourcemanager", "historyserver", "secondarynamenode")
LOGS = "hadoop-logs"


def touch(db: Connection, cluster_id: str) -> None:
    """Who belongs to the cluster, or its settings, have changed."""
    db.execute(update(cluster).where(cluster.c.id == cluster_id).values(generation=cluster.c.generation + 1))


def tell(db: Connection, parts: Parts, cluster_id: str) -> None:
    """Give the nodes of a cluster their documents, where those have changed. A cluster that is gone has nobody to tell."""
    row = db.execute(select(cluster).where(cluster.c.id == cluster_id)).mappings().first()
    if row is None:
        return
    groups = {one["id"]: one for one in db.execute(select(node_group).where(node_group.c.cluster_id == cluster_id)).mappings()}
    nodes = list(db.execute(select(node).where(node.c.cluster_id == cluster_id, ~node.c.lost).order_by(node.c.created, node.c.number)).mappings())
    volumes = compute.volumes_of(db, [one["server_id"] for one in nodes])
    common = _common(parts, row, groups, nodes)
    for one in nodes:
        disks = [where for _id, where, there in volumes.get(one["server_id"], []) if there]
        if len(disks) < len(one["volumes"]):
            continue  # it is not told to begin before it has what it keeps data on
        processes = groups[one["group_id"]]["facts"]["node_processes"]
        document = common | {
            "node": {
                "name": one["name"], "address": one["address"], "processes": processes, "vcpus": one["vcpus"], "memory_mb": one["ram"],
                "disks": disks,
            },
            "config": plugin.sites(row["facts"]["cluster_configs"], groups[one["group_id"]]["facts"]["node_configs"]),
            "jobs": _jobs(db, parts, cluster_id) if "resourcemanager" in processes else [],
        }  # fmt: skip
        compute.speak(db, parts, one["server_id"], TOPIC, {NAME: document})


def _common(parts: Parts, row: Any, groups: Mapping[str, Any], nodes: Sequence[Any]) -> dict[str, Any]:
    secret = keeping.unseal(parts, row["secret"])
    roles: dict[str, list[str]] = {role: [] for role in _ROLES}
    for one in nodes:
        for role in _ROLES:
            if role in groups[one["group_id"]]["facts"]["node_processes"]:
                roles[role].append(one["address"])
    logs = row["facts"]["cluster_configs"].get(plugin.GENERAL, {}).get(plugin.LOGS, True)
    return {
        "generation": row["generation"],
        "cluster": {"id": row["id"], "name": row["name"], "identity": row["identity"]},
        "roles": roles,
        "hosts": {one["address"]: one["name"] for one in nodes},
        "leaving": [one["address"] for one in nodes if one["leaving"]],
        "s3": {
            "endpoint": parts.guests_s3, "region": parts.settings.identity.region, "access_key": secret["access"], "secret_key": secret["secret"]
        },
        "secret": secret["shared"],
        "logs": f"s3a://{LOGS}/{row['name']}-{row['id'][:8]}" if logs else "",
        "stop": bool(row["deleting"]),
    }


def _jobs(db: Connection, parts: Parts, cluster_id: str) -> list[dict[str, Any]]:
    query = select(job.c.secret, job.c.cancel).where(job.c.cluster_id == cluster_id, job.c.ended.is_(None)).order_by(job.c.created, job.c.id)
    return [keeping.unseal(parts, row.secret) | {"cancel": row.cancel} for row in db.execute(query)]
