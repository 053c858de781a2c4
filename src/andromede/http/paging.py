"""Paging by marker, sorting and the links to the next page, the same for every list.

A list is ordered by the keys asked for and then by id, so that a marker always names one place in it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import ColumnElement, Connection, Select, Table, and_, false, or_, select

from andromede.core.context import Context
from andromede.core.errors import BadRequest

Key = tuple[ColumnElement[Any], bool]
"""A column and whether it descends."""


class Page:
    """One page of rows, and whether more follow. `rows` are RowMappings."""

    __slots__ = ("more", "rows")

    def __init__(self, rows: list[Any], more: bool) -> None:
        self.rows, self.more = rows, more

    def next_link(self, ctx: Context, url: str, marker: str = "id") -> str | None:
        """The URL of the next page: this request's, with `marker` set to the last row's id; None on the last page."""
        if not self.more or not self.rows:
            return None
        pairs = [(key, value) for key, value in ctx.query.pairs if key != "marker"]
        return f"{url}?{urlencode([*pairs, ('marker', self.rows[-1][marker])])}"


def limit_of(ctx: Context, *, most: int, default: int | None = None) -> int:
    """The page size asked for, at most `most`. Raises BadRequest for what is not a number of 0 or more (0: `most`)."""
    text = ctx.query.get("limit")
    if text is None or text == "":
        return most if default is None else default
    if not text.isdecimal() or len(text) > 10:
        raise BadRequest(f"Invalid input for field/attribute limit. Value: {text}. limit must be a whole number of 0 or more.")
    return min(int(text), most) or most


def sort_of(
    ctx: Context, columns: Mapping[str, ColumnElement[Any]], default: Sequence[Key], *, direction: str = "asc"
) -> list[Key]:
    """The order asked for by repeated `sort_key` and `sort_dir`, or `sort=key:dir,…`. Raises BadRequest for a key not in `columns`.

    direction: of keys where the request names none.
    """
    keys, dirs = ctx.query.all("sort_key"), ctx.query.all("sort_dir")
    for part in ",".join(ctx.query.all("sort")).split(","):
        if part:
            key, _, given = part.partition(":")
            keys.append(key)
            dirs.append(given or "desc")
    if not keys:
        return list(default)
    if len(dirs) > len(keys):
        raise BadRequest("There are more sort directions than sort keys.")
    out: list[Key] = []
    last = dirs[-1] if dirs else direction
    for number, key in enumerate(keys):
        chosen = dirs[number] if number < len(dirs) else last
        if key not in columns:
            raise BadRequest(f"'{key}' is not a key this list can be sorted by.")
        if chosen not in ("asc", "desc"):
            raise BadRequest(f"Unknown sort direction '{chosen}', must be 'asc' or 'desc'.")
        out.append((columns[key], chosen == "desc"))
    return out


def page(
    db: Connection,
    query: Select[Any],
    table: Table,
    *,
    keys: Sequence[Key] = (),
    limit: int,
    marker: str | None,
    reverse: bool = False,
    missing: Callable[[str], Exception] | None = None,
) -> Page:
    """One page of `query` over `table`, after the row whose id is `marker`.

    reverse: the page before the marker instead. A marker that names no row of `query` raises BadRequest (or `missing`).
    """
    ordered: list[Key] = [*keys]
    if not any(column is table.c.id for column, _ in ordered):
        ordered.append((table.c.id, ordered[-1][1] if ordered else False))
    if marker:
        row = db.execute(query.with_only_columns(*(column for column, _ in ordered)).where(table.c.id == marker)).first()
        if row is None:
            raise missing(marker) if missing else BadRequest(f"marker [{marker}] not found")
        query = query.where(_after(list(zip(ordered, row, strict=True)), reverse=reverse))
    # NULL sorts first when ascending on both databases
    for column, descending in ordered:
        down = descending is not reverse
        if getattr(column, "nullable", True):  # of the others an index may give the order
            query = query.order_by(column.is_(None) if down else column.is_not(None))
        query = query.order_by(column.desc() if down else column.asc())
    rows: Sequence[Any] = db.execute(query.limit(limit + 1)).mappings().all()
    more = len(rows) > limit
    rows = rows[:limit]
    return Page(list(rows[::-1] if reverse else rows), more)


def _after(values: list[tuple[Key, Any]], *, reverse: bool) -> ColumnElement[bool]:
    terms = []
    for number, ((column, descending), value) in enumerate(values):
        before = [column.is_(None) if value is None else column == value for (column, _), value in values[:number]]
        down = descending is not reverse
        if value is None:
            beyond: ColumnElement[bool] = false() if down else column.is_not(None)
        else:
            beyond = or_(column < value, column.is_(None)) if down else column > value
        terms.append(and_(*before, beyond))
    return or_(*terms)


def exists(db: Connection, query: Select[Any]) -> bool:
    """Whether `query` has any row."""
    return bool(db.scalar(select(query.exists())))
