"""One shard of a store: who reads it has a connection for each thread; who writes it stands in a queue that one thread serves."""

import asyncio
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
from andromede.drivers.blob.local.writer import Job, Writer
from andromede.drivers.blob.overlay import Overlay

_MANY = 512
_Waiter = tuple[Job, "asyncio.Future[Any]", asyncio.AbstractEventLoop]


class Shard:
    """removed: is told of the blobs that lost their owner, once that is durable."""

    def __init__(
        self, number: int, folder: Path, epochs: Epochs, disk: Disk, *, segment_size: int, removed: Callable[[list[Blob]], None]
    ) -> None:
        self.number = number
        self.folder = folder
        self.disk = disk
        self.journal = Journal(folder, number, disk)
        self._epochs = epochs
        self._segment_size = segment_size
        self._removed = removed
        self._local = threading.local()
        self._queue: queue.SimpleQueue[_Waiter | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closed = False

    def get(self, key: bytes) -> Entry | None:
        """As `Store.get`."""
        return self.reading().get(key)

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
            if renew or not epoch or not self.path(epoch).exists():
                self.renew()
                epoch = self._epochs.get(self.number)
            if epoch not in held:
                for index in held.values():
                    index.close()
                held.clear()
                held[epoch] = Index(self.path(epoch), writer=True)
            return held[epoch]

        return Writer(self.number, self.folder, self.journal, self.disk, segment_size=self._segment_size, opened=opened)

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

    async def commit(self, change: Callable[[Overlay], Any]) -> Any:
        """As `Store.commit`."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        if self._thread is None:
            self._start()
        self._queue.put((Job(change), future, loop))
        return await future

    def _start(self) -> None:
        with self._starting:
            if self._closed:
                raise RuntimeError("the store is closed")
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name=f"blob-{self.number}", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Serve whoever waits, and end."""
        with self._starting:
            self._closed = True
            thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join()
        found = getattr(self._local, "found", None)
        if found is not None:
            found[1].index.close()
            del self._local.found

    def _serve(self) -> None:
        writer: Writer | None = None
        waiting: list[_Waiter] = []
        while True:
            if not waiting:
                first = self._queue.get()
                if first is None:
                    return
                waiting.append(first)
            with contextlib.suppress(queue.Empty):
                while len(waiting) < _MANY:
                    following = self._queue.get_nowait()
                    if following is None:
                        self._queue.put(None)
                        break
                    waiting.append(following)
            jobs = [job for job, _, _ in waiting]
            try:
                writer = writer or self.writer()
                done = writer.run(jobs)
            except BaseException as error:  # noqa: BLE001 - whoever waits must be told, whatever it is; the next ones start afresh
                for job in jobs:
                    job.error = refusal(error) if isinstance(error, OSError) else error
                writer, done = None, len(jobs)
            self._answer(waiting[:done])
            removed = [blob for job in jobs[:done] if job.error is None for blob in job.removed]
            if removed:
                self._removed(removed)
            waiting = waiting[done:]

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
