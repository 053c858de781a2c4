"""Listings in all their forms, and uploads in parts, through boto3."""

import base64
import hashlib
import zlib

import pytest

from andromede.services.object import uploads
from tests import s3 as ground
from tests.s3 import fails

NAMES = ["a", "a b", "a+b", "b/1", "b/2", "b/c/1", "b/c/2", "d", "z&<>", "é/x", "é/y"]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    before, uploads.LEAST = uploads.LEAST, 100
    with ground.site(tmp_path_factory.mktemp("s3")) as made:
        yield made
    uploads.LEAST = before


@pytest.fixture(scope="module")
def s3(site):
    return site.client()


@pytest.fixture
def bucket(site):
    return site.bucket()


@pytest.fixture(scope="module")
def full(site, s3):
    name = site.bucket()
    for key in NAMES:
        s3.put_object(Bucket=name, Key=key, Body=key.encode())
    return name


def keys(page, kind="Contents"):
    return [each["Key"] for each in page.get(kind, [])]


def shared(page):
    return [each["Prefix"] for each in page.get("CommonPrefixes", [])]


def test_version_two(s3, full):
    page = s3.list_objects_v2(Bucket=full)
    assert (keys(page), page["KeyCount"], page["IsTruncated"], page["MaxKeys"]) == (NAMES, len(NAMES), False, 1000)
    assert "Owner" not in page["Contents"][0]
    assert page["Contents"][0]["ETag"] == f'"{hashlib.md5(b"a").hexdigest()}"'
    assert s3.list_objects_v2(Bucket=full, FetchOwner=True)["Contents"][0]["Owner"]["ID"]
    page = s3.list_objects_v2(Bucket=full, Delimiter="/")
    assert (keys(page), shared(page), page["KeyCount"]) == (["a", "a b", "a+b", "d", "z&<>"], ["b/", "é/"], 7)
    page = s3.list_objects_v2(Bucket=full, Delimiter="/", Prefix="b/")
    assert (keys(page), shared(page)) == (["b/1", "b/2"], ["b/c/"])
    assert keys(s3.list_objects_v2(Bucket=full, StartAfter="b/c/1")) == NAMES[6:]
    page = s3.list_objects_v2(Bucket=full, MaxKeys=0)
    assert (keys(page), page["IsTruncated"], page["KeyCount"]) == ([], False, 0)
    for size in (1, 2, 3):
        pages = list(
            s3.get_paginator("list_objects_v2").paginate(Bucket=full, Delimiter="/", PaginationConfig={"PageSize": size})
        )
        assert [key for page in pages for key in keys(page)] == ["a", "a b", "a+b", "d", "z&<>"]
        assert [each for page in pages for each in shared(page)] == ["b/", "é/"]
        pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket=full, PaginationConfig={"PageSize": size}))
        assert [key for page in pages for key in keys(page)] == NAMES
    with fails("InvalidArgument", 400):
        s3.list_objects_v2(Bucket=full, ContinuationToken="nonsense!")
    with fails("InvalidArgument", 400):
        s3.list_objects_v2(Bucket=full, MaxKeys=-1)
    assert s3.list_objects_v2(Bucket=full, MaxKeys=5000)["MaxKeys"] == 1000


def test_version_one(s3, full):
    page = s3.list_objects(Bucket=full, MaxKeys=3)
    assert (keys(page), page["IsTruncated"], page["Marker"]) == (NAMES[:3], True, "")
    assert "NextMarker" not in page
    assert page["Contents"][0]["Owner"]["ID"]
    page = s3.list_objects(Bucket=full, MaxKeys=4, Delimiter="/")
    assert (keys(page), shared(page), page["NextMarker"]) == (NAMES[:3], ["b/"], "b/")
    page = s3.list_objects(Bucket=full, MaxKeys=4, Delimiter="/", Marker="b/")
    assert (keys(page), shared(page), page["IsTruncated"]) == (["d", "z&<>"], ["é/"], False)
    pages = list(s3.get_paginator("list_objects").paginate(Bucket=full, Delimiter="/", PaginationConfig={"PageSize": 1}))
    assert [each for page in pages for each in shared(page)] == ["b/", "é/"]


def test_names_are_quoted_where_that_is_asked_for(site, full):
    _status, _headers, body = site.send("GET", f"/{full}?encoding-type=url&list-type=2")
    assert b"<Key>%C3%A9/x</Key>" in body
    assert b"<Key>a%2Bb</Key>" in body
    _status, _headers, body = site.send("GET", f"/{full}?list-type=2")
    assert "<Key>é/x</Key>".encode() in body
    assert b"<Key>z&amp;&lt;&gt;</Key>" in body
    assert site.send("GET", f"/{full}?encoding-type=utf")[0] == 400
    assert site.send("GET", f"/{full}?list-type=3")[0] == 400


def test_versions(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    made = []
    for number in range(3):
        made += [
            (key, s3.put_object(Bucket=bucket, Key=key, Body=str(number).encode())["VersionId"])
            for key in ("a", "b/1", "b/2", "c")
        ]
    marker = s3.delete_object(Bucket=bucket, Key="a")
    assert marker["DeleteMarker"] is True
    page = s3.list_object_versions(Bucket=bucket)
    assert len(page["Versions"]) == 12
    assert [(each["Key"], each["VersionId"], each["IsLatest"]) for each in page["DeleteMarkers"]] == [
        ("a", marker["VersionId"], True)
    ]
    assert [each["Key"] for each in page["Versions"] if each["IsLatest"]] == ["b/1", "b/2", "c"]
    for size in (1, 2, 3, 5):
        pages = list(s3.get_paginator("list_object_versions").paginate(Bucket=bucket, PaginationConfig={"PageSize": size}))
        told = [(each["Key"], each["VersionId"]) for page in pages for each in page.get("Versions", [])]
        assert sorted(told) == sorted(made)
        assert sum(each["IsLatest"] for page in pages for each in page.get("Versions", []) + page.get("DeleteMarkers", [])) == 4
        pages = list(
            s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": size})
        )
        assert [each for page in pages for each in shared(page)] == ["b/"]
        assert {key for page in pages for key in keys(page, "Versions")} == {"a", "c"}
    assert keys(s3.list_object_versions(Bucket=bucket, Prefix="b/", KeyMarker="b/1"), "Versions") == ["b/2"] * 3


PART = b"x" * 100


def upload(s3, bucket, key, sizes, **more):
    begun = s3.create_multipart_upload(Bucket=bucket, Key=key, **more)
    told = []
    for number, data in enumerate(sizes, 1):
        extra = {name: more[name] for name in ("ChecksumAlgorithm",) if name in more}
        part = s3.upload_part(Bucket=bucket, Key=key, UploadId=begun["UploadId"], PartNumber=number, Body=data, **extra)
        told.append(
            {"PartNumber": number, "ETag": part["ETag"]}
            | {name: value for name, value in part.items() if name.startswith("Checksum")}
        )
    return begun["UploadId"], told


def test_parts_become_an_object(s3, bucket):
    number, parts = upload(
        s3, bucket, "big", [PART, b"y" * 150, b"z"], ContentType="text/plain", Metadata={"m": "1"}, Tagging="a=b"
    )
    listed = s3.list_parts(Bucket=bucket, Key="big", UploadId=number)
    assert [(each["PartNumber"], each["Size"]) for each in listed["Parts"]] == [(1, 100), (2, 150), (3, 1)]
    page = s3.list_parts(Bucket=bucket, Key="big", UploadId=number, MaxParts=1, PartNumberMarker=1)
    assert (page["Parts"][0]["PartNumber"], page["IsTruncated"], page["NextPartNumberMarker"]) == (2, True, 2)
    done = s3.complete_multipart_upload(Bucket=bucket, Key="big", UploadId=number, MultipartUpload={"Parts": parts})
    assert done["ETag"].endswith('-3"')
    assert done["Location"].endswith(f"/{bucket}/big")
    got = s3.get_object(Bucket=bucket, Key="big")
    assert got["Body"].read() == PART + b"y" * 150 + b"z"
    assert (got["ContentType"], got["Metadata"], got["TagCount"]) == ("text/plain", {"m": "1"}, 1)
    assert s3.get_object(Bucket=bucket, Key="big", Range="bytes=99-100")["Body"].read() == b"xy"
    second = s3.get_object(Bucket=bucket, Key="big", PartNumber=2)
    assert (second["Body"].read(), second["PartsCount"], second["ContentRange"]) == (b"y" * 150, 3, "bytes 100-249/251")
    assert s3.head_object(Bucket=bucket, Key="big", PartNumber=3)["ContentLength"] == 1
    with fails("InvalidPartNumber", 416):
        s3.get_object(Bucket=bucket, Key="big", PartNumber=4)
    again = s3.complete_multipart_upload(Bucket=bucket, Key="big", UploadId=number, MultipartUpload={"Parts": parts})
    assert again["ETag"] == done["ETag"]
    told = s3.get_object_attributes(Bucket=bucket, Key="big", ObjectAttributes=["ObjectParts", "ObjectSize"])
    assert told["ObjectParts"]["TotalPartsCount"] == 3
    copied = s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "big"})
    assert copied["CopyObjectResult"]["ETag"] == f'"{hashlib.md5(PART + b"y" * 150 + b"z").hexdigest()}"'


def test_what_cannot_be_completed(s3, bucket):
    number, parts = upload(s3, bucket, "k", [PART, b"short", PART])

    def complete(*chosen, **more):
        s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=number, MultipartUpload={"Parts": list(chosen)}, **more)

    with fails("EntityTooSmall", 400):
        complete(*parts)
    with fails("InvalidPartOrder", 400):
        complete(parts[2], parts[0])
    with fails("InvalidPart", 400):
        complete({**parts[0], "PartNumber": 7})
    with fails("InvalidPart", 400):
        complete({"PartNumber": 1, "ETag": parts[1]["ETag"]})
    with fails("MalformedXML", 400):
        complete()
    with fails("InvalidRequest"):
        complete(parts[0], MpuObjectSize=5)
    s3.put_object(Bucket=bucket, Key="k")
    with fails("PreconditionFailed", 412):
        complete(parts[0], IfNoneMatch="*")
    complete(parts[0], parts[2])
    with fails("NoSuchUpload", 404):
        s3.upload_part(Bucket=bucket, Key="k", UploadId=number, PartNumber=1, Body=b"x")
    for wrong in (0, 10_001, -1):
        with fails("InvalidArgument", 400):
            s3.upload_part(Bucket=bucket, Key="k", UploadId=number, PartNumber=wrong, Body=b"x")


def test_uploads_are_listed_and_aborted(site, s3, bucket):
    made = {key: s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"] for key in ("a", "b/1", "b/2", "c")}
    twice = s3.create_multipart_upload(Bucket=bucket, Key="a")["UploadId"]
    page = s3.list_multipart_uploads(Bucket=bucket)
    assert {(each["Key"], each["UploadId"]) for each in page["Uploads"]} == {*made.items(), ("a", twice)}
    for size in (1, 2, 3):
        pages = list(s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, PaginationConfig={"PageSize": size}))
        assert sorted(each["UploadId"] for page in pages for each in page["Uploads"]) == sorted([*made.values(), twice])
    page = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert (keys(page, "Uploads"), shared(page)) == (["a", "a", "c"], ["b/"])
    assert keys(s3.list_multipart_uploads(Bucket=bucket, KeyMarker="a"), "Uploads") == ["b/1", "b/2", "c"]
    before = len(site.objects.store._bytes)
    s3.upload_part(Bucket=bucket, Key="c", UploadId=made["c"], PartNumber=1, Body=PART)
    assert len(site.objects.store._bytes) == before + 1
    s3.abort_multipart_upload(Bucket=bucket, Key="c", UploadId=made["c"])
    assert len(site.objects.store._bytes) == before
    for wrong in (made["c"], "0" * 32, "nonsense"):
        with fails("NoSuchUpload", 404):
            s3.abort_multipart_upload(Bucket=bucket, Key="c", UploadId=wrong)


def test_parts_are_copied(s3, bucket):
    s3.put_object(Bucket=bucket, Key="source", Body=bytes(range(200)))
    begun = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm="SHA256")["UploadId"]
    told = []
    for number, span in enumerate((None, "bytes=50-149"), 1):
        more = {"CopySourceRange": span} if span else {}
        part = s3.upload_part_copy(
            Bucket=bucket, Key="k", UploadId=begun, PartNumber=number, CopySource=f"{bucket}/source", **more
        )["CopyPartResult"]
        told.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumSHA256": part["ChecksumSHA256"]})
    s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=begun, MultipartUpload={"Parts": told})
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == bytes(range(200)) + bytes(range(50, 150))
    begun = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    for span in ("bytes=0-200", "bytes=9-3"):
        with fails("InvalidRange", 416):
            s3.upload_part_copy(
                Bucket=bucket, Key="k", UploadId=begun, PartNumber=1, CopySource=f"{bucket}/source", CopySourceRange=span
            )
    with fails("InvalidArgument"):
        s3.upload_part_copy(
            Bucket=bucket, Key="k", UploadId=begun, PartNumber=1, CopySource=f"{bucket}/source", CopySourceRange="0-1"
        )


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "SHA1", "SHA256"])
def test_checksums_of_checksums(s3, bucket, algorithm):
    number, parts = upload(s3, bucket, "k", [PART, b"y" * 150], ChecksumAlgorithm=algorithm)
    field = f"Checksum{algorithm}"
    done = s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=number, MultipartUpload={"Parts": parts})
    assert done["ChecksumType"] == "COMPOSITE"
    raw = b"".join(base64.b64decode(part[field]) for part in parts)
    if algorithm == "SHA256":
        assert done[field] == base64.b64encode(hashlib.sha256(raw).digest()).decode() + "-2"
    got = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (got[field], got["ChecksumType"]) == (done[field], "COMPOSITE")
    second = s3.get_object(Bucket=bucket, Key="k", PartNumber=2, ChecksumMode="ENABLED")
    assert (second[field], second["ChecksumType"], second["Body"].read()) == (parts[1][field], "COMPOSITE", b"y" * 150)
    told = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ObjectParts", "Checksum"])
    assert [part[field] for part in told["ObjectParts"]["Parts"]] == [part[field] for part in parts]


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME"])
def test_checksums_of_the_whole(s3, bucket, algorithm):
    field = f"Checksum{algorithm}"
    begun = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm=algorithm, ChecksumType="FULL_OBJECT")[
        "UploadId"
    ]
    parts = []
    for number, data in enumerate([PART, b"y" * 150, b"z"], 1):
        part = s3.upload_part(Bucket=bucket, Key="k", UploadId=begun, PartNumber=number, Body=data, ChecksumAlgorithm=algorithm)
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    whole = s3.put_object(Bucket=bucket, Key="whole", Body=PART + b"y" * 150 + b"z", ChecksumAlgorithm=algorithm)[field]
    with fails("BadDigest"):
        s3.complete_multipart_upload(
            Bucket=bucket,
            Key="k",
            UploadId=begun,
            MultipartUpload={"Parts": parts},
            **{field: "AAAAAAAAAAA=" if "64" in algorithm else "AAAAAA=="},
        )
    done = s3.complete_multipart_upload(
        Bucket=bucket, Key="k", UploadId=begun, MultipartUpload={"Parts": parts}, ChecksumType="FULL_OBJECT", **{field: whole}
    )
    assert (done[field], done["ChecksumType"]) == (whole, "FULL_OBJECT")
    if algorithm == "CRC32":
        assert whole == base64.b64encode(zlib.crc32(PART + b"y" * 150 + b"z").to_bytes(4)).decode()
    with fails("InvalidRequest"):
        s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm="SHA256", ChecksumType="FULL_OBJECT")
