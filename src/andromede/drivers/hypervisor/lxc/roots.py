"""The root file system of a container: its image, unpacked once and shared, under a disk of its own of the size asked for.

An image is an archive that a tenant made. It is unpacked by an unprivileged process, in a user namespace without any rights outside
it, and no more of it than fits the disk; its ids are those of the range that no container has. Each container sees it shifted to
its own range. What it writes goes to a file system in a sparse file: that one was made here, and the container cannot touch
the bytes that it is made of.
"""

import os
import shutil
import subprocess
from pathlib import Path

from andromede.core.errors import DriverError
from andromede.core.units import MIB
from andromede.drivers.hypervisor import Disk
from andromede.drivers.hypervisor.lxc import mounts
from andromede.drivers.hypervisor.lxc.store import FIRST

_PACKERS = {b"\x1f\x8b": ["gzip", "-dc"], b"\xfd7zXZ\0": ["xz", "-dc"], b"\x28\xb5\x2f\xfd": ["zstd", "-dc"], b"BZh": ["bzip2", "-dc"]}
_KEPT = 3
_SIGNALS = {"systemd": "SIGRTMIN+3", "busybox": "SIGUSR2", "ash": "SIGUSR2"}


def most(size: int) -> int:
    """How large the files of an image may be, in bytes, for a disk of `size`: as much as that one holds and the image below it."""
    return 2 * size + MIB


def unpack(images: Path, archive: Path, limit: int) -> Path:
    """The unpacked image, made if it is not there. Raises DriverError where it is no archive, or has more than `limit` bytes."""
    target = images / archive.name
    if target.exists():
        os.utime(target)
        return target
    part = target.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    part.chmod(0o755)
    os.chown(part, FIRST, FIRST)
    try:
        with mounts.ids(0, FIRST) as space, archive.open("rb") as file:
            _unpack(space, file.fileno(), _packer(archive), limit, part)
        if not (part / "sbin").exists() and not (part / "sbin").is_symlink():
            raise DriverError("The image is no archive of a root file system: it has no sbin/init.")
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    os.sync()
    part.rename(target)
    return target


def _unpack(space: int, source: int, packer: list[str], limit: int, target: Path) -> None:
    inside = ["nsenter", "--user", f"--target={space}", "--setuid=0", "--setgid=0", "--"]
    steps = [packer, ["head", "-c", str(limit)], ["tar", "-xp", "--numeric-owner", "--same-owner", "--exclude=./dev/*", "--exclude=dev/*"]]
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    running: list[subprocess.Popen[bytes]] = []
    before: int | None = source
    for step in steps:
        last = step is steps[-1]
        process = subprocess.Popen(
            [*inside, *step], cwd=target if last else "/", env=environment, stdin=before,
            stdout=subprocess.DEVNULL if last else subprocess.PIPE, stderr=subprocess.PIPE if last else subprocess.DEVNULL,
        )  # fmt: skip
        if running and running[-1].stdout is not None:
            running[-1].stdout.close()
        before = process.stdout.fileno() if process.stdout is not None else None
        running.append(process)
    try:
        words = running[-1].communicate(timeout=600)[1]
    except subprocess.TimeoutExpired as error:
        raise DriverError("The image could not be unpacked in time.") from error
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
            process.wait()
    if running[-1].returncode:
        cause = OSError(words.decode(errors="replace").strip()[-500:])
        raise DriverError("The image is no sound archive of a root file system, or does not fit the disk of the server.") from cause


def _packer(archive: Path) -> list[str]:
    with archive.open("rb") as file:
        head = file.read(8)
    return next((command for magic, command in _PACKERS.items() if head.startswith(magic)), ["cat"])


def prune(images: Path, used: set[str]) -> None:
    """Remove unpacked images that nobody uses, but for the last few."""
    idle = sorted((path for path in images.iterdir() if path.name not in used), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in idle[_KEPT:]:
        shutil.rmtree(path, ignore_errors=True)


def ensure(folder: Path, image: Path | None, wanted: Disk, *, first: int) -> Path:
    """A container's root file system, mounted: `image` shifted to the range from `first` on, over its disk.

    A disk of another id than the one that is there begins empty, but for one that is made of the past of that one: a container has no
    points to go back to, and keeps what it has.
    """
    lower, disk, root, file = folder / "lower", folder / "disk", folder / "root", folder / f"{wanted.id}.img"
    for path in (lower, disk, root):
        path.mkdir(exist_ok=True, mode=0o700)
    for other in folder.glob("*.img"):
        if other != file and wanted.past is not None and not file.exists():
            other.rename(file)
        elif other != file:
            release(folder)
            other.unlink()
    if file.exists() and size_of(file) < wanted.size:
        release(folder)
    if not mounts.mounted(disk):
        _make_disk(file, wanted.size)
        mounts.disk(file, disk)
    upper = disk / "upper"
    if not upper.exists():
        (disk / "work").mkdir(exist_ok=True)
        upper.mkdir()
        upper.chmod(0o755)
        os.chown(upper, first, first)
    if image is not None and not mounts.mounted(lower):
        mounts.shifted(image, lower, was=FIRST, becomes=first)
    if not mounts.mounted(root):
        mounts.overlay(lower, upper, disk / "work", root)
    return root


def _make_disk(file: Path, size: int) -> None:
    """A sparse file with an empty file system; one that is there, and that nobody uses, may grow."""
    if not file.exists():
        fresh = file.with_suffix(".new")
        with fresh.open("wb") as out:
            out.truncate(size)
        fresh.chmod(0o600)
        options = "lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0"
        mounts.run(["mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", "-E", options, fresh], cause="The disk of the server could not be made.")
        fresh.replace(file)
    elif size_of(file) < size:
        cause = "The disk of the server could not be made larger."
        os.truncate(file, size)
        mounts.run(["e2fsck", "-fp", file], cause=cause, fine=(0, 1))
        mounts.run(["resize2fs", file], cause=cause)


def size_of(file: Path) -> int:
    """How large an ext4 file system is, in bytes, whatever the size of its file. Source: "The Super Block" of Linux's ext4 documentation."""
    with file.open("rb") as data:
        data.seek(1024)
        block = data.read(1024)
    low, exponent, high = (int.from_bytes(block[at : at + 4], "little") for at in (0x4, 0x18, 0x150))
    return (high << 32 | low) << (10 + exponent)


def release(folder: Path) -> None:
    """Nothing of the container is mounted any more."""
    for name in ("root", "lower", "disk"):
        if (folder / name).exists():
            mounts.unmount(folder / name)


def halt_signal(image: Path | None) -> str:
    """What tells the init of an image to end in order; the name of its program says which init it is."""
    path, tries = Path("/sbin/init"), 0
    while image is not None and tries < 16:
        tries += 1
        for depth in range(2, len(path.parts) + 1):
            link = Path(*path.parts[:depth])
            here = image / link.relative_to("/")
            if here.is_symlink():
                target = link.parent / here.readlink()
                path = Path(os.path.normpath(target.joinpath(*path.parts[depth:])))
                break
        else:
            break
    return _SIGNALS.get(path.name, "SIGPWR")
