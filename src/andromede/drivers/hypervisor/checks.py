"""What every hypervisor driver refuses before it touches anything, and how the host's own errors are told.

Names from outside become file names and arguments.
"""

import re
from functools import partial

from andromede.core.errors import DriverError
from andromede.core.ids import is_id
from andromede.core.units import MIB
from andromede.drivers import faults
from andromede.drivers.hypervisor import Guest

public = partial(faults.public, "server")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.IGNORECASE)
BUSES = ("virtio", "scsi", "sata", "ide", "usb")
MODELS = ("virtio", "e1000", "e1000e", "rtl8139", "vmxnet3")
FIRMWARES = ("bios", "uefi")
VIDEOS = ("vga", "virtio", "qxl", "bochs", "none")
TPMS = ("", "tpm-crb", "tpm-tis")
_MACHINE = re.compile(r"(q35|pc|pc-q35-\d[\d.]*|pc-i440fx-\d[\d.]*)?")
FORMATS = ("qcow2", "raw")


def check_id(guest_id: str) -> str:
    """`guest_id` itself. Raises DriverError where it is not the id of a server."""
    if not is_id(guest_id):
        raise DriverError("The id of the server is not a UUID.")
    return guest_id


def check(guest: Guest) -> None:
    """Raise DriverError with a public sentence for a description that no driver can bring about."""
    check_id(guest.id)
    _one_of("firmware", guest.firmware, FIRMWARES)
    if guest.vcpus < 1 or guest.memory < MIB:
        raise DriverError("A server needs at least one vCPU and 1 MiB of memory.")
    _one_of("video model", guest.video, VIDEOS)
    _one_of("TPM model", guest.tpm, TPMS)
    if not _MACHINE.fullmatch(guest.machine):
        raise DriverError("This host knows no machine type of that name; it knows q35 and pc.")
    if guest.secure_boot and (guest.firmware != "uefi" or (guest.machine.startswith(("pc-i440fx", "pc")) and not guest.machine.startswith("pc-q35"))):
        raise DriverError("Secure boot needs UEFI firmware and the machine type q35.")
    for one in guest.captures:
        if not _NAME.fullmatch(one.id) or not one.path.startswith("/") or one.disk not in {disk.id for disk in guest.disks}:
            raise DriverError("A copy is asked for that cannot be made.")
    for disk in guest.disks:
        if not all(_NAME.fullmatch(name) for name in (*disk.points, *(disk.past or ()))):
            raise DriverError("The name of a point of a disk holds characters that are not allowed.")
        if not _NAME.fullmatch(disk.id):
            raise DriverError("The id of a disk holds characters that are not allowed.")
        if disk.size < 512:
            raise DriverError("A disk needs at least 512 bytes.")
        _one_of("disk bus", disk.bus, BUSES)
        _one_of("disk format", disk.base_format, FORMATS)
    for drive in guest.drives:
        if not _NAME.fullmatch(drive.id):
            raise DriverError("The id of a volume holds characters that are not allowed.")
        _one_of("disk bus", drive.bus, BUSES)
        _one_of("volume format", drive.format, FORMATS)
    if len({drive.id for drive in guest.drives}) < len(guest.drives):
        raise DriverError("The server has a volume twice.")
    for nic in guest.nics:
        if not _NAME.fullmatch(nic.port_id) or not _MAC.fullmatch(nic.mac):
            raise DriverError("A network card has an id or a MAC address of the wrong form.")
        _one_of("network card model", nic.model, MODELS)
        if not 1 <= nic.queues <= 16:
            raise DriverError("A network card has between 1 and 16 queues.")
    if len({disk.id for disk in guest.disks}) < len(guest.disks) or len({nic.port_id for nic in guest.nics}) < len(guest.nics):
        raise DriverError("Two disks or two network cards of the server have the same id.")


def _one_of(what: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise DriverError(f"This host knows no {what} of that name; it knows {', '.join(allowed)}.")
