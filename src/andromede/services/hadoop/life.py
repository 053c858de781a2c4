"""What clusters do by themselves once they are whole: end when they are not needed any more, grow and shrink with what YARN waits for."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import select, update

from andromede.core.clock import now
from andromede.core.context import Context
from andromede.services.hadoop import clusters, plugin
from andromede.services.hadoop.tables import cluster, job, node_group

if TYPE_CHECKING:
    from andromede.services.hadoop.reconcile import Member

log = structlog.get_logger("hadoop")
_IDLE = 300
_REST = timedelta(seconds=20)
"""Between two changes of a cluster's size by itself."""


def replaceable(processes: Sequence[str]) -> bool:
    """Whether a node that runs these can be replaced by another: a worker, of which the masters lose nothing."""
    return set(processes) <= plugin.WORKERS


def look(ctx: Context, row: Any, members: "Sequence[Member]", status: str) -> dict[str, Any]:
    """What a cluster's row is to be after a look at what it has to do; begins to end it, or to change its size, where that is due."""
    if status != clusters.ACTIVE:
        return {}
    live = ctx.db.execute(select(job.c.id).where(job.c.cluster_id == row["id"], job.c.ended.is_(None)).limit(1)).first() is not None
    yarn = next((one.state.yarn for one in members if one.state is not None and one.state.yarn is not None), None)
    busy = live or (yarn is not None and (yarn.apps_running > 0 or yarn.pending_mb > 0))
    idle_since = None if busy else row["idle_since"] or now()
    general = row["facts"]["cluster_configs"].get(plugin.GENERAL, {})
    if row["is_transient"] and idle_since is not None:
        ran = ctx.db.execute(select(job.c.id).where(job.c.cluster_id == row["id"]).limit(1)).first() is not None
        if ran or idle_since < now() - timedelta(seconds=general.get(plugin.IDLE, _IDLE)):
            log.info("a transient cluster has nothing left to do", cluster=row["id"])
            clusters.end(ctx.db, row, now() + clusters.GRACE)
            ctx.parts.operations.signal(ctx.db, "hadoop.clusters")
            return {"status": clusters.DELETING, "idle_since": idle_since}
    if yarn is not None:
        grown = _autoscale(ctx, row, yarn.pending_mb, idle_since)
        if grown:
            return grown
    return {"idle_since": idle_since}


def _autoscale(ctx: Context, row: Any, pending: int, idle_since: Any) -> dict[str, Any]:
    wanted = row["facts"]["cluster_configs"].get(plugin.AUTOSCALING, {})
    if not wanted.get("enabled") or (row["scaled"] is not None and row["scaled"] > now() - _REST):
        return {}
    groups = [one for one in clusters.groups_of(ctx.db, row["id"]) if replaceable(one["facts"]["node_processes"])]
    group = next((one for one in groups if one["name"] == wanted.get("node_group")), groups[0] if groups and not wanted.get("node_group") else None)
    if group is None:
        return {}
    count, least = group["wanted"], max(wanted.get("minimum", 1), 1)
    most = max(wanted.get("maximum", least), least)
    if pending >= max(wanted.get("pending_mb", 1), 1) and count < most:
        count += 1
    elif idle_since is not None and idle_since < now() - timedelta(seconds=wanted.get("idle_seconds", 120)) and count > least:
        count -= 1
    else:
        return {}
    log.info("a cluster changes its size", cluster=row["id"], group=group["name"], nodes=count, pending_mb=pending)
    ctx.db.execute(update(node_group).where(node_group.c.id == group["id"]).values(wanted=count, updated=now()))
    ctx.db.execute(update(cluster).where(cluster.c.id == row["id"]).values(scaled=now()))
    clusters.resize(ctx, row["id"])
    status = "Adding Instances" if count > group["wanted"] else "Decommissioning"
    return {"status": status, "scaled": now(), "idle_since": None}
