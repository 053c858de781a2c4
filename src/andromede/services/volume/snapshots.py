"""Beginning a snapshot of a volume, for whoever may."""

from typing import Any

from sqlalchemy import insert

from andromede.core.clock import now
from andromede.core.context import Context
from andromede.core.ids import new_id
from andromede.services.volume import operations, quotas
from andromede.services.volume.tables import snapshot


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
