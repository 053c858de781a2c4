"""What is kept of a server while it is resized or moved: the room it had, how it was, and the copy of its disk between two hosts.

The migration's row is what people see of it; its id holds the old room, as in Nova, until the move is confirmed or taken back.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, update

from andromede.core.clock import now
from andromede.core.context import Parts
from andromede.core.ids import new_id
from andromede.db.engine import after_commit
from andromede.services.compute import inventory
from andromede.services.compute.tables import migration

_KEPT = ("flavor", "flavor_id", "vcpus", "ram", "disk", "host", "root_number", "past", "base", "power", "vm_state")


def begin(
    db: Connection, row: Any, kind: str, *, user_id: str | None, new_flavor: str | None = None, status: str = "pre-migrating"
) -> str:
    """Record a migration of a server; its id."""
    id_, moment = new_id(), now()
    db.execute(
        insert(migration).values(
            uuid=id_, server_id=row["id"], project_id=row["project_id"], user_id=user_id, kind=kind, status=status,
            source=row["host"], old_flavor=row["flavor_id"], new_flavor=new_flavor or row["flavor_id"], created=moment, updated=moment,
        )
    )  # fmt: skip
    return id_


def note(db: Connection, id_: str, status: str, **values: Any) -> None:
    """What has become of a migration."""
    db.execute(update(migration).where(migration.c.uuid == id_).values(status=status, updated=now(), **values))


def as_it_was(row: Any, migration_id: str) -> dict[str, Any]:
    """What a server goes back to."""
    return {name: getattr(row, name) for name in _KEPT} | {"migration": migration_id}


def path(parts: Parts, migration_id: str) -> str:
    """Where a disk is between two hosts."""
    return str(Path(parts.images.moves) / migration_id)


def abandon(db: Connection, row: Mapping[Any, Any]) -> None:
    """A server that was on its way to another host is gone: so is the room that its move held."""
    if row["move"] is not None:
        inventory.free(db, row["move"]["id"])
        note(db, row["move"]["id"], "error")


def forget(db: Connection, parts: Parts, before: Mapping[str, Any]) -> None:
    """Nothing is gone back to any more: the old room is free, and the copy is deleted. Hosts hold what they need of it."""
    inventory.free(db, before["migration"])
    file = Path(path(parts, before["migration"]))
    after_commit(db, lambda: file.unlink(missing_ok=True))
