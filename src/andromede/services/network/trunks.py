"""Trunks: networks that a guest reaches by VLANs of one card. Source: Networking API v2.0, trunk networking."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import UNSET
from sqlalchemy import Connection, insert, select

from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, NotFound
from andromede.services.network import ports, ties
from andromede.services.network.errors import missing, wrong
from andromede.services.network.rows import add, bury, changed, one, touch
from andromede.services.network.tables import network, port, subport, trunk
from andromede.services.network.wire_trunks import NewTrunk, SubPort

_MOST = 4094


def create(ctx: Context, project_id: str, body: NewTrunk) -> str:
    """A trunk of a port; answers its id. Raises NotFound, BadRequest, and Conflict for a port that is in another."""
    asked = _checked(body.sub_ports or [])
    parent = _port(ctx, body.port_id)
    ties.refuse_trunked(ctx.db, parent["id"])
    if parent["device_owner"].startswith("network:"):
        raise Conflict(f"Port {parent['id']} is in use by another resource.", kind="ParentPortInUse")
    ctx.take(project_id, trunk=1)
    id_ = add(
        ctx.db, trunk, project_id=project_id, name=body.name or "", description=body.description or "", port_id=parent["id"],
        admin_state_up=body.admin_state_up is not False,
    )  # fmt: skip
    _join(ctx, id_, parent, asked)
    changed(ctx)
    return id_


def _port(ctx: Context, id_: str) -> Mapping[Any, Any]:
    row = ctx.db.execute(select(port).where(port.c.id == id_)).mappings().first()
    if row is None or not (ctx.caller.admin or row["project_id"] == ctx.caller.project_id):
        raise missing("port", id_)
    return row


def _checked(wanted: Sequence[SubPort]) -> list[tuple[str, int]]:
    """(port, VLAN) of each. Raises BadRequest for what is no VLAN, and for what is named twice."""
    out: list[tuple[str, int]] = []
    for each in wanted:
        if each.segmentation_type in (UNSET, None) or each.segmentation_id in (UNSET, None):
            text = "inherit" if each.segmentation_type == "inherit" else "no"
            raise wrong("sub_ports", f"segmentation_type vlan with a segmentation_id is needed; networks here have {text} VLAN to take over")
        if each.segmentation_type != "vlan":
            raise wrong("sub_ports", f"Unknown segmentation type '{each.segmentation_type}'")
        if not isinstance(each.segmentation_id, int) or not 1 <= each.segmentation_id <= _MOST:
            raise wrong("sub_ports", f"Invalid segmentation id '{each.segmentation_id}'")
        if each.port_id in (id_ for id_, _ in out):
            raise wrong("sub_ports", f"Duplicate port {each.port_id}")
        if each.segmentation_id in (vlan for _, vlan in out):
            raise wrong("sub_ports", f"Duplicate segmentation id {each.segmentation_id}")
        out.append((each.port_id, each.segmentation_id))
    return out


def _join(ctx: Context, trunk_id: str, parent: Mapping[Any, Any], asked: Sequence[tuple[str, int]]) -> None:
    db = ctx.db
    mtu = one(db, network, parent["network_id"])["mtu"]
    held = set(db.scalars(select(subport.c.segment).where(subport.c.trunk_id == trunk_id)))
    for id_, vlan in asked:
        row = _port(ctx, id_)
        ties.refuse_trunked(db, id_)
        if id_ == parent["id"]:
            raise Conflict(f"Port {id_} is currently in use and is not eligible for use as a subport of itself.", kind="ParentPortInUse")
        if row["device_id"] or row["host"] or row["device_owner"].startswith("network:"):
            raise Conflict(f"Port {id_} is in use by {row['device_owner'] or row['device_id']}.", kind="PortInUse")
        if vlan in held:
            text = f"segmentation_type vlan and segmentation_id {vlan} already in use on trunk {trunk_id}."
            raise Conflict(text, kind="DuplicateSubPort")
        if one(db, network, row["network_id"])["mtu"] > mtu:
            text = f"MTU of port {id_} is larger than that of the parent port {parent['id']}."
            raise Conflict(text, kind="SubPortMtuGreaterThanTrunkPortMtu")
        db.execute(insert(subport).values(port_id=id_, trunk_id=trunk_id, segment=vlan))
        ports.change(db, row, device_id=trunk_id, device_owner=ties.SUBPORT, host=parent["host"])


def _enabled(row: Mapping[Any, Any]) -> None:
    if not row["admin_state_up"]:
        raise Conflict(f"Trunk {row['id']} is currently disabled.", kind="TrunkDisabled")


def add_subports(ctx: Context, row: Mapping[Any, Any], wanted: Sequence[SubPort]) -> None:
    """Add ports to a trunk. Raises as `create`, and Conflict for a trunk that is off."""
    _enabled(row)
    _join(ctx, row["id"], one(ctx.db, port, row["port_id"]), _checked(wanted))
    touch(ctx.db, trunk, row["id"])
    changed(ctx)


def remove_subports(ctx: Context, row: Mapping[Any, Any], wanted: Sequence[SubPort]) -> None:
    """Take ports out of a trunk. Raises NotFound for one that is not in it, Conflict for a trunk that is off."""
    _enabled(row)
    ids = [each.port_id for each in wanted]
    if len(set(ids)) < len(ids):
        raise BadRequest("Invalid input for sub_ports. Reason: a port is named twice.", kind="HTTPBadRequest")
    held = _inside(ctx.db, row["id"])
    for id_ in ids:
        if id_ not in held:
            raise NotFound(f"SubPort on trunk {row['id']} with parent port {id_} could not be found.", kind="SubPortNotFound")
    ties.free_subports(ctx.db, ids)
    touch(ctx.db, trunk, row["id"])
    changed(ctx)


def _inside(db: Connection, trunk_id: str) -> list[str]:
    return list(db.scalars(select(subport.c.port_id).where(subport.c.trunk_id == trunk_id)))


def remove(ctx: Context, row: Mapping[Any, Any]) -> None:
    """Delete a trunk; its ports are free. Raises Conflict for one that is off."""
    _enabled(row)
    ties.free_subports(ctx.db, _inside(ctx.db, row["id"]))
    bury(ctx.db, trunk, [row["id"]])
    changed(ctx)
