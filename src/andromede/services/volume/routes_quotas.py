"""Routes of quotas and limits. Source: Block Storage API v3, "Quota sets", "Limits"."""

from typing import Any

from sqlalchemy import select

from andromede.core.context import Context
from andromede.core.errors import BadRequest
from andromede.http.response import Response
from andromede.http.wire import Body
from andromede.services.identity import service as identity
from andromede.services.quota import service as quota
from andromede.services.quota.tables import limit
from andromede.services.volume import quotas
from andromede.services.volume.api import admin, api, reader, truth

_SET, _CLASS = "/os-quota-sets/{project_id}", "/os-quota-class-sets/{name}"


class QuotaSet(Body):
    """`{"quota_set": …}`."""

    quota_set: dict[str, Any]


class QuotaClass(Body):
    """`{"quota_class_set": …}`."""

    quota_class_set: dict[str, Any]


def _own(ctx: Context, project_id: str) -> None:
    if project_id != ctx.caller.project_id and not ctx.caller.admin:
        ctx.refuse("volume:os-quota-sets:show")


def _shown(ctx: Context, project_id: str) -> dict[str, Any]:
    held = quotas.limits(ctx.db, project_id)
    if not truth(ctx.query.get("usage", "false"), "usage"):
        return dict(held)
    used = quotas.usage(ctx.db, project_id)
    return {name: {"limit": value, "in_use": used.get(name, 0), "reserved": 0} for name, value in held.items()}


@api.get(_SET, policy=reader("os-quota-sets:show"))
def show_quotas(ctx: Context, project_id: str) -> dict[str, Any]:
    """A project's limits; with `usage=true`, what it has of each."""
    _own(ctx, project_id)
    return {"quota_set": {"id": project_id} | _shown(ctx, project_id)}


@api.get(_SET + "/defaults", policy=reader("os-quota-sets:defaults"))
def show_default_quotas(ctx: Context, project_id: str) -> dict[str, Any]:
    """The limits of a project that has none of its own."""
    _own(ctx, project_id)
    return {"quota_set": {"id": project_id} | quotas.limits(ctx.db, quota.DEFAULTS)}


@api.put(_SET, policy=admin("os-quota-sets:update"))
def update_quotas(ctx: Context, project_id: str, body: QuotaSet) -> dict[str, Any]:
    """Set limits of a project; -1 is none. Errors: 400 a limit that is not known, or no number."""
    if not identity.project_exists(ctx.db, project_id):
        raise BadRequest(f"Project ID {project_id} is not a valid project.")
    values = _numbers(ctx, body.quota_set)
    if truth(ctx.query.get("skip_validation", "true"), "skip_validation") is False:
        used = quotas.usage(ctx.db, project_id)
        for name, value in values.items():
            if 0 <= value < used.get(name, 0):
                raise BadRequest(f"Quota limit {value} of {name} is below what is used: {used[name]}.")
    quota.change(ctx.db, project_id, values)
    return {"quota_set": quotas.limits(ctx.db, project_id)}


def _numbers(ctx: Context, given: dict[str, Any]) -> dict[str, int]:
    known = {*quotas.limits(ctx.db, quota.DEFAULTS)}
    out = {}
    for name, value in given.items():
        if name == "tenant_id":
            continue
        if name not in known:
            raise BadRequest(f"Bad key(s) in quota set: {name}")
        try:
            number = int(str(value))
        except ValueError as error:
            raise BadRequest(f"Invalid input for field/attribute {name}. Value: {value}. It must be a whole number.") from error
        if isinstance(value, bool | float) or not -1 <= number <= 2**31 - 1:
            raise BadRequest(f"Invalid input for field/attribute {name}. Value: {value}. It must be a whole number of -1 or more.")
        out[name] = number
    return out


@api.delete(_SET, policy=admin("os-quota-sets:delete"), status=200)
def delete_quotas(ctx: Context, project_id: str) -> Response:
    """Let the defaults hold for a project again."""
    quota.forget(ctx.db, project_id, quotas.limits(ctx.db, quota.DEFAULTS))
    return Response(status=200)


@api.get(_CLASS, policy=admin("os-quota-class-sets:show"))
def show_class(ctx: Context, name: str) -> dict[str, Any]:
    """The limits of a class: `default` is that of projects without their own; others are kept for whoever sets them."""
    return {"quota_class_set": {"id": name} | _class(ctx, name)}


def _class(ctx: Context, name: str) -> dict[str, int]:
    defaults = quotas.limits(ctx.db, quota.DEFAULTS)
    if name == "default":
        return defaults
    rows = ctx.db.execute(select(limit.c.resource, limit.c.value).where(limit.c.project_id == _owner(name)))
    return defaults | {row.resource: row.value for row in rows if row.resource in defaults}


def _owner(name: str) -> str:
    return f"class:{name}"[:64]


@api.put(_CLASS, policy=admin("os-quota-class-sets:update"))
def update_class(ctx: Context, name: str, body: QuotaClass) -> dict[str, Any]:
    """Change them."""
    quota.change(ctx.db, _owner(name), _numbers(ctx, body.quota_class_set))
    return {"quota_class_set": _class(ctx, name)}


@api.get("/limits", policy=reader("limits:show"))
def show_limits(ctx: Context) -> dict[str, Any]:
    """What the project may have and has; `project_id` names another one, for admins (3.39)."""
    owner = ctx.caller.project_id or ""
    if ctx.at_least("3.39") and ctx.caller.admin:
        owner = ctx.query.get("project_id") or ctx.query.get("tenant_id") or owner
    held, used = quota.limits(ctx.db, owner, "volume"), quota.usage(ctx.db, owner, "volume")
    absolute = {
        "maxTotalVolumes": held["volumes"], "maxTotalSnapshots": held["snapshots"], "maxTotalVolumeGigabytes": held["gigabytes"],
        "maxTotalBackups": held["backups"], "maxTotalBackupGigabytes": held["backup_gigabytes"], "totalVolumesUsed": used["volumes"],
        "totalSnapshotsUsed": used["snapshots"], "totalGigabytesUsed": used["gigabytes"], "totalBackupsUsed": used["backups"],
        "totalBackupGigabytesUsed": used["backup_gigabytes"],
    }  # fmt: skip
    return {"limits": {"rate": [], "absolute": absolute}}
