"""Listings: ListObjects, ListObjectsV2, ListObjectVersions, ListMultipartUploads."""

import base64
import binascii
from typing import Any
from urllib.parse import quote

from andromede.http.plain import Reply
from andromede.services.object import uploads
from andromede.services.object.contents import tag
from andromede.services.object.model import MARKER, Object
from andromede.services.object.s3.ask import Ask, iso
from andromede.services.object.s3.errors import S3Error
from andromede.services.object.s3.writing import XML
from andromede.services.object.s3.xml import document

_MOST = 1000
Lines = list[tuple[str, Any]]


class _Asked:
    """What every listing is asked for. Texts are written through `show`, which quotes them where that was asked for."""

    def __init__(self, ask: Ask, most: str) -> None:
        query = ask.query
        self.prefix, self.delimiter = query.get("prefix", ""), query.get("delimiter", "")
        self.most = whole(query.get(most, ""), most)
        self.encoding = query.get("encoding-type", "")
        if self.encoding not in {"", "url"}:
            raise S3Error("InvalidArgument", "Invalid Encoding Method specified in Request", ArgumentName="encoding-type")

    def show(self, text: str) -> str:
        """A name as the document has it."""
        return quote(text, safe="/-_.~*") if self.encoding else text

    def group(self, name: str) -> str:
        """What a name shares with others up to the delimiter, "" where it shares nothing."""
        at = name.find(self.delimiter, len(self.prefix)) if self.delimiter else -1
        return name[: at + len(self.delimiter)] if at >= 0 else ""

    def groups(self, names: list[str]) -> Lines:
        """The lines of what is shared."""
        return [("CommonPrefixes", [("Prefix", self.show(name))]) for name in names]


def whole(text: str, name: str, most: int = _MOST) -> int:
    """How many lines are wanted at most. Raises InvalidArgument."""
    if not text:
        return most
    if not (text.isascii() and text.isdigit() and len(text) < 11) or int(text) > 2**31 - 1:
        raise S3Error("InvalidArgument", f"Provided {name} not an integer or within integer range", ArgumentName=name, ArgumentValue=text[:64])
    return min(int(text), most)


def following(group: str) -> str:
    """The first text after all that begin with a group, "" where there is none."""
    while group:
        code = ord(group[-1]) + 1
        if code <= 0x10FFFF:
            return group[:-1] + chr(0xE000 if code == 0xD800 else code)
        group = group[:-1]
    return ""


def _content(asked: _Asked, name: str, thing: Object, owner: str) -> tuple[str, Lines]:
    lines: Lines = [("Key", asked.show(name)), ("LastModified", iso(thing.stamp)), ("ETag", f'"{tag(thing)}"')]
    if thing.sums:
        lines += [("ChecksumAlgorithm", each.upper()) for each in thing.sums]
        lines.append(("ChecksumType", thing.s3.get("sum_type", "FULL_OBJECT")))
    lines.append(("Size", thing.size))
    if owner:
        lines.append(("Owner", [("ID", owner), ("DisplayName", owner)]))
    lines.append(("StorageClass", thing.s3.get("class", "STANDARD")))
    return "Contents", lines


async def objects(ask: Ask) -> Reply:
    """ListObjects and ListObjectsV2."""
    second = ask.query.get("list-type") == "2"
    if "list-type" in ask.query and not second:
        raise S3Error("InvalidArgument", "Invalid List Type specified in Request", ArgumentName="list-type")
    place, asked, query = ask.place, _Asked(ask, "max-keys"), ask.query
    marker, start = query.get("marker", ""), query.get("start-after", "")
    token = query.get("continuation-token")
    if not second:
        start = marker
    elif token is not None:
        start = _name(token)
    found = ask.objects.listing(
        place, prefix=asked.prefix, delimiter=asked.delimiter, start=start, limit=asked.most + 1, after=True
    ) if asked.most else []  # fmt: skip
    more, found = len(found) > asked.most, found[: asked.most]
    owner = place.account if not second or query.get("fetch-owner", "").lower() == "true" else ""
    last = found[-1].name if more else ""
    head: Lines = [("Name", place.name), ("Prefix", asked.show(asked.prefix))]
    if second:
        head += [
            ("KeyCount", len(found)), ("MaxKeys", asked.most), ("IsTruncated", more), ("ContinuationToken", token),
            ("NextContinuationToken", base64.urlsafe_b64encode(last.encode()).decode() if more else None),
            ("StartAfter", asked.show(query["start-after"]) if query.get("start-after") else None),
        ]  # fmt: skip
    else:
        head += [
            ("Marker", asked.show(marker)), ("NextMarker", asked.show(last) if more and asked.delimiter else None), ("MaxKeys", asked.most),
            ("IsTruncated", more),
        ]  # fmt: skip
    head += [("Delimiter", asked.show(asked.delimiter) if asked.delimiter else None), ("EncodingType", asked.encoding or None)]
    head += [_content(asked, line.name, line.object, owner) for line in found if line.object is not None]
    head += asked.groups([line.name for line in found if line.object is None])
    return Reply(200, [XML], document("ListBucketResult", head))


def _name(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise S3Error("InvalidArgument", "The continuation token provided is incorrect", ArgumentName="continuation-token") from error


async def versions(ask: Ask) -> Reply:
    """ListObjectVersions."""
    place, asked, query = ask.place, _Asked(ask, "max-keys"), ask.query
    start, mark = query.get("key-marker", ""), query.get("version-id-marker", "")
    if mark and not start:
        raise S3Error("InvalidArgument", "A version-id marker cannot be specified without a key marker.", ArgumentName="version-id-marker")
    lines: Lines = []
    groups: list[str] = []
    last = ("", "")
    more, low, low_mark, seen = False, start, mark, start
    while asked.most:
        jump: str | None = None
        for found in ask.objects.versions(place, prefix=asked.prefix, start=low, version=low_mark, room=12 if asked.delimiter else 200):
            group = asked.group(found.name)
            if (found.name == seen and not low_mark) or (group and group == seen):
                continue
            if len(lines) + len(groups) == asked.most:
                more = True
                break
            if group:
                groups.append(group)
                last, seen, jump = (group, ""), group, following(group) or None
                break
            last = (found.name, found.object.version or "null")
            lines.append(_version(asked, found.name, found.object, place.account, latest=found.current))
        if jump is None:
            break
        low, low_mark = jump, ""
    head: Lines = [
        ("Name", place.name), ("Prefix", asked.show(asked.prefix)), ("KeyMarker", asked.show(start)), ("VersionIdMarker", mark),
        ("NextKeyMarker", asked.show(last[0]) if more else None), ("NextVersionIdMarker", last[1] or None if more else None),
        ("MaxKeys", asked.most), ("IsTruncated", more), ("Delimiter", asked.show(asked.delimiter) if asked.delimiter else None),
        ("EncodingType", asked.encoding or None),
    ]  # fmt: skip
    return Reply(200, [XML], document("ListVersionsResult", head + lines + asked.groups(groups)))


def _version(asked: _Asked, name: str, thing: Object, owner: str, *, latest: bool) -> tuple[str, Lines]:
    marker = thing.kind == MARKER
    lines: Lines = [
        ("Key", asked.show(name)), ("VersionId", thing.version or "null"), ("IsLatest", latest), ("LastModified", iso(thing.stamp)),
    ]  # fmt: skip
    if not marker:
        lines += [("ETag", f'"{tag(thing)}"'), ("Size", thing.size), ("StorageClass", thing.s3.get("class", "STANDARD"))]
    lines.append(("Owner", [("ID", owner), ("DisplayName", owner)]))
    return "DeleteMarker" if marker else "Version", lines


async def multipart(ask: Ask) -> Reply:
    """ListMultipartUploads."""
    place, asked, query = ask.place, _Asked(ask, "max-uploads"), ask.query
    start, mark = query.get("key-marker", ""), query.get("upload-id-marker", "")
    low, after = (start, mark) if mark else (start + "\0g" if start else "", "")
    if start and asked.group(start) == start:
        low = following(start)
    lines: Lines = []
    groups: list[str] = []
    who = [("ID", place.account), ("DisplayName", place.account)]
    last, more = ("", ""), False
    while asked.most and not more:
        page = uploads.uploads(ask.objects, place, prefix=asked.prefix, start=low, after=after, limit=asked.most + 1)
        jump = ""
        for upload in page:
            if len(lines) + len(groups) == asked.most:
                more = True
                break
            if group := asked.group(upload.name):
                groups.append(group)
                last, jump = (group, ""), following(group)
                break
            last = (upload.name, upload.id)
            lines.append(("Upload", [
                ("Key", asked.show(upload.name)), ("UploadId", upload.id), ("Initiator", who), ("Owner", who),
                ("StorageClass", upload.object.s3.get("class", "STANDARD")), ("Initiated", iso(upload.object.stamp)),
                ("ChecksumAlgorithm", upload.object.s3["sum"].upper() if "sum" in upload.object.s3 else None),
                ("ChecksumType", upload.object.s3.get("sum_type")),
            ]))  # fmt: skip
        if not jump:
            break
        low, after = jump, ""
    head: Lines = [
        ("Bucket", place.name), ("KeyMarker", asked.show(start)), ("UploadIdMarker", mark), ("NextKeyMarker", asked.show(last[0]) if more else None),
        ("NextUploadIdMarker", last[1] if more else None), ("Prefix", asked.show(asked.prefix)),
        ("Delimiter", asked.show(asked.delimiter) if asked.delimiter else None), ("EncodingType", asked.encoding or None),
        ("MaxUploads", asked.most), ("IsTruncated", more),
    ]  # fmt: skip
    return Reply(200, [XML], document("ListMultipartUploadsResult", head + lines + asked.groups(groups)))
