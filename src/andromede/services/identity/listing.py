"""What every list of Identity has in common: filters by attribute, pages, the links around them.

A filter is `name=exact` or `name__contains=part` (and `startswith`, `endswith`, each with `i` in front for any case).
Source: Identity API v3, "Filtering" and "Paging".
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import Boolean, ColumnElement, Select, Table

from andromede.core.context import Context
from andromede.core.errors import BadRequest

_NO = ("0", "false", "no", "off", "f", "n")
_INEXACT: Mapping[str, Callable[[ColumnElement[Any], str], ColumnElement[bool]]] = {
    "contains": lambda column, value: column.contains(value, autoescape=True),
    "startswith": lambda column, value: column.startswith(value, autoescape=True),
    "endswith": lambda column, value: column.endswith(value, autoescape=True),
    "icontains": lambda column, value: column.icontains(value, autoescape=True),
    "istartswith": lambda column, value: column.istartswith(value, autoescape=True),
    "iendswith": lambda column, value: column.iendswith(value, autoescape=True),
}


def flag(text: str | None) -> bool:
    """A boolean of a query string: `?enabled` is true, and so is all that does not say no."""
    return text is None or text.lower() not in _NO


def asked(ctx: Context, name: str) -> bool:
    """Whether a switch (`?effective`, `?include_names=true`) is on."""
    return name in ctx.query and flag(ctx.query.get(name))


def filtered(ctx: Context, query: Select[Any], table: Table, columns: Sequence[str]) -> Select[Any]:
    """`query` narrowed to what the query string asks of these columns."""
    for key, value in ctx.query.pairs:
        name, _, how = key.partition("__")
        if name not in columns:
            continue
        column = table.c[name]
        if isinstance(column.type, Boolean):
            query = query.where(column == flag(value))
        elif not how:
            query = query.where(column == value)
        elif how in _INEXACT:
            query = query.where(_INEXACT[how](column, value))
    return query


def tagged(ctx: Context, row: Any) -> bool:
    """Whether a row has the tags asked for by `tags`, `tags-any`, `not-tags` and `not-tags-any`."""
    have = set(row.tags)

    def given(name: str) -> set[str]:
        return {one for one in (ctx.query.get(name) or "").split(",") if one}

    every, some, not_every, not_some = (given(name) for name in ("tags", "tags-any", "not-tags", "not-tags-any"))
    return not (
        (every and not every <= have) or (some and not some & have) or (not_every and not_every <= have) or (not_some and not_some & have)
    )


def rows(ctx: Context, query: Select[Any], table: Table, keep: Callable[[Any], bool] | None = None) -> tuple[list[Any], str | None]:
    """The rows of one page by id, and the marker of the next. Without `limit` in the query string all of them come."""
    text, marker = ctx.query.get("limit"), ctx.query.get("marker")
    if text is not None and not (text.isdecimal() and len(text) < 10):
        raise BadRequest("Invalid input for field 'limit': it must be a whole number.")
    limit = int(text) if text else 0
    query = query.order_by(table.c.id)
    if marker:
        query = query.where(table.c.id > marker)
    if limit and keep is None:
        query = query.limit(limit + 1)
    found = [row for row in ctx.db.execute(query) if keep is None or keep(row)]
    if not limit or len(found) <= limit:
        return found, None
    return found[:limit], str(found[limit - 1].id)


def collection(
    ctx: Context, name: str, items: list[dict[str, Any]], *, path: str | None = None, following: str | None = None
) -> dict[str, Any]:
    """`{name: […], "links": {"self", "next", "previous"}}`."""
    where = link(ctx, *((path or name).split("/")))
    pairs = ctx.query.pairs
    own = f"{where}?{urlencode(pairs)}" if pairs else where
    beyond = None
    if following is not None:
        beyond = f"{where}?{urlencode([*((key, value) for key, value in pairs if key != 'marker'), ('marker', following)])}"
    return {name: items, "links": {"self": own, "next": beyond, "previous": None}}


def link(ctx: Context, *parts: str) -> str:
    """The URL of something of this API."""
    return "/".join((ctx.base, *parts))
