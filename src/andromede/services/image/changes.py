"""Creating, changing and deleting images. Source: Image API v2 and its JSON patch media types."""

from typing import Any

import msgspec
from msgspec import UNSET
from sqlalchemy import Connection, delete, insert, select

from andromede.core.clock import now
from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, Forbidden, NotFound, UnsupportedMedia
from andromede.core.ids import new_id
from andromede.db.engine import after_commit
from andromede.services.image import images, imports, wire
from andromede.services.image.tables import image, image_property, image_tag, task

MEDIA = {"application/openstack-images-v2.1-json-patch": (2, 1), "application/openstack-images-v2.0-json-patch": (2, 0)}
_OPERATIONS = ("add", "replace", "remove")
_QUEUED_ONLY = ("disk_format", "container_format")
_DEFAULTS: dict[str, Any] = {
    "name": None, "visibility": "shared", "protected": False, "os_hidden": False, "min_disk": 0, "min_ram": 0, "disk_format": None,
    "container_format": None,
}  # fmt: skip


class Change(msgspec.Struct, frozen=True):
    """One operation of a patch: the attribute, the place in its list where it names one, the value."""

    op: str
    name: str
    place: str | None
    value: Any = None


def create(ctx: Context, given: dict[str, Any]) -> Any:
    """A new image that waits for its data; its row. Raises BadRequest, Forbidden, Conflict, QuotaExceeded."""
    fields, own = wire.parse(given)
    id_ = fields.id.lower() if fields.id is not UNSET else new_id()
    owner = ctx.caller.project_id if fields.owner is UNSET or fields.owner is None else fields.owner
    if owner != ctx.caller.project_id and not ctx.caller.admin:
        raise Forbidden(f"You are not permitted to create images owned by '{owner}'.")
    if owner is None:
        raise Forbidden("This needs a token that is scoped to a project, or an owner.")
    if ctx.db.execute(select(image.c.id).where(image.c.id == id_)).first() is not None:
        raise Conflict(f"Image ID {id_} already exists!")
    ctx.take(owner, image_count_total=1)
    values = {name: default if getattr(fields, name) is UNSET else getattr(fields, name) for name, default in _DEFAULTS.items()}
    _may_show(ctx, values["visibility"])
    moment = now()
    ctx.db.execute(insert(image).values(id=id_, owner=owner, status="queued", created_at=moment, updated_at=moment, **values))
    _set_properties(ctx.db, id_, own)
    _set_tags(ctx.db, id_, fields.tags if fields.tags is not UNSET else [])
    return images.find(ctx, id_)


def patch(ctx: Context, image_id: str, body: bytes) -> Any:
    """Change an image as a JSON patch says; its row. Raises BadRequest, Forbidden, Conflict, UnsupportedMedia."""
    operations = _read(ctx.headers.get("content-type", ""), body)
    row = images.find_own(ctx, image_id)
    own = images.properties_of(ctx.db, [image_id]).get(image_id, {})
    tags = images.tags_of(ctx.db, [image_id]).get(image_id, [])
    touched: dict[str, Any] = {}
    for one in operations:
        _apply(one, touched, own, tags)
    fields, properties = wire.parse({**touched, **own, "tags": tags})
    values = {name: getattr(fields, name) for name in touched if name != "tags"}
    _check(ctx, row, values)
    if values.get("owner", row["owner"]) is None:
        raise BadRequest("Attribute 'owner' must name a project.")
    images.write(ctx.db, image_id, **values)
    _set_properties(ctx.db, image_id, properties)
    _set_tags(ctx.db, image_id, tags)
    return images.find(ctx, image_id)


def remove(ctx: Context, image_id: str) -> None:
    """Delete an image, whatever happens to it now. Servers made from it keep what they need. Raises Forbidden for a protected one."""
    row = images.find_own(ctx, image_id, "delete")
    if row["protected"]:
        raise Forbidden(f"Image {image_id} is protected and cannot be deleted.")
    ctx.parts.operations.cancel(ctx.db, image_id)
    for one in ctx.db.scalars(select(task.c.id).where(task.c.image_id == image_id)).all():
        imports.end_task(ctx.db, one, image_id, "The image was deleted.")
    ctx.db.execute(delete(image).where(image.c.id == image_id))
    # What is being written is its writer's to remove: it learns of the delete when it looks at the row next.
    store, blobs = ctx.parts.images, {row["blob"], row["staged"]}

    def erase() -> None:
        for blob in blobs:
            store.remove(image_id, blob)

    after_commit(ctx.db, erase)


def set_active(ctx: Context, image_id: str, *, active: bool) -> None:
    """Let an image's data be read, or no longer. Raises Forbidden in any other status."""
    row = images.find_own(ctx, image_id, "reactivate" if active else "deactivate")
    if row["status"] not in ("active", "deactivated"):
        word = "reactivate" if active else "deactivate"
        raise Forbidden(f"Not allowed to {word} image in status '{row['status']}'")
    status = "active" if active else "deactivated"
    if row["status"] != status:
        images.write(ctx.db, image_id, status=status)


def add_tag(ctx: Context, image_id: str, tag: str) -> None:
    """Give an image a tag. Raises TooLarge for one too many."""
    images.find_own(ctx, image_id)
    tags = images.tags_of(ctx.db, [image_id]).get(image_id, [])
    if tag not in tags:
        wire.check_tags([*tags, tag])
        _set_tags(ctx.db, image_id, [*tags, tag])
        images.write(ctx.db, image_id)


def drop_tag(ctx: Context, image_id: str, tag: str) -> None:
    """Take a tag from an image. Raises NotFound where it has none of that name."""
    images.find_own(ctx, image_id)
    if not ctx.db.execute(delete(image_tag).where(image_tag.c.image_id == image_id, image_tag.c.tag == tag)).rowcount:
        raise NotFound(f"Image {image_id} has no tag {tag}")
    images.write(ctx.db, image_id)


def _read(kind: str, body: bytes) -> list[Change]:
    version = MEDIA.get(kind.partition(";")[0].strip().lower())
    if version is None:
        raise UnsupportedMedia(f"The content type must be one of {', '.join(MEDIA)}.", headers={"accept-patch": ", ".join(MEDIA)})
    try:
        given = msgspec.json.decode(body, type=list[dict[str, Any]])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest("Request body must be a JSON array of operation objects.") from error
    return [_change(one, version) for one in given]


def _change(given: dict[str, Any], version: tuple[int, int]) -> Change:
    op: Any
    if version == (2, 0):
        named = [op for op in _OPERATIONS if op in given]
        if len(named) != 1:
            raise BadRequest(f"Operations must be one of {', '.join(_OPERATIONS)}, each with its path.")
        op, path = named[0], given[named[0]]
    else:
        op, path = given.get("op"), given.get("path")
    if op not in _OPERATIONS:
        raise BadRequest(f"Operations must be one of {', '.join(_OPERATIONS)}; got '{op}'.")
    if op != "remove" and "value" not in given:
        raise BadRequest(f"Operation \"{op}\" requires a member named \"value\".")
    if not isinstance(path, str) or not path.startswith("/") or path.endswith("/") or "//" in path:
        raise BadRequest(f"Invalid JSON pointer for this resource: '{path}'")
    parts = [part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/")]
    if len(parts) > (2 if parts[0] == "tags" else 1) and parts[0] not in wire.READ_ONLY:
        raise BadRequest(f"Invalid JSON pointer for this resource: '{path}'")
    return Change(op, parts[0], parts[1] if len(parts) > 1 else None, given.get("value"))


def _apply(one: Change, touched: dict[str, Any], own: dict[str, Any], tags: list[str]) -> None:
    if one.name in wire.READ_ONLY or one.name == "id":
        raise Forbidden(f"Attribute '{one.name}' is read-only.")
    if one.name in wire.RESERVED or one.name.startswith("os_glance_"):
        raise Forbidden(f"Attribute '{one.name}' is reserved.")
    if one.name == "tags":
        _apply_tags(one, tags)
    elif one.name in wire.BASE:
        if one.op == "remove":
            raise Forbidden(f"Property {one.name} may not be removed.")
        touched[one.name] = one.value
    elif one.op == "remove":
        if one.name not in own:
            raise Conflict(f"Property {one.name} does not exist.")
        del own[one.name]
    else:
        if one.op == "replace" and one.name not in own:
            raise Conflict(f"Property {one.name} does not exist.")
        if one.value is None and one.name in ("kernel_id", "ramdisk_id"):
            own.pop(one.name, None)
        else:
            own[one.name] = one.value


def _apply_tags(one: Change, tags: list[str]) -> None:
    if one.place is None:
        value = [] if one.op == "remove" else one.value
        if not isinstance(value, list) or not all(isinstance(tag, str) for tag in value):
            raise BadRequest("Attribute 'tags' must be a list of texts.")
        tags[:] = dict.fromkeys(value)
        return
    if one.op != "remove" and not isinstance(one.value, str):
        raise BadRequest("A tag must be a text.")
    if one.place == "-" and one.op == "add":
        tags.append(one.value)
        return
    top = len(tags) if one.op == "add" else len(tags) - 1
    if not one.place.isdecimal() or len(one.place) > 4 or int(one.place) > top:
        raise BadRequest(f"Invalid JSON pointer for this resource: '/tags/{one.place}'")
    place = int(one.place)
    if one.op == "add":
        tags.insert(place, one.value)
    elif one.op == "replace":
        tags[place] = one.value
    else:
        del tags[place]


def _check(ctx: Context, row: Any, values: dict[str, Any]) -> None:
    for name in _QUEUED_ONLY:
        if name in values and values[name] != row[name] and row["status"] != "queued":
            raise Forbidden(f"Attribute '{name}' can be replaced only for a queued image.")
    if "owner" in values and values["owner"] != row["owner"] and not ctx.caller.admin:
        raise Forbidden("Only an admin may change the owner of an image.")
    if values.get("visibility") not in (None, row["visibility"]):
        _may_show(ctx, values["visibility"])


def _may_show(ctx: Context, visibility: str) -> None:
    if visibility == "public" and not ctx.caller.admin:
        ctx.refuse("image:publicize_image")


def _set_properties(db: Connection, image_id: str, own: dict[str, str]) -> None:
    db.execute(delete(image_property).where(image_property.c.image_id == image_id))
    if own:
        db.execute(insert(image_property), [{"image_id": image_id, "name": name, "value": value} for name, value in own.items()])


def _set_tags(db: Connection, image_id: str, tags: list[str]) -> None:
    db.execute(delete(image_tag).where(image_tag.c.image_id == image_id))
    if tags:
        db.execute(insert(image_tag), [{"image_id": image_id, "tag": tag} for tag in dict.fromkeys(tags)])
