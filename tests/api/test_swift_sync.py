"""Container sync between accounts and clusters, and what must not come through it; `crossdomain.xml`."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta

import pytest

from andromede.services.object import tasks
from andromede.services.object.swift import settings, sync, synchronize
from tests.swift import swift

KEY = "the key of both containers"
_numbers = itertools.count()


@pytest.fixture(scope="module")
def face():
    clusters: dict = {}
    realms = {"PAIR": settings.Realm(("the realm's key", "its older key"), clusters), "EMPTY": settings.Realm(("x",))}
    with swift(realms=realms, sync_hosts=("127.0.0.1",), crossdomain='<allow-access-from domain="*" secure="false" />') as made:
        clusters["HERE"] = f"{made.url}/v1"
        clusters["DOWN"] = "http://127.0.0.1:9/v1"
        made.settings = settings.Settings(realms=realms, sync_hosts=("127.0.0.1",))
        yield made


@pytest.fixture
def pair(face):
    """Two containers, of p1 and of p2, by their paths."""
    number = next(_numbers)
    one, other = f"/v1/AUTH_p1/one-{number}", f"/v1/AUTH_p2/other-{number}"
    assert face("PUT", one).status == 201
    assert face("PUT", other, token="stranger").status == 201
    yield one, other
    for path, token in ((one, "member"), (other, "stranger")):
        face("POST", path, token=token, X_Container_Sync_To="", X_Container_Sync_Key="")
    for due in tasks.due(face.objects.store, tasks.SYNC, 4e9, 1000):
        asyncio.run(tasks.done(face.objects.store, due))


def tied(face, place, to, token="member", key=KEY):
    _v1, account, container = to[1:].split("/", 2)
    return face("POST", place, token=token, X_Container_Sync_To=f"//pair/here/{account}/{container}", X_Container_Sync_Key=key).status


def run(face):
    return asyncio.run(synchronize.synchronize(face.objects, face.settings))


def settled(face):
    """Run until nothing is left to do."""
    for _ in range(20):
        run(face)
        if not tasks.waiting(face.objects.store, tasks.SYNC):
            return
    raise AssertionError("it does not end")


def listing(face, path, token):
    """What a container lists; a link leads somewhere in its own account."""
    lines = face("GET", f"{path}?format=json", token=token).json
    return [{name: value for name, value in line.items() if name != "symlink_path"} for line in lines]


def test_both_ways(face, pair):
    one, other = pair
    face("PUT", f"{one}/before", b"was there", X_Object_Meta_Name="\u00c3\u00a9", Content_Type="text/x", Content_Disposition="inline")
    assert tied(face, one, other) == 204
    assert tied(face, other, one, "stranger") == 204
    face("PUT", f"{one}/a%20b/%C3%A9", b"from one")
    face("PUT", f"{other}/theirs", b"from the other" * 100_000, token="stranger")
    face("PUT", f"{one}/link", b"", X_Symlink_Target="somewhere/else")
    face("PUT", f"{one}/dlo", b"", X_Object_Manifest="somewhere/prefix")
    settled(face)
    assert listing(face, one, "member") == listing(face, other, "stranger")
    assert [each["name"] for each in listing(face, one, "member")] == ["a b/\u00e9", "before", "dlo", "link", "theirs"]
    got = face("GET", f"{other}/before", token="stranger")
    assert (got.body, got.headers["x-object-meta-name"], got.headers["content-disposition"]) == (b"was there", "\u00c3\u00a9", "inline")
    assert face("GET", f"{one}/theirs").body == b"from the other" * 100_000
    assert face("HEAD", f"{other}/link?symlink=get", token="stranger").headers["x-symlink-target"] == "somewhere/else"
    assert face("POST", f"{other}/before", b"", token="stranger", X_Object_Meta_Name="new").status == 202
    face("DELETE", f"{one}/theirs")
    settled(face)
    assert face("HEAD", f"{one}/before").headers["x-object-meta-name"] == "new"
    assert face("GET", f"{other}/theirs", token="stranger").status == 404
    assert listing(face, one, "member") == listing(face, other, "stranger")
    assert face("POST", one, X_Container_Sync_To="", X_Container_Sync_Key="").status == 204
    face("PUT", f"{one}/alone", b"x")
    assert tasks.waiting(face.objects.store, tasks.SYNC) == 0


def test_large_objects_go_whole(face, pair):
    one, other = pair
    for name in ("s1", "s2"):
        face("PUT", f"{one}-segments", b"")
        face("PUT", f"{one}-segments/{name}", name.encode() * 50)
    container = one.rpartition("/")[2]
    manifest = f'[{{"path": "/{container}-segments/s1"}}, {{"path": "/{container}-segments/s2"}}]'.encode()
    assert face("PUT", f"{one}/slo?multipart-manifest=put", manifest).status == 201
    tied(face, one, other)
    face("POST", other, token="stranger", X_Container_Sync_Key=KEY)
    settled(face)
    assert face("GET", f"{other}/slo", token="stranger").body == b"s1" * 50 + b"s2" * 50


def test_many_objects_that_are_there_already(face, pair, monkeypatch):
    one, other = pair
    monkeypatch.setattr(synchronize, "_STEP", 3)
    for number in range(7):
        face("PUT", f"{one}/{number}", b"x")
    face("POST", other, token="stranger", X_Container_Sync_Key=KEY)
    tied(face, one, other)
    settled(face)
    assert [each["name"] for each in listing(face, other, "stranger")] == [str(number) for number in range(7)]


def sent(face, method, path, moment, body=b"", *, realm="PAIR", key=KEY, realm_key="the realm's key", token=None, **headers):
    auth = f"{realm} nonce {sync.signature(realm_key, key, method, path, moment, 'nonce')}"
    return face(method, path, body, token=token, X_Container_Sync_Auth=auth, X_Timestamp=moment, **headers)


def test_what_comes_has_its_own_moment(face, pair):
    one, _other = pair
    tied(face, one, one)
    assert sent(face, "PUT", f"{one}/k", "1000000000.00000", b"old").status == 201
    assert face("HEAD", f"{one}/k").headers["x-timestamp"] == "1000000000.00000"
    assert sent(face, "PUT", f"{one}/k", "1000000000.00000", b"again").status == 202
    assert sent(face, "PUT", f"{one}/k", "0999999999.00000", b"older").status == 202
    assert sent(face, "PUT", f"{one}/k", "1000000001.00000", b"new", realm_key="its older key").status == 201
    assert face("GET", f"{one}/k").body == b"new"
    assert sent(face, "DELETE", f"{one}/k", "1000000000.50000").status == 409
    assert sent(face, "DELETE", f"{one}/k", "1000000002.00000").status == 204
    assert sent(face, "DELETE", f"{one}/k", "1000000002.00000").status == 404
    assert sent(face, "PUT", f"{one}/k", "1000000003.00000", b"x", ETag="0" * 32).status == 422
    assert sent(face, "PUT", f"{one}/k", "1000000003.00000", b"[]", X_Static_Large_Object="True").status == 501
    assert face("PUT", f"{one}/by-key", b"x", token=None, X_Container_Sync_Key=KEY, X_Timestamp="1000000000.00000").status == 201


@pytest.mark.parametrize(
    "change",
    [
        {"realm": "NOBODY"}, {"key": "another"}, {"realm_key": "another"}, {"moment": "x"}, {"moment": "1e9"}, {"path": "/v1/AUTH_p2/other/k"},
    ],
)  # fmt: skip
def test_what_is_not_proven(face, pair, change):
    one, _other = pair
    tied(face, one, one)
    given = {"path": f"{one}/k", "moment": "1000000000.00000"} | change
    assert sent(face, "PUT", given.pop("path"), given.pop("moment"), b"x", **given).status in {400, 401, 404}
    assert face("GET", f"{one}/k").status == 404


def test_what_a_proof_is_not_good_for(face, pair):
    one, other = pair
    tied(face, one, one)
    face("PUT", f"{one}/k", b"x")
    assert sent(face, "GET", f"{one}/k", "1000000000.00000").status in {401, 405}
    assert sent(face, "POST", f"{one}/k", "1000000000.00000").status == 401
    assert sent(face, "PUT", one, "1000000000.00000").status == 401
    assert sent(face, "PUT", f"{other}/k", "1000000000.00000").status == 401
    assert face("PUT", f"{one}/k", b"y", token=None, X_Container_Sync_Key="another", X_Timestamp="2000000000.00000").status == 401
    assert face("PUT", f"{other}/k", b"y", token=None, X_Container_Sync_Key="", X_Timestamp="2000000000.00000").status == 401
    for name in ("X-Container-Sync-Auth", "X-Container-Sync-Key"):
        assert face("GET", f"{one}/k", token="stranger", **{name.replace("-", "_"): "a b c"}).status in {401, 403}
    face("POST", one, X_Container_Read="p2:*")
    seen = face("HEAD", one, token="stranger").headers
    assert not {"x-container-sync-to", "x-container-sync-key"} & seen.keys()
    assert face("HEAD", one).headers["x-container-sync-key"] == KEY


@pytest.mark.parametrize(
    "text",
    [
        "//pair/here/AUTH_p1", "//nobody/here/AUTH_p1/c", "//pair/nowhere/AUTH_p1/c", "ftp://127.0.0.1/v1/a/c", "http://127.0.0.1",
        "http://127.0.0.1/v1/a/c?x", "http://10.0.0.1/v1/a/c", "http://example.org/v1/a/c", "http://x@127.0.0.1/v1/a/c", "http://[/v1", "nonsense",
    ],
)  # fmt: skip
def test_targets_that_cannot_be(face, pair, text):
    assert face("POST", pair[0], X_Container_Sync_To=text).status == 400


def test_not_with_versions(face, pair):
    one, other = pair
    assert face("POST", one, X_Versions_Enabled="true").status == 204
    assert tied(face, one, other) == 400
    assert tied(face, other, one, "stranger") == 204
    assert face("POST", other, token="stranger", X_Versions_Enabled="true").status == 400


def test_the_other_side_is_down(face, pair, monkeypatch):
    one, _other = pair
    face("POST", one, X_Container_Sync_To="//PAIR/DOWN/AUTH_p1/c", X_Container_Sync_Key=KEY)
    face("PUT", f"{one}/k", b"x")
    face("DELETE", f"{one}/k")
    assert run(face) == 0
    assert tasks.waiting(face.objects.store, tasks.SYNC) == 2
    at = datetime.now(UTC) + timedelta(hours=80)
    monkeypatch.setattr(synchronize, "now", lambda: at)
    assert run(face) == 0
    assert tasks.waiting(face.objects.store, tasks.SYNC) == 0


def test_by_address(face, pair):
    one, other = pair
    face("POST", other, token="stranger", X_Container_Sync_Key=KEY)
    assert face("POST", one, X_Container_Sync_To=f"{face.url}{other}", X_Container_Sync_Key=KEY).status == 204
    face("PUT", f"{one}/k", b"x")
    settled(face)
    assert face("GET", f"{other}/k", token="stranger").body == b"x"


def test_what_info_and_crossdomain_tell(face):
    told = face("GET", "/info").json
    assert told["container_sync"] == {"realms": {"PAIR": {"clusters": {"HERE": {}, "DOWN": {}}}}}
    assert told["crossdomain"] == {}
    got = face("GET", "!/crossdomain.xml", token=None)
    assert (got.status, got.headers["content-type"]) == (200, "application/xml; charset=UTF-8")
    assert b'<allow-access-from domain="*" secure="false" />' in got.body
