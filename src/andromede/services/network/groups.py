"""Security groups: each project's default one, finding them, and the rules that new ones begin with.

Source: Networking API v2.0, security groups and default security group rules.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, and_, func, insert, or_, select, true

from andromede.core.clock import now
from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict
from andromede.core.ids import new_id
from andromede.services.network import sharing
from andromede.services.network.errors import missing, wrong
from andromede.services.network.rows import add
from andromede.services.network.rules import normalized
from andromede.services.network.tables import default_rule, group, rule, setting

DEFAULT, PARENT = "default", "PARENT"
_SEED = "default_rules"
_COPIED = ("direction", "ethertype", "protocol", "port_min", "port_max", "remote_cidr", "remote_addresses_id", "description")


def seed(db: Connection) -> None:
    """The first default rules: all may leave, and the default group's members reach each other. Once; an admin may change them."""
    if db.scalar(select(setting.c.value).where(setting.c.name == _SEED)):
        return
    db.execute(insert(setting).values(name=_SEED, value="written"))
    for ethertype in ("IPv4", "IPv6"):
        add(
            db, default_rule, project_id="", direction="egress", ethertype=ethertype, in_default=True, in_others=True,
            description="Legacy default SG rule for egress traffic",
        )  # fmt: skip
        add(
            db, default_rule, project_id="", direction="ingress", ethertype=ethertype, remote_group_id=PARENT, in_default=True, in_others=False,
            description="Legacy default SG rule for ingress traffic",
        )  # fmt: skip


def ensure_default(db: Connection, project_id: str) -> str:
    """The id of a project's default group, which is made when it is first needed."""
    found = db.scalar(select(group.c.id).where(group.c.default_of == project_id))
    if found is not None:
        return str(found)
    return begin(db, project_id, name=DEFAULT, description="Default security group", stateful=True, default_of=project_id)


def first_rules(db: Connection) -> int:
    """How many rules a new group begins with."""
    seed(db)
    return db.scalar(select(func.count()).select_from(default_rule).where(default_rule.c.in_others)) or 0


def begin(db: Connection, project_id: str, **columns: Any) -> str:
    """A group with the rules that new ones have."""
    seed(db)
    id_ = add(db, group, project_id=project_id, **columns)
    which = default_rule.c.in_default if columns.get("default_of") else default_rule.c.in_others
    for one in db.execute(select(default_rule).where(which)).mappings():
        remote = id_ if one["remote_group_id"] == PARENT else one["remote_group_id"]
        if remote is not None and remote != id_ and db.scalar(select(group.c.id).where(group.c.id == remote)) is None:
            continue
        moment = now()
        db.execute(
            insert(rule).values(
                id=new_id(), project_id=project_id, group_id=id_, remote_group_id=remote, created=moment, updated=moment,
                **{name: one[name] for name in _COPIED} | {"description": ""},
            )
        )  # fmt: skip
    return id_


def of_ids(ctx: Context, ids: Sequence[str], project_id: str) -> list[str]:
    """The same ids, checked: groups of that project and those shared with it, or any for admins. Raises NotFound, BadRequest for one
    that is named twice, Conflict for stateful and stateless ones together."""
    mine = or_(group.c.project_id == project_id, sharing.shared_with(group, project_id, sharing.SHARED))
    found = set(ctx.db.scalars(select(group.c.id).where(group.c.id.in_(list(ids)), true() if ctx.caller.admin else mine)))
    for id_ in ids:
        if id_ not in found:
            raise missing("security_group", id_)
    if len(set(ids)) < len(ids):
        raise wrong("security_groups", f"Duplicate items in the list: '{', '.join(ids)}'")
    if len(set(ctx.db.scalars(select(group.c.stateful).where(group.c.id.in_(list(ids)))))) > 1:
        text = "Cannot apply both stateful and stateless security groups on the same port at the same time"
        raise Conflict(text, kind="SecurityGroupConflict")
    return list(ids)


def of_names(ctx: Context, names: Sequence[str]) -> list[str]:
    """Ids of the caller's project's groups by name or id. Raises BadRequest for an unknown one, Conflict for an ambiguous name."""
    out: list[str] = []
    if DEFAULT in names:
        ensure_default(ctx.db, ctx.project_id)
    for name in names:
        mine = or_(group.c.project_id == ctx.project_id, and_(group.c.id == name, sharing.shared_with(group, ctx.project_id, sharing.SHARED)))
        query = select(group.c.id).where(mine, or_(group.c.name == name, group.c.id == name))
        ids = list(ctx.db.scalars(query))
        if name in ids:
            ids = [name]
        if not ids:
            raise BadRequest(f"Security group {name} not found for project {ctx.project_id}.", kind="SecurityGroupNotFound")
        if len(ids) > 1:
            raise Conflict(f"Multiple security groups found matching '{name}'. Use an ID to be more specific.", kind="NoUniqueMatch")
        if ids[0] not in out:
            out.append(ids[0])
    return out


def rules_of(db: Connection, ids: Sequence[str]) -> dict[str, list[RowMapping]]:
    """The rules of each group, oldest first."""
    from andromede.services.network.rows import gather, grouped

    return grouped(gather(db, ids, lambda some: select(rule).where(rule.c.group_id.in_(some)).order_by(rule.c.created, rule.c.id)), "group_id")


def same_rule(one: Mapping[Any, Any], other: Mapping[Any, Any]) -> bool:
    """Whether two rules let the same through."""
    names = ("direction", "ethertype", "protocol", "port_min", "port_max", "remote_group_id", "remote_addresses_id")
    return all(one[name] == other[name] for name in names) and normalized(one["remote_cidr"]) == normalized(other["remote_cidr"])
