"""Routes of volumes and snapshots that Compute had before Block Storage was a service of its own: up to 2.35. They lead there.

Source: Compute API v2.1, "Volume extension (os-volumes, os-snapshots) (DEPRECATED)".
"""

from typing import Annotated, Any

import msgspec

from andromede.core.context import Context
from andromede.http.wire import Body
from andromede.services.compute.api import api, member, reader
from andromede.services.volume.service import old_compute as volume

_VERSIONS = ("2.1", "2.35")
_VOLUMES, _VOLUME, _SNAPSHOTS, _SNAPSHOT = "/os-volumes", "/os-volumes/{volume_id}", "/os-snapshots", "/os-snapshots/{snapshot_id}"
_Name = Annotated[str, msgspec.Meta(max_length=255)] | None


class NewVolume(msgspec.Struct, kw_only=True):
    """What is asked for in a new volume. size in GiB."""

    size: int | Annotated[str, msgspec.Meta(pattern=r"^[0-9]+$", max_length=9)]
    display_name: _Name = None
    display_description: str | None = None
    volume_type: str | None = None
    metadata: dict[str, str] | None = None
    snapshot_id: str | None = None
    availability_zone: str | None = None


class CreateVolume(Body):
    """`POST /os-volumes`."""

    volume: NewVolume


class NewSnapshot(msgspec.Struct, kw_only=True):
    """What is asked for in a new snapshot. force: also of a volume in use."""

    volume_id: str
    display_name: _Name = None
    display_description: str | None = None
    force: bool = False


class CreateSnapshot(Body):
    """`POST /os-snapshots`."""

    snapshot: NewSnapshot


@api.get(_VOLUMES, policy=reader("os-volumes:list"), versions=_VERSIONS)
def list_volumes(ctx: Context) -> dict[str, Any]:
    """The project's volumes; `limit` and `offset` take a part of them."""
    return {"volumes": volume.list_volumes(ctx)}


@api.get(_VOLUMES + "/detail", policy=reader("os-volumes:detail"), versions=_VERSIONS)
def list_volumes_in_full(ctx: Context) -> dict[str, Any]:
    """The same: there is no shorter form."""
    return {"volumes": volume.list_volumes(ctx)}


@api.get(_VOLUME, policy=reader("os-volumes:show"), versions=_VERSIONS)
def show_volume(ctx: Context, volume_id: str) -> dict[str, Any]:
    """One of them."""
    return {"volume": volume.show_volume(ctx, volume_id)}


@api.post(_VOLUMES, policy=member("os-volumes:create"), versions=_VERSIONS, quota=("volumes", "gigabytes"))
def create_volume(ctx: Context, body: CreateVolume) -> dict[str, Any]:
    """Create a volume, from nothing or a snapshot. Errors: 400 a size or a source that cannot be used; 404 no such source; 413 over a quota."""
    facts = msgspec.structs.asdict(body.volume)
    return {"volume": volume.create_volume(ctx, volume.NewVolume(**facts))}


@api.delete(_VOLUME, policy=member("os-volumes:delete"), versions=_VERSIONS, status=202)
def delete_volume(ctx: Context, volume_id: str) -> None:
    """Delete a volume that is not in use. Errors: 400 its state does not allow it; 404."""
    volume.delete_volume(ctx, volume_id)


@api.get(_SNAPSHOTS, policy=reader("os-snapshots:list"), versions=_VERSIONS)
def list_snapshots(ctx: Context) -> dict[str, Any]:
    """The project's snapshots of volumes; `limit` and `offset` take a part of them."""
    return {"snapshots": volume.list_snapshots(ctx)}


@api.get(_SNAPSHOTS + "/detail", policy=reader("os-snapshots:detail"), versions=_VERSIONS)
def list_snapshots_in_full(ctx: Context) -> dict[str, Any]:
    """The same: there is no shorter form."""
    return {"snapshots": volume.list_snapshots(ctx)}


@api.get(_SNAPSHOT, policy=reader("os-snapshots:show"), versions=_VERSIONS)
def show_snapshot(ctx: Context, snapshot_id: str) -> dict[str, Any]:
    """One of them."""
    return {"snapshot": volume.show_snapshot(ctx, snapshot_id)}


@api.post(_SNAPSHOTS, policy=member("os-snapshots:create"), versions=_VERSIONS, quota=("snapshots", "gigabytes"))
def create_snapshot(ctx: Context, body: CreateSnapshot) -> dict[str, Any]:
    """Make a snapshot of a volume. Errors: 400 its state does not allow it; 404 no such volume; 413 over a quota."""
    wanted = body.snapshot
    made = volume.create_snapshot(
        ctx, wanted.volume_id, name=wanted.display_name, description=wanted.display_description, force=wanted.force
    )
    return {"snapshot": made}


@api.delete(_SNAPSHOT, policy=member("os-snapshots:delete"), versions=_VERSIONS, status=202)
def delete_snapshot(ctx: Context, snapshot_id: str) -> None:
    """Delete a snapshot. Errors: 400 its state does not allow it; 404."""
    volume.delete_snapshot(ctx, snapshot_id)
