"""Routes of what others tell Compute, and of what it tells operators about itself.

Source: Compute API v2.1, "Create external events", "Server usage audit log".
"""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import func, select

from andromede.core.clock import now, parse
from andromede.core.context import Context
from andromede.core.errors import BadRequest, NotFound
from andromede.http.policy import Level, Policy
from andromede.http.response import Response
from andromede.http.wire import Body
from andromede.services.compute import hosts
from andromede.services.compute.api import admin, api
from andromede.services.compute.tables import host, server

_KNOWN = {
    "network-changed": (2, 1), "network-vif-plugged": (2, 1), "network-vif-unplugged": (2, 1), "network-vif-deleted": (2, 1),
    "volume-extended": (2, 51), "power-update": (2, 76), "accelerator-request-bound": (2, 82), "volume-reimaged": (2, 93),
}  # fmt: skip
_UUID = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$")]


class Event(msgspec.Struct, forbid_unknown_fields=True):
    """One event."""

    name: str
    server_uuid: _UUID
    status: Literal["failed", "completed", "in-progress"] | UnsetType = UNSET
    tag: Annotated[str, msgspec.Meta(max_length=255)] | UnsetType = UNSET


class Events(Body):
    """`POST /os-server-external-events`."""

    events: Annotated[list[Event], msgspec.Meta(min_length=1)]


@api.post("/os-server-external-events", status=200, policy=Policy("compute:os-server-external-events:create", Level.SERVICE))
def create_events(ctx: Context, body: Events) -> Response:
    """Look again at the servers named: what their ports and disks are is read from the services that own them.

    207 where some servers are not there or have no host yet, each with its own code; 404 where none is there.
    """
    ids = {event.server_uuid for event in body.events}
    known = {row.id: row.host for row in ctx.db.execute(select(server.c.id, server.c.host).where(server.c.id.in_(ids), server.c.deleted.is_(None)))}
    out = []
    for event in body.events:
        first = _KNOWN.get(event.name)
        if first is None or ctx.version < first:
            raise BadRequest(f"Invalid input for field/attribute name. Value: {event.name}. It is not an event of this version.")
        code = 404 if event.server_uuid not in known else 200 if known[event.server_uuid] else 422
        status = "completed" if event.status is UNSET else event.status
        told: dict[str, Any] = {"name": event.name, "server_uuid": event.server_uuid, "status": "failed" if code != 200 else status, "code": code}
        out.append(told if event.tag is UNSET else told | {"tag": event.tag})
    if not known:
        raise NotFound("No instances found for any event")
    hosts.changed(ctx.db, ctx.parts.operations, *{name for name in known.values() if name})
    ctx.parts.operations.hurry(ctx.db, *known)
    return Response({"events": out}, status=200 if all(one["code"] == 200 for one in out) else 207)


def _audit(ctx: Context, before: datetime) -> dict[str, Any]:
    """Servers are accounted for as they change here, by no task that runs from time to time: every host is done always."""
    end = before.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    begin = (end - timedelta(days=1)).replace(day=1)
    counted = select(server.c.host, func.count().label("number")).where(server.c.created < end, server.c.host.is_not(None)).group_by(server.c.host)
    counts = {row.host: row.number for row in ctx.db.execute(counted)}
    names = list(ctx.db.scalars(select(host.c.name).order_by(host.c.name)))
    log = {
        name: {"state": "DONE", "instances": number, "errors": 0, "message": f"{number} servers, 0 errors."}
        for name, number in ((name, counts.get(name, 0)) for name in names)
    }
    return {
        "period_beginning": begin.strftime("%Y-%m-%d %H:%M:%S"), "period_ending": end.strftime("%Y-%m-%d %H:%M:%S"), "num_hosts": len(names),
        "num_hosts_done": len(names), "num_hosts_running": 0, "num_hosts_not_run": 0, "hosts_not_run": [],
        "total_instances": sum(counts.values()), "total_errors": 0, "overall_status": "ALL hosts done. 0 errors.", "log": log,
    }  # fmt: skip


@api.get("/os-instance_usage_audit_log", policy=admin("os-instance-usage-audit-log:list"))
def list_audit_log(ctx: Context) -> dict[str, Any]:
    """How the last month's accounts were made."""
    return {"instance_usage_audit_logs": _audit(ctx, now())}


@api.get("/os-instance_usage_audit_log/{before}", policy=admin("os-instance-usage-audit-log:show"))
def show_audit_log(ctx: Context, before: str) -> dict[str, Any]:
    """The same for the month before a time."""
    try:
        moment = parse(before.replace("+", " "))
    except ValueError as error:
        raise BadRequest(f"Invalid timestamp for date {before}") from error
    return {"instance_usage_audit_log": _audit(ctx, moment)}
