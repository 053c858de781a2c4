"""Routes of the types of groups, and their specs. Source: Block Storage API v3, "Group types"."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import delete, func, insert, select, update

from andromede.core.clock import now
from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, NotFound
from andromede.core.ids import new_id
from andromede.http.wire import Body
from andromede.services.volume import listing
from andromede.services.volume.api import Name, admin, api, reader, truth
from andromede.services.volume.tables import group, group_type

_TYPES, _TYPE = "/group_types", "/group_types/{group_type_id}"
_V11 = ("3.11", "3.70")
_Specs = dict[str, Annotated[str, msgspec.Meta(max_length=255)]]
DEFAULT = "default_group_type"


class NewType(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is asked for."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    description: str | None = None
    is_public: bool | str | None = None
    group_specs: _Specs | None = None


class CreateType(Body):
    """`POST /group_types`."""

    group_type: NewType


def _type_view(row: Any) -> dict[str, Any]:
    return {"id": row["id"], "name": row["name"], "description": row["description"], "is_public": row["public"], "group_specs": row["specs"]}


def find_type(ctx: Context, id_: str) -> Any:
    """A type's row (a mapping) that the caller may use. Raises NotFound."""
    match = group_type.c.name == DEFAULT if id_ == "default" else group_type.c.id == id_
    row = ctx.db.execute(select(group_type).where(match)).mappings().first()
    if row is None or not (row["public"] or ctx.caller.admin):
        raise NotFound(f"Group type {id_} could not be found.")
    return row


@api.post(_TYPES, status=202, policy=admin("group_types:create"), versions=_V11)
def create_group_type(ctx: Context, body: CreateType) -> dict[str, Any]:
    """A new type of groups. Errors: 409 a name that is taken."""
    wanted = body.group_type
    if ctx.db.execute(select(group_type.c.id).where(group_type.c.name == wanted.name)).first() is not None:
        raise Conflict(f"Group Type {wanted.name} already exists.")
    public = wanted.is_public is None or truth(wanted.is_public, "is_public")
    id_, specs = new_id(), wanted.group_specs or {}
    values = {"name": wanted.name, "description": wanted.description, "public": public, "specs": specs, "created": now()}
    ctx.db.execute(insert(group_type).values(id=id_, **values))
    return {"group_type": _type_view(find_type(ctx, id_))}


@api.get(_TYPES, policy=reader("group_types:list"), versions=_V11)
def list_group_types(ctx: Context) -> dict[str, Any]:
    """The types of groups that the caller may use."""
    query = select(group_type)
    asked = (ctx.query.get("is_public") or "true").lower() if ctx.caller.admin else "true"
    if asked != "none":
        query = query.where(group_type.c.public == truth(asked, "is_public"))
    found = listing.page(ctx, query, group_type, "group_types", columns={}, sortable={"name": group_type.c.name}, project=False)
    return {"group_types": [_type_view(row) for row in found.rows]}


@api.get(_TYPE, policy=reader("group_types:show"), versions=_V11)
def show_group_type(ctx: Context, group_type_id: str) -> dict[str, Any]:
    """One type; `default` is the one that is named `default_group_type`."""
    return {"group_type": _type_view(find_type(ctx, group_type_id))}


class TypeChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What can be changed."""

    name: Name | None | UnsetType = UNSET
    description: str | None | UnsetType = UNSET
    is_public: bool | str | None | UnsetType = UNSET


class UpdateType(Body):
    """`PUT /group_types/{id}`."""

    group_type: TypeChange


@api.put(_TYPE, policy=admin("group_types:update"), versions=_V11)
def update_group_type(ctx: Context, group_type_id: str, body: UpdateType) -> dict[str, Any]:
    """Rename a type, or describe it anew."""
    row, wanted = find_type(ctx, group_type_id), body.group_type
    values: dict[str, Any] = {name: value for name in ("name", "description") if (value := getattr(wanted, name)) is not UNSET}
    if wanted.is_public is not UNSET and wanted.is_public is not None:
        values["public"] = truth(wanted.is_public, "is_public")
    if not values or not values.get("name", row["name"]):
        raise BadRequest("Specify group type name, description, is_public or a combination thereof.")
    ctx.db.execute(update(group_type).where(group_type.c.id == row["id"]).values(values))
    return {"group_type": _type_view(find_type(ctx, row["id"]))}


@api.delete(_TYPE, policy=admin("group_types:delete"), status=202, versions=_V11)
def delete_group_type(ctx: Context, group_type_id: str) -> None:
    """Delete a type that no group has."""
    row = find_type(ctx, group_type_id)
    if ctx.db.scalar(select(func.count()).where(group.c.type_id == row["id"])):
        raise BadRequest(f"Target group type is still in use: {row['id']}")
    ctx.db.execute(delete(group_type).where(group_type.c.id == row["id"]))


class Specs(Body):
    """`{"group_specs": …}`."""

    group_specs: _Specs


def _set_specs(ctx: Context, row: Any, specs: dict[str, str]) -> None:
    ctx.db.execute(update(group_type).where(group_type.c.id == row["id"]).values(specs=specs))


@api.get(_TYPE + "/group_specs", policy=admin("group_types_specs:list"), versions=_V11)
def list_group_specs(ctx: Context, group_type_id: str) -> dict[str, Any]:
    """A type's specs."""
    return {"group_specs": find_type(ctx, group_type_id)["specs"]}


@api.post(_TYPE + "/group_specs", status=202, policy=admin("group_types_specs:create"), versions=_V11)
def add_group_specs(ctx: Context, group_type_id: str, body: Specs) -> dict[str, Any]:
    """Add to them, or change some."""
    row = find_type(ctx, group_type_id)
    _set_specs(ctx, row, row["specs"] | body.group_specs)
    return {"group_specs": body.group_specs}


def _spec(row: Any, key: str) -> str:
    if key not in row["specs"]:
        raise NotFound(f"Group Type {row['id']} has no specs with key {key}.")
    return str(row["specs"][key])


@api.get(_TYPE + "/group_specs/{key}", policy=admin("group_types_specs:show"), versions=_V11)
def show_group_spec(ctx: Context, group_type_id: str, key: str) -> dict[str, Any]:
    """One of them."""
    return {key: _spec(find_type(ctx, group_type_id), key)}


@api.put(_TYPE + "/group_specs/{key}", policy=admin("group_types_specs:update"), versions=_V11)
def set_group_spec(ctx: Context, group_type_id: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
    """Set one."""
    row = find_type(ctx, group_type_id)
    if list(body) != [key] or not isinstance(body[key], str) or len(body[key]) > 255:
        raise BadRequest("Request body and URI mismatch")
    _set_specs(ctx, row, row["specs"] | body)
    return body


@api.delete(_TYPE + "/group_specs/{key}", policy=admin("group_types_specs:delete"), status=202, versions=_V11)
def delete_group_spec(ctx: Context, group_type_id: str, key: str) -> None:
    """Remove one."""
    row = find_type(ctx, group_type_id)
    _spec(row, key)
    _set_specs(ctx, row, {name: value for name, value in row["specs"].items() if name != key})
