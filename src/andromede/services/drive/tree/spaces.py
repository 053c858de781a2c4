"""Spaces: a tree of files with an owner and a quota. Everybody has one, made when they first come."""

import msgspec
from sqlalchemy import Connection, insert, select, update

from andromede.core.clock import now
from andromede.core.errors import NotFound
from andromede.core.ids import new_id
from andromede.services.drive.people import Person
from andromede.services.drive.tables import space
from andromede.services.drive.tree.nodes import Node, new_etag, place, seconds

HOME, PROJECT = "home", "project"
_FIELDS = (space.c.id, space.c.kind, space.c.owner_id, space.c.root_id, space.c.trash_id)


class Space(msgspec.Struct, frozen=True):
    """What never changes of a space. id: also names the key that its content is encrypted with."""

    id: str
    kind: str
    owner_id: str
    root_id: int
    trash_id: int


def find(db: Connection, kind: str, owner_id: str) -> Space | None:
    """The space of somebody."""
    row = db.execute(select(*_FIELDS).where(space.c.kind == kind, space.c.owner_id == owner_id)).first()
    return None if row is None else Space(*row)


def by_id(db: Connection, space_id: str) -> Space:
    """A space. Raises NotFound."""
    row = db.execute(select(*_FIELDS).where(space.c.id == space_id)).first()
    if row is None:
        raise NotFound("There is no such space.")
    return Space(*row)


def make(db: Connection, kind: str, owner_id: str) -> Space:
    """A new, empty space; needs a transaction that writes."""
    space_id, moment = new_id(), seconds()
    root, trash = (
        place(db, Node(0, space_id, None, name, True, 0, new_etag(), moment, moment, "", "", None, 1, 1)) for name in ("", "trash")
    )  # fmt: skip
    made = Space(space_id, kind, owner_id, root, trash)
    db.execute(insert(space).values(**msgspec.structs.asdict(made), kept=0, created=now()))
    return made


def home(db: Connection, person: Person) -> Space:
    """Somebody's own space, made where it is missing; needs a transaction that writes."""
    return find(db, HOME, person.id) or make(db, HOME, person.id)


def set_quota(db: Connection, space_id: str, quota: int | None) -> None:
    """Give a space another quota, in bytes; None for what the settings say."""
    db.execute(update(space).where(space.c.id == space_id).values(quota=quota))
