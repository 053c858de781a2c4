"""Images as Compute's old face shows them (`/images`, up to 2.35): rows with their properties, and changing these."""

from typing import Any

from sqlalchemy import delete, insert, select

from andromede.core.context import Context
from andromede.core.errors import NotFound
from andromede.http import paging
from andromede.services.image import changes, images
from andromede.services.image.tables import image, image_property

MOST = 1000
_STATUSES = {
    "ACTIVE": ("active",), "SAVING": ("saving", "uploading", "importing", "queued"), "DELETED": (), "ERROR": (), "UNKNOWN": ("deactivated",),
}  # fmt: skip


def status(row: Any) -> str:
    """ACTIVE, SAVING or UNKNOWN."""
    return next((name for name, known in _STATUSES.items() if row["status"] in known), "UNKNOWN")


def listing(ctx: Context, *, name: str | None, wanted: str | None, server_id: str | None, kind: str | None, since: Any) -> paging.Page:
    """A page of the images that the caller sees, newest first, with their properties as `properties`."""
    query = select(image).where(images.visible(ctx), ~image.c.os_hidden)
    if name is not None:
        query = query.where(image.c.name == name)
    if wanted is not None:
        query = query.where(image.c.status.in_(_STATUSES.get(wanted.upper(), ())))
    if since is not None:
        query = query.where(image.c.updated_at >= since)
    for key, value in (("instance_uuid", server_id), ("image_type", kind)):
        if value is not None:
            same = select(image_property.c.image_id).where(image_property.c.name == key, image_property.c.value == value)
            query = query.where(image.c.id.in_(same))
    found = paging.page(
        ctx.db, query, image, keys=[(image.c.created_at, True)], limit=paging.limit_of(ctx, most=MOST), marker=ctx.query.get("marker")
    )
    own = images.properties_of(ctx.db, [row["id"] for row in found.rows])
    found.rows = [dict(row) | {"properties": own.get(row["id"], {})} for row in found.rows]
    return found


def show(ctx: Context, image_id: str) -> Any:
    """One, with its properties. Raises NotFound."""
    try:
        row = images.find(ctx, image_id)
    except NotFound as error:
        raise NotFound("Image not found.") from error
    return dict(row) | {"properties": images.properties_of(ctx.db, [row["id"]]).get(row["id"], {})}


def remove(ctx: Context, image_id: str) -> None:
    """Delete one. Raises NotFound, Forbidden."""
    show(ctx, image_id)
    changes.remove(ctx, image_id)


def set_properties(ctx: Context, image_id: str, values: dict[str, str]) -> None:
    """Replace its properties. Raises NotFound, Forbidden."""
    show(ctx, image_id)
    images.find_own(ctx, image_id)
    ctx.db.execute(delete(image_property).where(image_property.c.image_id == image_id))
    if values:
        ctx.db.execute(insert(image_property), [{"image_id": image_id, "name": name, "value": value} for name, value in values.items()])
    images.write(ctx.db, image_id)
