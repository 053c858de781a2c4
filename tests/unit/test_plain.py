"""Requests without routes: what becomes of a body that nobody took."""

import contextlib
import http.client
import os
import socket
import urllib.request
import uuid

import pytest

from andromede.http.plain import Reply, serve
from tests.objects import served


async def refuses(_request):
    return Reply(403)


def test_a_body_that_nobody_took_is_not_the_next_request():
    with served(lambda: serve(refuses, "test")) as url, socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=5) as line:
        line.sendall(b"PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabcGET / HTTP/1.1\r\nhost: x\r\n\r\n")
        text = b""
        while text.count(b"403 Forbidden") < 2:
            more = line.recv(1000)
            assert more
            text += more
        assert b"connection: close" not in text


@pytest.mark.parametrize("length", [0, 3])
def test_a_client_that_waits_to_go_on_is_hung_up_on(length):
    """botocore up to 1.43 takes what comes next on a connection whose answer came at once for the rest of that answer."""
    with served(lambda: serve(refuses, "test")) as url, socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=5) as line:
        line.sendall(b"PUT / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: %d\r\n\r\n" % length)
        text = line.recv(1000)
        assert b" 403 " in text
        assert b"connection: close" in text
        assert line.recv(1000) == b""


async def takes_it_while_answering(request):
    async def stream():
        async for chunk in request.body():
            yield chunk

    return Reply(200, stream=stream())


def test_a_body_may_be_taken_while_it_is_answered():
    sent = b"x" * 100_000
    with served(lambda: serve(takes_it_while_answering, "test")) as url, urllib.request.urlopen(url, sent, timeout=5) as answer:
        assert answer.read() == sent


async def tells_a_length(_request):
    return Reply(200, [("Content-Length", "3")])


def test_a_length_that_is_given_is_not_given_again():
    with served(lambda: serve(tells_a_length, "test")) as url:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=5)
        connection.request("HEAD", "/")
        assert connection.getresponse().headers.get_all("content-length") == ["3"]
        connection.close()


def test_ids_of_requests_are_uuids_and_a_child_draws_its_own():
    from andromede.core.ids import is_id, new_request_id, random_bytes

    made = [new_request_id() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert all(is_id(one.removeprefix("req-")) and uuid.UUID(one[4:]).version == 4 for one in made)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, random_bytes(32))
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 32) != random_bytes(32)
    os.close(read)
    os.close(write)


async def tells_the_body(request):
    return Reply(200, body=b"<" + await request.read(100) + b">")


def told(head):
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(served(lambda: serve(tells_the_body, "test")))
        line = stack.enter_context(socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=5))
        line.sendall(b"PUT / HTTP/1.1\r\nhost: x\r\n" + head + b"\r\nabc")
        text = line.recv(1000)
        while b"\r\n\r\n" not in text or (b" 200 " in text and b">" not in text):
            text += line.recv(1000)
        return text


@pytest.mark.parametrize("head", [b"content-length: 3\r\n", b"content-length: 3\r\ncontent-length: 3\r\n"])
def test_a_length_that_is_clear_is_taken(head):
    assert told(head).endswith(b"<abc>")


@pytest.mark.parametrize("head", [
    b"content-length: 3\r\ncontent-length: 4\r\n", b"transfer-encoding: gzip, chunked\r\n",
    b"transfer-encoding: identity\r\n", b"content-length: +3\r\n",
])  # fmt: skip
def test_a_length_that_may_mean_two_things_is_refused(head):
    assert b" 400 Bad Request" in told(head)
