"""The rules of OAuth 1.0: a user lets a program (a consumer) act with some of its roles on a project, until it is revoked.

A consumer gets a request token, the user authorizes it and hands over a verifier, and the consumer exchanges both for an access
token, with which it signs in. What that may do is a trust of the user's with itself, so that all that holds for delegated rights holds here.
Source: Identity API v3, "OS-OAUTH1".
"""

import secrets
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import delete, insert, select, update

from andromede.core.clock import iso_micro_z, now
from andromede.core.context import Context
from andromede.core.errors import BadRequest, Forbidden, NotFound, Unauthorized
from andromede.core.ids import new_hex_id
from andromede.services.identity import grants, listing, rights, roles, trusts
from andromede.services.identity.catalog import find
from andromede.services.identity.fields import Fields, text
from andromede.services.identity.oauth_signatures import Signed, read
from andromede.services.identity.rights import Target
from andromede.services.identity.tables import access_token, consumer, project, request_token, role, trust

REQUEST_LASTS, ACCESS_LASTS = timedelta(hours=8), timedelta(days=1)
CONSUMER = Fields("consumer", {"description": text(null=True)})
_WRONG = "The OAuth signature is not valid."

# consumers


def consumer_view(ctx: Context, row: Any) -> dict[str, Any]:
    """A consumer, as it goes over HTTP; its secret is told once, when it is made."""
    return dict(row.extra) | {"id": row.id, "description": row.description, "links": {"self": listing.link(ctx, "OS-OAUTH1/consumers", row.id)}}


def find_consumer(ctx: Context, consumer_id: str) -> Any:
    """A consumer's row. Raises NotFound."""
    return find(ctx, consumer, "Consumer", consumer_id)


def consumers(ctx: Context) -> tuple[list[Any], str | None]:
    """The consumers."""
    return listing.rows(ctx, select(consumer), consumer)


def _read(body: dict[str, Any], *, creating: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    values, extra = CONSUMER.read(body, creating=creating)
    if "secret" in extra:
        raise BadRequest("Invalid input for field 'secret': it is made here, and cannot be chosen.")
    return values, extra


def create_consumer(ctx: Context, body: dict[str, Any]) -> dict[str, Any]:
    """A new consumer, with its secret."""
    values, extra = _read(body, creating=True)
    id_, secret = new_hex_id(), secrets.token_hex(16)
    sealed = ctx.parts.signing.secrets.seal(secret)
    ctx.db.execute(insert(consumer).values(id=id_, description=values.get("description"), secret=sealed, extra=extra))
    return consumer_view(ctx, find_consumer(ctx, id_)) | {"secret": secret}


def change_consumer(ctx: Context, consumer_id: str, body: dict[str, Any]) -> Any:
    """A consumer's row after a change."""
    values, extra = _read(body, creating=False)
    row = find_consumer(ctx, consumer_id)
    ctx.db.execute(update(consumer).where(consumer.c.id == consumer_id).values({**values, "extra": row.extra | extra}))
    return find_consumer(ctx, consumer_id)


def remove_consumer(ctx: Context, consumer_id: str) -> None:
    """Delete a consumer, and end all that it may do."""
    find_consumer(ctx, consumer_id)
    for trust_id in ctx.db.scalars(select(access_token.c.trust_id).where(access_token.c.consumer_id == consumer_id)).all():
        trusts.end(ctx.db, trust_id)
    ctx.db.execute(delete(consumer).where(consumer.c.id == consumer_id))


# how a consumer comes to an access token


def request(ctx: Context) -> str:
    """A new request token for the signed request of a consumer, form-encoded. Raises Unauthorized, BadRequest, NotFound."""
    signed = _signed(ctx)
    box = ctx.parts.signing.secrets
    known = ctx.db.execute(select(consumer).where(consumer.c.id == signed.consumer)).first()
    if known is None:
        raise Unauthorized(_WRONG)
    signed.check(box.open(known.secret))
    project_id = ctx.headers.get("requested-project-id")
    if not project_id:
        raise BadRequest("The header Requested-Project-Id must name a project.")
    find(ctx, project, "project", project_id)
    id_, secret, expires = new_hex_id(), secrets.token_hex(16), now() + REQUEST_LASTS
    ctx.db.execute(delete(request_token).where(request_token.c.expires < now()))
    ctx.db.execute(
        insert(request_token).values(id=id_, consumer_id=known.id, project_id=project_id, secret=box.seal(secret), expires=expires)
    )
    return urlencode({"oauth_token": id_, "oauth_token_secret": secret, "oauth_expires_at": iso_micro_z(expires)})


def _signed(ctx: Context) -> Signed:
    return read(ctx.method, f"{ctx.root}{ctx.path}", ctx.headers.get("authorization"))


def authorize(ctx: Context, request_id: str, body: dict[str, Any]) -> str:
    """Let a request token have roles of the caller's; the verifier. Raises NotFound, Forbidden, BadRequest."""
    rights.refuse_delegated(ctx, "OAuth tokens")
    row = find(ctx, request_token, "Request Token", request_id)
    if row.expires <= now():
        raise Forbidden("Request token is expired.")
    if row.verifier is not None:
        raise Forbidden("Request token has been authorized already.")
    asked = body.get("roles")
    if not isinstance(asked, list) or not asked or not all(isinstance(one, dict) and ({"id", "name"} & one.keys()) for one in asked):
        raise BadRequest("Invalid input for field 'roles': it must be a list of roles, each with its id or its name.")
    place = ctx.db.execute(select(project).where(project.c.id == row.project_id)).one()
    held = grants.roles_of(ctx.db, ctx.caller.user_id, grants.on_project(ctx.db, place))
    ids = [one.get("id") or next((id_ for id_, name in held.items() if name == one.get("name")), None) for one in asked]
    if not all(id_ in held for id_ in ids):
        raise Forbidden("Authorizing user does not have role required on the project.")
    verifier = secrets.token_urlsafe(12)
    sealed = ctx.parts.signing.secrets.seal(verifier)
    ctx.db.execute(update(request_token).where(request_token.c.id == row.id).values(user_id=ctx.caller.user_id, roles=ids, verifier=sealed))
    return verifier


def exchange(ctx: Context) -> str:
    """An access token for an authorized request token, form-encoded. Raises Unauthorized."""
    signed = _signed(ctx)
    box = ctx.parts.signing.secrets
    known = ctx.db.execute(select(consumer).where(consumer.c.id == signed.consumer)).first()
    asked = ctx.db.execute(select(request_token).where(request_token.c.id == signed.token)).first()
    if known is None or asked is None or asked.consumer_id != known.id or asked.expires <= now() or asked.verifier is None:
        raise Unauthorized(_WRONG)
    signed.check(box.open(known.secret), box.open(asked.secret))
    if not secrets.compare_digest(box.open(asked.verifier).encode(), signed.values.get("oauth_verifier", "").encode()):
        raise Unauthorized("The verifier is not valid.")
    expires = now() + ACCESS_LASTS
    trust_id = trusts.lend_oneself(ctx.db, asked.user_id, asked.project_id, asked.roles, expires)
    id_, secret = new_hex_id(), secrets.token_hex(16)
    ctx.db.execute(delete(request_token).where(request_token.c.id == asked.id))
    ctx.db.execute(
        insert(access_token).values(id=id_, consumer_id=known.id, user_id=asked.user_id, trust_id=trust_id, secret=box.seal(secret))
    )
    return urlencode({"oauth_token": id_, "oauth_token_secret": secret, "oauth_expires_at": iso_micro_z(expires)})


# what users see of it


def _of(user_id: str) -> Any:
    query = select(access_token, trust.c.project_id, trust.c.expires, trust.c.roles).join(trust, trust.c.id == access_token.c.trust_id)
    return query.where(access_token.c.user_id == user_id, trust.c.deleted.is_(None))


def view(ctx: Context, row: Any) -> dict[str, Any]:
    """An access token, as it goes over HTTP."""
    where = f"users/{row.user_id}/OS-OAUTH1/access_tokens"
    return {
        "id": row.id, "consumer_id": row.consumer_id, "project_id": row.project_id, "authorizing_user_id": row.user_id,
        "expires_at": iso_micro_z(row.expires),
        "links": {"self": listing.link(ctx, where, row.id), "roles": listing.link(ctx, where, row.id, "roles")},
    }  # fmt: skip


def listed(ctx: Context, user_id: str) -> list[Any]:
    """What a user has let consumers do. Raises Forbidden."""
    rights.require(ctx, "read_access_tokens", Target(user_id=user_id))
    return list(ctx.db.execute(_of(user_id).order_by(access_token.c.id)))


def find_token(ctx: Context, user_id: str, token_id: str, rule: str = "read_access_tokens") -> Any:
    """One of them. Raises NotFound, Forbidden."""
    rights.require(ctx, rule, Target(user_id=user_id))
    row = ctx.db.execute(_of(user_id).where(access_token.c.id == token_id)).first()
    if row is None:
        raise NotFound(f"Could not find Access Token: {token_id}.")
    return row


def roles_of(ctx: Context, row: Any) -> list[dict[str, Any]]:
    """The roles that it has, as they go over HTTP."""
    return [roles.view(ctx, one) for one in ctx.db.execute(select(role).where(role.c.id.in_(row.roles)).order_by(role.c.name))]


def revoke(ctx: Context, user_id: str, token_id: str) -> None:
    """End one, and the tokens made with it."""
    rights.refuse_delegated(ctx, "OAuth tokens")
    row = find_token(ctx, user_id, token_id, "delete_access_token")
    trusts.end(ctx.db, row.trust_id)
    ctx.db.execute(delete(access_token).where(access_token.c.id == row.id))
