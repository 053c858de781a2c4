"""What is asked of the disk, in one place, so that tests can make it fail as disks do.

A write that returns has taken all of its bytes; a sync that returns has brought them to the disk. Both raise `OSError`.
"""

import errno
import os
from pathlib import Path

from andromede.core.errors import Unavailable

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Disk:
    """The real one. sync: False leaves out every wait for the disk, for tests and for data that may be lost."""

    def __init__(self, *, sync: bool = True) -> None:
        self._sync = sync

    def write(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
        """Write all of `data` at `offset`."""
        done = os.pwrite(fd, data, offset)
        while done < len(data):
            done += os.pwrite(fd, memoryview(data)[done:], offset + done)

    def read(self, fd: int, size: int, offset: int) -> bytes:
        """Up to `size` bytes at `offset`; fewer only at the end of the file."""
        data = os.pread(fd, size, offset)
        while 0 < len(data) < size:
            more = os.pread(fd, size - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def sync(self, fd: int) -> None:
        """Wait until what was written to a file is on the disk."""
        if self._sync:
            os.fdatasync(fd)

    def truncate(self, fd: int, size: int) -> None:
        """Cut a file off."""
        os.ftruncate(fd, size)

    def sync_folder(self, folder: Path) -> None:
        """Wait until the names in a folder are on the disk."""
        if self._sync:
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def make_folder(self, folder: Path) -> None:
        """Make a folder that only we may enter, and those above it; nothing happens where it is there."""
        if folder.is_dir():
            return
        self.make_folder(folder.parent)
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            return
        self.sync_folder(folder.parent)

    def create(self, path: Path, data: bytes) -> bool:
        """Make a file with this content, durable before its name is there; False where the name is taken."""
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            self.write(fd, data, 0)
            self.sync(fd)
            path.hardlink_to(temporary)
        except FileExistsError:
            return False
        finally:
            os.close(fd)
            temporary.unlink()
        self.sync_folder(path.parent)
        return True


class Handle:
    """An open file that is closed when nobody holds it any more, so that a number in use is never given away."""

    __slots__ = ("fd",)

    def __init__(self, path: Path | str, flags: int = os.O_RDONLY) -> None:
        self.fd = -1
        self.fd = os.open(path, flags | os.O_CLOEXEC, 0o600)

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


def refusal(error: Exception) -> Unavailable:
    """What a caller is told when the disk takes no more; what the system said is its cause, for the log."""
    code = getattr(error, "errno", None)
    if code in _FULL or "disk is full" in str(error):
        return Unavailable("The disk of the object store is full: free room on it, or add some.")
    if code == errno.EROFS:
        return Unavailable("The disk of the object store can only be read: look at the kernel's log, then mount it writable again.")
    return Unavailable("The disk of the object store fails: look at the kernel's log, and replace it if that tells of errors.")
