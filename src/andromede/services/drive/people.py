"""Who uses the drive: an Identity user by its password, by an app password of one of its devices, or by a token."""

import base64
import binascii
import hmac
import secrets
import threading
from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection

from andromede.core.clock import monotonic, now
from andromede.core.errors import Unauthorized
from andromede.core.ids import is_id
from andromede.db.engine import Database
from andromede.http.plain import Request
from andromede.services.drive import devices
from andromede.services.drive.slowing import Slowing
from andromede.services.identity import service as identity
from andromede.services.identity.service import Directory, Member

REALM = {"WWW-Authenticate": 'Basic realm="Andromede", charset="UTF-8"'}
_KEEP, _MOST, _LONGEST = 60.0, 10_000, 4096


class Person(msgspec.Struct, frozen=True):
    """An Identity user. id: Identity's; account: what paths call the user; groups: their ids; device: the id of the app password that
    was used; scopes: what it may do."""

    id: str
    account: str
    name: str
    domain_id: str = "default"
    groups: frozenset[str] = frozenset()
    device: str | None = None
    scopes: frozenset[str] = frozenset(devices.SCOPES)


class _Proof(msgspec.Struct, frozen=True):
    """A password that was right: whose, which (the id of Identity's row, or of the device), under which epoch, and how long it is remembered."""

    person: Person
    password: str
    epoch: int
    until: float


def account_of(member: Member) -> str:
    """What a user is called in paths and by clients: by name in the domain `default`, by id elsewhere, and where the name would not do."""
    odd = is_id(member.name) or member.name in {".", ".."} or "/" in member.name or not member.name.isprintable()
    return member.id if odd or member.domain_id != "default" else member.name


def person_of(member: Member, device: devices.Device | None = None) -> Person:
    """A user as somebody who uses the drive."""
    known = Person(member.id, account_of(member), member.name, member.domain_id, frozenset(member.groups))
    return known if device is None else msgspec.structs.replace(known, device=device.id, scopes=device.scopes)


class People:
    """Finds out who asks. Calls block: not for the event loop."""

    def __init__(self, database: Database, directory: Directory) -> None:
        self.database, self.directory = database, directory
        self.slowing = Slowing(5)
        self._crowd = Slowing(50)
        self._key = secrets.token_bytes(32)
        self._proofs: dict[bytes, _Proof] = {}
        self._lock = threading.Lock()

    def of(self, request: Request) -> Person:
        """Who makes a request. Raises Unauthorized, TooManyRequests."""
        scheme, _, value = request.headers.get("authorization").partition(" ")
        if scheme.lower() == "basic":
            login, secret = _basic(value)
            return self.by_password(login, secret, request.remote)
        token = value.strip() if scheme.lower() == "bearer" else request.headers.get("x-auth-token")
        if token:
            return self.by_token(token)
        raise Unauthorized("Sign in with a name and a password.", headers=REALM)

    def by_token(self, token: str) -> Person:
        """Whom a token of Identity proves. Raises Unauthorized."""
        try:
            caller = self.directory.of_token(token)
            identity.refuse_lent(caller)
        except Unauthorized as error:
            raise Unauthorized(error.message, headers=REALM) from error
        with self.database.read() as db:
            return self._present(db, caller.user_id)

    def by_password(self, login: str, secret: str, remote: str) -> Person:
        """Whom a name and a password, or an app password, prove. Raises Unauthorized, TooManyRequests."""
        if not login or not secret or len(login) + len(secret) > _LONGEST or "\0" in login:
            raise Unauthorized("Sign in with a name and a password.", headers=REALM)
        key = hmac.digest(self._key, f"{login}\0{secret}".encode(), "sha256")
        kept = self._remembered(key)
        if kept is not None:
            return kept
        if devices.looks_like(secret):
            found = self._by_device(key, login, secret)
            if found is not None:
                return found
        return self._by_identity(key, login, secret, remote)

    def guarded(self, login: str, remote: str) -> "_Guard":
        """Slows tries to prove an account from an address: `with people.guarded(…)` around each."""
        return _Guard([(self.slowing, f"{login.lower()[:300]}\0{remote}"), (self._crowd, remote)])

    def hash(self, secret: str) -> str:
        """What is kept of a password of a link."""
        return self.directory.hash(secret)

    def forget(self, device: str) -> None:
        """Forget an app password at once, in this process."""
        with self._lock:
            self._proofs = {key: proof for key, proof in self._proofs.items() if proof.person.device != device}

    def _present(self, db: Connection, user_id: str) -> Person:
        found = identity.member(db, user_id, by_name=False)
        if found is None:
            raise Unauthorized("The account is disabled.", headers=REALM)
        return person_of(found)

    def _remembered(self, key: bytes) -> Person | None:
        proof = self._proofs.get(key)
        if proof is None or monotonic() >= proof.until:
            return None
        if proof.epoch == self.directory.epoch():
            return proof.person
        with self.database.read() as db:
            epoch = self.directory.read_epoch(db)
            found = identity.member(db, proof.person.id, by_name=False)
            device = devices.of_id(db, proof.password) if proof.person.device else None
            same = device is not None and not device.wipe if proof.person.device else identity.password_of(db, proof.person.id) == proof.password
        if found is None or not same:
            with self._lock:
                self._proofs.pop(key, None)
            return None
        return self._keep(key, msgspec.structs.replace(proof, person=person_of(found, device), epoch=epoch))

    def _keep(self, key: bytes, proof: _Proof) -> Person:
        with self._lock:
            if len(self._proofs) >= _MOST:
                moment = monotonic()
                self._proofs = {one: kept for one, kept in self._proofs.items() if kept.until > moment}
            if len(self._proofs) < _MOST:
                self._proofs[key] = proof
        return proof.person

    def _by_device(self, key: bytes, login: str, secret: str) -> Person | None:
        with self.database.read() as db:
            epoch, device = self.directory.read_epoch(db), devices.of_secret(db, secret)
            found = identity.member(db, device.user_id, by_name=False) if device is not None else None
        if device is None or device.wipe or found is None or login not in {found.id, found.email, account_of(found), found.name}:
            return None
        if devices.is_stale(device):
            self.database.run(lambda db: devices.note_use(db, device.id))
        left = _KEEP if device.expires is None else min(_KEEP, (device.expires - now()).total_seconds())
        return self._keep(key, _Proof(person_of(found, device), device.id, epoch, monotonic() + left))

    def _by_identity(self, key: bytes, login: str, secret: str, remote: str) -> Person:
        with self.database.read() as db:
            epoch, asked = self.directory.read_epoch(db), identity.member(db, login)
            password = identity.password_of(db, asked.id) if asked is not None else ""
        with self.guarded(login, remote):
            try:
                caller = self.directory.sign_in(login, secret).caller
            except Unauthorized as error:
                raise Unauthorized(error.message, headers=REALM) from error
        with self.database.read() as db:
            person = self._present(db, caller.user_id)
        return self._keep(key, _Proof(person, password, epoch, monotonic() + _KEEP))


class _Guard:
    """Refuses a try that comes too soon; counts it where it ends with Unauthorized, and forgets earlier ones of the account where it does not."""

    def __init__(self, counted: Sequence[tuple[Slowing, str]]) -> None:
        self._counted = counted

    def __enter__(self) -> None:
        for slowing, key in self._counted:
            slowing.check(key)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            slowing, key = self._counted[0]
            slowing.right(key)
        elif issubclass(kind, Unauthorized):
            for slowing, key in self._counted:
                slowing.wrong(key)


def _basic(value: str) -> tuple[str, str]:
    """Name and password (RFC 7617). Raises Unauthorized."""
    try:
        login, colon, secret = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        colon = ""
    if not colon:
        raise Unauthorized("The header Authorization cannot be read.", headers=REALM)
    return login, secret
