"""The files a guest's QEMU works on: made by us, opened by us, handed over open."""

import fcntl
import os
import shutil
import socket
import stat
import struct
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from andromede.core.errors import DriverError
from andromede.core.ids import tap_name
from andromede.drivers.hypervisor import Disk, Guest, console
from andromede.drivers.hypervisor.qemu.cmdline import Files
from andromede.drivers.hypervisor.qemu.qmp import listen

FIRMWARE = (
    (Path("/usr/share/OVMF/OVMF_CODE_4M.fd"), Path("/usr/share/OVMF/OVMF_VARS_4M.fd")),
    (Path("/usr/share/OVMF/OVMF_CODE.fd"), Path("/usr/share/OVMF/OVMF_VARS.fd")),
)
SECURE = (
    (Path("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd"), Path("/usr/share/OVMF/OVMF_VARS_4M.ms.fd")),
    (Path("/usr/share/OVMF/OVMF_CODE.secboot.fd"), Path("/usr/share/OVMF/OVMF_VARS.ms.fd")),
)
_TUNSETIFF, _TUNGETIFF = 0x400454CA, 0x800454D2
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR, _IFF_PERSIST, _IFF_MULTI_QUEUE = 0x0002, 0x1000, 0x4000, 0x0800, 0x0100


def overlay(folder: Path, disk: Disk) -> Path:
    """Where a disk's own data lies."""
    return folder / f"{disk.id}.qcow2"


def drop_disks(folder: Path, kept: tuple[Disk, ...]) -> None:
    """Delete the disks that the description does not hold any more."""
    names = {overlay(folder, disk).name for disk in kept}
    for path in folder.glob("*.qcow2"):
        if path.name not in names:
            path.unlink()


def virtual_size(path: Path) -> int:
    """Bytes that a guest sees of a qcow2 image, from its header (docs/interop/qcow2.txt of QEMU)."""
    with path.open("rb") as file:
        header = file.read(32)
    if len(header) < 32 or header[:4] != b"QFI\xfb":
        raise DriverError("A disk of the server is damaged on the host.")
    return int(struct.unpack_from(">Q", header, 24)[0])


def open_all(stack: ExitStack, folder: Path, guest: Guest, *, uid: int, vnet_hdr: bool) -> Files:
    """Open everything the guest's process gets; `stack` closes our side. Raises DriverError, OSError."""

    def file(path: Path, flags: int) -> int:
        fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
        stack.callback(os.close, fd)
        return fd

    def endpoint(name: str) -> int:
        listener: socket.socket = stack.enter_context(listen(folder / name))
        return listener.fileno()

    def given(path: str, what: str) -> int:
        try:
            return file(Path(path), os.O_RDONLY)
        except OSError as error:
            raise DriverError(f"The {what} of the server cannot be read on the host.") from error

    log = folder / "console.log"
    console.compact(log)
    files = Files(
        qmp=endpoint("qmp.sock"),
        serial=endpoint("serial.sock"),
        agent=endpoint("agent.sock"),
        log=file(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT),
    )
    for disk in guest.disks:
        files.disks[disk.id] = file(overlay(folder, disk), (os.O_RDONLY if disk.cdrom else os.O_RDWR) | os.O_NOFOLLOW)
        if disk.base is not None:
            files.bases[disk.id] = given(disk.base, "image")
    for nic in guest.nics:
        files.taps[nic.port_id] = []
        for _ in range(nic.queues):
            files.taps[nic.port_id].append(open_tap(tap_name(nic.port_id), vnet_hdr=vnet_hdr, several=nic.queues > 1))
            stack.callback(os.close, files.taps[nic.port_id][-1])
    if guest.config_drive is not None:
        files.config = given(guest.config_drive, "config drive")
    if guest.kernel is not None:
        files.kernel = _readable(stack, folder / "kernel", given(guest.kernel, "kernel"), uid)
        if guest.initrd is not None:
            files.initrd = _readable(stack, folder / "initrd", given(guest.initrd, "initrd"), uid)
    if guest.firmware == "uefi":
        code, template = firmware(secure=guest.secure_boot)
        files.code = file(code, os.O_RDONLY)
        variables = folder / ("nvram-secure.fd" if guest.secure_boot else "nvram.fd")
        if not variables.exists():
            fresh = variables.with_suffix(".new")
            shutil.copyfile(template, fresh)
            fresh.replace(variables)
        files.vars = file(variables, os.O_RDWR)
    return files


def open_drives(stack: ExitStack, guest: Guest, files: Files, *, uid: int, unseal: Callable[[bytes], bytes]) -> None:
    """Open the volumes, and hold the passphrases of those that are encrypted in memory that only the guest's process can read."""
    for drive in guest.drives:
        try:
            fd = os.open(drive.path, (os.O_RDONLY if drive.readonly else os.O_RDWR) | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise DriverError("The data of a volume is not there on the host.") from error
        stack.callback(os.close, fd)
        files.drives[drive.id] = fd
        if drive.secret:
            memory = os.memfd_create("key")
            stack.callback(os.close, memory)
            os.write(memory, unseal(drive.secret))
            os.fchown(memory, uid, uid)
            os.fchmod(memory, 0o400)
            files.secrets[drive.id] = memory


def firmware(*, secure: bool = False) -> tuple[Path, Path]:
    """The host's UEFI firmware: its code, and the template of its variables; the secure one knows the keys that Linux and Windows use."""
    for code, variables in SECURE if secure else FIRMWARE:
        if code.exists() and variables.exists():
            return code, variables
    raise DriverError("The UEFI firmware (OVMF) is not installed on the host.")


def open_tap(name: str, *, vnet_hdr: bool, several: bool = False) -> int:
    """A queue of a tap that is there already, the only one unless `several`. Raises DriverError when it is not."""
    missing = DriverError(f"The network interface {name} of the server is not there on the host.")
    try:
        socket.if_nametoindex(name)  # /sys shows the namespace it was mounted in, which need not be ours
    except OSError as error:
        raise missing from error
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        flags = _IFF_TAP | _IFF_NO_PI | (_IFF_VNET_HDR if vnet_hdr else 0) | (_IFF_MULTI_QUEUE if several else 0)
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
        held = struct.unpack("16sH22x", fcntl.ioctl(fd, _TUNGETIFF, bytes(40)))[1]
    except OSError as error:
        os.close(fd)
        raise DriverError(
            f"The network interface {name} of the server cannot be used: {os.strerror(error.errno or 0)}."
        ) from error
    if not held & _IFF_PERSIST:
        # It went away in between, and asking for it made a passing one of that name.
        os.close(fd)
        raise missing
    return fd


def _readable(stack: ExitStack, copy: Path, fd: int, uid: int) -> int:
    """A file that the guest's process may open again through /proc/self/fd: this one, or a private copy."""
    if os.fstat(fd).st_mode & stat.S_IROTH:
        return fd
    shutil.copyfile(f"/proc/self/fd/{fd}", copy)
    os.chown(copy, uid, -1)
    copy.chmod(0o400)
    fresh = os.open(copy, os.O_RDONLY | os.O_CLOEXEC)
    stack.callback(os.close, fresh)
    return fresh
