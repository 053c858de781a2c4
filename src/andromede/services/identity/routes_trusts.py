"""Routes of trusts (OS-TRUST)."""

from typing import Any

from andromede.core.context import Context
from andromede.core.errors import NotFound
from andromede.services.identity import trusts
from andromede.services.identity.listing import collection
from andromede.services.identity.rights import everyone, policy
from andromede.services.identity.routes_auth import api

_ALL = "/OS-TRUST/trusts"
_ONE = _ALL + "/{trust_id}"


@api.post(_ALL, policy=policy("create_trust"), status=201)
def create_trust(ctx: Context, body: dict[str, Any]) -> dict[str, Any]:
    """Lend roles to another user. 403 for who is not the trustor, or does not hold them."""
    return {"trust": trusts.view(ctx, trusts.create(ctx, body), full=True)}


@api.get(_ALL, policy=everyone("list_trusts"))
def list_trusts(ctx: Context) -> dict[str, Any]:
    """The trusts of a trustor or trustee; all of them for who reads everything."""
    rows, following = trusts.listed(ctx)
    return collection(ctx, "trusts", [trusts.view(ctx, row, full=False) for row in rows], path="OS-TRUST/trusts", following=following)


@api.get(_ONE, policy=policy("get_trust"))
def show_trust(ctx: Context, trust_id: str) -> dict[str, Any]:
    """One trust."""
    return {"trust": trusts.view(ctx, trusts.find(ctx, trust_id), full=True)}


@api.delete(_ONE, policy=policy("delete_trust"))
def delete_trust(ctx: Context, trust_id: str) -> None:
    """End a trust, what was lent on from it, and their tokens."""
    trusts.remove(ctx, trust_id)


@api.get(_ONE + "/roles", policy=policy("get_trust"))
def list_trust_roles(ctx: Context, trust_id: str) -> dict[str, Any]:
    """The roles that are lent."""
    return collection(ctx, "roles", trusts.lent(ctx, trusts.find(ctx, trust_id)), path=f"OS-TRUST/trusts/{trust_id}/roles")


@api.get(_ONE + "/roles/{role_id}", policy=policy("get_trust"))
def show_trust_role(ctx: Context, trust_id: str, role_id: str) -> dict[str, Any]:
    """One role that is lent, or 404."""
    for one in trusts.lent(ctx, trusts.find(ctx, trust_id)):
        if one["id"] == role_id:
            return {"role": one}
    raise NotFound(f"Could not find role: {role_id}.")
