"""Routes of limits, quotas and usage over time. Source: Compute API v2.1, "Limits", "Quota sets", "Usage reports".

Up to 2.35 Compute also shows and sets the limits of Network that it had before there was a Network service.
"""

from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import or_, select

from andromede.core.clock import iso_micro, now, parse
from andromede.core.context import Context
from andromede.core.errors import BadRequest, NotFound
from andromede.http import paging
from andromede.services.compute.api import admin, api, reader
from andromede.services.compute.tables import server
from andromede.services.identity import service as identity
from andromede.services.quota import service as quota

_SET, _CLASS = "/os-quota-sets/{project_id}", "/os-quota-class-sets/{name}"
_OLD = {"floating_ips": "floatingip", "security_groups": "security_group", "security_group_rules": "security_group_rule"}
"""Names of Network's resources in Compute's old answers."""
_FILES = ("injected_files", "injected_file_content_bytes", "injected_file_path_bytes")
_MOST = 1000

quota.register(
    quota.Resource("injected_files", "compute", 5, lambda _db, _project: 0),
    quota.Resource("injected_file_content_bytes", "compute", 10240, lambda _db, _project: 0),
    quota.Resource("injected_file_path_bytes", "compute", 255, lambda _db, _project: 0),
    quota.Resource("fixed_ips", "compute", quota.UNLIMITED, lambda _db, _project: 0),  # as in Nova: kept, and nothing counts it
)


def _shown(ctx: Context) -> list[str]:
    """The resources of Compute that this version shows."""
    hidden = (*(_FILES if ctx.at_least("2.57") else ()), *(("fixed_ips",) if ctx.at_least("2.36") else ()))
    return [one.name for one in quota.resources("compute") if one.name not in hidden]


def _networks(ctx: Context) -> dict[str, str]:
    """Network's resources by their old names, in versions that show them."""
    if ctx.at_least("2.36"):
        return {}
    known = {one.name for one in quota.resources("network")}
    return {old: name for old, name in _OLD.items() if name in known}


def _values(ctx: Context, project_id: str) -> dict[str, int]:
    limits = quota.limits(ctx.db, project_id, "compute")
    out = {name: limits[name] for name in _shown(ctx)}
    if not ctx.at_least("2.36"):
        network = quota.limits(ctx.db, project_id, "network")
        out |= dict.fromkeys(_OLD, quota.UNLIMITED) | {old: network[name] for old, name in _networks(ctx).items()}
    return out


def _used(ctx: Context, project_id: str) -> dict[str, int]:
    used = quota.usage(ctx.db, project_id, "compute")
    if names := _networks(ctx):
        network = quota.usage(ctx.db, project_id, "network")
        used |= {old: network[name] for old, name in names.items()}
    return used


# limits


@api.get("/limits", policy=reader("limits"))
def show_limits(ctx: Context) -> dict[str, Any]:
    """What the project may have and has; `tenant_id` names another one, for admins."""
    owner = ctx.query.get("tenant_id") or ctx.project_id
    if owner != ctx.caller.project_id and not ctx.caller.admin:
        ctx.refuse("compute:limits:other_project")
    limits, used = quota.limits(ctx.db, owner, "compute"), quota.usage(ctx.db, owner, "compute")
    absolute = {
        "maxTotalInstances": limits["instances"], "maxTotalCores": limits["cores"], "maxTotalRAMSize": limits["ram"],
        "maxTotalKeypairs": limits["key_pairs"], "maxServerMeta": limits["metadata_items"], "maxServerGroups": limits["server_groups"],
        "maxServerGroupMembers": limits["server_group_members"], "totalInstancesUsed": used["instances"],
        "totalCoresUsed": used["cores"], "totalRAMUsed": used["ram"], "totalServerGroupsUsed": used["server_groups"],
    }  # fmt: skip
    if not ctx.at_least("2.57"):
        absolute |= {"maxPersonality": limits["injected_files"], "maxPersonalitySize": limits["injected_file_content_bytes"]}
    if not ctx.at_least("2.39"):
        absolute["maxImageMeta"] = limits["metadata_items"]
    if not ctx.at_least("2.36"):
        values, taken = _values(ctx, owner), _used(ctx, owner)
        absolute |= {
            "maxTotalFloatingIps": values["floating_ips"], "maxSecurityGroups": values["security_groups"],
            "maxSecurityGroupRules": values["security_group_rules"], "totalFloatingIpsUsed": taken.get("floating_ips", 0),
            "totalSecurityGroupsUsed": taken.get("security_groups", 0),
        }  # fmt: skip
    return {"limits": {"rate": [], "absolute": absolute}}


# quotas


def _own(ctx: Context, project_id: str, rule: str) -> None:
    if project_id != ctx.caller.project_id and not ctx.caller.admin:
        ctx.refuse(f"compute:{rule}")


@api.get(_SET, policy=reader("os-quota-sets:show"))
def show_quotas(ctx: Context, project_id: str) -> dict[str, Any]:
    """A project's limits."""
    _own(ctx, project_id, "os-quota-sets:show")
    return {"quota_set": {"id": project_id} | _values(ctx, project_id)}


@api.get(_SET + "/defaults", policy=reader("os-quota-sets:defaults"))
def show_default_quotas(ctx: Context, project_id: str) -> dict[str, Any]:
    """The limits of a project that has none of its own."""
    return {"quota_set": {"id": project_id} | _values(ctx, quota.DEFAULTS)}


@api.get(_SET + "/detail", policy=reader("os-quota-sets:detail"))
def show_quotas_in_detail(ctx: Context, project_id: str) -> dict[str, Any]:
    """A project's limits with what is used of each."""
    _own(ctx, project_id, "os-quota-sets:detail")
    used = _used(ctx, project_id)
    values = {
        name: {"limit": limit, "in_use": used.get(name, 0), "reserved": 0} for name, limit in _values(ctx, project_id).items()
    }
    return {"quota_set": {"id": project_id, **values}}


@api.put(_SET, policy=admin("os-quota-sets:update"))
def update_quotas(ctx: Context, project_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Set limits of a project; below what is used only with `force`. -1 is no limit."""
    if not identity.project_exists(ctx.db, project_id):
        raise BadRequest(f"Project ID {project_id} is not a valid project.")
    if "user_id" in ctx.query:
        raise BadRequest("Quotas are of projects; there are none of single users.")
    wanted = _wanted(body, "quota_set")
    force = wanted.pop("force", False)
    wanted.pop("tenant_id", None)
    values = _numbers(ctx, wanted)
    used = _used(ctx, project_id)
    for name, value in values.items():
        if not _truth(force) and quota.UNLIMITED < value < used.get(name, 0):
            raise BadRequest(f"Quota limit {value} for {name} must be greater than or equal to already used and reserved {used[name]}.")
    _store(ctx, project_id, values)
    return {"quota_set": _values(ctx, project_id)}


def _wanted(body: dict[str, Any], kind: str) -> dict[str, Any]:
    if list(body) != [kind] or not isinstance(body[kind], dict):
        raise BadRequest(f"Invalid input: the body needs an object `{kind}` and nothing else.")
    return dict(body[kind])


def _truth(value: Any) -> bool:
    return value is True or (isinstance(value, str) and value.lower() in ("true", "1", "yes", "on", "t", "y"))


def _numbers(ctx: Context, wanted: dict[str, Any]) -> dict[str, int]:
    allowed = {*_shown(ctx), *(_OLD if not ctx.at_least("2.36") else ())}
    for name in wanted:
        if name not in allowed:
            raise BadRequest(f"Additional properties are not allowed ('{name}' was unexpected)")
    try:
        values = msgspec.convert(wanted, dict[str, int], strict=False)
    except msgspec.ValidationError as error:
        raise BadRequest(f"Invalid input: {error}") from error
    for name, value in values.items():
        if not -1 <= value <= 2**31 - 1:
            raise BadRequest(f"Invalid input for field/attribute {name}. Value: {value}. It must be -1 or more.")
    return values


def _store(ctx: Context, owner: str, values: dict[str, int]) -> None:
    names = _networks(ctx)
    own = {one.name for one in quota.resources("compute")}
    quota.change(ctx.db, owner, {names.get(name, name): value for name, value in values.items() if name in own or name in names})


@api.delete(_SET, policy=admin("os-quota-sets:delete"), status=202)
def delete_quotas(ctx: Context, project_id: str) -> None:
    """Let the defaults hold for a project again."""
    quota.forget(ctx.db, project_id, [one.name for one in quota.resources("compute")])


@api.get(_CLASS, policy=admin("os-quota-class-sets:show"))
def show_class(ctx: Context, name: str) -> dict[str, Any]:
    """The defaults of projects; there is one class, `default`."""
    return {"quota_class_set": {"id": name} | _class(ctx, name)}


def _class(ctx: Context, name: str) -> dict[str, int]:
    if name != "default":
        raise NotFound(f"Quota class {name} could not be found.")
    values = _values(ctx, quota.DEFAULTS)
    hidden = () if ctx.at_least("2.50") else ("server_groups", "server_group_members")
    return {key: value for key, value in values.items() if key not in hidden}


@api.put(_CLASS, policy=admin("os-quota-class-sets:update"))
def update_class(ctx: Context, name: str, body: dict[str, Any]) -> dict[str, Any]:
    """Change the defaults of projects."""
    _class(ctx, name)
    _store(ctx, quota.DEFAULTS, _numbers(ctx, _wanted(body, "quota_class_set")))
    return {"quota_class_set": _class(ctx, name)}


# usage over time


@api.get("/os-simple-tenant-usage", policy=admin("os-simple-tenant-usage:list"))
def list_usage(ctx: Context) -> dict[str, Any]:
    """What each project's servers took between `start` and `end` (the last four weeks)."""
    start, stop = _span(ctx)
    rows, link = _servers(ctx, start, stop, None, "os-simple-tenant-usage")
    projects: dict[str, list[Any]] = {}
    for row in rows:
        projects.setdefault(row["project_id"], []).append(row)
    detailed = ctx.query.get("detailed") == "1"
    out: dict[str, Any] = {"tenant_usages": [_usage(name, own, start, stop, detailed=detailed) for name, own in projects.items()]}
    return out | ({"tenant_usages_links": [{"rel": "next", "href": link}]} if link else {})


@api.get("/os-simple-tenant-usage/{project_id}", policy=reader("os-simple-tenant-usage:show"))
def show_usage(ctx: Context, project_id: str) -> dict[str, Any]:
    """What one project's servers took, server by server."""
    _own(ctx, project_id, "os-simple-tenant-usage:show")
    start, stop = _span(ctx)
    rows, link = _servers(ctx, start, stop, project_id, f"os-simple-tenant-usage/{project_id}")
    if not rows:
        return {"tenant_usage": {}}
    out: dict[str, Any] = {"tenant_usage": _usage(project_id, rows, start, stop, detailed=True)}
    return out | ({"tenant_usage_links": [{"rel": "next", "href": link}]} if link else {})


def _span(ctx: Context) -> tuple[datetime, datetime]:
    moment = now()
    start, stop = moment - timedelta(weeks=4), moment
    try:
        start = parse((ctx.query.get("start") or iso_micro(start)).replace(" ", "T"))
        stop = parse((ctx.query.get("end") or iso_micro(stop)).replace(" ", "T"))
    except ValueError as error:
        raise BadRequest("Invalid datetime string in start or end.") from error
    if start >= stop:
        raise BadRequest("Invalid start time. The start time cannot occur after the end time.")
    return start, stop


def _servers(ctx: Context, start: datetime, stop: datetime, project_id: str | None, path: str) -> tuple[list[Any], str | None]:
    query = select(server).where(server.c.launched.is_not(None), server.c.launched < stop)
    query = query.where(or_(server.c.terminated.is_(None), server.c.terminated > start), or_(server.c.deleted.is_(None), server.c.deleted > start))
    if project_id is not None:
        query = query.where(server.c.project_id == project_id)
    if not ctx.at_least("2.40"):
        return list(ctx.db.execute(query.order_by(server.c.id)).mappings()), None
    found = paging.page(ctx.db, query, server, limit=paging.limit_of(ctx, most=_MOST), marker=ctx.query.get("marker"))
    return list(found.rows), found.next_link(ctx, f"{ctx.base}/{path}")


def _usage(project_id: str, rows: list[Any], start: datetime, stop: datetime, *, detailed: bool) -> dict[str, Any]:
    totals = dict.fromkeys(("total_hours", "total_memory_mb_usage", "total_vcpus_usage", "total_local_gb_usage"), 0.0)
    usages = []
    for row in rows:
        ended = row["terminated"] or row["deleted"]
        hours = max((min(ended or stop, stop) - max(row["launched"], start)).total_seconds(), 0.0) / 3600
        local = row["disk"] + row["flavor"].get("ephemeral", 0)
        totals["total_hours"] += hours
        totals["total_memory_mb_usage"] += hours * row["ram"]
        totals["total_vcpus_usage"] += hours * row["vcpus"]
        totals["total_local_gb_usage"] += hours * local
        usages.append(
            {
                "instance_id": row["id"], "name": row["name"], "hours": hours, "memory_mb": row["ram"], "vcpus": row["vcpus"],
                "local_gb": local, "tenant_id": project_id, "flavor": row["flavor"]["original_name"],
                "started_at": iso_micro(row["launched"]), "ended_at": iso_micro(ended) if ended else None,
                "state": "terminated" if ended else row["vm_state"],
                "uptime": int(((ended or now()) - row["launched"]).total_seconds()),
            }
        )  # fmt: skip
    out: dict[str, Any] = {"tenant_id": project_id, "start": iso_micro(start), "stop": iso_micro(stop), **totals}
    return out | ({"server_usages": usages} if detailed else {})
