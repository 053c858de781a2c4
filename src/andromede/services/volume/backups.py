"""The rules of backups: who sees one, making one of a volume, restoring it, and carrying its record to another cloud's database."""

import base64
import re
from typing import Any

import msgspec
from sqlalchemy import func, insert, select

from andromede.core.clock import now
from andromede.core.context import Context
from andromede.core.errors import BadRequest, NotFound
from andromede.core.ids import is_id, new_id
from andromede.services.key_manager import service as keys
from andromede.services.volume import operations, types, volumes, waiting
from andromede.services.volume.tables import backup, snapshot
from andromede.services.volume.volumes import Plan

CONTAINER = "volumebackups"
_PREFIX = re.compile(r"volume_[0-9a-f-]{36}/\d{14}/backup_[0-9a-f-]{36}/")
SERVICE = "cinder.backup.drivers.andromede"


def find(ctx: Context, backup_id: str) -> Any:
    """A backup's row (a mapping) that the caller may know. Raises NotFound."""
    row = ctx.db.execute(select(backup).where(backup.c.id == backup_id)).mappings().first()
    if row is None or not (ctx.caller.admin or row["project_id"] == ctx.caller.project_id):
        raise NotFound(f"Backup {backup_id} could not be found.")
    return row


def create(
    ctx: Context, volume_id: str, *, name: str | None, description: str | None, container: str | None, incremental: bool, force: bool,
    snapshot_id: str | None, metadata: dict[str, str],
) -> str:  # fmt: skip
    """Begin a backup of a volume; answers its id. Raises BadRequest, NotFound, QuotaExceeded."""
    row = volumes.find(ctx, volume_id)
    if snapshot_id is not None:
        one = volumes.find_snapshot(ctx, snapshot_id)
        if one["volume_id"] != row["id"] or one["status"] != "available":
            raise BadRequest(f"Invalid snapshot: {snapshot_id} must be an available one of the volume.")
    allowed = ("available", "in-use") if force or snapshot_id is not None else ("available",)
    volumes.require(row, "be backed up", *allowed)
    if row["format"] == "raw" and row["status"] == "in-use":
        raise BadRequest("Invalid volume: a volume of the raw format cannot be backed up while it is in use.")
    parent = _parent(ctx, row["id"]) if incremental else None
    if incremental and parent is None:
        raise BadRequest("Invalid backup: No backups available to do an incremental backup.")
    if container is not None and (not container.strip() or "/" in container or len(container) > 255):
        raise BadRequest("Invalid input for field/attribute container. It must be the name of a container.")
    ctx.take(row["project_id"], backups=1, backup_gigabytes=row["size"])
    id_, moment = new_id(), now()
    taken = ctx.db.scalar(select(snapshot.c.created).where(snapshot.c.id == snapshot_id)) if snapshot_id is not None else None
    sealed = keys.sealed(ctx.db, [row["key_id"]])[row["key_id"]] if row["key_id"] is not None else None
    ctx.db.execute(
        insert(backup).values(
            id=id_, project_id=row["project_id"], user_id=ctx.caller.user_id, volume_id=row["id"], snapshot_id=snapshot_id,
            parent_id=parent["id"] if parent is not None else None, name=name, description=description, zone=row["zone"],
            container=container or (parent["container"] if parent is not None else CONTAINER),
            prefix=f"volume_{row['id']}/{moment:%Y%m%d%H%M%S}/backup_{id_}/", size=row["size"], status="creating", metadata=metadata,
            of_volume={"metadata": row["metadata"], "image": row["image"], "bootable": row["bootable"]},
            sealed=sealed, data_timestamp=taken or moment, created=moment,
        )
    )  # fmt: skip
    waiting.write(ctx.db, row["id"], status="backing-up", previous=row["status"])
    memo = {"backup": id_, "format": "raw"} | ({"snapshot": snapshot_id} if snapshot_id is not None else {})
    _submit(ctx, operations.BACKUP, row["id"], row["project_id"], memo)
    return id_


def _parent(ctx: Context, volume_id: str) -> Any:
    query = select(backup).where(backup.c.volume_id == volume_id, backup.c.status == "available").order_by(backup.c.data_timestamp.desc())
    return ctx.db.execute(query.limit(1)).mappings().first()


def _submit(ctx: Context, kind: Any, resource: str, project_id: str, memo: dict[str, Any]) -> None:
    ctx.parts.operations.submit(ctx.db, kind, resource, project_id=project_id, request_id=ctx.request_id, memo=memo)


def restore(ctx: Context, row: Any, volume_id: str | None, name: str | None) -> str:
    """Begin to put a backup into a volume, or into a new one; answers the volume's id. Raises BadRequest, QuotaExceeded."""
    if row["status"] != "available":
        raise BadRequest(f"Invalid backup: Backup status must be available, but is {row['status']}.")
    if volume_id is None:
        id_ = volumes.add(ctx, Plan(size=row["size"], type=types.default(ctx), backup_id=row["id"]), name=name or f"restore_backup_{row['id']}")
        fill(ctx, id_, row["id"])
        return id_
    if not is_id(volume_id):
        raise BadRequest(f"Invalid input for field/attribute volume_id. Value: {volume_id}. It is not an id.")
    target = volumes.find(ctx, volume_id)
    volumes.require(target, "be restored to", "available")
    if target["size"] < row["size"]:
        raise BadRequest(f"Invalid volume: volume size {target['size']}GB is too small to restore backup of size {row['size']}GB.")
    if ctx.db.scalar(select(func.count()).where(snapshot.c.volume_id == target["id"])):
        raise BadRequest("Invalid volume: a volume with snapshots cannot be restored to.")
    volumes.unread(ctx.db, target["id"])
    waiting.write(ctx.db, target["id"], status="restoring-backup", previous="available")
    ctx.db.execute(backup.update().where(backup.c.id == row["id"]).values(status="restoring"))
    _submit(ctx, operations.RESTORE, target["id"], target["project_id"], {"backup": row["id"], "make": target["make"] + 1})
    return str(target["id"])


def fill(ctx: Context, volume_id: str, backup_id: str) -> None:
    """Have a new volume made from a backup."""
    kept = ctx.db.scalar(select(backup.c.of_volume).where(backup.c.id == backup_id)) or {}
    known = {name: kept[name] for name in ("metadata", "image", "bootable") if kept.get(name)}
    waiting.write(ctx.db, volume_id, status="restoring-backup", **known)
    ctx.db.execute(backup.update().where(backup.c.id == backup_id).values(status="restoring"))
    _submit(ctx, operations.RESTORE, volume_id, ctx.project_id, {"backup": backup_id, "make": 1})


def remove(ctx: Context, row: Any, *, force: bool = False) -> None:
    """Begin to delete a backup. Raises BadRequest where others are built on it."""
    if row["status"] not in ("available", "error") and not force:
        raise BadRequest("Invalid backup: Backup status must be available or error.")
    if dependents(ctx, row["id"]):
        raise BadRequest("Invalid backup: Incremental backups exist for this backup.")
    ctx.parts.operations.cancel(ctx.db, row["id"])
    ctx.db.execute(backup.update().where(backup.c.id == row["id"]).values(status="deleting", updated=now()))
    _submit(ctx, operations.UNBACKUP, row["id"], row["project_id"], {"backup": row["id"]})


def dependents(ctx: Context, backup_id: str) -> int:
    """How many incremental backups are built on one."""
    return ctx.db.scalar(select(func.count()).where(backup.c.parent_id == backup_id)) or 0


_CARRIED = (
    "id", "volume_id", "snapshot_id", "parent_id", "name", "description", "container", "prefix", "zone", "size", "objects", "metadata", "sealed",
    "of_volume", "data_timestamp", "project_id", "user_id", "created",
)  # fmt: skip


def record(row: Any) -> str:
    """A backup's row, as it is carried to another database."""
    return base64.b64encode(msgspec.json.encode({name: row[name] for name in _CARRIED})).decode()


class _Record(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    volume_id: str
    project_id: str
    user_id: str
    container: str
    prefix: str
    size: int
    objects: int
    metadata: dict[str, str]
    created: msgspec.UnsetType | str = msgspec.UNSET
    data_timestamp: str | None = None
    snapshot_id: str | None = None
    parent_id: str | None = None
    name: str | None = None
    description: str | None = None
    zone: str | None = None
    sealed: bytes | None = None
    of_volume: dict[str, Any] | None = None


def bring(ctx: Context, text: str) -> str:
    """A row of the caller's project from what `record` gave; its id. Raises BadRequest for anything else, or a backup that is there already."""
    from andromede.core.clock import parse

    try:
        one = msgspec.json.decode(base64.b64decode(text, validate=True), type=_Record)
        moments = {name: parse(str(value)) if (value := getattr(one, name)) else now() for name in ("created", "data_timestamp")}
    except (ValueError, msgspec.MsgspecError) as error:
        raise BadRequest("Invalid input: the record of a backup cannot be read.") from error
    if ctx.db.execute(select(backup.c.id).where(backup.c.id == one.id)).first() is not None:
        raise BadRequest(f"Invalid backup: backup {one.id} is known already.")
    if not is_id(one.id) or not _PREFIX.fullmatch(one.prefix):
        raise BadRequest("Invalid input: the record of a backup is not one of this cloud's.")
    values = {name: getattr(one, name) for name in _CARRIED if name not in moments}
    account = (one.of_volume or {}).get("account") or one.project_id
    values |= {"project_id": ctx.project_id, "user_id": ctx.caller.user_id, "of_volume": {**(one.of_volume or {}), "account": account}}
    ctx.db.execute(insert(backup).values(status="available", **values, **moments))
    return one.id
