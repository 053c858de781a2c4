"""Routes of data sources, job binaries, and binaries that are given to the service itself. Source: Data Processing API v1.1 and v2."""

from typing import Any

from msgspec import UNSET
from sqlalchemy import delete, insert, select, update

from andromede.core.clock import now
from andromede.core.context import Context
from andromede.core.errors import CloudError, NotFound
from andromede.core.ids import new_id
from andromede.http.response import Response
from andromede.services.hadoop import keeping, places, storing
from andromede.services.hadoop.api import V1, both, member, reader, wrong
from andromede.services.hadoop.tables import content, job, thing
from andromede.services.hadoop.words import Binary, Common, DataSource, name_of

_SOURCES, _SOURCE = "/data-sources", "/data-sources/{data_source_id}"
_BINARIES, _BINARY = "/job-binaries", "/job-binaries/{job_binary_id}"
_INTERNALS, _INTERNAL = "/job-binary-internals", "/job-binary-internals/{internal_id}"
_MOST = 5 << 20


def _source(ctx: Context, row: Any) -> dict[str, Any]:
    return keeping.shown(ctx, row, **row["facts"])


@both("get", _SOURCES, policy=reader("data-sources:list"))
def list_data_sources(ctx: Context) -> dict[str, Any]:
    """The data sources."""
    return keeping.listed(ctx, thing, "data_sources", lambda row: _source(ctx, row), kind=places.SOURCE)


@both("post", _SOURCES, policy=member("data-sources:create"), status=202)
def create_data_source(ctx: Context, body: DataSource) -> dict[str, Any]:
    """Keep where data is. Errors: 400 a type that is not there, a URL that does not fit it, a name that is taken."""
    for field in ("name", "type", "url"):
        if getattr(body, field) is UNSET:
            raise wrong(f"{field}: it is a required property", "VALIDATION_ERROR")
    assert isinstance(body.name, str)
    facts, secret = _checked_source(body, {})
    return {"data_source": _source(ctx, keeping.add(ctx, places.SOURCE, body, name_of(body.name), facts, secret=secret))}


def _checked_source(body: DataSource, before: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    kind = before.get("type") if body.type is UNSET else body.type
    url = before.get("url") if body.url is UNSET else body.url
    secret = body.credentials or None
    places.check_source(str(kind), str(url), secret)
    return {"type": kind, "url": url}, secret if kind == "s3" else None


@both("get", _SOURCE, policy=reader("data-sources:show"))
def show_data_source(ctx: Context, data_source_id: str) -> dict[str, Any]:
    """A data source."""
    return {"data_source": _source(ctx, keeping.find(ctx, thing, data_source_id, kind=places.SOURCE))}


@both("change", _SOURCE, policy=member("data-sources:update"), status=202)
def change_data_source(ctx: Context, data_source_id: str, body: DataSource) -> dict[str, Any]:
    """Change a data source. Errors: 400 for what cannot be, a protected one, or one that a job reads or writes now."""
    row = keeping.find(ctx, thing, data_source_id, kind=places.SOURCE)
    keeping.own(ctx, row, "Update", changes=keeping.given(body))
    _idle(ctx, row, "Update", "UPDATE_FAILED")
    facts, secret = _checked_source(body, row["facts"])
    name = None if body.name is UNSET else name_of(body.name)
    changed = keeping.alter(ctx, row, body, name=name, facts=facts, secret=UNSET if body.credentials is UNSET else secret)
    return {"data_source": _source(ctx, changed)}


@both("delete", _SOURCE, policy=member("data-sources:delete"))
def delete_data_source(ctx: Context, data_source_id: str) -> None:
    """Forget a data source; the data stays. Errors: 400 a protected one, or one that a job reads or writes now."""
    row = keeping.find(ctx, thing, data_source_id, kind=places.SOURCE)
    keeping.own(ctx, row, "Deletion")
    _idle(ctx, row, "Deletion", "DELETION_FAILED")
    keeping.remove(ctx, row)


def _idle(ctx: Context, row: Any, act: str, kind: str) -> None:
    used = (job.c.input_id == row["id"]) | (job.c.output_id == row["id"])
    if ctx.db.execute(select(job.c.id).where(used, job.c.ended.is_(None)).limit(1)).first():
        raise wrong(f"{act} failed: DataSource '{row['name']}' is used by a job that is under way", kind)


# job binaries


def _binary(ctx: Context, row: Any) -> dict[str, Any]:
    return keeping.shown(ctx, row, **row["facts"])


@both("get", _BINARIES, policy=reader("job-binaries:list"))
def list_job_binaries(ctx: Context) -> dict[str, Any]:
    """The job binaries."""
    return keeping.listed(ctx, thing, "binaries", lambda row: _binary(ctx, row), kind=places.BINARY)


@both("post", _BINARIES, policy=member("job-binaries:create"), status=202)
def create_job_binary(ctx: Context, body: Binary) -> dict[str, Any]:
    """Keep where a program is. Errors: 400 a URL that no node can read, data of the service's own that is not there, a name that is taken."""
    for field in ("name", "url"):
        if getattr(body, field) is UNSET:
            raise wrong(f"{field}: it is a required property", "VALIDATION_ERROR")
    assert isinstance(body.name, str)
    url, secret = _checked_binary(ctx, body, {})
    return {"job_binary": _binary(ctx, keeping.add(ctx, places.BINARY, body, name_of(body.name), {"url": url}, secret=secret))}


def _checked_binary(ctx: Context, body: Binary, before: dict[str, Any]) -> tuple[str, Any]:
    url, extra = str(before.get("url") if body.url is UNSET else body.url), body.extra or None
    places.check_binary(url, extra)
    if url.startswith(places.INTERNAL):
        try:
            keeping.find(ctx, content, url.removeprefix(places.INTERNAL))
        except NotFound as error:
            raise wrong(f"url: the job binary internal of '{url}' does not exist", "BAD_JOB_BINARY") from error
    return url, extra if extra and "accesskey" in extra else None


@both("get", _BINARY, policy=reader("job-binaries:show"))
def show_job_binary(ctx: Context, job_binary_id: str) -> dict[str, Any]:
    """A job binary."""
    return {"job_binary": _binary(ctx, keeping.find(ctx, thing, job_binary_id, kind=places.BINARY))}


@both("change", _BINARY, policy=member("job-binaries:update"), status=202)
def change_job_binary(ctx: Context, job_binary_id: str, body: Binary) -> dict[str, Any]:
    """Change a job binary. Errors: 400 for what cannot be, or a protected one."""
    row = keeping.find(ctx, thing, job_binary_id, kind=places.BINARY)
    keeping.own(ctx, row, "Update", changes=keeping.given(body))
    url, secret = _checked_binary(ctx, body, row["facts"])
    name = None if body.name is UNSET else name_of(body.name)
    changed = keeping.alter(ctx, row, body, name=name, facts={"url": url}, secret=UNSET if body.extra is UNSET else secret)
    return {"job_binary": _binary(ctx, changed)}


@both("delete", _BINARY, policy=member("job-binaries:delete"))
def delete_job_binary(ctx: Context, job_binary_id: str) -> None:
    """Forget a job binary; the program stays. Errors: 400 one that a job template has, or a protected one."""
    row = keeping.find(ctx, thing, job_binary_id, kind=places.BINARY)
    for other in ctx.db.execute(select(thing.c.name, thing.c.facts).where(thing.c.kind == "job_template")):
        if row["id"] in (*other.facts["mains"], *other.facts["libs"]):
            raise wrong(f"JobBinary is referenced: job template '{other.name}' has it", "DELETION_FAILED")
    keeping.remove(ctx, row)


@both("get", _BINARY + "/data", policy=reader("job-binaries:data"))
def show_job_binary_data(ctx: Context, job_binary_id: str) -> Response:
    """The program itself. Errors: 400 one that is elsewhere than in this cloud; 404 one that is not where it should be."""
    row = keeping.find(ctx, thing, job_binary_id, kind=places.BINARY)
    url = row["facts"]["url"]
    if url.startswith(places.INTERNAL):
        return _data(keeping.find(ctx, content, url.removeprefix(places.INTERNAL))["data"])
    if row["secret"]:
        raise wrong("The program is kept elsewhere, with credentials of its own.", "BAD_JOB_BINARY")
    container, _, key = places.expanded(url).removeprefix("s3a://").partition("/")
    try:
        return _data(storing.content(ctx.parts.objects, row["project_id"], container, key))
    except CloudError as error:
        raise NotFound(f"The program is not at {url}: {error.message}") from error


def _data(data: bytes) -> Response:
    return Response(data, content_type="application/octet-stream")


# given to the service itself, in v1.1


def _internal(ctx: Context, row: Any) -> dict[str, Any]:
    return keeping.shown(ctx, row, datasize=row["size"])


@V1.get(_INTERNALS, policy=reader("job-binary-internals:list"))
def list_internals(ctx: Context) -> dict[str, Any]:
    """The binaries that were given to the service itself."""
    return keeping.listed(ctx, content, "binaries", lambda row: _internal(ctx, row))


@V1.put(_INTERNAL, policy=member("job-binary-internals:create"), status=202, max_body=_MOST)
def create_internal(ctx: Context, internal_id: str, body: bytes) -> dict[str, Any]:
    """Give the service a binary of this name. Errors: 400 an empty one, or a name that is taken; 413 more than 5 MiB."""
    name = name_of(internal_id)
    if not body:
        raise wrong("Job binary internal data must be a string of length greater than zero", "BAD_JOB_BINARY")
    keeping.free_name(ctx, content, name)
    id_ = new_id()
    row = {"id": id_, "project_id": ctx.project_id, "name": name, "size": len(body), "data": body, "created": now()}
    ctx.db.execute(insert(content).values(**row, is_public=False, is_protected=False))
    return {"job_binary_internal": _internal(ctx, keeping.find(ctx, content, id_))}


@V1.get(_INTERNAL, policy=reader("job-binary-internals:show"))
def show_internal(ctx: Context, internal_id: str) -> dict[str, Any]:
    """One of them, without its data."""
    return {"job_binary_internal": _internal(ctx, keeping.find(ctx, content, internal_id))}


@V1.get(_INTERNAL + "/data", policy=reader("job-binary-internals:data"))
def show_internal_data(ctx: Context, internal_id: str) -> Response:
    """Its data."""
    return _data(keeping.find(ctx, content, internal_id)["data"])


@V1.patch(_INTERNAL, policy=member("job-binary-internals:update"), status=202)
def change_internal(ctx: Context, internal_id: str, body: Common) -> dict[str, Any]:
    """Rename, share or protect one. Errors: 400 a protected one, or a name that is taken."""
    row = keeping.own(ctx, keeping.find(ctx, content, internal_id), "Update", changes=keeping.given(body))
    values = {name: value for name, value in keeping.common(body).items() if name != "description"}
    if body.name is not UNSET and body.name != row["name"]:
        keeping.free_name(ctx, content, name_of(body.name), but=internal_id)
        values["name"] = body.name
    ctx.db.execute(update(content).where(content.c.id == internal_id).values(updated=now(), **values))
    return {"job_binary_internal": _internal(ctx, keeping.find(ctx, content, internal_id))}


@V1.delete(_INTERNAL, policy=member("job-binary-internals:delete"))
def delete_internal(ctx: Context, internal_id: str) -> None:
    """Forget one. Errors: 400 a protected one."""
    row = keeping.own(ctx, keeping.find(ctx, content, internal_id), "Deletion")
    ctx.db.execute(delete(content).where(content.c.id == row["id"]))
