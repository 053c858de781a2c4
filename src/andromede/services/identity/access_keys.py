"""Access keys as a service sees them that checks signatures itself: who one stands for, and the secret it signs with.

Kept in memory under the epoch of tokens, so that a key that was deleted, or whose owner lost a role, is refused within a second.
"""

import secrets
import threading

import msgspec
from sqlalchemy import Connection, delete, func, insert, select

from andromede.core.clock import monotonic, now
from andromede.core.context import Caller
from andromede.core.errors import Forbidden, NotFound, Unauthorized
from andromede.core.ids import new_hex_id
from andromede.services.identity import auth
from andromede.services.identity.credentials import id_of, opened
from andromede.services.identity.tables import credential, user
from andromede.services.identity.tokens import Claims, Session, touch

_MOST, _KEEP, _EACH = 10_000, 60.0, 100


class AccessKey(msgspec.Struct, frozen=True):
    """A key: its secret, and whoever signs with it; `until`: the monotonic moment when it is to be read again; `session`: what a
    temporary one was made for."""

    access: str
    secret: str
    caller: Caller
    until: float
    session: Session | None = None


class Listed(msgspec.Struct, frozen=True):
    """A key as its owner sees it: the secret once, when it is made. created: seconds, 0 where it is not known."""

    access: str
    secret: str = ""
    created: int = 0


class AccessKeys:
    """The keys of Identity (credentials of type `ec2`)."""

    def __init__(self, signing: auth.Signing) -> None:
        self._signing = signing
        self._kept: dict[str, AccessKey] = {}
        self._epoch = -1
        self._lock = threading.Lock()

    def quick(self, access: str) -> AccessKey | None:
        """A key that is in memory, without the database."""
        value = self._signing.known.fresh()
        kept = self._kept.get(access) if value is not None and value == self._epoch else None
        return kept if kept is not None and monotonic() < kept.until else None

    def find(self, access: str) -> AccessKey | None:
        """A key, from the database; None where there is none that may be used."""
        with self._signing.database.read() as db:
            value = self._signing.known.epoch(db)
            row = db.execute(select(credential).where(credential.c.id == id_of(access), credential.c.type == "ec2")).first()
            if row is None:
                return None
            facts = msgspec.json.decode(opened(self._signing, row))
            moment = now().timestamp()
            claims = Claims(
                user=row.user_id, methods=("ec2credential",), audit=(), issued=moment, expires=moment + self._signing.lifetime,
                project=row.project_id, trust=facts.get("trust_id"), application_credential=facts.get("app_cred_id"),
            )  # fmt: skip
            try:
                key = AccessKey(access, facts["secret"], auth.load(db, claims), monotonic() + _KEEP)
            except Unauthorized:
                return None
        with self._lock:
            if value != self._epoch or len(self._kept) >= _MOST:
                self._kept, self._epoch = {}, value
            self._kept[access] = key
        return key

    # what people do with their own
    def listed(self, owner: Caller) -> list[Listed]:
        """The keys that a user has for a project."""
        query = select(credential).where(
            credential.c.user_id == owner.user_id, credential.c.project_id == owner.project_id, credential.c.type == "ec2"
        )
        with self._signing.database.read() as db:
            facts = [msgspec.json.decode(opened(self._signing, row)) for row in db.execute(query.order_by(credential.c.id))]
        return [Listed(each["access"], created=each.get("created", 0)) for each in facts]

    def create(self, owner: Caller) -> Listed:
        """A new key of a user for a project, bound to what the user signed in with. Raises Forbidden where there are too many."""
        made = Listed(new_hex_id(), secrets.token_hex(16), int(now().timestamp()))
        bound = {"trust_id": owner.trust_id, "app_cred_id": owner.application_credential_id}
        facts = {"access": made.access, "secret": made.secret, "created": made.created} | {name: each for name, each in bound.items() if each}
        row = {
            "id": id_of(made.access), "user_id": owner.user_id, "project_id": owner.project_id, "type": "ec2", "extra": {},
            "blob": self._signing.secrets.seal(msgspec.json.encode(facts).decode()),
        }  # fmt: skip

        def add(db: Connection) -> None:
            count = select(func.count()).where(credential.c.user_id == owner.user_id, credential.c.project_id == owner.project_id)
            if (db.scalar(count) or 0) >= _EACH:
                raise Forbidden(f"A user may have {_EACH} access keys for a project.")
            db.execute(insert(credential).values(row))

        self._signing.database.run(add)
        return made

    def remove(self, owner: Caller, access: str) -> None:
        """Delete a key of a user for a project. Raises NotFound."""

        def drop(db: Connection) -> None:
            mine = credential.c.user_id == owner.user_id, credential.c.project_id == owner.project_id, credential.c.type == "ec2"
            if not db.execute(delete(credential).where(credential.c.id == id_of(access), *mine)).rowcount:
                raise NotFound(f"The Access Key with id {access[:128]} cannot be found.")
            touch(db)

        self._signing.database.run(drop)

    def since(self, user_id: str) -> float:
        """When a user was made, in seconds."""
        with self._signing.database.read() as db:
            return float(db.execute(select(user.c.created).where(user.c.id == user_id)).scalar_one().timestamp())
