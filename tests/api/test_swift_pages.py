"""What browsers meet of Swift: sites, forms, other origins; and requests for many objects at once."""

import hmac
import json
import time

import pytest

from tests.swift import swift


@pytest.fixture
def client():
    with swift() as client:
        assert client("PUT", "/c").status == 201
        yield client


def test_a_site(client):
    pages = {"index.html": b"start", "blog/index.html": b"blog", "blog/a.txt": b"a", "files/x": b"x", "404err.html": b"nothing here"}
    for name, data in pages.items():
        client("PUT", f"/c/{name}", data)
    client("POST", "/c", X_Container_Read=".r:*,.rlistings", X_Container_Meta_Web_Index="index.html", X_Container_Meta_Web_Error="err.html")

    def get(path, **headers):
        answer = client("GET", f"/c{path}", token="", **headers)
        return answer.status, answer.headers.get("location", "") or answer.body

    assert get("") == (301, "/v1/AUTH_p1/c/")
    assert get("/") == (200, b"start")
    assert get("/blog") == (301, "/v1/AUTH_p1/c/blog/")
    assert get("/blog/") == (200, b"blog")
    assert get("/none") == (404, b"nothing here")
    assert get("/files/")[0] == 404
    client("POST", "/c", X_Container_Meta_Web_Listings="true", X_Container_Meta_Web_Listings_CSS="style.css")
    status, page = get("/files/")
    assert status == 200
    assert b'<a href="x">x</a>' in page
    assert b'href="../style.css"' in page
    assert client("GET", "/c/").headers["content-type"].startswith("text/plain"), "whoever has a token sees Swift"
    assert client("GET", "/c/", X_Web_Mode="true").body == b"start"


def form(path, files, key=b"k", **fields):
    values = {"redirect": "", "max_file_size": "100", "max_file_count": "2", "expires": str(int(time.time()) + 60), **fields}
    text = "\n".join([path, *(values[name] for name in ("redirect", "max_file_size", "max_file_count", "expires"))])
    values["signature"] = hmac.new(key, text.encode(), "sha512").hexdigest()
    parts = [f'--B\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in values.items()]
    parts += [f'--B\r\nContent-Disposition: form-data; name="f"; filename="{name}"\r\n\r\n{data}\r\n' for name, data in files.items()]
    return ("".join(parts) + "--B--\r\n").encode()


def test_a_form(client):
    path, kind = "/v1/AUTH_p1/c/in/", {"Content_Type": "multipart/form-data; boundary=B"}
    client("POST", "/c", X_Container_Meta_Temp_URL_Key="k")
    assert client("POST", path, form(path, {"a": "1\r\n--C", "b": ""}), token="", **kind).status == 201
    assert client("GET", "/c/in/a").body == b"1\r\n--C"
    assert client("GET", "/c/in/b").body == b""
    for body, status in (
        (form(path, {"a": "1"}, key=b"x"), 401), (form(path, {"a": "1"}, expires="1"), 401), (form(path, {}), 400), (b"", 400), (b"--B", 400),
        (form(path, {"a": "x" * 101}), 400), (form(path, {"a": "", "b": "", "d": ""}), 400), (form("/v1/AUTH_p1/d/", {"a": "1"}), 401),
        (form(path, {"e": "1"})[:-12], 400),
    ):  # fmt: skip
        assert client("POST", path, body, token="", **kind).status == status
    answer = client("POST", path, form(path, {"a": "2"}, redirect="http://site/?x=1"), token="", **kind)
    assert (answer.status, answer.headers["location"]) == (303, "http://site/?x=1&status=201&message=")
    assert client("GET", "/c").body == b"in/a\nin/b\n"


def test_other_origins(client):
    client("PUT", "/c/o", b"x", X_Object_Meta_A="b")
    client("POST", "/c", X_Container_Read=".r:*", X_Container_Meta_Access_Control_Allow_Origin="http://a")
    asked = {"Origin": "http://a", "Access_Control_Request_Method": "PUT"}
    assert client("OPTIONS", "/c/o", token="", **asked).headers["access-control-allow-origin"] == "http://a"
    assert client("OPTIONS", "/c/o", token="", **{**asked, "Origin": "http://b"}).status == 401
    own = client("GET", "/c/o", token="", Origin="http://a").headers
    assert own["access-control-allow-origin"] == "http://a"
    assert "x-object-meta-a" in own["access-control-expose-headers"]
    assert "access-control-allow-origin" not in client("GET", "/c/o", token="", Origin="http://b").headers
    assert "access-control-allow-origin" not in client("GET", "", token="", Origin="http://a").headers


def test_many_deletions(client):
    for name in ("a", "b", "%C3%BC"):
        client("PUT", f"/c/{name}", b"x")
    answer = client("POST", "?bulk-delete", b"/c/a\nc/%C3%BC\nc/none\n\nc\n", Content_Type="text/plain", Accept="application/json")
    assert answer.json == {
        "Number Deleted": 2, "Number Not Found": 1, "Response Status": "400 Bad Request", "Response Body": "", "Errors": [["c", "409 Conflict"]],
    }  # fmt: skip
    assert client("DELETE", "?bulk-delete", b"c/b\nc", Content_Type="text/plain").body.count(b"Number Deleted: 2") == 1
    assert client("GET", "/c").status == 404
    refused = client("POST", "?bulk-delete", b"c/b", token="reader", Content_Type="text/plain", Accept="application/json")
    assert refused.json["Errors"] == [["c/b", "403 Forbidden"]]
    nobody = client("POST", "?bulk-delete", b"c/b", token="", Content_Type="text/plain", Accept="application/json")
    assert nobody.json["Errors"] == [["c/b", "401 Unauthorized"]]


def test_manifests_are_told_what_is_wrong_and_go_with_their_segments(client):
    for name in ("s1", "s2"):
        client("PUT", f"/c/{name}", name.encode())
    wrong = json.dumps([{"path": "/c/s1", "size_bytes": 9}, {"path": "/c/none"}]).encode()
    answer = client("PUT", "/c/o?multipart-manifest=put", wrong, Accept="application/json")
    assert (answer.status, answer.json["Errors"]) == (400, [["/c/s1", "Size Mismatch"], ["/c/none", "404 Not Found"]])
    right = json.dumps([{"path": "/c/s1"}, {"path": "/c/s2", "range": "1-1"}, {"data": "IQ=="}]).encode()
    client("PUT", "/c/o?multipart-manifest=put", right)
    assert client("GET", "/c/o").body == b"s12!"
    assert client("GET", "/c/o", Range="bytes=1-2").body == b"12"
    assert client("HEAD", "/c").headers["x-container-object-count"] == "3"
    gone = client("DELETE", "/c/o?multipart-manifest=delete", Accept="application/json").json
    assert gone["Number Deleted"] == 3
    assert client("GET", "/c").status == 204
