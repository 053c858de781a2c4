"""Routes of what operators see of storage (services, hosts, pools, capabilities), of zones, extensions and messages. Source: Block Storage API v3."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import delete, func, insert, select

from andromede.core.clock import iso_micro, now
from andromede.core.context import Context
from andromede.core.errors import BadRequest, NotFound
from andromede.http.wire import Body
from andromede.services.volume import listing, placing
from andromede.services.volume.api import admin, api, links, member, reader, truth, when
from andromede.services.volume.tables import carrier, message, snapshot, volume

_RESERVED = 0
_FROZEN = "frozen"
"""Why a frozen host takes no new volumes, as Cinder says it."""


def disabled(ctx: Context) -> dict[str, Any]:
    """The hosts that take no new volumes, with why, by name."""
    return {row.host: row.reason for row in ctx.db.execute(select(carrier).where(carrier.c.disabled))}


# services


def _services(ctx: Context) -> list[dict[str, Any]]:
    off, out = disabled(ctx), []
    for one in ctx.parts.carriers.every(ctx.db):
        state, moment = ("up" if one.alive else "down"), when(one.seen or now())
        for binary, host in (("cinder-scheduler", one.name), ("cinder-volume", f"{one.name}@{placing.POOL}"), ("cinder-backup", one.name)):
            status = "disabled" if binary == "cinder-volume" and one.name in off else "enabled"
            shown = {
                "binary": binary, "host": host, "zone": one.zone, "status": status, "state": state, "updated_at": moment,
                "disabled_reason": off.get(one.name) if status == "disabled" else None,
            }  # fmt: skip
            if binary == "cinder-volume":
                shown |= {"replication_status": "disabled", "active_backend_id": None, "frozen": shown["disabled_reason"] == _FROZEN}
                if ctx.at_least("3.49"):
                    shown["backend_state"] = state
            out.append(shown)
    return out


@api.get("/os-services", policy=admin("services:list"))
def list_services(ctx: Context) -> dict[str, Any]:
    """What serves volumes on each host; `host` and `binary` choose."""
    host, binary = ctx.query.get("host"), ctx.query.get("binary")
    found = [one for one in _services(ctx) if (host in (None, one["host"], one["host"].partition("@")[0])) and binary in (None, one["binary"])]
    return {"services": found}


class Service(Body):
    """A service of a host."""

    host: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    binary: str | None | UnsetType = UNSET
    service: str | None | UnsetType = UNSET
    disabled_reason: str | None | UnsetType = UNSET


def _switch(ctx: Context, body: Service, *, off: bool, reason: str | None = None) -> dict[str, Any]:
    name = body.host.partition("@")[0]
    if name not in {one.name for one in ctx.parts.carriers.every(ctx.db)}:
        raise NotFound(f"Service could not be found on host {body.host}.")
    binary = body.binary or body.service or "cinder-volume"
    if binary != "cinder-volume":
        raise NotFound(f"Service {binary} could not be found on host {body.host}; cinder-volume is what can be enabled and disabled.")
    ctx.db.execute(delete(carrier).where(carrier.c.host == name))
    if off:
        ctx.db.execute(insert(carrier).values(host=name, disabled=True, reason=reason))
    shown = {"host": body.host, "service": binary, "binary": binary, "disabled": off, "status": "disabled" if off else "enabled"}
    return shown | ({"disabled_reason": reason} if not off or reason is not None else {})


@api.put("/os-services/enable", policy=admin("services:enable"))
def enable_service(ctx: Context, body: Service) -> dict[str, Any]:
    """Let a host take new volumes."""
    return _switch(ctx, body, off=False)


@api.put("/os-services/disable", policy=admin("services:disable"))
def disable_service(ctx: Context, body: Service) -> dict[str, Any]:
    """Let it take none."""
    return _switch(ctx, body, off=True)


@api.put("/os-services/disable-log-reason", policy=admin("services:disable_log_reason"))
def disable_service_with_reason(ctx: Context, body: Service) -> dict[str, Any]:
    """Let it take none, and say why."""
    if not isinstance(body.disabled_reason, str) or not 1 <= len(body.disabled_reason.strip()) <= 255:
        raise BadRequest("Invalid input for field/attribute disabled_reason. It has 1 to 255 characters.")
    return _switch(ctx, body, off=True, reason=body.disabled_reason)


class FrozenHost(Body):
    """A host of volumes, `NAME` or `NAME@POOL`."""

    host: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


def _freeze(ctx: Context, body: FrozenHost, *, frozen: bool) -> dict[str, Any]:
    try:
        _switch(ctx, Service(host=body.host), off=frozen, reason=_FROZEN if frozen else None)
    except NotFound as error:
        raise BadRequest(error.message) from error
    return {}


@api.put("/os-services/freeze", policy=admin("services:freeze"))
def freeze_host(ctx: Context, body: FrozenHost) -> dict[str, Any]:
    """Let a host take no new volumes, and show it as frozen; those that it has go on working. Errors: 400 no such host."""
    return _freeze(ctx, body, frozen=True)


@api.put("/os-services/thaw", policy=admin("services:thaw"))
def thaw_host(ctx: Context, body: FrozenHost) -> dict[str, Any]:
    """Let a frozen host take volumes again. Errors: 400 no such host."""
    return _freeze(ctx, body, frozen=False)


@api.get("/os-hosts", policy=admin("hosts:list"))
def list_hosts(ctx: Context) -> dict[str, Any]:
    """The hosts, by service."""
    rows = [
        {
            "host_name": one["host"], "service": one["binary"], "zone": one["zone"], "service-state": one["status"],
            "service-status": "available" if one["state"] == "up" else "unavailable", "last-update": one["updated_at"],
        }
        for one in _services(ctx)
        if ctx.query.get("zone") in (None, one["zone"])
    ]  # fmt: skip
    return {"hosts": rows}


@api.get("/os-hosts/{host}", policy=admin("hosts:show"))
def show_host(ctx: Context, host: str) -> dict[str, Any]:
    """What projects have on a host."""
    name = host.partition("@")[0]
    if name not in {one.name for one in ctx.parts.carriers.every(ctx.db)}:
        raise NotFound(f"Host {host} could not be found.")
    totals: dict[str, list[int]] = {"(total)": [0, 0, 0, 0]}
    sums = select(volume.c.project_id, func.count(), func.coalesce(func.sum(volume.c.size), 0)).where(volume.c.host == name)
    for project, count, size in ctx.db.execute(sums.group_by(volume.c.project_id)):
        totals.setdefault(project, [0, 0, 0, 0])[:2] = [count, int(size)]
    joined = snapshot.join(volume, volume.c.id == snapshot.c.volume_id)
    kept = select(volume.c.project_id, func.count(), func.coalesce(func.sum(snapshot.c.size), 0)).select_from(joined)
    for project, count, size in ctx.db.execute(kept.where(volume.c.host == name, snapshot.c.purpose.is_(None)).group_by(volume.c.project_id)):
        totals.setdefault(project, [0, 0, 0, 0])[2:] = [count, int(size)]
    for place in range(4):
        totals["(total)"][place] = sum(values[place] for project, values in totals.items() if project != "(total)")
    keys = ("volume_count", "total_volume_gb", "snapshot_count", "total_snapshot_gb")
    resources = [{"host": host, "project": project} | dict(zip(keys, map(str, values), strict=True)) for project, values in totals.items()]
    return {"host": [{"resource": one} for one in resources]}


# pools


@api.get("/scheduler-stats/get_pools", policy=admin("scheduler_stats:get_pools"))
def get_pools(ctx: Context) -> dict[str, Any]:
    """The pools that volumes are in, one a host; `detail=true` tells how large they are."""
    detail = truth(ctx.query.get("detail", "false"), "detail")
    used, wanted, out = placing.taken(ctx.db), ctx.query.get("name"), []
    for one in ctx.parts.carriers.every(ctx.db):
        name = placing.backend(one.name)
        if wanted not in (None, name):
            continue
        facts = {
            **placing.CAPABILITIES, "total_capacity_gb": round(one.total, 1),
            "free_capacity_gb": round(max(0.0, one.free - used.get(one.name, 0)), 1),
            "allocated_capacity_gb": used.get(one.name, 0), "reserved_percentage": _RESERVED, "QoS_support": True, "multiattach": True,
            "thin_provisioning_support": True, "thick_provisioning_support": False, "location_info": one.name,
            "backend_state": "up" if one.alive else "down", "timestamp": iso_micro(one.seen or now()), "updated": iso_micro(one.seen or now()),
        }  # fmt: skip
        out.append({"name": name} | ({"capabilities": facts} if detail else {}))
    return {"pools": out}


@api.get("/capabilities/{host}", policy=admin("capabilities:show"))
def show_capabilities(ctx: Context, host: str) -> dict[str, Any]:
    """What the storage of a host can do."""
    name = host.partition("@")[0]
    if name not in {one.name for one in ctx.parts.carriers.every(ctx.db)}:
        raise NotFound(f"Service {host} could not be found.")
    properties = {
        "qos": {"title": "QoS", "description": "Limits on requests and bytes a second, in front of the guest.", "type": "boolean"},
        "multiattach": {"title": "Multiattach", "description": "Several servers at once (raw volumes).", "type": "boolean"},
        "thin_provisioning": {"title": "Thin Provisioning", "description": "Room is taken when it is written.", "type": "boolean"},
    }
    return {
        "namespace": f"OS::Storage::Capabilities::{host}", "vendor_name": "Andromède", "volume_backend_name": placing.POOL, "pool_name": None,
        "driver_version": "1.0", "storage_protocol": "file", "display_name": None, "description": None, "visibility": None,
        "replication_targets": [], "properties": properties,
    }  # fmt: skip


@api.get("/os-availability-zone", policy=reader("availability_zone:list"))
def list_zones(ctx: Context) -> dict[str, Any]:
    """The zones that volumes can be in."""
    zones: dict[str, bool] = {}
    for one in ctx.parts.carriers.every(ctx.db):
        zones[one.zone] = zones.get(one.zone, False) or one.enabled
    return {"availabilityZoneInfo": [{"zoneName": name, "zoneState": {"available": up}} for name, up in sorted(zones.items())]}


_EXTENSIONS = {
    "os-admin-actions": "AdminActions", "os-availability-zone": "AvailabilityZones", "backups": "Backups", "capabilities": "Capabilities",
    "os-extended-snapshot-attributes": "ExtendedSnapshotAttributes", "os-hosts": "Hosts", "os-vol-tenant-attr": "VolumeTenantAttribute",
    "qos-specs": "Qos_specs_manage", "os-quota-class-sets": "QuotaClasses", "os-quota-sets": "Quotas", "scheduler-stats": "Scheduler_stats",
    "os-services": "Services", "os-snapshot-actions": "SnapshotActions", "os-types-extra-specs": "TypesExtraSpecs",
    "os-types-manage": "TypesManage", "os-used-limits": "UsedLimits", "os-volume-actions": "VolumeActions",
    "os-volume-encryption-metadata": "VolumeEncryptionMetadata", "os-vol-host-attr": "VolumeHostAttribute",
    "os-vol-image-meta": "VolumeImageMetadata", "os-vol-mig-status-attr": "VolumeMigStatusAttribute", "os-volume-transfer": "VolumeTransfer",
    "os-volume-type-access": "VolumeTypeAccess", "encryption": "VolumeTypeEncryption",
}  # fmt: skip
_TOLD = "2026-01-01T00:00:00+00:00"


@api.get("/extensions", policy=reader("extensions:list"))
def list_extensions(ctx: Context) -> dict[str, Any]:  # noqa: ARG001 - they are the same for everybody
    """What is served beyond the core of older versions."""
    more = {"updated": _TOLD, "links": [], "namespace": ""}
    return {"extensions": [{"alias": alias, "name": name, "description": f"{name}.", **more} for alias, name in _EXTENSIONS.items()]}


_FILTERS = {
    "volume": ["name", "status", "metadata", "bootable", "migration_status", "availability_zone", "group_id", "size", "created_at", "updated_at"],
    "snapshot": ["name", "status", "volume_id", "metadata", "availability_zone", "created_at", "updated_at"],
    "backup": ["name", "status", "volume_id"], "group": ["name", "status"], "group_snapshot": ["name", "status", "group_id"],
    "attachment": ["volume_id", "status", "instance_id"], "message": ["resource_uuid", "resource_type", "event_id", "request_id", "message_level"],
    "pool": ["name"], "volume_type": ["is_public"],
}  # fmt: skip


@api.get("/resource_filters", policy=reader("resource_filters:list"), versions=("3.33", "3.70"))
def list_filters(ctx: Context) -> dict[str, Any]:
    """What each list can be filtered by."""
    wanted = ctx.query.get("resource")
    return {"resource_filters": [{"resource": name, "filters": keys} for name, keys in _FILTERS.items() if wanted in (None, name)]}


# messages


def _message(ctx: Context, row: Any) -> dict[str, Any]:
    return {
        "id": row["id"], "request_id": row["request_id"] or "", "event_id": row["event"], "user_message": row["text"],
        "message_level": row["level"], "created_at": when(row["created"]), "guaranteed_until": when(row["expires"]),
        "resource_type": row["resource_type"], "resource_uuid": row["resource_id"], "links": links(ctx, "messages", row["id"]),
    }  # fmt: skip


_MESSAGES = ("3.3", "3.70")


@api.get("/messages", policy=reader("messages:list"), versions=_MESSAGES)
def list_messages(ctx: Context) -> dict[str, Any]:
    """What went wrong with the project's things in the background, newest first."""
    columns = {
        "resource_uuid": message.c.resource_id, "resource_type": message.c.resource_type, "event_id": message.c.event,
        "request_id": message.c.request_id, "message_level": message.c.level,
    }  # fmt: skip
    found = listing.page(ctx, select(message), message, "messages", columns=columns, sortable=columns)
    return {"messages": [_message(ctx, row) for row in found.rows], **found.more}


def _own_message(ctx: Context, message_id: str) -> Any:
    row = ctx.db.execute(select(message).where(message.c.id == message_id)).mappings().first()
    if row is None or not (ctx.caller.admin or row["project_id"] == ctx.caller.project_id):
        raise NotFound(f"Message {message_id} could not be found.")
    return row


@api.get("/messages/{message_id}", policy=reader("messages:show"), versions=_MESSAGES)
def show_message(ctx: Context, message_id: str) -> dict[str, Any]:
    """One message."""
    return {"message": _message(ctx, _own_message(ctx, message_id))}


@api.delete("/messages/{message_id}", policy=member("messages:delete"), versions=_MESSAGES)
def delete_message(ctx: Context, message_id: str) -> None:
    """Forget it."""
    ctx.db.execute(delete(message).where(message.c.id == _own_message(ctx, message_id)["id"]))


