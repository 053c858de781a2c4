"""Signatures of version 4: every part of them altered, bodies in chunks, and what a body must be."""

import base64
import hashlib
import hmac
import json
import socket
import zlib
from datetime import UTC, datetime, timedelta

import pytest

from andromede.http import plain
from tests import s3 as ground
from tests.s3 import EMPTY, UNSIGNED, fails, presigned, sign, signing_key


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with ground.site(tmp_path_factory.mktemp("s3"), version2=True) as made:
        made.home = made.bucket()
        made.client().put_object(Bucket=made.home, Key="k", Body=b"data")
        yield made


def code(answer):
    body = answer[2]
    return answer[0], body[body.index(b"<Code>") + 6 : body.index(b"</Code>")].decode() if b"<Code>" in body else ""


def at(**shift):
    return (datetime.now(UTC) + timedelta(**shift)).strftime("%Y%m%dT%H%M%SZ")


def test_a_good_signature(site):
    status, headers, body = site.send("GET", f"/{site.home}/k")
    assert (status, body) == (200, b"data")
    assert len(headers["x-amz-request-id"]) == 16
    assert headers["x-amz-id-2"]


def altered(site, change):
    path, headers = f"/{site.home}/k", {"host": site.host}
    headers |= sign(site.keys, "GET", path, headers)
    change(headers)
    return code(site.send("GET", path, headers=headers, signed=False))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("Signature=", "Signature=0", (403, "SignatureDoesNotMatch")),
        ("Credential=", "Credential=X", (403, "InvalidAccessKeyId")),
        ("/us-east-1/", "/eu-west-3/", (400, "AuthorizationHeaderMalformed")),
        ("/s3/", "/ec2/", (400, "AuthorizationHeaderMalformed")),
        ("/aws4_request", "/aws5_request", (400, "AuthorizationHeaderMalformed")),
        ("/aws4_request", "", (400, "AuthorizationHeaderMalformed")),
        ("SignedHeaders=host;", "SignedHeaders=", (403, "AccessDenied")),
        ("SignedHeaders=", "Signed=", (400, "AuthorizationHeaderMalformed")),
        ("AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA256", (400, "AuthorizationHeaderMalformed")),
        ("AWS4-HMAC-SHA256", "AWS5-HMAC-SHA256", (400, "InvalidArgument")),
        (", Signature=", ", Signature=\u00e9", (403, "SignatureDoesNotMatch")),
    ],
)
def test_an_authorization_that_was_altered(site, old, new, expected):
    def change(headers):
        assert old in headers["authorization"]
        headers["authorization"] = headers["authorization"].replace(old, new).encode()

    assert altered(site, change) == expected


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("x-amz-date", None, (403, "AccessDenied")),
        ("x-amz-date", "yesterday", (403, "AccessDenied")),
        ("x-amz-date", "20260132T000000Z", (400, "")),
        ("x-amz-content-sha256", None, (400, "InvalidRequest")),
        ("x-amz-content-sha256", "abc", (400, "InvalidArgument")),
        ("x-amz-content-sha256", "0" * 64, (403, "SignatureDoesNotMatch")),
        ("x-amz-content-sha256", UNSIGNED, (403, "SignatureDoesNotMatch")),
        ("x-amz-meta-extra", "unsigned", (403, "AccessDenied")),
        ("host", "elsewhere", (403, "SignatureDoesNotMatch")),
    ],
)
def test_headers_that_were_altered(site, name, value, expected):
    def change(headers):
        if value is None:
            del headers[name]
        else:
            headers[name] = value

    found = altered(site, change)
    assert found == expected or (not expected[1] and found[0] == expected[0])


def test_a_method_a_path_and_a_query_that_were_altered(site):
    for method, path in (("HEAD", f"/{site.home}/k"), ("GET", f"/{site.home}/K"), ("GET", f"/{site.home}/k?versionId=null")):
        headers = {"host": site.host}
        headers |= sign(site.keys, "GET", f"/{site.home}/k", headers)
        assert site.send(method, path, headers=headers, signed=False)[0] == 403


def test_clocks_that_differ(site):
    for shift in (timedelta(minutes=-16), timedelta(minutes=16)):
        moment = (datetime.now(UTC) + shift).strftime("%Y%m%dT%H%M%SZ")
        assert code(site.send("GET", f"/{site.home}/k", moment=moment)) == (403, "RequestTimeTooSkewed")
    assert site.send("GET", f"/{site.home}/k", moment=at(minutes=-14))[0] == 200
    assert code(site.send("GET", f"/{site.home}/k", date="20200101")) == (400, "AuthorizationHeaderMalformed")


@pytest.mark.parametrize(
    "path",
    [
        "/a%20b",
        "/a+b",
        "/a%2Bb",
        "/a%2Fb",
        "//double//",
        "/~t",
        "/%7Et",
        "/%c3%a9",
        "/%C3%A9",
        "/a%3Db%26c",
        "/./x/../y",
        "/a:b@c,d;e!f$g'h(i)*j",
    ],
)
def test_paths_are_signed_as_they_are_sent(site, path):
    path = f"/{site.home}{path}"
    payload = hashlib.sha256(b"x").hexdigest()
    assert site.send("PUT", path, b"x", payload=payload)[0] == 200
    status, _headers, body = site.send("GET", path)
    assert (status, body) == (200, b"x")
    assert site.send("GET", presigned(site.keys, "GET", path, site.host), signed=False)[2] == b"x"
    assert site.send("DELETE", path)[0] == 204


def test_a_path_that_is_sent_in_another_form_than_it_is_signed(site):
    path, headers = f"/{site.home}/%6b", {"host": site.host}
    assert site.send("GET", path, headers=sign(site.keys, "GET", f"/{site.home}/k", headers), signed=False)[2] == b"data"


def test_headers_that_repeat_and_spaces_in_them(site):
    assert site.send("GET", f"/{site.home}/k", headers={"x-amz-meta-a": ["1", "2"], "x-custom": "a   b"})[0] == 200
    assert site.send(
        "PUT", f"/{site.home}/m", headers={"x-amz-meta-name": "caf\u00e9".encode().decode("latin-1")}, payload=UNSIGNED
    )[0] in {200, 403}


def test_queries_are_sorted_and_quoted(site):
    assert site.send("GET", f"/{site.home}?prefix=a%20b&list-type=2&delimiter=%2F&encoding-type=url")[0] == 200
    assert site.send("GET", f"/{site.home}?versions")[0] == 200
    assert site.send("GET", f"/{site.home}?prefix=b&prefix=a")[0] == 200


def test_presigned_requests(site):
    path = f"/{site.home}/k"
    get = presigned(site.keys, "GET", path, site.host)
    assert site.send("GET", get, signed=False)[2] == b"data"
    for old, new, expected in (
        ("X-Amz-Signature=", "X-Amz-Signature=0", (403, "SignatureDoesNotMatch")),
        ("&X-Amz-Expires=300", "", (400, "AuthorizationQueryParametersError")),
        ("X-Amz-Expires=300", "X-Amz-Expires=301", (403, "SignatureDoesNotMatch")),
        ("HMAC-SHA256", "HMAC-SHA1", (400, "AuthorizationQueryParametersError")),
        ("SignedHeaders=host", "SignedHeaders=date", (403, "AccessDenied")), ("us-east-1", "mars", (400, "AuthorizationQueryParametersError")),
    ):  # fmt: skip
        assert code(site.send("GET", get.replace(old, new), signed=False)) == expected
    assert code(site.send("PUT", get, b"x", signed=False)) == (403, "SignatureDoesNotMatch")
    for more in ({"expires": "60", "moment": at(seconds=-90)}, {"moment": at(minutes=30)}):
        assert code(site.send("GET", presigned(site.keys, "GET", path, site.host, **more), signed=False)) == (403, "AccessDenied")
    for expires in ("604801", "0", "x", "-1"):
        refused = site.send("GET", presigned(site.keys, "GET", path, site.host, expires=expires), signed=False)
        assert code(refused) == (400, "AuthorizationQueryParametersError")
    assert code(site.send("GET", get, headers={"authorization": "AWS4-HMAC-SHA256 x"}, signed=False))[0] == 400


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_presigned_by_boto3(site, version):
    s3 = site.client(signature_version=version)
    put = s3.generate_presigned_url("put_object", Params={"Bucket": site.home, "Key": "by url"}, ExpiresIn=60)
    path = put.removeprefix(site.url)
    assert site.send("PUT", path, b"12", signed=False)[0] == 200
    got = s3.generate_presigned_url(
        "get_object", Params={"Bucket": site.home, "Key": "by url", "ResponseContentType": "a/b"}, ExpiresIn=60
    )
    status, headers, body = site.send("GET", got.removeprefix(site.url), signed=False)
    assert (status, headers["content-type"], body) == (200, "a/b", b"12")


def test_keys_nobody_has_and_nobody_at_all(site):
    assert code(site.send("GET", f"/{site.home}/k", keys=("nobody", "x"))) == (403, "InvalidAccessKeyId")
    assert code(site.send("GET", f"/{site.home}/k", keys=(site.keys[0], "wrong"))) == (403, "SignatureDoesNotMatch")
    assert code(site.send("GET", f"/{site.home}/k", signed=False)) == (403, "AccessDenied")
    assert code(site.send("GET", "/", signed=False)) == (403, "AccessDenied")
    assert code(site.send("GET", f"/{site.home}/k", headers={"authorization": "Bearer x"}, signed=False)) == (
        400,
        "InvalidArgument",
    )


def put(site, key, body, headers=None, **more):
    return code(site.send("PUT", f"/{site.home}/{key}", body, headers=headers, **more))


def exists(site, key):
    return site.send("HEAD", f"/{site.home}/{key}")[0] == 200


def test_bodies_that_are_not_what_was_said(site):
    before = len(site.objects.store._bytes)
    assert put(site, "bad", b"other", payload=hashlib.sha256(b"said").hexdigest()) == (400, "XAmzContentSHA256Mismatch")
    assert put(
        site, "bad", b"other", {"content-md5": base64.b64encode(hashlib.md5(b"x").digest()).decode()}, payload=UNSIGNED
    ) == (400, "BadDigest")
    assert put(site, "bad", b"other", {"content-md5": "nonsense"}, payload=UNSIGNED) == (400, "InvalidDigest")
    assert put(site, "bad", b"other", {"x-amz-checksum-crc32": "AAAAAA=="}, payload=UNSIGNED) == (400, "BadDigest")
    assert put(site, "bad", b"other", {"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-sha1": "x"}, payload=UNSIGNED) == (
        400,
        "InvalidRequest",
    )
    assert put(site, "bad", b"other", {"x-amz-sdk-checksum-algorithm": "MD4"}, payload=UNSIGNED) == (400, "InvalidRequest")
    assert put(site, "bad", b"", {"content-length": str(6 << 30)}, payload=UNSIGNED) == (400, "EntityTooLarge")
    bare = put(site, "bad", b"0\r\n\r\n", {"transfer-encoding": "chunked"}, payload=UNSIGNED, leave=("transfer-encoding",))
    assert bare == (411, "MissingContentLength")
    assert not exists(site, "bad")
    assert len(site.objects.store._bytes) == before


def test_a_body_that_stops_leaves_nothing(site):
    before = len(site.objects.store._bytes)
    headers = {"host": site.host, "content-length": "100000"}
    headers |= sign(site.keys, "PUT", f"/{site.home}/cut", headers, payload=UNSIGNED)
    with socket.create_connection(("127.0.0.1", int(site.host.partition(":")[2]))) as line:
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        line.sendall(f"PUT /{site.home}/cut HTTP/1.1\r\n{head}\r\n".encode() + b"x" * 500)
    assert not exists(site, "cut")
    assert len(site.objects.store._bytes) == before


def test_a_body_that_stalls_is_answered(site, monkeypatch):
    monkeypatch.setattr(plain, "SLOW", 0.2)
    monkeypatch.setattr(plain, "LINGER", 0.2)
    before = len(site.objects.store._bytes)
    headers = {"host": site.host, "content-length": "100000"}
    headers |= sign(site.keys, "PUT", f"/{site.home}/stalled", headers, payload=UNSIGNED)
    with socket.create_connection(("127.0.0.1", int(site.host.partition(":")[2])), timeout=5) as line:
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        line.sendall(f"PUT /{site.home}/stalled HTTP/1.1\r\n{head}\r\n".encode() + b"x" * 500)
        text = line.recv(5000)
    assert b" 400 " in text
    assert b"<Code>RequestTimeout</Code>" in text
    assert len(site.objects.store._bytes) == before


def chunked(site, path, pieces, *, trailer=None, signed=True, spoil=""):
    """A body in chunks, signed by hand; answers headers and body."""
    kind = {
        (True, False): "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", (True, True): "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        (False, True): "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    }[signed, trailer is not None]  # fmt: skip
    moment = at()
    headers = {"host": site.host, "x-amz-decoded-content-length": str(sum(map(len, pieces))), "content-encoding": "aws-chunked"}
    if trailer:
        headers["x-amz-trailer"] = trailer[0]
    headers |= sign(site.keys, "PUT", path, headers, payload=kind, moment=moment)
    before = headers["authorization"].rpartition("=")[2]
    scope, key = f"{moment[:8]}/us-east-1/s3/aws4_request", signing_key(site.keys[1], moment[:8])

    def next_signature(kind, rest):
        nonlocal before
        before = hmac.new(
            key, f"AWS4-HMAC-SHA256-{kind}\n{moment}\n{scope}\n{before}\n{rest}".encode(), hashlib.sha256
        ).hexdigest()
        return before

    body = b""
    for piece in [*pieces, b""]:
        line = f"{len(piece):x}"
        if signed:
            line += ";chunk-signature=" + next_signature("PAYLOAD", f"{EMPTY}\n{hashlib.sha256(piece).hexdigest()}")
        body += line.encode() + b"\r\n" + piece + (b"\r\n" if piece else b"")
    if trailer:
        body += f"{trailer[0]}:{trailer[1]}\r\n".encode()
        if signed:
            digest = hashlib.sha256(f"{trailer[0]}:{trailer[1]}\n".encode()).hexdigest()
            body += f"x-amz-trailer-signature:{next_signature('TRAILER', digest)}\r\n".encode()
    return headers, body + b"\r\n"


DATA = [b"a" * 70_000, b"b" * 65_536, b"c"]
CRC = ("x-amz-checksum-crc32", base64.b64encode(zlib.crc32(b"".join(DATA)).to_bytes(4)).decode())
KINDS = [(True, None), (True, CRC), (False, CRC)]


@pytest.mark.parametrize(("signed", "trailer"), KINDS)
def test_bodies_in_chunks(site, signed, trailer):
    path = f"/{site.home}/chunked"
    headers, body = chunked(site, path, DATA, signed=signed, trailer=trailer)
    status, answer, text = site.send("PUT", path, body, headers=headers, signed=False)
    assert status == 200, text
    if trailer:
        assert answer["x-amz-checksum-crc32"] == CRC[1]
    status, answer, got = site.send("GET", path, headers={"x-amz-checksum-mode": "ENABLED"})
    assert got == b"".join(DATA)
    assert "content-encoding" not in answer
    assert answer.get("x-amz-checksum-crc32") == (CRC[1] if trailer else None)


@pytest.mark.parametrize(("signed", "trailer"), KINDS)
def test_chunks_that_are_spoilt_leave_nothing(site, signed, trailer):
    path = f"/{site.home}/spoilt"
    before = len(site.objects.store._bytes)
    headers, body = chunked(site, path, DATA, signed=signed, trailer=trailer)
    spoils = [
        body.replace(b"aaa", b"axa", 1), body[:-40_000], b"zz" + body, body.replace(b"\r\nbbb", b"\rbbbb", 1), body.replace(b"10000", b"0ffff", 1),
        body.replace(b"10000", b"ffffffffff", 1), body.replace(b"10000", b"-1", 1), b"", b"x" * 10_000, body + b"more", body.replace(b"1", b"2", 1),
    ]  # fmt: skip
    if trailer:
        spoils += [
            body.replace(CRC[1].encode(), b"AAAAAA=="),
            body.replace(b"-crc32:", b"-crc32c:"),
            body.replace(CRC[1].encode(), b"nonsense"),
        ]
    if signed:
        spoils += [body.replace(b"chunk-signature=", b"chunk-signature=0", 1), body.replace(b";chunk-signature=", b";x=", 1)]
    for number, wrong in enumerate(spoils):
        status, _headers, text = site.send("PUT", path, wrong, headers=headers, signed=False)
        assert 400 <= status < 500, (number, status, text)
    wrong = {**headers, "x-amz-decoded-content-length": "5"}
    assert site.send("PUT", path, body, headers=wrong, signed=False)[0] in {400, 403}
    assert not exists(site, "spoilt")
    assert len(site.objects.store._bytes) == before


def test_small_chunks_take_no_more_time_than_large_ones(site):
    path = f"/{site.home}/small"
    crc = base64.b64encode(zlib.crc32(b"x" * 20_000).to_bytes(4)).decode()
    headers, body = chunked(site, path, [b"x"] * 20_000, signed=False, trailer=("x-amz-checksum-crc32", crc))
    assert site.send("PUT", path, body, headers=headers, signed=False)[0] == 200


def test_version_two_where_it_is_allowed(site):
    s3 = site.client(signature_version="s3")
    s3.create_bucket(Bucket="made-by-two")
    s3.put_object(Bucket=site.home, Key="two é", Body=b"2")
    assert s3.get_object(Bucket=site.home, Key="two é")["Body"].read() == b"2"
    with fails("SignatureDoesNotMatch"):
        site.client((site.keys[0], "wrong"), signature_version="s3").list_objects(Bucket=site.home)


def test_version_two_is_off_by_default(tmp_path):
    with ground.site(tmp_path) as other, fails("InvalidRequest"):
        other.client(signature_version="s3").list_buckets()


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_forms_of_browsers(site, version):
    s3 = site.client(signature_version=version)
    conditions = [{"acl": "private"}, ["starts-with", "$Content-Type", "text/"], ["content-length-range", 2, 10], {"success_action_status": "201"},
                  ["starts-with", "$x-amz-meta-tag", ""]]  # fmt: skip
    fields = {"acl": "private", "Content-Type": "text/plain", "success_action_status": "201", "x-amz-meta-tag": "v"}

    def form(content, change=lambda fields: fields, key="up/${filename}"):
        made = s3.generate_presigned_post(site.home, key, Fields=dict(fields), Conditions=list(conditions), ExpiresIn=60)
        parts = "".join(
            f'--B\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in change(made["fields"]).items()
        )
        head = b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\nContent-Type: x/y\r\n\r\n'
        body = parts.encode() + head + content + b"\r\n--B--\r\n"
        return site.send("POST", f"/{site.home}", body, headers={"content-type": "multipart/form-data; boundary=B"}, signed=False)

    status, _headers, body = form(b"con\r\n--Atent"[:10])
    assert status == 201, body
    assert b"<Key>up/a.txt</Key>" in body
    got = s3.get_object(Bucket=site.home, Key="up/a.txt")
    assert (got["Body"].read(), got["ContentType"], got["Metadata"]) == (b"con\r\n--Ate", "text/plain", {"tag": "v"})
    before = len(site.objects.store._bytes)
    assert code(form(b"x" * 11)) == (400, "EntityTooLarge")
    assert code(form(b"x")) == (400, "EntityTooSmall")
    assert code(form(b"xxx", lambda given: given | {"Content-Type": "image/png"})) == (403, "AccessDenied")
    assert code(form(b"xxx", lambda given: {"x-extra": "1", **given})) == (403, "AccessDenied")
    assert code(form(b"xxx", lambda given: given | {"key": "elsewhere"})) == (403, "AccessDenied")
    assert code(form(b"xxx", lambda given: given | {"x-amz-signature": "0" * 64, "signature": "0"})) == (
        403,
        "SignatureDoesNotMatch",
    )
    assert code(form(b"xxx", lambda given: {name: value for name, value in given.items() if name != "policy"})) == (
        403,
        "AccessDenied",
    )
    if version == "s3":
        return
    late = base64.b64encode(json.dumps({"expiration": "2020-01-01T00:00:00Z", "conditions": []}).encode()).decode()
    signature = hmac.new(signing_key(site.keys[1], at()[:8]), late.encode(), hashlib.sha256).hexdigest()
    assert code(form(b"xxx", lambda given: given | {"policy": late, "x-amz-signature": signature})) == (403, "AccessDenied")
    for body in (
        b"",
        b"--B",
        b"--B--\r\n",
        b"nonsense" * 5000,
        b'--B\r\nContent-Disposition: form-data; name="key"\r\n\r\nk\r\n--B--\r\n',
    ):
        assert (
            site.send("POST", f"/{site.home}", body, headers={"content-type": "multipart/form-data; boundary=B"}, signed=False)[0]
            == 400
        )
    assert len(site.objects.store._bytes) == before
