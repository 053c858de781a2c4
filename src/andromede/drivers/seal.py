"""Sealing of secrets with the cloud's master key, which is a file beside the database: who has only the database has no secret.

What is sealed may stand in rows, in what hosts are sent and in their ledgers. AES-256-GCM with a nonce for each.
"""

import contextlib
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from andromede.core.errors import DriverError

_MARK, _NONCE = b"\x01", 12


class Sealer:
    """Seals and opens with one key of 32 bytes."""

    def __init__(self, key: bytes) -> None:
        self._key = AESGCM(key)

    def seal(self, secret: bytes) -> bytes:
        """Encrypt."""
        nonce = os.urandom(_NONCE)
        return _MARK + nonce + self._key.encrypt(nonce, secret, _MARK)

    def open(self, sealed: bytes) -> bytes:
        """Decrypt. Raises DriverError where it was sealed with another key, or is damaged."""
        try:
            return self._key.decrypt(sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :], sealed[:1])
        except (InvalidTag, ValueError) as error:
            raise DriverError("A secret cannot be opened with the master key of this cloud.") from error

    def passphrase(self, sealed: bytes) -> bytes:
        """The passphrase of an encrypted volume: its key in hexadecimal digits."""
        return self.open(sealed).hex().encode()


def key_file(path: Path) -> bytes:
    """The 32 random bytes in a file, made where it is missing; only its owner may read it."""
    with contextlib.suppress(FileExistsError), os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(os.urandom(32))
        file.flush()
        os.fsync(file.fileno())
    return path.read_bytes()


def from_file(path: Path) -> Sealer:
    """With the key in a file, made where it is missing. Who loses it loses every secret and every encrypted volume."""
    return Sealer(key_file(path))
