"""What a block driver does: it makes the volumes of one host be as they are described.

A volume's data is the driver's own (a file, an image of a cluster); nothing but the driver and the hypervisor touches it.
`ensure` brings one volume to its description and tells what it is now; "already so" and "already gone" are success. It may
last as long as copying lasts; a call that is cancelled leaves the volume as it was, or what the next call finishes. While a
guest holds a volume, the hypervisor changes its size and its snapshots, and `ensure` must not be called for it.

A volume is made anew when `make` is higher than the count it was made at: from nothing, from an image, from a volume or a
snapshot of one, from data that was written to its stage, or from one of its own snapshots. A driver knows nothing of tenants.
"""

from typing import Protocol

import msgspec

FORMATS = ("qcow2", "raw")
EXPORTS = {"raw": "raw", "qcow2": "qcow2", "vmdk": "vmdk", "vdi": "vdi", "vhd": "vpc", "vhdx": "vhdx"}
"""Formats that a volume can be exported in, and QEMU's names of them."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What a volume is made from; exactly one of `image`, `volume`, `stage` is there.

    image: the id of an inspected image, whose bytes are at `path`. volume: another volume of this host, or the volume itself (to
    change its format or its encryption), as it is in `snapshot` where that is named. stage: what was written under that name.
    format, secret: those of what is read. keep: the volume goes back to its own `snapshot`, and keeps its others.
    """

    image: str = ""
    path: str = ""
    size: int = 0
    volume: str = ""
    snapshot: str = ""
    stage: str = ""
    format: str = "raw"
    secret: bytes = b""
    keep: bool = False


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """A copy of a volume as it is, or was when `snapshot` was made, in a file that can be read.

    format: one of EXPORTS; of an encrypted volume only `raw`, which is then LUKS with the passphrase that the volume has.
    """

    id: str
    snapshot: str = ""
    format: str = "raw"


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """The whole description of one volume. Sizes in bytes.

    format: `qcow2` (snapshots, one guest) or `raw` (several guests at once). secret: the sealed passphrase of an encrypted one.
    make: 0 while there is nothing to make yet. snapshots: the ids of those it has. stage: the name that data may be written to.
    """

    id: str
    size: int
    format: str = "qcow2"
    secret: bytes = b""
    make: int = 1
    source: Source | None = None
    snapshots: tuple[str, ...] = ()
    exports: tuple[Export, ...] = ()
    stage: str = ""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What is seen of one volume. fault: a public sentence when it could not be brought to what was asked.

    made: the count it was last made at, 0 where it has no data. used: bytes it takes on the host. exports: those that can be
    read, with their sizes. held: whether a guest has it.
    """

    id: str
    made: int = 0
    size: int = 0
    used: int = 0
    snapshots: tuple[str, ...] = ()
    exports: dict[str, int] = {}
    held: bool = False
    fault: str | None = None


class Block(Protocol):
    """Asynchronous; one caller per volume at a time, any number of volumes at once. Raises DriverError with a public sentence."""

    async def observe(self) -> list[str]:
        """The ids of all volumes of ours on this host, also of those nobody asks for any more."""

    async def look(self, volume_id: str) -> Seen:
        """What a volume is now; nothing is changed."""

    async def ensure(self, volume: Volume) -> Seen:
        """Bring the data of a volume that no guest holds to its description."""

    async def publish(self, volume: Volume) -> Seen:
        """Bring its exports to what is described, also while a guest holds it; those of a held volume name a snapshot."""

    async def remove(self, volume_id: str) -> None:
        """Delete all that was made for it. Idempotent."""

    async def read(self, volume_id: str, export: str, offset: int, count: int) -> bytes:
        """Bytes of an export; fewer at its end, none where all of them are zero."""

    async def write(self, volume_id: str, stage: str, offset: int, data: bytes) -> None:
        """Write to a stage, which reads as zero where nothing was written."""

    def path(self, volume: Volume) -> str:
        """What the hypervisor opens. Raises DriverError where the data is not there, or was made as another than is described."""

    async def close(self) -> None:
        """End what is under way."""
