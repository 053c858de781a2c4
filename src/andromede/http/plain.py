"""Requests and answers without routes, policies or transactions: for the object store, whose paths are people's own names.

A face is a function from a request to a reply; `serve` makes an ASGI application of it. Unlike in `http.app`, the path is
there as it was sent (signatures are over that), header values are UTF-8, and bodies are streams.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
import structlog

from andromede.core.clock import monotonic, now
from andromede.core.errors import BadRequest, CloudError
from andromede.core.ids import new_request_id

log = structlog.get_logger("object")
SLOW = 60.0
"""Seconds that a client may take between two pieces of a body."""
_TOGETHER = 0.2
LINGER, LEFT = 2.0, 1 << 20
"""Seconds and bytes that are spent on a body that nobody wants, once the answer is known."""


class Gone(CloudError):
    """The client went away, or stopped sending, before the whole body had come."""

    status, kind = 499, "RequestTimeout"


class Headers:
    """Header fields in the order in which they came; names in lower case. Values that repeat are joined with commas by `get`."""

    __slots__ = ("_first", "pairs")

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self.pairs = pairs
        self._first: dict[str, str] = {}
        for name, value in pairs:
            self._first[name] = f"{self._first[name]},{value}" if name in self._first else value

    def get(self, name: str, default: str = "") -> str:
        """A field's value."""
        return self._first.get(name, default)

    def __contains__(self, name: str) -> bool:
        return name in self._first

    def __iter__(self) -> Iterator[str]:
        return iter(self._first)

    def items(self) -> list[tuple[str, str]]:
        """Names with their joined values."""
        return list(self._first.items())

    def starting(self, prefix: str) -> dict[str, str]:
        """The fields whose names begin with a prefix."""
        return {name: value for name, value in self._first.items() if name.startswith(prefix)}


class Request:
    """What was asked. raw_path, raw_query: as sent, still quoted; path: unquoted, not necessarily UTF-8; length: of the body,
    None where it comes in chunks; id: of the request, for the log and the answer. Raises BadRequest where it is not clear what its body
    is (RFC 9112, 6.3)."""

    __slots__ = (
        "_begun", "_more", "_receive", "headers", "id", "length", "method", "notes", "path", "raw_path", "raw_query", "remote", "scheme",
    )  # fmt: skip

    def __init__(
        self, method: str, raw_path: str, raw_query: str, headers: Headers, receive: Callable[[], Awaitable[dict[str, Any]]], *,
        remote: str = "", scheme: str = "http",
    ) -> None:  # fmt: skip
        self.method, self.raw_path, self.raw_query, self.headers, self.remote, self.scheme = method, raw_path, raw_query, headers, remote, scheme
        self.path = unquote_to_bytes(raw_path)
        self.id = new_request_id()
        self.notes: dict[str, Any] = {}
        """What the log shall say of it."""
        self._receive = receive
        text, coding = headers.get("content-length"), headers.get("transfer-encoding").strip().lower()
        if "," in text and len(same := {part.strip() for part in text.split(",")}) == 1:
            (text,) = same
        if text and not (text.isascii() and text.isdigit() and len(text) < 20):
            raise BadRequest("The header Content-Length is not a number.")
        if coding and (coding != "chunked" or text):
            raise BadRequest("A body comes with the length that Content-Length says, or with Transfer-Encoding: chunked.")
        self.length = int(text) if text else None if coding else 0
        self._more, self._begun = self.length != 0, False

    async def body(self) -> AsyncIterator[bytes]:
        """The pieces of the body as they come. Raises Gone."""
        more = self._begun = True
        while more:
            self._more = True
            try:
                async with asyncio.timeout(SLOW):
                    message = await self._receive()
            except TimeoutError:
                raise Gone("Your socket connection to the server was not read from or written to within the timeout period.") from None
            if message["type"] == "http.disconnect":
                raise Gone("The connection ended before the whole body had come.")
            more = self._more = message.get("more_body", False)
            if chunk := message.get("body"):
                yield chunk

    async def finish(self) -> bool:
        """Take what is left of the body where that is little, since a client may see no answer before it has sent all. Answers whether all
        has come: where it has not, and where the client waits to be told to go on, the connection is good for nothing more. That is so for
        an empty body too, for which nobody is told to go on: botocore up to 1.43 takes the next answer on such a connection for this one's."""
        if self._more and (self._begun or "expect" not in self.headers):
            with contextlib.suppress(Gone, TimeoutError):
                async with asyncio.timeout(LINGER):
                    size = 0
                    async for chunk in self.body():
                        size += len(chunk)
                        if size > LEFT:
                            break
        return not self._more and not (self.length == 0 and "expect" in self.headers)

    async def read(self, most: int) -> bytes:
        """The whole body. Raises BadRequest where it has more than `most` bytes."""
        parts, size = [], 0
        async for chunk in self.body():
            size += len(chunk)
            if size > most:
                raise BadRequest(f"The body of this request may have {most} bytes.")
            parts.append(chunk)
        return b"".join(parts)


class Reply:
    """What is answered: `stream` where it is there, else `body`. A reply to HEAD may carry the length of what is not sent."""

    __slots__ = ("body", "headers", "status", "stream")

    def __init__(
        self, status: int, headers: list[tuple[str, str]] | None = None, body: bytes = b"", stream: AsyncIterator[bytes] | None = None,
    ) -> None:  # fmt: skip
        self.status, self.headers, self.body, self.stream = status, headers or [], body, stream


Face = Callable[[Request], Awaitable[Reply]]


def serve(face: Face, name: str) -> Callable[..., Awaitable[None]]:
    """An ASGI application over a face, which answers its own errors; `name` is what the log calls it. A face may have a coroutine
    function `finish`, which is called when serving ends."""

    lines = _Lines()

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send, getattr(face, "finish", None))
            lines.flush()
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        began = monotonic()
        headers = Headers([(key.decode("latin-1").lower(), value.decode("utf-8", "surrogateescape")) for key, value in scope["headers"]])
        raw = (scope.get("raw_path") or b"/").decode("latin-1")
        try:
            request = Request(
                scope["method"], raw, scope["query_string"].decode("latin-1"), headers, receive, remote=str((scope.get("client") or ("",))[0]),
                scheme=scope.get("scheme", "http"),
            )  # fmt: skip
        except BadRequest as fault:
            log.info("request", face=name, method=scope["method"], path=raw, status=400, cause=fault.message)
            told = [(b"content-length", b"0"), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": 400, "headers": told})
            await send({"type": "http.response.body", "body": b""})
            return
        try:
            reply = await face(request)
        except Gone:
            reply = Reply(499)
        except Exception:
            log.exception("unexpected", request_id=request.id)
            reply = Reply(500)
        if reply.stream is None and not await request.finish():
            reply.headers.append(("connection", "close"))
        sent = await _send(send, request, reply)
        lines.add(
            {
                "face": name, "method": request.method, "path": raw, "status": reply.status, "bytes": sent,
                "ms": round((monotonic() - began) * 1000, 1), "request_id": request.id, **request.notes, "event": "request", "level": "info",
                "timestamp": now(),
            }
        )  # fmt: skip

    return application


class _Lines:
    """The log's line of each request, written several at a time: one by one they would take a fifth of a small request's time."""

    def __init__(self) -> None:
        self._waiting: list[dict[str, Any]] = []
        self._encoder = msgspec.json.Encoder(enc_hook=str)

    def add(self, facts: dict[str, Any]) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_later(_TOGETHER, self.flush)
        self._waiting.append(facts)

    def flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            sys.stderr.write(self._encoder.encode_lines(waiting).decode())
            sys.stderr.flush()


async def _send(send: Any, request: Request, reply: Reply) -> int:
    """Send a reply; the bytes of the body that were sent."""
    head = [(key.encode("latin-1"), value.encode("utf-8", "surrogateescape")) for key, value in reply.headers]
    whole = b"" if request.method == "HEAD" else reply.body
    if reply.stream is None and reply.status not in {204, 304} and not any(key.lower() == b"content-length" for key, _ in head):
        head.append((b"content-length", str(len(whole)).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": head})
    sent = 0
    if reply.stream is not None and request.method != "HEAD":
        async for chunk in reply.stream:
            sent += len(chunk)
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        whole = b""
    await send({"type": "http.response.body", "body": whole})
    return sent + len(whole)


async def _lifespan(receive: Any, send: Any, finish: Callable[[], Awaitable[None]] | None) -> None:
    while (await receive())["type"] != "lifespan.shutdown":
        await send({"type": "lifespan.startup.complete"})
    if finish is not None:
        await finish()
    await send({"type": "lifespan.shutdown.complete"})
