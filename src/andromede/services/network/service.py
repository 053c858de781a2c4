"""Network's face for the rest of the cloud: what Compute does with ports, what hosts must know, what the wiring needs."""

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, and_, or_, select

from andromede.core.clock import now
from andromede.core.context import Context, Parts
from andromede.core.errors import BadRequest, Conflict, Forbidden, NotFound, QuotaExceeded
from andromede.db.base import chunks
from andromede.drivers.network import MetadataEnd
from andromede.engine.client import Operations
from andromede.engine.model import Reconciler
from andromede.http import patterns
from andromede.services.network import for_compute as security
from andromede.services.network import for_old_compute as old_compute
from andromede.services.network import groups as security_groups
from andromede.services.network import networks, ports, quotas, sharing, topologies
from andromede.services.network.addresses import Asked
from andromede.services.network.agents import Chassis
from andromede.services.network.groups import seed
from andromede.services.network.rows import changed, gather, grouped, signal
from andromede.services.network.tables import fixed, floating, group, network, port, port_group, subnet

assert quotas.RESOURCES  # whoever makes ports needs them registered, the engine too
__all__ = [
    "Attached", "Chassis", "FixedAddress", "Wanted", "attach", "attach_one", "automatic", "bind", "detach_one", "marks_of", "metadata_ends",
    "old_compute", "ports_of", "reconcilers", "release", "security", "seed", "servers_by_address",
]  # fmt: skip


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a server asks for: a port that exists, or one to be made on a network, perhaps with this address."""

    network_id: str | None = None
    port_id: str | None = None
    address: str | None = None


class FixedAddress(msgspec.Struct, frozen=True, kw_only=True):
    """An address of a server. floating: the floating IP that leads to it; dns: the resolvers of its subnet."""

    subnet_id: str
    address: str
    version: int
    floating: str | None = None
    dns: tuple[str, ...] = ()


class Attached(msgspec.Struct, frozen=True, kw_only=True):
    """A port of a server. groups: names of its security groups; security: whether they apply."""

    port_id: str
    network_id: str
    network_name: str
    mac: str
    mtu: int
    fixed: list[FixedAddress]
    groups: list[str]
    status: str
    security: bool


def automatic(ctx: Context, *, allocate: bool = False) -> list[Wanted]:
    """What a server gets that asks for no network: the only one its project can use. Raises Conflict where there are several.

    allocate: where there is none, one with a way out is made; Raises BadRequest where that cannot be.
    """
    mine = or_(network.c.project_id == ctx.project_id, networks.shared_with(ctx.project_id, sharing.SHARED))
    found = list(ctx.db.scalars(select(network.c.id).where(mine, ~network.c.external).limit(2)))
    if len(found) > 1:
        raise Conflict("Multiple possible networks found, use a Network ID to be more specific.", kind="NetworkAmbiguous")
    if allocate and not found:
        try:
            found = [topologies.make(ctx, ctx.project_id)]
        except Conflict as error:
            text = f"Unable to automatically allocate a network for project {ctx.project_id}: {error.message}"
            raise BadRequest(text, kind="UnableToAutoAllocateNetwork") from error
    return [Wanted(network_id=id_) for id_ in found]


def attach(ctx: Context, server_id: str, wanted: Sequence[Wanted], *, groups: Sequence[str] = (), hostname: str = "") -> list[str]:
    """Give a server its ports, in the request's transaction; answers their ids in order.

    Errors: 400 for a network or port that is not there or of no use, 403 over the quota of ports or on an external network,
    409 for a port or address in use.
    """
    ids = security_groups.of_names(ctx, groups) if groups else []
    out = []
    for each in wanted:
        if each.port_id is not None:
            out.append(_take(ctx, server_id, each.port_id, hostname))
        else:
            out.append(_make(ctx, server_id, each, ids, hostname))
    if out:
        changed(ctx)
    return out


def _take(ctx: Context, server_id: str, port_id: str, hostname: str) -> str:
    row = ctx.db.execute(select(port).where(port.c.id == port_id)).mappings().first()
    if row is None or not (ctx.caller.admin or row["project_id"] == ctx.caller.project_id):
        raise BadRequest(f"Port id {port_id} could not be found.", kind="PortNotFound")
    if row["device_id"] or row["device_owner"].startswith("network:"):
        raise Conflict(f"Port {port_id} is still in use.", kind="PortInUse")
    if ctx.db.scalar(select(fixed.c.port_id).where(fixed.c.port_id == port_id).limit(1)) is None:
        raise BadRequest(f"Port {port_id} requires a FixedIP in order to be used.", kind="PortRequiresFixedIP")
    ports.change(
        ctx.db, row, device_id=server_id, device_owner=ports.COMPUTE, attached=now(), dns_name=row["dns_name"] or hostname
    )
    return port_id


def _make(ctx: Context, server_id: str, wanted: Wanted, groups: list[str], hostname: str) -> str:
    home = networks.find_usable(ctx, wanted.network_id or "")
    if home is None:
        raise BadRequest(f"Network {wanted.network_id} could not be found.", kind="NetworkNotFound")
    if home["external"] and not ctx.caller.admin and home["project_id"] != ctx.caller.project_id:
        raise Forbidden(f"It is not allowed to create an interface on external network {home['id']}", kind="ExternalNetworkAttachForbidden")
    if ctx.db.scalar(select(subnet.c.id).where(subnet.c.network_id == home["id"]).limit(1)) is None:
        raise BadRequest(f"Network {home['id']} requires a subnet in order to boot instances on.", kind="NetworkRequiresSubnet")
    if groups and not home["port_security"]:
        raise BadRequest(
            "Network requires port_security_enabled and subnet associated in order to apply security groups.",
            kind="SecurityGroupCannotBeApplied",
        )
    try:
        ctx.take(port=1)
    except QuotaExceeded as error:
        error.status = 403
        raise
    applied = (groups or [security_groups.ensure_default(ctx.db, ctx.project_id)]) if home["port_security"] else []
    return ports.make(
        ctx.db, home, project_id=ctx.project_id, asked=[Asked(address=wanted.address)] if wanted.address else None, groups=applied,
        security=home["port_security"], device_id=server_id, device_owner=ports.COMPUTE, dns_name=hostname, made_by_compute=True,
        attached=now(),
    )  # fmt: skip


def attach_one(ctx: Context, server_id: str, wanted: Wanted, groups: Sequence[str] = (), hostname: str = "") -> Attached:
    """Give a server one more port. Errors as `attach`."""
    (id_,) = attach(ctx, server_id, [wanted], groups=groups, hostname=hostname)
    return next(each for each in ports_of(ctx.db, [server_id])[server_id] if each.port_id == id_)


def detach_one(db: Connection, operations: Operations, port_id: str) -> None:
    """Take a port from its server: one made for it is deleted, another is free again. Nothing where it is gone already."""
    _let_go(db, list(db.execute(select(port).where(port.c.id == port_id)).mappings()))
    signal(db, operations)


def add_address(ctx: Context, server_id: str, network_id: str) -> None:
    """Give a server's port on a network one more address. Raises NotFound where it has no port there, Conflict where none is free."""
    row = ctx.db.execute(select(port).where(port.c.device_id == server_id, port.c.network_id == network_id)).mappings().first()
    if row is None:
        raise NotFound(f"Instance {server_id} has no port on network {network_id}.")
    held = ctx.db.execute(select(fixed.c.subnet_id, fixed.c.address).where(fixed.c.port_id == row["id"])).all()
    asked = [Asked(subnet_id=one.subnet_id, address=one.address) for one in held]
    ports.change(ctx.db, row, asked=[*asked, Asked(subnet_id=held[0].subnet_id)])
    changed(ctx)


def remove_address(ctx: Context, server_id: str, address: str) -> None:
    """Take an address from a server's port. Raises NotFound where none of its ports has it."""
    query = select(port).join(fixed, fixed.c.port_id == port.c.id).where(port.c.device_id == server_id, fixed.c.address == address)
    row = ctx.db.execute(query).mappings().first()
    if row is None:
        raise NotFound(f"Instance {server_id} has no address {address}.")
    held = ctx.db.execute(select(fixed.c.subnet_id, fixed.c.address).where(fixed.c.port_id == row["id"], fixed.c.address != address))
    ports.change(ctx.db, row, asked=[Asked(subnet_id=one.subnet_id, address=one.address) for one in held])
    changed(ctx)


def bind(db: Connection, operations: Operations, server_id: str, host: str | None) -> None:
    """Say on which host a server's ports are; None: on none."""
    for row in list(db.execute(select(port).where(port.c.device_id == server_id)).mappings()):
        if row["host"] != (host or ""):
            ports.change(db, row, host=host or "")
    signal(db, operations)


def expect(db: Connection, operations: Operations, server_id: str, host: str | None) -> None:
    """A server is on its way to a host, where its ports are about to be too; None: to none any more."""
    for row in list(db.execute(select(port).where(port.c.device_id == server_id)).mappings()):
        ports.expect(db, row, host)
    signal(db, operations)


def release(db: Connection, operations: Operations, server_id: str) -> None:
    """The server is gone: the ports made for it are deleted, the others are free again."""
    _let_go(db, list(db.execute(select(port).where(port.c.device_id == server_id)).mappings()))
    signal(db, operations)


def _let_go(db: Connection, rows: Sequence[Mapping[Any, Any]]) -> None:
    mine = [row for row in rows if row["device_owner"].startswith("compute:")]
    ports.destroy(db, [row["id"] for row in mine if row["made_by_compute"]])
    for row in mine:
        if not row["made_by_compute"]:
            ports.change(db, row, device_id="", device_owner="", host="", dns_name="", attached=None)


def ports_of(db: Connection, server_ids: Iterable[str]) -> dict[str, list[Attached]]:
    """The ports of servers, by server, in the order in which they were attached; a few queries for any number of them."""
    own = (port.c.id, port.c.network_id, port.c.device_id, port.c.mac, port.c.status, port.c.security)
    columns = (*own, network.c.name.label("network_name"), network.c.mtu)
    rows = list(
        gather(
            db, server_ids,
            lambda some: select(*columns).join(network, network.c.id == port.c.network_id)
            .where(port.c.device_id.in_(some), port.c.device_owner.startswith("compute:"))
            .order_by(port.c.attached, port.c.created, port.c.id),
        )
    )  # fmt: skip
    ids = [row["id"] for row in rows]
    held = grouped(
        gather(
            db, ids,
            lambda some: select(fixed.c.port_id, fixed.c.subnet_id, fixed.c.address, subnet.c.dns, subnet.c.ip_version)
            .join(subnet, subnet.c.id == fixed.c.subnet_id)
            .where(fixed.c.port_id.in_(some)).order_by(fixed.c.place),
        ),
        "port_id",
    )  # fmt: skip
    names = grouped(
        gather(
            db, ids,
            lambda some: select(port_group.c.port_id, group.c.name).join(group, group.c.id == port_group.c.group_id)
            .where(port_group.c.port_id.in_(some)).order_by(group.c.name),
        ),
        "port_id",
    )  # fmt: skip
    leading = {
        (row["port_id"], row["fixed_address"]): row["address"]
        for row in gather(
            db, ids, lambda some: select(floating.c.port_id, floating.c.fixed_address, floating.c.address).where(floating.c.port_id.in_(some))
        )
    }
    out: dict[str, list[Attached]] = {}
    for row in rows:
        addresses = [
            FixedAddress(
                subnet_id=each["subnet_id"], address=each["address"], version=each["ip_version"],
                floating=leading.get((row["id"], each["address"])), dns=tuple(each["dns"]),
            )
            for each in held.get(row["id"], [])
        ]  # fmt: skip
        attached = Attached(
            port_id=row["id"], network_id=row["network_id"], network_name=row["network_name"], mac=row["mac"], mtu=row["mtu"], fixed=addresses,
            groups=[each["name"] for each in names.get(row["id"], [])], status=row["status"], security=row["security"],
        )  # fmt: skip
        out.setdefault(row["device_id"], []).append(attached)
    return out


def floating_of_servers(db: Connection) -> dict[str, tuple[str, ...]]:
    """The floating addresses of every server that has any, by server."""
    query = (
        select(port.c.device_id, floating.c.address)
        .join(port, port.c.id == floating.c.port_id)
        .where(port.c.device_owner.startswith("compute:"))
        .order_by(floating.c.address)
    )
    out: dict[str, tuple[str, ...]] = {}
    for row in db.execute(query):
        out[row.device_id] = (*out.get(row.device_id, ()), row.address)
    return out


def marks_of(db: Connection, server_ids: Iterable[str]) -> dict[str, list[tuple[Any, ...]]]:
    """By server, what differs whenever something differs that `ports_of` answers of it: ids and revisions, in one plain query."""
    columns = (port.c.device_id, port.c.id, port.c.revision, network.c.revision, subnet.c.id, subnet.c.revision, floating.c.id, floating.c.revision)
    query = (
        select(*columns).join(network, network.c.id == port.c.network_id).outerjoin(fixed, fixed.c.port_id == port.c.id)
        .outerjoin(subnet, subnet.c.id == fixed.c.subnet_id).outerjoin(floating, floating.c.port_id == port.c.id)
        .where(port.c.device_owner.startswith("compute:")).order_by(port.c.id, subnet.c.id, floating.c.id)
    )  # fmt: skip
    out: dict[str, list[tuple[Any, ...]]] = {}
    for some in chunks(dict.fromkeys(server_ids)):
        for row in db.execute(query.where(port.c.device_id.in_(some))).all():
            out.setdefault(row[0], []).append(tuple(row[1:]))
    return out


def servers_by_address(db: Connection, pattern: str) -> Select[Any]:  # noqa: ARG001 - the face takes what it may come to need
    """A query for the ids of servers that have a fixed address which matches the regular expression. Raises BadRequest."""
    try:
        patterns.quick(pattern, "ip")
    except re.error as error:
        raise BadRequest(f"{pattern} is not a regular expression.") from error
    owned = and_(port.c.id == fixed.c.port_id, port.c.device_owner.startswith("compute:"))
    return select(port.c.device_id).join(fixed, owned).where(fixed.c.address.regexp_match(pattern))


def metadata_ends(db: Connection, network_ids: Iterable[str]) -> list[MetadataEnd]:
    """What a host needs to serve metadata in these networks; nothing for one that has no address for it."""
    owned = list(
        gather(
            db, network_ids,
            lambda some: select(port.c.id, port.c.network_id, port.c.mac, network.c.mtu).join(network, network.c.id == port.c.network_id)
            .where(port.c.network_id.in_(some), port.c.device_owner == ports.METADATA),
        )
    )  # fmt: skip
    held = grouped(
        gather(
            db, [row["id"] for row in owned],
            lambda some: select(fixed.c.port_id, fixed.c.address, subnet.c.cidr).join(subnet, subnet.c.id == fixed.c.subnet_id)
            .where(fixed.c.port_id.in_(some)).order_by(fixed.c.place),
        ),
        "port_id",
    )  # fmt: skip
    return [
        MetadataEnd(
            network_id=row["network_id"], port_id=row["id"], mac=row["mac"], mtu=row["mtu"],
            addresses=tuple(f"{each['address']}/{ipaddress.ip_network(each['cidr']).prefixlen}" for each in held[row["id"]]),
        )
        for row in owned
        if row["id"] in held
    ]  # fmt: skip


def reconcilers(parts: Parts) -> list[Reconciler]:
    """What keeps the fabric as the rows say. Needs `parts.database` and `parts.fabric`."""
    from andromede.services.network.reconcile import Follower

    follower = Follower(parts.database, parts.fabric)
    return [Reconciler("network.fabric", 10.0, follower.run), Reconciler("network.status", 1.0, follower.watch)]
