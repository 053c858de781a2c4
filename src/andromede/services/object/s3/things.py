"""Objects as S3's headers describe them, in and out."""

from typing import Any

from andromede.services.object.model import Object
from andromede.services.object.s3 import acl, encryption, lifecycle, locks, sums, tagging
from andromede.services.object.s3.ask import Ask, http_date
from andromede.services.object.s3.errors import S3Error
from andromede.services.object.s3.states import status
from andromede.services.object.service import Place

KEPT = {"cache-control", "content-disposition", "content-encoding", "content-language", "expires", "x-amz-website-redirect-location"}
_META, _META_MOST = "x-amz-meta-", 2048
_SPECIAL = {
    "x-amz-tagging", "x-amz-acl", "x-amz-grant-read", "x-amz-grant-write", "x-amz-grant-read-acp", "x-amz-grant-write-acp",
    "x-amz-grant-full-control", "x-amz-storage-class", *encryption.HEADERS, *locks.HEADERS,
}  # fmt: skip
_BUCKETS = {"lock", "encryption", "ownership", "block"}
DEFAULT_TYPE = "binary/octet-stream"


def described(ask: Ask, place: Place) -> tuple[Object, bytes | None]:
    """The object that a request's headers describe, without bytes, and the key that they bring. Raises S3Error."""
    kept, special, size = {}, False, 0
    for name, value in ask.request.headers.items():
        if name in KEPT:
            kept[name] = value
        elif name.startswith(_META):
            kept[name[6:]] = value
            size += len(name) - 11 + len(value.encode("utf-8", "surrogateescape"))
        elif name in _SPECIAL:
            special = True
    if size > _META_MOST:
        raise S3Error("MetadataTooLarge", MaxSizeAllowed=str(_META_MOST), Size=str(size))
    if size and any("\udc80" <= letter <= "\udcff" for value in kept.values() for letter in value):
        kept = {name: value.encode("utf-8", "surrogateescape").decode("latin-1") for name, value in kept.items()}
    if "aws-chunked" in kept.get("content-encoding", ""):
        rest = ",".join(part for part in kept.pop("content-encoding").split(",") if part.strip() != "aws-chunked")
        if rest:
            kept["content-encoding"] = rest.strip()
    kind = ask.header("content-type", DEFAULT_TYPE)
    if not special and not (place.container.s3 and _BUCKETS & place.container.s3.keys()):
        return Object(content_type=kind, headers=kept), None
    key = encryption.brought(ask)
    return Object(content_type=kind, headers=kept, s3=_special(ask, place, key)), key


def _special(ask: Ask, place: Place, key: bytes | None) -> dict[str, Any]:
    s3: dict[str, Any] = dict(encryption.asked(ask, place, key))
    if ask.header("x-amz-tagging"):
        s3["tags"] = tagging.from_header(ask.header("x-amz-tagging"))
    grants = acl.from_headers(ask, place.account)
    if place.container.s3.get("ownership") == acl.ENFORCED and ask.header("x-amz-acl", acl.OWNERS) != acl.OWNERS:
        raise S3Error("AccessControlListNotSupported")
    if grants is not None:
        acl.settable(place, grants, place.account)
        if grants != [[place.account, acl.FULL]]:
            s3["acl"] = grants
    if (name := ask.header("x-amz-storage-class", "STANDARD")) != "STANDARD":
        storage(ask, name)
        s3["class"] = name
    return s3 | locks.for_new(ask, place)


def storage(ask: Ask, name: str) -> str:
    """The driver's storage class of one of S3's. Raises InvalidStorageClass."""
    if name == "STANDARD":
        return ""
    if name not in ask.settings.classes:
        raise S3Error("InvalidStorageClass", StorageClassRequested=name[:64])
    return ask.settings.classes[name]


def shown(ask: Ask, place: Place, thing: Object) -> list[tuple[str, str]]:
    """The headers of an object, but for its length."""
    lines = [
        ("last-modified", http_date(thing.stamp)), ("etag", f'"{thing.etag}"'), ("accept-ranges", "bytes"), ("content-type", thing.content_type),
    ]  # fmt: skip
    for name, value in thing.headers.items():
        if name.startswith("meta-"):
            lines.append((f"x-amz-{name}", value))
        elif name in KEPT:
            lines.append((name, value))
    if place.container.versioning:
        lines.append(("x-amz-version-id", thing.version or "null"))
    if s3 := thing.s3:
        lines += encryption.shown(ask, thing)
        lines += locks.shown(thing)
        if "class" in s3:
            lines.append(("x-amz-storage-class", s3["class"]))
        if "replication" in s3 or "replica" in s3:
            lines.append(("x-amz-replication-status", status(thing)))
        if s3.get("tags"):
            lines.append(("x-amz-tagging-count", str(len(s3["tags"]))))
    if "lifecycle" in place.container.s3 and (text := lifecycle.expiry(place.container.s3["lifecycle"], ask.key, thing)):
        lines.append(("x-amz-expiration", text))
    return lines


def sums_shown(thing: Object) -> list[tuple[str, str]]:
    """The headers of an object's checksums."""
    if not thing.sums:
        return []
    lines = [(sums.PREFIX + name, value) for name, value in thing.sums.items()]
    return [*lines, (sums.PREFIX + "type", thing.s3.get("sum_type", sums.FULL))]


def part_sums_shown(thing: Object, number: int) -> list[tuple[str, str]]:
    """The headers of the checksums of one part."""
    if not thing.parts:
        return sums_shown(thing)
    lines = [(sums.PREFIX + name, values[number - 1]) for name, values in thing.s3.get("part_sums", {}).items()]
    return [*lines, (sums.PREFIX + "type", thing.s3.get("sum_type", sums.FULL))] if lines else lines


def sums_fields(thing: Object, *, kind: bool = True) -> list[tuple[str, str]]:
    """An object's checksums as elements of a document."""
    lines = [(f"Checksum{name.upper()}", value) for name, value in thing.sums.items()]
    return [*lines, ("ChecksumType", thing.s3.get("sum_type", sums.FULL))] if lines and kind else lines


def made(ask: Ask, place: Place, thing: Object) -> list[tuple[str, str]]:
    """The headers that tell of an object that was just put."""
    lines = [("etag", f'"{thing.etag}"')]
    if thing.version:
        lines.append(("x-amz-version-id", thing.version))
    if thing.sums:
        lines += sums_shown(thing)
    if thing.s3:
        lines += encryption.shown(ask, thing)
    if "lifecycle" in place.container.s3 and (text := lifecycle.expiry(place.container.s3["lifecycle"], ask.key, thing)):
        lines.append(("x-amz-expiration", text))
    return lines
