"""What the driver keeps of each guest on disk: its folder, its record, and the uid it runs as.

Folders are root's alone; QEMU gets open files, never a path. A uid is taken by a symbolic link `uids/<uid>` -> guest id,
which the file system makes for one guest only.
"""

import os
import shutil
from pathlib import Path

import msgspec

from andromede.core.errors import DriverError
from andromede.core.ids import is_id
from andromede.drivers.hypervisor import Drive, Guest, Held

ASKED, BY_ITSELF, CRASHED, SAVED = "asked", "by itself", "crashed", "saved"


class Record(msgspec.Struct, kw_only=True):
    """What a guest was last started as, and how that run ended (`ended`, empty while it runs or has never run).

    guest.nics and guest.drives are those that the process may have anything of. drives: what QEMU last said of its volumes.
    cut: ports whose card the guest has not let go of, though their network is gone. pid, ticks, host_boot: which process it is.
    asked: on the monotonic clock, when it was asked to stop; 0 when not.

    points: which there are, by disk. saving: whether its memory is being written to disk. places, ports, machine: what the process
    whose memory is on disk was made of (`places.find`). captures: copies that came to an end, with a fault or an empty text.
    parts: the files of those that are being made.

    mirrors: volumes that are open beside those that the guest has, by their place (`swapping`).
    departing: names its move to another host; was: QEMU's run state before it; streaming, sent: whether its memory is being sent, and all is;
    gone: whether the other host knows; failed: why it could not be. arrival: the move by which it comes; arrived: whether it has.
    """

    id: str
    uid: int = 0
    guest: Guest | None = None
    cut: tuple[str, ...] = ()
    drives: tuple[Held, ...] = ()
    boots: int = 0
    pid: int = 0
    ticks: int = 0
    host_boot: str = ""
    started: float = 0.0
    asked: float = 0.0
    ended: str = ""
    fault: str | None = None
    points: dict[str, tuple[str, ...]] = {}
    saving: bool = False
    places: dict[str, dict[str, object]] = {}
    ports: int = 0
    machine: str = ""
    captures: dict[str, str] = {}
    parts: dict[str, str] = {}
    mirrors: dict[str, Drive] = {}
    departing: str = ""
    was: str = ""
    streaming: bool = False
    sent: bool = False
    gone: bool = False
    failed: str = ""
    arrival: str = ""
    arrived: bool = False


def host_boot() -> str:
    """Names the time since the host was started."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class Store:
    """The folders below `root`."""

    def __init__(self, root: Path, uid_base: int, uid_count: int) -> None:
        self.root = root
        self._uids = root / "uids"
        self._range = range(uid_base, uid_base + uid_count)
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        root.chmod(0o700)
        self._uids.mkdir(exist_ok=True, mode=0o700)

    def path(self, guest_id: str) -> Path:
        """The guest's folder."""
        return self.root / guest_id

    def make(self, guest_id: str) -> Path:
        """The guest's folder, made if it is not there."""
        path = self.path(guest_id)
        path.mkdir(exist_ok=True, mode=0o700)
        return path

    def ids(self) -> set[str]:
        """Every guest of which there is anything here."""
        with os.scandir(self.root) as entries:
            return {entry.name for entry in entries if is_id(entry.name)} | set(self._owners())

    def load(self, guest_id: str) -> tuple[Record, bool]:
        """The guest's record, and whether there was a sound one."""
        try:
            record = msgspec.json.decode((self.path(guest_id) / "guest.json").read_bytes(), type=Record)
        except FileNotFoundError:
            return Record(id=guest_id), False
        except (msgspec.MsgspecError, OSError):
            return Record(id=guest_id, fault="The record of this server on its host was damaged."), False
        return record, True

    def save(self, record: Record) -> None:
        """Keep a record, whole or not at all, with the process's pid beside it for people."""
        for name, data in (("guest.json", msgspec.json.encode(record)), ("qemu.pid", b"%d\n" % record.pid)):
            path = self.path(record.id) / name
            fresh = path.with_suffix(".new")
            fresh.write_bytes(data)
            fresh.chmod(0o600)
            fresh.replace(path)

    def owner(self, guest_id: str) -> int | None:
        """The uid taken for a guest."""
        return self._owners().get(guest_id)

    def take(self, guest_id: str, busy: set[int]) -> int:
        """Take a uid for a guest that is in no other's hands, nor among `busy`. Raises DriverError when none is left."""
        used = {*self._owners().values(), *busy}
        for uid in self._range:
            if uid in used:
                continue
            try:
                (self._uids / str(uid)).symlink_to(guest_id)
            except FileExistsError:
                continue
            return uid
        raise DriverError("The host has no user id left to run this server as.")

    def forget(self, guest_id: str) -> None:
        """Delete the guest's folder, then give back its uid."""
        path = self.path(guest_id)
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.exists():
            shutil.rmtree(path)
        uid = self.owner(guest_id)
        if uid is not None:
            (self._uids / str(uid)).unlink(missing_ok=True)

    def _owners(self) -> dict[str, int]:
        with os.scandir(self._uids) as entries:
            return {Path(entry.path).readlink().name: int(entry.name) for entry in entries if entry.is_symlink()}
