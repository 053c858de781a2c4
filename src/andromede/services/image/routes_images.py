"""Routes of images and their tags."""

from typing import Any

from andromede.core.context import Context
from andromede.http.response import Response
from andromede.services.image import changes, images, imports, listing, wire
from andromede.services.image.api import api, member, reader

_IMAGE = "/images/{image_id}"


def _show(ctx: Context, row: Any) -> dict[str, Any]:
    id_ = row["id"]
    return wire.show(row, images.properties_of(ctx.db, [id_]).get(id_, {}), images.tags_of(ctx.db, [id_]).get(id_, []))


@api.post("/images", status=201, policy=member("images:create"), quota=("image_count_total",))
def create_image(ctx: Context, body: dict[str, Any]) -> Response:
    """Register an image; its data comes after. Unknown attributes become its properties.

    Errors: 400 a value that is not allowed; 403 what only admins may set; 409 an id that is taken; 413 over quota.
    """
    row = changes.create(ctx, body)
    headers = [
        ("location", f"{ctx.base}/images/{row['id']}"),
        ("openstack-image-import-methods", ",".join(imports.METHODS)),
        ("openstack-image-store-ids", imports.STORE),
    ]
    return Response(_show(ctx, row), status=201, headers=headers)


@api.get("/images", policy=reader("images:list"))
def list_images(ctx: Context) -> dict[str, Any]:
    """Images the project may use, a page at a time. 400 for a filter or order that makes no sense."""
    page, first, following = listing.listing(ctx)
    ids = [row["id"] for row in page.rows]
    properties, tags = images.properties_of(ctx.db, ids), images.tags_of(ctx.db, ids)
    shown = [wire.show(row, properties.get(row["id"], {}), tags.get(row["id"], [])) for row in page.rows]
    out: dict[str, Any] = {"images": shown, "first": first, "schema": "/v2/schemas/images"}
    return out if following is None else out | {"next": following}


@api.get(_IMAGE, policy=reader("images:show"))
def show_image(ctx: Context, image_id: str) -> dict[str, Any]:
    """One image. 404 where the project may not see it."""
    return _show(ctx, images.find(ctx, image_id))


@api.patch(_IMAGE, policy=member("images:update"))
def update_image(ctx: Context, image_id: str, body: bytes) -> dict[str, Any]:
    """Change an image by a JSON patch.

    Errors: 400 a malformed patch; 403 attributes nobody may change, or another project's image; 409 a property that is not there;
    415 another content type.
    """
    return _show(ctx, changes.patch(ctx, image_id, body))


@api.delete(_IMAGE, policy=member("images:delete"))
def delete_image(ctx: Context, image_id: str) -> None:
    """Delete an image and its data. 403 where it is protected. Servers made from it keep what they need."""
    changes.remove(ctx, image_id)


@api.post(_IMAGE + "/actions/deactivate", status=204, policy=member("images:deactivate"))
def deactivate_image(ctx: Context, image_id: str) -> None:
    """Let nobody but admins read an image's data. 403 where it has none."""
    changes.set_active(ctx, image_id, active=False)


@api.post(_IMAGE + "/actions/reactivate", status=204, policy=member("images:reactivate"))
def reactivate_image(ctx: Context, image_id: str) -> None:
    """Take the deactivation back."""
    changes.set_active(ctx, image_id, active=True)


@api.put(_IMAGE + "/tags/{tag}", status=204, policy=member("images:tags:create"))
def add_tag(ctx: Context, image_id: str, tag: str) -> None:
    """Give an image a tag. 413 for one too many."""
    changes.add_tag(ctx, image_id, tag)


@api.delete(_IMAGE + "/tags/{tag}", policy=member("images:tags:delete"))
def delete_tag(ctx: Context, image_id: str, tag: str) -> None:
    """Take a tag from an image. 404 where it has none of that name."""
    changes.drop_tag(ctx, image_id, tag)
