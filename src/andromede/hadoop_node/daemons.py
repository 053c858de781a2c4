"""The daemons of this node: started together, watched, and started again after a while that grows."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from .adopted import Adopted, find
from .document import Document
from .places import Places
from .roles import ROLES, Role, command, spawn

FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
SOUND = 60.0
"""Seconds after which a daemon that runs has made good for its earlier ends."""
GIVES_UP = 5
"""Ends in a row after which it is called failed; it is tried again all the same."""
ENDING = 5.0
"""Seconds that all daemons of a node may take to end: names and blocks are on disk whenever a client was told so, so none needs more."""


class Daemon:
    """One of them. `tick` does what is due and never waits."""

    def __init__(self, role: Role, document: Document, places: Places, process: Adopted | None = None) -> None:
        self.role = role
        self.process: subprocess.Popen[bytes] | Adopted | None = process
        self.ready_after: float | None = None
        """Seconds from its start to its first answer."""
        self._document, self._places = document, places
        self._began = self._due = time.monotonic()
        self._ends = 0
        self._asked = 0.0

    @property
    def state(self) -> str:
        """`starting`, `running`, `failed`; `stopped` where it ended because its node leaves."""
        if self.left:
            return "stopped"
        if self.process is not None and self.ready_after is not None:
            return "running"
        return "failed" if self._ends >= GIVES_UP else "starting"

    def renew(self, document: Document) -> None:
        """What the next start goes by."""
        self._document = document
        self._ends = 0 if self.left else self._ends

    @property
    def left(self) -> bool:
        """Whether it has ended and need not run again: its node is to leave, and who leaves is told to end."""
        return self.process is None and self._ends > 0 and self._document.node.address in self._document.leaving

    def tick(self, now: float) -> None:
        """Start it when that is due; see whether it still runs, and whether it answers."""
        if self.process is not None and self.process.poll() is not None:
            self._ends = 1 if now - self._began > SOUND else self._ends + 1
            self._due = now + min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (self._ends - 1))
            self.process, self.ready_after = None, None
        if self.process is None:
            if now >= self._due and not self.left:
                self._start(now)
        elif self.ready_after is None and now - self._asked > 0.1:
            self._asked = now
            if answers(self._document.node.address, self.role.port):
                self.ready_after = now - self._began

    def _start(self, now: float) -> None:
        self._began = now
        words, log = command(self.role, self._document, self._places), self._places.logs / f"{self.role.name}.out"
        self.process = spawn(words, self.role.uid, self._places, log, fresh=True)

    def report(self) -> dict[str, Any]:
        """What the state says of it."""
        said: dict[str, Any] = {"state": self.state, "rss_mb": resident(self.process.pid) if self.process else 0}
        if self.ready_after is not None:
            said["seconds"] = round(self.ready_after, 2)
        if self.state == "failed" or self._ends:
            said["detail"] = self.last_words()
        return said

    def last_words(self) -> str:
        """The end of what it wrote, and of its log."""
        tails = (tail(self._places.logs / name, 500) for name in (f"{self.role.name}.out", f"{self.role.name}.log"))
        return "\n".join(one for one in tails if one)

    def ask(self) -> None:
        """Ask it to end, and wait for nothing."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)

    def stop(self, limit: float) -> None:
        """End it, by force after `limit` seconds, and wait for that."""
        if self.process is None:
            return
        self.ask()
        try:
            self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None


class Daemons:
    """All of this node."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self.all: dict[str, Daemon] = {}

    def follow(self, document: Document) -> None:
        """Have the daemons of the document, and no others."""
        for name in [*self.all]:
            if name not in document.node.processes:
                self.all.pop(name).stop(10)
        for name in document.node.processes:
            if name in self.all:
                self.all[name].renew(document)
            elif name in ROLES:
                self.all[name] = Daemon(ROLES[name], document, self._places, find(ROLES[name].main))

    def tick(self) -> None:
        """See to each."""
        now = time.monotonic()
        for daemon in self.all.values():
            daemon.tick(now)

    @property
    def up(self) -> bool:
        """Whether each of them answers."""
        return all(daemon.state in {"running", "stopped"} for daemon in self.all.values())

    def report(self) -> dict[str, Any]:
        """Name to what the state says of it."""
        return {name: daemon.report() for name, daemon in self.all.items()}

    def stop(self) -> None:
        """Ask all of them to end, YARN's before HDFS's, and then wait for all of them: one by one they would wait for each other's answers."""
        ours = [self.all[name] for name in reversed([*ROLES]) if name in self.all]
        for daemon in ours:
            daemon.ask()
        until = time.monotonic() + ENDING
        for daemon in ours:
            daemon.stop(max(0.1, until - time.monotonic()))


def answers(address: str, port: int) -> bool:
    """Whether something listens there."""
    try:
        with socket.create_connection((address, port), 0.5):
            return True
    except OSError:
        return False


def resident(pid: int) -> int:
    """MiB of memory that a process has; 0 where it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


def tail(path: Path, most: int) -> str:
    """The last characters of a file; none where it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - most))
            return file.read(most).decode(errors="replace").strip()
    except OSError:
        return ""
