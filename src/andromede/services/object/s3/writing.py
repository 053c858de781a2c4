"""Objects coming in: PutObject, CopyObject; and what uploads of parts share with them."""

from typing import Any
from urllib.parse import parse_qs, unquote_to_bytes

import msgspec

from andromede.drivers.blob import Blob
from andromede.http.plain import Reply
from andromede.services.object import contents
from andromede.services.object.model import Object
from andromede.services.object.s3 import access, acl, encryption, reading, room, sums, tagging, things, when
from andromede.services.object.s3.ask import Ask, checked, iso, text_of
from andromede.services.object.s3.errors import S3Error
from andromede.services.object.s3.incoming import Incoming
from andromede.services.object.s3.xml import document
from andromede.services.object.service import Found, Objects, Place
from andromede.services.object.watching import COPY

XML = ("content-type", "application/xml")
_COPIED = ("tags", "class")


async def discard(objects: Objects, place: Place, blob: Blob) -> None:
    """Remove bytes that shall be nobody's."""
    await objects.store.commit(place.shard, lambda _view: None, fresh=[blob])


async def taken(ask: Ask, place: Place, incoming: Incoming, storage: str, key: bytes | None) -> Blob:
    """The bytes of a request, written and checked; wrong ones leave nothing."""
    blob = await ask.objects.store.write(place.account, incoming.chunks(), storage=storage, key=key, hashers=incoming.hashers)
    try:
        incoming.finish()
    except S3Error:
        await discard(ask.objects, place, blob)
        raise
    return blob


async def put(ask: Ask) -> Reply:
    """PutObject."""
    place, key = ask.place, ask.key
    condition = when.for_writing(ask)
    thing, secret = things.described(ask, place)
    incoming = Incoming(ask.request, ask.proof, ask.settings.most_put)
    if condition is not None:
        condition(_present(ask, place, key))
    await room.check(ask, place, incoming.length)
    if thing.s3:
        secret = await encryption.keyed(ask, place, thing, secret)
    s3 = thing.s3
    blob = await taken(ask, place, incoming, things.storage(ask, s3["class"]) if "class" in s3 else "", secret)
    thing.size, thing.etag, thing.sums = blob.size, incoming.etag, incoming.sums
    found = await ask.objects.put(place, key, thing, [blob], condition, cause=ask.cause())
    return Reply(200, things.made(ask, place, found.object))


def _present(ask: Ask, place: Place, key: str) -> Object | None:
    newest = ask.objects.newest(place, key)
    return newest.object if newest is not None and newest.current and newest.object.kind != "marker" else None


class Source(msgspec.Struct):
    """What is copied: where it was found, the object as it is read, and its bytes."""

    place: Place
    found: Found
    thing: Object
    read: contents.Source


async def source_of(ask: Ask) -> Source:
    """What `x-amz-copy-source` names, if the caller may have it and its conditions hold. Raises S3Error."""
    path, _, query = ask.header("x-amz-copy-source").partition("?")
    version = parse_qs(query).get("versionId", [None])[0] if query else None
    bucket, slash, key = text_of(unquote_to_bytes(path.encode("utf-8", "surrogateescape"))).removeprefix("/").partition("/")
    if not slash or not key or (query and version is None):
        raise S3Error("InvalidArgument", "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
                      ArgumentName="x-amz-copy-source", ArgumentValue=path[:128])  # fmt: skip
    place = ask.find(bucket)
    if place is None:
        raise S3Error("NoSuchBucket", BucketName=bucket)
    found = reading.looked_up(ask, place, checked(key), version, "GetObject")
    thing, read = await reading.opened(ask, found, place, encryption.brought(ask, encryption.SOURCE))
    when.for_reading(ask, thing, when.COPY)
    return Source(place, found, thing, read)


async def copy(ask: Ask) -> Reply:
    """CopyObject."""
    place, key = ask.place, ask.key
    condition = when.for_writing(ask)
    source = await source_of(ask)
    old = source.thing
    replace, retag = _directive(ask, "x-amz-metadata-directive"), _directive(ask, "x-amz-tagging-directive")
    if old.size > ask.settings.most_put:
        raise S3Error("InvalidRequest", f"The specified copy source is larger than the maximum allowable size: {ask.settings.most_put}")
    thing, secret = things.described(ask, place)
    itself = (source.place.id, source.found.name) == (place.id, key) and source.found.current and ask.query.get("versionId") is None
    changes = replace or thing.s3.keys() - {"sse", "lock"} or "x-amz-website-redirect-location" in thing.headers
    if itself and not changes and "x-amz-storage-class" not in ask.request.headers and "x-amz-checksum-algorithm" not in ask.request.headers:
        raise S3Error("InvalidRequest", "This copy request is illegal because it is trying to copy an object to itself without changing the "
                      "object's metadata, storage class, website redirect location or encryption attributes.")  # fmt: skip
    await room.check(ask, place, old.size)
    secret = await encryption.keyed(ask, place, thing, secret)
    s3: dict[str, Any] = dict(thing.s3)
    s3.pop("tags", None)
    tags = tagging.from_header(ask.header("x-amz-tagging")) if retag else old.s3.get("tags", {})
    if tags:
        s3["tags"] = tags
    wanted = ask.header("x-amz-checksum-algorithm")
    hashes = {name: sums.new(name) for name in ([sums.algorithm(wanted)] if wanted else [*old.sums])}
    md5 = sums.new("md5")
    blob = await ask.objects.store.write(
        place.account, source.read(0, old.size), storage=things.storage(ask, s3.get("class", "STANDARD")), key=secret,
        hashers=[md5, *hashes.values()],
    )  # fmt: skip
    kept = thing.headers if replace else {
        name: value for name, value in old.headers.items() if name != "x-amz-website-redirect-location"
    } | {name: value for name, value in thing.headers.items() if name == "x-amz-website-redirect-location"}  # fmt: skip
    after = Object(
        size=blob.size, etag=md5.digest().hex(), content_type=thing.content_type if replace else old.content_type, headers=kept, s3=s3,
        sums={name: sums.text(each.digest()) for name, each in hashes.items()},
    )  # fmt: skip
    found = await ask.objects.put(place, key, after, [blob], condition, cause=ask.cause(COPY))
    headers = [line for line in things.made(ask, place, found.object) if line[0] != "etag" and not line[0].startswith(sums.PREFIX)]
    if source.place.container.versioning:
        headers.append(("x-amz-copy-source-version-id", old.version or "null"))
    result = [("LastModified", iso(found.object.stamp)), ("ETag", f'"{found.object.etag}"'), *things.sums_fields(found.object)]
    return Reply(200, [XML, *headers], document("CopyObjectResult", result))


def _directive(ask: Ask, name: str) -> bool:
    """Whether something is to be replaced."""
    value = ask.header(name, "COPY")
    if value not in {"COPY", "REPLACE"}:
        raise S3Error("InvalidArgument", f"Unknown {name.split('-')[2]} directive.", ArgumentName=name, ArgumentValue=value[:64])
    return value == "REPLACE"


def may_put(ask: Ask) -> None:
    """Whether the caller may put an object here, with the tags and the list that come with it. Raises AccessDenied."""
    access.need(ask, ask.place, "PutObject", ask.key)
    if "x-amz-tagging" in ask.request.headers:
        access.need(ask, ask.place, "PutObjectTagging", ask.key)
    if ask.place.container.s3.get("policy") and any(name in ask.request.headers for name in acl.HEADERS):
        access.need(ask, ask.place, "PutObjectAcl", ask.key)
