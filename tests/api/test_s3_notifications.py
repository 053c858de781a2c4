"""Notifications of what happens in a bucket: told to webhooks, through boto3 and the other face, at least once each."""

import asyncio
import hashlib
import hmac
import socket
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from andromede.http.plain import serve
from andromede.services.object import tasks, uploads
from andromede.services.object.s3 import events, run_lifecycle
from andromede.services.object.s3.settings import Webhook
from andromede.services.object.swift import Swift
from tests import hooks
from tests import objects as beside
from tests import s3 as ground
from tests.s3 import fails
from tests.swift import Client


@pytest.fixture(scope="module")
def hook():
    with hooks.listening() as made:
        yield made


@pytest.fixture(scope="module")
def site(tmp_path_factory, hook):
    declared = {"ours": Webhook(hook.url, "a secret"), "gone": Webhook("http://127.0.0.1:9/")}
    before, uploads.LEAST = uploads.LEAST, 100
    with ground.site(tmp_path_factory.mktemp("s3"), webhooks=declared, webhook_hosts=("127.0.0.1",), webhook_ports=(hook.port,)) as made:
        yield made
    uploads.LEAST = before


@pytest.fixture(scope="module")
def s3(site):
    return site.client()


@pytest.fixture
def bucket(site, hook):
    hook.taken.clear()
    hook.answers.clear()
    return site.bucket()


def any_hook(hook):
    return f"arn:andromede:webhook:{hook.url}"


def watch(s3, bucket, target, *wanted, kind="Queue", name="QueueArn", **more):
    config = {f"{kind}Configurations": [{name: target, "Events": list(wanted or ("s3:ObjectCreated:*", "s3:ObjectRemoved:*")), **more}]}
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=config)


def delivered(site):
    return asyncio.run(events.deliver(site.objects, site.settings))


def told(site, hook):
    """What came since the last time, without test events."""
    delivered(site)
    bodies = [msgspec.json.decode(body) for _path, _headers, body in hook.taken]
    hook.taken.clear()
    return [record for body in bodies for record in body.get("Records", ())]


def test_what_is_told(site, s3, bucket, hook):
    watch(s3, bucket, "arn:aws:sqs:us-east-1:any:ours", Id="mine", Filter={"Key": {"FilterRules": [{"Name": "prefix", "Value": "in/"}]}})
    shown = s3.get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"]
    assert [(each["Id"], each["QueueArn"]) for each in shown] == [("mine", "arn:aws:sqs:us-east-1:any:ours")]
    assert delivered(site) == 1
    ((path, headers, body),) = hook.taken
    test = msgspec.json.decode(body)
    assert (path, test["Event"], test["Bucket"]) == ("/hook?key=value", "s3:TestEvent", bucket)
    assert headers["x-andromede-signature"] == "sha256=" + hmac.new(b"a secret", body, hashlib.sha256).hexdigest()
    hook.taken.clear()

    put = s3.put_object(Bucket=bucket, Key="in/a b+é", Body=b"12345")
    s3.put_object(Bucket=bucket, Key="out/a", Body=b"12345")
    (one,) = told(site, hook)
    assert (one["eventName"], one["awsRegion"], one["s3"]["configurationId"]) == ("ObjectCreated:Put", "us-east-1", "mine")
    assert one["s3"]["object"]["key"] == "in/a+b%2B%C3%A9"
    assert (one["s3"]["object"]["size"], one["s3"]["object"]["eTag"]) == (5, put["ETag"].strip('"'))
    assert one["s3"]["bucket"] == {"name": bucket, "ownerIdentity": {"principalId": site.project}, "arn": f"arn:aws:s3:::{bucket}"}
    assert one["userIdentity"]["principalId"] == site.token(site.cloud.user)["user"]["id"]
    assert one["requestParameters"]["sourceIPAddress"] == "127.0.0.1"
    assert one["responseElements"]["x-amz-request-id"]
    assert told(site, hook) == []


def test_kinds_of_events(site, s3, bucket, hook):
    every = "ObjectCreated:*", "ObjectRemoved:*", "LifecycleExpiration:*", "LifecycleTransition", "ObjectTagging:*", "ObjectAcl:Put"
    watch(s3, bucket, any_hook(hook), *(f"s3:{each}" for each in every), kind="Topic", name="TopicArn")
    s3.put_object(Bucket=bucket, Key="a", Body=b"a" * 200)
    s3.copy_object(Bucket=bucket, Key="b", CopySource=f"{bucket}/a")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="c")["UploadId"]
    etag = s3.upload_part(Bucket=bucket, Key="c", UploadId=upload, PartNumber=1, Body=b"c")["ETag"]
    s3.complete_multipart_upload(Bucket=bucket, Key="c", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    s3.put_object_tagging(Bucket=bucket, Key="a", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
    s3.delete_object_tagging(Bucket=bucket, Key="a")
    s3.put_object_acl(Bucket=bucket, Key="a", ACL="public-read")
    s3.delete_object(Bucket=bucket, Key="a")
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "b"}, {"Key": "not there"}]})
    found = [(one["eventName"], one["s3"]["object"]["key"]) for one in told(site, hook)]
    assert found == [
        ("ObjectCreated:Put", "a"), ("ObjectCreated:Copy", "b"), ("ObjectCreated:CompleteMultipartUpload", "c"), ("ObjectTagging:Put", "a"),
        ("ObjectTagging:Delete", "a"), ("ObjectAcl:Put", "a"), ("ObjectRemoved:Delete", "a"), ("ObjectRemoved:Delete", "b"),
    ]  # fmt: skip
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    put = s3.put_object(Bucket=bucket, Key="v", Body=b"1")
    s3.delete_object(Bucket=bucket, Key="v")
    s3.delete_object(Bucket=bucket, Key="v", VersionId=put["VersionId"])
    records = told(site, hook)
    assert [one["eventName"] for one in records] == ["ObjectCreated:Put", "ObjectRemoved:DeleteMarkerCreated", "ObjectRemoved:Delete"]
    assert records[0]["s3"]["object"]["versionId"] == put["VersionId"]
    assert records[0]["s3"]["object"]["sequencer"] < records[1]["s3"]["object"]["sequencer"]
    rule = {"ID": "t", "Status": "Enabled", "Filter": {"Prefix": "c"}, "Expiration": {"Days": 5}}
    rule["Transitions"] = [{"Days": 1, "StorageClass": "STANDARD_IA"}]
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    for days in (2, 7):
        asyncio.run(run_lifecycle(site.objects, datetime.now(UTC) + timedelta(days=days), site.settings.classes))
    assert [one["eventName"] for one in told(site, hook)] == ["LifecycleTransition", "LifecycleExpiration:DeleteMarkerCreated"]


def test_the_other_face_is_watched_too(site, s3, bucket, hook):
    watch(s3, bucket, any_hook(hook))
    told(site, hook)
    token, path = site.cloud.user.token, f"/v1/AUTH_{site.project}/{bucket}/k"
    with beside.served(lambda: serve(Swift(site.objects, beside.callers(site.cloud)), "swift")) as url:
        swift = Client(url, site.objects, None)
        assert swift("PUT", path, b"x", token=token).status == 201
        assert swift("COPY", path, token=token, Destination=f"{bucket}/copy").status == 201
        assert swift("DELETE", path, token=token).status == 204
    found = told(site, hook)
    assert [one["eventName"] for one in found] == ["ObjectCreated:Put", "ObjectCreated:Copy", "ObjectRemoved:Delete"]
    assert found[0]["userIdentity"]["principalId"]


def test_what_is_not_taken_is_sent_again(site, s3, bucket, hook, monkeypatch):
    watch(s3, bucket, any_hook(hook))
    told(site, hook)
    hook.answers += [500, 302]
    s3.put_object(Bucket=bucket, Key="a")
    s3.put_object(Bucket=bucket, Key="b")
    assert told(site, hook) == []
    assert tasks.waiting(site.objects.store, tasks.EVENT) == 2
    assert told(site, hook) == []
    later(monkeypatch, 10)
    assert told(site, hook) == []
    later(monkeypatch, 60)
    assert sorted(one["s3"]["object"]["key"] for one in told(site, hook)) == ["a", "b"]
    assert tasks.waiting(site.objects.store, tasks.EVENT) == 0


def test_many_events_at_once(site, s3, bucket, hook, monkeypatch):
    monkeypatch.setattr(events, "_BATCH", 4)
    watch(s3, bucket, any_hook(hook))
    for number in range(9):
        s3.put_object(Bucket=bucket, Key=str(number))
    assert [one["s3"]["object"]["key"] for one in told(site, hook)] == [str(number) for number in range(9)]


def later(monkeypatch, seconds):
    """Now is later, for who delivers."""
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    monkeypatch.setattr(events, "now", lambda: at)


def test_what_nobody_takes_is_given_up(site, s3, bucket, hook, monkeypatch):
    watch(s3, bucket, "arn:aws:lambda:us-east-1:any:function:gone", kind="LambdaFunction", name="LambdaFunctionArn")
    s3.put_object(Bucket=bucket, Key="a")
    assert delivered(site) == 0
    assert tasks.waiting(site.objects.store, tasks.EVENT) == 2
    later(monkeypatch, 73 * 3600)
    assert delivered(site) == 0
    assert tasks.waiting(site.objects.store, tasks.EVENT) == 0


def test_a_name_that_changes_its_mind_reaches_nothing_inside(site, s3, bucket, hook, monkeypatch):
    monkeypatch.setattr(events, "limits", lambda _settings: events.Limits(ports=(80,), hosts=(), what="No", silence=1.0))
    watch(s3, bucket, f"arn:andromede:webhook:http://somewhere.test:{hook.port}/")
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, *_, **__: [(2, 1, 6, "", ("127.0.0.1", port))])
    monkeypatch.setattr(events, "limits", lambda _settings: events.Limits(ports=None, hosts=(), what="No", silence=1.0))
    assert delivered(site) == 0
    assert hook.taken == []
    later(monkeypatch, 73 * 3600)
    delivered(site)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"QueueArn": "arn:aws:sqs:us-east-1:any:nobody"}, "InvalidArgument"),
        ({"QueueArn": "arn:aws:sns:us-east-1:any:ours"}, "InvalidArgument"),
        ({"QueueArn": "arn:andromede:webhook:http://10.0.0.1/"}, "InvalidArgument"),
        ({"QueueArn": "arn:andromede:webhook:ftp://example.org/"}, "InvalidArgument"),
        ({"QueueArn": "arn:andromede:webhook:http://example.org:22/"}, "InvalidArgument"),
        ({"QueueArn": "arn:andromede:webhook:http://user@example.org/"}, "InvalidArgument"),
        ({"QueueArn": "arn:andromede:webhook:" + "x" * 3000}, "MalformedXML"),
        ({"Events": ["s3:Everything"]}, "InvalidArgument"),
        ({"Events": ["s3:Replication:*"]}, "InvalidArgument"),
        ({"Events": []}, "MalformedXML"),
        ({"Id": "x" * 256}, "InvalidArgument"),
        ({"Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "a"}, {"Name": "prefix", "Value": "b"}]}}}, "InvalidArgument"),
        ({"Filter": {"Key": {"FilterRules": [{"Name": "middle", "Value": "a"}]}}}, "InvalidArgument"),
    ],
)
def test_configurations_that_cannot_be(s3, bucket, change, code):
    good = {"Id": "x", "QueueArn": "arn:aws:sqs:us-east-1:any:ours", "Events": ["s3:ObjectCreated:*"]}
    with fails(code, 400):
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [good | change]})
    assert "QueueConfigurations" not in s3.get_bucket_notification_configuration(Bucket=bucket)


def test_configurations_that_overlap(site, s3, bucket):
    def each(name, suffix, *events):
        rules = {"Key": {"FilterRules": [{"Name": "suffix", "Value": suffix}]}}
        return {"Id": name, "QueueArn": "arn:aws:sqs:us-east-1:any:ours", "Events": list(events), "Filter": rules}

    def put(*configs):
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"QueueConfigurations": list(configs)})

    put(each("a", ".jpg", "s3:ObjectCreated:*"), each("b", ".png", "s3:ObjectCreated:*"))
    put(each("a", ".jpg", "s3:ObjectCreated:Put"), each("b", ".jpg", "s3:ObjectCreated:Copy"))
    with fails("InvalidArgument", 400):
        put(each("a", ".jpg", "s3:ObjectCreated:*"), each("b", "g", "s3:ObjectCreated:Put"))
    with fails("InvalidArgument", 400):
        put(each("a", ".jpg", "s3:ObjectCreated:*"), each("a", ".png", "s3:ObjectCreated:*"))
    with fails("NotImplemented", 501):
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}})
    put()
    assert not site.objects.place(site.project, bucket).container.s3
