"""From a wish to the description of a guest, once what it stands on is on this host."""

from collections.abc import Callable, Mapping
from pathlib import Path

from andromede.core.errors import DriverError
from andromede.drivers.block import Volume
from andromede.drivers.host import Attached, Image, Wish
from andromede.drivers.hypervisor import LXC, Disk, Drive, Guest, Nic


def drive_path(folder: Path, guest_id: str) -> Path:
    """Where a guest's config drive lies."""
    return folder / "drives" / guest_id


def seed_path(folder: Path, guest_id: str) -> Path:
    """Where the files lie that a container has instead of a config drive."""
    return folder / "drives" / f"{guest_id}.seed"


def images_of(wish: Wish) -> tuple[Image, ...]:
    """Every image that a guest stands on."""
    rescue = (wish.rescue.image, wish.rescue.kernel, wish.rescue.initrd) if wish.rescue is not None else ()
    return tuple(image for image in (wish.image, wish.kernel, wish.initrd, *rescue) if image is not None)


def drives_of(wish: Wish, volumes: Mapping[str, Volume], path: Callable[[Volume], str]) -> tuple[Drive, ...]:
    """The volumes of a guest. volumes: those of the host; path: where each lies. Raises DriverError where one is not there."""
    return tuple(_drive(one, volumes.get(one.id), path) for one in wish.volumes)


def _drive(one: Attached, volume: Volume | None, path: Callable[[Volume], str]) -> Drive:
    if volume is None:
        raise DriverError(f"The volume {one.id} is not on the host of the server.")
    return Drive(
        id=one.id, path=path(volume), size=volume.size, format=volume.format, secret=volume.secret, bus=one.bus, readonly=one.readonly,
        shared=one.shared, boot=one.boot, snapshots=volume.snapshots, limits=one.limits, slot=one.slot,
    )  # fmt: skip


def guest_of(wish: Wish, folder: Path, paths: Mapping[str, str] | None = None, drives: tuple[Drive, ...] = ()) -> Guest:
    """The guest that a wish describes. paths: this host's holds on its images, by id."""
    root = Disk(
        id=wish.root or wish.id, size=wish.disk or 512, base=_path(wish.image, paths), base_format=wish.image.format if wish.image else "raw",
        bus=wish.disk_bus, points=wish.points, past=wish.past,
    )  # fmt: skip
    disks: tuple[Disk, ...] = (root,) if wish.disk else ()
    first, kernel, initrd = "", wish.kernel, wish.initrd
    if wish.rescue is not None:
        extra = Disk(
            id=wish.rescue.id, size=wish.rescue.size, base=_path(wish.rescue.image, paths), base_format=wish.rescue.image.format,
            bus=wish.rescue.bus, cdrom=wish.rescue.cdrom,
        )  # fmt: skip
        disks = (*disks, extra) if wish.rescue.stable else (extra, *disks)
        first, kernel, initrd = extra.id, wish.rescue.kernel, wish.rescue.initrd
    return Guest(
        id=wish.id, vcpus=wish.vcpus, memory=wish.memory, disks=disks, drives=drives, boot_from=first,
        nics=tuple(Nic(port_id=nic.port_id, mac=nic.mac, mtu=nic.mtu, model=wish.nic_model, queues=wish.queues) for nic in wish.nics),
        power=wish.power, boots=wish.boots, soft=wish.soft, firmware=wish.firmware, kernel=_path(kernel, paths), initrd=_path(initrd, paths),
        cmdline=wish.cmdline, config_drive=str(drive_path(folder, wish.id)) if wish.config_drive else None, machine=wish.machine,
        video=wish.video, secure_boot=wish.secure_boot, tpm=wish.tpm, local_time=wish.local_time, huge_pages=wish.huge_pages,
        captures=wish.captures, hypervisor=wish.hypervisor, departure=wish.departure, arrival=wish.arrival,
        seed=str(seed_path(folder, wish.id)) if wish.hypervisor == LXC else None,
    )  # fmt: skip


def _path(image: Image | None, paths: Mapping[str, str] | None) -> str | None:
    return (paths or {}).get(image.id) if image is not None else None
