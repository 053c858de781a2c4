"""What goes with users, groups, projects and roles when they are deleted, beyond what foreign keys take along."""

from datetime import timedelta

from sqlalchemy import ColumnElement, Connection, delete, insert, or_, select, update

from andromede.core.clock import now
from andromede.core.context import Parts
from andromede.core.ids import new_hex_id
from andromede.engine.model import Reconciler
from andromede.services.identity.tables import (
    assignment,
    credential,
    group,
    implied,
    project,
    project_limit,
    revocation,
    role,
    trust,
    user,
)  # fmt: skip
from andromede.services.identity.tokens import touch

LONGEST = 43_200.0
"""Seconds that a session (temporary access keys) can last."""


def remove_users(db: Connection, which: ColumnElement[bool]) -> None:
    """Delete users, with their roles, credentials, trusts and application credentials."""
    ids = select(user.c.id).where(which)
    db.execute(delete(assignment).where(assignment.c.actor == "user", assignment.c.actor_id.in_(ids)))
    db.execute(delete(credential).where(credential.c.user_id.in_(ids)))
    db.execute(delete(user).where(which))
    touch(db)


def remove_groups(db: Connection, which: ColumnElement[bool]) -> None:
    """Delete groups, with their roles and memberships."""
    ids = select(group.c.id).where(which)
    db.execute(delete(assignment).where(assignment.c.actor == "group", assignment.c.actor_id.in_(ids)))
    db.execute(delete(group).where(which))
    touch(db)


def remove_projects(db: Connection, which: ColumnElement[bool]) -> None:
    """Delete projects, with the roles on them, their limits, and the credentials and trusts for them."""
    ids = list(db.scalars(select(project.c.id).where(which)))
    db.execute(delete(assignment).where(assignment.c.target == "project", assignment.c.target_id.in_(ids)))
    db.execute(delete(credential).where(credential.c.project_id.in_(ids)))
    db.execute(delete(trust).where(trust.c.project_id.in_(ids)))
    db.execute(delete(project_limit).where(project_limit.c.project_id.in_(ids)))
    db.execute(update(user).where(user.c.default_project_id.in_(ids)).values(default_project_id=None))
    db.execute(update(project).where(project.c.id.in_(ids)).values(parent_id=None))
    db.execute(delete(project).where(project.c.id.in_(ids)))
    touch(db)


def remove_roles(db: Connection, which: ColumnElement[bool]) -> None:
    """Delete roles, with the assignments and implications that name them."""
    ids = select(role.c.id).where(which)
    db.execute(delete(assignment).where(assignment.c.role_id.in_(ids)))
    db.execute(delete(implied).where(or_(implied.c.prior_id.in_(ids), implied.c.implied_id.in_(ids))))
    db.execute(delete(role).where(which))
    touch(db)


def end_tokens_of(db: Connection, user_id: str, lifetime: float) -> None:
    """End every token a user was given so far, and every session. lifetime: seconds that a token can live at most."""
    moment = now()
    expires = moment + timedelta(seconds=max(lifetime, LONGEST))
    db.execute(insert(revocation).values(id=new_hex_id(), user_id=user_id, before=moment, expires=expires))
    touch(db)


def purge_revocations(db: Connection) -> int:
    """Delete revocations that no token can still meet; answers how many."""
    return db.execute(delete(revocation).where(revocation.c.expires < now())).rowcount


def reconcilers(parts: Parts) -> list[Reconciler]:
    """Identity's own: forgetting revocations that no token can still meet."""

    def purge() -> str:
        count = parts.database.run(purge_revocations)
        return f"{count} revocations purged" if count else ""

    return [Reconciler("identity.purge", 600.0, purge)]
