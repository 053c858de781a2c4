"""Tempest's tests, by lists. Every test of a list must pass: none may fail, and none may be skipped unseen.

CI runs the smoke tests against the real cloud, and those that need no guest against books. What takes long is for ANDROMEDE_TEST_ALL=1, or
for `python -m tests.conformance.whole`.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tempest as package

from tests.conformance import guests, tempest, whole

PARTS = {"compute": 0.95, "identity": 0.95, "image": 0.73, "network": 0.92, "volume": 0.95}
"""What part of each service's tests some list has, at least; 0.95 is the aim, and left_out.txt says what it fails at."""


def test_the_smoke_tests_pass(real):
    folder = real.folder / "tempest"
    guests.configure(folder, real)
    ids = tempest.wanted("smoke")
    outcome = tempest.run(folder, ids, workers=2)
    tempest.all_passed(ids, outcome)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("part", range(whole.PARTS))
@pytest.mark.parametrize("name", whole.QUICK)
def test_what_tempest_tests_without_guests(tmp_path, name, part):
    ids = whole.part(name, part)
    if part != whole.turn() and not os.environ.get("ANDROMEDE_TEST_ALL"):
        pytest.skip(f"{len(ids)} tests whose turn comes with another commit: ANDROMEDE_TEST_ALL=1 runs all")
    tempest.all_passed(ids, whole.run(name, tmp_path, ids=ids))


@pytest.mark.parametrize("name", whole.QUICK)
def test_the_parts_make_up_the_list(name):
    parts = [whole.part(name, part) for part in range(whole.PARTS)]
    assert all(parts)
    assert sorted(id_ for part in parts for id_ in part) == sorted(tempest.wanted(name))


@pytest.mark.slow
@pytest.mark.timeout(4000)
@pytest.mark.parametrize("name", [*(name for name in whole.BOOKS if name not in whole.QUICK), *whole.REAL])
def test_what_tempest_tests_and_takes_long(tmp_path, name):
    tempest.all_passed(tempest.wanted(name), whole.run(name, tmp_path))


@pytest.fixture(scope="module")
def every(tmp_path_factory):
    """The id of every test that Tempest has."""
    folder = tmp_path_factory.mktemp("ids")
    found = Path(package.__file__).parent
    command = [Path(sys.executable).with_name("stestr"), "--test-path", found / "test_discover", "--top-dir", found.parent]
    env = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")}
    for verb in ("init", "list"):
        done = subprocess.run([*command, verb], cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=True)
    return {line.partition("[")[0] for line in done.stdout.splitlines() if line.startswith("tempest.")}


def test_every_test_is_in_one_list_or_left_out_for_a_reason(every):
    listed = [id_ for name in (*whole.BOOKS, "guests") for id_ in tempest.wanted(name)]
    out = whole.left_out()
    assert len(listed) == len(set(listed))
    assert not set(listed) & out.keys()
    assert all(out.values())
    assert {*listed, *out} == {id_ for id_ in every if id_.split(".")[2] in whole.SERVICES and id_.startswith("tempest.api.")}


def test_the_lists_have_enough(every):
    have = whole.covered()
    for service, part in PARTS.items():
        known = {id_ for id_ in every if id_.startswith(f"tempest.api.{service}.")}
        assert len(known & have) >= part * len(known), service


def test_the_list_of_scs_is_whole():
    """All of its 258 tests, and none of them is left out elsewhere either."""
    scs = tempest.wanted("scs")
    assert len(set(scs)) == 258
    assert not set(scs) & whole.left_out().keys()


def test_the_runner_tells_of_lists_that_are_not_there(capsys):
    assert whole.main(["nothing"]) == 2
    assert "There is no list nothing" in capsys.readouterr().out
