"""Routes of what belongs to volume types: encryption, QoS specs, and the default types of projects. Source: Block Storage API v3."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import delete, func, insert, select, update

from andromede.core.clock import now
from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, NotFound
from andromede.core.ids import new_id
from andromede.http import paging
from andromede.http.wire import Body
from andromede.services.identity import service as identity
from andromede.services.volume import types
from andromede.services.volume.api import MOST, admin, api, links, when
from andromede.services.volume.tables import default_type, qos, volume, volume_type

_ENCRYPTION = "/types/{type_id}/encryption"
_PROVIDERS = ("luks", "LuksEncryptor", "nova.volume.encryptors.luks.LuksEncryptor")
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class EncryptionFields(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How volumes of a type are encrypted: by QEMU, as LUKS, with a key of 256 or 512 bits."""

    provider: str | None | UnsetType = UNSET
    control_location: str | None | UnsetType = UNSET
    cipher: str | None | UnsetType = UNSET
    key_size: int | str | None | UnsetType = UNSET
    encryption_id: str | None | UnsetType = UNSET


class Encryption(Body):
    """`{"encryption": …}`."""

    encryption: EncryptionFields


def _checked(values: dict[str, Any]) -> dict[str, Any]:
    """Raise BadRequest for what this cloud cannot do, so that nobody believes in an encryption that is not there."""
    if values.get("provider") not in _PROVIDERS:
        raise BadRequest(f"Invalid input for field/attribute provider. Value: {values.get('provider')}. It must be luks.")
    if values.get("control_location") not in ("front-end", None):
        raise BadRequest("Invalid input for field/attribute control_location. Volumes are encrypted by their server's host: front-end.")
    if values.get("cipher") not in (None, "", "aes-xts-plain64"):
        raise BadRequest("Invalid input for field/attribute cipher. It must be aes-xts-plain64.")
    if values.get("key_size") not in (None, 256, 512):
        raise BadRequest("Invalid input for field/attribute key_size. It must be 256 or 512.")
    return values


def _given(fields: EncryptionFields) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name in ("provider", "control_location", "cipher", "key_size"):
        value = getattr(fields, name)
        if value is not UNSET:
            out[name] = int(value) if name == "key_size" and str(value).isdecimal() and len(str(value)) < 6 else value
    return out


@api.get(_ENCRYPTION, policy=admin("type_encryption:show"))
def show_encryption(ctx: Context, type_id: str) -> dict[str, Any]:
    """How volumes of a type are encrypted; nothing where they are not."""
    kept = types.find(ctx, type_id).encryption
    if not kept:
        return {}
    return {"volume_type_id": type_id, "updated_at": None, "deleted_at": None, "deleted": False, **kept}


@api.get(_ENCRYPTION + "/{encryption_id}", policy=admin("type_encryption:show_item"))
def show_encryption_item(ctx: Context, type_id: str, encryption_id: str) -> dict[str, Any]:
    """One item of it, by its name (the path's last part is the id for those who change it)."""
    kept = types.find(ctx, type_id).encryption or {}
    if encryption_id not in kept:
        raise NotFound(f"Volume type encryption for type {type_id} does not exist.")
    return {encryption_id: kept[encryption_id]}


def _unused(ctx: Context, type_id: str) -> None:
    if ctx.db.scalar(select(func.count()).where(volume.c.type_id == type_id)):
        raise BadRequest("Cannot create, change or delete the encryption of a volume type that is in use.")


@api.post(_ENCRYPTION, policy=admin("type_encryption:create"))
def create_encryption(ctx: Context, type_id: str, body: Encryption) -> dict[str, Any]:
    """Have new volumes of a type encrypted. Errors: 400 a way that is not known, or a type in use."""
    row = types.find(ctx, type_id)
    if row.encryption:
        raise BadRequest(f"Volume type encryption for type {type_id} already exists.")
    _unused(ctx, row.id)
    if body.encryption.control_location is UNSET:
        raise BadRequest("Invalid input for field/attribute encryption. 'control_location' is a required property")
    blank = {"cipher": None, "key_size": None}
    kept = blank | _checked(_given(body.encryption)) | {"encryption_id": new_id()}
    whole = kept | {"created_at": when(now())}
    ctx.db.execute(update(volume_type).where(volume_type.c.id == row.id).values(encryption=whole, updated=now()))
    return {"encryption": {"volume_type_id": row.id, **kept}}


def _mine(ctx: Context, type_id: str, encryption_id: str) -> Any:
    row = types.find(ctx, type_id)
    if not row.encryption or row.encryption["encryption_id"] != encryption_id:
        raise NotFound(f"Volume type encryption for type {type_id} does not exist.")
    return row


@api.put(_ENCRYPTION + "/{encryption_id}", policy=admin("type_encryption:update"))
def update_encryption(ctx: Context, type_id: str, encryption_id: str, body: Encryption) -> dict[str, Any]:
    """Change it, while no volume has the type."""
    row = _mine(ctx, type_id, encryption_id)
    _unused(ctx, row.id)
    given = _given(body.encryption)
    after = row.encryption | given
    _checked(after)
    ctx.db.execute(update(volume_type).where(volume_type.c.id == row.id).values(encryption=after, updated=now()))
    return {"encryption": given}


@api.delete(_ENCRYPTION + "/{encryption_id}", policy=admin("type_encryption:delete"), status=202)
def delete_encryption(ctx: Context, type_id: str, encryption_id: str) -> None:
    """Have new volumes of a type not encrypted, while no volume has it."""
    row = _mine(ctx, type_id, encryption_id)
    _unused(ctx, row.id)
    ctx.db.execute(update(volume_type).where(volume_type.c.id == row.id).values(encryption=None, updated=now()))


# default types of projects


class DefaultType(Body):
    """`{"default_type": {"volume_type": …}}`."""

    default_type: dict[str, str]


def _default(row: Any) -> dict[str, Any]:
    return {"project_id": row.project_id, "volume_type_id": row.type_id}


@api.get("/default-types", policy=admin("default_type:list"), versions=("3.62", "3.70"))
def list_defaults(ctx: Context) -> dict[str, Any]:
    """The projects that have a default type of their own."""
    return {"default_types": [_default(row) for row in ctx.db.execute(select(default_type).order_by(default_type.c.project_id))]}


@api.get("/default-types/{project_id}", policy=admin("default_type:show"), versions=("3.62", "3.70"))
def show_default_of(ctx: Context, project_id: str) -> dict[str, Any]:
    """The default type of one."""
    row = ctx.db.execute(select(default_type).where(default_type.c.project_id == project_id)).first()
    if row is None:
        raise NotFound(f"Default type for project {project_id} not found.")
    return {"default_type": _default(row)}


@api.put("/default-types/{project_id}", policy=admin("default_type:set"), versions=("3.62", "3.70"))
def set_default(ctx: Context, project_id: str, body: DefaultType) -> dict[str, Any]:
    """Give a project a default type."""
    if list(body.default_type) != ["volume_type"]:
        raise BadRequest("Invalid input for field/attribute default_type. 'volume_type' is a required property")
    if not identity.project_exists(ctx.db, project_id):
        raise BadRequest(f"Project id {project_id} not found.")
    row = types.wanted(ctx, body.default_type["volume_type"])
    ctx.db.execute(delete(default_type).where(default_type.c.project_id == project_id))
    ctx.db.execute(insert(default_type).values(project_id=project_id, type_id=row.id))
    return {"default_type": {"project_id": project_id, "volume_type_id": row.id}}


@api.delete("/default-types/{project_id}", policy=admin("default_type:unset"), versions=("3.62", "3.70"))
def unset_default(ctx: Context, project_id: str) -> None:
    """Let the cloud's default hold for it again."""
    ctx.db.execute(delete(default_type).where(default_type.c.project_id == project_id))


# QoS specs


_QOS, _SPECS = "/qos-specs", "/qos-specs/{specs_id}"
CONSUMERS = ("front-end", "back-end", "both")


class QosBody(Body):
    """`{"qos_specs": …}`."""

    qos_specs: Annotated[dict[str, str | int | bool | None], msgspec.Meta(min_length=1)]


def _view(ctx: Context, row: Any) -> dict[str, Any]:
    return {
        "qos_specs": {"id": row.id, "name": row.name, "consumer": row.consumer, "specs": row.specs}, "links": links(ctx, "qos-specs", row.id),
    }  # fmt: skip


def _find(ctx: Context, specs_id: str) -> Any:
    row = ctx.db.execute(select(qos).where(qos.c.id == specs_id)).first()
    if row is None:
        raise NotFound(f"No such QoS spec {specs_id}.")
    return row


def _texts(values: dict[str, Any]) -> dict[str, str]:
    out = {}
    for key, value in values.items():
        if not 1 <= len(key) <= 255 or not 1 <= len(str(value)) <= 255:
            raise BadRequest(f"Invalid input for field/attribute {key[:40]}. Keys and values have 1 to 255 characters.")
        if key.endswith(("_sec", "_sec_max", "_per_gb", "_per_gb_min")) and not str(value).isdecimal():
            raise BadRequest(f"Invalid input for field/attribute {key}. Value: {value}. It must be a whole number.")
        out[key] = str(value)
    return out


@api.get(_QOS, policy=admin("qos_specs:list"))
def list_qos(ctx: Context) -> dict[str, Any]:
    """All QoS specs."""
    found = paging.page(ctx.db, select(qos), qos, keys=[(qos.c.created, True)], limit=paging.limit_of(ctx, most=MOST), marker=ctx.query.get("marker"))
    return {"qos_specs": [{name: row[name] for name in ("id", "name", "consumer", "specs")} for row in found.rows]}


@api.post(_QOS, policy=admin("qos_specs:create"))
def create_qos(ctx: Context, body: QosBody) -> dict[str, Any]:
    """New specs: `name`, `consumer` (back-end unless said otherwise), and any others. Errors: 409 a name that is taken."""
    values = dict(body.qos_specs)
    name, consumer = str(values.pop("name", "") or "").strip(), values.pop("consumer", "back-end")
    if not 1 <= len(name) <= 255:
        raise BadRequest("Invalid input for field/attribute name. It has 1 to 255 characters.")
    if consumer not in CONSUMERS:
        raise BadRequest(f"Invalid input for field/attribute consumer. Valid consumer of QoS specs are: {', '.join(CONSUMERS)}.")
    if ctx.db.execute(select(qos.c.id).where(qos.c.name == name)).first() is not None:
        raise Conflict(f"QoS Specs {name} already exists.")
    id_ = new_id()
    ctx.db.execute(insert(qos).values(id=id_, name=name, consumer=consumer, specs=_texts(values), created=now()))
    return _view(ctx, _find(ctx, id_))


@api.get(_SPECS, policy=admin("qos_specs:show"))
def show_qos(ctx: Context, specs_id: str) -> dict[str, Any]:
    """One of them."""
    return _view(ctx, _find(ctx, specs_id))


def _users(ctx: Context, specs_id: str) -> list[Any]:
    return list(ctx.db.execute(select(volume_type).where(volume_type.c.qos_id == specs_id).order_by(volume_type.c.name)))


def _tell(ctx: Context, specs_id: str) -> None:
    """Every host with volumes of these types enforces other limits now."""
    ids = [row.id for row in _users(ctx, specs_id)]
    names = ctx.db.scalars(select(volume.c.host).where(volume.c.type_id.in_(ids), volume.c.host.is_not(None)).distinct())
    ctx.parts.carriers.changed(ctx.db, ctx.parts.operations, *names)


@api.put(_SPECS, policy=admin("qos_specs:update"))
def update_qos(ctx: Context, specs_id: str, body: QosBody) -> dict[str, Any]:
    """Add to them, or change some; guests are limited anew at once."""
    row, values = _find(ctx, specs_id), dict(body.qos_specs)
    consumer = values.pop("consumer", row.consumer)
    if consumer not in CONSUMERS:
        raise BadRequest(f"Invalid input for field/attribute consumer. Valid consumer of QoS specs are: {', '.join(CONSUMERS)}.")
    ctx.db.execute(update(qos).where(qos.c.id == row.id).values(specs=row.specs | _texts(values), consumer=consumer))
    _tell(ctx, row.id)
    return {"qos_specs": body.qos_specs}


class Keys(Body):
    """`{"keys": […]}`."""

    keys: list[str]


@api.put(_SPECS + "/delete_keys", policy=admin("qos_specs:delete_keys"), status=202)
def delete_qos_keys(ctx: Context, specs_id: str, body: Keys) -> None:
    """Remove some of them."""
    row = _find(ctx, specs_id)
    for key in body.keys:
        if key not in row.specs:
            raise BadRequest(f"QoS spec {specs_id} has no spec with key {key}.")
    ctx.db.execute(update(qos).where(qos.c.id == row.id).values(specs={key: value for key, value in row.specs.items() if key not in body.keys}))
    _tell(ctx, row.id)


@api.delete(_SPECS, policy=admin("qos_specs:delete"), status=202)
def delete_qos(ctx: Context, specs_id: str) -> None:
    """Delete specs; those that types have only with `force`."""
    row = _find(ctx, specs_id)
    if _users(ctx, row.id) and (ctx.query.get("force") or "").lower() not in ("true", "1"):
        raise BadRequest(f"QoS Specs {specs_id} is still associated with entities.")
    _tell(ctx, row.id)
    ctx.db.execute(update(volume_type).where(volume_type.c.qos_id == row.id).values(qos_id=None))
    ctx.db.execute(delete(qos).where(qos.c.id == row.id))


@api.get(_SPECS + "/associations", policy=admin("qos_specs:associations"))
def list_associations(ctx: Context, specs_id: str) -> dict[str, Any]:
    """The types that have them."""
    rows = _users(ctx, _find(ctx, specs_id).id)
    return {"qos_associations": [{"association_type": "volume_type", "name": row.name, "id": row.id} for row in rows]}


def _type(ctx: Context) -> Any:
    id_ = ctx.query.get("vol_type_id")
    if not id_:
        raise BadRequest("Volume Type id must not be None.")
    return types.find(ctx, id_)


@api.get(_SPECS + "/associate", policy=admin("qos_specs:associate"), tx="none", status=202)
def associate(ctx: Context, specs_id: str) -> None:
    """Give a type (`vol_type_id`) these specs. A GET that changes something, as the API has it."""
    _link(ctx, specs_id, on=True)


@api.get(_SPECS + "/disassociate", policy=admin("qos_specs:disassociate"), tx="none", status=202)
def disassociate(ctx: Context, specs_id: str) -> None:
    """Take them from a type."""
    _link(ctx, specs_id, on=False)


@api.get(_SPECS + "/disassociate_all", policy=admin("qos_specs:disassociate_all"), tx="none", status=202)
def disassociate_all(ctx: Context, specs_id: str) -> None:
    """Take them from every type."""

    def work(db: Any) -> None:
        ctx.bind(db)
        row = _find(ctx, specs_id)
        _tell(ctx, row.id)
        db.execute(update(volume_type).where(volume_type.c.qos_id == row.id).values(qos_id=None))

    _write(ctx, work)


def _link(ctx: Context, specs_id: str, *, on: bool) -> None:
    def work(db: Any) -> None:
        ctx.bind(db)
        row, kind = _find(ctx, specs_id), _type(ctx)
        if on and kind.qos_id not in (None, row.id):
            raise BadRequest(f"Invalid volume type: Type {kind.id} is already associated with another qos specs: {kind.qos_id}")
        if not on:
            _tell(ctx, row.id)
        db.execute(update(volume_type).where(volume_type.c.id == kind.id).values(qos_id=row.id if on else None))
        if on:
            _tell(ctx, row.id)

    _write(ctx, work)


def _write(ctx: Context, work: Any) -> None:
    try:
        ctx.parts.database.run(work)
    finally:
        ctx.bind(None)
