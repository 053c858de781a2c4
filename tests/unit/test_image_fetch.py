"""What a download may reach, and what the store says when the disk does not play along."""

import ipaddress
import socket

import pytest

from andromede.core.errors import BadRequest, TooLarge, Unavailable
from andromede.services.image import fetch
from andromede.services.image.store import ImageStore, digest
from tests.api.images import web

RULES = fetch.Rules(ports=(80, 443), hosts=(), size=1000, seconds=10)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "240.0.0.1",
        "255.255.255.255", "198.18.0.1", "192.0.2.1", "::1", "::", "fe80::1", "fc00::1", "fec0::1", "ff02::1", "::ffff:127.0.0.1",
        "::ffff:8.8.8.8%0", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2001:0:808:808:0:0:80ff:fefe", "2001:db8::1",
    ],
)  # fmt: skip
def test_addresses_inside(address):
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if address.endswith("%0"):
        assert fetch.outside(parsed)
    else:
        assert not fetch.outside(parsed)


@pytest.mark.parametrize("address", ["8.8.8.8", "193.0.6.139", "2001:67c:2e8:22::c100:68b", "64:ff9b::808:808"])
def test_addresses_outside(address):
    assert fetch.outside(ipaddress.ip_address(address))


def resolves(monkeypatch, *answers):
    """Make names resolve to these, one after the other."""
    left = list(answers)

    def answer(_host, port, **_):
        found = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

    monkeypatch.setattr(socket, "getaddrinfo", answer)


def test_a_name_is_refused_where_any_of_its_addresses_is_inside(monkeypatch):
    resolves(monkeypatch, ["8.8.8.8", "10.0.0.1"])
    with pytest.raises(BadRequest, match="not a public address"):
        list(fetch.fetch("http://example.org/", RULES, lambda: None))


def test_the_address_that_was_checked_is_the_one_that_is_used(monkeypatch):
    asked = []
    resolves(monkeypatch, ["8.8.8.8"], ["127.0.0.1"])

    def connect(address, **_):
        asked.append(address)
        raise OSError

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(BadRequest, match="Nothing could be downloaded"):
        list(fetch.fetch("http://example.org/", RULES, lambda: None))
    assert asked == [("8.8.8.8", 80)]


def test_a_redirect_is_checked_like_the_first(monkeypatch):
    with web({"/": (302, {"Location": "http://inside.example:PORT/secret"}, b"")}) as port:
        rules = fetch.Rules(ports=(port,), hosts=("127.0.0.1",), size=1000, seconds=10)
        with pytest.raises(BadRequest):
            list(fetch.fetch(f"http://127.0.0.1:{port}/", rules, lambda: None))
    with web({"/": (302, {"Location": "//localhost:1/"}, b"")}) as port:
        rules = fetch.Rules(ports=(port, 1), hosts=("127.0.0.1",), size=1000, seconds=10)
        with pytest.raises(BadRequest, match="localhost is not a public address"):
            list(fetch.fetch(f"http://127.0.0.1:{port}/", rules, lambda: None))


def test_sizes_and_times():
    with web({"/": (200, {}, b"x" * 5000), "/endless": (200, {"Content-Length": "900"}, b"x")}) as port:
        rules = {"ports": (port,), "hosts": ("127.0.0.1",)}
        with pytest.raises(TooLarge):
            list(fetch.fetch(f"http://127.0.0.1:{port}/", fetch.Rules(**rules, size=100, seconds=10), lambda: None))
        with pytest.raises(BadRequest, match="did not end"):
            list(fetch.fetch(f"http://127.0.0.1:{port}/", fetch.Rules(**rules, size=9999, seconds=-1), lambda: None))
        assert b"".join(fetch.fetch(f"http://127.0.0.1:{port}/", fetch.Rules(**rules, size=9999, seconds=9), lambda: None)) == b"x" * 5000


def test_https_needs_a_certificate_that_is_trusted():
    with web({}) as port:
        rules = fetch.Rules(ports=(port,), hosts=("127.0.0.1",), size=100, seconds=5, silence=2)
        with pytest.raises(BadRequest, match="Nothing could be downloaded"):
            list(fetch.fetch(f"https://127.0.0.1:{port}/", rules, lambda: None))


# the store


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path):
    import resource

    store = ImageStore(tmp_path / "images")
    writer = store.write("one", "token")
    import signal

    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(TooLarge, match="full"):
            writer.add(b"x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    writer.discard()
    assert [path for path in store.folder.rglob("*") if path.is_file()] == []


def test_a_store_that_is_away_is_told(tmp_path):
    store = ImageStore(tmp_path / "images")
    store.work.rmdir()
    with pytest.raises(Unavailable):
        store.write("one", "token")


def test_what_is_published_is_what_was_written(tmp_path):
    store = ImageStore(tmp_path / "images")
    writer = store.write("one", "token")
    writer.add(b"a" * 10)
    writer.add(b"b" * 10)
    told = writer.close()
    store.publish(writer.path, store.path("one", "token"))
    path = store.path("one", "token")
    assert (path.read_bytes(), path.stat().st_mode & 0o777, told) == (b"a" * 10 + b"b" * 10, 0o640, digest(path))
    assert list(store.leftovers({"one.token"}, -1)) == []
    assert list(store.leftovers(set(), -1)) == [path]
    store.remove("one", "token")
    store.remove("one", None)
    assert list(store.leftovers(set(), -1)) == []
