"""What changed below a folder since a number of the space's changes.

A folder that nothing changed below since then is not looked into. What was brought to another place is told with all that is in
it there, and as gone from where it was.
"""

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, exists, select

from andromede.services.drive.tables import gone, node
from andromede.services.drive.tree.nodes import COLUMNS, Node

Change = tuple[int, tuple[str, ...], Node | None]
"""Number of the change, path below the folder, and what is there now: None where nothing is any more."""


def changes(db: Connection, folder: Node, since: int, *, deep: bool) -> list[Change]:
    """The changes, the oldest first. since: 0 for all there is; deep: of everything below, not of the folder's own members alone."""
    return sorted(_walk(db, folder, since, deep=deep), key=lambda one: (one[0], one[1]))


def _walk(db: Connection, folder: Node, since: int, *, deep: bool) -> Iterator[Change]:
    waiting: list[tuple[int, tuple[str, ...], int]] = [(folder.id, (), since)]
    while waiting:
        node_id, path, after = waiting.pop()
        rows = db.execute(select(*COLUMNS).where(node.c.parent_id == node_id, node.c.changed > after))
        for one in [Node(*row) for row in rows]:
            below = (*path, one.name)
            yield one.changed, below, one
            if deep and one.folder:
                waiting.append((one.id, below, 0 if one.placed > after else after))
        if after:
            there = exists().where(node.c.parent_id == gone.c.parent_id, node.c.name == gone.c.name)
            query = select(gone.c.changed, gone.c.name).where(gone.c.parent_id == node_id, gone.c.changed > after, ~there)
            for number, name in db.execute(query):
                yield number, (*path, name), None


def cut(found: Sequence[Change], most: int | None) -> tuple[Sequence[Change], int | None]:
    """The first of changes, at most so many unless a single one has more, and the number that they end with; None where it is all."""
    if most is None or len(found) <= most:
        return found, None
    number = found[most][0]
    kept = [one for one in found if one[0] < number]
    if not kept:
        kept = [one for one in found if one[0] == number]
        if len(kept) == len(found):
            return kept, None
    return kept, kept[-1][0]
