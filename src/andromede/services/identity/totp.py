"""One-time passwords (RFC 6238, SHA-1, 6 digits, 30 s), kept as credentials of type `totp`; a code counts once."""

import base64
import binascii
import hmac
import threading
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from sqlalchemy import select

from andromede.core.clock import now
from andromede.db.engine import Database
from andromede.services.identity.tables import credential

STEP = 30
_used: dict[tuple[str, str], float] = {}
_lock = threading.Lock()


def check_totp(database: Database, secrets: Any, user_id: str, passcode: str) -> bool:
    """Whether `passcode` is one of this user's now, or of the step before; the same code is not taken twice by this process."""
    with database.read() as db:
        blobs = list(db.scalars(select(credential.c.blob).where(credential.c.user_id == user_id, credential.c.type == "totp")))
    moment = now().timestamp()
    for blob in blobs:
        key = _key(secrets.open(blob))
        if key is None:
            continue
        generator = TOTP(key, 6, SHA1(), STEP, enforce_key_length=False)  # noqa: S303
        if any(hmac.compare_digest(generator.generate(int(moment - back)), passcode.encode()) for back in (0, STEP)):
            return _first_use(user_id, passcode, moment)
    return False


def _key(text: str) -> bytes | None:
    try:
        return base64.b32decode(text.strip().replace(" ", "") + "=" * (-len(text.strip()) % 8), casefold=True)
    except binascii.Error:
        return None


def _first_use(user_id: str, passcode: str, moment: float) -> bool:
    with _lock:
        for known in [known for known, until in _used.items() if until < moment]:
            del _used[known]
        if (user_id, passcode) in _used:
            return False
        _used[user_id, passcode] = moment + 3 * STEP
        return True
