"""The rules of credentials: secrets that users keep in Identity, sealed; those of type `ec2` sign requests.

A credential made with a delegated token (an application credential's, a trust's) stays bound to it.
Source: Identity API v3, "Credentials"; its extensions OS-EC2 and s3tokens as Keystone serves them.
"""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import delete, insert, select, update

from andromede.core.clock import now, parse
from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, Forbidden, NotFound, Unauthorized
from andromede.core.ids import new_hex_id
from andromede.services.identity import listing, rights, signatures
from andromede.services.identity.auth import Signing
from andromede.services.identity.fields import Fields, ident, text
from andromede.services.identity.lockout import WRONG
from andromede.services.identity.rights import Target
from andromede.services.identity.tables import application_credential, credential, project, trust, user
from andromede.services.identity.tokens import Claims, new_audit_id, touch

FIELDS = Fields(
    "credential", {"type": text(64, 1), "blob": text(1 << 16), "user_id": ident(), "project_id": ident()}, required=("type", "blob")
)
_FRESH = timedelta(minutes=15)


def view(ctx: Context, row: Any) -> dict[str, Any]:
    """A credential, as it goes over HTTP."""
    return dict(row.extra) | {
        "id": row.id, "type": row.type, "user_id": row.user_id, "project_id": row.project_id, "blob": opened(ctx.parts.signing, row),
        "links": {"self": listing.link(ctx, "credentials", row.id)},
    }  # fmt: skip


def opened(signing: Signing, row: Any) -> str:
    """The blob of a credential, unsealed."""
    return str(signing.secrets.open(row.blob))


def find(ctx: Context, credential_id: str, rule: str = "read_credentials") -> Any:
    """A credential's row, where the caller may do `rule` to it. Raises NotFound, Forbidden."""
    row = ctx.db.execute(select(credential).where(credential.c.id == credential_id)).first()
    if row is None:
        raise NotFound(f"Could not find credential: {credential_id}.")
    return rights.find(ctx, rule, row, "credential", credential_id, target=Target(user_id=row.user_id))


def listed(ctx: Context) -> tuple[list[Any], str | None]:
    """The credentials that the caller may see and asks for; other people's only for who reads everything."""
    query = listing.filtered(ctx, select(credential), credential, ("user_id", "type", "project_id"))
    if not rights.allows(ctx.caller, "read_credentials", Target()):
        query = query.where(credential.c.user_id == ctx.caller.user_id)
    return listing.rows(ctx, query, credential)


def create(ctx: Context, body: dict[str, Any]) -> Any:
    """A new credential's row. Raises BadRequest for an `ec2` blob without access and secret, Conflict for a known access key."""
    values, extra = FIELDS.read(body, creating=True)
    owner = values.get("user_id") or ctx.caller.user_id
    rights.require(ctx, "change_credentials", Target(user_id=owner))
    return _add(ctx, owner, values.get("project_id"), values["type"], blob=values["blob"], extra=extra)


def _add(ctx: Context, owner: str, project_id: str | None, kind: str, *, blob: str, extra: dict[str, Any]) -> Any:
    id_ = new_hex_id()
    if ctx.db.execute(select(user.c.id).where(user.c.id == owner)).first() is None:
        raise NotFound(f"Could not find user: {owner}.")
    if kind == "ec2":
        facts = _ec2_blob(blob)
        if not project_id or ctx.db.execute(select(project.c.id).where(project.c.id == project_id)).first() is None:
            raise BadRequest("Invalid input for field 'project_id': a credential of type ec2 needs a project.")
        id_ = id_of(facts["access"])
        if ctx.db.execute(select(credential.c.id).where(credential.c.id == id_)).first():
            raise Conflict("Conflict occurred attempting to store credential - Duplicate entry found with this access key.")
        blob = msgspec.json.encode(facts | _bound(ctx, owner, project_id)).decode()
    elif ctx.caller.trust_id is not None or ctx.caller.application_credential_id is not None:
        raise Forbidden("A delegated token can only be used to make credentials of type ec2.")
    row = {"id": id_, "user_id": owner, "project_id": project_id, "type": kind, "blob": ctx.parts.signing.secrets.seal(blob), "extra": extra}
    ctx.db.execute(insert(credential).values(row))
    return ctx.db.execute(select(credential).where(credential.c.id == id_)).one()


def _bound(ctx: Context, owner: str, project_id: str) -> dict[str, str]:
    """What a credential made with a delegated token keeps of it. Raises Forbidden for another user or project than the token's."""
    caller = ctx.caller
    bound = {"trust_id": caller.trust_id, "app_cred_id": caller.application_credential_id}
    kept = {name: value for name, value in bound.items() if value is not None}
    if kept and (owner != caller.user_id or project_id != caller.project_id):
        raise Forbidden("A delegated token can only be used for its own user and project.")
    return kept


def id_of(access: str) -> str:
    """The id of the credential with an access key, as EC2's credentials have it in every OpenStack."""
    return hashlib.sha256(access.encode()).hexdigest()


def _ec2_blob(blob: str) -> dict[str, str]:
    try:
        facts = msgspec.json.decode(blob)
    except msgspec.DecodeError as error:
        raise BadRequest("Invalid input for field 'blob': it must be JSON for a credential of type ec2.") from error
    if not isinstance(facts, dict) or not all(isinstance(facts.get(name), str) and facts[name] for name in ("access", "secret")):
        raise BadRequest("Invalid input for field 'blob': it needs an access and a secret.")
    return {"access": facts["access"], "secret": facts["secret"]}


def change(ctx: Context, credential_id: str, body: dict[str, Any]) -> Any:
    """A credential's row after a change; only its blob and extra attributes may change."""
    values, extra = FIELDS.read(body, creating=False)
    row = find(ctx, credential_id, "change_credentials")
    if ctx.caller.trust_id is not None or ctx.caller.application_credential_id is not None:
        raise Forbidden("A delegated token cannot be used to change credentials.")
    for name in ("type", "user_id", "project_id"):
        if name in values and values[name] != getattr(row, name):
            raise BadRequest(f"Invalid input for field '{name}': it cannot be changed.")
    blob = values.get("blob")
    if blob is not None:
        if row.type == "ec2":
            kept = msgspec.json.decode(opened(ctx.parts.signing, row))
            blob = msgspec.json.encode({**kept, **_ec2_blob(blob)}).decode()
        sealed = ctx.parts.signing.secrets.seal(blob)
        ctx.db.execute(update(credential).where(credential.c.id == credential_id).values(blob=sealed))
        touch(ctx.db)
    ctx.db.execute(update(credential).where(credential.c.id == credential_id).values(extra=row.extra | extra))
    return find(ctx, credential_id)


def remove(ctx: Context, credential_id: str) -> None:
    """Delete a credential."""
    find(ctx, credential_id, "change_credentials")
    ctx.db.execute(delete(credential).where(credential.c.id == credential_id))
    touch(ctx.db)


# OS-EC2


def ec2_view(ctx: Context, row: Any) -> dict[str, Any]:
    """An access key, as OS-EC2 shows it."""
    facts = msgspec.json.decode(opened(ctx.parts.signing, row))
    return {
        "access": facts["access"], "secret": facts["secret"], "user_id": row.user_id, "tenant_id": row.project_id,
        "trust_id": facts.get("trust_id"),
        "links": {"self": listing.link(ctx, "users", row.user_id, "credentials", "OS-EC2", facts["access"])},
    }  # fmt: skip


def create_ec2(ctx: Context, user_id: str, body: dict[str, Any]) -> Any:
    """A new access key of a user for a project on which the user holds a role."""
    rights.require(ctx, "change_credentials", Target(user_id=user_id))
    project_id = body.get("tenant_id")
    if not isinstance(project_id, str):
        raise BadRequest("Invalid input for field 'tenant_id': it is a required property.")
    if ctx.db.execute(select(project.c.id).where(project.c.id == project_id)).first() is None:
        raise NotFound(f"Could not find project: {project_id}.")
    if not ctx.caller.admin and project_id != ctx.caller.project_id:
        raise Forbidden("An access key is made with a token of its project.")
    blob = msgspec.json.encode({"access": new_hex_id(), "secret": secrets.token_hex(16)}).decode()
    return _add(ctx, user_id, project_id, "ec2", blob=blob, extra={})


def listed_ec2(ctx: Context, user_id: str) -> list[Any]:
    """A user's access keys."""
    rights.require(ctx, "read_credentials", Target(user_id=user_id))
    query = select(credential).where(credential.c.user_id == user_id, credential.c.type == "ec2")
    return list(ctx.db.execute(query.order_by(credential.c.id)))


def find_ec2(ctx: Context, user_id: str, access: str, rule: str = "read_credentials") -> Any:
    """The row of a user's access key. Raises NotFound, Forbidden."""
    rights.require(ctx, rule, Target(user_id=user_id))
    row = ctx.db.execute(select(credential).where(credential.c.id == id_of(access), credential.c.user_id == user_id)).first()
    if row is None:
        raise NotFound(f"Could not find credential: {access}.")
    return row


# signing in with a signed request


def token_of(ctx: Context, access: str, verify: Any) -> tuple[str, Claims]:
    """A token for who signed with `access`; `verify` says whether a secret fits. Raises Unauthorized."""
    signing: Signing = ctx.parts.signing
    row = ctx.db.execute(select(credential).where(credential.c.id == id_of(access), credential.c.type == "ec2")).first()
    if row is None:
        raise Unauthorized(WRONG)
    facts = msgspec.json.decode(opened(ctx.parts.signing, row))
    if not verify(facts["secret"]):
        raise Unauthorized(WRONG)
    expires = now().timestamp() + signing.lifetime
    for table, id_ in ((trust, facts.get("trust_id")), (application_credential, facts.get("app_cred_id"))):
        end = ctx.db.scalar(select(table.c.expires).where(table.c.id == id_)) if id_ else None
        expires = min(expires, end.timestamp()) if end else expires
    claims = Claims(
        user=row.user_id, methods=("ec2credential",), audit=(new_audit_id(),), issued=now().timestamp(), expires=expires,
        project=row.project_id, trust=facts.get("trust_id"), application_credential=facts.get("app_cred_id"),
    )  # fmt: skip
    return signing.known.signer.sign(claims), claims


def _given(body: dict[str, Any], *names: str) -> dict[str, Any]:
    for name in names:
        if isinstance(body.get(name), dict):
            return dict(body[name])
    raise BadRequest(f"Invalid input for field '{names[0]}': it is a required property.")


def ec2_token(ctx: Context, body: dict[str, Any]) -> tuple[str, Claims]:
    """A token for a request signed in EC2's way (signature versions 2 and 4), not older than a quarter of an hour."""
    try:
        request = msgspec.convert(_given(body, "credentials", "ec2Credentials"), type=signatures.Signed)
    except msgspec.ValidationError as error:
        raise BadRequest(f"Invalid input for field 'credentials': {error}") from error
    _refuse_old(request)
    return token_of(ctx, request.access, lambda secret: signatures.verify_request(request, secret))


def _refuse_old(request: signatures.Signed) -> None:
    headers = {name.lower(): value for name, value in request.headers.items()}
    given = request.params.get("Timestamp") or request.params.get("X-Amz-Date") or headers.get("x-amz-date")
    if given is None:
        return
    try:
        moment: datetime = parse(str(given))
    except ValueError as error:
        raise Unauthorized(WRONG) from error
    if abs(now() - moment) > _FRESH:
        raise Unauthorized(WRONG)


def s3_token(ctx: Context, body: dict[str, Any]) -> tuple[str, Claims]:
    """A token for a string to sign of S3 and its signature."""
    given = _given(body, "credentials")
    access, signature, token = (given.get(name) for name in ("access", "signature", "token"))
    if not (isinstance(access, str) and isinstance(signature, str) and isinstance(token, str)):
        raise BadRequest("Invalid input for field 'credentials': it needs access, signature and token.")
    return token_of(ctx, access, lambda secret: signatures.verify_text(token, signature, secret))
