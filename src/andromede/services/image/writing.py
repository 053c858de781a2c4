"""Who holds an image while its bytes come in: an upload, a staging, or an import.

The holder is a random id in the row, `writer`, with the time it was last heard of. It is what keeps two uploads of one image
apart, and what tells the reconciler that a holder has died. A holder that lost its row stops at its next sign of life.
"""

from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, select, update

from andromede.core.clock import monotonic, now
from andromede.core.errors import Gone
from andromede.core.ids import new_id
from andromede.db.engine import Database
from andromede.services.image.tables import image

DEAD = timedelta(seconds=120)
BEAT = 15.0


class Hold:
    """One holder's grip on one image."""

    def __init__(self, database: Database, image_id: str, token: str) -> None:
        self.database, self.image_id, self.token = database, image_id, token
        self._last = monotonic()

    def due(self) -> bool:
        """Whether it is time for a sign of life."""
        return monotonic() - self._last >= BEAT

    def beat(self) -> None:
        """Give a sign of life, if it is time. Raises Gone where the image is no longer ours: deleted, or taken for dead."""
        if not self.due():
            return
        self._last = monotonic()
        mine = (image.c.id == self.image_id, image.c.writer == self.token)
        if not self.database.run(lambda db: db.execute(update(image).where(*mine).values(beat=now())).rowcount):
            raise Gone(f"Image {self.image_id} was deleted, or its data came too slowly.")

    def abandon(self, **values: Any) -> bool:
        """Let go, leaving these values where the image is still ours; whether what was written is an image's data all the same.

        It is where a commit that seemed to fail had succeeded.
        """

        def leave(db: Connection) -> bool:
            let_go(db, self.image_id, self.token, **values)
            used = (image.c.blob == self.token) | (image.c.staged == self.token)
            return db.execute(select(image.c.id).where(image.c.id == self.image_id, used)).first() is not None

        return self.database.run(leave)


def seize(db: Connection, image_id: str, *, status: str, before: tuple[str, ...]) -> str | None:
    """Become the holder of an image that is in one of these states and that nobody holds; its token, or None where it cannot be had."""
    token, moment = new_id(), now()
    free = (image.c.id == image_id, image.c.status.in_(before), image.c.writer.is_(None) | (image.c.beat < moment - DEAD))
    values = {"status": status, "writer": token, "beat": moment, "updated_at": moment}
    return token if db.execute(update(image).where(*free).values(values)).rowcount else None


def let_go(db: Connection, image_id: str, token: str, **values: Any) -> bool:
    """Stop holding, leaving these values, where the image is still held by `token`."""
    mine = (image.c.id == image_id, image.c.writer == token)
    return bool(db.execute(update(image).where(*mine).values(writer=None, beat=None, updated_at=now(), **values)).rowcount)


def held(db: Connection, image_id: str) -> bool:
    """Whether somebody alive holds the image."""
    alive = (image.c.id == image_id, image.c.writer.is_not(None), image.c.beat >= now() - DEAD)
    return db.execute(select(image.c.id).where(*alive)).first() is not None
