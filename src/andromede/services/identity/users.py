"""The rules of users and their passwords.

Hashing takes tens of milliseconds, so it is done before the transaction that writes is begun.
"""

from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from andromede.core.clock import iso_micro_z, now, parse
from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, NotFound, Unauthorized
from andromede.core.ids import new_hex_id
from andromede.services.identity import domains, leftovers, listing, rights
from andromede.services.identity.auth import Signing, current_password
from andromede.services.identity.fields import Fields, boolean, ident, merged, nothing, options, text
from andromede.services.identity.lockout import WRONG
from andromede.services.identity.rights import Target
from andromede.services.identity.tables import password, project, user
from andromede.services.identity.tokens import touch

_METHODS = {"password", "token", "totp", "application_credential"}
_MOST_PASSWORD = 4096


def _mfa_rules(name: str, value: Any) -> Any:
    if not isinstance(value, list) or not all(isinstance(rule, list) and all(isinstance(one, str) for one in rule) for rule in value):
        raise BadRequest(f"Invalid input for field '{name}': it must be a list of lists of methods.")
    for rule in value:
        if set(rule) - _METHODS or len(set(rule)) != len(rule):
            raise BadRequest(f"Invalid input for field '{name}': the methods are {', '.join(sorted(_METHODS))}, each once in a rule.")
    return value


OPTIONS = options(
    ignore_change_password_upon_first_use=boolean(), ignore_password_expiry=boolean(), ignore_lockout_failure_attempts=boolean(),
    ignore_user_inactivity=boolean(), lock_password=boolean(), multi_factor_auth_enabled=boolean(), multi_factor_auth_rules=_mfa_rules,
)  # fmt: skip
FIELDS = Fields(
    "user",
    {
        "name": text(255, 1), "password": text(_MOST_PASSWORD, null=True), "enabled": boolean(), "domain_id": ident(),
        "default_project_id": ident(), "options": OPTIONS, "original_password": nothing, "password_expires_at": nothing,
    },
    required=("name",),
)  # fmt: skip
PASSWORDS = Fields("user", {"password": text(_MOST_PASSWORD), "original_password": text(_MOST_PASSWORD)}, ("password", "original_password"))


def view(ctx: Context, row: Any, expires: dict[str, Any]) -> dict[str, Any]:
    """A user, as it goes over HTTP; `expires`: when passwords do, by user."""
    end = expires.get(row.id)
    return dict(row.extra) | {
        "id": row.id, "name": row.name, "domain_id": row.domain_id, "enabled": row.enabled, "options": row.options,
        "password_expires_at": iso_micro_z(end) if end else None, "links": {"self": listing.link(ctx, "users", row.id)},
        **({"default_project_id": row.default_project_id} if row.default_project_id else {}),
    }  # fmt: skip


def views(ctx: Context, rows: list[Any]) -> list[dict[str, Any]]:
    """Users, as they go over HTTP."""
    query = select(password.c.user_id, password.c.expires).order_by(password.c.created)
    if len(rows) < 500:
        query = query.where(password.c.user_id.in_([row.id for row in rows]))
    expires = {row.user_id: row.expires for row in ctx.db.execute(query)}
    return [view(ctx, row, expires) for row in rows]


def find(ctx: Context, user_id: str, rule: str = "get_user") -> Any:
    """A user's row, where the caller may do `rule` to it. Raises NotFound, Forbidden."""
    row = ctx.db.execute(select(user).where(user.c.id == user_id)).first()
    target = None if row is None else Target(domain_id=row.domain_id, user_id=row.id)
    return rights.find(ctx, rule, row, "user", user_id, target=target)


def listed(ctx: Context) -> tuple[list[Any], str | None]:
    """The users that the caller may see and asks for."""
    own = rights.within(ctx, "list_users")
    query = listing.filtered(ctx, select(user), user, ("name", "enabled", "domain_id", "id", "default_project_id"))
    if own is not None:
        query = query.where(user.c.domain_id == own)
    if text_ := ctx.query.get("password_expires_at"):
        query = query.where(user.c.id.in_(_expiring(text_)))
    return listing.rows(ctx, query, user)


def _expiring(text_: str) -> Any:
    """Users whose password expires `lt:`, `lte:`, `gt:`, `gte:`, `eq:` or `neq:` a moment."""
    how, _, moment = text_.partition(":")
    comparisons = {"lt": "__lt__", "lte": "__le__", "gt": "__gt__", "gte": "__ge__", "eq": "__eq__", "neq": "__ne__"}
    if how not in comparisons:
        how, moment = "eq", text_
    try:
        value = parse(moment)
    except ValueError as error:
        raise BadRequest("Invalid input for field 'password_expires_at': it must be a time in ISO 8601.") from error
    return select(password.c.user_id).where(getattr(password.c.expires, comparisons[how])(value))


def create(ctx: Context, body: dict[str, Any]) -> dict[str, Any]:
    """A new user, as it goes over HTTP. Raises BadRequest, NotFound for the domain, Conflict for a name that is taken."""
    signing: Signing = ctx.parts.signing
    values, extra = FIELDS.read(body, creating=True)
    hashed = _hashed(signing, values.pop("password", None))
    _drop_read_only(values)

    def write(db: Connection) -> dict[str, Any]:
        ctx.bind(db)
        domain_id = domains.home_of(ctx, values.get("domain_id"))
        rights.require(ctx, "create_user", Target(domain_id=domain_id))
        _refuse_taken(db, values["name"], domain_id)
        id_ = new_hex_id()
        row = {"id": id_, "enabled": True, "created": now(), **values, "domain_id": domain_id, "extra": extra}
        row["options"] = merged({}, values.get("options", {}))
        db.execute(insert(user).values(row))
        _store(db, signing, id_, hashed, by_user=False)
        return views(ctx, [find(ctx, id_)])[0]

    return signing.database.run(write)


def change(ctx: Context, user_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """A user after a change. A new password or being disabled ends the tokens it has."""
    signing: Signing = ctx.parts.signing
    given, extra = FIELDS.read(body, creating=False)
    hashed = _hashed(signing, given.get("password"))
    _drop_read_only(given)

    def write(db: Connection) -> dict[str, Any]:
        ctx.bind(db)
        values = dict(given)
        row = find(ctx, user_id, "update_user")
        if values.pop("domain_id", row.domain_id) != row.domain_id:
            raise BadRequest("Invalid input for field 'domain_id': a user cannot be moved to another domain.")
        if values.get("name", row.name) != row.name:
            _refuse_taken(db, values["name"], row.domain_id)
        values["options"] = merged(row.options, values.get("options", {}))
        if "password" in values and values.pop("password") is None:
            db.execute(delete(password).where(password.c.user_id == user_id))
        if hashed is not None:
            _store(db, signing, user_id, hashed, by_user=False)
            values |= {"failures": 0, "failed": None}
        if values.get("enabled") is True and not row.enabled:
            values["last_seen"] = now()
        if "password" in given or values.get("enabled") is False:
            leftovers.end_tokens_of(db, user_id, signing.lifetime)
        db.execute(update(user).where(user.c.id == user_id).values({**values, "extra": row.extra | extra}))
        touch(db)
        return views(ctx, [find(ctx, user_id)])[0]

    return signing.database.run(write)


def _drop_read_only(values: dict[str, Any]) -> None:
    for name in ("original_password", "password_expires_at"):
        values.pop(name, None)


def _hashed(signing: Signing, secret: str | None) -> str | None:
    if secret is None:
        return None
    signing.rules.refuse_weak(secret)
    return signing.hasher.hash(secret)


def _store(db: Connection, signing: Signing, user_id: str, hashed: str | None, *, by_user: bool) -> None:
    """The new password, and only as many old ones as the history needs."""
    if hashed is None:
        return
    keep = max(signing.rules.unique_last_password_count - 1, 0)
    older = select(password.c.id).where(password.c.user_id == user_id).order_by(password.c.created.desc(), password.c.id)
    surplus = list(db.scalars(older))[keep:]
    db.execute(delete(password).where(password.c.id.in_(surplus)))
    row = {"id": new_hex_id(), "user_id": user_id, "hash": hashed, "created": now(), "expires": signing.rules.expiry(), "by_user": by_user}
    db.execute(insert(password).values(row))


def _refuse_taken(db: Connection, name: str, domain_id: str) -> None:
    if db.execute(select(user.c.id).where(user.c.name == name, user.c.domain_id == domain_id)).first():
        raise Conflict(f"Conflict occurred attempting to store user - Duplicate entry found with name {name} at domain ID {domain_id}.")


def remove(ctx: Context, user_id: str) -> None:
    """Delete a user, with all that is its own."""
    find(ctx, user_id, "delete_user")
    leftovers.remove_users(ctx.db, user.c.id == user_id)


def change_own_password(ctx: Context, user_id: str, body: dict[str, Any]) -> None:
    """Change a password by who knows it, even one that has expired; ends the tokens the user has.

    Raises Unauthorized for a wrong one, BadRequest for a new one that the rules refuse.
    """
    signing: Signing = ctx.parts.signing
    rules = signing.rules
    given, _extra = PASSWORDS.read(body, creating=True)
    with signing.database.read() as db:
        row = db.execute(select(user).where(user.c.id == user_id)).first()
        kept = current_password(db, user_id) if row is not None else None
        recent = list(db.execute(select(password).where(password.c.user_id == user_id).order_by(password.c.created.desc())))
    if row is not None:
        rules.refuse_locked(row)
    if not signing.hasher.verify(kept.hash if kept is not None else None, given["original_password"]) or row is None:
        if row is not None:
            rules.note_failure(signing.database, row)
        raise Unauthorized(WRONG)
    if not row.enabled:
        raise Unauthorized(WRONG)
    if row.options.get("lock_password"):
        raise BadRequest("Password change is disabled for this account.")
    rules.refuse_weak(given["password"])
    rules.refuse_young(kept)
    rules.refuse_reused(signing.hasher, [one.hash for one in recent], given["password"])
    hashed = signing.hasher.hash(given["password"])

    def write(db: Connection) -> None:
        _store(db, signing, user_id, hashed, by_user=True)
        db.execute(update(user).where(user.c.id == user_id).values(failures=0, failed=None))
        leftovers.end_tokens_of(db, user_id, signing.lifetime)

    signing.database.run(write)


def require_project(ctx: Context, project_id: str) -> Any:
    """The row of a project that something of a user is for. Raises NotFound."""
    row = ctx.db.execute(select(project).where(project.c.id == project_id)).first()
    if row is None:
        raise NotFound(f"Could not find project: {project_id}.")
    return row
