"""What Swift does beyond its plain requests, through a real server: expiry, archives that mean harm, domains, limits, damage."""

import asyncio
import gzip
import hmac
import io
import json
import re
import socket
import tarfile
import time
import zlib

import msgspec
import pytest

from andromede.drivers.blob.fake import Fake
from andromede.services.object.swift import expired
from tests.swift import swift


@pytest.fixture(scope="module")
def shared():
    with swift() as client:
        yield client


@pytest.fixture
def client(shared, request):
    shared.c = "/" + re.sub(r"\W", "-", request.node.name, flags=re.ASCII)[:200]
    assert shared("PUT", shared.c).status == 201
    return shared


def archive(*members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def member(name, **values):
    info = tarfile.TarInfo(name)
    for key, value in values.items():
        setattr(info, key, value)
    return info


def test_what_expired_is_gone_at_once_and_removed_later(client):
    soon = int(time.time()) + 1
    assert client("PUT", f"{client.c}/o", b"x", X_Delete_At=str(soon)).status == 201
    client("PUT", f"{client.c}/stays", b"x")
    client("PUT", f"{client.c}/later", b"x", X_Delete_After="1000")
    assert client("GET", f"{client.c}/o").headers["x-delete-at"] == str(soon)
    time.sleep(max(0, soon - time.time()) + 0.05)
    for method, status in (("GET", 404), ("HEAD", 404), ("POST", 404), ("DELETE", 404)):
        client("PUT", f"{client.c}/p", b"x")
        assert client(method, f"{client.c}/o").status == status
        if method == "DELETE":
            break
    client("PUT", f"{client.c}/q", b"x", X_Delete_After="1")
    time.sleep(1.1)
    assert client("COPY", f"{client.c}/q", Destination=f"{client.c[1:]}/r").status == 404
    assert asyncio.run(expired(client.objects, time.time())) >= 1
    assert client("GET", client.c).body.decode().split() == ["later", "p", "stays"]
    assert asyncio.run(expired(client.objects, time.time())) == 0
    client("POST", f"{client.c}/later", X_Object_Meta_A="no longer expires")
    assert asyncio.run(expired(client.objects, time.time() + 2000)) == 0


def test_archives_hold_only_plain_files(client):
    data = archive(
        (member("a/plain"), b"1"), (member("../../up"), b"2"), (member("/root/abs"), b"3"),
        (member("a/link", type=tarfile.SYMTYPE, linkname="/etc/passwd"), b""), (member("a/hard", type=tarfile.LNKTYPE, linkname="a/plain"), b""),
        (member("a/dev", type=tarfile.CHRTYPE), b""), (member("dir", type=tarfile.DIRTYPE), b""),
        (member("a/x", pax_headers={"SCHILY.xattr.user.mime_type": "text/own", "SCHILY.xattr.user.meta.color": "red"}), b"4"),
    )  # fmt: skip
    answer = client("PUT", f"{client.c}?extract-archive=tar", data, Accept="application/json")
    assert answer.json["Number Files Created"] == 4
    assert client("GET", client.c).body.decode().split() == ["../../up", "a/plain", "a/x", "root/abs"]
    own = client("GET", f"{client.c}/a/x")
    assert (own.headers["content-type"], own.headers["x-object-meta-color"], own.body) == ("text/own", "red", b"4")


def test_an_archive_that_unpacks_to_too_much_is_refused(client, monkeypatch):
    from andromede.services.object.swift import tar

    monkeypatch.setattr(tar, "FLOOR", 1 << 20)
    bomb = gzip.compress(archive((member("a/zeros"), bytes(64 << 20))), 9)
    answer = client("PUT", f"{client.c}?extract-archive=tar.gz", bomb, Accept="application/json")
    assert answer.json["Response Status"] == "400 Bad Request"
    assert "too much" in answer.json["Response Body"]
    assert client("GET", client.c).status == 204


@pytest.mark.parametrize(
    "data", [b"", b"x" * 2000, gzip.compress(b"x" * 2000), zlib.compress(b"x"), b"\0" * 511, gzip.compress(archive((member("a/b"), b"1")))[:-20]]
)
def test_what_is_no_archive(client, data):
    for form in ("tar", "tar.gz", "tar.bz2"):
        answer = client("PUT", f"{client.c}?extract-archive={form}", data, Accept="application/json")
        assert answer.json["Response Status"] == "400 Bad Request", form


def test_damage_is_an_error_before_the_first_byte():
    store = Fake(inline=16)
    with swift(store=store) as client:
        client("PUT", "/c")
        client("PUT", "/c/o", b"x" * 100)
        place = client.objects.find("p1", "c")
        store.damage(client.objects.get(place, "o").blobs[0])
        answer = client("GET", "/c/o")
        assert (answer.status, b"x" * 10 in answer.body) == (500, False)


def test_a_full_disk_is_unavailable_and_leaves_nothing():
    store = Fake()
    with swift(store=store) as client:
        client("PUT", "/c")
        store.full = True
        assert client("PUT", "/c/o", b"x").status == 503
        store.full = False
        assert client("GET", "/c").status == 204


def test_hosts_that_are_accounts_and_containers():
    with swift(storage_domain="swift.test") as client:
        client("PUT", "/c")
        client("PUT", "/c/o", b"x")
        assert client("GET", "!/o", Host="c.auth-p1.swift.test").body == b"x"
        assert client("GET", "!/c/o", Host="AUTH_p1.swift.test").body == b"x"
        assert client("GET", "!/", Host="c.auth-p1.swift.test:80").body == b"o\n"
        assert client("GET", "!/", Host="a.c.auth-p1.swift.test").status == 400
        assert client("GET", "/c/o", Host="elsewhere.test").body == b"x"


def test_writes_wait_for_their_turn_and_are_refused_when_it_is_far():
    with swift(writes_per_second=2, longest_wait=0.2) as client:
        answers = [client("PUT", f"/c{number}").status for number in range(8)]
        assert answers[0] == 201
        assert 498 in answers
        assert client("GET", "").status == 200
        assert client("GET", "/info", token="").json["ratelimit"]["account_ratelimit"] == 2


def test_a_store_that_may_only_be_read():
    with swift(read_only=True) as client:
        assert client("PUT", "/c").status == 405
        assert client("GET", "").status in (200, 204)
        assert "read_only" in client("GET", "/info", token="").json


def test_the_admins_part_of_info_is_signed():
    with swift(info_key="k") as client:
        until = int(time.time()) + 60
        sig = hmac.new(b"k", f"GET\n{until}\n/info".encode(), "sha256").hexdigest()
        assert "admin" in client("GET", f"/info?swiftinfo_sig={sig}&swiftinfo_expires={until}", token="").json
        assert client("GET", f"/info?swiftinfo_sig={sig[:-1]}0&swiftinfo_expires={until}", token="").status in (200, 401)
        assert client("GET", f"/info?swiftinfo_sig={sig}&swiftinfo_expires={until + 1}", token="").status == 401
        assert client("GET", f"/info?swiftinfo_sig={sig}&swiftinfo_expires=1", token="").status == 401
    with swift() as client:
        assert client("GET", "/info?swiftinfo_sig=x&swiftinfo_expires=1", token="").status == 403
        assert "admin" not in client("GET", "/info", token="").json


def test_names_in_listings_are_escaped(client):
    name = "%3Cscript%3Ealert(1)%3C%2Fscript%3E%22%27%26.html"
    client("POST", client.c, X_Container_Meta_Web_Listings="true", X_Container_Read=".r:*,.rlistings")
    client("PUT", f"{client.c}/sub%3C/{name}", b"x")
    client("PUT", f"{client.c}/javascript:alert(1)", b"x")
    for path in (f"{client.c}/", f"{client.c}/sub%3C/"):
        page = client("GET", path, token="").body
        assert b"<script>" not in page
        assert b'href="javascript:' not in page
    assert b"<script>" not in client("GET", f"{client.c}?format=xml").body


def test_answers_cannot_be_split(client):
    client("PUT", f"{client.c}/o", b"x")
    until = int(time.time()) + 60
    client("POST", client.c, X_Container_Meta_Temp_URL_Key="k")
    path = f"/v1/AUTH_p1{client.c}/o"
    sig = hmac.new(b"k", f"GET\n{until}\n{path}".encode(), "sha256").hexdigest()
    answer = client("GET", f"{path}?temp_url_sig={sig}&temp_url_expires={until}&filename=a%0d%0aX-Evil:%201", token="")
    assert answer.status == 200
    assert "x-evil" not in answer.headers


def test_manifests_within_manifests_end(client):
    client("PUT", f"{client.c}/0", b"x")
    for depth in range(1, 13):
        made = client("PUT", f"{client.c}/{depth}?multipart-manifest=put", json.dumps([{"path": f"{client.c}/{depth - 1}"}]).encode())
        assert made.status == 201
    assert client("GET", f"{client.c}/10").body == b"x"
    assert client("GET", f"{client.c}/12").status == 409
    many = json.dumps([{"path": f"{client.c}/0"}] * 1001).encode()
    assert client("PUT", f"{client.c}/many?multipart-manifest=put", many).status == 413


def test_a_segment_that_changed_makes_the_object_unreadable(client):
    client("PUT", f"{client.c}/s", b"one")
    client("PUT", f"{client.c}/o?multipart-manifest=put", json.dumps([{"path": f"{client.c}/s"}]).encode())
    client("PUT", f"{client.c}/s", b"two")
    assert client("GET", f"{client.c}/o").status == 409


def test_links_in_a_circle_end(client):
    client("PUT", f"{client.c}/a", X_Symlink_Target=f"{client.c[1:]}/b")
    client("PUT", f"{client.c}/b", X_Symlink_Target=f"{client.c[1:]}/a")
    assert client("GET", f"{client.c}/a").status == 409


def test_bodies_in_chunks_and_limits():
    with swift(max_file_size=1000) as client:
        client("PUT", "/c")

        def pieces(count):
            for _ in range(count):
                yield b"x" * 100

        assert client("PUT", "/c/o", pieces(10)).status == 201
        assert client("HEAD", "/c/o").headers["content-length"] == "1000"
        assert client("PUT", "/c/o", pieces(11)).status == 413
        assert client("PUT", "/c/o", b"x" * 1001).status == 413
        assert client("GET", "/c/o").body == b"x" * 1000


def test_versions_come_back_and_expire(client):
    client("POST", client.c, X_Versions_Enabled="true")
    first = client("PUT", f"{client.c}/o", b"1").headers["x-object-version-id"]
    second = client("PUT", f"{client.c}/o", b"22").headers["x-object-version-id"]
    assert client("HEAD", client.c).headers["x-container-bytes-used"] == "3"
    marker = client("DELETE", f"{client.c}/o").headers["x-object-version-id"]
    assert client("GET", f"{client.c}/o").status == 404
    assert client("DELETE", client.c).status == 409
    assert client("DELETE", f"{client.c}/o?version-id={marker}").status == 204
    assert client("GET", f"{client.c}/o").body == b"22"
    assert client("PUT", f"{client.c}/o?version-id={first}").status == 201
    assert client("GET", f"{client.c}/o").body == b"1"
    lines = client("GET", f"{client.c}?versions&format=json").json
    assert [(line["version_id"], line["is_latest"]) for line in lines] == [(first, True), (second, False)]
    client("PUT", f"{client.c}/o", b"333", X_Delete_After="1")
    time.sleep(1.1)
    asyncio.run(expired(client.objects, time.time()))
    assert len(client("GET", f"{client.c}?versions").json) == 4
    assert client("GET", client.c).status == 204


def test_what_comes_in_bodies_is_no_header(client):
    evil = {"SCHILY.xattr.user.mime_type": "a\nX-Evil: 1"}
    for headers in (evil, {"SCHILY.xattr.user.meta.a": "b\r\nX-Evil: 1"}, {"SCHILY.xattr.user.meta.a:b": "c"}):
        data = archive((member("a/x", pax_headers=headers), b"4"))
        answer = client("PUT", f"{client.c}?extract-archive=tar", data, Accept="application/json")
        assert answer.json["Number Files Created"] == 0
    assert client("GET", "/v1/AUTH_x%0d%0aX-Evil:%201%22", token="").status == 401


def test_many_ranges_cost_little(client):
    client("PUT", f"{client.c}/o", b"x" * 100)
    began = time.monotonic()
    answer = client("GET", f"{client.c}/o", Range="bytes=" + ",".join(["0-1"] * 5000))
    assert answer.status in (400, 416, 431)
    assert client("GET", f"{client.c}/o", Range="bytes=" + ",".join(f"{n}-{n}" for n in range(50))).status == 206
    assert time.monotonic() - began < 2


def test_what_s3_locks_stays(client):
    client("POST", client.c, X_Versions_Enabled="true")
    version = client("PUT", f"{client.c}/o", b"1").headers["x-object-version-id"]
    objects = client.objects
    place = objects.find("p1", client.c[1:])

    def lock(until):
        held = {"lock": {"mode": "GOVERNANCE", "until": until}}
        asyncio.run(objects.change_object(place, "o", lambda thing: msgspec.structs.replace(thing, s3=held), version))

    lock(int(time.time()) + 60)
    asyncio.run(objects.change(place, lambda container: msgspec.structs.replace(container, s3={"lock": {"x": 1}})))
    assert client("DELETE", f"{client.c}/o?version-id={version}").status == 403
    assert client("POST", f"{client.c}?bulk-delete", f"{client.c}/none", Content_Type="text/plain").status == 200
    assert client("POST", client.c, X_Versions_Enabled="false").status == 409
    assert client("DELETE", f"{client.c}/o").status == 204
    assert client("GET", f"{client.c}/o?version-id={version}").body == b"1"
    lock(1)
    assert client("DELETE", f"{client.c}/o?version-id={version}").status == 204


def test_who_waits_to_be_told_to_send_an_archive_is_told(client):
    data = archive((member("a/x"), b"1"), (member("a/y"), b"2"))
    with socket.create_connection(tuple(client.host.split(":")), timeout=5) as line:
        head = f"PUT /v1/AUTH_p1{client.c}?extract-archive=tar HTTP/1.1\r\nHost: x\r\nX-Auth-Token: member\r\nExpect: 100-continue\r\n"
        line.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode())
        assert line.recv(1000).startswith(b"HTTP/1.1 100")
        line.sendall(data)
        assert b"Number Files Created: 2" in line.recv(10_000)


def test_long_work_gives_signs_of_life():
    with swift(heartbeat=0.001) as client:
        client("PUT", "/c")
        for number in range(20):
            client("PUT", f"/c/{number}", b"x")
        names = "\n".join(f"c/{number}" for number in range(20))
        answer = client("POST", "?bulk-delete", names, Content_Type="text/plain", Accept="application/json")
        assert answer.body.startswith(b" ")
        assert json.loads(answer.body)["Number Deleted"] == 20
