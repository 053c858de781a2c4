"""Beginning a snapshot of a volume, and its end, for whoever may."""

from typing import Any

from sqlalchemy import insert, select

from andromede.core.clock import now
from andromede.core.context import Context
from andromede.core.errors import BadRequest
from andromede.core.ids import is_id, new_id
from andromede.services.volume import operations, quotas, volumes
from andromede.services.volume.operations.snapshots import write
from andromede.services.volume.tables import snapshot, volume


def take(ctx: Context, row: Any, *, name: str | None, description: str | None, metadata: dict[str, str], group: str | None = None) -> str:
    """Begin a snapshot of a volume, within the quotas; answers its id."""
    quotas.take(ctx, row["project_id"], row["type_id"], snapshots=1, gigabytes=row["size"])
    id_ = new_id()
    ctx.db.execute(
        insert(snapshot).values(
            id=id_, volume_id=row["id"], project_id=row["project_id"], user_id=ctx.caller.user_id, name=name, description=description,
            size=row["size"], status="creating", metadata=metadata, group_snapshot_id=group, created=now(),
        )
    )  # fmt: skip
    ctx.parts.operations.submit(
        ctx.db, operations.SNAPSHOT, row["id"], project_id=row["project_id"], request_id=ctx.request_id, memo={"snapshot": id_}
    )
    return id_


def create(ctx: Context, volume_id: str, *, in_use: bool, name: str | None, description: str | None, metadata: dict[str, str]) -> str:
    """The same for a volume by its id, where its state allows it; in_use: also for one that a server has. Raises BadRequest, NotFound."""
    if not is_id(volume_id):
        raise BadRequest(f"Invalid input for field/attribute volume_id. Value: {volume_id}. It is not an id.")
    row = volumes.find(ctx, volume_id)
    volumes.require(row, "be snapshotted", *(("available", "in-use") if in_use else ("available",)))
    if row["format"] == "raw" and row["status"] == "in-use":
        raise BadRequest("Invalid volume: a volume of the raw format cannot be snapshotted while it is in use.")
    return take(ctx, row, name=name, description=description, metadata=metadata)


def remove(ctx: Context, row: Any, *, force: bool = False) -> None:
    """Begin to delete a snapshot. Raises BadRequest where that cannot be done now."""
    if row["status"] not in ("available", "error", "error_deleting") and not force:
        raise BadRequest("Invalid snapshot: Volume Snapshot status must be available or error.")
    if ctx.db.execute(select(volume.c.id).where(volume.c.snapshot_id == row["id"], volume.c.source.is_not(None))).first() is not None:
        raise BadRequest("Invalid snapshot: a volume is being made from it.")
    write(ctx.db, row["id"], status="deleting")
    ctx.parts.operations.submit(
        ctx.db, operations.UNSNAPSHOT, row["volume_id"], project_id=row["project_id"], request_id=ctx.request_id, memo={"snapshot": row["id"]}
    )


def delete(ctx: Context, row: Any) -> None:
    """The same for one that stands by itself. Raises BadRequest."""
    if row["group_snapshot_id"] is not None:
        raise BadRequest("Invalid snapshot: it is part of a group snapshot, and is deleted with that.")
    remove(ctx, row)
