"""Identity's face for the rest of the cloud: what other services and the wiring may use of it."""

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, select

from andromede.core.context import Caller, Context
from andromede.db.base import chunks
from andromede.db.engine import Database
from andromede.services.identity import auth
from andromede.services.identity.access_keys import AccessKey, AccessKeys
from andromede.services.identity.directory import (
    Directory,
    Group,
    Member,
    Opened,
    find_group,
    forget,
    member,
    members_of,
    password_of,
    refuse_lent,
    search,
    users_known,
)  # fmt: skip
from andromede.services.identity.leftovers import reconcilers
from andromede.services.identity.lockout import Rules
from andromede.services.identity.passwords import Hasher
from andromede.services.identity.secrets import Box
from andromede.services.identity.sessions import Credentials, Sessions
from andromede.services.identity.signatures import derived_key
from andromede.services.identity.signatures import same as same_signature
from andromede.services.identity.tables import credential, project, user
from andromede.services.identity.tokens import Expired, Known, Signer, touch

__all__ = [
    "AccessKey", "AccessKeys", "Authenticator", "Credentials", "Directory", "Expired", "Group", "Member", "Opened", "Sessions",
    "derived_key", "find_group", "forget", "give_key", "member", "members_of", "password_of", "project_exists", "project_names",
    "project_tags", "projects_known", "reconcilers", "refuse_lent", "same_signature", "search", "signing", "take_key", "user_names",
    "users_known",
]  # fmt: skip


class Authenticator:
    """Tells the HTTP layer who a token proves."""

    def __init__(self, known: Known) -> None:
        self._known = known

    def quick(self, token: str) -> Caller | None:
        """Without the database, or None. Raises Unauthorized."""
        proof = self._known.quick(token)
        return None if proof is None else proof.caller

    def identify(self, token: str) -> Caller:
        """With the database. Raises Unauthorized."""
        return self._known.identify(token)


def make_keys(keys: Path) -> None:
    """The keys of a new cloud, where they are missing."""
    if not any(keys.glob("*.key")):
        Signer.create(keys)
    if not any(keys.glob("*.box")):
        Box.create(keys)


def signing(database: Database, keys: Path, *, hasher: Hasher | None = None, rules: Rules | None = None, lifetime: float = 3600.0) -> auth.Signing:
    """What signing in needs, from the keys in a folder; makes the keys of a new cloud."""
    make_keys(keys)
    known = Known(database, Signer(keys), auth.load)
    return auth.Signing(database, hasher or Hasher(), rules or Rules(), known, Box(keys), lifetime)


def project_exists(db: Connection, project_id: str) -> bool:
    """Whether there is such a project."""
    return db.execute(select(project.c.id).where(project.c.id == project_id)).first() is not None


def projects_known(db: Connection, ids: set[str]) -> set[str]:
    """Which of these projects there are; some of all where none is asked for."""
    if not ids:
        return set(db.scalars(select(project.c.id).limit(1)))
    return {id_ for some in chunks(ids) for id_ in db.scalars(select(project.c.id).where(project.c.id.in_(some)))}


def project_tags(db: Connection, id_: str) -> list[str]:
    """The tags of a project; none where there is no such project."""
    return db.scalar(select(project.c.tags).where(project.c.id == id_)) or []


def project_names(db: Connection, ids: set[str]) -> dict[str, str]:
    """Names of projects by id."""
    return {row.id: row.name for row in db.execute(select(project.c.id, project.c.name).where(project.c.id.in_(ids)))}


def give_key(ctx: Context) -> tuple[str, str, str]:
    """A new access key of the caller's for the project: its id, the access key and the secret. Raises Forbidden."""
    from andromede.services.identity import credentials

    row = credentials.create_ec2(ctx, ctx.caller.user_id, {"tenant_id": ctx.project_id})
    made = credentials.ec2_view(ctx, row)
    return str(row.id), made["access"], made["secret"]


def take_key(db: Connection, credential_id: str) -> None:
    """Delete an access key that `give_key` made; nothing where it is gone."""
    if db.execute(delete(credential).where(credential.c.id == credential_id)).rowcount:
        touch(db)


def user_names(db: Connection, ids: set[str]) -> dict[str, Any]:
    """Names of users by id."""
    return {row.id: row.name for row in db.execute(select(user.c.id, user.c.name).where(user.c.id.in_(ids)))}
