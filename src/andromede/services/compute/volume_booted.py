"""What is other about a server that boots from a volume: it has no disk of its own, so its images name snapshots and hold no data.

Source: Compute API v2.1 and the microversions 2.87 (rescue) and 2.93 (rebuild).
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from andromede.core.context import Context
from andromede.core.errors import BadRequest
from andromede.services.compute import devices, servers
from andromede.services.compute.wire import BlockDevice, OldBlockDevice
from andromede.services.image.service import snapshots as image
from andromede.services.volume import service as volume

_OURS = ("block_device_mapping", "bdm_v2", "root_device_name")
_NO_MAPPING = "The image's property block_device_mapping is not a list of block devices."


def is_one(row: Any) -> bool:
    """Whether a server boots from a volume. row: a mapping."""
    return bool(row["image"].get("from_volume"))


def root_of(ctx: Context, row: Any) -> Any:
    """The row of the volume that it boots from."""
    return next(one for one in devices.of_servers(ctx.db, [row["id"]])[row["id"]] if one.boot_index == 0)


def create_image(ctx: Context, row: Any, name: str, given: Mapping[str, str], properties: Mapping[str, str]) -> str:
    """Snapshots of all its volumes, and an image that names them; its id. properties: what a server's image inherits.

    Raises BadRequest where a volume cannot be snapshotted now, QuotaExceeded.
    """
    held = [one for one in devices.of_servers(ctx.db, [row["id"]]).get(row["id"], []) if not one.leaving]
    mapping = [_mapped(ctx, one, volume.snapshot_of(ctx, one.volume_id, f"snapshot for {name}")) for one in held]
    facts = {"block_device_mapping": msgspec.json.encode(mapping).decode(), "bdm_v2": "True", "root_device_name": held[0].device_name}
    source = row["image"].get("properties", {})
    own = {key: value for key, value in {**properties, **given}.items() if key not in _OURS}
    min_ram = int(source.get("min_ram", 0) or 0)
    id_ = image.record(ctx, name, own | facts, min_disk=0, min_ram=min_ram)
    servers.finished(ctx, row["id"], "createImage")
    return id_


def _mapped(ctx: Context, one: Any, snapshot_id: str) -> dict[str, Any]:
    """A device as an image names it."""
    return {
        "source_type": "snapshot", "destination_type": "volume", "snapshot_id": snapshot_id, "volume_id": None, "image_id": None,
        "volume_size": volume.look(ctx, one.volume_id).size, "boot_index": one.boot_index if one.boot_index >= 0 else None,
        "device_name": one.device_name, "device_type": "disk", "disk_bus": one.bus, "guest_format": None, "no_device": None,
        "delete_on_termination": one.delete_on_termination, "tag": one.tag, "volume_type": None,
    }  # fmt: skip


def named_by(properties: Mapping[str, str], asked: list[BlockDevice] | list[OldBlockDevice]) -> list[BlockDevice]:
    """The devices that an image names; where a request names one at the same place, that one holds. Raises BadRequest."""
    text = properties.get("block_device_mapping")
    if not text:
        return []
    try:
        found = msgspec.json.decode(text, type=list[dict[str, Any]])
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest(_NO_MAPPING) from error
    taken = {_short(one.device_name) for one in asked if one.device_name}
    devices_ = [_device(one) for one in found]
    return [one for one in devices_ if not one.device_name or _short(one.device_name) not in taken]


def _device(given: dict[str, Any]) -> BlockDevice:
    kind = given.get("source_type") or next((what for what in ("snapshot", "volume", "image") if given.get(f"{what}_id")), "blank")
    known = {field.name for field in msgspec.structs.fields(BlockDevice)} - {"uuid", "source_type"}
    values = {name: value for name, value in given.items() if name in known and value is not None}
    try:
        return msgspec.convert({**values, "source_type": kind, "uuid": given.get(f"{kind}_id")}, BlockDevice)
    except msgspec.ValidationError as error:
        raise BadRequest(_NO_MAPPING) from error


def _short(name: str) -> str:
    return name.removeprefix("/dev/")


def rebuilt(ctx: Context, row: Any, image_id: str) -> dict[str, Any]:
    """What a rebuild has to do with the volume that a server boots from: nothing before 2.93; from then on it is made anew.

    Raises BadRequest for another image before 2.93, and where the volume cannot be made anew.
    """
    root = root_of(ctx, row)
    if ctx.at_least("2.93"):
        return {"volume": root.volume_id, "reimage": volume.reimaging(ctx, root.volume_id, image_id)}
    made_from = (volume.look(ctx, root.volume_id).image or {}).get("image_id")
    if made_from != image_id:
        reason = "Unable to rebuild with a different image for a volume-backed server."
        raise BadRequest(f"Image {image_id} is unacceptable: {reason}")
    return {}


def check_rescue(ctx: Context, row: Any, *, stable: bool) -> None:
    """Raise BadRequest unless a server can be rescued with an image that is plugged in beside its volume (2.87)."""
    if not (stable and ctx.at_least("2.87")):
        raise BadRequest(f"Instance {row['id']} cannot be rescued: Cannot rescue a volume-backed instance")
