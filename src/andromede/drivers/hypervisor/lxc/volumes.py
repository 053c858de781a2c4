"""Volumes of a container: each is a file system that we made, mounted below /mnt inside, in the container's own ids.

The data goes through QEMU's storage daemon, which shows it as a plain file, and a loop device; so the kernel mounts what only it and we
have written (the cloud gives no other volume to a container). `volumes/<id>` of the container's folder holds what belongs to one:

    export    the plain file        plain    the file system, as it is        shifted    the same in the container's ids
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from andromede.core.errors import DriverError
from andromede.core.units import MIB
from andromede.drivers.hypervisor import Drive, Held
from andromede.drivers.hypervisor.lxc import inside, mounts, roots, storage

_CAP_SYS_RESOURCE = 24
_PLAIN, _SHIFTED = "plain", "shifted"
Unseal = Callable[[bytes], bytes]


def place(folder: Path, volume_id: str) -> Path:
    """Where a container's volume is kept together."""
    return folder / "volumes" / volume_id


def known(folder: Path) -> list[str]:
    """The volumes of which there is anything."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(path.name for path in (folder / "volumes").iterdir())
    return []


def held(folder: Path) -> tuple[Held, ...]:
    """The volumes that a container has, as they are seen to be."""
    out = []
    for volume_id in known(folder):
        try:
            out.append(storage.look(place(folder, volume_id), volume_id))
        except (OSError, DriverError, KeyError):
            out.append(Held(id=volume_id, size=0))
    return tuple(out)


def open_(folder: Path, drive: Drive, *, first: int, unseal: Unseal) -> Path:
    """The volume's file system, made where the volume is empty, mounted in the ids from `first` on; answers where. Raises DriverError."""
    here = place(folder, drive.id)
    for path in (here.parent, here):
        path.mkdir(exist_ok=True)
        path.chmod(0o711)
    for name in (_PLAIN, _SHIFTED):
        (here / name).mkdir(exist_ok=True, mode=0o700)
    if not storage.runs(here):
        for name in (_SHIFTED, _PLAIN, storage.EXPORT):
            mounts.unmount(here / name)
        storage.start(here, drive, unseal(drive.secret) if drive.secret else b"")
    if not mounts.mounted(here / _PLAIN):
        _mount(here, drive)
    if not mounts.mounted(here / _SHIFTED):
        mounts.shifted(here / _PLAIN, here / _SHIFTED, was=0, becomes=first, writable=not drive.readonly)
    return here / _SHIFTED


def _mount(here: Path, drive: Drive) -> None:
    cause = "The file system of the volume could not be mounted."
    device = _loop(here)
    if device is None:
        only = ["--read-only"] if drive.readonly else []
        device = Path(mounts.run(["losetup", "--find", "--show", *only, here / storage.EXPORT], cause=cause).strip())
    try:
        if not drive.readonly and _is_empty(device):
            options = ["-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0"]
            mounts.run(["mke2fs", "-q", "-F", "-t", "ext4", *options, device], cause="The volume could not be given a file system.")
        elif not drive.readonly and roots.size_of(device) + MIB < drive.size:
            mounts.run(["e2fsck", "-fp", device], cause=cause, fine=(0, 1))
            mounts.run(["resize2fs", device], cause=cause)
        only = ["ro", "noload"] if drive.readonly else ["rw"]
        mounts.run(["mount", "-t", "ext4", "-o", ",".join([*only, "nosuid", "nodev"]), device, here / _PLAIN], cause=cause)
    finally:
        # from now on the device goes with its last mount
        mounts.run(["losetup", "--detach", device], cause=cause, fine=(0, 1))


def _may_grow() -> bool:
    """Whether the kernel lets us enlarge a file system that is mounted, which takes CAP_SYS_RESOURCE; one that it does not grows when it is
    mounted next."""
    words = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff:"))
    return bool(int(words.split()[1], 16) >> _CAP_SYS_RESOURCE & 1)


def _is_empty(device: Path) -> bool:
    with device.open("rb") as data:
        return not any(data.read(MIB))


def _loop(here: Path) -> Path | None:
    """The loop device over the volume's plain file."""
    wanted = str(here / storage.EXPORT)
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            if path.read_text().strip() == wanted:
                return Path("/dev") / path.parts[3]
    return None


def give(folder: Path, drive: Drive, *, first: int, init: int) -> None:
    """Mount it below /mnt of a container that runs, where it is not."""
    tree = mounts.tree(place(folder, drive.id) / _SHIFTED)
    try:
        done = _inside(["give", str(init), str(first), drive.id, str(tree)], (tree,))
    finally:
        os.close(tree)
    if done.returncode:
        raise DriverError("The volume could not be mounted in the container; /mnt must be a folder there.") from OSError(done.stderr[-500:])


def take(folder: Path, volume_id: str, *, init: int) -> bool:
    """Unmount it in a container that runs and let go of it; whether that is so: something inside may still use it."""
    return _inside(["take", str(init), volume_id]).returncode == 0 and release(folder, volume_id)


def _inside(words: list[str], handles: tuple[int, ...] = ()) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-I", str(Path(inside.__file__)), *words]
    return subprocess.run(command, pass_fds=handles, capture_output=True, timeout=30, check=False, env={}, stdin=subprocess.DEVNULL)


def release(folder: Path, volume_id: str, patience: float = 1.0) -> bool:
    """Nothing of the volume here any more; whether that is so."""
    here = place(folder, volume_id)
    for name in (_SHIFTED, _PLAIN):
        if (here / name).exists():
            mounts.unmount(here / name)
    deadline = time.monotonic() + patience
    while _loop(here) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    if here.exists():
        storage.end(here)
        shutil.rmtree(here)
    return True


def release_all(folder: Path) -> None:
    """A container that has ended has no volumes. Raises DriverError where the host still uses one."""
    if not all(release(folder, volume_id, 10.0) for volume_id in known(folder)):
        raise DriverError("A volume of the container is still in use on the host.")


def tend(folder: Path, drive: Drive) -> None:
    """Size, snapshots and limits."""
    here = place(folder, drive.id)
    mounts.freeze(here / _PLAIN, on=False)  # what a crash of ours left
    seen = storage.look(here, drive.id)
    with storage.talking(here) as monitor:
        if seen.size < drive.size:
            monitor.run("block_resize", **{"node-name": "whole", "size": drive.size})
            device = _loop(here)
            cause = "The file system of the volume could not be made larger."
            if device is not None:
                mounts.run(["losetup", "--set-capacity", device], cause=cause)
                if _may_grow():
                    mounts.run(["resize2fs", device], cause=cause)
        have, wanted = set(seen.snapshots), set(drive.snapshots)
        if wanted - have and drive.format == "raw":
            raise DriverError("A volume of the raw format cannot be snapshotted while a server has it.")
        for snapshot in sorted(have - wanted):
            monitor.run("blockdev-snapshot-delete-internal-sync", device="whole", name=snapshot)
        for snapshot in sorted(wanted - have):
            mounts.freeze(here / _PLAIN, on=True)
            try:
                monitor.run("blockdev-snapshot-internal-sync", device="whole", name=snapshot)
            finally:
                mounts.freeze(here / _PLAIN, on=False)
        monitor.run("qom-set", path="/objects/limits", property="limits", value=storage.limits(drive))
