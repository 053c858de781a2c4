"""Hashing of passwords and other secrets people choose; nothing here knows a table.

argon2id at the cost of OWASP's recommendation (19 MiB, 2 passes, 1 lane); bcrypt where the operator asks for it (hashes
of an imported cloud stay valid either way).
"""

import base64
import functools
import hashlib
import threading

import argon2
import bcrypt

_AT_ONCE = threading.BoundedSemaphore(2)  # each argon2 hash holds 19 MiB


class Hasher:
    """Makes and checks hashes. scheme: `argon2id` or `bcrypt`; rounds: bcrypt's cost (4 to 31)."""

    def __init__(self, scheme: str = "argon2id", rounds: int = 12) -> None:
        self._scheme, self._rounds = scheme, rounds
        self._argon = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)

    @functools.cached_property
    def _dummy(self) -> str:
        """Made when it is first needed: a process that starts does not wait for it."""
        return self.hash("nobody's password")

    def hash(self, secret: str) -> str:
        """A salted hash, with its parameters in it."""
        if self._scheme == "bcrypt":
            return bcrypt.hashpw(_short(secret), bcrypt.gensalt(self._rounds)).decode()
        with _AT_ONCE:
            return self._argon.hash(secret)

    def verify(self, hashed: str | None, secret: str) -> bool:
        """Whether `secret` gave this hash; as slow for None (nobody has that name) as for a wrong one."""
        known, value = hashed is not None, hashed or self._dummy
        if value.startswith("$2"):
            return bcrypt.checkpw(_short(secret), value.encode()) and known
        try:
            with _AT_ONCE:
                return self._argon.verify(value, secret) and known
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False


def _short(secret: str) -> bytes:
    """bcrypt reads 72 bytes at most; longer ones go in as a digest, so that every character counts."""
    raw = secret.encode()
    return raw if len(raw) <= 72 else base64.b64encode(hashlib.sha512(raw).digest())[:72]
