"""The one reconciler of clusters: compares what nodes say with what should be, and moves each cluster one step towards that.

It runs when a node says something new, when a request signals it, and every other second. Each cluster has a transaction of its own; one
that cannot be moved on says why in its row, and hinders no other.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec
import structlog
from sqlalchemy import Connection, delete, select, update

from andromede.core.clock import now
from andromede.core.context import Caller, Context, Parts
from andromede.core.errors import CloudError
from andromede.core.ids import new_request_id
from andromede.engine.model import Reconciler
from andromede.services.compute import service as compute
from andromede.services.hadoop import checks, documents, jobs, life, nodes, steps, storing
from andromede.services.hadoop.clusters import ACTIVE, ERROR
from andromede.services.hadoop.states import State, read, words
from andromede.services.hadoop.tables import cluster, node, node_group
from andromede.services.identity import service as identity
from andromede.services.network import service as network
from andromede.services.quota import service as quota

log = structlog.get_logger("hadoop")
EVERY = 2.0
PATIENCE = timedelta(minutes=15)
"""How long a cluster may take to be whole, and a node to be decommissioned."""
_OWN = "reconciler"


class Member(msgspec.Struct, frozen=True):
    """A node with what is known of it: its row, its group's row, its server, its last state where that is fresh."""

    row: Any
    group: Any
    server: compute.Server | None
    state: State | None
    silent: bool

    @property
    def processes(self) -> list[str]:
        """What it is to run."""
        return list(self.group["facts"]["node_processes"])

    @property
    def broken(self) -> str:
        """Why its server is of no use; empty where it is."""
        if self.server is None or self.server.state in ("deleted", "soft-delete"):
            return "its server is gone"
        if self.server.state == "error":
            return f"its server is in error: {self.server.fault or 'without a reason'}"
        return ""

    @property
    def up(self) -> bool:
        """Whether everything on it runs."""
        daemons = self.state.daemons if self.state is not None else {}
        return self.state is not None and self.state.phase == "running" and all(
            daemons[name].state == "running" for name in self.processes if name in daemons
        )


def reconcilers(parts: Parts) -> list[Reconciler]:
    """`hadoop.clusters`."""
    return [Reconciler(documents.TOPIC, EVERY, lambda: run(parts))]


def run(parts: Parts) -> str:
    """One pass over all clusters."""
    ids = parts.database.look(lambda db: list(db.scalars(select(cluster.c.id).order_by(cluster.c.created))))
    moved = 0
    for id_ in ids:
        try:
            jobs.deliver(parts, id_)
            moved += bool(parts.database.run(lambda db, id_=id_: _one(db, parts, id_)))
        except CloudError as error:
            log.warning("a cluster cannot be moved on", cluster=id_, error=error.message, cause=repr(error.__cause__))
            parts.database.run(lambda db, id_=id_, text=error.message: _complain(db, id_, text))
        except Exception:
            log.exception("a cluster cannot be moved on", cluster=id_)
            parts.database.run(lambda db, id_=id_: _complain(db, id_, "The cloud could not do this; its log says why."))
    return f"{moved} clusters moved on" if moved else ""


def _complain(db: Connection, id_: str, text: str) -> None:
    db.execute(update(cluster).where(cluster.c.id == id_, cluster.c.status_description != text).values(status_description=text))


def acting(parts: Parts, db: Connection, row: Any) -> Context:
    """What the owner of a cluster would do: its user, as a member of its project."""
    caller = Caller(
        user_id=row["user_id"], user_name=_OWN, user_domain_id="default", project_id=row["project_id"], roles=frozenset({"member", "reader"})
    )
    return Context(request_id=new_request_id(), caller=caller, parts=parts, quota=quota.take).bind(db)


def _one(db: Connection, parts: Parts, id_: str) -> bool:
    row = db.execute(select(cluster).where(cluster.c.id == id_)).mappings().first()
    if row is None:
        return False
    members, ctx = _members(db, id_), acting(parts, db, row)
    if row["deleting"]:
        return _leave(ctx, row, members)
    before = (row["status"], row["status_description"], row["generation"])
    changed = jobs.note(db, row, members)
    changed |= _losses(ctx, row, members)
    changed |= _departures(ctx, row, members)
    members = _members(db, id_)
    values = _progress(ctx, row, members)
    values["information"] = _places(members)
    values |= life.look(ctx, row, members, values.get("status", row["status"]))
    values = {name: value for name, value in values.items() if row[name] != value}
    if values:
        db.execute(update(cluster).where(cluster.c.id == id_).values(**values))
    documents.tell(db, parts, id_)
    after = db.execute(select(cluster.c.status, cluster.c.status_description, cluster.c.generation).where(cluster.c.id == id_)).one()
    return changed or tuple(after) != before


def _members(db: Connection, id_: str) -> list[Member]:
    rows = nodes.of(db, id_)
    groups = {one["id"]: one for one in db.execute(select(node_group).where(node_group.c.cluster_id == id_)).mappings()}
    servers = compute.seen(db, [one["server_id"] for one in rows])
    heard = compute.heard(db, [one["server_id"] for one in rows])
    out, moment = [], now()
    for one in rows:
        said = heard.get(one["server_id"])
        fresh = said is not None and said.heard is not None and said.heard > moment - checks.SILENT
        state = read(said.state) if said is not None and fresh else None
        silent = not fresh and bool(one["ready"])
        out.append(Member(one, groups[one["group_id"]], servers.get(one["server_id"]), state, silent))
    return out


def _names(members: list[Member]) -> dict[str, Mapping[str, Any]]:
    return {one.row["server_id"]: {"name": one.row["name"], "group": one.row["group_id"]} for one in members}


# coming to be


def _progress(ctx: Context, row: Any, members: list[Member]) -> dict[str, Any]:
    """The status of a cluster that is not being deleted, and the steps that it has reached."""
    db, here = ctx.db, [one for one in members if not one.row["lost"]]
    staying = [one for one in here if one.row["leaving"] is None]
    bad = next((one for one in staying if one.broken), None)
    if bad is not None:
        return _failed(db, row, f"The node {bad.row['name']} is lost: {bad.broken}", bad)
    failed = next((one for one in staying if one.state is not None and one.state.failed), None)
    if failed is not None and failed.state is not None:
        return _failed(db, row, f"The node {failed.row['name']} failed: {failed.state.failed}", failed)
    mute = next((one for one in staying if one.silent), None)
    if mute is not None:
        return _failed(db, row, f"The node {mute.row['name']} says nothing any more.", mute)
    built = [one for one in staying if one.server is not None and one.server.state == "active"]
    steps.reach(db, row["id"], steps.SERVERS, _names(built))
    mounted = [one for one in built if one.server is not None and nodes.mount(ctx, one.row, one.server)]
    spoken = [one for one in mounted if one.state is not None]
    steps.reach(db, row["id"], steps.ANSWERS, _names(spoken))
    up = [one for one in spoken if one.up]
    steps.reach(db, row["id"], steps.DAEMONS, _names(up))
    for one in up:
        if one.row["ready"] is None:
            db.execute(update(node).where(node.c.server_id == one.row["server_id"]).values(ready=now()))
    status = _stage(staying, built, mounted, spoken, up)
    if row["status"] == ACTIVE:
        status = ACTIVE  # it was whole: what it lacks since is told by its health, unless a node is lost
    elif status == ACTIVE and not _whole(staying):
        status = "Starting"
    if row["status"] in ("Adding Instances", "Decommissioning") and status != ACTIVE:
        status = row["status"]
    if status == ACTIVE:
        return _arrived(ctx, row, leaving=len(here) > len(staying))
    begun = max([one.row["created"] for one in staying], default=row["created"])
    if row["status"] != ACTIVE and begun < now() - PATIENCE:
        return _failed(db, row, f"The cluster was not whole {PATIENCE.seconds // 60} minutes after its last node was made.", None)
    return {"status": status, "status_description": ""}


def _stage(staying: list[Member], built: list[Member], mounted: list[Member], spoken: list[Member], up: list[Member]) -> str:
    whole = len(staying)
    for reached, status in ((built, "Spawning"), (mounted, "Preparing"), (spoken, "Waiting")):
        if len(reached) < whole:
            return status
    if len(up) == whole:
        return ACTIVE
    begun = any(one.state is not None and one.state.daemons for one in staying)
    return "Starting" if begun else "Configuring"


def _whole(staying: list[Member]) -> bool:
    """Whether HDFS is out of safe mode, with every data node and every node manager that should be there."""
    hdfs = next((one.state.hdfs for one in staying if one.state is not None and one.state.hdfs is not None), None)
    yarn = next((one.state.yarn for one in staying if one.state is not None and one.state.yarn is not None), None)
    data = sum("datanode" in one.processes for one in staying)
    managers = sum("nodemanager" in one.processes for one in staying)
    return hdfs is not None and yarn is not None and not hdfs.safe_mode and hdfs.live >= data and yarn.running >= managers


def _arrived(ctx: Context, row: Any, *, leaving: bool) -> dict[str, Any]:
    steps.reach(ctx.db, row["id"], steps.WHOLE, {row["id"]: {"name": row["name"]}})
    if leaving:
        return {"status": "Decommissioning", "status_description": ""}
    if row["status"] == ACTIVE:
        return {"status_description": ""}
    steps.end(ctx.db, row["id"])
    _container(ctx, row)
    log.info("cluster is whole", cluster=row["id"], seconds=round((now() - row["created"]).total_seconds(), 1))
    return {"status": ACTIVE, "status_description": "", "verification": checks.run(ctx.db, row), "updated": now(), "idle_since": now()}


def _container(ctx: Context, row: Any) -> None:
    """Where the logs go is there before the first of them are."""
    storing.container(ctx.parts.objects, row["project_id"], documents.LOGS, row["user_id"])


def _failed(db: Connection, row: Any, why: str, member: Member | None) -> dict[str, Any]:
    text = words(why)
    if row["status"] != ERROR:
        facts = {"node_id": member.row["server_id"], "name": member.row["name"], "group": member.row["group_id"]} if member is not None else {}
        steps.fail(db, row["id"], text, **facts)
    return {"status": ERROR, "status_description": text}


def _places(members: list[Member]) -> dict[str, Any]:
    """Where people find HDFS and YARN."""
    found = {}
    for one in members:
        where = one.row["floating"] or one.row["address"]
        if "namenode" in one.processes:
            found["HDFS"] = {"NameNode": f"hdfs://{one.row['address']}:8020", "Web UI": f"http://{where}:9870"}
        if "resourcemanager" in one.processes:
            found["YARN"] = {"ResourceManager": f"http://{where}:8032", "Web UI": f"http://{where}:8088"}
        if "historyserver" in one.processes:
            found["MapReduce JobHistory Server"] = {"Web UI": f"http://{where}:19888"}
    return found


# changing


def _losses(ctx: Context, row: Any, members: list[Member]) -> bool:
    """Workers of a cluster that was whole, whose servers are of no use or that say nothing any more, are replaced."""
    gone = False
    for one in members:
        if one.row["lost"] and (one.server is None or one.server.state == "deleted"):
            nodes.forget(ctx.db, ctx.parts, one.row)
            gone = True
    if row["status"] not in (ACTIVE, "Adding Instances", "Decommissioning", ERROR):
        return gone
    lost = [one for one in members if not one.row["lost"] and (one.broken or one.silent) and life.replaceable(one.processes)]
    if not lost:
        return gone
    for one in lost:
        log.warning("a node is lost", cluster=row["id"], node=one.row["name"], why=one.broken or "it says nothing any more")
        ctx.db.execute(update(node).where(node.c.server_id == one.row["server_id"]).values(lost=True))
    nodes.remove(ctx, [one.row for one in lost])
    made = nodes.fill(ctx, row["id"])
    if made:
        steps.begin(ctx.db, row["id"], steps.REPLACE, {steps.SERVERS: made, steps.ANSWERS: made, steps.DAEMONS: made, steps.WHOLE: 1})
        ctx.db.execute(update(cluster).where(cluster.c.id == row["id"]).values(status="Adding Instances", status_description=""))
    documents.touch(ctx.db, row["id"])
    return True


def _departures(ctx: Context, row: Any, members: list[Member]) -> bool:
    """Nodes that HDFS and YARN have let go of leave: all that hold data together, for each may be the one that others' blocks are copied from."""
    names = next((one.state.hdfs for one in members if one.state is not None and one.state.hdfs is not None), None)
    left_hdfs = set(names.left) if names is not None and not names.leaving else set()
    left_yarn = {address for one in members if one.state is not None and one.state.yarn is not None for address in one.state.yarn.left}
    left = []
    for one in members:
        if one.row["leaving"] is None or one.row["lost"]:
            continue
        free = ("datanode" not in one.processes or one.row["address"] in left_hdfs) and (
            "nodemanager" not in one.processes or one.row["address"] in left_yarn
        )
        if free or one.broken or one.row["ready"] is None:
            left.append(one)
    if not left:
        return False
    for one in left:
        ctx.db.execute(update(node).where(node.c.server_id == one.row["server_id"]).values(lost=True))
    nodes.remove(ctx, [one.row for one in left])
    steps.reach(ctx.db, row["id"], steps.LEAVE, _names(left))
    documents.touch(ctx.db, row["id"])
    return True


# going


def _leave(ctx: Context, row: Any, members: list[Member]) -> bool:
    """Have the daemons end in order, for a little while; then the servers go, then everything that was the cluster's."""
    stopped = all(one.state is not None and one.state.phase == "stopped" for one in members if not one.broken and not one.row["lost"])
    here = [one for one in members if one.server is not None and one.server.state != "deleted"]
    if not stopped and now() < row["stop_by"]:
        return False
    nodes.remove(ctx, [one.row for one in here if one.server is not None and one.server.task != "deleting"])
    for one in members:
        if one not in here:
            nodes.forget(ctx.db, ctx.parts, one.row)
    if here:
        return True
    _release(ctx, row)
    jobs.abandon(ctx.db, row["id"])
    ctx.db.execute(delete(cluster).where(cluster.c.id == row["id"]))
    log.info("cluster is gone", cluster=row["id"])
    return True


def _release(ctx: Context, row: Any) -> None:
    held = row["held"]
    identity.take_key(ctx.db, held["access"])
    if "server_group" in held:
        compute.forget_group(ctx.db, held["server_group"])
    if "security_group" in held:
        try:
            network.security.delete_group(ctx, held["security_group"])
        except CloudError as error:
            if error.status != 404:
                log.warning("a security group stays", cluster=row["id"], group=held["security_group"], why=error.message)


