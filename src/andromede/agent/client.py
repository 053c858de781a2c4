"""The cloud's end of the link to its agents."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from andromede.agent.protocol import (
    Answer,
    Console,
    Diagnostics,
    Open,
    Push,
    ReadVolume,
    Refused,
    Reply,
    Request,
    Wait,
    WriteVolume,
    exchange,
)
from andromede.core.errors import CloudError, Conflict, Unavailable
from andromede.drivers.host import Desired, Report

_QUICK, _SLOW = 20.0, 60.0


class AgentHosts:
    """Hosts whose agents listen on Unix sockets. Requests to one host may go on at once, each over a connection of its own."""

    def __init__(self, sockets: Mapping[str, Path]) -> None:
        self._sockets = dict(sockets)
        self._idle: dict[str, list[socket.socket]] = {name: [] for name in sockets}
        self._lock = threading.Lock()

    def push(self, host: str, desired: Desired) -> None:
        """Hand over the full desired set."""
        self._ask(host, Push(desired))

    def wait(self, serials: dict[str, int], timeout: float) -> dict[str, Report | None]:
        """New reports. With several hosts, the first that has news ends the wait."""
        out: dict[str, Report | None] = {}
        ready = threading.Condition()

        def ask(host: str, serial: int) -> None:
            report: Report | None = None
            with contextlib.suppress(CloudError):
                report = self._ask(host, Wait(serial, timeout), timeout + _QUICK).report
            with ready:
                out[host] = report
                ready.notify()

        if len(serials) == 1:
            for host, serial in serials.items():
                ask(host, serial)
            return out
        for host, serial in serials.items():
            threading.Thread(target=ask, args=(host, serial), daemon=True).start()
        with ready:
            ready.wait_for(lambda: bool(out), timeout + _QUICK)
            return dict(out)

    def console(self, host: str, guest_id: str) -> bytes:
        """The tail of a guest's serial console."""
        return self._ask(host, Console(guest_id)).data

    def diagnostics(self, host: str, guest_id: str) -> dict[str, object]:
        """Counters of a running guest."""
        return self._ask(host, Diagnostics(guest_id)).values or {}

    def open(self, host: str, guest_id: str, what: str) -> socket.socket:
        """A connection to a guest's console: the agent passes on what comes, after one answer, on a link of its own."""
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            link.settimeout(_QUICK)
            link.connect(str(self._sockets[host]))
            reply = exchange(link, Open(guest_id, what))
            if isinstance(reply, Refused):
                raise Conflict(reply.message)
            link.settimeout(None)
        except (OSError, KeyError) as error:
            link.close()
            raise Unavailable(f"The host {host} does not answer.") from error
        except CloudError:
            link.close()
            raise
        return link

    def read_volume(self, host: str, volume_id: str, export: str, offset: int, count: int) -> bytes:
        """Bytes of an export of a volume; none where all of them are zero."""
        return self._ask(host, ReadVolume(volume_id, export, offset, count), _SLOW).data

    def write_volume(self, host: str, volume_id: str, stage: str, offset: int, data: bytes) -> None:
        """Write to the stage of a volume."""
        self._ask(host, WriteVolume(volume_id, stage, offset, data), _SLOW)

    def close(self) -> None:
        """Close idle connections."""
        with self._lock:
            for links in self._idle.values():
                for link in links:
                    link.close()
                links.clear()

    def _ask(self, host: str, request: Request, timeout: float = _QUICK) -> Answer:
        def once(link: socket.socket) -> Reply:
            link.settimeout(timeout)
            return exchange(link, request)

        reply = self._with_link(host, once)
        if isinstance(reply, Refused):
            raise Unavailable(reply.message)
        return reply

    def _with_link(self, host: str, use: Callable[[socket.socket], Reply]) -> Reply:
        """On an idle connection first (the agent may have been restarted since), then on a new one."""
        try:
            with self._lock:
                idle = self._idle[host].pop() if self._idle[host] else None
            if idle is not None:
                with contextlib.suppress(OSError), self._kept(host, idle):
                    return use(idle)
            link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            with self._kept(host, link):
                link.settimeout(5)
                link.connect(str(self._sockets[host]))
                return use(link)
        except (OSError, KeyError) as error:
            raise Unavailable(f"The host {host} does not answer.") from error

    @contextlib.contextmanager
    def _kept(self, host: str, link: socket.socket) -> Iterator[None]:
        try:
            yield
        except OSError:
            link.close()
            raise
        else:
            with self._lock:
                self._idle[host].append(link)
