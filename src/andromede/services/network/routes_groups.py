"""Routes of security groups, their rules, and the rules that new groups begin with."""

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET
from sqlalchemy import ColumnElement, RowMapping, or_, select, true

from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict
from andromede.services.network import groups, rules, sharing
from andromede.services.network.api import admin, api, member, reader
from andromede.services.network.errors import missing
from andromede.services.network.resource import (
    Resource,
    View,
    find_own,
    flag,
    given,
    listing,
    many,
    owner_of,
    same,
    show,
    shown,
    standard_filters,
    standard_sort,
    standard_view,
    tags_of,
    truth,
    whole,
)  # fmt: skip
from andromede.services.network.rows import add, bump, bury, changed, touch
from andromede.services.network.tables import address_group, default_rule, group, port_group, rule
from andromede.services.network.wire_l3 import CreateDefaultRule, CreateGroup, CreateRule, NewGroup, NewRule, UpdateGroup


def _rule_view(ctx: Context, rows: Sequence[RowMapping]) -> list[View]:
    out, tags = [], tags_of(ctx, rows)
    for row in rows:
        view = standard_view(row, tags) | rules.view(row) | {"security_group_id": row["group_id"]}
        view["normalized_cidr"] = rules.normalized(row["remote_cidr"])
        del view["name"]
        out.append(view)
    return out


def _view(ctx: Context, rows: Sequence[RowMapping]) -> list[View]:
    ids = [row["id"] for row in rows]
    tags, held, shared = tags_of(ctx, rows), groups.rules_of(ctx.db, ids), sharing.shared_ids(ctx, ids)
    rules_ = _rule_view(ctx, [rule for id_ in ids for rule in held.get(id_, [])])
    inside: dict[str, list[View]] = {}
    for each in rules_:
        inside.setdefault(each["security_group_id"], []).append(each)
    return [
        standard_view(row, tags) | {"stateful": row["stateful"], "shared": row["id"] in shared, "security_group_rules": inside.get(row["id"], [])}
        for row in rows
    ]


def _rule_visible(ctx: Context) -> ColumnElement[bool]:
    """A project's own rules, and those of the groups that are its own or shared with it."""
    inside = rule.c.group_id.in_(select(group.c.id).where(sharing.visible(group)(ctx)))
    return or_(rule.c.project_id == ctx.caller.project_id, inside)


GROUP = Resource(
    name="security_group", plural="security_groups", table=group, visible=sharing.visible(group), view=_view,
    filters=standard_filters(group) | {"stateful": flag(group.c.stateful), "shared": sharing.filter_shared(group, truth)},
    sort=standard_sort(group) | {"stateful": group.c.stateful},
)  # fmt: skip
RULE = Resource(
    name="security_group_rule", plural="security_group_rules", table=rule, visible=_rule_visible, view=_rule_view,
    filters={name: each for name, each in standard_filters(rule).items() if name != "name"} | {
        "security_group_id": same(rule.c.group_id), "direction": same(rule.c.direction), "ethertype": same(rule.c.ethertype),
        "protocol": same(rule.c.protocol), "port_range_min": whole(rule.c.port_min), "port_range_max": whole(rule.c.port_max),
        "remote_ip_prefix": same(rule.c.remote_cidr), "remote_group_id": same(rule.c.remote_group_id),
        "remote_address_group_id": same(rule.c.remote_addresses_id),
    },
    sort=standard_sort(rule) | {
        "security_group_id": rule.c.group_id, "direction": rule.c.direction, "ethertype": rule.c.ethertype, "protocol": rule.c.protocol,
        "port_range_min": rule.c.port_min, "port_range_max": rule.c.port_max, "remote_ip_prefix": rule.c.remote_cidr,
        "remote_group_id": rule.c.remote_group_id, "remote_address_group_id": rule.c.remote_addresses_id,
    },
)  # fmt: skip


@api.get("/security-groups", policy=reader("get_security_group"), tx="none")
def list_security_groups(ctx: Context) -> dict[str, Any]:
    """The project's security groups; its default one is made here where nothing has needed it yet."""
    database, mine = ctx.parts.database, ctx.caller.project_id
    if mine and not database.look(lambda db: db.scalar(select(group.c.id).where(group.c.default_of == mine))):
        database.run(lambda db: groups.ensure_default(db, mine))
    found: dict[str, Any] = database.look(lambda db: listing(ctx.bind(db), GROUP))
    return found


@api.get("/security-groups/{group_id}", policy=reader("get_security_group"))
def show_security_group(ctx: Context, group_id: str) -> dict[str, Any]:
    """One security group with its rules."""
    return show(ctx, GROUP, group_id)


def _reserved(name: object) -> None:
    if name == groups.DEFAULT:
        raise Conflict("Default security group already exists.", kind="SecurityGroupDefaultAlreadyExists")


def _create(ctx: Context, body: NewGroup) -> str:
    owner = owner_of(ctx, body.project_id, body.tenant_id)
    _reserved(body.name)
    groups.ensure_default(ctx.db, owner)
    ctx.take(owner, security_group=1, security_group_rule=groups.first_rules(ctx.db))
    stateful = body.stateful is UNSET or body.stateful
    return groups.begin(ctx.db, owner, name=body.name or "", description=body.description or "", stateful=stateful)


@api.post("/security-groups", policy=member("create_security_group"), status=201, quota=("security_group", "security_group_rule"))
def create_security_group(ctx: Context, body: CreateGroup) -> dict[str, Any]:
    """Make a security group, which lets its members out. Errors: 409 over quota, or the name `default`."""
    wanted, bulk = many(body.security_group, body.security_groups, "security_group")
    ids = [_create(ctx, each) for each in wanted]
    changed(ctx)
    return shown(ctx, GROUP, ids, bulk=bulk)


@api.put("/security-groups/{group_id}", policy=member("update_security_group"))
def update_security_group(ctx: Context, group_id: str, body: UpdateGroup) -> dict[str, Any]:
    """Change a security group. Errors: 409 the name of the default group, or stateful while ports are in the group."""
    row, wanted = find_own(ctx, GROUP, group_id), body.security_group
    if row["default_of"] and wanted.name not in (UNSET, groups.DEFAULT):
        raise Conflict("Updating default security group not allowed.", kind="SecurityGroupCannotUpdateDefault")
    if not row["default_of"]:
        _reserved(wanted.name)
    if wanted.stateful not in (UNSET, row["stateful"]):
        _unused(ctx, group_id)
    touch(ctx.db, group, group_id, **given(wanted, {"name": "name", "description": "description", "stateful": "stateful"}))
    changed(ctx)
    return shown(ctx, GROUP, [group_id])


def _unused(ctx: Context, group_id: str) -> None:
    if ctx.db.scalar(select(port_group.c.port_id).where(port_group.c.group_id == group_id).limit(1)):
        raise Conflict(f"Security Group {group_id} in use.", kind="SecurityGroupInUse")


@api.delete("/security-groups/{group_id}", policy=member("delete_security_group"))
def delete_security_group(ctx: Context, group_id: str) -> None:
    """Delete a security group. Errors: 409 while ports are in it, or the default one."""
    row = find_own(ctx, GROUP, group_id)
    if row["default_of"] and not ctx.caller.admin:
        raise Conflict("Insufficient rights for removing default security group.", kind="SecurityGroupCannotRemoveDefault")
    _unused(ctx, group_id)
    bump(ctx.db, group, group.c.id.in_(select(rule.c.group_id).where(rule.c.remote_group_id == group_id)))
    bury(ctx.db, group, [group_id])
    changed(ctx)


# rules


@api.get("/security-group-rules", policy=reader("get_security_group_rule"))
def list_security_group_rules(ctx: Context) -> dict[str, Any]:
    """The rules of the project's security groups."""
    return listing(ctx, RULE)


@api.get("/security-group-rules/{rule_id}", policy=reader("get_security_group_rule"))
def show_security_group_rule(ctx: Context, rule_id: str) -> dict[str, Any]:
    """One rule."""
    return show(ctx, RULE, rule_id)


def _create_rule(ctx: Context, body: NewRule) -> str:
    columns = rules.columns(body)
    home = find_own(ctx, GROUP, body.security_group_id)
    if body.remote_group_id and sharing.usable(ctx, group, body.remote_group_id) is None:
        raise missing("security_group", body.remote_group_id)
    if body.remote_address_group_id and sharing.usable(ctx, address_group, body.remote_address_group_id) is None:
        raise missing("address_group", body.remote_address_group_id)
    ctx.take(home["project_id"], security_group_rule=1)
    for held in groups.rules_of(ctx.db, [home["id"]]).get(home["id"], []):
        if groups.same_rule(held, columns):
            raise Conflict(f"Security group rule already exists. Rule id is {held['id']}.", kind="SecurityGroupRuleExists")
    touch(ctx.db, group, home["id"])
    return add(ctx.db, rule, project_id=home["project_id"], group_id=home["id"], **columns)


@api.post("/security-group-rules", policy=member("create_security_group_rule"), status=201, quota=("security_group_rule",))
def create_security_group_rule(ctx: Context, body: CreateRule) -> dict[str, Any]:
    """Add a rule to a security group. Errors: 400 what contradicts itself; 404 no such group; 409 over quota, or there is one like it."""
    wanted, bulk = many(body.security_group_rule, body.security_group_rules, "security_group_rule")
    if len({each.security_group_id for each in wanted}) > 1:
        raise BadRequest("Only allowed to update rules for one security profile at a time", kind="SecurityGroupNotSingleGroupRules")
    ids = [_create_rule(ctx, each) for each in wanted]
    changed(ctx)
    return shown(ctx, RULE, ids, bulk=bulk)


@api.delete("/security-group-rules/{rule_id}", policy=member("delete_security_group_rule"))
def delete_security_group_rule(ctx: Context, rule_id: str) -> None:
    """Take a rule away."""
    row = find_own(ctx, RULE, rule_id)
    bury(ctx.db, rule, [rule_id])
    touch(ctx.db, group, row["group_id"])
    changed(ctx)


# what new groups begin with


def _default_view(_ctx: Context, rows: Sequence[RowMapping]) -> list[View]:
    return [
        {"id": row["id"], "description": row["description"]} | rules.view(row)
        | {"used_in_default_sg": row["in_default"], "used_in_non_default_sg": row["in_others"]}
        for row in rows
    ]  # fmt: skip


DEFAULT_RULE = Resource(
    name="default_security_group_rule", plural="default_security_group_rules", table=default_rule, visible=lambda _ctx: true(),
    view=_default_view,
    filters={
        "id": same(default_rule.c.id), "description": same(default_rule.c.description), "direction": same(default_rule.c.direction),
        "ethertype": same(default_rule.c.ethertype), "protocol": same(default_rule.c.protocol),
        "port_range_min": whole(default_rule.c.port_min), "port_range_max": whole(default_rule.c.port_max),
        "remote_ip_prefix": same(default_rule.c.remote_cidr), "remote_group_id": same(default_rule.c.remote_group_id),
        "used_in_default_sg": flag(default_rule.c.in_default), "used_in_non_default_sg": flag(default_rule.c.in_others),
    },
    sort={"id": default_rule.c.id, "direction": default_rule.c.direction, "ethertype": default_rule.c.ethertype, "protocol": default_rule.c.protocol},
)  # fmt: skip
_DEFAULTS = "/default-security-group-rules"


@api.get(_DEFAULTS, policy=reader("get_default_security_group_rule"))
def list_default_security_group_rules(ctx: Context) -> dict[str, Any]:
    """The rules that new security groups begin with."""
    return listing(ctx, DEFAULT_RULE)


@api.get(_DEFAULTS + "/{rule_id}", policy=reader("get_default_security_group_rule"))
def show_default_security_group_rule(ctx: Context, rule_id: str) -> dict[str, Any]:
    """One of them."""
    return show(ctx, DEFAULT_RULE, rule_id)


@api.post(_DEFAULTS, policy=admin("create_default_security_group_rule"), status=201)
def create_default_security_group_rule(ctx: Context, body: CreateDefaultRule) -> dict[str, Any]:
    """Add a rule for groups made from now on; the remote group PARENT is the new group itself. Errors: 409 there is one like it."""
    wanted, bulk = many(body.default_security_group_rule, body.default_security_group_rules, "default_security_group_rule")
    ids = []
    for each in wanted:
        columns = rules.columns(each)
        facts = {"in_default": each.used_in_default_sg is True, "in_others": each.used_in_non_default_sg is not False}
        alike = [held for held in ctx.db.execute(select(default_rule)).mappings() if groups.same_rule(held, columns)]
        if any(held[name] and facts[name] for held in alike for name in facts):
            raise Conflict("Default security group rule already exists.", kind="DefaultSecurityGroupRuleExists")
        ids.append(add(ctx.db, default_rule, project_id="", **columns, **facts))
    return shown(ctx, DEFAULT_RULE, ids, bulk=bulk)


@api.delete(_DEFAULTS + "/{rule_id}", policy=admin("delete_default_security_group_rule"))
def delete_default_security_group_rule(ctx: Context, rule_id: str) -> None:
    """Take one away; groups that exist keep theirs."""
    if ctx.db.scalar(select(default_rule.c.id).where(default_rule.c.id == rule_id)) is None:
        raise missing("default_security_group_rule", rule_id)
    bury(ctx.db, default_rule, [rule_id])
