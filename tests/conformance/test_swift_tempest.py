"""Tempest's object storage tests against Swift in this process, over HTTP. Every test of the list must pass."""

from pathlib import Path

from andromede.drivers.blob.fake import Fake
from andromede.http.plain import serve
from andromede.run import wiring
from andromede.services.identity import bootstrap
from andromede.services.object.service import Objects
from andromede.services.object.swift import Settings, Swift
from andromede.services.object.swift.settings import Realm
from tests.cloud import ADMIN_PASSWORD, Cloud
from tests.conformance import tempest
from tests.objects import callers, served


def configure(folder: Path, url: str) -> None:
    """A tempest.conf that only knows Identity and Swift."""
    sections: dict[str, dict[str, object]] = {
        "object-storage": {
            "operator_role": "member", "reseller_admin_role": "admin", "build_timeout": 30,
            "container_sync_interval": 1, "container_sync_timeout": 30, "realm_name": "realm1", "cluster_name": "name1",
        },
        "object-storage-feature-enabled": {
            "container_sync": True, "object_versioning": True, "discoverability": True, "tempurl_digest_hashlib": "sha256",
            "discoverable_apis": "symlink,versioned_writes,object_versioning,slo,dlo,account_quotas,container_quotas,staticweb,formpost,tempurl,"
            "bulk_upload,bulk_delete,container_sync,crossdomain",
        },
        "service_available": {"cinder": False, "swift": True, "horizon": False, "neutron": False, "nova": False, "glance": False},
    }  # fmt: skip
    tempest.write(folder, url, ADMIN_PASSWORD, sections, networks=False)


def outcome(folder: Path, ids: list[str] | None = None) -> tempest.Outcome:
    """Run these tests, or all of Tempest's for object storage."""
    cloud = Cloud(folder)
    try:
        clusters: dict[str, str] = {}
        settings = Settings(
            digests=("sha1", "sha256", "sha512"),  # one of Tempest's tests signs a form with SHA-1
            realms={"REALM1": Realm(("the realm's key",), clusters)}, crossdomain='<allow-access-from domain="*" secure="false" />',
        )  # fmt: skip
        cloud.parts.swift, cloud.parts.objects = settings, Objects(Fake(classes=("standard", "silver")))
        cloud.start()
        with (
            served(lambda: serve(Swift(cloud.parts.objects, callers(cloud), settings), "swift")) as swift,
            served(lambda: wiring.app(cloud.parts, public_url="", threads=4)) as url,
        ):
            clusters["NAME1"] = f"{swift}/v1/"
            catalog = {"identity": ("keystone", f"{url}/identity/v3"), "object-store": ("swift", f"{swift}/v1/AUTH_$(project_id)s")}
            cloud.database.run(lambda db: bootstrap.foundation(db, catalog=catalog))
            work = folder / "tempest"
            configure(work, url)
            return tempest.run(work, ids or ["tempest.api.object_storage"], seconds=1500)
    finally:
        cloud.close()


def test_what_tempest_tests_of_object_storage(tmp_path):
    ids = tempest.wanted("object_storage")
    found = outcome(tmp_path, ids)
    tempest.all_passed(ids, found)
