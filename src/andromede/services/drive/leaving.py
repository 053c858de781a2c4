"""What users leave behind who were deleted in Identity: their app passwords, words and notices, and sign-ins that nobody finished."""

from sqlalchemy import Connection, delete, select

from andromede.core.clock import now
from andromede.services.drive.login import LIFETIME
from andromede.services.drive.tables_people import device, login, notice, status
from andromede.services.identity import service as identity

_TABLES = (device, notice, status)
_MANY = 500


def forget(db: Connection) -> int:
    """Remove it; how many users have left since the last time."""
    db.execute(delete(login).where(login.c.created < now() - LIFETIME))
    gone: set[str] = set()
    for table in _TABLES:
        at = ""
        while ids := list(db.scalars(select(table.c.user_id).where(table.c.user_id > at).distinct().order_by(table.c.user_id).limit(_MANY))):
            at = ids[-1]
            gone |= set(ids) - identity.users_known(db, set(ids))
    for user_id in gone:
        for table in _TABLES:
            db.execute(delete(table).where(table.c.user_id == user_id))
        db.execute(delete(login).where(login.c.user_id == user_id))
    return len(gone)
