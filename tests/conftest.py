"""Fixtures shared by all tests: a database of either kind, a whole cloud in this process without any daemon, and a real one."""

import os

import pytest

from tests.cloud import Cloud, fresh_database


def pytest_collection_modifyitems(items):
    """Leave out what takes minutes, unless all is asked for; say so in the report."""
    if os.environ.get("ANDROMEDE_TEST_ALL"):
        return
    skip = pytest.mark.skip(reason="takes minutes: run with ANDROMEDE_TEST_ALL=1")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)


@pytest.fixture
def database(tmp_path):
    database = fresh_database(tmp_path)
    yield database
    database.close()


@pytest.fixture
def cloud(tmp_path):
    cloud = Cloud(tmp_path)
    yield cloud
    cloud.close()


@pytest.fixture(scope="session")
def real():
    """A real cloud with its first server, shared by the tests that only use it."""
    from tests.real import RealCloud

    cloud = RealCloud()
    try:
        cloud.cli("up")
        yield cloud
    finally:
        cloud.destroy()
