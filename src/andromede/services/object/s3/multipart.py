"""Uploads in parts: create, put and copy parts, list them, complete, abort.

An upload's object keeps in `s3` what is needed until it is complete: `sum`, the algorithm of its checksum, `sum_type`, and `upload`, its id,
which stays so that a completion that is repeated is answered as the first.
"""

from itertools import pairwise

import msgspec

from andromede.http.plain import Reply
from andromede.services.object import sealing, uploads
from andromede.services.object.errors import NoUpload
from andromede.services.object.model import Object
from andromede.services.object.s3 import encryption, room, sums, things, when, writing
from andromede.services.object.s3.ask import Ask, iso
from andromede.services.object.s3.errors import S3Error
from andromede.services.object.s3.incoming import Incoming
from andromede.services.object.s3.listing import whole
from andromede.services.object.s3.writing import XML
from andromede.services.object.s3.xml import Node, document, malformed, parsed
from andromede.services.object.uploads import Part, Upload

_MOST_PARTS = 10_000


async def create(ask: Ask) -> Reply:
    """CreateMultipartUpload."""
    place = ask.place
    thing, brought = things.described(ask, place)
    await encryption.keyed(ask, place, thing, brought)
    name, kind = ask.header("x-amz-checksum-algorithm"), ask.header("x-amz-checksum-type")
    headers = [XML, *encryption.shown(ask, thing)]
    if kind and not name:
        raise S3Error("InvalidRequest", "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.")
    if name:
        thing.s3["sum"] = sums.algorithm(name)
        thing.s3["sum_type"] = sums.kind_for(thing.s3["sum"], kind.upper())
        headers += [("x-amz-checksum-algorithm", name.upper()), ("x-amz-checksum-type", thing.s3["sum_type"])]
    upload = await uploads.begin(ask.objects, place, ask.key, thing)
    body = document("InitiateMultipartUploadResult", [("Bucket", ask.bucket), ("Key", ask.key), ("UploadId", upload.id)])
    return Reply(200, headers, body)


def _upload(ask: Ask) -> Upload:
    name = ask.query.get("uploadId", "")
    if len(name) != 32 or any(letter not in "0123456789abcdef" for letter in name):
        raise S3Error("NoSuchUpload", UploadId=name[:128])
    return uploads.find(ask.objects, ask.place, ask.key, name)


def _number(ask: Ask) -> int:
    text = ask.query.get("partNumber", "")
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:8]) <= _MOST_PARTS):
        raise S3Error("InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive", ArgumentName="partNumber",
                      ArgumentValue=text[:64])  # fmt: skip
    return int(text)


async def _key(ask: Ask, upload: Upload) -> bytes | None:
    key = encryption.brought(ask)
    try:
        encryption.opens(upload.object, key)
    except S3Error as error:
        if error.kind == "AccessDenied":
            raise S3Error("InvalidArgument", "The provided encryption parameters did not match the ones used originally.") from error
        raise S3Error("InvalidRequest", "The multipart upload initiate requested encryption. Subsequent part requests must include the "
                      "appropriate encryption parameters.") from error  # fmt: skip
    return await sealing.secret_of(ask.objects, upload.object) if "kms" in upload.object.s3 else key


async def put_part(ask: Ask) -> Reply:
    """UploadPart and UploadPartCopy."""
    number, upload, place = _number(ask), _upload(ask), ask.place
    if "x-amz-copy-source" in ask.request.headers:
        return await _copy_part(ask, upload, number)
    key = await _key(ask, upload)
    incoming = Incoming(ask.request, ask.proof, ask.settings.most_put, algorithm=upload.object.s3.get("sum", ""))
    await room.check(ask, place, incoming.length, 0)
    blob = await writing.taken(ask, place, incoming, things.storage(ask, upload.object.s3.get("class", "STANDARD")), key)
    thing = Object(size=blob.size, etag=incoming.etag, sums=incoming.sums)
    kept = await uploads.put_part(ask.objects, place, upload, number, thing, [blob])
    lines = [("etag", f'"{kept.etag}"'), *((sums.PREFIX + name, value) for name, value in kept.sums.items())]
    return Reply(200, lines + encryption.shown(ask, upload.object))


async def _copy_part(ask: Ask, upload: Upload, number: int) -> Reply:
    place, key = ask.place, await _key(ask, upload)
    source = await writing.source_of(ask)
    start, stop = 0, source.thing.size
    if text := ask.header("x-amz-copy-source-range"):
        first, dash, last = text.removeprefix("bytes=").partition("-")
        if not (text.startswith("bytes=") and dash and first.isascii() and first.isdigit() and last.isascii() and last.isdigit()):
            raise S3Error("InvalidArgument", "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the "
                          "zero-based offsets of the first and last bytes to copy", ArgumentName="x-amz-copy-source-range")  # fmt: skip
        start, stop = int(first[:20]), int(last[:20]) + 1
        if stop > source.thing.size or start >= stop:
            raise S3Error("InvalidRange", f"Range specified is not valid for source object of size: {source.thing.size}")
    if stop - start > ask.settings.most_put:
        raise S3Error("InvalidRequest", f"The specified copy range is larger than the maximum allowable size: {ask.settings.most_put}")
    await room.check(ask, place, stop - start, 0)
    md5, name = sums.new("md5"), upload.object.s3.get("sum", "")
    hashes = {name: sums.new(name)} if name else {}
    blob = await ask.objects.store.write(
        place.account, source.read(start, stop), storage=things.storage(ask, upload.object.s3.get("class", "STANDARD")), key=key,
        hashers=[md5, *hashes.values()],
    )  # fmt: skip
    thing = Object(size=blob.size, etag=md5.digest().hex(), sums={name: sums.text(each.digest()) for name, each in hashes.items()})
    kept = await uploads.put_part(ask.objects, place, upload, number, thing, [blob])
    result = [("LastModified", iso(kept.stamp)), ("ETag", f'"{kept.etag}"'), *things.sums_fields(kept, kind=False)]
    headers = [XML, *encryption.shown(ask, upload.object)]
    if source.place.container.versioning:
        headers.append(("x-amz-copy-source-version-id", source.thing.version or "null"))
    return Reply(200, headers, document("CopyPartResult", result))


async def list_parts(ask: Ask) -> Reply:
    """ListParts."""
    upload, place = _upload(ask), ask.place
    most = whole(ask.query.get("max-parts", ""), "max-parts")
    after = whole(ask.query.get("part-number-marker", "0"), "part-number-marker", _MOST_PARTS)
    parts = uploads.parts(ask.objects, place, upload, after, most + 1) if most else []
    more, parts = len(parts) > most, parts[:most]
    s3 = upload.object.s3
    lines = [
        ("Bucket", ask.bucket), ("Key", ask.key), ("UploadId", upload.id), ("Initiator", [("ID", place.account)]),
        ("Owner", [("ID", place.account)]), ("StorageClass", s3.get("class", "STANDARD")), ("PartNumberMarker", after),
        ("NextPartNumberMarker", parts[-1].number if parts else after), ("MaxParts", most), ("IsTruncated", more),
        ("ChecksumAlgorithm", s3["sum"].upper() if "sum" in s3 else None), ("ChecksumType", s3.get("sum_type")),
        *(("Part", [
            ("PartNumber", part.number), ("LastModified", iso(part.object.stamp)), ("ETag", f'"{part.object.etag}"'), ("Size", part.object.size),
            *things.sums_fields(part.object, kind=False),
        ]) for part in parts),
    ]  # fmt: skip
    return Reply(200, [XML], document("ListPartsResult", lines))


async def abort(ask: Ask) -> Reply:
    """AbortMultipartUpload."""
    await uploads.abort(ask.objects, ask.place, _upload(ask))
    return Reply(204)


async def complete(ask: Ask) -> Reply:
    """CompleteMultipartUpload."""
    place, condition = ask.place, when.for_writing(ask)
    told = {name for name in ask.request.headers if name in sums.HEADERS}
    body = Incoming(ask.request, ask.proof, ask.settings.most_xml, of_body=False)
    root = await parsed(await body.whole(), "CompleteMultipartUpload")
    wanted = [_wanted(node) for node in root.all("Part")]
    if not wanted or len(wanted) > _MOST_PARTS:
        raise malformed()
    if any(one[0] >= other[0] for one, other in pairwise(wanted)):
        raise S3Error("InvalidPartOrder")
    try:
        upload = _upload(ask)
        parts = {part.number: part for part in uploads.parts(ask.objects, place, upload)}
        used = [part for number, _etag, _sums in wanted if (part := parts.get(number))]
        size = sum(part.object.size for part in used)
        if size > ask.settings.most_object:
            raise S3Error("EntityTooLarge", MaxSizeAllowed=str(ask.settings.most_object), ProposedSize=str(size))
        if (text := ask.header("x-amz-mp-object-size")) and text != str(size):
            raise S3Error("InvalidRequest", "The provided 'x-amz-mp-object-size' header value does not match what was computed")
        await room.check(ask, place, 0)
        thing = _with_sums(ask, upload, used, told, wanted)
        found = await uploads.complete(ask.objects, place, upload, [each[:2] for each in wanted], thing, condition, cause=ask.cause())
    except NoUpload:
        return _completed(ask, _repeated(ask, wanted))
    return _completed(ask, found.object)


def _wanted(node: Node) -> tuple[int, str, dict[str, str]]:
    number, etag = node.value("PartNumber").strip(), node.value("ETag").strip().strip('"')
    if not (number.isascii() and number.isdigit() and 1 <= int(number[:8]) <= _MOST_PARTS) or not etag:
        raise malformed()
    return int(number), etag, {name: node.value(f"Checksum{name.upper()}") for name in sums.LENGTHS if node.value(f"Checksum{name.upper()}")}


def _with_sums(ask: Ask, upload: Upload, parts: list[Part], told: set[str], wanted: list[tuple[int, str, dict[str, str]]]) -> Object:
    """The object that an upload is to become, with its checksum. Raises InvalidPart, BadDigest."""
    s3 = {name: value for name, value in upload.object.s3.items() if name not in {"sum", "sum_type"}} | {"upload": upload.id}
    thing = msgspec.structs.replace(upload.object, s3=s3)
    by_number = {part.number: part.object.sums for part in parts}
    for number, _etag, given in wanted:
        for each, value in given.items():
            if number in by_number and by_number[number].get(each, value) != value:
                raise S3Error("InvalidPart", PartNumber=str(number))
    name = upload.object.s3.get("sum", "")
    if not name or any(name not in part.object.sums for part in parts):
        return thing
    kind = upload.object.s3["sum_type"]
    digests = [part.object.sums[name] for part in parts]
    s3["part_sums"] = {name: digests}
    if kind == sums.COMPOSITE:
        value = sums.composite(name, digests)
        s3["sum_type"] = kind
    else:
        value = sums.combined(name, [(part.object.sums[name], part.object.size) for part in parts])
    header = sums.PREFIX + name
    if header in told and ask.header(header).partition("-")[0] != value.partition("-")[0] and len(parts) == len(wanted):
        raise S3Error("BadDigest", f"The {name} you specified did not match the calculated checksum.")
    return msgspec.structs.replace(thing, sums={name: value})


def _repeated(ask: Ask, wanted: list[tuple[int, str, dict[str, str]]]) -> Object:
    """The object that an upload became earlier. Raises NoSuchUpload."""
    newest = ask.objects.newest(ask.place, ask.key)
    if newest is None or newest.object.s3.get("upload") != ask.query["uploadId"] or len(newest.object.parts) != len(wanted):
        raise S3Error("NoSuchUpload", UploadId=ask.query["uploadId"])
    return newest.object


def _completed(ask: Ask, thing: Object) -> Reply:
    headers = [line for line in things.made(ask, ask.place, thing) if line[0] != "etag" and not line[0].startswith(sums.PREFIX)]
    host = ask.header("host")
    path = f"/{ask.key}" if ask.settings.domain and host.partition(":")[0].endswith("." + ask.settings.domain) else f"/{ask.bucket}/{ask.key}"
    result = [
        ("Location", f"{ask.request.scheme}://{host}{path}"), ("Bucket", ask.bucket), ("Key", ask.key), ("ETag", f'"{thing.etag}"'),
        *things.sums_fields(thing),
    ]  # fmt: skip
    return Reply(200, [XML, *headers], document("CompleteMultipartUploadResult", result))
