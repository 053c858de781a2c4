"""What people are told of, until they have seen it. Each kind has a text in each language."""

from typing import Any

from sqlalchemy import Connection, delete, insert, select

from andromede.core.clock import now
from andromede.services.drive.tables_people import notice

MOST = 200
TEXTS = {
    "shared": {"en": "{by} shared {name} with you", "fr": "{by} a partagé {name} avec vous"},
    "shared group": {"en": "{by} shared {name} with your group {group}", "fr": "{by} a partagé {name} avec votre groupe {group}"},
}
"""What a notice of each kind says; braces are its facts."""


def tell(db: Connection, user_id: str, kind: str, share_id: int, facts: dict[str, Any]) -> None:
    """Tell a user of a share; of more than 200 things the oldest is forgotten."""
    db.execute(insert(notice).values(user_id=user_id, kind=kind, share_id=share_id, facts=facts, created=now()))
    old = db.scalar(select(notice.c.id).where(notice.c.user_id == user_id).order_by(notice.c.id.desc()).offset(MOST).limit(1))
    if old is not None:
        db.execute(delete(notice).where(notice.c.user_id == user_id, notice.c.id <= old))


def untell(db: Connection, share_id: int) -> None:
    """Forget what was told of a share that is no more."""
    db.execute(delete(notice).where(notice.c.share_id == share_id))
