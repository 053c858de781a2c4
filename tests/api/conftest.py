"""Fixtures of the API tests."""

import pytest


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
