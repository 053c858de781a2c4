"""Tempest's network tests against Network in this process, over HTTP, with a fabric that keeps books. Every test of the list must pass."""

from pathlib import Path
from typing import Any

from tests.api.test_network_basics import V, make
from tests.cloud import ADMIN_PASSWORD, Cloud
from tests.conformance import in_process, tempest


def configure(folder: Path, cloud: Cloud, url: str, **more: dict[str, object]) -> None:
    """A tempest.conf of everything but what only packets show. more: further sections."""
    facts = {"router:external": True, "provider:network_type": "flat", "provider:physical_network": "public", "is_default": True}
    public = make(cloud.admin, "network", name="public", **facts)
    pool = [{"start": "172.24.4.2", "end": "172.24.4.254"}]
    make(cloud.admin, "subnet", network_id=public["id"], ip_version=4, cidr="172.24.4.0/24", enable_dhcp=False, allocation_pools=pool)
    extensions = [one["alias"] for one in cloud.admin.get(f"{V}/extensions").json["extensions"]]
    sections: dict[str, dict[str, object]] = {
        "network": {
            "public_network_id": public["id"], "floating_network_name": "public", "project_network_cidr": "10.100.0.0/16",
            "project_network_mask_bits": 28, "port_vnic_type": "normal", "build_timeout": 60,
        },
        "network-feature-enabled": {
            "api_extensions": ",".join(extensions), "ipv6": True, "ipv6_subnet_attributes": True, "port_security": True, "floating_ips": True,
        },
        "validation": {"run_validation": False},
        "service_available": {"cinder": False, "swift": False, "horizon": False, "neutron": True, "nova": True, "glance": True},
        **more,
    }  # fmt: skip
    tempest.write(folder, url, ADMIN_PASSWORD, sections)


def outcome(folder: Path, ids: list[str], workers: int = 1, **more: Any) -> tempest.Outcome:
    """Run these tests."""
    cloud = Cloud(folder)
    try:
        cloud.start()
        with in_process.api(cloud) as url:
            work = folder / "tempest"
            configure(work, cloud, url, **more)
            return tempest.run(work, ids, seconds=2400, workers=workers)
    finally:
        cloud.close()


def test_what_tempest_tests_of_networks(tmp_path):
    ids = tempest.wanted("network")
    found = outcome(tmp_path, ids)
    tempest.all_passed(ids, found)
