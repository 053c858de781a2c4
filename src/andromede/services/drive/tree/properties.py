"""What people hang on nodes: dead properties (RFC 4918, 4.4) and favourites."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, delete, insert, select

from andromede.services.drive.errors import NoRoom
from andromede.services.drive.tables import mark, prop

MOST, LONG = 200, 64 << 10
"""Properties that a node may have, and bytes that one may have."""
FAVOURITE = "favourite"


def of(db: Connection, ids: Sequence[int]) -> dict[int, dict[str, str]]:
    """The dead properties of each of some nodes: XML by `{namespace}name`."""
    made: dict[int, dict[str, str]] = {}
    for at in range(0, len(ids), 500):
        for node_id, name, value in db.execute(select(prop).where(prop.c.node_id.in_(ids[at : at + 500]))):
            made.setdefault(node_id, {})[name] = value
    return made


def change(db: Connection, node_id: int, values: Mapping[str, str | None]) -> None:
    """Set properties, or remove those whose value is None. Raises NoRoom for too much."""
    for name, value in values.items():
        db.execute(delete(prop).where(prop.c.node_id == node_id, prop.c.name == name))
        if value is not None:
            if len(value.encode()) > LONG:
                raise NoRoom(f"A property may have {LONG} bytes.")
            db.execute(insert(prop).values(node_id=node_id, name=name, value=value))
    if len(of(db, [node_id]).get(node_id, {})) > MOST:
        raise NoRoom(f"A file or folder may have {MOST} properties.")


def favourites(db: Connection, user_id: str, ids: Sequence[int]) -> set[int]:
    """Which of some nodes are a user's favourites."""
    found: set[int] = set()
    for at in range(0, len(ids), 500):
        query = select(mark.c.node_id).where(mark.c.user_id == user_id, mark.c.kind == FAVOURITE, mark.c.node_id.in_(ids[at : at + 500]))
        found.update(db.execute(query).scalars())
    return found


def all_favourites(db: Connection, user_id: str) -> list[int]:
    """A user's favourites."""
    return list(db.execute(select(mark.c.node_id).where(mark.c.user_id == user_id, mark.c.kind == FAVOURITE).order_by(mark.c.node_id)).scalars())


def favour(db: Connection, user_id: str, node_id: int, *, wanted: bool) -> None:
    """Make a node a user's favourite, or no longer."""
    db.execute(delete(mark).where(mark.c.user_id == user_id, mark.c.node_id == node_id, mark.c.kind == FAVOURITE))
    if wanted:
        db.execute(insert(mark).values(user_id=user_id, node_id=node_id, kind=FAVOURITE))
