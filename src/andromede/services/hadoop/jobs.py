"""The rules of jobs: what a template may be, running it on a cluster, and what became of that.

A run is an order in the document of the node that has the resource manager; that node says what becomes of it.
"""

from typing import TYPE_CHECKING, Any

from msgspec import UNSET
from sqlalchemy import Connection, delete, insert, select, update

from andromede.core.clock import now
from andromede.core.context import Context, Parts
from andromede.core.errors import NotFound
from andromede.core.ids import new_id
from andromede.services.hadoop import clusters, documents, keeping, places, plugin, storing
from andromede.services.hadoop.api import moment, newer, wrong
from andromede.services.hadoop.states import when, words
from andromede.services.hadoop.tables import cluster, content, job, thing
from andromede.services.hadoop.words import Run, RunChange, id_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from andromede.services.hadoop.reconcile import Member

TEMPLATE = "job_template"
ENDED = ("SUCCEEDED", "FAILED", "KILLED")
_KNOWN = ("PENDING", "RUNNING", *ENDED)
CANCELLING = "TOBEKILLED"
_MAIN, _MAPPER, _REDUCER = "edp.java.main_class", "edp.streaming.mapper", "edp.streaming.reducer"


def execute(ctx: Context, template_id: str, body: Run) -> Any:
    """The row of a new run of a template. Raises BadRequest for what the job lacks, NotFound for an unknown template."""
    template = keeping.find(ctx, thing, template_id, kind=TEMPLATE)
    facts = template["facts"]
    row = _cluster(ctx, id_of("cluster_id", body.cluster_id))
    if facts["type"] not in plugin.JOBS:
        raise wrong(
            f"Cluster with id '{row['id']}' doesn't support job type '{facts['type']}': there is no such engine in it; it runs "
            f"{', '.join(plugin.JOBS)}", "INVALID_REFERENCE",
        )  # fmt: skip
    if row["status"] != clusters.ACTIVE:
        raise wrong(f"cluster_id: jobs run on clusters in status 'Active', and this one is in '{row['status']}'", "INVALID_REFERENCE")
    asked = body.job_configs or UNSET
    configs = dict(asked.configs or {}) if asked is not UNSET else {}
    args = [str(one) for one in asked.args or []] if asked is not UNSET else []
    params = {name: str(value) for name, value in (asked.params or {}).items()} if asked is not UNSET else {}
    if asked is not UNSET and asked.job_execution_info:
        raise wrong("job_configs.job_execution_info: jobs run at once; there is no scheduler of jobs here", "INVALID_REFERENCE")
    _interface(facts, body, configs, args, params)
    sources = {field: _source(ctx, field, getattr(body, field)) for field in ("input_id", "output_id") if getattr(body, field)}
    _check(facts["type"], configs, sources)
    id_ = new_id()
    order = _order(ctx, facts, configs, args, params, sources) | {"id": id_}
    ctx.db.execute(
        insert(job).values(
            id=id_, project_id=ctx.project_id, cluster_id=row["id"], template_id=template_id, is_public=bool(body.is_public),
            is_protected=bool(body.is_protected), input_id=body.input_id or None, output_id=body.output_id or None,
            configs={"configs": configs, "args": args, "params": params}, interface=body.interface or None,
            sources={one["id"]: one["url"] for one in sources.values()}, secret=keeping.seal(ctx.parts, order), status="PENDING", detail="",
            cancel=False, created=now(),
        )
    )  # fmt: skip
    documents.tell(ctx.db, ctx.parts, row["id"])
    ctx.parts.operations.signal(ctx.db, documents.TOPIC)
    return find(ctx, id_)


def _cluster(ctx: Context, cluster_id: str) -> Any:
    try:
        row = clusters.find(ctx, cluster_id)
    except NotFound as error:
        raise wrong(f"cluster_id: Cluster with id '{cluster_id}' doesn't exist", "INVALID_REFERENCE") from error
    if row["project_id"] != ctx.project_id:
        raise wrong(f"cluster_id: Cluster with id '{cluster_id}' is another project's", "INVALID_REFERENCE")
    return row


def _source(ctx: Context, field: str, id_: str) -> Any:
    id_of(field, id_)
    try:
        row = keeping.find(ctx, thing, id_, kind=places.SOURCE)
    except NotFound as error:
        raise wrong(f"{field}: DataSource with id '{id_}' doesn't exist", "INVALID_REFERENCE") from error
    return {"id": id_, "url": places.expanded(row["facts"]["url"]), "secret": keeping.unseal(ctx.parts, row["secret"]), "name": row["name"]}


def _interface(facts: Any, body: Run, configs: dict[str, Any], args: list[str], params: dict[str, str]) -> None:
    """Put what the template's interface asks for where it belongs."""
    given = dict(body.interface or {})
    positional: dict[int, str] = {}
    for one in facts["interface"]:
        value = given.pop(one["name"], one.get("default"))
        if value is None:
            if one.get("required", True):
                raise wrong(f"interface.{one['name']}: Argument '{one['name']}' is required")
            continue
        kind, location = one["mapping_type"], one["location"]
        if kind == "args":
            positional[int(location)] = str(value)
        else:
            (configs if kind == "configs" else params)[location] = str(value)
    if given:
        raise wrong(f"interface: unknown arguments {sorted(given)}")
    args[:0] = [positional[at] for at in sorted(positional)]


def _check(kind: str, configs: dict[str, Any], sources: dict[str, Any]) -> None:
    if kind in ("Java", "Spark") and kind == "Java" and not isinstance(configs.get(_MAIN), str):
        raise wrong(f"job_configs: {kind} job must specify {_MAIN}")
    if kind == "MapReduce.Streaming" and not (configs.get(_MAPPER) and configs.get(_REDUCER)):
        raise wrong(f"job_configs: {kind} job must specify streaming mapper and reducer ({_MAPPER}, {_REDUCER})")
    if kind in ("MapReduce", "MapReduce.Streaming"):
        for field in ("input_id", "output_id"):
            if field not in sources:
                raise wrong(f"{field}: {kind} job requires 'input_id' and 'output_id'")
        if sources["input_id"]["url"] == sources["output_id"]["url"]:
            raise wrong("output_id: Provided input and output data sources reference the same location")


def _order(
    ctx: Context, facts: Any, configs: dict[str, Any], args: list[str], params: dict[str, str], sources: dict[str, Any]
) -> dict[str, Any]:
    """What the node is told."""
    settings = {name: str(value) for name, value in configs.items() if not name.startswith("edp.")}
    mains, libs = ([_program(ctx, id_, settings) for id_ in facts[name]] for name in ("mains", "libs"))
    for source in sources.values():
        places.credentials(source["url"], source["secret"], settings)
    if facts["type"] == "MapReduce" and not mains and libs:
        mains = libs[:1]
    if facts["type"] == "Java" and not mains:
        mains = libs[:1]
    by_id = {one["id"]: one["url"] for one in sources.values()}
    return {
        "type": facts["type"], "main": mains[0] if mains else "", "libs": [one for one in [*mains[1:], *libs] if one not in mains[:1]],
        "args": [places.resolved(ctx, one, by_id) for one in args], "configs": settings,
        "params": {name: places.resolved(ctx, value, by_id) for name, value in params.items()},
        "input": sources.get("input_id", {}).get("url", ""), "output": sources.get("output_id", {}).get("url", ""),
        "main_class": str(configs.get(_MAIN, "")), "mapper": str(configs.get(_MAPPER, "")), "reducer": str(configs.get(_REDUCER, "")),
    }  # fmt: skip


def _program(ctx: Context, id_: str, settings: dict[str, str]) -> str:
    """Where a node finds a job binary. Raises BadRequest where that is gone."""
    try:
        row = keeping.find(ctx, thing, id_, kind=places.BINARY)
    except NotFound as error:
        raise wrong(f"Job binary '{id_}' does not exist", "NOT_FOUND") from error
    url = row["facts"]["url"]
    if url.startswith(places.INTERNAL):
        found = ctx.db.execute(select(content.c.id, content.c.name).where(content.c.id == url.removeprefix(places.INTERNAL))).first()
        if found is None:
            raise wrong(f"Job binary '{row['name']}': its data is gone", "NOT_FOUND")
        return f"s3a://{storing.PROGRAMS}/{found.id}/{found.name}"
    url = places.expanded(url)
    places.credentials(url, keeping.unseal(ctx.parts, row["secret"]), settings)
    return url


def find(ctx: Context, id_: str) -> Any:
    """A run's row that the caller may see. Raises NotFound."""
    return keeping.find(ctx, job, id_)


def view(ctx: Context, row: Any) -> dict[str, Any]:
    """A run, as this version of the API shows it."""
    shown = keeping.shown(ctx, row)
    engine = {"engine_job_id": row["application"]} if newer(ctx) else {"oozie_job_id": row["application"]}
    template = {"job_template_id": row["template_id"]} if newer(ctx) else {"job_id": row["template_id"]}
    status = CANCELLING if row["cancel"] and row["ended"] is None else row["status"]
    info = {"status": status, "detail": row["detail"], "application_id": row["application"]}
    return shown | engine | template | {
        "cluster_id": row["cluster_id"], "input_id": row["input_id"], "output_id": row["output_id"], "job_configs": row["configs"],
        "interface": row["interface"] or {}, "data_source_urls": row["sources"], "info": info, "start_time": moment(row["started"]),
        "end_time": moment(row["ended"]), "return_code": {"SUCCEEDED": "0", "FAILED": "1", "KILLED": "1"}.get(row["status"]),
    }  # fmt: skip


def cancel(ctx: Context, id_: str) -> Any:
    """Have a run end; answers its row. Raises BadRequest for another project's, or a protected one."""
    row = find(ctx, id_)
    if row["project_id"] != ctx.caller.project_id and not ctx.caller.admin:
        raise wrong(f"Job execution with id '{id_}' cannot be canceled because it wasn't created in this tenant", "CANCELING_FAILED")
    if row["is_protected"]:
        raise wrong(f"Job Execution with id '{id_}' cannot be canceled because it's marked as protected", "CANCELING_FAILED")
    if row["ended"] is None:
        ctx.db.execute(update(job).where(job.c.id == id_).values(cancel=True, updated=now()))
        documents.tell(ctx.db, ctx.parts, row["cluster_id"])
    return find(ctx, id_)


def change(ctx: Context, id_: str, body: RunChange) -> Any:
    """Share or protect a run, or cancel it; answers its row."""
    if body.info is not UNSET:
        if body.info.status == "suspend":
            raise wrong("info.status: Engine doesn't support suspending job feature", "INVALID_REFERENCE")
        return cancel(ctx, id_)
    keeping.own(ctx, find(ctx, id_), "Update", changes=keeping.given(body))
    ctx.db.execute(update(job).where(job.c.id == id_).values(updated=now(), **keeping.common(body)))
    return find(ctx, id_)


def remove(ctx: Context, id_: str) -> None:
    """Forget a run; one that is under way ends."""
    row = keeping.own(ctx, find(ctx, id_), "Deletion")
    ctx.db.execute(delete(job).where(job.c.id == id_))
    if row["cluster_id"] and row["ended"] is None:
        documents.tell(ctx.db, ctx.parts, row["cluster_id"])


# what the reconciler does


def note(db: Connection, row: Any, members: "Sequence[Member]") -> bool:
    """Write down what the cluster's master says of its runs; whether that was news."""
    told = {id_: one for member in members if member.state is not None and not member.row["lost"] for id_, one in member.state.jobs.items()}
    if not told:
        return False
    changed = False
    for one in db.execute(select(job).where(job.c.cluster_id == row["id"], job.c.ended.is_(None))).mappings().all():
        said = told.get(one["id"])
        if said is None or said.state not in _KNOWN:
            continue
        values: dict[str, Any] = {"status": said.state, "detail": words(said.detail), "application": said.application_id[:255] or None}
        values["started"] = one["started"] or when(said.started) or (now() if said.state != "PENDING" else None)
        if said.state in ENDED:
            values["ended"] = when(said.ended) or now()
        if any(one[name] != value for name, value in values.items()):
            db.execute(update(job).where(job.c.id == one["id"]).values(updated=now(), **values))
            changed = True
    return changed


def abandon(db: Connection, cluster_id: str) -> None:
    """The cluster is gone: what it did not finish is over, and what it did is kept."""
    live = (job.c.cluster_id == cluster_id, job.c.ended.is_(None))
    db.execute(update(job).where(*live).values(status="KILLED", detail="The cluster was deleted.", ended=now(), updated=now()))
    db.execute(update(job).where(job.c.cluster_id == cluster_id).values(cluster_id=None))


def deliver(parts: Parts, cluster_id: str) -> None:
    """Put programs that were given to this service itself where the cluster's new runs find them. Raises CloudError."""

    def wanted(db: Connection) -> list[tuple[str, str, str]]:
        owner = db.execute(select(cluster.c.project_id, cluster.c.user_id).where(cluster.c.id == cluster_id)).first()
        runs = db.execute(select(job.c.secret).where(job.c.cluster_id == cluster_id, job.c.status == "PENDING", job.c.started.is_(None))).all()
        prefix = f"s3a://{storing.PROGRAMS}/"
        urls = {url for run in runs for order in [keeping.unseal(parts, run.secret)] for url in [order["main"], *order["libs"]]}
        return [(owner.project_id, owner.user_id, url.removeprefix(prefix)) for url in sorted(urls) if owner and url.startswith(prefix)]

    for project_id, user_id, key in parts.database.look(wanted):
        place = parts.objects.find(project_id, storing.PROGRAMS)
        if place is not None and parts.objects.newest(place, key) is not None:
            continue
        data = parts.database.look(lambda db, key=key: db.scalar(select(content.c.data).where(content.c.id == key.partition("/")[0])))
        if data is not None:
            storing.deliver(parts.objects, project_id, user_id, key, data)
