"""Tempest's volume tests against Block Storage in this process, over HTTP, with hosts that keep books. Every test of the list must pass."""

import configparser
import tempfile
from pathlib import Path

from andromede.run import wiring
from andromede.services.identity import bootstrap
from tests.api.images import active
from tests.cloud import ADMIN_PASSWORD, Cloud
from tests.conformance import tempest
from tests.objects import served


def configure(folder: Path, url: str, image: str) -> None:
    """A tempest.conf of everything but networks' addresses, which no book has."""
    sections: dict[str, dict[str, object]] = {
        "DEFAULT": {"log_file": "tempest.log", "log_dir": folder},
        "oslo_concurrency": {"lock_path": folder / "lock"},
        "auth": {
            "use_dynamic_credentials": True, "admin_username": "admin", "admin_password": ADMIN_PASSWORD, "admin_project_name": "admin",
            "admin_domain_name": "Default", "create_isolated_networks": True, "tempest_roles": "member",
        },
        "identity": {"uri_v3": f"{url}/identity/v3", "auth_version": "v3", "region": "RegionOne", "default_domain_id": "default"},
        "compute": {"image_ref": image, "image_ref_alt": image, "flavor_ref": "1", "flavor_ref_alt": "2", "build_interval": 1, "build_timeout": 60},
        "compute-feature-enabled": {"volume_multiattach": True, "attach_encrypted_volume": True},
        "network": {"project_network_cidr": "10.100.0.0/16", "project_network_mask_bits": 28},
        "validation": {"run_validation": False},
        "volume": {
            "build_interval": 1, "build_timeout": 60, "min_microversion": "3.0", "max_microversion": "3.70", "storage_protocol": "file",
            "vendor_name": "Andromède", "disk_format": "raw", "volume_size": 1, "catalog_type": "block-storage",
        },
        "volume-feature-enabled": {
            "backup": True, "snapshot": True, "clone": True, "manage_snapshot": False, "manage_volume": False, "extend_attached_volume": True,
            "extend_attached_encrypted_volume": True, "consistency_group": False, "volume_revert": True, "multi_backend": False,
            "api_extensions": "all", "enable_volume_image_dep_tests": True,
        },
        "image-feature-enabled": {"api_v2": True},
        "service_available": {"cinder": True, "swift": False, "horizon": False, "neutron": True, "nova": True, "glance": True},
    }  # fmt: skip
    parser = configparser.ConfigParser(interpolation=None)
    for section, values in sections.items():
        parser[section] = {key: str(value) for key, value in values.items()}
    (folder / "lock").mkdir()
    with (folder / "tempest.conf").open("w") as file:
        parser.write(file)


def outcome(folder: Path, ids: list[str] | None = None, workers: int = 1) -> tempest.Outcome:
    """Run these tests, or all of Tempest's for volumes."""
    cloud = Cloud(folder)
    try:
        cloud.start()
        image = active(cloud.admin, b"BOOT" + b"\0" * 65532, visibility="public")["id"]
        app = wiring.app(cloud.parts, public_url="", threads=4)
        with served(lambda: app) as url:
            app.public_url = url
            catalog = wiring.catalog(url, f"{url}:8080", f"{url}:9000")
            cloud.database.run(lambda db: bootstrap.foundation(db, catalog=catalog))
            work = Path(tempfile.mkdtemp(dir=folder))
            configure(work, url, image)
            return tempest.run(work, ids or ["tempest.api.volume"], seconds=2400, workers=workers)
    finally:
        cloud.close()


def test_what_tempest_tests_of_volumes(tmp_path):
    ids = tempest.wanted("volume")
    found = outcome(tmp_path, ids)
    assert not found.failed, "\n\n".join(f"{name}\n{why}" for name, why in found.failed.items())
    assert not found.skipped, found.skipped
    assert found.passed == set(ids)
