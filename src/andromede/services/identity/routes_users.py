"""Routes of users, their passwords, and groups."""

from typing import Any

from sqlalchemy import select

from andromede.core.context import Context
from andromede.http.policy import Level, Policy
from andromede.services.identity import grants, groups, listing, projects, users
from andromede.services.identity.listing import collection
from andromede.services.identity.rights import policy
from andromede.services.identity.routes_auth import api
from andromede.services.identity.tables import project

_USER, _GROUP = "/users/{user_id}", "/groups/{group_id}"


@api.post("/users", policy=policy("create_user"), status=201, tx="none")
def create_user(ctx: Context, body: dict[str, Any]) -> dict[str, Any]:
    """Create a user. 409 where its name is taken in the domain; 400 for a weak password."""
    return {"user": users.create(ctx, body)}


@api.get("/users", policy=policy("list_users"))
def list_users(ctx: Context) -> dict[str, Any]:
    """The users that the caller may see."""
    rows, following = users.listed(ctx)
    return collection(ctx, "users", users.views(ctx, rows), following=following)


@api.get(_USER, policy=policy("get_user"))
def show_user(ctx: Context, user_id: str) -> dict[str, Any]:
    """One user."""
    return {"user": users.views(ctx, [users.find(ctx, user_id)])[0]}


@api.patch(_USER, policy=policy("update_user"), tx="none")
def update_user(ctx: Context, user_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Change a user; a new password, or being disabled, ends its tokens."""
    return {"user": users.change(ctx, user_id, body)}


@api.delete(_USER, policy=policy("delete_user"))
def delete_user(ctx: Context, user_id: str) -> None:
    """Delete a user, with its roles, credentials and trusts."""
    users.remove(ctx, user_id)


@api.post(_USER + "/password", policy=Policy("identity:change_password", Level.PUBLIC), status=204, tx="none")
def change_password(ctx: Context, user_id: str, body: dict[str, Any]) -> None:
    """Change a password by who knows the present one. 401 for a wrong one, 400 for a new one the rules refuse."""
    users.change_own_password(ctx, user_id, body)


@api.get(_USER + "/projects", policy=policy("list_user_projects"))
def list_user_projects(ctx: Context, user_id: str) -> dict[str, Any]:
    """The projects a user holds a role on."""
    users.find(ctx, user_id, "list_user_projects")
    ids = grants.places(ctx.db, user_id).projects
    query = listing.filtered(ctx, select(project).where(project.c.id.in_(ids)), project, ("name", "enabled", "domain_id"))
    rows, following = listing.rows(ctx, query, project)
    items = [projects.view(ctx, row) for row in rows]
    return collection(ctx, "projects", items, path=f"users/{user_id}/projects", following=following)


@api.get(_USER + "/groups", policy=policy("list_groups_for_user"))
def list_user_groups(ctx: Context, user_id: str) -> dict[str, Any]:
    """The groups a user is in."""
    rows, following = groups.of_user(ctx, user_id)
    return collection(ctx, "groups", [groups.view(ctx, row) for row in rows], path=f"users/{user_id}/groups", following=following)


@api.post("/groups", policy=policy("create_group"), status=201)
def create_group(ctx: Context, body: dict[str, Any]) -> dict[str, Any]:
    """Create a group. 409 where its name is taken in the domain."""
    return {"group": groups.view(ctx, groups.create(ctx, body))}


@api.get("/groups", policy=policy("list_groups"))
def list_groups(ctx: Context) -> dict[str, Any]:
    """The groups that the caller may see."""
    rows, following = groups.listed(ctx)
    return collection(ctx, "groups", [groups.view(ctx, row) for row in rows], following=following)


@api.get(_GROUP, policy=policy("get_group"))
def show_group(ctx: Context, group_id: str) -> dict[str, Any]:
    """One group."""
    return {"group": groups.view(ctx, groups.find(ctx, group_id))}


@api.patch(_GROUP, policy=policy("update_group"))
def update_group(ctx: Context, group_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Change a group."""
    return {"group": groups.view(ctx, groups.change(ctx, group_id, body))}


@api.delete(_GROUP, policy=policy("delete_group"))
def delete_group(ctx: Context, group_id: str) -> None:
    """Delete a group, and what roles it gave."""
    groups.remove(ctx, group_id)


@api.get(_GROUP + "/users", policy=policy("list_users_in_group"))
def list_members(ctx: Context, group_id: str) -> dict[str, Any]:
    """The users in a group."""
    rows, following = groups.members(ctx, group_id)
    return collection(ctx, "users", users.views(ctx, rows), path=f"groups/{group_id}/users", following=following)


@api.put(_GROUP + "/users/{user_id}", policy=policy("add_user_to_group"), status=204)
def add_member(ctx: Context, group_id: str, user_id: str) -> None:
    """Put a user in a group."""
    groups.add(ctx, group_id, user_id)


@api.get(_GROUP + "/users/{user_id}", policy=policy("check_user_in_group"), status=204)
def check_member(ctx: Context, group_id: str, user_id: str) -> None:
    """Whether a user is in a group: 204 or 404."""
    groups.check(ctx, group_id, user_id)


@api.delete(_GROUP + "/users/{user_id}", policy=policy("remove_user_from_group"))
def remove_member(ctx: Context, group_id: str, user_id: str) -> None:
    """Take a user out of a group."""
    groups.take_out(ctx, group_id, user_id)
