"""What clusters need of the project's own object store: a container for their logs, and programs that were given to this service itself."""

import asyncio
import hashlib
from collections.abc import AsyncIterator

from andromede.core.errors import CloudError
from andromede.services.object.model import Object
from andromede.services.object.service import Objects, Place

PROGRAMS = "hadoop-programs"


def container(objects: Objects, project_id: str, name: str, user_id: str) -> Place:
    """A container of the project's, which is made where it is not there."""
    place, _new = asyncio.run(objects.create(project_id, name, lambda before: before, owner=user_id))
    return place


def deliver(objects: Objects, project_id: str, user_id: str, name: str, data: bytes) -> None:
    """Have these bytes be an object of the project's container for programs. Raises CloudError."""
    asyncio.run(_deliver(objects, project_id, user_id, name, data))


async def _deliver(objects: Objects, project_id: str, user_id: str, name: str, data: bytes) -> None:
    place, _new = await objects.create(project_id, PROGRAMS, lambda before: before, owner=user_id)
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()

    async def once() -> AsyncIterator[bytes]:
        yield data

    blob = await objects.store.write(project_id, once())
    await objects.put(place, name, Object(size=len(data), etag=digest, content_type="application/octet-stream"), [blob])


def content(objects: Objects, project_id: str, container_name: str, name: str) -> bytes:
    """The bytes of an object of the project's. Raises NotFound."""
    return asyncio.run(_content(objects, project_id, container_name, name))


async def _content(objects: Objects, project_id: str, container_name: str, name: str) -> bytes:
    from andromede.services.object.contents import bytes_of, whole

    found = objects.get(objects.place(project_id, container_name), name)
    source = bytes_of(objects, project_id, found)
    return await whole(source(0, found.object.size))


__all__ = ["PROGRAMS", "CloudError", "container", "content", "deliver"]
