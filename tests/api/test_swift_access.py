"""Who may do what in Swift: every method for everybody, and what lists, signatures and settings change of that."""

import hmac
import time

import pytest

from tests.swift import swift

WHO = ("", "stranger", "bare", "reader", "member", "admin")
READ, WRITTEN = {"": 401, "stranger": 403, "bare": 403}, {"": 401, "stranger": 403, "bare": 403, "reader": 403}
TABLE = [
    ("GET", "", READ), ("HEAD", "", READ), ("POST", "", WRITTEN), ("PUT", "", WRITTEN), ("GET", "/c", READ), ("HEAD", "/c", READ),
    ("POST", "/c", WRITTEN), ("PUT", "/c", WRITTEN), ("PUT", "/new", WRITTEN), ("GET", "/c/o", READ), ("HEAD", "/c/o", READ),
    ("PUT", "/c/o", WRITTEN),
    ("POST", "/c/o", WRITTEN), ("COPY", "/c/o", WRITTEN), ("DELETE", "/c/o", WRITTEN), ("DELETE", "/c", WRITTEN),
    ("PUT", "/c/o?multipart-manifest=put", WRITTEN), ("DELETE", "/c/o?multipart-manifest=delete", WRITTEN), ("GET", "/c/none", READ),
    ("GET", "/none", READ), ("GET", "/none/o", READ), ("PUT", "/none/o", WRITTEN), ("DELETE", "/none", WRITTEN), ("GET", "/c?versions", READ),
]  # fmt: skip


@pytest.fixture(scope="module")
def shared():
    with swift() as client:
        yield client


@pytest.fixture
def client(shared):
    for container in ("c", "d", "new"):
        listing = shared("GET", f"/{container}", token="admin")
        for name in listing.body.decode().splitlines() if listing.status == 200 else ():
            shared("DELETE", f"/{container}/{name}", token="admin")
        shared("DELETE", f"/{container}", token="admin")
    assert shared("PUT", "/c").status == 201
    assert shared("PUT", "/c/o", b"content").status == 201
    shared("POST", "", token="admin", X_Remove_Account_Access_Control="x", X_Account_Access_Control="", X_Account_Project_Read_Only="")
    return shared


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize(("method", "path", "refusals"), TABLE)
def test_every_method_for_everybody(client, who, method, path, refusals):
    body = b'[{"path": "/c/o"}]' if "put" in path else b"x" if method == "PUT" and path.count("/") == 2 else None
    headers = {"Destination": "c/p"} if method == "COPY" else {}
    answer = client(method, path, body, token=who, **headers)
    if who in refusals:
        assert answer.status == refusals[who]
        assert b"content" not in answer.body
    else:
        assert answer.status not in (401, 403), answer


def test_only_an_admin_forgets_an_account(client):
    assert [client("DELETE", "", token=who).status for who in ("", "stranger", "reader", "member")] == [401, 403, 403, 403]
    assert client("DELETE", "", token="admin").status == 409


@pytest.mark.parametrize(
    ("read", "who", "named", "listed"),
    [
        (".r:*", "", 200, 401), (".r:*,.rlistings", "", 200, 200), (".r:*,.rlistings", "stranger", 200, 200),
        ("p2:id-stranger", "stranger", 200, 200), ("p2:stranger", "stranger", 200, 200), ("p2-name:*", "stranger", 200, 200),
        ("*:stranger", "stranger", 200, 200), ("*:*", "stranger", 200, 200),
        ("*:*", "", 401, 401), ("p2:other", "stranger", 403, 403), ("auditor", "bare", 200, 200), ("auditor", "stranger", 403, 403),
        (".r:example.com", "", 401, 401), (".r:*,.r:-.evil.com", "", 200, 401), ("p2:*", "bare", 403, 403),
    ],
)  # fmt: skip
def test_read_lists(client, read, who, named, listed):
    assert client("POST", "/c", X_Container_Read=read).status == 204
    assert client("GET", "/c/o", token=who).status == named
    answer = client("GET", "/c", token=who)
    assert answer.status == listed
    assert "x-container-read" not in answer.headers
    assert client("PUT", "/c/o", b"x", token=who).status in (401, 403)
    assert client("HEAD", "/c").headers["x-container-read"] == read


def test_pages_that_refer(client):
    client("POST", "/c", X_Container_Read=".r:.example.com,.r:-thief.example.com")
    pages = {"http://a.example.com/x": 200, "http://thief.example.com/": 401, "http://example.org": 401, "http://[": 401, "": 401}
    for page, status in pages.items():
        assert client("GET", "/c/o", token="", Referer=page).status == status, page


def test_write_lists(client):
    client("POST", "/c", X_Container_Write="p2:stranger")
    assert client("PUT", "/c/n", b"x", token="stranger").status == 201
    assert client("POST", "/c/n", token="stranger", X_Object_Meta_A="b").status == 202
    assert client("GET", "/c/n", token="stranger").status == 403
    assert client("DELETE", "/c/n", token="stranger").status == 204
    assert client("POST", "/c", token="stranger", X_Container_Read=".r:*").status == 403
    assert client("DELETE", "/c", token="stranger").status == 403


def test_lists_of_accounts(client):
    def grant(text):
        return client("POST", "", X_Account_Access_Control=text).status

    assert grant('{"read-only": ["p2:stranger"]}') == 204
    assert client("GET", "/c/o", token="stranger").status == 200
    assert "x-account-access-control" not in client("HEAD", "", token="stranger").headers
    assert client("PUT", "/c/o", b"x", token="stranger").status == 403
    assert grant('{"read-write": ["id-stranger"]}') == 204
    assert client("PUT", "/c/o", b"x", token="stranger").status == 201
    assert client("PUT", "/d", token="stranger").status == 201
    assert client("POST", "", token="stranger", X_Account_Meta_A="b").status == 403
    assert grant('{"admin": ["p2:*"]}') == 204
    assert client("POST", "", token="stranger", X_Account_Meta_A="b").status == 204
    assert client("GET", "/c/o", token="bare").status == 403
    for bad in ("nonsense", "[]", '{"read": []}', '{"admin": "x"}'):
        assert grant(bad) == 400


def test_access_rules_of_a_credential(client):
    client.people.rules = (("object-store", "GET", "/v1/*/c/**"),)
    try:
        assert client("GET", "/c/o", token="ruled").status == 200
        assert client("PUT", "/c/o", b"x", token="ruled").status == 403
        assert client("GET", "/d/o", token="ruled").status == 403
    finally:
        client.people.rules = ()


def test_an_account_that_may_only_be_read(client):
    assert client("POST", "", X_Account_Project_Read_Only="true").status == 204
    assert client("PUT", "/c/o", b"x").status == 201, "members do not set it"
    assert client("POST", "", token="admin", X_Account_Project_Read_Only="true").status == 204
    assert client("PUT", "/c/o", b"x").status == 405
    assert client("DELETE", "/c/o").status == 405
    assert client("GET", "/c/o").status == 200
    assert client("COPY", "/v1/AUTH_p2/any/o", token="admin", Destination="c/o", Destination_Account="AUTH_p1").status in (404, 405)
    assert client("POST", "", token="admin", X_Account_Project_Read_Only="false").status == 204
    assert client("PUT", "/c/o", b"x").status == 201


def test_a_copy_needs_both_ends(client):
    client("PUT", "/v1/AUTH_p2/theirs", token="stranger")
    client("PUT", "/v1/AUTH_p2/theirs/o", b"secret", token="stranger")
    taken = {"X_Copy_From": "/theirs/o", "X_Copy_From_Account": "AUTH_p2"}
    assert client("PUT", "/c/stolen", **taken).status == 403
    assert client("COPY", "/c/o", Destination="theirs/x", Destination_Account="AUTH_p2").status == 403
    client("POST", "/v1/AUTH_p2/theirs", token="stranger", X_Container_Read="p1:*")
    assert client("PUT", "/c/given", **taken).status == 201
    assert client("GET", "/c/given").body == b"secret"


def test_links_and_manifests_do_not_lead_where_one_may_not_go(client):
    client("PUT", "/d")
    client("PUT", "/d/secret", b"secret")
    client("PUT", "/c/link", X_Symlink_Target="d/secret")
    client("PUT", "/c/dlo", X_Object_Manifest="d/s")
    client("PUT", "/c/slo?multipart-manifest=put", b'[{"path": "/d/secret"}]')
    client("POST", "/c", X_Container_Read=".r:*")
    assert client("GET", "/c/o", token="").status == 200
    assert [client("GET", f"/c/{name}", token="").status for name in ("link", "dlo", "slo")] == [401, 401, 409]
    client("PUT", "/c/across", X_Symlink_Target="d/secret", X_Symlink_Target_Account="AUTH_p1")
    client("PUT", "/v1/AUTH_p2/mine", token="stranger")
    client("PUT", "/v1/AUTH_p2/mine/l", token="stranger", X_Symlink_Target="d/secret", X_Symlink_Target_Account="AUTH_p1")
    assert client("GET", "/v1/AUTH_p2/mine/l", token="stranger").status == 403


def test_a_signed_url_reaches_no_further_than_its_key(client):
    client("PUT", "/d")
    client("PUT", "/d/secret", b"secret")
    client("POST", "/c", X_Container_Meta_Temp_URL_Key="k")
    until = int(time.time()) + 60
    sig = hmac.new(b"k", f"PUT\n{until}\n/v1/AUTH_p1/c/n".encode(), "sha256").hexdigest()
    url = f"/c/n?temp_url_sig={sig}&temp_url_expires={until}"
    assert client("PUT", url, b"x", token="").status == 201
    assert client("PUT", url, b"", token="", X_Copy_From="/d/secret").status == 401
    assert client("PUT", url, b"", token="", X_Copy_From="/c/o", X_Copy_From_Account="AUTH_p2").status == 401
    assert client("PUT", url + "&multipart-manifest=put", b'[{"path": "/d/secret"}]', token="").status == 201
    assert client("GET", "/c/n").body == b'[{"path": "/d/secret"}]'
    assert client("PUT", url.replace("/c/n", "/c/m"), b"x", token="").status == 401
    assert client("GET", url, token="").status == 401
    sha1 = hmac.new(b"k", f"GET\n{until}\n/v1/AUTH_p1/c/n".encode(), "sha1").hexdigest()
    assert client("GET", f"/c/n?temp_url_sig={sha1}&temp_url_expires={until}", token="").status == 401
