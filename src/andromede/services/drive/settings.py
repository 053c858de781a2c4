"""What the drive's face is told."""

import msgspec

VERSION = (31, 0, 0)
"""The version of Nextcloud whose protocol is spoken: clients choose what they do by it."""


class Settings(msgspec.Struct, frozen=True):
    """quota: bytes that a space has where it has no quota of its own; instance: what ids of files end with, the same for ever; url: where
    clients reach the drive, without a final slash; name: what people see it called; bulk_from: the oldest desktop client that is told of
    uploads in bulk."""

    quota: int = 50_000_000_000
    instance: str = "oc00000andromede"
    url: str = "http://127.0.0.1:8083"
    name: str = "Andromède"
    bulk_from: str = "3.9.1"

    @property
    def secure(self) -> bool:
        """Whether browsers come over TLS."""
        return self.url.startswith("https:")
