"""Guest images of ours in a cloud: built where that is needed, then registered as public images. Talks to the cloud through its API only."""

from typing import Any

from andromede.core.errors import CloudError, NotFound
from andromede.run.client import Client, sign_in
from andromede.run.home import Home
from andromede.run.images import Artifact, Built, build, recipes, summary


def listing() -> list[tuple[str, str]]:
    """(name, what it is) of every image that can be built."""
    return [(name, summary(name)) for name in recipes()]


def offer(home: Home, name: str, steps: Any) -> dict[str, Any]:
    """Build the image `name` and register it in the cloud; answers the image as the API shows it. May be repeated.

    Errors: NotFound for a name without a recipe, BuildError, CloudError where no cloud serves.
    """
    if name not in recipes():
        raise NotFound(f"There is no guest image {name}. There are: {', '.join(recipes())}.")
    if not (home.secrets / "ready").exists():
        raise CloudError("There is no cloud here yet; make one with: andromede up")
    admin = sign_in(home, "admin")
    with steps.step(f"Building {name}") as tell:
        built = build(name, home.cache, tell)
    with steps.step(f"Registering {name}") as tell:
        tell("uploading", None)
        return register(admin, built)


def register(admin: Client, built: Built) -> dict[str, Any]:
    """Upload what the cloud does not have yet; an older build of the same name is hidden, and stays under the servers that use it.

    The kernel and initrd stand beside the disk for booting directly, which is quicker under TCG.
    """
    properties = {key: str(value) for key, value in built.properties.items()}
    if built.disk is None:
        assert built.root is not None
        return _upload(admin, built.name, built.root, "docker", properties)
    if built.root is not None:
        plain = {key: value for key, value in properties.items() if not key.startswith("hw_") or key == "hw_disk_bus"}
        _upload(admin, f"{built.name}-lxc", built.root, "docker", plain | {"hypervisor_type": "lxc"})
    if built.kernel is not None and built.initrd is not None:
        properties |= {
            "kernel_id": _upload(admin, f"{built.name}-kernel", built.kernel, "aki", properties)["id"],
            "ramdisk_id": _upload(admin, f"{built.name}-initrd", built.initrd, "ari", properties)["id"],
            "os_command_line": built.command_line,
        }
    return _upload(admin, built.name, built.disk, "bare", properties)


def _upload(admin: Client, name: str, file: Artifact, container: str, properties: dict[str, str]) -> dict[str, Any]:
    known = admin.get(f"/image/v2/images?name={name}&owner={admin.project_id}")["images"]
    found = next((one for one in known if one["os_hash_value"] == file.sha512), None)
    found = found or next((one for one in known if one["status"] == "queued"), None)
    if found is None:
        limits = {key: int(properties[key]) for key in ("min_disk", "min_ram") if key in properties}
        facts = {key: value for key, value in properties.items() if key not in limits}
        kinds = {"disk_format": file.disk_format, "container_format": container}
        found = admin.post("/image/v2/images", {"name": name, "visibility": "public", **kinds, **limits, **facts})
    if found["status"] == "queued":
        with file.path.open("rb") as data:
            admin.upload(f"/image/v2/images/{found['id']}/file", data, file.size)
    for older in known:
        if older["id"] != found["id"]:
            admin.patch(f"/image/v2/images/{older['id']}", [{"op": "replace", "path": "/os_hidden", "value": True}])
    return admin.get(f"/image/v2/images/{found['id']}")  # type: ignore[no-any-return]
