"""Making an image of a volume: its bytes go into Image's staging area, and Image imports them like any other."""

import os
from pathlib import Path

from sqlalchemy import Connection

from andromede.core.clock import monotonic
from andromede.core.errors import CloudError
from andromede.core.units import MIB
from andromede.engine.model import Kind, Later, Step, Work
from andromede.services.image.service import snapshots as image
from andromede.services.volume import messages, waiting
from andromede.services.volume.operations import reading

_PIECE = 8 * MIB


def _copy(work: Work) -> Later | None:
    """Put the export into the staging area, as far as a turn goes."""
    row, id_ = waiting.read(work), work.memo["image"]
    if work.database.look(lambda db: image.status(db, id_)) != "saving":
        return None  # deleted meanwhile: nobody wants it
    size, done = row.seen_exports[work.id], work.memo.get("done", 0)
    end = reading.until()
    try:
        fd = os.open(work.memo["path"], os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise CloudError("The image storage cannot be used now.") from error
    try:
        os.ftruncate(fd, size)
        while done < size and monotonic() < end:
            data = reading.read(work, row, done, min(_PIECE, size - done))
            if data:
                os.pwrite(fd, data, done)
            done = min(done + _PIECE, size)
        os.fsync(fd)
    except OSError as error:
        raise CloudError("The image storage is full: there is no room for the image's data.") from error
    finally:
        os.close(fd)
    work.memo["done"] = done
    if done < size:
        return Later(0.0)
    work.then(lambda db: image.receive(db, work.parts.operations, id_, work.request_id))
    return None


def _uncopy(work: Work) -> None:
    Path(work.memo["path"]).unlink(missing_ok=True)
    work.then(lambda db: image.discard(db, work.parts, work.memo["image"]))


def _take(work: Work) -> Later | None:
    """Wait until Image has taken it."""
    status = work.database.look(lambda db: image.status(db, work.memo["image"]))
    if status in ("saving", "importing"):
        return Later(1.0)
    if status not in ("active", "deactivated", None):
        raise CloudError("The image of the volume was not taken; the image's task says why.", status=409)
    return None


def _finish(work: Work) -> Later | None:
    reading.unexport(work)
    waiting.thaw(work)
    work.then(lambda db: waiting.back(db, work.resource, "uploading"))
    return None


def _failed(db: Connection, work: Work, fault: str) -> None:
    waiting.back(db, work.resource, "uploading")
    messages.tell(db, work, "VOLUME", work.project_id or "", work.resource, messages.UPLOAD, fault)


UPLOAD = Kind(
    name="volume.upload",
    steps=(
        Step("freeze", reading.freeze, waiting.thaw),
        Step("export", reading.export, reading.unexport),
        Step("copy", _copy, _uncopy),
        Step("take", _take),
        Step("finish", _finish),
    ),
    deadline=6 * 3600,
    failed=_failed,
)
