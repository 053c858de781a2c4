"""The rules of who holds which role where: giving, taking, checking and listing assignments.

Source: Identity API v3, "System Role Assignments", "OS-INHERIT" and "List role assignments".
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from sqlalchemy import delete, insert, select

from andromede.core.context import Context
from andromede.core.errors import BadRequest, Forbidden, NotFound
from andromede.services.identity import grants, listing, rights, roles
from andromede.services.identity.rights import Target
from andromede.services.identity.tables import assignment, domain, group, implied, membership, project, role, user
from andromede.services.identity.tokens import touch

_ACTORS = {"user": user, "group": group}
_TARGETS = {"project": project, "domain": domain}


class Grant(msgspec.Struct, frozen=True):
    """One place in the table of assignments but for the role: whose, on what, and whether it is for what is below."""

    actor: str
    actor_id: str
    target: str
    target_id: str
    inherited: bool = False

    def where(self) -> list[Any]:
        """The condition on rows."""
        return [assignment.c[name] == getattr(self, name) for name in self.__struct_fields__]


def _require(ctx: Context, grant: Grant, rule: str) -> str | None:
    """Refuse what the caller may not do; answers the domain of the target. Raises NotFound for an actor or target that is not there."""
    if grant.target == "system":
        rights.require(ctx, "read_system_grants" if rule == "read_grants" else rule, Target())
        _domain_of(ctx, grant.actor, grant.actor_id, rule)
        return None
    target_domain = _domain_of(ctx, grant.target, grant.target_id, rule)
    if rule == "change_grants" or not ctx.caller.domain_id:
        _domain_of(ctx, grant.actor, grant.actor_id, rule)
    return target_domain


def _domain_of(ctx: Context, kind: str, id_: str, rule: str) -> str:
    if kind == "domain":
        found = ctx.db.scalar(select(domain.c.id).where(domain.c.id == id_))
    else:
        table = (_ACTORS | _TARGETS)[kind]
        found = ctx.db.scalar(select(table.c.domain_id).where(table.c.id == id_))
    target = None if found is None else Target(domain_id=found)
    rights.require(ctx, rule, target, f"Could not find {kind}: {id_}.")
    return str(found)


def give(ctx: Context, grant: Grant, role_id: str) -> None:
    """Assign a role. Raises Forbidden for another domain's own role, NotFound for what is not there."""
    target_domain = _require(ctx, grant, "change_grants")
    row = roles.known(ctx, role_id)
    if row.domain_id and row.domain_id != target_domain:
        raise Forbidden(f"Role {role_id} belongs to another domain.")
    _refuse_giving(ctx, row)
    if not ctx.db.execute(select(assignment).where(*grant.where(), assignment.c.role_id == role_id)).first():
        ctx.db.execute(insert(assignment).values(msgspec.structs.asdict(grant) | {"role_id": role_id}))
        touch(ctx.db)


def _refuse_giving(ctx: Context, row: Any) -> None:
    rights.refuse_giving(ctx, grants.expand(ctx.db, {row.id}) | ({row.id: row.name} if not row.domain_id else {}))


def check(ctx: Context, grant: Grant, role_id: str) -> None:
    """Raise NotFound where the role is not assigned so."""
    _require(ctx, grant, "read_grants")
    _find(ctx, grant, role_id)


def _find(ctx: Context, grant: Grant, role_id: str) -> None:
    if not ctx.db.execute(select(assignment).where(*grant.where(), assignment.c.role_id == role_id)).first():
        raise NotFound(f"Could not find role assignment with role: {role_id}, {grant.actor}: {grant.actor_id}, {grant.target}: {grant.target_id}.")


def take(ctx: Context, grant: Grant, role_id: str) -> None:
    """Take a role away. Raises NotFound where it is not assigned so."""
    _require(ctx, grant, "change_grants")
    row = roles.known(ctx, role_id)
    _refuse_giving(ctx, row)
    _find(ctx, grant, role_id)
    ctx.db.execute(delete(assignment).where(*grant.where(), assignment.c.role_id == role_id))
    touch(ctx.db)


def held(ctx: Context, grant: Grant) -> list[Any]:
    """The roles that are assigned so, without implied ones."""
    _require(ctx, grant, "read_grants")
    ids = select(assignment.c.role_id).where(*grant.where())
    return list(ctx.db.execute(select(role).where(role.c.id.in_(ids)).order_by(role.c.id)))


# the list of all


class Found(msgspec.Struct, frozen=True):
    """An assignment as listed. `group_id`, `prior_id`: by way of which it holds, where it is an effective one."""

    actor: str
    actor_id: str
    target: str
    target_id: str
    inherited: bool
    role_id: str
    group_id: str | None = None
    prior_id: str | None = None
    from_domain: str | None = None
    from_project: str | None = None


def listed(ctx: Context) -> list[dict[str, Any]]:
    """`GET /role_assignments`: what the query string asks for. Raises BadRequest for filters that cannot go together."""
    get = ctx.query.get
    effective, subtree = listing.asked(ctx, "effective"), listing.asked(ctx, "include_subtree")
    project_id, domain_id, user_id, group_id = (get(name) for name in ("scope.project.id", "scope.domain.id", "user.id", "group.id"))
    inherited = get("scope.OS-INHERIT:inherited_to")
    system = listing.asked(ctx, "scope.system")
    _refuse_combinations(effective=effective, subtree=subtree, project_id=project_id, domain_id=domain_id, user_id=user_id,
                         group_id=group_id, inherited=inherited, system=system)  # fmt: skip
    own = None if user_id and user_id == ctx.caller.user_id else rights.within(ctx, "list_role_assignments")
    found: Iterator[Found] = (
        Found(row.actor, row.actor_id, row.target, row.target_id, row.inherited, row.role_id) for row in ctx.db.execute(select(assignment))
    )
    if effective:
        found = _implied(ctx, _on_projects(ctx, _by_users(ctx, found)))
    projects = {project_id, *(grants.subtree(ctx.db, project_id) if subtree and project_id else ())} if project_id else set()
    names = _Names(ctx)
    out: list[dict[str, Any]] = []
    for one in found:
        if project_id and not (one.target == "project" and one.target_id in projects):
            continue
        if domain_id and not (one.target == "domain" and one.target_id == domain_id):
            continue
        if system and one.target != "system":
            continue
        if user_id and (one.actor, one.actor_id) != ("user", user_id):
            continue
        if group_id and (one.actor, one.actor_id) != ("group", group_id):
            continue
        if (wanted := get("role.id")) and one.role_id != wanted:
            continue
        if inherited and not one.inherited:
            continue
        if own is not None and names.domain(one.target, one.target_id) != own:
            continue
        out.append(_view(ctx, one, names, named=listing.asked(ctx, "include_names")))
    return out


def _refuse_combinations(*, effective: bool, subtree: bool, system: bool, **given: str | None) -> None:
    if given["user_id"] and given["group_id"]:
        raise BadRequest("Specify a user or group, not both.")
    if sum((bool(given["project_id"]), bool(given["domain_id"]), system)) > 1:
        raise BadRequest("Specify a domain, a project or the system, not several of them.")
    if subtree and not given["project_id"]:
        raise BadRequest("scope.project.id must be specified if include_subtree is also specified.")
    if effective and given["group_id"]:
        raise BadRequest("Combining effective and group filter will always result in an empty list.")
    if effective and given["domain_id"] and given["inherited"]:
        raise BadRequest("Combining effective, domain and inherited filters will always result in an empty list.")
    if given["inherited"] not in (None, "projects"):
        raise BadRequest("Invalid value for scope.OS-INHERIT:inherited_to: it must be 'projects'.")


def _by_users(ctx: Context, found: Iterator[Found]) -> Iterator[Found]:
    """Groups' assignments as those of the users in them."""
    members: dict[str, list[str]] = {}
    for row in ctx.db.execute(select(membership)):
        members.setdefault(row.group_id, []).append(row.user_id)
    for one in found:
        if one.actor == "user":
            yield one
            continue
        for user_id in members.get(one.actor_id, ()):
            yield msgspec.structs.replace(one, actor="user", actor_id=user_id, group_id=one.actor_id)


def _on_projects(ctx: Context, found: Iterator[Found]) -> Iterator[Found]:
    """Inherited assignments as those on the projects below."""
    for one in found:
        if not one.inherited:
            yield one
            continue
        if one.target == "domain":
            below = list(ctx.db.scalars(select(project.c.id).where(project.c.domain_id == one.target_id)))
            source = {"from_domain": one.target_id}
        else:
            below, source = grants.subtree(ctx.db, one.target_id), {"from_project": one.target_id}
        for project_id in below:
            yield msgspec.structs.replace(one, target="project", target_id=project_id, **source)


def _implied(ctx: Context, found: Iterator[Found]) -> Iterator[Found]:
    """With each assignment, those of the roles it implies; a domain's own role only stands for these."""
    edges: dict[str, list[str]] = {}
    for row in ctx.db.execute(select(implied)):
        edges.setdefault(row.prior_id, []).append(row.implied_id)
    of_domains = set(ctx.db.scalars(select(role.c.id).where(role.c.domain_id != "")))
    seen: set[tuple[str, str, str, str]] = set()
    for one in list(found):
        todo: list[tuple[str, str | None]] = [(one.role_id, None)]
        met = {one.role_id}
        while todo:
            role_id, prior = todo.pop()
            key = (one.actor_id, one.target, one.target_id, role_id)
            if role_id not in of_domains and (prior is None or key not in seen):
                seen.add(key)
                yield msgspec.structs.replace(one, role_id=role_id, prior_id=prior)
            for next_id in edges.get(role_id, ()):
                if next_id not in met:
                    met.add(next_id)
                    todo.append((next_id, role_id))


class _Names:
    """Names and domains of what assignments name, read once for each kind."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._rows: dict[str, dict[str, Any]] = {}

    def row(self, kind: str, id_: str) -> Any:
        if kind not in self._rows:
            table = {**_ACTORS, **_TARGETS, "role": role}[kind]
            home = (table.c.id if kind == "domain" else table.c.domain_id).label("home")
            self._rows[kind] = {row.id: row for row in self._ctx.db.execute(select(table.c.id, table.c.name, home))}
        return self._rows[kind].get(id_)

    def domain(self, kind: str, id_: str) -> str | None:
        row = self.row(kind, id_) if kind != "system" else None
        return None if row is None else row.home

    def ref(self, kind: str, id_: str, *, named: bool) -> dict[str, Any]:
        row = self.row(kind, id_) if named else None
        if row is None:
            return {"id": id_}
        out = {"id": id_, "name": row.name}
        if kind != "domain" and row.home:
            home = self.row("domain", row.home)
            out["domain"] = {"id": row.home, "name": home.name if home is not None else ""}
        return out


def _view(ctx: Context, one: Found, names: _Names, *, named: bool) -> dict[str, Any]:
    scope: dict[str, Any] = {"system": {"all": True}} if one.target == "system" else {
        one.target: names.ref(one.target, one.target_id, named=named)
    }
    if one.inherited:
        scope["OS-INHERIT:inherited_to"] = "projects"
    actor, actor_id = ("group", one.group_id) if one.group_id else (one.actor, one.actor_id)
    where, where_id = one.target, one.target_id
    if one.from_domain or one.from_project:
        where, where_id = ("domain", one.from_domain) if one.from_domain else ("project", one.from_project or "")
    place = "system" if where == "system" else f"{where}s/{where_id}"
    path = f"{place}/{actor}s/{actor_id}/roles/{one.prior_id or one.role_id}"
    links = {"assignment": listing.link(ctx, f"OS-INHERIT/{path}/inherited_to_projects" if one.inherited else path)}
    if one.group_id:
        links["membership"] = listing.link(ctx, "groups", one.group_id, "users", one.actor_id)
    if one.prior_id:
        links["prior_role"] = listing.link(ctx, "prior_role", one.prior_id, "implies", one.role_id)
    return {
        "role": names.ref("role", one.role_id, named=named), one.actor: names.ref(one.actor, one.actor_id, named=named),
        "scope": scope, "links": links,
    }  # fmt: skip
