"""Imports: asking for one, and the work that it is.

The work (fetch, inspect, convert, publish) may last for hours, longer than a step of an operation may; so it runs in a
thread that holds the image like an upload does, and the operation watches over it. Where a process dies, the next
look finds nobody holding the image, and begins again.
"""

import os
import threading
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, insert, update

from andromede.core.clock import now
from andromede.core.context import Context, Parts
from andromede.core.errors import BadRequest, CloudError, Conflict, Gone
from andromede.core.ids import new_id
from andromede.core.units import MIB
from andromede.services.image import fetch, images, qemu, quotas, uploads, writing
from andromede.services.image.inspect import CONVERTED, PLAIN, Inspection
from andromede.services.image.store import ImageStore, digest, drop
from andromede.services.image.tables import task
from andromede.services.image.wire import ImportRequest

log = structlog.get_logger("image")
METHODS = ("glance-direct", "web-download")
STORE = "file"
HOURS = 6 * 3600.0
_INTERNAL = "An unexpected error happened in the cloud; its operator finds the cause in the log."


def rules(parts: Parts) -> fetch.Rules:
    """What may be downloaded, from the settings."""
    given = parts.settings.image
    hosts, ports = tuple(given.import_allowed_hosts), tuple(given.import_allowed_ports)
    return fetch.Rules(ports=ports, hosts=hosts, size=uploads.limit(parts), seconds=HOURS - 600)


def begin(ctx: Context, image_id: str, wanted: ImportRequest, *, type_: str = "api_image_import") -> str:
    """Start an import of an image that waits for its data; its task's id.

    Raises BadRequest for a method or URL that is not allowed, Conflict where the image is not in a state for it.
    """
    from andromede.services.image.operations import IMPORT

    row = images.find_own(ctx, image_id, "import")
    method = wanted.method.name
    _check(ctx, row, wanted)
    quotas.require(ctx.db, row["owner"], image_size_total=max(1, quotas.mib(row["staged_size"] or 0)))
    if method != "glance-direct":
        quotas.require(ctx.db, row["owner"], image_count_uploading=1)
    if writing.held(ctx.db, image_id):
        raise Conflict(f"Image {image_id} is being written by another request.")
    moment, id_ = now(), new_id()
    images.write(ctx.db, image_id, status="importing", importing=STORE, failed_import="", writer=None, beat=None)
    given = {"image_id": image_id, "import_req": wanted.plain(), "backend": [STORE]}
    ctx.db.execute(
        insert(task).values(
            id=id_, type=type_, status="pending", owner=row["owner"], image_id=image_id, user_id=ctx.caller.user_id,
            request_id=ctx.request_id, input=given, created_at=moment, updated_at=moment,
        )
    )  # fmt: skip
    memo = {"task": id_, "method": method, "uri": wanted.method.uri or ""}
    ctx.parts.operations.submit(
        ctx.db, IMPORT, image_id, project_id=row["owner"], request_id=ctx.request_id, memo=memo
    )
    return id_


def _check(ctx: Context, row: Any, wanted: ImportRequest) -> None:
    method, stores = wanted.method.name, wanted.stores or []
    if method == "copy-image":
        raise Conflict(f"Image {row['id']} cannot be copied: '{STORE}' is the only store.")
    if method not in METHODS:
        raise BadRequest(f"Unknown import method name '{method}'; it must be one of {', '.join(METHODS)}.")
    if any(one != STORE for one in stores):
        raise Conflict(f"Store for an import must be '{STORE}', which is the only one.")
    if stores and wanted.all_stores:
        raise BadRequest("stores and all_stores exclude each other.")
    needed = "uploading" if method == "glance-direct" else "queued"
    if row["status"] != needed or (needed == "uploading" and row["staged"] is None):
        raise Conflict(f"Image needs to be in '{needed}' state to use the '{method}' method; it is in '{row['status']}'.")
    for name in ("container_format", "disk_format"):
        if row[name] is None:
            raise Conflict(f"'{name}' needs to be set before import")
    if method == "web-download":
        fetch.check(wanted.method.uri or "", rules(ctx.parts))
    elif wanted.method.uri:
        raise BadRequest("A uri goes with the method web-download only.")


class Jobs:
    """The imports that run in this process: one thread each, by image, at most so many in all and of one project."""

    def __init__(self, most: int = 16, each: int = 4) -> None:
        self._most, self._each = most, each
        self._lock = threading.Lock()
        self._running: dict[str, tuple[str | None, threading.Thread]] = {}

    def running(self, image_id: str) -> bool:
        """Whether this process works on an image."""
        with self._lock:
            return image_id in self._alive()

    def full(self, owner: str | None) -> bool:
        """Whether a project has to wait for its turn."""
        with self._lock:
            owners = [one for one, _ in self._alive().values()]
            return len(owners) >= self._most or owners.count(owner) >= self._each

    def start(self, image_id: str, owner: str | None, job: "Job") -> None:
        """Begin to work on an image."""
        thread = threading.Thread(target=job.run, name=f"import-{image_id[:8]}", daemon=True)
        thread.start()
        with self._lock:
            self._running = {**self._alive(), image_id: (owner, thread)}

    def _alive(self) -> dict[str, tuple[str | None, threading.Thread]]:
        return {id_: one for id_, one in self._running.items() if one[1].is_alive()}


JOBS = Jobs()


class Job:
    """One run of one import. It ends by writing success or failure into the image and its task, or by having lost the image."""

    def __init__(self, parts: Parts, hold: writing.Hold, row: Any, memo: dict[str, Any]) -> None:
        self._parts, self._hold, self._row, self._memo = parts, hold, row, memo
        self._store: ImageStore = parts.images
        self._path = self._store.scratch(hold.image_id, hold.token)

    def run(self) -> None:
        """All of it."""
        try:
            self._work()
        except Gone as error:
            log.info("import abandoned", image=self._hold.image_id, reason=error.message)
            self._clean()
        except CloudError as error:
            if error.status >= 500:
                log.warning("import failed", image=self._hold.image_id, error=error.message, cause=repr(error.__cause__))
            self._fail(error.message)
        except Exception:
            log.exception("import failed", image=self._hold.image_id)
            self._fail(_INTERNAL)
        finally:
            self._parts.database.run(lambda db: self._parts.operations.hurry(db, self._hold.image_id))

    def _work(self) -> None:
        row, token = self._row, self._hold.token
        opaque = row["container_format"] in uploads.OPAQUE
        inspection = Inspection(row["disk_format"], limit=uploads.limit(self._parts), opaque=opaque)
        written = self._download(inspection) if self._memo["method"] == "web-download" else self._take_staged(inspection)
        size, disk_format = inspection.finish(), row["disk_format"]
        if not opaque and disk_format not in (*PLAIN, "iso"):
            qemu.probe(self._path, disk_format, size)
        if not opaque and disk_format in CONVERTED:
            size = self._convert(disk_format, size)
            disk_format, written = "qcow2", digest(self._path)
        facts = uploads.Facts(row["id"], row["owner"], disk_format, row["container_format"])
        uploads.finish(
            self._hold, self._store, facts, size, written, also=lambda db: end_task(db, self._memo["task"], row["id"], None),
            staged=None, staged_size=None, importing="", failed_import="",
        )  # fmt: skip
        self._store.remove(row["id"], row["staged"])
        log.info("imported", image=row["id"], bytes=written.size, token=token)

    def _download(self, inspection: Inspection) -> Any:
        writer = self._store.write(self._hold.image_id, self._hold.token)
        try:
            for chunk in fetch.fetch(self._memo["uri"], rules(self._parts), self._hold.beat):
                inspection.add(chunk)
                writer.add(chunk)
            return writer.close()
        except BaseException:
            writer.discard()
            raise

    def _take_staged(self, inspection: Inspection) -> Any:
        os.link(self._store.staged(self._row["id"], self._row["staged"]), self._path)
        with self._path.open("rb", buffering=0) as file:
            while data := file.read(4 * MIB):
                inspection.add(data)
                self._hold.beat()
        return digest(self._path)

    def _convert(self, disk_format: str, size: int | None) -> int | None:
        room = self._parts.database.look(lambda db: quotas.room(db, self._row["owner"], "image_size_total"))
        most = uploads.limit(self._parts) if room is None else min(uploads.limit(self._parts), room * MIB)
        result = self._path.with_name(self._path.name + ".qcow2")
        qemu.convert(self._path, disk_format, result, most=max(MIB, most), seconds=HOURS / 2, alive=self._hold.beat)
        again = Inspection("qcow2", limit=uploads.limit(self._parts))
        with result.open("rb", buffering=0) as file:
            while data := file.read(4 * MIB):
                again.add(data)
        result.replace(self._path)
        return again.finish() or size

    def _fail(self, message: str) -> None:
        values = {"status": "queued", "importing": "", "failed_import": STORE, "staged": None, "staged_size": None}

        def commit(db: Connection) -> bool:
            ours = writing.let_go(db, self._hold.image_id, self._hold.token, **values)
            if ours:
                end_task(db, self._memo["task"], self._hold.image_id, message)
            return ours

        if self._hold.database.run(commit):
            self._store.remove(self._hold.image_id, self._row["staged"])
        self._clean()

    def _clean(self) -> None:
        for suffix in ("", ".cell", ".qcow2"):
            drop(self._path.with_name(self._path.name + suffix))


def end_task(db: Connection, task_id: str, image_id: str, fault: str | None) -> None:
    """Write a task's end: failure where there is a fault."""
    moment = now()
    values: dict[str, Any] = {"status": "success", "result": {"image_id": image_id}, "message": f"Copied 100% to store {STORE}"}
    if fault is not None:
        values = {"status": "failure", "result": None, "message": fault}
    still = task.c.status.in_(("pending", "processing"))
    db.execute(update(task).where(task.c.id == task_id, still).values(updated_at=moment, expires_at=moment + timedelta(hours=48), **values))


