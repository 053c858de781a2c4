"""Routes of server groups: servers that shall be together on a host, or apart. Source: Compute API v2.1, "Server groups"."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import Connection, insert, select

from andromede.core.clock import now
from andromede.core.context import Context
from andromede.core.errors import BadRequest, NotFound
from andromede.core.ids import new_id
from andromede.http import paging
from andromede.http.wire import Body, since, until
from andromede.services.compute import groups
from andromede.services.compute.api import api, member, reader
from andromede.services.compute.tables import server, server_group

_GROUPS, _GROUP = "/os-server-groups", "/os-server-groups/{server_group_id}"
_POLICIES = ("affinity", "anti-affinity")
_SOFT = ("soft-affinity", "soft-anti-affinity")
_MOST = 1000


class GroupRules(msgspec.Struct, forbid_unknown_fields=True):
    """max_server_per_host: how many of an anti-affinity group may share a host."""

    max_server_per_host: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] | UnsetType = UNSET


class NewGroup(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A server group to be made."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    policies: Annotated[list[str], until("2.63")] | UnsetType = UNSET
    policy: Annotated[str, since("2.64")] | UnsetType = UNSET
    rules: Annotated[GroupRules, since("2.64")] | UnsetType = UNSET


class CreateGroup(Body):
    """`POST /os-server-groups`."""

    server_group: NewGroup


def _members(db: Connection, ids: list[str]) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    query = select(server.c.id, server.c.group_id).where(server.c.group_id.in_(ids), server.c.deleted.is_(None))
    for row in db.execute(query.order_by(server.c.created, server.c.id)):
        out.setdefault(row.group_id, []).append(row.id)
    return out


def _views(ctx: Context, rows: list[Any]) -> list[dict[str, Any]]:
    members = _members(ctx.db, [row.id for row in rows])
    return [_view(ctx, row, members.get(row.id, [])) for row in rows]


def _view(ctx: Context, row: Any, members: list[str]) -> dict[str, Any]:
    out: dict[str, Any] = {"id": row.id, "name": row.name, "members": members}
    if ctx.at_least("2.64"):
        out |= {"policy": row.policy, "rules": row.rules}
    else:
        out |= {"policies": [row.policy], "metadata": {}}
    if ctx.at_least("2.13"):
        out |= {"project_id": row.project_id, "user_id": row.user_id}
    return out


def _find(ctx: Context, group_id: str) -> Any:
    row = ctx.db.execute(select(server_group).where(server_group.c.id == group_id)).first()
    if row is None or not (ctx.caller.admin or row.project_id == ctx.caller.project_id):
        raise NotFound(f"Instance group {group_id} could not be found.")
    return row


@api.get(_GROUPS, policy=reader("os-server-groups:index"))
def list_groups(ctx: Context) -> dict[str, Any]:
    """The project's server groups; `all_projects` for admins; `limit` and `offset`."""
    query = select(server_group).order_by(server_group.c.created, server_group.c.id)
    if not (ctx.caller.admin and "all_projects" in ctx.query):
        query = query.where(server_group.c.project_id == ctx.project_id)
    offset = ctx.query.get("offset") or "0"
    if not offset.isdecimal() or len(offset) > 9:
        raise BadRequest(f"Invalid input for field/attribute offset. Value: {offset}. It must be a whole number of 0 or more.")
    rows = ctx.db.execute(query.limit(paging.limit_of(ctx, most=_MOST)).offset(int(offset)))
    return {"server_groups": _views(ctx, list(rows))}


@api.post(_GROUPS, policy=member("os-server-groups:create"), quota=("server_groups",))
def create_group(ctx: Context, body: CreateGroup) -> dict[str, Any]:
    """Create a server group with one policy. 400 for an unknown policy, or rules it cannot have; 403 over the quota."""
    wanted = body.server_group
    if not wanted.name.strip() or not wanted.name.isprintable():
        raise BadRequest("Invalid input for field/attribute name. It must be printable, and not blank.")
    policies = [wanted.policy] if wanted.policy is not UNSET else wanted.policies
    allowed = _POLICIES + (_SOFT if ctx.at_least("2.15") else ())
    if policies is UNSET or len(policies) != 1 or policies[0] not in allowed:
        field = "policy" if ctx.at_least("2.64") else "policies"
        raise BadRequest(f"Invalid input for field/attribute {field}. It must be one of {', '.join(allowed)}.")
    rules = msgspec.to_builtins(wanted.rules) if wanted.rules is not UNSET else {}
    if rules and policies[0] != "anti-affinity":
        raise BadRequest("Only anti-affinity policy supports rules.")
    ctx.take(server_groups=1)
    row = {
        "id": new_id(), "name": wanted.name, "policy": policies[0], "rules": rules, "project_id": ctx.project_id,
        "user_id": ctx.caller.user_id, "created": now(),
    }  # fmt: skip
    ctx.db.execute(insert(server_group).values(row))
    return {"server_group": _views(ctx, [_find(ctx, str(row["id"]))])[0]}


@api.get(_GROUP, policy=reader("os-server-groups:show"))
def show_group(ctx: Context, server_group_id: str) -> dict[str, Any]:
    """One server group with its members."""
    return {"server_group": _views(ctx, [_find(ctx, server_group_id)])[0]}


@api.delete(_GROUP, policy=member("os-server-groups:delete"), status=204)
def delete_group(ctx: Context, server_group_id: str) -> None:
    """Delete a server group; its servers stay where they are."""
    _find(ctx, server_group_id)
    groups.remove(ctx.db, server_group_id)
