"""The rules of unified limits, in the flat model: each limit stands for itself. Source: Identity API v3, "Unified Limits"."""

from typing import Any

from sqlalchemy import delete, insert, select, update

from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, Forbidden, NotFound
from andromede.core.ids import new_hex_id
from andromede.services.identity import listing, rights
from andromede.services.identity.fields import Fields, ident, number, text
from andromede.services.identity.rights import Target
from andromede.services.identity.tables import domain, project, project_limit, region, registered_limit, service

MODEL = {"name": "flat", "description": "Limit enforcement and validation does not take project hierarchy into consideration."}
_PLACE = {"service_id": ident(null=False), "region_id": text(255, null=True), "resource_name": text(255, 1), "description": text(null=True)}
REGISTERED = Fields(
    "registered_limit", _PLACE | {"default_limit": number(-1)}, ("service_id", "resource_name", "default_limit"), free=False
)
LIMIT = Fields(
    "limit", _PLACE | {"resource_limit": number(-1), "project_id": ident(), "domain_id": ident()},
    ("service_id", "resource_name", "resource_limit"), free=False,
)  # fmt: skip
CHANGE = Fields("limit", {"resource_limit": number(-1), "description": text(null=True)}, free=False)


def _many(fields: Fields, name: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    given = body.get(name)
    if not isinstance(given, list) or not given or not all(isinstance(one, dict) for one in given):
        raise BadRequest(f"Invalid input for field '{name}': it must be a list of objects.")
    return [fields.check(one, creating=True)[0] for one in given]


# registered limits


def registered_view(ctx: Context, row: Any) -> dict[str, Any]:
    """A registered limit, as it goes over HTTP."""
    return {
        "id": row.id, "service_id": row.service_id, "region_id": row.region_id, "resource_name": row.resource_name,
        "default_limit": row.default_limit, "description": row.description,
        "links": {"self": listing.link(ctx, "registered_limits", row.id)},
    }  # fmt: skip


def registered(ctx: Context) -> tuple[list[Any], str | None]:
    """The registered limits asked for; anybody may know them."""
    table = registered_limit
    return listing.rows(ctx, listing.filtered(ctx, select(table), table, ("service_id", "region_id", "resource_name")), table)


def find_registered(ctx: Context, id_: str) -> Any:
    """The row of a registered limit. Raises NotFound."""
    row = ctx.db.execute(select(registered_limit).where(registered_limit.c.id == id_)).first()
    if row is None:
        raise NotFound(f"Could not find registered limit for {id_}.")
    return row


def register(ctx: Context, body: dict[str, Any]) -> list[Any]:
    """New registered limits' rows. Raises BadRequest for an unknown service or region, Conflict for a limit that is there."""
    ids = []
    for values in _many(REGISTERED, "registered_limits", body):
        _refuse_unknown(ctx, values)
        _refuse_registered(ctx, values, None)
        ids.append(new_hex_id())
        ctx.db.execute(insert(registered_limit).values({"id": ids[-1], "region_id": None, **values}))
    return [find_registered(ctx, id_) for id_ in ids]


def _refuse_unknown(ctx: Context, values: dict[str, Any]) -> None:
    for table, kind in ((service, "service"), (region, "region")):
        id_ = values.get(f"{kind}_id")
        if id_ is not None and ctx.db.execute(select(table.c.id).where(table.c.id == id_)).first() is None:
            raise BadRequest(f"Invalid input for field '{kind}_id': there is no {kind} {id_}.")


def _registered_for(ctx: Context, values: dict[str, Any]) -> Any:
    table = registered_limit
    same = [table.c[name] == values.get(name) for name in ("service_id", "region_id", "resource_name")]
    return ctx.db.execute(select(table).where(*same)).first()


def _refuse_registered(ctx: Context, values: dict[str, Any], own: str | None) -> None:
    found = _registered_for(ctx, values)
    if found is not None and found.id != own:
        raise Conflict("Conflict occurred attempting to store registered_limit - Duplicate entry.")


def change_registered(ctx: Context, id_: str, body: dict[str, Any]) -> Any:
    """A registered limit's row after a change. Raises Forbidden where limits that it stands behind would be left alone."""
    values, _extra = REGISTERED.read(body, creating=False)
    row = find_registered(ctx, id_)
    _refuse_unknown(ctx, values)
    place = {name: values.get(name, getattr(row, name)) for name in ("service_id", "region_id", "resource_name")}
    if place != {name: getattr(row, name) for name in place}:
        _refuse_used(ctx, id_)
        _refuse_registered(ctx, place, id_)
    if values:
        ctx.db.execute(update(registered_limit).where(registered_limit.c.id == id_).values(values))
    return find_registered(ctx, id_)


def _refuse_used(ctx: Context, id_: str) -> None:
    if ctx.db.execute(select(project_limit.c.id).where(project_limit.c.registered_id == id_)).first():
        raise Forbidden(f"Unable to update or delete registered limit {id_} because there are project limits associated with it.")


def remove_registered(ctx: Context, id_: str) -> None:
    """Delete a registered limit that no limit refers to."""
    find_registered(ctx, id_)
    _refuse_used(ctx, id_)
    ctx.db.execute(delete(registered_limit).where(registered_limit.c.id == id_))


# limits


_JOINED = select(
    project_limit, registered_limit.c.service_id, registered_limit.c.region_id, registered_limit.c.resource_name
).join(registered_limit, registered_limit.c.id == project_limit.c.registered_id)


def view(ctx: Context, row: Any) -> dict[str, Any]:
    """A limit, as it goes over HTTP."""
    return {
        "id": row.id, "project_id": row.project_id, "domain_id": row.domain_id, "service_id": row.service_id, "region_id": row.region_id,
        "resource_name": row.resource_name, "resource_limit": row.resource_limit, "description": row.description,
        "links": {"self": listing.link(ctx, "limits", row.id)},
    }  # fmt: skip


def listed(ctx: Context) -> tuple[list[Any], str | None]:
    """The limits asked for: all of them, or those of the caller's own project or domain."""
    query = listing.filtered(ctx, _JOINED, project_limit, ("project_id", "domain_id"))
    query = listing.filtered(ctx, query, registered_limit, ("service_id", "region_id", "resource_name"))
    caller = ctx.caller
    if not rights.allows(caller, "list_limits", Target()):
        own = project_limit.c.project_id == caller.project_id if caller.project_id else project_limit.c.domain_id == (caller.domain_id or "")
        query = query.where(own)
    return listing.rows(ctx, query, project_limit)


def find(ctx: Context, id_: str) -> Any:
    """A limit's row that the caller may know. Raises NotFound."""
    row = ctx.db.execute(_JOINED.where(project_limit.c.id == id_)).first()
    if row is None or not rights.allows(ctx.caller, "get_limit", Target(domain_id=row.domain_id, project_id=row.project_id)):
        raise NotFound(f"Could not find limit for {id_}.")
    return row


def create(ctx: Context, body: dict[str, Any]) -> list[Any]:
    """New limits' rows. Raises Forbidden where none is registered for it, Conflict for one that is there."""
    ids = []
    for values in _many(LIMIT, "limits", body):
        owners = {name: values.get(name) for name in ("project_id", "domain_id") if values.get(name)}
        if len(owners) != 1:
            raise BadRequest("Invalid input for field 'project_id': a limit is for either a project or a domain.")
        name, owner = next(iter(owners.items()))
        table = project if name == "project_id" else domain
        if ctx.db.execute(select(table.c.id).where(table.c.id == owner)).first() is None:
            raise NotFound(f"Could not find {name.removesuffix('_id')}: {owner}.")
        behind = _registered_for(ctx, values)
        if behind is None:
            raise Forbidden(f"Unable to create a limit that has no corresponding registered limit: {values['resource_name']}.")
        same = select(project_limit.c.id).where(project_limit.c.registered_id == behind.id, project_limit.c[name] == owner)
        if ctx.db.execute(same).first():
            raise Conflict("Conflict occurred attempting to store limit - Duplicate entry.")
        ids.append(new_hex_id())
        row = {"id": ids[-1], "registered_id": behind.id, name: owner}
        row |= {"resource_limit": values["resource_limit"], "description": values.get("description")}
        ctx.db.execute(insert(project_limit).values(row))
    return [find(ctx, id_) for id_ in ids]


def change(ctx: Context, id_: str, body: dict[str, Any]) -> Any:
    """A limit's row after a change of its value or description."""
    values, _extra = CHANGE.read(body, creating=False)
    find(ctx, id_)
    if values:
        ctx.db.execute(update(project_limit).where(project_limit.c.id == id_).values(values))
    return find(ctx, id_)


def remove(ctx: Context, id_: str) -> None:
    """Delete a limit; the registered default holds again."""
    find(ctx, id_)
    ctx.db.execute(delete(project_limit).where(project_limit.c.id == id_))
