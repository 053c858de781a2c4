"""Large objects, versions, signatures, sites, archives, origins and quotas, by Swift itself and by ours."""

import bz2
import gzip
import hmac
import io
import json
import tarfile
from urllib.parse import quote

import pytest

RANGES = ({}, {"Range": "bytes=2-9"}, {"Range": "bytes=-4"}, {"Range": "bytes=99-"}, {"If-Match": "x"}, {"If-None-Match": "*"})


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
    for number in ("1", "3", "4", "0", "x", "-1"):
        both("GET", f"{base}/whole?part-number={number}")
        both("HEAD", f"{base}/whole?part-number={number}")
    both("GET", f"{base}/whole?part-number=1", {"Range": "bytes=0-1"})
    both("GET", f"{base}/seg0?part-number=1")
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
    for headers in ({"X-Account-Meta-Quota-Bytes": "9"}, {"X-Account-Quota-Count": "x"}, {"X-Remove-Account-Meta-Quota-Bytes": "x"}):
        both("POST", "/v1/AUTH_p2", headers, b"", "admin")
        both("HEAD", "/v1/AUTH_p2", {}, None, "stranger")
    both.check()
