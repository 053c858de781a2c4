"""`qemu-img` on images that were inspected: told the format, limited, and without the rights of whoever calls it."""

import os
import pwd
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec

from andromede.core.errors import BadRequest, TooLarge, Unavailable
from andromede.core.units import GIB
from andromede.services.image.store import drop

_QEMU = {"qcow2": "qcow2", "vmdk": "vmdk", "vdi": "vdi", "vhd": "vpc", "vhdx": "vhdx", "iso": "raw"}
"""disk_format to QEMU's name."""
_MEMORY = 2 * GIB
_SOURCE = "source"
_SOUND = (0, 3, 63)
"""What `qemu-img check` ends with: no errors, only clusters that nothing uses, or a format that it has no check for."""


class Info(msgspec.Struct, rename={"virtual_size": "virtual-size", "backing": "backing-filename", "full": "full-backing-filename"}):
    """What `qemu-img info` says."""

    virtual_size: int
    format: str
    backing: str | None = None
    full: str | None = None


def probe(path: Path, disk_format: str, virtual_size: int | None) -> None:
    """Raise BadRequest where QEMU itself cannot open the image, or sees something else in it than the inspection did.

    path: a file in a private folder; it is not published yet.
    """
    kind = _QEMU[disk_format]
    folder = _cell(path)
    try:
        done = _run(folder, ["qemu-img", "info", "--output=json", "-f", kind, _SOURCE], seconds=30, size=0)
        if done.returncode:
            raise BadRequest(f"The image was refused: it is not a whole {disk_format} image.")
        info = msgspec.json.decode(done.stdout, type=Info)
        # A VHD's size is given in cylinders, heads and sectors, too, and the two may differ by less than a cylinder.
        differs = virtual_size is not None and info.virtual_size != virtual_size and kind != "vpc"
        if info.backing or info.full or info.format != kind or differs:
            raise BadRequest("The image was refused as unsafe: it does not read the same way twice.")
        done = _run(folder, ["qemu-img", "check", "-q", "-f", kind, _SOURCE], seconds=120, size=0)
        if done.returncode not in _SOUND:
            raise BadRequest(f"The image was refused: it is not a whole {disk_format} image, parts of it are missing or damaged.")
    finally:
        _leave(folder, path)


def convert(path: Path, disk_format: str, target: Path, *, most: int, seconds: float, alive: Callable[[], None]) -> None:
    """Turn an image into qcow2 at `target`. most: bytes the result may have.

    alive: called about every second while it lasts; what it raises ends the conversion. Raises BadRequest, TooLarge.
    """
    folder = _cell(path)
    try:
        command = ["qemu-img", "convert", "-q", "-f", _QEMU[disk_format], "-O", "qcow2", "-m", "2", _SOURCE, "result"]
        done = _run(folder, command, seconds=seconds, size=most, alive=alive)
        if done.returncode < 0 or b"File too large" in done.stderr or b"No space left" in done.stderr:
            raise TooLarge("The image could not be converted: the result is too large, or it took too long.")
        if done.returncode:
            raise BadRequest(f"The image could not be converted: it is not a whole {disk_format} image.")
        result = folder / "result"
        os.chown(result, os.geteuid(), os.getegid())
        result.replace(target)
    finally:
        _leave(folder, path)


def _cell(path: Path) -> Path:
    """A folder that holds the image alone, for a process that may see nothing else."""
    folder = path.with_name(path.name + ".cell")
    drop(folder)
    folder.mkdir(mode=0o700)
    path.rename(folder / _SOURCE)
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        for one in (folder, folder / _SOURCE):
            os.chown(one, nobody.pw_uid, nobody.pw_gid)
    return folder


def _leave(folder: Path, path: Path) -> None:
    os.chown(folder / _SOURCE, os.geteuid(), os.getegid())
    (folder / _SOURCE).rename(path)
    drop(folder)


def _run(
    folder: Path, command: list[str], *, seconds: float, size: int, alive: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[bytes]:
    limits = ["prlimit", f"--cpu={max(1, int(seconds))}", f"--as={_MEMORY}", f"--fsize={size}", "--nofile=64", "--core=0", "--"]
    whom = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    try:
        process = subprocess.Popen(  # type: ignore[call-overload]
            limits + command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True, umask=0o077, **whom,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise Unavailable("The cloud cannot read disk images now: qemu-img is not installed.") from error
    with process:
        try:
            return _wait(process, command, seconds, alive)
        except BaseException:
            process.kill()
            raise


def _wait(
    process: "subprocess.Popen[bytes]", command: list[str], seconds: float, alive: Callable[[], None] | None
) -> subprocess.CompletedProcess[bytes]:
    left = seconds
    while True:
        try:
            out, errors = process.communicate(timeout=min(1.0, left))
        except subprocess.TimeoutExpired:
            left -= 1.0
            if alive is not None:
                alive()
            if left <= 0:
                process.kill()
                out, errors = process.communicate()
                return subprocess.CompletedProcess(command, -9, out, errors)
            continue
        return subprocess.CompletedProcess(command, process.returncode, out, errors)


