"""Key Manager's face for the rest of the cloud: the keys of encrypted volumes, which are secrets of their project."""

import secrets
from collections.abc import Iterable

from sqlalchemy import Connection, delete, insert, select

from andromede.core.clock import now
from andromede.core.ids import new_id
from andromede.db.base import chunks
from andromede.drivers.seal import Sealer
from andromede.services.key_manager.tables import secret


def create_key(db: Connection, sealer: Sealer, *, project_id: str, user_id: str, bits: int, name: str) -> str:
    """A new random key, kept for the cloud itself; answers its id. Nobody but an admin reads its payload."""
    id_, moment = new_id(), now()
    db.execute(
        insert(secret).values(
            id=id_, project_id=project_id, user_id=user_id, name=name, type="symmetric", algorithm="aes", bit_length=bits, mode="xts",
            content_type="application/octet-stream", payload=sealer.seal(secrets.token_bytes(bits // 8)), metadata={}, hidden=True,
            created=moment, updated=moment,
        )
    )  # fmt: skip
    return id_


def sealed(db: Connection, ids: Iterable[str]) -> dict[str, bytes]:
    """The sealed payloads of secrets, by id."""
    out: dict[str, bytes] = {}
    for some in chunks(ids):
        out |= {row.id: row.payload for row in db.execute(select(secret.c.id, secret.c.payload).where(secret.c.id.in_(some)))}
    return out


def forget(db: Connection, secret_id: str | None) -> None:
    """Destroy a key; nothing that it encrypted can be read any more."""
    if secret_id is not None:
        db.execute(delete(secret).where(secret.c.id == secret_id))


def give(db: Connection, secret_id: str, project_id: str, user_id: str) -> None:
    """A key goes with its volume into another project."""
    from sqlalchemy import update

    db.execute(update(secret).where(secret.c.id == secret_id).values(project_id=project_id, user_id=user_id, updated=now()))
