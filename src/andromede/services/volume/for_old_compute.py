"""Volumes and snapshots as Compute's old face shows them (up to 2.35)."""

from typing import Any

from sqlalchemy import select

from andromede.core.context import Context
from andromede.core.errors import BadRequest
from andromede.http import paging
from andromede.services.volume import snapshots, view, volumes
from andromede.services.volume.api import MOST, clean, when
from andromede.services.volume.tables import snapshot, volume
from andromede.services.volume.volumes import CreateVolume, NewVolume, find, find_snapshot

View = dict[str, Any]


def _page(ctx: Context, table: Any, *where: Any) -> list[Any]:
    """The project's rows, the newest first; `limit` and `offset` take a part of them."""
    offset = ctx.query.get("offset") or "0"
    if not offset.isdecimal() or len(offset) > 9:
        raise BadRequest(f"Invalid input for field/attribute offset. Value: {offset}. It must be a whole number of 0 or more.")
    query = select(table).where(table.c.project_id == ctx.project_id, *where).order_by(table.c.created.desc(), table.c.id)
    return list(ctx.db.execute(query.offset(int(offset)).limit(paging.limit_of(ctx, most=MOST))).mappings())


def _volumes(ctx: Context, rows: list[Any]) -> list[View]:
    return [_volume(one) for one in view.full(ctx, rows)]


def _volume(one: View) -> View:
    held = [{"id": at["id"], "device": at["device"], "volumeId": at["volume_id"], "serverId": at["server_id"]} for at in one["attachments"]]
    return {
        "id": one["id"], "status": one["status"], "size": one["size"], "availabilityZone": one["availability_zone"],
        "createdAt": one["created_at"], "displayName": one["name"], "displayDescription": one["description"],
        "volumeType": one["volume_type"], "snapshotId": one["snapshot_id"], "metadata": one["metadata"], "attachments": held or [{}],
    }  # fmt: skip


def list_volumes(ctx: Context) -> list[View]:
    """The project's volumes."""
    return _volumes(ctx, _page(ctx, volume))


def show_volume(ctx: Context, volume_id: str) -> View:
    """One. Raises NotFound."""
    return _volumes(ctx, [find(ctx, volume_id)])[0]


def create_volume(ctx: Context, wanted: NewVolume) -> View:
    """A new one, which is being made. Raises BadRequest, NotFound, QuotaExceeded."""
    return show_volume(ctx, volumes.create(ctx, CreateVolume(volume=wanted)))


def delete_volume(ctx: Context, volume_id: str) -> None:
    """Begin to delete one. Raises NotFound, BadRequest."""
    volumes.remove(ctx, find(ctx, volume_id))


def _snapshot(row: Any) -> View:
    return {
        "id": row["id"], "volumeId": row["volume_id"], "status": row["status"], "size": row["size"], "createdAt": when(row["created"]),
        "displayName": row["name"], "displayDescription": row["description"],
    }  # fmt: skip


def list_snapshots(ctx: Context) -> list[View]:
    """The project's snapshots."""
    return [_snapshot(row) for row in _page(ctx, snapshot, snapshot.c.purpose.is_(None))]


def show_snapshot(ctx: Context, snapshot_id: str) -> View:
    """One. Raises NotFound."""
    return _snapshot(find_snapshot(ctx, snapshot_id))


def create_snapshot(ctx: Context, volume_id: str, *, name: str | None, description: str | None, force: bool) -> View:
    """A new one, which is being made; of a volume in use only with `force`. Raises BadRequest, NotFound, QuotaExceeded."""
    return show_snapshot(ctx, snapshots.create(ctx, volume_id, in_use=force, name=clean(name, "name"), description=description, metadata={}))


def delete_snapshot(ctx: Context, snapshot_id: str) -> None:
    """Begin to delete one. Raises NotFound, BadRequest."""
    snapshots.delete(ctx, find_snapshot(ctx, snapshot_id))


__all__ = [
    "NewVolume", "create_snapshot", "create_volume", "delete_snapshot", "delete_volume", "list_snapshots", "list_volumes", "show_snapshot",
    "show_volume",
]  # fmt: skip
