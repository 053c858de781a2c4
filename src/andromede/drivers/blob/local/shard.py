"""One shard of a store: who reads it has a connection for each thread; who writes it stands in a queue.

A few threads serve the queues of all shards; a queue is served by one of them at a time, as much of it at once as there is.
"""

import asyncio
import collections
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from andromede.drivers.blob import Blob, Entry, Usage
from andromede.drivers.blob.local.disk import Disk, refusal
from andromede.drivers.blob.local.entries import Reading
from andromede.drivers.blob.local.index import Epochs, Index, create, damaged
from andromede.drivers.blob.local.journal import Journal
from andromede.drivers.blob.local.marks import Marks
from andromede.drivers.blob.local.writer import Job, Writer
from andromede.drivers.blob.overlay import Overlay

_MANY, _THREADS, _KNOWN = 512, 8, 10_000
_Waiter = tuple[Job, "asyncio.Future[Any]", asyncio.AbstractEventLoop]


class Serving:
    """The threads that write for all shards of a store; they begin with the first that has something to do."""

    def __init__(self) -> None:
        self._ready: queue.SimpleQueue[Shard | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._starting = threading.Lock()
        self._closed = False

    def put(self, shard: "Shard") -> None:
        """Serve a shard, once."""
        if self._closed:
            raise RuntimeError("the store is closed")
        if not self._threads:
            self._start()
        self._ready.put(shard)

    def _start(self) -> None:
        with self._starting:
            while len(self._threads) < _THREADS:
                self._threads.append(threading.Thread(target=self._serve, name=f"blob-{len(self._threads)}", daemon=True))
                self._threads[-1].start()

    def _serve(self) -> None:
        while (shard := self._ready.get()) is not None:
            shard.serve()

    def close(self) -> None:
        """Serve whoever waits, and end."""
        for _ in self._threads:
            self._ready.put(None)
        for thread in self._threads:
            thread.join()
        self._closed = True


class Shard:
    """removed: is told of the blobs that lost their owner, once that is durable."""

    def __init__(
        self, number: int, folder: Path, epochs: Epochs, marks: Marks, disk: Disk, *,
        segment_size: int, serving: "Serving", removed: Callable[[list[Blob]], None],
    ) -> None:  # fmt: skip
        self.number = number
        self.folder = folder
        self.disk = disk
        self.journal = Journal(folder, number, disk)
        self._epochs, self._marks = epochs, marks
        self._known: dict[bytes, tuple[int, int, Entry | None]] = {}
        self._segment_size = segment_size
        self._removed = removed
        self._local = threading.local()
        self._serving = serving
        self._waiting: collections.deque[_Waiter] = collections.deque()
        self._turn = threading.Lock()
        self._busy = False
        self._writer: Writer | None = None

    def get(self, key: bytes) -> Entry | None:
        """As `Store.get`."""
        if key[:2] not in self._marks.watched:
            return self.reading().get(key)
        epoch, mark = self._epochs.get(self.number), self._marks.get(self.number)
        known = self._known.get(key)
        if known is not None and known[0] == mark and known[1] == epoch:
            return known[2]
        entry = self.reading().get(key)
        if not mark & 1 and self._marks.get(self.number) == mark:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[key] = (mark, epoch, entry)
        return entry

    def scan(self, start: bytes, stop: bytes, limit: int, *, reverse: bool = False) -> list[tuple[bytes, Entry]]:
        """As `Store.scan`."""
        return self.reading().scan(start, stop, limit, reverse=reverse)

    def usage(self, group: bytes) -> Usage:
        """As `Store.usage`."""
        return self.reading().usage(group)

    def reading(self) -> Reading:
        """This thread's connection to the present index."""
        epoch = self._epochs.get(self.number)
        found: tuple[int, Reading] | None = getattr(self._local, "found", None)
        if found is None or found[0] != epoch:
            if found is not None:
                found[1].index.close()
            found = self._local.found = (epoch, self.open_reading())
        return found[1]

    def open_reading(self) -> Reading:
        """A new connection to the present index, for reading. Raises DriverError."""
        try:
            return Reading(self.number, Index(self.path(self._epochs.get(self.number)), writer=False), self.journal)
        except sqlite3.Error as error:
            raise damaged("its index can't be read") from error

    def path(self, epoch: int) -> Path:
        """The file of an index."""
        return self.folder / f"index-{epoch:08d}.db"

    def writer(self) -> Writer:
        """What writes this shard, for one thread."""
        held: dict[int, Index] = {}

        def opened(renew: bool) -> Index:
            epoch = self._epochs.get(self.number)
            if epoch in held and not renew:
                return held[epoch]
            if renew or not epoch or not self.path(epoch).exists():
                self.renew()
                epoch = self._epochs.get(self.number)
            if epoch not in held:
                for index in held.values():
                    index.close()
                held.clear()
                held[epoch] = Index(self.path(epoch), writer=True)
            return held[epoch]

        return Writer(self.number, self.folder, self.journal, self._marks, self.disk, segment_size=self._segment_size, opened=opened)

    def renew(self) -> None:
        """Put an empty index in the place of the present one; whoever does must hold the shard's lock, and apply the journal."""
        numbers = [int(path.stem.partition("-")[2]) for path in self.folder.glob("index-*.db")]
        epoch = max([self._epochs.get(self.number), *numbers]) + 1
        create(self.path(epoch)).close()
        self.disk.sync_folder(self.folder)
        self._epochs.set(self.number, epoch)
        for number in numbers:
            for ending in ("", "-wal", "-shm"):
                path = self.path(number)
                path.with_name(path.name + ending).unlink(missing_ok=True)

    def recover(self) -> None:
        """Bring the index up to the journal, and cut off what was torn. Raises OSError, sqlite3.Error, DriverError."""
        self.disk.make_folder(self.folder)
        writer = self.writer()
        with writer.locked():
            writer.catch_up()
        writer.close()

    async def commit(self, change: Callable[[Overlay], Any]) -> Any:
        """As `Store.commit`."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        with self._turn:
            self._waiting.append((Job(change), future, loop))
            idle, self._busy = not self._busy, True
        if idle:
            self._serving.put(self)
        return await future

    def close(self) -> None:
        """Close what this thread and the writer have open; nobody may be served any more."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        found = getattr(self._local, "found", None)
        if found is not None:
            found[1].index.close()
            del self._local.found

    def serve(self) -> None:
        """Run what waits, and go back into the line where more has come."""
        with self._turn:
            waiting = [self._waiting.popleft() for _ in range(min(_MANY, len(self._waiting)))]
        jobs = [job for job, _, _ in waiting]
        try:
            self._writer = self._writer or self.writer()
            done = self._writer.run(jobs)
        except BaseException as error:  # noqa: BLE001 - whoever waits must be told, whatever it is; the next ones start afresh
            for job in jobs:
                job.error = refusal(error) if isinstance(error, OSError) else error
            self._writer, done = None, len(jobs)
        self._answer(waiting[:done])
        removed = [blob for job in jobs[:done] if job.error is None for blob in job.removed]
        if removed:
            self._removed(removed)
        with self._turn:
            self._waiting.extendleft(reversed(waiting[done:]))
            self._busy = bool(self._waiting)
            if not self._busy:
                return
        self._serving.put(self)

    def _answer(self, waiting: list[_Waiter]) -> None:
        """Wake everybody who waits, with one call for each loop."""
        loops: dict[asyncio.AbstractEventLoop, list[tuple[Job, asyncio.Future[Any]]]] = {}
        for job, future, loop in waiting:
            loops.setdefault(loop, []).append((job, future))
        for loop, answers in loops.items():
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_settle, answers)


def _settle(answers: list[tuple[Job, "asyncio.Future[Any]"]]) -> None:
    for job, future in answers:
        if future.done():
            continue
        if job.error is None:
            future.set_result(job.result)
        elif isinstance(job.error, StopIteration):
            future.set_exception(RuntimeError("a change raised StopIteration"))
        else:
            future.set_exception(job.error)
