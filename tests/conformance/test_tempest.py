"""Tempest against the real cloud. Every test of the list must pass: none may fail, and none may be skipped unseen."""

from tests.conformance import tempest


def test_the_smoke_tests_pass(real):
    folder = real.folder / "tempest"
    tempest.configure(folder, url=real.url, password=real.password("admin"), admin=real.admin)
    ids = tempest.wanted("smoke")
    outcome = tempest.run(folder, ids, workers=2)
    tempest.all_passed(ids, outcome)
