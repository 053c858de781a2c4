"""What a blob driver does: an ordered, durable map from keys to entries, in shards, and the bytes that entries own.

A shard is written by one transaction after another, whichever process they come from, and read by any number at once. A
transaction is a function over a `View`: what it puts and deletes becomes durable and visible together, or not at all, and a
call that returns has reached the disks. Bytes are written first, as blobs that nothing owns yet, and come to belong to the
entry that names them in its `blobs`; a blob that no entry names any more is removed. So moving bytes from one key to another
within a shard moves no byte, and a crash at any moment leaves nothing but blobs without an owner, which upkeep removes.

Entries are counted by `group`: how many there are and what their `weight` adds up to is known at once.
Everything that is needed to build the map again is kept with the bytes: the map may be lost.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Protocol, TypeVar

import msgspec

T = TypeVar("T")


class Blob(msgspec.Struct, frozen=True, array_like=True):
    """Bytes that were written: `size` of them, in a storage class. `place` is the driver's own; `foreign`: under a key of the client."""

    id: bytes
    size: int
    storage: str
    place: bytes = b""
    foreign: bool = False


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """What a key leads to. `value` is opaque to the driver; `weight` is counted in `group`, and nothing where that is empty."""

    value: bytes
    blobs: tuple[Blob, ...] = ()
    group: bytes = b""
    weight: int = 0


class Usage(msgspec.Struct, frozen=True):
    """How many entries a group has, and their weight together."""

    entries: int
    weight: int


class Finding(msgspec.Struct, frozen=True):
    """Something that upkeep found. kind: `rot` (bytes that fail their checksum), `lost` (bytes that are not there), `index`
    (the map differs from the data), `orphan` (bytes without an owner). `mended`: it was put right."""

    kind: str
    shard: int
    key: bytes
    text: str
    mended: bool = False


class Progress(msgspec.Struct, frozen=True):
    """How far upkeep is, in bytes."""

    done: int
    total: int


class Hasher(Protocol):
    """What hashlib's objects are."""

    def update(self, data: bytes, /) -> None:
        """Take more bytes."""


class View(Protocol):
    """A shard as a transaction sees it: with its own changes, and with those of all before it."""

    def get(self, key: bytes) -> Entry | None:
        """The entry of a key."""

    def scan(self, start: bytes, stop: bytes, limit: int, *, reverse: bool = False) -> list[tuple[bytes, Entry]]:
        """Up to `limit` entries with start <= key < stop, in the order of the keys' bytes; `reverse`: from the end."""

    def usage(self, group: bytes) -> Usage:
        """The present count of a group."""

    def put(self, key: bytes, entry: Entry) -> None:
        """Set a key. Keys have at most 2,048 bytes, values 1 MiB. A blob may be named by one entry only."""

    def delete(self, key: bytes) -> None:
        """Remove a key; nothing happens where it is not there."""


class Store(Protocol):
    """A blob driver.

    shards: how many there are. classes: the storage classes; the first is the default. inline: bytes up to this size are
    kept with the entry and need no file of their own.
    """

    shards: int
    classes: tuple[str, ...]
    inline: int

    def get(self, shard: int, key: bytes) -> Entry | None:
        """The entry of a key, at once, without waiting for anybody who writes. Raises `DriverError` where it is damaged."""

    def scan(self, shard: int, start: bytes, stop: bytes, limit: int, *, reverse: bool = False) -> list[tuple[bytes, Entry]]:
        """As `View.scan`, at once."""

    def usage(self, shard: int, group: bytes) -> Usage:
        """As `View.usage`, at once."""

    async def commit(self, shard: int, change: Callable[[View], T], *, fresh: Sequence[Blob] = ()) -> T:
        """Run a transaction; it is durable when this returns. What `change` raises is raised here, and nothing was changed.
        Those of the `fresh` blobs that no entry owns afterwards, whatever happened, are removed at once.

        `change` runs on another thread, quickly, without waiting for anything; it may be run again where the first time
        could not be committed. Raises `Unavailable` where the disk is full or fails: then nothing of it was written.
        """

    async def write(
        self, tenant: str, chunks: AsyncIterator[bytes], *, storage: str = "", key: bytes | None = None, hashers: Sequence[Hasher] = (),
    ) -> Blob:  # fmt: skip
        """Write bytes as a new blob without an owner; `hashers` are fed with all of them, and where they are many elsewhere than on
        the event loop.

        tenant: whose key encrypts it; key: 32 bytes that the client brought, and that are not kept. Whatever `chunks` raises
        is raised here and leaves nothing. Raises `Unavailable` where the disk is full or fails.
        """

    def read(self, tenant: str, blob: Blob, start: int = 0, stop: int | None = None, *, key: bytes | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` to before `stop`, each checked before it is given. Raises `DriverError` where they are damaged,
        `NotFound` where no entry names the blob any more (then look its key up again), `Forbidden` where `key` is not its own."""

    def shred(self, tenant: str) -> None:
        """Destroy a tenant's key: what was encrypted with it can never be read again. What is written for the tenant later gets another."""

    def check(self, *, repair: bool = False, deep: bool = True, give_up: bool = False) -> Iterator[Finding | Progress]:
        """Look at everything: the map against the data and, where `deep`, every byte against its checksum. `repair` builds
        the map again where it differs, mends what can be mended, and removes what nothing owns; `give_up` has it also remove the
        entries that nothing can bring back, which are errors until then. May run beside a store in use."""

    def compact(self) -> Iterator[Progress]:
        """Give back the room of what was removed."""

    def close(self) -> None:
        """Wait for the transactions under way, and let go of everything."""
