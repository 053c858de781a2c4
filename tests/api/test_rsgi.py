"""The application behind Granian, as it is served: bodies both ways, HEAD, empty answers, paths and headers as clients send them."""

import asyncio
import http.client
import socket
import threading
import time

import pytest
from granian.constants import Interfaces
from granian.server.embed import Server

from andromede.http.rsgi import Rsgi


@pytest.fixture
def port(cloud):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    ending, started = threading.Event(), threading.Event()

    async def run():
        server = Server(Rsgi(cloud.app), address="127.0.0.1", port=number, interface=Interfaces.RSGI, websockets=False, log_enabled=False)
        serving = asyncio.create_task(server.serve())
        started.set()
        while not ending.is_set():
            await asyncio.sleep(0.02)
        server.stop()
        await asyncio.wait_for(serving, 5)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    started.wait(5)
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", number)) == 0:
                break
        time.sleep(0.02)
    yield number
    ending.set()
    thread.join(10)


def ask(port, cloud, method, path, body=None, **headers):
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    link.request(method, path, body, {"x-auth-token": cloud.user.token, **headers}, encode_chunked=True)
    answer = link.getresponse()
    data = answer.read()
    link.close()
    return answer, data


def test_bodies_go_both_ways_whole(cloud, port):
    image = cloud.user.post("/image/v2/images", {"name": "i", "disk_format": "raw", "container_format": "bare"}).json["id"]
    data = bytes(range(256)) * 12000
    path = f"/image/v2/images/{image}/file"
    answer, said = ask(port, cloud, "PUT", path, (data[at : at + 70000] for at in range(0, len(data), 70000)), **{
        "content-type": "application/octet-stream", "transfer-encoding": "chunked",
    })  # fmt: skip
    assert (answer.status, said) == (204, b"")
    answer, said = ask(port, cloud, "GET", path)
    assert (answer.status, said) == (200, data)
    answer, said = ask(port, cloud, "GET", path, range="bytes=1000-1999")
    assert (answer.status, said) == (206, data[1000:2000])
    answer, said = ask(port, cloud, "HEAD", f"/image/v2/images/{image}")
    assert said == b""
    assert answer.headers["x-openstack-request-id"].startswith("req-")


def test_paths_queries_and_texts_are_read_as_they_are_meant(cloud, port):
    made = cloud.user.post("/network/v2.0/networks", {"network": {"name": "été & co"}}).json["network"]["id"]
    answer, said = ask(port, cloud, "GET", "/network/v2.0/networks?name=%C3%A9t%C3%A9+%26%20co&fields=id")
    assert answer.status == 200
    assert made.encode() in said
    assert ask(port, cloud, "PUT", f"/network/v2.0/networks/{made}/tags/a%20b")[0].status == 201
    assert b'"a b"' in ask(port, cloud, "GET", f"/network/v2.0/networks/{made}/tags")[1]
    assert ask(port, cloud, "GET", "/nothing")[0].status == 404
    assert ask(port, cloud, "POST", "/network/v2.0/networks", b"{")[0].status == 400
    assert ask(port, cloud, "POST", "/network/v2.0/networks", bytes(2 << 20))[0].status == 413


def test_who_goes_away_while_sending_leaves_nothing_half_done(cloud, port):
    image = cloud.user.post("/image/v2/images", {"name": "i", "disk_format": "raw", "container_format": "bare"}).json["id"]
    head = (
        f"PUT /image/v2/images/{image}/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {cloud.user.token}\r\n"
        "Content-Type: application/octet-stream\r\nContent-Length: 1000000\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=5) as link:
        link.sendall(head.encode() + bytes(1000))
    for _ in range(100):
        status = cloud.user.get(f"/image/v2/images/{image}").json["status"]
        if status == "queued":
            break
        time.sleep(0.1)
    assert status == "queued"
