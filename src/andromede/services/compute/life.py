"""The rules of a server's later life: what is checked before it is resized, rebuilt, rescued, shelved or made an image of."""

import base64
import binascii
import secrets
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import msgspec
from msgspec import UNSET

from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, NotFound
from andromede.engine.model import Kind
from andromede.services.compute import boot_source, containers, devices, hosts, machine, operations, servers, state, volume_booted
from andromede.services.compute.flavors import find_flavor, flavor_in_server
from andromede.services.compute.operations import moves
from andromede.services.compute.wire import CreateBackup, CreateImage, Rebuild, Rescue, Resize
from andromede.services.image import service as image
from andromede.services.volume import service as volume

_INHERITED = ("architecture", "hypervisor_type", "os_", "hw_", "image_original_user", "min_", "auto_disk_config")


def mine(ctx: Context, server_id: str, action: str, *allowed: str) -> Any:
    """A server that the caller may change, in one of these vm states and with nothing under way. Raises NotFound, Conflict."""
    row = servers.find(ctx, server_id)
    state.unlocked(row, admin=ctx.caller.admin)
    containers.able(row, action)
    state.require(row, action, *allowed)
    return row


def plain(row: Any) -> Any:
    """A row whose columns are attributes, of one whose columns are keys."""
    return SimpleNamespace(**row)


def submit(ctx: Context, row: Any, kind: Kind, action: str, task: str, memo: Mapping[str, Any] | None = None, **values: Any) -> None:
    """Begin an action: the record of it, the task, the operation."""
    servers.begin(ctx, row["id"], action)
    operations.write(ctx.db, row["id"], task_state=task, **values)
    ctx.parts.operations.submit(
        ctx.db, kind, row["id"], project_id=row["project_id"], request_id=ctx.request_id, memo={"was": row["vm_state"], **(memo or {})}
    )


def power(ctx: Context, row: Any, action: str, task: str, **wish: Any) -> None:
    """Wish for another power state, and follow until the host has it so."""
    submit(ctx, row, operations.POWER, action, task, **wish)
    hosts.changed(ctx.db, ctx.parts.operations, row["host"])


def resize(ctx: Context, server_id: str, wanted: Resize) -> None:
    """To another flavor. Raises BadRequest for one that cannot be, QuotaExceeded."""
    row = mine(ctx, server_id, "resize", "active", "stopped")
    flavor = find_flavor(ctx, wanted.flavor)
    ctx.take(row["project_id"], cores=max(0, flavor.vcpus - row["vcpus"]), ram=max(0, flavor.ram - row["ram"]))
    if flavor.id == row["flavor_id"]:
        raise BadRequest("When resizing, instances must change flavor!")
    booted = volume_booted.is_one(row)
    if not booted and flavor.disk < row["disk"]:
        raise BadRequest(f"Flavor {flavor.id} has a smaller disk than the server: a disk cannot be made smaller.")
    if flavor.ram < row["image"].get("min_ram", 0):
        raise BadRequest("Flavor's memory is too small for requested image.")
    machine.check(row["image"].get("properties", {}), flavor.extra_specs)
    containers.check(ctx, row["image"].get("properties", {}), row["image"].get("format", ""), flavor.extra_specs)
    migration = moves.begin(ctx.db, row, "resize", user_id=ctx.caller.user_id, new_flavor=flavor.id)
    disk_config = {} if wanted.disk_config is UNSET else {"disk_config": _disk_config(wanted.disk_config)}
    held = [one.volume_id for one in devices.of_servers(ctx.db, [server_id]).get(server_id, [])]
    memo = {
        "flavor": flavor_in_server(flavor), "migration": migration, "disk": 0 if booted else flavor.disk,
        "volumes": not volume.immovable(ctx.db, held), "wanted": row["host"] if machine.stays(row) else None,
    }  # fmt: skip
    submit(ctx, row, operations.RESIZE, "resize", "resize_prep", memo, **disk_config)


def _disk_config(text: str) -> str:
    if text not in ("AUTO", "MANUAL"):
        raise BadRequest("OS-DCF:diskConfig must be either 'MANUAL' or 'AUTO'.")
    return text


def rebuild(ctx: Context, server_id: str, wanted: Rebuild) -> tuple[Any, str]:
    """From an image again, perhaps with other facts; the server's row, and its admin password. Raises BadRequest."""
    row = mine(ctx, server_id, "rebuild", "active", "stopped", "error")
    if wanted.preserve_ephemeral is not UNSET and wanted.preserve_ephemeral:
        raise BadRequest("Invalid input for field/attribute preserve_ephemeral. Servers here have no disk that could be kept.")
    if wanted.trusted is not UNSET and wanted.trusted:
        raise BadRequest("Invalid input for field/attribute trusted_image_certificates. Signed images are not served here.")
    if row["host"] is None:
        raise Conflict(f"Instance {server_id} has no host: it was never built.")
    servers.check_address(wanted.access_ipv4, 4, "accessIPv4")
    servers.check_address(wanted.access_ipv6, 6, "accessIPv6")
    flavor = plain(row["flavor"])
    source = boot_source.find(ctx, wanted.image.rstrip("/").rpartition("/")[2], flavor, own=not volume_booted.is_one(row))
    facts: dict[str, Any] = {}
    for name in ("name", "metadata", "description", "hostname", "user_data"):
        if (value := getattr(wanted, name)) is not UNSET:
            facts[name] = value
    if "name" in facts and not facts["name"].strip():
        raise BadRequest("Invalid input for field/attribute name. The name must not be blank.")
    if "hostname" in facts:
        servers.check_hostname(ctx, facts["hostname"])
    if facts.get("user_data"):
        _check_base64(facts["user_data"], "user_data")
    for name in ("access_ipv4", "access_ipv6"):
        if (value := getattr(wanted, name)) is not UNSET:
            facts[name] = servers.canonical(value)
    if wanted.disk_config is not UNSET:
        facts["disk_config"] = _disk_config(wanted.disk_config)
    if wanted.key_name is not UNSET:
        facts["key_name"], facts["public_key"] = servers.key_of(ctx, wanted.key_name, row["user_id"])
    if wanted.personality is not UNSET:
        for one in wanted.personality:
            _check_base64(one.contents, f"Personality content for {one.path}")
        facts["files"] = {one.path: one.contents for one in wanted.personality}
    values: dict[str, Any] = {"soft": False, "power": "stopped" if row["vm_state"] == "stopped" else "running"}
    memo: dict[str, Any] = {"values": values, "boots": row["boots"] + 1, "task": "rebuilding"}
    if volume_booted.is_one(row):
        memo |= volume_booted.rebuilt(ctx, row, source["id"])
        if "reimage" in memo:
            kept = {**row["image"], "properties": memo["reimage"]["image"]}
            values |= {"image": kept, "image_id": None}
    else:
        values |= {"image": source, "image_id": source["id"]}
    operations.write(ctx.db, row["id"], **facts)
    submit(ctx, row, operations.REBUILD, "rebuild", "rebuilding", memo)
    shown = dict(servers.find(ctx, server_id)) | {name: values[name] for name in ("image_id", "image") if name in values}
    return shown, wanted.admin_pass or secrets.token_urlsafe(9)


def _check_base64(text: str, field: str) -> None:
    try:
        base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(f"{field} needs to be valid base 64.") from error


def rescue(ctx: Context, server_id: str, wanted: Rescue | None) -> str:
    """Boot from another image, with its own disk beside it; the admin password. Raises BadRequest."""
    row = mine(ctx, server_id, "rescue", "active", "stopped", "error")
    if row["host"] is None:
        raise Conflict(f"Instance {server_id} has no host: it was never built.")
    booted = volume_booted.is_one(row)
    image_id = wanted.image if wanted is not None and wanted.image is not UNSET else None if booted else row["image_id"]
    if booted and image_id is None:
        volume_booted.check_rescue(ctx, row, stable=False)
    if image_id is None:
        raise BadRequest(f"Instance {server_id} cannot be rescued: it was made of no image, so rescue_image_ref must name one.")
    try:
        found = image.bootable(ctx, image_id.rstrip("/").rpartition("/")[2])
    except NotFound as error:
        raise BadRequest(f"Can not find requested image: {image_id}") from error
    if found.status != "active":
        raise BadRequest(f"Image {image_id} is not active.")
    machine.check(found.properties, {})
    own, given = row["image"].get("properties", {}), found.properties
    stable = "hw_rescue_device" in given or "hw_rescue_bus" in given
    if booted:
        volume_booted.check_rescue(ctx, row, stable=stable)
    cdrom = given.get("hw_rescue_device") == "cdrom"
    bus = given.get("hw_rescue_bus") or ("sata" if cdrom else own.get("hw_disk_bus", "virtio"))
    if cdrom and bus in ("virtio", "usb"):
        raise BadRequest(f"The rescue image's property hw_rescue_bus is '{bus}', which has no CD-ROMs here.")
    kept = {"image": msgspec.to_builtins(found), "stable": stable, "cdrom": cdrom, "bus": bus}
    memo = {"values": {"rescue": kept, "soft": False}, "boots": row["boots"] + 1, "task": "rescuing"}
    submit(ctx, row, operations.RESCUE, "rescue", "rescuing", memo)
    return (wanted.admin_pass if wanted is not None else None) or secrets.token_urlsafe(9)


def unrescue(ctx: Context, server_id: str) -> None:
    """Boot from its own disk again."""
    row = mine(ctx, server_id, "unrescue", "rescued")
    memo = {"values": {"soft": False}, "boots": row["boots"] + 1, "task": "unrescuing"}
    submit(ctx, row, operations.UNRESCUE, "unrescue", "unrescuing", memo)


def _properties(ctx: Context, row: Any, kind: str) -> dict[str, str]:
    """What an image of a server has from it."""
    inherited = {key: value for key, value in row["image"].get("properties", {}).items() if key.startswith(_INHERITED)}
    properties = inherited | {
        "image_type": kind, "instance_uuid": row["id"], "user_id": row["user_id"], "owner_user_name": ctx.caller.user_name,
        "base_image_ref": row["image_id"] or "", "boot_roles": ",".join(sorted(ctx.caller.roles)),
    }  # fmt: skip
    return {key: value for key, value in properties.items() if value != ""}


def _image(ctx: Context, row: Any, name: str, given: Mapping[str, str], kind: str) -> dict[str, str]:
    """A new image whose data is to come from the server; what the operation must know of it."""
    source, properties = row["image"], _properties(ctx, row, kind) | dict(given)
    properties = {key: value for key, value in properties.items() if value != ""}
    min_disk = max(source.get("min_disk", 0), row["disk"])
    image_id, path = image.snapshots.begin(
        ctx, name, properties, min_disk=min_disk, min_ram=source.get("min_ram", 0), formats=containers.formats(source.get("properties", {}))
    )
    return {"image": image_id, "path": path}


def create_image(ctx: Context, server_id: str, wanted: CreateImage) -> str:
    """Make an image of a server; its id. Raises QuotaExceeded."""
    row = mine(ctx, server_id, "createImage", "active", "stopped", "paused", "suspended")
    if volume_booted.is_one(row):
        return volume_booted.create_image(ctx, row, wanted.name, wanted.metadata or {}, _properties(ctx, row, "snapshot"))
    memo = _image(ctx, row, wanted.name, wanted.metadata or {}, "snapshot")
    _capture(ctx, row, "createImage", "image_snapshot", memo)
    return memo["image"]


def _capture(ctx: Context, row: Any, action: str, task: str, memo: dict[str, Any]) -> None:
    captures = {**(row["captures"] or {}), memo["image"]: memo["path"]}
    submit(ctx, row, operations.SNAPSHOT, action, task, memo, captures=captures)
    hosts.changed(ctx.db, ctx.parts.operations, row["host"])


def create_backup(ctx: Context, server_id: str, wanted: CreateBackup) -> str:
    """Make an image of a server, and delete older ones of the kind beyond `rotation`; its id."""
    row = mine(ctx, server_id, "createBackup", "active", "stopped", "paused", "suspended")
    if volume_booted.is_one(row):
        raise BadRequest(f"Backup is not supported for volume-backed instances: server {server_id} boots from a volume.")
    given = {**(wanted.metadata or {}), "backup_type": wanted.backup_type}
    memo = _image(ctx, row, wanted.name, given, "backup") | {"backup_type": wanted.backup_type, "rotation": wanted.rotation}
    _capture(ctx, row, "createBackup", "image_backup", memo)
    return str(memo["image"])


def shelve(ctx: Context, server_id: str) -> None:
    """Stop a server, keep it as an image (nothing of one that boots from a volume), and leave its host."""
    row = mine(ctx, server_id, "shelve", "active", "stopped", "paused", "suspended")
    machine.stays(row, "shelve")
    memo: dict[str, Any] = {}
    if volume_booted.is_one(row):
        ctx.take(image_count_total=0)
    else:
        memo = _image(ctx, row, f"{row['name']}-shelved", {}, "snapshot")
    soft = row["vm_state"] == "active"
    wish = {"power": "stopped", "soft": soft, "shelved_image": memo.get("image")}
    submit(ctx, row, operations.SHELVE, "shelve", "shelving", memo | {"power": row["power"]}, **wish)
    hosts.changed(ctx.db, ctx.parts.operations, row["host"])


def unshelve(ctx: Context, server_id: str, zone: str | None, host: str | None) -> None:
    """Run again, on any host, or in a zone or on a host that is asked for."""
    row = mine(ctx, server_id, "unshelve", "shelved", "shelved_offloaded")
    memo: dict[str, Any] = {"wanted": host}
    values: dict[str, Any] = {}
    if row["vm_state"] == "shelved_offloaded" and row["shelved_image"] is not None:
        memo["base"] = msgspec.to_builtins(image.bootable(ctx, row["shelved_image"]))
    elif row["vm_state"] == "shelved" and (zone or host):
        raise Conflict(f"Instance {server_id} is still on its host, and goes on there.")
    if zone:
        servers.check_zone(ctx, zone)
        values["zone"] = zone
    submit(ctx, row, operations.UNSHELVE, "unshelve", "unshelving", memo, **values)
