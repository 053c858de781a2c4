"""Routes that move volumes between hosts, for operators. Source: Block Storage API v3, "Migrate a volume"."""

from msgspec import UNSET, UnsetType
from sqlalchemy import func, select

from andromede.core.context import Context
from andromede.core.errors import BadRequest
from andromede.http.wire import Body
from andromede.services.volume import operations, placing, volumes, waiting
from andromede.services.volume.api import admin, api, truth
from andromede.services.volume.tables import snapshot
from andromede.services.volume.volumes import find


class MigrateVolume(Body):
    """The os-migrate_volume action. host: `NAME`, `NAME@POOL` or `NAME@POOL#POOL`. No other change of a moving volume is taken, locked or not."""

    host: str
    force_host_copy: bool | str | UnsetType = UNSET
    lock_volume: bool | str | UnsetType = UNSET


@api.action("/volumes/{volume_id}/action", "os-migrate_volume", policy=admin("volumes:migrate"))
def migrate_volume(ctx: Context, volume_id: str, body: MigrateVolume) -> None:
    """Move a volume that no server has to another host.

    Errors: 400 a host that is not there, is its own or has no room, and a volume that is in use, in a group, read by others or has snapshots.
    """
    row = find(ctx, volume_id)
    for name in ("force_host_copy", "lock_volume"):
        if (value := getattr(body, name)) is not UNSET:
            truth(value, name)
    volumes.require(row, "be migrated", "available")
    name, _, pool = body.host.partition("@")
    known = {one.name for one in ctx.parts.carriers.every(ctx.db)}
    if name not in known or pool not in ("", placing.POOL, f"{placing.POOL}#{placing.POOL}"):
        raise BadRequest(f"Invalid input received: No available service named {body.host}.")
    if name == row["host"]:
        raise BadRequest("Invalid volume: Destination host must be different than the current host.")
    if row["group_id"] is not None:
        raise BadRequest("Invalid volume: a volume in a group cannot be migrated.")
    volumes.unread(ctx.db, row["id"])
    if ctx.db.scalar(select(func.count()).where(snapshot.c.volume_id == row["id"])):
        raise BadRequest("Invalid volume: Volume must not have snapshots to be migrated.")
    if placing.choose(ctx.parts.carriers, ctx.db, row["size"], None, only=name) is None:
        raise BadRequest(f"Invalid input received: No valid host was found: {name} is away, disabled, or has no room for the volume.")
    waiting.write(ctx.db, row["id"], status="maintenance", previous=row["status"], migration_status="migrating")
    memo = {"target": name, "format": "raw"}
    ctx.parts.operations.submit(
        ctx.db, operations.MOVE, row["id"], project_id=row["project_id"], request_id=ctx.request_id, memo=memo
    )
