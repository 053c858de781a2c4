"""The rules of endpoint groups, and of what projects' catalogs are limited to. Source: Identity API v3, "OS-EP-FILTER"."""

from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, or_, select, true, update

from andromede.core.context import Context
from andromede.core.errors import BadRequest, NotFound
from andromede.core.ids import new_hex_id
from andromede.services.identity import listing
from andromede.services.identity.catalog import find
from andromede.services.identity.fields import Fields, ident, one_of, text
from andromede.services.identity.tables import endpoint, endpoint_filter, endpoint_group, project
from andromede.services.identity.tokens import touch

_FILTERS = Fields(
    "filters", {"service_id": ident(null=False), "region_id": text(255), "interface": one_of("public", "internal", "admin")}, free=False
)


def _filters(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        raise BadRequest(f"Invalid input for field '{name}': it must be an object with any of service_id, region_id and interface.")
    return _FILTERS.check(value, creating=False)[0]


GROUP = Fields(
    "endpoint_group", {"name": text(255, 1), "description": text(null=True), "filters": _filters}, required=("name", "filters"), free=False
)


def group_view(ctx: Context, row: Any) -> dict[str, Any]:
    """An endpoint group, as it goes over HTTP."""
    links = {"self": listing.link(ctx, "OS-EP-FILTER/endpoint_groups", row.id)}
    return {"id": row.id, "name": row.name, "description": row.description, "filters": row.filters, "links": links}


def groups(ctx: Context) -> tuple[list[Any], str | None]:
    """The endpoint groups asked for."""
    return listing.rows(ctx, listing.filtered(ctx, select(endpoint_group), endpoint_group, ("name",)), endpoint_group)


def find_group(ctx: Context, group_id: str) -> Any:
    """A group's row. Raises NotFound."""
    return find(ctx, endpoint_group, "endpoint group", group_id)


def create_group(ctx: Context, body: dict[str, Any]) -> Any:
    """A new group's row."""
    values, _ = GROUP.read(body, creating=True)
    id_ = new_hex_id()
    ctx.db.execute(insert(endpoint_group).values({"id": id_, "description": None, **values}))
    return find_group(ctx, id_)


def change_group(ctx: Context, group_id: str, body: dict[str, Any]) -> Any:
    """A group's row after a change."""
    values, _ = GROUP.read(body, creating=False)
    find_group(ctx, group_id)
    if values:
        ctx.db.execute(update(endpoint_group).where(endpoint_group.c.id == group_id).values(values))
        touch(ctx.db)
    return find_group(ctx, group_id)


def remove_group(ctx: Context, group_id: str) -> None:
    """Delete a group; catalogs that it limited alone are whole again."""
    find_group(ctx, group_id)
    ctx.db.execute(delete(endpoint_filter).where(endpoint_filter.c.kind == "group", endpoint_filter.c.target_id == group_id))
    ctx.db.execute(delete(endpoint_group).where(endpoint_group.c.id == group_id))
    touch(ctx.db)


def _meant(group: Any) -> ColumnElement[bool]:
    """The endpoints of a group."""
    return and_(true(), *(endpoint.c[name] == value for name, value in group.filters.items()))


def endpoints_of_group(ctx: Context, group_id: str) -> list[Any]:
    """The endpoints that a group means now."""
    return list(ctx.db.execute(select(endpoint).where(_meant(find_group(ctx, group_id))).order_by(endpoint.c.id)))


# projects

_TABLES = {"endpoint": (endpoint, "endpoint"), "group": (endpoint_group, "endpoint group")}


def _both(ctx: Context, project_id: str, kind: str, target_id: str) -> ColumnElement[bool]:
    find(ctx, project, "project", project_id)
    table, name = _TABLES[kind]
    find(ctx, table, name, target_id)
    return and_(endpoint_filter.c.project_id == project_id, endpoint_filter.c.kind == kind, endpoint_filter.c.target_id == target_id)


def check(ctx: Context, project_id: str, kind: str, target_id: str) -> None:
    """Raise NotFound where the project's catalog is not limited to that (`endpoint` or `group`)."""
    if ctx.db.execute(select(endpoint_filter).where(_both(ctx, project_id, kind, target_id))).first() is None:
        raise NotFound(f"Project {project_id} has no {_TABLES[kind][1]} {target_id}.")


def add(ctx: Context, project_id: str, kind: str, target_id: str) -> None:
    """Limit a project's catalog to that, and to what else it is limited to."""
    if ctx.db.execute(select(endpoint_filter).where(_both(ctx, project_id, kind, target_id))).first() is None:
        ctx.db.execute(insert(endpoint_filter).values(project_id=project_id, kind=kind, target_id=target_id))
        touch(ctx.db)


def take(ctx: Context, project_id: str, kind: str, target_id: str) -> None:
    """Take it away again. Raises NotFound."""
    check(ctx, project_id, kind, target_id)
    ctx.db.execute(delete(endpoint_filter).where(_both(ctx, project_id, kind, target_id)))
    touch(ctx.db)


def projects_of(ctx: Context, kind: str, target_id: str) -> list[Any]:
    """The projects whose catalogs are limited to that."""
    table, name = _TABLES[kind]
    find(ctx, table, name, target_id)
    query = select(project).join(endpoint_filter, endpoint_filter.c.project_id == project.c.id)
    return list(ctx.db.execute(query.where(endpoint_filter.c.kind == kind, endpoint_filter.c.target_id == target_id).order_by(project.c.id)))


def groups_of(ctx: Context, project_id: str) -> list[Any]:
    """The groups that a project's catalog is limited to."""
    find(ctx, project, "project", project_id)
    query = select(endpoint_group).join(endpoint_filter, endpoint_filter.c.target_id == endpoint_group.c.id)
    return list(ctx.db.execute(query.where(endpoint_filter.c.project_id == project_id, endpoint_filter.c.kind == "group")))


def endpoints_of(ctx: Context, project_id: str) -> list[Any]:
    """The endpoints that a project's catalog is limited to; none where it is not."""
    find(ctx, project, "project", project_id)
    limit = limited_to(ctx.db, project_id)
    return [] if limit is None else list(ctx.db.execute(select(endpoint).where(limit).order_by(endpoint.c.id)))


def limited_to(db: Connection, project_id: str | None) -> ColumnElement[bool] | None:
    """The condition on endpoints of a project's catalog; None where it is not limited."""
    rows = list(db.execute(select(endpoint_filter).where(endpoint_filter.c.project_id == project_id)))
    if not rows:
        return None
    chosen = [row.target_id for row in rows if row.kind == "endpoint"]
    named = select(endpoint_group).where(endpoint_group.c.id.in_([row.target_id for row in rows if row.kind == "group"]))
    return or_(endpoint.c.id.in_(chosen), *(_meant(group) for group in db.execute(named)))
