"""The desired set on disk: what a host converges to, also when nobody is there to say it again.

The file holds tenants' user data and keys; only root reads it. It is replaced whole and synced, so that a crash leaves the
old set or the new one.
"""

import os
from pathlib import Path

import msgspec
import structlog

from andromede.drivers.host import Desired

log = structlog.get_logger("agent")


class Ledger:
    """The last desired set taken."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Desired | None:
        """The set held; None on a new host, or where the file cannot be read (guests are then left as they are)."""
        try:
            return msgspec.msgpack.decode(self._path.read_bytes(), type=Desired)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            log.error("the ledger cannot be read; guests are left as they are until the cloud sends their list", error=repr(error))
            return None

    def store(self, desired: Desired) -> None:
        """Replace the set. Raises OSError where the disk does not take it."""
        temporary = self._path.with_suffix(".new")
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.msgpack.encode(desired))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)
