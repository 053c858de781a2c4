"""What a project may have of volumes, snapshots, backups and groups; and of volumes and snapshots of one type.

Limits of a type are rows named `volumes_<type>`, `gigabytes_<type>` and `snapshots_<type>`; there are none by default.
"""

from typing import Any

from sqlalchemy import Connection, func, select

from andromede.core.context import Context
from andromede.core.errors import QuotaExceeded
from andromede.services.quota import service as quota
from andromede.services.quota.tables import limit
from andromede.services.volume.tables import backup, group, snapshot, volume, volume_type

STATUS = 413
OF_TYPES = ("volumes", "gigabytes", "snapshots")


def _volumes(db: Connection, project_id: str, *more: Any) -> int:
    return db.scalar(select(func.count()).where(volume.c.project_id == project_id, volume.c.counted, *more)) or 0


def _snapshots(db: Connection, project_id: str, *more: Any) -> int:
    whose = (snapshot.c.project_id == project_id, snapshot.c.purpose.is_(None), snapshot.c.counted)
    query = select(func.count()).select_from(snapshot.join(volume, volume.c.id == snapshot.c.volume_id)).where(*whose, *more)
    return db.scalar(query) or 0


def _gigabytes(db: Connection, project_id: str, *more: Any) -> int:
    own = db.scalar(select(func.coalesce(func.sum(volume.c.size), 0)).where(volume.c.project_id == project_id, volume.c.counted, *more)) or 0
    whose = (snapshot.c.project_id == project_id, snapshot.c.purpose.is_(None), snapshot.c.counted)
    joined = select(func.coalesce(func.sum(snapshot.c.size), 0)).select_from(snapshot.join(volume, volume.c.id == snapshot.c.volume_id))
    return int(own) + int(db.scalar(joined.where(*whose, *more)) or 0)


def _backups(db: Connection, project_id: str) -> int:
    return db.scalar(select(func.count()).where(backup.c.project_id == project_id)) or 0


def _backup_gigabytes(db: Connection, project_id: str) -> int:
    return int(db.scalar(select(func.coalesce(func.sum(backup.c.size), 0)).where(backup.c.project_id == project_id)) or 0)


def _groups(db: Connection, project_id: str) -> int:
    return db.scalar(select(func.count()).where(group.c.project_id == project_id)) or 0


quota.register(
    quota.Resource("volumes", "volume", 10, _volumes, STATUS),
    quota.Resource("snapshots", "volume", 10, _snapshots, STATUS),
    quota.Resource("gigabytes", "volume", 1000, _gigabytes, STATUS),
    quota.Resource("backups", "volume", 10, _backups, STATUS),
    quota.Resource("backup_gigabytes", "volume", 1000, _backup_gigabytes, STATUS),
    quota.Resource("groups", "volume", 10, _groups, STATUS),
    quota.Resource("per_volume_gigabytes", "volume", quota.UNLIMITED, lambda _db, _project: 0, STATUS),
)
_COUNTS = {"volumes": _volumes, "gigabytes": _gigabytes, "snapshots": _snapshots}


def names_of_types(db: Connection) -> dict[str, tuple[str, str]]:
    """(what is counted, type id) by the names of all limits of types."""
    rows = db.execute(select(volume_type.c.id, volume_type.c.name).order_by(volume_type.c.name)).all()
    return {f"{what}_{row.name}": (what, row.id) for row in rows for what in OF_TYPES}


def limits(db: Connection, project_id: str) -> dict[str, int]:
    """Every limit that holds for a project, those of types too; -1 is none."""
    names = names_of_types(db)
    query = select(limit.c.project_id, limit.c.resource, limit.c.value).where(limit.c.project_id.in_((quota.DEFAULTS, project_id)))
    found = {(row.project_id, row.resource): row.value for row in db.execute(query)}
    ours = {name: found.get((project_id, name), found.get((quota.DEFAULTS, name), quota.UNLIMITED)) for name in names}
    return quota.limits(db, project_id, "volume") | ours


def usage(db: Connection, project_id: str) -> dict[str, int]:
    """What a project has of everything that is limited."""
    names = names_of_types(db)
    typed = {name: _COUNTS[what](db, project_id, volume.c.type_id == type_id) for name, (what, type_id) in names.items()}
    return quota.usage(db, project_id, "volume") | typed


def take(ctx: Context, project_id: str, type_id: str | None, **amounts: int) -> None:
    """Use up some of a project's limits, and of those it has for a type. Raises QuotaExceeded."""
    ctx.take(project_id, **amounts)
    if type_id is not None:
        take_type(ctx, project_id, type_id, **amounts)


def take_type(ctx: Context, project_id: str, type_id: str, **amounts: int) -> None:
    """Use up some of the limits that a project has for a type. Raises QuotaExceeded."""
    wanted = {name: amounts[what] for name, (what, of) in names_of_types(ctx.db).items() if of == type_id and amounts.get(what, 0) > 0}
    if not wanted:
        return
    held = limits(ctx.db, project_id)
    for name, amount in wanted.items():
        if held[name] == quota.UNLIMITED:
            continue
        used = _COUNTS[name.partition("_")[0]](ctx.db, project_id, volume.c.type_id == type_id)
        if used + amount > held[name]:
            raise QuotaExceeded(name, asked=amount, used=used, limit=held[name], status=STATUS)


def one_volume(ctx: Context, project_id: str, size: int) -> None:
    """Refuse a volume that is larger than one may be. Raises QuotaExceeded."""
    most = quota.limits(ctx.db, project_id, "volume")["per_volume_gigabytes"]
    if most != quota.UNLIMITED and size > most:
        raise QuotaExceeded("per_volume_gigabytes", asked=size, used=0, limit=most, status=STATUS)
