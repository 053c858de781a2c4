"""Seeded sequences of requests over few names, and a table of odd ones, to Swift itself and to ours."""

import os
import random
from urllib.parse import quote

import pytest

SEEDS = int(os.environ.get("ANDROMEDE_SWIFT_SEEDS", "3"))
STEPS = int(os.environ.get("ANDROMEDE_SWIFT_STEPS", "150"))

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
