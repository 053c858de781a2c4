"""Requests that nobody sends by accident: for both faces of the object store, as bytes, from a seed.

What is asked for as somebody is asked by the member of project p1, whose own are the container `mine` and what the requests make;
`still` is theirs too, but no request names it, though many come close. Project p2's is to stay unseen.
"""

import base64
import hashlib
import json
import random
from collections.abc import Callable
from urllib.parse import quote

from tests.s3 import EMPTY, UNSIGNED, presigned, sign

KEYS = ("KEY-member", "secret-member")
METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "COPY", "OPTIONS", "PATCH", "TRACE", "CONNECT", "get", "PROPFIND", "")
TWISTS = (
    "/..", "/../still/x", "/%2e%2e/still/x", "/..%2fstill/x", "/.%2e/still", "//", "/./", "/%00", "/a%00b", "/%ff%fe", "/%", "/%2", "/%zz", "/%2f",
    "/%5c..",
    "/\\..\\still", "/%c0%af..%c0%afstill", "/?", "/a?versionId=", "/a;x=y", "/%0d%0aX-Auth-Token:%20x", "/%f0%9f%98%80", "/%ed%a0%80", "/+", "/%20",
    "/" + "a" * 1024, "/" + "a" * 1025, "/" + "%61" * 1024, "/" + "é" * 600, "/" + "x" * 9000, "/" + "/" * 300, "/a" * 400, "/" + "b" * 70_000,
)  # fmt: skip
BASES = (
    "/v1/AUTH_p1/mine", "/v1/AUTH_p1", "/v1/AUTH_p2/theirs", "/v1/AUTH_p2", "/v1/AUTH_", "/v1/", "/v1", "/v1.0/AUTH_p1/mine", "/v2/AUTH_p1", "/info",
    "/mine",
    "/theirs", "", "//mine", "/mine/../theirs", "/v1/AUTH_p1/../AUTH_p2/theirs/secret", "/v1/AUTH_p1/mine/../../AUTH_p2/theirs/secret", "*",
    "http://x/mine",
)  # fmt: skip
QUERIES = (
    "", "?format=json", "?format=xml", "?limit=-1", "?limit=99999999999999999999", "?limit=1e9", "?prefix=%00", "?prefix=%ff",
    "?marker=%ff&format=json",
    "?delimiter=%00", "?versions", "?version-id=../x", "?version-id=1.00000", "?multipart-manifest=get", "?multipart-manifest=put",
    "?multipart-manifest=delete",
    "?symlink=get", "?bulk-delete", "?extract-archive=tar", "?extract-archive=tar.gz", "?extract-archive=tar.bz2",
    "?temp_url_sig=0&temp_url_expires=9999999999",
    "?temp_url_sig=%ff&temp_url_expires=x", "?part-number=0", "?part-number=" + "9" * 400, "?acl", "?tagging", "?policy", "?lifecycle", "?cors",
    "?website",
    "?versioning", "?uploads", "?uploadId=x", "?uploadId=" + "0" * 32 + "&partNumber=1", "?partNumber=0", "?partNumber=" + "1" * 5000, "?delete",
    "?object-lock",
    "?retention", "?legal-hold", "?attributes", "?encryption", "?location", "?torrent", "?max-keys=-1", "?max-keys=99999999999999999999",
    "?list-type=2",
    "?list-type=2&continuation-token=%ff", "?list-type=2&continuation-token=AAAA", "?list-type=3", "?encoding-type=x", "?key-marker=%00",
    "?version-id-marker=x",
    "?versions&key-marker=k&version-id-marker=%ff", "?versionId=%00", "?versionId=" + "9" * 300, "?response-content-type=%0d%0aX:%20y",
    "?X-Amz-Algorithm=x",
    "?AWSAccessKeyId=KEY-member&Expires=9999999999&Signature=x", "?" + "a&" * 3000, "?" + "%" * 50, "?=&&==", "?publicAccessBlock",
    "?ownershipControls", "?notification", "?replication", "?logging", "?logging&versionId=x",
)  # fmt: skip
VALUES = (
    "", "0", "-1", "x", "*", '"', '""', "9" * 30, "9" * 5000, "1e5", "0x10", "bytes=0-", "bytes=-0", "bytes=5-1", "bytes=" + "0-1," * 60,
    "bytes=--1", "bytes=0-0,1-1",
    "bytes=" + "9" * 25 + "-", "mine/a", "theirs/secret", "/theirs/secret", "mine/%00", "%ff/%ff", "../p2/theirs/secret", "AUTH_p2",
    "AUTH_p2/theirs", "true", "on",
    "Thu, 01 Jan 1970 00:00:00 GMT", "Thu, 99 Foo 99999 99:99:99 GMT", "2026-13-45T99:99:99Z", "é☃", "\x01", "a" * 9000, "text/html; charset=\"",
    ";", ",", ",,,", "{}",
    "[]", '{"admin": ["x"]}', "AES256", "aws:kms", "STANDARD", "GLACIER", "public-read", "COPY", "REPLACE", "GOVERNANCE", "ON", "a=b&c=d",
    "a=" + "b" * 400, "=", "chunked",
    "100-continue", "AWS KEY-member:x", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", UNSIGNED, EMPTY,
    "x-amz-checksum-crc32", "AAAA",
    base64.b64encode(b"k" * 32).decode(), base64.b64encode(b"k" * 16).decode(), "id=p2", "uri=http://acs.amazonaws.com/groups/global/AllUsers",
    ".r:*", ".r:*,.rlistings", "p2:*", "PAIR nonce " + "0" * 40, "PAIR", "a b c d", "1000000000.00000", "//PAIR/HERE/AUTH_p2/theirs",
    "http://127.0.0.1/v1/AUTH_p2/theirs", "http://169.254.169.254/latest", "arn:aws:kms:us-east-1:p2:key/x", "alias/aws/s3", "aws:kms:dsse",
    "session.x.y.z", "ASIA" + "A" * 16,
)  # fmt: skip
NAMES = (
    "Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range", "Content-Type", "Content-Encoding", "Content-MD5",
    "ETag",
    "Expect", "Origin", "Referer", "X-Object-Manifest", "X-Symlink-Target", "X-Symlink-Target-Account", "X-Symlink-Target-Etag", "X-Copy-From",
    "Destination",
    "X-Copy-From-Account", "Destination-Account", "X-Delete-At", "X-Delete-After", "X-Object-Meta-", "X-Object-Meta-A",
    "X-Container-Meta-Quota-Bytes",
    "X-Container-Read", "X-Container-Write", "X-Account-Access-Control", "X-Versions-Enabled", "X-Versions-Location", "X-History-Location",
    "X-Storage-Policy",
    "X-Detect-Content-Type", "X-Static-Large-Object", "X-If-Delete-At", "X-Newest", "X-Timestamp", "X-Backend-Storage-Policy-Index", "X-Trans-Id",
    "X-Service-Token",
    "X-Container-Meta-Web-Index", "X-Container-Meta-Web-Listings", "X-Container-Meta-Temp-Url-Key", "Access-Control-Request-Method", "Accept",
    "X-Remove-Container-Read",
    "x-amz-acl", "x-amz-copy-source", "x-amz-copy-source-range", "x-amz-copy-source-if-match", "x-amz-metadata-directive", "x-amz-tagging",
    "x-amz-tagging-directive",
    "x-amz-storage-class", "x-amz-server-side-encryption", "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-server-side-encryption-customer-key",
    "x-amz-server-side-encryption-customer-key-md5", "x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date", "x-amz-object-lock-legal-hold",
    "x-amz-checksum-crc32", "x-amz-checksum-sha256", "x-amz-checksum-algorithm", "x-amz-sdk-checksum-algorithm", "x-amz-trailer",
    "x-amz-decoded-content-length",
    "x-amz-expected-bucket-owner", "x-amz-grant-read", "x-amz-meta-a", "x-amz-object-attributes", "x-amz-max-parts", "x-amz-part-number-marker",
    "x-amz-bypass-governance-retention", "x-amz-website-redirect-location", "x-amz-object-ownership", "x-amz-bucket-object-lock-enabled",
    "x-amz-security-token", "x-amz-server-side-encryption-aws-kms-key-id", "x-amz-server-side-encryption-context",
    "x-amz-server-side-encryption-bucket-key-enabled", "x-amz-target", "X-Container-Sync-Auth", "X-Container-Sync-Key", "X-Container-Sync-To",
)  # fmt: skip
DOCUMENTS = {
    "?tagging": "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
    "?acl": '<AccessControlPolicy><Owner><ID>p1</ID></Owner><AccessControlList><Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    'xsi:type="CanonicalUser"><ID>p1</ID></Grantee><Permission>READ</Permission></Grant></AccessControlList></AccessControlPolicy>',
    "?versioning": "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>",
    "?cors": "<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod>"
    "<AllowedOrigin>*</AllowedOrigin><MaxAgeSeconds>5</MaxAgeSeconds></CORSRule></CORSConfiguration>",
    "?lifecycle": "<LifecycleConfiguration><Rule><ID>x</ID><Filter><Prefix>zz</Prefix></Filter>"
    "<Status>Enabled</Status><Expiration><Days>9</Days></Expiration></Rule>"
    "</LifecycleConfiguration>",
    "?website": "<WebsiteConfiguration><IndexDocument><Suffix>i</Suffix></IndexDocument></WebsiteConfiguration>",
    "?encryption": "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>"
    "<SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault>"
    "</Rule></ServerSideEncryptionConfiguration>",
    "?object-lock": "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>",
    "?delete": "<Delete><Object><Key>zz</Key></Object><Object><Key>zy</Key><VersionId>null</VersionId></Object></Delete>",
    "?policy": '{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": {"AWS": "*"}, '
    '"Action": "s3:GetObject", "Resource": "arn:aws:s3:::mine/zz*", '
    '"Condition": {"StringLike": {"aws:referer": "*"}, "IpAddress": {"aws:sourceip": "10.0.0.0/8"}}}]}',
    "?notification": "<NotificationConfiguration><QueueConfiguration><Id>x</Id><Queue>arn:andromede:webhook:http://203.0.113.1/x</Queue>"
    "<Event>s3:ObjectCreated:*</Event><Filter><S3Key><FilterRule><Name>prefix</Name><Value>zz</Value></FilterRule></S3Key></Filter>"
    "</QueueConfiguration></NotificationConfiguration>",
    "?replication": "<ReplicationConfiguration><Role>x</Role><Rule><ID>x</ID><Priority>1</Priority><Filter><Prefix>zz</Prefix></Filter>"
    "<Status>Enabled</Status><Destination><Bucket>arn:aws:s3:::mine</Bucket></Destination>"
    "<DeleteMarkerReplication><Status>Enabled</Status></DeleteMarkerReplication></Rule></ReplicationConfiguration>",
    "?logging": "<BucketLoggingStatus><LoggingEnabled><TargetBucket>mine</TargetBucket><TargetPrefix>logs/</TargetPrefix></LoggingEnabled>"
    "</BucketLoggingStatus>",
    "/up?uploadId=" + "0" * 32: "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>",
    "/a?retention": "<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2033-01-01T00:00:00Z</RetainUntilDate></Retention>",
    "/a?legal-hold": "<LegalHold><Status>ON</Status></LegalHold>",
    "/a?tagging": "<Tagging><TagSet/></Tagging>",
}
BOMBS = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><Tagging>&c;</Tagging>',
    '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><Tagging>&a;</Tagging>', "<a>" * 20_000, "<a " + "b='c' " * 5000 + "/>",
    '<?xml version="1.0" encoding="UTF-16"?><a/>',
    "<Tagging><TagSet>" + "<Tag><Key>a</Key><Value>b</Value></Tag>" * 2000 + "</TagSet></Tagging>", "[" * 50_000, '{"a":' * 20_000, "\ufeff<a/>",
    "<!--" + "-" * 9000,
)  # fmt: skip


CLEAR = (
    "Expect: 100-continue\r\nContent-Length: 5\r\n", "Content-Length: 5\r\nContent-Length: 5\r\n", "Content-Length: 5, 5\r\n",
    "Content-Length: 5\nX: y\r\n",
)  # fmt: skip
"""Lengths that are odd, and mean one thing only."""


class Hostile:
    """`next()` answers which face is meant (`swift`, `s3`) and the bytes."""

    def __init__(self, seed: object, hosts: dict[str, str]) -> None:
        self.chance, self.hosts = random.Random(str(seed)), hosts
        self._kinds: tuple[Callable[[str], bytes], ...] = (
            self._path, self._path, self._header, self._header, self._header, self._framing, self._signature, self._document, self._manifest,
                self._stream,
            self._flipped, self._flipped, self._large, self._service, self._service,
        )  # fmt: skip

    def next(self) -> tuple[str, bytes]:
        face = self.chance.choice(("swift", "s3"))
        return face, self.chance.choice(self._kinds)(face)

    def _request(self, face, method, path, headers=(), body=b"", *, who=True, length=True) -> bytes:
        """A request, signed where it can be."""
        lines = dict(headers)
        raw = path.encode("utf-8", "surrogateescape")
        if who and face == "swift":
            lines.setdefault("X-Auth-Token", "member")
        elif who:
            signed = {"host": self.hosts["s3"]} | {name.lower(): value for name, value in lines.items() if name.lower().startswith("x-amz-")}
            whole = path if path.startswith("/") else "/" + path
            lines = sign(KEYS, method, quote(whole, safe="/%?&=~+;*:@,.!$'()\\"), signed, payload=UNSIGNED) | lines
        head = b"%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n" % (method.encode(), raw or b"/", self.hosts[face].encode())
        if length:
            head += b"Content-Length: %d\r\n" % len(body)
        for name, value in lines.items():
            head += f"{name}: {value}\r\n".encode("utf-8", "surrogateescape")
        return head + b"\r\n" + body

    def _mine(self, face, name=""):
        return ("/v1/AUTH_p1/mine" if face == "swift" else "/mine") + name

    def _path(self, face):
        chance = self.chance
        path = chance.choice(BASES) + chance.choice(("", "/a", "/zz", *TWISTS)) + chance.choice(QUERIES)
        if chance.random() < 0.1:
            path = path.replace("/", "//", chance.randrange(3))
        return self._request(face, chance.choice(METHODS), path, body=b"x" * chance.choice((0, 0, 7)), who=chance.random() < 0.8)

    def _header(self, face):
        chance = self.chance
        headers = {chance.choice(NAMES): chance.choice(VALUES) for _ in range(chance.choice((1, 1, 2, 4)))}
        path = self._mine(face,
            chance.choice(("", "/a", "/zz", "/large", "/slo", "/link"))) + (chance.choice(QUERIES) if chance.random() < 0.3 else "")
        method = chance.choice(METHODS[:6])
        if method == "DELETE" and path.partition("?")[0].endswith("/mine"):
            method = "GET"
        return self._request(face, method, path, headers, b"y" * chance.choice((0, 5, 5000)) if method in {"PUT", "POST"} else b"")

    def _service(self, face):
        """A call of STS, IAM or KMS that is not right, or by somebody who may not; or what claims to be from a container's other side."""
        chance = self.chance
        if face == "swift":
            path = self._mine(face, chance.choice(("/a", "/zz", "")))
            auth = chance.choice(("PAIR n " + "0" * 40, "PAIR n \xe9", "pair", "", "a b c d", "PAIR  n", "x" * 9000))
            headers = {"X-Timestamp": chance.choice(("1000000000.00000", "x", "", "9" * 40, "-1.00000", "1.0"))}
            headers[chance.choice(("X-Container-Sync-Auth", "X-Container-Sync-Key"))] = auth
            return self._request(face, chance.choice(METHODS[:6]), path, headers, b"x", who=False)
        action = chance.choice(("GetCallerIdentity", "GetSessionToken", "AssumeRole", "AssumeRoleWithWebIdentity", "GetUser", "ListAccessKeys",
            "DeleteAccessKey", "Nothing", "", "\x00"))
        form = f"Action={quote(action)}&Version=2011-06-15&RoleArn={quote(chance.choice((*VALUES, 'arn:aws:iam::p2:role/member')), safe='')}"
        form += f"&RoleSessionName={chance.choice(('name', '', 'x' * 100))}&DurationSeconds={chance.choice(('900', '-1', '9' * 30, 'x'))}"
        form += f"&WebIdentityToken={chance.choice(('stranger', 'member', 'x' * 5000, '%ff'))}&UserName=admin&AccessKeyId=KEY-stranger"
        calls = ("CreateKey", "DescribeKey", "ListKeys", "DisableKey", "ScheduleKeyDeletion", "CreateAlias", "ListAliases", "Nothing")
        data = json.dumps({"KeyId": chance.choice((*VALUES, 5, None, [])), "AliasName": chance.choice(VALUES), "PendingWindowInDays": chance.choice(
            (7, -1, "x", 1e300)), "Description": "x" * chance.choice((1, 9000))})  # fmt: skip
        service = chance.choice(("kms", "kms", "sts", "iam", "s3", "ec2"))
        body = (data if service == "kms" else form).encode("utf-8", "surrogateescape")
        if chance.random() < 0.3:
            body = self._bent(body.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        headers = {"host": self.hosts["s3"], "content-type": chance.choice(("application/x-www-form-urlencoded", "application/x-amz-json-1.1", ""))}
        if service == "kms" or chance.random() < 0.1:
            headers["x-amz-target"] = chance.choice(("TrentService.", "", "Other.")) + chance.choice(calls)
        if chance.random() < 0.2:
            headers["x-amz-security-token"] = chance.choice(("session.x.y.z", "x", "a.b.c.d.e", "%00"))
        signed = sign(KEYS, "POST", "/", headers, payload=hashlib.sha256(body).hexdigest(), service=service)
        if chance.random() < 0.2:
            name = chance.choice(list(signed))
            signed[name] = self._bent(signed[name])
        del headers["host"]
        return self._request("s3", "POST", "/", headers | (signed if chance.random() < 0.85 else {}), body, who=False)

    def _framing(self, face):
        chance, hidden = self.chance, self._request(face, "PUT", self._mine(face, "/smuggled"), body=b"smuggled")
        clear = chance.random() < 0.2
        heads = chance.choice(CLEAR if clear else (
            "Content-Length: 5\r\nContent-Length: 6\r\n", "Content-Length: 5, 6\r\n", "Content-Length: -5\r\n", "Content-Length: +5\r\n",
            "Content-Length: 0x5\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "Content-Length: 99999999999999999999999\r\n",
            "Transfer-Encoding: xchunked\r\n", "Transfer-Encoding: chunked, identity\r\n", "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding : chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding:\x0bchunked\r\n", "Content-Length: 5\r\n Transfer-Encoding: chunked\r\n",
            "X: a\r\n b\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "X\x00: y\r\n", "X: \x00\r\n", ": y\r\n", "Content-Length: 5 5\r\n",
            "Content-Length:\r\n", "Content-Length: 18446744073709551616\r\n", "Content-Length: \xb2\r\n",
        ))  # fmt: skip
        body = chance.choice((
            b"0\r\n\r\n", b"5\r\nabcde\r\n0\r\n\r\n", b"5\r\nabc", b"-1\r\nabc\r\n", b"fffffffffffffffff\r\nabc",
            b"5;" + b"x" * 9000 + b"\r\nabcde\r\n0\r\n\r\n",
            b"5\r\nabcdeXX0\r\n\r\n", b"zz\r\n", b"0\r\nX-Auth-Token: admin\r\n\r\n", b"0\r\n" + b"X: y\r\n" * 500 + b"\r\n", b"abcde", b"",
            b"5\nabcde\n0\n\n",
        ))  # fmt: skip
        start = self._request(face, chance.choice(("PUT", "POST", "GET", "DELETE")), self._mine(face, "/zz"), length=False)
        if chance.random() < 0.5:
            start = start.replace(b"Connection: close\r\n", b"")
        return start[:-2] + heads.encode("latin-1") + b"\r\n" + body + (hidden if not clear and chance.random() < 0.5 else b"")

    def _signature(self, face):
        """A signed request, wrong in one place; or a token that is."""
        chance = self.chance
        path = self._mine("s3", chance.choice(("/a", "", "/large")))
        if face == "swift":
            token = chance.choice(("", "member ", "Member", "member,admin", "admin\x00", "x" * 9000, "é", "../admin", "AUTH_tk" + "0" * 32,
                "gAAAAA" + "A" * 180))
            headers = {chance.choice(("X-Auth-Token", "X-Storage-Token")): token}
            return self._request(face, "GET", self._mine(face, "/a"), headers, who=False)
        if chance.random() < 0.3:
            return self._request(face, "GET", self._bent(presigned(KEYS, "GET", path, self.hosts["s3"])), who=False)
        headers = sign(KEYS, "GET", path, {"host": self.hosts["s3"]})
        name = chance.choice(list(headers))
        headers[name] = self._bent(headers[name])
        return self._request(face, "GET", path, headers, who=False)

    def _bent(self, text):
        """A text with one place changed; what is left as it was is as good as it was."""
        chance, at = self.chance, self.chance.randrange(len(text))
        new = chance.choice(("", "\x7f", "é", ",", "=", "/", "9" * 40, "%00", "%ff", " ", ";", "&", "A", "0", text[at] * 2))
        bent = text[:at] + new + text[at + chance.choice((0, 1, 1, 5)) :]
        return bent.replace("\r", "").replace("\n", "")

    def _document(self, face):
        chance, (query, text) = self.chance, self.chance.choice(list(DOCUMENTS.items()))
        for _ in range(chance.randrange(4)):
            text = self._bent(text) if text else text
        if chance.random() < 0.15:
            text = chance.choice(BOMBS)
        body = text.encode("utf-8", "surrogateescape")
        if chance.random() < 0.1:
            body = body.replace(b"a", b"\xff", 1)
        md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
        method = "POST" if "delete" in query or "uploadId" in query else "PUT"
        place = "/conf" if "lock" in query or chance.random() < 0.7 else "/mine"
        return self._request("s3", method, place + query, {"Content-MD5": md5}, body)

    def _manifest(self, face):
        chance = self.chance
        segments = [
            {"path": chance.choice(("/mine/a", "mine/large", "/theirs/secret", "/../AUTH_p2/theirs/secret", "/mine/slo", "//", "/mine/\x00",
            "/mine/é", 5, None))}
            | ({"size_bytes": chance.choice((0, 1, -1, 1e400, "x", None, 10**30, True))} if chance.random() < 0.4 else {})
            | ({"etag": chance.choice(("x", None, 5, "", "\ud800"))} if chance.random() < 0.3 else {})
            | ({"range": chance.choice(("0-", "-1", "5-1", "x", None, 5, "0-0,1-1", "9" * 40 + "-"))} if chance.random() < 0.4 else {})
            if chance.random() < 0.8
            else {"data": chance.choice(("AAAA", "x", "", None, 5, "é", "A" * 5000))}
            for _ in range(chance.choice((0, 1, 2, 1001)))
        ]  # fmt: skip
        body = json.dumps(segments).encode()
        if chance.random() < 0.2:
            body = self._bent(body.decode()).encode("utf-8", "surrogateescape") if body else body
        kind = chance.choice(("?multipart-manifest=put", "?multipart-manifest=put&heartbeat=on", "?bulk-delete", "?extract-archive=tar",
            "?extract-archive=tar.gz"))
        if kind == "?bulk-delete":
            lines = ("/mine/zz", "/theirs/secret", "%ff", "/mine/%00", "//", "..", "../AUTH_p2/theirs/secret", "x" * 3000,
                "/mine/../../AUTH_p2/theirs/secret")
            body = "\n".join(chance.choice(lines) for _ in range(chance.randrange(20))).encode()
        elif kind.startswith("?extract"):
            body = chance.randbytes(chance.choice((0, 10, 512, 2048)))
        name = "" if kind.startswith(("?bulk", "?extract")) else chance.choice(("/zslo", "/zz"))
        method = "POST" if kind == "?bulk-delete" else "PUT"
        return self._request("swift", method, self._mine("swift", name) + kind, body=body) if face == "swift" else self._form()

    def _form(self):
        """A form, for either."""
        chance, mark = self.chance, b"--edge"
        fields = ("key", "policy", "x-amz-signature", "x-amz-credential", "x-amz-algorithm", "x-amz-date", "AWSAccessKeyId",
            "success_action_redirect", "acl", "redirect")
        parts = [
            mark + f'\r\nContent-Disposition: form-data; name="{chance.choice(fields)}"\r\n\r\n{chance.choice(VALUES)}\r\n'.encode()
            for _ in range(chance.randrange(6))
        ]
        parts.append(mark + b'\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n' + b"z" * chance.choice((0, 10, 9000)) + b"\r\n")
        body = b"".join(parts) + chance.choice((mark + b"--\r\n", b"", mark))
        kind = chance.choice(("multipart/form-data; boundary=edge", "multipart/form-data", "multipart/form-data; boundary=" + "e" * 300,
            'multipart/form-data; boundary="'))
        return self._request("s3", "POST", "/mine", {"Content-Type": kind}, body, who=False)

    def _stream(self, face):
        """A body in signed or unsigned chunks that are not right."""
        chance = self.chance
        kind = chance.choice(("STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"))
        body = chance.choice((b"5\r\nabcde\r\n0\r\n\r\n", b"5;chunk-signature=" + b"0" * 64 + b"\r\nabcde\r\n0;chunk-signature=x\r\n\r\n",
        b"ffffffff\r\nx", b"5\r\nab", b"",
                              b"0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", b"5\r\nabcde\r\n0\r\nx-amz-checksum-crc32:\xff\r\n\r\n", b"\r\n" * 40,
                              b"1" * 9000))  # fmt: skip
        headers = {"x-amz-decoded-content-length": chance.choice(("5", "0", "6", "-1", "x", "9" * 14)), "content-encoding": "aws-chunked"}
        if chance.random() < 0.5:
            headers["x-amz-trailer"] = chance.choice(("x-amz-checksum-crc32", "x-amz-checksum-nope", "host"))
        signed = sign(KEYS, "PUT", "/mine/zz", {"host": self.hosts["s3"], **headers}, payload=kind)
        return self._request("s3", "PUT", "/mine/zz", {**headers, **signed}, body, who=False)

    def _flipped(self, face):
        """A good request of which some bytes are not, or that ends early."""
        chance = self.chance
        good = self._request(
            face, chance.choice(("GET", "PUT", "HEAD", "POST")), self._mine(face, chance.choice(("/a", "/zz", "/large"))), {"Range": "bytes=1-2"},
                b"body"
        )
        data = bytearray(good)
        for _ in range(chance.choice((1, 1, 2, 5))):
            at = chance.randrange(len(data))
            if chance.random() < 0.4:
                data[at] = chance.randrange(256)
            elif chance.random() < 0.5:
                del data[at : at + chance.randrange(1, 9)]
            else:
                data[at:at] = chance.randbytes(chance.randrange(1, 9))
        return bytes(data[: chance.randrange(len(data))] if chance.random() < 0.2 else data)

    def _large(self, face):
        """Too many headers, or too long ones."""
        chance = self.chance
        headers = {f"{chance.choice(('X-Object-Meta-', 'x-amz-meta-', 'X-'))}{number}": "v" * chance.choice((1,
            300)) for number in range(chance.choice((60, 95, 300)))}
        if chance.random() < 0.4:
            headers = {chance.choice(("X-Object-Meta-A", "x-amz-meta-a", "X-Auth-Token", "Cookie")): "v" * chance.choice((8191, 8193, 70_000,
                500_000))}
        return self._request(face, "PUT", self._mine(face, "/zz"), headers, b"")
