"""Routes of image members: the projects that an image is shared with."""

from typing import Any

from sqlalchemy import delete, func, insert, select, update

from andromede.core.clock import now
from andromede.core.context import Context
from andromede.core.errors import Conflict, Forbidden, NotFound, TooLarge
from andromede.services.image import images, wire
from andromede.services.image.api import api, member, reader
from andromede.services.image.tables import image_member
from andromede.services.image.wire import Member, MemberStatus, NewMember

_MEMBERS, _MEMBER = "/images/{image_id}/members", "/images/{image_id}/members/{member_id}"


def _shared(ctx: Context, image_id: str) -> Any:
    row = images.find(ctx, image_id)
    if row["visibility"] != "shared":
        raise Forbidden("Only shared images have members.")
    return row


def _own(ctx: Context, image_id: str) -> Any:
    row = _shared(ctx, image_id)
    if not ctx.caller.admin and row["owner"] != ctx.caller.project_id:
        raise Forbidden("You are not permitted to change the members of this image.")
    return row


def _find(ctx: Context, image_id: str, member_id: str) -> Any:
    """One member's row; a member sees itself alone, the owner all."""
    row = _shared(ctx, image_id)
    mine = ctx.caller.admin or ctx.caller.project_id in (row["owner"], member_id)
    match = (image_member.c.image_id == image_id, image_member.c.member_id == member_id)
    found = ctx.db.execute(select(image_member).where(*match)).mappings().first() if mine else None
    if found is None:
        raise NotFound(f"{member_id} not found in the member list of the image {image_id}.")
    return found


@api.post(_MEMBERS, policy=member("members:create"))
def create_member(ctx: Context, image_id: str, body: NewMember) -> Member:
    """Share an image with a project, which still has to accept it.

    Errors: 403 not the owner's, or not of visibility `shared`; 409 shared with it already; 413 too many members.
    """
    _own(ctx, image_id)
    moment = now()
    match = (image_member.c.image_id == image_id, image_member.c.member_id == body.member)
    if ctx.db.execute(select(image_member.c.image_id).where(*match)).first() is not None:
        raise Conflict(f"Image {image_id} is shared with {body.member} already.")
    if (ctx.db.scalar(select(func.count()).where(image_member.c.image_id == image_id)) or 0) >= wire.MEMBERS:
        raise TooLarge(f"The limit of {wire.MEMBERS} members of an image has been reached.")
    values = {"image_id": image_id, "member_id": body.member, "status": "pending", "created_at": moment, "updated_at": moment}
    ctx.db.execute(insert(image_member).values(values))
    return wire.show_member(values)


@api.get(_MEMBERS, policy=reader("members:list"))
def list_members(ctx: Context, image_id: str) -> dict[str, Any]:
    """The projects an image is shared with; a member sees itself alone."""
    row = _shared(ctx, image_id)
    query = select(image_member).where(image_member.c.image_id == image_id).order_by(image_member.c.created_at, image_member.c.member_id)
    if not ctx.caller.admin and row["owner"] != ctx.caller.project_id:
        query = query.where(image_member.c.member_id == ctx.caller.project_id)
    return {"members": [wire.show_member(one) for one in ctx.db.execute(query).mappings()], "schema": "/v2/schemas/members"}


@api.get(_MEMBER, policy=reader("members:show"))
def show_member(ctx: Context, image_id: str, member_id: str) -> Member:
    """One member. 404 where the image is not shared with it."""
    return wire.show_member(_find(ctx, image_id, member_id))


@api.put(_MEMBER, policy=member("members:update"))
def update_member(ctx: Context, image_id: str, member_id: str, body: MemberStatus) -> Member:
    """Accept or reject an image, as the member itself. 403 for anybody else but an admin."""
    _find(ctx, image_id, member_id)
    if not ctx.caller.admin and ctx.caller.project_id != member_id:
        raise Forbidden("Only the member itself may accept or reject an image.")
    match = (image_member.c.image_id == image_id, image_member.c.member_id == member_id)
    ctx.db.execute(update(image_member).where(*match).values(status=body.status, updated_at=now()))
    return wire.show_member(_find(ctx, image_id, member_id))


@api.delete(_MEMBER, policy=member("members:delete"))
def delete_member(ctx: Context, image_id: str, member_id: str) -> None:
    """No longer share an image with a project. 403 not the owner's; 404 not shared with it."""
    _own(ctx, image_id)
    match = (image_member.c.image_id == image_id, image_member.c.member_id == member_id)
    if not ctx.db.execute(delete(image_member).where(*match)).rowcount:
        raise NotFound(f"{member_id} not found in the member list of the image {image_id}.")
