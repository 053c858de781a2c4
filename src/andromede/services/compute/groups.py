"""The rules of server groups' members."""

from sqlalchemy import Connection, delete, func, select, update

from andromede.core.context import Context
from andromede.core.errors import QuotaExceeded
from andromede.services.compute.tables import server, server_group
from andromede.services.quota import service as quota


def _count(db: Connection, project_id: str) -> int:
    return db.scalar(select(func.count()).where(server_group.c.project_id == project_id)) or 0


quota.register(
    quota.Resource("server_groups", "compute", 10, _count),
    quota.Resource("server_group_members", "compute", 10, lambda _db, _project: 0),
)


def refuse_crowd(ctx: Context, group_id: str, more: int) -> None:
    """Raise QuotaExceeded where a group would have more members than the project's limit allows."""
    used = ctx.db.scalar(select(func.count()).where(server.c.group_id == group_id, server.c.deleted.is_(None))) or 0
    limit = quota.limits(ctx.db, ctx.project_id, "compute")["server_group_members"]
    if limit != quota.UNLIMITED and used + more > limit:
        raise QuotaExceeded("server_group_members", asked=more, used=used, limit=limit)


def remove(db: Connection, group_id: str) -> None:
    """Delete a group; its servers stay where they are."""
    db.execute(update(server).where(server.c.group_id == group_id).values(group_id=None))
    db.execute(delete(server_group).where(server_group.c.id == group_id))
