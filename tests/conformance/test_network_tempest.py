"""Tempest's network tests against Network in this process, over HTTP, with a fabric that keeps books. Every test of the list must pass."""

import configparser
import tempfile
from pathlib import Path
from typing import Any

from andromede.run import wiring
from andromede.services.identity import bootstrap
from tests.api.test_network_basics import V, make
from tests.cloud import ADMIN_PASSWORD, Cloud
from tests.conformance import tempest
from tests.objects import served


def configure(folder: Path, cloud: Cloud, url: str, **more: dict[str, object]) -> None:
    """A tempest.conf of everything but what only packets show. more: further sections."""
    facts = {"router:external": True, "provider:network_type": "flat", "provider:physical_network": "public", "is_default": True}
    public = make(cloud.admin, "network", name="public", **facts)
    pool = [{"start": "172.24.4.2", "end": "172.24.4.254"}]
    make(cloud.admin, "subnet", network_id=public["id"], ip_version=4, cidr="172.24.4.0/24", enable_dhcp=False, allocation_pools=pool)
    extensions = [one["alias"] for one in cloud.admin.get(f"{V}/extensions").json["extensions"]]
    sections: dict[str, dict[str, object]] = {
        "DEFAULT": {"log_file": "tempest.log", "log_dir": folder},
        "oslo_concurrency": {"lock_path": folder / "lock"},
        "auth": {
            "use_dynamic_credentials": True, "admin_username": "admin", "admin_password": ADMIN_PASSWORD, "admin_project_name": "admin",
            "admin_domain_name": "Default", "create_isolated_networks": True, "tempest_roles": "member",
        },
        "identity": {"uri_v3": f"{url}/identity/v3", "auth_version": "v3", "region": "RegionOne", "default_domain_id": "default"},
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
    parser = configparser.ConfigParser(interpolation=None)
    for section, values in sections.items():
        parser[section] = {key: str(value) for key, value in values.items()}
    (folder / "lock").mkdir()
    with (folder / "tempest.conf").open("w") as file:
        parser.write(file)


def outcome(folder: Path, ids: list[str], workers: int = 1, **more: Any) -> tempest.Outcome:
    """Run these tests."""
    cloud = Cloud(folder)
    try:
        cloud.start()
        app = wiring.app(cloud.parts, public_url="", threads=4)
        with served(lambda: app) as url:
            app.public_url = url
            catalog = wiring.catalog(url, f"{url}:8080", f"{url}:9000")
            cloud.database.run(lambda db: bootstrap.foundation(db, catalog=catalog))
            work = Path(tempfile.mkdtemp(dir=folder))
            configure(work, cloud, url, **more)
            return tempest.run(work, ids, seconds=2400, workers=workers)
    finally:
        cloud.close()


def test_what_tempest_tests_of_networks(tmp_path):
    ids = tempest.wanted("network")
    found = outcome(tmp_path, ids)
    assert not found.failed, "\n\n".join(f"{name}\n{why}" for name, why in found.failed.items())
    assert not found.skipped, found.skipped
    assert found.passed == set(ids)
