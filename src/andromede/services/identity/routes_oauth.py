"""Routes of OAuth 1.0 (OS-OAUTH1): consumers, request tokens and access tokens."""

from typing import Any

from andromede.core.context import Context
from andromede.core.errors import NotFound
from andromede.http.policy import Level, Policy
from andromede.http.response import Response
from andromede.services.identity import oauth
from andromede.services.identity.listing import collection
from andromede.services.identity.rights import admins, everyone, policy
from andromede.services.identity.routes_auth import api

_OAUTH = "/OS-OAUTH1"
_CONSUMERS, _CONSUMER = _OAUTH + "/consumers", _OAUTH + "/consumers/{consumer_id}"
_TOKENS = "/users/{user_id}/OS-OAUTH1/access_tokens"
_TOKEN = _TOKENS + "/{access_token_id}"


def _form(text: str) -> Response:
    return Response(text.encode(), status=201, content_type="application/x-www-form-urlencoded")


@api.post(_CONSUMERS, policy=admins("create_consumer"), status=201)
def create_consumer(ctx: Context, body: dict[str, Any]) -> dict[str, Any]:
    """Create a consumer; its secret is in this answer alone."""
    return {"consumer": oauth.create_consumer(ctx, body)}


@api.get(_CONSUMERS, policy=admins("list_consumers"))
def list_consumers(ctx: Context) -> dict[str, Any]:
    """The consumers."""
    rows, following = oauth.consumers(ctx)
    return collection(ctx, "consumers", [oauth.consumer_view(ctx, row) for row in rows], path="OS-OAUTH1/consumers", following=following)


@api.get(_CONSUMER, policy=admins("get_consumer"))
def show_consumer(ctx: Context, consumer_id: str) -> dict[str, Any]:
    """One consumer."""
    return {"consumer": oauth.consumer_view(ctx, oauth.find_consumer(ctx, consumer_id))}


@api.patch(_CONSUMER, policy=admins("update_consumer"))
def update_consumer(ctx: Context, consumer_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Change a consumer's description."""
    return {"consumer": oauth.consumer_view(ctx, oauth.change_consumer(ctx, consumer_id, body))}


@api.delete(_CONSUMER, policy=admins("delete_consumer"))
def delete_consumer(ctx: Context, consumer_id: str) -> None:
    """Delete a consumer, and end all that it may do."""
    oauth.remove_consumer(ctx, consumer_id)


@api.post(_OAUTH + "/request_token", policy=Policy("identity:create_request_token", Level.PUBLIC), status=201)
def create_request_token(ctx: Context) -> Response:
    """A request token for a consumer, whose signature is in `Authorization`; `Requested-Project-Id` names the project.

    Errors: 400 no project named; 401 a signature that is not valid; 404 no such project.
    """
    return _form(oauth.request(ctx))


@api.put(_OAUTH + "/authorize/{request_token_id}", policy=everyone("authorize_request_token"))
def authorize_request_token(ctx: Context, request_token_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Let a consumer have some of the caller's `roles` on the project that it asked for; what proves it to the consumer is answered.

    Errors: 403 roles that the caller does not hold there, a token that was itself delegated, one that is expired or was authorized; 404.
    """
    return {"token": {"oauth_verifier": oauth.authorize(ctx, request_token_id, body)}}


@api.post(_OAUTH + "/access_token", policy=Policy("identity:create_access_token", Level.PUBLIC), status=201)
def create_access_token(ctx: Context) -> Response:
    """An access token for a request token that a user has authorized. 401 whatever is wrong."""
    return _form(oauth.exchange(ctx))


@api.get(_TOKENS, policy=policy("read_access_tokens"))
def list_access_tokens(ctx: Context, user_id: str) -> dict[str, Any]:
    """What a user has let consumers do."""
    rows = [oauth.view(ctx, row) for row in oauth.listed(ctx, user_id)]
    return collection(ctx, "access_tokens", rows, path=f"users/{user_id}/OS-OAUTH1/access_tokens")


@api.get(_TOKEN, policy=policy("read_access_tokens"))
def show_access_token(ctx: Context, user_id: str, access_token_id: str) -> dict[str, Any]:
    """One access token, without its secret."""
    return {"access_token": oauth.view(ctx, oauth.find_token(ctx, user_id, access_token_id))}


@api.delete(_TOKEN, policy=policy("delete_access_token"))
def delete_access_token(ctx: Context, user_id: str, access_token_id: str) -> None:
    """End an access token, and the tokens made with it."""
    oauth.revoke(ctx, user_id, access_token_id)


@api.get(_TOKEN + "/roles", policy=policy("read_access_tokens"))
def list_access_token_roles(ctx: Context, user_id: str, access_token_id: str) -> dict[str, Any]:
    """The roles that an access token has."""
    found = oauth.roles_of(ctx, oauth.find_token(ctx, user_id, access_token_id))
    return collection(ctx, "roles", found, path=f"users/{user_id}/OS-OAUTH1/access_tokens/{access_token_id}/roles")


@api.get(_TOKEN + "/roles/{role_id}", policy=policy("read_access_tokens"))
def show_access_token_role(ctx: Context, user_id: str, access_token_id: str, role_id: str) -> dict[str, Any]:
    """One of them, or 404."""
    for one in oauth.roles_of(ctx, oauth.find_token(ctx, user_id, access_token_id)):
        if one["id"] == role_id:
            return {"role": one}
    raise NotFound(f"Could not find role: {role_id}.")
