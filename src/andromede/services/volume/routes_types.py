"""Routes of volume types: extra specs, access, encryption, defaults, QoS specs. Source: Block Storage API v3."""

import re
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import delete, func, insert, select, update

from andromede.core.clock import now
from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, NotFound
from andromede.core.ids import new_id
from andromede.http import paging
from andromede.http.wire import Body
from andromede.services.identity import service as identity
from andromede.services.volume import types, view
from andromede.services.volume.api import MOST, admin, api, reader, truth
from andromede.services.volume.tables import default_type, group, type_access, volume, volume_type

_ALL, _ONE = "/types", "/types/{type_id}"
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
_KEY = re.compile(r"[\w\-.: ]{1,255}")


class NewType(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is asked for in a new type."""

    name: _Name
    description: str | None = None
    extra_specs: dict[str, str | None] | None = None
    public: bool | str | None = msgspec.field(name="os-volume-type-access:is_public", default=None)


class CreateType(Body):
    """`POST /types`."""

    volume_type: NewType


def _specs(values: dict[str, str | None]) -> dict[str, str]:
    for key, value in values.items():
        if not _KEY.fullmatch(key):
            raise BadRequest(f"Invalid input: the key {key!r} of an extra spec can only hold letters, digits, '-', '_', ':', '.' and blanks.")
        if value is not None and len(value) > 255:
            raise BadRequest(f"Invalid input: the extra spec {key} is too long: it has at most 255 characters.")
    format_ = values.get("andromede:format")
    if format_ not in (None, "raw", "qcow2"):
        raise BadRequest("Invalid input: the extra spec andromede:format is raw or qcow2.")
    return {key: "" if value is None else value for key, value in values.items()}


def _named(text: str) -> str:
    name = text.strip()
    if not name:
        raise BadRequest("Invalid input for field/attribute name. The name of a volume type cannot be empty.")
    return name


@api.post(_ALL, policy=admin("types:create"))
def create_type(ctx: Context, body: CreateType) -> dict[str, Any]:
    """A new type; public unless said otherwise. Errors: 409 a name that is taken."""
    wanted = body.volume_type
    name = _named(wanted.name)
    if ctx.db.execute(select(volume_type.c.id).where(volume_type.c.name == name)).first() is not None:
        raise Conflict(f"Volume Type {name} already exists.")
    id_ = new_id()
    public = wanted.public is None or truth(wanted.public, "os-volume-type-access:is_public")
    values = {"description": wanted.description, "public": public, "extra_specs": _specs(wanted.extra_specs or {}), "created": now()}
    ctx.db.execute(insert(volume_type).values(id=id_, name=name, **values))
    shown = view.type_(ctx, types.find(ctx, id_))
    shown.pop("qos_specs_id", None)
    return {"volume_type": shown}


@api.get(_ALL, policy=reader("types:list"))
def list_types(ctx: Context) -> dict[str, Any]:
    """The types that the caller may use; admins choose with `is_public` (true, false, none: all)."""
    query = select(volume_type).where(types.visible(ctx))
    asked = ctx.query.get("is_public")
    if ctx.caller.admin and (asked or "").lower() != "none":
        query = query.where(volume_type.c.public == (truth(asked, "is_public") if asked else True))
    for name, column in (("name", volume_type.c.name), ("description", volume_type.c.description)):
        if (value := ctx.query.get(name)) is not None:
            query = query.where(column == value)
    keys = {"name": volume_type.c.name, "created_at": volume_type.c.created, "id": volume_type.c.id, "is_public": volume_type.c.public}
    found = paging.page(
        ctx.db, query, volume_type, keys=paging.sort_of(ctx, keys, [(volume_type.c.created, True)], direction="desc"),
        limit=paging.limit_of(ctx, most=MOST), marker=ctx.query.get("marker"),
    )  # fmt: skip
    rows = [ctx.db.execute(select(volume_type).where(volume_type.c.id == row["id"])).one() for row in found.rows]
    link = found.next_link(ctx, f"{ctx.base}/types")
    shown = [view.type_(ctx, row) for row in rows]
    if wanted := ctx.query.get("extra_specs"):
        from andromede.services.volume.routes_volumes import dict_of

        pairs = dict_of(wanted, "extra_specs").items()
        shown = [one for one in shown if pairs <= one["extra_specs"].items()]
    return {"volume_types": shown} | ({"volume_type_links": [{"rel": "next", "href": link}]} if link else {})


@api.get(_ALL + "/default", policy=reader("types:show_default"))
def show_default(ctx: Context) -> dict[str, Any]:
    """The type of volumes where none is asked for."""
    return {"volume_type": view.type_(ctx, types.default(ctx))}


@api.get(_ONE, policy=reader("types:show"))
def show_type(ctx: Context, type_id: str) -> dict[str, Any]:
    """One type."""
    if type_id == "default":
        return show_default(ctx)
    return {"volume_type": view.type_(ctx, types.find(ctx, type_id))}


class TypeChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What can be changed of a type."""

    name: Annotated[str, msgspec.Meta(max_length=255)] | None | UnsetType = UNSET
    description: str | None | UnsetType = UNSET
    is_public: bool | str | None | UnsetType = UNSET


class UpdateType(Body):
    """`PUT /types/{id}`."""

    volume_type: TypeChange


@api.put(_ONE, policy=admin("types:update"))
def update_type(ctx: Context, type_id: str, body: UpdateType) -> dict[str, Any]:
    """Rename a type, describe it anew, make it public or not."""
    row, wanted = types.find(ctx, type_id), body.volume_type
    values: dict[str, Any] = {}
    if wanted.name is not UNSET and wanted.name is not None:
        values["name"] = _named(wanted.name)
        if values["name"] != row.name and row.name == types.DEFAULT:
            raise BadRequest("Invalid input: the default volume type keeps its name.")
        taken = ctx.db.execute(select(volume_type.c.id).where(volume_type.c.name == values["name"], volume_type.c.id != row.id)).first()
        if taken is not None:
            raise Conflict(f"Volume Type {values['name']} already exists.")
    if wanted.description is not UNSET:
        values["description"] = wanted.description
    if wanted.is_public is not UNSET and wanted.is_public is not None:
        values["public"] = truth(wanted.is_public, "is_public")
    if not values:
        raise BadRequest("Specify volume type name, description, is_public or a combination thereof.")
    ctx.db.execute(update(volume_type).where(volume_type.c.id == row.id).values(updated=now(), **values))
    shown = view.type_(ctx, types.find(ctx, type_id))
    return {"volume_type": {name: shown[name] for name in ("id", "name", "description", "is_public", "extra_specs")}}


@api.delete(_ONE, policy=admin("types:delete"), status=202)
def delete_type(ctx: Context, type_id: str) -> None:
    """Delete a type that no volume has. Errors: 400 one that is in use."""
    row = types.find(ctx, type_id)
    used = ctx.db.scalar(select(func.count()).where(volume.c.type_id == row.id))
    grouped = any(row.id in one for one in ctx.db.scalars(select(group.c.volume_types)))
    if used or grouped or row.name == types.DEFAULT or ctx.db.scalar(select(func.count()).where(default_type.c.type_id == row.id)):
        raise BadRequest(f"Target volume type is still in use, or a default: {row.id}")
    ctx.db.execute(delete(volume_type).where(volume_type.c.id == row.id))


# extra specs


class Specs(Body):
    """`{"extra_specs": …}`."""

    extra_specs: Annotated[dict[str, str | None], msgspec.Meta(min_length=1)]


@api.get(_ONE + "/extra_specs", policy=reader("types_extra_specs:list"))
def list_specs(ctx: Context, type_id: str) -> dict[str, Any]:
    """A type's extra specs."""
    return {"extra_specs": types.find(ctx, type_id).extra_specs}


@api.post(_ONE + "/extra_specs", policy=admin("types_extra_specs:create"))
def add_specs(ctx: Context, type_id: str, body: Specs) -> dict[str, Any]:
    """Add to them, or change some; those that say what the data is cannot change while volumes have the type."""
    row = types.find(ctx, type_id)
    wanted = _specs(body.extra_specs)
    _change_specs(ctx, row, row.extra_specs | wanted)
    return {"extra_specs": wanted}


def _change_specs(ctx: Context, row: Any, after: dict[str, str]) -> None:
    used = ctx.db.scalar(select(func.count()).where(volume.c.type_id == row.id))
    keys = ("multiattach", "andromede:format")
    if used and any(row.extra_specs.get(key) != after.get(key) for key in keys):
        raise BadRequest("Target volume type is still in use: what its volumes' data is like cannot be changed.")
    ctx.db.execute(update(volume_type).where(volume_type.c.id == row.id).values(extra_specs=after, updated=now()))


@api.get(_ONE + "/extra_specs/{key}", policy=reader("types_extra_specs:show"))
def show_spec(ctx: Context, type_id: str, key: str) -> dict[str, Any]:
    """One of them."""
    specs = types.find(ctx, type_id).extra_specs
    if key not in specs:
        raise NotFound(f"Volume Type {type_id} has no extra specs with key {key}.")
    return {key: specs[key]}


@api.put(_ONE + "/extra_specs/{key}", policy=admin("types_extra_specs:update"))
def set_spec(ctx: Context, type_id: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
    """Set one."""
    row = types.find(ctx, type_id)
    if list(body) != [key]:
        raise BadRequest("Request body and URI mismatch" if len(body) == 1 else "Request body contains too many items")
    if body[key] is not None and not isinstance(body[key], str):
        raise BadRequest(f"Invalid input for field/attribute {key}. Value: {body[key]}. It must be a text.")
    _change_specs(ctx, row, row.extra_specs | _specs(body))
    return body


@api.delete(_ONE + "/extra_specs/{key}", policy=admin("types_extra_specs:delete"), status=202)
def delete_spec(ctx: Context, type_id: str, key: str) -> None:
    """Remove one."""
    row = types.find(ctx, type_id)
    if key not in row.extra_specs:
        raise NotFound(f"Volume Type {type_id} has no extra specs with key {key}.")
    _change_specs(ctx, row, {name: value for name, value in row.extra_specs.items() if name != key})


# access


@api.get(_ONE + "/os-volume-type-access", policy=admin("type_access:list"))
def list_access(ctx: Context, type_id: str) -> dict[str, Any]:
    """The projects that may use a type that is not public."""
    row = types.find(ctx, type_id)
    if row.public:
        raise NotFound("Access list not available for public volume types.")
    ids = ctx.db.scalars(select(type_access.c.project_id).where(type_access.c.type_id == row.id).order_by(type_access.c.project_id))
    return {"volume_type_access": [{"volume_type_id": row.id, "project_id": id_} for id_ in ids]}


class Project(Body):
    """A project."""

    project: _Name


@api.action(_ONE + "/action", "addProjectAccess", policy=admin("type_access:add"))
def add_access(ctx: Context, type_id: str, body: Project) -> None:
    """Let a project use it. Errors: 409 it may already, or the type is public."""
    row = types.find(ctx, type_id)
    if row.public:
        raise Conflict("Type access modification is not applicable to public volume type.")
    if not identity.project_exists(ctx.db, body.project):
        raise BadRequest(f"Invalid input for field/attribute project. Value: {body.project}. There is no such project.")
    match = (type_access.c.type_id == row.id, type_access.c.project_id == body.project)
    if ctx.db.execute(select(type_access).where(*match)).first() is not None:
        raise Conflict(f"Volume type access for {row.id} / {body.project} combination already exists.")
    ctx.db.execute(insert(type_access).values(type_id=row.id, project_id=body.project))


@api.action(_ONE + "/action", "removeProjectAccess", policy=admin("type_access:remove"))
def remove_access(ctx: Context, type_id: str, body: Project) -> None:
    """Let it use it no more."""
    row = types.find(ctx, type_id)
    if row.public:
        raise Conflict("Type access modification is not applicable to public volume type.")
    match = (type_access.c.type_id == row.id, type_access.c.project_id == body.project)
    if not ctx.db.execute(delete(type_access).where(*match)).rowcount:
        raise NotFound(f"Volume type access not found for {row.id} / {body.project} combination.")
