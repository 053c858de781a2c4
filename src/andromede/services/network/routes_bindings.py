"""Routes of ports' bindings: hosts that a port may move to beside the one where it is. Source: Networking API v2.0, port binding."""

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET
from sqlalchemy import delete, insert, select, update

from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, NotFound
from andromede.services.network import port_requests, ports
from andromede.services.network.api import admin, api
from andromede.services.network.resource import View, chosen_fields, find
from andromede.services.network.routes_ports import PORT
from andromede.services.network.rows import changed, one
from andromede.services.network.tables import binding, port
from andromede.services.network.wire_l3 import BindingChange, CreateBinding, UpdateBinding

_ALL = "/ports/{port_id}/bindings"
_ONE = _ALL + "/{host}"
Row = Mapping[Any, Any]


def _view(row: Row, status: str) -> View:
    return {
        "host": row["host"], "vif_type": "ovs", "vif_details": port_requests.VIF_DETAILS, "vnic_type": row["vnic_type"],
        "profile": row["profile"], "status": status,
    }  # fmt: skip


def _bindings(ctx: Context, row: Row) -> list[View]:
    others = ctx.db.execute(select(binding).where(binding.c.port_id == row["id"]).order_by(binding.c.host)).mappings()
    return [*([_view(row, "ACTIVE")] if row["host"] else []), *(_view(each, "INACTIVE") for each in others)]


def _of_guest(ctx: Context, port_id: str) -> Row:
    row = find(ctx, PORT, port_id)
    if not row["device_owner"].startswith("compute:"):
        raise BadRequest(f"Port {port_id} is not valid, valid ports are those of servers.", kind="PortInvalid")
    return row


def _other(ctx: Context, port_id: str, host: str) -> Row:
    row = ctx.db.execute(select(binding).where(binding.c.port_id == port_id, binding.c.host == host)).mappings().first()
    if row is None:
        raise NotFound(f"Binding for port {port_id} for host {host} could not be found.", kind="PortBindingNotFound")
    return row


def _facts(body: BindingChange) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if body.vnic_type not in (UNSET, None):
        out["vnic_type"] = port_requests.vnic_type(body.vnic_type)
    if body.profile is not UNSET:
        out["profile"] = body.profile or {}
    return out


@api.get(_ALL, policy=admin("get_port_binding"))
def list_port_bindings(ctx: Context, port_id: str) -> dict[str, Any]:
    """The hosts of a port: the one where it is, and those it may move to."""
    found = _bindings(ctx, _of_guest(ctx, port_id))
    for name in ("host", "vif_type", "vnic_type", "status"):
        if name in ctx.query:
            found = [each for each in found if each[name] in ctx.query.all(name)]
    return {"bindings": chosen_fields(ctx, found)}


@api.get(_ONE, policy=admin("get_port_binding"))
def show_port_binding(ctx: Context, port_id: str, host: str) -> dict[str, Any]:
    """One of them."""
    found = next((each for each in _bindings(ctx, _of_guest(ctx, port_id)) if each["host"] == host), None)
    if found is None:
        _other(ctx, port_id, host)
    return {"binding": found}


@api.post(_ALL, policy=admin("create_port_binding"), status=201)
def create_port_binding(ctx: Context, port_id: str, body: CreateBinding) -> dict[str, Any]:
    """Let a port move to a host; one that is nowhere is there at once. Errors: 400 a port of no server; 409 it is bound there."""
    row, wanted = _of_guest(ctx, port_id), body.binding
    if any(each["host"] == wanted.host for each in _bindings(ctx, row)):
        raise Conflict(f"Binding for port {port_id} on host {wanted.host} already exists.", kind="PortBindingAlreadyExists")
    facts = {"vnic_type": "normal", "profile": {}} | _facts(wanted)
    if row["host"]:
        ctx.db.execute(insert(binding).values(port_id=port_id, host=wanted.host, **facts))
    else:
        ports.change(ctx.db, row, host=wanted.host, **facts)
        changed(ctx)
    return show_port_binding(ctx, port_id, wanted.host)


@api.put(_ONE, policy=admin("update_port_binding"))
def update_port_binding(ctx: Context, port_id: str, host: str, body: UpdateBinding) -> dict[str, Any]:
    """Change the facts of a binding. Errors: 404 where the port has none on the host."""
    row, facts = _of_guest(ctx, port_id), _facts(body.binding)
    if row["host"] == host:
        ports.change(ctx.db, row, **facts)
    else:
        _other(ctx, port_id, host)
        if facts:
            ctx.db.execute(update(binding).where(binding.c.port_id == port_id, binding.c.host == host).values(**facts))
    return show_port_binding(ctx, port_id, host)


@api.put(_ONE + "/activate", policy=admin("activate_port_binding"))
def activate_port_binding(ctx: Context, port_id: str, host: str) -> dict[str, Any]:
    """The port is on that host from now on, and may move back. Errors: 404 where it has no binding there; 409 it is there."""
    row = _of_guest(ctx, port_id)
    if row["host"] == host:
        raise Conflict(f"Binding for port {port_id} on host {host} is already active.", kind="PortBindingAlreadyActive")
    wanted = _other(ctx, port_id, host)
    ctx.db.execute(delete(binding).where(binding.c.port_id == port_id, binding.c.host == host))
    if row["host"]:
        ctx.db.execute(insert(binding).values(port_id=port_id, host=row["host"], vnic_type=row["vnic_type"], profile=row["profile"]))
    ports.change(ctx.db, row, host=host, vnic_type=wanted["vnic_type"], profile=wanted["profile"])
    changed(ctx)
    return {"binding": _view(one(ctx.db, port, port_id), "ACTIVE")}


@api.delete(_ONE, policy=admin("delete_port_binding"))
def delete_port_binding(ctx: Context, port_id: str, host: str) -> None:
    """Take a binding away; without its active one, a port is nowhere. Errors: 404 where the port has none on the host."""
    row = _of_guest(ctx, port_id)
    if row["host"] == host:
        ports.change(ctx.db, row, host="")
        changed(ctx)
    else:
        _other(ctx, port_id, host)
        ctx.db.execute(delete(binding).where(binding.c.port_id == port_id, binding.c.host == host))
