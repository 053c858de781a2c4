"""The audit log for the rest of the cloud: what it does by itself, and the log read whole, for exports and to check it where it is kept."""

import base64
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from andromede.core.context import Parts
from andromede.engine.model import Reconciler
from andromede.services.audit import sealing, tables, verifier
from andromede.services.audit.sealing import Witness, witness
from andromede.services.audit.tree import HASH, WIDTH, folded
from andromede.services.audit.verifier import Checkpoint, Finding

__all__ = ["Witness", "check", "export", "key", "newest", "reconcilers", "witness"]


def reconcilers(parts: Parts) -> list[Reconciler]:
    """Those of the log. Needs `parts.witness`."""
    return [sealing.reconciler(parts.database, parts.witness)]


def key(by: Witness) -> str:
    """The public key, as the verifier takes it."""
    return base64.b64encode(by.public).decode()


def newest(db: Connection) -> str | None:
    """The newest signed checkpoint; None where nothing is sealed yet."""
    return db.scalar(select(tables.checkpoint.c.note).order_by(tables.checkpoint.c.size.desc()).limit(1))


def export(db: Connection) -> Iterator[str]:
    """The sealed log as lines of JSON: each event with the hash that the tree has for it, each checkpoint behind its last event."""
    notes = iter(db.execute(select(tables.checkpoint.c.size, tables.checkpoint.c.note).order_by(tables.checkpoint.c.size)))
    note = next(notes, None)
    for position, document, leaf in _events(db):
        while note is not None and note.size <= position:
            yield _line({"checkpoint": note.note})
            note = next(notes, None)
        yield _line({"event": document, "hash": leaf})
    while note is not None:
        yield _line({"checkpoint": note.note})
        note = next(notes, None)


def check(db: Connection, public: bytes, known: Sequence[Checkpoint] = ()) -> tuple[int, list[Finding]]:
    """How many events the log has, and everything that is wrong with it: rows, hashes, tiles and checkpoints."""
    size, found = verifier.check(export(db), public, known)
    return size, [*found, *_tiles_above(db)]


def _events(db: Connection) -> Iterator[tuple[int, str | None, str]]:
    """Position, document and hash of each event: of what the tree has a hash for and the rows do not, without a document."""
    table, at = tables.event, 0
    while True:
        hashes = sealing.tile(db, 0, at // WIDTH)
        rows = db.execute(
            select(table.c.position, table.c.document).where(table.c.position >= at, table.c.position < at + WIDTH).order_by(table.c.position)
        ).all()
        if not hashes and not rows:
            return
        documents = {row.position: row.document for row in rows}
        last = max(at + len(hashes) // HASH, max(documents, default=-1) + 1)
        for position in range(at, last):
            place = (position - at) * HASH
            yield position, documents.get(position), hashes[place : place + HASH].hex()
        if last < at + WIDTH:
            return
        at += WIDTH


def _tiles_above(db: Connection) -> Iterator[Finding]:
    """Where a tile does not hold what the one below it says: proofs are made of them."""
    table = tables.tile
    query = select(table.c.level, table.c["index"], table.c.hashes).where(table.c.level > 0).order_by(table.c.level, table.c["index"])
    for level, index, hashes in db.execute(query):
        for number in range(len(hashes) // HASH):
            place = index * WIDTH + number
            below = sealing.tile(db, level - 1, place)
            if len(below) != WIDTH * HASH or folded(below) != hashes[number * HASH : (number + 1) * HASH]:
                wide = WIDTH**level
                yield Finding(place * wide, (place + 1) * wide, f"a tile of level {level} is not made of those below it")


def _line(part: dict[str, Any]) -> str:
    return msgspec.json.encode(part).decode()
