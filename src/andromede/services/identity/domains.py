"""The rules of domains: a domain is disabled before it is deleted, and takes all that is in it along."""

from typing import Any

from sqlalchemy import delete, insert, select, update

from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, Forbidden
from andromede.core.ids import new_hex_id
from andromede.services.identity import leftovers, listing, rights
from andromede.services.identity.fields import IMMUTABLE, Fields, boolean, ident, merged, tags, text
from andromede.services.identity.rights import Target
from andromede.services.identity.tables import assignment, domain, group, project, project_limit, role, user
from andromede.services.identity.tokens import touch

FIELDS = Fields(
    "domain",
    {
        "name": text(64, 1), "description": text(null=True), "enabled": boolean(), "tags": tags, "options": IMMUTABLE,
        "explicit_domain_id": ident(null=False),
    },
    required=("name",),
)  # fmt: skip


def view(ctx: Context, row: Any) -> dict[str, Any]:
    """A domain, as it goes over HTTP."""
    return dict(row.extra) | {
        "id": row.id, "name": row.name, "description": row.description, "enabled": row.enabled, "tags": row.tags,
        "options": row.options, "links": {"self": listing.link(ctx, "domains", row.id)},
    }  # fmt: skip


def find(ctx: Context, domain_id: str, rule: str = "get_domain") -> Any:
    """A domain's row, where the caller may do `rule` to it. Raises NotFound, Forbidden."""
    row = ctx.db.execute(select(domain).where(domain.c.id == domain_id)).first()
    return rights.find(ctx, rule, row, "domain", domain_id, target=Target(domain_id=domain_id))


def listed(ctx: Context) -> tuple[list[Any], str | None]:
    """The domains that the caller may see and asks for."""
    own = rights.within(ctx, "list_domains")
    query = listing.filtered(ctx, select(domain), domain, ("name", "enabled", "id"))
    if own is not None:
        query = query.where(domain.c.id == own)
    return listing.rows(ctx, query, domain, keep=lambda row: listing.tagged(ctx, row))


def home_of(ctx: Context, given: str | None) -> str:
    """The domain of something new: the one given, or else the caller's. Raises NotFound where there is none of that id."""
    caller = ctx.caller
    domain_id = given or caller.domain_id or caller.project_domain_id or "default"
    return str(find(ctx, domain_id).id)


def create(ctx: Context, body: dict[str, Any]) -> Any:
    """A new domain's row. Raises BadRequest, and Conflict for a name that is taken."""
    values, extra = FIELDS.read(body, creating=True)
    return add(ctx, values, extra)


def add(ctx: Context, values: dict[str, Any], extra: dict[str, Any]) -> Any:
    """The same, of checked values."""
    id_ = values.pop("explicit_domain_id", None) or new_hex_id()
    _refuse_taken(ctx, values["name"], id_)
    values["description"] = values.get("description") or ""
    values["options"] = merged({}, values.get("options", {}))
    ctx.db.execute(insert(domain).values({"id": id_, "tags": [], **values, "extra": extra}))
    return find(ctx, id_)


def change(ctx: Context, domain_id: str, body: dict[str, Any]) -> Any:
    """A domain's row after a change. Raises Forbidden for one that is immutable."""
    values, extra = FIELDS.read(body, creating=False)
    return modify(ctx, find(ctx, domain_id), values, extra)


def modify(ctx: Context, row: Any, values: dict[str, Any], extra: dict[str, Any]) -> Any:
    """The same, of checked values."""
    if "explicit_domain_id" in values:
        raise BadRequest("Invalid input for field 'explicit_domain_id': it cannot be changed.")
    refuse_immutable(row, values, "domain")
    if "name" in values:
        _refuse_taken(ctx, values["name"], row.id)
    if "description" in values:
        values["description"] = values["description"] or ""
    values["options"] = merged(row.options, values.get("options", {}))
    ctx.db.execute(update(domain).where(domain.c.id == row.id).values({**values, "extra": row.extra | extra}))
    touch(ctx.db)
    return find(ctx, row.id)


def remove(ctx: Context, domain_id: str) -> None:
    """Delete a disabled domain and all that is in it. Raises Forbidden while it is enabled."""
    row = find(ctx, domain_id)
    if row.options.get("immutable"):
        raise Forbidden(f"Cannot delete immutable resource domain: {domain_id}.")
    if row.enabled:
        raise Forbidden("Cannot delete a domain that is enabled, please disable it first.")
    db = ctx.db
    leftovers.remove_projects(db, project.c.domain_id == domain_id)
    leftovers.remove_users(db, user.c.domain_id == domain_id)
    leftovers.remove_groups(db, group.c.domain_id == domain_id)
    leftovers.remove_roles(db, role.c.domain_id == domain_id)
    db.execute(delete(assignment).where(assignment.c.target == "domain", assignment.c.target_id == domain_id))
    db.execute(delete(project_limit).where(project_limit.c.domain_id == domain_id))
    db.execute(delete(domain).where(domain.c.id == domain_id))
    touch(db)


def refuse_immutable(row: Any, values: dict[str, Any], kind: str) -> None:
    """Raise Forbidden where `row` is immutable and the change does more than make it mutable."""
    if row.options.get("immutable") and not (set(values) == {"options"} and not values["options"].get("immutable", True)):
        raise Forbidden(f"Cannot modify immutable resource {kind}: {row.id}.")


def _refuse_taken(ctx: Context, name: str, id_: str) -> None:
    if ctx.db.execute(select(domain.c.id).where(domain.c.name == name, domain.c.id != id_)).first():
        raise Conflict(f"Conflict occurred attempting to store domain - it is not permitted to have two domains with the name: {name}.")
    if ctx.db.execute(select(project.c.id).where(project.c.id == id_)).first():
        raise Conflict(f"Conflict occurred attempting to store domain - Duplicate ID, {id_}.")
