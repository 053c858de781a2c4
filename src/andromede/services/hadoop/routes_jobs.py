"""Routes of jobs: templates (`jobs` in v1.1, `job-templates` in v2) and their runs (`job-executions`, `jobs`).

Source: Data Processing API v1.1 and v2.
"""

from typing import Any

import msgspec
from msgspec import UNSET
from sqlalchemy import select

from andromede.core.context import Context
from andromede.core.errors import NotFound
from andromede.services.hadoop import jobs, keeping, places, plugin
from andromede.services.hadoop.api import V1, V2, member, newer, reader, wrong
from andromede.services.hadoop.tables import job, thing
from andromede.services.hadoop.words import Common, JobTemplate, Run, RunChange, id_of, name_of

_OLD, _NEW = "/jobs/{job_template_id}", "/job-templates/{job_template_id}"
_OLD_RUN = "/job-executions/{job_id}"
_WITH_MAIN = ("Pig", "Hive", "Shell", "Spark", "Storm", "Storm.Pyleus")
_MAPPINGS = ("args", "configs", "params")


def _template(ctx: Context, row: Any) -> dict[str, Any]:
    facts = row["facts"]
    binaries = {name: [_binary(ctx, id_) for id_ in facts[name]] for name in ("mains", "libs")}
    return keeping.shown(ctx, row, type=facts["type"], interface=facts["interface"], **binaries)


def _binary(ctx: Context, id_: str) -> dict[str, Any]:
    row = keeping.find(ctx, thing, id_, kind=places.BINARY)
    return keeping.shown(ctx, row, url=row["facts"]["url"])


def _key(ctx: Context) -> str:
    return "job_template" if newer(ctx) else "job"


@V1.get("/jobs", policy=reader("job-templates:list"))
@V2.get("/job-templates", policy=reader("job-templates:list"))
def list_job_templates(ctx: Context) -> dict[str, Any]:
    """The templates of jobs."""
    return keeping.listed(ctx, thing, f"{_key(ctx)}s", lambda row: _template(ctx, row), kind=jobs.TEMPLATE)


@V1.post("/jobs", policy=member("job-templates:create"), status=202)
@V2.post("/job-templates", policy=member("job-templates:create"), status=202)
def create_job_template(ctx: Context, body: JobTemplate) -> dict[str, Any]:
    """Keep a template of jobs. Errors: 400 an unknown type, programs that are missing or that the type does not take, a name that is taken."""
    for field in ("name", "type"):
        if getattr(body, field) is UNSET:
            raise wrong(f"{field}: it is a required property", "VALIDATION_ERROR")
    assert isinstance(body.name, str)
    assert isinstance(body.type, str)
    known = (*plugin.JOBS, *plugin.NOT_HERE)
    if body.type not in known:
        raise wrong(f"type: '{body.type[:40]}' is not one of {list(known)}", "VALIDATION_ERROR")
    mains, libs = list(body.mains or []), list(body.libs or [])
    _check_programs(ctx, body.type, mains, libs)
    facts = {"type": body.type, "mains": mains, "libs": libs, "interface": _interface(body.interface or [])}
    return {_key(ctx): _template(ctx, keeping.add(ctx, jobs.TEMPLATE, body, name_of(body.name), facts))}


def _check_programs(ctx: Context, kind: str, mains: list[str], libs: list[str]) -> None:
    if kind in _WITH_MAIN:
        if not mains:
            raise wrong(f"mains: {kind} {'job requires main application jar' if kind == 'Spark' else 'flow requires main script'}")
        if set(mains) & set(libs):
            raise wrong("libs: 'mains' and 'libs' overlap")
    elif mains:
        raise wrong(f"mains: {kind} flow does not use mains")
    elif not libs and kind != "MapReduce.Streaming":
        raise wrong(f"libs: {kind} flow requires libs")
    for field, ids in (("mains", mains), ("libs", libs)):
        for id_ in ids:
            try:
                keeping.find(ctx, thing, id_of(field, id_), kind=places.BINARY)
            except NotFound as error:
                raise wrong(f"{field}: Job binary '{id_}' does not exist", "NOT_FOUND") from error


class _Argument(msgspec.Struct, forbid_unknown_fields=True):
    """One argument of an interface."""

    name: str
    mapping_type: str
    location: str
    value_type: str = "string"
    required: bool = True
    default: str | None = None
    description: str | None = None


def _interface(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for number, one in enumerate(given):
        try:
            argument = msgspec.convert(one, type=_Argument)
        except msgspec.ValidationError as error:
            raise wrong(f"interface[{number}]: {error}", "VALIDATION_ERROR") from error
        if argument.mapping_type not in _MAPPINGS:
            raise wrong(f"interface[{number}].mapping_type: it must be one of {list(_MAPPINGS)}", "VALIDATION_ERROR")
        if argument.mapping_type == "args" and not argument.location.isdecimal():
            raise wrong(f"interface[{number}].location: Locations of positional arguments must be an unbroken integer sequence ascending from 0")
        if any(other["name"] == argument.name for other in out):
            raise wrong(f"interface[{number}].name: Name must be unique within the interface for any job.")
        out.append(msgspec.to_builtins(argument) | {"id": str(number)})
    places_of = sorted(int(one["location"]) for one in out if one["mapping_type"] == "args")
    if places_of != list(range(len(places_of))):
        raise wrong("interface: Locations of positional arguments must be an unbroken integer sequence ascending from 0.")
    return out


@V1.get(_OLD, policy=reader("job-templates:show"))
@V2.get(_NEW, policy=reader("job-templates:show"))
def show_job_template(ctx: Context, job_template_id: str) -> dict[str, Any]:
    """A template of jobs."""
    return {_key(ctx): _template(ctx, keeping.find(ctx, thing, job_template_id, kind=jobs.TEMPLATE))}


@V1.patch(_OLD, policy=member("job-templates:update"), status=202)
@V2.patch(_NEW, policy=member("job-templates:update"), status=202)
def change_job_template(ctx: Context, job_template_id: str, body: Common) -> dict[str, Any]:
    """Rename, describe, share or protect a template. Errors: 400 a protected one, or a name that is taken."""
    row = keeping.find(ctx, thing, job_template_id, kind=jobs.TEMPLATE)
    keeping.own(ctx, row, "Update", changes=keeping.given(body))
    name = None if body.name is UNSET else name_of(body.name)
    return {_key(ctx): _template(ctx, keeping.alter(ctx, row, body, name=name))}


@V1.delete(_OLD, policy=member("job-templates:delete"))
@V2.delete(_NEW, policy=member("job-templates:delete"))
def delete_job_template(ctx: Context, job_template_id: str) -> None:
    """Forget a template. Errors: 400 one that has runs, or a protected one."""
    row = keeping.find(ctx, thing, job_template_id, kind=jobs.TEMPLATE)
    keeping.own(ctx, row, "Deletion")
    if ctx.db.execute(select(job.c.id).where(job.c.template_id == job_template_id).limit(1)).first():
        raise wrong(f"Deletion failed: job template '{row['name']}' has runs", "DELETION_FAILED")
    keeping.remove(ctx, row)


# runs


@V1.post(_OLD + "/execute", policy=member("jobs:execute"), status=202)
def execute_job(ctx: Context, job_template_id: str, body: Run) -> dict[str, Any]:
    """Run a job on a cluster. Errors: 400 a cluster that is not Active, and what the job lacks."""
    if body.job_template_id is not UNSET:
        raise wrong("Additional properties are not allowed ('job_template_id' was unexpected)", "VALIDATION_ERROR")
    return {"job_execution": jobs.view(ctx, jobs.execute(ctx, job_template_id, body))}


@V2.post("/jobs", policy=member("jobs:execute"), status=202)
def run_job(ctx: Context, body: Run) -> dict[str, Any]:
    """Run a job on a cluster. Errors: 400 a cluster that is not Active, and what the job lacks."""
    if body.job_template_id is UNSET:
        raise wrong("job_template_id: it is a required property", "VALIDATION_ERROR")
    try:
        return {"job": jobs.view(ctx, jobs.execute(ctx, id_of("job_template_id", body.job_template_id), body))}
    except NotFound as error:
        raise wrong(f"job_template_id: Job template with id '{body.job_template_id}' doesn't exist", "INVALID_REFERENCE") from error


def _run(ctx: Context, row: Any) -> dict[str, Any]:
    return {"job" if newer(ctx) else "job_execution": jobs.view(ctx, row)}


@V1.get("/job-executions", policy=reader("jobs:list"))
@V2.get("/jobs", policy=reader("jobs:list"))
def list_jobs(ctx: Context) -> dict[str, Any]:
    """The runs of jobs."""
    return keeping.listed(ctx, job, "jobs" if newer(ctx) else "job_executions", lambda row: jobs.view(ctx, row))


@V1.get(_OLD_RUN, policy=reader("jobs:show"))
@V1.get(_OLD_RUN + "/refresh-status", policy=reader("jobs:refresh"))
@V2.get("/jobs/{job_id}", policy=reader("jobs:show"))
def show_job(ctx: Context, job_id: str) -> dict[str, Any]:
    """A run, as its cluster said last."""
    return _run(ctx, jobs.find(ctx, job_id))


@V1.get(_OLD_RUN + "/cancel", policy=member("jobs:cancel"), tx="none")
def cancel_job(ctx: Context, job_id: str) -> dict[str, Any]:
    """Have a run end. Errors: 400 another project's, or a protected one."""
    shown: dict[str, Any] = ctx.parts.database.run(lambda db: _run(ctx.bind(db), jobs.cancel(ctx, job_id)))
    ctx.bind(None)
    return shown


@V1.patch(_OLD_RUN, policy=member("jobs:update"), status=202)
@V2.patch("/jobs/{job_id}", policy=member("jobs:update"), status=202)
def change_job(ctx: Context, job_id: str, body: RunChange) -> dict[str, Any]:
    """Share or protect a run, or cancel it. Errors: 400 a protected one, or what no engine here does."""
    return _run(ctx, jobs.change(ctx, job_id, body))


@V1.delete(_OLD_RUN, policy=member("jobs:delete"))
@V2.delete("/jobs/{job_id}", policy=member("jobs:delete"))
def delete_job(ctx: Context, job_id: str) -> None:
    """Forget a run; one that is under way ends. Errors: 400 a protected one."""
    jobs.remove(ctx, job_id)
