"""Uploads in parts: each part's chunks are noted as it comes, and the whole is their list, so that putting it together copies nothing."""

import re
from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from andromede.core.errors import NotFound
from andromede.services.drive.errors import Exists, Mismatch
from andromede.services.drive.tables import part, upload
from andromede.services.drive.tree import nodes
from andromede.services.drive.tree.spaces import Space

_UPLOAD = (upload.c.id, upload.c.name, upload.c.target, upload.c.size, upload.c.created)
_PART = (part.c.name, part.c.size, part.c.etag, part.c.mtime)
_NAME = re.compile(r"(\d{1,20})(?:-(\d{1,20}))?", re.ASCII)


class Upload(msgspec.Struct, frozen=True):
    """An upload under way. target: the path that it is for, where that was told; size: of its parts so far."""

    id: int
    name: str
    target: str
    size: int
    created: int


class Part(msgspec.Struct, frozen=True):
    """A part of an upload."""

    name: str
    size: int
    etag: str
    mtime: int


def order(name: str) -> int:
    """Where a part stands: its name is a number, or the first and the last byte. Raises Mismatch."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise Mismatch("The name of a part is a number, or the numbers of its first and last byte.")
    return int(found[1])


def begin(db: Connection, where: Space, name: str, target: str) -> Upload:
    """A new upload. Raises Exists."""
    if db.execute(select(upload.c.id).where(upload.c.space_id == where.id, upload.c.name == name)).first() is not None:
        raise Exists("There is an upload of this name already.")
    db.execute(insert(upload).values(space_id=where.id, name=name, target=target, size=0, created=nodes.seconds()))
    return find(db, where, name)


def find(db: Connection, where: Space, name: str) -> Upload:
    """An upload. Raises NotFound."""
    row = db.execute(select(*_UPLOAD).where(upload.c.space_id == where.id, upload.c.name == name)).first()
    if row is None:
        raise NotFound("There is no such upload.")
    return Upload(*row)


def every(db: Connection, where: Space) -> list[Upload]:
    """The uploads of a space."""
    return [Upload(*row) for row in db.execute(select(*_UPLOAD).where(upload.c.space_id == where.id).order_by(upload.c.id))]


def parts(db: Connection, up: Upload) -> list[Part]:
    """The parts of an upload, in their order."""
    found = [Part(*tuple(row)) for row in db.execute(select(*_PART).where(part.c.upload_id == up.id))]
    return sorted(found, key=lambda one: (order(one.name), one.name))


def keep(db: Connection, where: Space, name: str, part_name: str, size: int, extents: bytes) -> tuple[Part, bool]:
    """Note a part, in the place of an earlier one of its name; the part, and whether it is new. Raises NotFound."""
    up = find(db, where, name)
    before = db.execute(select(part.c.size).where(part.c.upload_id == up.id, part.c.name == part_name)).scalar_one_or_none()
    if before is not None:
        db.execute(delete(part).where(part.c.upload_id == up.id, part.c.name == part_name))
    made = Part(part_name, size, nodes.new_etag(), nodes.seconds())
    db.execute(insert(part).values(upload_id=up.id, extents=extents, **msgspec.structs.asdict(made)))
    db.execute(update(upload).where(upload.c.id == up.id).values(size=upload.c.size + size - (before or 0)))
    return made, before is None


def drop(db: Connection, where: Space, name: str, part_name: str = "") -> None:
    """Forget an upload, or one of its parts. Raises NotFound."""
    up = find(db, where, name)
    if not part_name:
        db.execute(delete(upload).where(upload.c.id == up.id))
        return
    size = db.execute(select(part.c.size).where(part.c.upload_id == up.id, part.c.name == part_name)).scalar_one_or_none()
    if size is None:
        raise NotFound("There is no such part.")
    db.execute(delete(part).where(part.c.upload_id == up.id, part.c.name == part_name))
    db.execute(update(upload).where(upload.c.id == up.id).values(size=upload.c.size - size))


def whole(db: Connection, where: Space, name: str, expected: int | None) -> tuple[int, bytes]:
    """Size and chunks of what an upload's parts make together. Raises Mismatch where something is missing, NotFound."""
    up = find(db, where, name)
    found = parts(db, up)
    _contiguous(found)
    size = sum(one.size for one in found)
    if expected is not None and expected != size:
        raise Mismatch(f"The parts have {size} bytes together, and {expected} were announced.")
    extents = {row[0]: bytes(row[1]) for row in db.execute(select(part.c.name, part.c.extents).where(part.c.upload_id == up.id))}
    return size, b"".join([extents[one.name] for one in found])


def _contiguous(found: Sequence[Part]) -> None:
    """Parts that say which bytes they are lie one after another."""
    at = 0
    for one in found:
        match = _NAME.fullmatch(one.name)
        assert match is not None
        if match[2] and int(match[1]) != at:
            raise Mismatch(f"The part that begins with byte {at} is missing.")
        at += one.size
