"""Sealing: events take their places in the tree, and the cloud signs what it has become. A reconciler does it within a second or so.

Until then an event is a row like any other. Its place is that of its sealing, so a log never has gaps.
"""

from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, and_, bindparam, func, insert, select, update

from andromede.core.clock import now
from andromede.db.engine import Database
from andromede.drivers.seal import key_file
from andromede.engine.model import Reconciler
from andromede.http.paging import exists
from andromede.services.audit import tables, verifier
from andromede.services.audit.tree import HASH, WIDTH, Tree, folded
from andromede.services.audit.verifier import Checkpoint, leaf_hash

_MOST = 2000
_WAITING = select(tables.event.c.id, tables.event.c.document).where(tables.event.c.position.is_(None))
_PLACE = update(tables.event).where(tables.event.c.id == bindparam("event")).values(position=bindparam("place"))


class Witness:
    """The name and key that a cloud signs its log with."""

    def __init__(self, origin: str, key: Ed25519PrivateKey) -> None:
        self.origin, self._key = origin, key
        self.public = key.public_key().public_bytes_raw()

    def note(self, size: int, root: bytes) -> str:
        """A signed checkpoint."""
        return verifier.signed(Checkpoint(self.origin, size, root), self.public, self._key.sign)


def witness(origin: str, path: Path) -> Witness:
    """With the key in a file, made where it is missing. Who has it can write another history, and who has an old checkpoint finds out."""
    return Witness(origin, Ed25519PrivateKey.from_private_bytes(key_file(path)))


def size_of(db: Connection) -> int:
    """How many events are sealed."""
    return int(db.scalar(select(func.max(tables.checkpoint.c.size))) or 0)


def tree(db: Connection, size: int) -> Tree:
    """The log as it was when it had so many events."""
    return Tree(size, lambda level, index: tile(db, level, index))


def seal(db: Connection, by: Witness) -> int:
    """Give the next events their places; how many there were."""
    rows = db.execute(_WAITING.order_by(tables.event.c.at, tables.event.c.id).limit(_MOST)).all()
    if not rows:
        return 0
    size = size_of(db)
    db.execute(_PLACE, [{"event": row.id, "place": place} for place, row in enumerate(rows, size)])
    _extend(db, size, [leaf_hash(row.document.encode()) for row in rows])
    whole = size + len(rows)
    db.execute(insert(tables.checkpoint).values(size=whole, at=now(), note=by.note(whole, tree(db, whole).root())))
    return len(rows)


def reconciler(database: Database, by: Witness) -> Reconciler:
    """Seal what is there."""

    def run() -> str:
        done = 0
        while database.look(lambda db: exists(db, _WAITING)):  # nobody's write waits for a look
            done += database.run(lambda db: seal(db, by))
        return f"{done} sealed" if done else ""

    return Reconciler("audit.seal", 1.0, run)


def tile(db: Connection, level: int, index: int) -> bytes:
    """The hashes of a tile; nothing where there is none."""
    table = tables.tile
    return bytes(db.scalar(select(table.c.hashes).where(and_(table.c.level == level, table.c["index"] == index))) or b"")


def _extend(db: Connection, size: int, leaves: Sequence[bytes]) -> None:
    """Put hashes behind the first `size`, and those of the tiles that they fill behind the ones above."""
    level, rest = 0, list(leaves)
    while rest:
        index, full = size // WIDTH, list[bytes]()
        had = tile(db, level, index)
        hashes = had + b"".join(rest)
        for at in range(0, len(hashes), WIDTH * HASH):
            part = hashes[at : at + WIDTH * HASH]
            _store(db, level, index, part, new=at > 0 or not had)
            if len(part) == WIDTH * HASH:
                full.append(folded(part))
            index += 1
        level, size, rest = level + 1, size // WIDTH, full


def _store(db: Connection, level: int, index: int, hashes: bytes, *, new: bool) -> None:
    table = tables.tile
    if new:
        db.execute(insert(table).values(level=level, index=index, hashes=hashes))
    else:
        db.execute(update(table).where(and_(table.c.level == level, table.c["index"] == index)).values(hashes=hashes))
