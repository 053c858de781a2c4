"""Connections to what listens in a container, made in its own network: no way through anybody's network is needed, nor a port opened."""

import ctypes
import ipaddress
import os
import socket

from andromede.core.errors import DriverError

PATIENCE = 5.0
_NEW_NET = 0x40000000


def connect(init: int, what: str) -> socket.socket:
    """A connection to `tcp ADDRESS PORT` in the network of the container whose first process is `init`, 0 for none. Must not be called on
    a thread that does anything else meanwhile.

    Raises DriverError (409) where the container does not run or nothing listens there.
    """
    _tcp, address, port = what.split()
    family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    try:
        if not init:
            raise OSError("no container")
        line = _of(init, family)
        try:
            line.settimeout(PATIENCE)
            line.connect((address, int(port)))
            line.setblocking(False)
        except OSError:
            line.close()
            raise
    except OSError as error:
        raise DriverError("The server does not run, or nothing in it answers there.", status=409) from error
    return line


def _of(init: int, family: int) -> socket.socket:
    """A socket of a process's network: it stays there, whatever network the thread is in afterwards."""
    home, there = os.open("/proc/thread-self/ns/net", os.O_RDONLY), -1
    try:
        there = os.open(f"/proc/{init}/ns/net", os.O_RDONLY)
        _enter(there)
        try:
            return socket.socket(family, socket.SOCK_STREAM)
        finally:
            _enter(home)
    finally:
        os.close(home)
        if there >= 0:
            os.close(there)


def _enter(handle: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(handle, _NEW_NET):
        raise OSError(ctypes.get_errno(), "setns")
