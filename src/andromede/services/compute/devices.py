"""The disks that a server is asked to have (`block_device_mapping`, `block_device_mapping_v2`), and the rows that say which it has.

A server has one disk of its own, made from an image, or boots from a volume; and volumes besides, which are there already or
are made for it from an image, a snapshot or nothing. Source: Compute API v2.1, "Create server".
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import UNSET
from sqlalchemy import Connection, delete, insert, or_, select, update

from andromede.core.clock import now
from andromede.core.context import Context, Parts
from andromede.core.errors import BadRequest, Forbidden, NotFound
from andromede.core.ids import is_id, new_id
from andromede.db.base import chunks
from andromede.drivers.host import Attached
from andromede.drivers.hypervisor import MOST_DRIVES, Seen
from andromede.services.compute.tables_volumes import block_device
from andromede.services.compute.wire import BlockDevice, NewServer, OldBlockDevice
from andromede.services.network.service import Attached as Port
from andromede.services.volume import service as volume

LOCAL_BUSES = ("virtio", "scsi", "sata", "ide", "usb")
_PREFIX = {"virtio": "vd", "scsi": "sd", "sata": "sd", "ide": "hd", "usb": "sd"}


class Device(msgspec.Struct, kw_only=True):
    """One disk that is asked for. source: `image`, `snapshot`, `volume`, `blank`; local: the server's own, made from its image."""

    source: str
    uuid: str | None = None
    local: bool = False
    boot: int = -1
    size: int | None = None
    type: str | None = None
    bus: str | None = None
    delete: bool = False
    tag: str | None = None


def asked(wanted: NewServer, of_image: Sequence[BlockDevice] = ()) -> list[Device]:
    """The disks of a request; the image of `imageRef` is not among them. Raises BadRequest for what cannot be understood.

    of_image: those that the image names; a disk made of the image itself, which clients name beside it, is none then.
    """
    old, new = wanted.old_block_devices or [], wanted.block_devices or []
    if of_image:
        new = [one for one in new if not (one.source_type == "image" and str(one.boot_index) == "0")]
    if old and new:
        raise BadRequest("Using different block_device_mapping syntaxes is not allowed in the same request.")
    named = bool(wanted.image)
    found = [_new(number, one) for number, one in enumerate([*of_image, *new]) if not _flag(one.no_device)]
    found += [_old(number, one, root=number == 0 and not named) for number, one in enumerate(old) if not _flag(one.no_device)]
    boots = [one.boot for one in found if one.boot >= 0]
    if len(set(boots)) != len(boots) or (boots and sorted(boots) != list(range(len(boots))) and not named):
        raise BadRequest("Block Device Mapping is Invalid: Boot sequence for the instance and image/block device mapping combination is not valid.")
    if found and not named and 0 not in boots:
        raise BadRequest("Block Device Mapping is Invalid: Boot sequence for the instance and image/block device mapping combination is not valid.")
    if len([one for one in found if not one.local and one.boot != 0]) > MOST_DRIVES:
        raise Forbidden(f"A server can have at most {MOST_DRIVES} volumes besides the one it boots from.")
    tags = [one.tag for one in found if one.tag]
    if len(set(tags)) != len(tags):
        raise BadRequest("Block Device Mapping is Invalid: two devices have the same tag.")
    return found


def _new(number: int, one: BlockDevice) -> Device:
    where = f"block_device_mapping_v2[{number}]"
    source = one.source_type or ("volume" if one.uuid else "blank")
    target = one.destination_type or ("volume" if source in ("volume", "snapshot") else "local")
    if source in ("volume", "snapshot") and target == "local":
        raise BadRequest(f"Block Device Mapping is Invalid: {where}: Mapping {source} to local is not supported.")
    if source == "blank" and target == "local":
        raise BadRequest(f"Block Device Mapping is Invalid: {where}: this cloud has no ephemeral and swap disks; use a blank volume.")
    if source == "blank" and one.uuid:
        raise BadRequest(f"Block Device Mapping is Invalid: {where}: a blank device has no uuid.")
    if source != "blank" and not (one.uuid and is_id(one.uuid)):
        raise BadRequest(f"Block Device Mapping is Invalid: {where}: a uuid of the {source} is needed.")
    size = _size(one.volume_size, where)
    if target == "volume" and source in ("image", "blank") and size is None:
        raise BadRequest(f"Block Device Mapping is Invalid: {where}: volume_size is needed for a volume that is made from {source}.")
    boot = _boot(one.boot_index, where)
    if target == "local" and boot != 0:
        raise BadRequest(f"Block Device Mapping is Invalid: {where}: a server has one disk of its own, with boot_index 0.")
    if one.device_type not in (None, "", "disk"):
        raise BadRequest(f"Block Device Mapping is Invalid: {where}: a device_type other than disk is not served.")
    if one.disk_bus and one.disk_bus not in LOCAL_BUSES:
        raise BadRequest(f"Block Device Mapping is Invalid: {where}: disk_bus is one of {', '.join(LOCAL_BUSES)}.")
    _check_name(one.device_name, where)
    tag = None if one.tag is UNSET else one.tag
    kind = None if one.volume_type is UNSET else one.volume_type
    if kind is not None and (target == "local" or source == "volume"):
        raise BadRequest(f"Block Device Mapping is Invalid: {where}: volume_type is for volumes that are made.")
    return Device(
        source=source, uuid=one.uuid, local=target == "local", boot=boot, size=size, type=kind, bus=one.disk_bus or None,
        delete=_flag(one.delete_on_termination) if one.delete_on_termination is not None else target == "local", tag=tag,
    )  # fmt: skip


def _old(number: int, one: OldBlockDevice, *, root: bool) -> Device:
    where = f"block_device_mapping[{number}]"
    _check_name(one.device_name, where)
    if one.virtual_name:
        raise BadRequest(f"Block Device Mapping is Invalid: {where}: this cloud has no ephemeral and swap disks.")
    source, uuid = ("snapshot", one.snapshot_id) if one.snapshot_id else ("volume", one.volume_id)
    if not uuid or not is_id(uuid):
        raise BadRequest(f"Block Device Mapping is Invalid: {where}: a volume_id or a snapshot_id is needed.")
    return Device(source=source, uuid=uuid, boot=0 if root else -1, size=_size(one.volume_size, where), delete=_flag(one.delete_on_termination))


def _check_name(name: str | None, where: str) -> None:
    if name is not None and not re.fullmatch(r"(/dev/)?[a-zA-Z0-9_][a-zA-Z0-9_/]{0,250}", name):
        raise BadRequest(f"Invalid input for field {where}: Device name empty or too long, or with characters that no device has.")


def _flag(value: Any) -> bool:
    text = str(value).strip().lower()
    if value in (None, "") or text in ("false", "0", "no", "off", "f", "n"):
        return False
    if text in ("true", "1", "yes", "on", "t", "y"):
        return True
    raise BadRequest(f"Unrecognized value '{value}', acceptable values are: true and false.")


def _size(value: Any, where: str) -> int | None:
    if value in (None, ""):
        return None
    if not str(value).isdecimal() or not 1 <= int(str(value)[:10]) <= 1 << 20:
        raise BadRequest(f"Invalid input for field {where}: volume_size must be a whole number of 1 or more.")
    return int(value)


def _boot(value: Any, where: str) -> int:
    if value in (None, "", "None", "none"):
        return -1
    text = str(value)
    if not re.fullmatch(r"-?\d{1,6}", text):
        raise BadRequest(f"Invalid input for field {where}: boot_index must be a whole number.")
    return max(int(text), -1)


def root_of(ctx: Context, devices: list[Device]) -> tuple[Device, volume.Made | None, dict[str, str]] | None:
    """The volume that a server boots from, with its facts where it is there already, and the image properties that it boots with.

    None where it boots from a disk of its own. Raises BadRequest where it cannot boot.
    """
    root = next((one for one in devices if one.boot == 0 and not one.local), None)
    if root is None:
        return None
    if root.source == "volume":
        found = volume.usable(ctx, root.uuid or "")
        if not found.bootable:
            raise BadRequest(f"Block Device {root.uuid} is not bootable.")
        return root, found, found.image or {}
    if root.source == "blank":
        raise BadRequest("Block Device Mapping is Invalid: a server cannot boot from a blank volume.")
    if root.source == "snapshot":
        try:
            return root, None, volume.image_of_snapshot(ctx, root.uuid or "")
        except NotFound as error:
            raise BadRequest(f"Block Device Mapping is Invalid: failed to get snapshot {root.uuid}.") from error
    return root, None, {}


def add(ctx: Context, server_id: str, devices: list[Device], *, bus: str, own: bool, drive: bool, zone: str | None) -> None:
    """Keep or make the volumes of a new server. own: it has a disk of its own; drive: it has a config drive."""
    names = Names(own=own, drive=drive, bus=bus)
    for one in sorted((one for one in devices if not one.local), key=lambda device: (device.boot < 0, device.boot)):
        if one.source == "volume":
            made, attachment_id = volume.usable(ctx, one.uuid or ""), volume.reserve(ctx, one.uuid or "", server_id)
        else:
            try:
                made = volume.create(ctx, one.source, one.uuid, one.size, one.type, zone=zone)
            except NotFound as error:
                raise BadRequest(f"Block Device Mapping is Invalid: {error.message}") from error
            attachment_id = volume.hold(ctx.db, made.id, server_id)
        kind = one.bus or bus
        insert_row(
            ctx.db, server_id, made.id, attachment_id, boot=one.boot, name=names.take(kind), bus=kind, delete_on_termination=one.delete,
            tag=one.tag, made=one.source != "volume",
        )  # fmt: skip


def insert_row(
    db: Connection, server_id: str, volume_id: str, attachment_id: str, *, boot: int, name: str, bus: str, delete_on_termination: bool,
    tag: str | None, made: bool = False,
) -> str:  # fmt: skip
    """A volume is the server's from now on; answers the row's id."""
    id_ = new_id()
    taken = any(slot_of(one) == volume_id for one in of_servers(db, [server_id]).get(server_id, []))
    db.execute(
        insert(block_device).values(
            slot=id_ if taken else None,
            id=id_, server_id=server_id, volume_id=volume_id, attachment_id=attachment_id, made=made, boot_index=boot, device_name=name,
            bus=bus, delete_on_termination=delete_on_termination, tag=tag, created=now(),
        )
    )  # fmt: skip
    return id_


class Names:
    """Hands out names of devices, as Linux does: the first letter that is free, per kind of bus."""

    def __init__(self, *, own: bool, drive: bool, bus: str, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        if own:
            self.take(bus)
        if drive:
            self._taken.add(self._first("vd"))

    def take(self, bus: str) -> str:
        """The next free name on a bus."""
        name = self._first(_PREFIX[bus])
        self._taken.add(name)
        return name

    def _first(self, prefix: str) -> str:
        return next(name for letter in "abcdefghijklmnopqrstuvwxyz" if (name := f"/dev/{prefix}{letter}") not in self._taken)


def next_name(db: Connection, row: Any, bus: str) -> str:
    """The device that the next volume of a server becomes in its guest."""
    taken = {one.device_name for one in of_servers(db, [row["id"]]).get(row["id"], [])}
    own = not row["image"].get("from_volume")
    root_bus = row["image"].get("properties", {}).get("hw_disk_bus", "virtio")
    if row["config_drive"]:
        # made with the server: behind its first disks, before what is attached later
        first = Names(own=own, drive=False, bus=root_bus, taken=[name for name in taken if name.endswith("a")])
        taken.add(first.take("virtio"))
    return Names(own=own, drive=False, bus=root_bus, taken=taken).take(bus)


def bus_for(row: Any) -> str:
    """The bus on which a volume can be plugged into a server."""
    return "scsi" if row["image"].get("properties", {}).get("hw_disk_bus") == "scsi" else "virtio"


def of_servers(db: Connection, ids: Iterable[str]) -> dict[str, list[Any]]:
    """The volumes of servers, in the order of their devices, by server."""
    out: dict[str, list[Any]] = {}
    for some in chunks(ids):
        for row in db.execute(select(block_device).where(block_device.c.server_id.in_(some))):
            out.setdefault(row.server_id, []).append(row)
    for rows in out.values():
        rows.sort(key=lambda row: (row.boot_index < 0, row.boot_index, len(row.device_name), row.device_name))
    return out


def find(db: Connection, server_id: str, volume_id: str) -> Any:
    """A server's volume, or None."""
    return db.execute(select(block_device).where(block_device.c.server_id == server_id, block_device.c.volume_id == volume_id)).first()


def change(db: Connection, device_id: str, **values: Any) -> None:
    """Change a row."""
    db.execute(update(block_device).where(block_device.c.id == device_id).values(values))


def drop(db: Connection, device_id: str) -> None:
    """The volume is the server's no more."""
    db.execute(delete(block_device).where(block_device.c.id == device_id))


def marks_of(db: Connection, ids: Iterable[str]) -> dict[str, Any]:
    """What changes with the volumes of each server, by server."""
    rows = of_servers(db, ids)
    volumes = volume.marks_of(db, [row.volume_id for each in rows.values() for row in each])
    return {
        id_: tuple((row.volume_id, row.swapping, row.bus, row.boot_index, row.leaving, volumes.get(row.volume_id)) for row in each)
        for id_, each in rows.items()
    }


def wishes(db: Connection, rows: list[Any]) -> tuple[Attached, ...]:
    """A server's volumes as its host is told of them."""
    disks = [
        volume.Disk(
            id=row.swap if row.swapping else row.volume_id, bus=row.bus, boot=row.boot_index, slot=slot_of(row) if row.swapping or row.slot else ""
        )
        for row in rows
        if not row.leaving
    ]
    return volume.kept(db, disks)


def slot_of(row: Any) -> str:
    """What names a volume's place in its guest: the first volume that was there."""
    return str(row.slot or row.volume_id)


def described(rows: list[Any], ports: Sequence[Port], nic_tags: dict[str, str]) -> list[dict[str, Any]]:
    """The tagged volumes and network cards of a server, for its metadata. nic_tags: of its ports, by id."""
    cards = [{"type": "nic", "bus": "pci", "mac": one.mac, "tags": [nic_tags[one.port_id]]} for one in ports if one.port_id in nic_tags]
    return cards + [
        {"type": "disk", "bus": "scsi" if row.bus == "scsi" else "pci", "serial": row.volume_id[:20], "path": row.device_name, "tags": [row.tag]}
        for row in rows
        if row.tag
    ]


def needed(db: Connection, server_id: str) -> set[str]:
    """The hosts that a server's volumes are on, or must be made on; where there are several, it can be nowhere."""
    ids = list(db.scalars(select(block_device.c.volume_id).where(block_device.c.server_id == server_id)))
    return volume.hosts_of(db, ids) | volume.sources_of(db, ids) if ids else set()


def note(db: Connection, seen: Seen) -> None:
    """Write down which of its volumes a guest is seen to have."""
    held = {one.id for one in seen.drives}
    for row in db.execute(select(block_device).where(block_device.c.server_id == seen.id)).all():
        if (row.seen, row.seen_swap) != (row.volume_id in held, row.swap in held):
            change(db, row.id, seen=row.volume_id in held, seen_swap=row.swap in held)


def unseen(db: Connection, ids: Iterable[str]) -> None:
    """These guests are not there, so they have nothing."""
    for some in chunks(ids):
        has = or_(block_device.c.seen, block_device.c.seen_swap)
        db.execute(update(block_device).where(block_device.c.server_id.in_(some), has).values(seen=False, seen_swap=False))


def release(db: Connection, parts: Parts, server_id: str, *, request_id: str | None) -> None:
    """A server is gone: its volumes are free, and those that are to go with it are deleted."""
    for row in of_servers(db, [server_id]).get(server_id, []):
        if row.swap is not None:
            volume.let_go(db, row.swap, server_id)
        volume.release(db, parts, row.attachment_id, row.volume_id, remove=row.delete_on_termination, request_id=request_id)
        drop(db, row.id)
