"""Tempest's compute tests against the real cloud; every test of the lists must pass. It takes half an hour where guests are emulated."""

import pytest

from tests.conformance import tempest


@pytest.mark.slow
@pytest.mark.timeout(4000)
@pytest.mark.parametrize(("name", "validation"), [("compute", False), ("scs_compute", True)])
def test_what_tempest_tests_of_compute(real, name, validation):
    folder = real.folder / f"tempest-{name}"
    tempest.configure(
        folder, url=real.url, password=real.password("admin"), admin=real.admin, validation=validation
    )
    ids = tempest.wanted(name)
    outcome = tempest.run(folder, ids, workers=2, seconds=3600)
    tempest.all_passed(ids, outcome)
