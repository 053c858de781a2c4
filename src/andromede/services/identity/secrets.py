"""Encryption of small secrets in rows (credentials), under a key that is not in the database."""

import os
from pathlib import Path

from cryptography.fernet import Fernet, MultiFernet


class Box:
    """Seals and opens texts with the keys of a folder; the newest seals."""

    def __init__(self, folder: Path) -> None:
        keys = [Fernet(path.read_bytes()) for path in sorted(folder.glob("*.box"), reverse=True)]
        self._keys = MultiFernet(keys)

    @staticmethod
    def create(folder: Path) -> None:
        """A first key."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        handle = os.open(folder / "000000000001.box", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        with os.fdopen(handle, "wb") as file:
            file.write(Fernet.generate_key())

    def seal(self, text: str) -> str:
        """Encrypt."""
        return self._keys.encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str:
        """Decrypt."""
        return self._keys.decrypt(sealed.encode()).decode()
