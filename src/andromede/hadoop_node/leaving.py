"""Nodes that are to leave: HDFS copies their blocks elsewhere first, YARN lets their tasks end.

Files that want more copies than there are nodes to stay would keep them for ever: they are told to want fewer before.
"""

import sys
import threading
from typing import Protocol

from . import health
from .document import Document
from .places import Places, write
from .roles import HDFS, YARN, client, run
from .sites import replicas

PATIENCE = 3600
"""Seconds that YARN lets tasks of a leaving node go on."""


class Talk(Protocol):
    """Something that goes on by itself, as a process does."""

    returncode: int

    def poll(self) -> int | None:
        """Its return code, None while it goes on."""


class Thinning:
    """`health.thin` on a thread of its own."""

    def __init__(self, address: str, most: int) -> None:
        self.returncode = 1
        self._thread = threading.Thread(target=self._run, args=(address, most), daemon=True)
        self._thread.start()

    def _run(self, address: str, most: int) -> None:
        try:
            health.thin(address, most)
        except OSError as error:
            sys.stderr.write(f"files cannot be told to keep fewer copies yet: {error}\n")
        else:
            self.returncode = 0

    def poll(self) -> int | None:
        """0 where all files were told, 1 where not, None while it goes on."""
        return None if self._thread.is_alive() else self.returncode


class Leaving:
    """Tells the NameNode and the ResourceManager of this node, each where it is here. `tick` never waits."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._told: dict[str, tuple[str, ...]] = {}
        self._thinned: tuple[str, ...] = ()
        self._talks: dict[str, tuple[str, tuple[str, ...], Talk]] = {}
        self._next: dict[str, float] = {}

    def tick(self, document: Document, running: set[str], now: float) -> None:
        """running: the daemons of this node that answer."""
        write(self._places.conf / "leaving", "".join(f"{address}\n" for address in document.leaving))
        for role in ("namenode", "resourcemanager"):
            if role not in running:
                # whoever starts reads the file by itself
                self._told[role] = document.leaving
            elif role in self._talks:
                self._heard(role, now)
            elif (self._told.get(role, ()) != document.leaving or self._thick(role, document)) and now >= self._next.get(role, 0):
                self._talks[role] = self._begin(role, document)

    def _thick(self, role: str, document: Document) -> bool:
        """Whether files may want more copies than there will be nodes."""
        return role == "namenode" and bool(document.leaving) and self._thinned != document.leaving

    def _begin(self, role: str, document: Document) -> tuple[str, tuple[str, ...], Talk]:
        if self._thick(role, document):
            return "thin", document.leaving, Thinning(document.node.address, replicas(document))
        words, user = (_HDFS, HDFS) if role == "namenode" else (_YARN, YARN)
        return "tell", document.leaving, run(client(self._places, *words), user, self._places)

    def _heard(self, role: str, now: float) -> None:
        kind, what, talk = self._talks[role]
        if talk.poll() is None:
            return
        del self._talks[role]
        if talk.returncode:
            self._next[role] = now + 2
        elif kind == "thin":
            self._thinned = what
        else:
            self._told[role] = what


_HDFS = ("org.apache.hadoop.hdfs.tools.DFSAdmin", "-refreshNodes")
_YARN = ("org.apache.hadoop.yarn.client.cli.RMAdminCLI", "-refreshNodes", "-g", str(PATIENCE), "-server")
