"""PUT, POST and DELETE of objects."""

import hashlib
import mimetypes
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from andromede.drivers.blob import Blob
from andromede.http.plain import Reply
from andromede.services.object import sealing
from andromede.services.object.errors import NoContainer, NoObject
from andromede.services.object.model import DLO, LINK, Object, expired, stamp
from andromede.services.object.s3 import locks
from andromede.services.object.service import Found, Place, When
from andromede.services.object.swift import (
    access,
    archive,
    conditions,
    copying,
    dlo,
    metadata,
    quotas,
    slo_put,
    symlinks,
    versions,
)
from andromede.services.object.swift.answers import Pairs, Refused, bad, date, reply, true
from andromede.services.object.swift.call import Call
from andromede.services.object.watching import POSTED

TOO_LARGE = "Your request is too large."


async def put(call: Call) -> Reply:
    """Put an object: bytes, a copy, a manifest, a link."""
    headers = call.headers
    if "x-copy-from" in headers and headers.get("x-copy-from"):
        return await copying.put(call)
    if call.query:
        if call.query.get("multipart-manifest") == "put":
            return await slo_put.put(call)
        if "version-id" in call.query:
            return await versions.restore(call, writable(call))
    if "x-static-large-object" in headers:
        access.to_object(call, call.place())
        raise Refused(400, slo_put.RESERVED)
    if symlinks.TARGET in headers or "if-none-match" in headers:
        access.to_object(call, call.place())
        conditions.of_put(headers)
    link, target = symlinks.wanted(call) if symlinks.TARGET in headers else (None, None)
    place = writable(call)
    size = call.request.length
    if size == 0 and "content-length" not in headers:
        raise Refused(411, "Missing Content-Length header.", plain=True)
    thing = described(call)
    if link is not None:
        content_type = thing.content_type if headers.get("content-type") else target.object.content_type if target else "application/symlink"
        thing = msgspec.structs.replace(thing, kind=LINK, target=link, content_type=content_type)
    elif dlo.HEADER in headers and headers.get(dlo.HEADER):
        thing = msgspec.structs.replace(thing, kind=DLO, target=dlo.wanted(call))
    made = await store(call, place, call.name, thing, call.request.body(), size)
    return created(place, made)


def writable(call: Call) -> Place:
    """The container of the URL, where the caller may write to it. Raises Refused."""
    place = call.place()
    access.to_object(call, place)
    if place is None:
        versions.valid(None, call.query.get("version-id", "null"))
        raise Refused(404)
    return place


def created(place: Place, made: Found, extra: Sequence[tuple[str, str]] = (), *, etag: str = "") -> Reply:
    """The answer to a PUT."""
    thing = made.object
    return reply(201, [("Etag", etag or thing.etag), ("Last-Modified", date(thing.stamp)), *versions.shown(place, thing), *extra])


def described(call: Call) -> Object:
    """What a request says of the object that it puts. Raises Refused."""
    limits = call.settings
    if call.request.length is not None and call.request.length > limits.max_file_size:
        raise Refused(413, TOO_LARGE, plain=True)
    named(call, call.name)
    return Object(content_type=content_type(call, call.name), headers=metadata.of_object(call), delete_at=metadata.delete_at(call))


def named(call: Call, name: str) -> None:
    """Raise Refused where an object's name is too long."""
    if metadata.length(name) > call.settings.max_object_name_length:
        raise bad(f"Object name length of {metadata.length(name)} longer than {call.settings.max_object_name_length}")


def content_type(call: Call, name: str) -> str:
    """The content type that a request gives, or that a name suggests. Raises Refused."""
    text = call.headers.get("content-type")
    if not text or ("x-detect-content-type" in call.headers and true(call.headers.get("x-detect-content-type"))):
        return mimetypes.guess_type(name)[0] or "application/octet-stream"
    if not metadata.valid(text):
        raise bad("Invalid Content-Type")
    if ";" in text and any(part.strip().lower().startswith("swift_") for part in text.split(";")[1:]):
        raise Refused(400, "Invalid Content-Type, swift_* is not a valid parameter name.")
    return text


async def written(call: Call, place: Place, name: str, thing: Object, chunks: AsyncIterator[bytes], size: int | None) -> tuple[Blob, Object]:
    """Bytes that are written, owned by nothing, and the object that they are; the ETag of the request is theirs. Raises Refused."""
    wanted = call.headers.get("etag").strip().strip('"').lower()
    usual = sealing.by_default(place.container)
    sealed, key = await sealing.under(call.objects, place, name, usual) if usual is not None else ({}, None)
    if quotas.limited(call, place):
        await quotas.check(call, place, size or 0)
    digest = hashlib.md5(usedforsecurity=False)
    bounded = chunks if size is not None else _bounded(chunks, call.settings.max_file_size)
    blob = await call.store.write(
        place.account, bounded, storage=place.container.headers.get("x-storage-policy", ""), key=key, hashers=(digest,)
    )  # fmt: skip
    if wanted and wanted != digest.hexdigest():
        await call.store.commit(place.shard, lambda _view: None, fresh=[blob])
        raise Refused(422)
    return blob, msgspec.structs.replace(thing, size=blob.size, etag=digest.hexdigest(), s3=thing.s3 | sealed)


async def store(
    call: Call, place: Place, name: str, thing: Object, chunks: AsyncIterator[bytes], size: int | None, *, etag: str | None = None,
    values: dict[str, Any] | None = None, free: bool = False,
) -> Found:  # fmt: skip
    """Write bytes and put the object that they are. etag: what they shall have, that of the request where it is None; values:
    what the object gets besides; free: no quota is looked at. Raises Refused."""
    wanted = (call.headers.get("etag").strip().strip('"').lower() if "etag" in call.headers else "") if etag is None else etag
    when = conditions.of_put(call.headers) if "if-none-match" in call.headers else None
    if when is not None:
        _early(call, place, name, when)
    watched = not free and quotas.limited(call, place)
    if watched:
        await quotas.check(call, place, size or 0)
    if "x-versions-location" in place.container.headers or "x-history-location" in place.container.headers:
        await archive.keep(call, place, name)
    usual = sealing.by_default(place.container) if "encryption" in place.container.s3 else None
    sealed, key = await sealing.under(call.objects, place, name, usual) if usual is not None else ({}, None)
    digest = hashlib.md5(usedforsecurity=False)
    bounded = chunks if size is not None else _bounded(chunks, call.settings.max_file_size)
    blob = await call.store.write(
        place.account, bounded, storage=place.container.headers.get("x-storage-policy", ""), key=key, hashers=(digest,)
    )  # fmt: skip
    found = digest.hexdigest()

    def check(before: Object | None) -> None:
        if wanted and wanted != found:
            raise Refused(422)
        if when is not None:
            when(before)

    if watched and size is None:
        await quotas.check(call, place, blob.size)
    after = msgspec.structs.replace(thing, size=blob.size, etag=found, **(values or {}))
    if sealed:
        after = msgspec.structs.replace(after, s3=after.s3 | sealed)
    return await kept(call, place, name, after, [blob], check if wanted or when else None)


async def kept(call: Call, place: Place, name: str, thing: Object, blobs: Sequence[Blob], when: When | None) -> Found:
    """Put an object whose bytes are written, locked where its bucket's rule says so. Raises Refused."""
    if "lock" in place.container.s3:
        thing = msgspec.structs.replace(thing, s3=thing.s3 | locks.by_rule(place))
    try:
        return await call.objects.put(place, name, thing, blobs, when, cause=call.cause(place))
    except NoContainer:
        raise Refused(404) from None


def _early(call: Call, place: Place, name: str, when: When) -> None:
    """Refuse before the body is taken what cannot be."""
    try:
        when(call.objects.get(place, name).object)
    except NoObject:
        return


async def _bounded(chunks: AsyncIterator[bytes], most: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > most:
            raise Refused(413, TOO_LARGE, plain=True)
        yield chunk


async def post(call: Call) -> Reply:
    """Set the metadata of an object anew."""
    place = writable(call)
    if "version-id" in call.query:
        raise Refused(400, "POST to a specific version is not allowed")
    if symlinks.TARGET in call.headers:
        raise bad("A PUT request is required to set a symlink target")
    if "x-static-large-object" in call.headers:
        raise Refused(400, slo_put.RESERVED)
    headers, delete_at = metadata.of_object(call), metadata.delete_at(call)
    manifest = dlo.wanted(call) if call.headers.get(dlo.HEADER) else ""
    kind = content_type(call, call.name) if call.headers.get("content-type") else ""

    def change(before: Object) -> Object:
        if expired(before):
            raise Refused(404)
        after = msgspec.structs.replace(
            before, headers=headers, delete_at=delete_at, content_type=kind or before.content_type, posted=stamp(before.posted or before.stamp)
        )
        if manifest or before.kind == DLO:
            after = msgspec.structs.replace(after, kind=DLO if manifest else "", target=manifest or None)
        return after

    try:
        after = await call.objects.change_object(place, call.name, change, cause=call.cause(place, POSTED))
    except (NoObject, NoContainer):
        raise Refused(404) from None
    if after.kind == LINK:
        raise Refused(
            307, "The requested POST was applied to a symlink. POST directly to the target to apply requested metadata.",
            headers=[("Location", symlinks.location(call, after.target)), *symlinks.fixed(after)],
        )  # fmt: skip
    return reply(202)


async def delete(call: Call) -> Reply:
    """Delete an object, or a version of it."""
    place = writable(call)
    query = call.query
    if query.get("multipart-manifest") == "delete":
        return await slo_put.delete(call, place)
    extra = await removed(call, place, call.name, query.get("version-id"))
    return reply(204, extra)


async def removed(call: Call, place: Place, name: str, version: str | None = None) -> Pairs:
    """Delete an object; what the answer says of it. Raises Refused."""
    kept = place.container.headers
    if version is None and "x-versions-location" in kept:
        if await archive.back(call, place, name):
            return []
    elif version is None and "x-history-location" in kept:
        await archive.mark(call, place, name)
    if version is not None:
        versions.valid(place, version)
    gone = [False]
    at = call.headers.get("x-if-delete-at")

    def when(before: Object | None) -> None:
        if version is not None and before is not None and locks.keeps(before):
            raise Refused(403, "The version is locked.", plain=True)
        if at and (before is None or str(before.delete_at) != at):
            raise Refused(412 if before is not None else 404, "X-If-Delete-At and X-Delete-At do not match" if before is not None else "")
        gone[0] = before is None or expired(before)

    try:
        found = await call.objects.delete(place, name, version, when, cause=call.cause(place))
    except NoContainer:
        raise Refused(404) from None
    extra = versions.of_delete(call, place, name, version, found)
    if (gone[0] and version is None) or (found is None and version is not None):
        raise Refused(404, headers=extra)
    return extra
