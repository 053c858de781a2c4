"""Routes of credentials, of access keys (OS-EC2), and of signing in with what they signed."""

from typing import Any

from andromede.core.context import Context
from andromede.http.policy import Level, Policy
from andromede.http.response import Response
from andromede.services.identity import credentials
from andromede.services.identity.listing import collection
from andromede.services.identity.rights import policy
from andromede.services.identity.routes_auth import api, issued

_ONE, _KEYS = "/credentials/{credential_id}", "/users/{user_id}/credentials/OS-EC2"
_TOKENS = Level.SERVICE


@api.post("/credentials", policy=policy("change_credentials"), status=201)
def create_credential(ctx: Context, body: dict[str, Any]) -> dict[str, Any]:
    """Keep a secret of a user. 409 for an access key that is known."""
    return {"credential": credentials.view(ctx, credentials.create(ctx, body))}


@api.get("/credentials", policy=policy("read_credentials"))
def list_credentials(ctx: Context) -> dict[str, Any]:
    """The caller's credentials; everybody's for who reads everything."""
    rows, following = credentials.listed(ctx)
    return collection(ctx, "credentials", [credentials.view(ctx, row) for row in rows], following=following)


@api.get(_ONE, policy=policy("read_credentials"))
def show_credential(ctx: Context, credential_id: str) -> dict[str, Any]:
    """One credential."""
    return {"credential": credentials.view(ctx, credentials.find(ctx, credential_id))}


@api.patch(_ONE, policy=policy("change_credentials"))
def update_credential(ctx: Context, credential_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Change what a credential holds."""
    return {"credential": credentials.view(ctx, credentials.change(ctx, credential_id, body))}


@api.delete(_ONE, policy=policy("change_credentials"))
def delete_credential(ctx: Context, credential_id: str) -> None:
    """Delete a credential."""
    credentials.remove(ctx, credential_id)


@api.post(_KEYS, policy=policy("change_credentials"), status=201)
def create_key(ctx: Context, user_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """A new access key of a user for a project."""
    return {"credential": credentials.ec2_view(ctx, credentials.create_ec2(ctx, user_id, body))}


@api.get(_KEYS, policy=policy("read_credentials"))
def list_keys(ctx: Context, user_id: str) -> dict[str, Any]:
    """A user's access keys."""
    items = [credentials.ec2_view(ctx, row) for row in credentials.listed_ec2(ctx, user_id)]
    return collection(ctx, "credentials", items, path=f"users/{user_id}/credentials/OS-EC2")


@api.get(_KEYS + "/{access}", policy=policy("read_credentials"))
def show_key(ctx: Context, user_id: str, access: str) -> dict[str, Any]:
    """One access key."""
    return {"credential": credentials.ec2_view(ctx, credentials.find_ec2(ctx, user_id, access))}


@api.delete(_KEYS + "/{access}", policy=policy("change_credentials"))
def delete_key(ctx: Context, user_id: str, access: str) -> None:
    """Delete an access key."""
    credentials.remove(ctx, credentials.find_ec2(ctx, user_id, access, "change_credentials").id)


@api.post("/ec2tokens", policy=Policy("identity:ec2tokens", _TOKENS, wide=True), tx="none")
def ec2_tokens(ctx: Context, body: dict[str, Any]) -> Response:
    """For services: the token of who signed a request in EC2's way. 401 where the signature does not fit."""
    return _issued(ctx, body, credentials.ec2_token)


@api.post("/s3tokens", policy=Policy("identity:s3tokens", _TOKENS, wide=True), tx="none")
def s3_tokens(ctx: Context, body: dict[str, Any]) -> Response:
    """For services: the token of who signed a request of S3. 401 where the signature does not fit."""
    return _issued(ctx, body, credentials.s3_token)


def _issued(ctx: Context, body: dict[str, Any], made: Any) -> Response:
    with ctx.parts.signing.database.read() as db:
        token, claims = made(ctx.bind(db), body)
    response = issued(ctx, token, claims)
    response.status = 200
    return response
