"""Routes of volumes: create, list, show, change, delete, their metadata, and a summary. Source: Block Storage API v3."""

import ast
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import and_, func, select, type_coerce
from sqlalchemy.types import Text

from andromede.core.context import Context
from andromede.core.errors import BadRequest, NotFound
from andromede.http.policy import Level, Policy
from andromede.http.response import Response
from andromede.http.versions import show
from andromede.http.wire import Body
from andromede.services.volume import listing, view, volumes, waiting
from andromede.services.volume.api import VERSIONS, Metadata, Name, api, clean, everyone, member, reader, root, truth
from andromede.services.volume.tables import volume, volume_type
from andromede.services.volume.volumes import CreateVolume, find

_ALL, _ONE = "/volumes", "/volumes/{volume_id}"
_COLUMNS = {
    "name": volume.c.name, "display_name": volume.c.name, "status": volume.c.status, "description": volume.c.description,
    "availability_zone": volume.c.zone, "bootable": volume.c.bootable, "multiattach": volume.c.multiattach, "size": volume.c.size,
    "user_id": volume.c.user_id, "snapshot_id": volume.c.snapshot_id, "source_volid": volume.c.source_id, "id": volume.c.id,
    "group_id": volume.c.group_id, "migration_status": volume.c.migration_status, "consumes_quota": volume.c.counted,
    "volume_type_id": volume.c.type_id, "encryption_key_id": volume.c.key_id,
}  # fmt: skip
_SORTABLE = {
    "name": volume.c.name, "display_name": volume.c.name, "size": volume.c.size, "status": volume.c.status, "bootable": volume.c.bootable,
    "availability_zone": volume.c.zone, "host": volume.c.host, "volume_type_id": volume.c.type_id, "user_id": volume.c.user_id,
    "project_id": volume.c.project_id, "updated_at": volume.c.updated, "launched_at": volume.c.launched,
}  # fmt: skip


def _version(ctx: Context) -> dict[str, Any]:
    return {
        "id": "v3.0", "status": "CURRENT", "version": show(VERSIONS.highest), "min_version": show(VERSIONS.lowest),
        "updated": "2024-01-01T00:00:00Z", "links": [{"rel": "self", "href": f"{ctx.root}/volume/v3/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.volume+json;version=3"}],
    }  # fmt: skip


@root.get("", policy=Policy("volume:versions", Level.PUBLIC), tx="none")
def list_versions(ctx: Context) -> Response:
    """The versions of Block Storage."""
    return Response({"versions": [_version(ctx)]}, status=300)


@api.get("", policy=Policy("volume:version", Level.PUBLIC), tx="none")
def show_version(ctx: Context) -> dict[str, Any]:
    """Version 3 and its microversions."""
    return {"versions": [_version(ctx)]}


def dict_of(text: str, name: str) -> dict[str, str]:
    """An object of texts in a query, written as JSON or as Python writes a dict. Raises BadRequest."""
    try:
        wanted = msgspec.json.decode(text.encode(), type=dict[str, str])
    except msgspec.MsgspecError:
        try:
            wanted = ast.literal_eval(text[:4096])
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError) as error:
            raise BadRequest(f"Invalid input for field/attribute {name}. It must be an object of texts.") from error
    if not isinstance(wanted, dict):
        raise BadRequest(f"Invalid input for field/attribute {name}. It must be an object of texts.")
    return {str(key): str(value) for key, value in wanted.items()}


def by_metadata(column: Any) -> Any:
    """A filter by metadata."""

    def condition(text: str) -> Any:
        pairs = [msgspec.json.encode({key: value}).decode()[1:-1] for key, value in dict_of(text, "metadata").items()]
        return and_(column.is_not(None), *(column.contains(pair, autoescape=True) for pair in pairs))

    return condition


def _by_type(text: str) -> Any:
    return volume.c.type_id.in_(select(volume_type.c.id).where((volume_type.c.name == text) | (volume_type.c.id == text)))


def _by_host(text: str) -> Any:
    return volume.c.host == text.partition("@")[0]


def _page(ctx: Context, path: str) -> listing.Listed:
    special = {
        "metadata": by_metadata(type_coerce(volume.c.metadata, Text)), "glance_metadata": by_metadata(type_coerce(volume.c.image, Text)),
        "volume_type": _by_type, "host": _by_host,
    }  # fmt: skip
    return listing.page(ctx, select(volume), volume, "volumes", path=path, columns=_COLUMNS, special=special, sortable=_SORTABLE)


@api.get(_ALL, policy=reader("volumes:list"))
def list_volumes(ctx: Context) -> dict[str, Any]:
    """Ids and names, a page at a time."""
    found = _page(ctx, "volumes")
    return {"volumes": [view.brief(ctx, row) for row in found.rows], **found.more}


@api.get(_ALL + "/detail", policy=reader("volumes:detail"))
def list_volumes_in_full(ctx: Context) -> dict[str, Any]:
    """Volumes in full, a page at a time."""
    found = _page(ctx, "volumes/detail")
    return {"volumes": view.full(ctx, found.rows), **found.more}


@api.get(_ALL + "/summary", policy=reader("volumes:summary"), versions=("3.12", "3.70"))
def summary(ctx: Context) -> dict[str, Any]:
    """How many volumes there are, and how large they are together."""
    mine = () if everyone(ctx) else (volume.c.project_id == ctx.project_id,)
    row = ctx.db.execute(select(func.count(), func.coalesce(func.sum(volume.c.size), 0)).where(*mine)).one()
    out: dict[str, Any] = {"total_count": row[0], "total_size": int(row[1])}
    if ctx.at_least("3.36"):
        found: dict[str, list[str]] = {}
        for one in ctx.db.scalars(select(volume.c.metadata).where(*mine)):
            for key, value in one.items():
                if value not in found.setdefault(key, []):
                    found[key].append(value)
        out["metadata"] = found
    return {"volume-summary": out}


@api.post(_ALL, status=202, policy=member("volumes:create"), quota=("volumes", "gigabytes"))
def create_volume(ctx: Context, body: CreateVolume) -> dict[str, Any]:
    """Create a volume of `size` GiB from nothing, a snapshot, another volume, an image or a backup; it is `available` when it can be attached.

    Errors: 400 a source or a size that cannot be used; 404 a source or a type that is not there; 413 over a quota.
    """
    id_ = volumes.create(ctx, body)
    return {"volume": view.created(ctx, find(ctx, id_))}


@api.get(_ONE, policy=reader("volumes:show"))
def show_volume(ctx: Context, volume_id: str) -> dict[str, Any]:
    """One volume. 404 where the caller's project has none of that id."""
    return {"volume": view.full(ctx, [find(ctx, volume_id)])[0]}


class Change(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What can be changed of a volume or a snapshot."""

    name: Name | None | UnsetType = UNSET
    display_name: Name | None | UnsetType = UNSET
    description: str | None | UnsetType = UNSET
    display_description: str | None | UnsetType = UNSET
    metadata: Metadata | None | UnsetType = UNSET

    def values(self) -> dict[str, Any]:
        """The columns to write. Raises BadRequest where there are none."""
        out: dict[str, Any] = {}
        older = (("name", self.display_name), ("description", self.display_description))
        for field_name, value in (*older, ("name", self.name), ("description", self.description)):
            if value is not UNSET:
                out[field_name] = clean(value, field_name)
        if self.metadata is not UNSET:
            out["metadata"] = self.metadata or {}
        if not out:
            raise BadRequest("Invalid input: at least one of name, description and metadata must be there.")
        return out


class UpdateVolume(Body):
    """`PUT /volumes/{id}`."""

    volume: Change


@api.put(_ONE, policy=member("volumes:update"))
def update_volume(ctx: Context, volume_id: str, body: UpdateVolume) -> dict[str, Any]:
    """Rename a volume, or change its description and metadata."""
    row = find(ctx, volume_id)
    waiting.write(ctx.db, row["id"], **body.volume.values())
    return {"volume": view.created(ctx, find(ctx, volume_id))}


@api.delete(_ONE, policy=member("volumes:delete"), status=202)
def delete_volume(ctx: Context, volume_id: str) -> None:
    """Delete a volume that is not in use; `cascade` deletes its snapshots too, `force` (admins, 3.23) ignores its state."""
    row = find(ctx, volume_id)
    cascade = truth(ctx.query.get("cascade", "false"), "cascade")
    force = ctx.at_least("3.23") and truth(ctx.query.get("force", "false"), "force")
    if force and not ctx.caller.admin:
        ctx.refuse("volume:volumes:force_delete")
    volumes.remove(ctx, row, cascade=cascade, force=force)


# metadata


class MetadataBody(msgspec.Struct, forbid_unknown_fields=True):
    """`{"metadata": …}`."""

    metadata: Metadata


class MetaBody(msgspec.Struct, forbid_unknown_fields=True):
    """`{"meta": {key: value}}`."""

    meta: Metadata


@api.get(_ONE + "/metadata", policy=reader("volume-metadata:list"))
def list_metadata(ctx: Context, volume_id: str) -> dict[str, Any]:
    """A volume's metadata."""
    return {"metadata": find(ctx, volume_id)["metadata"]}


@api.post(_ONE + "/metadata", policy=member("volume-metadata:create"))
def add_metadata(ctx: Context, volume_id: str, body: MetadataBody) -> dict[str, Any]:
    """Add to it, or change what is there."""
    row = find(ctx, volume_id)
    after = row["metadata"] | body.metadata
    waiting.write(ctx.db, row["id"], metadata=after)
    return {"metadata": after}


@api.put(_ONE + "/metadata", policy=member("volume-metadata:update_all"))
def replace_metadata(ctx: Context, volume_id: str, body: MetadataBody) -> dict[str, Any]:
    """Replace all of it."""
    waiting.write(ctx.db, find(ctx, volume_id)["id"], metadata=body.metadata)
    return {"metadata": body.metadata}


@api.get(_ONE + "/metadata/{key}", policy=reader("volume-metadata:show"))
def show_metadata(ctx: Context, volume_id: str, key: str) -> dict[str, Any]:
    """One item."""
    values = find(ctx, volume_id)["metadata"]
    if key not in values:
        raise NotFound(f"Volume {volume_id} has no metadata with key {key}.")
    return {"meta": {key: values[key]}}


@api.put(_ONE + "/metadata/{key}", policy=member("volume-metadata:update"))
def set_metadata_item(ctx: Context, volume_id: str, key: str, body: MetaBody) -> dict[str, Any]:
    """Set one item."""
    row = find(ctx, volume_id)
    if list(body.meta) != [key]:
        raise BadRequest("Request body and URI mismatch")
    waiting.write(ctx.db, row["id"], metadata=row["metadata"] | body.meta)
    return {"meta": body.meta}


@api.delete(_ONE + "/metadata/{key}", policy=member("volume-metadata:delete"), status=200)
def delete_metadata(ctx: Context, volume_id: str, key: str) -> Response:
    """Remove one item."""
    row = find(ctx, volume_id)
    if key not in row["metadata"]:
        raise NotFound(f"Volume {volume_id} has no metadata with key {key}.")
    waiting.write(ctx.db, row["id"], metadata={name: value for name, value in row["metadata"].items() if name != key})
    return Response(status=200)


@api.get(_ONE + "/encryption", policy=reader("volume-encryption:show"))
def show_encryption(ctx: Context, volume_id: str) -> dict[str, Any]:
    """How a volume is encrypted; nothing where it is not."""
    row = find(ctx, volume_id)
    return _encryption(ctx, row)


@api.get(_ONE + "/encryption/{key}", policy=reader("volume-encryption:show_item"))
def show_encryption_item(ctx: Context, volume_id: str, key: str) -> dict[str, Any]:
    """One item of it."""
    values = _encryption(ctx, find(ctx, volume_id))
    if key not in values:
        raise NotFound(f"Volume {volume_id} has no encryption with key {key}.")
    return {key: values[key]}


def _encryption(ctx: Context, row: Any) -> dict[str, Any]:
    if row["key_id"] is None:
        return {"encryption_key_id": None}
    kept = ctx.db.scalar(select(volume_type.c.encryption).where(volume_type.c.id == row["type_id"])) or {}
    return {"encryption_key_id": row["key_id"]} | {name: kept.get(name) for name in ("provider", "cipher", "key_size", "control_location")}
