"""What became of many things at once, as lines, JSON or XML: the answers of bulk requests and of manifests."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any
from xml.sax.saxutils import escape

import msgspec

from andromede.http.plain import Reply
from andromede.services.object.swift.answers import Refused, line
from andromede.services.object.swift.call import Call
from andromede.services.object.swift.listings import accepted

OFFERED = ("text/plain", "application/json", "application/xml", "text/xml")
Errors = list[tuple[str, str]]
Facts = dict[str, str | int]


def media(call: Call, *, strict: bool = True) -> str:
    """The media type to answer in. Raises Refused: 400, 406."""
    try:
        found = accepted(call.headers.get("accept"), OFFERED)
    except ValueError:
        if not strict:
            return "text/plain"
        raise Refused(400, "Invalid Accept header") from None
    if found is None:
        if not strict:
            return "text/plain"
        raise Refused(406)
    return found


def written(kind: str, facts: Facts, errors: Errors, root: str) -> bytes:
    """The text of an answer."""
    if kind == "application/json":
        return msgspec.json.encode({**facts, "Errors": errors})
    if kind.endswith("/xml"):
        values = "".join(f"<{key.replace(' ', '_').lower()}>{escape(str(facts[key]))}</{key.replace(' ', '_').lower()}>\n" for key in sorted(facts))
        lines = "".join(f"<object><name>{escape(name)}</name><status>{escape(text)}</status></object>\n" for name, text in errors)
        return f"<{root}>\n{values}<errors>\n{lines}</errors>\n</{root}>\n".encode()
    head = "".join(f"{key}: {facts[key]}\n" for key in sorted(facts))
    return (head + "Errors:\n" + "".join(f"{name}, {text}\n" for name, text in errors)).encode()


def answer(
    call: Call, status: int, kind: str, work: Callable[[], Coroutine[Any, Any, tuple[Facts, Errors]]], nothing: Facts, root: str, *,
    beat: bool = False,
) -> Reply:  # fmt: skip
    """An answer that begins at once and is kept alive with blanks until the work is done. nothing: facts where that fails; beat: one at once."""

    async def stream() -> AsyncIterator[bytes]:
        task = asyncio.ensure_future(work())
        started = beat
        try:
            if beat:
                yield b" "
            while True:
                done, _ = await asyncio.wait({task}, timeout=call.settings.heartbeat)
                if done:
                    break
                started = True
                yield b" "
            try:
                facts, errors = task.result()
            except Refused as fault:
                facts, errors = {"Response Status": line(fault.status), "Response Body": fault.text, **nothing}, []
            yield (b"\r\n\r\n" if started else b"") + written(kind, facts, errors, root)
        finally:
            task.cancel()

    return Reply(status, [("Content-Type", kind)], stream=stream())
