"""Routes of trunks."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, and_, false, or_, select

from andromede.core.context import Context
from andromede.services.network import ties, trunks
from andromede.services.network.api import api, member, reader
from andromede.services.network.resource import (
    Resource,
    View,
    find,
    find_own,
    flag,
    given,
    listing,
    many,
    owned,
    owner_of,
    same,
    show,
    shown,
    standard_filters,
    standard_sort,
    standard_view,
    tags_of,
)  # fmt: skip
from andromede.services.network.rows import gather, grouped, touch
from andromede.services.network.tables import port, subport, trunk
from andromede.services.network.wire_trunks import CreateTrunk, SubPorts, UpdateTrunk

_ONE = "/trunks/{trunk_id}"


def _inside(row: RowMapping) -> View:
    return {"port_id": row["port_id"], "segmentation_type": "vlan", "segmentation_id": row["segment"]}


def _view(ctx: Context, rows: Sequence[RowMapping]) -> list[View]:
    tags, held = tags_of(ctx, rows), grouped(ties.subports_of(ctx.db, [row["id"] for row in rows]), "trunk_id")
    states = {
        each["id"]: each["status"]
        for each in gather(
            ctx.db, [row["port_id"] for row in rows], lambda some: select(port.c.id, port.c.status).where(port.c.id.in_(some))
        )
    }
    out = []
    for row in rows:
        inside = held.get(row["id"], [])
        up = states[row["port_id"]] == "ACTIVE"
        status = "DOWN" if not up else "ACTIVE" if all(each["status"] == "ACTIVE" for each in inside) else "BUILD"
        out.append(
            standard_view(row, tags) | {
                "admin_state_up": row["admin_state_up"], "port_id": row["port_id"], "status": status,
                "sub_ports": [_inside(each) for each in inside],
            }
        )  # fmt: skip
    return out


def _status(_ctx: Context, values: list[str]) -> ColumnElement[bool]:
    up = trunk.c.port_id.in_(select(port.c.id).where(port.c.status == "ACTIVE"))
    waiting = trunk.c.id.in_(
        select(subport.c.trunk_id).join(port, port.c.id == subport.c.port_id).where(port.c.status != "ACTIVE")
    )
    terms = {"ACTIVE": and_(up, ~waiting), "DOWN": ~up, "BUILD": and_(up, waiting)}
    return or_(*(terms.get(value, false()) for value in values))


TRUNK = Resource(
    name="trunk", plural="trunks", table=trunk, visible=owned(trunk), view=_view,
    filters=standard_filters(trunk) | {"admin_state_up": flag(trunk.c.admin_state_up), "port_id": same(trunk.c.port_id), "status": _status},
    sort=standard_sort(trunk) | {"admin_state_up": trunk.c.admin_state_up, "port_id": trunk.c.port_id},
)  # fmt: skip


@api.get("/trunks", policy=reader("get_trunk"))
def list_trunks(ctx: Context) -> dict[str, Any]:
    """The project's trunks."""
    return listing(ctx, TRUNK)


@api.get(_ONE, policy=reader("get_trunk"))
def show_trunk(ctx: Context, trunk_id: str) -> dict[str, Any]:
    """One trunk with its ports."""
    return show(ctx, TRUNK, trunk_id)


@api.post("/trunks", policy=member("create_trunk"), status=201, quota=("trunk",))
def create_trunk(ctx: Context, body: CreateTrunk) -> dict[str, Any]:
    """Make a trunk of a port. Errors: 400 what is no VLAN; 404 no such port; 409 a port that is in use, or in another trunk."""
    wanted, bulk = many(body.trunk, body.trunks, "trunk")
    return shown(ctx, TRUNK, [trunks.create(ctx, owner_of(ctx, one.project_id, one.tenant_id), one) for one in wanted], bulk=bulk)


@api.put(_ONE, policy=member("update_trunk"))
def update_trunk(ctx: Context, trunk_id: str, body: UpdateTrunk) -> dict[str, Any]:
    """Rename a trunk, or turn changes of its ports off."""
    row = find_own(ctx, TRUNK, trunk_id)
    names = {"name": "name", "description": "description", "admin_state_up": "admin_state_up"}
    touch(ctx.db, trunk, row["id"], **given(body.trunk, names))
    return shown(ctx, TRUNK, [trunk_id])


@api.delete(_ONE, policy=member("delete_trunk"))
def delete_trunk(ctx: Context, trunk_id: str) -> None:
    """Delete a trunk; its ports are free. Errors: 409 a trunk that is off."""
    trunks.remove(ctx, find_own(ctx, TRUNK, trunk_id))


def _ports(ctx: Context, trunk_id: str) -> dict[str, Any]:
    return {"sub_ports": [_inside(row) for row in ties.subports_of(ctx.db, [trunk_id])]}


def _whole(ctx: Context, trunk_id: str) -> dict[str, Any]:
    found: View = shown(ctx, TRUNK, [trunk_id])["trunk"]
    return found


@api.get(_ONE + "/get_subports", policy=reader("get_subports"))
def get_subports(ctx: Context, trunk_id: str) -> dict[str, Any]:
    """The ports of a trunk."""
    return _ports(ctx, find(ctx, TRUNK, trunk_id)["id"])


@api.put(_ONE + "/add_subports", policy=member("add_subports"))
def add_subports(ctx: Context, trunk_id: str, body: SubPorts) -> dict[str, Any]:
    """Add ports to a trunk. Errors as for a new one; 409 a VLAN that is taken."""
    trunks.add_subports(ctx, find_own(ctx, TRUNK, trunk_id), body.sub_ports)
    return _whole(ctx, trunk_id)


@api.put(_ONE + "/remove_subports", policy=member("remove_subports"))
def remove_subports(ctx: Context, trunk_id: str, body: SubPorts) -> dict[str, Any]:
    """Take ports out of a trunk. Errors: 404 one that is not in it."""
    trunks.remove_subports(ctx, find_own(ctx, TRUNK, trunk_id), body.sub_ports)
    return _whole(ctx, trunk_id)
