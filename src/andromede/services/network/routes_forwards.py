"""Routes of floating IPs' port forwarding."""

from typing import Any

from sqlalchemy import RowMapping, select

from andromede.core.context import Context
from andromede.services.network import forwards, ties
from andromede.services.network.api import api, member, reader
from andromede.services.network.errors import missing
from andromede.services.network.resource import (
    Resource,
    View,
    find,
    find_own,
    listing,
    same,
    shown,
    standard_filters,
    standard_sort,
    whole,
)
from andromede.services.network.routes_routers import FLOATING
from andromede.services.network.tables import forward
from andromede.services.network.wire_l3 import CreateForward, UpdateForward

_ALL = "/floatingips/{floatingip_id}/port_forwardings"
_ONE = _ALL + "/{forwarding_id}"


def _view(_ctx: Context, rows: Any) -> list[View]:
    return [
        ties.forward_view(row) | {
            "description": row["description"], "external_port_range": f"{row['outer_first']}:{row['outer_last']}",
            "internal_port_range": f"{row['inner_first']}:{row['inner_last']}",
        }
        for row in rows
    ]  # fmt: skip


FORWARD = Resource(
    name="port_forwarding", plural="port_forwardings", table=forward, visible=lambda _ctx: forward.c.id.is_not(None), view=_view, standard=False,
    filters={name: each for name, each in standard_filters(forward).items() if name in ("id", "description")} | {
        "external_port": whole(forward.c.outer_first), "internal_port_id": same(forward.c.port_id), "protocol": same(forward.c.protocol),
        "internal_ip_address": same(forward.c.address), "internal_port": whole(forward.c.inner_first),
    },
    sort=standard_sort(forward) | {
        "external_port": forward.c.outer_first, "internal_port_id": forward.c.port_id, "protocol": forward.c.protocol,
    },
)  # fmt: skip


def _row(ctx: Context, floatingip_id: str, forwarding_id: str) -> RowMapping:
    query = select(forward).where(forward.c.id == forwarding_id, forward.c.floating_id == floatingip_id)
    row = ctx.db.execute(query).mappings().first()
    if row is None:
        raise missing("port_forwarding", forwarding_id)
    return row


@api.get(_ALL, policy=reader("get_floatingip_port_forwarding"))
def list_port_forwardings(ctx: Context, floatingip_id: str) -> dict[str, Any]:
    """The ports of a floating IP that lead inside."""
    home = find(ctx, FLOATING, floatingip_id)
    return listing(ctx, FORWARD, forward.c.floating_id == home["id"])


@api.get(_ONE, policy=reader("get_floatingip_port_forwarding"))
def show_port_forwarding(ctx: Context, floatingip_id: str, forwarding_id: str) -> dict[str, Any]:
    """One rule."""
    find(ctx, FLOATING, floatingip_id)
    return {"port_forwarding": _view(ctx, [_row(ctx, floatingip_id, forwarding_id)])[0]}


@api.post(_ALL, policy=member("create_floatingip_port_forwarding"), status=201)
def create_port_forwarding(ctx: Context, floatingip_id: str, body: CreateForward) -> dict[str, Any]:
    """Lead ports of a floating IP to those of an address inside.

    Errors: 400 ports that lead elsewhere already; 404 a port that the network does not reach; 409 a floating IP or address that
    is led as a whole.
    """
    return shown(ctx, FORWARD, [forwards.create(ctx, find_own(ctx, FLOATING, floatingip_id), body.port_forwarding)])


@api.put(_ONE, policy=member("update_floatingip_port_forwarding"))
def update_port_forwarding(ctx: Context, floatingip_id: str, forwarding_id: str, body: UpdateForward) -> dict[str, Any]:
    """Lead them elsewhere. Errors as for a new rule."""
    home = find_own(ctx, FLOATING, floatingip_id)
    forwards.update(ctx, home, _row(ctx, floatingip_id, forwarding_id), body.port_forwarding)
    return shown(ctx, FORWARD, [forwarding_id])


@api.delete(_ONE, policy=member("delete_floatingip_port_forwarding"))
def delete_port_forwarding(ctx: Context, floatingip_id: str, forwarding_id: str) -> None:
    """Take a rule away."""
    find_own(ctx, FLOATING, floatingip_id)
    forwards.remove(ctx, _row(ctx, floatingip_id, forwarding_id)["id"])
