"""Routes of the version documents, schemas, and what this service can do."""

from typing import Any

from andromede.core.context import Context
from andromede.core.errors import Forbidden, NotFound
from andromede.services.image import imports, schemas
from andromede.services.image.api import admin, api, member, public, reader, root, user
from andromede.services.image.images import find_own
from andromede.services.quota import service as quota

CURRENT = "2.15"
_SUPPORTED = ("2.13", "2.12", "2.11", "2.10", "2.9", "2.8", "2.7", "2.6", "2.5", "2.4", "2.3", "2.2", "2.1", "2.0")
_STORE = {"id": imports.STORE, "description": "Files of the cloud", "default": "true"}


def _versions(ctx: Context) -> dict[str, Any]:
    links = [{"rel": "self", "href": f"{ctx.root}/image/v2/"}]
    return {
        "versions": [
            {"id": f"v{number}", "status": "CURRENT" if number == CURRENT else "SUPPORTED", "links": links}
            for number in (CURRENT, *_SUPPORTED)
        ]
    }


@root.get("", policy=public("versions"), tx="none", status=300)
def choose_version(ctx: Context) -> dict[str, Any]:
    """The versions of Image, as a choice. 2.14, 2.16 and 2.17 (caches, locations) are not served."""
    return _versions(ctx)


@root.get("/versions", policy=public("versions"), tx="none")
def list_versions(ctx: Context) -> dict[str, Any]:
    """The versions of Image."""
    return _versions(ctx)


@api.get("", policy=public("versions"), tx="none", status=300)
def choose_minor_version(ctx: Context) -> dict[str, Any]:
    """The versions of Image, for clients that look below `/v2`."""
    return _versions(ctx)


@api.get("/schemas/{name}", policy=user("schemas:show"), tx="none")
def show_schema(_ctx: Context, name: str) -> dict[str, Any]:
    """The JSON schema of image, images, member, members, task or tasks. 404 for any other."""
    if name not in schemas.ALL:
        raise NotFound(f"There is no schema {name}.")
    return schemas.ALL[name]


@api.get("/info/import", policy=reader("info:import"), tx="none")
def show_import(_ctx: Context) -> dict[str, Any]:
    """Which import methods there are."""
    return {"import-methods": {"description": "Import methods available.", "type": "array", "value": list(imports.METHODS)}}


@api.get("/info/stores", policy=reader("info:stores"), tx="none")
def show_stores(_ctx: Context) -> dict[str, Any]:
    """Where images are kept: one store."""
    return {"stores": [_STORE]}


@api.get("/info/stores/detail", policy=admin("info:stores:detail"), tx="none")
def show_stores_in_full(_ctx: Context) -> dict[str, Any]:
    """The same with its kind."""
    return {"stores": [_STORE | {"type": "file", "weight": 0, "properties": {}}]}


@api.get("/info/usage", policy=reader("info:usage"))
def show_usage(ctx: Context) -> dict[str, Any]:
    """The project's quotas of images, and how much of them is used. Sizes in MiB."""
    used, limits = quota.usage(ctx.db, ctx.project_id, "image"), quota.limits(ctx.db, ctx.project_id, "image")
    return {"usage": {name: {"usage": used[name], "limit": limits[name]} for name in used}}


@api.delete("/stores/{store}/{image_id}", policy=member("stores:delete"))
def delete_from_store(ctx: Context, store: str, image_id: str) -> None:
    """Refused: an image's only data cannot be taken from it. 403; 404 where it is not in that store."""
    row = find_own(ctx, image_id)
    if store != imports.STORE or row["blob"] is None:
        raise NotFound(f"Image {image_id} is not in store {store}.")
    raise Forbidden("Cannot delete image data from the only store containing it. Consider deleting the image instead.")
