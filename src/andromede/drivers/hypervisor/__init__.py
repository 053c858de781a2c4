"""What a hypervisor driver does: it makes the guests of one host be as they are described.

`ensure` moves one guest one step towards its description and tells what it is now; the agent calls it again until both
agree. So a call may return a state that is not there yet (`STOPPING` while a guest shuts down). "Already so" and
"already gone" are success. Guests outlive the process that holds the driver; `observe` finds them again by names
derived from ids, and `ensure` adopts them. A driver never imports a database and knows nothing of tenants.

A guest that ended by itself, in order or not, stays ended while it is asked to be RUNNING at the same `boots`, so that a
server can switch itself off and a broken one does not start for ever. It starts again when `boots` is higher, or after
`ensure` has been called with STOPPED.

Volumes follow the description of a running guest: plugged in and taken out, enlarged, snapshotted and limited in use. A guest has
to let go of one that is taken away, and keeps it until it does; `Seen.drives` tells which it has, and how they are.

Network cards follow the description of a running guest too. A guest has to let go of a card that is taken away; one that does
not is cut from the network after a while all the same. The tap of a card must stay until `Seen.nics` holds it no more.

A running guest goes to another host in two halves, each asked for by a description. There, one with an `arrival` is made, empty and
waiting (ARRIVING). Here, one with a `departure` tells what machine it is (DESCRIBED), and where `to` names the other host sends disks and
memory there (SENDING). Once all has been sent (SENT) it does not run here again unless `back` says so; the other half is told, and runs (GONE).
A departure that is not asked for any more before that is taken back, and the guest goes on here. `reach` is how one half speaks to the other.

A SUSPENDED guest takes no memory of the host: what it held is on disk, and RUNNING at the same `boots` goes on from there.
A higher `boots` starts it afresh, and STOPPED forgets it. Disks that a description holds no more are deleted when the guest is
started next, so that one can be made from a point of another (`Disk.past`).
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Protocol

import msgspec

from andromede.core.errors import DriverError

MOST_NICS = 16
"""The most network cards that a guest can have, so that there is room for each even if all are plugged while it runs."""
QEMU, LXC = "qemu", "lxc"
"""The hypervisors that there are, by the names that images give them."""
TRAIT = "CUSTOM_HYPERVISOR_"
"""What a host's trait for each hypervisor that it has begins with; the name follows in capitals."""


TPM, SECURE_BOOT = "COMPUTE_SECURITY_TPM_2_0", "COMPUTE_SECURITY_UEFI_SECURE_BOOT"
"""The traits of hosts that guests with a TPM, or with secure boot, can run on."""

MOST_DRIVES = 15
"""The most volumes that a guest can have, besides the one it boots from, for the same reason."""


class Power(StrEnum):
    """What a guest is asked to be."""

    RUNNING = "running"
    STOPPED = "stopped"
    PAUSED = "paused"
    SUSPENDED = "suspended"


class State(StrEnum):
    """What a guest is seen to be. CRASHED: it ended by itself in a way that the guest did not ask for."""

    RUNNING = "running"
    STOPPED = "stopped"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    STOPPING = "stopping"
    CRASHED = "crashed"
    ARRIVING = "arriving"
    ABSENT = "absent"


class Phase(StrEnum):
    """How far a guest has come on its way to another host."""

    DESCRIBED = "described"
    SENDING = "sending"
    SENT = "sent"
    GONE = "gone"


class Departure(msgspec.Struct, frozen=True, kw_only=True):
    """A running guest goes to another host. id: names the move. to: the host, once that waits for it. back: it goes on here after all.

    force: it stands still while its memory is sent, if that has not come to an end yet.
    """

    id: str
    to: str = ""
    force: bool = False
    back: bool = False


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """A guest comes from another host. machine: what that told of it (`Move.machine`), in the driver's own words."""

    id: str
    machine: bytes


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """How a departure stands. Bytes of its memory (`done` of `total`) and its disks. fault: why it cannot be; the guest goes on here."""

    id: str
    phase: Phase
    machine: bytes = b""
    done: int = 0
    total: int = 0
    disk_done: int = 0
    disk_total: int = 0
    fault: str = ""


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """A disk of a guest. The driver makes it as a copy-on-write layer over `base`, or empty, if it is not there yet.

    id: names it; also its serial number in the guest (first 20 characters).
    base: absolute path of an immutable image on this host, already inspected; None for an empty disk.
    base_format: `qcow2` or `raw`; never guessed.
    size: bytes the guest sees; at least the virtual size of the base.
    bus: `virtio`, `scsi`, `sata`, `ide` or `usb`. cdrom: it is a read-only CD-ROM (not on `virtio` or `usb`).
    points: states of it that are kept, by name; one that is not there yet is made when the guest is started or stopped next.
    past: (disk, point): it is made of another disk of the guest as that was at a point of its own, and takes its place.
    """

    id: str
    size: int
    base: str | None = None
    base_format: str = "raw"
    bus: str = "virtio"
    cdrom: bool = False
    points: tuple[str, ...] = ()
    past: tuple[str, str] | None = None


class Capture(msgspec.Struct, frozen=True, kw_only=True):
    """A copy of a disk as it is at one moment, in qcow2 without a base, made once at `path` (absolute, in a folder that is there).

    The copy belongs to the owner of the folder. A running guest goes on; its file systems are at rest at that moment where a
    guest agent answers. What is not wanted any more before it is whole leaves nothing.
    """

    id: str
    disk: str
    path: str


class Nic(msgspec.Struct, frozen=True, kw_only=True):
    """A network card. Its tap (`core.ids.tap_name(port_id)`) is made by the network driver before the guest starts.

    queues: pairs of them, for `virtio`; the tap must have as many.
    """

    port_id: str
    mac: str
    mtu: int = 1500
    model: str = "virtio"
    queues: int = 1


class Drive(msgspec.Struct, frozen=True, kw_only=True):
    """A volume of a guest: its data is there already and outlives the guest.

    id: the volume's; also its serial number in the guest (first 20 characters). path: what is opened. format: `qcow2` or `raw`; never
    guessed. secret: the sealed passphrase of an encrypted one. size, snapshots: what it is to be brought to while it is in use; the size
    never gets smaller. shared: other guests may write to it, too. boot: its place in the order of booting; below 0 for none.
    limits: in the keys of QoS specs (`total_iops_sec`, `read_bytes_sec_max` …), bytes or requests a second. slot: names its place in the
    guest, where that is not its own id: a volume that is described in another's place gets all of its data, and then takes it.
    """

    id: str
    path: str
    size: int
    format: str = "qcow2"
    secret: bytes = b""
    bus: str = "virtio"
    readonly: bool = False
    shared: bool = False
    boot: int = -1
    snapshots: tuple[str, ...] = ()
    limits: dict[str, int] = {}
    slot: str = ""


class Guest(msgspec.Struct, frozen=True, kw_only=True):
    """The whole description of one guest.

    id: the server's id. hypervisor: `qemu` for a virtual machine, `lxc` for a system container, which shares the host's kernel: the
    base of its one disk is an archive of its root file system, and firmware, buses and kernels mean nothing to it. vcpus: count.
    memory: bytes. disks: it boots from the first, or from the one that `boot_from` names; without any, from a volume. drives: its
    volumes, in the order the guest finds them in.
    firmware: `bios` or `uefi`, with `secure_boot` (which needs the `q35` machine). tpm: model of a TPM 2.0 of its own (`tpm-crb`,
    `tpm-tis`), or none. machine: `q35` or `pc`; empty for what its disks need. video: `vga`, `virtio`, `qxl`, `bochs`, `none`.
    local_time: whether its clock shows local time, as Windows wants. huge_pages: whether its memory is in the host's huge pages.
    captures: copies of its disks that are to be made. kernel, initrd: absolute paths for a direct boot, with `cmdline`.
    config_drive: absolute path of an ISO 9660 or vfat image, attached read-only as a disk labelled config-2.
    seed: absolute path of a folder with the same files, for a container, which finds them where cloud-init looks.
    boots: counts hard or soft restarts asked for; a running guest that was started at a lower count is restarted.
    soft: whether stopping and restarting asks the guest first (ACPI) and forces only after `grace` seconds.
    cpu_shares: relative weight under contention, 1024 = one vCPU's worth; None for 1024 a vCPU.
    """

    id: str
    vcpus: int
    memory: int
    disks: tuple[Disk, ...] = ()
    drives: tuple[Drive, ...] = ()
    nics: tuple[Nic, ...] = ()
    power: Power = Power.RUNNING
    boots: int = 0
    soft: bool = False
    grace: float = 60.0
    firmware: str = "bios"
    kernel: str | None = None
    initrd: str | None = None
    cmdline: str = ""
    config_drive: str | None = None
    cpu_shares: int | None = None
    boot_from: str = ""
    secure_boot: bool = False
    tpm: str = ""
    machine: str = ""
    video: str = "vga"
    local_time: bool = False
    huge_pages: bool = False
    captures: tuple[Capture, ...] = ()
    hypervisor: str = QEMU
    departure: Departure | None = None
    arrival: Arrival | None = None
    seed: str | None = None


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A volume that a running guest has, as the hypervisor sees it."""

    id: str
    size: int
    snapshots: tuple[str, ...] = ()


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What is seen of one guest. `fault`: a public sentence when it could not be brought to what was asked.

    boots: the count it was last started with. started: seconds since the epoch, 0 when it does not run. nics: ids of the ports
    whose taps it holds while it runs. drives: the volumes that it has while it runs. captures: of those asked for that have come to
    an end, a fault or an empty text.
    """

    id: str
    state: State
    boots: int = 0
    started: float = 0.0
    fault: str | None = None
    nics: tuple[str, ...] = ()
    captures: dict[str, str] = {}
    drives: tuple[Held, ...] = ()
    move: Move | None = None


Reach = Callable[[str, str, str], Awaitable[socket.socket]]
"""(host, guest id, what): the same as `Hypervisor.open` on another host."""


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """What the host offers. `acceleration`: `kvm` (proved by a guest) or `tcg`; `why` says in a sentence why not KVM.

    limits: which limits on guests the host enforces, and why others are missing, in a sentence.
    traits: what else it can do, in the words of os-traits. booted: when the host was started, in seconds since the epoch; 0 unknown.
    """

    hypervisor: str
    version: int
    acceleration: str
    why: str
    vcpus: int
    memory: int
    disk: int
    disk_free: int
    memory_free: int
    cpu_model: str
    limits: str = ""
    traits: tuple[str, ...] = ()
    booted: int = 0


class Hypervisor(Protocol):
    """Asynchronous; one caller per guest at a time, any number of guests at once.

    changes: ids of guests whose state changed by itself, at once. Ids may be lost or repeated: polling is the guarantee.
    """

    changes: asyncio.Queue[str]
    reach: Reach

    async def host(self) -> Host:
        """What this host offers now."""

    async def observe(self) -> list[Seen]:
        """Every guest of ours on this host, running or not, found by name; also those nobody asks for any more."""

    async def owner(self, guest_id: str) -> int:
        """The uid that the guest runs as; chosen and recorded when first asked for, before its taps are made."""

    async def ensure(self, guest: Guest) -> Seen:
        """Move `guest` one step towards its description. Raises DriverError with a public sentence when it cannot."""

    async def remove(self, guest_id: str) -> None:
        """End the guest and delete all that was made for it: process, disks, sockets, cgroup, logs, uid. Idempotent."""

    async def console(self, guest_id: str) -> bytes:
        """The tail of its serial console, at most 100 KiB kept over restarts; empty when there is none."""

    async def open(self, guest_id: str, what: str) -> socket.socket:
        """A connection to a running guest's `serial` line or `vnc` display (RFB without a password), the caller's to close.

        Raises DriverError (409) when it does not run or has no such thing. A serial line has one reader: the last to come.
        `tcp ADDRESS PORT`: to what listens there in the guest itself, where the driver has a way in (containers).
        For the host that an ARRIVING guest comes from: `disk N`, `memory`, and `finish`, which is answered once it runs.
        """

    async def diagnostics(self, guest_id: str) -> dict[str, object]:
        """Counters of a running guest in the keys of Compute's diagnostics 2.48 (cpu_details, disk_details, nic_details …)."""

    async def close(self) -> None:
        """Let go of sockets and tasks; guests go on."""


async def unreachable(host: str, _guest_id: str, _what: str) -> socket.socket:
    """For hosts that know no other."""
    raise DriverError(f"The host {host} cannot be reached from here.")
