"""The rules of servers: creating, finding, changing, deleting them."""

import base64
import binascii
import hashlib
import ipaddress
import re
import secrets
from datetime import timedelta
from typing import Any

from msgspec import UNSET
from sqlalchemy import Connection, delete, func, insert, select, true, update

from andromede.core.clock import now
from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, Forbidden, NotFound, QuotaExceeded
from andromede.core.ids import is_id, new_id
from andromede.drivers.hypervisor import MOST_NICS
from andromede.services.compute import boot_source, devices, groups, hosts, operations, state
from andromede.services.compute.flavors import find_flavor, flavor_in_server
from andromede.services.compute.tables import action, host, keypair, server, server_group, server_tag
from andromede.services.compute.wire import CreateServer, NewServer, ServerChange
from andromede.services.network import service as network
from andromede.services.quota.service import Resource, register

_USER_DATA = 65535
_METADATA_ITEMS = 128


def _sum(column: Any) -> Any:
    def count(db: Connection, project_id: str) -> int:
        query = select(func.coalesce(func.sum(column), 0)).where(server.c.project_id == project_id, server.c.deleted.is_(None))
        return int(db.scalar(query) or 0)

    return count


def _count(db: Connection, project_id: str) -> int:
    return db.scalar(select(func.count()).where(server.c.project_id == project_id, server.c.deleted.is_(None))) or 0


register(
    Resource("instances", "compute", 20, _count),
    Resource("cores", "compute", 40, _sum(server.c.vcpus)),
    Resource("ram", "compute", 102400, _sum(server.c.ram)),
    Resource("metadata_items", "compute", _METADATA_ITEMS, lambda _db, _project: 0),
)


def hostname_of(name: str, id_: str) -> str:
    """A DNS label made of a server's name, as Nova does it."""
    label = re.sub(r"[ _.]+", "-", name).encode("ascii", "ignore").decode()
    label = re.sub(r"[^\w-]+", "", label).lower().strip("-")[:63].strip("-")
    return label or f"server-{id_}"


def create(ctx: Context, body: CreateServer) -> tuple[list[str], str, str]:
    """The ids of the new servers, their reservation, and the admin password. They are being built when this returns."""
    wanted = body.server
    count, most = _counts(wanted)
    flavor = find_flavor(ctx, str(wanted.flavor))
    source, disks = boot_source.source(ctx, wanted, flavor)
    own = not source.get("from_volume")
    key = key_of(ctx, wanted.key_name or None, ctx.caller.user_id)
    _check_texts(ctx, wanted)
    hints, group_id, host_hints = _hints(ctx, body)
    zone, wanted_host = _zone(ctx, wanted)
    number = _affordable(ctx, flavor, count, most)
    if group_id is not None:
        groups.refuse_crowd(ctx, group_id, number)
    requests = _networks(ctx, wanted, number)
    reservation, password = f"r-{secrets.token_hex(4)}", wanted.admin_pass or secrets.token_urlsafe(9)
    moment, ids = now(), []
    for index in range(number):
        id_ = new_id()
        name = wanted.name if number == 1 else f"{wanted.name}-{index + 1}"
        hostname = (wanted.hostname or "") if number == 1 else ""
        hostname = hostname or hostname_of(name, id_)
        ctx.db.execute(
            insert(server).values(
                id=id_, project_id=ctx.project_id, user_id=ctx.caller.user_id, name=name, hostname=hostname,
                description=wanted.description or (name if not ctx.at_least("2.19") else None),
                flavor=flavor_in_server(flavor), flavor_id=flavor.id, vcpus=flavor.vcpus, ram=flavor.ram, disk=flavor.disk if own else 0,
                image_id=source["id"], image=source, key_name=key[0], public_key=key[1], config_drive=bool(wanted.config_drive),
                user_data=wanted.user_data or None, files={one.path: one.contents for one in wanted.personality or []},
                metadata=wanted.metadata or {}, zone=zone, hints=hints | host_hints, wanted_host=wanted_host, group_id=group_id,
                reservation_id=reservation, launch_index=index, access_ipv4=canonical(wanted.access_ipv4),
                access_ipv6=canonical(wanted.access_ipv6), disk_config=wanted.disk_config or "MANUAL", vm_state="building",
                task_state="scheduling", power="running", created=moment, updated=moment,
            )
        )  # fmt: skip
        for tag in dict.fromkeys(wanted.tags or []):
            ctx.db.execute(insert(server_tag).values(server_id=id_, tag=tag))
        ports = network.attach(ctx, id_, requests, groups=[group.name for group in wanted.security_groups or []], hostname=hostname)
        ctx.db.execute(update(server).where(server.c.id == id_).values(nic_tags=_nic_tags(wanted, ports)))
        if number > 1 and any(one.source == "volume" for one in disks):
            raise BadRequest("Block Device Mapping is Invalid: a volume cannot be attached to several new servers.")
        bus = source.get("properties", {}).get("hw_disk_bus", "virtio")
        devices.add(ctx, id_, disks, bus=bus, own=own, drive=bool(wanted.config_drive), zone=None)
        begin(ctx, id_, "create")
        ctx.parts.operations.submit(ctx.db, operations.BUILD, id_, project_id=ctx.project_id, request_id=ctx.request_id)
        ids.append(id_)
    return ids, reservation, password


def _counts(wanted: NewServer) -> tuple[int, int]:
    least = wanted.min_count or 1
    most = wanted.max_count or least
    if least > most:
        raise BadRequest("min_count must be <= max_count")
    return least, most


def _affordable(ctx: Context, flavor: Any, least: int, most: int) -> int:
    """As many as the quotas allow, from `least` to `most`. Raises QuotaExceeded."""
    for number in range(most, least, -1):
        try:
            ctx.take(instances=number, cores=number * flavor.vcpus, ram=number * flavor.ram)
        except QuotaExceeded:
            continue
        return number
    ctx.take(instances=least, cores=least * flavor.vcpus, ram=least * flavor.ram)
    return least


def key_of(ctx: Context, name: str | None, user_id: str) -> tuple[str | None, str | None]:
    """A user's key pair: its name and public key; none for no name. Raises BadRequest."""
    if not name:
        return None, None
    row = ctx.db.execute(select(keypair).where(keypair.c.user_id == user_id, keypair.c.name == name)).first()
    if row is None:
        raise BadRequest("Invalid key_name provided.")
    return row.name, row.public_key


def _check_texts(ctx: Context, wanted: NewServer) -> None:
    if wanted.name.strip() != wanted.name and not wanted.name.strip():
        raise BadRequest("Invalid input for field/attribute name. The name must not be blank.")
    if wanted.user_data:
        try:
            size = len(base64.b64decode("".join(wanted.user_data.split()), validate=True))
        except (binascii.Error, ValueError) as error:
            raise BadRequest("User data needs to be valid base 64.") from error
        if len(wanted.user_data) > _USER_DATA or size > _USER_DATA:
            raise BadRequest(f"Invalid input for field/attribute user_data: it is larger than {_USER_DATA} bytes.")
    if wanted.disk_config and wanted.disk_config not in ("AUTO", "MANUAL"):
        raise BadRequest("OS-DCF:diskConfig must be either 'MANUAL' or 'AUTO'.")
    if len(wanted.metadata or {}) > _METADATA_ITEMS:
        raise Forbidden(f"Maximum number of metadata items exceeds {_METADATA_ITEMS}")
    for one in wanted.personality or []:
        try:
            base64.b64decode(one.contents, validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadRequest(f"Personality content for {one.path} cannot be decoded") from error
    if len(wanted.personality or []) > 5:
        raise Forbidden("Personality file limit exceeded.")
    check_address(wanted.access_ipv4, 4, "accessIPv4")
    check_address(wanted.access_ipv6, 6, "accessIPv6")
    if wanted.hostname is not UNSET:
        check_hostname(ctx, wanted.hostname)
    if len(wanted.tags or []) > 50:
        raise BadRequest("A server can have 50 tags at most.")
    if any("/" in tag or "," in tag for tag in wanted.tags or []):
        raise BadRequest("A tag must not hold '/' or ','.")
    if (wanted.host is not UNSET or wanted.hypervisor_hostname is not UNSET) and not ctx.caller.admin:
        ctx.refuse("compute:servers:create:requested_destination")


def check_hostname(ctx: Context, name: str) -> None:
    """Raise BadRequest for what is no host name; from 2.94 on it may be a whole domain name."""
    label = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    pattern = rf"{label}(\.{label})*" if ctx.at_least("2.94") else label
    if len(name) > 255 or not re.fullmatch(pattern, name):
        raise BadRequest("Invalid input for field/attribute hostname. It must be a host name.")


def canonical(text: Any) -> str:
    """An address as it is kept: the shortest form; empty for none."""
    return str(ipaddress.ip_address(text)) if text else ""


def check_address(text: Any, version: int, field: str) -> None:
    """Raise BadRequest where a text is there and is no address of that version."""
    if not text:
        return
    try:
        wrong = ipaddress.ip_address(text).version != version
    except ValueError:
        wrong = True
    if wrong:
        raise BadRequest(f"Invalid input for field/attribute {field}. Value: {text}. '{text}' is not an IPv{version} address.")


def _hints(ctx: Context, body: CreateServer) -> tuple[dict[str, Any], str | None, dict[str, Any]]:
    hints = body.hints or body.hints_old or {}
    group_id = hints.get("group")
    if group_id is not None:
        mine = true() if ctx.caller.admin else server_group.c.project_id == ctx.project_id
        if not isinstance(group_id, str) or not is_id(group_id):
            raise BadRequest("Invalid input for field/attribute group. It must be the id of a server group.")
        if ctx.db.execute(select(server_group.c.id).where(server_group.c.id == group_id, mine)).first() is None:
            raise BadRequest(f"Server group {group_id} could not be found.")
    extra = {}
    for hint in ("same_host", "different_host"):
        if hint in hints:
            ids = hints[hint] if isinstance(hints[hint], list) else [hints[hint]]
            if not all(isinstance(id_, str) and is_id(id_) for id_ in ids):
                raise BadRequest(f"Invalid input for field/attribute {hint}. It must be the ids of servers.")
            rows = ctx.db.scalars(select(server.c.host).where(server.c.id.in_(ids), server.c.host.is_not(None)))
            extra["_" + hint.partition("_")[0]] = sorted(set(rows))
    return hints, group_id, extra


def _zone(ctx: Context, wanted: NewServer) -> tuple[str | None, str | None]:
    """The zone and the host asked for; `zone:host` is an admin's."""
    if not wanted.availability_zone:
        return None, wanted.host or wanted.hypervisor_hostname or None
    zone, _, host_name = wanted.availability_zone.partition(":")
    if host_name and not ctx.caller.admin:
        ctx.refuse("compute:servers:create:forced_host")
    if zone:
        check_zone(ctx, zone)
    return zone or None, host_name.partition(":")[0] or wanted.host or None


def check_zone(ctx: Context, zone: str) -> None:
    """Raise BadRequest for a zone in which no host takes servers."""
    if ctx.db.execute(select(host.c.id).where(host.c.zone == zone, host.c.enabled)).first() is None:
        raise BadRequest("The requested availability zone is not available")


def _networks(ctx: Context, wanted: NewServer, number: int) -> list[network.Wanted]:
    asked = wanted.networks
    if isinstance(asked, str):
        if asked not in ("auto", "none") or not ctx.at_least("2.37"):
            raise BadRequest("Invalid input for field/attribute networks. It must be a list, 'auto' or 'none'.")
        return [] if asked == "none" else list(network.automatic(ctx, allocate=True))
    if len(asked or ()) > MOST_NICS:
        raise BadRequest(f"Invalid input for field/attribute networks. A server can have at most {MOST_NICS} network interfaces.")
    if not asked:
        if ctx.at_least("2.37") and asked is UNSET:
            raise BadRequest("Invalid input for field/attribute server. 'networks' is a required property")
        return network.automatic(ctx)
    out = []
    for one in asked:
        if one.port and number > 1:
            raise BadRequest("Unable to launch multiple instances with a single configured port ID. Please launch your instance one by one.")
        if one.fixed_ip and number > 1:
            raise BadRequest("Invalid fixed IP address for multiple servers.")
        if not one.port and not one.uuid:
            raise BadRequest("Invalid input for field/attribute networks. Each needs a uuid or a port.")
        for field, value in (("uuid", one.uuid), ("port", one.port)):
            if value and not is_id(value):
                raise BadRequest(f"Invalid input for field/attribute {field}. Value: {value}. It is not an id.")
        if one.fixed_ip:
            try:
                ipaddress.ip_address(one.fixed_ip)
            except ValueError as error:
                raise BadRequest(f"Invalid fixed IP address ({one.fixed_ip})") from error
        out.append(network.Wanted(network_id=one.uuid or None, port_id=one.port or None, address=one.fixed_ip or None))
    return out


def _nic_tags(wanted: NewServer, ports: list[str]) -> dict[str, str]:
    """Ports with device tags, of the networks asked for in the same order."""
    asked = wanted.networks if isinstance(wanted.networks, list) else []
    tags = {port: one.tag for port, one in zip(ports, asked, strict=False) if one.tag}
    if len(set(tags.values())) != len(tags):
        raise BadRequest("Invalid input for field/attribute networks. Two of them have the same tag.")
    return tags


def begin(ctx: Context, server_id: str, name: str) -> None:
    """Record the start of an instance action; what ends it is the operation, or nothing for those that are instant."""
    ctx.db.execute(
        insert(action).values(
            server_id=server_id, action=name, request_id=ctx.request_id, user_id=ctx.caller.user_id,
            project_id=ctx.caller.project_id, started=now(),
        )
    )  # fmt: skip


def finished(ctx: Context, server_id: str, name: str) -> None:
    """Record an instance action that is over when the request is."""
    moment, who = now(), {"user_id": ctx.caller.user_id, "project_id": ctx.caller.project_id}
    values = {"server_id": server_id, "action": name, "request_id": ctx.request_id, "started": moment, "finished": moment, "result": "Success"}
    ctx.db.execute(insert(action).values(**values, **who))


def find(ctx: Context, server_id: str) -> Any:
    """A server's row (a mapping) that the caller may know. Raises NotFound."""
    row = ctx.db.execute(select(server).where(server.c.id == server_id, server.c.deleted.is_(None))).mappings().first()
    if row is None or not (ctx.caller.admin or row["project_id"] == ctx.caller.project_id):
        raise NotFound(f"Instance {server_id} could not be found.", kind="InstanceNotFound")
    return row


def change(ctx: Context, server_id: str, wanted: ServerChange) -> Any:
    """Rename and the like; answers the row as it is now."""
    row = find(ctx, server_id)
    check_address(wanted.access_ipv4, 4, "accessIPv4")
    check_address(wanted.access_ipv6, 6, "accessIPv6")
    if wanted.hostname is not UNSET:
        check_hostname(ctx, wanted.hostname)
    if wanted.disk_config is not UNSET and wanted.disk_config not in ("AUTO", "MANUAL"):
        raise BadRequest("OS-DCF:diskConfig must be either 'MANUAL' or 'AUTO'.")
    if wanted.name is not UNSET and not wanted.name.strip():
        raise BadRequest("Invalid input for field/attribute name. The name must not be blank.")
    values = {
        name: value
        for name in ("name", "description", "disk_config", "access_ipv4", "access_ipv6", "hostname")
        if (value := getattr(wanted, name)) is not UNSET
    }
    for name in ("access_ipv4", "access_ipv6"):
        if name in values:
            values[name] = canonical(values[name])
    if wanted.pinned_zone is not UNSET:
        values["zone"] = _pinned(ctx, row, wanted.pinned_zone)
    if values:
        operations.write(ctx.db, row["id"], **values)
    return find(ctx, server_id)


def _pinned(ctx: Context, row: Any, zone: str | None) -> str | None:
    """The zone that a server is to stay in: none, or where it is. Raises Conflict. Source: microversion 2.104."""
    if zone is None or zone == row["zone"]:
        return zone
    if row["zone"] is not None:
        raise Conflict(f"Instance {row['id']} is pinned to availability zone {row['zone']}: unpin it first.")
    if zone != ctx.db.scalar(select(host.c.zone).where(host.c.name == row["host"])):
        raise Conflict(f"Instance {row['id']} is not in availability zone {zone}: it can be pinned only to where it is.")
    return zone


def remove(ctx: Context, server_id: str, *, now_: bool = False) -> None:
    """Start deleting; whatever is under way ends first. Works in every state.

    Where the settings let deleted servers be restored for a while, it is only stopped, unless `now_`.
    """
    row = find(ctx, server_id)
    state.unlocked(row, admin=ctx.caller.admin)
    if row["task_state"] == "deleting":
        return
    client, seconds = ctx.parts.operations, ctx.parts.settings.compute.reclaim_interval
    later = seconds and not now_ and row["vm_state"] not in ("building", "error", "shelved_offloaded", "soft-delete")
    begin(ctx, server_id, "delete")
    client.cancel(ctx.db, server_id)
    if later:
        operations.abandon(ctx.db, ctx.parts, row)
        reclaim = now() + timedelta(seconds=seconds)
        operations.write(ctx.db, server_id, task_state="soft-deleting", power="stopped", soft=True, reclaim=reclaim)
        hosts.changed(ctx.db, client, row["host"])
        client.submit(
            ctx.db, operations.POWER, server_id, project_id=row["project_id"], request_id=ctx.request_id, memo={"then": "soft-delete"}
        )
        return
    operations.write(ctx.db, server_id, task_state="deleting")
    client.submit(ctx.db, operations.DELETE, server_id, project_id=row["project_id"], request_id=ctx.request_id)


def tags_of(db: Connection, ids: list[str]) -> dict[str, list[str]]:
    """Tags by server."""
    out: dict[str, list[str]] = {}
    for row in db.execute(select(server_tag).where(server_tag.c.server_id.in_(ids)).order_by(server_tag.c.tag)):
        out.setdefault(row.server_id, []).append(row.tag)
    return out


def host_id(project_id: str, host_name: str | None) -> str:
    """What a tenant sees of a host: the same for servers on the same one, different for each project."""
    return hashlib.sha224(f"{project_id}{host_name}".encode()).hexdigest() if host_name else ""


def set_metadata(ctx: Context, row: Any, values: dict[str, str]) -> dict[str, str]:
    """Replace a server's metadata; its metadata service answers the new ones."""
    if len(values) > _METADATA_ITEMS:
        raise Forbidden(f"Maximum number of metadata items exceeds {_METADATA_ITEMS}")
    ctx.db.execute(update(server).where(server.c.id == row["id"]).values(metadata=values, updated=now()))
    hosts.changed(ctx.db, ctx.parts.operations, row["host"])
    return values


def replace_tags(db: Connection, server_id: str, tags: list[str]) -> None:
    """Give a server exactly these tags."""
    db.execute(delete(server_tag).where(server_tag.c.server_id == server_id))
    for tag in dict.fromkeys(tags):
        db.execute(insert(server_tag).values(server_id=server_id, tag=tag))
