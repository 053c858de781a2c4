"""From rows to what is shown of volumes and snapshots."""

from typing import Any

from sqlalchemy import select

from andromede.core.context import Context
from andromede.services.volume import placing, types
from andromede.services.volume.api import links, when
from andromede.services.volume.tables import attachment


def brief(ctx: Context, row: Any) -> dict[str, Any]:
    """A line of the short list."""
    return {"id": row["id"], "name": row["name"], "links": links(ctx, "volumes", row["id"])}


def attachments(ctx: Context, rows: list[Any]) -> dict[str, list[dict[str, Any]]]:
    """What volumes are attached to, by volume."""
    out: dict[str, list[dict[str, Any]]] = {}
    ids = [row["id"] for row in rows]
    query = select(attachment).where(attachment.c.volume_id.in_(ids), attachment.c.status.in_(("attached", "detaching")))
    for one in ctx.db.execute(query.order_by(attachment.c.created)):
        out.setdefault(one.volume_id, []).append(
            {
                "id": one.volume_id, "attachment_id": one.id, "volume_id": one.volume_id, "server_id": one.server_id,
                "host_name": one.host_name if ctx.caller.admin else None, "device": one.mountpoint, "attached_at": when(one.attached),
            }
        )  # fmt: skip
    return out


def full(ctx: Context, rows: list[Any]) -> list[dict[str, Any]]:
    """Volumes in full."""
    named = types.names(ctx.db, [row["type_id"] for row in rows])
    held = attachments(ctx, rows)
    zones = {one.name: one.zone for one in ctx.parts.carriers.every(ctx.db)}
    return [_one(ctx, row, named, held.get(row["id"], []), zones) for row in rows]


def created(ctx: Context, row: Any) -> dict[str, Any]:
    """What a request that makes or changes a volume answers: less than the whole."""
    whole = full(ctx, [row])[0]
    hidden = ("os-", "volume_image_metadata", "volume_type_id", "encryption_key_id", "cluster_name")
    kept = {name: value for name, value in whole.items() if not name.startswith(hidden)}
    for name in ("volume_type_id", "encryption_key_id"):
        if name in whole:
            kept[name] = whole[name]
    return kept


def _one(ctx: Context, row: Any, named: dict[str, str], held: list[Any], zones: dict[str, str]) -> dict[str, Any]:
    metadata = dict(row["metadata"]) | ({} if row["readonly"] is None else {"readonly": str(row["readonly"])})
    out: dict[str, Any] = {
        "id": row["id"], "name": row["name"], "description": row["description"], "status": row["status"], "size": row["size"],
        "availability_zone": zones.get(row["host"] or "") or row["zone"] or "nova", "created_at": when(row["created"]),
        "updated_at": when(row["updated"]), "attachments": held, "links": links(ctx, "volumes", row["id"]), "user_id": row["user_id"],
        "bootable": str(row["bootable"]).lower(), "encrypted": row["key_id"] is not None, "multiattach": row["multiattach"],
        "metadata": metadata, "replication_status": None, "consistencygroup_id": None, "snapshot_id": row["snapshot_id"],
        "source_volid": row["source_id"], "volume_type": named.get(row["type_id"]), "migration_status": None,
        "os-vol-tenant-attr:tenant_id": row["project_id"],
    }  # fmt: skip
    if row["image"]:
        out["volume_image_metadata"] = row["image"]
    if ctx.caller.admin:
        out |= {
            "os-vol-host-attr:host": placing.backend(row["host"]), "os-vol-mig-status-attr:migstat": row["migration_status"],
            "os-vol-mig-status-attr:name_id": None, "migration_status": row["migration_status"],
        }  # fmt: skip
    if ctx.at_least("3.13"):
        out["group_id"] = row["group_id"]
    if ctx.at_least("3.21"):
        out["provider_id"] = None
    if ctx.at_least("3.48"):
        out |= {"service_uuid": None, "shared_targets": None if ctx.at_least("3.69") else False}
    if ctx.at_least("3.61") and ctx.caller.admin:
        out["cluster_name"] = None
    if ctx.at_least("3.63"):
        out["volume_type_id"] = row["type_id"]
    if ctx.at_least("3.64") and row["key_id"] is not None:
        out["encryption_key_id"] = row["key_id"]
    if ctx.at_least("3.65"):
        out["consumes_quota"] = row["counted"]
    return out


def snapshot(ctx: Context, row: Any, *, whole: bool = True) -> dict[str, Any]:
    """A snapshot. whole: with what only showing one and listing in detail tell."""
    out: dict[str, Any] = {
        "id": row["id"], "name": row["name"], "description": row["description"], "status": row["status"], "size": row["size"],
        "volume_id": row["volume_id"], "metadata": row["metadata"], "created_at": when(row["created"]), "updated_at": when(row["updated"]),
    }  # fmt: skip
    if whole:
        out |= {
            "os-extended-snapshot-attributes:progress": row["progress"] or ("100%" if row["status"] == "available" else "0%"),
            "os-extended-snapshot-attributes:project_id": row["project_id"],
        }
    if ctx.at_least("3.14"):
        out["group_snapshot_id"] = row["group_snapshot_id"]
    if ctx.at_least("3.41"):
        out["user_id"] = row["user_id"]
    if ctx.at_least("3.65"):
        out["consumes_quota"] = row["counted"]
    return out


def type_(ctx: Context, row: Any) -> dict[str, Any]:
    """A volume type."""
    out = {
        "id": row.id, "name": row.name, "description": row.description, "is_public": row.public, "os-volume-type-access:is_public": row.public,
        "extra_specs": row.extra_specs,
    }  # fmt: skip
    return out | ({"qos_specs_id": row.qos_id} if ctx.caller.admin else {})
