"""The link between the cloud and the agents of its hosts: what is wished for there, and what is seen there.

The engine pushes the full desired set of a host, with a generation; the agent keeps it on disk, converges to it and
reports. Nothing here says how; `agent.client` is the real link, `agent.inside` hosts that live in this process.
"""

import socket
from typing import Protocol

import msgspec

from andromede.drivers import block
from andromede.drivers.hypervisor import QEMU, Arrival, Capture, Departure, Host, Power, Seen
from andromede.drivers.network import MetadataEnd

PRIVATE = "openstack/latest/andromede/"
"""Where a server finds the documents that the cloud has for a program of its own in it."""


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """An immutable image. `path`: where its bytes are (local to the host, or in the store the agents share); format: `qcow2` or `raw`."""

    id: str
    path: str
    format: str
    size: int


class Nic(msgspec.Struct, frozen=True, kw_only=True):
    """A port of a guest, with the addresses that the metadata service knows it by."""

    port_id: str
    network_id: str
    mac: str
    mtu: int = 1442
    addresses: tuple[str, ...] = ()


class Rescue(msgspec.Struct, frozen=True, kw_only=True):
    """What a guest is rescued with: it boots from a disk made of another image, and has its own disks beside it.

    stable: the disk comes after the others, on this bus, so that those keep their names; otherwise it takes the first place.
    """

    image: Image
    id: str
    size: int
    bus: str = "virtio"
    cdrom: bool = False
    stable: bool = False
    kernel: Image | None = None
    initrd: Image | None = None


class Attached(msgspec.Struct, frozen=True, kw_only=True):
    """A volume that a guest has; its data is that of the host's volume of this id. The fields are those of `hypervisor.Drive`."""

    id: str
    bus: str = "virtio"
    readonly: bool = False
    shared: bool = False
    boot: int = -1
    limits: dict[str, int] = {}
    slot: str = ""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """One guest as it should be. Sizes in bytes. disk: 0 for a guest without one of its own, which boots from a volume.

    root: id of its root disk, with its `points` and `past` (drivers.hypervisor.Disk). captures: copies of it that are to be made.
    files: what its metadata service and config drive answer, by path (`openstack/latest/meta_data.json`).
    private: what its metadata service alone answers, for the program of the cloud's in the guest; only a guest with such documents may put
    its state there.
    """

    id: str
    vcpus: int
    memory: int
    disk: int
    image: Image | None = None
    kernel: Image | None = None
    initrd: Image | None = None
    cmdline: str = ""
    firmware: str = "bios"
    disk_bus: str = "virtio"
    nic_model: str = "virtio"
    volumes: tuple[Attached, ...] = ()
    nics: tuple[Nic, ...] = ()
    power: Power = Power.RUNNING
    boots: int = 0
    soft: bool = False
    config_drive: bool = False
    files: dict[str, bytes] = {}
    private: dict[str, bytes] = {}
    root: str = ""
    points: tuple[str, ...] = ()
    past: tuple[str, str] | None = None
    rescue: Rescue | None = None
    captures: tuple[Capture, ...] = ()
    machine: str = ""
    video: str = "vga"
    secure_boot: bool = False
    tpm: str = ""
    local_time: bool = False
    huge_pages: bool = False
    queues: int = 1
    hypervisor: str = QEMU
    departure: Departure | None = None
    arrival: Arrival | None = None


class Desired(msgspec.Struct, frozen=True, kw_only=True):
    """All that a host should have. A set of a lower generation than the one held is ignored."""

    generation: int
    guests: tuple[Wish, ...] = ()
    metadata: tuple[MetadataEnd, ...] = ()
    volumes: tuple[block.Volume, ...] = ()


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """The last state that a guest put to its metadata service, and the serial of the report that first told of it."""

    serial: int
    data: bytes


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent sees. `serial` goes up with each change; `generation` is that of the set it holds.

    network: which parts of the network serve this host, of `controller` (OVN's) and `metadata`.
    passwords: what guests posted as their passwords, encrypted with their users' keys, by guest.
    told: the states that guests put since the serial that was asked from; they are not kept over a restart of the agent.
    """

    serial: int
    generation: int
    host: Host | None = None
    guests: tuple[Seen, ...] = ()
    network: tuple[str, ...] = ()
    passwords: dict[str, bytes] = {}
    told: dict[str, Told] = {}
    volumes: tuple[block.Seen, ...] = ()


class Hosts(Protocol):
    """Synchronous, thread-safe. Raises Unavailable where a host does not answer."""

    def push(self, host: str, desired: Desired) -> None:
        """Hand over the full desired set."""

    def wait(self, serials: dict[str, int], timeout: float) -> dict[str, Report | None]:
        """For the hosts named: reports newer than these serials, as soon as there is one; None for a host that is away."""

    def console(self, host: str, guest_id: str) -> bytes:
        """The tail of a guest's serial console."""

    def open(self, host: str, guest_id: str, what: str) -> socket.socket:
        """A connection to a guest's `serial` line or `vnc` display; the caller closes it. Raises Conflict where there is none."""

    def diagnostics(self, host: str, guest_id: str) -> dict[str, object]:
        """Counters of a running guest."""

    def read_volume(self, host: str, volume_id: str, export: str, offset: int, count: int) -> bytes:
        """Bytes of an export of a volume; none where all of them are zero. Raises Unavailable where it cannot be read now."""

    def write_volume(self, host: str, volume_id: str, stage: str, offset: int, data: bytes) -> None:
        """Write to the stage of a volume; on the host's disk when this returns. Raises Unavailable where that cannot be done now."""

    def close(self) -> None:
        """Let go of connections."""
