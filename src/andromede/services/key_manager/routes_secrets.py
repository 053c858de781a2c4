"""Routes of secrets: their payloads, metadata, consumers and access lists. Source: Key Manager API v1."""

import base64
from typing import Any

import msgspec
from sqlalchemy import delete, func, insert, select, update

from andromede.core.clock import now, parse
from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, NotAcceptable, NotFound, UnsupportedMedia
from andromede.core.ids import new_id
from andromede.http.policy import Level, Policy
from andromede.http.response import Response
from andromede.http.wire import Body
from andromede.services.key_manager import secrets
from andromede.services.key_manager.api import api, listed, member, missing, reader, ref, root, when, window
from andromede.services.key_manager.tables import acl, consumer, container, secret

_ALL, _ONE = "/secrets", "/secrets/{secret_id}"
_SORTABLE = ("created", "expiration", "mode", "name", "secret_type", "status", "updated", "algorithm", "bit_length")


def _version(ctx: Context) -> dict[str, Any]:
    return {
        "id": "v1", "status": "CURRENT", "updated": "2015-04-28T00:00:00Z", "min_version": "1.0", "max_version": "1.1", "version": "1.1",
        "links": [{"rel": "self", "href": f"{ctx.root}/key-manager/v1/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.key-manager-v1+json"}],
    }  # fmt: skip


@root.get("", policy=Policy("keys:versions", Level.PUBLIC), tx="none")
def list_versions(ctx: Context) -> Response:
    """The versions of Key Manager."""
    return Response({"versions": [_version(ctx)]}, status=300)


@api.get("", policy=Policy("keys:version", Level.PUBLIC), tx="none")
def show_version(ctx: Context) -> dict[str, Any]:
    """Version 1."""
    return {"version": _version(ctx)}


class NewSecret(msgspec.Struct, kw_only=True):
    """What is asked for in a new secret; without a payload, that comes in a second step."""

    name: str | None = None
    expiration: str | None = None
    algorithm: str | None = None
    bit_length: int | None = None
    mode: str | None = None
    secret_type: str | None = None
    payload: str | None = None
    payload_content_type: str | None = None
    payload_content_encoding: str | None = None
    transport_key_needed: bool | str | None = None
    transport_key_id: str | None = None


@api.post(_ALL, status=201, policy=member("secrets:post"), quota=("key_secrets",))
def create_secret(ctx: Context, body: NewSecret) -> Response:
    """Keep a secret. Errors: 400 a payload that does not go with its type; 413 one that is too large."""
    kind = body.secret_type or "opaque"
    if kind not in secrets.TYPES:
        raise BadRequest(f"Provided object does not match schema 'Secret': {kind!r} is not one of {list(secrets.TYPES)}.")
    if body.bit_length is not None and not 1 <= body.bit_length <= 32767:
        raise BadRequest("Provided object does not match schema 'Secret': bit_length must be from 1 to 32767.")
    for name in ("name", "algorithm", "mode"):
        if len(getattr(body, name) or "") > 255:
            raise BadRequest(f"Provided object does not match schema 'Secret': {name} is too long.")
    payload, content_type = None, None
    if body.payload is not None:
        data, content_type = secrets.decoded(body.payload, body.payload_content_type, body.payload_content_encoding)
        payload = ctx.parts.sealer.seal(data)
    elif body.payload_content_type is not None or body.payload_content_encoding is not None:
        raise BadRequest("Provided object does not match schema 'Secret': payload must be provided when payload_content_type is supplied.")
    ctx.take(key_secrets=1)
    id_, moment = new_id(), now()
    ctx.db.execute(
        insert(secret).values(
            id=id_, project_id=ctx.project_id, user_id=ctx.caller.user_id, name=body.name or id_, type=kind, algorithm=body.algorithm,
            bit_length=body.bit_length, mode=body.mode, content_type=content_type, payload=payload, metadata={},
            expires=secrets.expiry(body.expiration), created=moment, updated=moment,
        )
    )  # fmt: skip
    return Response({"secret_ref": ref(ctx, "secrets", id_)}, status=201, headers=[("location", ref(ctx, "secrets", id_))])


@api.get(_ALL, policy=reader("secrets:get"))
def list_secrets(ctx: Context) -> dict[str, Any]:
    """The project's secrets, a page at a time; `name`, `alg`, `mode`, `bits`, `secret_type`, `created` … choose."""
    mine = (secret.c.project_id == ctx.project_id, secrets.permitted(ctx, secret), ~secret.c.hidden)
    query = select(secret).where(*mine, secret.c.expires.is_(None) | (secret.c.expires > now()))
    for name, column in (("name", secret.c.name), ("alg", secret.c.algorithm), ("mode", secret.c.mode), ("secret_type", secret.c.type)):
        if value := ctx.query.get(name):
            query = query.where(column == value)
    bits = ctx.query.get("bits") or ""
    if bits.isdecimal() and int(bits[:6]) > 0:
        query = query.where(secret.c.bit_length == int(bits[:6]))
    for name, column in (("created", secret.c.created), ("updated", secret.c.updated), ("expiration", secret.c.expires)):
        if value := ctx.query.get(name):
            query = query.where(*_moments(column, value))
    columns = {"expiration": secret.c.expires, "secret_type": secret.c.type, "status": secret.c.id}
    order = []
    for part in filter(None, (ctx.query.get("sort") or "").split(",")):
        key, _, way = part.partition(":")
        if key not in _SORTABLE or way not in ("", "asc", "desc"):
            raise BadRequest("Provided sort is not valid.")
        column = columns[key] if key in columns else secret.c[key]
        order.append(column.desc() if way == "desc" else column.asc())
    total = ctx.db.scalar(select(func.count()).select_from(query.subquery())) or 0
    offset, limit = window(ctx)
    rows = ctx.db.execute(query.order_by(*order, secret.c.created, secret.c.id).limit(limit).offset(offset))
    return listed(ctx, "secrets", [secrets.view(ctx, row) for row in rows], total)


def _moments(column: Any, text: str) -> list[Any]:
    out = []
    for part in text.split(","):
        act, colon, rest = part.partition(":")
        if not colon or act not in ("gt", "gte", "lt", "lte"):
            act, rest = "eq", part
        try:
            moment = parse(rest)
        except ValueError as error:
            raise BadRequest("Provided date filter is not valid.") from error
        acts = {"gt": column > moment, "gte": column >= moment, "lt": column < moment, "lte": column <= moment}
        out.append(acts.get(act, column == moment))
    return out


@api.get(_ONE, policy=reader("secret:get"))
def show_secret(ctx: Context, secret_id: str) -> Any:
    """A secret's facts; its payload where another type than JSON is accepted, as older clients ask for it."""
    row = secrets.find(ctx, secret_id)
    accept = ctx.headers.get("accept", "*/*").partition(",")[0].strip().lower()
    if accept in ("application/json", "*/*", ""):
        return secrets.view(ctx, row, consumers=secrets.consumers_of(ctx, row.id))
    return _payload(ctx, row)


@api.get(_ONE + "/payload", policy=reader("secret:decrypt"))
def show_payload(ctx: Context, secret_id: str) -> Response:
    """A secret itself. Errors: 406 another type than it was kept as."""
    return _payload(ctx, secrets.find(ctx, secret_id))


def _payload(ctx: Context, row: Any) -> Response:
    if row.payload is None:
        raise missing("secret has no payload and")
    wanted = {part.partition(";")[0].strip().lower() for part in ctx.headers.get("accept", "*/*").split(",")}
    if not wanted & {"*/*", row.content_type, ""}:
        raise NotAcceptable("Wrong payload content-type")
    return Response(secrets.open_payload(ctx, row), content_type=row.content_type)


@api.put(_ONE, status=204, policy=member("secret:put"))
def put_payload(ctx: Context, secret_id: str, body: bytes) -> None:
    """The second step of two: a secret's payload, which cannot be changed afterwards. Errors: 409 it has one; 415 a type that is not kept."""
    row = secrets.find_own(ctx, secret_id)
    kind = ctx.headers.get("content-type", "").strip().lower()
    if kind not in (*secrets.TEXT, *secrets.BINARY):
        raise UnsupportedMedia("Content Type is not supported.")
    if row.payload is not None:
        raise Conflict("Secret already has data, cannot modify it.")
    data = body
    if ctx.headers.get("content-encoding", "").lower() == "base64":
        try:
            data = base64.b64decode(b"".join(body.split()), validate=True)
        except ValueError as error:
            raise BadRequest("The payload is not base64.") from error
    kept = "text/plain" if kind in secrets.TEXT else kind
    values = {"payload": ctx.parts.sealer.seal(secrets.bounded(data)), "content_type": kept, "updated": now()}
    ctx.db.execute(update(secret).where(secret.c.id == row.id).values(values))


@api.delete(_ONE, policy=member("secret:delete"))
def delete_secret(ctx: Context, secret_id: str) -> None:
    """Destroy a secret; 409 while it is used."""
    row = secrets.find_own(ctx, secret_id)
    if row.hidden:
        raise Conflict("The secret is the key of an encrypted volume, and goes with that.")
    secrets.forget(ctx, row.id)


# metadata of users


class Metadata(Body):
    """`{"metadata": …}`."""

    metadata: dict[str, str]


class Item(Body):
    """One item."""

    key: str
    value: str


def _keys(values: dict[str, str]) -> dict[str, str]:
    return {key.lower(): value for key, value in values.items()}


@api.get(_ONE + "/metadata", policy=reader("secret_meta:get"))
def list_metadata(ctx: Context, secret_id: str) -> dict[str, Any]:
    """What users keep with a secret."""
    return {"metadata": secrets.find(ctx, secret_id).metadata}


def _set(ctx: Context, row: Any, values: dict[str, str]) -> None:
    ctx.db.execute(update(secret).where(secret.c.id == row.id).values(metadata=values, updated=now()))


@api.put(_ONE + "/metadata", status=201, policy=member("secret_meta:put"))
def replace_metadata(ctx: Context, secret_id: str, body: Metadata) -> dict[str, Any]:
    """Replace all of it."""
    _set(ctx, secrets.find_own(ctx, secret_id), _keys(body.metadata))
    return {"metadata_ref": ref(ctx, "secrets", secret_id) + "/metadata"}


@api.post(_ONE + "/metadata", status=201, policy=member("secret_meta:post"))
def add_metadata(ctx: Context, secret_id: str, body: Item) -> Response:
    """Add one item. Errors: 409 one that is there."""
    row = secrets.find_own(ctx, secret_id)
    if body.key.lower() in row.metadata:
        raise Conflict("Key already in use.")
    _set(ctx, row, row.metadata | {body.key.lower(): body.value})
    where = f"{ref(ctx, 'secrets', secret_id)}/metadata/{body.key.lower()}"
    return Response({"key": body.key.lower(), "value": body.value}, status=201, headers=[("location", where)])


def _item(row: Any, key: str) -> str:
    if key not in row.metadata:
        raise NotFound("Secret metadata not found.")
    return str(row.metadata[key])


@api.get(_ONE + "/metadata/{key}", policy=reader("secret_meta:get_item"))
def show_metadata(ctx: Context, secret_id: str, key: str) -> dict[str, Any]:
    """One item."""
    return {"key": key, "value": _item(secrets.find(ctx, secret_id), key)}


@api.put(_ONE + "/metadata/{key}", policy=member("secret_meta:put_item"))
def set_metadata(ctx: Context, secret_id: str, key: str, body: Item) -> dict[str, Any]:
    """Change one item that is there."""
    row = secrets.find_own(ctx, secret_id)
    if body.key.lower() != key:
        raise Conflict("Key in the path and in the body differ.")
    _item(row, key)
    _set(ctx, row, row.metadata | {key: body.value})
    return {"key": key, "value": body.value}


@api.delete(_ONE + "/metadata/{key}", policy=member("secret_meta:delete"))
def delete_metadata(ctx: Context, secret_id: str, key: str) -> None:
    """Remove one item."""
    row = secrets.find_own(ctx, secret_id)
    _item(row, key)
    _set(ctx, row, {name: value for name, value in row.metadata.items() if name != key})


# consumers


class Consumer(Body):
    """What uses a secret."""

    service: str
    resource_type: str
    resource_id: str


@api.get(_ONE + "/consumers", policy=reader("secret_consumers:get"))
def list_consumers(ctx: Context, secret_id: str) -> dict[str, Any]:
    """What uses a secret, a page at a time."""
    found = secrets.consumers_of(ctx, secrets.find(ctx, secret_id).id)
    offset, limit = window(ctx)
    return listed(ctx, "consumers", found[offset : offset + limit], len(found))


@api.post(_ONE + "/consumers", policy=member("secret_consumers:post"), quota=("key_consumers",))
def add_consumer(ctx: Context, secret_id: str, body: Consumer) -> dict[str, Any]:
    """Write down that something uses it."""
    row = secrets.find(ctx, secret_id)
    ctx.take(key_consumers=1)
    if not (body.service and body.resource_type and body.resource_id):
        raise BadRequest("Provided object does not match schema 'Secret Consumer': no text may be empty.")
    known = {"service": body.service, "resource_type": body.resource_type, "resource_id": body.resource_id}
    if known not in secrets.consumers_of(ctx, row.id):
        ctx.db.execute(insert(consumer).values(id=new_id(), target=row.id, project_id=ctx.project_id, created=now(), **known))
    return secrets.view(ctx, row, consumers=secrets.consumers_of(ctx, row.id))


@api.delete(_ONE + "/consumers", policy=member("secret_consumers:delete"), status=200)
def remove_consumer(ctx: Context, secret_id: str, body: Consumer) -> dict[str, Any]:
    """Write down that it uses it no more."""
    row = secrets.find(ctx, secret_id)
    match = (
        consumer.c.target == row.id, consumer.c.service == body.service, consumer.c.resource_type == body.resource_type,
        consumer.c.resource_id == body.resource_id,
    )  # fmt: skip
    if not ctx.db.execute(delete(consumer).where(*match)).rowcount:
        raise NotFound("Consumer not found.")
    return secrets.view(ctx, row, consumers=secrets.consumers_of(ctx, row.id))


# who may read


class Operation(msgspec.Struct, kw_only=True):
    """Who may read, besides or instead of the project."""

    users: list[str] | msgspec.UnsetType = msgspec.UNSET
    project_access: bool | msgspec.UnsetType = msgspec.field(name="project-access", default=msgspec.UNSET)


class Acl(Body):
    """An access list."""

    read: Operation


def _acl_view(ctx: Context, target: str) -> dict[str, Any]:
    row = ctx.db.execute(select(acl).where(acl.c.target == target)).first()
    if row is None:
        return {"read": {"project-access": True}}
    return {"read": {"users": row.users, "project-access": row.project_access, "created": when(row.created), "updated": when(row.updated)}}


def _change_acl(ctx: Context, target: str, wanted: Operation, *, whole: bool) -> None:
    before = ctx.db.execute(select(acl).where(acl.c.target == target)).first()
    keep = before is not None and not whole
    users = wanted.users if wanted.users is not msgspec.UNSET else (before.users if keep and before is not None else [])
    access = wanted.project_access if wanted.project_access is not msgspec.UNSET else (before.project_access if keep and before is not None else True)
    moment = now()
    ctx.db.execute(delete(acl).where(acl.c.target == target))
    created = before.created if before is not None else moment
    ctx.db.execute(insert(acl).values(target=target, users=list(dict.fromkeys(users)), project_access=access, created=created, updated=moment))


def _declare(kind: str, table: Any) -> None:
    """The same routes of the access lists of secrets and containers."""
    parameter = "secret_id" if kind == "secrets" else "container_id"
    path, name = f"/{kind}/{{{parameter}}}/acl", f"{kind.removesuffix('s')}_acls"

    def own(ctx: Context, ids: dict[str, str]) -> str:
        id_ = ids[parameter]
        row = ctx.db.execute(select(table).where(table.c.id == id_, secrets.permitted(ctx, table))).first()
        if row is None or (row.project_id != ctx.caller.project_id and not ctx.caller.admin):
            raise missing(kind.removesuffix("s"))
        return id_

    @api.get(path, policy=reader(f"{name}:get"))
    def show_acl(ctx: Context, **ids: str) -> dict[str, Any]:
        """Who may read it."""
        return _acl_view(ctx, own(ctx, ids))

    @api.put(path, policy=member(f"{name}:put"))
    def replace_acl(ctx: Context, body: Acl, **ids: str) -> dict[str, Any]:
        """Say who may read it."""
        id_ = own(ctx, ids)
        _change_acl(ctx, id_, body.read, whole=True)
        return {"acl_ref": ref(ctx, kind, id_) + "/acl"}

    @api.patch(path, policy=member(f"{name}:patch"))
    def change_acl(ctx: Context, body: Acl, **ids: str) -> dict[str, Any]:
        """Change some of it."""
        id_ = own(ctx, ids)
        _change_acl(ctx, id_, body.read, whole=False)
        return {"acl_ref": ref(ctx, kind, id_) + "/acl"}

    @api.delete(path, policy=member(f"{name}:delete"), status=200)
    def delete_acl(ctx: Context, **ids: str) -> Response:
        """Let its project read it, and nobody else."""
        ctx.db.execute(delete(acl).where(acl.c.target == own(ctx, ids)))
        return Response(status=200)


_declare("secrets", secret)
_declare("containers", container)
