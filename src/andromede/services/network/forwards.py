"""Port forwarding: ports of a floating IP that lead to those of addresses behind a router. Source: Networking API v2.0, port forwarding."""

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET
from sqlalchemy import ColumnElement, Connection, select

from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, NotFound
from andromede.services.network import floatings, ties, values
from andromede.services.network.errors import missing, wrong
from andromede.services.network.rows import add, bump, changed, touch
from andromede.services.network.tables import fixed, floating, forward, port, router
from andromede.services.network.wire_l3 import ForwardChange

_PROTOCOLS = ("tcp", "udp", "sctp")
_MOST = 65535
_NEEDED = (("internal_port_id", "port_id"), ("internal_ip_address", "address"), ("protocol", "protocol"))


def _bounds(body: ForwardChange, side: str) -> tuple[int, int] | None:
    """First and last port of a side, None where the request has none. Raises BadRequest."""
    single, text = getattr(body, f"{side}_port"), getattr(body, f"{side}_port_range")
    if text not in (UNSET, None) and single not in (UNSET, None):
        raise _bad(f"{side}_port and {side}_port_range cannot both be given")
    if text in (UNSET, None):
        if single in (UNSET, None):
            return None
        first = last = int(single)
    else:
        low, _, high = str(text).partition(":")
        if not low.isdecimal() or not (high or low).isdecimal():
            raise wrong(f"{side}_port_range", f"'{text}' is not a range of ports")
        first, last = int(low), int(high or low)
    if not 1 <= first <= last <= _MOST:
        raise wrong(f"{side}_port", f"'{text or single}' is not in range 1 to {_MOST}")
    return first, last


def _bad(text: str) -> BadRequest:
    return BadRequest(f"Bad port_forwarding request: {text}.", kind="BadRequest")


def _columns(body: ForwardChange, held: Mapping[Any, Any] | None) -> dict[str, Any]:
    """All columns of a rule as a request leaves it. Raises BadRequest."""
    out: dict[str, Any] = {} if held is None else {name: held[name] for _, name in _NEEDED}
    for field, column in _NEEDED:
        value = getattr(body, field)
        if value not in (UNSET, None):
            out[column] = value
        elif column not in out:
            raise _bad(f"{field} is required")
    out["protocol"] = str(out["protocol"]).lower()
    if out["protocol"] not in _PROTOCOLS:
        raise wrong("protocol", f"'{out['protocol']}' is not in {list(_PROTOCOLS)}")
    out["address"] = values.address(out["address"], "internal_ip_address", 4)
    for side, name in (("external", "outer"), ("internal", "inner")):
        found = _bounds(body, side) or ((held[f"{name}_first"], held[f"{name}_last"]) if held is not None else None)
        if found is None:
            raise _bad(f"{side}_port or {side}_port_range is required")
        out[f"{name}_first"], out[f"{name}_last"] = found
    sizes = [out[f"{name}_last"] - out[f"{name}_first"] for name in ("outer", "inner")]
    if sizes[1] not in (0, sizes[0]):
        raise _bad("the internal range must be one port, or as long as the external one")
    if body.description is not UNSET:
        out["description"] = body.description
    return out


def create(ctx: Context, home: Mapping[Any, Any], body: ForwardChange) -> str:
    """A rule for the floating IP `home`; answers its id. Raises BadRequest, NotFound, and Conflict for what leads elsewhere already."""
    if home["port_id"]:
        raise Conflict(f"Floating IP {home['id']} is associated with port {home['port_id']}.", kind="FloatingIpInUse")
    columns = {"description": ""} | _columns(body, None)
    router_id = _checked(ctx, home, columns)
    id_ = add(ctx.db, forward, project_id=home["project_id"], floating_id=home["id"], name="", **columns)
    touch(ctx.db, floating, home["id"], router_id=router_id)
    _tell(ctx, router_id)
    return id_


def _checked(ctx: Context, home: Mapping[Any, Any], columns: Mapping[str, Any], own: str = "") -> str:
    """The router by which a rule leads inside. Raises where it cannot be."""
    db = ctx.db
    target = db.execute(select(port).where(port.c.id == columns["port_id"])).mappings().first()
    if target is None or not (ctx.caller.admin or target["project_id"] == ctx.caller.project_id):
        raise missing("port", columns["port_id"])
    address = columns["address"]
    subnet_id = db.scalar(select(fixed.c.subnet_id).where(fixed.c.port_id == target["id"], fixed.c.address == address))
    if subnet_id is None:
        raise _bad(f"Port {target['id']} does not have the address {address}")
    if db.scalar(select(floating.c.id).where(floating.c.port_id == target["id"], floating.c.fixed_address == address)):
        raise Conflict(
            f"Cannot create port forwarding to floating IP {home['address']} ({home['id']}) with port {target['id']} using fixed IP {address}, "
            "as that port already has a binding floating IP.",
            kind="PortHasBindingFloatingIP",
        )
    router_id = floatings.router_between(db, subnet_id, home["network_id"])
    if router_id is None or home["router_id"] not in (None, router_id):
        raise NotFound(
            f"External network {home['network_id']} is not reachable from subnet {subnet_id}. Therefore, cannot associate Port {target['id']} "
            "with a Floating IP.",
            kind="ExternalGatewayForFloatingIPNotFound",
        )
    _apart(db, home, columns, own)
    return router_id


def _apart(db: Connection, home: Mapping[Any, Any], columns: Mapping[str, Any], own: str) -> None:
    alike = forward.c.protocol == columns["protocol"], forward.c.id != own
    outer: list[ColumnElement[bool]] = [
        forward.c.floating_id == home["id"], forward.c.outer_first <= columns["outer_last"], forward.c.outer_last >= columns["outer_first"],
    ]  # fmt: skip
    inner: list[ColumnElement[bool]] = [
        forward.c.port_id == columns["port_id"], forward.c.address == columns["address"],
        forward.c.inner_first <= columns["inner_last"], forward.c.inner_last >= columns["inner_first"],
    ]  # fmt: skip
    for conditions, name in ((outer, "external_port"), (inner, "internal_port")):
        if db.scalar(select(forward.c.id).where(*alike, *conditions).limit(1)):
            raise BadRequest(
                f"Bad port_forwarding request: A duplicate port forwarding entry with same attributes already exists, conflicting values are "
                f"{{'{name}': {columns['outer_first' if name == 'external_port' else 'inner_first']}, 'protocol': '{columns['protocol']}'}}.",
                kind="BadRequest",
            )


def update(ctx: Context, home: Mapping[Any, Any], row: Mapping[Any, Any], body: ForwardChange) -> None:
    """Change a rule. Raises as `create`."""
    columns = _columns(body, row)
    router_id = _checked(ctx, home, columns, row["id"])
    touch(ctx.db, forward, row["id"], **columns)
    _tell(ctx, router_id)


def _tell(ctx: Context, router_id: str) -> None:
    bump(ctx.db, router, router.c.id == router_id)
    changed(ctx)


def remove(ctx: Context, rule_id: str) -> None:
    """Take a rule away; a floating IP without any is free again."""
    ties.drop_forwards(ctx.db, [rule_id])
    changed(ctx)
