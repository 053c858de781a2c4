"""Replication: to buckets here, and to another S3 service, through boto3."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from andromede.core.errors import Unavailable
from andromede.http.plain import serve
from andromede.services.object import tasks, uploads
from andromede.services.object.s3 import remote, replicate
from andromede.services.object.s3.settings import Remote
from andromede.services.object.swift import Swift
from tests import objects as beside
from tests import s3 as ground
from tests.cloud import USER_PASSWORD
from tests.s3 import fails
from tests.swift import Client

ROLE = "arn:aws:iam::any:role/replication"


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """The other service: a cloud of its own."""
    with ground.site(tmp_path_factory.mktemp("other")) as made:
        yield made


@pytest.fixture(scope="module")
def site(tmp_path_factory, other):
    before, uploads.LEAST = uploads.LEAST, 100
    remotes: dict = {}
    with ground.site(tmp_path_factory.mktemp("s3"), remotes=remotes) as made:
        remotes["far"] = Remote(other.url, *other.keys, "us-east-1", (made.project,))
        remotes["theirs"] = Remote(other.url, *other.keys, "us-east-1", ("another",))
        remotes["down"] = Remote("http://127.0.0.1:9", *other.keys, "us-east-1", (made.project,))
        yield made
    uploads.LEAST = before


@pytest.fixture(scope="module")
def s3(site):
    return site.client()


def versioned(site, client=None):
    client = client or site.client()
    name = site.bucket(client)
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


@pytest.fixture
def source(site):
    return versioned(site)


@pytest.fixture
def target(site):
    return versioned(site)


def rule(to, **more):
    arn = to if to.startswith("arn:") else f"arn:aws:s3:::{to}"
    each = {"ID": "r", "Priority": 1, "Status": "Enabled", "Filter": {"Prefix": ""}, "DeleteMarkerReplication": {"Status": "Enabled"}}
    destination = {"Bucket": arn, **more.pop("Destination", {})}
    return {**each, "Destination": destination, **more}


def replicated(s3, bucket, *rules):
    s3.put_bucket_replication(Bucket=bucket, ReplicationConfiguration={"Role": ROLE, "Rules": list(rules)})


def run(site):
    return asyncio.run(replicate.replicate(site.objects, site.settings))


def versions(s3, bucket):
    found = s3.list_object_versions(Bucket=bucket)
    rows = [*found.get("Versions", ()), *found.get("DeleteMarkers", ())]
    return sorted((each["Key"], each["VersionId"], each["IsLatest"], each.get("ETag")) for each in rows)


def state(s3, bucket, key, **more):
    return s3.head_object(Bucket=bucket, Key=key, **more).get("ReplicationStatus")


def test_copies_are_the_same(site, s3, source, target):
    s3.put_object(Bucket=source, Key="before", Body=b"not replicated")
    replicated(s3, source, rule(target, Destination={"StorageClass": "STANDARD_IA"}))
    assert s3.get_bucket_replication(Bucket=source)["ReplicationConfiguration"]["Rules"][0]["Destination"]["Bucket"] == f"arn:aws:s3:::{target}"
    made = s3.put_object(Bucket=source, Key="k", Body=b"one", Metadata={"by": "us"}, Tagging="a=b", CacheControl="no-cache", ContentType="text/x")
    assert state(s3, source, "k") == "PENDING"
    assert run(site) == 1
    assert state(s3, source, "k") == "COMPLETED"
    got = s3.get_object(Bucket=target, Key="k")
    assert (got["Body"].read(), got["Metadata"], got["CacheControl"], got["ContentType"]) == (b"one", {"by": "us"}, "no-cache", "text/x")
    assert (got["VersionId"], got["ETag"], got["StorageClass"]) == (made["VersionId"], made["ETag"], "STANDARD_IA")
    assert got["ReplicationStatus"] == "REPLICA"
    assert got["LastModified"] == s3.head_object(Bucket=source, Key="k")["LastModified"]
    assert s3.get_object_tagging(Bucket=target, Key="k")["TagSet"] == [{"Key": "a", "Value": "b"}]
    s3.put_object_tagging(Bucket=source, Key="k", Tagging={"TagSet": [{"Key": "c", "Value": "d"}]})
    assert state(s3, source, "k") == "PENDING"
    assert run(site) == 1
    assert s3.get_object_tagging(Bucket=target, Key="k")["TagSet"] == [{"Key": "c", "Value": "d"}]

    upload = s3.create_multipart_upload(Bucket=source, Key="parts")["UploadId"]
    parts = [
        {"PartNumber": number, "ETag": s3.upload_part(Bucket=source, Key="parts", UploadId=upload, PartNumber=number, Body=b"p" * 150)["ETag"]}
        for number in (1, 2)
    ]
    s3.complete_multipart_upload(Bucket=source, Key="parts", UploadId=upload, MultipartUpload={"Parts": parts})
    s3.put_object(Bucket=source, Key="k", Body=b"two")
    s3.delete_object(Bucket=source, Key="k")
    s3.put_object(Bucket=source, Key="k", Body=b"three")
    s3.delete_object(Bucket=source, Key="parts")
    run(site)
    assert [row for row in versions(s3, source) if row[0] != "before"] == versions(s3, target)
    assert s3.get_object(Bucket=target, Key="parts", VersionId=versions(s3, target)[-2][1], PartNumber=2)["Body"].read() == b"p" * 150
    assert tasks.waiting(site.objects.store, tasks.REPLICA) == 0
    s3.delete_bucket_replication(Bucket=source)
    with fails("ReplicationConfigurationNotFoundError", 404):
        s3.get_bucket_replication(Bucket=source)


def test_the_order_in_which_copies_are_made_does_not_matter(site, s3, source, target):
    replicated(s3, source, rule(target))
    for body in (b"1", b"2", None, b"4"):
        s3.put_object(Bucket=source, Key="k", Body=body) if body else s3.delete_object(Bucket=source, Key="k")
    due = tasks.due(site.objects.store, tasks.REPLICA, datetime.now(UTC).timestamp() + 1, 100)
    assert len(due) == 4
    for number in (2, 3, 0, 1, 3, 2):
        asyncio.run(replicate._one(site.objects, site.settings, due[number]))
    assert versions(s3, source) == versions(s3, target)
    assert s3.get_object(Bucket=target, Key="k")["Body"].read() == b"4"


def test_which_objects_and_which_of_two_rules(site, s3, source, target):
    second = versioned(site)
    tagged = {"Filter": {"And": {"Prefix": "a/", "Tags": [{"Key": "k", "Value": "v"}]}}, "DeleteMarkerReplication": {"Status": "Disabled"}}
    replicated(
        s3, source, rule(target, **tagged), rule(second, ID="s", Priority=2, Filter={"Prefix": "a/"}, DeleteMarkerReplication={"Status": "Disabled"}),
        rule(second, ID="t", Priority=3, Status="Disabled"),
    )  # fmt: skip
    s3.put_object(Bucket=source, Key="a/tagged", Body=b"x", Tagging="k=v")
    s3.put_object(Bucket=source, Key="a/bare", Body=b"x")
    s3.put_object(Bucket=source, Key="b", Body=b"x")
    s3.delete_object(Bucket=source, Key="a/bare")
    assert run(site) == 3
    assert [row[0] for row in versions(s3, target)] == ["a/tagged"]
    assert [row[0] for row in versions(s3, second)] == ["a/bare", "a/tagged"]
    assert state(s3, source, "b") is None


def test_both_ways(site, s3, source, target):
    replicated(s3, source, rule(target))
    replicated(s3, target, rule(source))
    s3.put_object(Bucket=source, Key="one", Body=b"1")
    s3.put_object(Bucket=target, Key="two", Body=b"2")
    assert run(site) == 2
    assert run(site) == 0
    assert [row[0] for row in versions(s3, source)] == [row[0] for row in versions(s3, target)] == ["one", "two"]
    with fails("InvalidBucketState", 409):
        s3.put_bucket_versioning(Bucket=source, VersioningConfiguration={"Status": "Suspended"})


def test_a_bucket_of_another_project(site, s3, source):
    stranger = site.cloud.other(f"owner-of-{source}")
    keys = beside.access_key(site.cloud, stranger)
    theirs = site.client(keys)
    target = versioned(site, theirs)
    with fails("InvalidRequest", 400):
        replicated(s3, source, rule(target))
    statement = {
        "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{site.project}:root"}, "Action": "s3:ReplicateObject",
        "Resource": f"arn:aws:s3:::{target}/k*",
    }  # fmt: skip
    theirs.put_bucket_policy(Bucket=target, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    with fails("InvalidRequest", 400):
        replicated(s3, source, rule(target))
    replicated(s3, source, rule(target, Filter={"Prefix": "k"}))
    s3.put_object(Bucket=source, Key="k", Body=b"x")
    assert run(site) == 1
    assert theirs.get_object(Bucket=target, Key="k")["Body"].read() == b"x"
    theirs.delete_bucket_policy(Bucket=target)
    s3.put_object(Bucket=source, Key="k", Body=b"y")
    assert run(site) == 0
    assert state(s3, source, "k") == "FAILED"


def test_keys_that_are_named(site, s3, source, target):
    admin, user = site.cloud.admin, site.token(site.cloud.user)["user"]["id"]
    admin.put(f"/identity/v3/projects/{site.project}/users/{user}/roles/{site.cloud.id_of('roles', 'manager')}")
    key = site.service("kms", beside.access_key(site.cloud, site.cloud.sign_in("demo", USER_PASSWORD, "demo"))).create_key()["KeyMetadata"]["Arn"]
    replicated(s3, source, rule(target))
    s3.put_object(Bucket=source, Key="k", Body=b"secret", ServerSideEncryption="aws:kms")
    assert run(site) == 0
    assert state(s3, source, "k") is None
    criteria = {"SseKmsEncryptedObjects": {"Status": "Enabled"}}
    with fails("InvalidRequest", 400):
        replicated(s3, source, rule(target, SourceSelectionCriteria=criteria))
    encrypted = {"EncryptionConfiguration": {"ReplicaKmsKeyID": key}}
    replicated(s3, source, rule(target, SourceSelectionCriteria=criteria, Destination=encrypted))
    s3.put_object(Bucket=source, Key="k", Body=b"secret", ServerSideEncryption="aws:kms")
    assert run(site) == 1
    got = s3.get_object(Bucket=target, Key="k")
    assert (got["Body"].read(), got["SSEKMSKeyId"]) == (b"secret", key)


def test_large_objects_of_swift_go_whole(site, s3, source, target, other):
    far = other.bucket()
    replicated(s3, source, rule(target), rule(f"arn:andromede:remote:far:{far}", ID="s", Priority=2))
    segments, token = site.bucket(), site.cloud.user.token
    for name in ("one", "two"):
        s3.put_object(Bucket=segments, Key=name, Body=name.encode() * 100)
    account = f"/v1/AUTH_{site.project}"
    with beside.served(lambda: serve(Swift(site.objects, beside.callers(site.cloud)), "swift")) as url:
        swift = Client(url, site.objects, None)
        manifest = f'[{{"path": "/{segments}/one"}}, {{"path": "/{segments}/two"}}]'.encode()
        assert swift("PUT", f"{account}/{source}/slo?multipart-manifest=put", manifest, token=token).status == 201
        assert swift("PUT", f"{account}/{source}/dlo", b"", token=token, X_Object_Manifest=f"{segments}/t").status == 201
        assert swift("PUT", f"{account}/{source}/meta", b"x", token=token).status == 201
        assert run(site) == 6
        assert swift("POST", f"{account}/{source}/meta", b"", token=token, X_Object_Meta_New="value").status == 202
    run(site)
    for client, bucket in ((s3, target), (other.client(), far)):
        assert client.get_object(Bucket=bucket, Key="slo")["Body"].read() == b"one" * 100 + b"two" * 100
        assert client.get_object(Bucket=bucket, Key="dlo")["Body"].read() == b"two" * 100
        assert client.head_object(Bucket=bucket, Key="meta")["Metadata"] == {"new": "value"}


def test_an_older_version_never_hides_a_newer_one_elsewhere(site, s3, source, other):
    far = other.bucket()
    replicated(s3, source, rule(f"arn:andromede:remote:far:{far}"))
    first = s3.put_object(Bucket=source, Key="k", Body=b"1")["VersionId"]
    s3.put_object(Bucket=source, Key="k", Body=b"2")
    due = tasks.due(site.objects.store, tasks.REPLICA, datetime.now(UTC).timestamp() + 1, 100)
    for one in sorted(due, key=lambda one: -one.task.stamp):
        asyncio.run(replicate._one(site.objects, site.settings, one))
    assert other.client().get_object(Bucket=far, Key="k")["Body"].read() == b"2"
    assert (state(s3, source, "k"), state(s3, source, "k", VersionId=first)) == ("COMPLETED", "FAILED")


def test_another_service(site, s3, source, other, monkeypatch):
    far = other.client()
    target = other.bucket()
    with fails("InvalidRequest", 400):
        replicated(s3, source, rule(f"arn:andromede:remote:theirs:{target}"))
    replicated(s3, source, rule(f"arn:andromede:remote:far:{target}"))
    s3.put_object(Bucket=source, Key="a b/é+", Body=b"far", Metadata={"by": "us"}, Tagging="a=b%20c", ContentType="text/x", ContentLanguage="fr")
    assert run(site) == 1
    got = far.get_object(Bucket=target, Key="a b/é+")
    assert (got["Body"].read(), got["Metadata"], got["ContentType"], got["ContentLanguage"]) == (b"far", {"by": "us"}, "text/x", "fr")
    assert far.get_object_tagging(Bucket=target, Key="a b/é+")["TagSet"] == [{"Key": "a", "Value": "b c"}]
    s3.delete_object(Bucket=source, Key="a b/é+")
    s3.put_object(Bucket=source, Key="empty", Body=b"")
    run(site)
    assert [each["Key"] for each in far.list_objects_v2(Bucket=target)["Contents"]] == ["empty"]
    monkeypatch.setattr(remote, "WHOLE", 250)
    monkeypatch.setattr(remote, "PART", 200)
    body = bytes(range(256)) * 2
    s3.put_object(Bucket=source, Key="large", Body=body)
    assert run(site) == 1
    head = far.head_object(Bucket=target, Key="large")
    assert head["ETag"].endswith('-3"')
    assert far.get_object(Bucket=target, Key="large")["Body"].read() == body


def test_a_service_that_is_down(site, s3, source, monkeypatch):
    replicated(s3, source, rule("arn:andromede:remote:down:bucket"))
    s3.put_object(Bucket=source, Key="k", Body=b"x")
    assert run(site) == 0
    assert state(s3, source, "k") == "PENDING"
    assert tasks.waiting(site.objects.store, tasks.REPLICA) == 1
    assert run(site) == 0
    at = datetime.now(UTC) + timedelta(hours=73)
    monkeypatch.setattr(replicate, "now", lambda: at)
    assert run(site) == 0
    assert state(s3, source, "k") == "FAILED"
    assert tasks.waiting(site.objects.store, tasks.REPLICA) == 0


def test_an_upload_that_breaks_off_leaves_nothing(site, s3, source, other, monkeypatch):
    target = other.bucket()
    monkeypatch.setattr(remote, "WHOLE", 10)
    monkeypatch.setattr(remote, "PART", 10)
    service = remote.Service(site.settings.remotes["far"])

    def source_of(start, stop):
        async def pieces():
            if start:
                raise Unavailable("The disk failed.")
            yield b"x" * (stop - start)

        return pieces()

    with pytest.raises(Unavailable):
        asyncio.run(service.put(target, "k", {}, source_of, 25))
    assert "Uploads" not in other.client().list_multipart_uploads(Bucket=target)


def test_what_goes_away_meanwhile(site, s3, source, target):
    replicated(s3, source, rule(target))
    made = s3.put_object(Bucket=source, Key="k", Body=b"x")["VersionId"]
    s3.delete_object(Bucket=source, Key="k", VersionId=made)
    s3.put_object(Bucket=source, Key="left", Body=b"x")
    s3.delete_bucket_replication(Bucket=source)
    assert run(site) == 0
    assert state(s3, source, "left") == "FAILED"
    assert versions(s3, target) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Destination": {"Bucket": "arn:aws:s3:::no-such-bucket"}}, "InvalidRequest"),
        ({"Destination": {"Bucket": "nonsense"}}, "InvalidRequest"),
        ({"Destination": {"Bucket": "arn:andromede:remote:nobody:bucket"}}, "InvalidRequest"),
        ({"Destination": {"StorageClass": "GLACIER"}}, "InvalidStorageClass"),
        ({"Destination": {"ReplicationTime": {"Status": "Enabled", "Time": {"Minutes": 15}}}}, "NotImplemented"),
        ({"ExistingObjectReplication": {"Status": "Enabled"}}, "NotImplemented"),
        ({"SourceSelectionCriteria": {"ReplicaModifications": {"Status": "Enabled"}}}, "NotImplemented"),
        ({"Filter": {"Tag": {"Key": "a", "Value": "b"}}}, "InvalidRequest"),
        ({"Filter": {"And": {"Prefix": "a"}}}, "MalformedXML"),
        ({"Priority": -1}, "InvalidRequest"),
        ({"ID": "x" * 256}, "InvalidArgument"),
    ],
)
def test_configurations_that_cannot_be(s3, source, target, change, code):
    with fails(code):
        replicated(s3, source, rule(target, **change))
    with fails("ReplicationConfigurationNotFoundError"):
        s3.get_bucket_replication(Bucket=source)


def test_buckets_that_cannot_be(site, s3, source):
    plain = site.bucket()
    with fails("InvalidRequest", 400):
        replicated(s3, plain, rule(source))
    with fails("InvalidRequest", 400):
        replicated(s3, source, rule(plain))
    with fails("InvalidRequest", 400):
        replicated(s3, source, rule(source))
    with fails("MalformedXML", 400):
        s3.put_bucket_replication(Bucket=source, ReplicationConfiguration={"Role": "", "Rules": [rule(source)]})
