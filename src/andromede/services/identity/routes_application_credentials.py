"""Routes of application credentials and access rules."""

from typing import Any

from andromede.core.context import Context
from andromede.services.identity import application_credentials as credentials
from andromede.services.identity.listing import collection
from andromede.services.identity.rights import policy
from andromede.services.identity.routes_auth import api

_ALL = "/users/{user_id}/application_credentials"
_ONE = _ALL + "/{application_credential_id}"
_RULES = "/users/{user_id}/access_rules"


@api.post(_ALL, policy=policy("create_application_credential"), status=201, tx="none")
def create_application_credential(ctx: Context, user_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Create one for the token's project; its secret is in this answer alone. 403 with a restricted one's token."""
    return {"application_credential": credentials.create(ctx, user_id, body)}


@api.get(_ALL, policy=policy("read_application_credentials"))
def list_application_credentials(ctx: Context, user_id: str) -> dict[str, Any]:
    """A user's application credentials."""
    rows, following = credentials.listed(ctx, user_id)
    items = [credentials.view(ctx, row) for row in rows]
    return collection(ctx, "application_credentials", items, path=f"users/{user_id}/application_credentials", following=following)


@api.get(_ONE, policy=policy("read_application_credentials"))
def show_application_credential(ctx: Context, user_id: str, application_credential_id: str) -> dict[str, Any]:
    """One application credential, without its secret."""
    return {"application_credential": credentials.view(ctx, credentials.find(ctx, user_id, application_credential_id))}


@api.delete(_ONE, policy=policy("delete_application_credential"))
def delete_application_credential(ctx: Context, user_id: str, application_credential_id: str) -> None:
    """Delete one; its tokens end with it."""
    credentials.remove(ctx, user_id, application_credential_id)


@api.get(_RULES, policy=policy("read_access_rules"))
def list_access_rules(ctx: Context, user_id: str) -> dict[str, Any]:
    """A user's access rules."""
    rows, following = credentials.rules(ctx, user_id)
    items = [credentials.rule_view(ctx, row) for row in rows]
    return collection(ctx, "access_rules", items, path=f"users/{user_id}/access_rules", following=following)


@api.get(_RULES + "/{access_rule_id}", policy=policy("read_access_rules"))
def show_access_rule(ctx: Context, user_id: str, access_rule_id: str) -> dict[str, Any]:
    """One access rule."""
    return {"access_rule": credentials.rule_view(ctx, credentials.find_rule(ctx, user_id, access_rule_id))}


@api.delete(_RULES + "/{access_rule_id}", policy=policy("delete_access_rule"))
def delete_access_rule(ctx: Context, user_id: str, access_rule_id: str) -> None:
    """Delete an access rule that no application credential has."""
    credentials.remove_rule(ctx, user_id, access_rule_id)
