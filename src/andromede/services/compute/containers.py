"""Servers that are system containers, chosen by the image property `hypervisor_type=lxc`; who may not have them, and what they cannot do.

A container shares its host's kernel. An operator forbids that for the whole cloud (`compute.isolation`) or in a flavor (extra spec
`andromede:isolation=vm`), a project for itself by the tag `andromede:isolation=vm`.
"""

from collections.abc import Mapping
from typing import Any

from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, Forbidden
from andromede.drivers.hypervisor import LXC, QEMU, TRAIT
from andromede.services.identity import service as identity
from andromede.services.image.service import ARCHIVE
from andromede.services.volume import service as volume

ISOLATION, MACHINE = "andromede:isolation", "vm"
_CANNOT = {
    "suspend": "be suspended to disk: nothing but its kernel, which is the host's, could write down what its processes hold in memory. "
    "It can be paused",
    "rescue": "be rescued", "swap_volume": "have volumes swapped",
    "os-migrateLive": "be moved while it runs. It can be migrated while it is off",
}  # fmt: skip


def is_container(properties: Mapping[str, str]) -> bool:
    """Whether an image with these properties makes containers."""
    return properties.get("hypervisor_type", "").lower() == LXC


def hypervisor(properties: Mapping[str, str]) -> str:
    """The hypervisor for servers of an image."""
    return LXC if is_container(properties) else QEMU


def check(ctx: Context, properties: Mapping[str, str], disk_format: str, extra_specs: Mapping[str, str]) -> None:
    """Raise Forbidden where whoever asks must not share a kernel, BadRequest for an image that is no archive and should be, or is one."""
    if is_container(properties) != (disk_format == ARCHIVE):
        raise BadRequest(
            "A container is made of an archive of a root file system: an image of the disk format raw in the container format docker, with "
            "the property hypervisor_type=lxc. No other server is made of one."
        )
    if not is_container(properties):
        return
    if ctx.parts.settings.compute.isolation == MACHINE:
        raise Forbidden("This cloud has virtual machines only: its containers would share a kernel (compute.isolation).")
    if extra_specs.get(ISOLATION) == MACHINE:
        raise Forbidden(f"The flavor's {ISOLATION}=vm forbids the image: a container shares its host's kernel.")
    if f"{ISOLATION}={MACHINE}" in identity.project_tags(ctx.db, ctx.project_id):
        raise Forbidden(f"The project's tag {ISOLATION}=vm forbids the image: a container shares its host's kernel.")


def no_volume(image_format: str) -> None:
    """Raise BadRequest for the image of a container, where a volume is to be made of it or to go with it."""
    if image_format == ARCHIVE:
        raise BadRequest("Block Device Mapping is Invalid: a container is given volumes when it has been built.")


def mountable(row: Any, found: volume.Made) -> str:
    """Where a volume is to be found in a server that is a container; empty for another server. Raises Conflict where it may not be there.

    Its kernel is the host's, so it mounts what it alone has written: a volume that was made empty, and that no machine has had.
    """
    if not is_container(row["image"].get("properties", {})):
        return ""
    if found.multiattach:
        raise Conflict(f"The volume {found.id} is one that several servers share, which a container cannot have.")
    if found.contents == volume.FOREIGN:
        raise Conflict(
            f"The volume {found.id} may hold what a machine, an image or a backup brought: a container has volumes that were made empty, "
            "or of such ones, and that no virtual machine has had."
        )
    return f"/mnt/{found.id}"


def able(row: Any, action: str) -> None:
    """Raise Conflict where a container is asked for what only a virtual machine can do."""
    if action in _CANNOT and is_container(row["image"].get("properties", {})):
        raise Conflict(f"Server {row['id']} is a container, which cannot {_CANNOT[action]}.")


def formats(properties: Mapping[str, str]) -> tuple[str, str]:
    """disk_format and container_format of images of a server: a container's are archives, as the one that it is made of."""
    return ("raw", "docker") if is_container(properties) else ("qcow2", "bare")


def traits(properties: Mapping[str, str]) -> frozenset[str]:
    """What a host must have for servers of an image."""
    return frozenset({TRAIT + LXC.upper()}) if is_container(properties) else frozenset()
