"""Routes of unified limits."""

from typing import Any

from andromede.core.context import Context
from andromede.services.identity import limits
from andromede.services.identity.listing import collection
from andromede.services.identity.rights import admins, everyone
from andromede.services.identity.routes_auth import api

_REGISTERED, _LIMIT = "/registered_limits/{registered_limit_id}", "/limits/{limit_id}"


@api.post("/registered_limits", policy=admins("create_registered_limits"), status=201)
def create_registered_limits(ctx: Context, body: dict[str, Any]) -> dict[str, Any]:
    """Register defaults for resources of services."""
    return {"registered_limits": [limits.registered_view(ctx, row) for row in limits.register(ctx, body)]}


@api.get("/registered_limits", policy=everyone("list_registered_limits"))
def list_registered_limits(ctx: Context) -> dict[str, Any]:
    """The registered limits asked for."""
    rows, following = limits.registered(ctx)
    return collection(ctx, "registered_limits", [limits.registered_view(ctx, row) for row in rows], following=following)


@api.get(_REGISTERED, policy=everyone("get_registered_limit"))
def show_registered_limit(ctx: Context, registered_limit_id: str) -> dict[str, Any]:
    """One registered limit."""
    return {"registered_limit": limits.registered_view(ctx, limits.find_registered(ctx, registered_limit_id))}


@api.patch(_REGISTERED, policy=admins("update_registered_limit"))
def update_registered_limit(ctx: Context, registered_limit_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Change a registered limit."""
    return {"registered_limit": limits.registered_view(ctx, limits.change_registered(ctx, registered_limit_id, body))}


@api.delete(_REGISTERED, policy=admins("delete_registered_limit"))
def delete_registered_limit(ctx: Context, registered_limit_id: str) -> None:
    """Delete a registered limit. 403 while limits refer to it."""
    limits.remove_registered(ctx, registered_limit_id)


@api.get("/limits/model", policy=everyone("get_limit_model"))
def show_model(ctx: Context) -> dict[str, Any]:
    """How limits of projects below each other count: each for itself."""
    del ctx
    return {"model": limits.MODEL}


@api.post("/limits", policy=admins("create_limits"), status=201)
def create_limits(ctx: Context, body: dict[str, Any]) -> dict[str, Any]:
    """Set limits of projects or domains that differ from the registered ones."""
    return {"limits": [limits.view(ctx, row) for row in limits.create(ctx, body)]}


@api.get("/limits", policy=everyone("list_limits"))
def list_limits(ctx: Context) -> dict[str, Any]:
    """The limits asked for; one's own project's where one may not see all."""
    rows, following = limits.listed(ctx)
    return collection(ctx, "limits", [limits.view(ctx, row) for row in rows], following=following)


@api.get(_LIMIT, policy=everyone("get_limit"))
def show_limit(ctx: Context, limit_id: str) -> dict[str, Any]:
    """One limit."""
    return {"limit": limits.view(ctx, limits.find(ctx, limit_id))}


@api.patch(_LIMIT, policy=admins("update_limit"))
def update_limit(ctx: Context, limit_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Change a limit."""
    return {"limit": limits.view(ctx, limits.change(ctx, limit_id, body))}


@api.delete(_LIMIT, policy=admins("delete_limit"))
def delete_limit(ctx: Context, limit_id: str) -> None:
    """Delete a limit; the registered one holds again."""
    limits.remove(ctx, limit_id)
