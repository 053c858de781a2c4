"""Logs of daemons, jobs and tasks, kept in object storage while the cluster lives and after."""

import threading
from pathlib import Path

from . import s3
from .document import Document
from .places import Places

EVERY = 60.0


class Logs:
    """Sends what has changed since it was last sent, once a minute, in a thread."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._sent: dict[Path, tuple[int, int]] = {}
        self._thread: threading.Thread | None = None
        self._next = 0.0
        self.trouble = ""
        """Why the last sending failed; empty where it did not."""

    def tick(self, document: Document, now: float) -> None:
        """Send where that is due, and wait for nothing."""
        if document.logs and now >= self._next and (self._thread is None or not self._thread.is_alive()):
            if not self._next:
                self._next = now + EVERY
                return
            self._next = now + EVERY
            self._thread = threading.Thread(target=self.send, args=(document,), daemon=True)
            self._thread.start()

    def finish(self, document: Document) -> None:
        """Send all that is left, and wait for it."""
        if self._thread is not None:
            self._thread.join(60)
        if document.logs:
            self.send(document)

    def send(self, document: Document) -> None:
        """Send the files that have changed."""
        base = f"{document.logs.rstrip('/')}/{document.node.name}"
        self.trouble = ""
        for path, name in self._files():
            try:
                about = path.stat()
                mark = (about.st_size, about.st_mtime_ns)
                if about.st_size and self._sent.get(path) != mark:
                    s3.put(document.s3, path, f"{base}/{name}")
                    self._sent[path] = mark
            except (OSError, s3.S3Error) as error:
                self.trouble = str(error)

    def _files(self) -> list[tuple[Path, str]]:
        found = [(path, str(path.relative_to(self._places.logs))) for path in sorted(self._places.logs.rglob("*")) if path.is_file()]
        jobs = self._places.state / "jobs"
        return found + [(path, f"jobs/{path.parent.name}.log") for path in sorted(jobs.glob("*/log"))]
