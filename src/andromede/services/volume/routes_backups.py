"""Routes of backups. Source: Block Storage API v3, "Backups"."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import select, update

from andromede.core.clock import now
from andromede.core.context import Context
from andromede.core.errors import BadRequest
from andromede.core.ids import is_id
from andromede.http.wire import Body, since
from andromede.services.volume import backups, listing, volumes
from andromede.services.volume.api import Metadata, Name, admin, api, clean, links, member, reader, truth, when
from andromede.services.volume.tables import backup

_ALL, _ONE = "/backups", "/backups/{backup_id}"
_COLUMNS = {"name": backup.c.name, "status": backup.c.status, "volume_id": backup.c.volume_id, "id": backup.c.id, "snapshot_id": backup.c.snapshot_id}


class NewBackup(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is asked for."""

    volume_id: str
    name: Name | None = None
    description: str | None = None
    container: str | None = None
    incremental: bool | str | None = None
    force: bool | str | None = None
    snapshot_id: str | None = None
    metadata: Annotated[Metadata | None, since("3.43")] | UnsetType = UNSET
    availability_zone: Annotated[str | None, since("3.51")] | UnsetType = UNSET


class CreateBackup(Body):
    """`POST /backups`."""

    backup: NewBackup


def _brief(ctx: Context, row: Any) -> dict[str, Any]:
    return {"id": row["id"], "name": row["name"], "links": links(ctx, "backups", row["id"])}


def _full(ctx: Context, row: Any) -> dict[str, Any]:
    out = _brief(ctx, row) | {
        "status": row["status"], "size": row["size"], "object_count": row["objects"], "container": row["container"],
        "description": row["description"], "availability_zone": row["zone"], "created_at": when(row["created"]),
        "updated_at": when(row["updated"]), "volume_id": row["volume_id"], "fail_reason": row["fail_reason"],
        "is_incremental": row["parent_id"] is not None, "has_dependent_backups": backups.dependents(ctx, row["id"]) > 0,
        "data_timestamp": when(row["data_timestamp"]), "snapshot_id": row["snapshot_id"],
    }  # fmt: skip
    if ctx.at_least("3.18") and ctx.caller.admin:
        out["os-backup-project-attr:project_id"] = row["project_id"]
    if ctx.at_least("3.43"):
        out["metadata"] = row["metadata"]
    if ctx.at_least("3.56"):
        out["user_id"] = row["user_id"]
    if ctx.at_least("3.64"):
        out["encryption_key_id"] = None
    return out


@api.post(_ALL, status=202, policy=member("backups:create"), quota=("backups", "backup_gigabytes"))
def create_backup(ctx: Context, body: CreateBackup) -> dict[str, Any]:
    """Copy a volume into the project's object storage, whole or (`incremental`) what changed since the last backup.

    Errors: 400 a volume whose state does not allow it; 404 no such volume; 413 over a quota.
    """
    wanted = body.backup
    if not is_id(wanted.volume_id) or (wanted.snapshot_id and not is_id(wanted.snapshot_id)):
        raise BadRequest("Invalid input for field/attribute backup. volume_id and snapshot_id must be ids.")
    id_ = backups.create(
        ctx, wanted.volume_id, name=clean(wanted.name, "name"), description=wanted.description, container=wanted.container,
        incremental=wanted.incremental is not None and truth(wanted.incremental, "incremental"),
        force=wanted.force is not None and truth(wanted.force, "force"), snapshot_id=wanted.snapshot_id or None, metadata=wanted.metadata or {},
    )  # fmt: skip
    shown = _brief(ctx, backups.find(ctx, id_))
    return {"backup": shown | ({"metadata": wanted.metadata or {}} if ctx.at_least("3.43") else {})}


def _page(ctx: Context, path: str) -> listing.Listed:
    sortable = _COLUMNS | {"size": backup.c.size, "data_timestamp": backup.c.data_timestamp}
    return listing.page(ctx, select(backup), backup, "backups", path=path, columns=_COLUMNS, sortable=sortable)


@api.get(_ALL, policy=reader("backups:list"))
def list_backups(ctx: Context) -> dict[str, Any]:
    """Backups in short."""
    found = _page(ctx, "backups")
    return {"backups": [_brief(ctx, row) for row in found.rows], **found.more}


@api.get(_ALL + "/detail", policy=reader("backups:detail"))
def list_backups_in_full(ctx: Context) -> dict[str, Any]:
    """Backups in full."""
    found = _page(ctx, "backups/detail")
    return {"backups": [_full(ctx, row) for row in found.rows], **found.more}


@api.get(_ONE, policy=reader("backups:show"))
def show_backup(ctx: Context, backup_id: str) -> dict[str, Any]:
    """One backup."""
    return {"backup": _full(ctx, backups.find(ctx, backup_id))}


class BackupChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What can be changed of a backup."""

    name: Name | None | UnsetType = UNSET
    description: str | None | UnsetType = UNSET
    metadata: Annotated[Metadata, since("3.43")] | UnsetType = UNSET


class UpdateBackup(Body):
    """`PUT /backups/{id}`."""

    backup: BackupChange


@api.put(_ONE, policy=member("backups:update"), versions=("3.9", "3.70"))
def update_backup(ctx: Context, backup_id: str, body: UpdateBackup) -> dict[str, Any]:
    """Rename a backup, or describe it anew."""
    row, wanted = backups.find(ctx, backup_id), body.backup
    values = {name: value for name in ("name", "description", "metadata") if (value := getattr(wanted, name)) is not UNSET}
    if not values:
        raise BadRequest("Invalid input: at least one of name, description and metadata must be there.")
    ctx.db.execute(update(backup).where(backup.c.id == row["id"]).values(updated=now(), **values))
    return {"backup": _brief(ctx, backups.find(ctx, backup_id))}


@api.delete(_ONE, policy=member("backups:delete"), status=202)
def delete_backup(ctx: Context, backup_id: str) -> None:
    """Delete a backup that no incremental one is built on."""
    backups.remove(ctx, backups.find(ctx, backup_id))


class RestoreFields(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Where to. Nothing: a new volume."""

    volume_id: str | None = None
    name: Name | None = None


class Restore(Body):
    """`POST /backups/{id}/restore`."""

    restore: RestoreFields


@api.post(_ONE + "/restore", status=202, policy=member("backups:restore"), quota=("volumes", "gigabytes"))
def restore_backup(ctx: Context, backup_id: str, body: Restore) -> dict[str, Any]:
    """Put a backup into a volume, or into a new one."""
    row = backups.find(ctx, backup_id)
    if body.restore.volume_id is not None:
        ctx.take(volumes=0, gigabytes=0)
    id_ = backups.restore(ctx, row, body.restore.volume_id, body.restore.name)
    return {"restore": {"backup_id": row["id"], "volume_id": id_, "volume_name": volumes.find(ctx, id_)["name"]}}


@api.get(_ONE + "/export_record", policy=admin("backups:export_record"))
def export_record(ctx: Context, backup_id: str) -> dict[str, Any]:
    """A backup's record, to be imported where the objects are and the record is not."""
    row = backups.find(ctx, backup_id)
    if row["status"] != "available":
        raise BadRequest("Invalid backup: Backup status must be available to be exported.")
    return {"backup-record": {"backup_service": backups.SERVICE, "backup_url": backups.record(row)}}


class RecordFields(msgspec.Struct, forbid_unknown_fields=True):
    """What `export_record` answered."""

    backup_service: str
    backup_url: str


class ImportRecord(Body):
    """`POST /backups/import_record`."""

    record: RecordFields = msgspec.field(name="backup-record")


@api.post(_ALL + "/import_record", status=201, policy=admin("backups:import_record"))
def import_record(ctx: Context, body: ImportRecord) -> dict[str, Any]:
    """Bring a backup's record back."""
    if body.record.backup_service != backups.SERVICE:
        raise BadRequest(f"Invalid input for field/attribute backup_service. It must be {backups.SERVICE}.")
    return {"backup": _brief(ctx, backups.find(ctx, backups.bring(ctx, body.record.backup_url)))}


class ResetStatus(Body):
    """The os-reset_status action."""

    status: str


@api.action(_ONE + "/action", "os-reset_status", policy=admin("backups:reset_status"))
def reset_status(ctx: Context, backup_id: str, body: ResetStatus) -> None:
    """Set the state by hand: `available` or `error`."""
    row = backups.find(ctx, backup_id)
    if body.status not in ("available", "error"):
        raise BadRequest(f"Invalid input for field/attribute status. Value: {body.status}. It must be available or error.")
    ctx.db.execute(update(backup).where(backup.c.id == row["id"]).values(status=body.status, updated=now()))


@api.action(_ONE + "/action", "os-force_delete", policy=admin("backups:force_delete"))
def force_delete(ctx: Context, backup_id: str) -> None:
    """Delete it whatever its state."""
    backups.remove(ctx, backups.find(ctx, backup_id), force=True)
