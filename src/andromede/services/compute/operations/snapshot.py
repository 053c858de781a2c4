"""Making an image of a server: its host copies the root disk into Image's staging area, and Image imports that.

Whatever ends it early (the server deleted, the image deleted, a host that cannot) leaves neither the image nor a file.
"""

from typing import Any

from sqlalchemy import Connection, select

from andromede.core.context import Parts
from andromede.core.errors import CloudError
from andromede.engine.model import Later, Step, Work
from andromede.services.compute import hosts
from andromede.services.compute.operations.base import LOOK, finish, give_up, kind, row_of, write
from andromede.services.compute.tables import server
from andromede.services.image.service import snapshots as image


def abandon(db: Connection, parts: Parts, row: Any) -> None:
    """Give up the copies of a server's disk that are under way, and the images they were for. row: a mapping."""
    captures, shelved = row["captures"] or {}, row["shelved_image"]
    for image_id in {*captures, *([shelved] if shelved else [])}:
        image.discard(db, parts, image_id)
    if captures:
        write(db, row["id"], captures=None)
        hosts.changed(db, parts.operations, row["host"])


def _drop(db: Connection, work: Work) -> None:
    """The copy is not wanted any more, whether it was made or not."""
    row = db.execute(select(server).where(server.c.id == work.resource)).one()
    rest = {id_: path for id_, path in (row.captures or {}).items() if id_ != work.memo["image"]}
    write(db, row.id, captures=rest or None)
    hosts.changed(db, work.parts.operations, row.host)


def capture(work: Work) -> Later | None:
    """Wait for the copy; the request has asked for it. Nothing where the image was deleted meanwhile."""
    row, id_ = row_of(work), work.memo["image"]
    if work.database.look(lambda db: image.status(db, id_)) != "saving":
        return None
    fault = (row.seen_captures or {}).get(id_)
    if fault:
        raise CloudError(fault, status=409)
    if fault is None:
        if id_ not in (row.captures or {}):
            work.then(lambda db: _ask(db, work))
        return Later(LOOK)

    def receive(db: Connection) -> None:
        image.receive(db, work.parts.operations, id_, work.request_id)
        write(db, row.id, task_state=work.memo.get("uploading", "image_uploading"))

    work.then(receive)
    return None


def _ask(db: Connection, work: Work) -> None:
    row = db.execute(select(server).where(server.c.id == work.resource)).one()
    write(db, row.id, captures={**(row.captures or {}), work.memo["image"]: work.memo["path"]})
    hosts.changed(db, work.parts.operations, row.host)


def uncapture(work: Work) -> None:
    """No copy and no image."""

    def drop(db: Connection) -> None:
        image.discard(db, work.parts, work.memo["image"])
        _drop(db, work)

    work.then(drop)


def upload(work: Work) -> Later | None:
    """Wait until Image has taken it."""
    id_ = work.memo["image"]
    status = work.database.look(lambda db: image.status(db, id_))
    if status in ("saving", "importing"):
        return Later(1.0)
    if status not in ("active", "deactivated", None):
        raise CloudError("The image of the server was not taken; the image's task says why.", status=409)
    work.then(lambda db: _drop(db, work))
    return None


def _finish(work: Work) -> Later | None:
    def end(db: Connection) -> None:
        row = db.execute(select(server).where(server.c.id == work.resource)).one()
        if "rotation" in work.memo:
            kept = image.backups(db, row.id, work.memo["backup_type"], row.project_id)
            for old in kept[work.memo["rotation"] :]:
                image.forget(db, work.parts, old)
        write(db, row.id, task_state=None)
        finish(db, work)

    work.then(end)
    return None


SNAPSHOT = kind(
    "server.snapshot", Step("capture", capture, uncapture), Step("upload", upload), Step("finish", _finish),
    deadline=6 * 3600, failed=give_up,
)  # fmt: skip
