"""Mounts that a container's root file system is made of, and the user namespaces that shift ids; system calls that Python lacks.

Sources: mount_setattr(2), open_tree(2) and move_mount(2), user_namespaces(7).
"""

import contextlib
import ctypes
import fcntl
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from andromede.core.errors import DriverError

RANGE = 65536
"""Ids that a container has."""
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_HERE, _EMPTY_PATH = -100, 0x1000
_CLONE, _CLOEXEC, _FROM_EMPTY = 1, os.O_CLOEXEC, 4
_READ_ONLY, _NO_SUID, _NO_DEV, _MAPPED = 0x1, 0x2, 0x4, 0x00100000
_attributes = struct.Struct("<QQQQ")
_MOUNT_READ_ONLY, _MOUNT_NO_DEV, _MOUNT_NO_SUID, _DETACH = 1, 4, 2, 2
_FREEZE, _THAW = 0xC0045877, 0xC0045878
_libc = ctypes.CDLL(None, use_errno=True)
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def run(
    argv: Sequence[str | Path], *, timeout: float = 60, cause: str, path: str = _PATH, fine: Sequence[int] = (0,),
    folder: Path | None = None,
) -> str:  # fmt: skip
    """What a program says. Raises DriverError with `cause`, the program's own words behind it. path: where it finds others. fine:
    how it may end. folder: where it works."""
    words = [shutil.which(str(argv[0]), path=_PATH) or str(argv[0]), *map(str, argv[1:])]
    environment = {"PATH": path, "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False, umask=0o022,
            cwd=folder,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DriverError(cause) from error
    if done.returncode not in fine:
        raise DriverError(cause) from OSError(f"{words[0]}: {done.stderr.decode(errors='replace').strip()[-500:]}")
    return done.stdout.decode(errors="replace")


@contextlib.contextmanager
def ids(inside: int, outside: int) -> Iterator[int]:
    """The process id of somebody in a user namespace where `inside` and the ids behind it are `outside` and those behind it."""
    holder = subprocess.Popen(["unshare", "--user", "cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env={"PATH": _PATH})
    try:
        ours, end = (Path("/proc/self/ns/user").readlink(), time.monotonic() + 10)
        while Path(f"/proc/{holder.pid}/ns/user").readlink() == ours:
            if holder.poll() is not None or time.monotonic() > end:
                raise DriverError("The host makes no user namespaces, which containers need.")
            time.sleep(0.001)
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{holder.pid}/{name}").write_text(f"{inside} {outside} {RANGE}\n")
        yield holder.pid
    finally:
        assert holder.stdin is not None
        holder.stdin.close()
        holder.wait()


def tree(source: Path) -> int:
    """A copy of a mount that is mounted nowhere yet, as a file descriptor."""
    return _call(_OPEN_TREE, _HERE, os.fsencode(source), _CLONE | _CLOEXEC)


def shifted(source: Path, target: Path, *, was: int, becomes: int, writable: bool = False) -> None:
    """Mount a folder at another, read-only if not `writable`; what belongs to `was` and the ids behind it there belongs to `becomes`
    and those behind it here."""
    with ids(was, becomes) as holder:
        space = os.open(f"/proc/{holder}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        try:
            copy = tree(source)
            try:
                flags = _NO_DEV | _MAPPED | (_NO_SUID if writable else _READ_ONLY)
                wanted = ctypes.create_string_buffer(_attributes.pack(flags, 0, 0, space), _attributes.size)
                _call(_MOUNT_SETATTR, copy, b"", _EMPTY_PATH, wanted, _attributes.size)
                _call(_MOVE_MOUNT, copy, b"", _HERE, os.fsencode(target), _FROM_EMPTY)
            finally:
                os.close(copy)
        finally:
            os.close(space)


def overlay(lower: Path, upper: Path, work: Path, target: Path) -> None:
    """Mount `lower` with what is written to it in `upper`."""
    options = f"lowerdir={lower},upperdir={upper},workdir={work}".encode()
    if _libc.mount(b"overlay", os.fsencode(target), b"overlay", _MOUNT_NO_DEV, options):
        _failed()


def view(layers: Sequence[Path], target: Path) -> None:
    """Mount folders over each other, the first one uppermost; nobody can write there."""
    options = b"lowerdir=" + b":".join(os.fsencode(layer) for layer in layers)
    if _libc.mount(b"overlay", os.fsencode(target), b"overlay", _MOUNT_READ_ONLY | _MOUNT_NO_DEV | _MOUNT_NO_SUID, options):
        _failed()


def freeze(path: Path, *, on: bool) -> None:
    """Bring the file system that is mounted there to rest, or let it go on; it may be so already. Source: Linux's ioctl_fs (FIFREEZE)."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):
            fcntl.ioctl(handle, _FREEZE if on else _THAW, 0)
    finally:
        os.close(handle)


def disk(image: Path, target: Path) -> None:
    """Mount a file system that a file holds."""
    run(["mount", "-t", "ext4", "-o", "loop,nosuid,nodev", image, target], cause="The host could not mount the disk of the server.")


def mounted(path: Path) -> bool:
    """Whether something is mounted there, be it another folder of the same file system."""
    lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    wanted = os.fsencode(os.path.realpath(path))
    return any(_plain(line.split(b" ", 5)[4]) == wanted for line in lines)


def _plain(field: bytes) -> bytes:
    for code, character in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        field = field.replace(code, character)
    return field


def unmount(path: Path) -> None:
    """Nothing is mounted there any more, nor below; whoever still uses it keeps it until it is done."""
    while mounted(path):
        if _libc.umount2(os.fsencode(path), _DETACH):
            _failed()


def _call(number: int, *arguments: int | bytes | ctypes.Array[ctypes.c_char]) -> int:
    answer: int = _libc.syscall(ctypes.c_long(number), *(ctypes.c_long(one) if isinstance(one, int) else one for one in arguments))
    if answer < 0:
        _failed()
    return answer


def _failed() -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))
