"""Hosts whose agents live in this process: for trying out a cloud of many hosts, and for measuring one, with fake drivers."""

import asyncio
import socket
import threading
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from andromede.agent.host import HostLoop
from andromede.core.errors import CloudError, DriverError, Unavailable
from andromede.drivers.host import Desired, Report

T = TypeVar("T")


async def _telling(work: Coroutine[Any, Any, T]) -> T:
    """As an agent elsewhere tells: what goes wrong there is Unavailable here."""
    try:
        return await work
    except CloudError as error:
        raise Unavailable(error.message) from error


class InsideHosts:
    """`Hosts` over host loops on one event loop of their own."""

    def __init__(self, loops: Mapping[str, HostLoop]) -> None:
        self._loops = dict(loops)
        for loop in self._loops.values():
            loop.hypervisor.reach = self._reach
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="hosts", daemon=True)
        self._thread.start()

    def push(self, host: str, desired: Desired) -> None:
        """Hand over the full desired set."""
        self._do(self._find(host).take(desired))

    def wait(self, serials: dict[str, int], timeout: float) -> dict[str, Report | None]:
        """New reports of the hosts that have any; of none after `timeout` seconds."""
        return self._do(self._wait(serials, timeout))

    def console(self, host: str, guest_id: str) -> bytes:
        """The tail of a guest's serial console."""
        return self._do(self._find(host).console(guest_id))

    def open(self, host: str, guest_id: str, what: str) -> socket.socket:
        """A connection to a guest's console."""
        return self._do(self._find(host).open(guest_id, what))

    def diagnostics(self, host: str, guest_id: str) -> dict[str, object]:
        """Counters of a running guest."""
        return self._do(self._find(host).diagnostics(guest_id))

    def read_volume(self, host: str, volume_id: str, export: str, offset: int, count: int) -> bytes:
        """Bytes of an export of a volume; none where all of them are zero."""
        return self._do(_telling(self._find(host).block.read(volume_id, export, offset, count)))

    def write_volume(self, host: str, volume_id: str, stage: str, offset: int, data: bytes) -> None:
        """Write to the stage of a volume."""
        self._do(_telling(self._find(host).block.write(volume_id, stage, offset, data)))

    def close(self) -> None:
        """End the loops; what their drivers keep stays."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _run(self) -> None:
        for loop in self._loops.values():
            self._loop.create_task(loop.run())
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _wait(self, serials: dict[str, int], timeout: float) -> dict[str, Report | None]:
        waiting = {
            asyncio.create_task(self._loops[name].report(serial, timeout)): name for name, serial in serials.items() if name in self._loops
        }
        if not waiting:
            return dict.fromkeys(serials)
        done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        return {waiting[task]: task.result() for task in done}

    async def _reach(self, host: str, guest_id: str, what: str) -> socket.socket:
        """From one host to another."""
        if host not in self._loops:
            raise DriverError(f"The host {host} does not answer.")
        return await self._loops[host].open(guest_id, what)

    def _find(self, host: str) -> HostLoop:
        if host not in self._loops:
            raise Unavailable(f"The host {host} does not answer.")
        return self._loops[host]

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
