"""Who may do what: roles, policies, access control lists, and what pages of other origins and websites see."""

import asyncio
import json
import socket

import msgspec
import pytest

from tests import s3 as ground
from tests.cloud import USER_PASSWORD
from tests.s3 import fails


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with ground.site(tmp_path_factory.mktemp("s3")) as made:
        made.other_user = made.cloud.other("other")
        made.other_project = made.token(made.other_user)["project"]["id"]
        made.other = made.client(ground.ground.access_key(made.cloud, made.other_user))
        made.only_reads = made.client(ground.ground.access_key(made.cloud, made.cloud.other("reading", "reader")))
        yield made


@pytest.fixture(scope="module")
def s3(site):
    return site.client()


@pytest.fixture
def bucket(site, s3):
    name = site.bucket()
    s3.put_object(Bucket=name, Key="public/k", Body=b"data", Tagging="level=open")
    s3.put_object(Bucket=name, Key="secret/k", Body=b"data")
    return name


def allow(s3, bucket, *statements):
    full = [
        {"Effect": "Allow", "Principal": "*", "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"], **each}
        for each in statements
    ]
    for each in full:
        for name in ("Principal", "Resource", "Action"):
            if f"Not{name}" in each:
                each.pop(name, None)
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": full}))


def may(client, bucket, key="public/k", **more):
    try:
        client.get_object(Bucket=bucket, Key=key, **more)
    except client.exceptions.ClientError as error:
        if error.response["Error"]["Code"] != "AccessDenied":
            raise
        return False
    return True


def test_roles(site, s3):
    with fails("AccessDenied", 403):
        site.only_reads.create_bucket(Bucket="no-bucket")
    assert site.only_reads.list_buckets()["Buckets"] == []
    with fails("AccessDenied", 403):
        site.nobody().list_buckets()
    bucket = site.bucket()
    s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    reader = next(user["id"] for user in site.cloud.admin.get("/identity/v3/users?name=reading").json["users"])
    site.cloud.admin.put(f"/identity/v3/projects/{site.project}/users/{reader}/roles/{site.cloud.id_of('roles', 'reader')}")
    reads = site.client(ground.ground.access_key(site.cloud, site.cloud.sign_in("reading", USER_PASSWORD, "demo")))
    assert reads.get_object(Bucket=bucket, Key="k")["Body"].read() == b"1"
    assert reads.list_objects_v2(Bucket=bucket)["KeyCount"] == 1
    for call, more in (
        (reads.put_object, {"Key": "n"}),
        (reads.delete_object, {"Key": "k"}),
        (reads.delete_bucket, {}),
        (reads.put_bucket_policy, {"Policy": "{}"}),
        (reads.put_object_tagging, {"Key": "k", "Tagging": {"TagSet": []}}),
        (reads.create_multipart_upload, {"Key": "k"}),
        (reads.copy_object, {"Key": "n", "CopySource": f"{bucket}/k"}),
    ):
        with fails("AccessDenied", 403):
            call(Bucket=bucket, **more)


def test_strangers_and_nobody(site, s3, bucket):
    for client in (site.other, site.nobody()):
        for call, more in (
            (client.get_object, {"Key": "public/k"}),
            (client.put_object, {"Key": "k"}),
            (client.delete_object, {"Key": "k"}),
            (client.list_objects_v2, {}),
            (client.get_object, {"Key": "none"}),
            (client.get_bucket_acl, {}),
            (client.get_bucket_policy, {}),
            (client.delete_bucket, {}),
            (client.put_bucket_tagging, {"Tagging": {"TagSet": []}}),
            (client.list_object_versions, {}),
            (client.get_object_tagging, {"Key": "public/k"}),
            (client.create_multipart_upload, {"Key": "k"}),
            (client.get_bucket_versioning, {}),
        ):
            with fails("AccessDenied", 403):
                call(Bucket=bucket, **more)
    errors = site.other.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "public/k"}]})["Errors"]
    assert errors[0]["Code"] == "AccessDenied"


def test_a_policy_opens_a_prefix_to_everybody(site, s3, bucket):
    allow(s3, bucket, {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/public/*"})
    assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"] is True
    assert may(site.nobody(), bucket)
    assert may(site.other, bucket)
    assert not may(site.nobody(), bucket, "secret/k")
    assert not may(site.nobody(), bucket, "public/none")
    status, _headers, body = site.send("GET", f"/{bucket}/public/k", signed=False)
    assert (status, body) == (200, b"data")
    s3.put_public_access_block(
        Bucket=bucket, PublicAccessBlockConfiguration={"RestrictPublicBuckets": True, "BlockPublicPolicy": True}
    )
    assert not may(site.other, bucket)
    assert may(s3, bucket)
    with fails("AccessDenied", 403):
        allow(s3, bucket, {"Action": "s3:GetObject"})
    s3.delete_public_access_block(Bucket=bucket)
    with fails("NoSuchPublicAccessBlockConfiguration", 404):
        s3.get_public_access_block(Bucket=bucket)
    s3.delete_bucket_policy(Bucket=bucket)
    assert not may(site.nobody(), bucket)
    with fails("NoSuchBucketPolicy", 404):
        s3.get_bucket_policy(Bucket=bucket)


def test_a_policy_for_a_project_and_for_a_person(site, s3, bucket):
    allow(
        s3,
        bucket,
        {
            "Principal": {"AWS": f"arn:aws:iam::{site.other_project}:root"},
            "Action": ["s3:GetObject", "s3:PutObject", "s3:ListBucket"],
        },
    )
    assert may(site.other, bucket)
    assert not may(site.only_reads, bucket)
    site.other.put_object(Bucket=bucket, Key="theirs")
    assert "theirs" in [each["Key"] for each in site.other.list_objects_v2(Bucket=bucket)["Contents"]]
    with fails("NoSuchKey", 404):
        site.other.get_object(Bucket=bucket, Key="none")
    with fails("AccessDenied", 403):
        site.other.delete_object(Bucket=bucket, Key="theirs")
    allow(s3, bucket, {"Principal": {"AWS": [f"arn:aws:iam::{site.other_project}:user/other"]}, "Action": "s3:*"})
    site.other.delete_object(Bucket=bucket, Key="theirs")
    allow(s3, bucket, {"Principal": {"AWS": [f"arn:aws:iam::{site.other_project}:user/somebody"]}, "Action": "s3:*"})
    assert not may(site.other, bucket)


def test_a_policy_denies_the_own_project_too(site, s3, bucket):
    allow(s3, bucket, {"Effect": "Deny", "Action": "s3:DeleteObject"}, {"Effect": "Deny", "Action": "s3:GetObject", "NotResource": [
        f"arn:aws:s3:::{bucket}/public/*"]})  # fmt: skip
    with fails("AccessDenied", 403):
        s3.delete_object(Bucket=bucket, Key="public/k")
    assert may(s3, bucket)
    assert not may(s3, bucket, "secret/k")
    with fails("AccessDenied", 403):
        s3.copy_object(Bucket=bucket, Key="public/copy", CopySource=f"{bucket}/secret/k")
    allow(s3, bucket, {"Effect": "Deny", "NotAction": "s3:*Policy", "NotPrincipal": {"AWS": site.other_project}})
    assert not may(s3, bucket)


CONDITIONS = [
    ({"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, True),
    ({"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "::/0"]}}, False),
    ({"NotIpAddress": {"aws:SourceIp": "127.0.0.1"}}, False),
    ({"Bool": {"aws:SecureTransport": "false"}}, True),
    ({"Bool": {"aws:SecureTransport": True}}, False),
    ({"StringLike": {"aws:Referer": "http://good.test/*"}}, True),
    ({"StringNotLike": {"aws:Referer": ["http://good.test/*"]}}, False),
    ({"StringEquals": {"aws:UserAgent": "x"}}, False),
    ({"StringEqualsIfExists": {"s3:prefix": "x"}}, True),
    ({"StringEquals": {"s3:prefix": "x"}}, False),
    ({"StringNotEquals": {"s3:prefix": "x"}}, True),
    ({"Null": {"s3:prefix": "true"}}, True),
    ({"Null": {"aws:Referer": "true"}}, False),
    ({"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, True),
    ({"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, False),
    ({"NumericGreaterThan": {"aws:EpochTime": "5"}}, True),
    ({"StringEquals": {"s3:ExistingObjectTag/level": "open"}}, True),
    ({"StringEquals": {"s3:ExistingObjectTag/level": "shut"}}, False),
    ({"StringEqualsIgnoreCase": {"s3:ExistingObjectTag/level": "OPEN"}}, True),
    ({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/*"}}, False),
    ({"Null": {"s3:VersionId": "true"}}, True),
    ({"ForAnyValue:StringEquals": {"aws:PrincipalType": ["User", "Anonymous"]}}, True),
    ({"Bool": {"aws:SecureTransport": "false"}, "StringEquals": {"aws:Referer": "no"}}, False),
]


@pytest.mark.parametrize(("condition", "expected"), CONDITIONS)
def test_conditions(site, s3, bucket, condition, expected):
    allow(s3, bucket, {"Action": "s3:GetObject", "Condition": condition})
    status, _headers, _body = site.send("GET", f"/{bucket}/public/k", headers={"referer": "http://good.test/page"}, signed=False)
    assert status == (200 if expected else 403)


def test_conditions_on_listings_and_variables(site, s3, bucket):
    allow(s3, bucket, {"Action": "s3:ListBucket", "Condition": {"StringEquals": {"s3:prefix": "public/", "s3:delimiter": "/"},
                                                               "NumericLessThanEquals": {"s3:max-keys": "10"}}})  # fmt: skip
    nobody = site.nobody()
    assert nobody.list_objects_v2(Bucket=bucket, Prefix="public/", Delimiter="/", MaxKeys=5)["KeyCount"] == 1
    for wrong in (
        {"Prefix": "secret/", "Delimiter": "/", "MaxKeys": 5},
        {"Prefix": "public/", "MaxKeys": 5},
        {"Prefix": "public/", "Delimiter": "/", "MaxKeys": 11},
    ):
        with fails("AccessDenied", 403):
            nobody.list_objects_v2(Bucket=bucket, **wrong)
    allow(s3, bucket, {"Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/home/${{aws:username}}/*"})
    site.other.put_object(Bucket=bucket, Key="home/other/x")
    with fails("AccessDenied", 403):
        site.other.put_object(Bucket=bucket, Key="home/demo/x")
    with fails("AccessDenied", 403):
        nobody.put_object(Bucket=bucket, Key="home//x")


@pytest.mark.parametrize(
    "change",
    [
        {"Effect": "Maybe"},
        {"Action": "ec2:Run"},
        {"Action": []},
        {"Resource": "arn:aws:s3:::elsewhere/*"},
        {"Principal": {"AWS": "arn:aws:iam::*:root"}},
        {"Principal": {"Service": "x"}},
        {"Condition": {"StringEquals": {"aws:Nonsense": "x"}}},
        {"Condition": {"StringSame": {"aws:Referer": "x"}}},
        {"Condition": {"IpAddress": {"aws:SourceIp": "300.1.1.1"}}},
        {"Condition": []},
        {"Unknown": 1},
        {"NotAction": "s3:*"},
        {"Condition": {"DateLessThan": {"aws:CurrentTime": "soon"}}},
    ],
)
def test_policies_that_cannot_be(s3, bucket, change):
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*", **change}
    with fails("MalformedPolicy", 400):
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "null", '{"Statement": []}', '{"Version": "2001", "Statement": [{}]}', "[" * 5000, "x" * 30_000]
)
def test_policies_that_are_none(site, bucket, text):
    status, _headers, body = site.send("PUT", f"/{bucket}?policy", text.encode(), payload=ground.UNSIGNED)
    assert (status, b"<Code>MalformedPolicy</Code>" in body) == (400, True)


def test_lists_of_objects_and_buckets(site, s3, bucket):
    s3.put_object(Bucket=bucket, Key="open", ACL="public-read", Body=b"1")
    assert may(site.nobody(), bucket, "open")
    assert len(s3.get_object_acl(Bucket=bucket, Key="open")["Grants"]) == 2
    s3.put_object_acl(Bucket=bucket, Key="open", ACL="private")
    assert not may(site.nobody(), bucket, "open")
    s3.put_object_acl(Bucket=bucket, Key="open", GrantRead=f'id="{site.other_project}"')
    assert may(site.other, bucket, "open")
    assert not may(site.only_reads, bucket, "open")
    owner = {"ID": site.project, "DisplayName": site.project}
    everybody = {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"}
    grants = [
        {"Grantee": {"Type": "CanonicalUser", **owner}, "Permission": "FULL_CONTROL"},
        {"Grantee": everybody, "Permission": "READ"},
    ]
    s3.put_object_acl(Bucket=bucket, Key="open", AccessControlPolicy={"Owner": owner, "Grants": grants})
    assert s3.get_object_acl(Bucket=bucket, Key="open")["Grants"] == grants
    assert may(site.only_reads, bucket, "open")
    assert not may(site.nobody(), bucket, "open")
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    assert site.nobody().list_objects_v2(Bucket=bucket)["KeyCount"] == 3
    site.nobody().put_object(Bucket=bucket, Key="from nobody")
    assert not may(site.nobody(), bucket, "secret/k")
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={"IgnorePublicAcls": True, "BlockPublicAcls": True})
    with fails("AccessDenied", 403):
        site.nobody().list_objects_v2(Bucket=bucket)
    with fails("AccessDenied", 403):
        s3.put_object(Bucket=bucket, Key="open", ACL="public-read")
    s3.delete_public_access_block(Bucket=bucket)
    s3.put_bucket_acl(Bucket=bucket, ACL="private")
    s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]})
    with fails("AccessControlListNotSupported", 400):
        s3.put_object(Bucket=bucket, Key="mine", ACL="private")
    s3.put_object(Bucket=bucket, Key="mine", ACL="bucket-owner-full-control")
    with fails("AccessControlListNotSupported", 400):
        s3.put_object_acl(Bucket=bucket, Key="open", ACL="public-read")
    assert not may(site.only_reads, bucket, "open")
    assert (
        s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"][0]["ObjectOwnership"]
        == "BucketOwnerEnforced"
    )
    s3.delete_bucket_ownership_controls(Bucket=bucket)
    for wrong in ({"ACL": "wide-open"}, {"GrantRead": "id=a b"}, {"GrantRead": "uri=http://x"}):
        with fails("InvalidArgument", 400):
            s3.put_object_acl(Bucket=bucket, Key="open", **wrong)
    with fails("InvalidBucketAclWithObjectOwnership", 400):
        s3.create_bucket(Bucket="never-made", ACL="public-read", ObjectOwnership="BucketOwnerEnforced")
    public = site.bucket(ACL="public-read")
    assert site.nobody().list_objects_v2(Bucket=public)["KeyCount"] == 0


def test_the_owner_that_is_expected(site, s3, bucket):
    s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=site.project)
    with fails("AccessDenied", 403):
        s3.list_objects_v2(Bucket=bucket, ExpectedBucketOwner="0" * 12)


def test_other_origins(site, s3, bucket):
    with fails("NoSuchCORSConfiguration", 404):
        s3.get_bucket_cors(Bucket=bucket)
    rules = [
        {"ID": "one", "AllowedOrigins": ["http://*.good.test"], "AllowedMethods": ["GET", "PUT"], "AllowedHeaders": ["x-amz-*"],
         "ExposeHeaders": ["ETag"],
         "MaxAgeSeconds": 5}, {"AllowedOrigins": ["*"], "AllowedMethods": ["HEAD"]},
    ]  # fmt: skip
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": rules})
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == rules
    origin = {"origin": "http://a.good.test"}
    status, headers, _body = site.send("GET", f"/{bucket}/public/k", headers=origin)
    assert (status, headers["access-control-allow-origin"], headers["access-control-expose-headers"]) == (
        200,
        "http://a.good.test",
        "ETag",
    )
    assert "access-control-allow-origin" in site.send("GET", f"/{bucket}/public/k", headers=origin, signed=False)[1]
    assert "access-control-allow-origin" not in site.send("GET", f"/{bucket}/public/k", headers={"origin": "http://bad.test"})[1]

    def ask(**more):
        asked = {
            **origin,
            "access-control-request-method": "PUT",
            **{name.replace("_", "-"): value for name, value in more.items()},
        }
        return site.send("OPTIONS", f"/{bucket}/k", headers=asked, signed=False)

    status, headers, _body = ask(access_control_request_headers="x-amz-date, x-amz-meta-a")
    assert (status, headers["access-control-allow-headers"], headers["access-control-max-age"]) == (
        200,
        "x-amz-date, x-amz-meta-a",
        "5",
    )
    assert ask(access_control_request_headers="content-type")[0] == 403
    assert ask(origin="http://bad.test")[0] == 403
    assert ask(access_control_request_method="DELETE")[0] == 403
    assert ask(access_control_request_method="NONE")[0] == 400
    with fails("InvalidRequest", 400):
        s3.put_bucket_cors(
            Bucket=bucket, CORSConfiguration={"CORSRules": [{"AllowedOrigins": ["*"], "AllowedMethods": ["PATCH"]}]}
        )
    s3.delete_bucket_cors(Bucket=bucket)


def page(site, bucket, path, method="GET"):
    return site.send(method, path, headers={"host": f"{bucket}.web.test"}, signed=False)


def test_websites(site, s3, bucket):
    for key, body in (("index.html", b"home"), ("docs/index.html", b"docs"), ("error.html", b"oops"), ("a b.txt", b"text")):
        s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="text/html")
    s3.put_object(Bucket=bucket, Key="away", WebsiteRedirectLocation="http://elsewhere.test/x")
    assert page(site, bucket, "/")[0] == 404
    assert page(site, "no-such-bucket", "/")[0] == 404
    rules = [
        {"Condition": {"KeyPrefixEquals": "old/"}, "Redirect": {"ReplaceKeyPrefixWith": "docs/", "HttpRedirectCode": "302"}},
        {
            "Condition": {"HttpErrorCodeReturnedEquals": "404", "KeyPrefixEquals": "lost/"},
            "Redirect": {"HostName": "found.test", "Protocol": "https"},
        },
    ]
    made = {"IndexDocument": {"Suffix": "index.html"}, "ErrorDocument": {"Key": "error.html"}, "RoutingRules": rules}
    s3.put_bucket_website(Bucket=bucket, WebsiteConfiguration=made)
    got = s3.get_bucket_website(Bucket=bucket)
    assert {name: got[name] for name in made} == made
    assert page(site, bucket, "/")[0] == 403
    allow(s3, bucket, {"Action": ["s3:GetObject", "s3:ListBucket"]})
    assert page(site, bucket, "/")[::2] == (200, b"home")
    assert page(site, bucket, "/docs/")[::2] == (200, b"docs")
    status, headers, _body = page(site, bucket, "/docs")
    assert (status, headers["location"]) == (302, "/docs/")
    assert page(site, bucket, "/a%20b.txt")[::2] == (200, b"text")
    assert page(site, bucket, "/none")[::2] == (404, b"oops")
    status, headers, _body = page(site, bucket, "/old/x")
    assert (status, headers["location"]) == (302, f"http://{bucket}.web.test/docs/x")
    status, headers, _body = page(site, bucket, "/lost/x")
    assert (status, headers["location"]) == (301, "https://found.test/lost/x")
    assert page(site, bucket, "/away")[1]["location"] == "http://elsewhere.test/x"
    assert page(site, bucket, "/", "POST")[0] == 405
    s3.put_bucket_website(Bucket=bucket, WebsiteConfiguration={"RedirectAllRequestsTo": {"HostName": "all.test"}})
    assert page(site, bucket, "/x")[1]["location"] == "http://all.test/x"
    s3.delete_bucket_website(Bucket=bucket)
    with fails("NoSuchWebsiteConfiguration", 404):
        s3.get_bucket_website(Bucket=bucket)


def test_buckets_in_the_host(site, s3, bucket):
    headers = {"host": f"{bucket}.s3.test:1234"}
    assert site.send("GET", "/public/k", headers=headers)[2] == b"data"
    assert b"<Key>public/k</Key>" in site.send("GET", "/?list-type=2", headers=headers)[2]
    assert site.send("PUT", "/new", b"", headers=headers)[0] == 200
    assert s3.head_object(Bucket=bucket, Key="new")


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;">]>'
    b"<Delete><Object><Key>&b;</Key></Object></Delete>"
)
OUTSIDE = b"""<?xml version="1.0"?><!DOCTYPE d SYSTEM "file:///etc/passwd"><Delete><Object><Key>k</Key></Object></Delete>"""


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<",
        b"nonsense",
        BOMB,
        OUTSIDE,
        b"<Delete>" * 100,
        b"<Delete/>",
        b"<Other/>",
        b"<Delete>" + b"<Object><Key>k</Key></Object>" * 1001 + b"</Delete>",
        b"\xff\xfe<\x00",
        b"<?xml version='1.0' encoding='utf-99'?><Delete/>",
        b"<Delete><Object/></Delete>",
        b"<Delete>" + b"<x/>" * 70_000 + b"</Delete>",
    ],
)
def test_documents_that_are_refused(site, bucket, body):
    status, _headers, answer = site.send("POST", f"/{bucket}?delete", body, payload=ground.UNSIGNED)
    assert status == 400 or (status == 200 and b"<Error>" in answer)
    assert b"root:" not in answer


def test_settings_that_are_refused(site, s3, bucket):
    for sub in (
        "versioning",
        "lifecycle",
        "cors",
        "website",
        "tagging",
        "acl",
        "publicAccessBlock",
        "ownershipControls",
        "encryption",
        "object-lock",
    ):
        for body in (b"", b"<Wrong/>", BOMB, b"<a><b></a>"):
            assert site.send("PUT", f"/{bucket}?{sub}", body, payload=ground.UNSIGNED)[0] == 400, (sub, body)
    assert site.send("PUT", f"/{bucket}?cors", b"x" * (5 << 20), payload=ground.UNSIGNED)[0] == 400
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    with fails("NotImplemented", 501):
        s3.put_bucket_request_payment(Bucket=bucket, RequestPaymentConfiguration={"Payer": "Requester"})


@pytest.mark.parametrize("path", ["/%00", "/b/%00", "/b/%ff", "/%ff/k", "//k", "/b?prefix=%ff", "/b?prefix=%00"])
def test_paths_that_are_none(site, path):
    status, _headers, body = site.send("GET", path.replace("/b", "/bucket-1"))
    assert status in {400, 404}, body


def test_bytes_that_are_no_request(site):
    for data in (
        b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n",
        b"PUT /a/b HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"\x00\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", int(site.host.partition(":")[2])), timeout=5) as line:
            line.sendall(data)
            assert b" 400 " in line.recv(1000)


def test_quotas_of_swift_hold_here_too(site, s3, bucket):
    def quota(**headers):
        place = site.objects.place(site.project, bucket)
        asyncio.run(site.objects.change(place, lambda was: msgspec.structs.replace(was, headers=headers)))

    quota(**{"x-container-meta-quota-bytes": "20"})
    s3.put_object(Bucket=bucket, Key="fits", Body=b"x" * 10)
    for call, more in (
        (s3.put_object, {"Body": b"x" * 10}),
        (s3.copy_object, {"CopySource": f"{bucket}/fits"}),
    ):
        with fails("QuotaExceeded", 403):
            call(Bucket=bucket, Key="more", **more)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="more")["UploadId"]
    with fails("QuotaExceeded", 403):
        s3.upload_part(Bucket=bucket, Key="more", UploadId=upload, PartNumber=1, Body=b"x" * 10)
    quota(**{"x-container-meta-quota-count": "3"})
    with fails("QuotaExceeded", 403):
        s3.put_object(Bucket=bucket, Key="fourth")
    quota()
    for name in ("bytes", "bytes-policy-standard"):
        asyncio.run(site.objects.set_account(site.project, lambda _was, name=name: {f"x-account-quota-{name}": "5"}))
        try:
            with fails("QuotaExceeded", 403):
                s3.put_object(Bucket=bucket, Key="fourth", Body=b"1")
        finally:
            asyncio.run(site.objects.set_account(site.project, lambda _was: {}))
    s3.put_object(Bucket=bucket, Key="fourth", Body=b"1")
