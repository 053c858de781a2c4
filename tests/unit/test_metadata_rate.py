"""How often a guest may ask for metadata."""

import socket

import h11

from andromede.agent import metadata
from andromede.agent.metadata import Allowance, _Server


def test_a_guest_has_ten_seconds_worth_at_once_and_more_with_time():
    allowance = Allowance(2)
    assert [allowance.spend("a", 0) for _ in range(21)] == [True] * 20 + [False]
    assert allowance.spend("b", 0)
    assert not allowance.spend("a", 0.4)
    assert [allowance.spend("a", 1) for _ in range(3)] == [True, True, False]
    assert sum(allowance.spend("a", 1000) for _ in range(30)) == 20


def test_guests_that_ask_no_more_are_forgotten(monkeypatch):
    monkeypatch.setattr(metadata, "_GUESTS", 3)
    allowance = Allowance(1)
    for name in "abc":
        allowance.spend(name, 0)
    while allowance.spend("c", 0):
        pass
    allowance.spend("d", 5)
    assert set(allowance._left) == {"c", "d"}


def test_who_asks_too_often_is_told_so():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        server = _Server(ours, 0.1)
        server._documents["n", "10.0.0.5"] = {"latest/user-data": b"x"}
        request = h11.Request(method="GET", target="/latest/user-data", headers=[("host", "x")])
        assert server._answer("n", "10.0.0.5", request, b"") == (200, b"x")
        assert server._answer("n", "10.0.0.5", request, b"")[0] == 429
        assert server._answer("n", "10.0.0.6", request, b"")[0] == 404
