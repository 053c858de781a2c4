"""The rules of trusts: one user lends another some of its roles on a project, for a while or a number of uses.

A trust may be lent on as often as its `redelegation_count` says, never for longer nor with more roles; what was lent on
ends with what it came from. Source: Identity API v3, "OS-TRUST".
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, insert, or_, select, update

from andromede.core.clock import iso_micro_z, now
from andromede.core.context import Context
from andromede.core.errors import BadRequest, Forbidden, NotFound
from andromede.core.ids import new_hex_id
from andromede.services.identity import grants, listing, rights, roles
from andromede.services.identity.application_credentials import moment_of
from andromede.services.identity.fields import Fields, boolean, ident, nothing, number
from andromede.services.identity.rights import Target
from andromede.services.identity.tables import access_token, project, role, trust, user
from andromede.services.identity.tokens import touch

DEEPEST = 3
FIELDS = Fields(
    "trust",
    {
        "trustor_user_id": ident(null=False), "trustee_user_id": ident(null=False), "project_id": ident(), "impersonation": boolean(),
        "expires_at": nothing, "remaining_uses": number(1, null=True), "roles": nothing, "allow_redelegation": boolean(null=True),
        "redelegation_count": number(0, null=True),
    },
    required=("trustor_user_id", "trustee_user_id", "impersonation"),
)  # fmt: skip


def view(ctx: Context, row: Any, *, full: bool) -> dict[str, Any]:
    """A trust, as it goes over HTTP; lists leave its roles out."""
    out = dict(row.extra) | {
        "id": row.id, "trustor_user_id": row.trustor_id, "trustee_user_id": row.trustee_id, "project_id": row.project_id,
        "impersonation": row.impersonation, "expires_at": iso_micro_z(row.expires) if row.expires else None, "deleted_at": None,
        "remaining_uses": row.remaining_uses, "redelegation_count": row.redelegation_count,
        "redelegated_trust_id": row.redelegated_trust_id, "links": {"self": _link(ctx, row)},
    }  # fmt: skip
    if full:
        out["roles"] = lent(ctx, row)
        out["roles_links"] = {"self": _link(ctx, row) + "/roles", "next": None, "previous": None}
    return out


def _link(ctx: Context, row: Any) -> str:
    return listing.link(ctx, "OS-TRUST/trusts", row.id)


def lent(ctx: Context, row: Any) -> list[dict[str, Any]]:
    """The roles of a trust, as they go over HTTP."""
    found = ctx.db.execute(select(role).where(role.c.id.in_(row.roles)).order_by(role.c.name))
    return [roles.view(ctx, one) for one in found]


def find(ctx: Context, trust_id: str, rule: str = "get_trust") -> Any:
    """The row of a trust that the caller may know: its trustor and trustee do. Raises NotFound, Forbidden."""
    row = ctx.db.execute(select(trust).where(trust.c.id == trust_id, _of_users())).first()
    if row is None or (row.expires is not None and row.expires <= now()):
        raise NotFound(f"Could not find trust: {trust_id}.")
    party = row.trustee_id if rule == "get_trust" and ctx.caller.user_id == row.trustee_id else row.trustor_id
    rights.require(ctx, rule, Target(user_id=party))
    return row


def listed(ctx: Context) -> tuple[list[Any], str | None]:
    """The trusts asked for by `trustor_user_id` or `trustee_user_id`; all of them only for who reads everything."""
    trustor, trustee = ctx.query.get("trustor_user_id"), ctx.query.get("trustee_user_id")
    query = select(trust).where(_of_users(), or_(trust.c.expires.is_(None), trust.c.expires > now()))
    if not trustor and not trustee:
        rights.require(ctx, "list_trusts", Target())
    else:
        own = ctx.caller.user_id if ctx.caller.user_id in (trustor, trustee) else None
        rights.require(ctx, "list_own_trusts", Target(user_id=own))
    for column, value in ((trust.c.trustor_id, trustor), (trust.c.trustee_id, trustee)):
        query = query.where(column == value) if value else query
    return listing.rows(ctx, query, trust)


def create(ctx: Context, body: dict[str, Any]) -> Any:
    """A new trust's row. Raises Forbidden for who is not the trustor or does not hold the roles, NotFound for the trustee."""
    values, extra = FIELDS.read(body, creating=True)
    trustor = values["trustor_user_id"]
    rights.require(ctx, "create_trust", Target(user_id=trustor))
    caller = ctx.caller
    if caller.application_credential_id is not None and not caller.unrestricted:
        raise Forbidden("Using method 'application_credential' is not allowed for managing trusts.")
    trustee = values["trustee_user_id"]
    if ctx.db.execute(select(user.c.id).where(user.c.id == trustee)).first() is None:
        raise NotFound(f"Could not find user: {trustee}.")
    project_id = values.get("project_id")
    row: dict[str, Any] = {
        "id": new_hex_id(), "trustor_id": trustor, "trustee_id": trustee, "project_id": project_id,
        "impersonation": values["impersonation"], "expires": moment_of("expires_at", values.get("expires_at")),
        "remaining_uses": values.get("remaining_uses"), "redelegation_count": _count(values), "roles": [], "extra": extra,
    }  # fmt: skip
    parent = _parent(ctx, row) if caller.trust_id is not None else None
    row["roles"] = _roles(ctx, trustor, project_id, values.get("roles"), parent)
    ctx.db.execute(insert(trust).values(row))
    return find(ctx, str(row["id"]))


def _count(values: dict[str, Any]) -> int:
    """How often the new trust may be lent on."""
    if not values.get("allow_redelegation"):
        return 0
    count = values.get("redelegation_count")
    if count is not None and count > DEEPEST:
        raise Forbidden(f"Requested redelegation depth of {count} is greater than allowed {DEEPEST}.")
    if values.get("remaining_uses") is not None:
        raise BadRequest("remaining_uses must not be set if redelegation is allowed.")
    return DEEPEST if count is None else int(count)


def _parent(ctx: Context, row: dict[str, Any]) -> Any:
    """The trust that is being lent on, which bounds the new one."""
    parent = ctx.db.execute(select(trust).where(trust.c.id == ctx.caller.trust_id, trust.c.deleted.is_(None))).first()
    if parent is None:
        raise Forbidden("The trust is gone.")
    if parent.redelegation_count < 1:
        raise Forbidden("Redelegation is not allowed by this trust.")
    if row["project_id"] != parent.project_id:
        raise Forbidden("A trust can only be lent on for its project.")
    if row["impersonation"] and not parent.impersonation:
        raise Forbidden("Impersonation is not allowed because redelegated trust does not specify impersonation.")
    if parent.expires is not None:
        if row["expires"] is not None and row["expires"] > parent.expires:
            raise Forbidden("Requested expiration time is more than redelegated trust can provide.")
        row["expires"] = row["expires"] or parent.expires
    row["redelegated_trust_id"] = parent.id
    row["redelegation_count"] = min(row["redelegation_count"], parent.redelegation_count - 1)
    return parent


def _roles(ctx: Context, trustor: str, project_id: str | None, asked: Any, parent: Any) -> list[str]:
    """The ids of the roles to lend; the trustor must hold them, or have been lent them."""
    if project_id is None:
        raise BadRequest("Invalid input for field 'project_id': a trust is for a project.")
    place = ctx.db.execute(select(project).where(project.c.id == project_id)).first()
    if place is None:
        raise NotFound(f"Could not find project: {project_id}.")
    if not isinstance(asked, list) or not asked or not all(isinstance(one, dict) for one in asked):
        if parent is not None and not asked:
            return list(parent.roles)
        raise Forbidden("At least one role should be specified.")
    lender = grants.roles_of(ctx.db, trustor, grants.on_project(ctx.db, place))
    held = lender if parent is None else grants.expand(ctx.db, set(parent.roles))
    if ctx.caller.application_credential_id is not None:
        given = dict(ctx.caller.role_ids)
        held = {id_: name for id_, name in held.items() if id_ in given}
    out = []
    for one in asked:
        id_ = one.get("id") or next((id_ for id_, name in held.items() if name == one.get("name")), None)
        if id_ not in held:
            if not one.get("id") and ctx.db.execute(select(role.c.id).where(role.c.name == one.get("name"))).first() is None:
                raise NotFound(f"Could not find role: {one.get('name')}.")
            raise Forbidden("Only roles that the trustor holds on the project can be lent.")
        out.append(str(id_))
    return out


def remove(ctx: Context, trust_id: str) -> None:
    """End a trust, all that was lent on from it, and their tokens."""
    end(ctx.db, find(ctx, trust_id, "delete_trust").id)


def end(db: Connection, trust_id: str) -> None:
    """The same, whoever asks."""
    todo = [trust_id]
    while todo:
        db.execute(update(trust).where(trust.c.id.in_(todo)).values(deleted=now()))
        todo = list(db.scalars(select(trust.c.id).where(trust.c.redelegated_trust_id.in_(todo), trust.c.deleted.is_(None))))
    touch(db)


def lend_oneself(db: Connection, user_id: str, project_id: str, role_ids: list[str], expires: datetime) -> str:
    """The id of a new trust of a user with itself, which limits what a program does in its name. It is no trust of the API's."""
    id_ = new_hex_id()
    db.execute(
        insert(trust).values(
            id=id_, trustor_id=user_id, trustee_id=user_id, project_id=project_id, impersonation=True, expires=expires, roles=role_ids,
            redelegation_count=0, extra={},
        )
    )  # fmt: skip
    return id_


def _of_users() -> ColumnElement[bool]:
    """Trusts that users have made, not those behind access tokens."""
    return trust.c.deleted.is_(None) & trust.c.id.not_in(select(access_token.c.trust_id))
