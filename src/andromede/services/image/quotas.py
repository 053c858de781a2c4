"""Image's quotas. Names and refusals (413) are those of Glance's unified limits; sizes in MiB."""

from collections.abc import Callable

from sqlalchemy import Connection, func, select

from andromede.core.errors import QuotaExceeded
from andromede.core.units import MIB
from andromede.services.image.tables import image
from andromede.services.quota import service as quota

UNDERWAY = ("saving", "uploading", "importing")


def mib(size: int) -> int:
    """Bytes in MiB, rounded up."""
    return -(-size // MIB)


def _size_total(db: Connection, project_id: str) -> int:
    return mib(int(db.scalar(select(func.sum(image.c.size)).where(image.c.owner == project_id)) or 0))


def _stage_total(db: Connection, project_id: str) -> int:
    return mib(int(db.scalar(select(func.sum(image.c.staged_size)).where(image.c.owner == project_id)) or 0))


def _count_total(db: Connection, project_id: str) -> int:
    return db.scalar(select(func.count()).where(image.c.owner == project_id)) or 0


def _count_uploading(db: Connection, project_id: str) -> int:
    return db.scalar(select(func.count()).where(image.c.owner == project_id, image.c.status.in_(UNDERWAY))) or 0


def _resource(name: str, default: int, count: Callable[[Connection, str], int]) -> quota.Resource:
    return quota.Resource(name, "image", default, count, status=413)


quota.register(
    _resource("image_size_total", 1_000_000, _size_total),
    _resource("image_stage_total", 500_000, _stage_total),
    _resource("image_count_total", 1000, _count_total),
    _resource("image_count_uploading", 100, _count_uploading),
)


def room(db: Connection, owner: str | None, name: str) -> int | None:
    """How much of a quota is left, in its unit; None where there is no limit."""
    if owner is None:
        return None
    allowed = quota.limits(db, owner, "image")[name]
    if allowed == quota.UNLIMITED:
        return None
    return max(0, allowed - quota.usage(db, owner, "image")[name])


def require(db: Connection, owner: str | None, **amounts: int) -> None:
    """Raise QuotaExceeded where an owner has no room for these amounts; for where no request is under way."""
    for name, amount in amounts.items():
        left = room(db, owner, name)
        if left is not None and 0 < amount > left:
            allowed = quota.limits(db, owner or "", "image")[name]
            raise QuotaExceeded(name, asked=amount, used=allowed - left, limit=allowed, status=413)
