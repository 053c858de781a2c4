"""What a server's metadata service and config drive hold, by path. Source: Nova's metadata documentation; EC2's metadata categories."""

import base64
from collections.abc import Sequence
from typing import Any

import msgspec

from andromede.services.network.service import Attached


def files(row: Any, ports: list[Attached], flavor_name: str, zone: str, tagged: Sequence[dict[str, Any]] = ()) -> dict[str, bytes]:
    """OpenStack's and EC2's documents of one server, by path. tagged: its devices that have tags."""
    out = {f"openstack/latest/{name}": content for name, content in _openstack(row, ports, zone, tagged).items()}
    ec2 = _ec2(row, ports, flavor_name, zone)
    out |= {f"latest/{name}": content for name, content in ec2.items()}
    flat = {name.removeprefix("meta-data/"): content.decode() for name, content in ec2.items() if name.startswith("meta-data/")}
    out["ec2/latest/meta-data.json"] = msgspec.json.encode(flat)
    return out


def _user_data(row: Any) -> bytes | None:
    return base64.b64decode(row["user_data"]) if row["user_data"] else None


def _openstack(row: Any, ports: list[Attached], zone: str, tagged: Sequence[dict[str, Any]]) -> dict[str, bytes]:
    meta: dict[str, Any] = {
        "uuid": row["id"],
        "name": row["name"],
        "hostname": row["hostname"],
        "project_id": row["project_id"],
        "availability_zone": zone,
        "launch_index": row["launch_index"],
        "meta": row["metadata"],
        "devices": list(tagged),
        "dedicated_cpus": [],
    }
    if row["public_key"]:
        meta["public_keys"] = {row["key_name"]: row["public_key"]}
        kind = "x509" if row["public_key"].startswith("-----BEGIN CERTIFICATE") else "ssh"
        meta["keys"] = [{"name": row["key_name"], "type": kind, "data": row["public_key"]}]
    out: dict[str, bytes] = {}
    if row["files"]:
        meta["files"] = [{"path": path, "content_path": f"/content/{number:04d}"} for number, path in enumerate(row["files"])]
        for number, content in enumerate(row["files"].values()):
            out[f"content/{number:04d}"] = base64.b64decode(content)
    out["meta_data.json"] = msgspec.json.encode(meta)
    out["network_data.json"] = msgspec.json.encode(_network_data(ports))
    out["vendor_data.json"] = b"{}"
    out["vendor_data2.json"] = b"{}"
    if (user_data := _user_data(row)) is not None:
        out["user_data"] = user_data
    return out


def _network_data(ports: list[Attached]) -> dict[str, Any]:
    links, networks, services = [], [], []
    for number, port in enumerate(ports):
        link = f"tap{port.port_id[:11]}"
        links.append({"id": link, "vif_id": port.port_id, "type": "ovs", "mtu": port.mtu, "ethernet_mac_address": port.mac})
        for fixed in port.fixed:
            kind = "ipv4" if fixed.version == 4 else "ipv6"
            networks.append({"id": f"network{number}", "type": f"{kind}_dhcp", "link": link, "network_id": port.network_id})
            services += [{"type": "dns", "address": address} for address in fixed.dns]
    return {"links": links, "networks": networks, "services": services}


def _ec2(row: Any, ports: list[Attached], flavor_name: str, zone: str) -> dict[str, bytes]:
    local = [fixed.address for port in ports for fixed in port.fixed if fixed.version == 4]
    public = [fixed.floating for port in ports for fixed in port.fixed if fixed.floating]
    short = f"i-{row['id'][:8]}"
    meta = {
        "ami-id": "ami-" + (row["image_id"] or "00000000")[:8],
        "ami-launch-index": str(row["launch_index"]),
        "hostname": row["hostname"],
        "instance-id": short,
        "instance-type": flavor_name,
        "local-hostname": row["hostname"],
        "local-ipv4": local[0] if local else "",
        "placement/availability-zone": zone,
        "public-hostname": row["hostname"],
        "public-ipv4": public[0] if public else "",
        "reservation-id": row["reservation_id"],
        "security-groups": "\n".join(dict.fromkeys(name for port in ports for name in port.groups)),
    }
    if row["public_key"]:
        meta["public-keys"] = f"0={row['key_name']}"
        meta["public-keys/0/openssh-key"] = row["public_key"]
    out = {f"meta-data/{name}": text.encode() for name, text in meta.items()}
    if (user_data := _user_data(row)) is not None:
        out["user-data"] = user_data
    return out
