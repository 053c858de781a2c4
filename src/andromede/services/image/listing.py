"""Lists of images: filters, order, pages. Source: Image API v2, "List images"."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import ColumnElement, and_, or_, select, true

from andromede.core.clock import parse
from andromede.core.context import Context
from andromede.core.errors import BadRequest
from andromede.http import paging
from andromede.services.image.images import shared_with
from andromede.services.image.tables import image, image_property, image_tag

_MOST, _DEFAULT = 1000, 100
_COMPARE: dict[str, Callable[[Any, Any], ColumnElement[bool]]] = {
    "gt": lambda left, right: left > right,
    "gte": lambda left, right: left >= right,
    "lt": lambda left, right: left < right,
    "lte": lambda left, right: left <= right,
    "eq": lambda left, right: left == right,
    "neq": lambda left, right: left != right,
}
_TEXTS = ("id", "name", "status", "disk_format", "container_format", "owner", "checksum", "os_hash_value")
_LISTS = ("id", "name", "status", "disk_format", "container_format")
_NUMBERS = ("size", "virtual_size", "min_disk", "min_ram")
_FLAGS = ("protected", "os_hidden")
_PAGING = {"limit", "marker", "sort", "sort_key", "sort_dir"}
_SORTS = (
    "id", "name", "status", "visibility", "disk_format", "container_format", "size", "virtual_size", "owner", "protected", "min_disk",
    "min_ram", "checksum", "os_hidden", "created_at", "updated_at",
)  # fmt: skip
_QUOTED = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^",]*))\s*(,|$)')


def listing(ctx: Context) -> tuple[paging.Page, str, str | None]:
    """A page of images, and the links to the first and the next page. Raises BadRequest for a filter that makes no sense."""
    for name in ("limit", "marker"):
        if len(ctx.query.all(name)) > 1:
            raise BadRequest(f"The parameter {name} can be given once only.")
    if "sort" in ctx.query and ("sort_key" in ctx.query or "sort_dir" in ctx.query):
        raise BadRequest("Old and new sorting syntax cannot be combined")
    query = select(image).where(_scope(ctx), *_filters(ctx))
    keys = paging.sort_of(ctx, {name: image.c[name] for name in _SORTS}, [(image.c.created_at, True)], direction="desc")
    page = paging.page(
        ctx.db, query, image, keys=keys, limit=paging.limit_of(ctx, most=_MOST, default=_DEFAULT), marker=ctx.query.get("marker")
    )
    pairs = [(key, value) for key, value in ctx.query.pairs if key != "marker"]
    first = "/v2/images" + (f"?{urlencode(pairs)}" if pairs else "")
    return page, first, page.next_link(ctx, "/v2/images")


def _scope(ctx: Context) -> ColumnElement[bool]:
    """Which images a list is about: by visibility, and whose. Source: Image API v2, "Image visibility"."""
    wanted, status = ctx.query.get("visibility"), ctx.query.get("member_status") or "accepted"
    if wanted not in (None, "all", "public", "private", "shared", "community"):
        raise BadRequest(f"Invalid visibility value: {wanted}. It must be public, private, shared, community or all.")
    if status not in ("pending", "accepted", "rejected", "all"):
        raise BadRequest(f"Invalid status: {status}. It must be pending, accepted, rejected or all.")
    mine: ColumnElement[bool] = image.c.owner == ctx.caller.project_id
    given = shared_with(ctx.caller.project_id, *(() if status == "all" else (status,)))
    if ctx.caller.admin:
        own: ColumnElement[bool] = true()
    else:
        others = [mine, image.c.visibility == "public", given]
        if wanted in ("all", "community"):
            others.append(image.c.visibility == "community")
        own = or_(*others)
    terms = [own]
    if wanted not in (None, "all"):
        terms.append(image.c.visibility == wanted)
    return and_(*terms)


def _filters(ctx: Context) -> list[ColumnElement[bool]]:
    out: list[ColumnElement[bool]] = []
    if "os_hidden" not in ctx.query:
        out.append(~image.c.os_hidden)
    for name, value in ctx.query.pairs:
        if name in _PAGING or name in ("visibility", "member_status"):
            continue
        if name == "tag":
            out.append(image.c.id.in_(select(image_tag.c.image_id).where(image_tag.c.tag == value)))
        elif name in _TEXTS:
            column = image.c[name]
            out.append(column.in_(_split(name, value[3:])) if name in _LISTS and value.startswith("in:") else column == value)
        elif name in _FLAGS:
            out.append(image.c[name].is_(_flag(name, value)))
        elif name in ("size_min", "size_max"):
            out.append(image.c.size >= _number(name, value) if name == "size_min" else image.c.size <= _number(name, value))
        elif name in _NUMBERS:
            out.append(image.c[name] == _number(name, value))
        elif name in ("created_at", "updated_at"):
            out.append(_moment(name, value))
        else:
            same = select(image_property.c.image_id).where(image_property.c.name == name, image_property.c.value == value)
            out.append(image.c.id.in_(same))
    return out


def _split(name: str, text: str) -> list[str]:
    """`a,"b,c"` as its parts. Raises BadRequest where quotes do not close."""
    out, place = [], 0
    while place <= len(text):
        match = _QUOTED.match(text, place)
        if match is None:
            raise BadRequest(f"Invalid filter value {text} of {name}: the quotes do not close.")
        quoted, plain, end = match.groups()
        out.append(re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain.strip())
        place = match.end()
        if end == "":
            break
    return out


def _flag(name: str, value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise BadRequest(f"{name} must be true or false, got {value}.")
    return value.lower() == "true"


def _number(name: str, value: str) -> int:
    if not value.isdecimal() or len(value) > 18:
        raise BadRequest(f"{name} must be a whole number of 0 or more, got {value}.")
    return int(value)


def _moment(name: str, value: str) -> ColumnElement[bool]:
    operator, colon, text = value.partition(":")
    if not colon or operator not in _COMPARE:
        operator, text = "eq", value
    try:
        moment: datetime = parse(text.replace(" ", "+"))
    except ValueError as error:
        raise BadRequest(f"Invalid filter value {value} of {name}: it must be operator:time, the time as in ISO 8601.") from error
    return _COMPARE[operator](image.c[name], moment)
