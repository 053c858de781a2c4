"""Keys that objects are encrypted with on request (SSE-KMS): named, to be disabled and deleted, each a project's own.

Whoever keeps the keys is a `KeyStore`; the one here keeps them in the object store itself, wrapped with the master key, which is
not in it. A key never leaves its store: an object has a data key of its own, which the named key seals together with the
context that it belongs to. Source: AWS Key Management Service API Reference; Amazon S3 User Guide, "Using SSE-KMS".

    k\\0 project \\0 id                         a key
    k\\0 project \\0 alias/NAME                 another name of one
"""

import os
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Protocol, TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from andromede.core.clock import now
from andromede.core.errors import CloudError, DriverError
from andromede.core.ids import new_id
from andromede.drivers.blob import Entry, Store, View
from andromede.services.object import model

T = TypeVar("T")
PREFIX, DEFAULT = "alias/", "alias/aws/s3"
ENABLED, DISABLED, PENDING = "Enabled", "Disabled", "PendingDeletion"
_MOST = 1000


class NoKey(CloudError):
    """There is no such key."""

    status, kind = 403, "KMS.NotFoundException"


class KeyDisabled(CloudError):
    """The key is there, and may not be used."""

    status, kind = 403, "KMS.DisabledException"


class KeyLeaving(CloudError):
    """The key is to be deleted."""

    status, kind = 403, "KMS.KMSInvalidStateException"


class KeyStore(Protocol):
    """Who keeps keys. Names are ids, ARNs, aliases (`alias/NAME`) and ARNs of these."""

    async def default(self, project: str) -> str:
        """The ARN of the key that a project's objects get where none is named (`aws/s3`); made at its first use."""

    async def find(self, project: str, name: str) -> str:
        """The ARN of a key that may be used, as somebody of `project` names it. Raises NoKey, KeyDisabled, KeyLeaving."""

    async def seal(self, arn: str, secret: bytes, context: bytes) -> bytes:
        """A secret, to be opened with the same context only. Raises as `find`."""

    async def open(self, arn: str, sealed: bytes, context: bytes) -> bytes:
        """What was sealed. Raises as `find`."""


class Key(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A key as it is kept. created, gone: seconds; gone: when it is to be deleted; own: the project's default, made by itself."""

    id: str
    created: int
    wrapped: bytes
    description: str = ""
    disabled: bool = False
    gone: int = 0
    own: bool = False

    @property
    def state(self) -> str:
        """As the API calls it."""
        return PENDING if self.gone else DISABLED if self.disabled else ENABLED


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Key).decode


class LocalKeys:
    """A `KeyStore` in the object store. master: 32 bytes that are kept elsewhere."""

    def __init__(self, store: Store, master: bytes, region: str = "us-east-1") -> None:
        self._store, self.region = store, region
        self._wrap = AESGCM(blake2b(b"andromede kms", key=master, digest_size=32).digest())

    def arn(self, project: str, id_: str) -> str:
        """The full name of a key, or of an alias."""
        return f"arn:aws:kms:{self.region}:{project}:{id_ if id_.startswith(PREFIX) else f'key/{id_}'}"

    # KeyStore
    async def default(self, project: str) -> str:
        """As `KeyStore.default`."""
        found = self._entry(project, DEFAULT)
        if found is None:
            await self._commit(project, lambda view: self._first(view, project))
        return await self.find(project, DEFAULT)

    async def find(self, project: str, name: str) -> str:
        """As `KeyStore.find`."""
        owner, key = self.look(project, name)
        self._usable(owner, key)
        return self.arn(owner, key.id)

    async def seal(self, arn: str, secret: bytes, context: bytes) -> bytes:
        """As `KeyStore.seal`."""
        nonce = os.urandom(12)
        return nonce + self._opened(arn).encrypt(nonce, secret, context)

    async def open(self, arn: str, sealed: bytes, context: bytes) -> bytes:
        """As `KeyStore.open`."""
        try:
            return self._opened(arn).decrypt(sealed[:12], sealed[12:], context)
        except InvalidTag as error:
            raise DriverError("The key of an object is damaged.") from error

    def _opened(self, arn: str) -> AESGCM:
        project, key = self.look("", arn)
        self._usable(project, key)
        try:
            return AESGCM(self._wrap.decrypt(key.wrapped[:12], key.wrapped[12:], f"{project}\0{key.id}".encode()))
        except InvalidTag as error:
            raise DriverError("A key of the object store is damaged, or was made with another master key.") from error

    # what a project does with its keys
    def look(self, project: str, name: str) -> tuple[str, Key]:
        """A key in whatever state, and whose it is. Raises NoKey."""
        owner, rest = project, name
        if name.startswith("arn:"):
            parts = name.split(":", 5)
            if len(parts) != 6 or parts[2] != "kms" or not (parts[5].startswith((PREFIX, "key/"))):
                raise NoKey(f"Invalid arn {name[:256]}")
            owner, rest = parts[4], parts[5].removeprefix("key/")
        if not rest or "\0" in name or len(name.encode("utf-8", "surrogatepass")) > 512:
            raise NoKey(f"Invalid keyId '{name[:256]}'")
        entry = self._entry(owner, rest)
        if entry is not None and rest.startswith(PREFIX):
            entry = self._entry(owner, entry.value.decode())
        key = _decode(entry.value) if entry is not None else None
        if key is None or (key.gone and key.gone <= now().timestamp()):
            full = self.arn(owner, rest)[:512]
            raise NoKey(f"Alias {full} is not found." if rest.startswith(PREFIX) else f"Key '{full}' does not exist")
        return owner, key

    def keys(self, project: str) -> list[Key]:
        """A project's keys, by id."""
        return [_decode(value) for name, value in self._rows(project) if not name.startswith(PREFIX)]

    def aliases(self, project: str) -> list[tuple[str, str]]:
        """A project's aliases, and the ids of the keys that they name."""
        return [(name, value.decode()) for name, value in self._rows(project) if name.startswith(PREFIX)]

    async def create(self, project: str, description: str = "") -> Key:
        """A new key."""
        key = self._new(project, description)
        await self._commit(project, lambda view: view.put(_row(project, key.id), Entry(_encode(key))))
        return key

    async def change(self, project: str, id_: str, change: Callable[[Key], Key]) -> Key:
        """Change what is kept of a key. Raises NoKey, and what `change` raises."""

        def run(view: View) -> Key:
            entry = view.get(_row(project, id_))
            if entry is None:
                raise NoKey(f"Key '{self.arn(project, id_)}' does not exist")
            key = change(_decode(entry.value))
            view.put(_row(project, id_), Entry(_encode(key)))
            return key

        return await self._commit(project, run)

    async def name(self, project: str, alias: str, id_: str | None) -> bool:
        """Have an alias name a key, or no more (None). Answers whether it was there."""

        def run(view: View) -> bool:
            row = _row(project, alias)
            there = view.get(row) is not None
            if id_ is None:
                view.delete(row)
            else:
                view.put(row, Entry(id_.encode()))
            return there

        return await self._commit(project, run)

    async def purge(self, moment: float) -> int:
        """Remove the keys whose time is over, with their aliases. Answers how many."""
        count = 0
        for project in self._projects():
            gone = {key.id for key in self.keys(project) if key.gone and key.gone <= moment}
            if gone:
                names = [name for name, id_ in self.aliases(project) if id_ in gone]
                await self.drop(project, [*gone, *names])
                count += len(gone)
        return count

    async def forget(self, project: str) -> None:
        """Remove everything of a project: nothing that its keys sealed can ever be read again."""
        await self.drop(project, [name for name, _value in self._rows(project)])

    async def drop(self, project: str, names: list[str]) -> None:
        """Remove keys and aliases at once, without a look at what they are used for."""

        def run(view: View) -> None:
            for name in names:
                view.delete(_row(project, name))

        await self._commit(project, run)

    def _usable(self, project: str, key: Key) -> None:
        if key.gone:
            raise KeyLeaving(f"{self.arn(project, key.id)} is pending deletion.")
        if key.disabled:
            raise KeyDisabled(f"{self.arn(project, key.id)} is disabled.")

    def _first(self, view: View, project: str) -> None:
        if view.get(_row(project, DEFAULT)) is None:
            key = self._new(project, "Default key that protects my S3 objects when no other key is defined")
            key.own = True
            view.put(_row(project, key.id), Entry(_encode(key)))
            view.put(_row(project, DEFAULT), Entry(key.id.encode()))

    def _new(self, project: str, description: str) -> Key:
        id_, nonce = new_id(), os.urandom(12)
        wrapped = nonce + self._wrap.encrypt(nonce, AESGCM.generate_key(256), f"{project}\0{id_}".encode())
        return Key(id=id_, created=int(now().timestamp()), wrapped=wrapped, description=description)

    def _shard(self, project: str) -> int:
        return model.shard_of(project, self._store.shards)

    def _entry(self, project: str, name: str) -> Entry | None:
        return self._store.get(self._shard(project), _row(project, name))

    def _rows(self, project: str) -> Iterator[tuple[str, bytes]]:
        base = _row(project, "")
        low, high = base, model.end(base)
        while rows := self._store.scan(self._shard(project), low, high, _MOST):
            yield from ((key[len(base) :].decode(), entry.value) for key, entry in rows)
            low = rows[-1][0] + b"\0"

    def _projects(self) -> Iterator[str]:
        for shard in range(self._store.shards):
            low, high = b"k\0", b"k\1"
            while rows := self._store.scan(shard, low, high, 1):
                project = rows[0][0].split(b"\0", 2)[1].decode()
                yield project
                low = model.end(_row(project, ""))

    async def _commit(self, project: str, run: Callable[[View], T]) -> T:
        return await self._store.commit(self._shard(project), run)


def _row(project: str, name: str) -> bytes:
    return b"k\0" + project.encode("utf-8", "surrogatepass") + b"\0" + name.encode("utf-8", "surrogatepass")
