"""Routes of a server's network interfaces. Source: Compute API v2.1, "Port interfaces"."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from andromede.core.context import Context
from andromede.core.errors import BadRequest, Forbidden, NotFound
from andromede.core.ids import is_id
from andromede.drivers.hypervisor import MOST_NICS
from andromede.http.wire import Body, since
from andromede.services.compute import hosts, operations, servers, state
from andromede.services.compute.api import api, member, reader
from andromede.services.compute.wire import DeviceTag
from andromede.services.network import service as network

_ALL, _ONE = "/servers/{server_id}/os-interface", "/servers/{server_id}/os-interface/{port_id}"


class FixedAddress(msgspec.Struct, forbid_unknown_fields=True):
    """An address asked for."""

    ip_address: str


class NewInterface(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A port that exists, or a network (perhaps with an address); nothing: the only network there is."""

    port_id: str | UnsetType = UNSET
    net_id: str | UnsetType = UNSET
    fixed_ips: Annotated[list[FixedAddress], msgspec.Meta(min_length=1, max_length=1)] | UnsetType = UNSET
    tag: Annotated[DeviceTag, since("2.49")] | UnsetType = UNSET


class Attach(Body):
    """`POST …/os-interface`."""

    interface: NewInterface = msgspec.field(name="interfaceAttachment", default_factory=NewInterface)


def _view(ctx: Context, row: Any, port: network.Attached) -> dict[str, Any]:
    out: dict[str, Any] = {
        "port_id": port.port_id, "net_id": port.network_id, "mac_addr": port.mac, "port_state": port.status,
        "fixed_ips": [{"subnet_id": one.subnet_id, "ip_address": one.address} for one in port.fixed],
    }  # fmt: skip
    return out | {"tag": (row["nic_tags"] or {}).get(port.port_id)} if ctx.at_least("2.70") else out


def _find(ctx: Context, server_id: str, port_id: str) -> network.Attached:
    servers.find(ctx, server_id)
    for port in network.ports_of(ctx.db, [server_id]).get(server_id, []):
        if port.port_id == port_id:
            return port
    raise NotFound(f"Port {port_id} is not attached to instance {server_id}.")


@api.get(_ALL, policy=reader("os-attach-interfaces:list"))
def list_interfaces(ctx: Context, server_id: str) -> dict[str, Any]:
    """A server's interfaces."""
    row = servers.find(ctx, server_id)
    return {"interfaceAttachments": [_view(ctx, row, port) for port in network.ports_of(ctx.db, [server_id]).get(server_id, [])]}


@api.get(_ONE, policy=reader("os-attach-interfaces:show"))
def show_interface(ctx: Context, server_id: str, port_id: str) -> dict[str, Any]:
    """One interface."""
    return {"interfaceAttachment": _view(ctx, servers.find(ctx, server_id), _find(ctx, server_id, port_id))}


def _mine(ctx: Context, server_id: str, action: str) -> Any:
    row = servers.find(ctx, server_id)
    state.unlocked(row, admin=ctx.caller.admin)
    state.require(row, action, "active", "stopped", "paused")
    return row


@api.post(_ALL, policy=member("os-attach-interfaces:create"))
def attach_interface(ctx: Context, server_id: str, body: Attach) -> dict[str, Any]:
    """Give a server one more interface; a running guest gets the card at once.

    Errors: 400 a network or port that cannot be used, or a tag that another has; 403 more interfaces than a server can have;
    409 a state that does not allow it.
    """
    wanted = body.interface
    row = _mine(ctx, server_id, "attach_interface")
    tags = dict(row["nic_tags"] or {})
    if wanted.tag is not UNSET and wanted.tag in tags.values():
        raise BadRequest("Invalid input for field/attribute tag. Another interface of the server has it.")
    if wanted.port_id is not UNSET and wanted.net_id is not UNSET:
        raise BadRequest("Must not input both network_id and port_id")
    if wanted.fixed_ips is not UNSET and wanted.net_id is UNSET:
        raise BadRequest("Must input network_id when request IP address")
    for name, value in (("port_id", wanted.port_id), ("net_id", wanted.net_id)):
        if value is not UNSET and not is_id(value):
            raise BadRequest(f"Invalid input for field/attribute {name}. Value: {value}. It is not an id.")
    if wanted.port_id is UNSET and wanted.net_id is UNSET:
        asked = network.automatic(ctx)
        if not asked:
            raise BadRequest("No network is there to attach.")
    else:
        address = None if wanted.fixed_ips is UNSET else wanted.fixed_ips[0].ip_address
        asked = [network.Wanted(network_id=wanted.net_id or None, port_id=wanted.port_id or None, address=address)]
    if len(network.ports_of(ctx.db, [server_id]).get(server_id, [])) >= MOST_NICS:
        raise Forbidden(f"A server can have at most {MOST_NICS} network interfaces.")
    servers.finished(ctx, server_id, "attach_interface")
    port = network.attach_one(ctx, server_id, asked[0], hostname=row["hostname"])
    if wanted.tag is not UNSET:
        operations.write(ctx.db, row["id"], nic_tags=tags | {port.port_id: wanted.tag})
    network.bind(ctx.db, ctx.parts.operations, server_id, row["host"])
    hosts.changed(ctx.db, ctx.parts.operations, row["host"])
    return {"interfaceAttachment": _view(ctx, servers.find(ctx, server_id), _find(ctx, server_id, port.port_id))}


@api.delete(_ONE, policy=member("os-attach-interfaces:delete"), status=202)
def detach_interface(ctx: Context, server_id: str, port_id: str) -> None:
    """Take an interface away, from a running guest at once; a port that was made for it is deleted."""
    row = _mine(ctx, server_id, "detach_interface")
    _find(ctx, server_id, port_id)
    servers.finished(ctx, server_id, "detach_interface")
    network.detach_one(ctx.db, ctx.parts.operations, port_id)
    operations.write(ctx.db, row["id"], nic_tags={port: tag for port, tag in (row["nic_tags"] or {}).items() if port != port_id})
    hosts.changed(ctx.db, ctx.parts.operations, row["host"])


class AddFixedIp(Body):
    """`addFixedIp`."""

    network_id: str = msgspec.field(name="networkId")


class RemoveFixedIp(Body):
    """`removeFixedIp`."""

    address: str


@api.action("/servers/{server_id}/action", "addFixedIp", policy=member("os-multinic:add"), versions=("2.1", "2.43"))
def add_fixed_ip(ctx: Context, server_id: str, body: AddFixedIp) -> None:
    """Give the server's port on a network one more address."""
    row = _mine(ctx, server_id, "add_fixed_ip")
    network.add_address(ctx, server_id, body.network_id)
    hosts.changed(ctx.db, ctx.parts.operations, row["host"])


@api.action("/servers/{server_id}/action", "removeFixedIp", policy=member("os-multinic:remove"), versions=("2.1", "2.43"))
def remove_fixed_ip(ctx: Context, server_id: str, body: RemoveFixedIp) -> None:
    """Take an address from the server."""
    row = _mine(ctx, server_id, "remove_fixed_ip")
    network.remove_address(ctx, server_id, body.address)
    hosts.changed(ctx.db, ctx.parts.operations, row["host"])
