"""What all that people keep here has in common: a name that is the project's once, who sees it and may change it, lists by pages.

Everybody sees their project's and what is public; only the project changes its own, and nobody what is protected, except to end that.
"""

import base64
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import UNSET
from sqlalchemy import Table, delete, insert, or_, select, update

from andromede.core.clock import now
from andromede.core.context import Context, Parts
from andromede.core.errors import Forbidden, NotFound
from andromede.core.ids import new_id
from andromede.http import paging
from andromede.services.hadoop.api import moment, project, wrong
from andromede.services.hadoop.tables import thing

MOST = 1000


def shown(ctx: Context, row: Any, **facts: Any) -> dict[str, Any]:
    """A row as it goes over HTTP, with these facts."""
    out = {"id": row["id"], "created_at": moment(row["created"]), "updated_at": moment(row["updated"])}
    out |= {"is_public": row["is_public"], "is_protected": row["is_protected"]} | project(ctx, row["project_id"])
    for name in ("name", "description"):
        if name in row:
            out[name] = row[name]
    return out | facts


def find(ctx: Context, table: Table, id_: str, **equal: Any) -> Any:
    """A row that the caller may see. Raises NotFound."""
    row = ctx.db.execute(select(table).where(table.c.id == id_, *(table.c[name] == value for name, value in equal.items()))).mappings().first()
    mine = row is not None and (ctx.caller.admin or row["project_id"] == ctx.caller.project_id or row["is_public"])
    if row is None or not mine:
        raise NotFound(f"Object '{id_}' is not found")
    return row


def own(ctx: Context, row: Any, act: str, *, changes: Mapping[str, Any] | None = None) -> Any:
    """The row, where the caller may change it. Raises Forbidden for one of another project that is public, BadRequest for a protected one.

    changes: what is to be changed; protection may always be.
    """
    if not ctx.caller.admin and row["project_id"] != ctx.caller.project_id:
        raise Forbidden(f"{act}: the object '{row['id']}' is another project's.")
    if row["is_protected"] and not (changes is not None and (changes.get("is_protected") is False or set(changes) <= {"is_public", "is_protected"})):
        raise wrong(f"{act} failed: object '{row['id']}' is marked as protected", "DELETION_FAILED" if changes is None else "UPDATE_FAILED")
    return row


def listed(ctx: Context, table: Table, key: str, view: Callable[[Any], dict[str, Any]], **equal: Any) -> dict[str, Any]:
    """A page of what the caller's project sees, filtered by any field of what is shown and sorted by `sort_by` (`-name` descends)."""
    mine = or_(table.c.project_id == ctx.project_id, table.c.is_public)
    query = select(table).where(mine, *(table.c[one] == value for one, value in equal.items()))
    rows = [view(row) for row in ctx.db.execute(query.order_by(table.c.created, table.c.id)).mappings()]
    for name, value in ctx.query.pairs:
        if name not in ("limit", "marker", "sort_by", "show_progress"):
            rows = [row for row in rows if name in row and str(row[name]).lower() == value.lower()]
    wanted = ctx.query.get("sort_by")
    if wanted:
        field = wanted.removeprefix("-")
        if rows and field not in rows[0]:
            raise wrong(f"Unknown field for sorting {field}")
        rows.sort(key=lambda row: (row[field] is not None, str(row[field])), reverse=wanted.startswith("-"))
    limit, marker = paging.limit_of(ctx, most=MOST), ctx.query.get("marker")
    at = 0
    if marker:
        at = next((number for number, row in enumerate(rows, 1) if row["id"] == marker), -1)
        if at < 0:
            raise wrong(f"marker: Object '{marker[:80]}' is not found")
    part = rows[at : at + limit]
    out: dict[str, Any] = {key: part}
    more = at + limit < len(rows)
    if more or marker:
        back = rows[at - limit - 1]["id"] if at > limit else None
        out["markers"] = {"prev": back, "next": part[-1]["id"] if more and part else None}
    return out


def free_name(ctx: Context, table: Table, name: str, *, but: str = "", **equal: Any) -> None:
    """Raise BadRequest for a name that the project has already."""
    taken = select(table.c.id).where(table.c.project_id == ctx.project_id, table.c.name == name, table.c.id != but)
    if ctx.db.execute(taken.where(*(table.c[one] == value for one, value in equal.items()))).first():
        raise wrong(f"name: an object with the name '{name}' already exists", "NAME_ALREADY_EXISTS")


def add(ctx: Context, kind: str, body: Any, name: str, facts: Mapping[str, Any], *, secret: Any = None) -> Any:
    """A new row of a kind."""
    free_name(ctx, thing, name, kind=kind)
    id_ = new_id()
    values = {
        "id": id_, "kind": kind, "project_id": ctx.project_id, "name": name, "description": body.description or None,
        "is_public": bool(body.is_public), "is_protected": bool(body.is_protected), "facts": dict(facts), "created": now(),
        "secret": seal(ctx.parts, secret) if secret else None,
    }  # fmt: skip
    ctx.db.execute(insert(thing).values(values))
    return find(ctx, thing, id_)


def alter(ctx: Context, row: Any, body: Any, *, name: str | None = None, facts: Mapping[str, Any] | None = None, secret: Any = UNSET) -> Any:
    """The row after a change: what a body says of the common fields, and other facts."""
    values: dict[str, Any] = {"updated": now()}
    if name is not None and name != row["name"]:
        free_name(ctx, thing, name, but=row["id"], kind=row["kind"])
        values["name"] = name
    values |= common(body)
    if facts is not None:
        values["facts"] = dict(facts)
    if secret is not UNSET:
        values["secret"] = seal(ctx.parts, secret) if secret else None
    ctx.db.execute(update(thing).where(thing.c.id == row["id"]).values(values))
    return find(ctx, thing, row["id"])


def common(body: Any) -> dict[str, Any]:
    """What a body says of description and sharing."""
    out = {}
    for name in ("description", "is_public", "is_protected"):
        value = getattr(body, name, UNSET)
        if value is not UNSET:
            out[name] = value if name == "description" else bool(value)
    return out


def given(body: Any) -> dict[str, Any]:
    """The fields that a body has, by name."""
    return {name: getattr(body, name) for name in body.__struct_fields__ if getattr(body, name) is not UNSET}


def remove(ctx: Context, row: Any) -> None:
    """Delete a row of the caller's."""
    own(ctx, row, "Deletion")
    ctx.db.execute(delete(thing).where(thing.c.id == row["id"]))


def seal(parts: Parts, value: Any) -> str:
    """Anything JSON holds, sealed for a row."""
    return base64.b64encode(parts.sealer.seal(msgspec.json.encode(value))).decode()


def unseal(parts: Parts, text: str | None) -> Any:
    """What was sealed; None for nothing."""
    return None if text is None else msgspec.json.decode(parts.sealer.open(base64.b64decode(text)))
