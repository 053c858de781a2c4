"""The rules of secrets: who may see one, what its payload may be, and how that goes over HTTP. Source: Key Manager API v1, "Secrets"."""

import base64
import binascii
from datetime import datetime
from typing import Any

from sqlalchemy import and_, delete, func, or_, select

from andromede.core.clock import now, parse
from andromede.core.context import Context
from andromede.core.errors import BadRequest, Forbidden, TooLarge
from andromede.services.key_manager.api import missing, ref, when
from andromede.services.key_manager.tables import acl, consumer, secret
from andromede.services.quota import service as quota

TYPES = ("symmetric", "public", "private", "passphrase", "certificate", "opaque")
TEXT = ("text/plain", "text/plain;charset=utf-8", "text/plain; charset=utf-8")
BINARY = ("application/octet-stream", "application/pkcs8", "application/pkix-cert")
MOST_BYTES = 20_000


def _count(table: Any) -> Any:
    def count(db: Any, project_id: str) -> int:
        extra = (~table.c.hidden,) if "hidden" in table.c else ()
        return db.scalar(select(func.count()).where(table.c.project_id == project_id, *extra)) or 0

    return count


def register() -> None:
    """Make the quotas known."""
    from andromede.services.key_manager.tables import container, order

    tables = {"secrets": secret, "orders": order, "containers": container, "consumers": consumer}
    quota.register(*(quota.Resource(f"key_{name}", "key-manager", quota.UNLIMITED, _count(table)) for name, table in tables.items()))


register()


def permitted(ctx: Context, table: Any) -> Any:
    """The condition on things that the caller may know: their project's (unless that is shut out), and those that name them."""
    if ctx.caller.admin:
        return table.c.id.is_not(None)
    shut = select(acl.c.target).where(~acl.c.project_access)
    own = and_(table.c.project_id == (ctx.caller.project_id or ""), or_(table.c.id.not_in(shut), table.c.user_id == ctx.caller.user_id))
    named = [row.target for row in ctx.db.execute(select(acl.c.target, acl.c.users)) if ctx.caller.user_id in row.users]
    return or_(own, table.c.id.in_(named)) if named else own


def find(ctx: Context, secret_id: str) -> Any:
    """A secret's row that the caller may read. Raises NotFound; one that has expired is gone."""
    row = ctx.db.execute(select(secret).where(secret.c.id == secret_id, permitted(ctx, secret))).first()
    if row is None or (row.expires is not None and row.expires <= now()) or (row.hidden and not ctx.caller.admin):
        raise missing("secret")
    return row


def find_own(ctx: Context, secret_id: str) -> Any:
    """One that the caller may change: of their project. Raises NotFound, Forbidden."""
    row = find(ctx, secret_id)
    if row.project_id != ctx.caller.project_id and not ctx.caller.admin:
        raise Forbidden("Secret(s) modification attempt not allowed - please review your user/project privileges")
    return row


def view(ctx: Context, row: Any, *, consumers: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """A secret's facts; never its payload."""
    out: dict[str, Any] = {
        "secret_ref": ref(ctx, "secrets", row.id), "name": row.name, "status": "ACTIVE", "secret_type": row.type, "algorithm": row.algorithm,
        "bit_length": row.bit_length, "mode": row.mode, "creator_id": row.user_id, "created": when(row.created), "updated": when(row.updated),
        "expiration": when(row.expires), "consumers": consumers or [],
    }  # fmt: skip
    if row.payload is not None:
        out["content_types"] = {"default": row.content_type}
    return out


def consumers_of(ctx: Context, target: str) -> list[dict[str, Any]]:
    """Who uses a secret."""
    rows = ctx.db.execute(select(consumer).where(consumer.c.target == target).order_by(consumer.c.created))
    return [{"service": row.service, "resource_type": row.resource_type, "resource_id": row.resource_id} for row in rows]


def expiry(text: Any) -> datetime | None:
    """When a secret ends. Raises BadRequest for no moment, or one that is over."""
    if text is None or not str(text).strip():
        return None
    try:
        moment = parse(str(text))
    except ValueError as error:
        raise BadRequest("Provided object does not match schema 'Secret': Invalid date for 'expiration'.") from error
    if moment <= now():
        raise BadRequest("Provided object does not match schema 'Secret': 'expiration' is before current time.")
    return moment


def decoded(payload: Any, content_type: str | None, encoding: str | None) -> tuple[bytes, str]:
    """A payload's bytes and its type as it is kept. Raises BadRequest, TooLarge."""
    if not isinstance(payload, str) or not payload:
        raise BadRequest("Provided object does not match schema 'Secret': If 'payload' is provided, it must be a text that is not empty.")
    kind = (content_type or "").strip().lower()
    if kind in TEXT:
        if encoding:
            raise BadRequest("Provided object does not match schema 'Secret': payload_content_encoding must not be specified for text.")
        data, kind = payload.encode(), "text/plain"
    elif kind in BINARY:
        if encoding != "base64":
            raise BadRequest("Provided object does not match schema 'Secret': payload_content_encoding must be base64 for binary payloads.")
        try:
            data = base64.b64decode("".join(payload.split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadRequest("Provided object does not match schema 'Secret': Invalid payload for payload_content_encoding.") from error
    else:
        raise BadRequest("Provided object does not match schema 'Secret': payload_content_type is not one of those supported.")
    return bounded(data), kind


def bounded(data: bytes) -> bytes:
    """Bytes that a payload may have. Raises BadRequest for none, TooLarge."""
    if not data:
        raise BadRequest("The payload is empty.")
    if len(data) > MOST_BYTES:
        raise TooLarge(f"Provided information too large to process: a payload has at most {MOST_BYTES} bytes.")
    return data


def open_payload(ctx: Context, row: Any) -> bytes:
    """A secret's payload. Raises NotFound where it has none yet."""
    if row.payload is None:
        raise missing("secret has no payload, or it")
    data: bytes = ctx.parts.sealer.open(row.payload)
    return data


def forget(ctx: Context, secret_id: str) -> None:
    """Destroy a secret, with who uses it and who may."""
    for table in (consumer, acl):
        ctx.db.execute(delete(table).where(table.c.target == secret_id))
    ctx.db.execute(delete(secret).where(secret.c.id == secret_id))
