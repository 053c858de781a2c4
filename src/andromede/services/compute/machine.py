"""What an image's properties make of the machine that a server is. Source: Nova's "Useful image properties".

What cannot be had is refused when a server is asked for, by the property's name.
"""

import re
from collections.abc import Mapping
from typing import Any

from andromede.core.errors import BadRequest, Conflict
from andromede.drivers.hypervisor import SECURE_BOOT, TPM
from andromede.services.compute import containers

BUSES = ("virtio", "scsi", "sata", "ide", "usb")
MODELS = ("virtio", "e1000", "e1000e", "rtl8139", "vmxnet3")
_ALLOWED: dict[str, tuple[str, ...]] = {
    "hypervisor_type": ("qemu", "kvm", "lxc"),
    "hw_disk_bus": BUSES,
    "hw_cdrom_bus": BUSES[:-1],
    "hw_rescue_bus": BUSES,
    "hw_rescue_device": ("disk", "cdrom"),
    "hw_vif_model": MODELS,
    "hw_firmware_type": ("bios", "uefi"),
    "hw_video_model": ("vga", "virtio", "qxl", "bochs", "none"),
    "os_secure_boot": ("required", "optional", "disabled"),
    "hw_tpm_version": ("2.0",),
    "hw_tpm_model": ("tpm-crb", "tpm-tis"),
    "hw_scsi_model": ("virtio-scsi",),
}
_MACHINE = re.compile(r"q35|pc|pc-q35-\d[\d.]*|pc-i440fx-\d[\d.]*")
_PAGES = ("small", "any", "large", "2MB", "2048")


def check(properties: Mapping[str, str], extra_specs: Mapping[str, str]) -> None:
    """Raise BadRequest for what no host here can make."""
    for name, allowed in _ALLOWED.items():
        value = properties.get(name)
        if value is not None and value not in allowed:
            raise BadRequest(f"The image's property {name} is '{value}'; servers here can have {', '.join(allowed)}.")
    machine = properties.get("hw_machine_type", "")
    if machine and not _MACHINE.fullmatch(machine):
        raise BadRequest(f"The image's property hw_machine_type is '{machine}'; servers here can have q35 and pc.")
    if _secure(properties, extra_specs) and properties.get("hw_firmware_type") != "uefi":
        raise BadRequest("The image's property os_secure_boot needs hw_firmware_type=uefi.")
    if _secure(properties, extra_specs) and machine.startswith("pc") and not machine.startswith("pc-q35"):
        raise BadRequest("The image's property os_secure_boot needs hw_machine_type=q35.")
    pages = _pages(properties, extra_specs)
    if pages not in (None, *_PAGES):
        raise BadRequest(f"hw_mem_page_size is '{pages}'; servers here can have {', '.join(_PAGES)}.")


def of(properties: Mapping[str, str], extra_specs: Mapping[str, str], vcpus: int) -> dict[str, Any]:
    """The fields of a Wish that the properties decide."""
    multiqueue = _true(extra_specs.get("hw:vif_multiqueue_enabled", properties.get("hw_vif_multiqueue_enabled")))
    tpm = extra_specs.get("hw:tpm_version", properties.get("hw_tpm_version"))
    model = properties.get("hw_vif_model", "virtio")
    return {
        "hypervisor": containers.hypervisor(properties),
        "firmware": "uefi" if properties.get("hw_firmware_type") == "uefi" else "bios",
        "disk_bus": properties.get("hw_disk_bus", "virtio"),
        "nic_model": model,
        "machine": properties.get("hw_machine_type", ""),
        "video": properties.get("hw_video_model", "vga"),
        "secure_boot": _secure(properties, extra_specs),
        "tpm": extra_specs.get("hw:tpm_model", properties.get("hw_tpm_model", "tpm-crb")) if tpm else "",
        "local_time": properties.get("os_type") == "windows",
        "huge_pages": _pages(properties, extra_specs) in ("large", "2MB", "2048"),
        "queues": min(vcpus, 16) if multiqueue and model == "virtio" else 1,
    }


def stays(row: Any, action: str = "") -> bool:
    """Whether a server has to stay on its host while it is off, because of its TPM, which is kept there. row: a mapping.

    Raises Conflict where it does, and an action that takes it away is named.
    """
    has = bool(of(row["image"].get("properties", {}), row["flavor"]["extra_specs"], row["vcpus"])["tpm"])
    if has and action:
        raise Conflict(f"Cannot '{action}' instance {row['id']}: it has a TPM, which is kept on its host. It can be moved while it runs.")
    return has


def traits(properties: Mapping[str, str], extra_specs: Mapping[str, str]) -> set[str]:
    """What a host must be able to do."""
    wanted = {TPM: extra_specs.get("hw:tpm_version", properties.get("hw_tpm_version")), SECURE_BOOT: _secure(properties, extra_specs)}
    return {name for name, needed in wanted.items() if needed}


def _secure(properties: Mapping[str, str], extra_specs: Mapping[str, str]) -> bool:
    wanted = extra_specs.get("os:secure_boot", properties.get("os_secure_boot"))
    return wanted == "required" or (wanted == "optional" and properties.get("hw_firmware_type") == "uefi")


def _pages(properties: Mapping[str, str], extra_specs: Mapping[str, str]) -> str | None:
    return extra_specs.get("hw:mem_page_size", properties.get("hw_mem_page_size"))


def _true(text: str | None) -> bool:
    return (text or "").lower() in ("true", "1", "yes", "on")
