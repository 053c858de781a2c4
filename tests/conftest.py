"""Fixtures shared by all tests: a database of either kind, a whole cloud in this process without any daemon, and a real one."""

import os
import zlib

import pytest

from tests.api.images import active
from tests.cloud import Cloud, fresh_database


def pytest_collection_modifyitems(config, items):
    """Mark what has the machine to itself; leave out what takes minutes, unless all is asked for, and say so in the report.

    ANDROMEDE_TEST_HALF, 0 or 1: only the files of one half; those of the migrations are in both.
    """
    if half := os.environ.get("ANDROMEDE_TEST_HALF"):
        theirs = [item for item in items if zlib.crc32(item.path.name.encode()) % 2 != int(half) and item.path.name != "test_migrations.py"]
        config.hook.pytest_deselected(items=theirs)
        left = set(theirs)
        items[:] = [item for item in items if item not in left]
    for item in items:
        if {"host", "browser"} & set(item.path.parts) or "real" in item.fixturenames:
            item.add_marker("real")
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


@pytest.fixture
def image(cloud):
    """The id of an image that everybody has."""
    return active(cloud.admin, b"BOOT" + b"\0" * 65532, visibility="public")["id"]


@pytest.fixture
def network(cloud):
    """The id of a network of the project demo."""
    made = cloud.user.post("/network/v2.0/networks", {"network": {"name": "net"}}).json["network"]["id"]
    subnet = {"network_id": made, "ip_version": 4, "cidr": "10.1.0.0/24"}
    assert cloud.user.post("/network/v2.0/subnets", {"subnet": subnet}).status == 201
    return made


@pytest.fixture
def ready(cloud, image, network):
    """A cloud with an image and a network of the project demo."""
    cloud.image, cloud.network = image, network
    return cloud


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
