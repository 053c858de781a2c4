"""The rules of groups and who is in them."""

from typing import Any

from sqlalchemy import delete, insert, select, update

from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, NotFound
from andromede.core.ids import new_hex_id
from andromede.services.identity import domains, leftovers, listing, rights, users
from andromede.services.identity.fields import Fields, ident, text
from andromede.services.identity.rights import Target
from andromede.services.identity.tables import group, membership, user
from andromede.services.identity.tokens import touch

FIELDS = Fields("group", {"name": text(64, 1), "description": text(null=True), "domain_id": ident()}, required=("name",))


def view(ctx: Context, row: Any) -> dict[str, Any]:
    """A group, as it goes over HTTP."""
    return dict(row.extra) | {
        "id": row.id, "name": row.name, "domain_id": row.domain_id, "description": row.description,
        "links": {"self": listing.link(ctx, "groups", row.id)},
    }  # fmt: skip


def find(ctx: Context, group_id: str, rule: str = "get_group") -> Any:
    """A group's row, where the caller may do `rule` to it. Raises NotFound, Forbidden."""
    row = ctx.db.execute(select(group).where(group.c.id == group_id)).first()
    return rights.find(ctx, rule, row, "group", group_id)


def listed(ctx: Context) -> tuple[list[Any], str | None]:
    """The groups that the caller may see and asks for."""
    own = rights.within(ctx, "list_groups")
    query = listing.filtered(ctx, select(group), group, ("name", "domain_id", "id"))
    return listing.rows(ctx, query if own is None else query.where(group.c.domain_id == own), group)


def create(ctx: Context, body: dict[str, Any]) -> Any:
    """A new group's row. Raises Conflict for a name that is taken in the domain."""
    values, extra = FIELDS.read(body, creating=True)
    domain_id = domains.home_of(ctx, values.get("domain_id"))
    rights.require(ctx, "create_group", Target(domain_id=domain_id))
    _refuse_taken(ctx, values["name"], domain_id)
    id_ = new_hex_id()
    values |= {"id": id_, "domain_id": domain_id, "description": values.get("description") or "", "extra": extra}
    ctx.db.execute(insert(group).values(values))
    return find(ctx, id_)


def change(ctx: Context, group_id: str, body: dict[str, Any]) -> Any:
    """A group's row after a change."""
    values, extra = FIELDS.read(body, creating=False)
    row = find(ctx, group_id, "update_group")
    if values.pop("domain_id", row.domain_id) != row.domain_id:
        raise BadRequest("Invalid input for field 'domain_id': a group cannot be moved to another domain.")
    if values.get("name", row.name) != row.name:
        _refuse_taken(ctx, values["name"], row.domain_id)
    if "description" in values:
        values["description"] = values["description"] or ""
    ctx.db.execute(update(group).where(group.c.id == group_id).values({**values, "extra": row.extra | extra}))
    return find(ctx, group_id)


def remove(ctx: Context, group_id: str) -> None:
    """Delete a group, and what roles it gave."""
    find(ctx, group_id, "delete_group")
    leftovers.remove_groups(ctx.db, group.c.id == group_id)


def _refuse_taken(ctx: Context, name: str, domain_id: str) -> None:
    if ctx.db.execute(select(group.c.id).where(group.c.name == name, group.c.domain_id == domain_id)).first():
        raise Conflict(f"Conflict occurred attempting to store group - Duplicate entry found with name {name} at domain ID {domain_id}.")


def members(ctx: Context, group_id: str) -> tuple[list[Any], str | None]:
    """The users in a group."""
    find(ctx, group_id, "list_users_in_group")
    inside = select(membership.c.user_id).where(membership.c.group_id == group_id)
    query = listing.filtered(ctx, select(user).where(user.c.id.in_(inside)), user, ("name", "enabled", "domain_id"))
    return listing.rows(ctx, query, user)


def _both(ctx: Context, group_id: str, user_id: str, rule: str) -> bool:
    """Whether the user is in the group; both must be the caller's to change."""
    row, member = find(ctx, group_id, rule), ctx.db.execute(select(user).where(user.c.id == user_id)).first()
    if not ctx.caller.admin and not (rule == "check_user_in_group" and ctx.caller.system):
        member = member if member is not None and member.domain_id == row.domain_id else None
    if member is None:
        raise NotFound(f"Could not find user: {user_id}.")
    return bool(ctx.db.execute(select(membership).where(membership.c.group_id == group_id, membership.c.user_id == user_id)).first())


def add(ctx: Context, group_id: str, user_id: str) -> None:
    """Put a user in a group; one that is there already stays."""
    if not _both(ctx, group_id, user_id, "add_user_to_group"):
        ctx.db.execute(insert(membership).values(group_id=group_id, user_id=user_id))
        touch(ctx.db)


def check(ctx: Context, group_id: str, user_id: str) -> None:
    """Raise NotFound where the user is not in the group."""
    if not _both(ctx, group_id, user_id, "check_user_in_group"):
        raise NotFound(f"User {user_id} not found in group {group_id}.")


def take_out(ctx: Context, group_id: str, user_id: str) -> None:
    """Take a user out of a group. Raises NotFound where it is not in it."""
    if not _both(ctx, group_id, user_id, "remove_user_from_group"):
        raise NotFound(f"User {user_id} not found in group {group_id}.")
    ctx.db.execute(delete(membership).where(membership.c.group_id == group_id, membership.c.user_id == user_id))
    touch(ctx.db)


def of_user(ctx: Context, user_id: str) -> tuple[list[Any], str | None]:
    """The groups a user is in."""
    users.find(ctx, user_id, "list_groups_for_user")
    inside = select(membership.c.group_id).where(membership.c.user_id == user_id)
    query = listing.filtered(ctx, select(group).where(group.c.id.in_(inside)), group, ("name", "domain_id"))
    return listing.rows(ctx, query, group)
