"""Which servers a list shows, and in which order."""

import re
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, or_, select

from andromede.core.clock import parse
from andromede.core.context import Context
from andromede.core.errors import BadRequest
from andromede.http import paging, patterns
from andromede.services.compute import state
from andromede.services.compute.tables import server, server_tag
from andromede.services.network import service as network

MOST = 1000
_SORTABLE = {
    "created_at": server.c.created, "updated_at": server.c.updated, "display_name": server.c.name, "vm_state": server.c.vm_state,
    "task_state": server.c.task_state, "project_id": server.c.project_id, "user_id": server.c.user_id, "uuid": server.c.id,
    "host": server.c.host, "launched_at": server.c.launched, "image_ref": server.c.image_id, "key_name": server.c.key_name,
    "instance_type_id": server.c.flavor_id, "availability_zone": server.c.zone, "display_description": server.c.description,
    "access_ip_v4": server.c.access_ipv4, "access_ip_v6": server.c.access_ipv6, "locked_by": server.c.locked_by,
    "launch_index": server.c.launch_index, "reservation_id": server.c.reservation_id, "power_state": server.c.seen_state,
}  # fmt: skip


def listing(ctx: Context) -> paging.Page:
    """A page of the servers asked for, newest first unless sorted otherwise."""
    query = _filtered(ctx)
    if ctx.query.get("limit") == "0":
        return paging.Page([], more=False)
    default: list[paging.Key] = [(server.c.created, True), (server.c.id, True)]
    return paging.page(
        ctx.db, query, server, keys=paging.sort_of(ctx, _SORTABLE, default), limit=paging.limit_of(ctx, most=MOST),
        marker=ctx.query.get("marker"), missing=lambda marker: BadRequest(f"marker [{marker}] not found"),
    )  # fmt: skip


def _filtered(ctx: Context) -> Select[Any]:
    query, get, admin = select(server), ctx.query.get, ctx.caller.admin
    everything = admin and _flag(get("all_tenants") if "all_tenants" in ctx.query else get("all_projects"))
    if get("all_tenants") is not None and _flag(get("all_tenants")) and not admin:
        ctx.refuse("compute:servers:detail:get_all_tenants")
    if not everything:
        query = query.where(server.c.project_id == ctx.project_id)
    elif owner := get("project_id") or get("tenant_id"):
        query = query.where(server.c.project_id == owner)
    query = _by_time(ctx, query, admin=admin)
    if get("status"):
        query = _by_status(ctx, query)
    for name, column in (("name", server.c.name), ("ip", None), ("ip6", None), ("host", server.c.host)):
        pattern = get(name)
        if pattern is None:
            continue
        if column is None:
            query = query.where(server.c.id.in_(network.servers_by_address(ctx.db, pattern)))
        elif name != "host" or admin:
            query = query.where(column.regexp_match(pattern_of(pattern)) if name == "name" else column == pattern)
    exact = {
        "image": server.c.image_id, "flavor": server.c.flavor_id, "reservation_id": server.c.reservation_id, "user_id": server.c.user_id,
        "key_name": server.c.key_name, "uuid": server.c.id, "vm_state": server.c.vm_state, "task_state": server.c.task_state,
        "description": server.c.description, "hostname": server.c.hostname, "availability_zone": server.c.zone,
        "access_ip_v4": server.c.access_ipv4, "access_ip_v6": server.c.access_ipv6,
    }  # fmt: skip
    for name, column in exact.items():
        if values := ctx.query.all(name):
            query = query.where(column.in_(values))
    if (locked := get("locked")) is not None and ctx.at_least("2.73"):
        query = query.where(server.c.locked_by.is_not(None) if _flag(locked) else server.c.locked_by.is_(None))
    return _by_tags(ctx, query)


def pattern_of(text: str) -> str:
    """What a name is to match: a regular expression, or the text itself where it is none."""
    try:
        return patterns.quick(text, "name")
    except re.error:
        return re.escape(text)


def _flag(text: str | None) -> bool:
    if text is None:
        return False
    if text.lower() in ("", "1", "true", "yes", "on", "t", "y"):
        return True
    if text.lower() in ("0", "false", "no", "off", "f", "n"):
        return False
    raise BadRequest(f"Invalid boolean: {text}")


def _moment(name: str, text: str) -> datetime:
    try:
        return parse(text.replace(" ", "+"))
    except ValueError as error:
        raise BadRequest(f"Invalid filter field: {name}. It must be a time in ISO 8601.") from error


def _by_time(ctx: Context, query: Select[Any], *, admin: bool) -> Select[Any]:
    since, before = ctx.query.get("changes-since"), ctx.query.get("changes-before")
    if since is not None:
        query = query.where(server.c.updated >= _moment("changes-since", since))
    if before is not None and ctx.at_least("2.66"):
        query = query.where(server.c.updated <= _moment("changes-before", before))
    deleted = ctx.query.get("deleted")
    if deleted is not None and admin:
        return query.where(server.c.deleted.is_not(None) if _flag(deleted) else server.c.deleted.is_(None))
    if since is not None:
        return query
    query = query.where(server.c.deleted.is_(None))
    wanted = {text.upper() for text in ctx.query.all("status")} | set(ctx.query.all("vm_state"))
    return query if {"SOFT_DELETED", "soft-delete"} & wanted else query.where(server.c.vm_state != "soft-delete")


def _by_status(ctx: Context, query: Select[Any]) -> Select[Any]:
    wanted = [text.upper() for text in ctx.query.all("status")]
    if "DELETED" in wanted and not ctx.caller.admin:
        ctx.refuse("compute:servers:detail:deleted")
    terms = []
    for vm_state, tasks, under_way in (term for one in wanted for term in state.STATUSES.get(one, [])):
        term = server.c.vm_state == vm_state
        if under_way:
            term &= server.c.task_state.in_(tasks)
        elif tasks:
            term &= server.c.task_state.is_(None) | server.c.task_state.not_in(tasks)
        terms.append(term)
    return query.where(or_(*terms)) if terms else query.where(server.c.id == "")


def _by_tags(ctx: Context, query: Select[Any]) -> Select[Any]:
    if not ctx.at_least("2.26"):
        return query

    def holders(tags: list[str]) -> Any:
        return select(server_tag.c.server_id).where(server_tag.c.tag.in_(tags))

    for name, negated, every in (("tags", False, True), ("tags-any", False, False), ("not-tags", True, True), ("not-tags-any", True, False)):
        if text := ctx.query.get(name):
            tags = text.split(",")
            held = holders(tags)
            if every:
                held = held.group_by(server_tag.c.server_id).having(func.count() == len(set(tags)))
            query = query.where(server.c.id.not_in(held) if negated else server.c.id.in_(held))
    return query
