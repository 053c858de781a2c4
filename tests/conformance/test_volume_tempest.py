"""Tempest's volume tests against Block Storage in this process, over HTTP, with hosts that keep books. Every test of the list must pass."""

from pathlib import Path

from tests.api.images import active
from tests.cloud import ADMIN_PASSWORD, Cloud
from tests.conformance import in_process, tempest


def configure(folder: Path, url: str, image: str) -> None:
    """A tempest.conf of everything but networks' addresses, which no book has."""
    sections: dict[str, dict[str, object]] = {
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
    tempest.write(folder, url, ADMIN_PASSWORD, sections)


def outcome(folder: Path, ids: list[str] | None = None, workers: int = 1) -> tempest.Outcome:
    """Run these tests, or all of Tempest's for volumes."""
    cloud = Cloud(folder)
    try:
        cloud.start()
        image = active(cloud.admin, b"BOOT" + b"\0" * 65532, visibility="public")["id"]
        with in_process.api(cloud) as url:
            work = folder / "tempest"
            configure(work, url, image)
            return tempest.run(work, ids or ["tempest.api.volume"], seconds=2400, workers=workers)
    finally:
        cloud.close()


def test_what_tempest_tests_of_volumes(tmp_path):
    ids = tempest.wanted("volume")
    found = outcome(tmp_path, ids)
    tempest.all_passed(ids, found)
