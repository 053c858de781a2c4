"""Routes of attachments (3.27): rows that say who has a volume. Servers of this cloud make and end theirs through Compute."""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import select, update

from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, NotFound
from andromede.core.ids import is_id
from andromede.http.wire import Body
from andromede.services.volume import attachments, listing, volumes
from andromede.services.volume.api import api, member, reader, when
from andromede.services.volume.tables import attachment

_ALL, _ONE = "/attachments", "/attachments/{attachment_id}"
_VERSIONS = ("3.27", "3.70")


class NewAttachment(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is asked for. connector: facts of the host that is to have it."""

    volume_uuid: str
    instance_uuid: str | None | UnsetType = UNSET
    connector: dict[str, Any] | None | UnsetType = UNSET
    mode: str | UnsetType = UNSET


class Create(Body):
    """`POST /attachments`."""

    attachment: NewAttachment


def _find(ctx: Context, attachment_id: str) -> Any:
    row = attachments.find(ctx.db, attachment_id)
    if row is None or not (ctx.caller.admin or row.project_id == ctx.caller.project_id):
        raise NotFound(f"Volume attachment could not be found with filter: attachment_id = {attachment_id}.")
    return row


def _view(row: Any) -> dict[str, Any]:
    info = {} if row.connector is None else {"driver_volume_type": "local", "attachment_id": row.id, "access_mode": row.mode, "encrypted": False}
    return {
        "id": row.id, "volume_id": row.volume_id, "instance": row.server_id, "status": row.status, "attach_mode": row.mode,
        "attached_at": when(row.attached), "detached_at": None, "connection_info": info,
    }  # fmt: skip


@api.get(_ALL, policy=reader("attachments:list"), versions=_VERSIONS)
def list_attachments(ctx: Context) -> dict[str, Any]:
    """Attachments in short."""
    found = _page(ctx, "attachments")
    names = ("id", "volume_id", "instance", "status")
    return {"attachments": [{name: _view(_row(ctx, row))[name] for name in names} for row in found.rows], **found.more}


@api.get(_ALL + "/detail", policy=reader("attachments:detail"), versions=_VERSIONS)
def list_attachments_in_full(ctx: Context) -> dict[str, Any]:
    """Attachments in full."""
    found = _page(ctx, "attachments/detail")
    return {"attachments": [_view(_row(ctx, row)) for row in found.rows], **found.more}


def _row(ctx: Context, row: Any) -> Any:
    return attachments.find(ctx.db, row["id"])


def _page(ctx: Context, path: str) -> listing.Listed:
    columns = {"volume_id": attachment.c.volume_id, "instance_id": attachment.c.server_id, "status": attachment.c.status, "id": attachment.c.id}
    return listing.page(ctx, select(attachment), attachment, "attachments", path=path, columns=columns)


@api.get(_ONE, policy=reader("attachments:show"), versions=_VERSIONS)
def show_attachment(ctx: Context, attachment_id: str) -> dict[str, Any]:
    """One attachment."""
    return {"attachment": _view(_find(ctx, attachment_id))}


@api.post(_ALL, policy=member("attachments:create"), versions=_VERSIONS)
def create_attachment(ctx: Context, body: Create) -> dict[str, Any]:
    """Reserve a volume, or say at once (with a connector) where it is to be attached."""
    wanted = body.attachment
    if not is_id(wanted.volume_uuid) or (wanted.instance_uuid and not is_id(wanted.instance_uuid)):
        raise BadRequest("Invalid input for field/attribute attachment. volume_uuid and instance_uuid must be ids.")
    mode = wanted.mode or "rw"
    if mode not in ("rw", "ro"):
        raise BadRequest("Invalid input for field/attribute mode. It must be rw or ro.")
    if wanted.mode is not UNSET and not ctx.at_least("3.54"):
        raise BadRequest("Additional properties are not allowed ('mode' was unexpected)")
    row = volumes.find(ctx, wanted.volume_uuid)
    id_ = attachments.reserve(ctx, row, wanted.instance_uuid or None, mode=mode)
    if wanted.connector:
        _connect(ctx, id_, wanted.connector)
    return {"attachment": _view(_find(ctx, id_))}


def _connect(ctx: Context, attachment_id: str, connector: dict[str, Any]) -> None:
    values = {"connector": connector, "host_name": str(connector.get("host") or "")[:255] or None}
    mountpoint = str(connector.get("mountpoint") or "")[:255]
    ctx.db.execute(update(attachment).where(attachment.c.id == attachment_id).values(mountpoint=mountpoint or None, **values))
    attachments.mark(ctx.db, attachment_id, "attaching")


class Change(Body):
    """`PUT /attachments/{id}`."""

    attachment: dict[str, Any]


@api.put(_ONE, policy=member("attachments:update"), versions=_VERSIONS)
def update_attachment(ctx: Context, attachment_id: str, body: Change) -> dict[str, Any]:
    """Say where a reserved volume is to be attached."""
    row = _find(ctx, attachment_id)
    connector = body.attachment.get("connector")
    if not isinstance(connector, dict) or not connector:
        raise BadRequest("Invalid input for field/attribute attachment. 'connector' is a required property")
    _ours(ctx, row)
    _connect(ctx, row.id, connector)
    return {"attachment": _view(_find(ctx, attachment_id))}


@api.action(_ONE + "/action", "os-complete", status=204, policy=member("attachments:complete"), versions=("3.44", "3.70"))
def complete_attachment(ctx: Context, attachment_id: str, body: dict[str, Any] | None = None) -> None:
    """Say that it is attached."""
    row = _find(ctx, attachment_id)
    _ours(ctx, row)
    if row.status not in ("attaching", "attached"):
        raise BadRequest(f"Invalid volume: attachment {row.id} is {row.status}; it must be attaching to be completed.")
    device = (body or {}).get("mountpoint")
    attachments.complete(ctx.db, row.id, device=str(device)[:255] if device else None, host=None)


@api.delete(_ONE, policy=member("attachments:delete"), status=200, versions=_VERSIONS)
def delete_attachment(ctx: Context, attachment_id: str) -> dict[str, Any]:
    """Say that it is attached no more; answers what attachments the volume has left."""
    row = _find(ctx, attachment_id)
    _ours(ctx, row)
    attachments.remove(ctx.db, row.id)
    left = attachments.of_volume(ctx.db, row.volume_id)
    return {"attachments": [{name: _view(one)[name] for name in ("id", "volume_id", "instance", "status")} for one in left]}


def _ours(ctx: Context, row: Any) -> None:
    """A server of this cloud ends its attachments itself, or data would be written that nobody knows of."""
    if row.server_id is not None and ctx.parts.carriers.has(ctx.db, row.server_id, row.volume_id):
        raise Conflict(f"Server {row.server_id} has the volume: attach and detach it there.")
