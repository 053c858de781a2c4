"""Access keys as a service sees them that checks signatures itself: who one stands for, and the secret it signs with.

Kept in memory under the epoch of tokens, so that a key that was deleted, or whose owner lost a role, is refused within a second.
"""

import threading

import msgspec
from sqlalchemy import select

from andromede.core.clock import monotonic, now
from andromede.core.context import Caller
from andromede.core.errors import Unauthorized
from andromede.services.identity import auth
from andromede.services.identity.credentials import id_of, opened
from andromede.services.identity.tables import credential
from andromede.services.identity.tokens import Claims

_MOST, _KEEP = 10_000, 60.0


class AccessKey(msgspec.Struct, frozen=True):
    """A key: its secret, and whoever signs with it; `until`: the monotonic moment when it is to be read again."""

    access: str
    secret: str
    caller: Caller
    until: float


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
