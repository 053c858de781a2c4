"""The rules of application credentials and their access rules.

Only the user itself makes them, for the project of its token, with roles that the token has; the secret is shown once.
Source: Identity API v3, "Application Credentials".
"""

import secrets
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from andromede.core.clock import iso_micro, now, parse
from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, Forbidden, NotFound
from andromede.core.ids import new_hex_id
from andromede.services.identity import listing, rights
from andromede.services.identity.auth import Signing
from andromede.services.identity.fields import Fields, boolean, nothing, one_of, text
from andromede.services.identity.rights import Target
from andromede.services.identity.tables import access_rule, application_credential, role
from andromede.services.identity.tokens import touch

FIELDS = Fields(
    "application_credential",
    {
        "name": text(255, 1), "description": text(null=True), "secret": text(4096, 1, null=True), "expires_at": nothing, "roles": nothing,
        "unrestricted": boolean(null=True), "access_rules": nothing, "project_id": nothing,
    },
    required=("name",),
    free=False,
)  # fmt: skip
RULE = Fields(
    "access_rule",
    {
        "id": text(64, 1), "service": text(64, 1), "path": text(255, 1),
        "method": one_of("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
    },
    free=False,
)  # fmt: skip


def moment_of(field: str, value: Any) -> datetime | None:
    """When something expires. Raises BadRequest for what is no time, or past."""
    if value is None:
        return None
    try:
        moment = parse(value)
    except (ValueError, TypeError) as error:
        raise BadRequest(f"Invalid input for field '{field}': it must be a time in ISO 8601.") from error
    if moment <= now():
        raise BadRequest(f"Invalid input for field '{field}': it must be in the future.")
    return moment


def view(ctx: Context, row: Any) -> dict[str, Any]:
    """An application credential, as it goes over HTTP, without its secret."""
    roles = ctx.db.execute(select(role).where(role.c.id.in_(row.roles)).order_by(role.c.name))
    out = {
        "id": row.id, "name": row.name, "description": row.description, "project_id": row.project_id, "user_id": row.user_id,
        "unrestricted": row.unrestricted, "expires_at": iso_micro(row.expires) if row.expires else None, "system": None,
        "roles": [{"id": one.id, "name": one.name, "domain_id": one.domain_id or None} for one in roles],
        "links": {"self": listing.link(ctx, "users", row.user_id, "application_credentials", row.id)},
    }  # fmt: skip
    if row.rules is not None:
        rules = ctx.db.execute(select(access_rule).where(access_rule.c.id.in_(row.rules)))
        out["access_rules"] = [{"id": one.id, "service": one.service, "method": one.method, "path": one.path} for one in rules]
    return out


def find(ctx: Context, user_id: str, id_: str, rule: str = "read_application_credentials") -> Any:
    """The row of a user's application credential. Raises NotFound, Forbidden."""
    rights.require(ctx, rule, Target(user_id=user_id))
    table = application_credential
    row = ctx.db.execute(select(table).where(table.c.id == id_, table.c.user_id == user_id)).first()
    if row is None:
        raise NotFound(f"Could not find application credential: {id_}.")
    return row


def listed(ctx: Context, user_id: str) -> tuple[list[Any], str | None]:
    """A user's application credentials."""
    rights.require(ctx, "read_application_credentials", Target(user_id=user_id))
    table = application_credential
    return listing.rows(ctx, listing.filtered(ctx, select(table).where(table.c.user_id == user_id), table, ("name",)), table)


def create(ctx: Context, user_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """A new application credential with its secret, which cannot be had again."""
    rights.require(ctx, "create_application_credential", Target(user_id=user_id))
    rights.refuse_delegated(ctx, "application credentials")
    signing: Signing = ctx.parts.signing
    values, _extra = FIELDS.read(body, creating=True)
    project_id = ctx.project_id
    if values.get("project_id") not in (None, project_id):
        raise BadRequest("Invalid input for field 'project_id': an application credential is for the project of the token.")
    secret = values.get("secret") or secrets.token_urlsafe(64)
    row = {
        "id": new_hex_id(), "user_id": user_id, "project_id": project_id, "name": values["name"], "description": values.get("description"),
        "hash": signing.hasher.hash(secret), "roles": _roles(ctx, values.get("roles")), "created": now(),
        "unrestricted": bool(values.get("unrestricted")), "expires": moment_of("expires_at", values.get("expires_at")),
    }  # fmt: skip

    def write(db: Connection) -> dict[str, Any]:
        ctx.bind(db)
        same = select(application_credential.c.id).where(
            application_credential.c.user_id == user_id, application_credential.c.name == row["name"]
        )
        if db.execute(same).first():
            raise Conflict(
                f"Conflict occurred attempting to store application_credential - Duplicate entry found with name {row['name']}."
            )
        rules = None if values.get("access_rules") is None else _rules(ctx, user_id, values["access_rules"])
        db.execute(insert(application_credential).values(row | {"rules": rules}))
        return view(ctx, find(ctx, user_id, str(row["id"]))) | {"secret": secret}

    return signing.database.run(write)


def _roles(ctx: Context, asked: Any) -> list[str]:
    """The ids of the roles asked for, which must be the token's; all of the token's where none are."""
    held = dict(ctx.caller.role_ids)
    if not asked:
        return list(held)
    out = []
    if not isinstance(asked, list):
        raise BadRequest("Invalid input for field 'roles': it must be a list.")
    for one in asked:
        wanted = one if isinstance(one, dict) else {}
        id_ = wanted.get("id") or next((id_ for id_, name in held.items() if name == wanted.get("name")), None)
        if id_ not in held:
            raise BadRequest("Invalid application credential: the user holds no such role on the project: "
                             f"{wanted.get('id') or wanted.get('name')}.")  # fmt: skip
        out.append(str(id_))
    return out


def _rules(ctx: Context, user_id: str, asked: Any) -> list[str]:
    """The ids of access rules, made where the user has none like them."""
    if not isinstance(asked, list) or not all(isinstance(one, dict) for one in asked):
        raise BadRequest("Invalid input for field 'access_rules': it must be a list of objects.")
    ids = []
    for one in asked:
        values, _extra = RULE.check(one, creating=True)
        if "id" in values:
            ids.append(str(find_rule(ctx, user_id, values["id"]).id))
            continue
        for name in ("service", "method", "path"):
            if name not in values:
                raise BadRequest(f"Invalid input for field 'access_rules': each needs a {name}.")
        same = [access_rule.c[name] == values[name] for name in ("service", "method", "path")]
        id_ = ctx.db.scalar(select(access_rule.c.id).where(access_rule.c.user_id == user_id, *same))
        if id_ is None:
            id_ = new_hex_id()
            ctx.db.execute(insert(access_rule).values(id=id_, user_id=user_id, **values))
        ids.append(str(id_))
    return ids


def remove(ctx: Context, user_id: str, id_: str) -> None:
    """Delete an application credential; its tokens end with it."""
    find(ctx, user_id, id_, "delete_application_credential")
    if ctx.caller.user_id == user_id:
        rights.refuse_delegated(ctx, "application credentials")
    ctx.db.execute(delete(application_credential).where(application_credential.c.id == id_))
    touch(ctx.db)


# access rules


def rule_view(ctx: Context, row: Any) -> dict[str, Any]:
    """An access rule, as it goes over HTTP."""
    return {
        "id": row.id, "service": row.service, "method": row.method, "path": row.path,
        "links": {"self": listing.link(ctx, "users", row.user_id, "access_rules", row.id)},
    }  # fmt: skip


def find_rule(ctx: Context, user_id: str, id_: str, rule: str = "read_access_rules") -> Any:
    """The row of a user's access rule. Raises NotFound, Forbidden."""
    rights.require(ctx, rule, Target(user_id=user_id))
    row = ctx.db.execute(select(access_rule).where(access_rule.c.id == id_, access_rule.c.user_id == user_id)).first()
    if row is None:
        raise NotFound(f"Could not find Access Rule: {id_}.")
    return row


def rules(ctx: Context, user_id: str) -> tuple[list[Any], str | None]:
    """A user's access rules."""
    rights.require(ctx, "read_access_rules", Target(user_id=user_id))
    query = select(access_rule).where(access_rule.c.user_id == user_id)
    return listing.rows(ctx, listing.filtered(ctx, query, access_rule, ("service", "method", "path")), access_rule)


def remove_rule(ctx: Context, user_id: str, id_: str) -> None:
    """Delete an access rule. Raises Forbidden while an application credential has it."""
    find_rule(ctx, user_id, id_, "delete_access_rule")
    table = application_credential
    for used in ctx.db.scalars(select(table.c.rules).where(table.c.user_id == user_id, table.c.rules.is_not(None))):
        if id_ in used:
            raise Forbidden("May not delete access rule in use.")
    ctx.db.execute(delete(access_rule).where(access_rule.c.id == id_))
