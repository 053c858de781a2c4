"""Compute's face for services that stand on it: making and removing servers, seeing what became of them, speaking with what is in them."""

import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select

from andromede.core.clock import now
from andromede.core.context import Context, Parts
from andromede.core.errors import NotFound
from andromede.core.ids import new_id
from andromede.db.base import chunks
from andromede.services.compute import channel, containers, devices, flavors, groups, hosts, servers
from andromede.services.compute.channel import Heard
from andromede.services.compute.tables import server, server_group
from andromede.services.compute.wire import CreateServer, Named, NetworkRequest, NewServer
from andromede.services.network import service as network

__all__ = ["Address", "Flavor", "Heard", "Server", "heard"]

heard = channel.heard


class Flavor(msgspec.Struct, frozen=True, kw_only=True):
    """A flavor. ram: MiB, disk: GiB."""

    id: str
    name: str
    vcpus: int
    ram: int
    disk: int


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """A server as it is. state: Compute's vm_state, `deleted` where it is gone; fault: why it is in error; power: what is seen to run."""

    id: str
    name: str
    hostname: str
    state: str
    task: str | None
    fault: str
    host: str | None
    vcpus: int
    ram: int
    container: bool
    running: bool


class Address(msgspec.Struct, frozen=True):
    """An IPv4 address of a server, and the floating one that leads to it."""

    address: str
    floating: str | None


def flavor_of(ctx: Context, ref: str) -> Flavor:
    """The flavor that a server may be given. Raises BadRequest."""
    row = flavors.find_flavor(ctx, ref)
    return Flavor(id=row.id, name=row.name, vcpus=row.vcpus, ram=row.ram, disk=row.disk)


def public_key(ctx: Context, name: str) -> str:
    """The public key of a key pair of the caller's. Raises BadRequest."""
    return servers.key_of(ctx, name, ctx.caller.user_id)[1] or ""


def create(
    ctx: Context, *, name: str, image: str, flavor: str, network_id: str, key: str | None = None, security_groups: Sequence[str] = (),
    zone: str | None = None, group: str | None = None, metadata: Mapping[str, str] | None = None, user_data: str | None = None,
) -> str:  # fmt: skip
    """The id of a new server, which is being built when this returns. Raises what `POST /servers` answers."""
    wanted = NewServer(name=name, flavor=flavor, image=image, networks=[NetworkRequest(uuid=network_id)])
    wanted = msgspec.structs.replace(wanted, **{} if key is None else {"key_name": key}, metadata=dict(metadata or {}))
    if security_groups:
        wanted.security_groups = [Named(name=each) for each in security_groups]
    if zone:
        wanted.availability_zone = zone
    if user_data is not None:
        wanted.user_data = user_data
    body = CreateServer(server=wanted)
    if group is not None:
        body.hints = {"group": group}
    ids, _reservation, _password = servers.create(ctx, body)
    return ids[0]


def remove(ctx: Context, server_id: str) -> None:
    """Have a server deleted for good, in whatever state it is; nothing where it is gone."""
    try:
        servers.remove(ctx, server_id, now_=True)
    except NotFound:
        return


def seen(db: Connection, ids: Iterable[str]) -> dict[str, Server]:
    """Servers as they are; one that was never there is left out."""
    out = {}
    for some in chunks(ids):
        for row in db.execute(select(server).where(server.c.id.in_(some))).mappings():
            fault = row["fault"] or {}
            out[row["id"]] = Server(
                id=row["id"], name=row["name"], hostname=row["hostname"], state="deleted" if row["deleted"] else row["vm_state"],
                task=row["task_state"], fault=str(fault.get("message", "")), host=row["host"], vcpus=row["vcpus"], ram=row["ram"],
                container=containers.is_container(row["image"].get("properties", {})), running=row["seen_state"] == "running",
            )  # fmt: skip
    return out


def addresses(db: Connection, ids: Iterable[str]) -> dict[str, list[Address]]:
    """The IPv4 addresses of servers, in the order of their ports."""
    found = network.ports_of(db, list(ids))
    return {
        id_: [Address(fixed.address, fixed.floating) for port in ports for fixed in port.fixed if fixed.version == 4]
        for id_, ports in found.items()
    }


def keep_apart(ctx: Context, name: str) -> str:
    """The id of a new group of servers that must not share a host. Raises QuotaExceeded."""
    ctx.take(server_groups=1)
    id_ = new_id()
    row = {"id": id_, "name": name, "policy": "anti-affinity", "rules": {}, "project_id": ctx.project_id, "user_id": ctx.caller.user_id}
    ctx.db.execute(insert(server_group).values(**row, created=now()))
    return id_


def forget_group(db: Connection, group_id: str) -> None:
    """Delete a group of servers; nothing where it is gone."""
    groups.remove(db, group_id)


# speaking


def speak(db: Connection, parts: Parts, server_id: str, topic: str, documents: Mapping[str, Any]) -> bool:
    """Give a server documents (JSON), which only it can read; whether they are new. What it says wakes the reconciler `topic`."""
    texts = {name: msgspec.json.encode(value).decode() for name, value in documents.items()}
    if not channel.put(db, parts.sealer, server_id, topic, texts):
        return False
    hosts.changed(db, parts.operations, db.scalar(select(server.c.host).where(server.c.id == server_id)))
    return True


def reach(parts: Parts, server_id: str, address: str, port: int) -> socket.socket:
    """A connection to what listens at an address in a server; the caller closes it. Raises NotFound, Conflict where there is no way in."""
    where = parts.database.look(lambda db: db.scalar(select(server.c.host).where(server.c.id == server_id, server.c.deleted.is_(None))))
    if where is None:
        raise NotFound(f"The server {server_id} is on no host.")
    line: socket.socket = parts.hosts.open(where, server_id, f"tcp {address} {port}")
    return line


# volumes


def give_volume(ctx: Context, server_id: str, volume_id: str) -> None:
    """Have a volume attached to a server that was built, to go with it. Raises what Compute answers."""
    from andromede.services.compute.routes_volumes import Attach, NewAttachment, attach_volume

    attach_volume(ctx, server_id, Attach(attachment=NewAttachment(volume_id=volume_id, delete_on_termination=True)))


def volumes_of(db: Connection, ids: Iterable[str]) -> dict[str, list[tuple[str, str, bool]]]:
    """The volumes of servers: id, where it is found inside, whether it is there."""
    found = devices.of_servers(db, ids)
    return {id_: [(row.volume_id, row.device_name, bool(row.seen)) for row in rows if row.boot_index != 0] for id_, rows in found.items()}
