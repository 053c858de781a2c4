"""The rules of roles and of what they imply.

A role belongs to the whole cloud, or to one domain; a domain's own role is never in a token, it only stands for the
roles that it implies. Source: Identity API v3, "Roles".
"""

from typing import Any

from sqlalchemy import delete, insert, select, update

from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, Forbidden, NotFound
from andromede.core.ids import new_hex_id
from andromede.services.identity import leftovers, listing, rights
from andromede.services.identity.domains import refuse_immutable
from andromede.services.identity.fields import IMMUTABLE, Fields, ident, merged, text
from andromede.services.identity.rights import Target
from andromede.services.identity.tables import domain, implied, role
from andromede.services.identity.tokens import touch

FIELDS = Fields(
    "role", {"name": text(255, 1), "description": text(null=True), "domain_id": ident(), "options": IMMUTABLE}, required=("name",)
)


def view(ctx: Context, row: Any) -> dict[str, Any]:
    """A role, as it goes over HTTP."""
    return dict(row.extra) | {
        "id": row.id, "name": row.name, "domain_id": row.domain_id or None, "description": row.description,
        "options": row.options, "links": {"self": listing.link(ctx, "roles", row.id)},
    }  # fmt: skip


def known(ctx: Context, role_id: str) -> Any:
    """A role's row. Raises NotFound."""
    row = ctx.db.execute(select(role).where(role.c.id == role_id)).first()
    if row is None:
        raise NotFound(f"Could not find role: {role_id}.")
    return row


def find(ctx: Context, role_id: str, rule: str = "get_role") -> Any:
    """A role's row, where the caller may do `rule` to it. Raises NotFound, Forbidden."""
    rights.require(ctx, rule, Target())
    return known(ctx, role_id)


def listed(ctx: Context) -> tuple[list[Any], str | None]:
    """The cloud's roles, or those of the domain asked for."""
    rights.require(ctx, "list_roles", Target())
    query = listing.filtered(ctx, select(role), role, ("name", "id"))
    return listing.rows(ctx, query.where(role.c.domain_id == (ctx.query.get("domain_id") or "")), role)


def create(ctx: Context, body: dict[str, Any]) -> Any:
    """A new role's row. Raises Conflict for a name that is taken, NotFound for its domain."""
    values, extra = FIELDS.read(body, creating=True)
    domain_id = values.get("domain_id") or ""
    if domain_id and ctx.db.execute(select(domain.c.id).where(domain.c.id == domain_id)).first() is None:
        raise NotFound(f"Could not find domain: {domain_id}.")
    _refuse_taken(ctx, values["name"], domain_id)
    id_ = new_hex_id()
    values |= {"id": id_, "domain_id": domain_id, "options": merged({}, values.get("options", {})), "extra": extra}
    ctx.db.execute(insert(role).values(values))
    return known(ctx, id_)


def change(ctx: Context, role_id: str, body: dict[str, Any]) -> Any:
    """A role's row after a change."""
    values, extra = FIELDS.read(body, creating=False)
    row = known(ctx, role_id)
    if (values.pop("domain_id", row.domain_id) or "") != row.domain_id:
        raise BadRequest("Invalid input for field 'domain_id': a role cannot be moved to another domain.")
    refuse_immutable(row, values, "role")
    if values.get("name", row.name) != row.name:
        _refuse_taken(ctx, values["name"], row.domain_id)
    values["options"] = merged(row.options, values.get("options", {}))
    ctx.db.execute(update(role).where(role.c.id == role_id).values({**values, "extra": row.extra | extra}))
    touch(ctx.db)
    return known(ctx, role_id)


def remove(ctx: Context, role_id: str) -> None:
    """Delete a role; nobody holds it any more."""
    row = known(ctx, role_id)
    if row.options.get("immutable"):
        raise Forbidden(f"Cannot delete immutable resource role: {role_id}.")
    leftovers.remove_roles(ctx.db, role.c.id == role_id)


def _refuse_taken(ctx: Context, name: str, domain_id: str) -> None:
    if ctx.db.execute(select(role.c.id).where(role.c.name == name, role.c.domain_id == domain_id)).first():
        raise Conflict(f"Conflict occurred attempting to store role - Duplicate entry found with name {name}.")


# what a role implies


def short(ctx: Context, row: Any) -> dict[str, Any]:
    """A role within an inference."""
    return {"id": row.id, "name": row.name, "description": row.description, "links": {"self": listing.link(ctx, "roles", row.id)}}


def inference(ctx: Context, prior_id: str, implied_id: str) -> dict[str, Any]:
    """One implication. Raises NotFound where there is none."""
    if not _implies(ctx, prior_id, implied_id):
        raise NotFound(f"Could not find implied role: {prior_id} implies {implied_id}.")
    return _inference(ctx, prior_id, implied_id)


def _inference(ctx: Context, prior_id: str, implied_id: str) -> dict[str, Any]:
    pair = {"prior_role": short(ctx, known(ctx, prior_id)), "implies": short(ctx, known(ctx, implied_id))}
    return {"role_inference": pair, "links": {"self": listing.link(ctx, "roles", prior_id, "implies", implied_id)}}


def _implies(ctx: Context, prior_id: str, implied_id: str) -> bool:
    query = select(implied).where(implied.c.prior_id == prior_id, implied.c.implied_id == implied_id)
    return ctx.db.execute(query).first() is not None


def imply(ctx: Context, prior_id: str, implied_id: str) -> dict[str, Any]:
    """Have one role imply another. Raises Forbidden for admin, for a domain's own role, and for a circle."""
    prior, follows = known(ctx, prior_id), known(ctx, implied_id)
    if follows.name == "admin" and not follows.domain_id:
        raise Forbidden(f"{implied_id} cannot be an implied role.")
    if follows.domain_id and not prior.domain_id:
        raise Forbidden("A role of the cloud cannot imply a domain's own role.")
    if prior_id in _closure(ctx, implied_id):
        raise BadRequest("A role cannot imply itself, not even by way of others.")
    if not _implies(ctx, prior_id, implied_id):
        ctx.db.execute(insert(implied).values(prior_id=prior_id, implied_id=implied_id))
        touch(ctx.db)
    return _inference(ctx, prior_id, implied_id)


def _closure(ctx: Context, role_id: str) -> set[str]:
    found, todo = {role_id}, [role_id]
    while todo:
        for id_ in ctx.db.scalars(select(implied.c.implied_id).where(implied.c.prior_id == todo.pop())):
            if id_ not in found:
                found.add(id_)
                todo.append(id_)
    return found


def stop_implying(ctx: Context, prior_id: str, implied_id: str) -> None:
    """End an implication. Raises NotFound where there is none."""
    inference(ctx, prior_id, implied_id)
    ctx.db.execute(delete(implied).where(implied.c.prior_id == prior_id, implied.c.implied_id == implied_id))
    touch(ctx.db)


def inferences(ctx: Context, prior_id: str | None = None) -> list[dict[str, Any]]:
    """`{prior_role, implies: […]}` of every role that implies any, or of one role whether it does or not."""
    query = select(implied).order_by(implied.c.prior_id, implied.c.implied_id)
    pairs: dict[str, list[str]] = {} if prior_id is None else {prior_id: []}
    for row in ctx.db.execute(query if prior_id is None else query.where(implied.c.prior_id == prior_id)):
        pairs.setdefault(row.prior_id, []).append(row.implied_id)
    return [
        {"prior_role": short(ctx, known(ctx, prior)), "implies": [short(ctx, known(ctx, one)) for one in follow]}
        for prior, follow in pairs.items()
    ]
