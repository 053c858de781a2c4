"""Our Swift and Swift itself get the same requests and must answer the same: seeded sequences over few names, and tables of odd input.

What differs on purpose, with the reason:
- times, transaction ids, the names of storage policies, and the `Server` header are each one's own;
- an account's counts of objects and bytes: upstream's are brought up to date by a daemon, ours are exact at once;
- Content-Length of a listing: our JSON has no blanks between its parts;
- the ETag of a static large object's manifest as such: it is over that JSON;
- bodies of 401 and 403 to HEAD, which have none; Allow lists COPY for objects, and its order means nothing;
- HEAD has no ranges: upstream ignores Range too, but of dynamic large objects, of which it answers 416;
- 416 to a range of a large object carries the object's headers, or none of them, upstream: ours are always those of any object;
- an object from before versioning was enabled keeps the version id `null`, as in S3, where upstream makes one of its time;
- Content-Location with the version's id in every answer of a versioned container: the version is in X-Object-Version-Id;
- deleting a manifest with its segments counts a segment that is there twice once;
- quotas count what is there now, where upstream's may be as old as its cache;
- Location is a path; HTML pages of listings have the same content in other words;
- what makes upstream fail with 500 (a manifest whose segments are no objects) is a 400;
- who may not do something at all is told so (401, 403) where upstream's filters find fault with the request first (400, 412), or the
  other way round;
- a header's value that is not UTF-8: refused with 400 where upstream keeps bytes that no client can show.
"""

import bz2
import gzip
import hmac
import http.client
import io
import json
import os
import random
import re
import tarfile
import warnings
from urllib.parse import quote

import msgspec
import pytest

from andromede.core.context import Caller
from andromede.drivers.blob.fake import Fake
from andromede.http.plain import serve
from andromede.services.object.service import Objects
from andromede.services.object.swift import Settings, Swift
from tests.conformance import oracle
from tests.objects import served

TOKENS = {
    "member": {"user": "u1", "project": "p1", "roles": ["member", "reader"]},
    "reader": {"user": "u2", "project": "p1", "roles": ["reader"]},
    "stranger": {"user": "u3", "project": "p2", "roles": ["member", "reader"]},
    "admin": {"user": "u4", "project": "p3", "roles": ["admin", "member", "reader"]},
}
http.client._MAXHEADERS = 1000
SEEDS = int(os.environ.get("ANDROMEDE_SWIFT_SEEDS", "3"))
STEPS = int(os.environ.get("ANDROMEDE_SWIFT_STEPS", "150"))
COMPARED = (
    "content-type", "etag", "content-range", "accept-ranges", "content-encoding", "content-disposition", "cache-control", "content-language",
    "expires", "x-delete-at", "x-static-large-object", "x-object-manifest", "www-authenticate", "location", "content-location", "vary",
    "x-container-object-count", "x-container-bytes-used", "x-container-read", "x-container-write", "x-account-container-count",
    "x-versions-location", "x-history-location", "x-versions-enabled", "x-copied-from", "x-copied-from-account", "x-symlink-target",
    "x-symlink-target-account", "x-symlink-target-etag", "x-symlink-target-bytes", "x-robots-tag", "access-control-allow-origin",
    "access-control-allow-methods", "access-control-allow-headers", "access-control-max-age",
)  # fmt: skip
PREFIXES = ("x-object-meta-", "x-container-meta-", "x-account-meta-", "x-account-quota-")


class People:
    """Who the tokens stand for."""

    async def of_token(self, token):
        one = TOKENS.get(token)
        if one is None:
            return None
        return Caller(
            user_id=one["user"], user_name=one["user"] + "-name", user_domain_id="default", project_id=one["project"],
            project_name=one["project"] + "-name", project_domain_id="default", roles=frozenset(one["roles"]),
        )  # fmt: skip


class Told(msgspec.Struct):
    """What one side answered, as it can be compared."""

    status: int
    headers: dict[str, str]
    body: object


class Side:
    """One of the two."""

    def __init__(self, url, *, upstream):
        self.host, self.upstream = url.removeprefix("http://"), upstream
        self.connection = http.client.HTTPConnection(self.host, timeout=20)
        self.values = {}
        self.last = []

    def raw(self, method, path, headers=None, body=None):
        for attempt in (0, 1):
            try:
                self.connection.putrequest(method, path, skip_accept_encoding=True)
                sent = {key.lower() for key in headers or {}}
                for key, value in (headers or {}).items():
                    self.connection.putheader(key, value.encode() if isinstance(value, str) else value)
                if body is not None and "content-length" not in sent and "transfer-encoding" not in sent:
                    self.connection.putheader("Content-Length", str(len(body)))
                self.connection.endheaders()
                if body:
                    self.connection.send(body)
                answer = self.connection.getresponse()
                out = answer.status, [(key.lower(), value) for key, value in answer.getheaders()], answer.read()
            except (http.client.HTTPException, OSError):
                self.connection.close()
                if attempt:
                    raise
                continue
            if answer.will_close:
                self.connection.close()
            return out
        raise AssertionError

    def __call__(self, method, path, headers=None, body=None):
        path = re.sub(r"\{(\w+)\}", lambda found: self.values[found[1]], path)
        status, pairs, data = self.raw(method, path, headers, body)
        self.last = pairs
        kept = {key: value for key, value in pairs if key in COMPARED or key.startswith(PREFIXES)}
        return Told(status, _headers(kept), _body(kept.get("content-type", ""), data))


def _headers(kept):
    out = {}
    for key, value in kept.items():
        text = re.sub(r"boundary=\S+", "boundary=B", value)
        if key == "location":
            text = re.sub(r"^http://127.0.0.1:\d+", "", text)
        if key == "access-control-allow-methods":
            text = ",".join(sorted(text.split(", ")))
        out[key] = text
    if "multipart/byteranges" in out.get("content-type", ""):
        out["content-type"] = "multipart/byteranges;boundary=B"
    return out


def _body(kind, data):
    data = data.lstrip() if kind.startswith("application/json") else data
    if kind.startswith("application/json") and data[:1] in (b"[", b"{"):
        return _json(json.loads(data))
    text = data.decode("latin-1")
    if "multipart/byteranges" in kind:
        boundary = text.split("\r\n", 1)[0]
        text = text.replace(boundary, "--B")
    return re.sub(r"<(last_modified|storage_policy|count|bytes)>[^<]*</\1>", "", text)


def _json(value):
    if isinstance(value, list):
        return [_json(one) for one in value]
    if isinstance(value, dict):
        dropped = {"last_modified", "storage_policy", "Last Modified"}
        dropped |= ({"count", "bytes"} if "count" in value else set()) | ({"hash"} if "slo_etag" in value else set())
        value = {key: _json(one) for key, one in value.items() if key not in dropped}
        if value.get("version_id", "null") != "null":
            value["version_id"] = "V"
        return value
    return value


class Both:
    """Sends to both, and remembers what differed."""

    def __init__(self, ours, theirs):
        self.ours, self.theirs = ours, theirs
        self.differences = []
        self.sent = []

    def __call__(self, method, path, headers=None, body=None, token="member"):
        headers = {**({"X-Auth-Token": token} if token else {}), **(headers or {})}
        if method in ("PUT", "POST", "COPY") and body is None:
            body = b""
        mine, right = self.ours(method, path, headers, body), self.theirs(method, path, headers, body)
        self.sent.append((method, path, headers))
        if not same(method, mine, right, token not in {"member", "admin"}):
            shown = body[:80] if body else ""
            self.differences.append(f"{method} {path} {headers} {shown}\n   ours  {mine}\n   swift {right}")
        return mine

    def remember(self, name, header):
        """Keep a header of the last answers, each side's own, for later paths as `{name}`."""
        for side in (self.ours, self.theirs):
            side.values[name] = dict(side.last).get(header, "none")

    def check(self):
        most = int(os.environ.get("ANDROMEDE_SWIFT_SHOWN", "12"))
        assert not self.differences, f"{len(self.differences)} differ\n" + "\n".join(self.differences[:most])


def same(method, mine, right, refused):
    if refused and ({401, 403} & {mine.status, right.status}) and min(mine.status, right.status) >= 400:
        return True
    if right.status >= 500 and mine.status == 400:
        return True
    if method == "HEAD" and right.status == 416:
        return mine.status == 200
    if mine.status != right.status:
        return False
    ours, theirs = dict(mine.headers), dict(right.headers)
    if mine.status == 416:
        return ours["content-range"] == theirs["content-range"]
    if "?version-id=" in theirs.get("content-location", ""):
        del theirs["content-location"]
    if mine.status == 304:
        ours.pop("content-type", None)
        theirs.pop("content-type", None)
    return ours == theirs and (method == "HEAD" or mine.body == right.body)


@pytest.fixture(scope="module")
def sides():
    try:
        with oracle.running(TOKENS) as theirs:
            settings = Settings(digests=("sha1", "sha256", "sha512"))
            with served(lambda: serve(Swift(Objects(Fake(classes=("Policy-0",))), People(), settings), "swift")) as ours:
                yield Side(ours, upstream=False), Side(theirs, upstream=True)
    except oracle.Absent as why:
        warnings.warn(f"Swift is not there to be compared with: {why}", stacklevel=1)
        pytest.skip(f"LEFT OUT: {why}")


@pytest.fixture
def both(sides):
    return Both(*sides)


NAMES = ["a", "a/b", "a/b/c", "a/c", "b", "b/", "b/x", "ü", "ü/é", "z z", "zz", "a%b", "q?x", "--a--b", "--a--c", "a-b"]


def step(chance, both, base, containers):
    """One random request."""
    container = chance.choice(containers)
    name = quote(chance.choice(NAMES))
    where = f"{base}/{container}"
    thing = f"{where}/{name}"
    metadata = {f"X-Object-Meta-{chance.choice('ABC')}": chance.choice(["1", "two", "drei ü"]) for _ in range(chance.randrange(3))}
    token = chance.choices(["member", "reader", "stranger", "admin", "", "nonsense"], [14, 2, 2, 1, 2, 1])[0]
    kind = chance.choices(
        ["put", "get", "head", "delete", "post", "copy", "list", "container", "account", "options"], [12, 10, 6, 4, 4, 4, 14, 6, 4, 1]
    )[0]
    if kind == "put":
        headers = dict(metadata)
        headers |= chance.choice([{}, {}, {"Content-Type": "text/x"}, {"Content-Encoding": "gzip", "Content-Disposition": "inline"},
                                  {"If-None-Match": "*"}, {"ETag": "d41d8cd98f00b204e9800998ecf8427e"}, {"ETag": "bad"},
                                  {"X-Delete-At": "9999999999"}, {"X-Delete-At": "1"}, {"X-Delete-After": "x"}, {"X-Detect-Content-Type": "true"},
                                  {"X-Object-Manifest": f"{container}/a"}, {"X-Symlink-Target": f"{container}/{name}"},
                                  {"X-Symlink-Target": f"{containers[0]}/a"}, {"If-None-Match": "abc"}])
        body = b"" if "X-Symlink-Target" in headers and chance.random() < 0.8 else chance.randbytes(chance.choice([0, 1, 5, 100]))
        both("PUT", thing, headers, body, token)
    elif kind in ("get", "head"):
        headers = chance.choice([
            {}, {}, {"Range": "bytes=0-2"}, {"Range": "bytes=-3"}, {"Range": "bytes=2-"}, {"Range": "bytes=500-"}, {"Range": "bytes=0-1,3-4"},
            {"Range": "nonsense"}, {"Range": "bytes=5-2"}, {"If-None-Match": "*"}, {"If-Match": "*"}, {"If-Match": '"x"'},
            {"If-None-Match": '"x", "y"'}, {"If-Modified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"},
            {"If-Unmodified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"}, {"If-Modified-Since": "Sat, 01 Jan 2050 00:00:00 GMT"},
            {"If-Unmodified-Since": "nonsense"}, {"If-None-Match": "d41d8cd98f00b204e9800998ecf8427e"},
        ])  # fmt: skip
        query = chance.choice(["", "", "", "?symlink=get", "?multipart-manifest=get", "?version-id=null", "?version-id=x", "?version-id=1.00000"])
        both(kind.upper(), thing + query, headers, None, token)
    elif kind == "delete":
        both("DELETE", thing, {}, None, token)
    elif kind == "post":
        more = chance.choice([{}, {"Content-Type": "text/y"}, {"X-Delete-At": "9999999999"}, {"Content-Encoding": "x"}])
        both("POST", thing, metadata | more, b"", token)
    elif kind == "copy":
        to = f"{chance.choice(containers)}/{quote(chance.choice(NAMES))}"
        extra = metadata | chance.choice([{}, {"X-Fresh-Metadata": "true"}, {"Content-Type": "text/z"}, {"Range": "bytes=0-1"}])
        if chance.random() < 0.5:
            both("COPY", thing, {"Destination": to, **extra}, None, token)
        else:
            both("PUT", thing, {"X-Copy-From": "/" + to, "Content-Length": "0", **extra}, b"", token)
    elif kind == "list":
        pairs = []
        for key, values in {
            "prefix": ["a", "a/", "b", "ü", "-", "--a"], "delimiter": ["/", "-", "--", "b"], "marker": ["a", "a/b", "a/", "zz", "--a--"],
            "end_marker": ["b", "a/c", "ü", "a/"], "limit": ["1", "2", "5", "0", "x", "10001", "-1"], "reverse": ["true", "1", "no"],
            "format": ["json", "xml", "plain", "odd"], "path": ["", "a", "a/", "b", "a/b"],
        }.items():  # fmt: skip
            if chance.random() < 0.28:
                pairs.append(f"{key}={quote(chance.choice(values))}")
        headers = chance.choice([{}, {}, {}, {"Accept": "application/json"}, {"Accept": "text/xml"}, {"Accept": "image/png"}, {"Accept": "x"},
                                 {"Accept": "application/xml;q=0.5, text/plain;q=0.4"}, {"Accept": "*/*"}])
        both(chance.choice(["GET", "GET", "GET", "HEAD"]), f"{where}?{'&'.join(pairs)}", headers, None, token)
    elif kind == "container":
        method = chance.choice(["PUT", "POST", "POST", "DELETE", "HEAD"])
        headers = chance.choice([
            {}, {"X-Container-Meta-A": "x"}, {"X-Container-Meta-A": ""}, {"X-Remove-Container-Meta-A": "x"}, {"X-Container-Read": ".r:*,.rlistings"},
            {"X-Container-Read": "p2:u3"}, {"X-Container-Read": ".r:*"}, {"X-Remove-Container-Read": "x"}, {"X-Container-Write": "p2-name:*"},
            {"X-Container-Write": "*:u3"}, {"X-Container-Read": ".x:y"}, {"X-Container-Write": ".r:*"}, {"X-Container-Read": "reader"},
            {"X-Container-Read": ""}, {"X-Container-Write": ""}, {"X-Container-Meta-Quota-Bytes": "x"},
        ])  # fmt: skip
        both(method, where, headers if method in ("PUT", "POST") else {}, None, token)
    elif kind == "account":
        method = chance.choice(["GET", "GET", "HEAD", "POST"])
        if method == "POST":
            both("POST", base, chance.choice([{"X-Account-Meta-A": "y"}, {"X-Remove-Account-Meta-A": "y"}, {"X-Account-Meta-B": "ü"}]), b"", token)
        else:
            queries = ["", "?format=json", "?format=xml", "?prefix=c&delimiter=-&format=json", "?limit=1&marker=c", "?reverse=true&limit=2"]
            both(method, base + chance.choice(queries), {}, None, token)
    else:
        both("OPTIONS", chance.choice([base, where, thing]), {}, None, token)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_sequences_of_requests(both, seed):
    chance = random.Random(seed)
    containers = [f"c{seed}-{number}" for number in range(3)] + [f"d{seed}"]
    for container in containers[:3]:
        both("PUT", f"/v1/AUTH_p1/{container}")
    for _ in range(STEPS):
        step(chance, both, "/v1/AUTH_p1", containers)
    both.check()


LONG = "x" * 257
RANGES = ({}, {"Range": "bytes=2-9"}, {"Range": "bytes=-4"}, {"Range": "bytes=99-"}, {"If-Match": "x"}, {"If-None-Match": "*"})
ODD = [
    ("GET", "/", {}, None),
    ("GET", "/v1", {}, None),
    ("GET", "/v1/", {}, None),
    ("GET", "/v2/AUTH_p1", {}, None),
    ("GET", "/v1.0/AUTH_p1/odd", {}, None),
    ("GET", "/v1/AUTH_p1//o", {}, None),
    ("GET", "/v1/AUTH_p1/odd//", {}, None),
    ("PUT", "/v1/AUTH_p1/odd//x", {}, b"1"),
    ("GET", "/v1/AUTH_p1/odd/", {}, None),
    ("GET", "/v1/AUTH_p1/%ff", {}, None),
    ("GET", "/v1/AUTH_p1/odd/a%00b", {}, None),
    ("PUT", f"/v1/AUTH_p1/{LONG}", {}, None),
    ("PUT", f"/v1/AUTH_p1/{LONG[1:]}", {}, None),
    ("DELETE", f"/v1/AUTH_p1/{LONG[1:]}", {}, None),
    ("PUT", f"/v1/AUTH_p1/odd/{'y' * 1025}", {}, b"1"),
    ("PUT", f"/v1/AUTH_p1/odd/{'y' * 1024}", {}, b"1"),
    ("GET", f"/v1/AUTH_p1/odd/{'y' * 1025}", {}, None),
    ("PATCH", "/v1/AUTH_p1/odd", {}, None),
    ("PATCH", "/v1/AUTH_p1/odd/o", {}, None),
    ("COPY", "/v1/AUTH_p1/odd", {}, None),
    ("PUT", "/v1/AUTH_p1/odd/o", {"X-Object-Meta-A": "v" * 256}, b"1"),
    ("PUT", "/v1/AUTH_p1/odd/o", {"X-Object-Meta-A": "v" * 257}, b"1"),
    ("PUT", "/v1/AUTH_p1/odd/o", {"X-Object-Meta-" + "k" * 128: "v"}, b"1"),
    ("PUT", "/v1/AUTH_p1/odd/o", {"X-Object-Meta-" + "k" * 129: "v"}, b"1"),
    ("PUT", "/v1/AUTH_p1/odd/o", {"X-Object-Meta-": "v"}, b"1"),
    ("PUT", "/v1/AUTH_p1/odd/o", {f"X-Object-Meta-{n}": "v" for n in range(91)}, b"1"),
    ("PUT", "/v1/AUTH_p1/odd/o", {f"X-Object-Meta-{n}": "v" for n in range(90)}, b"1"),
    ("PUT", "/v1/AUTH_p1/odd/o", {f"X-Object-Meta-{n}": "v" * 250 for n in range(17)}, b"1"),
    ("POST", "/v1/AUTH_p1/odd", {f"X-Container-Meta-{n}": "v" for n in range(91)}, b""),
    ("POST", "/v1/AUTH_p1", {"X-Account-Meta-A": "v" * 257}, b""),
    ("PUT", "/v1/AUTH_p1/odd/o", {"X-Copy-From": "nowhere"}, b""),
    ("PUT", "/v1/AUTH_p1/odd/o", {"X-Copy-From": "/odd/none"}, b""),
    ("PUT", "/v1/AUTH_p1/odd/o", {"X-Copy-From": "/odd/o"}, b"body"),
    ("COPY", "/v1/AUTH_p1/odd/o", {}, None),
    ("COPY", "/v1/AUTH_p1/odd/o", {"Destination": "x"}, None),
    ("COPY", "/v1/AUTH_p1/odd/o", {"Destination": "none/x"}, None),
    ("COPY", "/v1/AUTH_p1/odd/o", {"Destination": "odd/p", "Destination-Account": "AUTH_p2"}, None),
    ("COPY", "/v1/AUTH_p1/odd/o", {"Destination": "odd/p", "Destination-Account": "a/b"}, None),
    ("PUT", "/v1/AUTH_p1/none/o", {}, b"1"),
    ("PUT", "/v1/AUTH_p1/odd/m", {"X-Object-Manifest": "x"}, b""),
    ("PUT", "/v1/AUTH_p1/odd/m", {"X-Object-Manifest": "/x/y"}, b""),
    ("PUT", "/v1/AUTH_p1/odd/m", {"X-Object-Manifest": "x/y?z"}, b""),
    ("PUT", "/v1/AUTH_p1/odd/m", {"X-Object-Manifest": "none/y"}, b""),
    ("GET", "/v1/AUTH_p1/odd/m", {}, None),
    ("HEAD", "/v1/AUTH_p1/odd/m", {}, None),
    ("PUT", "/v1/AUTH_p1/odd/m", {"X-Static-Large-Object": "true"}, b""),
    ("PUT", "/v1/AUTH_p1/odd/l", {"X-Symlink-Target": "/x/y"}, b""),
    ("PUT", "/v1/AUTH_p1/odd/l", {"X-Symlink-Target": "x"}, b""),
    ("PUT", "/v1/AUTH_p1/odd/l", {"X-Symlink-Target": "odd/l"}, b""),
    ("PUT", "/v1/AUTH_p1/odd/l", {"X-Symlink-Target": "odd/o"}, b"1"),
    ("PUT", "/v1/AUTH_p1/odd/l", {"X-Symlink-Target": "odd/o", "X-Symlink-Target-Etag": "bad"}, b""),
    ("PUT", "/v1/AUTH_p1/odd/l", {"X-Symlink-Target": "odd/none", "X-Symlink-Target-Etag": "bad"}, b""),
    ("PUT", "/v1/AUTH_p1/odd/l", {"X-Symlink-Target": "odd/o", "X-Symlink-Target-Etag": "c4ca4238a0b923820dcc509a6f75849b"}, b""),
    ("GET", "/v1/AUTH_p1/odd/l", {}, None),
    ("HEAD", "/v1/AUTH_p1/odd/l?symlink=get", {}, None),
    ("POST", "/v1/AUTH_p1/odd/l", {"X-Object-Meta-A": "b"}, b""),
    ("PUT", "/v1/AUTH_p1/odd/o", {}, b"2"),
    ("GET", "/v1/AUTH_p1/odd/l", {}, None),
    ("GET", "/v1/AUTH_p1/odd?format=json", {}, None),
    ("GET", "/v1/AUTH_p1/odd?format=json&prefix=%ff", {}, None),
    ("GET", "/v1/AUTH_p1/odd?delimiter=%ff", {}, None),
    ("GET", "/v1/AUTH_p1/odd?limit=99999", {}, None),
    ("PUT", "/v1/AUTH_p1/odd", {"X-Storage-Policy": "none"}, None),
    ("PUT", "/v1/AUTH_p1/odd", {"X-Versions-Location": "a", "X-History-Location": "b"}, None),
    ("PUT", "/v1/AUTH_p1/odd", {"X-Versions-Location": "a/b"}, None),
    ("PUT", "/v1/AUTH_p1/odd/o", {"Content-Type": "text/x; swift_a=b"}, b"1"),
    ("PUT", "/v1/AUTH_p1/odd/o", {"Content-Type": ""}, b"1"),
    ("PUT", "/v1/AUTH_p1/odd/o.txt", {}, b"1"),
    ("GET", "/v1/AUTH_p1/odd/o.txt", {}, None),
    ("PUT", "/v1/AUTH_p1/odd/s?multipart-manifest=put", {}, b"nonsense"),
    ("PUT", "/v1/AUTH_p1/odd/s?multipart-manifest=put", {}, b"{}"),
    ("PUT", "/v1/AUTH_p1/odd/s?multipart-manifest=put", {}, b"[1]"),
    ("PUT", "/v1/AUTH_p1/odd/s?multipart-manifest=put", {}, b'[{"path": "x"}]'),
    ("PUT", "/v1/AUTH_p1/odd/s?multipart-manifest=put", {}, b'[{"path": "/odd/none"}]'),
    ("PUT", "/v1/AUTH_p1/odd/s?multipart-manifest=put", {}, b'[{"path": "/odd/s"}]'),
    ("PUT", "/v1/AUTH_p1/odd/s?multipart-manifest=put", {}, b'[{"data": "MQ=="}]'),
    (
        "PUT", "/v1/AUTH_p1/odd/s?multipart-manifest=put", {},
        b'[{"data": "!"}, {"path": "/odd/o.txt", "x": 1}, {"path": "/odd/o.txt", "range": "x"}, {"y": 1}]',
    ),
    ("PUT", "/v1/AUTH_p1/odd/s?multipart-manifest=put", {}, b'[{"path": "/odd/o.txt", "etag": "x", "size_bytes": 9}]'),
    ("PUT", "/v1/AUTH_p1/odd/s?multipart-manifest=put", {"Accept": "application/json"}, b'[{"path": "/odd/o.txt", "etag": "x", "size_bytes": 9}]'),
    ("DELETE", "/v1/AUTH_p1?bulk-delete", {"Content-Type": "text/plain"}, b"odd/o.txt\nodd/none\n"),
    ("POST", "/v1/AUTH_p1?bulk-delete", {"Content-Type": "text/plain"}, b""),
    ("POST", "/v1/AUTH_p1?bulk-delete", {"Content-Type": "text/plain", "Accept": "application/json"}, b"odd\nodd/l\nnope\n"),
    ("POST", "/v1/AUTH_p1?bulk-delete", {"Content-Type": "text/html", "Accept": "application/xml"}, b"odd\n"),
    ("PUT", "/v1/AUTH_p1?extract-archive=zip", {}, b"x"),
    ("PUT", "/v1/AUTH_p1?extract-archive=tar", {"Accept": "application/json"}, b""),
    ("GET", "/healthcheck", {}, None),
    ("OPTIONS", "/v1/AUTH_p1/odd/o", {"Origin": "http://a", "Access-Control-Request-Method": "GET"}, None),
    ("DELETE", "/v1/AUTH_p1", {}, None),
    ("PUT", "/v1/AUTH_p2/c", {}, None),
    ("GET", "/v1/other", {}, None),
    ("HEAD", "/v1/AUTH_p1/none", {}, None),
    ("POST", "/v1/AUTH_p1", {"X-Account-Meta-Quota-Bytes": "5"}, None),
    ("GET", "/v1/AUTH_p1/odd?versions", {}, None),
    ("GET", "/v1/AUTH_p1/odd/o?temp_url_sig=x&temp_url_expires=1", {}, None),
    ("GET", "/v1/AUTH_p1/odd/o?temp_url_sig=x", {}, None),
    ("PUT", "/v1/AUTH_p1/odd/c", {"Transfer-Encoding": "chunked"}, b"3\r\nabc\r\n0\r\n\r\n"),
    ("GET", "/v1/AUTH_p1/odd/c", {}, None),
    ("PUT", "/v1/AUTH_p1/odd/o?version-id=1.00000", {}, b""),
    ("POST", "/v1/AUTH_p1/odd/o?version-id=1.00000", {}, b""),
]  # fmt: skip


@pytest.mark.parametrize("token", ["member", "", "reader"])
def test_odd_requests(both, token):
    both("PUT", "/v1/AUTH_p1/odd")
    both("PUT", "/v1/AUTH_p1/odd/o", {}, b"1")
    for method, path, headers, body in ODD:
        both(method, path, headers, body, token)
    both.check()


def signed(key, method, until, path, name="sha256"):
    return hmac.new(key, f"{method}\n{until}\n{path}".encode(), name).hexdigest()


def test_static_large_objects(both):
    base = "/v1/AUTH_p1/slo"
    both("PUT", base)
    for number, data in enumerate([b"aaaaa", b"bbb", b"cccccccc"]):
        both("PUT", f"{base}/seg{number}", {}, data)
    one = json.dumps([{"path": f"/slo/seg{number}"} for number in range(3)]).encode()
    put = f"{base}/%s?multipart-manifest=put"
    both("PUT", put % "whole", {"Content-Type": "text/w", "X-Object-Meta-A": "b"}, one)
    both("PUT", put % "part", {}, json.dumps([{"path": "slo/seg0", "range": "1-2"}, {"data": "eHh4"}, {"path": "slo/seg2", "range": "-3"}]).encode())
    both("PUT", put % "nested", {}, json.dumps([{"path": "/slo/whole"}, {"path": "/slo/part", "range": "2-5"}, {"path": "/slo/whole"}]).encode())
    both("PUT", put % "etag", {"ETag": "bad"}, one)
    both("PUT", put % "empty", {}, b"[]")
    both("PUT", put % "same", {}, json.dumps([{"path": "/slo/seg0", "range": "9-12"}]).encode())
    both("PUT", put % "heart" + "&heartbeat=on", {"Accept": "application/json"}, one)
    for name in ("whole", "part", "nested", "empty", "heart", "etag"):
        for headers in (*RANGES, {"Range": "bytes=0-1,5-7"}):
            both("GET", f"{base}/{name}", headers)
        both("HEAD", f"{base}/{name}")
    both("GET", f"{base}?format=json&prefix=w")
    both("GET", f"{base}/part?multipart-manifest=get&format=raw")
    both("COPY", f"{base}/nested", {"Destination": "slo/copied"})
    both("GET", f"{base}/copied")
    both("COPY", f"{base}/whole?multipart-manifest=get", {"Destination": "slo/manifest"})
    both("GET", f"{base}/manifest")
    both("POST", f"{base}/whole", {"X-Object-Meta-New": "c"}, b"")
    both("HEAD", f"{base}/whole")
    both("PUT", f"{base}/seg1", {}, b"BBB")
    both("GET", f"{base}/whole", {"Range": "bytes=6-7"})
    both("DELETE", f"{base}/seg1?multipart-manifest=delete", {"Accept": "application/json"})
    both("DELETE", f"{base}/nothing?multipart-manifest=delete", {"Accept": "application/json"})
    both("DELETE", f"{base}/whole?multipart-manifest=delete", {"Accept": "application/json"})
    both("GET", f"{base}?format=json")
    both.check()


def test_dynamic_large_objects(both):
    base = "/v1/AUTH_p1/dlo"
    both("PUT", base)
    for number, data in enumerate([b"aaaaa", b"bbb", b"", b"cccccccc"]):
        both("PUT", f"{base}/seg/{number}", {}, data)
    both("PUT", f"{base}/all", {"X-Object-Manifest": "dlo/seg/", "Content-Type": "text/d"}, b"")
    for headers in RANGES:
        both("GET", f"{base}/all", headers)
    both("HEAD", f"{base}/all")
    both("GET", f"{base}/all?multipart-manifest=get")
    both("COPY", f"{base}/all", {"Destination": "dlo/flat"})
    both("GET", f"{base}/flat")
    both("COPY", f"{base}/all?multipart-manifest=get", {"Destination": "dlo/again"})
    both("HEAD", f"{base}/again")
    both("POST", f"{base}/all", {"X-Object-Meta-A": "b"}, b"")
    both("GET", f"{base}/all")
    both("GET", f"{base}?format=json")
    both.check()


def test_object_versions(both):
    base = "/v1/AUTH_p1/ver"
    both("PUT", base)
    both("POST", base, {"X-Versions-Enabled": "true"})
    both("HEAD", base)
    both("GET", f"{base}?versions")
    for name, data in (("v1", b"one"), ("v2", b"two!")):
        both("PUT", f"{base}/o", {}, data)
        both.remember(name, "x-object-version-id")
    for version in ("{v1}", "{v2}", "null", "1.00000", "x"):
        both("GET", f"{base}/o?version-id={version}")
        both("HEAD", f"{base}/o?version-id={version}")
    both("GET", f"{base}?versions")
    both("GET", f"{base}?versions&limit=2")
    both("GET", f"{base}?versions&marker=o&version_marker={{v2}}")
    both("GET", f"{base}?versions&version_marker={{v2}}")
    both("DELETE", f"{base}/o")
    both.remember("m", "x-object-version-id")
    both("GET", f"{base}/o")
    both("GET", f"{base}?format=json")
    both("GET", f"{base}?versions")
    both("GET", f"{base}/o?version-id={{m}}")
    both("DELETE", base)
    both("PUT", f"{base}/o?version-id={{v1}}", {}, b"")
    both("GET", f"{base}/o")
    both("COPY", f"{base}/o?version-id={{v2}}", {"Destination": "ver/copied"})
    both("GET", f"{base}/copied")
    both("DELETE", f"{base}/o?version-id={{v2}}")
    both("DELETE", f"{base}/o?version-id={{v2}}")
    both("POST", f"{base}/o?version-id={{v1}}", {"X-Object-Meta-A": "b"}, b"")
    both("POST", base, {"X-Versions-Enabled": "false"})
    both("HEAD", base)
    both("PUT", f"{base}/o", {}, b"off")
    both("GET", f"{base}?versions")
    both("PUT", base, {"X-Versions-Location": "x"})
    both.check()


@pytest.mark.parametrize("header", ["X-Versions-Location", "X-History-Location"])
def test_older_versions(both, header):
    base, there = f"/v1/AUTH_p1/old{header[2]}", f"/v1/AUTH_p1/archive{header[2]}"
    both("PUT", base, {header: there.rpartition("/")[2]})
    both("PUT", f"{base}/o", {}, b"1")
    both("PUT", f"{base}/o", {}, b"2")
    both("PUT", there)
    for data in (b"22", b"333"):
        both("PUT", f"{base}/o", {"X-Object-Meta-A": str(len(data))}, data)
    both("HEAD", base)
    assert len(both("GET", there + "?format=json").body) == 2 or both.differences
    both.differences = [one for one in both.differences if "GET " + there not in one]
    for _ in range(4):
        both("GET", f"{base}/o")
        both("DELETE", f"{base}/o")
    both("POST", base, {"X-Remove-" + header[2:]: "x"})
    both("HEAD", base)
    both.check()


def test_signed_urls(both):
    both("POST", "/v1/AUTH_p1", {"X-Account-Meta-Temp-URL-Key": "k1"}, b"")
    both("PUT", "/v1/AUTH_p1/tmp", {"X-Container-Meta-Temp-URL-Key-2": "k2"})
    both("PUT", "/v1/AUTH_p1/tmp/a/o.txt", {"X-Object-Meta-Secret": "s", "X-Object-Meta-Public-A": "p"}, b"hello")
    path, until = "/v1/AUTH_p1/tmp/a/o.txt", 4_000_000_000
    for key in (b"k1", b"k2", b"no"):
        for method, asked in (("GET", "GET"), ("GET", "HEAD"), ("PUT", "PUT"), ("PUT", "GET"), ("DELETE", "POST")):
            query = f"temp_url_sig={signed(key, method, until, path)}&temp_url_expires={until}"
            both(asked, f"{path}?{query}", {}, b"x" if asked == "PUT" else None, token="")
    good = f"temp_url_sig={signed(b'k1', 'GET', until, path, 'sha512')}&temp_url_expires={until}"
    for more in ("", "&filename=x%20y", "&inline", "&inline&filename=z", "&multipart-manifest=get", "&version-id=x"):
        both("GET", f"{path}?{good}{more}", {}, None, token="")
    prefix = "prefix:/v1/AUTH_p1/tmp/a/"
    for name in ("a/o.txt", "b"):
        sig = signed(b"k1", "GET", until, prefix)
        both("GET", f"/v1/AUTH_p1/tmp/{name}?temp_url_sig={sig}&temp_url_expires={until}&temp_url_prefix=a/", {}, None, token="")
    both("GET", f"{path}?temp_url_sig={signed(b'k1', 'GET', 1, path)}&temp_url_expires=1", {}, None, token="")
    put = f"{path}?temp_url_sig={signed(b'k1', 'PUT', until, path)}&temp_url_expires={until}"
    both("PUT", put, {"X-Object-Manifest": "a/b"}, b"", token="")
    both("PUT", put, {"X-Copy-From": "/tmp/a/o.txt"}, b"", token="")
    for range_ in ("127.0.0.1", "10.0.0.0/8", "x"):
        sig = signed(b"k1", "GET", until, path)
        sig = hmac.new(b"k1", f"ip={range_}\nGET\n{until}\n{path}".encode(), "sha256").hexdigest()
        both("GET", f"{path}?temp_url_sig={sig}&temp_url_expires={until}&temp_url_ip_range={quote(range_)}", {}, None, token="")
    both.check()


def form(fields, files, boundary="BB"):
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()]
    parts += [
        f'--{boundary}\r\nContent-Disposition: form-data; name="f{index}"; filename="{name}"\r\nContent-Type: text/f\r\n\r\n{data}\r\n'
        for index, (name, data) in enumerate(files)
    ]
    return "".join(parts).encode() + f"--{boundary}--\r\n".encode()


def test_forms(both):
    both("POST", "/v1/AUTH_p1", {"X-Account-Meta-Temp-URL-Key": "k1"}, b"")
    both("PUT", "/v1/AUTH_p1/form")
    path, until = "/v1/AUTH_p1/form/up-", 4_000_000_000
    headers = {"Content-Type": "multipart/form-data; boundary=BB"}

    def send(files, *, size="10", count="2", redirect="", key=b"k1", until=until, **more):
        sig = hmac.new(key, f"{path}\n{redirect}\n{size}\n{count}\n{until}".encode(), "sha256").hexdigest()
        fields = {"redirect": redirect, "max_file_size": size, "max_file_count": count, "expires": str(until), "signature": sig, **more}
        both("POST", path, headers, form(fields, files), token="")

    send([("a", "hello"), ("b", "x\r\ny")])
    send([("c", "hello"), ("d", "x"), ("e", "y")])
    send([("big", "x" * 11)])
    send([("c", "z")], key=b"no")
    send([("c", "z")], until=1)
    send([])
    send([("r", "z")], redirect="http://a/b?c=d")
    send([("t", "z")], x_delete_after="60")
    send([("t", "z")], size="x")
    both("POST", path, headers, b"nonsense that is no form", token="")
    for name in ("a", "b", "c", "t", "r", "big"):
        both("GET", f"{path}{name}")
    both("GET", "/v1/AUTH_p1/form?format=json")
    both.check()


def test_web_sites(both):
    base = "/v1/AUTH_p1/web"
    both("PUT", base, {"X-Container-Read": ".r:*"})
    pages = {"index.html": b"<i>", "sub/index.html": b"<s>", "sub/x": b"x", "other/y": b"y", "404err.html": b"gone", "401err.html": b"no"}
    for name, data in pages.items():
        both("PUT", f"{base}/{name}", {}, data)
    paths = ["", "/", "/index.html", "/sub", "/sub/", "/sub/x", "/other", "/other/", "/none", "/none/"]

    def look(compare_bodies=True):
        for path in paths:
            for token in ("", "member"):
                told = len(both.differences)
                both("GET", base + path, {}, None, token)
                if not compare_bodies and len(both.differences) > told:
                    text = both.differences[-1]
                    if text.count("Listing of") + text.count("Web Listing Disabled") >= 2:
                        both.differences.pop()

    look()
    both("POST", base, {"X-Container-Meta-Web-Index": "index.html"})
    look(False)
    both("POST", base, {"X-Container-Meta-Web-Error": "err.html"})
    look(False)
    both("POST", base, {"X-Container-Meta-Web-Listings": "true", "X-Container-Meta-Web-Listings-CSS": "a.css"})
    look(False)
    both("POST", base, {"X-Container-Read": ".r:*,.rlistings", "X-Remove-Container-Meta-Web-Index": "x"})
    look(False)
    both.check()


def archive(names):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in names:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def test_archives(both):
    long = [("y/" + "n" * 300, b"3"), ("x/" + "m" * 1030, b"6")]
    data = archive([("x/a", b"1"), ("./x/b", b"22"), ("top", b"4"), ("z/é", b"5"), ("x/t.html", b"7"), *long])
    json_ = {"Accept": "application/json"}
    both("PUT", "/v1/AUTH_p1?extract-archive=tar", json_, data)
    both("PUT", "/v1/AUTH_p1/bulk?extract-archive=tar", json_, data)
    both("PUT", "/v1/AUTH_p1/bulk/sub/dir?extract-archive=tar.gz", {"X-Object-Meta-A": "b"}, gzip.compress(data))
    both("PUT", "/v1/AUTH_p1/bulk2?extract-archive=tar.bz2", {"Accept": "application/xml"}, bz2.compress(data))
    both("PUT", "/v1/AUTH_p1/bulk2?extract-archive=tar", json_, data[:700])
    for container in ("x", "y", "z", "bulk", "bulk2"):
        both("GET", f"/v1/AUTH_p1/{container}?format=json")
    both("GET", "/v1/AUTH_p1/bulk/sub/dir/x/b")
    both("POST", "/v1/AUTH_p1?bulk-delete", {"Content-Type": "text/plain", **json_}, b"x/a\nx/b\nx/none\nz/%C3%A9\nz\n\n")
    both.check()


def test_other_origins(both):
    base = "/v1/AUTH_p1/cors"
    rule = "X-Container-Meta-Access-Control-"
    both("PUT", base, {f"{rule}Allow-Origin": "http://a http://b", f"{rule}Max-Age": "5", "X-Container-Read": ".r:*"})
    both("PUT", f"{base}/o", {}, b"1")
    for origin in ("http://a", "http://c", ""):
        headers = {"Origin": origin} if origin else {}
        both("GET", f"{base}/o", headers, None, "")
        for method in ("GET", "PUT", "PATCH", ""):
            asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": "X-A, x-b"} if method else {}
            both("OPTIONS", f"{base}/o", headers | asked, None, "")
    both("POST", base, {"X-Container-Meta-Access-Control-Allow-Origin": "*"})
    both("GET", f"{base}/o", {"Origin": "http://c"}, None, "")
    both("OPTIONS", f"{base}/o", {"Origin": "http://c", "Access-Control-Request-Method": "GET"}, None, "")
    both.check()


def test_quotas(both):
    base = "/v1/AUTH_p1/quota"
    both("PUT", base, {"X-Container-Meta-Quota-Bytes": "5", "X-Container-Meta-Quota-Count": "2"})
    both("PUT", f"{base}/a", {}, b"123456")
    both("PUT", f"{base}/a", {}, b"123")
    both("POST", "/v1/AUTH_p2", {"X-Account-Quota-Bytes": "2"}, b"", "admin")
    both("PUT", "/v1/AUTH_p2/q", {}, None, "stranger")
    both("PUT", "/v1/AUTH_p2/q/o", {}, b"123", "stranger")
    both("PUT", "/v1/AUTH_p2/q/o", {}, b"123", "admin")
    both("HEAD", "/v1/AUTH_p2", {}, None, "stranger")
    both.check()
