"""Passwords that guests made and posted, encrypted with their users' keys; kept on disk until the guest is gone."""

import os
from pathlib import Path

import msgspec

from andromede.agent.metadata import PASSWORD


class Passwords:
    """The ones of a host, by guest."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self.known = msgspec.msgpack.decode(path.read_bytes(), type=dict[str, bytes])
        except (OSError, msgspec.MsgspecError):
            self.known = {}

    def keep(self, guest_id: str | None, data: bytes) -> None:
        """Note what a guest posted; the first counts."""
        if guest_id is not None and guest_id not in self.known:
            self.known = {**self.known, guest_id: data}
            self._write()

    def forget(self, guest_id: str) -> None:
        """The guest is gone."""
        if guest_id in self.known:
            self.known = {id_: data for id_, data in self.known.items() if id_ != guest_id}
            self._write()

    def files(self, guest_id: str) -> dict[str, bytes]:
        """The document of a guest's metadata that holds it."""
        return {PASSWORD: self.known[guest_id]} if guest_id in self.known else {}

    def _write(self) -> None:
        temporary = self._path.with_suffix(".new")
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.msgpack.encode(self.known))
        temporary.replace(self._path)
