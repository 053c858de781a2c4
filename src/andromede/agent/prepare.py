"""From a wish to the description of a guest, once what it stands on is on this host."""

from collections.abc import Sequence
from pathlib import Path

from andromede.drivers.host import Wish
from andromede.drivers.hypervisor import Disk, Guest, Nic


def drive_path(folder: Path, guest_id: str) -> Path:
    """Where a guest's config drive lies."""
    return folder / "drives" / guest_id


def guest_of(wish: Wish, folder: Path, paths: Sequence[str | None] = (None, None, None)) -> Guest:
    """The guest that a wish describes. paths: this host's holds on its image, kernel and initrd."""
    image, kernel, initrd = paths
    disk = Disk(id=wish.id, size=wish.disk, base=image, base_format=wish.image.format if wish.image else "raw", bus=wish.disk_bus)
    return Guest(
        id=wish.id, vcpus=wish.vcpus, memory=wish.memory, disks=(disk,),
        nics=tuple(Nic(port_id=nic.port_id, mac=nic.mac, mtu=nic.mtu, model=wish.nic_model) for nic in wish.nics),
        power=wish.power, boots=wish.boots, soft=wish.soft, firmware=wish.firmware, kernel=kernel, initrd=initrd,
        cmdline=wish.cmdline, config_drive=str(drive_path(folder, wish.id)) if wish.config_drive else None,
    )  # fmt: skip
