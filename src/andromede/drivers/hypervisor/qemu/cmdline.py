"""QEMU's command line for a guest: a pure function of its description, the host's ways, and the numbers of open files.

Every file of a guest is handed over open (`/dev/fdset/N`), so that its process needs no path. Devices that stay are on
the root complex; cards and further disks are each behind a PCIe root port, where they can be unplugged. What is plugged in
later goes behind one bridge to conventional PCI, which has 31 places and costs a boot less than a second root port would.
A disk on the `ide` bus needs the older machine, which has that controller and no root ports; all its places can be plugged.
"""

import json
import math

import msgspec

from andromede.core.ids import guest_name
from andromede.core.units import MIB
from andromede.drivers.hypervisor import Drive, Guest, Nic
from andromede.drivers.hypervisor.qemu import drive
from andromede.drivers.hypervisor.qemu.places import Places
from andromede.drivers.hypervisor.qemu.process import BINARY

LATER = "later"
"""The bus for what is plugged into a running guest; the older machine has `pci.0` for it."""
_CARDS = {"virtio": "virtio-net-pci", "e1000": "e1000", "e1000e": "e1000e", "rtl8139": "rtl8139", "vmxnet3": "vmxnet3"}
# The product by which cloud-init knows that it may ask for OpenStack's metadata (ds-identify).
_MAKER, _PRODUCT = "Andromède", "OpenStack Nova"
_VIDEOS = {"vga": "VGA", "virtio": "virtio-vga", "qxl": "qxl-vga", "bochs": "bochs-display"}
_SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"


class Files(msgspec.Struct, kw_only=True):
    """Numbers of files that the process inherits. disks, bases: by disk id. taps: by port id, one a queue.

    drives, secrets: by volume id. Unused ones are None.
    """

    qmp: int
    serial: int
    agent: int
    log: int
    disks: dict[str, int] = {}
    bases: dict[str, int] = {}
    taps: dict[str, list[int]] = {}
    drives: dict[str, int] = {}
    secrets: dict[str, int] = {}
    config: int | None = None
    kernel: int | None = None
    initrd: int | None = None
    code: int | None = None
    vars: int | None = None
    tpm: int | None = None

    def sets(self) -> list[int]:
        """Those that QEMU opens as fdsets."""
        single = [self.log, self.config, self.code, self.vars]
        return [fd for fd in [*single, *self.disks.values(), *self.bases.values(), *self.drives.values()] if fd is not None]

    def all(self) -> list[int]:
        """Every one."""
        single = [self.qmp, self.serial, self.agent, self.kernel, self.initrd, self.tpm]
        taps = (fd for queues in self.taps.values() for fd in queues)
        return [fd for fd in [*single, *taps, *self.secrets.values()] if fd is not None] + self.sets()


class Before(msgspec.Struct, frozen=True):
    """The machine whose memory will be loaded (`places.find`)."""

    places: Places = {}
    ports: int = 0
    machine: str = ""


class _Bus:
    """Hands out places: `fixed` on the root complex, `port` behind a root port of its own; those that are known already as they were."""

    def __init__(self, *, pcie: bool, before: Before) -> None:
        self.pcie, self._known = pcie, before.places
        self.ports: list[dict[str, object]] = []
        while pcie and len(self.ports) < before.ports:
            self._add()

    def fixed(self) -> dict[str, object]:
        return {"bus": "pcie.0", "disable-legacy": "on"} if self.pcie else {"bus": "pci.0"}

    def port(self, device: str) -> dict[str, object]:
        if device in self._known:
            return self._known[device]
        return self._add() if self.pcie else {"bus": "pci.0"}

    def late(self, device: str) -> bool:
        """Whether a device is behind the bridge for what was plugged in later."""
        return self._known.get(device, {}).get("bus") == LATER

    def _add(self) -> dict[str, object]:
        number = len(self.ports)
        slot, function = divmod(number, 8)
        address = f"{0x10 + slot:#x}.{function}"
        port = {"driver": "pcie-root-port", "id": f"port{number}", "chassis": number + 1, "bus": "pcie.0", "addr": address}
        self.ports.append(port | {"multifunction": True} if function == 0 else port)
        return {"bus": f"port{number}"}


def is_older(guest: Guest) -> bool:
    """Whether a guest gets the older machine: it is asked for, or a disk needs it."""
    if guest.machine:
        return not (guest.machine == "q35" or guest.machine.startswith("pc-q35"))
    return "ide" in _buses(guest)


def build(guest: Guest, files: Files, *, tag: str, kvm: bool, paused: bool = False, before: Before | None = None) -> list[str]:
    """The program and its arguments.

    tag: names the instance. paused: it waits for `cont` before its first instruction. before: it waits for the memory of this machine.
    """
    older, was = is_older(guest), before or Before()
    bus = _Bus(pcie=not older, before=was)
    devices = [*_disks(guest, bus, older=older), *_cards(guest, bus)]
    if guest.config_drive is not None:
        devices.append({"driver": "virtio-blk-pci", "id": "config-2", "drive": "config", "serial": "config-2"} | bus.fixed())
    devices += [
        {"driver": "virtio-rng-pci", "id": "rng", "rng": "random"} | bus.fixed(),
        {"driver": "virtio-balloon-pci", "id": "balloon", "free-page-reporting": True, "deflate-on-oom": True} | bus.fixed(),
        {"driver": "virtio-serial-pci", "id": "channels", "max_ports": 4} | bus.fixed(),
        {"driver": "virtserialport", "bus": "channels.0", "chardev": "agent", "name": "org.qemu.guest_agent.0"},
        {"driver": "isa-serial", "id": "serial0", "chardev": "serial"},
        {"driver": "pvpanic"},
    ]
    if guest.video in _VIDEOS:
        devices.append({"driver": _VIDEOS[guest.video], "id": "video", "bus": "pcie.0" if bus.pcie else "pci.0"})
    if bus.pcie:
        devices.append({"driver": "pcie-pci-bridge", "id": LATER, "bus": "pcie.0"})
    devices.sort(key=lambda device: bus.late(str(device.get("id"))))
    arguments = [BINARY, "-name", f"guest={guest_name(guest.id)},process={guest_name(guest.id)[:15]},debug-threads=on"]
    arguments += [
        "-chardev", f"socket,id=qmp-{tag}-boots{guest.boots},fd={files.qmp},server=on,wait=off",
        "-mon", f"chardev=qmp-{tag}-boots{guest.boots},mode=control",
        "-nodefaults", "-no-user-config", *(("-display", "none") if guest.video not in _VIDEOS else ("-vnc", "none")), "-sandbox", _SANDBOX,
        *_machine(guest, files, older=older, kvm=kvm, exact=was.machine),
        "-action", "reboot=reset,shutdown=pause,panic=pause",
        "-chardev", f"socket,id=serial,fd={files.serial},server=on,wait=off,logfile=/dev/fdset/{files.log},logappend=on",
        "-chardev", f"socket,id=agent,fd={files.agent},server=on,wait=off",
        "-object", "rng-builtin,id=random",
    ]  # fmt: skip
    labels = {fd: f",opaque={drive.DEVICE}{id_}" for id_, fd in files.drives.items()}
    for fd in files.sets():
        arguments += ["-add-fd", f"fd={fd},set={fd}{labels.get(fd, '')}"]
    for id_, fd in files.secrets.items():
        arguments += ["-object", json.dumps({"qom-type": "secret", "id": drive.secret(id_), "file": f"/proc/self/fd/{fd}"})]
    for node in _nodes(guest, files):
        arguments += ["-blockdev", json.dumps(node)]
    for nic in guest.nics:
        queues = files.taps[nic.port_id]
        fds = f"fd={queues[0]}" if len(queues) == 1 else f"fds={':'.join(map(str, queues))}"
        arguments += ["-netdev", f"tap,id=net-{nic.port_id},{fds},vhost=off"]
    for device in [*bus.ports, *devices]:
        arguments += ["-device", json.dumps(device)]
    if files.kernel is not None:
        arguments += ["-kernel", f"/proc/self/fd/{files.kernel}", "-append", guest.cmdline]
        if files.initrd is not None:
            arguments += ["-initrd", f"/proc/self/fd/{files.initrd}"]
    if files.tpm is not None:
        arguments += ["-chardev", f"socket,id=tpm,fd={files.tpm}", "-tpmdev", "emulator,id=tpm0,chardev=tpm"]
        arguments += ["-device", f"{guest.tpm},tpmdev=tpm0"]
    if before is not None:
        arguments += ["-incoming", "defer"]
    return [*arguments, "-S"] if paused or before is not None else arguments


def _buses(guest: Guest) -> set[str]:
    return {disk.bus for disk in guest.disks} | {one.bus for one in guest.drives}


def _machine(guest: Guest, files: Files, *, older: bool, kvm: bool, exact: str) -> list[str]:
    sata = not _buses(guest).isdisjoint({"sata", "ide"})
    machine = exact or guest.machine or ("pc" if older else "q35")
    machine += ",usb=off,vmport=off"
    if not older:
        machine += f",smbus=off,smm={'on' if guest.secure_boot else 'off'},sata={'on' if sata else 'off'}"
    machine += ",dump-guest-core=off"
    pages: list[str] = []
    if guest.huge_pages:
        machine += ",memory-backend=pages"
        size = f"{math.ceil(guest.memory / MIB)}M"
        pages = ["-object", f"memory-backend-memfd,id=pages,size={size},hugetlb=on,hugetlbsize=2M,prealloc=on"]
    if files.code is not None:
        machine += ",pflash0=code,pflash1=vars"
    if kvm:
        machine += ",hpet=off"
    sleep = "PIIX4_PM" if older else "ICH9-LPC"
    accel = ["-accel", "kvm", "-cpu", "host", "-global", "kvm-pit.lost_tick_policy=delay"]
    if not kvm:
        # Five-level paging makes every page walk of TCG longer; the buffer would otherwise take a quarter of the memory.
        accel = ["-accel", "tcg,thread=multi,tb-size=64", "-cpu", "max,la57=off"]
    return [
        *pages, "-machine", machine, *accel, "-global", f"{sleep}.disable_s3=1", "-global", f"{sleep}.disable_s4=1",
        "-smp", f"cpus={guest.vcpus}", "-m", f"size={math.ceil(guest.memory / MIB)}M", "-uuid", guest.id,
        "-smbios", f"type=1,manufacturer={_MAKER},product={_PRODUCT},serial={guest.id},uuid={guest.id},family=Virtual Machine",
        "-smbios", f"type=3,manufacturer={_MAKER},asset={_PRODUCT}",
        "-rtc", f"base={'localtime' if guest.local_time else 'utc'},clock=host,driftfix=slew", "-boot", "strict=on",
        *(("-global", "driver=cfi.pflash01,property=secure,value=on") if guest.secure_boot else ()),
    ]  # fmt: skip


def _file(name: str, fd: int, *, writable: bool) -> dict[str, object]:
    node: dict[str, object] = {"driver": "file", "node-name": name, "filename": f"/dev/fdset/{fd}"}
    # What is shared and never written needs no lock; the lock on what is written keeps a second QEMU off it.
    return node | ({"discard": "unmap"} if writable else {"read-only": True, "locking": "off"})


def _nodes(guest: Guest, files: Files) -> list[dict[str, object]]:
    nodes: list[dict[str, object]] = []
    if files.code is not None and files.vars is not None:
        nodes += [_file("code-file", files.code, writable=False), _file("vars-file", files.vars, writable=True)]
        nodes.append({"driver": "raw", "node-name": "code", "file": "code-file", "read-only": True})
        nodes.append({"driver": "raw", "node-name": "vars", "file": "vars-file"})
    for number, disk in enumerate(guest.disks):
        name = f"disk{number}"
        backing: str | None = None
        if disk.id in files.bases:
            backing = f"{name}-base"
            base = {"driver": disk.base_format, "node-name": backing, "file": f"{backing}-file", "read-only": True}
            nodes.append(_file(f"{backing}-file", files.bases[disk.id], writable=False))
            nodes.append(base | {"backing": None} if disk.base_format == "qcow2" else base)
        nodes.append(_file(f"{name}-file", files.disks[disk.id], writable=not disk.cdrom))
        node: dict[str, object] = {"driver": "qcow2", "node-name": name, "file": f"{name}-file", "backing": backing}
        nodes.append(node | ({"read-only": True} if disk.cdrom else {"discard": "unmap", "detect-zeroes": "unmap"}))
    for one in guest.drives:
        nodes += drive.nodes(one, files.drives[one.id])
    if files.config is not None:
        nodes.append(_file("config-file", files.config, writable=False))
        nodes.append({"driver": "raw", "node-name": "config", "file": "config-file", "read-only": True})
    return nodes


def _disks(guest: Guest, bus: _Bus, *, older: bool) -> list[dict[str, object]]:
    devices: list[dict[str, object]] = []
    used = dict.fromkeys(("virtio", "scsi", "sata", "ide", "usb"), 0)
    buses = _buses(guest)
    if "scsi" in buses:
        devices.append({"driver": "virtio-scsi-pci", "id": "scsi"} | bus.fixed())
    if "usb" in buses:
        devices.append({"driver": "qemu-xhci", "id": "usb", "bus": "pci.0" if older else "pcie.0", "p2": 15, "p3": 15})
    if older and "sata" in buses:
        devices.append({"driver": "ich9-ahci", "id": "sata", "bus": "pci.0"})
    first = next((disk.id for disk in guest.disks if disk.id == guest.boot_from), guest.disks[0].id if guest.disks else "")

    def place(kind: str, name: str) -> dict[str, object]:
        kind = "sata" if kind == "ide" and not older else kind
        count = used[kind]
        used[kind] += 1
        if kind == "virtio":
            return bus.port(name) if any("drive" in one for one in devices) else bus.fixed()
        places: dict[str, dict[str, object]] = {
            "scsi": {"bus": "scsi.0", "lun": count},
            "usb": {"bus": "usb.0", "port": str(count + 1)},
            "sata": {"bus": f"sata.{count}" if older else f"ide.{count}"},
            "ide": {"bus": f"ide.{count // 2}", "unit": count % 2},
        }
        return places[kind]

    def plug(one: Drive) -> None:
        devices.append(drive.device(one) | place(one.bus, drive.DEVICE + drive.slot(one)))
        if one.boot >= 0:
            devices[-1]["bootindex"] = one.boot + 1 + len(guest.disks[:1])

    # A guest that is rescued keeps the disk that it boots from else at its first place, so that nothing in it is renamed.
    ahead = [one for one in guest.drives if one.boot == 0 and guest.boot_from]
    for one in ahead:
        plug(one)
    for number, disk in enumerate(guest.disks):
        name, end = f"dev-disk{number}", "cd" if disk.cdrom else "hd"
        kind = {"virtio": "virtio-blk-pci", "scsi": f"scsi-{end}", "usb": "usb-storage"}.get(disk.bus, f"ide-{end}")
        devices.append({"driver": kind, "id": name, "drive": f"disk{number}", "serial": disk.id[:20]} | place(disk.bus, name))
        if disk.id == first:
            devices[-1]["bootindex"] = 1
    for one in guest.drives:
        if one not in ahead:
            plug(one)
    return devices


def _cards(guest: Guest, bus: _Bus) -> list[dict[str, object]]:
    return [card(nic) | bus.port(f"nic-{nic.port_id}") for nic in guest.nics]


def card(nic: Nic) -> dict[str, object]:
    """The device of a network card, without its place."""
    device: dict[str, object] = {"driver": _CARDS[nic.model], "id": f"nic-{nic.port_id}", "netdev": f"net-{nic.port_id}"}
    device |= {"mac": nic.mac, "romfile": ""}
    if nic.queues > 1:
        device |= {"mq": True, "vectors": 2 * nic.queues + 2}
    return device | {"host_mtu": nic.mtu} if nic.model == "virtio" else device
