"""What a new server boots from: an image (on a disk of its own), or a volume that is there or is made. Source: Compute API v2.1."""

from typing import Any

import msgspec

from andromede.core.context import Context
from andromede.core.errors import BadRequest, NotFound
from andromede.services.compute import containers, devices, machine, volume_booted
from andromede.services.compute.devices import Device
from andromede.services.compute.wire import NewServer
from andromede.services.image import service as image


def source(ctx: Context, wanted: NewServer, flavor: Any) -> tuple[dict[str, Any], list[Device]]:
    """What a server boots from, as it is kept with the server, and all the disks asked for.

    Raises BadRequest for what cannot be used, or not with the flavor.
    """
    named = (wanted.image or "").rstrip("/").rpartition("/")[2]
    beside = wanted.block_devices or wanted.old_block_devices or []
    of_image = volume_booted.named_by(_bootable(ctx, named, flavor).properties, beside) if named else []
    asked = devices.asked(wanted, of_image)
    local = next((one for one in asked if one.local), None)
    if local is not None and local.source != "image":
        raise BadRequest("Block Device Mapping is Invalid: a server's own disk is made from an image.")
    if named and local is not None and named != local.uuid:
        raise BadRequest("Invalid input for field block_device_mapping_v2[0].uuid: it is not the image of imageRef.")
    root = devices.root_of(ctx, asked) if (not named or of_image) and local is None else None
    if root is None:
        image_id = named or (local.uuid if local is not None else "")
        if not image_id:
            raise BadRequest("Invalid imageRef provided.")
        found = find(ctx, image_id, flavor)
        if any(not one.local for one in asked):
            containers.no_volume(found["format"])
        return found, asked
    device, _made, properties = root
    if device.source == "image":
        made_from = _bootable(ctx, device.uuid or "", flavor)
        containers.no_volume(made_from.format)
        properties = image.metadata_of(ctx, made_from.id)
    if flavor.ram < int(properties.get("min_ram", 0) or 0):
        raise BadRequest("Flavor's memory is too small for requested image.")
    machine.check(properties, flavor.extra_specs)
    return {"id": named or None, "name": "", "path": "", "format": "raw", "size": 0, "properties": properties, "from_volume": True}, asked


def find(ctx: Context, image_id: str, flavor: Any, *, own: bool = True) -> dict[str, Any]:
    """An image, as it is kept with a server of this flavor that is made from it. Raises BadRequest.

    own: whether it becomes the server's own disk, which is as large as the flavor says.
    """
    found = _bootable(ctx, image_id, flavor)
    if not found.path:
        raise BadRequest(f"Image {image_id} has no data: no server can be made from it alone.")
    if own and flavor.disk and flavor.disk < found.min_disk:
        raise BadRequest(f"The size of the flavor's disk is too small for the requested image: its minimum is {found.min_disk} GB.")
    if own and flavor.disk and flavor.disk << 30 < (found.virtual_size or found.size or 0):
        raise BadRequest("Flavor's disk is too small for requested image.")
    machine.check(found.properties, flavor.extra_specs)
    containers.check(ctx, found.properties, found.format, flavor.extra_specs)
    kept: dict[str, Any] = msgspec.to_builtins(found)
    return kept


def _bootable(ctx: Context, image_id: str, flavor: Any) -> image.Bootable:
    try:
        found = image.bootable(ctx, image_id)
    except NotFound as error:
        raise BadRequest(f"Can not find requested image: {image_id}") from error
    if found.status != "active":
        raise BadRequest(f"Image {image_id} is not active.")
    if flavor.ram < found.min_ram:
        raise BadRequest("Flavor's memory is too small for requested image.")
    return found
