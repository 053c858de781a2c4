"""Sharing: what an owner, or for every project an admin, lets others use. Source: Networking API v2.0, RBAC policies.

A rule names an object, an action and a project (`*`: every one). `shared` on a resource is the rule for every project; it reads as
true wherever a rule covers the caller.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, Table, and_, delete, insert, or_, select, true

from andromede.core.context import Context
from andromede.core.errors import Conflict
from andromede.core.ids import new_id
from andromede.services.network.rows import gather
from andromede.services.network.tables import (
    address_group,
    floating,
    group,
    network,
    port,
    port_group,
    qos_policy,
    rbac,
    router,
    rule,
    scope,
    subnet,
    subnetpool,
)  # fmt: skip

SHARED, EXTERNAL, EVERYONE = "access_as_shared", "access_as_external", "*"


Users = Callable[[str], Sequence[Select[Any]]]
"""From the id of an object to queries for the projects that use it."""


class Kind(msgspec.Struct, frozen=True):
    """What may be shared: its rows, and who uses one by each of the actions that may be allowed."""

    table: Table
    users: dict[str, Users]

    @property
    def actions(self) -> tuple[str, ...]:
        """What may be allowed."""
        return tuple(self.users)


def _in_group(id_: str) -> Sequence[Select[Any]]:
    ruled = select(rule.c.project_id).where(rule.c.remote_group_id == id_)
    return [select(port.c.project_id).join(port_group, port_group.c.port_id == port.c.id).where(port_group.c.group_id == id_), ruled]


def _leaving_by(id_: str) -> Sequence[Select[Any]]:
    gateways = select(router.c.project_id).join(port, port.c.id == router.c.gateway_port_id).where(port.c.network_id == id_)
    return [gateways, select(floating.c.project_id).where(floating.c.network_id == id_)]


def _with(table: Table, column: str) -> Users:
    return lambda id_: [select(table.c.project_id).where(table.c[column] == id_)]


KINDS = {
    "network": Kind(network, {SHARED: _with(port, "network_id"), EXTERNAL: _leaving_by}),
    "qos_policy": Kind(
        qos_policy, {SHARED: lambda id_: [select(table.c.project_id).where(table.c.qos_id == id_) for table in (network, port, floating)]}
    ),
    "security_group": Kind(group, {SHARED: _in_group}),
    "address_group": Kind(address_group, {SHARED: _with(rule, "remote_addresses_id")}),
    "address_scope": Kind(scope, {SHARED: _with(subnetpool, "scope_id")}),
    "subnetpool": Kind(subnetpool, {SHARED: _with(subnet, "subnetpool_id")}),
}
"""By `object_type`."""
_TYPES = {kind.table.name: name for name, kind in KINDS.items()}


def type_of(table: Table) -> str:
    """The `object_type` of a table's rows."""
    return _TYPES[table.name]


def _targets(project_id: str | None) -> list[str]:
    return [EVERYONE, *([project_id] if project_id else [])]


def shared_with(table: Table, project_id: str | None, *actions: str) -> ColumnElement[bool]:
    """Rows that a rule lets a project use."""
    return table.c.id.in_(select(rbac.c.object_id).where(rbac.c.action.in_(actions), rbac.c.target.in_(_targets(project_id))))


def visible(table: Table) -> Callable[[Context], ColumnElement[bool]]:
    """A project's own rows and those shared with it; all of them for admins."""

    def build(ctx: Context) -> ColumnElement[bool]:
        mine = ctx.caller.project_id
        return true() if ctx.caller.admin else or_(table.c.project_id == mine, shared_with(table, mine, SHARED))

    return build


def usable(ctx: Context, table: Table, id_: str) -> Mapping[Any, Any] | None:
    """A row that the caller may use."""
    return ctx.db.execute(select(table).where(table.c.id == id_, visible(table)(ctx))).mappings().first()


def shared_ids(ctx: Context, ids: Iterable[str]) -> set[str]:
    """Which of these are shared with the caller's project."""
    open_to = select(rbac.c.object_id).where(rbac.c.action == SHARED, rbac.c.target.in_(_targets(ctx.caller.project_id)))
    return {row["object_id"] for row in gather(ctx.db, ids, lambda some: open_to.where(rbac.c.object_id.in_(some)))}


def filter_shared(table: Table, truth: Callable[[str], bool]) -> Callable[[Context, list[str]], ColumnElement[bool]]:
    """A filter by `shared`."""

    def build(ctx: Context, values: list[str]) -> ColumnElement[bool]:
        mine = shared_with(table, ctx.caller.project_id, SHARED)
        return or_(*(mine if truth(value) else ~mine for value in values))

    return build


def grant(db: Connection, table: Table, id_: str, project_id: str, action: str = SHARED) -> None:
    """Let every project use it."""
    same = and_(rbac.c.object_id == id_, rbac.c.action == action, rbac.c.target == EVERYONE)
    if db.scalar(select(rbac.c.id).where(same)) is None:
        db.execute(
            insert(rbac).values(id=new_id(), project_id=project_id, object_type=type_of(table), object_id=id_, action=action, target=EVERYONE)
        )


def revoke(db: Connection, table: Table, row: Mapping[Any, Any]) -> None:
    """Let not every project use it any more. Raises Conflict where one does that no other rule lets."""
    if dependents(db, type_of(table), row, EVERYONE):
        text = f"Unable to reconfigure sharing settings for {type_of(table)} {row['id']}. Multiple projects are using it."
        raise Conflict(text, kind="InvalidSharedSetting")
    db.execute(delete(rbac).where(rbac.c.object_id == row["id"], rbac.c.action == SHARED, rbac.c.target == EVERYONE))


def dependents(db: Connection, object_type: str, row: Mapping[Any, Any], target: str, action: str = SHARED, instead: str = "") -> bool:
    """Whether a project uses the object that could not without the rule for `target`, or with one for `instead`."""
    others = select(rbac.c.target).where(rbac.c.object_id == row["id"], rbac.c.action == action, rbac.c.target != target)
    covered = {"", row["project_id"], instead, *db.scalars(others)}
    if EVERYONE in covered:
        return False
    users = {user for query in KINDS[object_type].users[action](row["id"]) for user in db.scalars(query.distinct())}
    return bool((users if target == EVERYONE else users & {target}) - covered)
