"""What every list of Block Storage takes: marker, limit, offset, sorting, exact filters, `like` filters, times, a count."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, func, select

from andromede.core.clock import parse
from andromede.core.context import Context
from andromede.core.errors import BadRequest, NotFound
from andromede.http import paging
from andromede.services.volume.api import MOST, everyone, truth

_KNOWN = {"limit", "marker", "offset", "sort", "sort_key", "sort_dir", "all_tenants", "all_projects", "with_count"}
_TIMES = {"created_at": "created", "updated_at": "updated"}


class Listed:
    """One page: rows, the answer's links, and the count where it is asked for."""

    def __init__(self, rows: list[Any], more: dict[str, Any]) -> None:
        self.rows, self.more = rows, more


def page(
    ctx: Context, query: Select[Any], table: Table, kind: str, *, path: str = "", columns: Mapping[str, ColumnElement[Any]],
    special: Mapping[str, Any] | None = None, sortable: Mapping[str, ColumnElement[Any]] | None = None, project: bool = True,
) -> Listed:  # fmt: skip
    """A page of `query` over `table`.

    columns: what can be filtered by, by its name on the wire; special: makes a condition of a value. Raises BadRequest.
    """
    if project:
        owner = ctx.query.get("project_id") or ctx.query.get("tenant_id")
        if not everyone(ctx):
            query = query.where(table.c.project_id == ctx.project_id)
        elif owner:
            query = query.where(table.c.project_id == owner)
    for name, value in ctx.query.pairs:
        if name in _KNOWN:
            continue
        base, like = name.removesuffix("~"), name.endswith("~")
        if base in _TIMES and ctx.at_least("3.60"):
            query = query.where(*_moments(table.c[_TIMES[base]], value))
        elif special is not None and base in special:
            query = query.where(special[base](value))
        elif base in columns and like and ctx.at_least("3.31"):
            query = query.where(columns[base].contains(value, autoescape=True))
        elif base in columns:
            query = query.where(columns[base] == (truth(value, base) if columns[base].type.python_type is bool else _cast(columns[base], value)))
    more: dict[str, Any] = {}
    if ctx.at_least("3.45") and "with_count" in ctx.query and truth(ctx.query.get("with_count"), "with_count"):
        more["count"] = ctx.db.scalar(select(func.count()).select_from(query.subquery())) or 0
    offset = ctx.query.get("offset") or "0"
    if not offset.isdecimal() or len(offset) > 9:
        raise BadRequest(f"Invalid input for field/attribute offset. Value: {offset}. It must be a whole number of 0 or more.")
    if int(offset):
        query = query.offset(int(offset))
    default: list[paging.Key] = [(table.c.created, True), (table.c.id, True)]
    keys = {"created_at": table.c.created, "id": table.c.id, **(sortable or {})}
    limit_text = ctx.query.get("limit")
    found = paging.page(
        ctx.db, query, table, keys=paging.sort_of(ctx, keys, default, direction="desc"), limit=paging.limit_of(ctx, most=MOST),
        marker=ctx.query.get("marker"), missing=lambda marker: NotFound(f"marker [{marker}] could not be found."),
    )  # fmt: skip
    rows = [] if limit_text is not None and limit_text.strip("0") == "" and limit_text else found.rows
    if limit_text and len(rows) == paging.limit_of(ctx, most=MOST):
        found.more = True  # a full page that was asked for leads on, as Block Storage has it, to an empty one at last
    link = found.next_link(ctx, f"{ctx.base}/{path or kind}") if rows else None
    if link is not None:
        more[f"{kind}_links"] = [{"rel": "next", "href": link}]
    return Listed(rows, more)


def _cast(column: ColumnElement[Any], value: str) -> Any:
    if column.type.python_type is int:
        if not value.isdecimal() or len(value) > 9:
            raise BadRequest(f"Invalid input: '{value}' is not a number.")
        return int(value)
    return value


def _moments(column: ColumnElement[Any], text: str) -> list[ColumnElement[bool]]:
    """Conditions like `gt:2026-01-01T00:00:00,lt:…`."""
    out: list[ColumnElement[bool]] = []
    for part in text.split(","):
        act, colon, rest = part.partition(":")
        if not colon or act not in ("gt", "gte", "lt", "lte", "eq", "neq"):
            act, rest = "eq", part
        try:
            moment: datetime = parse(rest)
        except ValueError as error:
            raise BadRequest(f"Invalid filter of a time: {part}.") from error
        acts = {"gt": column > moment, "gte": column >= moment, "lt": column < moment, "lte": column <= moment, "eq": column == moment}
        out.append(acts.get(act, column != moment))
    return out
