"""Consoles in a browser: an address with a token that holds for some minutes, and the bytes behind it.

Only the token's digest is kept. Whoever has the address has the console, until it expires or the server is gone.
"""

import asyncio
import hashlib
import secrets
import socket
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, delete, insert, select

from andromede.core.clock import now
from andromede.core.context import Context, Parts
from andromede.core.errors import CloudError, Unauthorized
from andromede.services.compute.tables import console_token, server

SOCKET = "/console/ws"
_PIECE = 1 << 16


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def issue(ctx: Context, server_id: str, kind: str) -> str:
    """A new address of a server's `vnc` or `serial` console."""
    token, moment = secrets.token_urlsafe(32), now()
    ctx.db.execute(delete(console_token).where(console_token.c.expires < moment))
    expires = moment + timedelta(seconds=ctx.parts.settings.compute.console_lifetime)
    ctx.db.execute(insert(console_token).values(digest=_digest(token), server_id=server_id, kind=kind, expires=expires))
    if kind == "serial":
        return f"ws{ctx.root.removeprefix('http')}{SOCKET}?token={token}"
    return f"{ctx.root}/console/vnc.html?path={quote(f'{SOCKET[1:]}?token={token}', safe='')}"


def find(db: Connection, token: str) -> Any:
    """What a token leads to: server_id, kind, host, expires. Raises Unauthorized for one that is not valid, or no more."""
    query = (
        select(console_token.c.kind, console_token.c.expires, server.c.id.label("server_id"), server.c.host)
        .join(server, server.c.id == console_token.c.server_id)
        .where(console_token.c.digest == _digest(token), console_token.c.expires > now(), server.c.host.is_not(None), server.c.deleted.is_(None))
    )
    row = db.execute(query).first()
    if row is None:
        raise Unauthorized("The console's token is not valid, or not any more.")
    return row


def forget(db: Connection, server_id: str) -> None:
    """A server's consoles lead nowhere any more."""
    db.execute(delete(console_token).where(console_token.c.server_id == server_id))


def connect(parts: Parts, token: str) -> socket.socket:
    """The console behind a token. Raises Unauthorized, Conflict, Unavailable."""
    row = parts.database.look(lambda db: find(db, token))
    line: socket.socket = parts.hosts.open(row.host, row.server_id, row.kind)
    return line


async def relay(parts: Parts, query: Mapping[str, str], protocol: Any) -> None:
    """Serve one WebSocket (RSGI's protocol) until either side ends it."""
    try:
        line = await asyncio.to_thread(connect, parts, query.get("token", ""))
    except CloudError as error:
        protocol.close(error.status)
        return
    reader, writer = await asyncio.open_unix_connection(sock=line)
    try:
        transport = await protocol.accept()
        ways = {asyncio.create_task(_out(reader, transport)), asyncio.create_task(_in(transport, writer))}
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        protocol.close()
    finally:
        writer.close()


async def _out(reader: asyncio.StreamReader, transport: Any) -> None:
    while data := await reader.read(_PIECE):
        await transport.send_bytes(data)


async def _in(transport: Any, writer: asyncio.StreamWriter) -> None:
    while True:
        message = await transport.receive()
        if message.kind == 0:
            return
        writer.write(message.data.encode() if isinstance(message.data, str) else bytes(message.data))
        await writer.drain()
