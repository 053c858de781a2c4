"""A program that has to be kept running, as data, and whether it serves."""

import contextlib
import socket
from pathlib import Path

import msgspec


class Daemon(msgspec.Struct, frozen=True, kw_only=True):
    """A program to keep running in the foreground.

    argv: absolute; it enters its namespace and drops capabilities by itself. env: to be added. uid, gid: whom to run as,
    without supplementary groups. after: names of programs that must serve first. ready: a Unix socket that accepts connections
    once it serves (`{pid}` in it is what the pid file holds), or `tcp:HOST:PORT`. pidfile: written by the program, or by the
    supervisor where it is empty. backoff: seconds before a start after an end, doubled up to ten times that while it keeps
    ending. stop: the command that ends it without disturbing guests' traffic; SIGTERM where empty. outlives: whether it goes on
    running when the supervisor ends, to be adopted through `pidfile`, since guests depend on it.
    """

    name: str
    argv: tuple[str, ...]
    env: dict[str, str] = {}
    ready: str
    after: tuple[str, ...] = ()
    pidfile: str = ""
    uid: int = 0
    gid: int = 0
    umask: int = 0o077
    backoff: float = 0.2
    stop: tuple[str, ...] = ()
    outlives: bool = False


def is_ready(daemon: Daemon) -> bool:
    """Whether a program serves now."""
    if daemon.ready.startswith("tcp:"):
        address, _, port = daemon.ready[4:].rpartition(":")
        try:
            socket.create_connection((address.strip("[]"), int(port)), timeout=1).close()
        except OSError:
            return False
        return True
    path = daemon.ready
    if "{pid}" in path:
        try:
            path = path.replace("{pid}", Path(daemon.pidfile).read_text().strip())
        except OSError:
            return False
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_UNIX, kind) as probe:
            probe.settimeout(1)
            with contextlib.suppress(OSError):
                probe.connect(path)
                return True
    return False
