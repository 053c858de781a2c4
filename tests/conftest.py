"""Fixtures shared by all tests: a database of either kind, and a whole cloud in this process without any daemon."""

import pytest

from tests.cloud import Cloud, fresh_database


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
