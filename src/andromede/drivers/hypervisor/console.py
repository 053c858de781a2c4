"""The serial console's log: whoever runs the guest appends to it on its own, we keep it small by giving back the space of what is old.

A hole is punched below the tail while it is written, for the writer holds the file open; once that one is gone the file is rewritten.
"""

import asyncio
import contextlib
import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

from andromede.core.units import KIB

KEPT = 100 * KIB
_BLOCK = 4 * KIB
_PUNCH_KEEPING_SIZE = 0x03
_libc = ctypes.CDLL(None, use_errno=True)


def tail(path: Path) -> bytes:
    """The last 100 KiB; empty when there is no log."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - KEPT))
            return file.read(KEPT)
    except FileNotFoundError:
        return b""


def trim(path: Path) -> None:
    """Give back what lies before the tail, safe while another appends; does little when there is little to give back."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return
    end = (status.st_size - KEPT) // _BLOCK * _BLOCK
    if end <= 0 or status.st_blocks * 512 < 2 * KEPT:
        return
    with path.open("r+b") as file:
        if _libc.fallocate(file.fileno(), _PUNCH_KEEPING_SIZE, ctypes.c_long(0), ctypes.c_long(end)) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))


def compact(path: Path) -> None:
    """Rewrite the log as its tail; only while nothing writes to it."""
    try:
        if path.stat().st_size <= KEPT:
            return
    except FileNotFoundError:
        return
    fresh = path.with_suffix(".new")
    fresh.write_bytes(tail(path))
    fresh.chmod(0o600)
    fresh.replace(path)


class Tender:
    """Keeps the logs of running guests small. every: seconds between looks."""

    def __init__(self, root: Path, every: float) -> None:
        self._root, self._every = root, every
        self._task: asyncio.Task[None] | None = None

    def trim(self, guest_id: str) -> None:
        """Shorten a guest's logs now."""
        for name in ("console.log", "qemu.log"):
            trim(self._root / guest_id / name)

    def start(self, guests: Iterable[str]) -> None:
        """Look after these guests, whichever they are at the time."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(guests))

    async def close(self) -> None:
        """No more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self, guests: Iterable[str]) -> None:
        while True:
            await asyncio.sleep(self._every)
            for guest_id in list(guests):
                with contextlib.suppress(OSError):
                    self.trim(guest_id)
