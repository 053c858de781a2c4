"""Routes of containers, orders and quotas. Source: Key Manager API v1."""

import secrets as chance
from typing import Any

import msgspec
from sqlalchemy import delete, func, insert, select

from andromede.core.clock import now
from andromede.core.context import Context
from andromede.core.errors import BadRequest, Forbidden, NotFound
from andromede.core.ids import new_id
from andromede.http.response import Response
from andromede.http.wire import Body
from andromede.services.key_manager import secrets
from andromede.services.key_manager.api import admin, api, id_of, listed, member, missing, reader, ref, when, window
from andromede.services.key_manager.tables import acl, consumer, container, container_secret, order, secret
from andromede.services.quota import service as quota

_CONTAINERS, _CONTAINER = "/containers", "/containers/{container_id}"
_NEEDED = {
    "rsa": ({"public_key", "private_key"}, {"private_key_passphrase"}),
    "certificate": ({"certificate"}, {"private_key", "private_key_passphrase", "intermediates"}),
}
"""Names of secrets that a container must and may have, by its type."""


class SecretRef(msgspec.Struct, kw_only=True):
    """A secret in a container."""

    secret_ref: str
    name: str | None = None


class NewContainer(msgspec.Struct, kw_only=True):
    """What is asked for."""

    type: str
    name: str | None = None
    secret_refs: list[SecretRef] = []


def _find(ctx: Context, container_id: str, *, own: bool = False) -> Any:
    row = ctx.db.execute(select(container).where(container.c.id == container_id, secrets.permitted(ctx, container))).first()
    if row is None:
        raise missing("container")
    if own and row.project_id != ctx.caller.project_id and not ctx.caller.admin:
        raise Forbidden("Container modification attempt not allowed - please review your user/project privileges")
    return row


def _view(ctx: Context, row: Any) -> dict[str, Any]:
    rows = ctx.db.execute(select(container_secret).where(container_secret.c.container_id == row.id).order_by(container_secret.c.name))
    kept = [{"name": one.name, "secret_ref": ref(ctx, "secrets", one.secret_id)} for one in rows]
    users = ctx.db.execute(select(consumer).where(consumer.c.target == row.id).order_by(consumer.c.created))
    return {
        "container_ref": ref(ctx, "containers", row.id), "name": row.name, "type": row.type, "status": "ACTIVE", "creator_id": row.user_id,
        "created": when(row.created), "updated": when(row.updated), "secret_refs": kept,
        "consumers": [{"name": one.service, "URL": one.resource_id} for one in users],
    }  # fmt: skip


@api.post(_CONTAINERS, status=201, policy=member("containers:post"), quota=("key_containers",))
def create_container(ctx: Context, body: NewContainer) -> Response:
    """Put secrets together: `generic`, an `rsa` pair, a `certificate`. Errors: 400 names that do not go with the type; 404 a secret."""
    if body.type not in ("generic", *_NEEDED):
        raise BadRequest(f"Provided object does not match schema 'Container': {body.type!r} is not one of ['generic', 'rsa', 'certificate'].")
    named = [(one.name or "", id_of(one.secret_ref, "secrets")) for one in body.secret_refs]
    if len(set(named)) != len(named) or len({name for name, _ in named if name}) != len([name for name, _ in named if name]):
        raise BadRequest("Provided object does not match schema 'Container': Duplicate reference names or ids.")
    if body.type in _NEEDED:
        must, may = _NEEDED[body.type]
        names = {name for name, _ in named}
        if not must <= names <= must | may:
            raise BadRequest(f"Provided object does not match schema 'Container': only {sorted(must | may)} are allowed, {sorted(must)} needed.")
    for _name, id_ in named:
        secrets.find(ctx, id_)
    ctx.take(key_containers=1)
    return _made(ctx, keep(ctx, body.type, body.name, dict(named)))


def keep(ctx: Context, kind: str, name: str | None, refs: dict[str, str]) -> str:
    """A new container of these secrets, by name; answers its id."""
    id_, moment = new_id(), now()
    values = {"project_id": ctx.project_id, "user_id": ctx.caller.user_id, "created": moment, "updated": moment}
    ctx.db.execute(insert(container).values(id=id_, name=name or id_, type=kind, **values))
    for one, secret_id in refs.items():
        ctx.db.execute(insert(container_secret).values(container_id=id_, secret_id=secret_id, name=one))
    return id_


def _made(ctx: Context, id_: str) -> Response:
    return Response({"container_ref": ref(ctx, "containers", id_)}, status=201, headers=[("location", ref(ctx, "containers", id_))])


@api.get(_CONTAINERS, policy=reader("containers:get"))
def list_containers(ctx: Context) -> dict[str, Any]:
    """The project's containers, a page at a time."""
    query = select(container).where(container.c.project_id == ctx.project_id, secrets.permitted(ctx, container))
    for name, column in (("name", container.c.name), ("type", container.c.type)):
        if value := ctx.query.get(name):
            query = query.where(column == value)
    total = ctx.db.scalar(select(func.count()).select_from(query.subquery())) or 0
    offset, limit = window(ctx)
    rows = ctx.db.execute(query.order_by(container.c.created, container.c.id).limit(limit).offset(offset)).all()
    return listed(ctx, "containers", [_view(ctx, row) for row in rows], total)


@api.get(_CONTAINER, policy=reader("container:get"))
def show_container(ctx: Context, container_id: str) -> dict[str, Any]:
    """One container."""
    return _view(ctx, _find(ctx, container_id))


@api.delete(_CONTAINER, policy=member("container:delete"))
def delete_container(ctx: Context, container_id: str) -> None:
    """Take it apart; its secrets stay."""
    row = _find(ctx, container_id, own=True)
    for table in (consumer, acl):
        ctx.db.execute(delete(table).where(table.c.target == row.id))
    ctx.db.execute(delete(container).where(container.c.id == row.id))


class SecretInContainer(Body):
    """A secret to add or to take out."""

    secret_ref: str
    name: str | None = None


@api.post(_CONTAINER + "/secrets", status=201, policy=member("container_secret:post"))
def add_secret(ctx: Context, container_id: str, body: SecretInContainer) -> Response:
    """Add a secret to a generic container. Errors: 409 one that is there by that name."""
    row, secret_id = _find(ctx, container_id, own=True), id_of(body.secret_ref, "secrets")
    if row.type != "generic":
        raise BadRequest("Only 'generic' containers can be modified.")
    secrets.find(ctx, secret_id)
    ctx.db.execute(insert(container_secret).values(container_id=row.id, secret_id=secret_id, name=body.name or ""))
    return _made(ctx, row.id)


@api.delete(_CONTAINER + "/secrets", policy=member("container_secret:delete"))
def remove_secret(ctx: Context, container_id: str, body: SecretInContainer) -> None:
    """Take one out."""
    row, secret_id = _find(ctx, container_id, own=True), id_of(body.secret_ref, "secrets")
    if row.type != "generic":
        raise BadRequest("Only 'generic' containers can be modified.")
    named = container_secret.c.name == (body.name or "")
    match = (container_secret.c.container_id == row.id, container_secret.c.secret_id == secret_id, named)
    if not ctx.db.execute(delete(container_secret).where(*match)).rowcount:
        raise NotFound("Secret provided is not in the container.")


class ContainerConsumer(Body):
    """What uses a container."""

    name: str
    url: str = msgspec.field(name="URL")


@api.get(_CONTAINER + "/consumers", policy=reader("container_consumers:get"))
def list_consumers(ctx: Context, container_id: str) -> dict[str, Any]:
    """What uses a container."""
    found = _view(ctx, _find(ctx, container_id))["consumers"]
    offset, limit = window(ctx)
    return listed(ctx, "consumers", found[offset : offset + limit], len(found))


@api.post(_CONTAINER + "/consumers", policy=member("container_consumers:post"), quota=("key_consumers",))
def add_consumer(ctx: Context, container_id: str, body: ContainerConsumer) -> dict[str, Any]:
    """Write down that something uses it."""
    row = _find(ctx, container_id)
    ctx.take(key_consumers=1)
    match = (consumer.c.target == row.id, consumer.c.service == body.name, consumer.c.resource_id == body.url)
    if ctx.db.execute(select(consumer.c.id).where(*match)).first() is None:
        values = {"target": row.id, "project_id": ctx.project_id, "service": body.name[:255], "resource_id": body.url[:500], "created": now()}
        ctx.db.execute(insert(consumer).values(id=new_id(), resource_type="", **values))
    return _view(ctx, row)


@api.delete(_CONTAINER + "/consumers", policy=member("container_consumers:delete"), status=200)
def remove_consumer(ctx: Context, container_id: str, body: ContainerConsumer) -> dict[str, Any]:
    """Write down that it uses it no more."""
    row = _find(ctx, container_id)
    match = (consumer.c.target == row.id, consumer.c.service == body.name, consumer.c.resource_id == body.url)
    if not ctx.db.execute(delete(consumer).where(*match)).rowcount:
        raise NotFound("Consumer not found.")
    return _view(ctx, row)


# orders


class OrderMeta(msgspec.Struct, kw_only=True):
    """What is to be made."""

    name: str | None = None
    algorithm: str | None = None
    bit_length: int | None = None
    mode: str | None = None
    expiration: str | None = None
    payload_content_type: str | None = None
    passphrase: str | None = None


class NewOrder(msgspec.Struct, kw_only=True):
    """What is asked for."""

    type: str
    meta: OrderMeta


_BITS = {"aes": (128, 192, 256), "des": (56,), "desede": (64, 128, 192), "3des": (64, 128, 192), "hmacsha1": None, "hmacsha256": None,
         "hmacsha384": None, "hmacsha512": None}  # fmt: skip


@api.post("/orders", status=202, policy=member("orders:post"), quota=("key_orders", "key_secrets"))
def create_order(ctx: Context, body: NewOrder) -> Response:
    """Have a `key` or an `asymmetric` pair made here; it is there when this answers. Errors: 400 what cannot be made."""
    meta, id_, moment = body.meta, new_id(), now()
    if body.type not in ("key", "asymmetric"):
        raise BadRequest(f"Provided object does not match schema 'Order': orders of type {body.type!r} are not served; key and asymmetric are.")
    algorithm, bits = (meta.algorithm or "").lower(), meta.bit_length or 0
    ctx.take(key_orders=1, key_secrets=1 if body.type == "key" else 2)
    made: dict[str, Any] = {"secret_id": None, "container_id": None}
    if body.type == "key":
        allowed = _BITS.get(algorithm, ())
        if algorithm not in _BITS or bits < 8 or bits % 8 or bits > 4096 or (allowed is not None and bits not in allowed):
            raise BadRequest("Provided object does not match schema 'Order': this algorithm and bit_length cannot be made.")
        kind = meta.payload_content_type or "application/octet-stream"
        if kind != "application/octet-stream":
            raise BadRequest("Provided object does not match schema 'Order': payload_content_type must be application/octet-stream.")
        made["secret_id"] = _store(ctx, meta, "symmetric", chance.token_bytes(bits // 8), "application/octet-stream", meta.name)
    else:
        if algorithm != "rsa" or bits not in (2048, 3072, 4096):
            raise BadRequest("Provided object does not match schema 'Order': RSA of 2048, 3072 or 4096 bits can be made.")
        made["container_id"] = _pair(ctx, meta, bits)
    shown = {name: value for name, value in msgspec.to_builtins(meta).items() if value is not None and name != "passphrase"}
    values = {"project_id": ctx.project_id, "user_id": ctx.caller.user_id, "type": body.type, "meta": shown, "status": "ACTIVE"}
    ctx.db.execute(insert(order).values(id=id_, created=moment, updated=moment, **values, **made))
    return Response({"order_ref": ref(ctx, "orders", id_)}, status=202, headers=[("location", ref(ctx, "orders", id_))])


def _store(ctx: Context, meta: OrderMeta, kind: str, data: bytes, content_type: str, name: str | None) -> str:
    id_, moment = new_id(), now()
    ctx.db.execute(
        insert(secret).values(
            id=id_, project_id=ctx.project_id, user_id=ctx.caller.user_id, name=name or id_, type=kind, algorithm=meta.algorithm,
            bit_length=meta.bit_length, mode=meta.mode, content_type=content_type, payload=ctx.parts.sealer.seal(data), metadata={},
            expires=secrets.expiry(meta.expiration), created=moment, updated=moment,
        )
    )  # fmt: skip
    return id_


def _pair(ctx: Context, meta: OrderMeta, bits: int) -> str:
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    lock = form.BestAvailableEncryption(meta.passphrase.encode()) if meta.passphrase else form.NoEncryption()
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, lock)
    public = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    refs = {
        "private_key": _store(ctx, meta, "private", private, "application/octet-stream", meta.name),
        "public_key": _store(ctx, meta, "public", public, "application/octet-stream", meta.name),
    }
    if meta.passphrase:
        refs["private_key_passphrase"] = _store(ctx, meta, "passphrase", meta.passphrase.encode(), "text/plain", meta.name)
    return keep(ctx, "rsa", meta.name, refs)


def _order(ctx: Context, row: Any) -> dict[str, Any]:
    out = {
        "order_ref": ref(ctx, "orders", row.id), "type": row.type, "meta": row.meta, "status": row.status, "creator_id": row.user_id,
        "created": when(row.created), "updated": when(row.updated), "sub_status": "Unknown", "sub_status_message": "Unknown",
    }  # fmt: skip
    if row.secret_id is not None:
        out["secret_ref"] = ref(ctx, "secrets", row.secret_id)
    if row.container_id is not None:
        out["container_ref"] = ref(ctx, "containers", row.container_id)
    return out


@api.get("/orders", policy=reader("orders:get"))
def list_orders(ctx: Context) -> dict[str, Any]:
    """The project's orders, a page at a time."""
    query = select(order).where(order.c.project_id == ctx.project_id)
    total = ctx.db.scalar(select(func.count()).select_from(query.subquery())) or 0
    offset, limit = window(ctx)
    rows = ctx.db.execute(query.order_by(order.c.created, order.c.id).limit(limit).offset(offset))
    return listed(ctx, "orders", [_order(ctx, row) for row in rows], total)


def _find_order(ctx: Context, order_id: str) -> Any:
    row = ctx.db.execute(select(order).where(order.c.id == order_id)).first()
    if row is None or (row.project_id != ctx.caller.project_id and not ctx.caller.admin):
        raise missing("order")
    return row


@api.get("/orders/{order_id}", policy=reader("order:get"))
def show_order(ctx: Context, order_id: str) -> dict[str, Any]:
    """One order."""
    return _order(ctx, _find_order(ctx, order_id))


@api.delete("/orders/{order_id}", policy=member("order:delete"))
def delete_order(ctx: Context, order_id: str) -> None:
    """Forget an order; what was made stays."""
    ctx.db.execute(delete(order).where(order.c.id == _find_order(ctx, order_id).id))


# quotas


_QUOTAS = ("secrets", "orders", "containers", "consumers", "cas")


def _limits(ctx: Context, project_id: str) -> dict[str, int]:
    held = quota.limits(ctx.db, project_id, "key-manager")
    return {name: held.get(f"key_{name}", 0 if name == "cas" else quota.UNLIMITED) for name in _QUOTAS}


@api.get("/quotas", policy=reader("quotas:get"))
def show_quotas(ctx: Context) -> dict[str, Any]:
    """The limits of the caller's project; -1 is none."""
    return {"quotas": _limits(ctx, ctx.project_id)}


class ProjectQuotas(Body):
    """`{"project_quotas": …}`."""

    project_quotas: dict[str, int]


@api.get("/project-quotas", policy=admin("project_quotas:list"))
def list_project_quotas(ctx: Context) -> dict[str, Any]:
    """The projects that have limits of their own."""
    owners = quota.owners(ctx.db, "key-manager")
    rows = [{"project_id": owner, "project_quotas": _limits(ctx, owner)} for owner in owners]
    return {"project_quotas": rows, "total": len(rows)}


@api.get("/project-quotas/{project_id}", policy=admin("project_quotas:get"))
def show_project_quotas(ctx: Context, project_id: str) -> dict[str, Any]:
    """The limits of one. 404 where it has none of its own."""
    if project_id not in quota.owners(ctx.db, "key-manager"):
        raise missing("project quota")
    return {"project_quotas": _limits(ctx, project_id)}


@api.put("/project-quotas/{project_id}", status=204, policy=admin("project_quotas:put"))
def set_project_quotas(ctx: Context, project_id: str, body: ProjectQuotas) -> None:
    """Set them."""
    for name, value in body.project_quotas.items():
        if name not in _QUOTAS or not -1 <= value <= 2**31 - 1:
            raise BadRequest(f"Provided object does not match schema 'Project Quotas': {name}.")
    quota.change(ctx.db, project_id, {f"key_{name}": value for name, value in body.project_quotas.items() if name != "cas"})


@api.delete("/project-quotas/{project_id}", policy=admin("project_quotas:delete"))
def delete_project_quotas(ctx: Context, project_id: str) -> None:
    """Let the defaults hold again."""
    if project_id not in quota.owners(ctx.db, "key-manager"):
        raise missing("project quota")
    quota.forget(ctx.db, project_id, [f"key_{name}" for name in _QUOTAS])
