"""Keys of encryption that are named: made, disabled and deleted through a client of KMS, used by one of S3 and by Swift's face."""

import asyncio
import base64
import hashlib

import pytest
from botocore.exceptions import ClientError

from andromede.core.errors import DriverError
from andromede.http.plain import serve
from andromede.services.object import kms, uploads
from andromede.services.object.swift import Swift
from tests import objects as beside
from tests import s3 as ground
from tests.cloud import USER_PASSWORD
from tests.s3 import fails
from tests.swift import Client

DATA = b"under a key of ours " * 100


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    before, uploads.LEAST = uploads.LEAST, 100
    with ground.site(tmp_path_factory.mktemp("s3")) as made:
        admin = made.cloud.admin
        manager = made.cloud.id_of("roles", "manager")
        user = made.token(made.cloud.user)["user"]["id"]
        assert admin.put(f"/identity/v3/projects/{made.project}/users/{user}/roles/{manager}").status == 204
        made.cloud.user = made.cloud.sign_in("demo", USER_PASSWORD, "demo")
        yield made
    uploads.LEAST = before


@pytest.fixture(scope="module")
def s3(site):
    return site.client()


@pytest.fixture(scope="module")
def keys(site):
    return site.service("kms")


@pytest.fixture
def bucket(site):
    return site.bucket()


@pytest.fixture
def key(keys):
    return keys.create_key(Description="for a test")["KeyMetadata"]


def read(s3, bucket, key):
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read()


def named(arn):
    return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": arn}


def test_an_object_under_a_key(site, s3, keys, bucket, key):
    put = s3.put_object(Bucket=bucket, Key="k", Body=DATA, BucketKeyEnabled=True, **named(key["KeyId"]))
    assert (put["ServerSideEncryption"], put["SSEKMSKeyId"], put["BucketKeyEnabled"]) == ("aws:kms", key["Arn"], True)
    got = s3.get_object(Bucket=bucket, Key="k", Range="bytes=10-29")
    assert (got["Body"].read(), got["SSEKMSKeyId"]) == (DATA[10:30], key["Arn"])
    place = site.objects.place(site.project, bucket)
    found = site.objects.get(place, "k")
    assert found.blobs[0].foreign
    s3.copy_object(Bucket=bucket, Key="plain", CopySource=f"{bucket}/k")
    assert not site.objects.get(place, "plain").blobs[0].foreign
    context = base64.b64encode(b'{"for": "a test"}').decode()
    s3.copy_object(Bucket=bucket, Key="again", CopySource=f"{bucket}/plain", SSEKMSEncryptionContext=context, **named(key["Arn"]))
    assert site.objects.get(place, "again").object.s3["kms"]["context"] == '{"for":"a test"}'
    assert read(s3, bucket, "plain") == read(s3, bucket, "again") == DATA

    keys.disable_key(KeyId=key["KeyId"])
    with fails("KMS.DisabledException", 400) as told:
        s3.get_object(Bucket=bucket, Key="k")
    assert told.value.response["Error"]["Message"] == f"{key['Arn']} is disabled."
    with fails("KMS.DisabledException", 400):
        s3.copy_object(Bucket=bucket, Key="x", CopySource=f"{bucket}/k")
    with fails("KMS.DisabledException", 400):
        s3.put_object(Bucket=bucket, Key="x", **named(key["KeyId"]))
    assert s3.head_object(Bucket=bucket, Key="k")["SSEKMSKeyId"] == key["Arn"]
    assert read(s3, bucket, "plain") == DATA
    keys.enable_key(KeyId=key["KeyId"])
    assert read(s3, bucket, "k") == DATA

    gone = keys.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
    assert gone["KeyState"] == "PendingDeletion"
    with fails("KMS.KMSInvalidStateException", 400):
        read(s3, bucket, "k")
    keys.cancel_key_deletion(KeyId=key["KeyId"])
    with fails("KMS.DisabledException", 400):
        read(s3, bucket, "k")
    keys.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
    assert asyncio.run(site.objects.keys.purge(gone["DeletionDate"].timestamp() + 60)) == 1
    with fails("KMS.NotFoundException", 400) as told:
        read(s3, bucket, "k")
    assert told.value.response["Error"]["Message"] == f"Key '{key['Arn']}' does not exist"
    s3.delete_object(Bucket=bucket, Key="k")


def test_the_key_that_is_there_by_itself(site, s3, keys, bucket):
    put = s3.put_object(Bucket=bucket, Key="k", Body=DATA, ServerSideEncryption="aws:kms")
    own = keys.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]
    assert put["SSEKMSKeyId"] == own["Arn"]
    assert own["KeyManager"] == "AWS"
    assert read(s3, bucket, "k") == DATA
    for call in (keys.disable_key, keys.schedule_key_deletion):
        with fails("AccessDeniedException"):
            call(KeyId=own["KeyId"])
    s3.put_object_acl(Bucket=bucket, Key="k", ACL="public-read")
    with fails("InvalidArgument", 400):
        site.nobody().get_object(Bucket=bucket, Key="k")


def test_what_a_bucket_gets_by_default(site, s3, keys, bucket, key):
    keys.create_alias(AliasName=f"alias/{bucket}", TargetKeyId=key["KeyId"])
    rule = {
        "Rules": [
            {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": f"alias/{bucket}"}, "BucketKeyEnabled": True}
        ]
    }
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=rule)
    assert s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"] == rule
    put = s3.put_object(Bucket=bucket, Key="k", Body=DATA)
    assert (put["SSEKMSKeyId"], put["BucketKeyEnabled"]) == (key["Arn"], True)
    assert s3.put_object(Bucket=bucket, Key="other", ServerSideEncryption="AES256")["ServerSideEncryption"] == "AES256"
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")
    assert upload["SSEKMSKeyId"] == key["Arn"]
    parts = [
        {"PartNumber": number, "ETag": s3.upload_part(Bucket=bucket, Key="parts", UploadId=upload["UploadId"], PartNumber=number, Body=DATA)["ETag"]}
        for number in (1, 2)
    ]
    copied = s3.upload_part_copy(Bucket=bucket, Key="parts", UploadId=upload["UploadId"], PartNumber=3, CopySource=f"{bucket}/k")
    parts.append({"PartNumber": 3, "ETag": copied["CopyPartResult"]["ETag"]})
    s3.complete_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload["UploadId"], MultipartUpload={"Parts": parts})
    assert read(s3, bucket, "parts") == DATA * 3

    token, account = site.cloud.user.token, f"/v1/AUTH_{site.project}/{bucket}"
    with beside.served(lambda: serve(Swift(site.objects, beside.callers(site.cloud)), "swift")) as url:
        swift = Client(url, site.objects, None)
        assert swift("GET", f"{account}/parts", token=token).body == DATA * 3
        assert swift("PUT", f"{account}/swift", DATA, token=token).status == 201
        assert s3.head_object(Bucket=bucket, Key="swift")["SSEKMSKeyId"] == key["Arn"]
        assert read(s3, bucket, "swift") == DATA
        manifest = b'[{"path": "/%s/swift"}, {"path": "/%s/k"}]' % (bucket.encode(), bucket.encode())
        assert swift("PUT", f"{account}/slo?multipart-manifest=put", manifest, token=token).status == 201
        assert swift("GET", f"{account}/slo", token=token).body == DATA * 2
        assert swift("PUT", f"{account}/dlo", b"", token=token, X_Object_Manifest=f"{bucket}/swi").status == 201
        assert swift("GET", f"{account}/dlo", token=token).body == DATA
        keys.disable_key(KeyId=key["KeyId"])
        assert swift("GET", f"{account}/swift", token=token).status == 403
        assert swift("PUT", f"{account}/swift", DATA, token=token).status == 403


def test_what_cannot_be(site, s3, keys, bucket, key):
    with fails("KMS.NotFoundException", 400):
        s3.put_object(Bucket=bucket, Key="k", **named("no-such-key"))
    with fails("InvalidArgument", 400):
        s3.put_object(Bucket=bucket, Key="k", SSEKMSKeyId=key["KeyId"])
    with fails("InvalidArgument", 400):
        s3.put_object(Bucket=bucket, Key="k", SSEKMSEncryptionContext="no base64", **named(key["KeyId"]))
    with fails("InvalidArgument", 400):
        s3.put_object(Bucket=bucket, Key="k", SSECustomerAlgorithm="AES256", SSECustomerKey=b"k" * 32, **named(key["KeyId"]))
    other = site.cloud.other("stranger")
    theirs = ground.Site(site.cloud, site.url, site.objects, site.settings)
    theirs.keys = beside.access_key(site.cloud, other)
    with fails("AccessDenied", 403):
        theirs.client().put_object(Bucket=theirs.bucket(), Key="k", **named(key["Arn"]))
    with fails("NotFoundException"):
        theirs.service("kms").describe_key(KeyId=key["Arn"])
    with fails("AccessDeniedException"):
        theirs.service("kms").create_key()
    for rule in ({"SSEAlgorithm": "AES256", "KMSMasterKeyID": key["KeyId"]}, {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": ""}):
        with fails("InvalidArgument", 400):
            wanted = {"Rules": [{"ApplyServerSideEncryptionByDefault": rule}]}
            s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=wanted)


def test_keys_and_their_names(site, keys, key):
    assert key["KeyId"] in {each["KeyId"] for each in keys.list_keys()["Keys"]}
    keys.update_key_description(KeyId=key["Arn"], Description="another")
    assert keys.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["Description"] == "another"
    keys.create_alias(AliasName="alias/one", TargetKeyId=key["KeyId"])
    assert keys.describe_key(KeyId="alias/one")["KeyMetadata"]["KeyId"] == key["KeyId"]
    assert [each["AliasName"] for each in keys.list_aliases(KeyId=key["KeyId"])["Aliases"]] == ["alias/one"]
    with fails("AlreadyExistsException"):
        keys.create_alias(AliasName="alias/one", TargetKeyId=key["KeyId"])
    second = keys.create_key()["KeyMetadata"]["KeyId"]
    keys.update_alias(AliasName="alias/one", TargetKeyId=second)
    assert keys.describe_key(KeyId="alias/one")["KeyMetadata"]["KeyId"] == second
    keys.delete_alias(AliasName="alias/one")
    with fails("NotFoundException"):
        keys.describe_key(KeyId="alias/one")
    with fails("NotFoundException"):
        keys.update_alias(AliasName="alias/one", TargetKeyId=second)
    with fails("NotFoundException"):
        keys.delete_alias(AliasName="alias/one")
    with fails("ValidationError"):
        keys.create_alias(AliasName="alias/aws/mine", TargetKeyId=second)
    with fails("ValidationError"):
        keys.schedule_key_deletion(KeyId=second, PendingWindowInDays=5)
    with fails("UnsupportedOperationException"):
        keys.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
    with fails("UnknownOperationException"):
        keys.generate_random(NumberOfBytes=8)
    with fails("KMSInvalidStateException"):
        keys.cancel_key_deletion(KeyId=second)
    with fails("NotFoundException"):
        keys.enable_key(KeyId="arn:aws:iam::x:y")
    with pytest.raises(ClientError, match="NotFound"):
        keys.describe_key(KeyId="a b")


def test_another_master_key_opens_nothing(site, key):
    other = kms.LocalKeys(site.objects.store, b"o" * 32)
    with pytest.raises(DriverError):
        asyncio.run(other.seal(key["Arn"], b"x", b""))
    mine = site.objects.keys
    sealed = asyncio.run(mine.seal(key["Arn"], b"secret", b"context"))
    assert asyncio.run(mine.open(key["Arn"], sealed, b"context")) == b"secret"
    with pytest.raises(DriverError):
        asyncio.run(mine.open(key["Arn"], sealed, b"another"))


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b"\xff", b'{"KeyId": 5}', b'{"KeyId": ""}', b'{"KeyId": "a\\u0000b"}', b"[" * 60_000, b"x" * 70_000],
)
def test_bodies_that_are_none(site, body):
    headers = {"x-amz-target": "TrentService.DescribeKey", "content-type": "application/x-amz-json-1.1"}
    status, _headers, told = site.send("POST", "/", body, headers, service="kms", payload=hashlib.sha256(body).hexdigest())
    assert status == 400, told
    assert site.send("POST", "/", body, headers, signed=False)[0] == 400
