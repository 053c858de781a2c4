"""Metadata definitions: namespaces that say which properties, objects and tags mean something, and for which kinds of resources.

Source: Image API v2, "Metadata Definitions". Whoever may read images reads the public ones and their own; operators write.
What is in a namespace is rows of one table: objects, properties, tags and associations with resource types, each by its name.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import RowMapping, delete, func, insert, or_, select, update

from andromede.core.clock import now
from andromede.core.context import Context
from andromede.core.errors import Conflict, Forbidden, NotFound
from andromede.core.ids import new_id
from andromede.http import paging
from andromede.services.image.tables import metadef, metadef_item

OBJECT, PROPERTY, TAG, TYPE = "object", "property", "tag", "resource_type"
TYPES = ("OS::Glance::Image", "OS::Nova::Flavor", "OS::Nova::Server")
"""The kinds of resources of this cloud; an association may name further ones."""


def find(ctx: Context, name: str) -> RowMapping:
    """A namespace that the caller may see. Raises NotFound."""
    query = select(metadef).where(metadef.c.namespace == name)
    if not ctx.caller.admin:
        query = query.where(or_(metadef.c.visibility == "public", metadef.c.owner == ctx.caller.project_id))
    row = ctx.db.execute(query).mappings().first()
    if row is None:
        raise NotFound(f"Metadata definition namespace={name} was not found.")
    return row


def find_open(ctx: Context, name: str) -> RowMapping:
    """A namespace that may be deleted, or lose what is in it. Raises NotFound, Forbidden."""
    row = find(ctx, name)
    if row["protected"]:
        raise Forbidden(f"Metadata definition namespace {name} is protected and cannot be deleted.")
    return row


def listing(ctx: Context) -> paging.Page:
    """A page of namespaces: those that match `visibility` and `resource_types` of the query."""
    query = select(metadef)
    if not ctx.caller.admin:
        query = query.where(or_(metadef.c.visibility == "public", metadef.c.owner == ctx.caller.project_id))
    if visibility := ctx.query.get("visibility"):
        query = query.where(metadef.c.visibility == visibility)
    if types := ctx.query.get("resource_types"):
        named = select(metadef_item.c.namespace_id).where(metadef_item.c.kind == TYPE, metadef_item.c.name.in_(types.split(",")))
        query = query.where(metadef.c.id.in_(named))
    columns = {name: metadef.c[name] for name in ("namespace", "created_at", "updated_at", "id")}
    keys = paging.sort_of(ctx, columns, [(metadef.c.created_at, True)], direction="desc")
    marker = ctx.query.get("marker")
    after = ctx.db.scalar(select(metadef.c.id).where(metadef.c.namespace == marker)) if marker else None
    return paging.page(ctx.db, query, metadef, keys=keys, limit=paging.limit_of(ctx, most=1000, default=25), marker=after or marker)


def create(ctx: Context, values: dict[str, Any]) -> RowMapping:
    """A new namespace. Raises Conflict where its name is taken."""
    moment = now()
    row: dict[str, Any] = {"id": new_id(), "created_at": moment, "updated_at": moment, "owner": ctx.project_id} | values
    _refuse_taken(ctx, values["namespace"])
    ctx.db.execute(insert(metadef).values(row))
    return find(ctx, row["namespace"])


def change(ctx: Context, row: RowMapping, values: dict[str, Any]) -> RowMapping:
    """Change a namespace. Raises Conflict where its new name is taken."""
    _refuse_taken(ctx, values["namespace"], row["id"])
    ctx.db.execute(update(metadef).where(metadef.c.id == row["id"]).values(**values, updated_at=now()))
    return find(ctx, values["namespace"])


def remove(ctx: Context, row: RowMapping) -> None:
    """Delete a namespace with all that is in it."""
    ctx.db.execute(delete(metadef).where(metadef.c.id == row["id"]))


def items(ctx: Context, ids: Sequence[str], kind: str) -> list[RowMapping]:
    """What of a kind is in namespaces, by name."""
    query = select(metadef_item).where(metadef_item.c.namespace_id.in_(ids), metadef_item.c.kind == kind)
    return list(ctx.db.execute(query.order_by(metadef_item.c.name)).mappings())


def page(ctx: Context, row: RowMapping, kind: str) -> list[RowMapping]:
    """Those of a namespace after the name `marker` of the query, up to its `limit`."""
    query = select(metadef_item).where(metadef_item.c.namespace_id == row["id"], metadef_item.c.kind == kind)
    if marker := ctx.query.get("marker"):
        query = query.where(metadef_item.c.name > marker)
    limit = paging.limit_of(ctx, most=1000, default=1000)
    return list(ctx.db.execute(query.order_by(metadef_item.c.name).limit(limit)).mappings())


def item(ctx: Context, row: RowMapping, kind: str, name: str) -> RowMapping:
    """One of a namespace. Raises NotFound."""
    query = select(metadef_item).where(metadef_item.c.namespace_id == row["id"], metadef_item.c.kind == kind, metadef_item.c.name == name)
    found = ctx.db.execute(query).mappings().first()
    if found is None:
        raise NotFound(f"The metadata definition {kind} with name={name} was not found in namespace={row['namespace']}.")
    return found


def add(ctx: Context, row: RowMapping, kind: str, name: str, body: dict[str, Any]) -> RowMapping:
    """Put something new into a namespace. Raises Conflict where its name is taken there."""
    moment = now()
    values = {"namespace_id": row["id"], "kind": kind, "name": name, "body": body, "created_at": moment, "updated_at": moment}
    _refuse_taken_item(ctx, row, kind, name)
    ctx.db.execute(insert(metadef_item).values(values))
    return item(ctx, row, kind, name)


def change_item(ctx: Context, row: RowMapping, old: RowMapping, name: str, body: dict[str, Any]) -> RowMapping:
    """Replace what is in a namespace; it may get another name. Raises Conflict where that is taken."""
    key = (metadef_item.c.namespace_id == row["id"], metadef_item.c.kind == old["kind"], metadef_item.c.name == old["name"])
    if name != old["name"]:
        _refuse_taken_item(ctx, row, old["kind"], name)
    ctx.db.execute(update(metadef_item).where(*key).values(name=name, body=body, updated_at=now()))
    return item(ctx, row, old["kind"], name)


def drop(ctx: Context, row: RowMapping, kind: str, name: str | None = None) -> None:
    """Take one, or all of a kind, out of a namespace. Raises NotFound."""
    query = delete(metadef_item).where(metadef_item.c.namespace_id == row["id"], metadef_item.c.kind == kind)
    if name is not None:
        item(ctx, row, kind, name)
        query = query.where(metadef_item.c.name == name)
    ctx.db.execute(query)


def types(ctx: Context) -> list[dict[str, Any]]:
    """All kinds of resources that there are, or that an association names."""
    query = select(metadef_item.c.name, func.min(metadef_item.c.created_at).label("first")).where(metadef_item.c.kind == TYPE)
    named = {row.name: row.first for row in ctx.db.execute(query.group_by(metadef_item.c.name))}
    return [{"name": name, "created_at": named.get(name)} for name in sorted({*TYPES, *named})]


def _refuse_taken(ctx: Context, name: str, but: str = "") -> None:
    if ctx.db.scalar(select(metadef.c.id).where(metadef.c.namespace == name, metadef.c.id != but)) is not None:
        raise Conflict(f"A metadata definition namespace with namespace={name} already exists.")


def _refuse_taken_item(ctx: Context, row: RowMapping, kind: str, name: str) -> None:
    key = (metadef_item.c.namespace_id == row["id"], metadef_item.c.kind == kind, metadef_item.c.name == name)
    if ctx.db.scalar(select(metadef_item.c.name).where(*key)) is not None:
        raise Conflict(f"A metadata definition {kind} with name={name} already exists in namespace={row['namespace']}.")
