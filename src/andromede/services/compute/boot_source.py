"""What a new server boots from: an image, named by `imageRef` or as the one entry of `block_device_mapping_v2`. Source: Compute API v2.1."""

from typing import Any

import msgspec

from andromede.core.context import Context
from andromede.core.errors import BadRequest, NotFound
from andromede.services.compute import machine
from andromede.services.compute.wire import BlockDevice, NewServer
from andromede.services.image import service as image


def source(ctx: Context, wanted: NewServer, flavor: Any) -> dict[str, Any]:
    """The image to boot from, as it is kept with the server. Raises BadRequest for one that cannot be used with the flavor."""
    return find(ctx, _image_id(wanted), flavor)


def find(ctx: Context, image_id: str, flavor: Any) -> dict[str, Any]:
    """An image, as it is kept with a server of this flavor that is made from it. Raises BadRequest."""
    try:
        found = image.bootable(ctx, image_id)
    except NotFound as error:
        raise BadRequest(f"Can not find requested image: {image_id}") from error
    if found.status != "active":
        raise BadRequest(f"Image {image_id} is not active.")
    if flavor.ram < found.min_ram:
        raise BadRequest("Flavor's memory is too small for requested image.")
    if flavor.disk and flavor.disk < found.min_disk:
        raise BadRequest(f"The size of the flavor's disk is too small for the requested image: its minimum is {found.min_disk} GB.")
    if flavor.disk and flavor.disk << 30 < (found.virtual_size or found.size or 0):
        raise BadRequest("Flavor's disk is too small for requested image.")
    machine.check(found.properties, flavor.extra_specs)
    return msgspec.to_builtins(found)  # type: ignore[no-any-return]


def _image_id(wanted: NewServer) -> str:
    named = (wanted.image or "").rstrip("/").rpartition("/")[2]
    devices = wanted.block_devices or []
    for number, device in enumerate(devices):
        if not _is_disk_from_image(device):
            raise BadRequest(
                f"Invalid input for field block_device_mapping_v2[{number}]: a server has one disk, made from an image "
                "(source_type image, destination_type local, boot_index 0)."
            )
    if len(devices) > 1:
        raise BadRequest("Invalid input for field block_device_mapping_v2: a server has one disk.")
    mapped = devices[0].uuid if devices else None
    if named and mapped and named != mapped:
        raise BadRequest("Invalid input for field block_device_mapping_v2[0].uuid: it is not the image of imageRef.")
    if not (named or mapped):
        raise BadRequest("Invalid imageRef provided.")
    return named or str(mapped)


def _is_disk_from_image(device: BlockDevice) -> bool:
    kind = (device.source_type, device.destination_type, str(device.boot_index))
    return kind == ("image", "local", "0") and device.uuid is not None and not device.no_device
