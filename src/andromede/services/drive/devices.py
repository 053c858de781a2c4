"""App passwords: each device of a person has its own, which can be taken from it without touching the others."""

import hashlib
import re
import secrets
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, func, insert, or_, select, update

from andromede.core.clock import now
from andromede.core.errors import Forbidden, NotFound
from andromede.core.ids import new_hex_id
from andromede.services.drive.tables_people import device
from andromede.services.identity import service as identity

READ, WRITE = "read", "write"
SCOPES = (READ, WRITE)
MOST = 200
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"
_FORM = re.compile(r"[A-Za-z0-9]{5}(-[A-Za-z0-9]{5}){4}")
_SELDOM = timedelta(minutes=10)


class Device(msgspec.Struct, frozen=True):
    """An app password as its owner sees it."""

    id: str
    user_id: str
    name: str
    scopes: frozenset[str]
    created: datetime
    used: datetime | None
    expires: datetime | None
    wipe: bool


def looks_like(secret: str) -> bool:
    """Whether a text has the form of an app password."""
    return _FORM.fullmatch(secret) is not None


def digest(secret: str) -> str:
    """What is kept of a secret that was drawn: about 145 bits need no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def add(
    db: Connection, user_id: str, name: str, *, scopes: tuple[str, ...] = SCOPES, expires: datetime | None = None,
) -> tuple[str, str]:  # fmt: skip
    """A new app password: its id, and the secret, which cannot be had again. Raises Forbidden where there are too many."""
    if (db.scalar(select(func.count()).where(device.c.user_id == user_id)) or 0) >= MOST:
        raise Forbidden(f"There may be {MOST} app passwords; take one away first.")
    id_, secret = new_hex_id(), "-".join("".join(secrets.choice(_LETTERS) for _ in range(5)) for _ in range(5))
    row = {
        "id": id_, "user_id": user_id, "name": (name.strip() or "?")[:255], "hash": digest(secret), "scopes": list(scopes), "created": now(),
        "expires": expires, "wipe": False,
    }  # fmt: skip
    db.execute(insert(device).values(row))
    return id_, secret


def _seen(row: Any) -> Device:
    return Device(row.id, row.user_id, row.name, frozenset(row.scopes), row.created, row.used, row.expires, row.wipe)


def _valid() -> Any:
    return or_(device.c.expires.is_(None), device.c.expires > now())


def of_secret(db: Connection, secret: str) -> Device | None:
    """The app password that a secret is, None where there is none that counts."""
    row = db.execute(select(device).where(device.c.hash == digest(secret), _valid())).first()
    return _seen(row) if row is not None else None


def of_id(db: Connection, id_: str) -> Device | None:
    """An app password that counts."""
    row = db.execute(select(device).where(device.c.id == id_, _valid())).first()
    return _seen(row) if row is not None else None


def listed(db: Connection, user_id: str) -> list[Device]:
    """The app passwords of a user, the newest first."""
    return [_seen(row) for row in db.execute(select(device).where(device.c.user_id == user_id).order_by(device.c.created.desc(), device.c.id))]


def remove(db: Connection, user_id: str, id_: str) -> None:
    """Take an app password away; what every process remembers of it counts no more within a second. Raises NotFound."""
    if not db.execute(delete(device).where(device.c.id == id_, device.c.user_id == user_id)).rowcount:
        raise NotFound("There is no such app password.")
    identity.forget(db)


def wipe(db: Connection, user_id: str, id_: str) -> None:
    """Have a device forget everything that it has of the drive, once it asks. Raises NotFound."""
    if not db.execute(update(device).where(device.c.id == id_, device.c.user_id == user_id).values(wipe=True)).rowcount:
        raise NotFound("There is no such app password.")
    identity.forget(db)


def note_use(db: Connection, id_: str) -> None:
    """Note that an app password was used, to some minutes."""
    moment = now()
    stale = or_(device.c.used.is_(None), device.c.used < moment - _SELDOM)
    db.execute(update(device).where(device.c.id == id_, stale).values(used=moment))


def is_stale(found: Device) -> bool:
    """Whether the use of an app password is worth noting."""
    return found.used is None or found.used < now() - _SELDOM
