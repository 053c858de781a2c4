"""Access logs of buckets, as they come to lie in another one."""

import re
import time

import pytest

from andromede.drivers.blob.fake import Fake
from tests import objects as beside
from tests import s3 as ground
from tests.s3 import fails

LINE = re.compile(
    r'(?P<owner>\S+) (?P<bucket>\S+) \[(?P<time>[^\]]+)\] (?P<ip>\S+) (?P<who>\S+) (?P<id>[0-9A-F]{16}) (?P<operation>\S+) (?P<key>\S+) '
    r'"(?P<request>[^"]*)" (?P<status>\d+) (?P<code>\S+) (?P<sent>\S+) (?P<size>\S+) (?P<total>\d+) (?P<turn>\d+) "(?P<referer>[^"]*)" '
    r'"(?P<agent>[^"]*)" (?P<version>\S+) (?P<host>\S+) (?P<signature>\S+) (?P<cipher>\S+) (?P<auth>\S+) (?P<header>\S+) (?P<tls>\S+) \S+ \S+'
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with ground.site(tmp_path_factory.mktemp("s3"), log_seconds=0.2) as made:
        yield made


@pytest.fixture(scope="module")
def s3(site):
    return site.client()


def logged(s3, target, count, prefix="logs/"):
    """The lines, once so many are there, by operation and time."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        names = [each["Key"] for each in s3.list_objects_v2(Bucket=target, Prefix=prefix).get("Contents", ())]
        lines = [line for name in names for line in s3.get_object(Bucket=target, Key=name)["Body"].read().decode().splitlines()]
        if len(lines) >= count:
            return [LINE.fullmatch(line).groupdict() for line in lines]
        time.sleep(0.05)
    raise AssertionError(lines)


def watch(s3, bucket, target, **more):
    enabled = {"TargetBucket": target, "TargetPrefix": "logs/", **more}
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={"LoggingEnabled": enabled})


def test_what_is_logged(site, s3):
    bucket, target = site.bucket(), site.bucket()
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)
    watch(s3, bucket, target)
    assert s3.get_bucket_logging(Bucket=bucket)["LoggingEnabled"] == {"TargetBucket": target, "TargetPrefix": "logs/"}
    s3.put_object(Bucket=bucket, Key="a b/é", Body=b"12345")
    s3.get_object(Bucket=bucket, Key="a b/é")["Body"].read()
    s3.put_object(Bucket=bucket, Key="large", Body=b"x" * 3_000_000)
    s3.get_object(Bucket=bucket, Key="large")["Body"].read()
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/large")
    s3.put_object_tagging(Bucket=bucket, Key="copy", Tagging={"TagSet": []})
    s3.list_objects_v2(Bucket=bucket)
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "copy"}]})
    with fails("NoSuchKey"):
        s3.get_object(Bucket=bucket, Key="gone")
    assert site.send("GET", f"/{bucket}/large", headers={"user-agent": 'x" - "y\\', "referer": "from\tthere"}, signed=False)[0] == 403
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=1, Body=b"x")
    s3.abort_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload)
    lines = {(line["operation"], line["key"], line["status"]): line for line in logged(s3, target, 14)}
    assert {each[0] for each in lines} == {
        "REST.GET.LOGGING_STATUS", "REST.PUT.OBJECT", "REST.GET.OBJECT", "REST.COPY.OBJECT", "REST.PUT.OBJECT_TAGGING", "REST.GET.BUCKET",
        "REST.POST.MULTI_OBJECT_DELETE", "REST.POST.UPLOADS", "REST.PUT.PART", "REST.DELETE.UPLOAD",
    }  # fmt: skip
    put = lines["REST.PUT.OBJECT", "a%2520b/%25C3%25A9", "200"]
    assert (put["owner"], put["bucket"], put["ip"], put["signature"], put["auth"]) == (site.project, bucket, "127.0.0.1", "SigV4", "AuthHeader")
    assert put["who"] == f"arn:aws:iam::{site.project}:user/demo"
    assert put["agent"].startswith("Boto3/")
    got = lines["REST.GET.OBJECT", "large", "200"]
    assert (got["sent"], got["size"], got["code"]) == ("3000000", "3000000", "-")
    assert lines["REST.GET.OBJECT", "gone", "404"]["code"] == "NoSuchKey"
    refused = lines["REST.GET.OBJECT", "large", "403"]
    assert (refused["who"], refused["code"], refused["agent"], refused["referer"]) == ("-", "AccessDenied", "x\\x22 - \\x22y\\x5c", "from\\x09there")
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={})
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)


def test_names_by_date(site, s3):
    bucket, target = site.bucket(), site.bucket()
    watch(s3, bucket, target, TargetObjectKeyFormat={"PartitionedPrefix": {"PartitionDateSource": "EventTime"}})
    s3.list_objects_v2(Bucket=bucket)
    logged(s3, target, 1)
    (name,) = [each["Key"] for each in s3.list_objects_v2(Bucket=target)["Contents"]]
    assert re.fullmatch(rf"logs/{site.project}/us-east-1/{bucket}/\d{{4}}/\d\d/\d\d/\d{{4}}-\d\d-\d\d-\d\d-\d\d-\d\d-[0-9A-F]{{16}}", name)


def test_targets_that_cannot_be(site, s3):
    bucket = site.bucket()
    theirs = site.client(beside.access_key(site.cloud, site.cloud.other("stranger")))
    for target in ("no-such-bucket", site.bucket(theirs)):
        with fails("InvalidTargetBucketForLogging", 400):
            watch(s3, bucket, target)
    with fails("InvalidArgument", 400):
        watch(s3, bucket, site.bucket(), TargetObjectKeyFormat={"PartitionedPrefix": {"PartitionDateSource": "Whenever"}})
    with fails("NotImplemented", 501):
        watch(s3, bucket, site.bucket(), TargetGrants=[{"Grantee": {"Type": "CanonicalUser", "ID": "x"}, "Permission": "READ"}])


def test_a_target_that_goes_away_costs_only_lines(site, s3):
    bucket, target = site.bucket(), site.bucket()
    watch(s3, bucket, target)
    s3.delete_bucket(Bucket=target)
    for _ in range(3):
        s3.list_objects_v2(Bucket=bucket)
        time.sleep(0.3)


def test_lines_are_written_when_serving_ends(tmp_path):
    store = Fake()
    with ground.site(tmp_path, store, log_seconds=3600.0) as site:
        s3, bucket, target = site.client(), site.bucket(), site.bucket()
        watch(s3, bucket, target)
        s3.list_objects_v2(Bucket=bucket)
        objects, project = site.objects, site.project
        assert objects.listing(objects.place(project, target)) == []
    assert len(objects.listing(objects.place(project, target))) == 1
