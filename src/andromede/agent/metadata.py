"""The metadata service: answers at 169.254.169.254 and fe80::a9fe:a9fe inside every network that has a guest here.

It is a process of its own, without any right: the agent forks it before it does anything else, opens the listening
sockets inside the networks' namespaces, and hands them over. Who asks is known by the network whose socket the request
came in on and the address it came from, which port security holds guests to; no header is looked at.
Documents are the files of OpenStack's metadata (`openstack/latest/…`) and of EC2's (`latest/meta-data/…`). A guest may post
its password once, encrypted with its user's key (`openstack/latest/password`). One that the cloud speaks with, which is known by the
documents it has below `openstack/latest/andromede/`, may put its state there as often as that changes (`…/state`): the last one counts.
"""

import array
import asyncio
import contextlib
import hashlib
import os
import re
import signal
import socket
import sys
from functools import partial

import h11
import msgspec
import structlog

from andromede.core.clock import monotonic
from andromede.drivers.host import PRIVATE
from andromede.drivers.network import MetadataEnd

log = structlog.get_logger("metadata")
ADDRESSES = (("169.254.169.254", socket.AF_INET), ("fe80::a9fe:a9fe", socket.AF_INET6))
_IDLE = 20.0
_MOST = 512
_GUESTS = 10_000
PASSWORD = "openstack/latest/password"  # noqa: S105 - a path
_PASSWORD_MOST = 1020
STATE = PRIVATE + "state"
STATE_MOST = 32 << 10
_STATES_RATE = 4.0
_EMPTY = (204, 304)
_DATED = re.compile(r"^(openstack/)?(\d{4}-\d\d-\d\d|1\.0)(?=/|$)")


class _Listen(msgspec.Struct, tag=True):
    network_id: str
    sockets: int


class _Silence(msgspec.Struct, tag=True):
    network_id: str


class _Publish(msgspec.Struct, tag=True):
    documents: list[tuple[str, str, dict[str, bytes]]]


class Posted(msgspec.Struct, frozen=True):
    """What a guest posted, as its password or (path) its state."""

    network_id: str
    address: str
    data: bytes
    path: str = PASSWORD


_Order = _Listen | _Silence | _Publish


class MetadataProcess:
    """The agent's handle on the process. Make it before any thread or event loop exists.

    rate: how many requests a second one guest may make in the long run, and ten times as many at once; 0 is no limit.
    """

    def __init__(self, uid: int, gid: int, *, rate: float = 0) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            _child(theirs, uid, gid, rate)
        theirs.close()
        self._link = ours
        self._published: dict[tuple[str, str], dict[str, bytes]] = {}

    def listen(self, end: MetadataEnd, namespace: str) -> None:
        """Serve in a namespace: the sockets are opened there, and stay there."""
        sockets = _open_inside(namespace)
        try:
            raw = array.array("i", [one.fileno() for one in sockets])
            order = msgspec.msgpack.encode(_Listen(end.network_id, len(sockets)))
            self._link.sendmsg([order], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, raw)])
        finally:
            for one in sockets:
                one.close()

    def silence(self, network_id: str) -> None:
        """Serve there no more."""
        self._link.send(msgspec.msgpack.encode(_Silence(network_id)))

    def publish(self, documents: dict[tuple[str, str], dict[str, bytes]]) -> None:
        """Send what has changed since the last time; what is no longer named is forgotten."""
        changed = [(*key, files) for key, files in documents.items() if self._published.get(key) != files]
        gone: list[tuple[str, str, dict[str, bytes]]] = [(*key, {}) for key in self._published.keys() - documents.keys()]
        for one in changed + gone:
            self._link.send(msgspec.msgpack.encode(_Publish([one])))
        self._published = dict(documents)

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        except ChildProcessError:
            return False

    def fileno(self) -> int:
        """What becomes readable when a guest has posted."""
        return self._link.fileno()

    def posted(self) -> list[Posted]:
        """What guests posted since the last call."""
        out = []
        with contextlib.suppress(BlockingIOError):
            while raw := self._link.recv(1 << 16, socket.MSG_DONTWAIT):
                out.append(msgspec.msgpack.decode(raw, type=Posted))
        return out

    def stop(self) -> None:
        """End the process."""
        self._link.close()
        os.waitpid(self.pid, 0)


def _open_inside(namespace: str) -> list[socket.socket]:
    """Listening sockets on the metadata addresses of a namespace; IPv6 is left out where the host has none."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    out = []
    try:
        _setns(there)
        for address, family in ADDRESSES:
            one = socket.socket(family, socket.SOCK_STREAM)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.setsockopt(socket.SOL_IP, socket.IP_FREEBIND if hasattr(socket, "IP_FREEBIND") else 15, 1)
            try:
                if family == socket.AF_INET6:
                    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                    one.bind((address, 80, 0, _link_scope()))
                else:
                    one.bind((address, 80))
                one.listen(64)
            except OSError as error:
                one.close()
                if family == socket.AF_INET:
                    raise
                log.warning("metadata is not served over IPv6 in this network", namespace=namespace, error=repr(error))
                continue
            one.setblocking(False)
            out.append(one)
    finally:
        _setns(home)
        os.close(home)
        os.close(there)
    return out


def _link_scope() -> int:
    return next(index for index, name in socket.if_nameindex() if name != "lo")


def _setns(handle: int) -> None:
    import ctypes

    if ctypes.CDLL(None, use_errno=True).setns(handle, 0x40000000):
        raise OSError(ctypes.get_errno(), "setns")


def _child(link: socket.socket, uid: int, gid: int, rate: float) -> None:
    """Never returns."""
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if os.getuid() == 0:
            os.setgroups([])
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
        asyncio.run(_Server(link, rate).run())
        code = 0
    except BaseException:
        log.exception("the metadata service ended")
    finally:
        sys.stdout.flush()
        os._exit(code)


class Allowance:
    """How many requests each guest may still make: `rate` more each second, at most `rate * 10`."""

    def __init__(self, rate: float) -> None:
        self._rate, self._most = rate, max(rate * 10, 1)
        self._left: dict[str, tuple[float, float]] = {}

    def spend(self, guest: str, now: float) -> bool:
        """Whether the guest may make a request now (seconds of any clock), which is then counted."""
        left, since = self._left.get(guest, (self._most, now))
        left = min(self._most, left + (now - since) * self._rate)
        if len(self._left) >= _GUESTS:
            # who has not asked for long has everything again, and need not be known
            self._left = {name: held for name, held in self._left.items() if held[0] + (now - held[1]) * self._rate < self._most}
        self._left[guest] = (left - 1 if left >= 1 else left, now)
        return left >= 1


class _Server:
    """The process's side."""

    def __init__(self, link: socket.socket, rate: float = 0) -> None:
        self._link = link
        self._allowance = Allowance(rate) if rate else None
        self._states = Allowance(_STATES_RATE)
        self._documents: dict[tuple[str, str], dict[str, bytes]] = {}
        self._servers: dict[str, list[asyncio.Server]] = {}
        self._open = 0

    async def run(self) -> None:
        """Serve until the agent closes the link."""
        self._link.setblocking(False)
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._link.fileno(), ready.set)
        while True:
            await ready.wait()
            ready.clear()
            while True:
                try:
                    raw, fds, _flags, _address = socket.recv_fds(self._link, 4 << 20, 8)
                except BlockingIOError:
                    break
                if not raw:
                    return
                await self._order(msgspec.msgpack.decode(raw, type=_Order), fds)

    async def _order(self, order: _Order, fds: list[int]) -> None:
        match order:
            case _Listen(network_id):
                self._silence(network_id)
                talk = partial(self._talk, network_id)
                self._servers[network_id] = [await asyncio.start_server(talk, sock=socket.socket(fileno=fd)) for fd in fds]
            case _Silence(network_id):
                self._silence(network_id)
            case _Publish(documents):
                for network_id, address, files in documents:
                    if files:
                        self._documents[network_id, address] = files
                    else:
                        self._documents.pop((network_id, address), None)

    def _silence(self, network_id: str) -> None:
        for server in self._servers.pop(network_id, []):
            server.close()

    async def _talk(self, network_id: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = str(writer.get_extra_info("peername")[0]).partition("%")[0]
        if self._open >= _MOST:
            writer.close()
            return
        self._open += 1
        try:
            await self._converse(network_id, peer, reader, writer)
        except (h11.RemoteProtocolError, ConnectionError, TimeoutError) as error:
            log.debug("a guest's request ended", network=network_id, peer=peer, error=repr(error))
        finally:
            self._open -= 1
            writer.close()

    async def _converse(self, network_id: str, peer: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        speech = h11.Connection(h11.SERVER, max_incomplete_event_size=8192)
        sent = b""
        while True:
            event = speech.next_event()
            if event is h11.NEED_DATA:
                speech.receive_data(await asyncio.wait_for(reader.read(8192), _IDLE))
            elif isinstance(event, h11.Request):
                request, sent = event, b""
            elif isinstance(event, h11.Data):
                sent = (sent + event.data)[: STATE_MOST + 1]
            elif isinstance(event, h11.EndOfMessage):
                status, body = self._answer(network_id, peer, request, sent)
                writer.write(_spoken(speech, *_tagged(request, status, body)))
                await writer.drain()
                if speech.our_state is h11.MUST_CLOSE:
                    return
                speech.start_next_cycle()
            elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
                return

    def _answer(self, network_id: str, peer: str, request: h11.Request, sent: bytes) -> tuple[int, bytes]:
        if request.method not in (b"GET", b"HEAD", b"POST", b"PUT"):
            return 405, b"Method not allowed.\n"
        path = request.target.decode("ascii", "replace").partition("?")[0].strip("/")
        files = self._documents.get((network_id, peer))
        if self._allowance is not None and not self._allowance.spend(f"{network_id} {peer}", monotonic()):
            return 429, b"Too many requests; try again in a moment.\n"
        if files is None:
            return 404, b"No server of this network has this address.\n"
        if request.method in (b"POST", b"PUT"):
            path = _DATED.sub(r"\1latest", path)
            return self._state(network_id, peer, sent) if path == STATE else self._post(network_id, peer, path, sent)
        status, body = lookup(files, path)
        return status, b"" if request.method == b"HEAD" else body

    def _state(self, network_id: str, peer: str, sent: bytes) -> tuple[int, bytes]:
        """Pass a state on; only of a guest that has documents beside it."""
        if not any(name.startswith(PRIVATE) for name in self._documents[network_id, peer]):
            return 404, b"Not found.\n"
        if len(sent) > STATE_MOST:
            return 413, f"A state has {STATE_MOST} bytes at most.\n".encode()
        if not self._states.spend(f"{network_id} {peer}", monotonic()):
            return 429, b"Too many states; try again in a moment.\n"
        try:
            self._link.send(msgspec.msgpack.encode(Posted(network_id, peer, sent, STATE)))
        except BlockingIOError:
            return 503, b"The host is busy; try again in a moment.\n"
        return 204, b""

    def _post(self, network_id: str, peer: str, path: str, sent: bytes) -> tuple[int, bytes]:
        if path != PASSWORD:
            return 405, b"Method not allowed.\n"
        if self._documents[network_id, peer].get(PASSWORD):
            return 409, b"The password is set already.\n"
        if len(sent) > _PASSWORD_MOST:
            return 400, b"The password is too long.\n"
        self._documents[network_id, peer] = {**self._documents[network_id, peer], PASSWORD: sent}
        self._link.send(msgspec.msgpack.encode(Posted(network_id, peer, sent)))
        return 200, b""


def _tagged(request: h11.Request, status: int, body: bytes) -> tuple[int, bytes, str]:
    """An answer with its ETag, where it has one; 304 where whoever asks knows it already."""
    if status != 200 or request.method != b"GET" or PRIVATE.removeprefix("openstack/latest").encode() not in request.target:
        return status, body, ""
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    known = b",".join(value for name, value in request.headers if name == b"if-none-match").decode("ascii", "replace")
    return (304, b"", tag) if tag in known or known.strip() == "*" else (200, body, tag)


def _spoken(speech: h11.Connection, status: int, body: bytes, tag: str) -> bytes:
    """An answer on the wire."""
    kind = "application/json" if body[:1] in (b"{", b"[") else "text/plain; charset=utf-8"
    headers = [] if status in _EMPTY else [("content-type", kind), ("content-length", str(len(body)))]
    if tag:
        headers.append(("etag", tag))
    out = speech.send(h11.Response(status_code=status, headers=headers)) or b""
    if body:
        out += speech.send(h11.Data(data=body)) or b""
    return out + (speech.send(h11.EndOfMessage()) or b"")


def lookup(files: dict[str, bytes], path: str) -> tuple[int, bytes]:
    """The document at `path`, or the names below it, one a line; a name with more below it ends in a slash.

    A date in the place of `latest` is a version of the interface; all of them answer alike.
    """
    path = _DATED.sub(r"\1latest", path)
    if path in files:
        return 200, files[path]
    inside = f"{path}/" if path else ""
    names = {name[len(inside) :] for name in files if name.startswith(inside)}
    if not names:
        return 404, b"Not found.\n"
    heads = {name.partition("/")[0] + ("/" if "/" in name and not inside.startswith("openstack") else "") for name in names}
    return 200, "\n".join(sorted(heads)).encode()
