"""What is asked of the agent inside a guest (`qemu-ga`), where one answers: to have its file systems at rest for a moment.

A guest is hostile: what it answers is bounded, waited for shortly, and only ever taken for yes or no.
"""

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

from andromede.drivers.hypervisor.qemu.qmp import short_path

_HELLO, _FREEZE, _MOST = 0.5, 10.0, 1 << 16


@contextlib.asynccontextmanager
async def at_rest(path: Path) -> AsyncIterator[bool]:
    """Freeze the guest's file systems while the block runs, through the agent's socket at `path`; yields whether they are."""
    try:
        with short_path(path) as name:
            reader, writer = await asyncio.wait_for(asyncio.open_unix_connection(name, limit=_MOST), _HELLO)
    except (OSError, TimeoutError):
        yield False
        return
    try:
        frozen = await _sync(reader, writer) and await _ask(reader, writer, "guest-fsfreeze-freeze", _FREEZE)
        try:
            yield frozen
        finally:
            if frozen:
                await _ask(reader, writer, "guest-fsfreeze-thaw", _FREEZE)
    finally:
        writer.close()


async def _sync(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Whether an agent is there: it repeats a number, after whatever an earlier conversation left."""
    number = secrets.randbelow(1 << 30)
    return await _ask(reader, writer, "guest-sync", _HELLO, {"id": number}, wanted=number)


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str, patience: float, arguments: dict[str, int] | None = None,
    wanted: int | None = None,
) -> bool:  # fmt: skip
    request: dict[str, object] = {"execute": name}
    if arguments:
        request["arguments"] = arguments
    try:
        async with asyncio.timeout(patience):
            writer.write(json.dumps(request).encode() + b"\n")
            await writer.drain()
            while line := await reader.readline():
                with contextlib.suppress(ValueError):
                    answer = json.loads(line.lstrip(b"\xff"))
                    if isinstance(answer, dict) and ("error" in answer or wanted in (None, answer.get("return"))):
                        return "return" in answer
    except (OSError, TimeoutError, ValueError):
        return False
    return False
