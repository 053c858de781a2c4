"""What servers are told in private and what they say of themselves: who may, how much, how often, and that it goes nowhere else."""

import asyncio
import socket
import subprocess
import sys
from functools import partial

import h11
import msgspec
import pytest

from andromede.agent import metadata
from andromede.agent.host import HostLoop
from andromede.agent.metadata import STATE, STATE_MOST, Posted, _Server
from andromede.drivers.host import Desired, Nic, Wish
from andromede.drivers.hypervisor.fake import Fake
from andromede.drivers.network.fake import FakePlug

PRIVATE = {"openstack/latest/andromede/cluster": b'{"generation": 1}'}
PUT = partial(h11.Request, method="PUT", headers=[("host", "x")])


@pytest.fixture
def link():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def server(link):
    server = _Server(link[0])
    server._documents["n", "10.0.0.5"] = dict(PRIVATE)
    server._documents["n", "10.0.0.6"] = {"openstack/latest/meta_data.json": b"{}"}
    return server


def test_a_state_is_passed_on_and_the_last_counts(server, link):
    for target in ("/openstack/latest/andromede/state", "/openstack/2018-08-27/andromede/state"):
        assert server._answer("n", "10.0.0.5", PUT(target=target), b'{"phase": "x"}') == (204, b"")
        assert msgspec.msgpack.decode(link[1].recv(1 << 16), type=Posted) == Posted("n", "10.0.0.5", b'{"phase": "x"}', STATE)


def test_only_servers_that_are_spoken_with_may_and_not_too_much(server, link):
    request = PUT(target="/openstack/latest/andromede/state")
    assert server._answer("n", "10.0.0.6", request, b"{}")[0] == 404
    assert server._answer("n", "10.0.0.7", request, b"{}")[0] == 404
    assert server._answer("m", "10.0.0.5", request, b"{}")[0] == 404
    assert server._answer("n", "10.0.0.5", request, b"x" * (STATE_MOST + 1))[0] == 413
    assert server._answer("n", "10.0.0.5", PUT(target="/openstack/latest/andromede/cluster"), b"{}")[0] == 405
    other = h11.Request(method="GET", target="/openstack/latest/andromede/cluster", headers=[("host", "x")])
    assert server._answer("n", "10.0.0.6", other, b"")[0] == 404
    link[1].setblocking(False)
    with pytest.raises(BlockingIOError):
        link[1].recv(1)


def test_not_too_often_and_a_busy_host_says_so(server, link, monkeypatch):
    request = PUT(target="/openstack/latest/andromede/state")
    monkeypatch.setattr(metadata, "monotonic", lambda: 5.0)
    link[0].setblocking(False)
    codes = [server._answer("n", "10.0.0.5", request, b"y" * STATE_MOST)[0] for _ in range(41)]
    assert codes[0] == 204
    assert 503 in codes
    assert codes[-1] == 429


def test_over_http_with_tags():
    """The document has an ETag, which a node that knows it sends; a large state goes through whole."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    async def ask(port, text, body=b""):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(text.encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        fields = dict(line.split(": ", 1) for line in head.strip().split("\r\n")[1:])
        data = await reader.readexactly(int(fields.get("content-length", 0)))
        writer.close()
        return int(head.split()[1]), fields, data

    async def run():
        server = _Server(ours)
        server._documents["n", "127.0.0.1"] = dict(PRIVATE)
        listening = await asyncio.start_server(partial(server._talk, "n"), "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        get = "GET /openstack/latest/andromede/cluster HTTP/1.1\r\nhost: x\r\n"
        status, fields, data = await ask(port, get + "\r\n")
        assert (status, data) == (200, b'{"generation": 1}')
        again = await ask(port, f"{get}if-none-match: {fields['etag']}\r\n\r\n")
        assert (again[0], again[2], again[1]["etag"]) == (304, b"", fields["etag"])
        assert (await ask(port, f'{get}if-none-match: "other"\r\n\r\n'))[0] == 200
        body = b"z" * STATE_MOST
        put = f"PUT /openstack/latest/andromede/state HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        assert (await ask(port, put, body))[0] == 204
        assert msgspec.msgpack.decode(theirs.recv(1 << 17), type=Posted).data == body
        listening.close()

    with ours, theirs:
        asyncio.run(run())


def test_an_agent_tells_of_states_once_and_only_of_servers_that_are_spoken_with(tmp_path):
    async def run():
        loop = HostLoop(tmp_path, Fake(tmp_path / "guests"), FakePlug())
        wish = Wish(id="a", vcpus=1, memory=1, disk=1, nics=(Nic(port_id="p", network_id="n", mac="fa:16:3e:00:00:01", addresses=("10.0.0.5",)),))
        other = msgspec.structs.replace(wish, id="b", nics=(Nic(port_id="q", network_id="n", mac="fa:16:3e:00:00:02", addresses=("10.0.0.6",)),))
        await loop.take(Desired(generation=1, guests=(msgspec.structs.replace(wish, private=PRIVATE), other)))
        before = (await loop.report(0, 0)).serial
        for address in ("10.0.0.5", "10.0.0.6", "10.0.0.9"):
            loop.hear(Posted("n", address, b"one", STATE))
        await loop._tell()
        told = await loop.report(before, 0)
        assert {id_: one.data for id_, one in told.told.items()} == {"a": b"one"}
        assert (await loop.report(told.serial, 0)).told == {}
        assert (await loop.report(told.serial + 100, 0)).told.keys() == {"a"}, "after a restart the serial begins anew"
        assert told.passwords == {}
        for task in loop._tasks.values():
            task.cancel()

    asyncio.run(run())


def test_only_a_changed_wish_for_the_guest_itself_moves_it(tmp_path):
    """New documents are served at once, and the guest is left alone."""

    class Recorded:
        published = None

        def publish(self, documents):
            self.published = documents

    async def run():
        loop = HostLoop(tmp_path, Fake(tmp_path / "guests"), FakePlug())
        loop._metadata = Recorded()
        wish = Wish(id="a", vcpus=1, memory=1, disk=1, nics=(Nic(port_id="p", network_id="n", mac="fa:16:3e:00:00:01", addresses=("10.0.0.5",)),))
        await loop.take(Desired(generation=1, guests=(wish,)))
        loop._tasks["a"].cancel()
        poked = []
        loop._poke = poked.append
        await loop.take(Desired(generation=2, guests=(msgspec.structs.replace(wish, private=PRIVATE),)))
        assert loop._metadata.published["n", "10.0.0.5"] == PRIVATE
        assert poked == []
        await loop.take(Desired(generation=3, guests=(msgspec.structs.replace(wish, vcpus=2, private=PRIVATE),)))
        assert poked == ["a"]

    asyncio.run(run())


def test_what_makes_nodes_knows_every_quota_without_the_routes():
    """The engine replaces lost nodes, and it does not load what only the API needs."""
    code = (
        "import andromede.run.wiring, andromede.services.hadoop.service\n"
        "from andromede.services.quota import service\n"
        "print(*service._resources)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120).stdout.split()
    assert {"instances", "cores", "ram", "port", "security_group", "floatingip", "server_groups", "volumes", "gigabytes"} <= set(said)
