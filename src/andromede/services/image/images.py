"""The rules of images: who sees and who may change them, and reading them with what belongs to them."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, or_, select, true, update

from andromede.core.clock import now
from andromede.core.context import Context
from andromede.core.errors import Forbidden, NotFound
from andromede.services.image.tables import image, image_member, image_property, image_tag


def shared_with(project_id: str | None, *statuses: str) -> ColumnElement[bool]:
    """The condition on images that were shared with a project, in one of these member statuses (any, where none is named)."""
    given = select(image_member.c.image_id).where(image_member.c.member_id == project_id)
    if statuses:
        given = given.where(image_member.c.status.in_(statuses))
    return and_(image.c.visibility == "shared", image.c.id.in_(given))


def visible(ctx: Context) -> ColumnElement[bool]:
    """The condition on images that the caller may read when it knows the id."""
    if ctx.caller.admin:
        return true()
    mine = ctx.caller.project_id
    return or_(image.c.owner == mine, image.c.visibility.in_(("public", "community")), shared_with(mine))


def find(ctx: Context, image_id: str) -> Any:
    """An image's row. Raises NotFound where the caller may not see it."""
    row = ctx.db.execute(select(image).where(image.c.id == image_id, visible(ctx))).mappings().first()
    if row is None:
        raise NotFound(f"No image found with ID {image_id}")
    return row


def find_own(ctx: Context, image_id: str, act: str = "modify") -> Any:
    """An image's row that the caller may change. Raises NotFound, or Forbidden where it may only see it."""
    row = find(ctx, image_id)
    if not ctx.caller.admin and row["owner"] != ctx.caller.project_id:
        raise Forbidden(f"You are not permitted to {act} this image.")
    return row


def properties_of(db: Connection, ids: Iterable[str]) -> dict[str, dict[str, str]]:
    """Custom properties by image."""
    out: dict[str, dict[str, str]] = {}
    query = select(image_property).where(image_property.c.image_id.in_(list(ids))).order_by(image_property.c.name)
    for row in db.execute(query):
        out.setdefault(row.image_id, {})[row.name] = row.value
    return out


def tags_of(db: Connection, ids: Iterable[str]) -> dict[str, list[str]]:
    """Tags by image."""
    out: dict[str, list[str]] = {}
    for row in db.execute(select(image_tag).where(image_tag.c.image_id.in_(list(ids))).order_by(image_tag.c.tag)):
        out.setdefault(row.image_id, []).append(row.tag)
    return out


def write(db: Connection, image_id: str, **values: Any) -> None:
    """Change an image's columns, and say when."""
    db.execute(update(image).where(image.c.id == image_id).values(updated_at=now(), **values))
