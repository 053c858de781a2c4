"""What the drive is told."""

import msgspec


class Settings(msgspec.Struct, frozen=True):
    """quota: bytes that a space has where it has no quota of its own; instance: what ids of files end with, the same for ever."""

    quota: int = 50_000_000_000
    instance: str = "oc00000andromede"
