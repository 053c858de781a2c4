"""Tempest against a whole cloud in this process, whose hosts, fabric and disks only keep books: what needs no guest is tested in minutes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from andromede.run.settings import Identity, Image, Settings
from tests.api.images import active, make, web
from tests.api.test_network_basics import V
from tests.api.test_network_basics import make as network
from tests.cloud import ADMIN_PASSWORD, Cloud
from tests.conformance import features, in_process, tempest


@contextmanager
def prepared(folder: Path, hosts: int = 1) -> Iterator[Path]:
    """A folder with the tempest.conf of a cloud of so many hosts, which is there until the end."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = make(folder, "qcow2")
    with web({"/image.qcow2": (200, {}, picture)}) as port:
        settings = Settings(
            identity=Identity(lockout_failure_attempts=2, lockout_duration=5, unique_last_password_count=2, token_lifetime=7200),
            image=Image(import_allowed_ports=(port,), import_allowed_hosts=("127.0.0.1",)),
        )
        cloud = Cloud(folder, settings=settings, hosts=tuple(f"host-{number + 1}" for number in range(hosts)))
        try:
            cloud.start()
            with in_process.api(cloud) as url:
                work = folder / "tempest"
                tempest.write(work, url, ADMIN_PASSWORD, features.sections(_facts(cloud, url, hosts, f"http://127.0.0.1:{port}/image.qcow2")))
                yield work
        finally:
            cloud.close()


def outcome(folder: Path, ids: list[str], *, hosts: int = 1, workers: int = 2, seconds: float = 3000) -> tempest.Outcome:
    """Run these tests, given by id or by the start of it, against a cloud of so many hosts."""
    with prepared(folder, hosts) as work:
        return tempest.run(work, ids, workers=workers, seconds=seconds)


def _facts(cloud: Cloud, url: str, hosts: int, where: str) -> features.Facts:
    outside = {"router:external": True, "provider:network_type": "flat", "provider:physical_network": "public", "is_default": True}
    public = network(cloud.admin, "network", name="public", **outside)
    pool = [{"start": "172.24.4.2", "end": "172.24.7.254"}]
    network(cloud.admin, "subnet", network_id=public["id"], ip_version=4, cidr="172.24.4.0/22", enable_dhcp=False, allocation_pools=pool)
    network(cloud.admin, "subnetpool", name="shared", prefixes=["10.200.0.0/16"], default_prefixlen=26, is_default=True, shared=True)
    told = {"visibility": "public", "hw_scsi_model": "virtio-scsi"}
    images = [active(cloud.admin, b"BOOT" + b"\0" * 65532, name=name, **told)["id"] for name in ("one", "other")]
    return features.Facts(
        image=images[0], other_image=images[1], flavor="2", other_flavor="3", public_network=public["id"], hosts=hosts, web=where,
        fixed_network=_shared(cloud) if hosts > 1 else "", images=_manifest(cloud.folder / "formats") if hosts > 1 else "",
        multiattach=_multiattach(cloud), other_image_api=_second_image_api(cloud, url),
        network_extensions=features.extensions(cloud.admin.get(f"{V}/extensions").json),
    )  # fmt: skip


def _multiattach(cloud: Cloud) -> str:
    """A type of volumes that several servers can have at once."""
    wanted = {"name": "shared", "extra_specs": {"multiattach": "<is> True"}}
    answer = cloud.admin.post("/volume/v3/types", {"volume_type": wanted})
    assert answer.status == 200, answer
    return answer.json["volume_type"]["name"]


def _shared(cloud: Cloud) -> str:
    """A network that every project sees; networks are not allotted by themselves where there is one."""
    made = network(cloud.admin, "network", name="private", shared=True)
    network(cloud.admin, "subnet", network_id=made["id"], ip_version=4, cidr="10.9.0.0/16")
    return str(made["name"])


def _second_image_api(cloud: Cloud, url: str) -> str:
    """The type of a service that is Image once more, as another worker of it is elsewhere."""
    made = cloud.admin.post("/identity/v3/services", {"service": {"type": "image-remote", "name": "image"}}).json["service"]
    facts = {"service_id": made["id"], "interface": "public", "url": f"{url}/image", "region_id": "RegionOne"}
    assert cloud.admin.post("/identity/v3/endpoints", {"endpoint": facts}).status == 201
    return str(made["type"])


def _manifest(folder: Path) -> str:
    """The path of a list of images of every format that QEMU makes and Image takes."""
    folder.mkdir()
    lines = ["images:"]
    kinds = {"qcow2": "qcow2", "vmdk": "vmdk", "vdi": "vdi", "vhd": "vpc", "vhdx": "vhdx"}
    made = {kind: make(folder, name) for kind, name in kinds.items()} | {"raw": (folder / "disk.raw").read_bytes()}
    for kind, data in made.items():
        (folder / f"image.{kind}").write_bytes(data)
        lines.append(f"- {{name: {kind}, format: {kind}, filename: image.{kind}, usable: true}}")
    path = folder / "manifest.yml"
    path.write_text("\n".join(lines))
    return str(path)
