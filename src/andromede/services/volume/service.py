"""Block Storage's face for the rest of the cloud: the volumes of servers, and what a host has to know of them."""

from typing import Any

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from andromede.core.clock import now
from andromede.core.context import Context, Parts
from andromede.core.errors import BadRequest, CloudError, Conflict, NotFound
from andromede.core.ids import new_id
from andromede.db.base import chunks
from andromede.drivers.block import Seen
from andromede.drivers.host import Attached
from andromede.services.image.service import metadata_of
from andromede.services.key_manager import service as keys
from andromede.services.volume import attachments, operations, placing, reconcile, snapshots, types, volumes, waiting
from andromede.services.volume import for_old_compute as old_compute
from andromede.services.volume.placing import Carrier, desired, differences, note
from andromede.services.volume.tables import FOREIGN, OURS, attachment, snapshot, volume

KINDS = operations.KINDS
reconcilers = reconcile.reconcilers
seed = types.seed
__all__ = [
    "FOREIGN",
    "KINDS",
    "Carrier",
    "Disk",
    "Made",
    "Seen",
    "attached",
    "begin",
    "bring",
    "bringable",
    "brought",
    "carried",
    "carry",
    "create",
    "desired",
    "detach",
    "detaching",
    "differences",
    "forget",
    "found",
    "hold",
    "hosts_of",
    "image_of_snapshot",
    "immovable",
    "kept",
    "land",
    "let_go",
    "look",
    "marks_of",
    "movable",
    "note",
    "old_compute",
    "reconcilers",
    "reimage",
    "reimaging",
    "release",
    "reserve",
    "seed",
    "snapshot_of",
    "sources_of",
    "state_of",
    "stay",
    "taken",
    "travel",
    "travels",
    "usable",
]  # fmt: skip
taken = placing.taken


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """A volume that a server has or is to have. boot: below 0 where it does not boot from it."""

    id: str
    bus: str = "virtio"
    boot: int = -1
    slot: str = ""


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What a server may know of a volume. size in GiB; image: `volume_image_metadata`."""

    id: str
    host: str | None
    status: str
    size: int
    bootable: bool
    multiattach: bool
    image: dict[str, str] | None
    format: str
    contents: str = FOREIGN


def create(ctx: Context, kind: str, uuid: str | None, size: int | None, type_name: str | None, *, name: str = "", zone: str | None = None) -> Made:
    """A new volume for a server that is being built, within the quotas; `begin` has it made. kind: `image`, `snapshot` or `blank`.

    Raises BadRequest and NotFound for a source that cannot be used, QuotaExceeded (403, as Compute answers).
    """
    if kind == "image":
        plan = volumes.from_image(ctx, uuid or "", size, type_name)
    elif kind == "snapshot":
        plan = volumes.from_snapshot(ctx, uuid or "", size, type_name)
    else:
        if size is None:
            raise BadRequest("Block Device Mapping is Invalid: a size is needed for a blank volume.")
        plan = volumes.blank(ctx, size, type_name)
    return found(volumes.find(ctx, volumes.add(ctx, plan, name=name, zone=zone)))


def found(row: Any) -> Made:
    """What a server may know of a row."""
    return Made(
        id=row["id"], host=row["host"], status=row["status"], size=row["size"], bootable=row["bootable"], multiattach=row["multiattach"],
        image=row["image"], format=row["format"], contents=row["contents"],
    )  # fmt: skip


def look(ctx: Context, volume_id: str) -> Made:
    """A volume that the caller may know. Raises NotFound."""
    return found(volumes.find(ctx, volume_id))


def image_of_snapshot(ctx: Context, snapshot_id: str) -> dict[str, str]:
    """The image metadata of what a snapshot was made of. Raises NotFound."""
    one = volumes.find_snapshot(ctx, snapshot_id)
    return ctx.db.scalar(select(volume.c.image).where(volume.c.id == one["volume_id"])) or {}


def snapshot_of(ctx: Context, volume_id: str, name: str) -> str:
    """Begin a snapshot of a server's volume, within the quotas; its id. Raises BadRequest where it cannot be made now, QuotaExceeded."""
    row = volumes.find(ctx, volume_id)
    volumes.require(row, "be snapshotted", *volumes.IDLE)
    if row["format"] == "raw" and row["status"] == "in-use":
        raise BadRequest("Invalid volume: a volume of the raw format cannot be snapshotted while it is in use.")
    return snapshots.take(ctx, row, name=name[:255], description=row["description"], metadata={})


def reimaging(ctx: Context, volume_id: str, image_id: str) -> dict[str, Any]:
    """What `reimage` needs to make a volume anew from an image. Raises BadRequest where that cannot be."""
    row = volumes.find(ctx, volume_id)
    plan = volumes.from_image(ctx, image_id, row["size"], None)
    volumes.unread(ctx.db, row["id"])
    if ctx.db.execute(select(snapshot.c.id).where(snapshot.c.volume_id == row["id"])).first() is not None:
        raise BadRequest("Invalid volume: Volume must not have snapshots to be made anew from an image.")
    return {"make": row["make"] + 1, "source": plan.source, "image": metadata_of(ctx, image_id)}


def reimage(db: Connection, parts: Parts, volume_id: str, wanted: dict[str, Any], *, request_id: str | None) -> None:
    """Begin to make a volume anew from an image; no guest may have it meanwhile. wanted: of `reimaging`."""
    row = db.execute(select(volume).where(volume.c.id == volume_id)).one()
    if row.status == "downloading" or row.make >= wanted["make"]:
        return
    waiting.write(db, volume_id, status="downloading", previous=row.status)
    parts.operations.submit(db, operations.REIMAGE, volume_id, project_id=row.project_id, request_id=request_id, memo=wanted)


def begin(db: Connection, parts: Parts, volume_id: str, host: str, *, request_id: str | None) -> None:
    """Have a volume that `create` made be there, on a host; nothing where that is under way already."""
    row = db.execute(select(volume).where(volume.c.id == volume_id)).first()
    if row is None or row.host is not None:
        return
    if row.reading is not None:
        other = db.scalar(select(volume.c.host).where(volume.c.id == row.reading))
        if other != host:
            raise BadRequest("The snapshot that a volume of the server is made from is on another host.")
    zone = next((one.zone for one in parts.carriers.every(db) if one.name == host), row.zone)
    waiting.write(db, volume_id, host=host, zone=zone)
    parts.operations.submit(db, operations.CREATE, volume_id, project_id=row.project_id, request_id=request_id)


def state_of(db: Connection, volume_id: str) -> tuple[str, str | None]:
    """The status of a volume, and what its host says went wrong; `deleted` where it is gone."""
    row = db.execute(select(volume.c.status, volume.c.seen_fault).where(volume.c.id == volume_id)).first()
    return ("deleted", None) if row is None else (row.status, row.seen_fault)


def forget(db: Connection, volume_id: str) -> None:
    """A volume that was never begun is not wanted any more."""
    row = db.execute(select(volume).where(volume.c.id == volume_id, volume.c.host.is_(None))).first()
    if row is not None:
        db.execute(delete(volume).where(volume.c.id == volume_id))
        keys.forget(db, row.key_id)


def reserve(ctx: Context, volume_id: str, server_id: str, *, mounted: bool = False) -> str:
    """Keep a volume for a server; answers the attachment's id. mounted: the host mounts it for a container. Raises NotFound, BadRequest."""
    if mounted:
        return attachments.reserve(ctx, volumes.find(ctx, volume_id), server_id, status="attaching", contents=OURS)
    return attachments.reserve(ctx, volumes.find(ctx, volume_id), server_id, status="attaching")


def hold(db: Connection, volume_id: str, server_id: str) -> str:
    """Keep a volume that was made for a server for it."""
    row, id_ = db.execute(select(volume).where(volume.c.id == volume_id)).one(), new_id()
    db.execute(update(volume).where(volume.c.id == volume_id).values(contents=FOREIGN))
    db.execute(
        insert(attachment).values(
            id=id_, volume_id=volume_id, project_id=row.project_id, server_id=server_id, status="attaching", mode="rw", created=now()
        )
    )
    return id_


def attached(db: Connection, attachment_id: str, *, device: str | None, host: str | None) -> None:
    """The server has the volume. Raises Conflict where it was detached meanwhile."""
    attachments.complete(db, attachment_id, device=device, host=host)


def detaching(db: Connection, attachment_id: str, *, on: bool = True) -> None:
    """The server is to let go of the volume; or, where not `on`, keeps it."""
    attachments.mark(db, attachment_id, "detaching" if on else "attached")


def detach(db: Connection, attachment_id: str) -> None:
    """The server has the volume no more."""
    attachments.remove(db, attachment_id)


def let_go(db: Connection, volume_id: str, server_id: str) -> None:
    """A server that was to have a volume does not get it."""
    for one in attachments.of_volume(db, volume_id):
        if one.server_id == server_id:
            attachments.remove(db, one.id)


def release(db: Connection, parts: Parts, attachment_id: str | None, volume_id: str, *, remove: bool, request_id: str | None) -> None:
    """A server is gone: it has the volume no more, which is deleted with it where `remove` says so."""
    if attachment_id is not None:
        attachments.remove(db, attachment_id)
    row = db.execute(select(volume).where(volume.c.id == volume_id)).mappings().first()
    if row is None or not remove:
        return
    snapshots = db.execute(select(snapshot.c.id).where(snapshot.c.volume_id == volume_id, snapshot.c.purpose.is_(None))).first()
    going = row["status"] == "maintenance" and row["migration_status"] == "migrating"
    if (going or row["status"] in volumes.DELETABLE) and snapshots is None:
        volumes.delete_row(parts, db, row, request_id=request_id)


def hosts_of(db: Connection, ids: list[str]) -> set[str]:
    """The hosts that volumes are on."""
    return set(db.scalars(select(volume.c.host).where(volume.c.id.in_(ids), volume.c.host.is_not(None))))


def sources_of(db: Connection, ids: list[str]) -> set[str]:
    """The hosts that volumes which are not placed yet must be on, because of what they are made from."""
    reading = list(db.scalars(select(volume.c.reading).where(volume.c.id.in_(ids), volume.c.reading.is_not(None))))
    return hosts_of(db, reading)


def marks_of(db: Connection, ids: list[str]) -> dict[str, Any]:
    """What changes with each volume where a guest has to be told of it, by volume."""
    out: dict[str, Any] = {}
    for some in chunks(ids):
        query = select(volume.c.id, volume.c.type_id, volume.c.readonly, volume.c.multiattach, volume.c.size).where(volume.c.id.in_(some))
        for row in db.execute(query):
            out[row.id] = (tuple(row), tuple(sorted(types.limits(db, row.type_id, row.size).items())))
    return out


def kept(db: Connection, disks: list[Disk]) -> tuple[Attached, ...]:
    """Volumes as the host of their server is told of them."""
    rows = {row.id: row for row in db.execute(select(volume).where(volume.c.id.in_([disk.id for disk in disks])))}
    return tuple(
        Attached(
            id=disk.id, bus=disk.bus, boot=disk.boot, slot=disk.slot, readonly=bool(rows[disk.id].readonly), shared=rows[disk.id].multiattach,
            limits=types.limits(db, rows[disk.id].type_id, rows[disk.id].size),
        )
        for disk in disks
        if disk.id in rows
    )  # fmt: skip


def movable(ctx: Context, ids: list[str]) -> None:
    """Raise BadRequest where one of these volumes cannot go to another host with its server."""
    if reason := immovable(ctx.db, ids):
        raise BadRequest(f"Migration pre-check error: {reason}.")


def immovable(db: Connection, ids: list[str]) -> str:
    """Why one of these volumes cannot go to another host with its server; empty where they all can."""
    for row in db.execute(select(volume).where(volume.c.id.in_(ids))):
        if row.status != "in-use" or row.multiattach or row.readonly:
            return f"volume {row.id} is {row.status}; it must be in use by this server alone, for writing"
        if db.execute(select(snapshot.c.id).where(snapshot.c.volume_id == row.id)).first() is not None:
            return f"volume {row.id} has snapshots, which are on its host: delete them first"
    return ""


def bringable(ctx: Context, volume_id: str, host: str) -> None:
    """Raise Conflict where a volume cannot be brought to the host of a server that is to have it."""
    row = volumes.find(ctx, volume_id)
    away = "The volume is on another host than the server"
    if ctx.db.execute(select(snapshot.c.id).where(snapshot.c.volume_id == volume_id)).first() is not None:
        raise Conflict(f"{away}, and has snapshots there: it cannot be brought.")
    if row["group_id"] is not None or ctx.db.execute(select(volume.c.id).where(volume.c.reading == volume_id)).first() is not None:
        raise Conflict(f"{away}, and is in a group or read there: it cannot be brought.")
    if placing.choose(ctx.parts.carriers, ctx.db, row["size"], None, only=host) is None:
        raise Conflict(f"{away}, which has no room for it.")


def bring(db: Connection, parts: Parts, volume_id: str, host: str, *, request_id: str | None) -> None:
    """Begin to bring a volume to the host of a server that it is kept for."""
    row = db.execute(select(volume).where(volume.c.id == volume_id)).one()
    waiting.write(db, volume_id, migration_status="migrating")
    memo = {"target": host, "format": "raw"}
    parts.operations.submit(db, operations.MOVE, volume_id, project_id=row.project_id, request_id=request_id, memo=memo)


def brought(db: Connection, volume_id: str, host: str) -> bool:
    """Whether it is there. Raises CloudError (409) where it does not come."""
    row = db.execute(select(volume).where(volume.c.id == volume_id)).first()
    if row is None or (row.migration_status == "error" and row.host != host):
        raise CloudError("The volume could not be brought to the host of the server; its messages say why.", status=409)
    return bool(row.host == host)


def carry(db: Connection, parts: Parts, ids: list[str], host: str, *, request_id: str | None) -> bool:
    """Begin to bring the volumes of a server that is off to a host; those that are on their way come to an end first.

    Answers whether any of them is on its way now.
    """
    rows = list(db.execute(select(volume).where(volume.c.id.in_(ids), volume.c.host.is_not(None))))
    for row in rows:
        if row.host != host and row.status != "maintenance":
            waiting.write(db, row.id, status="maintenance", previous=row.status)
            bring(db, parts, row.id, host, request_id=request_id)
    return any(row.host != host or row.status == "maintenance" for row in rows)


def carried(db: Connection, ids: list[str], host: str) -> bool:
    """Whether all of them are there. Raises CloudError (409) where one does not come."""
    rows = list(db.execute(select(volume).where(volume.c.id.in_(ids))))
    if any(row.status == "maintenance" for row in rows):
        return False
    return all(brought(db, row.id, host) for row in rows)


def travel(db: Connection, parts: Parts, ids: list[str], host: str) -> None:
    """Have volumes of a server made empty on the host that it goes to; until `stay` or `land`, nothing else is done with them."""
    for row in db.execute(select(volume).where(volume.c.id.in_(ids), volume.c.target.is_(None))).all():
        waiting.write(db, row.id, target=host, move={"make": row.make}, seen_target=None, status="maintenance", previous=row.status)
    parts.carriers.changed(db, parts.operations, host)


def travels(db: Connection, ids: list[str]) -> bool:
    """Whether all of them are there. Raises CloudError (409) where one cannot be."""
    rows = list(db.execute(select(volume).where(volume.c.id.in_(ids))))
    if fault := next((row.seen_target["fault"] for row in rows if (row.seen_target or {}).get("fault")), None):
        raise CloudError(fault, status=409)
    return all((row.seen_target or {}).get("made", 0) >= row.make for row in rows)


def stay(db: Connection, parts: Parts, ids: list[str]) -> None:
    """The volumes do not go after all."""
    for row in db.execute(select(volume).where(volume.c.id.in_(ids), volume.c.target.is_not(None))).all():
        if (row.move or {}).get("stage"):  # it goes by itself, and that comes to an end
            continue
        waiting.write(db, row.id, target=None, move=None, seen_target=None)
        waiting.back(db, row.id, "maintenance")
        parts.carriers.changed(db, parts.operations, row.target)


def land(db: Connection, parts: Parts, ids: list[str]) -> None:
    """The volumes are where they were to go, with all of their data."""
    for row in db.execute(select(volume).where(volume.c.id.in_(ids), volume.c.target.is_not(None))).all():
        zone = next((one.zone for one in parts.carriers.every(db) if one.name == row.target), row.zone)
        waiting.write(db, row.id, host=row.target, zone=zone, target=None, move=None, seen_target=None, seen_made=row.make, seen_fault=None)
        waiting.back(db, row.id, "maintenance")
        for one in attachments.of_volume(db, row.id):
            attachments.complete(db, one.id, device=one.mountpoint, host=row.target)


def usable(ctx: Context, volume_id: str) -> Made:
    """A volume that a server may be given. Raises BadRequest."""
    try:
        return look(ctx, volume_id)
    except NotFound as error:
        raise BadRequest(f"Block Device Mapping is Invalid: failed to get volume {volume_id}.") from error
