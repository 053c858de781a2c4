"""Users and groups as a service sees them whose clients sign in with a password at each request, and who look each other up by name."""

from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Text, func, or_, select, type_coerce

from andromede.core.clock import now
from andromede.core.context import Caller
from andromede.core.errors import Unauthorized
from andromede.services.identity import auth
from andromede.services.identity.tables import domain, group, membership, user
from andromede.services.identity.tokens import touch
from andromede.services.identity.wire import Auth, ByUser, DomainRef, Proofs, UserRef

DEFAULT = "default"


class Member(msgspec.Struct, frozen=True):
    """A user who may sign in. groups: names by id."""

    id: str
    name: str
    domain_id: str
    email: str = ""
    groups: dict[str, str] = {}


class Group(msgspec.Struct, frozen=True):
    """A group of users."""

    id: str
    name: str
    domain_id: str


class Opened(msgspec.Struct, frozen=True):
    """Somebody signed in with a password: a token without a scope, and whom it proves."""

    token: str
    caller: Caller


class Directory:
    """Everybody. Names are of the domain `default`; users and groups of other domains go by their ids."""

    def __init__(self, signing: auth.Signing) -> None:
        self._signing = signing

    def epoch(self) -> int | None:
        """A number that changes whenever what anybody may do changes; None where it was not seen within a second."""
        return self._signing.known.fresh()

    def read_epoch(self, db: Connection) -> int:
        """The same, from the database."""
        return self._signing.known.epoch(db)

    def sign_in(self, login: str, secret: str, passcode: str = "") -> Opened:
        """Sign in by a name or id and a password, and a one-time password where one is given, under all of Identity's rules.

        Raises Unauthorized.
        """
        with self._signing.database.read() as db:
            known = db.scalar(select(user.c.id).where(user.c.id == login))
        who = {"id": login} if known is not None else {"name": login, "domain": DomainRef(id=DEFAULT)}
        proofs = Proofs(methods=["password"], password=ByUser(UserRef(**who, password=secret)))
        if passcode:
            proofs = msgspec.structs.replace(proofs, methods=["password", "totp"], totp=ByUser(UserRef(**who, passcode=passcode)))
        signed = auth.sign_in(self._signing, Auth(identity=proofs, scope="unscoped"))
        return Opened(signed.token, signed.caller)

    def hash(self, secret: str) -> str:
        """What is kept of a secret that somebody chose."""
        return self._signing.hasher.hash(secret)

    def matches(self, hashed: str, secret: str) -> bool:
        """Whether a secret gave that hash."""
        return self._signing.hasher.verify(hashed, secret)

    def of_token(self, token: str) -> Caller:
        """Whom a token proves. Raises Unauthorized."""
        proof = self._signing.known.quick(token)
        return proof.caller if proof is not None else self._signing.known.identify(token)


def _may(row: Any) -> Member | None:
    if row is None or not row.enabled or not row.domain_enabled:
        return None
    return Member(row.id, row.name, row.domain_id, str(row.extra.get("email") or ""))


def _users() -> Any:
    return select(user, domain.c.enabled.label("domain_enabled")).join(domain, domain.c.id == user.c.domain_id)


def member(db: Connection, login: str, *, by_name: bool = True) -> Member | None:
    """The user of an id, or of a name in the domain `default`, with its groups; None where there is none who may sign in."""
    found = _may(db.execute(_users().where(user.c.id == login)).first())
    if found is None and by_name:
        found = _may(db.execute(_users().where(user.c.name == login, user.c.domain_id == DEFAULT)).first())
    if found is None:
        return None
    query = select(group.c.id, group.c.name).join(membership, membership.c.group_id == group.c.id).where(membership.c.user_id == found.id)
    return msgspec.structs.replace(found, groups={row.id: row.name for row in db.execute(query)})


def find_group(db: Connection, name: str) -> Group | None:
    """The group of an id, or of a name in the domain `default`."""
    row = db.execute(select(group).where(group.c.id == name)).first()
    row = row or db.execute(select(group).where(group.c.name == name, group.c.domain_id == DEFAULT)).first()
    return Group(row.id, row.name, row.domain_id) if row is not None else None


def members_of(db: Connection, group_id: str) -> list[str]:
    """The ids of the users in a group."""
    return list(db.scalars(select(membership.c.user_id).where(membership.c.group_id == group_id).order_by(membership.c.user_id)))


def search(db: Connection, text: str, domain_id: str, limit: int, start: int = 0) -> tuple[list[Member], list[Group]]:
    """Users who may sign in, and groups, of a domain, whose names hold a text (or who have that e-mail address), by name."""
    part = f"%{text.lower().replace('!', '!!').replace('%', '!%').replace('_', '!_')}%"

    def named(column: Any) -> ColumnElement[bool]:
        return func.lower(column).like(part, escape="!")

    wanted = named(user.c.name)
    if "@" in text:
        wanted = or_(wanted, func.lower(type_coerce(user.c.extra, Text)).like(f'%"email":"{part[1:-1]}"%', escape="!"))
    query = _users().where(user.c.domain_id == domain_id, user.c.enabled, wanted).order_by(user.c.name).offset(start).limit(limit)
    people = [found for row in db.execute(query) if (found := _may(row))]
    groups = select(group).where(group.c.domain_id == domain_id, named(group.c.name)).order_by(group.c.name).offset(start).limit(limit)
    return people, [Group(row.id, row.name, row.domain_id) for row in db.execute(groups)]


def password_of(db: Connection, user_id: str) -> str:
    """The id of a user's present password; another one follows when it is changed. Empty where there is none that may be used."""
    kept = auth.current_password(db, user_id)
    row = db.execute(select(user.c.options).where(user.c.id == user_id)).first()
    old = kept is None or (kept.expires is not None and kept.expires <= now() and not (row and row.options.get("ignore_password_expiry")))
    return "" if old else str(kept.id)


def users_known(db: Connection, ids: set[str]) -> set[str]:
    """Which of these users there are."""
    return set(db.scalars(select(user.c.id).where(user.c.id.in_(ids))))


def forget(db: Connection) -> None:
    """Have every process look again at what it knows of people: something that they prove themselves with has changed."""
    touch(db)


def refuse_lent(caller: Caller) -> None:
    """Raise Unauthorized for a token that stands for a part of a user only: one of a trust or of an application credential."""
    if caller.trust_id is not None or caller.application_credential_id is not None or caller.rules is not None:
        raise Unauthorized("A token of a trust or of an application credential is not taken here.")
