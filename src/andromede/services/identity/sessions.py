"""Temporary access keys: a session is signed and kept nowhere, lasts hours at most, and may be for one role of several.

It ends before its time where the access key or the token that it was got with is gone, where the user's tokens are ended, and where the
role that it is for is taken away. The secret is made of the token, so whoever has only the token can sign nothing.
Source: AWS Security Token Service API Reference.
"""

import base64
import hashlib
import threading

import msgspec
from sqlalchemy import Connection, select

from andromede.core.clock import monotonic, now
from andromede.core.context import Caller
from andromede.core.errors import BadRequest, Forbidden, Unauthorized
from andromede.services.identity import auth, grants
from andromede.services.identity.access_keys import AccessKey
from andromede.services.identity.credentials import id_of
from andromede.services.identity.leftovers import LONGEST
from andromede.services.identity.tables import credential
from andromede.services.identity.tokens import Claims, Expired, Session

__all__ = ["LONGEST", "Credentials", "Sessions"]
SHORTEST = 900.0
_MOST, _KEEP = 10_000, 60.0


class Credentials(msgspec.Struct, frozen=True):
    """Temporary keys. expires: seconds; caller: whom they stand for."""

    access: str
    secret: str
    token: str
    expires: float
    caller: Caller


class Sessions:
    """Makes and checks sessions."""

    def __init__(self, signing: auth.Signing) -> None:
        self._signing = signing
        self._kept: dict[tuple[str, str], AccessKey] = {}
        self._epoch = -1
        self._lock = threading.Lock()

    def quick(self, access: str, token: str) -> AccessKey | None:
        """A session that is in memory, without the database. Raises Expired."""
        value = self._signing.known.fresh()
        kept = self._kept.get((access, token)) if value is not None and value == self._epoch else None
        if kept is None or kept.session is None or monotonic() >= kept.until:
            return None
        if kept.session.expires <= now().timestamp():
            raise Expired("The session has expired.")
        return kept

    def find(self, access: str, token: str) -> AccessKey | None:
        """The temporary key of a session; None where it is none that may be used. Raises Expired."""
        signer = self._signing.known.signer
        try:
            session = signer.verify_session(token)
            if access != _access(token):
                return None
            with self._signing.database.read() as db:
                value = self._signing.known.epoch(db)
                caller = _load(db, session)
        except Expired:
            raise
        except Unauthorized:
            return None
        key = AccessKey(access, _secret(signer.derived(token)), caller, monotonic() + _KEEP, session)
        with self._lock:
            if value != self._epoch or len(self._kept) >= _MOST:
                self._kept, self._epoch = {}, value
            self._kept[access, token] = key
        return key

    def of_key(self, key: AccessKey, seconds: float, *, project: str = "", role: str = "", name: str = "") -> Credentials:
        """A session of whoever signs with a key: as they are, or in a role that they have on a project. Raises Forbidden, BadRequest."""
        earlier = key.session
        if earlier is not None and not role:
            raise Forbidden("Cannot call GetSessionToken with session credentials")
        made = Session(
            user=key.caller.user_id, project=project or key.caller.project_id or "", audit=earlier.audit if earlier else (),
            issued=now().timestamp(), expires=self._until(seconds), methods=("ec2credential",),
            key=earlier.key if earlier else id_of(key.access), name=name,
            application_credential=key.caller.application_credential_id, trust=key.caller.trust_id,
        )  # fmt: skip
        bound = key.caller.trust_id or key.caller.application_credential_id or (earlier is not None and earlier.roles)
        return self._begin(made, role, key.caller if bound else None)

    def of_token(self, caller: Caller, seconds: float, *, project: str, role: str, name: str) -> Credentials:
        """A session of whoever has a token, no longer than that lasts. Raises Forbidden, BadRequest."""
        made = Session(
            user=caller.user_id, project=project, audit=caller.audit_ids, issued=caller.issued, expires=min(self._until(seconds), caller.expires),
            methods=caller.methods, name=name, application_credential=caller.application_credential_id, trust=caller.trust_id,
        )  # fmt: skip
        bound = caller.trust_id or caller.application_credential_id
        return self._begin(made, role, caller if bound else None)

    def _until(self, seconds: float) -> float:
        if not SHORTEST <= seconds <= LONGEST:
            raise BadRequest(f"DurationSeconds must be from {SHORTEST:.0f} to {LONGEST:.0f}.")
        return now().timestamp() + seconds

    def _begin(self, made: Session, role: str, within: Caller | None) -> Credentials:
        """within: whose rights are all that there is, and whose project the only one."""
        if within is not None and within.project_id != made.project:
            raise Forbidden("The credentials are bound to their own project.")
        with self._signing.database.read() as db:
            try:
                caller = _load(db, made)
            except Unauthorized as error:
                raise Forbidden("The user has no role on the project.") from error
            if role:
                held = dict(within.role_ids if within is not None else caller.role_ids)
                found = next((id_ for id_, name in held.items() if name == role), None)
                if found is None:
                    raise Forbidden(f"The user does not have the role {role[:64]} on the project.")
                made = msgspec.structs.replace(made, roles=(found,), role=role)
                caller = _load(db, made)
        signer = self._signing.known.signer
        token = signer.sign_session(made)
        return Credentials(_access(token), _secret(signer.derived(token)), token, made.expires, caller)


def _load(db: Connection, session: Session) -> Caller:
    """Whom a session stands for today. Raises Unauthorized."""
    if session.key and db.execute(select(credential.c.id).where(credential.c.id == session.key)).first() is None:
        raise Unauthorized("The access key of the session is gone.")
    claims = Claims(
        user=session.user, methods=session.methods, audit=session.audit, issued=session.issued, expires=session.expires, project=session.project,
        trust=session.trust, application_credential=session.application_credential,
    )  # fmt: skip
    caller = auth.load(db, claims)
    if not session.roles:
        return caller
    given = grants.expand(db, set(session.roles))
    if not set(session.roles) <= {id_ for id_, _name in caller.role_ids}:
        raise Unauthorized("The role of the session was taken away.")
    left = tuple((id_, name) for id_, name in caller.role_ids if id_ in given)
    return msgspec.structs.replace(caller, roles=frozenset(name for _id, name in left), role_ids=left)


def _access(token: str) -> str:
    return "ASIA" + base64.b32encode(hashlib.blake2b(token.encode(), digest_size=10, person=b"andromede access").digest()).decode()


def _secret(derived: bytes) -> str:
    return base64.b64encode(derived[:30]).decode()
