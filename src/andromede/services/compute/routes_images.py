"""Routes of images as Compute knew them before Image was a service of its own. Source: Compute API v2.1, "Images" (deprecated from 2.36 on)."""

from typing import Annotated, Any

import msgspec

from andromede.core.clock import iso_z, parse
from andromede.core.context import Context
from andromede.core.errors import BadRequest, NotFound
from andromede.services.compute import view
from andromede.services.compute.api import api, member, reader
from andromede.services.compute.wire import Metadata
from andromede.services.image.service import for_compute as image

_IMAGES, _IMAGE, _METADATA = "/images", "/images/{image_id}", "/images/{image_id}/metadata"
_OLD, _META_OLD = ("2.1", "2.35"), ("2.1", "2.38")


class MetadataBody(msgspec.Struct, forbid_unknown_fields=True):
    """`{"metadata": …}`."""

    metadata: Metadata


class MetaBody(msgspec.Struct, forbid_unknown_fields=True):
    """`{"meta": {key: value}}`."""

    meta: Annotated[Metadata, msgspec.Meta(min_length=1)]


def _brief(ctx: Context, row: Any) -> dict[str, Any]:
    links: list[dict[str, str]] = [{"rel": one.rel, "href": one.href} for one in view.links(ctx, "images", row["id"])]
    links.append({"rel": "alternate", "type": "application/vnd.openstack.image", "href": f"{ctx.root}/image/images/{row['id']}"})
    return {"id": row["id"], "name": row["name"], "links": links}


def _full(ctx: Context, row: Any) -> dict[str, Any]:
    status, properties = image.status(row), dict(row["properties"])
    out = _brief(ctx, row) | {
        "status": status, "created": iso_z(row["created_at"]), "updated": iso_z(row["updated_at"]), "minDisk": row["min_disk"],
        "minRam": row["min_ram"], "progress": 100 if status == "ACTIVE" else 50 if status == "SAVING" else 0, "metadata": properties,
        "OS-EXT-IMG-SIZE:size": row["size"],
    }  # fmt: skip
    if server_id := properties.get("instance_uuid"):
        links = [{"rel": one.rel, "href": one.href} for one in view.links(ctx, "servers", server_id)]
        out["server"] = {"id": server_id, "links": links}
    if properties.get("auto_disk_config"):
        out["OS-DCF:diskConfig"] = "AUTO" if properties["auto_disk_config"].lower() == "true" else "MANUAL"
    return out


def _page(ctx: Context, *, detail: bool) -> dict[str, Any]:
    get = ctx.query.get
    try:
        since = parse(text.replace(" ", "+")) if (text := get("changes-since")) else None
    except ValueError as error:
        raise BadRequest("Invalid changes-since value: it must be a time in ISO 8601.") from error
    server = get("server")
    found = image.listing(
        ctx, name=get("name"), wanted=get("status"), server_id=server.rstrip("/").rpartition("/")[2] if server else None,
        kind=get("type") or get("property-image_type"), since=since,
    )  # fmt: skip
    out: dict[str, Any] = {"images": [_full(ctx, row) if detail else _brief(ctx, row) for row in found.rows]}
    link = found.next_link(ctx, f"{ctx.base}/images/detail" if detail else f"{ctx.base}/images")
    return out if link is None else out | {"images_links": [{"rel": "next", "href": link}]}


@api.get(_IMAGES, policy=reader("images:index"), versions=_OLD)
def list_images(ctx: Context) -> dict[str, Any]:
    """Ids and names of images."""
    return _page(ctx, detail=False)


@api.get(_IMAGES + "/detail", policy=reader("images:detail"), versions=_OLD)
def list_images_in_full(ctx: Context) -> dict[str, Any]:
    """Images with what servers need of them."""
    return _page(ctx, detail=True)


@api.get(_IMAGE, policy=reader("images:show"), versions=_OLD)
def show_image(ctx: Context, image_id: str) -> dict[str, Any]:
    """One image."""
    return {"image": _full(ctx, image.show(ctx, image_id))}


@api.delete(_IMAGE, policy=member("images:delete"), versions=_OLD)
def delete_image(ctx: Context, image_id: str) -> None:
    """Delete an image."""
    image.remove(ctx, image_id)


@api.get(_METADATA, policy=reader("image-metadata:index"), versions=_META_OLD)
def list_image_metadata(ctx: Context, image_id: str) -> dict[str, Any]:
    """An image's properties."""
    return {"metadata": image.show(ctx, image_id)["properties"]}


@api.put(_METADATA, policy=member("image-metadata:update_all"), versions=_META_OLD)
def replace_image_metadata(ctx: Context, image_id: str, body: MetadataBody) -> dict[str, Any]:
    """Replace all of them."""
    image.set_properties(ctx, image_id, body.metadata)
    return {"metadata": body.metadata}


@api.post(_METADATA, policy=member("image-metadata:create"), versions=_META_OLD)
def add_image_metadata(ctx: Context, image_id: str, body: MetadataBody) -> dict[str, Any]:
    """Add some, or change what is there."""
    values = image.show(ctx, image_id)["properties"] | body.metadata
    image.set_properties(ctx, image_id, values)
    return {"metadata": values}


@api.get(_METADATA + "/{key}", policy=reader("image-metadata:show"), versions=_META_OLD)
def show_image_metadata(ctx: Context, image_id: str, key: str) -> dict[str, Any]:
    """One of them."""
    values = image.show(ctx, image_id)["properties"]
    if key not in values:
        raise NotFound("Metadata item was not found")
    return {"meta": {key: values[key]}}


@api.put(_METADATA + "/{key}", policy=member("image-metadata:update"), versions=_META_OLD)
def set_image_metadata(ctx: Context, image_id: str, key: str, body: MetaBody) -> dict[str, Any]:
    """Set one."""
    values = image.show(ctx, image_id)["properties"]
    if list(body.meta) != [key]:
        raise BadRequest("Request body and URI mismatch" if len(body.meta) == 1 else "Request body contains too many items")
    image.set_properties(ctx, image_id, values | body.meta)
    return {"meta": body.meta}


@api.delete(_METADATA + "/{key}", policy=member("image-metadata:delete"), versions=_META_OLD)
def delete_image_metadata(ctx: Context, image_id: str, key: str) -> None:
    """Remove one."""
    values = image.show(ctx, image_id)["properties"]
    if key not in values:
        raise NotFound("Invalid metadata key")
    image.set_properties(ctx, image_id, {name: value for name, value in values.items() if name != key})
