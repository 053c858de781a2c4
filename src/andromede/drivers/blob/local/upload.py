"""How a large blob is written: while one thread feeds the hashers, another encrypts and writes, and the next bytes come in.

At most a few MiB are on their way at once; whoever sends more waits.
"""

import asyncio
import collections
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from typing import Any

from andromede.core.units import MIB
from andromede.drivers.blob import Hasher
from andromede.drivers.blob.local.files import File

_BLOCK, _DEEP, _SETTLE = MIB, 4, 8 * MIB


class Strand:
    """Work that is done one after another, on whichever thread of a pool is free. After a failure the rest is left out."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._work: collections.deque[tuple[Callable[[], object], asyncio.Future[None], bool]] = collections.deque()
        self._lock = threading.Lock()
        self._running = False
        self._error: BaseException | None = None

    def submit(self, work: Callable[[], object], *, always: bool = False) -> asyncio.Future[None]:
        """Do this after what was submitted before; the future tells when, and how it failed. always: after a failure too."""
        future = self._loop.create_future()
        with self._lock:
            self._work.append((work, future, always))
            if self._running:
                return future
            self._running = True
        self._pool.submit(self._run)
        return future

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._work:
                    self._running = False
                    return
                work, future, always = self._work.popleft()
            if self._error is None or always:
                try:
                    work()
                except BaseException as error:  # noqa: BLE001 - it is told to whoever waits, on the loop
                    self._error = error
            del work
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(_done, future, self._error)


def _done(future: "asyncio.Future[Any]", error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
        future.exception()


async def upload(parts: list[bytes], chunks: AsyncIterator[bytes], file: File, hashers: Sequence[Hasher], pool: Executor) -> int:
    """Write `parts` and then all of `chunks` to a file, and give it its name; how many bytes those are. Raises what they raise,
    what a hasher raises, and OSError; then the file is gone."""
    hashing, writing, settling = Strand(pool), Strand(pool), Strand(pool)
    settled: asyncio.Future[None] | None = None
    pending: collections.deque[list[asyncio.Future[None]]] = collections.deque()
    size = 0
    block: list[bytes] = []
    held = 0

    async def give() -> None:
        nonlocal block, held, settled
        ours, block, held = block, [], 0
        pending.append([writing.submit(lambda: file.write(ours))])
        if hashers:
            pending[-1].append(hashing.submit(lambda: _feed(hashers, ours)))
        while len(pending) > _DEEP:
            for future in pending.popleft():
                await future
        if file.ahead() >= _SETTLE and (settled is None or settled.done()):
            if settled is not None:
                await settled
            settled = settling.submit(file.settle)

    async def take(data: bytes) -> None:
        nonlocal size, held
        size += len(data)
        for part in [data] if len(data) <= 2 * _BLOCK else [data[at : at + _BLOCK] for at in range(0, len(data), _BLOCK)]:
            block.append(part)
            held += len(part)
            if held >= _BLOCK:
                await give()

    try:
        for part in parts:
            await take(part)
        async for chunk in chunks:
            await take(chunk)
        await give()
        while pending:
            for future in pending.popleft():
                await future
        if settled is not None:
            await settled
        await writing.submit(file.finish)
    except BaseException:
        writing.submit(file.abandon, always=True)
        raise
    return size


def _feed(hashers: Sequence[Hasher], parts: list[bytes]) -> None:
    for hasher in hashers:
        for part in parts:
            hasher.update(part)
