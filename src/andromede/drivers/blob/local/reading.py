"""How the bytes of a blob are read: only the chunks that are asked for, each opened before a byte of it is given.

A small blob is read and opened at once. Of a large one the next piece is read while the present one is on its way out.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from pathlib import Path

from andromede.core.errors import DriverError, Forbidden
from andromede.drivers.blob import Blob
from andromede.drivers.blob.local.disk import Disk, Handle
from andromede.drivers.blob.local.index import damaged
from andromede.drivers.blob.local.seal import CHUNK, DamagedError, Seal, WrongKeyError, chunks_of, stored_size

_PIECE, _MORE = 4, 8
"""Chunks of the first piece, which somebody waits for, and of those behind it, each of which has to be handed from thread to thread."""


class Range:
    """The chunks that hold the bytes from `start` to before `stop` of a blob, and how the content is cut out of them."""

    __slots__ = ("_start", "_stop", "count", "first", "last")

    def __init__(self, blob: Blob, start: int, stop: int | None) -> None:
        if start < 0:
            raise ValueError(f"start is {start}, below 0")
        self._start = start
        self._stop = blob.size if stop is None else min(stop, blob.size)
        self.count = chunks_of(blob.size)
        self.first = start // CHUNK
        self.last = -(-self._stop // CHUNK)

    def __bool__(self) -> bool:
        return self._start < self._stop

    def cut(self, number: int, content: bytes) -> bytes:
        """What is asked for of a chunk."""
        begin = number * CHUNK
        if begin >= self._start and begin + len(content) <= self._stop:
            return content
        return content[max(0, self._start - begin) : self._stop - begin]


def open_chunks(blob: Blob, seal: Seal, wanted: Range, first: int, last: int, stored: bytes) -> bytes:
    """The content of the chunks from `first` to before `last`. Raises DriverError, Forbidden."""
    whole = stored_size(blob.size, encrypted=seal.encrypted)
    if len(stored) != min(last * seal.chunk, whole) - first * seal.chunk:
        raise damaged("a blob is shorter than it was")
    try:
        opened = seal.open_range(first, stored, wanted.count)
    except DamagedError as error:
        raise told(blob, error) from error
    if len(opened) == 1:
        return wanted.cut(first, opened[0])
    opened[0] = wanted.cut(first, opened[0])
    opened[-1] = wanted.cut(last - 1, opened[-1])
    return b"".join(opened)


def told(blob: Blob, error: DamagedError) -> Exception:
    """What a reader is told of bytes that can't be opened."""
    if isinstance(error, WrongKeyError):
        if blob.foreign:
            return Forbidden("The key is not the one that the bytes were written with.")
        return DriverError("The object store can't open these bytes with the key of this tenant.")
    return damaged("a blob fails its checksum")


class Copies:
    """The files of one blob, of which the first sound one is read."""

    def __init__(self, paths: list[Path], disk: Disk) -> None:
        self._paths = paths
        self._disk = disk
        self._open: list[Handle | None] = [None] * len(paths)

    def read(self, make: Callable[[bytes], bytes], size: int, offset: int) -> bytes:
        """What `make` makes of the bytes there. Raises FileNotFoundError where no file is there, otherwise what the last one met."""
        failed: Exception = FileNotFoundError()
        for number, path in enumerate(self._paths):
            try:
                handle = self._open[number] or Handle(path, os.O_RDONLY)
                self._open[number] = handle
                return make(self._disk.read(handle.fd, size, offset))
            except FileNotFoundError as error:
                failed = failed or error
            except OSError as error:
                failed = damaged("a disk fails")
                failed.__cause__ = error
            except DriverError as error:
                failed = error
        raise failed


async def read_file(blob: Blob, seal: Seal, wanted: Range, copies: Copies, pool: Executor) -> AsyncIterator[bytes]:
    """The content of a file, piece by piece. Raises FileNotFoundError before the first one, DriverError, Forbidden."""
    loop = asyncio.get_running_loop()

    def piece(first: int, last: int) -> bytes:
        return copies.read(
            lambda stored: open_chunks(blob, seal, wanted, first, last, stored), (last - first) * seal.chunk, first * seal.chunk
        )

    start = min(wanted.first + _PIECE, wanted.last)
    ahead = loop.run_in_executor(pool, piece, wanted.first, start)
    try:
        for following in range(start, wanted.last, _MORE):
            found = await ahead
            ahead = loop.run_in_executor(pool, piece, following, min(following + _MORE, wanted.last))
            yield found
        yield await ahead
    finally:
        ahead.add_done_callback(lambda future: future.cancelled() or future.exception())
