"""The rules of projects: a tree of at most five below their domain; a domain also shows as a project that `is_domain`.

Source: Identity API v3, "Projects" and "Project tags".
"""

from typing import Any

from sqlalchemy import insert, select, update

from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, Forbidden, NotFound
from andromede.core.ids import new_hex_id
from andromede.services.identity import domains, grants, leftovers, listing, rights
from andromede.services.identity.fields import IMMUTABLE, MOST_TAGS, Fields, boolean, ident, merged, tag, tags, text
from andromede.services.identity.rights import Target
from andromede.services.identity.tables import domain, project
from andromede.services.identity.tokens import touch

DEEPEST = 5
FIELDS = Fields(
    "project",
    {
        "name": text(64, 1), "description": text(null=True), "enabled": boolean(), "domain_id": ident(), "parent_id": ident(),
        "is_domain": boolean(), "tags": tags, "options": IMMUTABLE,
    },
    required=("name",),
)  # fmt: skip


def view(ctx: Context, row: Any) -> dict[str, Any]:
    """A project (or a domain in its place), as it goes over HTTP."""
    acts = is_domain(row)
    return dict(row.extra) | {
        "id": row.id, "name": row.name, "domain_id": None if acts else row.domain_id, "description": row.description,
        "enabled": row.enabled, "parent_id": None if acts else row.parent_id or row.domain_id, "is_domain": acts,
        "tags": row.tags, "options": row.options, "links": {"self": listing.link(ctx, "projects", row.id)},
    }  # fmt: skip


def is_domain(row: Any) -> bool:
    """Whether a row is a domain's."""
    return "parent_id" not in row._fields


def find(ctx: Context, project_id: str, rule: str = "get_project") -> Any:
    """The row of a project, or of the domain of that id, where the caller may do `rule` to it. Raises NotFound, Forbidden."""
    row = ctx.db.execute(select(project).where(project.c.id == project_id)).first()
    if row is None:
        row = ctx.db.execute(select(domain).where(domain.c.id == project_id)).first()
    if row is not None and rule == "get_project" and not is_domain(row) and _member(ctx, row):
        return row
    target = None if row is None else Target(domain_id=row.id if is_domain(row) else row.domain_id, project_id=row.id)
    return rights.find(ctx, rule, row, "project", project_id, target=target)


def _member(ctx: Context, row: Any) -> bool:
    """Whether the caller holds any role on the project, whatever its token is for."""
    return bool(grants.roles_of(ctx.db, ctx.caller.user_id, grants.on_project(ctx.db, row)))


def listed(ctx: Context) -> tuple[list[Any], str | None]:
    """The projects that the caller may see and asks for."""
    own = rights.within(ctx, "list_projects")
    acting = listing.asked(ctx, "is_domain")
    table = domain if acting else project
    query = listing.filtered(ctx, select(table), table, ("name", "enabled", "domain_id", "id") if not acting else ("name", "enabled", "id"))
    if own is not None:
        query = query.where((domain.c.id if acting else project.c.domain_id) == own)
    if parent := ctx.query.get("parent_id"):
        if acting:
            return [], None
        above = (project.c.domain_id == parent) & project.c.parent_id.is_(None)
        query = query.where(above | (project.c.parent_id == parent))
    return listing.rows(ctx, query, table, keep=(lambda row: listing.tagged(ctx, row)) if _by_tags(ctx) else None)


def _by_tags(ctx: Context) -> bool:
    return bool(ctx.query.keys() & {"tags", "tags-any", "not-tags", "not-tags-any"})


def create(ctx: Context, body: dict[str, Any]) -> Any:
    """A new project's row. Raises BadRequest, NotFound for its parent or domain, Conflict for a name that is taken."""
    values, extra = FIELDS.read(body, creating=True)
    parent_id, given = values.pop("parent_id", None), values.pop("domain_id", None)
    if values.pop("is_domain", False):
        if parent_id or given:
            raise BadRequest("A project that acts as a domain has neither a parent nor a domain.")
        _require_admin(ctx, "create_domain")
        return domains.add(ctx, values, extra)
    parent = _parent(ctx, parent_id, given)
    domain_id = parent.domain_id if parent is not None else domains.home_of(ctx, given or parent_id)
    rights.require(ctx, "create_project", Target(domain_id=domain_id))
    if parent is not None:
        if len(grants.ancestors(ctx.db, parent.id)) + 2 > DEEPEST:
            raise Forbidden(f"Max hierarchy depth reached for {parent.id} branch.")
        if values.get("enabled", True) and not parent.enabled:
            raise Forbidden("Cannot create an enabled project under a disabled one.")
    _refuse_taken(ctx, values["name"], domain_id)
    values["description"] = values.get("description") or ""
    values["options"] = merged({}, values.get("options", {}))
    id_ = new_hex_id()
    row = {"id": id_, "domain_id": domain_id, "parent_id": parent.id if parent is not None else None, "tags": [], **values, "extra": extra}
    ctx.db.execute(insert(project).values(row))
    return ctx.db.execute(select(project).where(project.c.id == id_)).one()


def _require_admin(ctx: Context, name: str) -> None:
    if not ctx.caller.admin:
        ctx.refuse(f"identity:{name}")


def _parent(ctx: Context, parent_id: str | None, domain_id: str | None) -> Any:
    """The parent's row; None where that is the domain itself."""
    if parent_id is None:
        return None
    row = find(ctx, parent_id)
    if is_domain(row):
        if domain_id not in (None, row.id):
            raise BadRequest("Invalid input for field 'parent_id': it is another domain than domain_id.")
        return None
    if domain_id not in (None, row.domain_id):
        raise BadRequest("Invalid input for field 'domain_id': a project is in the domain of its parent.")
    return row


def change(ctx: Context, project_id: str, body: dict[str, Any]) -> Any:
    """A project's row after a change. Raises Forbidden for moving it, and for what its parent or children do not allow."""
    values, extra = FIELDS.read(body, creating=False)
    row = find(ctx, project_id, "update_project")
    shown = view(ctx, row)
    for name in ("parent_id", "domain_id", "is_domain"):
        if name in values and values.pop(name) != shown[name]:
            raise Forbidden(f"Update of `{name}` is not allowed.")
    if is_domain(row):
        _require_admin(ctx, "update_domain")
        return domains.modify(ctx, row, values, extra)
    domains.refuse_immutable(row, values, "project")
    if "name" in values and values["name"] != row.name:
        _refuse_taken(ctx, values["name"], row.domain_id)
    if "enabled" in values and values["enabled"] != row.enabled:
        _refuse_enabled(ctx, row, enabled=values["enabled"])
    if "description" in values:
        values["description"] = values["description"] or ""
    values["options"] = merged(row.options, values.get("options", {}))
    ctx.db.execute(update(project).where(project.c.id == row.id).values({**values, "extra": row.extra | extra}))
    touch(ctx.db)
    return ctx.db.execute(select(project).where(project.c.id == row.id)).one()


def _refuse_enabled(ctx: Context, row: Any, *, enabled: bool) -> None:
    if enabled:
        above = grants.ancestors(ctx.db, row.id)
        if ctx.db.execute(select(project.c.id).where(project.c.id.in_(above), ~project.c.enabled)).first():
            raise Forbidden(f"Cannot enable project {row.id} since it has disabled parents.")
    elif ctx.db.execute(select(project.c.id).where(project.c.id.in_(grants.subtree(ctx.db, row.id)), project.c.enabled)).first():
        raise Forbidden(f"Cannot disable project {row.id} since its subtree contains enabled projects.")


def remove(ctx: Context, project_id: str) -> None:
    """Delete a project without children, with the roles on it. Raises Forbidden while it has children, or is immutable."""
    row = find(ctx, project_id, "delete_project")
    if is_domain(row):
        _require_admin(ctx, "delete_domain")
        domains.remove(ctx, project_id)
        return
    if row.options.get("immutable"):
        raise Forbidden(f"Cannot delete immutable resource project: {project_id}.")
    if ctx.db.execute(select(project.c.id).where(project.c.parent_id == project_id)).first():
        raise Forbidden(f"Cannot delete the project {project_id} since it is not a leaf in the hierarchy.")
    leftovers.remove_projects(ctx.db, project.c.id == project_id)


def _refuse_taken(ctx: Context, name: str, domain_id: str) -> None:
    if ctx.db.execute(select(project.c.id).where(project.c.name == name, project.c.domain_id == domain_id)).first():
        raise Conflict(
            "Conflict occurred attempting to store project - it is not permitted to have two projects with the same name "
            f"in the same domain: {name}."
        )


# the tree


def family(ctx: Context, row: Any) -> dict[str, Any]:
    """`parents` and `subtree`, where the query string asks for them as lists or as ids."""
    out: dict[str, Any] = {}
    for what in ("parents", "subtree"):
        as_list, as_ids = (listing.asked(ctx, f"{what}_as_{form}") for form in ("list", "ids"))
        if as_list and as_ids:
            raise BadRequest(f"Cannot use {what}_as_list and {what}_as_ids query params at the same time.")
        if is_domain(row) or not (as_list or as_ids):
            continue
        if as_list:
            ids = (grants.ancestors if what == "parents" else grants.subtree)(ctx.db, row.id)
            found = ctx.db.execute(select(project).where(project.c.id.in_(ids)).order_by(project.c.id))
            out[what] = [{"project": view(ctx, one)} for one in found if _may_see(ctx, one)]
        else:
            out[what] = _above(ctx, row) if what == "parents" else _below(ctx, row.id)
    return out


def _may_see(ctx: Context, row: Any) -> bool:
    target = Target(domain_id=row.domain_id, project_id=row.id)
    return rights.allows(ctx.caller, "get_project", target) or _member(ctx, row)


def _above(ctx: Context, row: Any) -> dict[str, Any]:
    chain: dict[str, Any] | None = None
    for id_ in (row.domain_id, *reversed(grants.ancestors(ctx.db, row.id))):
        chain = {id_: chain}
    return chain or {}


def _below(ctx: Context, project_id: str) -> dict[str, Any] | None:
    children = ctx.db.scalars(select(project.c.id).where(project.c.parent_id == project_id)).all()
    return {id_: _below(ctx, id_) for id_ in children} or None


# tags


def set_tags(ctx: Context, project_id: str, wanted: list[str]) -> list[str]:
    """Give a project exactly these tags."""
    row = find(ctx, project_id, "update_project_tags")
    table = domain if is_domain(row) else project
    if len(wanted) > MOST_TAGS:
        raise BadRequest(f"Invalid input for field 'tags': a project has at most {MOST_TAGS} tags.")
    ctx.db.execute(update(table).where(table.c.id == row.id).values(tags=sorted(wanted)))
    return sorted(wanted)


def add_tag(ctx: Context, project_id: str, value: str) -> None:
    """Add one tag."""
    row = find(ctx, project_id, "update_project_tags")
    set_tags(ctx, project_id, list({*row.tags, tag("tag", value)}))


def remove_tag(ctx: Context, project_id: str, value: str) -> None:
    """Take one tag away. Raises NotFound where the project has no such tag."""
    row = find(ctx, project_id, "update_project_tags")
    require_tag(row, value)
    set_tags(ctx, project_id, [one for one in row.tags if one != value])


def require_tag(row: Any, value: str) -> None:
    """Raise NotFound where a project has no such tag."""
    if value not in row.tags:
        raise NotFound(f"Could not find project tag: {value}.")
