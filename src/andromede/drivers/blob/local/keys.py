"""The keys that bytes are encrypted with: one for each tenant, wrapped with the master key, and from it one for each blob.

A tenant's key is made before its first use, once, whichever process is first; it lies in a file that only we may read. Removing
the file makes everything of the tenant unreadable for ever. The master key is never written.
"""

import os
from hashlib import blake2b
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from andromede.core.errors import DriverError
from andromede.drivers.blob.local.disk import Disk, refusal

_MAGIC = b"ANDKEY1\0"


def data_key(key: bytes, blob_id: bytes, *, foreign: bool) -> bytes:
    """The key of one blob, from its tenant's or from the client's own."""
    return blake2b(blob_id, key=key, digest_size=32, person=b"andromede foreig" if foreign else b"andromede tenant").digest()


class Keys:
    """The tenants' keys in a folder."""

    def __init__(self, folder: Path, master_key: bytes, disk: Disk) -> None:
        self._folder = folder
        self._wrap = AESGCM(blake2b(b"tenants", key=master_key, digest_size=32).digest())
        self._disk = disk
        self._known: dict[str, bytes] = {}

    def known(self, tenant: str) -> bytes | None:
        """The key of a tenant where it needs no look at the disk."""
        return self._known.get(tenant)

    def key(self, tenant: str, *, make: bool) -> bytes:
        """The key of a tenant; `make`: for the first time where need be. Raises DriverError where there is none or it is damaged."""
        found = self._known.get(tenant)
        if found is None:
            name = tenant.encode("utf-8", "surrogatepass")
            path = self._path(name)
            if make and not path.exists():
                nonce = os.urandom(12)
                wrapped = self._wrap.encrypt(nonce, AESGCM.generate_key(256), name)
                try:
                    self._disk.create(path, _MAGIC + nonce + wrapped)
                except OSError as error:
                    raise refusal(error) from error
            found = self._known[tenant] = self._load(path, name)
        return found

    def destroy(self, tenant: str) -> None:
        """Remove the key of a tenant, which nothing brings back; other processes that hold it forget it when they end."""
        name = tenant.encode("utf-8", "surrogatepass")
        self._known.pop(tenant, None)
        try:
            self._path(name).unlink(missing_ok=True)
            self._disk.sync_folder(self._folder)
        except OSError as error:
            raise refusal(error) from error

    def _path(self, name: bytes) -> Path:
        return self._folder / blake2b(name, digest_size=20).hexdigest()

    def _load(self, path: Path, name: bytes) -> bytes:
        try:
            content = path.read_bytes()
            if not content.startswith(_MAGIC):
                raise DriverError("The key of a tenant of the object store is damaged: bring its file back from a backup.")
            return self._wrap.decrypt(content[8:20], content[20:], name)
        except FileNotFoundError as error:
            raise DriverError("The object store has no key of this tenant.") from error
        except (InvalidTag, ValueError) as error:
            raise DriverError("The key of a tenant of the object store is damaged: bring its file back from a backup.") from error
