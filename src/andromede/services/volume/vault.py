"""Where backups are: objects in a container of their project, each chunk compressed and named by its place, with lists of them.

A backup is the objects below its prefix. `lines-N` are lists of up to GROUP chunks; a line says how long a chunk is, its SHA-256, and the
name of the object that holds it, which for an incremental backup may be an older backup's; an empty name is a chunk of zeros.
"""

import asyncio
import hashlib
import zlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import msgspec

from andromede.core.errors import CloudError, NotFound
from andromede.core.units import MIB
from andromede.services.object.contents import own, whole
from andromede.services.object.errors import NoContainer, NoObject
from andromede.services.object.model import Object
from andromede.services.object.service import Objects, Place

CHUNK, GROUP = 16 * MIB, 64
T = TypeVar("T")


class Line(msgspec.Struct, frozen=True, array_like=True):
    """A chunk of a backup."""

    length: int
    digest: str
    name: str


class Vault:
    """The container of a project. Synchronous; for threads that may wait."""

    def __init__(self, objects: Objects, project_id: str, container: str) -> None:
        self._objects, self._project, self._container = objects, project_id, container

    def keep(self, name: str, data: bytes) -> None:
        """Put an object; the container is made where it is missing."""
        _run(self._keep(name, data))

    def get(self, name: str) -> bytes:
        """An object's bytes. Raises NotFound where it is gone."""
        return _run(self._get(name))

    def chunk(self, line: Line) -> bytes:
        """The bytes of a chunk. Raises CloudError where they are not what was kept."""
        data = zlib.decompress(self.get(line.name))
        if hashlib.sha256(data).hexdigest() != line.digest or len(data) != line.length:
            raise CloudError("The backup is damaged: a chunk of it is not what was kept.", status=409)
        return data

    def lines(self, prefix: str, group: int) -> list[Line]:
        """A list of chunks; none where there is no such list."""
        try:
            return msgspec.json.decode(self.get(f"{prefix}lines-{group:08}"), type=list[Line])
        except NotFound:
            return []

    def keep_lines(self, prefix: str, group: int, lines: list[Line]) -> None:
        """Put a list of chunks."""
        self.keep(f"{prefix}lines-{group:08}", msgspec.json.encode(lines))

    def remove(self, prefix: str) -> int:
        """Delete every object below a prefix; answers how many there were."""
        return _run(self._remove(prefix))

    async def _keep(self, name: str, data: bytes) -> None:
        place, _ = await self._objects.create(self._project, self._container, lambda before: before)
        digest = hashlib.md5(usedforsecurity=False)
        blob = await self._objects.store.write(self._project, _once(data), hashers=(digest,))
        thing = Object(size=len(data), etag=digest.hexdigest(), content_type="application/octet-stream", stored=len(data))
        await self._objects.put(place, name, thing, [blob])

    async def _get(self, name: str) -> bytes:
        try:
            place = self._objects.place(self._project, self._container)
            found = self._objects.get(place, name)
        except (NoContainer, NoObject) as error:
            raise NotFound("A part of the backup is not in its container any more.") from error
        return await whole(own(self._objects.store, self._project, found.blobs)(0, found.object.size))

    async def _remove(self, prefix: str) -> int:
        place: Place | None = self._objects.find(self._project, self._container)
        count = 0
        while place is not None and (found := self._objects.listing(place, prefix=prefix, limit=200)):
            for line in found:
                await self._objects.delete(place, line.name)
            count += len(found)
        return count


def _run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
