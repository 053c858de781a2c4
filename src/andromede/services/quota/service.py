"""The one place where limits are read, changed and enforced.

A service registers each of its resources once, with its default and how it is counted. `take` runs inside the request's
serializable transaction, so what it counts is what will be there.
"""

from collections.abc import Callable, Iterable, Mapping

import msgspec
from sqlalchemy import Connection, delete, insert, select

from andromede.core.context import Context
from andromede.core.errors import QuotaExceeded
from andromede.services.quota.tables import limit

UNLIMITED = -1
DEFAULTS = "class:default"


class Resource(msgspec.Struct, frozen=True):
    """Something that is limited. `count` answers how much of it a project has; `status` is the refusal's."""

    name: str
    service: str
    default: int
    count: Callable[[Connection, str], int]
    status: int = 403


_resources: dict[str, Resource] = {}


def register(*resources: Resource) -> None:
    """Make resources known, when their service is imported."""
    _resources.update({resource.name: resource for resource in resources})


def resources(service: str) -> list[Resource]:
    """The resources of one service."""
    return [resource for resource in _resources.values() if resource.service == service]


def limits(db: Connection, project_id: str, service: str) -> dict[str, int]:
    """The limits that hold for a project; -1 is none."""
    names = {resource.name: resource.default for resource in resources(service)}
    return names | _rows(db, DEFAULTS, names) | _rows(db, project_id, names)


def defaults(db: Connection, service: str) -> dict[str, int]:
    """The limits of a project that has none of its own."""
    return limits(db, DEFAULTS, service)


def owners(db: Connection, service: str) -> list[str]:
    """The projects that have limits of their own for a service."""
    names = [resource.name for resource in resources(service)]
    query = select(limit.c.project_id).where(limit.c.resource.in_(names), limit.c.project_id != DEFAULTS).distinct()
    return list(db.scalars(query.order_by(limit.c.project_id)))


def usage(db: Connection, project_id: str, service: str) -> dict[str, int]:
    """What a project has of each resource."""
    return {resource.name: resource.count(db, project_id) for resource in resources(service)}


def change(db: Connection, project_id: str, values: Mapping[str, int]) -> None:
    """Set limits of a project (or of DEFAULTS); the caller has checked the names."""
    forget(db, project_id, values)
    if values:
        db.execute(insert(limit), [{"project_id": project_id, "resource": name, "value": value} for name, value in values.items()])


def forget(db: Connection, project_id: str, names: Iterable[str]) -> None:
    """Let the defaults hold again."""
    db.execute(delete(limit).where(limit.c.project_id == project_id, limit.c.resource.in_(list(names))))


def take(ctx: Context, amounts: dict[str, int], project_id: str | None = None) -> None:
    """Refuse what would go over a limit. `project_id`: whose, where it is not the caller's. Raises QuotaExceeded."""
    owner = project_id or ctx.project_id
    held: dict[str, dict[str, int]] = {}
    for name, amount in amounts.items():
        resource = _resources[name]
        allowed = held.setdefault(resource.service, limits(ctx.db, owner, resource.service))[name]
        if allowed == UNLIMITED or amount <= 0:
            continue
        used = resource.count(ctx.db, owner)
        if used + amount > allowed:
            raise QuotaExceeded(name, asked=amount, used=used, limit=allowed, status=resource.status)


def _rows(db: Connection, project_id: str, names: Iterable[str]) -> dict[str, int]:
    query = select(limit.c.resource, limit.c.value).where(limit.c.project_id == project_id, limit.c.resource.in_(list(names)))
    return {row.resource: row.value for row in db.execute(query)}
