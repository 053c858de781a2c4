"""Data that comes in through the API: straight into an image, or into the staging area for an import."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
from sqlalchemy import Connection

from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, Gone, TooLarge
from andromede.core.units import GIB, MIB
from andromede.services.image import images, qemu, quotas, writing
from andromede.services.image.inspect import PLAIN, Inspection
from andromede.services.image.store import Digest, ImageStore, Writer

OPAQUE = ("ova", "docker", "compressed")


class Facts(msgspec.Struct, frozen=True):
    """What the row says of the image whose data comes."""

    id: str
    owner: str | None
    disk_format: str
    container_format: str


async def upload(ctx: Context, image_id: str, body: AsyncIterator[bytes]) -> None:
    """Take an image's data and make it active. Whatever fails leaves it queued, without a file.

    Errors: 400 data that is not what the image says, 403 not the owner's, 409 not queued, 410 deleted meanwhile, 413 too large.
    """
    hold, facts = await asyncio.to_thread(_seize, ctx, image_id, "saving", "image_size_total")
    store: ImageStore = ctx.parts.images
    try:
        inspection = Inspection(facts.disk_format, limit=limit(ctx.parts), opaque=facts.container_format in OPAQUE)
        digest = await _receive(ctx, hold, inspection, body)
        await asyncio.to_thread(_activate, ctx, hold, facts, inspection, digest)
    except BaseException:
        await asyncio.shield(asyncio.to_thread(_give_up, hold, store))
        raise


async def stage(ctx: Context, image_id: str, body: AsyncIterator[bytes]) -> None:
    """Keep data for an import. Errors as `upload`."""
    hold, facts = await asyncio.to_thread(_seize, ctx, image_id, "uploading", "image_stage_total")
    store: ImageStore = ctx.parts.images
    try:
        digest = await _receive(ctx, hold, None, body)
        await asyncio.to_thread(_keep, hold, store, facts, digest)
    except BaseException:
        await asyncio.shield(asyncio.to_thread(_give_up, hold, store))
        raise


def limit(parts: Any) -> int:
    """The most bytes an image may have, and the disk inside it."""
    return int(parts.settings.image.size_limit_gib) * GIB


def finish(
    hold: writing.Hold, store: ImageStore, facts: Facts, virtual_size: int | None, digest: Digest, *,
    also: Callable[[Connection], None] = lambda _db: None, **more: Any,
) -> None:  # fmt: skip
    """Publish what was written and say so in the row, both or neither as far as any reader can tell.

    also: done in the same transaction. more: further columns. Raises Gone where the image is no longer held, QuotaExceeded.
    """
    store.publish(store.scratch(facts.id, hold.token), store.path(facts.id, hold.token))
    values = {
        "status": "active", "blob": hold.token, "size": digest.size, "virtual_size": virtual_size, "checksum": digest.checksum,
        "os_hash_value": digest.sha512, "disk_format": facts.disk_format, **more,
    }  # fmt: skip

    def commit(db: Connection) -> bool:
        quotas.require(db, facts.owner, image_size_total=quotas.mib(digest.size))
        ours = writing.let_go(db, facts.id, hold.token, **values)
        if ours:
            also(db)
        return ours

    if not hold.database.run(commit):
        raise Gone(f"Image {facts.id} was deleted while its data came in.")


def _seize(ctx: Context, image_id: str, status: str, resource: str) -> tuple[writing.Hold, Facts]:
    announced = _announced(ctx)

    def begin(db: Connection) -> tuple[str, Facts]:
        ctx.bind(db)
        row = images.find_own(ctx, image_id, "upload data for")
        if row["disk_format"] is None or row["container_format"] is None:
            raise BadRequest("Properties disk_format, container_format must be set prior to saving data.")
        if row["status"] != "queued":
            raise Conflict(f"Image status transition from {row['status']} to {status} is not allowed")
        quotas.require(db, row["owner"], image_count_uploading=1, **{resource: max(1, quotas.mib(announced or 0))})
        token = writing.seize(db, image_id, status=status, before=("queued",))
        if token is None:
            raise Conflict(f"Image {image_id} is being written by another request.")
        return token, Facts(row["id"], row["owner"], row["disk_format"], row["container_format"])

    database = ctx.parts.database
    try:
        token, facts = database.run(begin)
    finally:
        ctx.bind(None)
    return writing.Hold(database, image_id, token), facts


def _announced(ctx: Context) -> int | None:
    """How many bytes the request says will come. Raises TooLarge, BadRequest."""
    texts = [ctx.headers[name] for name in ("x-openstack-image-size", "content-length") if name in ctx.headers]
    if any(not text.isdecimal() or len(text) > 18 for text in texts):
        raise BadRequest("The header x-openstack-image-size must hold a whole number of bytes.")
    size = max(map(int, texts), default=None)
    if size is not None and size > limit(ctx.parts):
        raise TooLarge(f"The image is larger than the {limit(ctx.parts)} bytes allowed.")
    return size


async def _receive(ctx: Context, hold: writing.Hold, inspection: Inspection | None, body: AsyncIterator[bytes]) -> Digest:
    most, store = limit(ctx.parts), ctx.parts.images
    writer: Writer = await asyncio.to_thread(store.write, hold.image_id, hold.token)

    def take(data: bytes) -> None:
        hold.beat()
        if writer.size + len(data) > most:
            raise TooLarge(f"The image is larger than the {most} bytes allowed.")
        if inspection is not None:
            inspection.add(data)
        writer.add(data)

    try:
        batch: list[bytes] = []
        size = 0
        async for chunk in body:
            batch.append(chunk)
            size += len(chunk)
            if size >= MIB or hold.due():
                await asyncio.to_thread(take, b"".join(batch))
                batch, size = [], 0
        await asyncio.to_thread(take, b"".join(batch))
        digest = await asyncio.to_thread(writer.close)
    except BaseException:
        writer.discard()
        raise
    told = ctx.headers.get("x-openstack-image-size")
    if told is not None and int(told) != digest.size:
        raise BadRequest(f"The header x-openstack-image-size says {told} bytes, but {digest.size} came.")
    return digest


def _activate(ctx: Context, hold: writing.Hold, facts: Facts, inspection: Inspection, digest: Digest) -> None:
    store: ImageStore = ctx.parts.images
    size = inspection.finish()
    if facts.container_format not in OPAQUE and facts.disk_format not in (*PLAIN, "iso"):
        qemu.probe(store.scratch(facts.id, hold.token), facts.disk_format, size)
    finish(hold, store, facts, size, digest)


def _keep(hold: writing.Hold, store: ImageStore, facts: Facts, digest: Digest) -> None:
    store.publish(store.scratch(facts.id, hold.token), store.staged(facts.id, hold.token))

    def commit(db: Connection) -> bool:
        quotas.require(db, facts.owner, image_stage_total=quotas.mib(digest.size))
        return writing.let_go(db, facts.id, hold.token, staged=hold.token, staged_size=digest.size)

    if not hold.database.run(commit):
        raise Gone(f"Image {facts.id} was deleted while its data came in.")


def _give_up(hold: writing.Hold, store: ImageStore) -> None:
    if not hold.abandon(status="queued"):
        store.remove(hold.image_id, hold.token)


