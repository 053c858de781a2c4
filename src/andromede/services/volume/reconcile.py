"""What keeps Block Storage's rows in order: passing snapshots whose operation is over, and messages that are too old."""

from sqlalchemy import Connection, delete, select

from andromede.core.clock import now
from andromede.core.context import Parts
from andromede.engine.client import LIVE
from andromede.engine.model import Reconciler
from andromede.engine.tables import operation
from andromede.services.volume.tables import message, snapshot, volume


def sweep(parts: Parts, db: Connection) -> int:
    """Forget what nobody needs any more; answers how much."""
    live = select(operation.c.id).where(operation.c.state.in_(LIVE))
    stale = db.execute(select(snapshot.c.id, snapshot.c.volume_id).where(snapshot.c.purpose.is_not(None), snapshot.c.id.not_in(live))).all()
    for row in stale:
        db.execute(delete(snapshot).where(snapshot.c.id == row.id))
        parts.carriers.changed(db, parts.operations, db.scalar(select(volume.c.host).where(volume.c.id == row.volume_id)))
    return len(stale) + db.execute(delete(message).where(message.c.expires < now())).rowcount


def reconcilers(parts: Parts) -> list[Reconciler]:
    """The ones of volumes."""

    def run() -> str:
        count = parts.database.run(lambda db: sweep(parts, db))
        return f"{count} forgotten" if count else ""

    return [Reconciler("volume.sweep", 60.0, run)]
