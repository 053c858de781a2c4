"""Jobs of the document: each is a process of its own (`job`), watched and kept account of here. Known by their folders, so they outlive us."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .daemons import tail
from .document import Document, Job
from .health import ask
from .places import Places, folder, write
from .roles import HADOOP, spawn

ENDED = frozenset({"SUCCEEDED", "FAILED", "KILLED"})
_APPLICATION = re.compile(r"\bapplication_\d+_\d+\b")


def moment() -> str:
    """Now, as the state says it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Jobs:
    """All jobs of the cluster, on its ResourceManager's node. `tick` waits for nothing but short answers of the ResourceManager."""

    def __init__(self, places: Places, program: tuple[str, ...] = ()) -> None:
        self._places = places
        self._program = program or (sys.executable, "-I", sys.argv[0])
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.all: dict[str, dict[str, Any]] = {}

    def tick(self, document: Document, ready: bool) -> None:
        """Start those that are new where the cluster is `ready`, end those that are cancelled, see how the others are."""
        for job in document.jobs:
            record = self.all.setdefault(job.id, self._known(job))
            if record["state"] in ENDED:
                continue
            if job.id in self._running:
                self._watch(job, record, document)
            elif job.cancel:
                self._end(job.id, record, "KILLED", "cancelled before it began")
            elif ready and record["state"] == "PENDING":
                self._start(job, record, document)

    def stop(self, document: Document) -> None:
        """End what still runs."""
        for job in document.jobs:
            record = self.all.get(job.id)
            if record is not None and job.id in self._running:
                self._kill(job.id, record, document)
                self._end(job.id, record, "KILLED", "the cluster was stopped")

    def _folder(self, job_id: str) -> Path:
        return self._places.state / "jobs" / re.sub(r"[^\w.-]", "_", job_id)

    def _known(self, job: Job) -> dict[str, Any]:
        """What is on disk of it; a job that ran when this program last ended is over, for its process was a child of ours."""
        try:
            record: dict[str, Any] = json.loads((self._folder(job.id) / "state.json").read_text())
        except (OSError, ValueError):
            return {"state": "PENDING", "detail": "", "application_id": "", "started": "", "ended": ""}
        if record["state"] not in ENDED:
            record |= {"state": "FAILED", "detail": "the node was started again while the job ran", "ended": moment()}
        return record

    def _start(self, job: Job, record: dict[str, Any], document: Document) -> None:
        place = folder(self._folder(job.id), HADOOP, 0o700)
        order = {"job": asdict(job), "s3": asdict(document.s3), "spark": dict(document.config.get("spark", {})), "address": document.node.address}
        write(place / "job.json", json.dumps(order), 0o600, HADOOP)
        words, root = [*self._program, "--job", str(place)], {"ANDROMEDE_ROOT": str(self._places.root)}
        self._running[job.id] = spawn(words, HADOOP, self._places, place / "log", cwd=place, more=root)
        record |= {"state": "RUNNING", "started": moment()}
        self._keep(job.id, record)

    def _watch(self, job: Job, record: dict[str, Any], document: Document) -> None:
        process = self._running[job.id]
        if not record["application_id"]:
            found = _APPLICATION.search(_head(self._folder(job.id) / "log"))
            record["application_id"] = found[0] if found else ""
        code = process.poll()
        if code is not None:
            said = tail(self._folder(job.id) / "log", 600)
            self._end(job.id, record, "SUCCEEDED" if code == 0 else "FAILED", "" if code == 0 else said)
        elif job.cancel:
            self._kill(job.id, record, document)
            self._end(job.id, record, "KILLED", "cancelled")

    def _kill(self, job_id: str, record: Mapping[str, Any], document: Document) -> None:
        kill(document.first("resourcemanager"), str(record["application_id"]))
        process = self._running[job_id]
        try:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        except ProcessLookupError:
            process.wait()

    def _end(self, job_id: str, record: dict[str, Any], state: str, detail: str) -> None:
        self._running.pop(job_id, None)
        record |= {"state": state, "detail": detail, "ended": moment()}
        self._keep(job_id, record)

    def _keep(self, job_id: str, record: Mapping[str, Any]) -> None:
        folder(self._folder(job_id), HADOOP, 0o700)
        write(self._folder(job_id) / "state.json", json.dumps(record), 0o600, HADOOP)


def kill(resourcemanager: str, application: str) -> bool:
    """Ask for the end of an application; whether that was heard."""
    if not application:
        return False
    try:
        ask(resourcemanager, 8088, f"/ws/v1/cluster/apps/{application}/state?user.name=hadoop", "PUT", {"state": "KILLED"})
    except OSError:
        return False
    return True


def _head(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(1 << 18).decode(errors="replace")
    except OSError:
        return ""
