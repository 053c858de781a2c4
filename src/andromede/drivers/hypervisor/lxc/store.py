"""What the driver keeps of each container on disk: its folder, its record, and the range of ids that is its own.

A range is taken by a symbolic link `ranges/<number>` -> container's id, which the file system makes for one container only.
"""

import contextlib
import os
import shutil
from pathlib import Path

import msgspec

from andromede.core.errors import DriverError
from andromede.core.ids import is_id
from andromede.drivers.hypervisor import Guest
from andromede.drivers.hypervisor.lxc.mounts import RANGE

FIRST = 0x70000000
"""The first id of containers: behind those that systemd gives to its own."""
MOST = 4095
ASKED, BY_ITSELF, CRASHED = "asked", "by itself", "crashed"


class Record(msgspec.Struct, kw_only=True):
    """What a container was last started as, and how that run ended (`ended`, empty while it runs or has never run).

    pid, ticks: LXC's process that watches it. asked: on the monotonic clock, when it was asked to stop; 0 when not.
    captures: copies of its root that have come to an end, each with a fault or an empty text. parts: where those under way are put.
    """

    id: str
    guest: Guest | None = None
    boots: int = 0
    pid: int = 0
    ticks: int = 0
    started: float = 0.0
    asked: float = 0.0
    ended: str = ""
    fault: str | None = None
    captures: dict[str, str] = {}
    parts: dict[str, str] = {}


class Store:
    """The folders below `root`. Others than root may pass through it, into the one container that is theirs.

    numbers: the ranges that it may take; two hosts on one machine share none.
    """

    def __init__(self, root: Path, numbers: range = range(1, MOST + 1)) -> None:
        self.root, self._numbers = root, numbers
        self.images = root / "images"
        self._ranges = root / "ranges"
        for folder, mode in ((root, 0o711), (self.images, 0o700), (self._ranges, 0o700)):
            folder.mkdir(parents=True, exist_ok=True, mode=mode)
            folder.chmod(mode)

    def path(self, guest_id: str) -> Path:
        """The container's folder."""
        return self.root / guest_id

    def make(self, guest_id: str) -> Path:
        """The container's folder, which its own root may pass through, made if it is not there."""
        path = self.path(guest_id)
        path.mkdir(exist_ok=True, mode=0o710)
        os.chown(path, 0, self.take(guest_id))
        path.chmod(0o710)
        return path

    def ids(self) -> set[str]:
        """Every container of which there is anything here."""
        with os.scandir(self.root) as entries:
            return {entry.name for entry in entries if is_id(entry.name)} | set(self._owners())

    def load(self, guest_id: str) -> Record:
        """The container's record; one that was damaged says so."""
        try:
            return msgspec.json.decode((self.path(guest_id) / "guest.json").read_bytes(), type=Record)
        except FileNotFoundError:
            return Record(id=guest_id)
        except (msgspec.MsgspecError, OSError):
            return Record(id=guest_id, fault="The record of this server on its host was damaged.")

    def save(self, record: Record) -> None:
        """Keep a record, whole or not at all."""
        path = self.path(record.id) / "guest.json"
        fresh = path.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(record))
        fresh.chmod(0o600)
        fresh.replace(path)

    def take(self, guest_id: str) -> int:
        """The first id of the container's range, taken when first asked for. Raises DriverError when none is left."""
        taken = self._owners()
        if guest_id in taken:
            return FIRST + taken[guest_id] * RANGE
        for number in self._numbers:
            if number in taken.values():
                continue
            try:
                (self._ranges / str(number)).symlink_to(guest_id)
            except FileExistsError:
                continue
            return FIRST + number * RANGE
        raise DriverError("The host has no range of ids left for this container.")

    def forget(self, guest_id: str) -> None:
        """Delete the container's folder, in which nothing is mounted any more, then give back its range."""
        path = self.path(guest_id)
        if path.exists():
            shutil.rmtree(path)
        number = self._owners().get(guest_id)
        if number is not None:
            (self._ranges / str(number)).unlink(missing_ok=True)

    def _owners(self) -> dict[str, int]:
        found: dict[str, int] = {}
        with os.scandir(self._ranges) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):  # given back while we look
                    found[Path(entry.path).readlink().name] = int(entry.name)
        return found
