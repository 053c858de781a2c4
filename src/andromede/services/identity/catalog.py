"""The rules of regions, services, endpoints and stored policies. Source: Identity API v3, "Service catalog and endpoints", "Policies"."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Table, delete, insert, select, update

from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, Forbidden, NotFound
from andromede.core.ids import new_hex_id
from andromede.services.identity import listing
from andromede.services.identity.fields import Fields, boolean, ident, nothing, one_of, text, url
from andromede.services.identity.tables import endpoint, endpoint_filter, region, registered_limit, service, stored_policy
from andromede.services.identity.tokens import touch

REGION = Fields("region", {"id": text(255), "description": text(null=True), "parent_region_id": text(255, null=True)})
SERVICE = Fields(
    "service", {"type": text(255, 1), "name": text(255), "description": text(null=True), "enabled": boolean()}, required=("type",)
)
ENDPOINT = Fields(
    "endpoint",
    {
        "service_id": ident(null=False), "interface": one_of("public", "internal", "admin"), "url": url, "enabled": boolean(),
        "region_id": text(255, null=True), "region": text(255, null=True), "name": text(255),
    },
    required=("service_id", "interface", "url"),
)  # fmt: skip
POLICY = Fields("policy", {"blob": nothing, "type": text(255, 1)}, required=("blob", "type"))


def find(ctx: Context, table: Table, kind: str, id_: str) -> Any:
    """A row by id. Raises NotFound."""
    row = ctx.db.execute(select(table).where(table.c.id == id_)).first()
    if row is None:
        raise NotFound(f"Could not find {kind}: {id_}.")
    return row


# regions


def region_view(ctx: Context, row: Any) -> dict[str, Any]:
    """A region, as it goes over HTTP."""
    return dict(row.extra) | {
        "id": row.id, "description": row.description, "parent_region_id": row.parent_id,
        "links": {"self": listing.link(ctx, "regions", row.id)},
    }  # fmt: skip


def regions(ctx: Context) -> tuple[list[Any], str | None]:
    """The regions asked for."""
    query = listing.filtered(ctx, select(region), region, ("id", "description"))
    if parent := ctx.query.get("parent_region_id"):
        query = query.where(region.c.parent_id == parent)
    return listing.rows(ctx, query, region)


def create_region(ctx: Context, body: dict[str, Any], region_id: str | None = None) -> Any:
    """A new region's row. Raises NotFound for its parent, Conflict for an id that is taken."""
    values, extra = REGION.read(body, creating=True)
    given = values.pop("id", None)
    if region_id and given not in (None, "", region_id):
        raise BadRequest("Invalid input for field 'id': it is another than in the URL.")
    id_ = region_id or given or new_hex_id()
    if ctx.db.execute(select(region.c.id).where(region.c.id == id_)).first():
        raise Conflict(f"Conflict occurred attempting to store region - Duplicate ID, {id_}.")
    ctx.db.execute(insert(region).values({"id": id_, "extra": extra, "description": "", **_region_columns(ctx, values, id_)}))
    return find(ctx, region, "region", id_)


def _region_columns(ctx: Context, values: dict[str, Any], id_: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if "description" in values:
        out["description"] = values["description"] or ""
    if "parent_region_id" in values:
        parent = values["parent_region_id"] or None
        out["parent_id"] = parent
        while parent is not None:
            if parent == id_:
                raise BadRequest("A region cannot be below itself.")
            parent = find(ctx, region, "region", parent).parent_id
    return out


def change_region(ctx: Context, region_id: str, body: dict[str, Any]) -> Any:
    """A region's row after a change."""
    values, extra = REGION.read(body, creating=False)
    row = find(ctx, region, "region", region_id)
    columns = _region_columns(ctx, values, region_id) | {"extra": row.extra | extra}
    ctx.db.execute(update(region).where(region.c.id == region_id).values(columns))
    touch(ctx.db)
    return find(ctx, region, "region", region_id)


def remove_region(ctx: Context, region_id: str) -> None:
    """Delete a region that has neither regions below it nor endpoints in it."""
    find(ctx, region, "region", region_id)
    below = select(region.c.id).where(region.c.parent_id == region_id)
    inside = select(endpoint.c.id).where(endpoint.c.region_id == region_id)
    if ctx.db.execute(below).first() or ctx.db.execute(inside).first():
        raise Forbidden(f"Unable to delete region {region_id} because it or its child regions have associated endpoints or regions.")
    ctx.db.execute(delete(region).where(region.c.id == region_id))
    touch(ctx.db)


# services


def service_view(ctx: Context, row: Any) -> dict[str, Any]:
    """A service, as it goes over HTTP."""
    return dict(row.extra) | {
        "id": row.id, "type": row.type, "name": row.name, "description": row.description, "enabled": row.enabled,
        "links": {"self": listing.link(ctx, "services", row.id)},
    }  # fmt: skip


def services(ctx: Context) -> tuple[list[Any], str | None]:
    """The services asked for."""
    return listing.rows(ctx, listing.filtered(ctx, select(service), service, ("type", "name", "id")), service)


def create_service(ctx: Context, body: dict[str, Any]) -> Any:
    """A new service's row."""
    values, extra = SERVICE.read(body, creating=True)
    id_ = new_hex_id()
    ctx.db.execute(insert(service).values({"id": id_, "extra": extra, **_described(values)}))
    touch(ctx.db)
    return find(ctx, service, "service", id_)


def change_service(ctx: Context, service_id: str, body: dict[str, Any]) -> Any:
    """A service's row after a change."""
    values, extra = SERVICE.read(body, creating=False)
    row = find(ctx, service, "service", service_id)
    ctx.db.execute(update(service).where(service.c.id == service_id).values({**_described(values), "extra": row.extra | extra}))
    touch(ctx.db)
    return find(ctx, service, "service", service_id)


def _described(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value or "" if name == "description" else value for name, value in values.items()}


def remove_service(ctx: Context, service_id: str) -> None:
    """Delete a service with its endpoints. Raises Forbidden while limits are registered for it."""
    find(ctx, service, "service", service_id)
    if ctx.db.execute(select(registered_limit.c.id).where(registered_limit.c.service_id == service_id)).first():
        raise Forbidden(f"Unable to delete service {service_id} because limits are registered for it.")
    gone = select(endpoint.c.id).where(endpoint.c.service_id == service_id)
    ctx.db.execute(delete(endpoint_filter).where(endpoint_filter.c.kind == "endpoint", endpoint_filter.c.target_id.in_(gone)))
    ctx.db.execute(delete(service).where(service.c.id == service_id))
    touch(ctx.db)


# endpoints


def endpoint_view(ctx: Context, row: Any) -> dict[str, Any]:
    """An endpoint, as it goes over HTTP."""
    return dict(row.extra) | {
        "id": row.id, "service_id": row.service_id, "interface": row.interface, "url": row.url, "enabled": row.enabled,
        "region": row.region_id, "region_id": row.region_id, "links": {"self": listing.link(ctx, "endpoints", row.id)},
        **({"name": row.name} if row.name else {}),
    }  # fmt: skip


def endpoints(ctx: Context) -> tuple[list[Any], str | None]:
    """The endpoints asked for."""
    return listing.rows(ctx, listing.filtered(ctx, select(endpoint), endpoint, ("interface", "service_id", "region_id", "url")), endpoint)


def create_endpoint(ctx: Context, body: dict[str, Any]) -> Any:
    """A new endpoint's row; a `region` (not a `region_id`) that is not there is made, as in the API's second version."""
    values, extra = ENDPOINT.read(body, creating=True)
    id_ = new_hex_id()
    ctx.db.execute(insert(endpoint).values({"id": id_, "extra": extra, **_endpoint_columns(ctx, values)}))
    touch(ctx.db)
    return find(ctx, endpoint, "endpoint", id_)


def _endpoint_columns(ctx: Context, values: dict[str, Any]) -> dict[str, Any]:
    name = values.pop("region", None)
    if name is not None and values.get("region_id") is None:
        if not ctx.db.execute(select(region.c.id).where(region.c.id == name)).first():
            ctx.db.execute(insert(region).values(id=name, description="", extra={}))
        values["region_id"] = name
    wanted = ((service, "service", values.get("service_id")), (region, "region", values.get("region_id")))
    for table, kind, id_ in wanted:
        if id_ is not None and not ctx.db.execute(select(table.c.id).where(table.c.id == id_)).first():
            raise BadRequest(f"Invalid input for field '{kind}_id': there is no {kind} {id_}.")
    return values


def change_endpoint(ctx: Context, endpoint_id: str, body: dict[str, Any]) -> Any:
    """An endpoint's row after a change."""
    values, extra = ENDPOINT.read(body, creating=False)
    row = find(ctx, endpoint, "endpoint", endpoint_id)
    columns = _endpoint_columns(ctx, values) | {"extra": row.extra | extra}
    ctx.db.execute(update(endpoint).where(endpoint.c.id == endpoint_id).values(columns))
    touch(ctx.db)
    return find(ctx, endpoint, "endpoint", endpoint_id)


def remove_endpoint(ctx: Context, endpoint_id: str) -> None:
    """Delete an endpoint."""
    find(ctx, endpoint, "endpoint", endpoint_id)
    ctx.db.execute(delete(endpoint_filter).where(endpoint_filter.c.kind == "endpoint", endpoint_filter.c.target_id == endpoint_id))
    ctx.db.execute(delete(endpoint).where(endpoint.c.id == endpoint_id))
    touch(ctx.db)


# policies that other services keep here


def policy_view(ctx: Context, row: Any) -> dict[str, Any]:
    """A stored policy, as it goes over HTTP."""
    own = {"id": row.id, "type": row.type, "blob": row.blob, "links": {"self": listing.link(ctx, "policies", row.id)}}
    return dict(row.extra) | own


def policies(ctx: Context) -> tuple[list[Any], str | None]:
    """The stored policies asked for."""
    return listing.rows(ctx, listing.filtered(ctx, select(stored_policy), stored_policy, ("type",)), stored_policy)


def create_policy(ctx: Context, body: dict[str, Any]) -> Any:
    """A new policy's row."""
    values, extra = POLICY.read(body, creating=True)
    id_ = new_hex_id()
    ctx.db.execute(insert(stored_policy).values({"id": id_, "extra": extra, **values}))
    return find(ctx, stored_policy, "policy", id_)


def change_policy(ctx: Context, policy_id: str, body: dict[str, Any]) -> Any:
    """A policy's row after a change."""
    values, extra = POLICY.read(body, creating=False)
    row = find(ctx, stored_policy, "policy", policy_id)
    ctx.db.execute(update(stored_policy).where(stored_policy.c.id == policy_id).values({**values, "extra": row.extra | extra}))
    return find(ctx, stored_policy, "policy", policy_id)


def remove_policy(ctx: Context, policy_id: str) -> None:
    """Delete a policy."""
    find(ctx, stored_policy, "policy", policy_id)
    ctx.db.execute(delete(stored_policy).where(stored_policy.c.id == policy_id))
