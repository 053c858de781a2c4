"""Changing the data of a volume that is there: making it larger, into another format, back to a snapshot."""

from typing import Any

import msgspec
from sqlalchemy import Connection, select

from andromede.core.units import GIB
from andromede.drivers import block
from andromede.engine.model import Kind, Later, Step, Work
from andromede.services.key_manager import service as keys
from andromede.services.volume import attachments, messages, waiting
from andromede.services.volume.tables import FOREIGN, volume


def _grow(work: Work) -> Later | None:
    row = waiting.read(work)
    if row.size < work.memo["size"]:
        work.memo["before"] = row.size
        waiting.change(work, size=work.memo["size"])
        return Later(0.0)
    return waiting.reached(work, row, lambda seen: seen.seen_size >= work.memo["size"] * GIB)


def _shrink(work: Work) -> None:
    """The row goes back; what the disk has grown by already is left unused."""
    if "before" in work.memo:
        waiting.change(work, size=work.memo["before"])


def _settled(work: Work) -> Later | None:
    def commit(db: Connection) -> None:
        row = db.execute(select(volume).where(volume.c.id == work.resource)).one()
        waiting.write(db, row.id, status=row.previous or "available", previous=None)
        for one in attachments.of_volume(db, row.id):
            if one.server_id is not None and one.status == "attached":
                work.parts.carriers.extended(db, one.server_id, work.request_id)

    work.then(commit)
    return None


def _told(event: messages.Event, status: str) -> Any:
    def failed(db: Connection, work: Work, fault: str) -> None:
        row = db.execute(select(volume).where(volume.c.id == work.resource)).first()
        if row is not None:
            waiting.write(db, row.id, status=status or row.previous or "available", previous=None)
            messages.tell(db, work, "VOLUME", row.project_id, row.id, event, fault)

    return failed


EXTEND = Kind(
    name="volume.extend", steps=(Step("grow", _grow, _shrink), Step("finish", _settled)), deadline=3600,
    failed=_told(messages.EXTEND, "error_extending"),
)  # fmt: skip


# into another format, or with another key


def _convert(work: Work) -> Later | None:
    row = waiting.read(work)
    if row.make < work.memo["make"]:
        source = msgspec.to_builtins(block.Source(volume=row.id))
        work.memo["before"] = {"format": row.format, "key_id": row.key_id}
        waiting.change(work, make=work.memo["make"], source=source, format=work.memo["format"], key_id=work.memo["key_id"])
        return Later(0.0)
    return waiting.reached(work, row, lambda seen: seen.seen_made >= seen.make)


def _unconvert(work: Work) -> None:
    """The disk that is there keeps what it was made as; where the new one is there already, that stays."""
    if "before" in work.memo and waiting.read(work).seen_made < work.memo["make"]:
        waiting.change(work, make=work.memo["make"] - 1, source=None, **work.memo["before"])


def _converted(work: Work) -> Later | None:
    def commit(db: Connection) -> None:
        row = db.execute(select(volume).where(volume.c.id == work.resource)).one()
        values = {name: work.memo[name] for name in ("type_id", "multiattach")}
        waiting.write(db, row.id, status=row.previous or "available", previous=None, migration_status="success", source=None, **values)
        before = work.memo.get("before", {}).get("key_id")
        if before != row.key_id:
            keys.forget(db, before)
        waiting.push(work, db, row.id)

    work.then(commit)
    return None


def _unconverted(db: Connection, work: Work, fault: str) -> None:
    _told(messages.RETYPE, "")(db, work, fault)
    row = db.execute(select(volume).where(volume.c.id == work.resource)).first()
    if row is not None:
        waiting.write(db, row.id, migration_status="error")
        if work.memo["key_id"] is not None and work.memo["key_id"] != row.key_id:
            keys.forget(db, work.memo["key_id"])


RETYPE = Kind(
    name="volume.retype", steps=(Step("convert", _convert, _unconvert), Step("finish", _converted)), deadline=6 * 3600, failed=_unconverted
)


# made anew from an image


def _reimage(work: Work) -> Later | None:
    row = waiting.read(work)
    if row.make < work.memo["make"]:
        waiting.change(work, make=work.memo["make"], source=work.memo["source"], contents=FOREIGN)
        return Later(0.0)
    return waiting.reached(work, row, lambda seen: seen.seen_made >= seen.make)


def _unreimage(work: Work) -> None:
    """The disk that is there stays what it was made as; where the new one is there already, that stays."""
    if waiting.read(work).seen_made < work.memo["make"]:
        waiting.change(work, make=work.memo["make"] - 1, source=None)


def _reimaged(work: Work) -> Later | None:
    def commit(db: Connection) -> None:
        row = db.execute(select(volume).where(volume.c.id == work.resource)).one()
        waiting.write(db, row.id, status=row.previous or "available", previous=None, source=None, image=work.memo["image"], bootable=True)
        waiting.push(work, db, row.id)
        attachments.hurry_servers(db, work.parts.operations, row.id)

    work.then(commit)
    return None


def _unreimaged(db: Connection, work: Work, fault: str) -> None:
    _told(messages.REIMAGE, "error")(db, work, fault)
    attachments.hurry_servers(db, work.parts.operations, work.resource)


REIMAGE = Kind(
    name="volume.reimage", steps=(Step("reimage", _reimage, _unreimage), Step("finish", _reimaged)), deadline=6 * 3600, failed=_unreimaged
)


# back to a snapshot


def _go_back(work: Work) -> Later | None:
    row = waiting.read(work)
    if row.make < work.memo["make"]:
        source = msgspec.to_builtins(block.Source(volume=row.id, snapshot=work.memo["snapshot"], keep=True))
        waiting.change(work, make=work.memo["make"], source=source)
        return Later(0.0)
    return waiting.reached(work, row, lambda seen: seen.seen_made >= seen.make)


def _gone_back(work: Work) -> Later | None:
    def commit(db: Connection) -> None:
        waiting.write(db, work.resource, status="available", previous=None, source=None)
        waiting.push(work, db, work.resource)

    work.then(commit)
    return None


REVERT = Kind(
    name="volume.revert", steps=(Step("revert", _go_back), Step("finish", _gone_back)), deadline=3600, failed=_told(messages.REVERT, "error")
)
