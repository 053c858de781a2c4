"""What became of many things at once, as lines, JSON or XML: the answers of bulk requests and of manifests."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any
from xml.sax.saxutils import escape

import msgspec
import structlog

from andromede.core.errors import CloudError
from andromede.http.plain import Reply
from andromede.services.object.swift.answers import REASONS, Refused, line
from andromede.services.object.swift.call import Call
from andromede.services.object.swift.listings import accepted

log = structlog.get_logger("object")
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


async def answer(
    call: Call, status: int, kind: str, work: Callable[[], Coroutine[Any, Any, tuple[Facts, Errors]]], nothing: Facts, root: str, *,
    beat: bool = False,
) -> Reply:  # fmt: skip
    """The answer to what may take long: whole where it does not, else begun and kept alive with blanks until the work is done.

    nothing: facts where that fails; beat: it begins with a blank however quick it is. A client that waits to be told to go on
    is told so before anything is answered, since the work begins before that.
    """
    task = asyncio.ensure_future(work())
    headers = [("Content-Type", kind)]
    done = set() if beat else (await asyncio.wait({task}, timeout=call.settings.heartbeat))[0]
    if done:
        return Reply(status, headers, _result(call, task, kind, nothing, root))

    async def stream() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b" "
                if (await asyncio.wait({task}, timeout=call.settings.heartbeat))[0]:
                    break
            yield b"\r\n\r\n" + _result(call, task, kind, nothing, root)
        finally:
            task.cancel()

    return Reply(status, headers, stream=stream())


def _result(call: Call, task: "asyncio.Task[tuple[Facts, Errors]]", kind: str, nothing: Facts, root: str) -> bytes:
    """What became of the work, as the text of an answer whose status is sent already."""
    try:
        facts, errors = task.result()
    except CloudError as fault:
        status, text = fault.status if fault.status in REASONS else 500, fault.text if isinstance(fault, Refused) else ""
        facts, errors = {"Response Status": line(status), "Response Body": text, **nothing}, []
    except Exception:
        log.exception("unexpected", request_id=call.request.id)
        facts, errors = {"Response Status": line(500), "Response Body": "", **nothing}, []
    return written(kind, facts, errors, root)
