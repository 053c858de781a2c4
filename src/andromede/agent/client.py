"""The cloud's end of the link to its agents."""

import asyncio
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
from andromede.core.errors import CloudError, Conflict, DriverError, Unavailable
from andromede.drivers.host import Desired, Report

_QUICK, _SLOW = 20.0, 60.0


async def reach(path: Path, host: str, guest_id: str, what: str) -> socket.socket:
    """A connection to a guest on another host, through the agent there that listens at `path`. Raises DriverError."""

    try:
        return await asyncio.to_thread(_open, path, guest_id, what)
    except OSError as error:
        raise DriverError(f"The host {host} does not answer.") from error
    except Conflict as error:
        raise DriverError(error.message) from error


def _open(path: Path, guest_id: str, what: str) -> socket.socket:
    """A link of its own to a guest, on which an agent passes on what comes. Raises OSError, Conflict where that is refused."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        link.settimeout(_QUICK)
        link.connect(str(path))
        reply = exchange(link, Open(guest_id, what))
        if isinstance(reply, Refused):
            raise Conflict(reply.message)
        link.settimeout(None)
    except (OSError, CloudError):
        link.close()
        raise
    return link


class AgentHosts:
    """Hosts whose agents listen on Unix sockets. Requests to one host may go on at once, each over a connection of its own.

    sockets: answers where the agent of each host listens; asked again for a host that is not known yet.
    """

    def __init__(self, sockets: Callable[[], Mapping[str, Path]]) -> None:
        self._find, self._sockets = sockets, dict(sockets())
        self._idle: dict[str, list[socket.socket]] = {}
        self._lock = threading.Lock()
        self._news = threading.Condition()
        self._asked: set[str] = set()
        self._told: dict[str, Report | None] = {}

    def push(self, host: str, desired: Desired) -> None:
        """Hand over the full desired set."""
        self._ask(host, Push(desired))

    def wait(self, serials: dict[str, int], timeout: float) -> dict[str, Report | None]:
        """New reports. With several hosts, the first that has news ends the wait."""
        if len(serials) == 1:
            return {host: self._hear(host, serial, timeout) for host, serial in serials.items()}
        with self._news:
            for host, serial in serials.items():  # one question to a host at a time: it goes on while others answer
                if host not in self._asked:
                    self._asked.add(host)
                    threading.Thread(target=self._listen, args=(host, serial, timeout), daemon=True).start()
            self._news.wait_for(lambda: serials.keys() & self._told.keys(), timeout + _QUICK)
            out = {host: self._told.pop(host) for host in serials.keys() & self._told.keys()}
            self._asked -= out.keys()
        return out

    def _listen(self, host: str, serial: int, timeout: float) -> None:
        report = self._hear(host, serial, timeout)
        with self._news:
            self._told[host] = report
            self._news.notify_all()

    def _hear(self, host: str, serial: int, timeout: float) -> Report | None:
        try:
            return self._ask(host, Wait(serial, timeout), timeout + _QUICK).report
        except CloudError:
            return None

    def console(self, host: str, guest_id: str) -> bytes:
        """The tail of a guest's serial console."""
        return self._ask(host, Console(guest_id)).data

    def diagnostics(self, host: str, guest_id: str) -> dict[str, object]:
        """Counters of a running guest."""
        return self._ask(host, Diagnostics(guest_id)).values or {}

    def open(self, host: str, guest_id: str, what: str) -> socket.socket:
        """A connection to a guest's console: the agent passes on what comes, after one answer, on a link of its own."""
        try:
            return _open(self._socket(host), guest_id, what)
        except (OSError, KeyError) as error:
            raise Unavailable(f"The host {host} does not answer.") from error

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
                idle = self._idle[host].pop() if self._idle.get(host) else None
            if idle is not None:
                with contextlib.suppress(OSError), self._kept(host, idle):
                    return use(idle)
            link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            with self._kept(host, link):
                link.settimeout(5)
                link.connect(str(self._socket(host)))
                return use(link)
        except (OSError, KeyError) as error:
            raise Unavailable(f"The host {host} does not answer.") from error

    def _socket(self, host: str) -> Path:
        if host not in self._sockets:
            self._sockets = dict(self._find())
        return self._sockets[host]

    @contextlib.contextmanager
    def _kept(self, host: str, link: socket.socket) -> Iterator[None]:
        try:
            yield
        except OSError:
            link.close()
            raise
        else:
            with self._lock:
                self._idle.setdefault(host, []).append(link)
