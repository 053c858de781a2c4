"""Routes of quotas. Source: Networking API v2.0, quotas and quota details."""

from typing import Any

from andromede.core.context import Context
from andromede.core.errors import BadRequest
from andromede.services.network.api import admin, api, reader
from andromede.services.network.errors import wrong
from andromede.services.network.quotas import SERVICE
from andromede.services.network.wire_l3 import Quota
from andromede.services.quota import service as quota

_MOST = (1 << 31) - 1


def _readable(ctx: Context, project_id: str) -> None:
    if not ctx.caller.admin and project_id != ctx.caller.project_id:
        ctx.refuse("get_quota")


@api.get("/quotas", policy=admin("list_quotas"))
def list_quotas(ctx: Context) -> dict[str, Any]:
    """The limits of the projects that have some of their own."""
    owners = quota.owners(ctx.db, SERVICE)
    return {"quotas": [quota.limits(ctx.db, each, SERVICE) | {"project_id": each, "tenant_id": each} for each in owners]}


@api.get("/quotas/tenant", policy=reader("get_quota"))
def show_quota_owner(ctx: Context) -> dict[str, Any]:
    """Whose quota the caller's token is about."""
    return {"tenant": {"tenant_id": ctx.project_id, "project_id": ctx.project_id}}


@api.get("/quotas/project", policy=reader("get_quota"))
def show_quota_project(ctx: Context) -> dict[str, Any]:
    """The same by the newer name."""
    return {"project": {"tenant_id": ctx.project_id, "project_id": ctx.project_id}}


@api.get("/quotas/{project_id}", policy=reader("get_quota"))
def show_quota(ctx: Context, project_id: str) -> dict[str, Any]:
    """A project's limits; -1 is none."""
    _readable(ctx, project_id)
    return {"quota": quota.limits(ctx.db, project_id, SERVICE)}


@api.get("/quotas/{project_id}/default", policy=reader("get_quota"))
def show_default_quota(ctx: Context, project_id: str) -> dict[str, Any]:
    """The limits of a project that has none of its own."""
    _readable(ctx, project_id)
    return {"quota": quota.defaults(ctx.db, SERVICE)}


@api.get("/quotas/{project_id}/details.json", policy=reader("get_quota"))
def show_quota_details(ctx: Context, project_id: str) -> dict[str, Any]:
    """A project's limits, and what it uses of them."""
    _readable(ctx, project_id)
    used = quota.usage(ctx.db, project_id, SERVICE)
    limits = quota.limits(ctx.db, project_id, SERVICE)
    return {"quota": {name: {"limit": limit, "used": used[name], "reserved": 0} for name, limit in limits.items()}}


@api.get("/quotas/{project_id}/details", policy=reader("get_quota"))
def show_quota_details_plain(ctx: Context, project_id: str) -> dict[str, Any]:
    """The same under the path without an ending."""
    return show_quota_details(ctx, project_id)


@api.put("/quotas/{project_id}", policy=admin("update_quota"))
def update_quota(ctx: Context, project_id: str, body: Quota) -> dict[str, Any]:
    """Set limits of a project. Errors: 400 an unknown resource or a limit that is no number from -1."""
    known = {resource.name for resource in quota.resources(SERVICE)}
    ignored = {"tenant_id", "project_id", "force", "check_limit"}
    values: dict[str, int] = {}
    for name, value in body.quota.items():
        if name in ignored:
            continue
        if name not in known:
            raise BadRequest(f"Unrecognized attribute(s) '{name}'", kind="HTTPBadRequest")
        text = str(value)
        if isinstance(value, bool) or not text.removeprefix("-").isdecimal() or not -1 <= int(text) <= _MOST:
            raise wrong(name, f"'{value}' is not a whole number of -1 or more")
        values[name] = int(text)
    quota.change(ctx.db, project_id, values)
    return {"quota": quota.limits(ctx.db, project_id, SERVICE)}


@api.delete("/quotas/{project_id}", policy=admin("delete_quota"))
def delete_quota(ctx: Context, project_id: str) -> None:
    """Let the defaults hold again."""
    quota.forget(ctx.db, project_id, [resource.name for resource in quota.resources(SERVICE)])
