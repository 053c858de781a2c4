"""Routes of groups of volumes and their snapshots. Source: Block Storage API v3, "Generic volume groups"."""

from typing import Annotated, Any

import msgspec
from sqlalchemy import func, insert, select, update

from andromede.core.clock import now
from andromede.core.context import Context
from andromede.core.errors import BadRequest, NotFound
from andromede.core.ids import new_id
from andromede.http.wire import Body
from andromede.services.volume import groups_of, listing, operations, snapshots, types, volumes, waiting
from andromede.services.volume.api import Name, admin, api, clean, member, reader, truth, when
from andromede.services.volume.routes_group_types import find_type
from andromede.services.volume.tables import group, group_snapshot, snapshot, volume

_ALL, _ONE = "/groups", "/groups/{group_id}"
_SNAPSHOTS, _SNAPSHOT = "/group_snapshots", "/group_snapshots/{group_snapshot_id}"
_V13, _V14 = ("3.13", "3.70"), ("3.14", "3.70")


# groups


def _find(ctx: Context, group_id: str) -> Any:
    row = ctx.db.execute(select(group).where(group.c.id == group_id)).mappings().first()
    if row is None or not (ctx.caller.admin or row["project_id"] == ctx.caller.project_id):
        raise NotFound(f"Group {group_id} could not be found.")
    return row


def _members(ctx: Context, group_id: str) -> list[Any]:
    return list(ctx.db.execute(select(volume).where(volume.c.group_id == group_id).order_by(volume.c.created, volume.c.id)).mappings())


def _view(ctx: Context, row: Any) -> dict[str, Any]:
    out = {
        "id": row["id"], "name": row["name"], "description": row["description"], "status": groups_of.status_of_group(ctx.db, row),
        "availability_zone": row["zone"], "created_at": when(row["created"]), "group_type": row["type_id"], "volume_types": row["volume_types"],
    }  # fmt: skip
    if ctx.at_least("3.14"):
        out |= {"group_snapshot_id": row["group_snapshot_id"], "source_group_id": row["source_id"]}
    if ctx.at_least("3.25") and truth(ctx.query.get("list_volume", "false"), "list_volume"):
        out["volumes"] = [one["id"] for one in _members(ctx, row["id"])]
    if ctx.at_least("3.38"):
        out["replication_status"] = "disabled"
    return out | ({"project_id": row["project_id"]} if ctx.at_least("3.58") and ctx.caller.admin else {})


class NewGroup(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is asked for."""

    name: Name | None = None
    description: str | None = None
    group_type: str
    volume_types: Annotated[list[str], msgspec.Meta(min_length=1)]
    availability_zone: str | None = None


class CreateGroup(Body):
    """`POST /groups`."""

    group: NewGroup


def _insert(ctx: Context, **values: Any) -> str:
    ctx.take(groups=1)
    id_ = new_id()
    given = {"project_id": ctx.project_id, "user_id": ctx.caller.user_id, "status": "available", "created": now()}
    ctx.db.execute(insert(group).values(id=id_, **given, **values))
    return id_


@api.post(_ALL, status=202, policy=member("group:create"), quota=("groups",), versions=_V13)
def create_group(ctx: Context, body: CreateGroup) -> dict[str, Any]:
    """A new, empty group of volumes of some types."""
    wanted = body.group
    kind = find_type(ctx, wanted.group_type)
    if "true" in kind["specs"].get("consistent_group_snapshot_enabled", "").lower():
        raise BadRequest("Invalid group type: snapshots of several volumes at one moment are not to be had here.")
    ids = [types.wanted(ctx, one).id for one in wanted.volume_types]
    zones = sorted({one.zone for one in ctx.parts.carriers.every(ctx.db)})
    if wanted.availability_zone and wanted.availability_zone not in zones:
        raise BadRequest(f"Availability zone '{wanted.availability_zone}' is invalid.")
    zone = wanted.availability_zone or (zones[0] if zones else "nova")
    id_ = _insert(
        ctx, name=clean(wanted.name, "name"), description=wanted.description, type_id=kind["id"], volume_types=list(dict.fromkeys(ids)), zone=zone
    )
    return {"group": {"id": id_, "name": wanted.name}}


class Source(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a group is made from."""

    name: Name | None = None
    description: str | None = None
    group_snapshot_id: str | None = None
    source_group_id: str | None = None


@api.action(_ALL + "/action", "create-from-src", policy=member("group:create_from_src"), quota=("groups",), versions=_V14)
def create_from_source(ctx: Context, body: Source) -> dict[str, Any]:
    """A new group with volumes made from those of another, or from a snapshot of one."""
    if bool(body.group_snapshot_id) == bool(body.source_group_id):
        raise BadRequest("Either 'group_snapshot_id' or 'source_group_id' must be provided to create group from source.")
    if body.group_snapshot_id:
        kept = _find_snapshot(ctx, body.group_snapshot_id)
        origin = _find(ctx, kept["group_id"])
        query = select(snapshot).where(snapshot.c.group_snapshot_id == kept["id"]).order_by(snapshot.c.created, snapshot.c.id)
        plans = [volumes.from_snapshot(ctx, one["id"], None, None) for one in ctx.db.execute(query).mappings().all()]
    else:
        origin = _find(ctx, body.source_group_id or "")
        plans = [volumes.from_volume(ctx, one["id"], None, None) for one in _members(ctx, origin["id"])]
    if not plans:
        raise BadRequest("Invalid group: the source has no volumes.")
    id_ = _insert(
        ctx, name=clean(body.name, "name"), description=body.description, type_id=origin["type_id"], volume_types=origin["volume_types"],
        zone=origin["zone"], group_snapshot_id=body.group_snapshot_id, source_id=body.source_group_id,
    )  # fmt: skip
    for plan in plans:
        made = volumes.add(ctx, plan, name=None, group_id=id_)
        ctx.parts.operations.submit(ctx.db, operations.CREATE, made, project_id=ctx.project_id, request_id=ctx.request_id)
    return {"group": {"id": id_, "name": body.name}}


def _page(ctx: Context, path: str) -> listing.Listed:
    columns = {"name": group.c.name, "status": group.c.status}
    return listing.page(ctx, select(group), group, "groups", path=path, columns=columns, sortable=columns)


@api.get(_ALL, policy=reader("group:list"), versions=_V13)
def list_groups(ctx: Context) -> dict[str, Any]:
    """Groups in short."""
    found = _page(ctx, "groups")
    return {"groups": [{"id": row["id"], "name": row["name"]} for row in found.rows], **found.more}


@api.get(_ALL + "/detail", policy=reader("group:detail"), versions=_V13)
def list_groups_in_full(ctx: Context) -> dict[str, Any]:
    """Groups in full."""
    found = _page(ctx, "groups/detail")
    return {"groups": [_view(ctx, row) for row in found.rows], **found.more}


@api.get(_ONE, policy=reader("group:show"), versions=_V13)
def show_group(ctx: Context, group_id: str) -> dict[str, Any]:
    """One group."""
    return {"group": _view(ctx, _find(ctx, group_id))}


class GroupChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What can be changed: ids of volumes to add and remove are divided by commas."""

    name: Name | None = None
    description: str | None = None
    add_volumes: str | None = None
    remove_volumes: str | None = None


class UpdateGroup(Body):
    """`PUT /groups/{id}`."""

    group: GroupChange


@api.put(_ONE, policy=member("group:update"), status=202, versions=_V13)
def update_group(ctx: Context, group_id: str, body: UpdateGroup) -> None:
    """Rename a group, put volumes into it, take others out."""
    row, wanted = _find(ctx, group_id), body.group
    if not any((wanted.name, wanted.description, wanted.add_volumes, wanted.remove_volumes)):
        raise BadRequest("Name, description, add_volumes, and remove_volumes can not be all empty in the request body.")
    values = {name: value for name in ("name", "description") if (value := getattr(wanted, name)) is not None}
    if values:
        ctx.db.execute(update(group).where(group.c.id == row["id"]).values(values))
    whole = ctx.db.execute(select(group).where(group.c.id == row["id"])).one()
    for id_ in filter(None, (wanted.add_volumes or "").split(",")):
        one = volumes.find(ctx, id_)
        if one["group_id"] is not None or one["status"] not in volumes.IDLE or one["project_id"] != row["project_id"]:
            raise BadRequest(f"Invalid volume: Cannot add volume {id_} to group {group_id}: it is in a group, or busy.")
        groups_of.fits(whole, one["type_id"])
        waiting.write(ctx.db, one["id"], group_id=row["id"])
    for id_ in filter(None, (wanted.remove_volumes or "").split(",")):
        if volumes.find(ctx, id_)["group_id"] != row["id"]:
            raise BadRequest(f"Invalid volume: Cannot remove volume {id_} from group {group_id}: it is not in the group.")
        waiting.write(ctx.db, id_, group_id=None)


class Delete(Body):
    """The delete action."""

    delete_volumes: bool | str = msgspec.field(name="delete-volumes", default=False)


@api.action(_ONE + "/action", "delete", policy=member("group:delete"), versions=_V13)
def delete_group(ctx: Context, group_id: str, body: Delete) -> None:
    """Delete a group; with its volumes only where `delete-volumes` says so. Errors: 400 one that has volumes, or snapshots."""
    row = _find(ctx, group_id)
    members = _members(ctx, row["id"])
    if members and not truth(body.delete_volumes, "delete-volumes"):
        raise BadRequest(f"Invalid group: Group {group_id} is not empty. delete-volumes flag needs to be set to True.")
    if ctx.db.scalar(select(func.count()).where(group_snapshot.c.group_id == row["id"])):
        raise BadRequest("Invalid group: it has group snapshots, which are to be deleted before.")
    ctx.db.execute(update(group).where(group.c.id == row["id"]).values(status="deleting"))
    for one in members:
        if one["status"] not in volumes.DELETABLE:
            raise BadRequest(f"Invalid group: its volume {one['id']} is {one['status']}.")
        volumes.delete_row(ctx.parts, ctx.db, one, request_id=ctx.request_id)
    groups_of.tidy(ctx.db, row["id"])


class Reset(Body):
    """The reset_status action."""

    status: str


STATUSES = ("creating", "available", "deleting", "error", "error_deleting")


@api.action(_ONE + "/action", "reset_status", policy=admin("group:reset_status"), versions=("3.20", "3.70"))
def reset_group_status(ctx: Context, group_id: str, body: Reset) -> None:
    """Set the state by hand."""
    row = _find(ctx, group_id)
    if body.status.lower() not in STATUSES:
        raise BadRequest(f"Invalid input for field/attribute status. Value: {body.status}. It must be one of {', '.join(STATUSES)}.")
    ctx.db.execute(update(group).where(group.c.id == row["id"]).values(status=body.status.lower()))


# snapshots


def _find_snapshot(ctx: Context, id_: str) -> Any:
    row = ctx.db.execute(select(group_snapshot).where(group_snapshot.c.id == id_)).mappings().first()
    if row is None or not (ctx.caller.admin or row["project_id"] == ctx.caller.project_id):
        raise NotFound(f"GroupSnapshot {id_} could not be found.")
    return row


def _snapshot_view(ctx: Context, row: Any) -> dict[str, Any]:
    out = {
        "id": row["id"], "name": row["name"], "description": row["description"], "status": groups_of.status(ctx.db, row),
        "group_id": row["group_id"], "group_type_id": row["type_id"], "created_at": when(row["created"]),
    }  # fmt: skip
    return out | ({"project_id": row["project_id"]} if ctx.at_least("3.58") and ctx.caller.admin else {})


class NewGroupSnapshot(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is asked for."""

    group_id: str
    name: Name | None = None
    description: str | None = None


class CreateGroupSnapshot(Body):
    """`POST /group_snapshots`."""

    group_snapshot: NewGroupSnapshot


@api.post(_SNAPSHOTS, status=202, policy=member("group_snapshot:create"), quota=("snapshots", "gigabytes"), versions=_V14)
def create_group_snapshot(ctx: Context, body: CreateGroupSnapshot) -> dict[str, Any]:
    """Make a snapshot of each volume of a group, one after another."""
    wanted = body.group_snapshot
    row = _find(ctx, wanted.group_id)
    members = _members(ctx, row["id"])
    if not members:
        raise BadRequest("Invalid group: Source group is empty. No group snapshot will be created.")
    id_, name = new_id(), clean(wanted.name, "name")
    values = {"project_id": row["project_id"], "user_id": ctx.caller.user_id, "type_id": row["type_id"], "status": "available", "created": now()}
    ctx.db.execute(insert(group_snapshot).values(id=id_, group_id=row["id"], name=name, description=wanted.description, **values))
    for one in members:
        volumes.require(one, "be snapshotted", *volumes.IDLE)
        snapshots.take(ctx, one, name=name, description=wanted.description, metadata={}, group=id_)
    return {"group_snapshot": {"id": id_, "name": name, "group_type_id": row["type_id"]}}


def _snapshot_page(ctx: Context, path: str) -> listing.Listed:
    columns = {"name": group_snapshot.c.name, "status": group_snapshot.c.status, "group_id": group_snapshot.c.group_id}
    return listing.page(ctx, select(group_snapshot), group_snapshot, "group_snapshots", path=path, columns=columns, sortable=columns)


@api.get(_SNAPSHOTS, policy=reader("group_snapshot:list"), versions=_V14)
def list_group_snapshots(ctx: Context) -> dict[str, Any]:
    """Group snapshots in short."""
    found = _snapshot_page(ctx, "group_snapshots")
    return {"group_snapshots": [{"id": row["id"], "name": row["name"]} for row in found.rows], **found.more}


@api.get(_SNAPSHOTS + "/detail", policy=reader("group_snapshot:detail"), versions=_V14)
def list_group_snapshots_in_full(ctx: Context) -> dict[str, Any]:
    """Group snapshots in full."""
    found = _snapshot_page(ctx, "group_snapshots/detail")
    return {"group_snapshots": [_snapshot_view(ctx, row) for row in found.rows], **found.more}


@api.get(_SNAPSHOT, policy=reader("group_snapshot:show"), versions=_V14)
def show_group_snapshot(ctx: Context, group_snapshot_id: str) -> dict[str, Any]:
    """One group snapshot."""
    return {"group_snapshot": _snapshot_view(ctx, _find_snapshot(ctx, group_snapshot_id))}


@api.delete(_SNAPSHOT, policy=member("group_snapshot:delete"), status=202, versions=_V14)
def delete_group_snapshot(ctx: Context, group_snapshot_id: str) -> None:
    """Delete a group snapshot with its parts."""
    row = _find_snapshot(ctx, group_snapshot_id)
    ctx.db.execute(update(group_snapshot).where(group_snapshot.c.id == row["id"]).values(status="deleting"))
    for one in ctx.db.execute(select(snapshot).where(snapshot.c.group_snapshot_id == row["id"])).mappings().all():
        snapshots.remove(ctx, one)
    groups_of.tidy_snapshot(ctx.db, row["id"])


@api.action(_SNAPSHOT + "/action", "reset_status", policy=admin("group_snapshot:reset_status"), versions=("3.19", "3.70"))
def reset_group_snapshot_status(ctx: Context, group_snapshot_id: str, body: Reset) -> None:
    """Set the state by hand."""
    row = _find_snapshot(ctx, group_snapshot_id)
    if body.status.lower() not in STATUSES:
        raise BadRequest(f"Invalid input for field/attribute status. Value: {body.status}. It must be one of {', '.join(STATUSES)}.")
    ctx.db.execute(update(group_snapshot).where(group_snapshot.c.id == row["id"]).values(status=body.status.lower()))
