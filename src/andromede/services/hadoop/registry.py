"""Images as Data Processing has them registered: what Sahara keeps in their properties (`_sahara_username`, `_sahara_tag_…`), and their tags."""

from typing import Any

from andromede.core.clock import iso_z
from andromede.core.context import Context
from andromede.core.errors import NotFound
from andromede.services.compute import service as compute
from andromede.services.hadoop import plugin
from andromede.services.hadoop.api import wrong
from andromede.services.image import service as image

_USER, _DESCRIPTION, _TAG = "_sahara_username", "_sahara_description", "_sahara_tag_"
USER = "hadoop"


def tags_of(row: Any, own: list[str]) -> list[str]:
    """An image's tags: Image's and Sahara's."""
    ours = [name.removeprefix(_TAG) for name, value in row["properties"].items() if name.startswith(_TAG) and value.lower() == "true"]
    return list(dict.fromkeys([*own, *ours]))


def _registered(row: Any, tags: list[str]) -> bool:
    return _USER in row["properties"] or plugin.NAME in tags


def shown(row: Any, tags: list[str]) -> dict[str, Any]:
    """An image, as Sahara shows it."""
    properties = row["properties"]
    return {
        "id": row["id"], "name": row["name"], "status": image.for_compute.status(row), "minDisk": row["min_disk"], "minRam": row["min_ram"],
        "progress": 100 if row["status"] == "active" else 0, "created": iso_z(row["created_at"]), "updated": iso_z(row["updated_at"]),
        "metadata": properties, "tags": tags, "username": properties.get(_USER) or (USER if plugin.NAME in tags else None),
        "description": properties.get(_DESCRIPTION), "OS-EXT-IMG-SIZE:size": row["size"] or 0,
    }  # fmt: skip


def listed(ctx: Context, *, name: str | None = None, tags: list[str] | None = None) -> list[dict[str, Any]]:
    """The images that are registered and that the caller sees, the newest first; only those with all of `tags`."""
    rows = image.for_compute.listing(ctx, name=name, wanted=None, server_id=None, kind=None, since=None).rows
    own = image.tags_of(ctx.db, [row["id"] for row in rows])
    out = []
    for row in rows:
        have = tags_of(row, own.get(row["id"], []))
        if _registered(row, have) and set(tags or ()) <= set(have):
            out.append(shown(row, have))
    return out


def find(ctx: Context, image_id: str) -> dict[str, Any]:
    """One that is registered. Raises NotFound."""
    row = image.for_compute.show(ctx, image_id)
    have = tags_of(row, image.tags_of(ctx.db, [image_id]).get(image_id, []))
    if not _registered(row, have):
        raise NotFound(f"Image {image_id} is not registered in Sahara", kind="IMAGE_NOT_REGISTERED")
    return shown(row, have)


def chosen(ctx: Context, image_id: str | None, field: str = "default_image_id") -> str:
    """The image for nodes: the one that is named, or the newest that is registered for the plugin. Raises BadRequest."""
    wanted = [plugin.NAME, plugin.VERSION]
    if image_id is None:
        found = [one for one in listed(ctx, tags=wanted) if one["status"] == "ACTIVE"]
        if not found:
            raise wrong(f"{field}: no image is registered with the tags {wanted}, and none is named", "NOT_FOUND")
        return str(found[0]["id"])
    try:
        one = find(ctx, image_id)
    except NotFound as error:
        kind = "IMAGE_NOT_REGISTERED" if error.kind == "IMAGE_NOT_REGISTERED" else "NOT_FOUND"
        raise wrong(f"{field}: {error.message}", kind) from error
    missing = sorted(set(wanted) - set(one["tags"]))
    if missing:
        raise wrong(f"{field}: Tags of requested image '{image_id}' don't contain required tags {missing}", "INVALID_REFERENCE")
    return image_id


def check_disk(ctx: Context, image_id: str, flavor_id: str, field: str) -> None:
    """Raise BadRequest where a node of an image would have no disk that holds it: a container's is as large as its flavor says."""
    row = image.for_compute.show(ctx, image_id)
    size = compute.flavor_of(ctx, flavor_id).disk
    if row["properties"].get("hypervisor_type") == "lxc" and size < row["min_disk"]:
        raise wrong(f"{field}: flavor '{flavor_id}' has a disk of {size} GiB, and nodes of the image need {row['min_disk']} GiB", "INVALID_REFERENCE")


def register(ctx: Context, image_id: str, username: str, description: str | None) -> dict[str, Any]:
    """Register an image of the project's. Raises NotFound, Forbidden."""
    _write(ctx, image_id, {_USER: username, _DESCRIPTION: description or ""})
    return find(ctx, image_id)


def unregister(ctx: Context, image_id: str) -> None:
    """Forget what was registered. Raises NotFound, Forbidden."""
    row = image.for_compute.show(ctx, image_id)
    gone: dict[str, str | None] = {name: None for name in row["properties"] if name in (_USER, _DESCRIPTION) or name.startswith(_TAG)}
    _write(ctx, image_id, gone)


def change_tags(ctx: Context, image_id: str, *, add: list[str] | None = None, drop: list[str] | None = None) -> dict[str, Any]:
    """Give an image tags, or take them; Image's own stay. Raises NotFound, Forbidden."""
    find(ctx, image_id)
    values: dict[str, str | None] = {_TAG + tag: "True" for tag in add or ()}
    _write(ctx, image_id, values | {_TAG + tag: None for tag in drop or ()})
    return find(ctx, image_id)


def _write(ctx: Context, image_id: str, values: dict[str, str | None]) -> None:
    before = image.for_compute.show(ctx, image_id)["properties"]
    after = {**before, **values}
    image.for_compute.set_properties(ctx, image_id, {name: value for name, value in after.items() if value is not None})
