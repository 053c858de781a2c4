"""From a server's row to what is shown of it."""

from typing import Any

from msgspec import UNSET
from sqlalchemy import select

from andromede.core.clock import iso_micro, iso_z
from andromede.core.context import Context
from andromede.services.compute import devices, servers, state
from andromede.services.compute.tables import host
from andromede.services.compute.wire import Address, FlavorInServer, Link, Server, ServerBrief
from andromede.services.network import service as network


def links(ctx: Context, kind: str, id_: str) -> list[Link]:
    """The links of one thing."""
    return [Link(rel="self", href=f"{ctx.base}/{kind}/{id_}"), bookmark(ctx, kind, id_)]


def bookmark(ctx: Context, kind: str, id_: str) -> Link:
    """The link without a version."""
    return Link(rel="bookmark", href=f"{ctx.base.removesuffix('/v2.1')}/{kind}/{id_}")


def brief(ctx: Context, row: Any) -> ServerBrief:
    """A line of the short list."""
    return ServerBrief(id=row["id"], name=row["name"], links=links(ctx, "servers", row["id"]))


def addresses(ports: list[network.Attached]) -> dict[str, list[Address]]:
    """Fixed and floating addresses, by network name."""
    out: dict[str, list[Address]] = {}
    for port in ports:
        entries = out.setdefault(port.network_name, [])
        for fixed in port.fixed:
            entries.append(Address(version=fixed.version, addr=fixed.address, type="fixed", mac=port.mac))
            if fixed.floating:
                entries.append(Address(version=4, addr=fixed.floating, type="floating", mac=port.mac))
    return out


def full(ctx: Context, rows: list[Any]) -> list[Server]:
    """Servers in full, with what else is needed of them read once for all."""
    ids = [row["id"] for row in rows]
    ports = network.ports_of(ctx.db, ids)
    tags = servers.tags_of(ctx.db, ids) if ctx.at_least("2.26") else {}
    zones = {row.name: row for row in ctx.db.execute(select(host.c.name, host.c.zone, host.c.seen, host.c.forced_down, host.c.enabled))}
    shown = [_one(ctx, row, ports.get(row["id"], []), tags.get(row["id"], []), zones) for row in rows]
    disks = devices.of_servers(ctx.db, ids)
    for server in shown:
        _disks(ctx, server, disks.get(server.id, []))
    return shown


def _disks(ctx: Context, shown: Server, rows: list[Any]) -> None:
    """The volumes of a server, and the device that it boots from."""
    more = ctx.at_least("2.3")
    shown.volumes = [{"id": one.volume_id} | ({"delete_on_termination": one.delete_on_termination} if more else {}) for one in rows]
    root = next((one.device_name for one in rows if one.boot_index == 0), None)
    if root is not None and shown.root_device_name is not UNSET:
        shown.root_device_name = root


_LATER = (
    "zone", "config_drive", "launched", "terminated", "security_groups", "task_state", "vm_state", "power_state", "volumes", "host",
    "hypervisor_hostname", "instance_name", "reservation_id", "launch_index", "hostname", "kernel_id", "ramdisk_id", "root_device_name",
    "user_data", "host_status",
)  # fmt: skip


def changed(ctx: Context, row: Any, *, rebuilt: bool = False) -> Server:
    """A server as the calls show it that change or rebuild it: in full from 2.75 on, with less before that."""
    shown = full(ctx, [row])[0]
    if not ctx.at_least("2.75"):
        for name in (*_LATER, *(() if rebuilt and ctx.at_least("2.54") else ("key_name",))):
            setattr(shown, name, UNSET)
        for one in (one for entries in shown.addresses.values() for one in entries):
            one.type, one.mac = UNSET, UNSET
    if rebuilt:
        shown.user_data, shown.own_user_data = UNSET, row["user_data"]
    return shown


def _one(ctx: Context, row: Any, ports: list[network.Attached], tags: list[str], zones: dict[str, Any]) -> Server:
    admin = ctx.caller.admin
    where = zones.get(row["host"]) if row["host"] else None
    groups = dict.fromkeys(name for port in ports for name in port.groups)
    shown = Server(
        id=row["id"], name=row["name"], status=state.status(row), tenant_id=row["project_id"], user_id=row["user_id"],
        metadata=row["metadata"], host_id=servers.host_id(row["project_id"], row["host"]),
        image=_image(ctx, row) if row["image_id"] else "",
        flavor=_flavor(ctx, row["flavor"]), created=iso_z(row["created"]), updated=iso_z(row["updated"]), addresses=addresses(ports),
        access_ipv4=row["access_ipv4"], access_ipv6=row["access_ipv6"], links=links(ctx, "servers", row["id"]),
        disk_config=row["disk_config"], zone=(where.zone if where else row["zone"]) or "", key_name=row["key_name"],
        config_drive="True" if row["config_drive"] else "", launched=iso_micro(row["launched"]) if row["launched"] else None,
        terminated=iso_micro(row["terminated"]) if row["terminated"] else None, task_state=row["task_state"], vm_state=row["vm_state"],
        power_state=state.power(row), volumes=[], locked=row["locked_by"] is not None, description=row["description"], tags=tags,
        trusted_image_certificates=None, server_groups=[row["group_id"]] if row["group_id"] else [], locked_reason=row["locked_reason"],
        pinned_zone=row["zone"], scheduler_hints={name: value for name, value in row["hints"].items() if not name.startswith("_")},
    )  # fmt: skip
    if shown.status in ("ACTIVE", "BUILD", "REBOOT", "HARD_REBOOT", "PAUSED", "REBUILD", "RESIZE", "VERIFY_RESIZE", "MIGRATING"):
        shown.progress = state.progress(row)
    if row["fault"] and shown.status in ("ERROR", "DELETED"):
        shown.fault = {key: value for key, value in row["fault"].items() if admin or key != "details"}
    if groups:
        shown.security_groups = [{"name": name} for name in groups]
    if admin:
        _for_admins(shown, row, where)
    elif ctx.at_least("2.90"):
        shown.hostname = row["hostname"]
    return shown


def _for_admins(shown: Server, row: Any, where: Any) -> None:
    from andromede.services.compute.hosts import alive

    image = row["image"]
    shown.host = shown.hypervisor_hostname = row["host"]
    shown.instance_name = f"guest-{row['id']}"
    shown.reservation_id, shown.launch_index, shown.hostname = row["reservation_id"], row["launch_index"], row["hostname"]
    shown.kernel_id, shown.ramdisk_id = (image.get("kernel") or {}).get("id", ""), (image.get("ramdisk") or {}).get("id", "")
    shown.root_device_name, shown.user_data = "/dev/vda", row["user_data"]
    shown.host_status = "" if where is None else ("UP" if alive(where) else "DOWN") if where.enabled else "MAINTENANCE"


def _image(ctx: Context, row: Any) -> dict[str, Any]:
    shown = {"id": row["image_id"], "links": [bookmark(ctx, "images", row["image_id"])]}
    return shown | {"properties": row["image"].get("properties", {})} if ctx.at_least("2.98") else shown


def _flavor(ctx: Context, kept: dict[str, Any]) -> FlavorInServer:
    return FlavorInServer(
        id=kept["id"], links=[bookmark(ctx, "flavors", kept["id"])], vcpus=kept["vcpus"], ram=kept["ram"], disk=kept["disk"],
        ephemeral=kept["ephemeral"], swap=kept["swap"], original_name=kept["original_name"], extra_specs=kept["extra_specs"],
    )  # fmt: skip


