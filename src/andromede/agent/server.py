"""The agent's end of the link."""

import asyncio
import grp
import os
import socket
from pathlib import Path

import msgspec
import structlog

from andromede.agent.host import HostLoop
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
    frame,
    read_frame,
)
from andromede.core.errors import CloudError

log = structlog.get_logger("agent")
MOST_BYTES = 64 << 20
"""Of a volume, in one answer."""


async def serve(loop: HostLoop, path: Path, group: str | None = None) -> asyncio.Server:
    """Listen on a Unix socket that only root and `group` may open."""
    path.unlink(missing_ok=True)
    before = os.umask(0o177)
    try:
        server = await asyncio.start_unix_server(lambda reader, writer: _talk(loop, reader, writer), str(path))
    finally:
        os.umask(before)
    if group is not None:
        os.chown(path, -1, grp.getgrnam(group).gr_gid)
        path.chmod(0o660)
    return server


async def _talk(loop: HostLoop, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while (raw := await read_frame(reader)) is not None:
            answer = await _answer(loop, raw)
            if isinstance(answer, socket.socket):
                writer.write(frame(Answer()))
                await join(reader, writer, answer)
                return
            writer.write(frame(answer))
            await writer.drain()
    except ConnectionError as error:
        log.debug("a connection ended", error=repr(error))
    except asyncio.CancelledError:
        log.debug("a connection is closed: the agent ends")
    finally:
        writer.close()


async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: socket.socket) -> None:
    """Pass on what comes from either side until one of them ends."""
    opened = asyncio.open_unix_connection if line.family == socket.AF_UNIX else asyncio.open_connection
    there, back = await opened(sock=line)
    ways = {asyncio.create_task(_pass_on(reader, back)), asyncio.create_task(_pass_on(there, writer))}
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        back.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


async def _answer(loop: HostLoop, raw: bytes) -> Reply | socket.socket:
    try:
        request = msgspec.msgpack.decode(raw, type=Request)
    except msgspec.MsgspecError as error:
        return Refused(f"The agent does not understand this request: {error}")
    try:
        match request:
            case Push(desired):
                await loop.take(desired)
                return Answer()
            case Wait(serial, seconds):
                return Answer(report=await loop.report(serial, min(seconds, 60.0)))
            case Console(guest_id):
                return Answer(data=await loop.console(guest_id))
            case Open(guest_id, what):
                return await loop.open(guest_id, what)
            case Diagnostics(guest_id):
                return Answer(values=await loop.diagnostics(guest_id))
            case ReadVolume(volume_id, export, offset, count):
                return Answer(data=await loop.block.read(volume_id, export, offset, min(count, MOST_BYTES)))
            case WriteVolume(volume_id, stage, offset, data):
                await loop.block.write(volume_id, stage, offset, data)
                return Answer()
    except CloudError as error:
        return Refused(error.message)
    except OSError as error:
        log.exception("request failed")
        return Refused(f"The host could not do this: {error.strerror}.")
    return Refused("The agent does not know this request.")
