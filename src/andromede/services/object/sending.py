"""Requests to other stores, whose bodies are streams: sent in threads, drawn from the event loop piece by piece."""

import asyncio
import http.client
from collections.abc import AsyncIterator, Iterator, Mapping
from urllib.parse import SplitResult

import msgspec

from andromede.core.errors import Unavailable
from andromede.http.outside import Limits, connection

_MOST = 1 << 20


class Answer(msgspec.Struct, frozen=True):
    """What was answered: the status, the headers in lower case, and the first mebibyte of the body."""

    status: int
    headers: dict[str, str]
    body: bytes


async def send(
    where: SplitResult, limits: Limits, method: str, target: str, headers: Mapping[str, str], body: AsyncIterator[bytes] | None = None, size: int = 0,
) -> Answer:  # fmt: skip
    """Send a request. where: the other side; target: path and query, quoted; headers: all but the length. Raises Unavailable where nothing
    answers, BadRequest where it may not be reached, and whatever `body` raises."""
    pieces = _Pieces(body, asyncio.get_running_loop()) if body is not None else None
    try:
        return await asyncio.to_thread(_sent, where, limits, method, target, dict(headers), pieces, size)
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"{where.hostname} does not answer.") from error


def _sent(where: SplitResult, limits: Limits, method: str, target: str, headers: dict[str, str], body: "_Pieces | None", size: int) -> Answer:
    made = connection(where, limits)
    try:
        made.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            made.putheader(name, value.encode("utf-8", "surrogateescape"))
        made.putheader("content-length", str(size))
        made.endheaders()
        for piece in body or ():
            made.send(piece)
        answer = made.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read(_MOST))
    finally:
        made.close()


class _Pieces:
    """The pieces of a stream, for a thread."""

    def __init__(self, stream: AsyncIterator[bytes], loop: asyncio.AbstractEventLoop) -> None:
        self._stream, self._loop = stream, loop

    def __iter__(self) -> Iterator[bytes]:
        while piece := asyncio.run_coroutine_threadsafe(self._next(), self._loop).result():
            yield piece

    async def _next(self) -> bytes:
        async for piece in self._stream:
            if piece:
                return piece
        return b""


async def once(data: bytes) -> AsyncIterator[bytes]:
    """Bytes as a stream."""
    yield data
