"""Volume types: which a caller may use, and what one of them means for the data of a volume.

Extra specs that are understood: `multiattach` and `andromede:format` (`qcow2` or `raw`). Others are kept for whoever set them, except
that `capabilities:*`, `volume_backend_name` and the like must be what this cloud has.
"""

from typing import Any

import msgspec
from sqlalchemy import Connection, func, insert, or_, select

from andromede.core.clock import now
from andromede.core.context import Context
from andromede.core.errors import BadRequest, NotFound
from andromede.core.ids import is_id, new_id
from andromede.services.volume.tables import default_type, qos, type_access, volume_type

DEFAULT = "__DEFAULT__"


class Facts(msgspec.Struct, frozen=True):
    """What a type means. bits: of the key of an encrypted volume, 0 for none."""

    format: str
    multiattach: bool
    bits: int


def seed(db: Connection) -> None:
    """The type that volumes have where none is asked for."""
    if db.scalar(select(func.count()).select_from(volume_type)) == 0:
        values = {"description": "Default Volume Type", "public": True, "extra_specs": {}, "created": now()}
        db.execute(insert(volume_type).values(id=new_id(), name=DEFAULT, **values))


def facts(row: Any) -> Facts:
    """What a type says of its volumes' data."""
    specs = row.extra_specs
    several = str(specs.get("multiattach", "")).replace("<is>", "").strip().lower() == "true"
    kind = "raw" if several or specs.get("andromede:format") == "raw" else "qcow2"
    encryption = row.encryption or {}
    return Facts(kind, several, int(encryption.get("key_size") or 256) if encryption else 0)


def visible(ctx: Context) -> Any:
    """The condition on types that the caller may use."""
    if ctx.caller.admin:
        return volume_type.c.id.is_not(None)
    given = select(type_access.c.type_id).where(type_access.c.project_id == ctx.caller.project_id)
    return or_(volume_type.c.public, volume_type.c.id.in_(given))


def by_id(db: Connection, type_id: str | None) -> Any:
    """A type's row; None where it is gone."""
    return db.execute(select(volume_type).where(volume_type.c.id == type_id)).first() if type_id else None


def find(ctx: Context, type_id: str) -> Any:
    """A type that the caller may know. Raises NotFound."""
    row = ctx.db.execute(select(volume_type).where(volume_type.c.id == type_id, visible(ctx))).first()
    if row is None:
        raise NotFound(f"Volume type {type_id} could not be found.")
    return row


def default(ctx: Context) -> Any:
    """The type of the caller's volumes where none is asked for."""
    own = ctx.db.scalar(select(default_type.c.type_id).where(default_type.c.project_id == ctx.caller.project_id))
    row = by_id(ctx.db, own) or ctx.db.execute(select(volume_type).where(volume_type.c.name == DEFAULT)).first()
    if row is None:
        raise BadRequest("There is no default volume type: name a volume type.")
    return row


def wanted(ctx: Context, name: str | None) -> Any:
    """The type of that id or name, or the default. Raises NotFound, as Block Storage does."""
    if not name:
        return default(ctx)
    match = volume_type.c.id == name if is_id(name) else volume_type.c.name == name
    row = ctx.db.execute(select(volume_type).where(match, visible(ctx))).first()
    if row is None and is_id(name):
        row = ctx.db.execute(select(volume_type).where(volume_type.c.name == name, visible(ctx))).first()
    if row is None:
        raise NotFound(f"Volume type {name} could not be found.")
    return row


def names(db: Connection, ids: list[str | None]) -> dict[str, str]:
    """Names of types by id."""
    rows = db.execute(select(volume_type.c.id, volume_type.c.name).where(volume_type.c.id.in_([id_ for id_ in ids if id_])))
    return {row.id: row.name for row in rows}


def limits(db: Connection, type_id: str | None, size: int) -> dict[str, int]:
    """The limits on requests and bytes a second that a guest has on a volume of a type. size: of the volume, in GiB."""
    row = by_id(db, type_id)
    found = db.execute(select(qos).where(qos.c.id == row.qos_id)).first() if row is not None and row.qos_id else None
    if found is None or found.consumer == "back-end":
        return {}
    out: dict[str, int] = {}
    for key, value in found.specs.items():
        plain = key.removesuffix("_per_gb")
        if plain.endswith(("_iops_sec", "_bytes_sec", "_iops_sec_max", "_bytes_sec_max")) and str(value).isdecimal():
            out[plain] = int(value) * (size if plain != key else 1)
    for kind in ("total_iops_sec", "read_iops_sec", "write_iops_sec", "total_bytes_sec", "read_bytes_sec", "write_bytes_sec"):
        least = found.specs.get(f"{kind}_per_gb_min")
        if least and str(least).isdecimal() and kind in out:
            out[kind] = max(out[kind], int(least))
    return out
