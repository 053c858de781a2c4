"""Security groups as Compute's API knows them: those of servers, and its old face of groups and rules, which has ingress only.

Compute's words for refusals differ: a group in use or a doubled rule is a 400, a quota a 403.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from msgspec import UNSET
from sqlalchemy import select

from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, NotFound, QuotaExceeded
from andromede.services.network import groups, ports
from andromede.services.network import routes_groups as routes
from andromede.services.network.resource import find, find_own, shown
from andromede.services.network.rows import changed
from andromede.services.network.tables import group, port, port_group
from andromede.services.network.wire_l3 import CreateGroup, CreateRule, GroupChange, NewGroup, NewRule, UpdateGroup

View = dict[str, Any]


@contextlib.contextmanager
def _in_its_words() -> Iterator[None]:
    try:
        yield
    except QuotaExceeded as error:
        error.status = 403
        raise
    except Conflict as error:
        raise BadRequest(error.message) from error


def _views(ctx: Context, found: list[View]) -> list[View]:
    remote = {rule["remote_group_id"] for one in found for rule in one["security_group_rules"]} - {None}
    rows = ctx.db.execute(select(group.c.id, group.c.name, group.c.project_id).where(group.c.id.in_(remote)))
    names = {row.id: {"name": row.name, "tenant_id": row.project_id} for row in rows}
    return [
        {
            "id": one["id"], "name": one["name"], "description": one["description"], "tenant_id": one["project_id"],
            "rules": [_rule(rule, names) for rule in one["security_group_rules"] if rule["direction"] == "ingress"],
        }
        for one in found
    ]  # fmt: skip


def _rule(rule: View, names: dict[str, View]) -> View:
    remote, low, high = rule["remote_group_id"], rule["port_range_min"], rule["port_range_max"]
    if rule["protocol"] is not None and low is None:
        low = high = -1 if rule["protocol"] in ("icmp", "icmpv6") else None
    anywhere = "::/0" if rule["ethertype"] == "IPv6" else "0.0.0.0/0"
    return {
        "id": rule["id"], "parent_group_id": rule["security_group_id"], "ip_protocol": rule["protocol"], "from_port": low, "to_port": high,
        "group": names.get(remote, {}) if remote else {}, "ip_range": {} if remote else {"cidr": rule["remote_ip_prefix"] or anywhere},
    }  # fmt: skip


def _show(ctx: Context, group_id: str) -> View:
    return _views(ctx, [shown(ctx, routes.GROUP, [find(ctx, routes.GROUP, group_id)["id"]])["security_group"]])[0]


def list_groups(ctx: Context) -> list[View]:
    """The groups of the caller's project (with `all_tenants`, for admins, of all). Opens transactions of its own."""
    database, mine = ctx.parts.database, ctx.project_id
    if not database.look(lambda db: db.scalar(select(group.c.id).where(group.c.default_of == mine))):
        database.run(lambda db: groups.ensure_default(db, mine))
    query = select(group.c.id).order_by(group.c.name, group.c.id)
    if not (ctx.caller.admin and ctx.query.get("all_tenants") not in (None, "0", "false", "False")):
        query = query.where(group.c.project_id == mine)

    def read(db: Any) -> list[View]:
        ctx.bind(db)
        return [_show(ctx, id_) for id_ in db.scalars(query)]

    found: list[View] = database.look(read)
    return found


def show_group(ctx: Context, group_id: str) -> View:
    """One group. Raises NotFound."""
    return _show(ctx, group_id)


def create_group(ctx: Context, name: str, description: str) -> View:
    """Make a group. Raises QuotaExceeded (403)."""
    with _in_its_words():
        body = CreateGroup(security_group=NewGroup(name=name, description=description))
        return _show(ctx, routes.create_security_group(ctx, body)["security_group"]["id"])


def change_group(ctx: Context, group_id: str, name: str, description: str) -> View:
    """Rename a group. Raises BadRequest for the default one."""
    with _in_its_words():
        routes.update_security_group(ctx, group_id, UpdateGroup(security_group=GroupChange(name=name, description=description)))
    return _show(ctx, group_id)


def delete_group(ctx: Context, group_id: str) -> None:
    """Delete a group. Raises BadRequest while it is in use, and for the default one."""
    row = find_own(ctx, routes.GROUP, group_id)
    if row["default_of"]:
        raise BadRequest("Unable to delete system group 'default'")
    with _in_its_words():
        routes.delete_security_group(ctx, group_id)


def create_rule(
    ctx: Context, group_id: str, *, protocol: str | None, low: int | None, high: int | None, cidr: str | None, remote: str | None
) -> View:
    """Let something in. low, high: ports, or ICMP's type and code; -1 or None: any. cidr or remote (a group's id): from where."""
    bounds = [None if value in (None, -1) else value for value in (low, high)]
    rule = NewRule(
        security_group_id=group_id, direction="ingress", ethertype="IPv6" if cidr and ":" in cidr else "IPv4", protocol=protocol,
        port_range_min=bounds[0], port_range_max=bounds[1], remote_ip_prefix=(cidr or "0.0.0.0/0") if not remote else UNSET,
        remote_group_id=remote or UNSET,
    )  # fmt: skip
    with _in_its_words():
        made = routes.create_security_group_rule(ctx, CreateRule(security_group_rule=rule))["security_group_rule"]
    return next(one for one in _show(ctx, group_id)["rules"] if one["id"] == made["id"])


def delete_rule(ctx: Context, rule_id: str) -> None:
    """Take a rule away. Raises NotFound."""
    routes.delete_security_group_rule(ctx, rule_id)


# of a server


def groups_of(ctx: Context, server_id: str) -> list[View]:
    """The groups that a server's ports are in."""
    query = select(port_group.c.group_id).join(port, port.c.id == port_group.c.port_id)
    ids = list(dict.fromkeys(ctx.db.scalars(query.where(port.c.device_id == server_id).order_by(port_group.c.group_id))))
    return [_show(ctx, id_) for id_ in ids]


def add_group(ctx: Context, server_id: str, name: str) -> None:
    """Put every port of a server that has port security in a group, by name or id. Raises NotFound, BadRequest where none can be."""
    id_ = _named(ctx, name)
    rows = [row for row in _ports(ctx, server_id) if row["security"]]
    if not rows:
        raise BadRequest(f"Security group {name} cannot be applied: the server has no port with port security and an address.")
    for row in rows:
        held = _held(ctx, row["id"])
        if id_ not in held:
            ports.change(ctx.db, row, groups=[*held, id_])
    changed(ctx)


def remove_group(ctx: Context, server_id: str, name: str) -> None:
    """Take every port of a server out of a group. Raises NotFound where none is in it."""
    id_, met = _named(ctx, name), False
    for row in _ports(ctx, server_id):
        held = _held(ctx, row["id"])
        if id_ in held:
            met = True
            ports.change(ctx.db, row, groups=[one for one in held if one != id_])
    if not met:
        raise NotFound(f"Security group {name} is not associated with the instance {server_id}")
    changed(ctx)


def _named(ctx: Context, name: str) -> str:
    try:
        return groups.of_names(ctx, [name])[0]
    except BadRequest as error:
        raise NotFound(f"Security group {name} not found for project {ctx.project_id}.") from error


def _ports(ctx: Context, server_id: str) -> list[Any]:
    return list(ctx.db.execute(select(port).where(port.c.device_id == server_id, port.c.device_owner.startswith("compute:"))).mappings())


def _held(ctx: Context, port_id: str) -> list[str]:
    return list(ctx.db.scalars(select(port_group.c.group_id).where(port_group.c.port_id == port_id)))
