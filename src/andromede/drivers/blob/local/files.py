"""Blobs that are files of their own: written once under no name, and named when they are whole and on the disk.

A file's name is its blob's id, two levels deep; in a class with several folders each has the same file.
"""

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from andromede.core.units import MIB
from andromede.drivers.blob import Blob
from andromede.drivers.blob.local.disk import Disk, Handle
from andromede.drivers.blob.local.seal import CHUNK, Bytes, Seal

_HERE = os.O_RDONLY | os.O_DIRECTORY
_BLOCK = MIB // CHUNK


class Files:
    """classes: the folders of each storage class."""

    def __init__(self, classes: dict[str, tuple[Path, ...]], disk: Disk) -> None:
        self.classes = classes
        self._disk = disk

    def paths(self, storage: str, blob_id: bytes) -> list[Path]:
        """Where the file of a blob is, one for each copy."""
        name = blob_id.hex()
        return [folder / name[:2] / name[2:4] / name for folder in self.classes.get(storage, ())]

    def remove(self, blob: Blob) -> None:
        """Remove the file of a blob; one that can't be removed is left to upkeep."""
        for path in self.paths(blob.storage, blob.id):
            with contextlib.suppress(OSError):
                path.unlink()

    def names(self, storage: str) -> Iterator[tuple[bytes | None, Path]]:
        """Every file of a class, with the blob's id; None for what is no blob."""
        for folder in self.classes[storage]:
            for path, _, names in os.walk(folder):
                for name in names:
                    try:
                        blob_id: bytes | None = bytes.fromhex(name) if len(name) == 32 else None
                    except ValueError:
                        blob_id = None
                    yield blob_id, Path(path, name)


class File:
    """A blob's file while it is written, in every folder of its class. For one thread at a time."""

    def __init__(self, paths: list[Path], seal: Seal, disk: Disk) -> None:
        self._paths = paths
        self._seal = seal
        self._disk = disk
        self._open: list[Handle] = []
        self._temporary: list[Path] = []
        self._named = False
        self._rest = bytearray()
        self._chunks = 0
        self._offset = 0
        self._buffer = bytearray(_BLOCK * seal.chunk)
        self._settled = 0

    def write(self, parts: Sequence[Bytes]) -> None:
        """Take more content. The last bytes are always kept back, since only `finish` knows that they are the last."""
        for part in parts:
            view = memoryview(part)
            if self._rest:
                missing = CHUNK - len(self._rest)
                self._rest += view[:missing]
                view = view[missing:]
                if not view:
                    continue
                self._put([self._rest])
                self._rest = bytearray()
            whole = (len(view) - 1) // CHUNK * CHUNK
            for at in range(0, whole, _BLOCK * CHUNK):
                self._put([view[start : start + CHUNK] for start in range(at, min(at + _BLOCK * CHUNK, whole), CHUNK)])
            self._rest += view[whole:]

    def ahead(self) -> int:
        """How many bytes were written since the disk was last waited for."""
        return self._offset - self._settled

    def settle(self) -> None:
        """Wait for the disk, on any thread while another writes; so there is less to wait for in the end."""
        self._settled = self._offset
        for handle in list(self._open):
            self._disk.sync(handle.fd)

    def finish(self) -> None:
        """Write the last chunk, wait for the disk, and give the file its name."""
        self._put([self._rest], last=True)
        for handle in self._open:
            self._disk.sync(handle.fd)
        for handle, path in zip(self._open, self._paths, strict=True):
            self._named = True
            self._name(handle, path)
            self._disk.sync_folder(path.parent)

        self._open.clear()

    def abandon(self) -> None:
        """Leave nothing, not even a file that has its name already."""
        for path in [*self._temporary, *(self._paths if self._named else ())]:
            with contextlib.suppress(OSError):
                path.unlink()
        self._open.clear()

    def _put(self, chunks: Sequence[Bytes], *, last: bool = False) -> None:
        if not self._open:
            for path in self._paths:
                self._open.append(self._create(path))
        view, size = memoryview(self._buffer), 0
        for chunk in chunks:
            size += self._seal.seal_into(view[size:], self._chunks, chunk, last=last)
            self._chunks += 1
        for handle in self._open:
            self._disk.write(handle.fd, view[:size], self._offset)
        self._offset += size

    def _create(self, path: Path) -> Handle:
        self._disk.make_folder(path.parent)
        try:
            return Handle(path.parent, os.O_TMPFILE | os.O_WRONLY)
        except OSError as error:
            if error.errno not in {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL}:
                raise
        temporary = path.with_name(f".{path.name}")
        self._temporary.append(temporary)
        return Handle(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY)

    def _name(self, handle: Handle, path: Path) -> None:
        if self._temporary:
            temporary = path.with_name(f".{path.name}")
            temporary.rename(path)
            return
        here = os.open("/proc/self/fd", _HERE)
        try:
            os.link(str(handle.fd), path, src_dir_fd=here, follow_symlinks=True)
        finally:
            os.close(here)
