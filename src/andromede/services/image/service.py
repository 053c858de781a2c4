"""Image's face for the rest of the cloud: which image a server may boot from, and where its bytes are."""

from typing import Any

import msgspec

from andromede.core.context import Context, Parts
from andromede.core.errors import BadRequest, NotFound
from andromede.engine.model import Reconciler
from andromede.services.image import for_compute, images, operations, reconcile, snapshots

__all__ = ["KINDS", "Bootable", "bootable", "for_compute", "metadata_of", "reconcilers", "snapshots", "tags_of"]

KINDS = operations.KINDS
tags_of = images.tags_of
_BOOTS_AS = {"qcow2": "qcow2", "raw": "raw", "iso": "raw", "ami": "raw", "aki": "raw", "ari": "raw"}
_CONTAINERS = ("bare", "ovf", "ami", "aki", "ari")


ARCHIVE = "archive"


class Bootable(msgspec.Struct, kw_only=True):
    """An image as Compute needs it. Sizes in bytes, `min_disk` in GiB, `min_ram` in MiB.

    path: absolute; empty while the image is not active. format: `qcow2` or `raw`, or `archive`: of a root file system, for containers
    alone (Image calls that the container format docker). kernel, ramdisk: id, path, format and
    size of what the properties `kernel_id` and `ramdisk_id` name.
    """

    id: str
    name: str
    status: str
    path: str
    format: str
    size: int
    virtual_size: int | None
    min_disk: int
    min_ram: int
    properties: dict[str, str]
    kernel: dict[str, Any] | None = None
    ramdisk: dict[str, Any] | None = None


def bootable(ctx: Context, image_id: str) -> Bootable:
    """The image, whatever its status is.

    Raises NotFound where the caller sees no such image, BadRequest where it is of a format no host boots from, or where its
    kernel or ramdisk cannot be used.
    """
    row = images.find(ctx, image_id)
    properties = images.properties_of(ctx.db, [row["id"]]).get(row["id"], {})
    found = Bootable(
        id=row["id"], name=row["name"] or "", status=row["status"], path=_path(ctx, row), format=_format(row), size=row["size"] or 0,
        virtual_size=row["virtual_size"], min_disk=row["min_disk"], min_ram=row["min_ram"], properties=properties,
    )  # fmt: skip
    if kernel_id := properties.get("kernel_id"):
        found.kernel = _part(ctx, "kernel", kernel_id)
        if ramdisk_id := properties.get("ramdisk_id"):
            found.ramdisk = _part(ctx, "ramdisk", ramdisk_id)
    return found


def metadata_of(ctx: Context, image_id: str) -> dict[str, str]:
    """What a volume that is made from an image keeps of it: texts, the image's own properties among them. Raises NotFound."""
    row = images.find(ctx, image_id)
    facts = {
        "image_id": row["id"], "image_name": row["name"], "checksum": row["checksum"], "container_format": row["container_format"],
        "disk_format": row["disk_format"], "min_disk": row["min_disk"], "min_ram": row["min_ram"], "size": row["size"],
    }  # fmt: skip
    shown = {name: str(value) for name, value in facts.items() if value is not None}
    return images.properties_of(ctx.db, [row["id"]]).get(row["id"], {}) | shown


def reconcilers(parts: Parts) -> list[Reconciler]:
    """What keeps rows and files together."""
    return reconcile.reconcilers(parts)


def _path(ctx: Context, row: Any) -> str:
    return str(ctx.parts.images.path(row["id"], row["blob"])) if row["blob"] else ""


def _format(row: Any) -> str:
    known = _BOOTS_AS.get(row["disk_format"])
    if (row["disk_format"], row["container_format"]) == ("raw", "docker"):
        return ARCHIVE
    if row["disk_format"] is not None and (known is None or row["container_format"] not in _CONTAINERS):
        raise BadRequest(
            f"Image {row['id']} has disk_format {row['disk_format']} in container_format {row['container_format']}, which servers cannot "
            "boot from. Import it (`openstack image create --import …`): an import converts vmdk, vdi, vhd and vhdx to qcow2."
        )
    return known or "raw"


def _part(ctx: Context, what: str, image_id: str) -> dict[str, Any]:
    try:
        row = images.find(ctx, image_id)
    except NotFound as error:
        raise BadRequest(f"The {what} image {image_id} could not be found.") from error
    if row["status"] != "active":
        raise BadRequest(f"The {what} image {image_id} is not active.")
    return {"id": row["id"], "path": _path(ctx, row), "format": _format(row), "size": row["size"]}
