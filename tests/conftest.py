"""Fixtures shared by all tests: a database of either kind, a whole cloud in this process without any daemon, and a real one."""

import os

import pytest

from tests.cloud import Cloud, fresh_database


def pytest_collection_modifyitems(items):
    """Mark what has the machine to itself; leave out what takes minutes, unless all is asked for, and say so in the report."""
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
def ready(cloud):
    """A cloud with an image and a network of the project demo."""
    image = cloud.admin.post("/image/v2/images", {"name": "img", "disk_format": "raw", "container_format": "bare", "visibility": "public"}).json
    put = cloud.admin.put(f"/image/v2/images/{image['id']}/file", b"\0" * 65536, headers={"content-type": "application/octet-stream"})
    assert put.status == 204, put
    network = cloud.user.post("/network/v2.0/networks", {"network": {"name": "net"}}).json["network"]
    facts = {"network_id": network["id"], "ip_version": 4, "cidr": "10.1.0.0/24"}
    assert cloud.user.post("/network/v2.0/subnets", {"subnet": facts}).status == 201
    cloud.image, cloud.network = image["id"], network["id"]
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
