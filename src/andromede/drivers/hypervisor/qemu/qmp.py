"""One connection to a guest's QEMU: commands with a time limit, and a call when QEMU tells of something by itself."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from qemu.qmp import EventListener, ExecuteError, QMPClient, QMPError

# What the library says of a QEMU that went away is known here already.
logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)

_TELLING = frozenset(
    {
        "SHUTDOWN", "POWERDOWN", "STOP", "RESUME", "RESET", "GUEST_PANICKED", "BLOCK_IO_ERROR", "SUSPEND", "WAKEUP", "DEVICE_DELETED",
        "JOB_STATUS_CHANGE", "MIGRATION",
    }
)  # fmt: skip


class MonitorError(Exception):
    """QEMU did not answer in time, refused, or is gone."""


@contextlib.contextmanager
def short_path(path: Path) -> Iterator[str]:
    """A name for a socket in the same folder that fits Unix sockets' 107 bytes however deep the folder lies."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def listen(path: Path) -> socket.socket:
    """A listening socket at `path`, in place of what was there, for QEMU to inherit."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    try:
        with short_path(path) as name:
            listener.bind(name)
        path.chmod(0o600)
        listener.listen(4)
    except OSError:
        listener.close()
        raise
    return listener


class Monitor:
    """A QMP session. `told` is called, without arguments, whenever the guest's state may have changed by itself."""

    def __init__(self, client: QMPClient, told: Callable[[], None]) -> None:
        self._client = client
        self._listener = EventListener(names=_TELLING)
        client.register_listener(self._listener)
        self._events = asyncio.create_task(self._watch(told))

    @classmethod
    async def connect(cls, path: Path, told: Callable[[], None], patience: float) -> "Monitor":
        """Connect to the socket at `path`; waits up to `patience` seconds for QEMU's greeting. Raises MonitorError."""
        client = QMPClient(path.parent.name)
        line = socket.socket(socket.AF_UNIX)
        line.setblocking(False)
        try:
            with short_path(path) as name:
                line.connect(name)
            async with asyncio.timeout(patience):
                await client.connect(line)
        except (OSError, EOFError, TimeoutError, QMPError) as error:
            line.close()
            raise MonitorError(f"no session: {error}") from error
        return cls(client, told)

    async def run(self, command: str, patience: float = 5.0, **arguments: Any) -> Any:
        """What QEMU answers to a command; its arguments are written with underscores. Raises MonitorError."""
        return await self.send(command, {name.replace("_", "-"): value for name, value in arguments.items()}, patience)

    async def send(self, command: str, arguments: Mapping[str, Any], patience: float = 5.0) -> Any:
        """The same, with arguments in QEMU's own spelling."""
        try:
            async with asyncio.timeout(patience):
                return await self._client.execute(command, dict(arguments) or None)
        except ExecuteError as error:
            raise MonitorError(f"{command}: {error}") from error
        except (OSError, EOFError, TimeoutError, QMPError) as error:
            raise MonitorError(f"{command}: no answer") from error

    async def give(self, fd: int, name: str) -> None:
        """Hand over an open file, which the next command that takes one knows by `name`; our own end stays open. Raises MonitorError."""
        try:
            self._client.send_fd_scm(fd)
        except (OSError, QMPError) as error:
            raise MonitorError("getfd: no answer") from error
        await self.run("getfd", fdname=name)

    async def give_set(self, fd: int, opaque: str) -> int:
        """Hand over an open file for `/dev/fdset/N`; answers N. Raises MonitorError."""
        try:
            self._client.send_fd_scm(fd)
        except (OSError, QMPError) as error:
            raise MonitorError("add-fd: no answer") from error
        answer = await self.run("add-fd", opaque=opaque)
        return int(answer["fdset-id"])

    async def status(self) -> str:
        """QEMU's run state: `running`, `paused`, `shutdown`, `guest-panicked`, `io-error` …"""
        answer = await self.run("query-status")
        return str(answer["status"])

    async def close(self) -> None:
        """End the session; the guest goes on."""
        self._events.cancel()
        await asyncio.gather(self._events, return_exceptions=True)
        with contextlib.suppress(OSError, EOFError, QMPError, TimeoutError):
            async with asyncio.timeout(2):
                await self._client.disconnect()

    async def _watch(self, told: Callable[[], None]) -> None:
        async for _event in self._listener:
            told()
