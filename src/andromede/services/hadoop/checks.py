"""Whether a cluster is healthy, by what its nodes said last. Source: Sahara's health checks: GREEN, YELLOW, RED."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from andromede.core.clock import now
from andromede.core.ids import new_id
from andromede.services.compute import service as compute
from andromede.services.hadoop import nodes
from andromede.services.hadoop.api import moment
from andromede.services.hadoop.states import Hdfs, Yarn, kept, read

SILENT = timedelta(seconds=40)
"""A node that runs says something every ten seconds at least; one that was not heard for so long is lost."""
GREEN, YELLOW, RED = "GREEN", "YELLOW", "RED"
_ORDER = (GREEN, YELLOW, RED)


def run(db: Connection, row: Any) -> dict[str, Any]:
    """The verification of a cluster as its row keeps it: a status, and the checks it comes from."""
    members = [one for one in nodes.of(db, row["id"]) if not one["lost"]]
    heard = compute.heard(db, [one["server_id"] for one in members])
    found = []
    silent, failed, hdfs, yarn = [], [], None, None
    for one in members:
        said = heard.get(one["server_id"])
        state = read(said.state) if said else None
        if state is None or said is None or said.heard is None or said.heard < now() - SILENT:
            silent.append(one["name"])
            continue
        if state.failed:
            failed.append(f"{one['name']} ({state.failed})")
        hdfs, yarn = state.hdfs or hdfs, state.yarn or yarn
    found.append(_check("Nodes", _of_nodes(silent, failed)))
    found.append(_check("HDFS", _of_hdfs(hdfs)))
    found.append(_check("YARN", _of_yarn(yarn)))
    status = max((one["status"] for one in found), key=_ORDER.index)
    return {"id": new_id(), "cluster_id": row["id"], "status": status, "checks": found, "created_at": moment(now()), "updated_at": moment(now())}


def seen(db: Connection, members: Sequence[Any]) -> dict[str, Any]:
    """What the masters among these nodes said of HDFS and YARN last. It is read from what they say each time, and kept nowhere else."""
    heard = compute.heard(db, [one["server_id"] for one in members if not one["lost"]])
    out: dict[str, Any] = {}
    for one in heard.values():
        state = read(one.state)
        if state is not None:
            out |= {name: kept(value) for name, value in (("hdfs", state.hdfs), ("yarn", state.yarn)) if value is not None}
    return out


def _check(name: str, outcome: tuple[str, str]) -> dict[str, Any]:
    status, description = outcome
    return {"id": new_id(), "name": name, "status": status, "description": description, "created_at": moment(now()), "updated_at": moment(now())}


def _of_nodes(silent: list[str], failed: list[str]) -> tuple[str, str]:
    if silent or failed:
        parts = ([f"not heard of: {', '.join(silent)}"] if silent else []) + ([f"failed: {', '.join(failed)}"] if failed else [])
        return RED, "; ".join(parts)
    return GREEN, "every node answers and runs its daemons"


def _of_hdfs(hdfs: Hdfs | None) -> tuple[str, str]:
    if hdfs is None:
        return RED, "the name node says nothing"
    text = (
        f"{hdfs.live} data nodes live, {hdfs.dead} dead; {hdfs.missing_blocks} blocks missing, {hdfs.under_replicated} with too few copies; "
        f"{hdfs.used} of {hdfs.capacity} bytes used"
    )
    if hdfs.missing_blocks or not hdfs.live:
        return RED, text
    return (YELLOW if hdfs.dead or hdfs.under_replicated or hdfs.safe_mode else GREEN), text + (", in safe mode" if hdfs.safe_mode else "")


def _of_yarn(yarn: Yarn | None) -> tuple[str, str]:
    if yarn is None:
        return RED, "the resource manager says nothing"
    text = f"{yarn.running} node managers running, {yarn.lost} lost; {yarn.apps_running} applications, {yarn.pending_mb} MB waited for"
    return (RED if not yarn.running else YELLOW if yarn.lost else GREEN), text
