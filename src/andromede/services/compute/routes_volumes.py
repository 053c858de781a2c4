"""Routes of a server's volumes. Source: Compute API v2.1, "Servers with volume attachments"."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, Forbidden, NotFound
from andromede.core.ids import is_id
from andromede.drivers.hypervisor import MOST_DRIVES
from andromede.http import paging
from andromede.http.response import Response
from andromede.http.wire import Body, since
from andromede.services.compute import containers, devices, hosts, operations, servers, state
from andromede.services.compute.api import api, member, reader
from andromede.services.compute.wire import DeviceTag
from andromede.services.volume import service as volume

_ALL, _ONE = "/servers/{server_id}/os-volume_attachments", "/servers/{server_id}/os-volume_attachments/{volume_id}"


class NewAttachment(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A volume to attach. device: kept for older clients; the guest's own name of it is chosen and answered."""

    volume_id: str = msgspec.field(name="volumeId")
    device: str | None | UnsetType = UNSET
    tag: Annotated[DeviceTag, since("2.49")] | UnsetType = UNSET
    delete_on_termination: Annotated[bool, since("2.79")] | UnsetType = UNSET


class Attach(Body):
    """`POST …/os-volume_attachments`."""

    attachment: NewAttachment = msgspec.field(name="volumeAttachment")


class ChangedAttachment(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What an attachment is to be; the volume is the same, as is whatever else is named beside `delete_on_termination`."""

    volume_id: str = msgspec.field(name="volumeId")
    id: Annotated[str, since("2.85")] | UnsetType = UNSET
    server_id: Annotated[str, since("2.85")] | UnsetType = msgspec.field(name="serverId", default=UNSET)
    device: Annotated[str | None, since("2.85")] | UnsetType = UNSET
    tag: Annotated[str | None, since("2.85")] | UnsetType = UNSET
    delete_on_termination: Annotated[bool, since("2.85")] | UnsetType = UNSET


class Change(Body):
    """`PUT …/os-volume_attachments/{volume}`."""

    attachment: ChangedAttachment = msgspec.field(name="volumeAttachment")


def _view(ctx: Context, row: Any, *, created: bool = False) -> dict[str, Any]:
    out = {"volumeId": row.volume_id, "serverId": row.server_id, "device": row.device_name}
    if created or not ctx.at_least("2.89"):
        out["id"] = row.volume_id
    if ctx.at_least("2.70"):
        out["tag"] = row.tag
    if ctx.at_least("2.79"):
        out["delete_on_termination"] = row.delete_on_termination
    if ctx.at_least("2.89") and not created:
        out |= {"attachment_id": row.attachment_id, "bdm_uuid": row.id}
    return out


def _find(ctx: Context, server_id: str, volume_id: str) -> Any:
    row = devices.find(ctx.db, server_id, volume_id)
    if row is None:
        raise NotFound(f"volume_id not found: {volume_id}")
    return row


@api.get(_ALL, policy=reader("os-volumes-attachments:index"))
def list_attachments(ctx: Context, server_id: str) -> dict[str, Any]:
    """A server's volumes."""
    row = servers.find(ctx, server_id)
    rows = devices.of_servers(ctx.db, [row["id"]]).get(row["id"], [])
    start = ctx.query.get("offset") or "0"
    if not start.isdecimal() or len(start) > 6:
        raise BadRequest("Invalid input for query parameter offset. It must be a whole number of 0 or more.")
    limit = paging.limit_of(ctx, most=1000)
    return {"volumeAttachments": [_view(ctx, one) for one in rows[int(start) :][:limit]]}


@api.get(_ONE, policy=reader("os-volumes-attachments:show"))
def show_attachment(ctx: Context, server_id: str, volume_id: str) -> dict[str, Any]:
    """One of them, by the volume's id."""
    servers.find(ctx, server_id)
    return {"volumeAttachment": _view(ctx, _find(ctx, server_id, volume_id))}


def _mine(ctx: Context, server_id: str, action: str) -> Any:
    row = servers.find(ctx, server_id)
    state.unlocked(row, admin=ctx.caller.admin)
    containers.able(row, action)
    state.require(row, action, "active", "stopped", "paused", "suspended", "resized", "soft-delete", "shelved", "shelved_offloaded", idle=False)
    return row


@api.post(_ALL, policy=member("os-volumes-attachments:create"))
def attach_volume(ctx: Context, server_id: str, body: Attach) -> Response:
    """Give a server a volume; a running guest gets it at once, or once it is brought from another host. From 2.101 on nothing is said of it yet.

    A container has it mounted, at the place that `device` says.

    Errors: 400 a volume that cannot be attached now; 403 more volumes than a server can have; 404 no such volume; 409 a state of the
    server that does not allow it, or a volume on another host that cannot be brought.
    """
    wanted = body.attachment
    row = _mine(ctx, server_id, "attach_volume")
    if not is_id(wanted.volume_id):
        raise BadRequest(f"Invalid input for field/attribute volumeId. Value: {wanted.volume_id}. It is not an id.")
    found = volume.look(ctx, wanted.volume_id)
    if found.multiattach and not ctx.at_least("2.60"):
        raise Conflict("Volume multiattach is supported starting with compute API version 2.60.")
    if devices.find(ctx.db, row["id"], found.id) is not None:
        raise BadRequest(f"Invalid volume: Volume {found.id} is already attached to the server.")
    away = row["host"] is not None and found.host not in (None, row["host"])
    if away:
        volume.bringable(ctx, found.id, row["host"])
    if len(devices.of_servers(ctx.db, [row["id"]]).get(row["id"], [])) >= MOST_DRIVES:
        raise Forbidden(f"A server can have at most {MOST_DRIVES} volumes.")
    place = containers.mountable(row, found)
    attachment_id = volume.reserve(ctx, found.id, row["id"], mounted=bool(place))
    bus = devices.bus_for(row)
    name = place or devices.next_name(ctx.db, row, bus)
    device_id = devices.insert_row(
        ctx.db, row["id"], found.id, attachment_id, boot=-1, name=name, bus=bus, delete_on_termination=bool(wanted.delete_on_termination),
        tag=wanted.tag or None,
    )  # fmt: skip
    servers.begin(ctx, row["id"], "attach_volume")
    hosts.changed(ctx.db, ctx.parts.operations, row["host"])
    memo = {"device": device_id, "attachment": attachment_id, "name": name, "volume": found.id}
    if away:
        devices.change(ctx.db, device_id, leaving=True)  # its host is told of it when it is there
        volume.bring(ctx.db, ctx.parts, found.id, row["host"], request_id=ctx.request_id)
    ctx.parts.operations.submit(
        ctx.db, operations.BRING if away else operations.ATTACH, row["id"], project_id=row["project_id"], request_id=ctx.request_id, memo=memo
    )
    if ctx.at_least("2.101"):
        return Response(status=202)
    return Response({"volumeAttachment": _view(ctx, devices.find(ctx.db, row["id"], found.id), created=True)})


@api.put(_ONE, policy=member("os-volumes-attachments:update"), status=202)
def change_attachment(ctx: Context, server_id: str, volume_id: str, body: Change) -> None:
    """Say whether the volume is deleted with the server (2.85); or put another volume in its place, for operators.

    Errors: 400 a volume that cannot take its place; 409 a server that does not run, or a volume on another host.
    """
    wanted = body.attachment
    row = _mine(ctx, server_id, "update_volume_attachment")
    one = _find(ctx, row["id"], volume_id)
    if wanted.volume_id != volume_id:
        if not ctx.caller.admin:
            ctx.refuse("compute:os-volumes-attachments:swap")
        _swap(ctx, row, one, wanted.volume_id)
        return
    for name, value, have in (("id", wanted.id, volume_id), ("serverId", wanted.server_id, row["id"]), ("device", wanted.device, one.device_name)):
        if value is not UNSET and value != have:
            raise BadRequest(f"Invalid input for field/attribute {name}. It cannot be changed.")
    if wanted.tag is not UNSET and wanted.tag != one.tag:
        raise BadRequest("Invalid input for field/attribute tag. It cannot be changed.")
    if wanted.delete_on_termination is not UNSET:
        devices.change(ctx.db, one.id, delete_on_termination=wanted.delete_on_termination)


def _swap(ctx: Context, row: Any, one: Any, other_id: str) -> None:
    """Have a running server's volume replaced by another with the same data."""
    containers.able(row, "swap_volume")
    state.require(row, "swap_volume", "active", "paused", "resized")
    if not is_id(other_id):
        raise BadRequest(f"Invalid input for field/attribute volumeId. Value: {other_id}. It is not an id.")
    old, new = volume.look(ctx, one.volume_id), volume.look(ctx, other_id)
    if one.swap is not None or one.leaving or old.status != "in-use":
        raise BadRequest(f"Invalid volume: Volume {old.id} must be in use to be swapped.")
    if old.multiattach or new.multiattach:
        raise BadRequest("Invalid volume: a volume that several servers may have cannot be swapped.")
    if new.size < old.size:
        raise BadRequest(f"Invalid volume: Volume {new.id} must not be smaller than the one whose place it takes.")
    if new.host != row["host"]:
        raise Conflict("The volume is on another host than the server; migrate one of them first.")
    attachment_id = volume.reserve(ctx, new.id, row["id"])
    volume.detaching(ctx.db, one.attachment_id)
    servers.begin(ctx, row["id"], "swap_volume")
    memo = {"device": one.id, "attachment": attachment_id, "old": one.attachment_id, "new": new.id}
    ctx.parts.operations.submit(ctx.db, operations.SWAP, row["id"], project_id=row["project_id"], request_id=ctx.request_id, memo=memo)


@api.delete(_ONE, policy=member("os-volumes-attachments:delete"), status=202)
def detach_volume(ctx: Context, server_id: str, volume_id: str) -> None:
    """Take a volume away; a running guest is asked to let go of it. Errors: 403 the volume that the server boots from."""
    row = _mine(ctx, server_id, "detach_volume")
    one = _find(ctx, row["id"], volume_id)
    if one.boot_index == 0:
        raise Forbidden("Cannot detach a root device volume")
    if volume.state_of(ctx.db, volume_id)[0] != "in-use":
        raise BadRequest(f"Invalid volume: Volume {volume_id} must be in use to be detached.")
    devices.change(ctx.db, one.id, leaving=True)
    volume.detaching(ctx.db, one.attachment_id)
    servers.begin(ctx, row["id"], "detach_volume")
    hosts.changed(ctx.db, ctx.parts.operations, row["host"])
    memo = {"device": one.id, "attachment": one.attachment_id}
    ctx.parts.operations.submit(
        ctx.db, operations.DETACH, row["id"], project_id=row["project_id"], request_id=ctx.request_id, memo=memo
    )
