"""Images' bytes on disk.

A file is named by its image and by the upload that wrote it, `<image id>.<upload id>`, so that two uploads never meet and
an interrupted one leaves nothing under a name that a row refers to. Files are immutable once they are published; hosts
hold hard links to them.
"""

import asyncio
import contextlib
import errno
import hashlib
import os
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from andromede.core.errors import TooLarge, Unavailable
from andromede.core.units import MIB


class Digest(msgspec.Struct, frozen=True):
    """What was written: bytes, MD5 and SHA-512 in hex."""

    size: int
    checksum: str
    sha512: str


class ImageStore:
    """The folder of all images: `data` (published), `stage` (waiting for their import), `work` (being written or converted).

    `moves` holds disks on their way from one host to another.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._data, self._stage, self.work, self.moves = (self.folder / name for name in ("data", "stage", "work", "moves"))
        for path in (self.folder, self._data, self._stage, self.work, self.moves):
            path.mkdir(parents=True, exist_ok=True, mode=0o750)

    def path(self, image_id: str, blob: str) -> Path:
        """Where a published image lies."""
        return self._data / f"{image_id}.{blob}"

    def staged(self, image_id: str, blob: str) -> Path:
        """Where staged data lies."""
        return self._stage / f"{image_id}.{blob}"

    def scratch(self, image_id: str, blob: str) -> Path:
        """Where data is while it is written."""
        return self.work / f"{image_id}.{blob}"

    def write(self, image_id: str, blob: str) -> "Writer":
        """Begin to write. Raises TooLarge or Unavailable as the disk demands."""
        return Writer(self.scratch(image_id, blob))

    def publish(self, source: Path, target: Path) -> None:
        """Move finished data under its final name; it outlives a crash from then on."""
        with telling():
            with source.open("rb") as file:
                os.fsync(file.fileno())
            source.chmod(0o640)
            source.replace(target)
            _sync(target.parent)

    def remove(self, image_id: str, blob: str | None) -> None:
        """Delete whatever there is of one upload; hard links elsewhere keep what they need."""
        if blob is None:
            return
        for path in (self.path(image_id, blob), self.staged(image_id, blob)):
            path.unlink(missing_ok=True)
        drop(self.scratch(image_id, blob))

    def leftovers(self, known: set[str], age: float) -> Iterator[Path]:
        """What is older than `age` seconds and belongs to no upload in `known` (`<image id>.<upload id>`)."""
        before = time.time() - age
        for folder in (self._data, self._stage, self.work):
            for path in folder.iterdir():
                with contextlib.suppress(FileNotFoundError):
                    if ".".join(path.name.split(".")[:2]) not in known and path.stat().st_mtime < before:
                        yield path


def drop(path: Path) -> None:
    """Delete a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


class Writer:
    """A file being written: hashed on the way, private until it is published."""

    def __init__(self, path: Path) -> None:
        self.path, self.size = path, 0
        self._md5, self._sha512 = hashlib.md5(usedforsecurity=False), hashlib.sha512()
        with telling():
            self._file: BinaryIO = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640), "wb", buffering=0)

    def add(self, data: bytes) -> None:
        """Append. Raises TooLarge where the disk is full."""
        with telling():
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]
        self._md5.update(data)
        self._sha512.update(data)
        self.size += len(data)

    def close(self) -> Digest:
        """No more will come; the data is on the disk."""
        with telling():
            os.fsync(self._file.fileno())
            self._file.close()
        return Digest(self.size, self._md5.hexdigest(), self._sha512.hexdigest())

    def discard(self) -> None:
        """Forget it all."""
        with contextlib.suppress(OSError):
            self._file.close()
        self.path.unlink(missing_ok=True)


def digest(path: Path) -> Digest:
    """What a file holds."""
    md5, sha512, size = hashlib.md5(usedforsecurity=False), hashlib.sha512(), 0
    with path.open("rb", buffering=0) as file:
        while data := file.read(4 * MIB):
            md5.update(data)
            sha512.update(data)
            size += len(data)
    return Digest(size, md5.hexdigest(), sha512.hexdigest())


async def read(file: BinaryIO, start: int, count: int) -> AsyncIterator[bytes]:
    """`count` bytes of an open file from `start`, in chunks read in a thread; closes the file."""
    try:
        await asyncio.to_thread(file.seek, start)
        while count > 0:
            data = await asyncio.to_thread(file.read, min(MIB, count))
            if not data:
                return
            count -= len(data)
            yield data
    finally:
        file.close()


@contextlib.contextmanager
def telling() -> Iterator[None]:
    """Turn what the disk says into a sentence for the caller."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise TooLarge("The image storage is full: there is no room for the image's data.") from error
        raise Unavailable("The image storage cannot be used now.") from error


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
