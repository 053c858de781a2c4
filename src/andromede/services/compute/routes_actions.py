"""Routes of what was done with servers: their actions, with the steps as events, and their migrations.

Source: Compute API v2.1, "Servers actions" (os-instance-actions), "Migrations", "Server migrations".
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Select, select

from andromede.core.clock import iso_micro, parse
from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, NotFound
from andromede.core.ids import is_id
from andromede.http import paging
from andromede.services.compute import hosts, operations, servers
from andromede.services.compute.api import admin, api, manager, reader
from andromede.services.compute.tables import action, action_event, migration, server

_ACTIONS, _MIGRATIONS = "/servers/{server_id}/os-instance-actions", "/servers/{server_id}/migrations"
_MOST = 1000
_LIVE = ("queued", "preparing", "running", "pre-migrating", "migrating", "post-migrating")


def _find(ctx: Context, server_id: str) -> Any:
    """A server that is there, or (from 2.21 on) was until it was deleted."""
    if not ctx.at_least("2.21"):
        return servers.find(ctx, server_id)
    row = ctx.db.execute(select(server).where(server.c.id == server_id)).mappings().first()
    if row is None or not (ctx.caller.admin or row["project_id"] == ctx.caller.project_id):
        raise NotFound(f"Instance {server_id} could not be found.", kind="InstanceNotFound")
    return row


def _moment(ctx: Context, name: str) -> datetime | None:
    text = ctx.query.get(name)
    if text is None:
        return None
    try:
        return parse(text.replace(" ", "+"))
    except ValueError as error:
        raise BadRequest(f"Invalid input for query parameters {name}. Value: {text}. It must be a time in ISO 8601.") from error


def _between(ctx: Context, query: Select[Any], column: Any, *, before: bool) -> Select[Any]:
    since, until = _moment(ctx, "changes-since"), _moment(ctx, "changes-before") if before else None
    if since is not None and until is not None and until < since:
        raise BadRequest("The value of changes-since must be less than or equal to changes-before.")
    if since is not None:
        query = query.where(column >= since)
    return query if until is None else query.where(column <= until)


def _page(ctx: Context, query: Select[Any]) -> paging.Page:
    limit = paging.limit_of(ctx, most=_MOST)
    rows = list(ctx.db.execute(query.limit(limit + 1)).mappings())
    return paging.Page(rows[:limit], len(rows) > limit)


@api.get(_ACTIONS, policy=reader("os-instance-actions:list"))
def list_actions(ctx: Context, server_id: str) -> dict[str, Any]:
    """What was done with a server, newest first; a page at a time from 2.58 on."""
    _find(ctx, server_id)
    query = select(action).where(action.c.server_id == server_id).order_by(action.c.id.desc())
    if not ctx.at_least("2.58"):
        return {"instanceActions": [_action(ctx, row) for row in ctx.db.execute(query).mappings()]}
    query = _between(ctx, query, action.c.started, before=ctx.at_least("2.66"))
    if marker := ctx.query.get("marker"):
        last = ctx.db.scalar(select(action.c.id).where(action.c.server_id == server_id, action.c.request_id == marker).order_by(action.c.id))
        if last is None:
            raise BadRequest(f"marker [{marker}] not found")
        query = query.where(action.c.id < last)
    found = _page(ctx, query)
    out: dict[str, Any] = {"instanceActions": [_action(ctx, row) for row in found.rows]}
    if (link := found.next_link(ctx, f"{ctx.base}/servers/{server_id}/os-instance-actions", marker="request_id")) is not None:
        out["links"] = [{"rel": "next", "href": link}]
    return out


@api.get(_ACTIONS + "/{request_id}", policy=reader("os-instance-actions:show"))
def show_action(ctx: Context, server_id: str, request_id: str) -> dict[str, Any]:
    """One action; with its events for admins, and from 2.51 on for everybody."""
    row = _find(ctx, server_id)
    found = ctx.db.execute(select(action).where(action.c.server_id == server_id, action.c.request_id == request_id)).mappings().first()
    if found is None:
        raise NotFound(f"Action for request_id {request_id} on instance {server_id} not found")
    out = _action(ctx, found)
    if not (ctx.caller.admin or ctx.at_least("2.51")):
        return {"instanceAction": out}
    match = (action_event.c.server_id == server_id, action_event.c.request_id == request_id)
    events = list(ctx.db.execute(select(action_event).where(*match).order_by(action_event.c.id.desc())))
    return {"instanceAction": out | {"events": [_event(ctx, row, one) for one in events] or [_whole(ctx, row, found)]}}


def _action(ctx: Context, row: Any) -> dict[str, Any]:
    out = {
        "action": row["action"], "instance_uuid": row["server_id"], "request_id": row["request_id"], "user_id": row["user_id"],
        "project_id": row["project_id"], "start_time": iso_micro(row["started"]), "message": row["message"],
    }  # fmt: skip
    if ctx.at_least("2.58"):
        out["updated_at"] = iso_micro(row["finished"] or row["started"])
    return out


def _event(ctx: Context, row: Any, one: Any) -> dict[str, Any]:
    return _shown(ctx, row, one.event, one.started, one.finished, one.result, one.host, one.details)


def _whole(ctx: Context, row: Any, one: Any) -> dict[str, Any]:
    """What has no steps of its own is its own event."""
    return _shown(ctx, row, f"compute_{one['action']}", one["started"], one["finished"], one["result"], one["host"], one["message"])


def _shown(
    ctx: Context, row: Any, name: str, started: datetime, finished: datetime | None, result: str | None, host: str | None, details: str | None
) -> dict[str, Any]:
    out: dict[str, Any] = {
        "event": name, "start_time": iso_micro(started), "finish_time": iso_micro(finished) if finished else None, "result": result,
    }  # fmt: skip
    if ctx.caller.admin or not ctx.at_least("2.51"):
        out["traceback"] = None
    if ctx.at_least("2.62"):
        out["hostId"] = servers.host_id(row["project_id"], host)
        if ctx.caller.admin:
            out["host"] = host
    if ctx.at_least("2.84"):
        out["details"] = details
    return out


# migrations


_PLACES = ("source_node", "source_compute", "dest_node", "dest_compute")
"""Fields that tell of hosts, which those who manage a project do not see."""


def _placed(ctx: Context, shown: dict[str, Any]) -> dict[str, Any]:
    return shown if ctx.caller.admin else shown | dict.fromkeys(_PLACES)


def _migration(ctx: Context, row: Any) -> dict[str, Any]:
    number = {"old_instance_type_id": 0, "new_instance_type_id": 0}
    out: dict[str, Any] = {
        "id": row["id"], "source_node": row["source"], "source_compute": row["source"], "dest_node": row["target"], "dest_compute": row["target"],
        "dest_host": None, "status": row["status"], "instance_uuid": row["server_id"], "created_at": iso_micro(row["created"]),
        "updated_at": iso_micro(row["updated"]), **number,
    }  # fmt: skip
    if ctx.at_least("2.23"):
        out["migration_type"] = row["kind"]
        links = [
            {"rel": rel, "href": f"{base}/servers/{row['server_id']}/migrations/{row['id']}"}
            for rel, base in (("self", ctx.base), ("bookmark", ctx.base.removesuffix("/v2.1")))
        ]
        if row["kind"] == "live-migration" and row["status"] in _LIVE:
            out["links"] = links
    if ctx.at_least("2.59"):
        out["uuid"] = row["uuid"]
    if ctx.at_least("2.80"):
        out |= {"user_id": row["user_id"], "project_id": row["project_id"]}
    return _placed(ctx, out)


@api.get("/os-migrations", policy=manager("os-migrations:index"))
def list_migrations(ctx: Context) -> dict[str, Any]:
    """Migrations of servers, newest first from 2.59 on; `instance_uuid`, `status`, `host` and others narrow the list.

    Who manages a project sees those of its servers, without hosts.
    """
    get, query = ctx.query.get, select(migration)
    if not ctx.caller.admin:
        if get("project_id") not in (None, ctx.project_id):
            ctx.refuse("compute:os-migrations:index:all_projects")
        if "host" in ctx.query or "source_compute" in ctx.query:
            ctx.refuse("compute:os-migrations:index:host")
        query = query.where(migration.c.project_id == ctx.project_id)
    for name, column in (("instance_uuid", migration.c.server_id), ("status", migration.c.status), ("migration_type", migration.c.kind)):
        if (value := get(name)) is not None:
            query = query.where(column == value)
    for name, column in (("source_compute", migration.c.source), ("user_id", migration.c.user_id), ("project_id", migration.c.project_id)):
        if (value := get(name)) is not None and (name == "source_compute" or ctx.at_least("2.80")):
            query = query.where(column == value)
    if (value := get("host")) is not None:
        query = query.where((migration.c.source == value) | (migration.c.target == value))
    if not ctx.at_least("2.59"):
        return {"migrations": [_migration(ctx, row) for row in ctx.db.execute(query.order_by(migration.c.id)).mappings()]}
    query = _between(ctx, query, migration.c.updated, before=ctx.at_least("2.66")).order_by(migration.c.id.desc())
    if marker := get("marker"):
        last = ctx.db.scalar(select(migration.c.id).where(migration.c.uuid == marker))
        if last is None:
            raise BadRequest(f"Marker {marker} could not be found.")
        query = query.where(migration.c.id < last)
    found = _page(ctx, query)
    out: dict[str, Any] = {"migrations": [_migration(ctx, row) for row in found.rows]}
    if (link := found.next_link(ctx, f"{ctx.base}/os-migrations", marker="uuid")) is not None:
        out["migrations_links"] = [{"rel": "next", "href": link}]
    return out


def _under_way(ctx: Context, server_id: str) -> list[Any]:
    match = (migration.c.server_id == server_id, migration.c.kind == "live-migration", migration.c.status.in_(_LIVE))
    return list(ctx.db.execute(select(migration).where(*match).order_by(migration.c.id)).mappings())


def _server_migration(ctx: Context, row: Any) -> dict[str, Any]:
    done = row["progress"] or {}
    out: dict[str, Any] = {
        "id": row["id"], "server_uuid": row["server_id"], "status": row["status"], "source_node": row["source"], "source_compute": row["source"],
        "dest_node": row["target"], "dest_compute": row["target"], "dest_host": None, "created_at": iso_micro(row["created"]),
        "updated_at": iso_micro(row["updated"]),
    }  # fmt: skip
    out |= {f"{part}_{which}_bytes": done.get(f"{part}_{which}") for part in ("memory", "disk") for which in ("total", "processed", "remaining")}
    if ctx.at_least("2.59"):
        out["uuid"] = row["uuid"]
    if ctx.at_least("2.80"):
        out |= {"user_id": row["user_id"], "project_id": row["project_id"]}
    return _placed(ctx, out)


@api.get(_MIGRATIONS, policy=manager("servers:migrations:index"), versions=("2.23", None))
def list_server_migrations(ctx: Context, server_id: str) -> dict[str, Any]:
    """A server's live migrations that are under way."""
    servers.find(ctx, server_id)
    return {"migrations": [_server_migration(ctx, row) for row in _under_way(ctx, server_id)]}


@api.get(_MIGRATIONS + "/{migration_id}", policy=admin("servers:migrations:show"), versions=("2.23", None))
def show_server_migration(ctx: Context, server_id: str, migration_id: str) -> dict[str, Any]:
    """One of them."""
    return {"migration": _server_migration(ctx, _one(ctx, server_id, migration_id))}


def _one(ctx: Context, server_id: str, migration_id: str) -> Any:
    servers.find(ctx, server_id)
    match = (migration.c.id == int(migration_id)) if migration_id.isdecimal() and len(migration_id) < 10 else (migration.c.uuid == migration_id)
    row = ctx.db.execute(select(migration).where(match, migration.c.server_id == server_id)).mappings().first()
    if row is None or not (migration_id.isdecimal() or is_id(migration_id)):
        raise NotFound(f"Migration {migration_id} for server {server_id} could not be found.")
    if row["kind"] != "live-migration" or row["status"] not in _LIVE:
        raise NotFound(f"Migration {migration_id} for server {server_id} is not live-migration in progress.")
    return row


@api.delete(_MIGRATIONS + "/{migration_id}", policy=manager("servers:migrations:delete"), status=202, versions=("2.24", None))
def abort_migration(ctx: Context, server_id: str, migration_id: str) -> None:
    """Take back a live migration. 409 where it cannot be stopped any more."""
    row = _one(ctx, server_id, migration_id)
    _tell(ctx, server_id, row, "abort")


@api.action(_MIGRATIONS + "/{migration_id}/action", "force_complete", policy=manager("servers:migrations:force_complete"), versions=("2.22", None))
def force_migration(ctx: Context, server_id: str, migration_id: str) -> None:
    """Have a server stand still until its live migration is over. 409 where it is not being sent."""
    row = _one(ctx, server_id, migration_id)
    if row["status"] != "running":
        raise BadRequest(f"Migration {migration_id} state of instance {server_id} is {row['status']}. Cannot 'force_complete' it.")
    _tell(ctx, server_id, row, "force")


def _tell(ctx: Context, server_id: str, row: Any, what: str) -> None:
    """Put a wish into what is kept of a server's move. Raises Conflict where the move is over."""
    one = ctx.db.execute(select(server).where(server.c.id == server_id)).one()
    if row["status"] == "queued" and one.move is None:
        raise Conflict(f"Migration {row['id']} of server {server_id} has not begun yet.")
    if one.move is None or one.move["id"] != row["uuid"]:
        raise Conflict(f"Migration {row['id']} of server {server_id} is too far to be changed.")
    operations.write(ctx.db, server_id, move={**one.move, what: True})
    hosts.changed(ctx.db, ctx.parts.operations, one.host)
    ctx.parts.operations.hurry(ctx.db, server_id)
