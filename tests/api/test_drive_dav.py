"""The drive over WebDAV, as clients speak it."""

import hashlib
import os
import random

import pytest
from sqlalchemy import func, select

from andromede.drivers.blob.fake import Fake
from andromede.http.plain import serve
from andromede.services.drive.dav import finding
from andromede.services.drive.dav.face import Dav
from andromede.services.drive.dav.props import sync_token
from andromede.services.drive.settings import Settings
from andromede.services.drive.tables import body as bodies
from tests.drive import Client, Face
from tests.objects import served

D, OC, NC = "{DAV:}", "{http://owncloud.org/ns}", "{http://nextcloud.org/ns}"
QUOTA = 50_000_000


class Place:
    """A server: `alice` and `bob` are clients of it."""

    def __init__(self, database, store, url):
        self.database, self.store = database, store
        self.port = int(url.rpartition(":")[2])
        self.alice, self.bob = Client("127.0.0.1", self.port), Client("127.0.0.1", self.port, "bob")


@pytest.fixture
def place(database):
    store = Fake()
    with served(lambda: serve(Face(Dav(database, store, Settings(quota=QUOTA))), "drive")) as url:
        made = Place(database, store, url)
        yield made
        made.alice.close()
        made.bob.close()


@pytest.fixture
def alice(place):
    return place.alice


def dav(name, body="", space='xmlns:d="DAV:" xmlns:oc="http://owncloud.org/ns" xmlns:nc="http://nextcloud.org/ns"'):
    return f"<d:{name} {space}>{body}</d:{name}>"


def etags(client, path=""):
    return {href: one[D + "getetag"].text for href, one in client.props(path, D + "getetag", depth="infinity").items()}


def test_a_file_is_put_read_and_told_of(alice):
    data = os.urandom(1000)
    digest = hashlib.sha1(data).hexdigest()
    made = alice("PUT", "/f é#%.txt", data, X_OC_MTime=1_600_000_000, X_OC_CTime=1_500_000_000, OC_Checksum=f"SHA1:{digest}", OC_Total_Length=1000)
    assert made.status == 201, made
    assert (made.headers["X-OC-MTime"], made.headers["X-OC-CTime"], made.headers["ETag"]) == ("accepted", "accepted", made.headers["OC-ETag"])
    got = alice("GET", "/f é#%.txt")
    assert (got.status, got.body, got.headers["ETag"], got.headers["OC-Checksum"]) == (200, data, made.headers["ETag"], f"SHA1:{digest}")
    assert got.headers["Content-Disposition"] == "attachment; filename*=UTF-8''f%20%C3%A9%23%25.txt"
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    names = [D + "getcontentlength", D + "getcontenttype", D + "getetag", D + "getlastmodified", D + "displayname", D + "resourcetype"]
    names += [OC + name for name in ("id", "fileid", "permissions", "size", "checksums", "favorite", "share-types", "none")] + [NC + "creation_time"]
    ((href, found),) = alice.props("/f é#%.txt", *names).items()
    assert href == "/remote.php/dav/files/alice/f%20%C3%A9%23%25.txt"
    told = {name.rpartition("}")[2]: one.text for name, one in found.items()}
    assert told.pop("fileid") in told["id"]
    assert found[OC + "checksums"][0].text == f"SHA1:{digest}"
    assert told | {"checksums": None} == {
        "getcontentlength": "1000", "getcontenttype": "text/plain", "getetag": made.headers["ETag"], "displayname": "f é#%.txt", "resourcetype": None,
        "getlastmodified": "Sun, 13 Sep 2020 12:26:40 GMT", "id": made.headers["OC-FileId"], "permissions": "RGDNVW", "size": "1000",
        "favorite": "0", "share-types": None, "checksums": None, "creation_time": "1500000000",
    }  # fmt: skip
    again = alice("PUT", "/f é#%.txt", b"other", If_Match=made.headers["ETag"])
    assert (again.status, again.headers["OC-FileId"]) == (204, made.headers["OC-FileId"])
    assert alice("HEAD", "/f é#%.txt").headers["Content-Length"] == "5"


def test_every_folder_above_is_new_and_no_other(alice):
    for path in ("/a", "/a/b", "/z"):
        assert alice("MKCOL", path).status == 201
    before = etags(alice)
    alice("PUT", "/a/b/f", b"1")
    after = etags(alice)
    same = {href for href in before if before[href] == after[href]}
    assert same == {"/remote.php/dav/files/alice/z/"}
    sizes = alice.props("", OC + "size", depth="1")
    assert {href.rstrip("/").rpartition("/")[2]: one[OC + "size"].text for href, one in sizes.items()} == {"alice": "1", "a": "1", "z": "0"}


def test_what_is_refused(alice, place):
    alice("MKCOL", "/a")
    alice("PUT", "/f", b"1")
    for method, path, headers, status in (
        ("GET", "/none", {}, 404), ("GET", "/a", {}, 405), ("PUT", "/a", {}, 405), ("PUT", "/no/f", {}, 409), ("PUT", "/f/f", {}, 409),
        ("PUT", "", {}, 405),
        ("PUT", "/x", {"OC-Checksum": "SHA1:abc"}, 400), ("PUT", "/x", {"OC-Checksum": "rubbish"}, 400),
        ("PUT", "/x", {"Content-Range": "bytes 0-1/2"}, 400),
        ("PUT", "/x", {"X-OC-MTime": "soon"}, 400), ("PUT", "/x\\y", {}, 403), ("PUT", "/x\ty", {}, 403), ("PUT", "/" + "x" * 256, {}, 403),
        ("MKCOL", "/a", {}, 405), ("MKCOL", "/f", {}, 405), ("MKCOL", "/no/b", {}, 409), ("DELETE", "", {}, 403), ("DELETE", "/none", {}, 404),
        ("DELETE", "/a", {"Depth": "0"}, 400), ("MOVE", "/f", {}, 400), ("MOVE", "/f", {"Destination": "/elsewhere/f"}, 502),
        ("MOVE", "/f", {"Destination": "/remote.php/dav/files/bob/f"}, 502), ("MOVE", "/f", {"Destination": "http://[x"}, 400),
        ("MOVE", "/f", {"Destination": "/remote.php/dav/files/alice/a", "Overwrite": "F"}, 412),
        ("MOVE", "", {"Destination": "/remote.php/webdav/x"}, 403),
        ("MOVE", "/f", {"Destination": "/remote.php/webdav/x", "Overwrite": "maybe"}, 400),
        ("MOVE", "/a", {"Destination": "/remote.php/webdav/a/b"}, 409),
        ("COPY", "/f", {"Destination": "/remote.php/webdav/x", "Depth": "1"}, 400),
        ("MOVE", "/a", {"Destination": "/remote.php/webdav/x", "Depth": "0"}, 400),
        ("PROPFIND", "/f", {"Depth": "2"}, 400), ("PROPFIND", "/none", {}, 404), ("PATCH", "/f", {}, 400),
        ("PATCH", "/a", {"X-Recalculate-Hash": "SHA1"}, 403),
        ("PATCH", "/f", {"X-Recalculate-Hash": "none"}, 400), ("POST", "/f", {}, 405), ("UNLOCK", "/f", {}, 400),
        ("UNLOCK", "/f", {"Lock-Token": "<x>"}, 409),
        ("GET", "/f", {"If-Match": '"x"'}, 412), ("GET", "/f", {"If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:01 GMT"}, 412),
        ("PUT", "/f", {"If-None-Match": "*"}, 412), ("PUT", "/x", {"If-Match": "*"}, 412), ("PUT", "/f", {"If": "(rubbish)"}, 400),
        ("PUT", "/f", {"If": "("}, 400),
        ("PUT", "/f", {"If": "<x>"}, 400), ("PUT", "/f", {"If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:01 GMT"}, 412),
        ("PUT", "/f", {"OC-Total-Length": str(QUOTA + 2)}, 507), ("PUT", "/f", {"OC-Total-Length": "1" * 30}, 400),
    ):  # fmt: skip
        answer = alice(method, path, b"12" if method == "PUT" else None, **headers)
        assert answer.status == status, (method, path, headers, answer)
        assert "message" in answer.body.decode() or status == 400, answer
    for raw in ("/remote.php/dav/files/alice/%2e%2e/x", "/remote.php/dav/files/alice/%00", "/remote.php/dav/files/alice/%ff"):
        assert alice("GET", raw=raw).status == 400
    assert place.bob("GET", raw="/remote.php/dav/files/alice/f").status == 404
    assert {href.rpartition("alice/")[2] for href in etags(alice)} == {"", "a/", "f"}
    assert Client("127.0.0.1", place.port, "eve:x")("GET", "/").status == 401


def test_the_quota_is_told_and_kept(alice):
    assert alice("PUT", "/f", os.urandom(1000)).status == 201
    found = alice.props("", D + "quota-used-bytes", D + "quota-available-bytes")["/remote.php/dav/files/alice/"]
    assert [one.text for one in found.values()] == ["1000", str(QUOTA - 1000)]
    assert alice("PUT", "/g", b"x", OC_Total_Length=QUOTA).status == 507
    assert alice("MKCOL", raw="/remote.php/dav/uploads/alice/u", OC_Total_Length=QUOTA).status == 507


@pytest.mark.parametrize(("header", "status", "first", "stop"), [
    ("bytes=0-0", 206, 0, 1), ("bytes=5-", 206, 5, 1000), ("bytes=-7", 206, 993, 1000), ("bytes=5-2000", 206, 5, 1000),
    ("bytes=0-1,5-6", 200, 0, 1000),
    ("bytes=5-2", 200, 0, 1000), ("chapters=1", 200, 0, 1000), ("bytes=x", 200, 0, 1000), ("bytes=1000-", 416, 0, 0),
])  # fmt: skip
def test_ranges(alice, header, status, first, stop):
    data = random.Random(5).randbytes(1000)
    alice("PUT", "/f", data)
    got = alice("GET", "/f", Range=header)
    assert (got.status, got.body) == (status, data[first:stop])
    if status == 206:
        assert got.headers["Content-Range"] == f"bytes {first}-{stop - 1}/1000"


def test_conditions_on_reading(alice):
    etag = alice("PUT", "/f", b"abc", X_OC_MTime=1_000_000_000).headers["ETag"]
    assert alice("GET", "/f", If_None_Match=etag).status == 304
    assert alice("GET", "/f", If_None_Match='"x"').status == 200
    assert alice("GET", "/f", If_Modified_Since="Sun, 09 Sep 2001 01:46:40 GMT").status == 304
    assert alice("GET", "/f", If_Modified_Since="rubbish").status == 200
    assert alice("GET", "/f", Range="bytes=0-0", If_Range='"x"').status == 200
    assert alice("GET", "/f", Range="bytes=0-0", If_Range=etag).status == 206
    assert alice("HEAD", "").status == 200


def test_properties_are_set_together_or_not_at_all(alice):
    alice("PUT", "/f", b"1")
    prop = '<x:mine xmlns:x="urn:x" a="1"><x:b>text</x:b></x:mine>'
    more = "<oc:favorite>1</oc:favorite><d:getlastmodified>1000000000</d:getlastmodified>"
    body = dav("propertyupdate", f"<d:set><d:prop>{prop}{more}</d:prop></d:set>")
    assert alice("PROPPATCH", "/f", body).status == 207
    found = alice.props("/f")["/remote.php/dav/files/alice/f"]
    assert found["{urn:x}mine"][0].text == "text"
    assert found["{urn:x}mine"].get("a") == "1"
    assert found[D + "getlastmodified"].text == "Sun, 09 Sep 2001 01:46:40 GMT"
    assert alice.props("/f", OC + "favorite")["/remote.php/dav/files/alice/f"][OC + "favorite"].text == "1"
    removed = "<d:remove><d:prop><x:mine xmlns:x='urn:x'/></d:prop></d:remove>"
    bad = dav("propertyupdate", f"{removed}<d:set><d:prop><d:getetag>x</d:getetag></d:prop></d:set>")
    answer = alice("PROPPATCH", "/f", bad)
    assert b"403 Forbidden" in answer.body
    assert b"424 Failed" in answer.body
    assert "{urn:x}mine" in alice.props("/f")["/remote.php/dav/files/alice/f"]
    long = dav("propertyupdate", f"<d:set><d:prop><x:long xmlns:x='urn:x'>{'x' * 70_000}</x:long></d:prop></d:set>")
    assert b"507 Insufficient" in alice("PROPPATCH", "/f", long).body
    names = alice("PROPFIND", "/f", dav("propfind", "<d:propname/>"), Depth="0").props()["/remote.php/dav/files/alice/f"]
    assert {D + "getetag", "{urn:x}mine"} <= set(names)
    assert not any(one.text for one in names.values())
    more = alice("PROPFIND", "/f", dav("propfind", "<d:allprop/><d:include><oc:id/></d:include>"), Depth="0")
    assert OC + "id" in more.props()["/remote.php/dav/files/alice/f"]
    bomb = '<!DOCTYPE x [<!ENTITY a "b">]><d:propfind xmlns:d="DAV:">&a;</d:propfind>'
    for wrong in (dav("propertyupdate"), "<x", dav("propfind"), bomb, "<a>" * 99 + "</a>" * 99):
        assert alice("PROPPATCH", "/f", wrong).status == 400
        assert alice("PROPFIND", "/f", wrong).status == 400
    time = dav("propertyupdate", "<d:set><d:prop><d:getlastmodified>soon</d:getlastmodified></d:prop></d:set>")
    assert b"403" in alice("PROPPATCH", "/f", time).body


@pytest.mark.parametrize("few", [1500, 3])
def test_a_listing_is_the_same_in_pieces_and_with_locks_and_favourites(alice, monkeypatch, few):
    monkeypatch.setattr(finding, "_FEW", few)
    monkeypatch.setattr(finding, "_PAGE", 2)
    for path in ("/a", "/a/b"):
        alice("MKCOL", path)
    for number in range(5):
        alice("PUT", f"/a/b/{number}", b"1")
    lock = dav("lockinfo", "<d:lockscope><d:exclusive/></d:lockscope><d:locktype><d:write/></d:locktype><d:owner>me</d:owner>")
    assert alice("LOCK", "/a/b", lock).status == 200
    listed = alice.props("/a/b", D + "getetag", D + "lockdiscovery", depth="1")
    assert [href.rpartition("/")[2] for href in listed] == ["", "0", "1", "2", "3", "4"]
    assert all(one[D + "lockdiscovery"].find(f".//{D}locktoken") is not None for one in listed.values())
    everything = alice.props("", D + "getetag", D + "lockdiscovery", depth="infinity")
    assert [href.partition("alice")[2] for href in everything] == ["/", "/a/", "/a/b/", *(f"/a/b/{number}" for number in range(5))]
    held = {href.partition("alice")[2] for href, one in everything.items() if len(one[D + "lockdiscovery"])}
    assert held == {"/a/b/", *(f"/a/b/{number}" for number in range(5))}
    roots = {one[D + "lockdiscovery"].findtext(f".//{D}lockroot/{D}href") for one in everything.values() if len(one[D + "lockdiscovery"])}
    assert roots == {"/remote.php/dav/files/alice/a/b/"}


def test_locks_are_asked_for_renewed_and_kept_by_others(alice):
    lock = dav("lockinfo", "<d:lockscope><d:exclusive/></d:lockscope><d:locktype><d:write/></d:locktype>")
    made = alice("LOCK", "/f", lock, Timeout="Second-60", Depth="0")
    assert made.status == 201
    token = made.headers["Lock-Token"]
    assert alice("PUT", "/f", b"1").status == 423
    assert alice("LOCK", "/f", lock).status == 423
    assert alice("PUT", "/f", b"1", If=f"({token})").status == 204
    assert alice("PUT", "/f", b"1", If=f"</remote.php/dav/files/alice/f> ({token} [\"wrong\"])").status == 412
    assert alice("PUT", "/f", b"1", If=f"<http://x/none> ({token})").status == 412
    assert b"Second-604800" in alice("LOCK", "/f", If=f"({token})", Timeout="Infinite").body
    assert alice("LOCK", "/f", If="(<urn:none>)").status == 412
    for body, headers in (
        (dav("lockinfo", "<d:lockscope><d:exclusive/></d:lockscope>"), {}), (dav("lockinfo", "<d:locktype><d:write/></d:locktype>"), {}),
        (lock, {"Depth": "1"}), (dav("lockinfo", lock[10:-13] + f"<d:owner>{'x' * 9000}</d:owner>").replace("<d:lockinfo ", "<d:lockinfo ", 1), {}),
    ):  # fmt: skip
        assert alice("LOCK", "/g", body, **headers).status == 400
    assert alice("DELETE", "/f").status == 423
    assert alice("UNLOCK", "/f", Lock_Token=token).status == 204
    assert alice("DELETE", "/f").status == 204


def test_moving_and_copying(alice):
    made = alice("PUT", "/f", b"one")
    alice("MKCOL", "/a")
    moved = alice("MOVE", "/f", Destination="http://any/remote.php/dav/files/alice/a/g%20h")
    assert (moved.status, moved.headers["OC-FileId"]) == (201, made.headers["OC-FileId"])
    copied = alice("COPY", "/a", Destination="/remote.php/webdav/b")
    assert copied.status == 201
    assert alice("GET", "/b/g h").body == b"one"
    alice("PUT", "/c", b"two")
    assert alice("MOVE", "/c", Destination="/remote.php/dav/files/id-alice/a/g%20h").status == 204
    assert alice("GET", raw="/remote.php/webdav/a/g%20h").body == b"two"
    assert alice("COPY", "/b", Destination="/remote.php/webdav/d", Depth="0").status == 201
    assert len(etags(alice, "/d")) == 1


def test_a_checksum_is_found_out(alice):
    data = os.urandom(1_000_000)
    alice("PUT", "/f", data)
    for kind, digest in (("sha256", hashlib.sha256(data).hexdigest()), ("MD5", hashlib.md5(data).hexdigest())):
        assert alice("PATCH", "/f", X_Recalculate_Hash=kind).headers["OC-Checksum"] == f"{kind.upper()}:{digest}"
    found = alice.props("/f", OC + "checksums")["/remote.php/dav/files/alice/f"][OC + "checksums"][0].text
    assert [one.partition(":")[0] for one in found.split()] == ["SHA256", "MD5"]


def test_a_disk_that_is_full_changes_nothing(alice, place):
    alice("PUT", "/f", b"1")
    place.store.full = True
    assert alice("PUT", "/f", b"22").status == 503
    place.store.full = False
    assert alice("GET", "/f").body == b"1"
    with place.database.read() as db:
        assert db.execute(select(func.count()).select_from(bodies)).scalar_one() == 1


def test_what_is_above_peoples_files(alice):
    assert alice("OPTIONS", raw="/remote.php/webdav/").headers["DAV"].startswith("1, 2, 3")
    assert "PROPFIND" in alice("OPTIONS", raw="/remote.php/dav/").headers["Allow"]
    found = alice.props(raw="/remote.php/dav/", depth="1")
    assert "/remote.php/dav/files/" in found
    assert list(alice.props(raw="/remote.php/dav/", depth="0")) == ["/remote.php/dav/"]
    assert list(alice.props(raw="/remote.php/dav/files/", depth="1")) == ["/remote.php/dav/files/", "/remote.php/dav/files/alice/"]
    me = alice.props("", D + "current-user-principal")["/remote.php/dav/files/alice/"][D + "current-user-principal"][0].text
    assert alice.props("", D + "displayname", raw=me)[me][D + "displayname"].text == "Alice"
    for path in ("principals/", "principals/users/"):
        assert len(alice.props(raw=f"/remote.php/dav/{path}", depth="1")) == 2
    for path in ("calendars/", "principals/users/bob/"):
        assert alice("PROPFIND", raw=f"/remote.php/dav/{path}").status == 404
    assert alice("GET", raw="/remote.php/dav/").status == 405


def report(name, token="", level="infinite", limit=""):
    limited = f"<d:limit><d:nresults>{limit}</d:nresults></d:limit>" if limit else ""
    return dav(name, f"<d:sync-token>{token}</d:sync-token><d:sync-level>{level}</d:sync-level>{limited}<d:prop><d:getetag/></d:prop>")


def changes(answer):
    found = {}
    for one in answer.xml.findall(D + "response"):
        status = one.findtext(D + "status")
        found[one.findtext(D + "href").partition("alice")[2]] = status.split()[1] if status else "200"
    return found, answer.xml.findtext(D + "sync-token")


def test_what_changed_since_a_token(alice):
    for path in ("/a", "/a/b", "/c"):
        alice("MKCOL", path)
    alice("PUT", "/a/b/f", b"1")
    found, token = changes(alice("REPORT", "", report("sync-collection")))
    assert found == dict.fromkeys(("/a/", "/a/b/", "/c/", "/a/b/f"), "200")
    assert changes(alice("REPORT", "", report("sync-collection", token))) == ({}, token)
    assert alice.props("", D + "sync-token")["/remote.php/dav/files/alice/"][D + "sync-token"].text == token
    alice("PUT", "/a/b/g", b"1")
    alice("DELETE", "/a/b/f")
    found, token = changes(alice("REPORT", "", report("sync-collection", token)))
    assert found == {"/a/": "200", "/a/b/": "200", "/a/b/g": "200", "/a/b/f": "404"}
    alice("MOVE", "/a", Destination="/remote.php/webdav/c/a")
    found, token = changes(alice("REPORT", "", report("sync-collection", token)))
    assert found == {"/a": "404", "/c/": "200", "/c/a/": "200", "/c/a/b/": "200", "/c/a/b/g": "200"}
    alice("PUT", "/x", b"1")
    alice("PUT", "/y", b"1")
    first, part = changes(alice("REPORT", "", report("sync-collection", token, "1", "1")))
    assert first == {"/x": "200", "/": "507"}
    rest, last = changes(alice("REPORT", "", report("sync-collection", part, "1", "1")))
    assert rest == {"/y": "200"}
    everything, _ = changes(alice("REPORT", "", report("sync-collection", "", "1")))
    assert everything == {"/c/": "200", "/x": "200", "/y": "200"}
    for bad in ("rubbish", sync_token("other", 1), last.rpartition(":")[0] + ":99999"):
        answer = alice("REPORT", "", report("sync-collection", bad))
        assert answer.status == 403
        assert b"valid-sync-token" in answer.body
    assert alice("REPORT", "", report("sync-collection", "", "2")).status == 400
    assert alice("REPORT", "", report("nothing")).status == 403
    assert alice("REPORT", "/x", report("sync-collection")).status == 403


def test_favourites_are_found(alice):
    alice("MKCOL", "/a")
    for path in ("/a/f", "/g"):
        alice("PUT", path, b"1")
        alice("PROPPATCH", path, dav("propertyupdate", "<d:set><d:prop><oc:favorite>1</oc:favorite></d:prop></d:set>"))
    rules = "<d:prop><oc:favorite/></d:prop><oc:filter-rules><oc:favorite>1</oc:favorite></oc:filter-rules>"
    rules = dav("x", rules).replace("d:x", "oc:filter-files")
    assert set(alice("REPORT", "", rules).props()) == {f"/remote.php/dav/files/alice{path}" for path in ("/a/f", "/g")}
    assert set(alice("REPORT", "/a", rules).props()) == {"/remote.php/dav/files/alice/a/f"}
    assert alice("REPORT", "", rules.replace("oc:favorite>", "oc:systemtag>")).status == 400


def searched(client, where, more="", scope="/files/alice", depth="infinity"):
    body = (
        f"<d:basicsearch><d:select><d:prop><d:displayname/></d:prop></d:select><d:from><d:scope><d:href>{scope}</d:href><d:depth>{depth}</d:depth>"
        f"</d:scope></d:from><d:where>{where}</d:where>{more}</d:basicsearch>"
    )
    return client("SEARCH", raw="/remote.php/dav/", body=None) if where is None else client("SEARCH", "", dav("searchrequest", body))


def test_search(alice):
    alice("MKCOL", "/a")
    for path, data in (("/a/One.txt", b"1"), ("/a/two.png", b"22"), ("/three.txt", b"333")):
        alice("PUT", path, data, X_OC_MTime=1_000_000_000 + len(data))
    alice("PUT", "/gone.txt", b"x")
    alice("DELETE", "/gone.txt")

    def op(name, prop, value):
        return f"<d:{name}><d:prop><{prop}/></d:prop><d:literal>{value}</d:literal></d:{name}>"

    def found(where, *more, **scope):
        answer = searched(alice, where, *more, **scope)
        assert answer.status == 207, answer
        return [href.partition("alice")[2] for href in answer.props()]

    assert found(op("like", "d:displayname", "%.TXT")) == ["/a/One.txt", "/three.txt"]
    assert found(op("like", "d:displayname", "%.txt"), scope="/files/alice/a") == ["/a/One.txt"]
    assert found(op("like", "d:displayname", "%.txt"), depth="1") == ["/three.txt"]
    assert found(f"<d:and>{op('gt', 'd:getcontentlength', 1)}<d:not><d:is-collection/></d:not></d:and>") == ["/a/two.png", "/three.txt"]
    assert found(f"<d:or>{op('eq', 'oc:size', 1)}{op('like', 'd:getcontenttype', 'image/%')}</d:or>") == ["/a/One.txt", "/a/two.png"]
    assert found(op("gte", "d:getlastmodified", "2001-09-09T01:46:43Z"), scope="/remote.php/dav/files/alice", depth="1")[-1] == "/three.txt"
    order = "<d:orderby><d:order><d:prop><d:getlastmodified/></d:prop><d:descending/></d:order></d:orderby>"
    files = "<d:not><d:is-collection/></d:not>"
    assert found(files, order) == ["/three.txt", "/a/two.png", "/a/One.txt"]
    limit = "<d:limit><d:nresults>1</d:nresults><nc:firstresult>1</nc:firstresult></d:limit>"
    assert found(files, order + limit) == ["/a/two.png"]
    alice("PROPPATCH", "/three.txt", dav("propertyupdate", "<d:set><d:prop><oc:favorite>1</oc:favorite></d:prop></d:set>"))
    assert found(op("eq", "oc:favorite", "yes")) == ["/three.txt"]
    one = alice.props("/three.txt", OC + "id")["/remote.php/dav/files/alice/three.txt"][OC + "id"].text
    assert found(op("eq", "oc:id", one)) == ["/three.txt"]
    for where, given in (
        (op("like", "d:none", "x"), {}), (op("eq", "oc:size", "x"), {}), (op("gt", "d:getlastmodified", "x"), {}), ("<d:x/>", {}),
        (op("eq", "oc:size", "1"), {"scope": "/files/bob"}), (op("eq", "oc:size", "1"), {"more": "<d:orderby><d:order/></d:orderby>"}),
    ):  # fmt: skip
        assert searched(alice, where, **given).status == 400
    assert alice("SEARCH", raw="/remote.php/dav/").status == 400
    assert alice("SEARCH", "", dav("searchrequest")).status == 400
