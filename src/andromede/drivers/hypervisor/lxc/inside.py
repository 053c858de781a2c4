"""Mounting and unmounting in a container's own mount namespace: a program of its own, for only one with a single thread may go there.

    inside.py give INIT FIRST NAME TREE    mount the tree of file descriptor TREE at /mnt/NAME, which is made
    inside.py take INIT NAME               unmount it; ends with 3 where it is in use

What is inside belongs to a tenant: no symbolic link is followed. Nothing but the standard library is imported.
"""

import ctypes
import os
import sys

BUSY = 3
_MOVE_MOUNT, _FROM_EMPTY, _TO_EMPTY = 429, 0x4, 0x40
_NEW_MOUNTS, _NO_FOLLOW = 0x00020000, 8
_libc = ctypes.CDLL(None, use_errno=True)


def enter(init: int) -> int:
    """Go into the mount namespace of a process; answers its folder /mnt."""
    space = os.open(f"/proc/{init}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    _checked(_libc.setns(space, _NEW_MOUNTS))
    os.chdir("/")
    return os.open("mnt", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def give(init: int, first: int, name: str, tree: int) -> None:
    """Mount; a mount that is there stays."""
    folder = enter(init)
    try:
        os.mkdir(name, 0o755, dir_fd=folder)
        os.chown(name, first, first, dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        pass
    target = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    if not _mounted(folder, target):
        _checked(_libc.syscall(ctypes.c_long(_MOVE_MOUNT), tree, b"", target, b"", _FROM_EMPTY | _TO_EMPTY))


def take(init: int, name: str) -> int:
    """Unmount; answers the exit code."""
    folder = enter(init)
    try:
        target = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except (FileNotFoundError, NotADirectoryError):
        return 0
    there = _mounted(folder, target)
    os.close(target)
    if there:
        os.chdir(folder)
        if _libc.umount2(os.fsencode(name), _NO_FOLLOW):
            return BUSY
        os.rmdir(name, dir_fd=folder)
    return 0


def _mounted(folder: int, target: int) -> bool:
    return os.fstat(folder).st_dev != os.fstat(target).st_dev


def _checked(answer: int) -> None:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    if sys.argv[1] == "give":
        give(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
    else:
        sys.exit(take(int(sys.argv[2]), sys.argv[3]))
