"""What travels between the cloud and an agent: length-prefixed MessagePack over a stream, one answer to each request.

The stream is a Unix socket whose mode is the authorization. Frames are bounded; anything else ends the connection.
"""

import asyncio
import socket
import struct

import msgspec

from andromede.drivers.host import Desired, Report

MOST = 256 << 20
_HEAD = struct.Struct(">I")


class Push(msgspec.Struct, tag=True):
    """Hold this set."""

    desired: Desired


class Wait(msgspec.Struct, tag=True):
    """Report, once newer than `serial` or after `seconds`."""

    serial: int
    seconds: float


class Console(msgspec.Struct, tag=True):
    """The tail of a console."""

    guest_id: str


class Diagnostics(msgspec.Struct, tag=True):
    """A guest's counters."""

    guest_id: str


class Open(msgspec.Struct, tag=True):
    """Join this link with a guest's `serial` line or `vnc` display; after the answer it carries nothing else."""

    guest_id: str
    what: str


class ReadVolume(msgspec.Struct, tag=True):
    """Bytes of an export of a volume."""

    volume_id: str
    export: str
    offset: int
    count: int


class WriteVolume(msgspec.Struct, tag=True):
    """Bytes for the stage of a volume."""

    volume_id: str
    stage: str
    offset: int
    data: bytes


class Refused(msgspec.Struct, tag=True):
    """An error, in words for the caller."""

    message: str


class Answer(msgspec.Struct, tag=True):
    """What was asked for."""

    report: Report | None = None
    data: bytes = b""
    values: dict[str, object] | None = None


Request = Push | Wait | Console | Diagnostics | Open | ReadVolume | WriteVolume
Reply = Answer | Refused


async def read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """One frame; None at the end of the stream."""
    try:
        (length,) = _HEAD.unpack(await reader.readexactly(_HEAD.size))
        if length > MOST:
            return None
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError:
        return None


def frame(value: Request | Reply) -> bytes:
    """Encode one."""
    raw = msgspec.msgpack.encode(value)
    return _HEAD.pack(len(raw)) + raw


def exchange(link: socket.socket, request: Request) -> Reply:
    """Send a request and read its answer. Raises OSError where the stream ends."""
    link.sendall(frame(request))
    (length,) = _HEAD.unpack(_read(link, _HEAD.size))
    if length > MOST:
        msg = "frame too long"
        raise OSError(msg)
    reply: Reply = msgspec.msgpack.decode(_read(link, length), type=Reply)
    return reply


def _read(link: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        chunk = link.recv(min(1 << 20, count - len(data)))
        if not chunk:
            msg = "the agent closed the connection"
            raise OSError(msg)
        data += chunk
    return bytes(data)
