"""Routes of snapshots. Source: Block Storage API v3."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import select, type_coerce
from sqlalchemy.types import Text

from andromede.core.context import Context
from andromede.core.errors import BadRequest, NotFound
from andromede.http.response import Response
from andromede.http.wire import Body
from andromede.services.volume import listing, snapshots, view
from andromede.services.volume.api import Metadata, Name, admin, api, clean, member, reader, truth
from andromede.services.volume.operations.snapshots import write
from andromede.services.volume.routes_volumes import Change, MetaBody, MetadataBody, by_metadata
from andromede.services.volume.tables import snapshot, volume
from andromede.services.volume.volumes import find_snapshot

_ALL, _ONE, _ACTION = "/snapshots", "/snapshots/{snapshot_id}", "/snapshots/{snapshot_id}/action"
_COLUMNS = {
    "name": snapshot.c.name, "display_name": snapshot.c.name, "status": snapshot.c.status, "volume_id": snapshot.c.volume_id,
    "user_id": snapshot.c.user_id, "id": snapshot.c.id, "group_snapshot_id": snapshot.c.group_snapshot_id, "volume_size": snapshot.c.size,
    "description": snapshot.c.description, "consumes_quota": snapshot.c.counted,
}  # fmt: skip
STATUSES = ("available", "creating", "deleting", "error", "error_deleting")


class NewSnapshot(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is asked for in a new snapshot."""

    volume_id: str | None
    name: Name | None = None
    display_name: Name | None = None
    description: str | None = None
    display_description: str | None = None
    force: bool | str | None | UnsetType = UNSET
    metadata: Metadata | None = None


class CreateSnapshot(Body):
    """`POST /snapshots`."""

    snapshot: NewSnapshot


@api.post(_ALL, status=202, policy=member("snapshots:create"), quota=("snapshots", "gigabytes"))
def create_snapshot(ctx: Context, body: CreateSnapshot) -> dict[str, Any]:
    """Make a snapshot of a volume, also of one in use (with `force`, or from 3.66 on).

    Errors: 400 a volume whose state does not allow it; 404 no such volume; 413 over a quota.
    """
    wanted = body.snapshot
    force = wanted.force is not UNSET and wanted.force is not None and truth(wanted.force, "force")
    if ctx.at_least("3.66") and wanted.force is not UNSET and not force:
        raise BadRequest("Invalid input received: the force flag is not accepted any more, but to be true; snapshots of volumes in use are allowed.")
    if wanted.volume_id is None:
        raise NotFound("Volume None could not be found.")
    id_ = snapshots.create(
        ctx, wanted.volume_id, in_use=force or ctx.at_least("3.66"),
        name=clean(wanted.name if wanted.name is not None else wanted.display_name, "name"),
        description=wanted.description if wanted.description is not None else wanted.display_description, metadata=wanted.metadata or {},
    )  # fmt: skip
    return {"snapshot": view.snapshot(ctx, find_snapshot(ctx, id_), whole=False)}


def _page(ctx: Context, path: str) -> listing.Listed:
    def in_zone(text: str) -> Any:
        return snapshot.c.volume_id.in_(select(volume.c.id).where(volume.c.zone == text))

    special = {"metadata": by_metadata(type_coerce(snapshot.c.metadata, Text)), "availability_zone": in_zone}
    sortable = {"name": snapshot.c.name, "display_name": snapshot.c.name, "status": snapshot.c.status, "volume_id": snapshot.c.volume_id}
    query = select(snapshot).where(snapshot.c.purpose.is_(None))
    return listing.page(ctx, query, snapshot, "snapshots", path=path, columns=_COLUMNS, special=special, sortable=sortable)


@api.get(_ALL, policy=reader("snapshots:list"))
def list_snapshots(ctx: Context) -> dict[str, Any]:
    """Snapshots in short, a page at a time."""
    found = _page(ctx, "snapshots")
    return {"snapshots": [view.snapshot(ctx, row, whole=False) for row in found.rows], **found.more}


@api.get(_ALL + "/detail", policy=reader("snapshots:detail"))
def list_snapshots_in_full(ctx: Context) -> dict[str, Any]:
    """Snapshots in full, a page at a time."""
    found = _page(ctx, "snapshots/detail")
    return {"snapshots": [view.snapshot(ctx, row) for row in found.rows], **found.more}


@api.get(_ONE, policy=reader("snapshots:show"))
def show_snapshot(ctx: Context, snapshot_id: str) -> dict[str, Any]:
    """One snapshot."""
    return {"snapshot": view.snapshot(ctx, find_snapshot(ctx, snapshot_id))}


class UpdateSnapshot(Body):
    """`PUT /snapshots/{id}`."""

    snapshot: Change


@api.put(_ONE, policy=member("snapshots:update"))
def update_snapshot(ctx: Context, snapshot_id: str, body: UpdateSnapshot) -> dict[str, Any]:
    """Rename a snapshot, or change its description."""
    write(ctx.db, find_snapshot(ctx, snapshot_id)["id"], **body.snapshot.values())
    return {"snapshot": view.snapshot(ctx, find_snapshot(ctx, snapshot_id), whole=False)}


@api.delete(_ONE, policy=member("snapshots:delete"), status=202)
def delete_snapshot(ctx: Context, snapshot_id: str) -> None:
    """Delete a snapshot; volumes that were made from it stay."""
    snapshots.delete(ctx, find_snapshot(ctx, snapshot_id))


# metadata


@api.get(_ONE + "/metadata", policy=reader("snapshot-metadata:list"))
def list_metadata(ctx: Context, snapshot_id: str) -> dict[str, Any]:
    """A snapshot's metadata."""
    return {"metadata": find_snapshot(ctx, snapshot_id)["metadata"]}


@api.post(_ONE + "/metadata", policy=member("snapshot-metadata:create"))
def add_metadata(ctx: Context, snapshot_id: str, body: MetadataBody) -> dict[str, Any]:
    """Add to it, or change what is there."""
    row = find_snapshot(ctx, snapshot_id)
    after = row["metadata"] | body.metadata
    write(ctx.db, row["id"], metadata=after)
    return {"metadata": after}


@api.put(_ONE + "/metadata", policy=member("snapshot-metadata:update_all"))
def replace_metadata(ctx: Context, snapshot_id: str, body: MetadataBody) -> dict[str, Any]:
    """Replace all of it."""
    write(ctx.db, find_snapshot(ctx, snapshot_id)["id"], metadata=body.metadata)
    return {"metadata": body.metadata}


def _item(row: Any, key: str) -> str:
    if key not in row["metadata"]:
        raise NotFound(f"Snapshot {row['id']} has no metadata with key {key}.")
    return str(row["metadata"][key])


@api.get(_ONE + "/metadata/{key}", policy=reader("snapshot-metadata:show"))
def show_metadata(ctx: Context, snapshot_id: str, key: str) -> dict[str, Any]:
    """One item."""
    return {"meta": {key: _item(find_snapshot(ctx, snapshot_id), key)}}


@api.put(_ONE + "/metadata/{key}", policy=member("snapshot-metadata:update"))
def set_metadata_item(ctx: Context, snapshot_id: str, key: str, body: MetaBody) -> dict[str, Any]:
    """Set one item."""
    row = find_snapshot(ctx, snapshot_id)
    if list(body.meta) != [key]:
        raise BadRequest("Request body and URI mismatch")
    write(ctx.db, row["id"], metadata=row["metadata"] | body.meta)
    return {"meta": body.meta}


@api.delete(_ONE + "/metadata/{key}", policy=member("snapshot-metadata:delete"), status=200)
def delete_metadata(ctx: Context, snapshot_id: str, key: str) -> Response:
    """Remove one item."""
    row = find_snapshot(ctx, snapshot_id)
    _item(row, key)
    write(ctx.db, row["id"], metadata={name: value for name, value in row["metadata"].items() if name != key})
    return Response(status=200)


# actions


class ResetStatus(Body):
    """The os-reset_status action."""

    status: str


@api.action(_ACTION, "os-reset_status", policy=admin("snapshots:reset_status"))
def reset_status(ctx: Context, snapshot_id: str, body: ResetStatus) -> None:
    """Set the state by hand."""
    row = find_snapshot(ctx, snapshot_id)
    if body.status.lower() not in STATUSES:
        raise BadRequest(f"Invalid input for field/attribute status. Value: {body.status}. It must be one of {', '.join(STATUSES)}.")
    write(ctx.db, row["id"], status=body.status.lower())


class UpdateStatus(Body):
    """The os-update_snapshot_status action."""

    status: str
    progress: Annotated[str, msgspec.Meta(max_length=10)] | None | UnsetType = UNSET


@api.action(_ACTION, "os-update_snapshot_status", policy=member("snapshots:update_status"))
def update_status(ctx: Context, snapshot_id: str, body: UpdateStatus) -> None:
    """Set the state, as a driver of snapshots does it."""
    row = find_snapshot(ctx, snapshot_id)
    allowed = {"creating": ("creating", "available", "error"), "deleting": ("deleting", "error_deleting")}.get(row["status"])
    if allowed is None or body.status not in allowed:
        raise BadRequest(f"Invalid snapshot: its status cannot be changed from {row['status']} to {body.status}.")
    progress = {"progress": body.progress} if isinstance(body.progress, str) else {}
    write(ctx.db, row["id"], status=body.status, **progress)


@api.action(_ACTION, "os-force_delete", policy=admin("snapshots:force_delete"))
def force_delete(ctx: Context, snapshot_id: str) -> None:
    """Delete it whatever its state."""
    snapshots.remove(ctx, find_snapshot(ctx, snapshot_id), force=True)


