"""Shares with users, groups and by links: what each allows, where it is seen, and that every change is seen by everybody."""

import base64
import hashlib
import re

import pytest

from andromede.drivers.blob.fake import Fake
from andromede.services.drive import leaving, shares
from andromede.services.drive.dav.face import Dav
from tests.drive_people import Browser, Site, drive
from tests.waiting import until

API = "apps/files_sharing/api/v1/shares"
ASK = (
    b'<?xml version="1.0"?><d:propfind xmlns:d="DAV:" xmlns:oc="http://owncloud.org/ns"><d:prop><d:getetag/><oc:permissions/><oc:fileid/>'
    b"<d:resourcetype/></d:prop></d:propfind>"
)
READ, UPDATE, CREATE, DELETE, SHARE = 1, 2, 4, 8, 16


@pytest.fixture
def site(cloud):
    with drive(cloud, Dav(cloud.database, Fake())) as site:
        cloud.other("ann")
        yield site


class Person:
    def __init__(self, site, name):
        self.site, self.name = site.signed(name), name
        self.root = f"/remote.php/dav/files/{name}"

    def __call__(self, method, path, body=b"", **headers):
        return self.site(method, f"{self.root}{path}", body, {name.replace("_", "-"): value for name, value in headers.items()})

    def move(self, method, path, to):
        return self(method, path, Destination=f"{self.site.url}{self.root}{to}")

    def list(self, path="/", depth="1"):
        return seen(self("PROPFIND", path, ASK, Depth=depth))

    def share(self, path, kind, **more):
        answer = self.site.ocs("POST", API, {"path": path, "shareType": kind, **more})
        assert answer.status == 200, answer
        return answer.data


def seen(answer):
    """Etag and permissions by path."""
    assert answer.status == 207, answer
    found = re.findall(r"<d:href>([^<]*)</d:href>.*?<d:getetag>&quot;(\w+)&quot;</d:getetag>.*?<oc:permissions>(\w*)<", answer.text)
    return {path: (etag, letters) for path, etag, letters in found}


@pytest.fixture
def demo(site):
    one = Person(site, "demo")
    assert one("MKCOL", "/plans").status == 201
    assert one("PUT", "/plans/a.txt", b"first").status == 201
    assert one("PUT", "/own.txt", b"own").status == 201
    return one


@pytest.fixture
def ann(site):
    return Person(site, "ann")


def test_a_folder_is_seen_and_changed_by_another(demo, ann):
    made = demo.share("/plans", 0, shareWith="ann")
    assert (made["share_with"], made["permissions"], made["item_type"], made["path"]) == ("ann", 31, "folder", "/plans")
    root = ann.list()
    assert root["/remote.php/dav/files/ann/plans/"][1] == "SRGDNVCK"
    assert ann("GET", "/plans/a.txt").body == b"first"
    before = demo.list()["/remote.php/dav/files/demo/"][0]
    assert ann("PUT", "/plans/b.txt", b"of ann", OC_Checksum="MD5:" + hashlib.md5(b"of ann").hexdigest()).status == 201
    assert demo("GET", "/plans/b.txt").body == b"of ann"
    assert demo.list()["/remote.php/dav/files/demo/"][0] != before
    changed = ann.list()["/remote.php/dav/files/ann/"][0]
    assert changed != root["/remote.php/dav/files/ann/"][0], "the root of whom it was given to changes as well"
    assert demo("PUT", "/plans/deep.txt", b"x").status == 201
    assert ann.list("/", "0")["/remote.php/dav/files/ann/"][0] != changed
    assert ann("MKCOL", "/plans/sub").status == 201
    assert ann.move("MOVE", "/plans/b.txt", "/plans/sub/c.txt").status == 201
    assert ann.move("COPY", "/plans/sub/c.txt", "/plans/d.txt").status == 201
    assert ann("DELETE", "/plans/a.txt").status == 204
    assert set(ann.list("/plans")) == {f"/remote.php/dav/files/ann/plans/{name}" for name in ("", "d.txt", "deep.txt", "sub/")}
    assert demo("GET", "/plans/sub/c.txt").body == b"of ann"
    (gone,) = re.findall(r"nc:trashbin-filename>([^<]+)<", demo.site("PROPFIND", "/remote.php/dav/trashbin/demo/trash", TRASH, {"Depth": "1"}).text)
    assert gone == "a.txt", "it is in the owner's trash"


TRASH = b'<d:propfind xmlns:d="DAV:" xmlns:nc="http://nextcloud.org/ns"><d:prop><nc:trashbin-filename/></d:prop></d:propfind>'


def test_no_two_processes_tell_otherwise(cloud, demo, ann):
    with drive(cloud, Dav(cloud.database, Fake())) as second:
        there, mount = Person(second, "ann"), "/remote.php/dav/files/ann/plans/"
        assert mount not in there.list()
        made = demo.share("/plans", 0, shareWith="ann")
        assert mount in ann.list()
        assert mount in there.list()
        assert there("MKCOL", "/plans/sub").status == 201
        assert demo.site.ocs("DELETE", f"{API}/{made['id']}").status == 200
        assert mount not in ann.list()
        assert mount not in there.list()


def test_what_a_share_does_not_allow_is_refused(demo, ann):
    made = demo.share("/plans", 0, shareWith="ann", permissions=READ)
    assert ann.list()["/remote.php/dav/files/ann/plans/"][1] == "SGDNV"
    assert ann.list("/plans")["/remote.php/dav/files/ann/plans/a.txt"][1] == "SG"
    refused = [ann("PUT", "/plans/a.txt", b"x"), ann("PUT", "/plans/new", b"x"), ann("MKCOL", "/plans/n"), ann("DELETE", "/plans/a.txt")]
    refused += [ann.move("MOVE", "/plans/a.txt", "/plans/b.txt"), ann.move("COPY", "/plans/a.txt", "/plans/b.txt")]
    refused += [ann.move("MOVE", "/plans/a.txt", "/mine.txt"), ann("PROPPATCH", "/plans/a.txt", b"<x/>")]
    assert [answer.status for answer in refused] == [403] * 8
    id_ = made["id"]
    assert demo.site.ocs("PUT", f"{API}/{id_}", {"permissions": READ | UPDATE}).data["permissions"] == 3
    assert ann("PUT", "/plans/a.txt", b"x").status == 204
    assert ann("PUT", "/plans/new", b"x").status == 403
    assert ann.move("MOVE", "/plans/a.txt", "/plans/b.txt").status == 201, "renaming is changing"
    assert ann("DELETE", "/plans/b.txt").status == 403
    demo.site.ocs("PUT", f"{API}/{id_}", {"permissions": READ | CREATE})
    assert ann("PUT", "/plans/b.txt", b"x").status == 403
    assert ann.move("COPY", "/plans/b.txt", "/plans/c.txt").status == 201
    assert ann.move("COPY", "/plans/b.txt", "/plans/c.txt").status == 403, "it would be replaced"
    assert ann.site.ocs("PUT", f"{API}/{id_}", {"permissions": 31}).status == 404, "not whom it was given to"
    assert ann("MKCOL", "/mine").status == 201
    assert ann.move("MOVE", "/mine", "/plans/mine").status == 403
    assert ann("GET", "/plans/../own.txt").status in {400, 404}
    assert demo.site.ocs("DELETE", f"{API}/{id_}").status == 200
    assert ann("GET", "/plans/b.txt").status == 404


def test_uploads_in_parts_and_in_bulk_come_to_the_owner(demo, ann):
    demo.share("/plans", 0, shareWith="ann")
    up = "/remote.php/dav/uploads/ann/77"
    whole = b"0123456789" * 100_000
    assert ann.site("MKCOL", up).status == 201
    assert ann.site("PUT", f"{up}/1", whole[:400_000]).status == 201
    assert ann.site("PUT", f"{up}/2", whole[400_000:]).status == 201
    to = {"Destination": "/remote.php/dav/files/ann/plans/large", "OC-Total-Length": str(len(whole))}
    assert ann.site("MOVE", f"{up}/.file", headers=to).status == 201
    assert demo("GET", "/plans/large").body == whole
    data = b"bulk"
    head = f"X-File-Path: /plans/many\r\nX-File-MD5: {hashlib.md5(data).hexdigest()}\r\nContent-Length: {len(data)}\r\n\r\n".encode()
    body = b"--b\r\n" + head + data + b"\r\n--b--\r\n"
    answer = ann.site("POST", "/remote.php/dav/bulk", body, {"Content-Type": "multipart/related; boundary=b"})
    assert answer.json["/plans/many"]["error"] is False, answer
    assert demo("GET", "/plans/many").body == data


def test_it_is_renamed_and_taken_out_by_whom_it_was_given_to(demo, ann):
    assert ann("MKCOL", "/plans").status == 201
    first = demo.share("/plans", 0, shareWith="ann")
    demo.share("/own.txt", 0, shareWith="ann")
    assert {"/remote.php/dav/files/ann/plans (2)/".replace(" ", "%20"), "/remote.php/dav/files/ann/own.txt"} <= set(ann.list())
    assert ann("PUT", "/own.txt", b"changed").status == 204
    assert demo("GET", "/own.txt").body == b"changed"
    assert ann.move("MOVE", "/plans%20(2)", "/plans").status == 412
    assert ann.move("MOVE", "/plans%20(2)", "/deeper/plans").status == 403
    assert ann.move("MOVE", "/plans%20(2)", "/theirs").status == 201
    assert ann("GET", "/theirs/a.txt").body == b"first"
    (told, _) = ann.site.ocs("GET", f"{API}?shared_with_me=true").data
    assert (told["path"], told["uid_owner"]) == ("/theirs", "demo")
    assert ann.site.ocs("GET", f"{API}/{first['id']}").data[0]["file_target"] == "/theirs"
    assert ann("DELETE", "/theirs").status == 204
    assert "/remote.php/dav/files/ann/theirs/" not in ann.list()
    assert demo("GET", "/plans/a.txt").status == 200
    assert demo.site.ocs("GET", f"{API}?path=/plans").data == []
    assert len(demo.site.ocs("GET", f"{API}?path=/&subfiles=true").data) == 1


def test_a_group_shares_and_is_told(cloud, site, demo, ann):
    group = cloud.admin.post("/identity/v3/groups", {"group": {"name": "team"}}).json["group"]["id"]
    cloud.admin.put(f"/identity/v3/groups/{group}/users/{cloud.id_of('users', 'ann')}")
    made = demo.share("/plans", 1, shareWith="team")
    until(lambda: ann("GET", "/plans/a.txt").status == 200)
    (told,) = ann.site.ocs("GET", "apps/notifications/api/v2/notifications").data
    assert told["subject"] == "demo shared plans with your group team"
    assert made["share_with"] == "team"
    assert ann.site.ocs("DELETE", f"{API}/{made['id']}").status == 200
    assert ann("GET", "/plans/a.txt").status == 404, "for ann only"
    assert len(demo.site.ocs("GET", API).data) == 1
    cloud.other("bob")
    assert Person(site, "bob")("GET", "/plans/a.txt").status == 404
    cloud.admin.put(f"/identity/v3/groups/{group}/users/{cloud.id_of('users', 'bob')}")
    until(lambda: Person(site, "bob")("GET", "/plans/a.txt").status == 200)
    assert demo("DELETE", "/plans").status == 204
    assert Person(site, "bob")("GET", "/plans/a.txt").status == 404, "it is in the trash"
    assert demo.site.ocs("GET", API).data == []


def test_what_cannot_be_shared(cloud, demo, ann, monkeypatch):
    def refused(status, **given):
        answer = demo.site.ocs("POST", API, given)
        assert answer.status == status, answer

    refused(400, path="/", shareType=3)
    refused(400, path="/plans", shareType=9)
    refused(404, path="/nothing", shareType=3)
    refused(404, shareType=3)
    refused(404, path="/plans", shareType=0, shareWith="nobody")
    refused(404, path="/plans", shareType=1, shareWith="nobodies")
    refused(403, path="/plans", shareType=0, shareWith="demo")
    refused(400, path="/plans", shareType=0, shareWith="ann", permissions=DELETE)
    refused(400, path="/plans", shareType=3, expireDate="2001-01-01")
    refused(400, path="/plans", shareType=3, expireDate="soon")
    assert ann.site.ocs("POST", API, {"path": "/plans", "shareType": 3}).status == 404, "only one's own"
    demo.share("/plans", 0, shareWith="ann", password="unused")
    refused(403, path="/plans", shareType=0, shareWith="ann")
    monkeypatch.setattr(shares, "MOST", 1)
    refused(403, path="/plans", shareType=3)
    for id_ in ("9999", "x"):
        assert demo.site.ocs("GET", f"{API}/{id_}").status == 404
        assert demo.site.ocs("DELETE", f"{API}/{id_}").status == 404
    assert demo.site.ocs("GET", f"{API}?path=/own.txt&subfiles=true").status == 400


def basic(secret):
    return {"Authorization": "Basic " + base64.b64encode(f"anonymous:{secret}".encode()).decode()}


def test_a_link_to_a_folder(site, demo):
    made = demo.share("/plans", 3, label="for all", note="<b>Read</b> this")
    token = made["token"]
    assert made["url"].endswith(f"/s/{token}")
    stranger, dav = Site(site.url), f"/public.php/dav/files/{token}"
    assert stranger("GET", f"{dav}/a.txt").body == b"first"
    assert set(seen(stranger("PROPFIND", f"{dav}/", ASK, {"Depth": "1"}))) == {f"{dav}/", f"{dav}/a.txt"}
    for method, path in (("PUT", "/a.txt"), ("DELETE", "/a.txt"), ("MKCOL", "/x"), ("GET", "/../own.txt"), ("PATCH", "")):
        assert stranger(method, dav + path).status in {400, 403, 404}
    page = Browser(stranger).open(f"/s/{token}")
    assert "plans, shared by demo" in page.text
    assert "&lt;b&gt;Read&lt;/b&gt; this" in page.text
    answer = stranger("GET", f"/index.php/s/{token}/a.txt?download")
    assert answer.body == b"first"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert stranger("GET", f"/s/{token}/none").status == 404
    demo.site.ocs("PUT", f"{API}/{made['id']}", {"permissions": READ | UPDATE | CREATE | DELETE})
    assert stranger("PUT", f"{dav}/b.txt", b"of a stranger").status == 201
    assert demo("GET", "/plans/b.txt").body == b"of a stranger"
    assert demo.site.ocs("DELETE", f"{API}/{made['id']}").status == 200
    assert stranger("GET", f"{dav}/a.txt").status == 404
    assert stranger("GET", f"/s/{token}").status == 404


def test_a_link_with_a_password(site, demo):
    made = demo.share("/own.txt", 3, password="open sesame", permissions=31)
    assert made["permissions"] == READ
    assert "sesame" not in str(made)
    dav, stranger = f"/public.php/dav/files/{made['token']}", Site(site.url)
    assert stranger("GET", dav).status == 401
    assert stranger("GET", dav, headers={"Authorization": "Basic ???"}).status == 401
    assert stranger("GET", dav, headers=basic("no")).status == 401
    assert stranger("GET", dav, headers=basic("open sesame")).body == b"own"
    browser = Browser(stranger, "fr")
    page = browser.open(f"/s/{made['token']}")
    assert "own.txt" not in page.text
    assert browser.open(f"/s/{made['token']}?download").headers["content-type"].startswith("text/html")
    assert browser.send(page, f"/s/{made['token']}", password="no").status == 403
    assert "Télécharger own.txt" in browser.send(page, f"/s/{made['token']}", password="open sesame").text
    assert browser.open(f"/s/{made['token']}?download").body == b"own"
    demo.site.ocs("PUT", f"{API}/{made['id']}", {"password": "another"})
    assert "Télécharger" not in browser.open(f"/s/{made['token']}").text
    demo.site.ocs("PUT", f"{API}/{made['id']}", {"password": ""})
    assert stranger("GET", dav).body == b"own"


def test_a_link_to_put_files_only(site, demo):
    made = demo.share("/plans", 3, permissions=CREATE, expireDate="2999-01-01")
    assert made["expiration"] == "2999-01-01 00:00:00"
    dav, stranger = f"/public.php/dav/files/{made['token']}", Site(site.url)
    assert stranger("PUT", f"{dav}/new.txt", b"new").status == 201
    assert stranger("PUT", f"{dav}/new.txt", b"newer").status == 403
    assert stranger("GET", f"{dav}/new.txt").status == 403
    assert stranger("PROPFIND", f"{dav}/", ASK).status == 403
    page = Browser(stranger).open(f"/s/{made['token']}")
    assert "a.txt" not in page.text
    assert stranger("GET", f"/s/{made['token']}/a.txt?download").status == 403


def test_tokens_are_not_guessed(site, demo):
    stranger = Site(site.url)
    found = [stranger("GET", f"/public.php/dav/files/{'x' * 15}/a").status for _ in range(14)]
    assert found[0] == 404
    assert 429 in found


def test_files_are_found_by_name(demo):
    assert demo("MKCOL", "/plans/100%_sure").status == 201
    assert [one["id"] for one in demo.site.ocs("GET", "search/providers").data] == ["files"]

    def found(query):
        return demo.site.ocs("GET", f"search/providers/files/search?{query}").data

    assert [one["attributes"]["path"] for one in found("term=A.TXT")["entries"]] == ["/plans/a.txt"]
    assert [one["title"] for one in found("term=%25_")["entries"]] == ["100%_sure"]
    first = found("term=a&limit=1")
    rest = found(f"term=a&limit=5&cursor={first['cursor']}")
    assert {one["title"] for one in [*first["entries"], *rest["entries"]]} == {"plans", "a.txt"}
    assert found("term=")["entries"] == []
    assert demo.site.ocs("GET", "search/providers/mail/search?term=a").status == 404


def test_shares_of_who_has_left_end(cloud, demo, ann):
    demo.share("/plans", 0, shareWith="ann")
    assert ann("GET", "/plans/a.txt").status == 200
    cloud.admin.delete(f"/identity/v3/users/{cloud.id_of('users', 'demo')}")
    until(lambda: ann("GET", "/plans/a.txt").status == 404)
    assert cloud.database.run(leaving.forget) == 1
    assert ann.site.ocs("GET", f"{API}?shared_with_me=true").data == []
