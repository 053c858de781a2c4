"""Versions, locks, encryption and rules of life, through boto3."""

import asyncio
import base64
import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from andromede.services.object import uploads
from andromede.services.object.s3 import run_lifecycle
from tests import s3 as ground
from tests.cloud import USER_PASSWORD
from tests.s3 import fails


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


def versioned(s3, bucket, status="Enabled"):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})


def read(s3, bucket, key, **more):
    return s3.get_object(Bucket=bucket, Key=key, **more)["Body"].read()


def test_versions_come_and_go(s3, bucket):
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    null = s3.put_object(Bucket=bucket, Key="k", Body=b"null")
    assert "VersionId" not in null
    versioned(s3, bucket)
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    one = s3.put_object(Bucket=bucket, Key="k", Body=b"one")["VersionId"]
    two = s3.put_object(Bucket=bucket, Key="k", Body=b"two")["VersionId"]
    assert [read(s3, bucket, "k", VersionId=version) for version in ("null", one, two)] == [b"null", b"one", b"two"]
    assert s3.head_object(Bucket=bucket, Key="k")["VersionId"] == two
    gone = s3.delete_object(Bucket=bucket, Key="k")
    assert gone["DeleteMarker"] is True
    with fails("NoSuchKey", 404) as caught:
        s3.get_object(Bucket=bucket, Key="k")
    headers = caught.value.response["ResponseMetadata"]["HTTPHeaders"]
    assert (headers["x-amz-delete-marker"], headers["x-amz-version-id"]) == ("true", gone["VersionId"])
    with fails("MethodNotAllowed", 405):
        s3.get_object(Bucket=bucket, Key="k", VersionId=gone["VersionId"])
    assert read(s3, bucket, "k", VersionId=one) == b"one"
    back = s3.delete_object(Bucket=bucket, Key="k", VersionId=gone["VersionId"])
    assert (back["DeleteMarker"], back["VersionId"]) == (True, gone["VersionId"])
    assert read(s3, bucket, "k") == b"two"
    s3.delete_object(Bucket=bucket, Key="k", VersionId=two)
    assert read(s3, bucket, "k") == b"one"
    with fails("NoSuchVersion", 404):
        s3.get_object(Bucket=bucket, Key="k", VersionId=two)
    with fails("InvalidArgument", 400):
        s3.get_object(Bucket=bucket, Key="k", VersionId="not/a version")
    copy = s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "k", "VersionId": "null"})
    assert (copy["CopySourceVersionId"], read(s3, bucket, "copy")) == ("null", b"null")
    s3.put_object_tagging(Bucket=bucket, Key="k", VersionId="null", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    assert s3.get_object_tagging(Bucket=bucket, Key="k", VersionId=one)["TagSet"] == []
    assert s3.get_object_tagging(Bucket=bucket, Key="k", VersionId="null")["TagSet"] == [{"Key": "a", "Value": "b"}]
    done = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k"}, {"Key": "k", "VersionId": one}]})["Deleted"]
    assert done[0]["DeleteMarker"] is True
    assert (done[1]["VersionId"], "DeleteMarker" in done[1]) == (one, False)


def test_versions_that_are_suspended(s3, bucket):
    versioned(s3, bucket)
    one = s3.put_object(Bucket=bucket, Key="k", Body=b"one")["VersionId"]
    versioned(s3, bucket, "Suspended")
    assert "VersionId" not in s3.put_object(Bucket=bucket, Key="k", Body=b"null")
    s3.put_object(Bucket=bucket, Key="k", Body=b"again")
    assert [each["VersionId"] for each in s3.list_object_versions(Bucket=bucket)["Versions"]] == ["null", one]
    assert s3.delete_object(Bucket=bucket, Key="k")["VersionId"] == "null"
    assert read(s3, bucket, "k", VersionId=one) == b"one"
    with fails("IllegalVersioningConfigurationException"):
        versioned(s3, bucket, "Off")


def soon(**shift):
    return (datetime.now(UTC) + timedelta(**shift)).replace(microsecond=0)


def test_locks_keep_versions(site, s3):
    bucket = site.bucket(ObjectLockEnabledForBucket=True)
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    assert s3.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"] == {"ObjectLockEnabled": "Enabled"}
    with fails("InvalidBucketState", 409):
        versioned(s3, bucket, "Suspended")
    until = soon(days=1)
    kept = s3.put_object(Bucket=bucket, Key="k", Body=b"1", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=until)[
        "VersionId"
    ]
    got = s3.head_object(Bucket=bucket, Key="k")
    assert (got["ObjectLockMode"], got["ObjectLockRetainUntilDate"]) == ("GOVERNANCE", until)
    s3.delete_object(Bucket=bucket, Key="k")
    with fails("AccessDenied", 403):
        s3.delete_object(Bucket=bucket, Key="k", VersionId=kept)
    with fails("AccessDenied", 403):
        s3.delete_object(Bucket=bucket, Key="k", VersionId=kept, BypassGovernanceRetention=True)
    errors = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k", "VersionId": kept}]})["Errors"]
    assert errors[0]["Code"] == "AccessDenied"
    s3.put_object_retention(
        Bucket=bucket, Key="k", VersionId=kept, Retention={"Mode": "GOVERNANCE", "RetainUntilDate": soon(days=2)}
    )
    with fails("AccessDenied", 403):
        s3.put_object_retention(
            Bucket=bucket, Key="k", VersionId=kept, Retention={"Mode": "GOVERNANCE", "RetainUntilDate": soon(hours=2)}
        )
    with fails("AccessDenied", 403):
        s3.put_object_retention(Bucket=bucket, Key="k", VersionId=kept, Retention={"Mode": "COMPLIANCE", "RetainUntilDate": soon(days=3)})
    manager = site.cloud.id_of("roles", "manager")
    site.cloud.admin.put(
        f"/identity/v3/projects/{site.project}/users/{site.token(site.cloud.user)['user']['id']}/roles/{manager}"
    )
    strong = site.client(ground.ground.access_key(site.cloud, site.cloud.sign_in("demo", USER_PASSWORD, "demo")))
    strong.put_object_retention(
        Bucket=bucket,
        Key="k",
        VersionId=kept,
        Retention={"Mode": "GOVERNANCE", "RetainUntilDate": soon(hours=2)},
        BypassGovernanceRetention=True,
    )
    with fails("AccessDenied", 403):
        strong.delete_object(Bucket=bucket, Key="k", VersionId=kept)
    strong.delete_object(Bucket=bucket, Key="k", VersionId=kept, BypassGovernanceRetention=True)
    hard = s3.put_object(Bucket=bucket, Key="c", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until)["VersionId"]
    with fails("AccessDenied", 403):
        strong.delete_object(Bucket=bucket, Key="c", VersionId=hard, BypassGovernanceRetention=True)
    held = s3.put_object(Bucket=bucket, Key="h", ObjectLockLegalHoldStatus="ON")["VersionId"]
    assert s3.get_object_legal_hold(Bucket=bucket, Key="h")["LegalHold"]["Status"] == "ON"
    with fails("AccessDenied", 403):
        strong.delete_object(Bucket=bucket, Key="h", VersionId=held, BypassGovernanceRetention=True)
    s3.put_object_legal_hold(Bucket=bucket, Key="h", LegalHold={"Status": "OFF"})
    s3.delete_object(Bucket=bucket, Key="h", VersionId=held)


def test_the_lock_of_a_bucket(site, s3, bucket):
    rule = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 3}}}
    with fails("ObjectLockConfigurationNotFoundError", 404):
        s3.get_object_lock_configuration(Bucket=bucket)
    with fails("InvalidBucketState", 409):
        s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=rule)
    with fails("InvalidRequest", 400):
        s3.put_object(Bucket=bucket, Key="k", ObjectLockLegalHoldStatus="ON")
    with fails("InvalidRequest", 400):
        s3.get_object_retention(Bucket=bucket, Key="k")
    locked = site.bucket(ObjectLockEnabledForBucket=True)
    s3.put_object_lock_configuration(Bucket=locked, ObjectLockConfiguration=rule)
    assert s3.get_object_lock_configuration(Bucket=locked)["ObjectLockConfiguration"] == rule
    s3.put_object(Bucket=locked, Key="k")
    kept = s3.get_object_retention(Bucket=locked, Key="k")["Retention"]
    assert kept["Mode"] == "GOVERNANCE"
    assert timedelta(days=2.9) < kept["RetainUntilDate"] - datetime.now(UTC) < timedelta(days=3.1)
    with fails("NoSuchObjectLockConfiguration", 404):
        s3.get_object_legal_hold(Bucket=locked, Key="k")
    for wrong in ({"Mode": "GOVERNANCE"}, {"Mode": "GOVERNANCE", "Days": 1, "Years": 1}, {"Mode": "X", "Days": 1}):
        with fails("MalformedXML", 400):
            s3.put_object_lock_configuration(
                Bucket=locked, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": wrong}}
            )
    with fails("InvalidArgument", 400):
        s3.put_object(Bucket=locked, Key="k", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=soon(days=-1))


KEY, OTHER = b"k" * 32, b"o" * 32


def by_hand(prefix, key):
    digest = base64.b64encode(hashlib.md5(key).digest()).decode()
    return {f"{prefix}algorithm": "AES256", f"{prefix}key": base64.b64encode(key).decode(), f"{prefix}key-md5": digest}


OWN = "x-amz-server-side-encryption-customer-"


def test_keys_that_clients_bring(site, s3, bucket):
    path = f"/{bucket}/k"
    status, headers, _body = site.send("PUT", path, b"secret", headers=by_hand(OWN, KEY), payload=ground.UNSIGNED)
    assert (status, headers[f"{OWN}algorithm"]) == (200, "AES256")
    status, headers, body = site.send("GET", path, headers=by_hand(OWN, KEY))
    assert (status, body, headers[f"{OWN}key-md5"]) == (200, b"secret", by_hand(OWN, KEY)[f"{OWN}key-md5"])
    assert site.send("GET", path)[0] == 400
    assert site.send("HEAD", path)[0] == 400
    assert site.send("GET", path, headers=by_hand(OWN, OTHER))[0] == 403
    for wrong in ({f"{OWN}algorithm": "DES"}, {f"{OWN}key": "c2hvcnQ="}, {f"{OWN}key-md5": by_hand(OWN, OTHER)[f"{OWN}key-md5"]}):
        assert site.send("PUT", path, b"x", headers=by_hand(OWN, KEY) | wrong, payload=ground.UNSIGNED)[0] == 400
    source = by_hand("x-amz-copy-source-server-side-encryption-customer-", KEY)
    status, _headers, _body = site.send(
        "PUT", f"/{bucket}/copy", headers={"x-amz-copy-source": f"/{bucket}/k", **source, **by_hand(OWN, OTHER)}
    )
    assert status == 200
    assert site.send("GET", f"/{bucket}/copy", headers=by_hand(OWN, OTHER))[2] == b"secret"
    assert site.send("PUT", f"/{bucket}/plain", headers={"x-amz-copy-source": f"/{bucket}/k", **source})[0] == 200
    assert read(s3, bucket, "plain") == b"secret"
    assert site.send("GET", f"/{bucket}/plain", headers=by_hand(OWN, KEY))[0] == 400
    status, _headers, body = site.send("POST", f"/{bucket}/big?uploads", headers=by_hand(OWN, KEY))
    number = body[body.index(b"<UploadId>") + 10 : body.index(b"</UploadId>")].decode()
    part = f"/{bucket}/big?partNumber=1&uploadId={number}"
    assert site.send("PUT", part, b"x" * 10, payload=ground.UNSIGNED)[0] == 400
    assert site.send("PUT", part, b"x" * 10, headers=by_hand(OWN, OTHER), payload=ground.UNSIGNED)[0] == 400
    status, headers, _body = site.send("PUT", part, b"x" * 10, headers=by_hand(OWN, KEY), payload=ground.UNSIGNED)
    s3.complete_multipart_upload(
        Bucket=bucket, Key="big", UploadId=number, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": headers["etag"]}]}
    )
    assert site.send("GET", f"/{bucket}/big", headers=by_hand(OWN, KEY))[2] == b"x" * 10


def test_encryption_of_the_store(s3, bucket):
    assert s3.put_object(Bucket=bucket, Key="k", ServerSideEncryption="AES256")["ServerSideEncryption"] == "AES256"
    assert s3.head_object(Bucket=bucket, Key="k")["ServerSideEncryption"] == "AES256"
    with fails("NotImplemented", 501):
        s3.put_object(Bucket=bucket, Key="k", ServerSideEncryption="aws:kms:dsse")
    with fails("ServerSideEncryptionConfigurationNotFoundError", 404):
        s3.get_bucket_encryption(Bucket=bucket)
    rule = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": False}]}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=rule)
    assert s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"] == rule
    assert s3.put_object(Bucket=bucket, Key="auto")["ServerSideEncryption"] == "AES256"
    s3.delete_bucket_encryption(Bucket=bucket)
    with fails("NotImplemented", 501):
        rule = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms:dsse"}}]}
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=rule)


def lived(site, days):
    return asyncio.run(run_lifecycle(site.objects, datetime.now(UTC) + timedelta(days=days), site.settings.classes))


def rules(s3, bucket, *given):
    each = [{"Status": "Enabled", "ID": f"r{number}", "Filter": {"Prefix": ""}, **rule} for number, rule in enumerate(given)]
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": each})
    return each


def names(s3, bucket):
    return [each["Key"] for each in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


def test_objects_expire_by_prefix_tag_and_size(site, s3, bucket):
    for key, body, tags in (
        ("logs/a", b"1", ""),
        ("tagged", b"1", "t=1&u=2"),
        ("half", b"1", "t=1"),
        ("large", b"x" * 50, ""),
        ("kept", b"1", ""),
    ):
        s3.put_object(Bucket=bucket, Key=key, Body=body, Tagging=tags)
    made = rules(
        s3, bucket, {"Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 3}},
        {"Filter": {"And": {"Prefix": "", "Tags": [{"Key": "t", "Value": "1"}, {"Key": "u", "Value": "2"}]}}, "Expiration": {"Days": 3}},
        {"Filter": {"ObjectSizeGreaterThan": 40}, "Expiration": {"Days": 5}}, {"Status": "Disabled", "Expiration": {"Days": 1}},
    )  # fmt: skip
    assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"] == made
    assert 'rule-id="r0"' in s3.head_object(Bucket=bucket, Key="logs/a")["Expiration"]
    assert lived(site, 2).expired == 0
    assert lived(site, 4).expired == 2
    assert names(s3, bucket) == ["half", "kept", "large"]
    assert lived(site, 6).expired == 1
    assert names(s3, bucket) == ["half", "kept"]
    rules(s3, bucket, {"Expiration": {"Date": datetime(2020, 1, 1, tzinfo=UTC)}})
    assert lived(site, 0).expired == 2
    s3.delete_bucket_lifecycle(Bucket=bucket)
    with fails("NoSuchLifecycleConfiguration", 404):
        s3.get_bucket_lifecycle_configuration(Bucket=bucket)


def test_versions_expire(site, s3, bucket):
    versioned(s3, bucket)
    for number in range(4):
        s3.put_object(Bucket=bucket, Key="k", Body=str(number).encode())
    rules(s3, bucket, {"NoncurrentVersionExpiration": {"NoncurrentDays": 2, "NewerNoncurrentVersions": 1}})
    assert lived(site, 4).removed == 2
    assert len(s3.list_object_versions(Bucket=bucket)["Versions"]) == 2
    rules(s3, bucket, {"Expiration": {"Days": 1}, "NoncurrentVersionExpiration": {"NoncurrentDays": 1}})
    done = lived(site, 3)
    assert (done.expired, done.removed) == (1, 1)
    assert lived(site, 6).removed == 1
    rules(s3, bucket, {"Expiration": {"ExpiredObjectDeleteMarker": True}})
    assert lived(site, 0).removed == 1
    page = s3.list_object_versions(Bucket=bucket)
    assert "Versions" not in page
    assert "DeleteMarkers" not in page


def test_locks_outlive_rules(site, s3):
    bucket = site.bucket(ObjectLockEnabledForBucket=True)
    kept = s3.put_object(Bucket=bucket, Key="k", ObjectLockLegalHoldStatus="ON")["VersionId"]
    s3.put_object(Bucket=bucket, Key="k")
    rules(s3, bucket, {"NoncurrentVersionExpiration": {"NoncurrentDays": 1}})
    assert lived(site, 9).removed == 0
    assert s3.head_object(Bucket=bucket, Key="k", VersionId=kept)


def test_uploads_are_aborted_and_objects_moved(site, s3, bucket):
    s3.create_multipart_upload(Bucket=bucket, Key="a/1")
    s3.create_multipart_upload(Bucket=bucket, Key="b")
    rules(s3, bucket, {"Filter": {"Prefix": "a/"}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}})
    assert lived(site, 3).aborted == 1
    assert [each["Key"] for each in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == ["b"]
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"data", Metadata={"m": "1"})["ETag"]
    rules(s3, bucket, {"Transitions": [{"Days": 1, "StorageClass": "STANDARD_IA"}, {"Days": 9, "StorageClass": "GLACIER_IR"}]})
    before = len(site.objects.store._bytes)
    assert (lived(site, 3).moved, lived(site, 3).moved) == (1, 0)
    got = s3.get_object(Bucket=bucket, Key="k")
    assert (got["StorageClass"], got["ETag"], got["Body"].read(), got["Metadata"]) == ("STANDARD_IA", etag, b"data", {"m": "1"})
    assert len(site.objects.store._bytes) == before
    assert lived(site, 20).moved == 1
    assert s3.list_objects_v2(Bucket=bucket)["Contents"][0]["StorageClass"] == "GLACIER_IR"


@pytest.mark.parametrize(
    "wrong",
    [
        {"Expiration": {"Days": 0}},
        {"Expiration": {}},
        {},
        {"Status": "On", "Expiration": {"Days": 1}},
        {"Transitions": [{"Days": 1, "StorageClass": "X"}]},
        {"Expiration": {"Days": 1, "ExpiredObjectDeleteMarker": True}},
        {"Filter": {"Tag": {"Key": "a", "Value": ""}}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}},
        {"Expiration": {"Date": datetime(2030, 1, 1, 5, tzinfo=UTC)}},
        {"ID": "x" * 256, "Expiration": {"Days": 1}},
    ],
)
def test_rules_that_cannot_be(s3, bucket, wrong):
    with pytest.raises(s3.exceptions.ClientError) as caught:
        rules(s3, bucket, wrong)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
