"""Routes of signing in, validating and revoking tokens, and of the version documents."""

from datetime import UTC, datetime
from typing import Any

from msgspec import UNSET
from sqlalchemy import insert

from andromede.core.clock import now
from andromede.core.context import Context
from andromede.core.errors import Forbidden, NotFound, Unauthorized
from andromede.core.ids import new_hex_id
from andromede.http import faults, wire
from andromede.http.api import Api
from andromede.http.policy import Level, Policy
from andromede.http.response import Response
from andromede.services.identity import auth, describe
from andromede.services.identity.oauth_signatures import read
from andromede.services.identity.tables import revocation
from andromede.services.identity.tokens import Claims, Proof, touch
from andromede.services.identity.wire import Proofs, SignIn

root = Api("identity", type="identity", prefix="/identity", fault=faults.identity)
api = Api("identity", type="identity", prefix="/identity/v3", fault=faults.identity)


def _public(name: str) -> Policy:
    return Policy(f"identity:{name}", Level.PUBLIC)


def _version(ctx: Context) -> dict[str, Any]:
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": f"{ctx.root}/identity/v3/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    }


@root.get("", policy=_public("versions"), tx="none", status=300)
def list_versions(ctx: Context) -> dict[str, Any]:
    """The versions of Identity."""
    return {"versions": {"values": [_version(ctx)]}}


@api.get("", policy=_public("version"), tx="none")
def show_version(ctx: Context) -> dict[str, Any]:
    """Version 3."""
    return {"version": _version(ctx)}


@api.post("/auth/tokens", policy=_public("create_token"), status=201, tx="none")
def create_token(ctx: Context, body: SignIn) -> Response:
    """Sign in: a token in `X-Subject-Token`, and what it says.

    Errors: 400 a malformed request; 401 whatever proof is wrong, in the same words; 401 with a receipt where the proofs
    are right and the user must give another one.
    """
    signing: auth.Signing = ctx.parts.signing
    by = body.auth.identity
    ctx.claimed = _claimed(by)
    oauth = read(ctx.method, f"{ctx.root}{ctx.path}", ctx.headers.get("authorization")) if by.oauth1 is not UNSET else None
    try:
        signed = auth.sign_in(signing, body.auth, ctx.headers.get("openstack-auth-receipt"), oauth)
    except auth.MissingFactors as missing:
        with signing.database.read() as db:
            described = describe.receipt_body(db, missing)
        challenge = ("www-authenticate", f'Keystone uri="{ctx.root}/identity"')
        return Response(described, status=401, headers=[("openstack-auth-receipt", missing.receipt), challenge])
    ctx.caller = signed.caller
    signing.known.admit(signed.token, Proof(signed.caller, signed.claims, {}), signed.epoch)
    catalog = "nocatalog" not in ctx.query
    bodies: dict[bool, dict[str, Any]] = signed.place.bodies if signed.place is not None else {}
    if catalog not in bodies:
        with signing.database.read() as db:
            described = describe.token_body(db, signed.caller, signed.claims, catalog=catalog)
            if signing.known.epoch(db) != signed.epoch:
                return _answer(signed.token, described)
        bodies[catalog] = described
    return _answer(signed.token, describe.with_claims(bodies[catalog], signed.claims))


def _claimed(by: Proofs) -> str:
    """Who somebody says to be: a user's or an application credential's name or id."""
    for given in (by.password, by.totp):
        if given is not UNSET:
            return given.user.id or given.user.name or ""
    credential = by.application_credential
    return "" if credential is UNSET else f"application credential {credential.id or credential.name or ''}"


def _answer(token: str, described: dict[str, Any]) -> Response:
    return Response(described, status=201, headers=[("x-subject-token", token), ("vary", "X-Auth-Token")])


def issued(ctx: Context, token: str, claims: Claims) -> Response:
    """The answer that hands out a new token, and says what it says."""
    signing: auth.Signing = ctx.parts.signing
    with signing.database.read() as db:
        caller = auth.load(db, claims)
        described = describe.token_body(db, caller, claims, catalog="nocatalog" not in ctx.query)
    return _answer(token, described)


def _subject(ctx: Context) -> str:
    token = ctx.headers.get("x-subject-token")
    if not token:
        raise NotFound("X-Subject-Token names no token.")
    return token


def _described(ctx: Context, proof: Proof, token: str) -> Response | None:
    catalog = "nocatalog" not in ctx.query
    body = proof.described.get(catalog)
    return None if body is None else Response(body, headers=[("x-subject-token", token), ("vary", "X-Auth-Token")])


def _may_validate(ctx: Context, proof: Proof) -> bool:
    caller = ctx.caller
    return caller.user_id == proof.caller.user_id or caller.admin or caller.has("service") or (caller.system and caller.has("reader"))


def _quick_validate(ctx: Context) -> Response | None:
    """The answer without a query, where both tokens are known to this worker."""
    subject = ctx.headers.get("x-subject-token", "")
    if not ctx.caller.user_id:
        return None
    known = ctx.parts.signing.known
    try:
        proof = known.quick(subject)
    except Unauthorized as error:
        raise NotFound("The token is not valid.") from error
    if proof is None or not _may_validate(ctx, proof) or ctx.caller.rules is not None:
        return None
    return _described(ctx, proof, subject)


@api.get("/auth/tokens", policy=Policy("identity:validate_token", Level.USER), inline=_quick_validate)
def validate_token(ctx: Context) -> Response:
    """Whether `X-Subject-Token` is valid, and what it says. 404 where it is not."""
    token = _subject(ctx)
    try:
        proof = ctx.parts.signing.known.prove(token)
    except Unauthorized as error:
        raise NotFound("The token is not valid.") from error
    if not _may_validate(ctx, proof):
        ctx.refuse("identity:validate_token")
    catalog = "nocatalog" not in ctx.query
    proof.described[catalog] = wire.encode(describe.token_body(ctx.db, proof.caller, proof.claims, catalog=catalog))
    response = _described(ctx, proof, token)
    assert response is not None
    return response


@api.delete("/auth/tokens", policy=Policy("identity:revoke_token", Level.USER))
def revoke_token(ctx: Context) -> None:
    """End the token in `X-Subject-Token`, and those made from it, before its time."""
    try:
        proof = ctx.parts.signing.known.prove(_subject(ctx))
    except Unauthorized as error:
        raise NotFound("The token is not valid.") from error
    if not ctx.caller.admin and ctx.caller.user_id != proof.caller.user_id:
        raise Forbidden("Only its owner or an admin may revoke a token.")
    ends = datetime.fromtimestamp(proof.claims.expires, UTC)
    ctx.db.execute(insert(revocation).values(id=new_hex_id(), audit_id=proof.claims.audit[0], expires=max(ends, now())))
    touch(ctx.db)


@api.get("/auth/catalog", policy=Policy("identity:get_auth_catalog", Level.USER))
def show_catalog(ctx: Context) -> dict[str, Any]:
    """The catalog for the token's scope."""
    if ctx.caller.project_id is None and ctx.caller.domain_id is None and not ctx.caller.system:
        raise Forbidden("A catalog needs a scoped token.")
    return {"catalog": describe.catalog_of(ctx.db, ctx.caller.project_id), "links": {"self": f"{ctx.base}/auth/catalog"}}
