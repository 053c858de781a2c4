"""Routes of networks and floating IPs as Compute knew them before Network was a service of its own.

Source: Compute API v2.1, "Networks", "Project networks", "Floating IPs" (deprecated from 2.36 on), and the actions on servers up to 2.43.
"""

from typing import Any

from andromede.core.context import Context
from andromede.http.response import Response
from andromede.http.wire import Body
from andromede.services.compute import servers, state
from andromede.services.compute.api import api, member, reader
from andromede.services.network.service import old_compute as network

_OLD, _ACTION = ("2.1", "2.35"), "/servers/{server_id}/action"
_UNKNOWN = (
    "bridge", "bridge_interface", "broadcast", "cidr_v6", "created_at", "deleted", "deleted_at", "dhcp_server", "dhcp_start", "dns1", "dns2",
    "gateway", "gateway_v6", "host", "injected", "mtu", "multi_host", "netmask", "netmask_v6", "priority", "project_id", "rxtx_base",
    "share_address", "updated_at", "vlan", "vpn_private_address", "vpn_public_address", "vpn_public_port",
)  # fmt: skip


class Pool(Body):
    """`POST /os-floating-ips`."""

    pool: str | None = None


class AddFloating(Body, kw_only=True):
    """`addFloatingIp`."""

    address: str
    fixed_address: str | None = None


class RemoveFloating(Body):
    """`removeFloatingIp`."""

    address: str


@api.get("/os-networks", policy=reader("os-networks:list"), versions=_OLD)
def list_networks(ctx: Context) -> dict[str, Any]:
    """The networks that the project can use."""
    return {"networks": [dict.fromkeys(_UNKNOWN) | one for one in network.list_networks(ctx)]}


@api.get("/os-networks/{network_id}", policy=reader("os-networks:show"), versions=_OLD)
def show_network(ctx: Context, network_id: str) -> dict[str, Any]:
    """One of them."""
    return {"network": dict.fromkeys(_UNKNOWN) | network.show_network(ctx, network_id)}


@api.get("/os-tenant-networks", policy=reader("os-tenant-networks:list"), versions=_OLD)
def list_project_networks(ctx: Context) -> dict[str, Any]:
    """The same, in short."""
    return {"networks": network.list_networks(ctx)}


@api.get("/os-tenant-networks/{network_id}", policy=reader("os-tenant-networks:show"), versions=_OLD)
def show_project_network(ctx: Context, network_id: str) -> dict[str, Any]:
    """One of them."""
    return {"network": network.show_network(ctx, network_id)}


@api.get("/os-floating-ip-pools", policy=reader("os-floating-ip-pools"), versions=_OLD)
def list_pools(ctx: Context) -> dict[str, Any]:
    """Where floating IPs come from."""
    return {"floating_ip_pools": [{"name": name} for name in network.pools(ctx)]}


@api.get("/os-floating-ips", policy=reader("os-floating-ips:list"), versions=_OLD)
def list_floating(ctx: Context) -> dict[str, Any]:
    """The project's floating IPs."""
    return {"floating_ips": network.list_floating(ctx)}


@api.get("/os-floating-ips/{floatingip_id}", policy=reader("os-floating-ips:show"), versions=_OLD)
def show_floating(ctx: Context, floatingip_id: str) -> dict[str, Any]:
    """One of them."""
    return {"floating_ip": network.show_floating(ctx, floatingip_id)}


@api.post("/os-floating-ips", policy=member("os-floating-ips:create"), versions=_OLD, quota=("floatingip",))
def create_floating(ctx: Context, body: Pool | None = None) -> dict[str, Any]:
    """Take one. 404 where the pool is not there."""
    return {"floating_ip": network.create_floating(ctx, body.pool if body is not None else None)}


@api.delete("/os-floating-ips/{floatingip_id}", policy=member("os-floating-ips:delete"), status=202, versions=_OLD)
def delete_floating(ctx: Context, floatingip_id: str) -> Response:
    """Give one back."""
    network.delete_floating(ctx, floatingip_id)
    return Response(status=202)


def _mine(ctx: Context, server_id: str) -> Any:
    row = servers.find(ctx, server_id)
    state.unlocked(row, admin=ctx.caller.admin)
    return row


@api.action(_ACTION, "addFloatingIp", policy=member("os-floating-ips:add"), versions=("2.1", "2.43"))
def add_floating(ctx: Context, server_id: str, body: AddFloating) -> None:
    """Lead a floating IP to a server."""
    network.lead(ctx, _mine(ctx, server_id)["id"], body.address, body.fixed_address)


@api.action(_ACTION, "removeFloatingIp", policy=member("os-floating-ips:remove"), versions=("2.1", "2.43"))
def remove_floating(ctx: Context, server_id: str, body: RemoveFloating) -> None:
    """Lead it nowhere."""
    network.unlead(ctx, _mine(ctx, server_id)["id"], body.address)
