"""Tempest against the real cloud. Every test of the list must pass: none may fail, and none may be skipped unseen."""

from tests.conformance import tempest


def test_the_smoke_tests_pass(real):
    folder = real.folder / "tempest"
    (folder / "lock").mkdir(parents=True)
    tempest.configure(folder / "tempest.conf", url=real.url, password=real.password("admin"), admin=real.admin, lock=folder / "lock")
    ids = tempest.wanted("smoke")
    outcome = tempest.run(folder, ids, workers=2)
    assert not outcome.failed, "\n\n".join(f"{name}\n{why}" for name, why in outcome.failed.items())
    assert not outcome.skipped, outcome.skipped
    assert outcome.passed == set(ids)
