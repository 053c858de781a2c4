"""Tokens: signed statements of who, where, how and until when. What they may do is read from the rows, never from them.

Each worker caches what tokens prove for one value of the identity epoch, which it reads every quarter of a second; so a
known token costs no query, and a revocation or a changed role counts within a second everywhere.
"""

import base64
import hashlib
import os
import secrets
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import Connection, select, update
from sqlalchemy.exc import DBAPIError

from andromede.core.clock import monotonic, now
from andromede.core.context import Caller
from andromede.core.errors import Unauthorized, Unavailable
from andromede.db.engine import Database
from andromede.services.identity.tables import epoch

log = structlog.get_logger("identity")
S = TypeVar("S", "Claims", "Receipt", "Session")
POLL = 0.25
FRESH = 0.9
_MOST = 20_000


class Claims(msgspec.Struct, omit_defaults=True, rename={"user": "u", "methods": "m", "audit": "a", "issued": "i", "expires": "e"}):
    """What a token says. Times are seconds since the epoch; at most one of project, domain and system is set."""

    user: str
    methods: tuple[str, ...]
    audit: tuple[str, ...]
    issued: float
    expires: float
    project: str | None = None
    domain: str | None = None
    system: bool = False
    application_credential: str | None = None
    trust: str | None = None


class Receipt(msgspec.Struct, rename={"user": "u", "methods": "m", "issued": "i", "expires": "e"}):
    """What somebody has proven so far who must prove more. Never a token: it is signed under a name of its own."""

    user: str
    methods: tuple[str, ...]
    issued: float
    expires: float


class Session(msgspec.Struct, omit_defaults=True, rename={"user": "u", "project": "p", "audit": "a", "issued": "i", "expires": "e"}):
    """What the token of temporary access keys says (`sessions`). Never a token for the APIs: it is signed under a name of its own, since
    links that are signed with such keys show it to everybody.

    audit: of the token that it was got for; key: the id of the credential that it was got with; roles: ids of those that it is for, all
    that there are where it is empty; role: their name; name: what the caller calls it.
    """

    user: str
    project: str
    audit: tuple[str, ...]
    issued: float
    expires: float
    methods: tuple[str, ...] = ()
    key: str = ""
    roles: tuple[str, ...] = ()
    role: str = ""
    name: str = ""
    application_credential: str | None = None
    trust: str | None = None


class Expired(Unauthorized):
    """It was valid once."""


class Signer:
    """Signs and checks tokens with Ed25519 keys in a folder; the newest signs, all of them verify.

    A token is text: key id, payload and signature in base64url, joined by dots.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._keys: dict[str, tuple[Ed25519PrivateKey, Ed25519PublicKey]] = {}
        self._newest = ""
        self.load()

    def load(self) -> None:
        """Read the folder again."""
        for path in sorted(self._folder.glob("*.key")):
            key = Ed25519PrivateKey.from_private_bytes(path.read_bytes())
            self._keys[path.stem] = (key, key.public_key())
            self._newest = path.stem

    @staticmethod
    def create(folder: Path) -> None:
        """A new key, which becomes the newest; names sort by time."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        name = f"{int(now().timestamp()):012d}"
        raw = Ed25519PrivateKey.generate().private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        handle = os.open(folder / f"{name}.key", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        with os.fdopen(handle, "wb") as file:
            file.write(raw)

    def sign(self, claims: Claims) -> str:
        """The token."""
        return self._sign(self._newest, claims)

    def verify(self, token: str) -> Claims:
        """What a token says. Raises Unauthorized when it is not ours or has expired."""
        return self._verify(token, Claims, "The token")

    def sign_receipt(self, receipt: Receipt) -> str:
        """The text of a receipt."""
        return self._sign(f"receipt.{self._newest}", receipt)

    def verify_receipt(self, text: str) -> Receipt:
        """What a receipt says. Raises Unauthorized when it is not ours or has expired."""
        return self._verify(text, Receipt, "The receipt", "receipt.")

    def sign_session(self, session: Session) -> str:
        """The text of a session."""
        return self._sign(f"session.{self._newest}", session)

    def verify_session(self, text: str) -> Session:
        """What a session says. Raises Unauthorized when it is not ours, Expired when its time is over."""
        return self._verify(text, Session, "The session", "session.")

    def derived(self, text: str) -> bytes:
        """32 bytes that only who has the key can make of a text that it signed."""
        raw = self._keys[text.split(".")[1]][0].private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        return hashlib.blake2b(text.encode(), key=raw, digest_size=32, person=b"andromede sts").digest()

    def _sign(self, head: str, value: Claims | Receipt | Session) -> str:
        head = f"{head}.{_text(msgspec.msgpack.encode(value))}"
        return f"{head}.{_text(self._keys[self._newest][0].sign(head.encode()))}"

    def _verify(self, text: str, kind: type[S], name: str, prefix: str = "") -> S:
        try:
            head, _, signature = text.rpartition(".")
            if not head.startswith(prefix):
                raise KeyError(prefix)
            key, _, payload = head.removeprefix(prefix).partition(".")
            if key not in self._keys:
                self.load()
            self._keys[key][1].verify(_raw(signature), head.encode())
            value = msgspec.msgpack.decode(_raw(payload), type=kind)
        except (InvalidSignature, KeyError, ValueError, msgspec.MsgspecError) as error:
            raise Unauthorized(f"{name} is not valid.") from error
        if value.expires <= now().timestamp():
            raise Expired(f"{name} has expired.")
        return value


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def new_audit_id() -> str:
    """An audit id as Keystone's: 16 random bytes in base64url."""
    return secrets.token_urlsafe(16)


def touch(db: Connection) -> None:
    """Have every worker forget what it knows of tokens: something that they prove may have changed."""
    db.execute(update(epoch).values(value=epoch.c.value + 1))


class Proof(msgspec.Struct, frozen=True):
    """What a token proves, and the body that describes it (`GET /v3/auth/tokens`), made when first asked for."""

    caller: Caller
    claims: Claims
    described: dict[bool, bytes]


class Place(msgspec.Struct, frozen=True):
    """What somebody may do somewhere under one value of the epoch, whoever's token it is put into; bodies that describe it."""

    epoch: int
    caller: Caller
    bodies: dict[bool, dict[str, Any]]


class Known:
    """One worker's cache of proofs and places. `load` reads a proof from the rows; it raises Unauthorized."""

    def __init__(self, database: Database, signer: Signer, load: Callable[[Connection, Claims], Caller]) -> None:
        self._database, self.signer, self._load = database, signer, load
        self._proofs: dict[str, Proof] = {}
        self._places: dict[bytes, Place] = {}
        self._epoch, self._seen = -1, 0.0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        threading.Thread(target=self._follow, name="identity-epoch", daemon=True).start()

    def close(self) -> None:
        """Stop following the epoch."""
        self._stop.set()

    def quick(self, token: str) -> Proof | None:
        """The proof of a token that this worker has met under the present epoch; None where the rows must be asked."""
        proof = self._proofs.get(token)
        if proof is None or monotonic() - self._seen > FRESH:
            return None
        if proof.claims.expires <= now().timestamp():
            raise Unauthorized("The token has expired.")
        return proof

    def prove(self, token: str) -> Proof:
        """The proof of any token, from the rows. Raises Unauthorized."""
        claims = self.signer.verify(token)
        with self._database.read() as db:
            value = self.epoch(db)
            proof = Proof(self._load(db, claims), claims, {})
        self.admit(token, proof, value)
        return proof

    def admit(self, token: str, proof: Proof, value: int) -> None:
        """Keep what was read under that value of the epoch."""
        with self._lock:
            self._advance(value)
            if value == self._epoch:
                if len(self._proofs) >= _MOST:
                    self._proofs.clear()
                self._proofs[token] = proof

    def place(self, key: bytes, value: int) -> Place | None:
        """What was read of a place under that very value of the epoch."""
        found = self._places.get(key)
        return found if found is not None and found.epoch == value else None

    def keep(self, key: bytes, place: Place) -> None:
        """Remember a place."""
        with self._lock:
            if len(self._places) >= _MOST:
                self._places.clear()
            self._places[key] = place

    def fresh(self) -> int | None:
        """The present value of the epoch, None where it was not seen lately."""
        return self._epoch if monotonic() - self._seen <= FRESH else None

    # Authenticator, for the HTTP layer
    def identify(self, token: str) -> Caller:
        """Who a token proves."""
        return self.prove(token).caller

    def epoch(self, db: Connection) -> int:
        """The present value."""
        return db.scalar(select(epoch.c.value)) or 0

    def _advance(self, value: int) -> None:
        if value > self._epoch:
            self._epoch = value
            self._proofs.clear()
            self._places.clear()

    def _follow(self) -> None:
        while not self._stop.wait(POLL):
            began = monotonic()
            try:
                with self._database.read() as db:
                    value = self.epoch(db)
            except (DBAPIError, Unavailable) as error:
                log.warning("the identity epoch cannot be read; tokens are checked one by one", error=repr(error))
                continue
            with self._lock:
                self._advance(value)
                self._seen = began
