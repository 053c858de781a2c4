"""A volume as QEMU is told of it: the nodes that read its data and the device that the guest sees. Pure functions."""

from typing import Any

from andromede.drivers.hypervisor import Drive

DEVICE = "vol-"
_LIMITS = {
    "total_bytes_sec": "bps", "read_bytes_sec": "bps_rd", "write_bytes_sec": "bps_wr",
    "total_iops_sec": "iops", "read_iops_sec": "iops_rd", "write_iops_sec": "iops_wr",
}  # fmt: skip
_MOST = {f"{ours}_max": f"{theirs}_max" for ours, theirs in _LIMITS.items()}


def slot(drive: Drive) -> str:
    """What names a volume's device."""
    return drive.slot or drive.id


def node(volume_id: str) -> str:
    """The name of a volume's node; QEMU allows 31 characters."""
    return "v" + volume_id.replace("-", "")[:24]


def secret(volume_id: str) -> str:
    """The name of a volume's passphrase."""
    return f"key-{volume_id}"


def nodes(drive: Drive, fdset: int) -> list[dict[str, Any]]:
    """The nodes of a volume whose file is in an fdset: what is below first."""
    name = node(drive.id)
    only: dict[str, Any] = {"read-only": True} if drive.readonly else {}
    file = {"driver": "file", "node-name": f"{name}-file", "filename": f"/dev/fdset/{fdset}", "discard": "unmap"} | only
    whole: dict[str, Any] = {"node-name": name, "file": f"{name}-file", "discard": "unmap", "detect-zeroes": "unmap"} | only
    if drive.format == "qcow2":
        whole |= {"driver": "qcow2", "backing": None} | ({"encrypt": {"format": "luks", "key-secret": secret(drive.id)}} if drive.secret else {})
    else:
        whole |= {"driver": "luks", "key-secret": secret(drive.id)} if drive.secret else {"driver": "raw"}
    return [file, whole]


def device(drive: Drive) -> dict[str, Any]:
    """What the guest sees, without its place."""
    kind = {"virtio": "virtio-blk-pci", "scsi": "scsi-hd", "sata": "ide-hd", "ide": "ide-hd", "usb": "usb-storage"}[drive.bus]
    made: dict[str, Any] = {"driver": kind, "id": DEVICE + slot(drive), "drive": node(drive.id), "serial": drive.id[:20]}
    return made | ({"share-rw": True} if drive.shared else {})


def throttle(limits: dict[str, int]) -> dict[str, int]:
    """QoS specs as the arguments of `block_set_io_throttle`; 0 is no limit. A sum and its parts exclude each other: the sum wins."""
    out = dict.fromkeys(_LIMITS.values(), 0)
    for ours, theirs in _LIMITS.items():
        out[theirs] = limits.get(ours, 0)
    for total in ("bps", "iops"):
        if out[total]:
            out[f"{total}_rd"] = out[f"{total}_wr"] = 0
    for ours, theirs in _MOST.items():
        base = out[theirs.removesuffix("_max")]
        if base and limits.get(ours, 0) >= base:
            out[theirs] = limits[ours]
    return out
