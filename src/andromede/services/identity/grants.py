"""Which roles somebody holds where: assignments to the user and to groups, inherited ones, implied ones."""

from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, or_, select

from andromede.services.identity.tables import assignment, group, implied, membership, project, role

SYSTEM = "all"


def ancestors(db: Connection, project_id: str) -> list[str]:
    """The projects above one, nearest first."""
    out: list[str] = []
    parent = db.scalar(select(project.c.parent_id).where(project.c.id == project_id))
    while parent is not None and parent not in out:
        out.append(parent)
        parent = db.scalar(select(project.c.parent_id).where(project.c.id == parent))
    return out


def subtree(db: Connection, project_id: str) -> list[str]:
    """The projects below one, breadth first, without itself."""
    out, level = [], [project_id]
    while level:
        level = list(db.scalars(select(project.c.id).where(project.c.parent_id.in_(level)).order_by(project.c.id)))
        out += level
    return out


def actors(user_id: str) -> ColumnElement[bool]:
    """The condition on assignments that are a user's own or one of its groups'."""
    groups = select(membership.c.group_id).where(membership.c.user_id == user_id)
    return or_(
        and_(assignment.c.actor == "user", assignment.c.actor_id == user_id),
        and_(assignment.c.actor == "group", assignment.c.actor_id.in_(groups)),
    )


def on_project(db: Connection, row: Any) -> ColumnElement[bool]:
    """The condition on assignments that count on the project `row`: its own, and inherited ones of what is above it."""
    above = ancestors(db, row.id)
    return or_(
        and_(assignment.c.target == "project", assignment.c.target_id == row.id, assignment.c.inherited.is_(False)),
        and_(assignment.c.target == "project", assignment.c.target_id.in_(above), assignment.c.inherited.is_(True)),
        and_(assignment.c.target == "domain", assignment.c.target_id == row.domain_id, assignment.c.inherited.is_(True)),
    )


def on_domain(domain_id: str) -> ColumnElement[bool]:
    """The condition on assignments that count on a domain."""
    return and_(assignment.c.target == "domain", assignment.c.target_id == domain_id, assignment.c.inherited.is_(False))


def on_system() -> ColumnElement[bool]:
    """The condition on assignments that count on the whole cloud."""
    return assignment.c.target == "system"


def roles_of(db: Connection, user_id: str, target: ColumnElement[bool]) -> dict[str, str]:
    """Names by id of the roles a user holds on a target, implied ones included."""
    direct = set(db.scalars(select(assignment.c.role_id).where(actors(user_id), target)))
    return expand(db, direct)


def expand(db: Connection, role_ids: set[str]) -> dict[str, str]:
    """Names by id of these roles and of all that they imply; a domain's own role only counts for what it implies."""
    if not role_ids:
        return {}
    edges: dict[str, list[str]] = {}
    for row in db.execute(select(implied)):
        edges.setdefault(row.prior_id, []).append(row.implied_id)
    found, todo = set(role_ids), list(role_ids)
    while todo:
        for next_id in edges.get(todo.pop(), ()):
            if next_id not in found:
                found.add(next_id)
                todo.append(next_id)
    rows = db.execute(select(role.c.id, role.c.name).where(role.c.id.in_(found), role.c.domain_id == "").order_by(role.c.name))
    return {row.id: row.name for row in rows}


class Places(msgspec.Struct, frozen=True):
    """Where somebody holds any role: ids of projects and domains, and whether on the system."""

    projects: set[str]
    domains: set[str]
    system: bool


def places(db: Connection, user_id: str) -> Places:
    """Where a user holds a role, inherited ones included."""
    projects: set[str] = set()
    domains: set[str] = set()
    system = False
    for row in db.execute(select(assignment.c.target, assignment.c.target_id, assignment.c.inherited).where(actors(user_id)).distinct()):
        if row.target == "system":
            system = True
        elif row.target == "project":
            projects.update(subtree(db, row.target_id) if row.inherited else [row.target_id])
        elif row.inherited:
            projects.update(db.scalars(select(project.c.id).where(project.c.domain_id == row.target_id)))
        else:
            domains.add(row.target_id)
    return Places(projects, domains, system)


def groups_of(db: Connection, user_id: str) -> list[Any]:
    """The groups a user is in."""
    query = select(group).join(membership, membership.c.group_id == group.c.id).where(membership.c.user_id == user_id)
    return list(db.execute(query.order_by(group.c.name)))
