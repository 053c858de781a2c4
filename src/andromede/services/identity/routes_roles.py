"""Routes of roles, of what they imply, and of assigning them."""

from typing import Any

from andromede.core.context import Context
from andromede.services.identity import assignments, roles
from andromede.services.identity.assignments import Grant
from andromede.services.identity.grants import SYSTEM
from andromede.services.identity.listing import collection, link
from andromede.services.identity.rights import Target, admins, policy, require
from andromede.services.identity.routes_auth import api

_ROLE, _IMPLIES = "/roles/{role_id}", "/roles/{role_id}/implies/{implied_id}"


@api.post("/roles", policy=admins("create_role"), status=201)
def create_role(ctx: Context, body: dict[str, Any]) -> dict[str, Any]:
    """Create a role, of the cloud or of a domain. 409 where its name is taken."""
    return {"role": roles.view(ctx, roles.create(ctx, body))}


@api.get("/roles", policy=policy("list_roles"))
def list_roles(ctx: Context) -> dict[str, Any]:
    """The cloud's roles, or a domain's own."""
    rows, following = roles.listed(ctx)
    return collection(ctx, "roles", [roles.view(ctx, row) for row in rows], following=following)


@api.get(_ROLE, policy=policy("get_role"))
def show_role(ctx: Context, role_id: str) -> dict[str, Any]:
    """One role."""
    return {"role": roles.view(ctx, roles.find(ctx, role_id))}


@api.patch(_ROLE, policy=admins("update_role"))
def update_role(ctx: Context, role_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Change a role."""
    return {"role": roles.view(ctx, roles.change(ctx, role_id, body))}


@api.delete(_ROLE, policy=admins("delete_role"))
def delete_role(ctx: Context, role_id: str) -> None:
    """Delete a role; nobody holds it any more."""
    roles.remove(ctx, role_id)


@api.get(_ROLE + "/implies", policy=policy("read_implied_roles"))
def list_implied(ctx: Context, role_id: str) -> dict[str, Any]:
    """What a role implies by itself."""
    roles.find(ctx, role_id, "read_implied_roles")
    return {"role_inference": roles.inferences(ctx, role_id)[0], "links": {"self": link(ctx, "roles", role_id, "implies")}}


@api.put(_IMPLIES, policy=admins("create_implied_role"), status=201)
def imply(ctx: Context, role_id: str, implied_id: str) -> dict[str, Any]:
    """Have one role imply another."""
    return roles.imply(ctx, role_id, implied_id)


@api.get(_IMPLIES, policy=policy("read_implied_roles"))
def show_implied(ctx: Context, role_id: str, implied_id: str) -> dict[str, Any]:
    """One implication, or 404."""
    roles.find(ctx, role_id, "read_implied_roles")
    return roles.inference(ctx, role_id, implied_id)


@api.head(_IMPLIES, policy=policy("read_implied_roles"), status=204)
def check_implied(ctx: Context, role_id: str, implied_id: str) -> None:
    """Whether one role implies another: 204 or 404."""
    roles.find(ctx, role_id, "read_implied_roles")
    roles.inference(ctx, role_id, implied_id)


@api.delete(_IMPLIES, policy=admins("delete_implied_role"))
def stop_implying(ctx: Context, role_id: str, implied_id: str) -> None:
    """End an implication."""
    roles.stop_implying(ctx, role_id, implied_id)


@api.get("/role_inferences", policy=policy("read_implied_roles"))
def list_inferences(ctx: Context) -> dict[str, Any]:
    """Every implication of the cloud."""
    require(ctx, "read_implied_roles", Target())
    return {"role_inferences": roles.inferences(ctx), "links": {"self": link(ctx, "role_inferences"), "next": None, "previous": None}}


@api.get("/role_assignments", policy=policy("list_role_assignments"))
def list_assignments(ctx: Context) -> dict[str, Any]:
    """Who holds which role where; effective ones with groups, inheritance and implications worked out."""
    return collection(ctx, "role_assignments", assignments.listed(ctx))


def _declare(target: str, actor: str, *, inherited: bool) -> None:
    """The five routes of one kind of assignment."""
    inner = f"/{target}s/{{{target}_id}}" if target != "system" else "/system"
    inner += f"/{actor}s/{{{actor}_id}}/roles"
    outer, suffix = ("/OS-INHERIT", "/inherited_to_projects") if inherited else ("", "")
    many, one = f"{outer}{inner}{suffix}", f"{outer}{inner}/{{role_id}}{suffix}"

    def grant(where: dict[str, str]) -> Grant:
        return Grant(actor, where[f"{actor}_id"], target, where.get(f"{target}_id", SYSTEM), inherited)

    @api.get(many, policy=policy("read_grants"))
    def list_grants(ctx: Context, **where: str) -> dict[str, Any]:
        """The roles assigned so."""
        path = ctx.path.removeprefix("/identity/v3/")
        return collection(ctx, "roles", [roles.view(ctx, row) for row in assignments.held(ctx, grant(where))], path=path)

    @api.get(one, policy=policy("read_grants"), status=204)
    def check_grant(ctx: Context, role_id: str, **where: str) -> None:
        """Whether a role is assigned so: 204 or 404."""
        assignments.check(ctx, grant(where), role_id)

    @api.put(one, policy=policy("change_grants"), status=204)
    def create_grant(ctx: Context, role_id: str, **where: str) -> None:
        """Assign a role."""
        assignments.give(ctx, grant(where), role_id)

    @api.delete(one, policy=policy("change_grants"))
    def revoke_grant(ctx: Context, role_id: str, **where: str) -> None:
        """Take a role away."""
        assignments.take(ctx, grant(where), role_id)


for _target in ("project", "domain"):
    for _actor in ("user", "group"):
        _declare(_target, _actor, inherited=False)
        _declare(_target, _actor, inherited=True)
for _actor in ("user", "group"):
    _declare("system", _actor, inherited=False)
