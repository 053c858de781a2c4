"""What every resource of Neutron's API has in common: finding, listing with filters, sorting and paging, fields, tags, revisions.

Source: Networking API v2.0, "Filtering and Column Selection", "Pagination", "Sorting", "Tags", "If-Match".
"""

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import Column, ColumnElement, RowMapping, Select, Table, func, or_, select, true

from andromede.core.clock import iso_z, parse
from andromede.core.context import Context
from andromede.core.errors import BadRequest, Forbidden, PreconditionFailed
from andromede.http import paging
from andromede.services.network.errors import missing
from andromede.services.network.rows import gather, grouped, one
from andromede.services.network.tables import tag

View = dict[str, Any]
Filter = Callable[[Context, list[str]], ColumnElement[bool]]
_MOST = 1_000_000
_NOT_FILTERS = {"fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir"}
_TAG_FILTERS = ("tags", "tags-any", "not-tags", "not-tags-any")
_TRUE, _FALSE = {"true", "1", "yes", "on", "t", "y"}, {"false", "0", "no", "off", "f", "n"}


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of resource.

    visible: the rows a caller may know of. view: what is shown of rows, in their order. filters: by the names of the query
    string. sort: columns by the names of `sort_key`.
    """

    name: str
    plural: str
    table: Table
    visible: Callable[[Context], ColumnElement[bool]]
    view: Callable[[Context, Sequence[RowMapping]], list[View]]
    filters: dict[str, Filter]
    sort: dict[str, Column[Any]]
    standard: bool = True


def same(column: Column[Any]) -> Filter:
    """The column has one of the values; an empty one finds what has none."""

    def build(_ctx: Context, values: list[str]) -> ColumnElement[bool]:
        found = column.in_(values)
        return or_(found, column.is_(None)) if "" in values and column.nullable else found

    return build


def flag(column: ColumnElement[bool]) -> Filter:
    """The column is true, or false."""
    return lambda _ctx, values: or_(*(column if truth(value) else ~column for value in values))


def whole(column: Column[Any]) -> Filter:
    """The column is one of the numbers. Raises BadRequest for what is none."""

    def build(_ctx: Context, values: list[str]) -> ColumnElement[bool]:
        if any(not value.lstrip("-").isdecimal() or len(value) > 12 for value in values):
            raise BadRequest(f"'{values[0]}' is not an integer", kind="InvalidInput")
        return column.in_([int(value) for value in values])

    return build


def truth(text: str) -> bool:
    """A boolean of the query string. Raises BadRequest."""
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise BadRequest(f"'{text}' cannot be converted to boolean", kind="InvalidInput")


def owned(table: Table) -> Callable[[Context], ColumnElement[bool]]:
    """A project's own rows; all of them for admins."""
    return lambda ctx: true() if ctx.caller.admin else table.c.project_id == ctx.caller.project_id


def standard_filters(table: Table) -> dict[str, Filter]:
    """The filters that every resource has."""
    names = {"id": "id", "name": "name", "description": "description", "project_id": "project_id", "tenant_id": "project_id"}
    found = {name: same(table.c[column]) for name, column in names.items()}
    return found | {"revision_number": whole(table.c.revision), "changed_since": _since(table)}


def _since(table: Table) -> Filter:
    def build(_ctx: Context, values: list[str]) -> ColumnElement[bool]:
        try:
            return table.c.updated >= min(parse(value) for value in values)
        except ValueError as error:
            raise BadRequest(f"The value of changed_since is no time: {values[0]}", kind="InvalidInput") from error

    return build


def standard_sort(table: Table) -> dict[str, Column[Any]]:
    """The keys that every resource is sorted by."""
    names = {"id": "id", "name": "name", "description": "description", "project_id": "project_id", "tenant_id": "project_id"}
    times = {"created_at": "created", "updated_at": "updated", "revision_number": "revision"}
    return {name: table.c[column] for name, column in (names | times).items()}


def standard_view(row: RowMapping, tags: dict[str, list[RowMapping]] | None = None) -> View:
    """The attributes that every resource has."""
    shown = {
        "id": row["id"], "name": row["name"], "description": row["description"], "project_id": row["project_id"],
        "tenant_id": row["project_id"], "created_at": iso_z(row["created"]), "updated_at": iso_z(row["updated"]),
        "revision_number": row["revision"],
    }  # fmt: skip
    if tags is not None:
        shown["tags"] = [each["tag"] for each in tags.get(row["id"], [])]
    return shown


def tags_of(ctx: Context, rows: Sequence[RowMapping]) -> dict[str, list[RowMapping]]:
    """Tags by resource."""
    query = select(tag.c.resource_id, tag.c.tag).order_by(tag.c.tag)
    return grouped(gather(ctx.db, [row["id"] for row in rows], lambda some: query.where(tag.c.resource_id.in_(some))), "resource_id")


def chosen_fields(ctx: Context, views: list[View]) -> list[View]:
    """The attributes that `fields` asks for, or all."""
    fields = [name for name in ctx.query.all("fields") if name]
    if not fields:
        return views
    wanted = {part for name in fields for part in name.split(",")}
    return [{name: value for name, value in view.items() if name in wanted} for view in views]


def find(ctx: Context, kind: Resource, id_: str) -> RowMapping:
    """A row that the caller may know. Raises NotFound."""
    row = ctx.db.execute(select(kind.table).where(kind.table.c.id == id_, kind.visible(ctx))).mappings().first()
    if row is None:
        raise missing(kind.name, id_)
    return row


def find_own(ctx: Context, kind: Resource, id_: str) -> RowMapping:
    """A row that the caller may change, at the revision that `If-Match` names. Raises PreconditionFailed, and NotFound for what is
    another project's, as Neutron does, even where the caller sees it."""
    row = find(ctx, kind, id_)
    if not ctx.caller.admin and row["project_id"] != ctx.caller.project_id:
        raise missing(kind.name, id_)
    match_revision(ctx, row)
    return row


def match_revision(ctx: Context, row: RowMapping) -> None:
    """Raise PreconditionFailed where `If-Match: revision_number=N` names another revision."""
    text = ctx.headers.get("if-match", "")
    name, _, value = text.partition("=")
    if not text or name.strip() != "revision_number":
        return
    if not value.strip().removeprefix("-").isdecimal():
        raise BadRequest("If-Match must be revision_number=<number>.", kind="HTTPBadRequest")
    if int(value) != row["revision"]:
        raise PreconditionFailed(f"Constrained to {value.strip()}, but current revision is {row['revision']}", kind="RevisionNumberConstraintFailed")


def show(ctx: Context, kind: Resource, id_: str) -> View:
    """One resource under its name, with the fields asked for."""
    return {kind.name: chosen_fields(ctx, kind.view(ctx, [find(ctx, kind, id_)]))[0]}


def shown(ctx: Context, kind: Resource, ids: Sequence[str], *, bulk: bool = False) -> View:
    """Resources just written, whole: one under its name, or (bulk) a list."""
    views = kind.view(ctx, [one(ctx.db, kind.table, id_) for id_ in ids])
    return {kind.plural: views} if bulk else {kind.name: views[0]}


def listing(ctx: Context, kind: Resource, *more: ColumnElement[bool]) -> View:
    """The resources asked for by the query string. Raises BadRequest for filters and sort keys that the kind does not have."""
    query = select(kind.table).where(kind.visible(ctx), *more, *_conditions(ctx, kind))
    reverse = truth(ctx.query.get("page_reverse") or "false")
    limit = paging.limit_of(ctx, most=_MOST)
    default: list[paging.Key] = [(kind.table.c.created, False), (kind.table.c.id, False)] if kind.standard else [(kind.table.c.id, False)]
    marker = ctx.query.get("marker")
    page = paging.page(
        ctx.db, query, kind.table, keys=paging.sort_of(ctx, kind.sort, default), limit=limit, marker=marker, reverse=reverse,
        missing=lambda wrong: BadRequest(f"Invalid marker value for {kind.plural}: {wrong} could not be found.", kind="InvalidInput"),
    )  # fmt: skip
    out: View = {kind.plural: chosen_fields(ctx, kind.view(ctx, page.rows))}
    if limit < _MOST and (links := _links(ctx, page, full=len(page.rows) >= limit, reverse=reverse)):
        out[f"{kind.plural}_links"] = links
    return out


def _links(ctx: Context, page: paging.Page, *, full: bool, reverse: bool) -> list[View]:
    """Where to go on, and back. As in Neutron, a full page has a next one, which may be empty."""
    kept = [(name, value) for name, value in ctx.query.pairs if name not in ("marker", "page_reverse")]
    url = ctx.root + ctx.path
    out = []
    if (full or reverse) and page.rows:
        out.append({"rel": "next", "href": f"{url}?{urlencode([*kept, ('marker', page.rows[-1]['id'])])}"})
    if full or not reverse:
        start = [("marker", page.rows[0]["id"])] if page.rows else []
        out.append({"rel": "previous", "href": f"{url}?{urlencode([*kept, *start, ('page_reverse', 'True')])}"})
    return out


def _conditions(ctx: Context, kind: Resource) -> list[ColumnElement[bool]]:
    out, wrong = [], []
    for name in dict.fromkeys(key for key, _ in ctx.query.pairs):
        values = ctx.query.all(name)
        if name in kind.filters:
            out.append(kind.filters[name](ctx, values))
        elif name in _TAG_FILTERS and kind.standard:
            out.append(_tagged(kind, name, [part for value in values for part in value.split(",") if part]))
        elif name not in _NOT_FILTERS and name != "sort":
            wrong.append(name)
    if wrong:
        raise BadRequest(f"{sorted(wrong)} is invalid attribute for filtering", kind="HTTPBadRequest")
    return out


def _tagged(kind: Resource, name: str, tags: list[str]) -> ColumnElement[bool]:
    id_ = kind.table.c.id
    having: Select[Any] = select(tag.c.resource_id).where(tag.c.kind == kind.plural, tag.c.tag.in_(tags))
    if not name.endswith("-any"):
        having = having.group_by(tag.c.resource_id).having(func.count() == len(set(tags)))
    return id_.not_in(having) if name.startswith("not-") else id_.in_(having)


def owner_of(ctx: Context, project_id: str | UnsetType | None, tenant_id: str | UnsetType | None = UNSET) -> str:
    """Whose a new resource is: the caller's project, or the one that an admin names. Raises BadRequest for another."""
    named = project_id or tenant_id
    if project_id and tenant_id and project_id != tenant_id:
        raise BadRequest("'project_id' and 'tenant_id' do not match", kind="HTTPBadRequest")
    if not named:
        return ctx.project_id
    if named != ctx.caller.project_id and not ctx.caller.admin:
        raise BadRequest(
            "Specifying 'project_id' or 'tenant_id' other than the authenticated project in request requires admin privileges",
            kind="HTTPBadRequest",
        )
    return named


def many(single: Any, several: Any, name: str) -> tuple[list[Any], bool]:
    """The resources of a body that has one or a list of them; whether it is a list. Raises BadRequest for neither, both, or none."""
    if (single is UNSET) == (several is UNSET) or several == []:
        raise BadRequest(f"Unable to find '{name}' in request body", kind="HTTPBadRequest")
    return ([single], False) if several is UNSET else (list(several), True)


def given(body: msgspec.Struct, names: dict[str, str]) -> View:
    """The fields of a body that were set, by column."""
    return {column: value for field, column in names.items() if (value := getattr(body, field)) is not UNSET}


def for_admins(ctx: Context, what: str, *values: object) -> None:
    """Refuse attributes that only admins may set."""
    if not ctx.caller.admin and any(value is not UNSET for value in values):
        raise Forbidden(f"Policy doesn't allow {what} to be set.", kind="PolicyNotAuthorized")


