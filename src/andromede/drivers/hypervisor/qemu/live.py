"""The processes that a driver holds: one pidfd and one QMP session a guest, and the news of both."""

import asyncio
import contextlib
import socket
from functools import partial
from pathlib import Path

import msgspec

from andromede.core.clock import monotonic
from andromede.core.errors import DriverError
from andromede.drivers.hypervisor.qemu.process import Process
from andromede.drivers.hypervisor.qemu.qmp import Monitor, MonitorError


class Live(msgspec.Struct, eq=False):
    """A guest's process that we hold. monitor: None while it does not answer. nudged: when it was last asked to switch off.

    leaving: when the guest was first and last asked to let go of a card, by port. parting: when it was last asked to let go of a
    volume, by its id. line: who reads its serial line.
    """

    process: Process
    monitor: Monitor | None = None
    nudged: float = 0.0
    leaving: dict[str, tuple[float, float]] = msgspec.field(default_factory=dict)
    line: socket.socket | None = None
    parting: dict[str, float] = msgspec.field(default_factory=dict)

    async def ended(self, patience: float) -> bool:
        """Wait up to `patience` seconds for the process to end; whether it has."""
        deadline = monotonic() + patience
        while self.process.alive:
            if monotonic() >= deadline:
                return False
            await asyncio.sleep(0.005)
        return True

    async def mute(self) -> None:
        """Give up a session that does not answer; the next look tries a new one."""
        if self.monitor is not None:
            await self.monitor.close()
            self.monitor = None


class Lives(dict[str, Live]):
    """By guest id. `changes` gets the id of a guest whose process ended or whose QEMU told of something."""

    def __init__(self, root: Path, changes: asyncio.Queue[str]) -> None:
        super().__init__()
        self._root, self._changes = root, changes

    def hold(self, guest_id: str, process: Process) -> Live:
        """Take charge of a process."""
        live = self[guest_id] = Live(process)
        asyncio.get_running_loop().add_reader(process.fd, self._exited, guest_id, process.fd)
        return live

    async def connect(self, guest_id: str, patience: float) -> None:
        """Open the guest's QMP session if it is not open; waits `patience` seconds for an answer. Raises MonitorError."""
        live = self[guest_id]
        if live.monitor is None:
            live.monitor = await Monitor.connect(self._root / guest_id / "qmp.sock", partial(self._told, guest_id), patience)

    async def drop(self, guest_id: str) -> None:
        """Let go of a guest; it goes on."""
        live = self.pop(guest_id, None)
        if live is not None:
            await self._release(live)

    async def kill(self, guest_id: str, *, orderly: bool) -> None:
        """End a guest's process. orderly: what QEMU still holds reaches the disk first. Raises DriverError when it stays."""
        live = self.get(guest_id)
        if live is None:
            return
        if orderly and live.monitor is not None:
            with contextlib.suppress(MonitorError):
                await live.monitor.run("quit", patience=2.0)
                await live.ended(3.0)
        live.process.kill()
        if not await live.ended(10.0):
            raise DriverError("The hypervisor process of the server could not be ended.")
        await self.drop(guest_id)

    async def _release(self, live: Live) -> None:
        asyncio.get_running_loop().remove_reader(live.process.fd)
        await live.mute()
        live.process.close()

    def _exited(self, guest_id: str, fd: int) -> None:
        asyncio.get_running_loop().remove_reader(fd)
        self._told(guest_id)

    def _told(self, guest_id: str) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            self._changes.put_nowait(guest_id)
