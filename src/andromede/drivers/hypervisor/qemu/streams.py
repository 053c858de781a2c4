"""Connections to a guest's serial line and to its display. There is no listener that anybody else could reach."""

import contextlib
import socket
from pathlib import Path

from andromede.core.errors import DriverError
from andromede.drivers.hypervisor import Guest
from andromede.drivers.hypervisor.qemu.live import Live
from andromede.drivers.hypervisor.qemu.qmp import MonitorError, short_path

_NAME = "viewer"


async def connect(live: Live | None, folder: Path, guest: Guest | None, what: str) -> socket.socket:
    """Ours to read and write. Raises DriverError (409), OSError."""
    if live is None or live.monitor is None:
        raise DriverError("The server does not run, so it has no console.", status=409)
    if what == "serial":
        return _serial(live, folder / "serial.sock")
    if what != "vnc" or guest is None or guest.video == "none":
        raise DriverError("The server has no such console.", status=409)
    ours, theirs = socket.socketpair()
    try:
        await live.monitor.give(theirs.fileno(), _NAME)
        await live.monitor.run("add_client", protocol="vnc", fdname=_NAME, skipauth=True)
    except MonitorError as error:
        ours.close()
        raise DriverError("The server's display cannot be reached now.", status=409) from error
    finally:
        theirs.close()
    return ours


def _serial(live: Live, path: Path) -> socket.socket:
    """QEMU serves one reader; the one before is cut off."""
    if live.line is not None:
        with contextlib.suppress(OSError):
            live.line.shutdown(socket.SHUT_RDWR)
        live.line.close()
    line = socket.socket(socket.AF_UNIX)
    try:
        with short_path(path) as name:
            line.connect(name)
    except OSError:
        line.close()
        raise
    live.line = line.dup()
    return line
