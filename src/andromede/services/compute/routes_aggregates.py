"""Routes of host aggregates: hosts that belong together, with metadata that flavors ask for, and perhaps a zone of their own.

Source: Compute API v2.1, "Host aggregates".
"""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import Connection, delete, insert, select, update

from andromede.core.clock import iso_micro, now
from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, NotFound
from andromede.core.ids import new_id
from andromede.http.response import Response
from andromede.http.wire import Body
from andromede.services.compute.api import admin, api
from andromede.services.compute.tables import host, server
from andromede.services.compute.tables_hosts import aggregate, aggregate_host

_ALL, _ONE = "/os-aggregates", "/os-aggregates/{aggregate_id}"
_ZONE = "availability_zone"
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class Fields(msgspec.Struct, forbid_unknown_fields=True):
    """What an aggregate is, or becomes."""

    name: Name | UnsetType = UNSET
    availability_zone: Name | None | UnsetType = UNSET


class AggregateBody(Body):
    """`{"aggregate": …}`."""

    aggregate: Fields


class HostName(Body):
    """`add_host`, `remove_host`."""

    host: Name


class SetMetadata(Body):
    """`set_metadata`: null takes an item away."""

    metadata: dict[Name, Annotated[str, msgspec.Meta(max_length=255)] | None]


def _hosts(db: Connection, aggregate_id: int) -> list[Any]:
    query = select(host).join(aggregate_host, aggregate_host.c.host_id == host.c.id).where(aggregate_host.c.aggregate_id == aggregate_id)
    return list(db.execute(query.order_by(host.c.name)))


def _view(ctx: Context, row: Any, *, full: bool = True) -> dict[str, Any]:
    zone = {_ZONE: row.zone} if row.zone else {}
    out: dict[str, Any] = {
        "id": row.id, "name": row.name, _ZONE: row.zone, "created_at": iso_micro(row.created),
        "updated_at": iso_micro(row.updated) if row.updated else None, "deleted": False, "deleted_at": None,
    }  # fmt: skip
    if ctx.at_least("2.41"):
        out["uuid"] = row.uuid
    return out | {"hosts": [one.name for one in _hosts(ctx.db, row.id)], "metadata": row.metadata | zone} if full else out


def _find(ctx: Context, aggregate_id: str) -> Any:
    number = int(aggregate_id) if aggregate_id.isdecimal() and len(aggregate_id) < 10 else -1
    row = ctx.db.execute(select(aggregate).where(aggregate.c.id == number)).first()
    if row is None:
        raise NotFound(f"Aggregate {aggregate_id} could not be found.")
    return row


def _free_name(ctx: Context, name: str, own: int | None = None) -> None:
    if name.strip() != name or not name.strip():
        raise BadRequest("Invalid input for field/attribute name. It must not be blank, nor begin or end with a blank.")
    other = ctx.db.scalar(select(aggregate.c.id).where(aggregate.c.name == name))
    if other is not None and other != own:
        raise Conflict(f"Aggregate {name} already exists.")


def _follow(db: Connection, host_ids: list[str]) -> None:
    """Give hosts the zone of their aggregate, or their own."""
    for id_ in host_ids:
        query = select(aggregate.c.zone).join(aggregate_host, aggregate_host.c.aggregate_id == aggregate.c.id)
        zone = db.scalar(query.where(aggregate_host.c.host_id == id_, aggregate.c.zone.is_not(None)))
        db.execute(update(host).where(host.c.id == id_).values(zone=host.c.own_zone if zone is None else zone))


def _zone_may_change(ctx: Context, hosts: list[Any], zone: str | None, own: int | None = None) -> None:
    """Raise Conflict where hosts are in another zone already, or have servers that would find themselves in another one."""
    for one in hosts:
        query = select(aggregate.c.zone).join(aggregate_host, aggregate_host.c.aggregate_id == aggregate.c.id)
        query = query.where(aggregate_host.c.host_id == one.id, aggregate.c.zone.is_not(None), aggregate.c.id != (own or 0))
        other = ctx.db.scalar(query)
        if zone and other not in (None, zone):
            raise Conflict(f"Cannot add host {one.name}: it is in availability zone {other} already.")
        after = zone or other or one.own_zone
        busy = select(server.c.id).where(server.c.host == one.name, server.c.deleted.is_(None)).limit(1)
        if after != one.zone and ctx.db.execute(busy).first() is not None:
            raise Conflict(f"Cannot change the availability zone of host {one.name}: it has servers.")


@api.get(_ALL, policy=admin("os-aggregates:index"))
def list_aggregates(ctx: Context) -> dict[str, Any]:
    """All aggregates."""
    return {"aggregates": [_view(ctx, row) for row in ctx.db.execute(select(aggregate).order_by(aggregate.c.id))]}


@api.post(_ALL, policy=admin("os-aggregates:create"))
def create_aggregate(ctx: Context, body: AggregateBody) -> dict[str, Any]:
    """A new aggregate without hosts. 409 where the name is taken."""
    wanted = body.aggregate
    if wanted.name is UNSET:
        raise BadRequest("Invalid input for field/attribute aggregate. 'name' is a required property")
    _free_name(ctx, wanted.name)
    zone = wanted.availability_zone or None
    if zone and ":" in zone:
        raise BadRequest("Invalid input for field/attribute availability_zone. It must not hold ':'.")
    values: dict[str, Any] = {"uuid": new_id(), "name": wanted.name, "zone": zone, "metadata": {}, "created": now()}
    id_ = ctx.db.execute(insert(aggregate).values(values).returning(aggregate.c.id)).scalar_one()
    return {"aggregate": _view(ctx, _find(ctx, str(id_)), full=False)}


@api.get(_ONE, policy=admin("os-aggregates:show"))
def show_aggregate(ctx: Context, aggregate_id: str) -> dict[str, Any]:
    """One aggregate."""
    return {"aggregate": _view(ctx, _find(ctx, aggregate_id))}


def _change(ctx: Context, row: Any, **values: Any) -> dict[str, Any]:
    hosts = _hosts(ctx.db, row.id)
    if "zone" in values and values["zone"] != row.zone:
        _zone_may_change(ctx, hosts, values["zone"], row.id)
    ctx.db.execute(update(aggregate).where(aggregate.c.id == row.id).values(updated=now(), **values))
    _follow(ctx.db, [one.id for one in hosts])
    return {"aggregate": _view(ctx, _find(ctx, str(row.id)))}


@api.put(_ONE, policy=admin("os-aggregates:update"))
def update_aggregate(ctx: Context, aggregate_id: str, body: AggregateBody) -> dict[str, Any]:
    """Rename it, or change its zone. 409 while servers on its hosts would change theirs."""
    row, wanted = _find(ctx, aggregate_id), body.aggregate
    values: dict[str, Any] = {}
    if wanted.name is not UNSET:
        _free_name(ctx, wanted.name, row.id)
        values["name"] = wanted.name
    if wanted.availability_zone is not UNSET:
        values["zone"] = wanted.availability_zone
    if not values:
        raise BadRequest("Invalid input for field/attribute aggregate. It must hold name or availability_zone.")
    return _change(ctx, row, **values)


@api.delete(_ONE, policy=admin("os-aggregates:delete"), status=200)
def delete_aggregate(ctx: Context, aggregate_id: str) -> Response:
    """Delete an aggregate that has no hosts."""
    row = _find(ctx, aggregate_id)
    if _hosts(ctx.db, row.id):
        raise BadRequest(f"Cannot remove aggregate {aggregate_id}: it is not empty.")
    ctx.db.execute(delete(aggregate).where(aggregate.c.id == row.id))
    return Response(status=200)


def _host(ctx: Context, name: str) -> Any:
    row = ctx.db.execute(select(host).where(host.c.name == name)).first()
    if row is None:
        raise NotFound(f"Compute host {name} could not be found.")
    return row


@api.action(_ONE + "/action", "add_host", status=200, policy=admin("os-aggregates:add_host"))
def add_host(ctx: Context, aggregate_id: str, body: HostName) -> dict[str, Any]:
    """Put a host in it. 409 where it is there already, or in another zone."""
    row, one = _find(ctx, aggregate_id), _host(ctx, body.host)
    if one.id in {each.id for each in _hosts(ctx.db, row.id)}:
        raise Conflict(f"Aggregate {aggregate_id} already has host {body.host}.")
    if row.zone:
        _zone_may_change(ctx, [one], row.zone, row.id)
    ctx.db.execute(insert(aggregate_host).values(aggregate_id=row.id, host_id=one.id))
    return _change(ctx, row)


@api.action(_ONE + "/action", "remove_host", status=200, policy=admin("os-aggregates:remove_host"))
def remove_host(ctx: Context, aggregate_id: str, body: HostName) -> dict[str, Any]:
    """Take a host out of it."""
    row, one = _find(ctx, aggregate_id), _host(ctx, body.host)
    match = (aggregate_host.c.aggregate_id == row.id, aggregate_host.c.host_id == one.id)
    if ctx.db.execute(select(aggregate_host.c.host_id).where(*match)).first() is None:
        raise NotFound(f"Aggregate {aggregate_id} has no host {body.host}.")
    if row.zone:
        _zone_may_change(ctx, [one], None, row.id)
    ctx.db.execute(delete(aggregate_host).where(*match))
    _follow(ctx.db, [one.id])
    return _change(ctx, row)


@api.action(_ONE + "/action", "set_metadata", status=200, policy=admin("os-aggregates:set_metadata"))
def set_metadata(ctx: Context, aggregate_id: str, body: SetMetadata) -> dict[str, Any]:
    """Change its metadata; `availability_zone` is its zone."""
    row, given = _find(ctx, aggregate_id), dict(body.metadata)
    if not given:
        raise BadRequest("Invalid input for field/attribute metadata. It must hold something.")
    values: dict[str, Any] = {"zone": given.pop(_ZONE)} if _ZONE in given else {}
    kept = {key: value for key, value in (row.metadata | given).items() if value is not None}
    return _change(ctx, row, metadata=kept, **values)
