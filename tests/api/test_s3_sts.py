"""Temporary keys and people's own access keys, through clients of STS and IAM; and S3 with temporary keys in every form of signature."""

import hashlib
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from andromede.services.identity.tokens import Session
from tests import objects as beside
from tests import s3 as ground
from tests.cloud import USER_PASSWORD
from tests.s3 import fails


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with ground.site(tmp_path_factory.mktemp("s3"), version2=True) as made:
        yield made


@pytest.fixture(scope="module")
def bucket(site):
    name = site.bucket()
    site.client().put_object(Bucket=name, Key="k", Body=b"there")
    return name


def keys_of(answer):
    found = answer["Credentials"]
    return found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"]


def role(site, name="reader", project=None):
    return f"arn:aws:iam::{project or site.project}:role/{name}"


def test_who_one_is(site):
    found = site.service("sts").get_caller_identity()
    assert (found["Account"], found["Arn"]) == (site.project, f"arn:aws:iam::{site.project}:user/demo")
    assert site.service("sts", region="us-east-1").get_caller_identity()["Account"] == site.project
    with fails("InvalidClientTokenId"):
        site.service("sts", ("nobody", "x")).get_caller_identity()
    with fails("SignatureDoesNotMatch"):
        site.service("sts", (site.keys[0], "x")).get_caller_identity()
    with fails("IncompleteSignature"):
        site.service("sts", region="elsewhere").get_caller_identity()


def test_a_session_of_ones_own(site, bucket):
    made = site.service("sts").get_session_token(DurationSeconds=900)
    keys = keys_of(made)
    assert timedelta(0) < made["Credentials"]["Expiration"] - datetime.now(UTC) <= timedelta(seconds=900)
    assert site.service("sts", keys).get_caller_identity()["Arn"] == f"arn:aws:iam::{site.project}:user/demo"
    s3 = site.client(keys)
    s3.put_object(Bucket=bucket, Key="mine", Body=b"by a session")
    assert s3.get_object(Bucket=bucket, Key="mine")["Body"].read() == b"by a session"
    s3.put_object(Bucket=bucket, Key="stream", Body=b"x" * 300_000, ChecksumAlgorithm="SHA256")
    for version in ("s3v4", "s3"):
        link = site.client(keys, signature_version=version).generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
        assert urllib.request.urlopen(link, timeout=10).read() == b"there"
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(link[:-40] if version == "s3" else link.replace("X-Amz-Security-Token=", "X-Amz-Security-Token=x"), timeout=10)
        assert caught.value.code in {400, 403}
    assert site.client(keys, signature_version="s3").get_object(Bucket=bucket, Key="k")["Body"].read() == b"there"
    form = s3.generate_presigned_post(bucket, "formed")
    assert "x-amz-security-token" in form["fields"]
    edge = b"--edge"
    body = b"".join(edge + f'\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode() for name, value in form["fields"].items())
    body += edge + b'\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\nfile\r\n' + edge + b"--\r\n"
    headers = {"content-type": "multipart/form-data; boundary=edge"}
    assert site.send("POST", urlsplit(form["url"]).path, body, headers, signed=False)[0] == 204
    assert s3.get_object(Bucket=bucket, Key="formed")["Body"].read() == b"file"

    with fails("InvalidAccessKeyId"):
        site.client(keys[:2]).list_buckets()
    with fails("InvalidToken"):
        site.client((site.keys[0], site.keys[1], keys[2])).list_buckets()
    with fails("InvalidToken"):
        site.client((keys[0], keys[1], keys[2][:-2])).list_buckets()
    with fails("SignatureDoesNotMatch"):
        site.client((keys[0], keys[1][::-1], keys[2])).list_buckets()
    with fails("AccessDenied"):
        site.service("sts", keys).get_session_token()
    assert site.cloud.anyone.get("/identity/v3/auth/tokens", headers={"x-auth-token": keys[2], "x-subject-token": keys[2]}).status == 401


def test_a_role(site, bucket):
    sts = site.service("sts")
    made = sts.assume_role(RoleArn=role(site), RoleSessionName="looking")
    assert made["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{site.project}:assumed-role/reader/looking"
    keys = keys_of(made)
    assert site.service("sts", keys).get_caller_identity()["Arn"] == made["AssumedRoleUser"]["Arn"]
    s3 = site.client(keys)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"there"
    with fails("AccessDenied"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"no")
    again = site.service("sts", keys).assume_role(RoleArn=role(site), RoleSessionName="again")
    assert site.client(keys_of(again)).get_object(Bucket=bucket, Key="k")["Body"].read() == b"there"
    for wanted in (role(site, "member"), role(site, project="0" * 32)):
        with fails("AccessDenied"):
            site.service("sts", keys).assume_role(RoleArn=wanted, RoleSessionName="more")
    for wanted in (role(site, "admin"), role(site, project=site.token(site.cloud.admin)["project"]["id"])):
        with fails("AccessDenied"):
            sts.assume_role(RoleArn=wanted, RoleSessionName="more")
    wrong = (
        {"RoleArn": "arn:aws:iam::x:user/y" + "z" * 20}, {"RoleSessionName": "a b"}, {"DurationSeconds": 899}, {"DurationSeconds": 43_201},
        {"Policy": "{}"},
    )  # fmt: skip
    for more in wrong:
        with fails("ValidationError"):
            client = boto3.client(
                "sts", endpoint_url=site.url, aws_access_key_id=site.keys[0], aws_secret_access_key=site.keys[1], region_name="us-east-1",
                config=Config(parameter_validation=False),
            )  # fmt: skip
            client.assume_role(**{"RoleArn": role(site), "RoleSessionName": "name", **more})


def test_a_role_on_another_project_of_ones_own(site):
    admin, user = site.cloud.admin, site.token(site.cloud.user)["user"]["id"]
    project = admin.post("/identity/v3/projects", {"project": {"name": "second"}}).json["project"]["id"]
    admin.put(f"/identity/v3/projects/{project}/users/{user}/roles/{site.cloud.id_of('roles', 'member')}")
    keys = keys_of(site.service("sts").assume_role(RoleArn=role(site, "member", project), RoleSessionName="there"))
    s3 = site.client(keys)
    s3.create_bucket(Bucket="of-the-second")
    assert [each["Name"] for each in s3.list_buckets()["Buckets"]] == ["of-the-second"]
    admin.delete(f"/identity/v3/projects/{project}/users/{user}/roles/{site.cloud.id_of('roles', 'member')}")
    ended(s3)


def test_a_token_of_identity(site, bucket):
    sts = boto3.client("sts", endpoint_url=site.url, region_name="us-east-1", config=Config(signature_version=UNSIGNED))
    user = site.cloud.sign_in("demo", USER_PASSWORD, "demo")
    made = sts.assume_role_with_web_identity(RoleArn=role(site, "member"), RoleSessionName="web", WebIdentityToken=user.token)
    assert made["SubjectFromWebIdentityToken"] == site.token(user)["user"]["id"]
    s3 = site.client(keys_of(made))
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"there"
    with fails("InvalidIdentityToken"):
        sts.assume_role_with_web_identity(RoleArn=role(site), RoleSessionName="web", WebIdentityToken="nonsense")
    with fails("AccessDenied"):
        sts.assume_role_with_web_identity(RoleArn=role(site, "admin"), RoleSessionName="web", WebIdentityToken=user.token)
    with fails("MissingAuthenticationToken"):
        sts.get_caller_identity()
    assert user.delete("/identity/v3/auth/tokens", headers={"x-subject-token": user.token}).status == 204
    ended(s3)


def ended(s3):
    """The session is refused before long."""
    end, found = time.monotonic() + 10, ""
    while time.monotonic() < end:
        try:
            s3.list_buckets()
        except ClientError as error:
            found = error.response["Error"]["Code"]
            break
        time.sleep(0.05)
    assert found == "InvalidToken"

def test_a_session_ends_with_its_key(site):
    keys = beside.access_key(site.cloud)
    s3 = site.client(keys_of(site.service("sts", keys).get_session_token()))
    s3.list_buckets()
    site.service("iam").delete_access_key(AccessKeyId=keys[0])
    ended(s3)


def test_a_session_that_is_over(site):
    signer = site.cloud.parts.signing.known.signer
    from andromede.services.identity import sessions

    text = signer.sign_session(Session(user="x", project="y", audit=(), issued=0.0, expires=1.0))
    with fails("ExpiredToken", 400):
        site.client((sessions._access(text), "secret", text)).list_buckets()


def test_ones_own_keys(site):
    iam = site.service("iam")
    assert iam.get_user()["User"]["UserName"] == "demo"
    made = iam.create_access_key(UserName="demo")["AccessKey"]
    assert made["AccessKeyId"] in {each["AccessKeyId"] for each in iam.list_access_keys()["AccessKeyMetadata"]}
    theirs = (made["AccessKeyId"], made["SecretAccessKey"])
    site.client(theirs).list_buckets()
    site.service("iam", theirs).delete_access_key(AccessKeyId=made["AccessKeyId"])
    with fails("NoSuchEntity", 404):
        iam.delete_access_key(AccessKeyId=made["AccessKeyId"])
    with fails("NoSuchEntity", 404):
        iam.get_user(UserName="admin")
    with fails("InvalidAction", 400):
        iam.list_users()
    keys = keys_of(site.service("sts").get_session_token())
    with fails("AccessDenied"):
        site.service("iam", keys).create_access_key()


@pytest.mark.parametrize(
    "body",
    [b"", b"Action", b"Action=GetCallerIdentity&" + b"a=b&" * 200, b"Action=%ff", b"\xff\xfe", b"a" * 70_000, b"Action=Nothing"],
)
def test_bodies_that_are_none(site, body):
    payload = hashlib.sha256(body).hexdigest()
    assert site.send("POST", "/", body, {"content-type": "application/x-www-form-urlencoded"}, service="sts", payload=payload)[0] == 400
    assert site.send("POST", "/", body, {"content-type": "application/x-www-form-urlencoded"}, signed=False)[0] in {400, 403}
    assert site.send("POST", "/", body, {"authorization": "Basic x"}, signed=False)[0] == 400
