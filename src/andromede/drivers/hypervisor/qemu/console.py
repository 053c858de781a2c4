"""The serial console's log: QEMU appends to it on its own, we keep it small by giving back the space of what is old.

A hole is punched below the tail while QEMU writes, for it holds the file open; once QEMU is gone the file is rewritten.
"""

import ctypes
import os
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
    """Give back what lies before the tail, safe while QEMU appends; does little when there is little to give back."""
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
