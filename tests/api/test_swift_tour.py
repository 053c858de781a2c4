"""Swift with python-swiftclient, as people use it, and with tokens of a real Identity; and bodies that are never held whole."""

import asyncio
import hashlib
import os
import time
import tracemalloc

import pytest

from andromede.drivers.blob import Blob
from andromede.drivers.blob.fake import Fake
from andromede.http.plain import Headers, Request, serve
from andromede.services.object.service import Objects
from andromede.services.object.swift import Settings, Swift
from tests.objects import callers, served
from tests.swift import People

swiftclient = pytest.importorskip("swiftclient")
MIB = 1 << 20


def project(cloud, client):
    token = cloud.admin.get("/identity/v3/auth/tokens", headers={"x-subject-token": client.token}).json["token"]
    return token["project"]["id"]


@pytest.fixture
def connect(cloud):
    with served(lambda: serve(Swift(Objects(Fake()), callers(cloud)), "swift")) as url:

        def connection(client, owner=None):
            account = f"{url}/v1/AUTH_{project(cloud, owner or client)}"
            return swiftclient.Connection(preauthurl=account, preauthtoken=client.token, retries=0)

        yield connection


def test_a_tour(cloud, connect):
    mine = connect(cloud.user)
    mine.put_container("books", {"X-Container-Meta-Shelf": "é"})
    etag = mine.put_object("books", "a/ü.txt", b"content", content_type="text/plain", headers={"X-Object-Meta-Color": "red"})
    assert etag == hashlib.md5(b"content").hexdigest()
    headers, body = mine.get_object("books", "a/ü.txt")
    assert (body, headers["x-object-meta-color"], headers["content-type"]) == (b"content", "red", "text/plain")
    mine.put_object("books", "b", (b"x" * 1000 for _ in range(5)))
    headers, listing = mine.get_container("books", delimiter="/")
    assert [one.get("subdir") or one["name"] for one in listing] == ["a/", "b"]
    assert headers["x-container-object-count"] == "2"
    assert listing[1]["bytes"] == 5000
    mine.copy_object("books", "b", "/books/c", headers={"X-Object-Meta-New": "1"})
    assert mine.head_object("books", "c")["x-object-meta-new"] == "1"
    mine.post_object("books", "c", {"X-Object-Meta-Other": "2"})
    assert "x-object-meta-new" not in mine.head_object("books", "c")
    with pytest.raises(swiftclient.ClientException, match="409"):
        mine.delete_container("books")
    stat = mine.head_account()
    assert (stat["x-account-container-count"], stat["x-account-object-count"]) == ("1", "3")
    assert mine.get_account()[1][0]["name"] == "books"
    assert "slo" in mine.get_capabilities(mine.url.partition("/v1")[0] + "/info")
    for name in ("a/ü.txt", "b", "c"):
        mine.delete_object("books", name)
    mine.delete_container("books")
    assert mine.get_account()[1] == []


def test_identity_decides(cloud, connect):
    mine, other = connect(cloud.user), cloud.other("somebody")
    mine.put_container("c")
    mine.put_object("c", "o", b"x")
    theirs = connect(other, owner=cloud.user)
    with pytest.raises(swiftclient.ClientException, match="403"):
        theirs.get_object("c", "o")
    mine.post_container("c", {"X-Container-Read": "somebody:somebody"})
    assert theirs.get_object("c", "o")[1] == b"x"
    reader = cloud.other("reading", "reader")
    with pytest.raises(swiftclient.ClientException, match="403"):
        connect(reader).put_container("c")
    assert connect(reader).get_account()[1] == []
    assert connect(cloud.admin, owner=cloud.user).get_object("c", "o")[1] == b"x"
    assert cloud.user("DELETE", "/identity/v3/auth/tokens", headers={"x-subject-token": cloud.user.token}).status == 204
    time.sleep(1)
    with pytest.raises(swiftclient.ClientException, match="401"):
        mine.get_object("c", "o")


class Bottomless(Fake):
    """Takes any number of bytes and keeps none, and gives as many zeros."""

    async def write(self, tenant, chunks, *, storage="", key=None, hashers=()):
        size = 0
        async for chunk in chunks:
            size += len(chunk)
            for hasher in hashers:
                hasher.update(chunk)
        return Blob(os.urandom(16), size, storage or self.classes[0])

    async def read(self, tenant, blob, start=0, stop=None, *, key=None):
        for at in range(start, blob.size if stop is None else stop, MIB):
            yield bytes(min(MIB, (blob.size if stop is None else stop) - at))


def request(method, path, body=(), length=0, **headers):
    """A request without a server."""
    pieces = iter(body)
    left = [length]

    async def receive():
        chunk = next(pieces, b"")
        left[0] -= len(chunk)
        return {"type": "http.request", "body": chunk, "more_body": left[0] > 0}

    pairs = [("x-auth-token", "member"), ("content-length", str(length)), *((name.replace("_", "-"), value) for name, value in headers.items())]
    return Request(method, f"/v1/AUTH_p1{path}", "", Headers(pairs), receive)


def test_bodies_are_never_held_whole():
    face = Swift(Objects(Bottomless()), People(), Settings())
    size = 300 * MIB

    async def run():
        assert (await face(request("PUT", "/c"))).status == 201
        tracemalloc.start()
        made = await face(request("PUT", "/c/o", (bytes(MIB) for _ in range(size // MIB)), size))
        assert made.status == 201
        copied = await face(request("COPY", "/c/o", destination="c/p"))
        assert copied.status == 201
        reply = await face(request("GET", "/c/p"))
        total = 0
        async for chunk in reply.stream:
            total += len(chunk)
        assert total == size
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert asyncio.run(run()) < 8 * MIB
