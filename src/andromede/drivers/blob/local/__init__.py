"""The blob driver for one machine: a journal and an index for each shard, files for large blobs, all of it encrypted.

`shard-NN/` holds a shard's segments (the truth) and its index (SQLite, which can be built again), `blobs/CLASS/` the large blobs
of a class, `keys/` the tenants' keys, `store` what the folder was made with. Any number of processes may use a folder at once; a
store object must be made after a fork, never before. Layout and reasons stand at the head of each file here.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar, cast

import msgspec

from andromede.core.errors import DriverError, Forbidden, NotFound
from andromede.core.ids import random_bytes
from andromede.core.units import KIB, MIB
from andromede.drivers.blob import Blob, Entry, Finding, Hasher, Progress, Usage
from andromede.drivers.blob.local import places
from andromede.drivers.blob.local.compact import compact
from andromede.drivers.blob.local.disk import Disk, refusal
from andromede.drivers.blob.local.files import File, Files
from andromede.drivers.blob.local.index import Epochs, damaged
from andromede.drivers.blob.local.keys import Keys, data_key
from andromede.drivers.blob.local.marks import Marks
from andromede.drivers.blob.local.reading import Copies, Range, open_chunks, read_file
from andromede.drivers.blob.local.seal import Seal, stored_size
from andromede.drivers.blob.local.shard import Serving, Shard
from andromede.drivers.blob.local.upkeep import check
from andromede.drivers.blob.local.upload import upload
from andromede.drivers.blob.overlay import Noted, Overlay

T = TypeVar("T")


class _Made(msgspec.Struct):
    """What a folder was made with. proof: of the master key."""

    format: int
    shards: int
    proof: str


class Local:
    """A `Store` in a folder. master_key: 32 bytes, without which nothing but the class `plain` can be read.

    classes: for each storage class the folders that hold its large blobs, one copy in each; empty for the store's own folder.
    `plain` is not encrypted. A class of several folders keeps small blobs as files too, so that they have copies.
    watched: what keys begin with, two bytes each, that are read far more often than they change; such entries are remembered.
    sync: False never waits for the disk. segment_size: bytes after which a new segment is begun. grace: seconds for which a
    large blob may be without an owner before `check` takes it for forgotten; more than the longest time between the end of a `write`
    and the `commit` that names it. Raises DriverError where the folder is another's.
    """

    def __init__(
        self,
        folder: Path,
        master_key: bytes,
        *,
        shards: int = 16,
        inline: int = 128 * KIB,
        classes: Mapping[str, Sequence[Path]] | None = None,
        sync: bool = True,
        segment_size: int = 256 * MIB,
        grace: float = 24 * 3600,
        watched: Sequence[bytes] = (),
        disk: Disk | None = None,
    ) -> None:
        if len(master_key) != 32:
            raise ValueError("the master key has 32 bytes")
        self.folder = folder
        self.shards = shards
        self.inline = inline
        self.grace = grace
        self.disk = disk or Disk(sync=sync)
        chosen = {"standard": (), "plain": ()} if classes is None else classes
        self.classes = tuple(chosen)
        try:
            self.disk.make_folder(folder)
            _prove(folder / "store", master_key, shards, self.disk)
            for name in ("keys", "blobs"):
                self.disk.make_folder(folder / name)
            self.files = Files({name: tuple(found) or (folder / "blobs" / name,) for name, found in chosen.items()}, self.disk)
            self.keys = Keys(folder / "keys", master_key, self.disk)
            self._serving = Serving()
            epochs = Epochs(folder / "epochs", shards, self.disk)
            marks = Marks(folder / "marks", shards, self.disk, frozenset(watched))
            self.parts = [
                Shard(
                    number, folder / f"shard-{number:02d}", epochs, marks, self.disk,
                    segment_size=segment_size, serving=self._serving, removed=self._removed,
                )
                for number in range(shards)
            ]  # fmt: skip
            for shard in self.parts:
                shard.recover()
        except OSError as error:
            raise refusal(error) from error
        self._pool = ThreadPoolExecutor(16, thread_name_prefix="blob")

    def get(self, shard: int, key: bytes) -> Entry | None:
        """As `Store.get`."""
        return self.parts[shard].get(key)

    def scan(self, shard: int, start: bytes, stop: bytes, limit: int, *, reverse: bool = False) -> list[tuple[bytes, Entry]]:
        """As `Store.scan`."""
        return self.parts[shard].scan(start, stop, limit, reverse=reverse)

    def usage(self, shard: int, group: bytes) -> Usage:
        """As `Store.usage`."""
        return self.parts[shard].usage(group)

    async def commit(self, shard: int, change: Callable[[Overlay], T], *, fresh: Sequence[Blob] = ()) -> T:
        """As `Store.commit`."""
        files = [blob for blob in fresh if blob.place == places.FILE]
        if not files:
            return cast("T", await self.parts[shard].commit(change))
        noted, committed = Noted(change), False
        try:
            result = await self.parts[shard].commit(noted)
            committed = True
        finally:
            self._removed(noted.unowned(files, committed=committed))
        return cast("T", result)

    async def write(
        self, tenant: str, chunks: AsyncIterator[bytes], *, storage: str = "", key: bytes | None = None, hashers: Sequence[Hasher] = (),
    ) -> Blob:  # fmt: skip
        """As `Store.write`. Small content is hashed and encrypted where it comes in, which takes less than handing it on."""
        storage = storage or self.classes[0]
        if storage not in self.files.classes:
            raise ValueError(f"there is no storage class {storage!r}")
        inline = self.inline if len(self.files.classes[storage]) == 1 else -1
        blob_id = random_bytes(16)
        parts, size = list[bytes](), 0
        async for chunk in chunks:
            parts.append(chunk)
            size += len(chunk)
            if size > inline:
                break
        if key is None and storage != "plain" and self.keys.known(tenant) is None:
            await asyncio.to_thread(self.keys.key, tenant, make=True)
        seal = self._seal(tenant, Blob(blob_id, 0, storage, foreign=key is not None), key)
        if size <= inline:
            data = parts[0] if len(parts) == 1 else b"".join(parts)
            for hasher in hashers:
                hasher.update(data)
            return Blob(blob_id, size, storage, places.fresh(seal.seal_all(data)), key is not None)
        file = File(self.files.paths(storage, blob_id), seal, self.disk)
        try:
            size = await upload(parts, chunks, file, hashers, self._pool)
        except OSError as error:
            if error.errno is None:
                raise
            raise refusal(error) from error
        return Blob(blob_id, size, storage, places.FILE, key is not None)

    async def read(
        self, tenant: str, blob: Blob, start: int = 0, stop: int | None = None, *, key: bytes | None = None
    ) -> AsyncIterator[bytes]:
        """As `Store.read`."""
        wanted = Range(blob, start, stop)
        if blob.foreign and key is None:
            raise Forbidden("The bytes were written with a key of the client, which is needed to read them.")
        if not wanted:
            return
        seal = self._seal(tenant, blob, key)
        for _ in range(3):
            sealed = places.sealed(blob)
            try:
                place = places.payload_of(blob)
                if sealed is not None or place is not None:
                    yield self._small(blob, seal, wanted, sealed, place)
                else:
                    copies = Copies(self.files.paths(blob.storage, blob.id), self.disk)
                    async for piece in read_file(blob, seal, wanted, copies, self._pool):
                        yield piece
            except FileNotFoundError:
                blob = self._again(blob)
            else:
                return
        raise damaged("a blob is not there")

    def _small(self, blob: Blob, seal: Seal, wanted: Range, sealed: bytes | None, place: tuple[int, int, int] | None) -> bytes:
        at, stop = wanted.first * seal.chunk, min(wanted.last * seal.chunk, stored_size(blob.size, encrypted=seal.encrypted))
        if place is not None:
            segment, offset, length = place
            shard = places.shard_of(blob)
            assert shard is not None
            try:
                sealed = self.parts[shard].journal.read(segment, offset + at, min(stop, length) - at)
            except FileNotFoundError:
                raise
            except OSError as error:
                raise damaged("a disk fails") from error
        else:
            assert sealed is not None
            sealed = sealed[at:stop]
        return open_chunks(blob, seal, wanted, wanted.first, wanted.last, sealed)

    def shred(self, tenant: str) -> None:
        """As `Store.shred`."""
        self.keys.destroy(tenant)

    def check(self, *, repair: bool = False, deep: bool = True, give_up: bool = False) -> Iterator[Finding | Progress]:
        """As `Store.check`."""
        return check(self.parts, self.files, grace=self.grace, repair=repair, deep=deep, give_up=give_up)

    def compact(self) -> Iterator[Progress]:
        """As `Store.compact`."""
        return compact(self.parts)

    def close(self) -> None:
        """As `Store.close`."""
        self._serving.close()
        for shard in self.parts:
            shard.close()
        self._pool.shutdown()

    def _seal(self, tenant: str, blob: Blob, key: bytes | None) -> Seal:
        if blob.foreign:
            assert key is not None
            if len(key) != 32:
                raise ValueError("a key has 32 bytes")
            return Seal(blob.id, data_key(key, blob.id, foreign=True))
        if blob.storage == "plain":
            return Seal(blob.id, None)
        return Seal(blob.id, data_key(self.keys.key(tenant, make=False), blob.id, foreign=False))

    def _again(self, blob: Blob) -> Blob:
        """A blob whose bytes are no longer where they were, as its entry has it now. Raises NotFound, DriverError."""
        owner, shard = places.owner_of(blob), places.shard_of(blob)
        entry = self.get(shard, owner) if owner is not None and shard is not None else None
        for found in entry.blobs if entry is not None else ():
            if found.id == blob.id:
                return found
        raise NotFound("The bytes are no longer there.")

    def _removed(self, blobs: list[Blob]) -> None:
        for blob in blobs:
            if places.payload_of(blob) is None:
                self._pool.submit(self.files.remove, blob)


def _prove(path: Path, master_key: bytes, shards: int, disk: Disk) -> None:
    """Write down what a folder is made with, or compare."""
    proof = blake2b(b"andromede blob store", key=master_key, digest_size=16).hexdigest()
    if not path.exists():
        disk.create(path, msgspec.json.encode(_Made(1, shards, proof)))
    try:
        made = msgspec.json.decode(path.read_bytes(), type=_Made)
    except msgspec.DecodeError as error:
        raise DriverError("The file `store` of the object store is damaged: bring it back from a backup.") from error
    if made.format != 1 or made.shards != shards:
        raise DriverError(f"The object store was made with format {made.format} and {made.shards} shards, which can't be changed.")
    if made.proof != proof:
        raise DriverError("The object store was made with another master key.")
