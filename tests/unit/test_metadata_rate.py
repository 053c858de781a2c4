"""How often a guest may ask for metadata."""

from andromede.agent import metadata
from andromede.agent.metadata import Allowance


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
