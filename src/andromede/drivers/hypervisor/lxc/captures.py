"""Images of containers: an archive of the root file system as it is at one moment, of the form that containers are made of.

What a container has written is one file with a file system. That is brought to rest, copied without its holes, and goes on; the copy is laid
over the image, and an unprivileged process in a user namespace that knows the container's ids alone packs what is seen there. So the
archive holds one moment, whoever made the files reaches nothing by it, and the container waits only while the copy is made.
"""

import contextlib
import os
import shutil
import subprocess
import threading
from pathlib import Path

from andromede.core.errors import DriverError
from andromede.drivers.hypervisor import Capture, Guest
from andromede.drivers.hypervisor.lxc import mounts, roots
from andromede.drivers.hypervisor.lxc.store import Record

_COPIES = "copies"
_PIPE = -13
_FAILED = "The files of the server could not be archived."


class Captures:
    """The archives under way on one host. They are this process's work: begun anew where it ended before they were whole."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._packing: dict[tuple[str, str], _Packing] = {}

    def converge(self, guest: Guest, record: Record, first: int) -> bool:
        """Move each copy one step on; whether `record` has changed. The container's root is mounted. first: of its ids."""
        wanted = {one.id: one for one in guest.captures}
        before = (record.captures, dict(record.parts))
        record.captures = {id_: fault for id_, fault in record.captures.items() if id_ in wanted}
        for id_ in record.parts.keys() - wanted.keys():
            self._drop(guest.id, id_, Path(record.parts.pop(id_)))
        for one in guest.captures:
            if one.id in record.captures:
                continue
            try:
                whole = self._step(guest, one, record, first)
            except (DriverError, OSError) as error:
                record.captures[one.id] = error.message if isinstance(error, DriverError) else "The host has no room for the copy."
            else:
                if not whole:
                    continue
                record.captures[one.id] = ""
            self._drop(guest.id, one.id, Path(record.parts.pop(one.id)))
        return before != (record.captures, record.parts)

    def remove(self, record: Record) -> None:
        """Nothing of any copy of a container that is not whole. It is not at rest any more."""
        for id_, part in record.parts.items():
            self._drop(record.id, id_, Path(part))
        for folder in (self._root / record.id).glob(f"{_COPIES}/*"):
            self._drop(record.id, folder.name, folder / "none")
        thaw(self._root / record.id)

    def close(self) -> None:
        """End what is being packed; it is begun anew by whoever comes next."""
        for packing in self._packing.values():
            packing.end()
        self._packing.clear()

    def _step(self, guest: Guest, one: Capture, record: Record, first: int) -> bool:
        packing = self._packing.get((guest.id, one.id))
        if packing is None:
            part = Path(record.parts.setdefault(one.id, f"{one.path}.part"))
            self._drop(guest.id, one.id, part)
            view = _copy(self._root / guest.id, one)
            size = next(disk.size for disk in guest.disks if disk.id == one.disk)
            self._packing[guest.id, one.id] = _Packing(view, part, first, roots.most(size))
            return False
        if packing.is_alive():
            return False
        if packing.fault is not None:
            raise packing.fault
        finish(Path(record.parts[one.id]), Path(one.path))
        return True

    def _drop(self, guest_id: str, id_: str, part: Path) -> None:
        packing = self._packing.pop((guest_id, id_), None)
        if packing is not None:
            packing.end()
        part.unlink(missing_ok=True)
        folder = self._root / guest_id / _COPIES / id_
        for name in ("view", "disk"):
            if (folder / name).exists():
                mounts.unmount(folder / name)
        shutil.rmtree(folder, ignore_errors=True)


def thaw(folder: Path) -> None:
    """Let the file system of a container go on, where whoever brought it to rest has ended."""
    if (folder / _COPIES).exists() and mounts.mounted(folder / "disk"):
        mounts.freeze(folder / "disk", on=False)


def _copy(folder: Path, one: Capture) -> Path:
    """The root file system as it is at this moment, mounted; nobody can write to it."""
    here, source = folder / _COPIES / one.id, folder / f"{one.disk}.img"
    for path in (here.parent, here, here / "disk", here / "view"):
        path.mkdir(exist_ok=True, mode=0o700)
    room = os.statvfs(folder)
    if source.stat().st_blocks * 512 > room.f_bavail * room.f_frsize:
        raise DriverError("The host has no room for the copy.")
    mounts.freeze(folder / "disk", on=True)
    try:
        copy: list[str | Path] = ["cp", "--sparse=always", "--reflink=auto", source, here / "copy"]
        mounts.run(copy, timeout=1800, cause="The disk of the server could not be copied.")
    finally:
        mounts.freeze(folder / "disk", on=False)
    mounts.disk(here / "copy", here / "disk")
    mounts.view((here / "disk/upper", folder / "lower"), here / "view")
    return here / "view"


def finish(part: Path, target: Path) -> None:
    """Give what is whole to the owner of its folder, under its name."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    owner = target.parent.stat()
    os.chown(part, owner.st_uid, owner.st_gid)
    part.chmod(0o640)
    part.replace(target)


class _Packing(threading.Thread):
    """Packs a folder into an archive. fault: why it could not, once it has ended."""

    def __init__(self, view: Path, part: Path, first: int, most: int) -> None:
        super().__init__(daemon=True)
        self.fault: DriverError | OSError | None = None
        self._view, self._part, self._first, self._most = view, part, first, most
        self._running: list[subprocess.Popen[bytes]] = []
        self._lock, self._ended = threading.Lock(), False
        self.start()

    def run(self) -> None:
        """The whole of it."""
        try:
            with mounts.ids(0, self._first) as space:
                self._pack(space)
        except (DriverError, OSError) as error:
            self.fault = error

    def end(self) -> None:
        """Not wanted any more."""
        with self._lock:
            self._ended = True
            for process in self._running:
                process.kill()
        self.join()

    def _pack(self, space: int) -> None:
        inside = ["nsenter", "--user", f"--target={space}", "--setuid=0", "--setgid=0", "--"]
        handle = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        tar = ["tar", "-cS", "--numeric-owner", "--one-file-system", "--warning=no-file-ignored", "--exclude=./dev/*", "."]
        steps = (tar, ["head", "-c", str(self._most)], ["gzip", "-1"])
        with os.fdopen(handle, "wb") as out, contextlib.ExitStack() as pipes:
            for step in steps:
                with self._lock:
                    if self._ended:
                        raise DriverError(_FAILED)
                    before = self._running[-1].stdout if self._running else None
                    process = subprocess.Popen(
                        [*inside, *step], cwd=self._view if step is tar else "/", env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
                        stdin=before or subprocess.DEVNULL, stdout=out if step is steps[-1] else subprocess.PIPE,
                        stderr=subprocess.PIPE if step is tar else subprocess.DEVNULL,
                    )  # fmt: skip
                    self._running.append(process)
                pipes.callback(process.wait)
                if before is not None:
                    before.close()
            words = self._running[0].stderr.read() if self._running[0].stderr is not None else b""
        codes = [process.returncode for process in self._running]
        if codes[0] == _PIPE and codes[1:] == [0, 0]:
            raise DriverError("The server holds more files than an image for its flavor may have.")
        if any(codes):
            raise DriverError(_FAILED) from OSError(f"{codes}: {words.decode(errors='replace').strip()[-500:]}")
