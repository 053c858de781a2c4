"""Requests without routes: what becomes of a body that nobody took."""

import socket

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


def test_a_client_that_waits_to_go_on_is_hung_up_on():
    with served(lambda: serve(refuses, "test")) as url, socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=5) as line:
        line.sendall(b"PUT / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        text = line.recv(1000)
        assert b" 403 " in text
        assert b"connection: close" in text
        assert line.recv(1000) == b""
