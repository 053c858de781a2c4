"""Routes of flavors, their extra specs, and who may use those that are not public. Source: Compute API v2.1, "Flavors"."""

import re
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType, field
from sqlalchemy import delete, insert, or_, select, update

from andromede.core.clock import now
from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, NotFound
from andromede.core.ids import new_id
from andromede.http import paging
from andromede.http.response import Response
from andromede.http.wire import Body, since, until
from andromede.services.compute import listing, view
from andromede.services.compute.api import admin, api, reader
from andromede.services.compute.flavors import visible
from andromede.services.compute.tables import flavor, flavor_access
from andromede.services.identity import service as identity

_FLAVORS, _FLAVOR = "/flavors", "/flavors/{flavor_id}"
_SPECS, _SPEC = _FLAVOR + "/os-extra_specs", _FLAVOR + "/os-extra_specs/{key}"
_MOST = 1000
_BIG = 2**31 - 1
_ID = re.compile(r"[\w.\- ]*[\w.\-][\w.\- ]*", re.ASCII)
_SPEC_KEY = re.compile(r"[A-Za-z0-9\-_:. ]{1,255}")
_SORTABLE = {
    "flavorid": flavor.c.id, "id": flavor.c.id, "name": flavor.c.name, "memory_mb": flavor.c.ram, "vcpus": flavor.c.vcpus,
    "root_gb": flavor.c.disk, "ephemeral_gb": flavor.c.ephemeral, "swap": flavor.c.swap, "rxtx_factor": flavor.c.rxtx_factor,
    "is_public": flavor.c.public, "disabled": flavor.c.disabled, "created_at": flavor.c.created, "updated_at": flavor.c.updated,
    "description": flavor.c.description,
}  # fmt: skip

Positive = Annotated[int, msgspec.Meta(ge=1, le=_BIG)]
Natural = Annotated[int, msgspec.Meta(ge=0, le=_BIG)]
Description = Annotated[str, msgspec.Meta(max_length=65535)]


class NewFlavor(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A flavor to be made."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    ram: Positive
    vcpus: Positive
    disk: Natural
    id: Annotated[str, msgspec.Meta(max_length=255)] | int | None = None
    ephemeral: Natural = field(name="OS-FLV-EXT-DATA:ephemeral", default=0)
    swap: Natural = 0
    rxtx_factor: Annotated[float, msgspec.Meta(gt=0, le=3.40282e38), until("2.101")] | UnsetType = UNSET
    public: bool = field(name="os-flavor-access:is_public", default=True)
    description: Annotated[Description | None, since("2.55")] | UnsetType = UNSET


class CreateFlavor(Body):
    """`POST /flavors`."""

    flavor: NewFlavor


class FlavorChange(msgspec.Struct, forbid_unknown_fields=True):
    """What may change of a flavor."""

    description: Description | None


class UpdateFlavor(Body):
    """`PUT /flavors/{id}`."""

    flavor: FlavorChange


class Specs(Body):
    """`POST …/os-extra_specs`."""

    extra_specs: dict[str, str | int | float]


class Access(Body):
    """`addTenantAccess` and `removeTenantAccess`."""

    tenant: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


def _find(ctx: Context, flavor_id: str) -> Any:
    query = select(flavor).where(flavor.c.id == flavor_id)
    row = ctx.db.execute(query if ctx.caller.admin else query.where(visible(ctx))).mappings().first()
    if row is None:
        raise NotFound(f"Flavor {flavor_id} could not be found.")
    return row


def _brief(ctx: Context, row: Any) -> dict[str, Any]:
    out = {"id": row["id"], "name": row["name"], "links": view.links(ctx, "flavors", row["id"])}
    return out | {"description": row["description"]} if ctx.at_least("2.55") else out


def _full(ctx: Context, row: Any) -> dict[str, Any]:
    out = _brief(ctx, row) | {
        "ram": row["ram"], "vcpus": row["vcpus"], "disk": row["disk"], "swap": row["swap"] or (0 if ctx.at_least("2.75") else ""),
        "OS-FLV-EXT-DATA:ephemeral": row["ephemeral"], "os-flavor-access:is_public": row["public"],
    }  # fmt: skip
    if not ctx.at_least("2.102"):
        out |= {"OS-FLV-DISABLED:disabled": row["disabled"], "rxtx_factor": row["rxtx_factor"]}
    return out | {"extra_specs": row["extra_specs"]} if ctx.at_least("2.61") else out


def _listing(ctx: Context) -> paging.Page:
    query = select(flavor).where(~flavor.c.disabled)
    if not ctx.caller.admin:
        query = query.where(visible(ctx))
    else:
        wanted = (ctx.query.get("is_public") or "true").lower()
        if wanted in ("true", "t", "1", "yes", "on"):
            given = select(flavor_access.c.flavor_id).where(flavor_access.c.project_id == ctx.caller.project_id)
            query = query.where(or_(flavor.c.public, flavor.c.id.in_(given)) if "is_public" not in ctx.query else flavor.c.public)
        elif wanted in ("false", "f", "0", "no", "off"):
            query = query.where(~flavor.c.public)
        elif wanted != "none":
            raise BadRequest(f"Invalid is_public filter [{wanted}]")
    if ctx.at_least("2.102"):
        if "rxtx_factor" in ctx.query.all("sort_key"):
            raise BadRequest("Invalid input for query parameters sort_key. Value: rxtx_factor. There is none from 2.102 on.")
        if (text := ctx.query.get("name")) is not None:
            query = query.where(flavor.c.name.regexp_match(listing.pattern_of(text)))
    for name, column in (("minRam", flavor.c.ram), ("minDisk", flavor.c.disk)):
        if (text := ctx.query.get(name)) is not None:
            if not text.isdecimal():
                raise BadRequest(f"Invalid {name} filter [{text}]")
            query = query.where(column >= int(text))
    return paging.page(
        ctx.db, query, flavor, keys=paging.sort_of(ctx, _SORTABLE, [(flavor.c.id, False)]), limit=paging.limit_of(ctx, most=_MOST),
        marker=ctx.query.get("marker"), missing=lambda marker: BadRequest(f"marker [{marker}] not found"),
    )  # fmt: skip


def _page(ctx: Context, path: str, show: Any) -> dict[str, Any]:
    found = _listing(ctx)
    out: dict[str, Any] = {"flavors": [show(ctx, row) for row in found.rows]}
    if (link := found.next_link(ctx, f"{ctx.base}/{path}")) is not None:
        out["flavors_links"] = [{"rel": "next", "href": link}]
    return out


@api.get(_FLAVORS, policy=reader("flavors:index"))
def list_flavors(ctx: Context) -> dict[str, Any]:
    """Ids and names of the flavors the caller may use, a page at a time."""
    return _page(ctx, "flavors", _brief)


@api.get(_FLAVORS + "/detail", policy=reader("flavors:detail"))
def list_flavors_in_full(ctx: Context) -> dict[str, Any]:
    """Flavors in full, a page at a time."""
    return _page(ctx, "flavors/detail", _full)


@api.get(_FLAVOR, policy=reader("flavors:show"))
def show_flavor(ctx: Context, flavor_id: str) -> dict[str, Any]:
    """One flavor."""
    return {"flavor": _full(ctx, _find(ctx, flavor_id))}


@api.post(_FLAVORS, policy=admin("os-flavor-manage:create"))
def create_flavor(ctx: Context, body: CreateFlavor) -> dict[str, Any]:
    """Create a flavor. 409 where its name or id is taken."""
    wanted = body.flavor
    name = wanted.name.strip()
    id_ = str(wanted.id) if wanted.id not in (None, "", "auto") else new_id()
    if not name or not name.isprintable():
        raise BadRequest("Invalid input for field/attribute name. It must be printable, and not blank.")
    if id_ != id_.strip() or not _ID.fullmatch(id_):
        raise BadRequest("Invalid input for field/attribute id. It may have letters, digits, dots, dashes, underscores and spaces.")
    if ctx.db.execute(select(flavor.c.id).where(flavor.c.name == name)).first():
        raise Conflict(f"Flavor with name {name} already exists.")
    if ctx.db.execute(select(flavor.c.id).where(flavor.c.id == id_)).first():
        raise Conflict(f"Flavor with ID {id_} already exists.")
    ctx.db.execute(
        insert(flavor).values(
            id=id_, name=name, ram=wanted.ram, vcpus=wanted.vcpus, disk=wanted.disk, ephemeral=wanted.ephemeral, swap=wanted.swap,
            rxtx_factor=1.0 if wanted.rxtx_factor is UNSET else wanted.rxtx_factor, public=wanted.public, extra_specs={}, created=now(),
            description=None if wanted.description is UNSET else wanted.description,
        )
    )  # fmt: skip
    return {"flavor": _full(ctx, _find(ctx, id_))}


@api.put(_FLAVOR, policy=admin("os-flavor-manage:update"), versions=("2.55", None))
def update_flavor(ctx: Context, flavor_id: str, body: UpdateFlavor) -> dict[str, Any]:
    """Change a flavor's description."""
    _find(ctx, flavor_id)
    ctx.db.execute(update(flavor).where(flavor.c.id == flavor_id).values(description=body.flavor.description, updated=now()))
    return {"flavor": _full(ctx, _find(ctx, flavor_id))}


@api.delete(_FLAVOR, policy=admin("os-flavor-manage:delete"), status=202)
def delete_flavor(ctx: Context, flavor_id: str) -> None:
    """Delete a flavor; servers keep what they were made with."""
    _find(ctx, flavor_id)
    ctx.db.execute(delete(flavor).where(flavor.c.id == flavor_id))


# extra specs


def _set_specs(ctx: Context, flavor_id: str, values: dict[str, Any]) -> None:
    ctx.db.execute(update(flavor).where(flavor.c.id == flavor_id).values(extra_specs=values, updated=now()))


def _checked(values: dict[str, Any]) -> dict[str, str]:
    for key, value in values.items():
        if not _SPEC_KEY.fullmatch(key):
            raise BadRequest(f"Invalid input for field/attribute extra_specs. '{key}' is not a key.")
        if isinstance(value, bool) or not isinstance(value, str | int | float) or len(str(value)) > 255:
            raise BadRequest(f"Invalid input for field/attribute {key}. It must be a string of at most 255 characters, or a number.")
    return {key: str(value) for key, value in values.items()}


def _spec(row: Any, key: str) -> str:
    if key not in row["extra_specs"]:
        raise NotFound(f"Flavor {row['id']} has no extra specs with key {key}.")
    return str(row["extra_specs"][key])


@api.get(_SPECS, policy=reader("os-flavor-extra-specs:index"))
def list_specs(ctx: Context, flavor_id: str) -> dict[str, Any]:
    """A flavor's extra specs."""
    return {"extra_specs": _find(ctx, flavor_id)["extra_specs"]}


@api.post(_SPECS, policy=admin("os-flavor-extra-specs:create"))
def add_specs(ctx: Context, flavor_id: str, body: Specs) -> dict[str, Any]:
    """Add extra specs, or change those there are."""
    row, values = _find(ctx, flavor_id), _checked(body.extra_specs)
    _set_specs(ctx, flavor_id, row["extra_specs"] | values)
    return {"extra_specs": values}


@api.get(_SPEC, policy=reader("os-flavor-extra-specs:show"))
def show_spec(ctx: Context, flavor_id: str, key: str) -> dict[str, Any]:
    """One extra spec."""
    return {key: _spec(_find(ctx, flavor_id), key)}


@api.put(_SPEC, policy=admin("os-flavor-extra-specs:update"))
def set_spec(ctx: Context, flavor_id: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
    """Set one extra spec; the body is `{key: value}`."""
    row = _find(ctx, flavor_id)
    if list(body) != [key]:
        raise BadRequest("Request body and URI mismatch")
    values = _checked(body)
    _set_specs(ctx, flavor_id, row["extra_specs"] | values)
    return dict(values)


@api.delete(_SPEC, policy=admin("os-flavor-extra-specs:delete"), status=200)
def delete_spec(ctx: Context, flavor_id: str, key: str) -> Response:
    """Remove one extra spec."""
    row = _find(ctx, flavor_id)
    _spec(row, key)
    _set_specs(ctx, flavor_id, {name: value for name, value in row["extra_specs"].items() if name != key})
    return Response(status=200)


# access


def _access(ctx: Context, flavor_id: str) -> dict[str, Any]:
    rows = ctx.db.scalars(select(flavor_access.c.project_id).where(flavor_access.c.flavor_id == flavor_id))
    return {"flavor_access": [{"flavor_id": flavor_id, "tenant_id": project_id} for project_id in rows]}


@api.get(_FLAVOR + "/os-flavor-access", policy=admin("os-flavor-access"))
def list_access(ctx: Context, flavor_id: str) -> dict[str, Any]:
    """The projects that may use a flavor which is not public. 404 for a public one."""
    if _find(ctx, flavor_id)["public"]:
        raise NotFound("Access list not available for public flavors.")
    return _access(ctx, flavor_id)


@api.action(_FLAVOR + "/action", "addTenantAccess", policy=admin("os-flavor-access:add_tenant_access"), status=200)
def add_access(ctx: Context, flavor_id: str, body: Access) -> dict[str, Any]:
    """Let a project use a flavor. 409 for a public flavor, or a project that may already."""
    if _find(ctx, flavor_id)["public"]:
        raise Conflict("Can not add access to a public flavor.")
    if not identity.project_exists(ctx.db, body.tenant):
        raise BadRequest(f"Project ID {body.tenant} is not a valid project.")
    if _has_access(ctx, flavor_id, body.tenant):
        raise Conflict(f"Flavor access already exists for flavor {flavor_id} and project {body.tenant} combination.")
    ctx.db.execute(insert(flavor_access).values(flavor_id=flavor_id, project_id=body.tenant))
    return _access(ctx, flavor_id)


def _has_access(ctx: Context, flavor_id: str, project_id: str) -> bool:
    query = select(flavor_access).where(flavor_access.c.flavor_id == flavor_id, flavor_access.c.project_id == project_id)
    return ctx.db.execute(query).first() is not None


@api.action(_FLAVOR + "/action", "removeTenantAccess", policy=admin("os-flavor-access:remove_tenant_access"), status=200)
def remove_access(ctx: Context, flavor_id: str, body: Access) -> dict[str, Any]:
    """Stop letting a project use a flavor. 404 where it may not anyway, 409 for a public flavor."""
    if _find(ctx, flavor_id)["public"]:
        raise Conflict("Can not remove access from a public flavor.")
    if not _has_access(ctx, flavor_id, body.tenant):
        raise NotFound(f"Flavor access not found for {flavor_id} / {body.tenant} combination.")
    ctx.db.execute(delete(flavor_access).where(flavor_access.c.flavor_id == flavor_id, flavor_access.c.project_id == body.tenant))
    return _access(ctx, flavor_id)
