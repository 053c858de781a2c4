"""How far a cluster has come, step by step with times, as people are shown it (`show_progress`)."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from andromede.core.clock import now
from andromede.core.context import Context
from andromede.core.ids import new_id
from andromede.services.hadoop.api import moment, project
from andromede.services.hadoop.tables import step

CREATE, SCALE, REPLACE = "Engine: create cluster", "Engine: scale cluster", "Engine: replace lost nodes"
SERVERS, ANSWERS, DAEMONS, WHOLE, LEAVE = (
    "Run instances", "Wait for instances to answer", "Start the daemons", "Wait until the cluster is whole", "Decommission nodes",
)  # fmt: skip
_KEPT = 40


def begin(db: Connection, cluster_id: str, kind: str, names: Mapping[str, int]) -> None:
    """New steps that must all be reached: how many nodes (or one thing) by the step's name. Old ones are forgotten after some dozens."""
    last = db.scalar(select(func.max(step.c.place)).where(step.c.cluster_id == cluster_id)) or 0
    for number, (name, total) in enumerate(names.items(), 1):
        values = {"id": new_id(), "cluster_id": cluster_id, "type": kind, "name": name, "place": last + number, "total": total}
        db.execute(insert(step).values(**values, successful=None, events=[], created=now()))
    db.execute(delete(step).where(step.c.cluster_id == cluster_id, step.c.place <= last + len(names) - _KEPT))


def reach(db: Connection, cluster_id: str, name: str, who: Mapping[str, Mapping[str, Any]]) -> None:
    """These nodes (by id: `name`, `group`) have come so far; the open step of that name ends when all have that it is about."""
    rows = db.execute(select(step).where(step.c.cluster_id == cluster_id, step.c.name == name).order_by(step.c.place)).all()
    row = next((one for one in rows if one.successful is None), None)
    if row is None:
        return
    known = {event["instance_id"] for one in rows for event in one.events if one.id == row.id or name != WHOLE}
    fresh = [_event(row.id, id_, facts, successful=True) for id_, facts in who.items() if id_ not in known]
    if not fresh and len(row.events) < row.total:
        return
    events = [*row.events, *fresh]
    done = len(events) >= row.total
    db.execute(update(step).where(step.c.id == row.id).values(events=events, successful=True if done else None, updated=now()))


def fail(db: Connection, cluster_id: str, why: str, *, node_id: str = "", name: str = "", group: str = "") -> None:
    """What is under way has failed."""
    row = db.execute(select(step).where(step.c.cluster_id == cluster_id, step.c.successful.is_(None)).order_by(step.c.place)).first()
    if row is not None:
        event = _event(row.id, node_id, {"name": name, "group": group}, successful=False, info=why)
        db.execute(update(step).where(step.c.id == row.id).values(events=[*row.events, event], successful=False, updated=now()))
    db.execute(delete(step).where(step.c.cluster_id == cluster_id, step.c.successful.is_(None)))


def end(db: Connection, cluster_id: str) -> None:
    """Everything under way is done, or needs no more doing."""
    db.execute(update(step).where(step.c.cluster_id == cluster_id, step.c.successful.is_(None)).values(successful=True, updated=now()))


def _event(step_id: str, node_id: str, facts: Mapping[str, Any], *, successful: bool, info: str | None = None) -> dict[str, Any]:
    return {
        "id": new_id(), "step_id": step_id, "instance_id": node_id or None, "instance_name": facts.get("name") or None,
        "node_group_id": facts.get("group") or None, "successful": successful, "event_info": info, "created_at": moment(now()), "updated_at": None,
    }  # fmt: skip


def shown(ctx: Context, cluster_id: str, project_id: str, *, events: bool) -> list[dict[str, Any]]:
    """The steps of a cluster, with or without who reached them when."""
    rows = ctx.db.execute(select(step).where(step.c.cluster_id == cluster_id).order_by(step.c.place)).mappings()
    return [
        {
            "id": row["id"], "cluster_id": cluster_id, "step_type": row["type"], "step_name": row["name"], "total": row["total"],
            "successful": row["successful"], "created_at": moment(row["created"]), "updated_at": moment(row["updated"]),
            "events": row["events"] if events else [], **project(ctx, project_id),
        }
        for row in rows
    ]  # fmt: skip
