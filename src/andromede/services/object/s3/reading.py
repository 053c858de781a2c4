"""Objects going out: GetObject, HeadObject, GetObjectAttributes."""

from collections.abc import AsyncIterator

import msgspec

from andromede.core.errors import DriverError
from andromede.http.plain import Reply
from andromede.services.object import contents
from andromede.services.object.contents import Source, own
from andromede.services.object.errors import NoObject, NoVersion
from andromede.services.object.model import MARKER, SLO, Object, expired
from andromede.services.object.s3 import access, encryption, things, when
from andromede.services.object.s3.ask import Ask, http_date
from andromede.services.object.s3.errors import S3Error
from andromede.services.object.s3.xml import document
from andromede.services.object.service import Found, Place

_OVERRIDES = {
    "response-content-type": "content-type", "response-content-language": "content-language", "response-expires": "expires",
    "response-cache-control": "cache-control", "response-content-disposition": "content-disposition",
    "response-content-encoding": "content-encoding",
}  # fmt: skip


def looked_up(ask: Ask, place: Place, key: str, version: str | None, action: str) -> Found:
    """An object that the caller may have. action: what policies call it. Raises AccessDenied, NoSuchKey, NoSuchVersion, MethodNotAllowed."""
    if version is not None:
        action = versioned(action)
    try:
        found = ask.objects.get(place, key, version)
    except (NoObject, NoVersion) as error:
        access.need(ask, place, "ListBucket", "")
        raise _missing(ask, place, key, version) from error
    access.need(ask, place, action, key, found.object)
    thing = found.object
    if thing.kind == MARKER:
        raise S3Error("MethodNotAllowed", Method=ask.request.method, ResourceType="DeleteMarker", headers={
            "x-amz-delete-marker": "true", "x-amz-version-id": thing.version or "null", "last-modified": http_date(thing.stamp), "allow": "DELETE",
        })  # fmt: skip
    if expired(thing):
        raise S3Error("NoSuchKey", Key=key)
    return found


def versioned(action: str) -> str:
    """The name of an action on a version."""
    for kind in ("Tagging", "Acl", "Attributes"):
        if action.endswith(kind):
            return action.removesuffix(kind) + "Version" + kind
    return action + "Version" if action in {"GetObject", "DeleteObject"} else action


def _missing(ask: Ask, place: Place, key: str, version: str | None) -> S3Error:
    if version is not None:
        if len(version) > 32 or not version.replace(".", "").isalnum():
            return S3Error("InvalidArgument", "Invalid version id specified", ArgumentName="versionId", ArgumentValue=version[:128])
        return S3Error("NoSuchVersion", Key=key, VersionId=version)
    headers = {}
    if place.container.versioning:
        newest = ask.objects.newest(place, key)
        if newest is not None and newest.object.kind == MARKER:
            headers = {"x-amz-delete-marker": "true", "x-amz-version-id": newest.object.version or "null"}
    return S3Error("NoSuchKey", headers=headers, Key=key)


async def opened(ask: Ask, found: Found, place: Place, key: bytes | None = None) -> tuple[Object, Source]:
    """An object as its reader sees it, with its bytes: of a manifest of Swift the size and the ETag are the whole's, and a link is what
    it leads to, under its own version. key: what was brought for it. Raises S3Error, and what manifests and links do."""
    thing = found.object
    if not thing.kind:
        if key is not None or thing.s3:
            encryption.opens(thing, key)
            if "kms" in thing.s3:
                if (ask.proof is None or not ask.proof.moment) and ask.request.method != "HEAD":
                    raise S3Error("InvalidArgument", encryption.UNSIGNED)
                return thing, contents.bytes_of(ask.objects, place.account, found)
        return thing, own(ask.objects.store, place.account, found.blobs, key)
    whole = await contents.opened(ask.objects, access.Reader(ask), place, found, key)
    seen = whole.found.object
    encryption.opens(seen, key)
    etag = f"{whole.etag}-{whole.count}" if whole.joined else seen.etag
    seen = msgspec.structs.replace(seen, size=whole.size, etag=etag, version=thing.version, kind="")
    if seen.size and whole.found.object.kind == SLO and ("partNumber" in ask.query or "attributes" in ask.query):
        segments = await contents.segments_of(ask.objects, whole.place, whole.found)
        seen = msgspec.structs.replace(seen, parts=[contents.length(segment) for segment in segments])
    return seen, whole.source


async def begun(chunks: AsyncIterator[bytes] | None, size: int) -> tuple[bytes, AsyncIterator[bytes] | None]:
    """What to answer of bytes: all of them where they come at once, else a stream whose first piece is there already."""
    if not size or chunks is None:
        return b"", None
    first = await anext(chunks)
    if len(first) == size:
        async for _more in chunks:
            raise DriverError("The store gave more bytes than there are.")
        return first, None

    async def rest() -> AsyncIterator[bytes]:
        yield first
        async for chunk in chunks:
            yield chunk

    return b"", rest()


async def get(ask: Ask) -> Reply:
    """GetObject and HeadObject."""
    place, request = ask.place, ask.request
    if encryption.HEADER in request.headers:
        raise S3Error("InvalidArgument", "x-amz-server-side-encryption header is not supported for this operation.",
                      ArgumentName=encryption.HEADER)  # fmt: skip
    found = looked_up(ask, place, ask.key, ask.version, "GetObject")
    key = encryption.brought(ask)
    thing, source = await opened(ask, found, place, key)
    headers = things.shown(ask, place, thing)
    try:
        when.for_reading(ask, thing)
    except S3Error as error:
        if error.kind == "NotModified":
            return Reply(304, [line for line in headers if line[0] not in {"content-type", "accept-ranges"}])
        raise
    if ask.query:
        headers = _overridden(ask, headers)
    start, stop, status = 0, thing.size, 200
    if "partNumber" in ask.query:
        start, stop = _part(ask, thing)
        status = 206
        if thing.parts:
            headers.append(("x-amz-mp-parts-count", str(len(thing.parts))))
        if ask.header("x-amz-checksum-mode").upper() == "ENABLED":
            headers += things.part_sums_shown(thing, int(ask.query["partNumber"]))
    elif (text := ask.header("range")) and (span := _span(ask, text, thing)):
        start, stop = span
        status = 206
    if status == 206 and stop > start:
        headers.append(("content-range", f"bytes {start}-{stop - 1}/{thing.size}"))
    elif thing.sums and ask.header("x-amz-checksum-mode").upper() == "ENABLED":
        headers += things.sums_shown(thing)
    headers.append(("content-length", str(stop - start)))
    if request.method == "HEAD":
        return Reply(status, headers)
    body, stream = await begun(source(start, stop) if stop > start else None, stop - start)
    return Reply(status, headers, body, stream)


def _overridden(ask: Ask, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    over = {_OVERRIDES[name]: value for name, value in ask.pairs if name in _OVERRIDES}
    if not over:
        return headers
    if ask.proof is None:
        raise S3Error("InvalidRequest", "Request specific response headers cannot be used for anonymous GET requests.")
    if any(letter < " " or letter == "\x7f" for value in over.values() for letter in value):
        raise S3Error("InvalidArgument", "A response header may not hold control characters.")
    return [line for line in headers if line[0] not in over] + list(over.items())


def _span(ask: Ask, text: str, thing: Object) -> tuple[int, int] | None:
    """The bytes that a range means; None where it means nothing. Raises InvalidRange."""
    unit, _, ranges = text.partition("=")
    first, dash, last = ranges.strip().partition("-")
    if unit.strip().lower() != "bytes" or not dash or not all(part == "" or (part.isascii() and part.isdigit()) for part in (first, last)):
        return None
    if (mark := ask.header("if-range")) and mark.strip('"') != thing.etag and mark != http_date(thing.stamp):
        return None
    if not first:
        if not last:
            return None
        start, stop = max(thing.size - int(last[:20]), 0), thing.size
    else:
        start = int(first[:20])
        stop = min(int(last[:20]) + 1, thing.size) if last else thing.size
        if last and int(last[:20]) < start:
            return None
    if start >= thing.size or start >= stop:
        raise S3Error("InvalidRange", RangeRequested=text[:128], ActualObjectSize=str(thing.size), headers={"content-range": f"bytes */{thing.size}"})
    return start, stop


def _part(ask: Ask, thing: Object) -> tuple[int, int]:
    """The bytes of a part. Raises InvalidPartNumber, InvalidArgument, InvalidRequest."""
    text = ask.query["partNumber"]
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:8]) <= 10_000):
        raise S3Error("InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive", ArgumentName="partNumber")
    if ask.header("range"):
        raise S3Error("InvalidRequest", "Cannot specify both Range header and partNumber query parameter")
    sizes, number = thing.parts or [thing.size], int(text)
    if number > len(sizes):
        raise S3Error("InvalidPartNumber", PartNumberRequested=text, ActualPartCount=str(len(sizes)))
    start = sum(sizes[: number - 1])
    return start, start + sizes[number - 1]


_ATTRIBUTES = ("ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize")


async def attributes(ask: Ask) -> Reply:
    """GetObjectAttributes."""
    place = ask.place
    found = looked_up(ask, place, ask.key, ask.version, "GetObjectAttributes")
    thing, _source = await opened(ask, found, place, encryption.brought(ask))
    wanted = {name.strip() for name in ask.header("x-amz-object-attributes").split(",") if name.strip()}
    if not wanted or not wanted <= set(_ATTRIBUTES):
        raise S3Error("InvalidArgument", "Invalid attribute name specified.", ArgumentName="x-amz-object-attributes")
    every = [
        ("ETag", thing.etag), ("Checksum", things.sums_fields(thing) or None), ("ObjectParts", _parts(ask, thing) if thing.parts else None),
        ("StorageClass", thing.s3.get("class", "STANDARD")), ("ObjectSize", thing.size),
    ]  # fmt: skip
    headers = [("content-type", "application/xml"), ("last-modified", http_date(thing.stamp))]
    if place.container.versioning:
        headers.append(("x-amz-version-id", thing.version or "null"))
    return Reply(200, headers, document("GetObjectAttributesResponse", [line for line in every if line[0] in wanted]))


def _parts(ask: Ask, thing: Object) -> list[tuple[str, object]]:
    most = _number(ask.header("x-amz-max-parts"), 1000)
    after = _number(ask.header("x-amz-part-number-marker"), 0)
    lines: list[tuple[str, object]] = [
        ("PartsCount", len(thing.parts)), ("PartNumberMarker", after), ("NextPartNumberMarker", min(after + most, len(thing.parts))),
        ("MaxParts", most), ("IsTruncated", after + most < len(thing.parts)),
    ]  # fmt: skip
    digests: dict[str, list[str]] = thing.s3.get("part_sums", {})
    for number in range(after + 1, min(after + most, len(thing.parts)) + 1):
        each = [(f"Checksum{name.upper()}", values[number - 1]) for name, values in digests.items()]
        lines.append(("Part", [*each, ("PartNumber", number), ("Size", thing.parts[number - 1])]))
    return lines


def _number(text: str, default: int) -> int:
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 9):
        raise S3Error("InvalidArgument", "A number was expected.", ArgumentValue=text[:64])
    return min(int(text), 1000) if default else int(text)


