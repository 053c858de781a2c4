"""Buckets and objects through boto3."""

import base64
import hashlib
import http.client
import io
import os
from pathlib import Path

import pytest

from andromede.drivers.blob import Blob
from tests import s3 as ground
from tests.s3 import fails


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with ground.site(tmp_path_factory.mktemp("s3")) as made:
        yield made


@pytest.fixture
def s3(site):
    return site.client()


@pytest.fixture
def bucket(site):
    return site.bucket()


def test_a_bucket_is_made_found_and_deleted(site, s3):
    name = site.bucket()
    assert name in [each["Name"] for each in s3.list_buckets()["Buckets"]]
    assert s3.head_bucket(Bucket=name)["BucketRegion"] == "us-east-1"
    assert s3.get_bucket_location(Bucket=name)["LocationConstraint"] is None
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="k")
    with fails("BucketNotEmpty", 409):
        s3.delete_bucket(Bucket=name)
    s3.delete_object(Bucket=name, Key="k")
    s3.delete_bucket(Bucket=name)
    with fails("404"):
        s3.head_bucket(Bucket=name)
    with fails("NoSuchBucket"):
        s3.list_objects_v2(Bucket=name)


def test_buckets_are_listed_in_pages(site):
    other = site.client(ground.ground.access_key(site.cloud, site.cloud.other("pages")))
    for name in ("page-a", "page-b", "page-c", "other-d"):
        other.create_bucket(Bucket=name)
    pages = list(other.get_paginator("list_buckets").paginate(Prefix="page-", PaginationConfig={"PageSize": 2}))
    assert [[each["Name"] for each in page["Buckets"]] for page in pages] == [["page-a", "page-b"], ["page-c"]]


@pytest.mark.parametrize(
    "name", ["ab", "Upper", "under_score", "a..b", "192.168.1.1", "-a-b", "a-b-", "xn--abc", "a" * 64, "abc-s3alias"]
)
def test_names_that_no_bucket_has(site, name):
    status, _headers, body = site.send("PUT", f"/{name}")
    assert status == 400
    assert b"<Code>InvalidBucketName</Code>" in body


def test_names_are_everybodys(site, bucket):
    other = site.client(ground.ground.access_key(site.cloud, site.cloud.other("names")))
    with fails("BucketAlreadyExists", 409):
        other.create_bucket(Bucket=bucket)
    with fails("AccessDenied"):
        other.list_objects_v2(Bucket=bucket)
    with fails("403"):
        other.head_bucket(Bucket=bucket)


@pytest.mark.parametrize(
    "key",
    [
        "plain",
        "with space",
        "a+b",
        "a%2Fb",
        "a//b",
        "/lead",
        "trail/",
        "../up",
        "./here",
        "~tilde",
        "é/ü/漢字/😀",
        "q?x=1&y",
        "a=b;c,d:e@f!$'()*",
        "#hash",
        "\x01ctl\x7f",
        "é" * 512,
        "k" * 1024,
        "new\nline",
        "<xml>&amp;",
    ],
)
def test_keys_of_all_kinds(s3, bucket, key):
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    copy = s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": key})
    assert copy["CopyObjectResult"]["ETag"] == f'"{hashlib.md5(key.encode()).hexdigest()}"'
    gone = [{"Key": key if key.isprintable() else "copy"}]
    assert "Errors" not in s3.delete_objects(Bucket=bucket, Delete={"Objects": gone})


def test_keys_that_are_too_long(s3, bucket):
    with fails("KeyTooLongError", 400):
        s3.put_object(Bucket=bucket, Key="é" * 513)


def test_an_object_with_all_that_it_carries(s3, bucket):
    put = s3.put_object(
        Bucket=bucket, Key="k", Body=b"hello", ContentType="text/plain", CacheControl="no-cache", ContentDisposition="attachment",
        ContentEncoding="gzip", ContentLanguage="fr", Expires="Thu, 01 Jan 2032 00:00:00 GMT", Metadata={"Name": "Value", "b": "two  words"},
        Tagging="a=b&c=d%20e", StorageClass="STANDARD_IA",
    )  # fmt: skip
    etag = f'"{hashlib.md5(b"hello").hexdigest()}"'
    assert put["ETag"] == etag
    assert put["ChecksumCRC32"]
    for got in (s3.get_object(Bucket=bucket, Key="k"), s3.head_object(Bucket=bucket, Key="k")):
        assert (got["ETag"], got["ContentLength"], got["ContentType"]) == (etag, 5, "text/plain")
        assert (got["CacheControl"], got["ContentDisposition"], got["ContentEncoding"]) == ("no-cache", "attachment", "gzip")
        assert (got["ContentLanguage"], got["ExpiresString"]) == ("fr", "Thu, 01 Jan 2032 00:00:00 GMT")
        assert got["Metadata"]["name"] == "Value"
        assert (got["StorageClass"], got["AcceptRanges"]) == ("STANDARD_IA", "bytes")
        assert "VersionId" not in got
    assert got["TagCount"] == 2
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "a", "Value": "b"}, {"Key": "c", "Value": "d e"}]
    got = s3.get_object(
        Bucket=bucket, Key="k", ResponseContentType="x/y", ResponseCacheControl="z", ResponseContentDisposition="inline"
    )
    assert (got["ContentType"], got["CacheControl"], got["ContentDisposition"]) == ("x/y", "z", "inline")
    assert s3.put_object(Bucket=bucket, Key="empty")["ETag"] == f'"{hashlib.md5(b"").hexdigest()}"'
    assert s3.get_object(Bucket=bucket, Key="empty")["Body"].read() == b""
    assert s3.head_object(Bucket=bucket, Key="empty")["ContentType"] == "binary/octet-stream"
    with fails("MetadataTooLarge"):
        s3.put_object(Bucket=bucket, Key="k", Metadata={"a": "x" * 2048})
    with fails("InvalidStorageClass"):
        s3.put_object(Bucket=bucket, Key="k", StorageClass="OUTPOSTS")


def test_ranges(s3, bucket):
    data = bytes(range(256)) * 20_000
    s3.put_object(Bucket=bucket, Key="k", Body=data)
    for text, start, stop in (("0-0", 0, 1), ("5-9", 5, 10), ("5000000-", 5_000_000, len(data)), ("-10", len(data) - 10, len(data)),
                              ("3-99999999", 3, len(data)), ("-99999999", 0, len(data))):  # fmt: skip
        got = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={text}")
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
        assert got["ContentRange"] == f"bytes {start}-{stop - 1}/{len(data)}"
        assert got["Body"].read() == data[start:stop]
    assert s3.head_object(Bucket=bucket, Key="k", Range="bytes=1-3")["ContentLength"] == 3
    for text in ("bytes=9-3", "lines=1-2", "bytes=a-b", "bytes=1-2,4-5", "bytes=-"):
        assert s3.get_object(Bucket=bucket, Key="k", Range=text)["ResponseMetadata"]["HTTPStatusCode"] == 200
    for text in (f"bytes={len(data)}-", "bytes=-0"):
        with fails("InvalidRange", 416):
            s3.get_object(Bucket=bucket, Key="k", Range=text)


def test_reading_under_conditions(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["ETag"]
    when = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    assert s3.get_object(Bucket=bucket, Key="k", IfMatch=etag)["ETag"] == etag
    s3.get_object(Bucket=bucket, Key="k", IfMatch=etag, IfUnmodifiedSince="Thu, 01 Jan 2015 00:00:00 GMT")
    with fails("PreconditionFailed", 412):
        s3.get_object(Bucket=bucket, Key="k", IfMatch='"other"')
    with fails("PreconditionFailed", 412):
        s3.get_object(Bucket=bucket, Key="k", IfUnmodifiedSince="Thu, 01 Jan 2015 00:00:00 GMT")
    for given in ({"IfNoneMatch": etag}, {"IfModifiedSince": when}, {"IfNoneMatch": "*"}):
        with fails("304", 304):
            s3.get_object(Bucket=bucket, Key="k", **given)
    s3.get_object(Bucket=bucket, Key="k", IfNoneMatch='"other"', IfModifiedSince=when)


def test_writing_under_conditions(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    with fails("PreconditionFailed", 412):
        s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*")
    with fails("PreconditionFailed", 412):
        s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfMatch='"x"')
    with fails("NoSuchKey", 404):
        s3.put_object(Bucket=bucket, Key="none", Body=b"2", IfMatch=etag)
    two = s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfMatch=etag)["ETag"]
    with fails("PreconditionFailed", 412):
        s3.delete_object(Bucket=bucket, Key="k", IfMatch=etag)
    with fails("PreconditionFailed", 412):
        s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfNoneMatch=two)
    s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfNoneMatch=etag)
    with fails("NotImplemented", 501):
        s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfNoneMatch=etag, IfMatch=etag)
    s3.delete_object(Bucket=bucket, Key="k", IfMatch=two)


def test_copying(site, s3, bucket):
    s3.put_object(
        Bucket=bucket, Key="a b", Body=b"data", ContentType="text/x", Metadata={"m": "1"}, Tagging="t=1", CacheControl="c"
    )
    etag = s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/a b")["CopyObjectResult"]["ETag"]
    got = s3.get_object(Bucket=bucket, Key="copy")
    assert (got["Body"].read(), got["ContentType"], got["Metadata"], got["TagCount"], got["CacheControl"]) == (
        b"data",
        "text/x",
        {"m": "1"},
        1,
        "c",
    )
    s3.copy_object(
        Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "a b"}, MetadataDirective="REPLACE", Metadata={"n": "2"}, ContentType="y/z",
        TaggingDirective="REPLACE", Tagging="u=2", ChecksumAlgorithm="SHA256",
    )  # fmt: skip
    got = s3.head_object(Bucket=bucket, Key="copy", ChecksumMode="ENABLED")
    whole = base64.b64encode(hashlib.sha256(b"data").digest()).decode()
    assert (got["ContentType"], got["Metadata"], got["ChecksumSHA256"]) == ("y/z", {"n": "2"}, whole)
    assert s3.get_object_tagging(Bucket=bucket, Key="copy")["TagSet"] == [{"Key": "u", "Value": "2"}]
    with fails("InvalidRequest"):
        s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/copy")
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/copy", MetadataDirective="REPLACE")
    assert s3.head_object(Bucket=bucket, Key="copy")["Metadata"] == {}
    for given in ({"CopySourceIfMatch": '"x"'}, {"CopySourceIfNoneMatch": etag}, {"CopySourceIfUnmodifiedSince": "Thu, 01 Jan 2015 00:00:00 GMT"},
                  {"CopySourceIfModifiedSince": "Thu, 01 Jan 2099 00:00:00 GMT"}):  # fmt: skip
        with fails("PreconditionFailed", 412):
            s3.copy_object(Bucket=bucket, Key="copy2", CopySource=f"{bucket}/copy", MetadataDirective="REPLACE", **given)
    with fails("NoSuchKey", 404):
        s3.copy_object(Bucket=bucket, Key="copy2", CopySource=f"{bucket}/none")
    with fails("NoSuchBucket", 404):
        s3.copy_object(Bucket=bucket, Key="copy2", CopySource="no-such-bucket/none")
    with fails("InvalidArgument"):
        s3.copy_object(Bucket=bucket, Key="copy2", CopySource="nothing")
    with fails("InvalidArgument"):
        s3.copy_object(Bucket=bucket, Key="copy2", CopySource=f"{bucket}/copy", MetadataDirective="WRONG")
    secret = site.client(ground.ground.access_key(site.cloud, site.cloud.other("copies")))
    mine = site.bucket(secret)
    with fails("AccessDenied", 403):
        secret.copy_object(Bucket=mine, Key="stolen", CopySource=f"{bucket}/copy")


def test_deleting_many(s3, bucket):
    for number in range(250):
        s3.put_object(Bucket=bucket, Key=f"k{number}")
    done = s3.delete_objects(
        Bucket=bucket, Delete={"Objects": [{"Key": f"k{number}"} for number in range(240)] + [{"Key": "never"}]}
    )
    assert len(done["Deleted"]) == 241
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 10
    quiet = s3.delete_objects(Bucket=bucket, Delete={"Quiet": True, "Objects": [{"Key": "k249"}, {"Key": "k248", "ETag": '"x"'}]})
    assert "Deleted" not in quiet
    assert [(each["Key"], each["Code"]) for each in quiet["Errors"]] == [("k248", "PreconditionFailed")]


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "SHA1", "SHA256", "CRC64NVME"])
def test_checksums(s3, bucket, algorithm):
    field = f"Checksum{algorithm}"
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"hello world", ChecksumAlgorithm=algorithm)
    assert put[field]
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (got[field], got["ChecksumType"]) == (put[field], "FULL_OBJECT")
    assert got["Body"].read() == b"hello world"
    assert field not in s3.head_object(Bucket=bucket, Key="k")
    told = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ETag", "Checksum", "ObjectSize", "StorageClass"])
    assert (told["Checksum"][field], told["ObjectSize"], told["StorageClass"]) == (put[field], 11, "STANDARD")
    s3.put_object(Bucket=bucket, Key="k", Body=b"hello world", **{field: put[field]})
    with fails("BadDigest", 400):
        s3.put_object(Bucket=bucket, Key="k", Body=b"hello worlds", **{field: put[field]})
    with fails("InvalidRequest", 400):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", **{field: "bm9uc2Vuc2Uh"})
    assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == 11
    assert s3.list_objects_v2(Bucket=bucket)["Contents"][0]["ChecksumAlgorithm"] == [algorithm]


def test_what_is_not_an_object(s3, bucket):
    for call in (s3.get_object, s3.get_object_tagging, s3.get_object_acl):
        with fails("NoSuchKey", 404):
            call(Bucket=bucket, Key="none")
    with fails("404"):
        s3.head_object(Bucket=bucket, Key="none")
    assert s3.delete_object(Bucket=bucket, Key="none")["ResponseMetadata"]["HTTPStatusCode"] == 204
    with fails("NoSuchBucket"):
        s3.put_object(Bucket="no-such-bucket", Key="k")


def test_streams_go_both_ways(s3, bucket):
    data = bytes(range(251)) * 50_000
    s3.upload_fileobj(io.BytesIO(data), bucket, "big")
    out = io.BytesIO()
    s3.download_fileobj(bucket, "big", out)
    assert out.getvalue() == data


def test_tags(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k")
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": [{"Key": "a", "Value": "1"}, {"Key": "é", "Value": ""}]})
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "a", "Value": "1"}, {"Key": "é", "Value": ""}]
    for wrong in ([{"Key": "a", "Value": "1"}] * 2, [{"Key": "aws:x", "Value": ""}], [{"Key": "a", "Value": "x" * 257}]):
        with fails("InvalidTag", 400):
            s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": wrong})
    with fails("BadRequest", 400):
        s3.put_object_tagging(
            Bucket=bucket, Key="k", Tagging={"TagSet": [{"Key": str(number), "Value": ""} for number in range(11)]}
        )
    s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    with fails("NoSuchTagSet", 404):
        s3.get_bucket_tagging(Bucket=bucket)
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "a", "Value": "1"}]})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == [{"Key": "a", "Value": "1"}]
    s3.delete_bucket_tagging(Bucket=bucket)


@pytest.mark.parametrize(
    "sub", ["accelerate", "inventory", "analytics", "metrics", "torrent", "select"]
)
def test_what_is_not_there_says_so(site, bucket, sub):
    status, _headers, body = site.send("GET", f"/{bucket}?{sub}")
    assert status == 501
    assert b"<Code>NotImplemented</Code>" in body


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_memory_stays_flat_however_large_an_object_is(site, bucket, monkeypatch):
    """Against a store that keeps nothing, so that what is measured is the way through."""
    size, piece = 200 << 20, b"x" * (1 << 20)

    async def write(_tenant, chunks, *, storage="", key=None, hashers=()):
        taken = 0
        async for chunk in chunks:
            taken += len(chunk)
            for hasher in hashers:
                hasher.update(chunk)
        return Blob(os.urandom(16), taken, "standard")

    async def read(_tenant, _blob, start=0, stop=None, *, key=None):
        for _ in range(start, stop, len(piece)):
            yield piece

    monkeypatch.setattr(site.objects.store, "write", write)
    monkeypatch.setattr(site.objects.store, "read", read)
    headers = {"host": site.host, "content-length": str(size), "x-amz-checksum-crc32c": "AAAAAA=="}
    headers |= ground.sign(site.keys, "PUT", f"/{bucket}/k", headers, payload=ground.UNSIGNED)
    before = resident()
    connection = http.client.HTTPConnection(site.host, timeout=60)
    connection.request("PUT", f"/{bucket}/k", body=(piece for _ in range(size >> 20)), headers=headers)
    assert connection.getresponse().read().count(b"BadDigest") == 1
    headers = {"host": site.host, "content-length": str(size)}
    headers |= ground.sign(site.keys, "PUT", f"/{bucket}/k", headers, payload=ground.UNSIGNED)
    connection = http.client.HTTPConnection(site.host, timeout=60)
    connection.request("PUT", f"/{bucket}/k", body=(piece for _ in range(size >> 20)), headers=headers)
    assert connection.getresponse().status == 200
    connection = http.client.HTTPConnection(site.host, timeout=60)
    connection.request("GET", f"/{bucket}/k", headers={"host": site.host} | ground.sign(site.keys, "GET", f"/{bucket}/k", {"host": site.host}))
    answer, got = connection.getresponse(), 0
    while chunk := answer.read(1 << 20):
        got += len(chunk)
    assert got == size
    assert resident() - before < 60 << 20
