"""Tempest against a real cloud, whose guests it signs in to."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from andromede.run.guest_images import register
from andromede.run.images import build
from tests.conformance import features, tempest
from tests.real import RealCloud

SETTINGS = "[identity]\nlockout_failure_attempts = 2\nlockout_duration = 5\nunique_last_password_count = 2\n"
"""What Tempest's tests of passwords ask for."""
SECONDS = 300
"""How long an emulated guest may take until it can be signed in to."""


@contextmanager
def prepared() -> Iterator[Path]:
    """A folder with the tempest.conf of a real cloud, which is there until the end."""
    cloud = RealCloud(SETTINGS)
    try:
        cloud.cli("up")
        folder = cloud.folder / "tempest"
        configure(folder, cloud)
        yield folder
    finally:
        cloud.destroy()


def configure(folder: Path, cloud: RealCloud) -> None:
    """Write the tempest.conf of a real cloud."""
    tempest.write(folder, cloud.url, cloud.password("admin"), features.sections(_facts(cloud.admin)))


def outcome(ids: list[str], *, workers: int = 2, seconds: float = 7200) -> tempest.Outcome:
    """Run these tests, given by id or by the start of it, against a real cloud of their own."""
    with prepared() as folder:
        return tempest.run(folder, ids, workers=workers, seconds=seconds)


def _facts(admin: Any) -> features.Facts:
    image = admin.get("/image/v2/images?name=petit")["images"][0]["id"]
    admin.patch(f"/image/v2/images/{image}", [{"op": "add", "path": "/hw_scsi_model", "value": "virtio-scsi"}])
    flavors = {one["name"]: one["id"] for one in admin.get("/compute/v2.1/flavors")["flavors"]}
    return features.Facts(
        image=image, other_image=_other_image(admin), flavor=flavors["petit-2"],
        other_flavor=flavors["petit-4"], public_network=admin.get("/network/v2.0/networks?name=public")["networks"][0]["id"],
        network_extensions=features.extensions(admin.get("/network/v2.0/extensions")), guests=True, seconds=SECONDS,
        fixed_network="private", multiattach=_multiattach(admin),
    )  # fmt: skip


def _other_image(admin: Any) -> str:
    """The id of a second image to boot from: petit again, under another name."""
    cache = Path(os.environ.get("ANDROMEDE_CACHE", "/var/cache/andromede"))
    built = build("petit", cache, lambda _text, _part: None)
    return str(register(admin, replace(built, name="petit-alt"))["id"])


def _multiattach(admin: Any) -> str:
    """A type of volumes that several servers can have at once."""
    wanted = {"name": "shared", "extra_specs": {"multiattach": "<is> True"}}
    return str(admin.post("/volume/v3/types", {"volume_type": wanted})["volume_type"]["name"])
