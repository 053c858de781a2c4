"""The rules of volumes: creating, finding, listing, changing and deleting them."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType, field
from sqlalchemy import Connection, func, insert, select

from andromede.core.clock import now
from andromede.core.context import Context
from andromede.core.errors import BadRequest, NotFound
from andromede.core.ids import is_id, new_id
from andromede.core.units import GIB
from andromede.drivers import block
from andromede.http.wire import Body, since
from andromede.services.image import service as image
from andromede.services.key_manager import service as keys
from andromede.services.volume import groups_of, operations, placing, quotas, types, waiting
from andromede.services.volume.api import Metadata, Name, clean, truth
from andromede.services.volume.tables import EMPTY, FOREIGN, attachment, backup, group, snapshot, volume

_MOST_SIZE = 1 << 20
IDLE = ("available", "in-use")
DELETABLE = ("available", "error", "error_restoring", "error_extending", "error_managing", "error_deleting", "creating")


class NewVolume(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is asked for in a new volume. `display_*` are older names; what is None was not asked for."""

    size: int | str | None = None
    name: Name | None = None
    display_name: Name | None = None
    description: str | None = None
    display_description: str | None = None
    volume_type: str | None = None
    snapshot_id: str | None = None
    source_volid: str | None = None
    image_ref: str | None = field(name="imageRef", default=None)
    image_id: str | None = None
    backup_id: Annotated[str | None, since("3.47")] | UnsetType = UNSET
    availability_zone: str | None = None
    metadata: Metadata | None = None
    multiattach: bool | str | None = None
    consistencygroup_id: str | None = None
    source_replica: str | None = None
    group_id: Annotated[str | None, since("3.13")] | UnsetType = UNSET
    user_id: str | None = None
    project_id: str | None = None
    status: str | None = None
    attach_status: str | None = None
    source_status: str | None = None
    encryption_key_id: str | None = None


class CreateVolume(Body, kw_only=True):
    """`POST /volumes`."""

    volume: NewVolume
    hints: dict[str, Any] | None | UnsetType = field(name="OS-SCH-HNT:scheduler_hints", default=UNSET)


class Plan(msgspec.Struct, kw_only=True):
    """What a volume is to be, with its source looked up. source: `drivers.block.Source`; reading: the volume that it is read from."""

    size: int
    type: Any
    source: dict[str, Any] | None = None
    reading: str | None = None
    snapshot_id: str | None = None
    source_id: str | None = None
    backup_id: str | None = None
    image: dict[str, Any] | None = None
    bootable: bool = False
    contents: str = EMPTY


def find(ctx: Context, volume_id: str) -> Any:
    """A volume's row (a mapping) that the caller may know. Raises NotFound."""
    row = ctx.db.execute(select(volume).where(volume.c.id == volume_id)).mappings().first()
    if row is None or not (ctx.caller.admin or row["project_id"] == ctx.caller.project_id):
        raise NotFound(f"Volume {volume_id} could not be found.")
    return row


def create(ctx: Context, body: CreateVolume) -> str:
    """The id of a new volume, which is being made when this returns. Raises BadRequest, NotFound, QuotaExceeded."""
    wanted = body.volume
    plan = _plan(ctx, wanted)
    group_row = _group(ctx, wanted, plan)
    hints = body.hints if isinstance(body.hints, dict) else {}
    away = [row.host for row in _named(ctx.db, hints.get("different_host")) if row.host]
    id_ = add(
        ctx, plan, name=clean(wanted.name if wanted.name is not None else wanted.display_name, "name"),
        description=wanted.description if wanted.description is not None else wanted.display_description,
        metadata=wanted.metadata or {}, zone=_zone(ctx, wanted.availability_zone), hints=hints | ({"_different": away} if away else {}),
        group_id=group_row.id if group_row is not None else None,
    )  # fmt: skip
    if plan.backup_id is not None:
        from andromede.services.volume import backups

        backups.fill(ctx, id_, plan.backup_id)
    else:
        ctx.parts.operations.submit(ctx.db, operations.CREATE, id_, project_id=ctx.project_id, request_id=ctx.request_id)
    return id_


def _named(db: Connection, ids: Any) -> list[Any]:
    wanted = [one for one in (ids if isinstance(ids, list) else [ids]) if isinstance(one, str) and is_id(one)]
    return list(db.execute(select(volume).where(volume.c.id.in_(wanted)))) if wanted else []


def add(ctx: Context, plan: Plan, *, name: str | None, description: str | None = None, **more: Any) -> str:
    """Write a new volume's row, within the quotas; `metadata`, `zone`, `hints`, `group_id` may be given. Answers its id."""
    project, user, id_ = ctx.project_id, ctx.caller.user_id, new_id()
    quotas.take(ctx, project, plan.type.id, volumes=1, gigabytes=plan.size)
    quotas.one_volume(ctx, project, plan.size)
    facts = types.facts(plan.type)
    key_id = None
    if facts.bits:
        name_of = f"volume {id_}"
        key_id = keys.create_key(ctx.db, ctx.parts.sealer, project_id=project, user_id=user, bits=facts.bits, name=name_of)
    ctx.db.execute(
        insert(volume).values(
            id=id_, project_id=project, user_id=user, name=name, description=description, size=plan.size, status="creating",
            wanted_zone=more.get("zone"), zone=more.get("zone"), type_id=plan.type.id, snapshot_id=plan.snapshot_id,
            source_id=plan.source_id, backup_id=plan.backup_id, group_id=more.get("group_id"), image=plan.image,
            metadata=more.get("metadata") or {}, bootable=plan.bootable, contents=plan.contents, multiattach=facts.multiattach, key_id=key_id,
            hints=more.get("hints") or {}, format=facts.format, source=plan.source, reading=plan.reading, exports=[], created=now(),
        )
    )  # fmt: skip
    return id_


def _plan(ctx: Context, wanted: NewVolume) -> Plan:
    image_ref = wanted.image_ref or wanted.image_id
    backup_id = wanted.backup_id or None
    sources = [one for one in (wanted.snapshot_id, wanted.source_volid, image_ref, backup_id) if one]
    if len(sources) > 1:
        raise BadRequest("Volume resource can be created from only one of snapshot, source volume, image and backup.")
    for field_name, value in (("snapshot_id", wanted.snapshot_id), ("source_volid", wanted.source_volid), ("imageRef", image_ref)):
        if value and not is_id(value.rstrip("/").rpartition("/")[2]):
            raise BadRequest(f"Invalid input for field/attribute {field_name}. Value: {value}. It is not an id.")
    if wanted.consistencygroup_id or wanted.source_replica:
        raise BadRequest("Consistency groups and replicas are not served; groups are (microversion 3.13).")
    size = size_of(wanted.size) if wanted.size is not None else None
    if wanted.snapshot_id:
        plan = from_snapshot(ctx, wanted.snapshot_id, size, wanted.volume_type)
    elif wanted.source_volid:
        plan = from_volume(ctx, wanted.source_volid, size, wanted.volume_type)
    elif image_ref:
        plan = from_image(ctx, image_ref.rstrip("/").rpartition("/")[2], size, wanted.volume_type)
    elif backup_id:
        plan = _from_backup(ctx, backup_id, size, wanted.volume_type)
    else:
        if size is None:
            raise BadRequest("Invalid input received: a size is needed for a volume that is made from nothing.")
        plan = Plan(size=size, type=types.wanted(ctx, wanted.volume_type))
    if wanted.multiattach is not None and truth(wanted.multiattach, "multiattach") and not types.facts(plan.type).multiattach:
        raise BadRequest("A volume that several servers attach at once needs a type with the extra spec multiattach='<is> True'.")
    return plan


def size_of(value: Any, field_name: str = "size") -> int:
    """A size in GiB. Raises BadRequest."""
    text = str(value)
    if isinstance(value, bool) or not text.isdecimal() or not text.isascii() or not 1 <= int(text[:10]) <= _MOST_SIZE:
        raise BadRequest(f"Invalid input for field/attribute {field_name}. Value: {value}. It must be a whole number from 1 to {_MOST_SIZE}.")
    return int(text)


def _at_least(size: int | None, least: int, what: str) -> int:
    if size is not None and size < least:
        raise BadRequest(f"Invalid input received: Volume size '{size}'GB cannot be smaller than the {what} size {least}GB.")
    return size or least


def blank(ctx: Context, size: int, type_name: str | None) -> Plan:
    """An empty volume."""
    return Plan(size=size, type=types.wanted(ctx, type_name))


def from_snapshot(ctx: Context, snapshot_id: str, size: int | None, type_name: str | None) -> Plan:
    """A volume as another was when a snapshot was made. Raises NotFound, BadRequest."""
    one = find_snapshot(ctx, snapshot_id)
    if one["status"] != "available":
        raise BadRequest("Invalid snapshot: Originating snapshot status must be one of 'available' values")
    row = ctx.db.execute(select(volume).where(volume.c.id == one["volume_id"])).mappings().one()
    chosen = types.wanted(ctx, type_name) if type_name else types.by_id(ctx.db, row["type_id"]) or types.wanted(ctx, None)
    source = block.Source(volume=row["id"], snapshot=one["id"])
    return Plan(
        size=_at_least(size, one["size"], "snapshot"), type=chosen, source=msgspec.to_builtins(source), reading=row["id"],
        snapshot_id=one["id"], image=row["image"], bootable=row["bootable"], contents=row["contents"],
    )  # fmt: skip


def from_volume(ctx: Context, volume_id: str, size: int | None, type_name: str | None) -> Plan:
    """A volume as another is now. Raises NotFound, BadRequest."""
    row = find(ctx, volume_id)
    if row["status"] not in IDLE or (row["format"] == "raw" and row["status"] != "available"):
        raise BadRequest("Invalid volume: Unable to create a clone: the source volume must be available, or in use and of a format with snapshots.")
    chosen = types.wanted(ctx, type_name) if type_name else types.by_id(ctx.db, row["type_id"]) or types.wanted(ctx, None)
    return Plan(
        size=_at_least(size, row["size"], "source volume"), type=chosen, source=msgspec.to_builtins(block.Source(volume=row["id"])),
        reading=row["id"], source_id=row["id"], image=row["image"], bootable=row["bootable"], contents=row["contents"],
    )  # fmt: skip


def from_image(ctx: Context, image_id: str, size: int | None, type_name: str | None) -> Plan:
    """A volume with an image's content, bootable. Raises BadRequest."""
    try:
        found = image.bootable(ctx, image_id)
    except NotFound as error:
        raise BadRequest(f"Invalid image identifier or unable to access requested image: {image_id}") from error
    if found.status != "active":
        raise BadRequest(f"Invalid input received: Image {image_id} is not active.")
    if not found.path:
        raise BadRequest(f"Invalid input received: Image {image_id} has no data: it names the snapshots that a server is made from.")
    if size is None:
        raise BadRequest("Invalid input received: a size is needed for a volume that is made from an image.")
    bytes_ = max(found.virtual_size or 0, 0 if found.format == "qcow2" else found.size)
    if size * GIB < bytes_:
        raise BadRequest(f"Invalid input received: Size of specified image {-(-bytes_ // GIB)}GB is larger than volume size {size}GB.")
    if size < found.min_disk:
        raise BadRequest(f"Invalid input received: Volume size {size}GB cannot be smaller than the image minDisk size {found.min_disk}GB.")
    source = block.Source(image=found.id, path=found.path, size=found.size, format=found.format)
    return Plan(
        size=size, type=types.wanted(ctx, type_name or found.properties.get("cinder_img_volume_type")), source=msgspec.to_builtins(source),
        image=image.metadata_of(ctx, found.id), bootable=True, contents=FOREIGN,
    )  # fmt: skip


def _from_backup(ctx: Context, backup_id: str, size: int | None, type_name: str | None) -> Plan:
    row = ctx.db.execute(select(backup).where(backup.c.id == backup_id)).first()
    if row is None or not (ctx.caller.admin or row.project_id == ctx.caller.project_id):
        raise NotFound(f"Backup {backup_id} could not be found.")
    if row.status != "available":
        raise BadRequest("Invalid backup: the backup to make a volume from must be available.")
    return Plan(size=_at_least(size, row.size, "backup"), type=types.wanted(ctx, type_name), backup_id=row.id)


def _zone(ctx: Context, name: str | None) -> str | None:
    if not name:
        return None
    if name not in {one.zone for one in ctx.parts.carriers.every(ctx.db)}:
        raise BadRequest(f"Availability zone '{name}' is invalid.")
    return name


def _group(ctx: Context, wanted: NewVolume, plan: Plan) -> Any:
    if wanted.group_id is UNSET or wanted.group_id is None:
        return None
    row = ctx.db.execute(select(group).where(group.c.id == wanted.group_id, group.c.project_id == ctx.project_id)).first()
    if row is None:
        raise NotFound(f"Group {wanted.group_id} could not be found.")
    groups_of.fits(row, plan.type.id)
    return row


def find_snapshot(ctx: Context, snapshot_id: str) -> Any:
    """A snapshot's row (a mapping) that the caller may know. Raises NotFound."""
    row = ctx.db.execute(select(snapshot).where(snapshot.c.id == snapshot_id, snapshot.c.purpose.is_(None))).mappings().first()
    if row is None or not (ctx.caller.admin or row["project_id"] == ctx.caller.project_id):
        raise NotFound(f"Snapshot {snapshot_id} could not be found.")
    return row


def require(row: Any, what: str, *allowed: str) -> None:
    """Raise BadRequest unless a volume is in one of these states."""
    if row["status"] not in allowed:
        states = " or ".join(allowed)
        raise BadRequest(f"Invalid volume: Volume {row['id']} status must be {states} to {what}, but current status is: {row['status']}.")


def unread(db: Connection, volume_id: str) -> None:
    """Raise BadRequest while another volume is being made from this one."""
    if db.scalar(select(func.count()).where(volume.c.reading == volume_id)):
        raise BadRequest("Invalid volume: another volume is being made from it.")


def remove(ctx: Context, row: Any, *, cascade: bool = False, force: bool = False) -> None:
    """Start deleting a volume. Raises BadRequest where its state does not allow it."""
    db, id_ = ctx.db, row["id"]
    if not force:
        require(row, "be deleted", *DELETABLE)
        if row["group_id"] is not None:
            raise BadRequest("Invalid volume: a volume that is in a group is deleted with it, or taken out of it first.")
        if row["migration_status"] not in (None, "success", "error"):
            raise BadRequest("Invalid volume: Volume must not be migrating.")
    if db.scalar(select(func.count()).where(attachment.c.volume_id == id_, attachment.c.status.in_(("attached", "attaching", "detaching")))):
        raise BadRequest(f"Invalid volume: Volume {id_} is still attached, detach volume first.")
    unread(db, id_)
    kept = list(db.execute(select(snapshot).where(snapshot.c.volume_id == id_, snapshot.c.purpose.is_(None))))
    if kept and not cascade and not force:
        raise BadRequest(f"Invalid volume: Volume status must be available or error and must not have snapshots: {len(kept)} dependent snapshots.")
    if any(one.status not in ("available", "error", "error_deleting") for one in kept) and not force:
        raise BadRequest("Failed to update snapshot: one of its snapshots is in use.")
    delete_row(ctx.parts, db, row, request_id=ctx.request_id)


def delete_row(parts: Any, db: Connection, row: Any, *, request_id: str | None) -> None:
    """Delete a volume whatever it is; what is under way on it ends first."""
    parts.operations.cancel(db, row["id"])
    parts.carriers.changed(db, parts.operations, row["target"])
    waiting.write(db, row["id"], status="deleting", previous=None, target=None, move=None)
    db.execute(snapshot.update().where(snapshot.c.volume_id == row["id"]).values(status="deleting"))
    parts.operations.submit(db, operations.DELETE, row["id"], project_id=row["project_id"], request_id=request_id)


def carrier_of(ctx: Context, host: str | None) -> placing.Carrier | None:
    """The host that carries a volume."""
    return next((one for one in ctx.parts.carriers.every(ctx.db) if one.name == host), None)
