"""The drive's uploads in parts and in bulk, its trash and its earlier versions, as clients speak to them."""

import hashlib
import json
import os

import pytest

from tests.api.test_drive_dav import NC, QUOTA, D, alice, dav, place

assert alice is not None
assert place is not None
UP, TRASH, FILES = "/remote.php/dav/uploads/alice", "/remote.php/dav/trashbin/alice", "/remote.php/dav/files/alice"


def finish(client, name, to="/big.bin", **headers):
    return client("MOVE", raw=f"{UP}/{name}/.file", Destination=f"{FILES}{to}", **headers)


@pytest.mark.parametrize("names", [
    ["0000000000000000", "0000000000300000", "0000000000600000"], ["00001", "00002", "00010"], ["1", "2", "10"],
    ["000000000000000-000000000299999", "000000000300000-000000000599999", "000000000600000-000000000699999"],
])  # fmt: skip
def test_a_file_comes_in_parts(alice, names):
    data = os.urandom(700_000)
    assert alice("MKCOL", raw=f"{UP}/u1", Destination=f"{FILES}/big.bin", OC_Total_Length=len(data)).status == 201
    order = [2, 0, 1]
    for number in order:
        chunk = data[number * 300_000 : (number + 1) * 300_000]
        headers = {"OC_Checksum": f"SHA1:{hashlib.sha1(chunk).hexdigest()}"} if number else {}
        made = alice("PUT", "", chunk, raw=f"{UP}/u1/{names[number]}", **headers)
        assert made.status == 201, made
        assert made.headers["ETag"]
    assert alice("PUT", "", data[:300_000], raw=f"{UP}/u1/{names[0]}").status == 204
    listed = alice.props(raw=f"{UP}/u1", depth="1")
    assert [href.rpartition("/")[2] for href in listed] == ["", *names]
    assert [one[D + "getcontentlength"].text for one in list(listed.values())[1:]] == ["300000", "300000", "100000"]
    assert list(alice.props(raw=f"{UP}/u1/{names[1]}")) == [f"{UP}/u1/{names[1]}"]
    assert list(alice.props(raw=UP, depth="1")) == [f"{UP}/", f"{UP}/u1/"]
    checksum = f"SHA1:{hashlib.sha1(data).hexdigest()}"
    made = finish(alice, "u1", OC_Total_Length=len(data), X_OC_MTime=1_000_000_000, OC_Checksum=checksum)
    assert made.status == 201
    assert made.headers["X-OC-MTime"] == "accepted"
    assert made.headers["OC-FileId"]
    got = alice("GET", "/big.bin")
    assert (got.body == data, got.headers["OC-Checksum"], got.headers["ETag"]) == (True, checksum, made.headers["ETag"])
    assert alice("PROPFIND", raw=f"{UP}/u1").status == 404
    assert list(alice.props(raw=UP, depth="1")) == [f"{UP}/"]


def test_an_upload_over_a_file_keeps_its_id_and_the_version(alice):
    first = alice("PUT", "/big.bin", b"old")
    alice("MKCOL", raw=f"{UP}/u")
    alice("PUT", "", b"new", raw=f"{UP}/u/1")
    assert finish(alice, "u", If='(["wrong"])').status == 412
    assert finish(alice, "u", If_Match='"wrong"').status == 412
    made = finish(alice, "u", If=f"<{FILES}/big.bin> ([{first.headers['ETag']}])")
    assert (made.status, made.headers["OC-FileId"]) == (204, first.headers["OC-FileId"])
    assert alice("GET", "/big.bin").body == b"new"


def test_what_an_upload_may_not(alice):
    alice("MKCOL", raw=f"{UP}/u")
    for method, path, headers, status in (
        ("MKCOL", "/u", {}, 405), ("PUT", "/none/1", {}, 404), ("PUT", "/u/first", {}, 400), ("PUT", "/u/1", {"OC-Checksum": "SHA1:ab"}, 400),
        ("PUT", "/u/1", {"OC-Total-Length": str(QUOTA + 1)}, 507), ("PUT", "/u", {}, 405), ("DELETE", "/none", {}, 404), ("DELETE", "/u/7", {}, 404),
        ("MKCOL", "/v", {"Destination": "/elsewhere"}, 400), ("MKCOL", "/v", {"Destination": f"{FILES}/a%0Ab"}, 403), ("GET", "/u", {}, 405),
        ("PROPFIND", "/u/1", {}, 404),
    ):  # fmt: skip
        answer = alice(method, "", b"12" if method == "PUT" else None, raw=UP + path, **headers)
        assert answer.status == status, (method, path, headers, answer)
    alice("PUT", "", b"12", raw=f"{UP}/u/000-001")
    alice("PUT", "", b"12", raw=f"{UP}/u/004-005")
    assert finish(alice, "u").status == 400
    alice("DELETE", raw=f"{UP}/u/004-005")
    assert finish(alice, "u", OC_Total_Length=3).status == 400
    assert alice("MOVE", raw=f"{UP}/u/.file", Destination="/elsewhere").status == 400
    assert finish(alice, "u", "/no/f").status == 409
    assert finish(alice, "u", OC_Total_Length=2).status == 201
    alice("MKCOL", raw=f"{UP}/w")
    assert alice("DELETE", raw=f"{UP}/w").status == 204
    assert finish(alice, "w").status == 404


def bulk(parts, boundary="boundary"):
    made = []
    for path, data, headers in parts:
        digest = hashlib.md5(data).hexdigest()
        head = {"X-File-Path": path, "Content-Length": len(data), "X-File-MD5": digest, "X-File-Mtime": 1_000_000_000} | headers
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items() if value is not None)
        made.append(f"--{boundary}\r\n{lines}\r\n".encode() + data + b"\r\n")
    return b"".join(made) + f"--{boundary}--\r\n".encode()


def post(client, body, kind="multipart/related; boundary=boundary"):
    return client("POST", "", body, raw="/remote.php/dav/bulk", content_type=kind)


def test_many_files_come_at_once(alice):
    alice("MKCOL", "/a")
    alice("PUT", "/a/old", b"before")
    big = os.urandom(400_000)
    sent = [(f"/a/{number}.txt", os.urandom(number * 50), {}) for number in range(40)]
    sent += [("/a/old", b"after", {}), ("/a/big", big, {}), ("/no/f", b"1", {}), ("/a/bad", b"1", {"X-File-MD5": "0" * 32}), ("/a", b"1", {}),
             ("/a/none", b"1", {"X-File-MD5": None}), ("/", b"1", {}), ("/a/../x", b"1", {}),
             ("/a/sum", b"1", {"OC-Checksum": "SHA1:x", "X-File-MD5": None}),
             ("/a/bigbad", big, {"X-File-MD5": None})]  # fmt: skip
    answer = post(alice, bulk(sent))
    assert answer.status == 200, answer
    told = json.loads(answer.body)
    assert set(told) == {path for path, *_ in sent}
    wrong = {path for path, one in told.items() if one["error"]}
    assert wrong == {"/no/f", "/a/bad", "/a", "/a/none", "/", "/a/../x", "/a/sum", "/a/bigbad"}
    assert all(told[path]["message"] for path in wrong)
    for path, data, _ in sent:
        if path not in wrong:
            got = alice("GET", path)
            assert (got.status, got.body) == (200, data), path
            assert got.headers["ETag"] == f'"{told[path]["etag"]}"'
            assert got.headers["OC-FileId"] == told[path]["fileid"]
            assert got.headers["Last-Modified"] == "Sun, 09 Sep 2001 01:46:40 GMT"


def test_bulk_that_is_none(alice):
    whole = bulk([("/f", b"12345", {})])
    for body, kind in (
        (whole, "text/plain"), (whole, "multipart/related"), (whole[:-20], "multipart/related; boundary=boundary"),
        (b"x" * 40_000, "multipart/related; boundary=b"),
        (bulk([("/f", b"1", {"Content-Length": "x"})]), "multipart/related; boundary=boundary"), (b"", "multipart/related; boundary=boundary"),
    ):  # fmt: skip
        assert post(alice, body, kind).status == 400
    assert alice("GET", "/f").status == 404


def trashed(client, below=""):
    names = [f"{NC}trashbin-{name}" for name in ("filename", "original-location", "deletion-time", "title", "deleted-by-id")]
    found = client.props("", *names, D + "getetag", raw=f"{TRASH}/trash{below}", depth="1")
    return [(href, {name.rpartition("}")[2]: one.text for name, one in props.items()}) for href, props in list(found.items())[1:]]


def test_what_is_deleted_is_in_the_trash_and_comes_back(alice):
    alice("MKCOL", "/a")
    made = alice("PUT", "/a/f.txt", b"data")
    alice("DELETE", "/a/f.txt")
    assert list(alice.props(raw=TRASH, depth="1")) == [f"{TRASH}/", f"{TRASH}/restore/", f"{TRASH}/trash/"]
    assert list(alice.props(raw=TRASH)) == [f"{TRASH}/"]
    ((href, told),) = trashed(alice)
    assert told.pop("trashbin-deletion-time").isdigit()
    assert told == {
        "trashbin-filename": "f.txt", "trashbin-original-location": "a/f.txt", "trashbin-title": "f.txt", "trashbin-deleted-by-id": "id-alice",
        "getetag": made.headers["ETag"],
    }  # fmt: skip
    assert alice("GET", raw=href).body == b"data"
    assert alice("MOVE", raw=href, Destination=f"{FILES}/f").status == 403
    assert alice("MOVE", raw=href, Destination=f"http://h{TRASH}/restore/x").status == 201
    assert alice("GET", "/a/f.txt").headers["OC-FileId"] == made.headers["OC-FileId"]
    assert trashed(alice) == []
    alice("DELETE", "/a")
    ((href, told),) = trashed(alice)
    name = href.removeprefix(f"{TRASH}/trash").rstrip("/")
    ((inner, told),) = trashed(alice, name)
    assert (told["trashbin-original-location"], told["trashbin-filename"]) == ("a/f.txt", "f.txt")
    assert inner == f"{TRASH}/trash{name}/f.txt"
    assert alice("GET", raw=inner).body == b"data"
    assert alice("GET", raw=href).status == 405
    for method, path, status in (
        ("GET", f"{href}none", 404), ("GET", f"{inner}/none", 404), ("DELETE", f"{TRASH}/trash/none", 404), ("DELETE", TRASH, 405),
        ("PROPFIND", f"{TRASH}/no", 404),
        ("PUT", href, 405), ("MOVE", f"{TRASH}/restore", 405),
    ):  # fmt: skip
        assert alice(method, raw=path).status == status, (method, path)
    assert alice("DELETE", raw=href).status == 204
    alice("PUT", "/g", b"1")
    alice("DELETE", "/g")
    assert alice("DELETE", raw=f"{TRASH}/trash").status == 204
    assert trashed(alice) == []


def versions(client, number):
    found = client.props(raw=f"/remote.php/dav/versions/alice/versions/{number}", depth="1")
    return [(href, {name.rpartition("}")[2]: one.text for name, one in props.items()}) for href, props in list(found.items())[1:]]


def test_versions_are_listed_read_named_restored_and_removed(alice):
    base = "/remote.php/dav/versions/alice"
    made = alice("PUT", "/f.txt", b"first", X_OC_MTime=1_000_000_000)
    alice("PUT", "/f.txt", b"second!", X_OC_MTime=1_000_000_100)
    number = int(made.headers["OC-FileId"][:8])
    ((href, told),) = versions(alice, number)
    assert (told["getcontentlength"], told["getcontenttype"], told["getlastmodified"], told["version-author"], told["version-label"]) == (
        "5", "text/plain", "Sun, 09 Sep 2001 01:46:40 GMT", "id-alice", None,
    )  # fmt: skip
    assert alice("GET", raw=href).body == b"first"
    label = dav("propertyupdate", "<d:set><d:prop><nc:version-label>The first</nc:version-label></d:prop></d:set>")
    assert alice("PROPPATCH", "", label, raw=href).status == 207
    assert versions(alice, number)[0][1]["version-label"] == "The first"
    assert alice("PROPPATCH", "", label.replace("version-label", "other"), raw=href).status == 403
    assert alice("MOVE", raw=href, Destination=f"{FILES}/x").status == 403
    assert alice("MOVE", raw=href, Destination=f"{base}/restore/target").status == 201
    got = alice("GET", "/f.txt")
    assert (got.body, got.headers["Last-Modified"]) == (b"first", "Sun, 09 Sep 2001 01:46:40 GMT")
    ((href, told),) = versions(alice, number)
    assert told["getcontentlength"] == "7"
    alice("DELETE", "/f.txt")
    assert alice("MOVE", raw=href, Destination=f"{base}/restore/target").status == 403
    assert alice("DELETE", raw=href).status == 204
    assert versions(alice, number) == []
    assert list(alice.props(raw=base, depth="1")) == [f"{base}/", f"{base}/restore/", f"{base}/versions/"]
    for method, path, status in (
        ("PROPFIND", "/versions/999", 404), ("PROPFIND", "/versions/x", 404), ("PROPFIND", "/other", 404),
        ("GET", f"/versions/{number}/999", 404), ("GET", "/x", 404),
        ("PUT", f"/versions/{number}/1", 405),
    ):  # fmt: skip
        assert alice(method, raw=base + path).status == status, (method, path)


def test_nobody_sees_anothers(alice, place):
    made = alice("PUT", "/f", b"1")
    alice("PUT", "/f", b"2")
    number = int(made.headers["OC-FileId"][:8])
    assert place.bob("PROPFIND", raw=f"/remote.php/dav/versions/bob/versions/{number}").status == 404
    for kind in ("versions", "trashbin", "uploads"):
        assert place.bob("PROPFIND", raw=f"/remote.php/dav/{kind}/alice/").status == 404
