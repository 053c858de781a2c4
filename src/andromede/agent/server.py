"""The agent's end of the link."""

import asyncio
import grp
import os
from pathlib import Path

import msgspec
import structlog

from andromede.agent.host import HostLoop
from andromede.agent.protocol import Answer, Console, Diagnostics, Push, Refused, Reply, Request, Wait, frame, read_frame
from andromede.core.errors import CloudError

log = structlog.get_logger("agent")


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
            writer.write(frame(await _answer(loop, raw)))
            await writer.drain()
    except ConnectionError as error:
        log.debug("a connection ended", error=repr(error))
    except asyncio.CancelledError:
        log.debug("a connection is closed: the agent ends")
    finally:
        writer.close()


async def _answer(loop: HostLoop, raw: bytes) -> Reply:
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
            case Diagnostics(guest_id):
                return Answer(values=await loop.diagnostics(guest_id))
    except CloudError as error:
        return Refused(error.message)
    except OSError as error:
        log.exception("request failed")
        return Refused(f"The host could not do this: {error.strerror}.")
    return Refused("The agent does not know this request.")
