"""Routes of a volume's actions: extend, retype, revert, attach by hand, bootable, read-only, image metadata, state. Source: Block Storage API v3."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import func, select, update

from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, NotFound
from andromede.core.ids import is_id
from andromede.http.response import Response
from andromede.http.wire import Body, since
from andromede.services.image import service as image
from andromede.services.key_manager import service as keys
from andromede.services.volume import attachments, operations, quotas, service, types, view, volumes, waiting
from andromede.services.volume.api import Metadata, admin, api, member, truth
from andromede.services.volume.tables import attachment, snapshot, volume
from andromede.services.volume.volumes import find

_ACTION = "/volumes/{volume_id}/action"
STATUSES = (
    "creating", "available", "deleting", "error", "error_deleting", "attaching", "detaching", "in-use", "maintenance", "error_extending",
    "error_restoring", "error_managing", "reserved", "awaiting-transfer", "backing-up", "restoring-backup", "uploading", "downloading",
    "retyping", "extending",
)  # fmt: skip


def _submit(ctx: Context, kind: Any, row: Any, **memo: Any) -> None:
    ctx.parts.operations.submit(ctx.db, kind, row["id"], project_id=row["project_id"], request_id=ctx.request_id, memo=memo)


class Extend(Body):
    """The os-extend action."""

    new_size: int | str


@api.action(_ACTION, "os-extend", policy=member("volumes:extend"), quota=("gigabytes",))
def extend_volume(ctx: Context, volume_id: str, body: Extend) -> None:
    """Make a volume larger; one in use too (3.42), whose guest sees it at once."""
    row = find(ctx, volume_id)
    size = volumes.size_of(body.new_size, "new_size")
    if row["status"] == "in-use" and not ctx.at_least("3.42"):
        volumes.require(row, "extend", "available")
    volumes.require(row, "extend", *volumes.IDLE)
    if size <= row["size"]:
        sizes = f"(current: {row['size']}, extended: {size})"
        raise BadRequest(f"Invalid input received: New size for extend must be greater than current size. {sizes}.")
    quotas.take(ctx, row["project_id"], row["type_id"], gigabytes=size - row["size"])
    quotas.one_volume(ctx, row["project_id"], size)
    waiting.write(ctx.db, row["id"], status="extending", previous=row["status"])
    _submit(ctx, operations.EXTEND, row, size=size)


class Retype(Body):
    """The os-retype action."""

    new_type: str
    migration_policy: str | None = None


@api.action(_ACTION, "os-retype", policy=member("volumes:retype"), quota=("volumes", "gigabytes"))
def retype_volume(ctx: Context, volume_id: str, body: Retype) -> None:
    """Give a volume another type; where its data has to be written anew for that, it must not be in use.

    The data stays on its host, so `migration_policy` changes nothing.
    """
    row = find(ctx, volume_id)
    policy = body.migration_policy or "never"
    if policy not in ("never", "on-demand"):
        raise BadRequest("Invalid input for field/attribute migration_policy. It must be 'on-demand' or 'never'.")
    volumes.require(row, "retype", *volumes.IDLE)
    chosen = types.wanted(ctx, body.new_type)
    if chosen.id == row["type_id"]:
        raise BadRequest(f"Invalid input received: Retype needs volume to be of another type: volume {row['id']} has it already.")
    if row["group_id"] is not None:
        raise BadRequest("Invalid volume: a volume in a group cannot be retyped.")
    facts = types.facts(chosen)
    quotas.take(ctx, row["project_id"], chosen.id, volumes=0, gigabytes=0)
    quotas.take_type(ctx, row["project_id"], chosen.id, volumes=1, gigabytes=row["size"])
    anew = facts.format != row["format"] or bool(facts.bits) != (row["key_id"] is not None)
    if facts.multiattach != row["multiattach"] and row["status"] == "in-use":
        raise BadRequest("Invalid volume: multiattach cannot be changed while the volume is in use.")
    if not anew:
        waiting.write(ctx.db, row["id"], type_id=chosen.id, multiattach=facts.multiattach)
        waiting_push(ctx, row)
        return
    volumes.require(row, "be written anew, as the new type needs,", "available")
    volumes.unread(ctx.db, row["id"])
    if ctx.db.scalar(select(func.count()).where(snapshot.c.volume_id == row["id"])):
        raise BadRequest("Invalid volume: Volume must not have snapshots to be written anew.")
    key_id = None
    if facts.bits:
        name = f"volume {row['id']}"
        key_id = keys.create_key(ctx.db, ctx.parts.sealer, project_id=row["project_id"], user_id=row["user_id"], bits=facts.bits, name=name)
    waiting.write(ctx.db, row["id"], status="retyping", previous=row["status"], migration_status="migrating")
    _submit(
        ctx, operations.RETYPE, row, make=row["make"] + 1, format=facts.format, key_id=key_id, type_id=chosen.id, multiattach=facts.multiattach
    )


def waiting_push(ctx: Context, row: Any) -> None:
    """The host of a volume has something else to do now."""
    ctx.parts.carriers.changed(ctx.db, ctx.parts.operations, row["host"])


class Revert(Body):
    """The revert action."""

    snapshot_id: str


@api.action(_ACTION, "revert", policy=member("volumes:revert_to_snapshot"), versions=("3.40", "3.70"))
def revert_volume(ctx: Context, volume_id: str, body: Revert) -> None:
    """Put a volume back to its latest snapshot."""
    row = find(ctx, volume_id)
    one = volumes.find_snapshot(ctx, body.snapshot_id)
    newest = ctx.db.scalar(
        select(snapshot.c.id).where(snapshot.c.volume_id == row["id"], snapshot.c.purpose.is_(None)).order_by(snapshot.c.created.desc()).limit(1)
    )
    if one["volume_id"] != row["id"] or newest != one["id"]:
        raise BadRequest(f"Invalid snapshot: Specified snapshot {one['id']} is not the latest one of volume {row['id']}.")
    if one["status"] != "available":
        raise BadRequest("Invalid snapshot: Snapshot status must be available.")
    if one["size"] != row["size"]:
        raise BadRequest("Invalid volume: a volume that was extended since cannot be reverted to the snapshot.")
    volumes.require(row, "revert", "available")
    volumes.unread(ctx.db, row["id"])
    waiting.write(ctx.db, row["id"], status="reverting", previous="available")
    _submit(ctx, operations.REVERT, row, make=row["make"] + 1, snapshot=one["id"])


class Reimage(Body, kw_only=True):
    """The os-reimage action."""

    image_id: str
    reimage_reserved: bool | str | UnsetType = UNSET


@api.action(_ACTION, "os-reimage", policy=member("volumes:reimage"), versions=("3.68", "3.70"))
def reimage_volume(ctx: Context, volume_id: str, body: Reimage) -> None:
    """Make a volume anew from an image; what it held is gone. One with snapshots is refused: 400."""
    row = find(ctx, volume_id)
    kept = body.reimage_reserved is not UNSET and truth(body.reimage_reserved, "reimage_reserved")
    volumes.require(row, "be re-imaged", "available", "error", *(("reserved",) if kept else ()))
    if not is_id(body.image_id):
        raise BadRequest(f"Invalid input for field/attribute image_id. Value: {body.image_id}. It is not an id.")
    if row["host"] is None:
        raise BadRequest(f"Invalid volume: Volume {volume_id} was never made.")
    wanted = service.reimaging(ctx, row["id"], body.image_id)
    if row["status"] == "error":
        waiting.write(ctx.db, row["id"], status="available")
    service.reimage(ctx.db, ctx.parts, row["id"], wanted, request_id=ctx.request_id)


class Bootable(Body):
    """The os-set_bootable action."""

    bootable: bool | str


@api.action(_ACTION, "os-set_bootable", status=200, policy=member("volumes:set_bootable"))
def set_bootable(ctx: Context, volume_id: str, body: Bootable) -> Response:
    """Say whether servers may boot from it."""
    waiting.write(ctx.db, find(ctx, volume_id)["id"], bootable=truth(body.bootable, "bootable"))
    return Response(status=200)


class Readonly(Body):
    """The os-update_readonly_flag action."""

    readonly: bool | str


@api.action(_ACTION, "os-update_readonly_flag", policy=member("volumes:update_readonly_flag"))
def set_readonly(ctx: Context, volume_id: str, body: Readonly) -> None:
    """Let servers only read it, or write too."""
    row = find(ctx, volume_id)
    volumes.require(row, "update readonly flag", "available")
    waiting.write(ctx.db, row["id"], readonly=truth(body.readonly, "readonly"))


class Upload(Body, kw_only=True):
    """The os-volume_upload_image action."""

    image_name: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    force: bool | str | None = None
    disk_format: str | None = None
    container_format: str | None = None
    visibility: Annotated[str, since("3.1")] | UnsetType = UNSET
    protected: Annotated[bool | str, since("3.1")] | UnsetType = UNSET


@api.action(_ACTION, "os-volume_upload_image", policy=member("volumes:upload_image"))
def upload_image(ctx: Context, volume_id: str, body: Upload) -> dict[str, Any]:
    """Make an image of a volume, `raw` or `qcow2`; of one in use with `force`. An encrypted volume's content stays encrypted: 400."""
    row = find(ctx, volume_id)
    force = body.force is not None and truth(body.force, "force")
    volumes.require(row, "be uploaded", "available", *(("in-use",) if force and row["format"] != "raw" else ()))
    disk_format, container = body.disk_format or "raw", body.container_format or "bare"
    if disk_format not in ("raw", "qcow2") or container != "bare":
        raise BadRequest("Invalid input for field/attribute disk_format. A volume is uploaded as raw or qcow2, in a bare container.")
    if row["key_id"] is not None:
        raise BadRequest("Invalid volume: an encrypted volume cannot be made an image, which would show its content in the clear.")
    visibility = body.visibility if body.visibility is not UNSET else "private"
    if visibility not in ("public", "private", "shared", "community"):
        raise BadRequest("Invalid input for field/attribute visibility. It must be public, private, shared or community.")
    protected = body.protected is not UNSET and truth(body.protected, "protected")
    kept = {"image_id", "image_name", "checksum", "container_format", "disk_format", "min_disk", "min_ram", "size"}
    properties = {name: value for name, value in (row["image"] or {}).items() if name not in kept and not name.startswith("os_hash")}
    id_, path = image.snapshots.begin(
        ctx, body.image_name, properties, min_disk=row["size"], min_ram=0, formats=(disk_format, "bare"), visibility=visibility, protected=protected
    )
    waiting.write(ctx.db, row["id"], status="uploading", previous=row["status"])
    _submit(ctx, operations.UPLOAD, row, image=id_, path=path, format=disk_format)
    shown = view.created(ctx, find(ctx, volume_id))
    answer = {
        "id": row["id"], "updated_at": shown["updated_at"], "status": "uploading", "display_description": row["description"], "size": row["size"],
        "volume_type": shown["volume_type"], "image_id": id_, "image_name": body.image_name, "disk_format": disk_format,
        "container_format": container,
    }  # fmt: skip
    return {"os-volume_upload_image": answer | ({"visibility": visibility, "protected": protected} if ctx.at_least("3.1") else {})}


# metadata of the image that it was made from


class ImageMetadata(Body):
    """The os-set_image_metadata action."""

    metadata: Metadata


@api.action(_ACTION, "os-set_image_metadata", status=200, policy=member("volumes:set_image_metadata"))
def set_image_metadata(ctx: Context, volume_id: str, body: ImageMetadata) -> dict[str, Any]:
    """Add to the metadata of its image, or change it."""
    row = find(ctx, volume_id)
    after = (row["image"] or {}) | body.metadata
    waiting.write(ctx.db, row["id"], image=after)
    return {"metadata": after}


class ImageKey(Body):
    """The os-unset_image_metadata action."""

    key: str


@api.action(_ACTION, "os-unset_image_metadata", status=200, policy=member("volumes:unset_image_metadata"))
def unset_image_metadata(ctx: Context, volume_id: str, body: ImageKey) -> Response:
    """Remove one item of it."""
    row = find(ctx, volume_id)
    if body.key not in (row["image"] or {}):
        raise NotFound(f"Volume {volume_id} has no image metadata with key {body.key}.")
    waiting.write(ctx.db, row["id"], image={key: value for key, value in row["image"].items() if key != body.key})
    return Response(status=200)


@api.action(_ACTION, "os-show_image_metadata", status=200, policy=member("volumes:show_image_metadata"))
def show_image_metadata(ctx: Context, volume_id: str) -> dict[str, Any]:
    """The metadata of its image."""
    return {"metadata": find(ctx, volume_id)["image"] or {}}


# attaching by hand: rows only, for clients that bring the data to a server themselves


class AttachByHand(Body, kw_only=True):
    """The os-attach action."""

    instance_uuid: str | None | UnsetType = UNSET
    host_name: str | None | UnsetType = UNSET
    mountpoint: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    mode: str | UnsetType = UNSET


@api.action(_ACTION, "os-attach", policy=member("volumes:attach"))
def attach_by_hand(ctx: Context, volume_id: str, body: AttachByHand) -> None:
    """Write down that a server or a host has it."""
    row = find(ctx, volume_id)
    if bool(body.instance_uuid) == bool(body.host_name):
        raise BadRequest("Invalid request to attach volume to an invalid target: exactly one of instance_uuid and host_name is needed.")
    if body.instance_uuid and not is_id(body.instance_uuid):
        raise BadRequest("Invalid input for field/attribute instance_uuid. It is not an id.")
    mode = body.mode or "rw"
    if mode not in ("rw", "ro"):
        raise BadRequest("Invalid request to attach volume with an invalid mode. Attaching mode should be 'rw' or 'ro'.")
    if row["status"] == "attaching":
        waiting.write(ctx.db, row["id"], status="available")
        row = find(ctx, volume_id)
    if mode == "rw" and row["readonly"]:
        raise BadRequest("Invalid volume attaching mode: rw, for a volume that is read-only.")
    volumes.require(row, "attach", "available", *(("in-use",) if row["multiattach"] else ()))
    id_ = attachments.reserve(ctx, row, body.instance_uuid or None, mode=mode)
    attachments.complete(ctx.db, id_, device=body.mountpoint, host=body.host_name or None)


class DetachByHand(Body):
    """The os-detach action."""

    attachment_id: str | None | UnsetType = UNSET


@api.action(_ACTION, "os-detach", policy=member("volumes:detach"))
def detach_by_hand(ctx: Context, volume_id: str, body: DetachByHand | None = None) -> None:
    """Write down that it is attached no more."""
    row = find(ctx, volume_id)
    _detach(ctx, row, body.attachment_id if body is not None and body.attachment_id is not UNSET else None)


def _detach(ctx: Context, row: Any, attachment_id: Any) -> None:
    found = attachments.of_volume(ctx.db, row["id"])
    chosen = [one for one in found if attachment_id is None or one.id == attachment_id]
    if attachment_id is not None and not chosen:
        raise NotFound(f"Volume attachment could not be found with filter: attachment_id = {attachment_id}.")
    if len(chosen) > 1:
        raise BadRequest("Invalid volume: Detach volume failed: More than one attachment, but no attachment_id provided.")
    if not chosen and row["status"] not in ("in-use", "detaching", "available"):
        volumes.require(row, "detach", "in-use", "detaching")
    for one in chosen:
        if one.server_id is not None and ctx.parts.carriers.has(ctx.db, one.server_id, row["id"]):
            raise Conflict(f"Server {one.server_id} has the volume: detach it there.")
        attachments.remove(ctx.db, one.id)
    attachments.settle(ctx.db, row["id"])


@api.action(_ACTION, "os-force_detach", policy=admin("volumes:force_detach"))
def force_detach(ctx: Context, volume_id: str, body: dict[str, Any]) -> None:
    """End its attachment, whatever its state; a server of this cloud lets go of it."""
    row = find(ctx, volume_id)
    found = [one for one in attachments.of_volume(ctx.db, row["id"]) if body.get("attachment_id") in (None, one.id)]
    waiting.write(ctx.db, row["id"], status="detaching" if found else row["status"])
    for one in found:
        if one.server_id is not None and ctx.parts.carriers.has(ctx.db, one.server_id, row["id"]):
            ctx.parts.carriers.let_go(ctx.db, ctx.parts.operations, one.server_id, row["id"], ctx.request_id)
            attachments.mark(ctx.db, one.id, "detaching")
        else:
            attachments.remove(ctx.db, one.id)


@api.action(_ACTION, "os-reserve", policy=member("volumes:reserve"))
def reserve(ctx: Context, volume_id: str) -> None:
    """Keep it for an attachment that is to follow."""
    row = find(ctx, volume_id)
    volumes.require(row, "reserve", "available", *(("in-use",) if row["multiattach"] else ()))
    waiting.write(ctx.db, row["id"], status="attaching")


@api.action(_ACTION, "os-unreserve", policy=member("volumes:unreserve"))
def unreserve(ctx: Context, volume_id: str) -> None:
    """Take that back."""
    row = find(ctx, volume_id)
    volumes.require(row, "unreserve", "attaching")
    attachments.settle(ctx.db, row["id"])
    if not attachments.of_volume(ctx.db, row["id"]):
        waiting.write(ctx.db, row["id"], status="available")


@api.action(_ACTION, "os-begin_detaching", policy=member("volumes:begin_detaching"))
def begin_detaching(ctx: Context, volume_id: str) -> None:
    """Say that it is about to be detached."""
    row = find(ctx, volume_id)
    volumes.require(row, "begin detaching", "in-use")
    waiting.write(ctx.db, row["id"], status="detaching")


@api.action(_ACTION, "os-roll_detaching", policy=member("volumes:roll_detaching"))
def roll_detaching(ctx: Context, volume_id: str) -> None:
    """Take that back."""
    row = find(ctx, volume_id)
    volumes.require(row, "roll detaching", "detaching")
    waiting.write(ctx.db, row["id"], status="in-use")


# for operators


class ResetStatus(Body):
    """The os-reset_status action."""

    status: str | None | UnsetType = UNSET
    attach_status: str | None | UnsetType = UNSET
    migration_status: str | None | UnsetType = UNSET


@api.action(_ACTION, "os-reset_status", policy=admin("volumes:reset_status"))
def reset_status(ctx: Context, volume_id: str, body: ResetStatus) -> None:
    """Set the state by hand; what is under way on it ends."""
    row = find(ctx, volume_id)
    values: dict[str, Any] = {}
    if body.status is not UNSET and body.status is not None:
        if body.status.lower() not in STATUSES:
            raise BadRequest(f"Invalid input for field/attribute status. Value: {body.status}. It must be one of {', '.join(STATUSES)}.")
        values["status"] = body.status.lower()
    if body.attach_status is not UNSET and body.attach_status not in ("attached", "detached", None):
        raise BadRequest("Invalid input for field/attribute attach_status. It must be attached or detached.")
    if body.migration_status is not UNSET:
        if body.migration_status not in (None, "none", "migrating", "error", "success", "completing", "starting"):
            raise BadRequest("Invalid input for field/attribute migration_status.")
        values["migration_status"] = None if body.migration_status in (None, "none") else body.migration_status
    if not values and body.attach_status is UNSET:
        raise BadRequest("Invalid input: status, attach_status or migration_status is needed.")
    ctx.parts.operations.cancel(ctx.db, row["id"])
    if body.attach_status == "detached":
        gone = attachment.c.volume_id == row["id"]
        ctx.db.execute(attachment.delete().where(gone))
    waiting.write(ctx.db, row["id"], previous=None, **values)


@api.action(_ACTION, "os-force_delete", policy=admin("volumes:force_delete"))
def force_delete(ctx: Context, volume_id: str) -> None:
    """Delete it whatever its state, with its snapshots."""
    row = find(ctx, volume_id)
    ctx.db.execute(update(volume).where(volume.c.id == row["id"]).values(status="error"))
    volumes.remove(ctx, find(ctx, volume_id), force=True)
