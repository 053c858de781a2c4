"""Routes of servers' tags (2.26), and of the extensions that old clients ask for. Source: Compute API v2.1, "Server tags", "Extensions"."""

from typing import Annotated, Any

import msgspec
from sqlalchemy import update

from andromede.core.clock import now
from andromede.core.context import Context
from andromede.core.errors import BadRequest, NotFound
from andromede.http.response import Response
from andromede.http.wire import Body
from andromede.services.compute import servers, state
from andromede.services.compute.api import api, member, reader
from andromede.services.compute.tables import server

_TAGS, _TAG = "/servers/{server_id}/tags", "/servers/{server_id}/tags/{tag}"
_SINCE = ("2.26", None)
_MOST, _LONGEST = 50, 60


class Tags(Body):
    """`PUT …/tags`."""

    tags: Annotated[list[str], msgspec.Meta(max_length=_MOST)]


def _checked(tag: str) -> str:
    if not tag or len(tag) > _LONGEST or "," in tag or "/" in tag:
        raise BadRequest(f"Invalid input for field/attribute tag. A tag has 1 to {_LONGEST} characters, without comma and slash.")
    return tag


def _of(ctx: Context, server_id: str) -> list[str]:
    return servers.tags_of(ctx.db, [server_id]).get(server_id, [])


def _change(ctx: Context, server_id: str, tags: list[str]) -> None:
    if len(set(tags)) > _MOST:
        raise BadRequest(f"The number of tags exceeded the per-server limit {_MOST}")
    servers.replace_tags(ctx.db, server_id, tags)
    ctx.db.execute(update(server).where(server.c.id == server_id).values(updated=now()))


def _mine(ctx: Context, server_id: str) -> list[str]:
    """The tags of a server that the caller may change."""
    state.unlocked(servers.find(ctx, server_id), admin=ctx.caller.admin)
    return _of(ctx, server_id)


def _require(tags: list[str], server_id: str, tag: str) -> None:
    if tag not in tags:
        raise NotFound(f"Server {server_id} has no tag '{tag}'")


@api.get(_TAGS, policy=reader("os-server-tags:index"), versions=_SINCE)
def list_tags(ctx: Context, server_id: str) -> dict[str, Any]:
    """A server's tags."""
    servers.find(ctx, server_id)
    return {"tags": _of(ctx, server_id)}


@api.put(_TAGS, policy=member("os-server-tags:update_all"), versions=_SINCE)
def replace_tags(ctx: Context, server_id: str, body: Tags) -> dict[str, Any]:
    """Give a server exactly these tags."""
    _mine(ctx, server_id)
    _change(ctx, server_id, [_checked(tag) for tag in body.tags])
    return {"tags": _of(ctx, server_id)}


@api.delete(_TAGS, policy=member("os-server-tags:delete_all"), versions=_SINCE)
def delete_tags(ctx: Context, server_id: str) -> None:
    """Take all tags away."""
    _mine(ctx, server_id)
    _change(ctx, server_id, [])


@api.get(_TAG, policy=reader("os-server-tags:show"), versions=_SINCE, status=204)
def check_tag(ctx: Context, server_id: str, tag: str) -> None:
    """Whether a server has a tag: 204 or 404."""
    servers.find(ctx, server_id)
    _require(_of(ctx, server_id), server_id, tag)


@api.put(_TAG, policy=member("os-server-tags:update"), versions=_SINCE, status=201)
def add_tag(ctx: Context, server_id: str, tag: str) -> Response:
    """Add one tag: 201, or 204 where it is there."""
    have = _mine(ctx, server_id)
    if _checked(tag) in have:
        return Response(status=204)
    _change(ctx, server_id, [*have, tag])
    return Response(status=201, headers=[("location", f"{ctx.base}/servers/{server_id}/tags/{tag}")])


@api.delete(_TAG, policy=member("os-server-tags:delete"), versions=_SINCE)
def delete_tag(ctx: Context, server_id: str, tag: str) -> None:
    """Take one tag away."""
    have = _mine(ctx, server_id)
    _require(have, server_id, tag)
    _change(ctx, server_id, [one for one in have if one != tag])


# extensions: in 2.1 what is served is told by the microversion; this list is what clients of old look for

_EXTENSIONS = {
    "os-availability-zone": "AvailabilityZone", "os-flavor-access": "FlavorAccess", "os-flavor-extra-specs": "FlavorExtraSpecs",
    "os-flavor-manage": "FlavorManage", "os-hypervisors": "Hypervisors", "os-attach-interfaces": "AttachInterfaces",
    "os-keypairs": "Keypairs", "os-quota-class-sets": "QuotaClasses", "os-quota-sets": "Quotas", "os-server-groups": "ServerGroups",
    "os-services": "Services", "os-simple-tenant-usage": "SimpleTenantUsage", "os-used-limits": "UsedLimits",
    "os-hosts": "Hosts", "os-instance-actions": "InstanceActions", "os-console-output": "ConsoleOutput", "os-lock-server": "LockServer",
    "os-pause-server": "PauseServer", "os-server-diagnostics": "ServerDiagnostics", "os-suspend-server": "SuspendServer",
    "os-rescue": "Rescue", "os-shelve": "Shelve", "os-create-backup": "CreateBackup", "os-deferred-delete": "DeferredDelete",
    "os-aggregates": "Aggregates", "os-migrations": "Migrations", "os-consoles": "Consoles", "os-remote-consoles": "Consoles",
    "os-server-external-events": "ServerExternalEvents", "os-server-password": "ServerPassword", "os-admin-actions": "AdminActions",
    "os-instance-usage-audit-log": "InstanceUsageAuditLog", "os-migrate-server": "MigrateServer", "os-evacuate": "Evacuate",
    "os-floating-ips": "FloatingIps", "os-networks": "Networks",
}  # fmt: skip


def _extension(alias: str) -> dict[str, Any]:
    return {
        "alias": alias, "name": _EXTENSIONS[alias], "description": "", "links": [], "updated": "2014-12-03T00:00:00Z",
        "namespace": "http://docs.openstack.org/compute/ext/fake_xml",
    }  # fmt: skip


@api.get("/extensions", policy=reader("extensions"), tx="none")
def list_extensions(ctx: Context) -> dict[str, Any]:
    """What is served beside the core."""
    del ctx
    return {"extensions": [_extension(alias) for alias in sorted(_EXTENSIONS)]}


@api.get("/extensions/{alias}", policy=reader("extensions"), tx="none")
def show_extension(ctx: Context, alias: str) -> dict[str, Any]:
    """One of them."""
    del ctx
    if alias not in _EXTENSIONS:
        raise NotFound(f"There is no extension {alias}.")
    return {"extension": _extension(alias)}
