"""The node's loop: ask, follow, tell. Started again by init should it ever end."""

import os
import signal
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import ground, health, job, sites
from .cloud import Cloud
from .daemons import Daemons
from .document import Document
from .jobs import Jobs
from .leaving import Leaving
from .logs import Logs
from .places import Places

QUICK, STEADY = 0.5, 1.0
"""Seconds between two questions, until all is up and after."""
TELLS = 10.0


class Node:
    """Everything that this node does; `turn` is one round of it."""

    def __init__(self, places: Places, cloud: Cloud, daemons: Daemons | None = None) -> None:
        self._places, self._cloud = places, cloud
        self._daemons = daemons or Daemons(places)
        self._leaving, self._jobs, self._logs = Leaving(places), Jobs(places), Logs(places)
        self._document: Document | None = None
        self._boot = _boot()
        self._asked = self._checked = self._told = 0.0
        self._last: dict[str, Any] = {}
        self._hdfs: dict[str, Any] = {}
        self._yarn: dict[str, Any] = {}
        self._trouble = ""
        self.stopped = False

    @property
    def up(self) -> bool:
        """Whether every daemon of this node answers, and what they make up here is fit for use."""
        here = self._daemons.all
        return bool(here) and self._daemons.up and ("namenode" not in here or self._hdfs.get("safe_mode") is False)

    def turn(self, now: float) -> None:
        """Whatever is due at `now` (seconds of a clock that only goes on)."""
        pace = STEADY if self.up else QUICK
        if now - self._asked >= pace:
            self._asked = now
            found = self._cloud.document()
            if found is not None:
                self._take(found)
            if self._document is not None:
                ground.names(self._document, self._places)
        if self._document is None:
            return
        if self._document.stop:
            self._finish(now)
            return
        self.stopped = False
        self._daemons.tick()
        running = {name for name, daemon in self._daemons.all.items() if daemon.state == "running"}
        if now - self._checked >= pace:
            self._checked = now
            self._look(running)
        self._leaving.tick(self._document, running, now)
        if "resourcemanager" in self._document.node.processes:
            self._jobs.tick(self._document, self.up and self._yarn.get("running", 0) > 0)
        self._logs.tick(self._document, now)
        self._say(now)

    def _take(self, document: Document) -> None:
        """Follow a new document."""
        self._document = document
        try:
            ground.names(document, self._places)
            ground.folders(document, self._places)
            sites.write_all(document, self._places)
            if "namenode" in document.node.processes:
                ground.name_directory(document, self._places)
            self._trouble = ""
        except (OSError, RuntimeError) as error:
            self._trouble = str(error)
            return
        self._daemons.follow(document)

    def _look(self, running: set[str]) -> None:
        """How HDFS and YARN are, where their masters are here."""
        assert self._document is not None
        address = self._document.node.address
        try:
            self._hdfs = health.hdfs(address, self._document.hosts) if "namenode" in running else {}
        except OSError:
            self._hdfs = {}
        try:
            self._yarn = health.yarn(address, self._document.hosts) if "resourcemanager" in running else {}
        except OSError:
            self._yarn = {}

    def _state(self, phase: str) -> dict[str, Any]:
        assert self._document is not None
        state: dict[str, Any] = {
            "generation": self._document.generation,
            "boot": self._boot,
            "phase": phase,
            "detail": self._trouble or self._cloud.trouble or self._logs.trouble,
            "daemons": self._daemons.report(),
        }
        processes = self._document.node.processes
        if "namenode" in processes and self._hdfs:
            state["hdfs"] = self._hdfs
        if "resourcemanager" in processes:
            state["jobs"] = self._jobs.all
            if self._yarn:
                state["yarn"] = self._yarn
        return state

    def _phase(self) -> str:
        if self._trouble or any(daemon.state == "failed" for daemon in self._daemons.all.values()):
            return "failed"
        return "running" if self.up else "starting"

    def _say(self, now: float) -> None:
        """Tell the state where it is another, or has not been told for a while. Memory alone is no news."""
        state = self._state(self._phase())
        if essence(state) != essence(self._last) or now - self._told >= TELLS:
            if self._cloud.tell(state):
                self._last, self._told = _copy(state), now

    def _finish(self, now: float) -> None:
        """End everything in order, once; say that it has ended until that is heard, and now and then."""
        assert self._document is not None
        if not self.stopped:
            self._cloud.tell(self._state("stopping"))
            self._jobs.stop(self._document)
            self._daemons.stop()
            self._logs.finish(self._document)
            self.stopped, self._told = True, -TELLS
        if now - self._told >= TELLS and self._cloud.tell(self._state("stopped")):
            self._told = now

    def close(self) -> None:
        """End the daemons; the node goes down."""
        if self._document is not None:
            self._jobs.stop(self._document)
        self._daemons.stop()


def essence(state: dict[str, Any]) -> dict[str, Any]:
    """A state without what changes all the time."""
    daemons = {name: {**said, "rss_mb": 0} for name, said in state.get("daemons", {}).items()}
    return {**state, "daemons": daemons}


def _copy(state: dict[str, Any]) -> dict[str, Any]:
    return {**state, "jobs": {key: dict(value) for key, value in state.get("jobs", {}).items()}}


def _boot() -> str:
    """What tells this start of the node from others: a container shares its kernel's id with its host, so the program has one of its own."""
    return str(uuid.uuid4())


def main(words: Sequence[str]) -> int:
    """`node`: the loop. `node --job FOLDER`: one job. `node --end`: end the loop and its daemons, for init at shutdown."""
    places = Places(Path(os.environ.get("ANDROMEDE_ROOT", "/")))
    if words[:1] == ["--job"]:
        return job.main(Path(words[1]), places)
    mark = Path("/run/hadoop-node.pid")
    if words[:1] == ["--end"]:
        return end(mark)
    mark.write_text(f"{os.getpid()}\n")
    return loop(Node(places, Cloud(), Daemons(places)))


def loop(node: Node) -> int:
    """Turn until told to end."""
    ends: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: ends.append(number))
    while not ends:
        node.turn(time.monotonic())
        time.sleep(0.2 if not node.up else 0.5)
    node.close()
    return 0


def end(mark: Path, limit: float = 25) -> int:
    """Have the loop whose process `mark` names end, and wait for that."""
    try:
        pid = int(mark.read_text())
        os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + limit
        while time.monotonic() < until:
            os.kill(pid, 0)
            time.sleep(0.1)
    except (OSError, ValueError):
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
