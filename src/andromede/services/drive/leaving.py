"""What users leave behind who were deleted in Identity: their app passwords, shares, words and notices, and sign-ins that nobody finished."""

from sqlalchemy import Connection, delete, select

from andromede.core.clock import now
from andromede.services.drive import shares
from andromede.services.drive.login import LIFETIME
from andromede.services.drive.tables_people import device, login, notice, share, status
from andromede.services.identity import service as identity

_TABLES = (device, notice, status)
_WHO = [*(each.c.user_id for each in _TABLES), share.c.owner_id, share.c.by_id]
_MANY = 500


def forget(db: Connection) -> int:
    """Remove it; how many users have left since the last time."""
    db.execute(delete(login).where(login.c.created < now() - LIFETIME))
    gone: set[str] = set()
    for who in _WHO:
        at = ""
        while ids := list(db.scalars(select(who).where(who > at).distinct().order_by(who).limit(_MANY))):
            at = ids[-1]
            gone |= set(ids) - identity.users_known(db, set(ids))
    for user_id in gone:
        shares.forget(db, user_id)
        for table in _TABLES:
            db.execute(delete(table).where(table.c.user_id == user_id))
        db.execute(delete(login).where(login.c.user_id == user_id))
    return len(gone)
