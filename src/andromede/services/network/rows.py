"""Reading and writing rows the way every resource of this service does: revisions, generations, tombstones, tags."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, Table, delete, insert, select, update

from andromede.core.clock import now
from andromede.core.context import Context
from andromede.core.ids import new_id
from andromede.db.base import chunks
from andromede.engine.client import Operations
from andromede.services.network.tables import FABRIC, rbac, tag, tombstone

RECONCILER = "network.fabric"
_KINDS = {table.name: kind for kind, table in FABRIC.items()}


def signal(db: Connection, operations: Operations) -> None:
    """Have the fabric follow once this transaction is committed."""
    operations.signal(db, RECONCILER)


def changed(ctx: Context) -> None:
    """`signal` for a request."""
    signal(ctx.db, ctx.parts.operations)


def add(db: Connection, table: Table, **values: Any) -> str:
    """A new row with its id and times; answers the id."""
    id_, moment = values.pop("id", None) or new_id(), now()
    db.execute(insert(table).values(id=id_, created=moment, updated=moment, **values))
    if table.name in _KINDS:
        db.execute(delete(tombstone).where(tombstone.c.kind == _KINDS[table.name], tombstone.c.id == id_))
    return id_


def touch(db: Connection, table: Table, id_: str, *, spec: bool = True, **values: Any) -> None:
    """Change a row as its users see it; `spec`: what the fabric must know changes too."""
    if spec and "generation" in table.c:
        values["generation"] = table.c.generation + 1
    db.execute(update(table).where(table.c.id == id_).values(revision=table.c.revision + 1, updated=now(), **values))


def bump(db: Connection, table: Table, which: ColumnElement[bool]) -> None:
    """What the fabric must know of these rows has changed, though not the rows."""
    db.execute(update(table).where(which).values(generation=table.c.generation + 1))


def bury(db: Connection, table: Table, ids: Iterable[str]) -> None:
    """Delete rows, with their tags and the rules that share them, leaving tombstones where the fabric has them."""
    kind, moment = _KINDS.get(table.name), now()
    for some in chunks(ids):
        db.execute(delete(table).where(table.c.id.in_(some)))
        db.execute(delete(tag).where(tag.c.resource_id.in_(some)))
        db.execute(delete(rbac).where(rbac.c.object_id.in_(some)))
        if kind:
            db.execute(delete(tombstone).where(tombstone.c.kind == kind, tombstone.c.id.in_(some)))
            db.execute(insert(tombstone), [{"kind": kind, "id": id_, "created": moment} for id_ in some])


def get(db: Connection, table: Table, id_: str | None) -> RowMapping | None:
    """A row by its id."""
    return None if id_ is None else db.execute(select(table).where(table.c.id == id_)).mappings().first()


def one(db: Connection, table: Table, id_: str) -> RowMapping:
    """A row that must be there."""
    return db.execute(select(table).where(table.c.id == id_)).mappings().one()


def gather(db: Connection, ids: Iterable[str], query: Callable[[list[str]], Select[Any]]) -> Iterator[RowMapping]:
    """The rows of `query` for every portion of `ids`."""
    for some in chunks(dict.fromkeys(ids)):
        yield from db.execute(query(some)).mappings().all()  # all at once: SQLite gives the interpreter away for each row fetched alone


def grouped(rows: Iterable[RowMapping], by: str) -> dict[str, list[RowMapping]]:
    """Rows by the value of one column."""
    out: dict[str, list[RowMapping]] = {}
    for row in rows:
        out.setdefault(row[by], []).append(row)
    return out
