"""The database from the event loop: each transaction runs on a thread, and changes that wait at the same time share one commit.

A change that raises takes nothing with it: it runs within a savepoint. On SQLite this is what lets many small files be put in
a second, since each commit waits for the disk.
"""

import asyncio
import collections
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError

from andromede.core.errors import Conflict
from andromede.db.engine import Database

T = TypeVar("T")
_TOGETHER, _SNAPSHOTS = 64, 8


class _Job:
    __slots__ = ("error", "future", "loop", "result", "work")

    def __init__(self, work: Callable[[Connection], Any]) -> None:
        self.work = work
        self.result: Any = None
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.error: BaseException | None = None

    def told(self) -> None:
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class Desk:
    """Reads and changes of one process."""

    def __init__(self, database: Database, *, threads: int = 6) -> None:
        self.database = database
        self._readers = ThreadPoolExecutor(threads, thread_name_prefix="drive")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="drive-change")
        self._waiting: collections.deque[_Job] = collections.deque()
        self._lock, self._running = threading.Lock(), False
        self._snapshots = asyncio.Semaphore(_SNAPSHOTS)

    async def run(self, work: Callable[[], T]) -> T:
        """Something that takes a while, on a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """`work` over one snapshot."""
        return await self.run(lambda: self.database.look(work))

    async def write(self, work: Callable[[Connection], T]) -> T:
        """`work` in a transaction that is durable when this returns. It may run again, and must only touch the database."""
        job = _Job(work)
        with self._lock:
            self._waiting.append(job)
            begin, self._running = not self._running, True
        if begin:
            self._writer.submit(self._serve)
        made: T = await job.future
        return made

    async def pages(self, work: Callable[[Connection], Iterator[bytes]]) -> AsyncIterator[bytes]:
        """What `work` yields over one snapshot, however long that takes whoever reads it."""
        async with self._snapshots:
            stack = contextlib.ExitStack()
            try:
                found = await self.run(lambda: work(stack.enter_context(self.database.read())))
                while (page := await self.run(lambda: next(found, None))) is not None:
                    yield page
            finally:
                await asyncio.shield(self.run(stack.close))

    def close(self) -> None:
        """Wait for what is under way."""
        self._readers.shutdown()
        self._writer.shutdown()

    def _serve(self) -> None:
        while True:
            with self._lock:
                jobs = [self._waiting.popleft() for _ in range(min(_TOGETHER, len(self._waiting)))]
                if not jobs:
                    self._running = False
                    return
            self._together(jobs)
            for job in jobs:
                job.told()

    def _together(self, jobs: list[_Job]) -> None:
        if len(jobs) > 1:
            _, error = _tried(lambda: self.database.run(lambda db: _each(db, jobs)))
            for job in jobs if error is not None else ():
                job.error = error
        for job in jobs:
            if len(jobs) == 1 or isinstance(job.error, IntegrityError):
                self._alone(job)

    def _alone(self, job: _Job) -> None:
        job.result, job.error = _tried(lambda: self.database.run(job.work))
        if isinstance(job.error, IntegrityError):
            conflict = Conflict("Somebody else changed this at the same moment; try again.")
            conflict.__cause__, job.error = job.error, conflict


def _each(db: Connection, jobs: list[_Job]) -> None:
    for job in jobs:
        job.result, job.error = _tried(partial(_within, db, job))
        if isinstance(job.error, DBAPIError) and not isinstance(job.error, IntegrityError):
            raise job.error


def _within(db: Connection, job: _Job) -> Any:
    with db.begin_nested():
        return job.work(db)


def _tried(work: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    """What came of something, for whoever waits for it on another thread: nothing may be lost on the way there."""
    try:
        return work(), None
    except BaseException as error:  # noqa: BLE001 - it is handed on
        return None, error
