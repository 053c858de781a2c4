"""What is put through one protocol is there through the other, at once, in whichever process: Swift's large objects and links through
S3, S3's uploads, versions, locks and keys through Swift."""

import base64
import hashlib
import itertools
import json
import time
import urllib.error
import urllib.request

import pytest
from botocore.exceptions import ClientError

from tests.faces import workers
from tests.s3 import fails

MIB = 1 << 20
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    with workers(tmp_path_factory.mktemp("faces")) as found:
        yield found


@pytest.fixture
def one(pair):
    return pair[0].swift


@pytest.fixture
def s3(pair):
    """S3 through the other process than Swift."""
    return pair[1].boto()


@pytest.fixture
def bucket(s3):
    name = f"both-{next(_numbers)}"
    s3.create_bucket(Bucket=name)
    return name


class Utf8(str):
    """A header's value that is sent as UTF-8."""

    __slots__ = ()

    def encode(self, *_how):
        return super().encode()


def read(s3, bucket, key, **more):
    return s3.get_object(Bucket=bucket, Key=key, **more)["Body"].read()


def size(s3, bucket, key):
    return next(line["Size"] for line in s3.list_objects_v2(Bucket=bucket)["Contents"] if line["Key"] == key)


def static(one, bucket, key, parts, folder="seg", **headers):
    """A static large object of parts, each a segment; the parts' whole."""
    manifest = []
    for number, data in enumerate(parts):
        assert one("PUT", f"/{bucket}/{folder}/{number}", data).status == 201
        manifest.append({"path": f"/{bucket}/{folder}/{number}", "etag": hashlib.md5(data).hexdigest(), "size_bytes": len(data)})
    made = one("PUT", f"/{bucket}/{key}?multipart-manifest=put", json.dumps(manifest).encode(), **headers)
    assert made.status == 201, made
    return b"".join(parts)


def test_a_static_large_object_is_one_object_through_s3(one, s3, bucket):
    whole = static(one, bucket, "big", [b"a" * 5000, b"bb", b"c" * 9000], X_Object_Meta_Color="blue", Content_Type="text/x-big")
    got = s3.get_object(Bucket=bucket, Key="big")
    assert got["Body"].read() == whole == one("GET", f"/{bucket}/big").body
    assert got["ContentLength"] == len(whole) == size(s3, bucket, "big")
    assert got["Metadata"] == {"color": "blue"}
    assert got["ContentType"] == "text/x-big"
    etag = one("HEAD", f"/{bucket}/big").headers["etag"].strip('"')
    assert got["ETag"] == f'"{etag}-3"'
    head = s3.head_object(Bucket=bucket, Key="big")
    assert (head["ETag"], head["ContentLength"]) == (got["ETag"], len(whole))
    assert next(line["ETag"] for line in s3.list_objects(Bucket=bucket)["Contents"] if line["Key"] == "big") == got["ETag"]
    for start, stop in ((0, 0), (4998, 5003), (5001, 14_001), (13_000, 20_000)):
        assert read(s3, bucket, "big", Range=f"bytes={start}-{stop}") == whole[start : stop + 1]
    assert read(s3, bucket, "big", Range="bytes=-7") == whole[-7:]
    with fails("InvalidRange", 416):
        read(s3, bucket, "big", Range="bytes=20000-")
    second = s3.get_object(Bucket=bucket, Key="big", PartNumber=2)
    assert second["Body"].read() == b"bb"
    assert second["PartsCount"] == 3
    assert s3.head_object(Bucket=bucket, Key="big", PartNumber=3)["ContentLength"] == 9000
    with fails("InvalidPartNumber", 416):
        read(s3, bucket, "big", PartNumber=4)
    assert s3.get_object_attributes(Bucket=bucket, Key="big", ObjectAttributes=["ObjectSize", "ObjectParts"])["ObjectSize"] == len(whole)
    assert read(s3, bucket, "big", IfMatch=got["ETag"]) == whole
    with fails("PreconditionFailed", 412):
        read(s3, bucket, "big", IfMatch=f'"{etag}"')
    with fails("304"):
        read(s3, bucket, "big", IfNoneMatch=got["ETag"])
    with fails("PreconditionFailed", 412):
        s3.put_object(Bucket=bucket, Key="big", Body=b"", IfMatch='"0"')
    s3.put_object(Bucket=bucket, Key="big", Body=b"small", IfMatch=got["ETag"])
    assert one("GET", f"/{bucket}/big").body == b"small"


def test_manifests_within_manifests_with_ranges_and_inline_data(one, s3, bucket):
    inner = static(one, bucket, "inner", [b"x" * 3000, b"y" * 3000], "in")
    manifest = [{"path": f"/{bucket}/inner", "range": "2990-3009"}, {"data": base64.b64encode(b"--").decode()}, {"path": f"/{bucket}/in/0"}]
    assert one("PUT", f"/{bucket}/outer?multipart-manifest=put", json.dumps(manifest).encode()).status == 201
    whole = inner[2990:3010] + b"--" + inner[:3000]
    assert read(s3, bucket, "outer") == whole == one("GET", f"/{bucket}/outer").body
    assert read(s3, bucket, "outer", Range="bytes=5-24") == whole[5:25]
    assert size(s3, bucket, "outer") == len(whole)
    one("PUT", f"/{bucket}/in/0", b"another")
    assert one("GET", f"/{bucket}/outer").status == 409
    with fails("OperationAborted", 409):
        read(s3, bucket, "outer")
    assert s3.head_object(Bucket=bucket, Key="outer")["ContentLength"] == len(whole)


def test_a_dynamic_large_object(one, s3, bucket):
    for number, data in enumerate((b"one", b"two" * 2000, b"three")):
        s3.put_object(Bucket=bucket, Key=f"d/{number}", Body=data)
    assert one("PUT", f"/{bucket}/all", b"", X_Object_Manifest=f"{bucket}/d/").status == 201
    whole = b"one" + b"two" * 2000 + b"three"
    got = s3.get_object(Bucket=bucket, Key="all")
    assert got["Body"].read() == whole == one("GET", f"/{bucket}/all").body
    assert got["ETag"] == one("HEAD", f"/{bucket}/all").headers["etag"][:-1] + '-3"'
    assert read(s3, bucket, "all", Range="bytes=2-4") == whole[2:5]
    s3.put_object(Bucket=bucket, Key="d/3", Body=b"four")
    assert read(s3, bucket, "all") == whole + b"four"
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "all"})
    assert one("GET", f"/{bucket}/copy").body == whole + b"four"
    assert one("HEAD", f"/{bucket}/copy").headers["etag"] == hashlib.md5(whole + b"four").hexdigest()


def test_links(one, s3, bucket):
    s3.put_object(Bucket=bucket, Key="target", Body=b"0123456789", Metadata={"of": "target"})
    assert one("PUT", f"/{bucket}/link", b"", X_Symlink_Target=f"{bucket}/target").status == 201
    assert one("PUT", f"/{bucket}/link2", b"", X_Symlink_Target=f"{bucket}/link").status == 201
    assert one("PUT", f"/{bucket}/link3", b"", X_Symlink_Target=f"{bucket}/link2").status == 201
    got = s3.get_object(Bucket=bucket, Key="link2")
    assert got["Body"].read() == b"0123456789"
    assert got["Metadata"] == {"of": "target"}
    assert got["ETag"] == f'"{hashlib.md5(b"0123456789").hexdigest()}"'
    assert read(s3, bucket, "link", Range="bytes=3-5") == b"345"
    assert one("GET", f"/{bucket}/link3").status == 409
    with fails("OperationAborted", 409):
        read(s3, bucket, "link3")
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "link"})
    assert one("GET", f"/{bucket}/copy").body == b"0123456789"
    assert one("HEAD", f"/{bucket}/copy?symlink=get").headers.get("x-symlink-target") is None
    s3.delete_object(Bucket=bucket, Key="target")
    with fails("NoSuchKey", 404):
        read(s3, bucket, "link")
    whole = static(one, bucket, "slo", [b"p" * 10, b"q" * 10])
    one("PUT", f"/{bucket}/link", b"", X_Symlink_Target=f"{bucket}/slo")
    assert read(s3, bucket, "link", Range="bytes=8-11") == whole[8:12] == b"ppqq"


def test_a_manifest_is_a_source_of_copies_and_of_parts(one, s3, bucket):
    whole = static(one, bucket, "big", [b"a" * 5 * MIB, b"b" * MIB], X_Object_Meta_Kept="yes")
    made = s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "big"})
    assert made["CopyObjectResult"]["ETag"] == f'"{hashlib.md5(whole).hexdigest()}"'
    head = one("HEAD", f"/{bucket}/copy")
    assert head.headers["x-object-meta-kept"] == "yes"
    assert "x-static-large-object" not in head.headers
    upload = s3.create_multipart_upload(Bucket=bucket, Key="up")["UploadId"]
    place = {"Bucket": bucket, "Key": "up", "UploadId": upload}
    part = s3.upload_part_copy(**place, PartNumber=1, CopySource={"Bucket": bucket, "Key": "big"}, CopySourceRange=f"bytes=1-{5 * MIB}")
    s3.complete_multipart_upload(**place, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["CopyPartResult"]["ETag"]}]})
    assert one("GET", f"/{bucket}/up").body == whole[1 : 5 * MIB + 1]


def test_whoever_reads_a_manifest_must_be_allowed_its_segments(pair, one, s3, bucket):
    static(one, bucket, "slo", [b"secret" * 10])
    shown = f"{bucket}-shown"
    s3.create_bucket(Bucket=shown)
    manifest = json.dumps([{"path": f"/{bucket}/seg/0"}]).encode()
    assert one("PUT", f"/{shown}/slo?multipart-manifest=put", manifest).status == 201
    assert one("PUT", f"/{shown}/dlo", b"", X_Object_Manifest=f"{bucket}/seg/").status == 201
    assert one("PUT", f"/{shown}/link", b"", X_Symlink_Target=f"{bucket}/seg/0").status == 201

    def let(name):
        rule = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{name}/*"}
        s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [rule]}))

    let(shown)
    stranger, reader = pair[0].boto("stranger"), pair[0].boto("reader")
    for key in ("slo", "dlo", "link"):
        assert read(reader, shown, key) == b"secret" * 10
        with fails("AccessDenied", 403):
            read(stranger, shown, key)
        with fails("AccessDenied", 403):
            stranger.copy_object(Bucket=shown, Key="x", CopySource={"Bucket": shown, "Key": key})
    let(bucket)
    for key in ("slo", "dlo", "link"):
        assert read(stranger, shown, key) == b"secret" * 10
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/seg/*"}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]}))
    for key in ("slo", "dlo", "link"):
        with fails("AccessDenied", 403):
            read(reader, shown, key)


def test_an_upload_of_parts_is_one_object_through_swift(one, s3, bucket):
    data = [b"1" * 5 * MIB, b"2" * 70_000]
    upload = s3.create_multipart_upload(Bucket=bucket, Key="up", ContentType="text/x-up", Metadata={"a": "b"}, ContentLanguage="fr")["UploadId"]
    place = {"Bucket": bucket, "Key": "up", "UploadId": upload}
    parts = []
    for number, body in enumerate(data, 1):
        parts.append({"PartNumber": number, "ETag": s3.upload_part(**place, PartNumber=number, Body=body)["ETag"]})
    assert one("GET", f"/{bucket}/up").status == 404
    assert one("GET", f"/{bucket}").body == b""
    etag = s3.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})["ETag"].strip('"')
    got = one("GET", f"/{bucket}/up")
    assert got.body == b"".join(data)
    assert got.headers["etag"] == etag
    assert etag.endswith("-2")
    assert (got.headers["content-type"], got.headers["x-object-meta-a"], got.headers["content-language"]) == ("text/x-up", "b", "fr")
    (line,) = one("GET", f"/{bucket}?format=json").json
    assert (line["bytes"], line["hash"]) == (len(got.body), etag)
    assert one("GET", f"/{bucket}/up", Range=f"bytes={5 * MIB - 2}-{5 * MIB + 1}").body == b"1122"
    assert one("GET", f"/{bucket}/up", If_Match=etag).status == 200
    assert one("GET", f"/{bucket}/up", If_None_Match=etag).status == 304
    assert one("COPY", f"/{bucket}/up", Destination=f"{bucket}/copy").status == 201
    assert read(s3, bucket, "copy") == got.body
    manifest = json.dumps([{"path": f"/{bucket}/up", "etag": etag, "size_bytes": len(got.body)}, {"path": f"/{bucket}/copy"}]).encode()
    assert one("PUT", f"/{bucket}/slo?multipart-manifest=put", manifest).status == 201
    assert read(s3, bucket, "slo") == got.body * 2


def test_bytes_under_a_key_of_the_clients_are_refused_by_name(one, s3, bucket):
    key = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}
    for name, body in (("small", b"tiny"), ("large", b"l" * 300_000)):
        s3.put_object(Bucket=bucket, Key=f"sealed/{name}", Body=body, **key)
        refused = one("GET", f"/{bucket}/sealed/{name}")
        assert refused.status == 403
        assert b"key that its owner keeps" in refused.body
        assert one("GET", f"/{bucket}/sealed/{name}", Range="bytes=0-1").status == 403
        assert one("HEAD", f"/{bucket}/sealed/{name}").headers["content-length"] == str(len(body))
        assert one("COPY", f"/{bucket}/sealed/{name}", Destination=f"{bucket}/copy").status == 403
        one("PUT", f"/{bucket}/link", b"", X_Symlink_Target=f"{bucket}/sealed/{name}")
        assert one("GET", f"/{bucket}/link").status == 403
        with fails("InvalidRequest", 400):
            read(s3, bucket, "link")
        assert read(s3, bucket, "link", **key) == body
    assert one("PUT", f"/{bucket}/slo?multipart-manifest=put", json.dumps([{"path": f"/{bucket}/sealed/small"}]).encode()).status == 400
    one("PUT", f"/{bucket}/dlo", b"", X_Object_Manifest=f"{bucket}/sealed/")
    assert one("GET", f"/{bucket}/dlo").status == 403
    with fails("AccessDenied", 403):
        read(s3, bucket, "dlo")
    assert one("DELETE", f"/{bucket}/sealed/small").status == 204


def test_metadata_and_content_headers_go_both_ways(pair, one, s3, bucket):
    text = "café ☃"
    one("PUT", f"/{bucket}/%C3%A9%20%E2%98%83", b"x", X_Object_Meta_Name=text.encode(), Content_Disposition="inline", Cache_Control="no-cache",
        Content_Encoding="gzip", Expires="Thu, 01 Dec 2033 16:00:00 GMT", Content_Type="text/plain")  # fmt: skip
    status, headers, body = pair[1].s3().send("GET", f"/{bucket}/%C3%A9%20%E2%98%83")
    assert (status, body) == (200, b"x")
    assert headers["x-amz-meta-name"].encode("latin-1").decode() == text
    got = s3.get_object(Bucket=bucket, Key="é ☃")
    assert (got["ContentDisposition"], got["CacheControl"], got["ContentEncoding"]) == ("inline", "no-cache", "gzip")
    assert got["ContentType"] == "text/plain"
    assert got["ExpiresString"] == "Thu, 01 Dec 2033 16:00:00 GMT"
    status, _headers, told = pair[1].s3().send("PUT", f"/{bucket}/from-s3", b"", {"x-amz-meta-name": Utf8(text)})
    assert status == 200, told
    assert one("HEAD", f"/{bucket}/from-s3").headers["x-object-meta-name"].encode("latin-1").decode() == text
    s3.put_object(Bucket=bucket, Key="k", Body=b"y", Metadata={"Plain": "v"}, Tagging="a=b", ContentDisposition="attachment", CacheControl="no-store")
    head = one("HEAD", f"/{bucket}/k").headers
    assert (head["x-object-meta-plain"], head["content-disposition"], head["cache-control"]) == ("v", "attachment", "no-store")
    assert not [name for name, value in head.items() if "tag" in name and name != "etag"]
    assert one("POST", f"/{bucket}/k", X_Object_Meta_New="2", Content_Type="text/new").status == 202
    got = s3.head_object(Bucket=bucket, Key="k")
    assert (got["Metadata"], got["ContentType"]) == ({"new": "2"}, "text/new")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "a", "Value": "b"}]
    one("PUT", f"/{bucket}/k", b"z")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []


def test_versions_and_delete_markers(one, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"null")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert one("HEAD", f"/{bucket}").headers["x-versions-enabled"] == "True"
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"first")["VersionId"]
    second = one("PUT", f"/{bucket}/k", b"second").headers["x-object-version-id"]
    for version, body in (("null", b"null"), (first, b"first"), (second, b"second")):
        assert one("GET", f"/{bucket}/k?version-id={version}").body == body == read(s3, bucket, "k", VersionId=version)
    marker = s3.delete_object(Bucket=bucket, Key="k")["VersionId"]
    assert one("GET", f"/{bucket}/k").status == 404
    assert one("GET", f"/{bucket}/k?version-id={marker}").status == 404
    with fails("MethodNotAllowed", 405):
        read(s3, bucket, "k", VersionId=marker)
    lines = [(line["version_id"], line["is_latest"]) for line in one("GET", f"/{bucket}?versions&format=json").json]
    listed = s3.list_object_versions(Bucket=bucket)
    told = {line["VersionId"]: line["IsLatest"] for line in listed["Versions"] + listed["DeleteMarkers"]}
    assert dict(lines) == told
    assert [version for version, _latest in lines] == [marker, second, first, "null"]
    assert one("DELETE", f"/{bucket}/k?version-id={marker}").status == 204
    assert read(s3, bucket, "k") == b"second"
    assert one("DELETE", f"/{bucket}/k").status == 204
    with fails("NoSuchKey", 404) as caught:
        read(s3, bucket, "k")
    assert caught.value.response["ResponseMetadata"]["HTTPHeaders"]["x-amz-delete-marker"] == "true"
    assert one("PUT", f"/{bucket}/k?version-id={first}", b"").status == 201
    assert read(s3, bucket, "k") == b"first"


def test_locks_hold_through_swift(one, s3):
    bucket = f"both-{next(_numbers)}"
    s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    version = s3.put_object(Bucket=bucket, Key="k", Body=b"kept", ObjectLockLegalHoldStatus="ON")["VersionId"]
    path = f"/{bucket}/k?version-id={version}"
    assert one("DELETE", path).status == 403
    assert one("DELETE", path, token="admin").status == 403
    assert one("PUT", f"/{bucket}/k", b"over").status == 201
    assert one("DELETE", f"/{bucket}/k").status == 204
    assert one("DELETE", path).status == 403
    assert one("POST", f"/{bucket}", X_Versions_Enabled="false").status == 409
    assert one("PUT", f"/{bucket}", X_Versions_Enabled="false").status == 409
    assert one("DELETE", f"/{bucket}").status == 409
    assert one("GET", path).body == b"kept" == read(s3, bucket, "k", VersionId=version)
    s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration={
        "ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}},
    })  # fmt: skip
    made = one("PUT", f"/{bucket}/ruled", b"x").headers["x-object-version-id"]
    assert s3.head_object(Bucket=bucket, Key="ruled")["ObjectLockMode"] == "COMPLIANCE"
    assert one("DELETE", f"/{bucket}/ruled?version-id={made}").status == 403
    with fails("AccessDenied", 403):
        s3.delete_object(Bucket=bucket, Key="ruled", VersionId=made)
    assert one("POST", f"/{bucket}/ruled", X_Object_Meta_A="b", X_Delete_After="1").status == 202
    assert s3.head_object(Bucket=bucket, Key="ruled", VersionId=made)["ObjectLockMode"] == "COMPLIANCE"


def test_what_expired_is_gone_for_conditions_too(one, s3, bucket):
    one("PUT", f"/{bucket}/k", b"old", X_Delete_After="2")
    with fails("PreconditionFailed", 412):
        s3.put_object(Bucket=bucket, Key="k", Body=b"", IfNoneMatch="*")
    time.sleep(2.1)
    with fails("NoSuchKey", 404):
        read(s3, bucket, "k")
    s3.put_object(Bucket=bucket, Key="k", Body=b"new", IfNoneMatch="*")
    assert one("GET", f"/{bucket}/k").body == b"new"


def test_writes_are_read_and_listed_at_once_through_both_and_everywhere(pair, bucket):
    """Each write through one face of one process is seen by each face of each process, before anything else happens."""
    faces = [(worker.swift, worker.boto()) for worker in pair]
    names = set()
    for number in range(24):
        swift, boto = faces[number % 2]
        data, name = f"content {number}".encode() * (1 if number % 3 else 2000), f"n{number % 7:02d}"
        if number % 5 == 4:
            name = min(names)
            names.discard(name)
            assert (swift("DELETE", f"/{bucket}/{name}").status == 204) if number % 2 else boto.delete_object(Bucket=bucket, Key=name)
        else:
            names.add(name)
            assert (swift("PUT", f"/{bucket}/{name}", data).status == 201) if number % 4 < 2 else boto.put_object(Bucket=bucket, Key=name, Body=data)
        for one, other in faces:
            got = one("GET", f"/{bucket}/{name}")
            assert (got.body == data) if name in names else got.status == 404
            if name in names:
                assert read(other, bucket, name) == data
            else:
                with pytest.raises(ClientError, match="NoSuchKey"):
                    read(other, bucket, name)
            assert [line["name"] for line in one("GET", f"/{bucket}?format=json").json] == sorted(names)
            assert [line["Key"] for line in other.list_objects_v2(Bucket=bucket).get("Contents", [])] == sorted(names)
            assert one("HEAD", f"/{bucket}").headers["x-container-object-count"] == str(len(names))


def test_buckets_and_containers_are_the_same(pair, one, s3, bucket):
    assert bucket in one("GET", "").body.decode().split()
    assert one("PUT", f"/made-{bucket}").status == 201
    assert f"made-{bucket}" in [each["Name"] for each in pair[1].boto().list_buckets()["Buckets"]]
    s3.put_object(Bucket=f"made-{bucket}", Key="k", Body=b"")
    assert one("DELETE", f"/made-{bucket}").status == 409
    with fails("BucketNotEmpty", 409):
        s3.delete_bucket(Bucket=f"made-{bucket}")
    assert one("DELETE", f"/made-{bucket}/k").status == 204
    s3.delete_bucket(Bucket=f"made-{bucket}")
    assert one("HEAD", f"/made-{bucket}").status == 404


def test_s3_is_at_swifts_address_too(pair, bucket):
    beside, body = pair[0].boto(port=0), b"through the other door"
    beside.put_object(Bucket=bucket, Key="one", Body=body)
    assert pair[1].boto().get_object(Bucket=bucket, Key="one")["Body"].read() == body
    assert bucket in {each["Name"] for each in beside.list_buckets()["Buckets"]}
    where = pair[0].boto(port=0, signature_version="s3v4").generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "one"})
    with urllib.request.urlopen(where, timeout=20) as answer:
        assert answer.read() == body
    old = pair[0].boto(port=0, signature_version="s3").generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "one"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(old, timeout=20)
    assert b"<Code>InvalidRequest</Code>" in refused.value.read(), "S3 knows old signatures, and takes none here"
    with pytest.raises(ClientError) as refused:
        pair[0].boto("nobody", port=0, region="elsewhere").list_buckets()
    assert refused.value.response["Error"]["Code"] == "InvalidAccessKeyId"
    assert pair[0].swift("GET", "/info").status == 200, "without a signature of S3's it is Swift"
