"""Nodes that are to leave: HDFS copies their blocks elsewhere first, YARN lets their tasks end."""

import subprocess

from .document import Document
from .places import Places, write
from .roles import HDFS, YARN, client, run

PATIENCE = 3600
"""Seconds that YARN lets tasks of a leaving node go on."""


class Leaving:
    """Tells the NameNode and the ResourceManager of this node, each where it is here. `tick` never waits."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._told: dict[str, tuple[str, ...]] = {}
        self._talks: dict[str, tuple[tuple[str, ...], subprocess.Popen[bytes]]] = {}
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
            elif self._told.get(role, ()) != document.leaving and now >= self._next.get(role, 0):
                words = _HDFS if role == "namenode" else _YARN
                self._talks[role] = document.leaving, run(client(self._places, *words), HDFS if role == "namenode" else YARN, self._places)

    def _heard(self, role: str, now: float) -> None:
        what, process = self._talks[role]
        if process.poll() is None:
            return
        del self._talks[role]
        if process.returncode == 0:
            self._told[role] = what
        else:
            self._next[role] = now + 2


_HDFS = ("org.apache.hadoop.hdfs.tools.DFSAdmin", "-refreshNodes")
_YARN = ("org.apache.hadoop.yarn.client.cli.RMAdminCLI", "-refreshNodes", "-g", str(PATIENCE), "-server")
