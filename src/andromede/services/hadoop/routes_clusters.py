"""Routes of clusters. Source: Data Processing API v1.1 and v2."""

from typing import Any

from msgspec import UNSET

from andromede.core.context import Context
from andromede.http.response import Response
from andromede.services.hadoop import checks, clusters, keeping, nodes, pages, steps
from andromede.services.hadoop.api import V1, V2, both, member, moment, newer, project, reader, version, wrong
from andromede.services.hadoop.routes_templates import group_view
from andromede.services.hadoop.tables import cluster
from andromede.services.hadoop.words import ClusterChange, Forced, NewCluster, Scale

_ALL, _ONE = "/clusters", "/clusters/{cluster_id}"
_QUOTA = ("instances", "cores", "ram")


def view(ctx: Context, row: Any, *, events: bool = False) -> dict[str, Any]:
    """A cluster with its groups and nodes, as this version of the API shows it. events: with who reached which step when."""
    facts = dict(row["facts"])
    number = facts.pop("version")
    members = nodes.of(ctx.db, row["id"])
    groups = []
    for group in clusters.groups_of(ctx.db, row["id"]):
        mine = [one for one in members if one["group_id"] == group["id"] and not one["lost"]]
        groups.append(
            group_view(ctx, group["facts"]) | {
                "id": group["id"], "name": group["name"], "count": group["wanted"], "created_at": moment(group["created"]),
                "updated_at": moment(group["updated"]), "instances": [_instance(ctx, row, one) for one in mine],
            }
        )  # fmt: skip
    progress = steps.shown(ctx, row["id"], row["project_id"], events=events)
    return keeping.shown(
        ctx, row, **version(ctx, number), **facts, status=row["status"], status_description=row["status_description"],
        info=row["information"], is_transient=row["is_transient"], node_groups=groups, provision_progress=progress, trust_id=None,
        management_public_key=None, verification=row["verification"] or {}, health=checks.seen(ctx.db, members),
    )  # fmt: skip


def _instance(ctx: Context, row: Any, one: Any) -> dict[str, Any]:
    return {
        "id": one["server_id"], "instance_id": one["server_id"], "instance_name": one["name"], "internal_ip": one["address"],
        "management_ip": one["floating"] or one["address"], "volumes": one["volumes"], "created_at": moment(one["created"]),
        "updated_at": moment(one["ready"]), "leaving": one["leaving"] is not None, **project(ctx, row["project_id"]),
    }  # fmt: skip


@both("get", _ALL, policy=reader("clusters:list"))
def list_clusters(ctx: Context) -> dict[str, Any]:
    """The clusters."""
    return keeping.listed(ctx, cluster, "clusters", lambda row: view(ctx, row))


@V1.post(_ALL, policy=member("clusters:create"), status=202, quota=_QUOTA)
def create_cluster(ctx: Context, body: NewCluster) -> dict[str, Any]:
    """Make a cluster; answers at once, it is Active when HDFS and YARN are whole.

    Errors: 400 for what cannot be, by the field's name; for a quota too, and then nothing is made.
    """
    if body.count is not UNSET:
        raise wrong("Additional properties are not allowed ('count' was unexpected)", "VALIDATION_ERROR")
    (id_,) = clusters.create(ctx, body)
    return {"cluster": view(ctx, clusters.find(ctx, id_))}


@V1.post(_ALL + "/multiple", policy=member("clusters:create"), status=202, quota=_QUOTA)
def create_clusters(ctx: Context, body: NewCluster) -> dict[str, Any]:
    """Make several clusters alike: all of them, or none. Errors as for one."""
    if body.count is UNSET:
        raise wrong("count: it is a required property", "VALIDATION_ERROR")
    return {"clusters": clusters.create(ctx, body)}


@V2.post(_ALL, policy=member("clusters:create"), status=202, quota=_QUOTA)
def create_one_or_several(ctx: Context, body: NewCluster) -> dict[str, Any]:
    """Make a cluster, or `count` of them; answers at once, one is Active when HDFS and YARN are whole.

    Errors: 400 for what cannot be, by the field's name; for a quota too, and then nothing is made.
    """
    ids = clusters.create(ctx, body)
    made = [{"cluster": view(ctx, clusters.find(ctx, id_))} for id_ in ids]
    return made[0] if body.count is UNSET else {"clusters": made}


@both("get", _ONE, policy=reader("clusters:show"))
def show_cluster(ctx: Context, cluster_id: str) -> dict[str, Any]:
    """A cluster; with `show_progress=true`, who reached which step when."""
    events = (ctx.query.get("show_progress") or "false").lower() == "true"
    return {"cluster": view(ctx, clusters.find(ctx, cluster_id), events=events)}


@both("put", _ONE, policy=member("clusters:scale"), status=202)
def scale_cluster(ctx: Context, cluster_id: str, body: Scale) -> dict[str, Any]:
    """Give a cluster more nodes, or decommission some. Errors: 400 one that is not Active, a group that is not there, a quota."""
    if not newer(ctx) and any(one.instances is not UNSET for one in body.resize_node_groups or []):
        raise wrong("Additional properties are not allowed ('instances' was unexpected)", "VALIDATION_ERROR")
    return {"cluster": view(ctx, clusters.scale(ctx, cluster_id, body))}


@both("patch", _ONE, policy=member("clusters:update"), status=202)
def change_cluster(ctx: Context, cluster_id: str, body: ClusterChange) -> dict[str, Any]:
    """Rename, share or protect a cluster, or verify its health. Errors: 400 a protected one, or one that is not Active."""
    if body.update_keypair not in (UNSET, None, False):
        raise wrong("update_keypair: the key of a server is chosen when it is made")
    return {"cluster": view(ctx, clusters.change(ctx, cluster_id, body))}


@V1.delete(_ONE, policy=member("clusters:delete"))
def delete_cluster(ctx: Context, cluster_id: str) -> None:
    """Delete a cluster, whatever its state is. Errors: 400 a protected one."""
    clusters.remove(ctx, cluster_id)


@V2.delete(_ONE, policy=member("clusters:delete"))
def delete_cluster_perhaps_at_once(ctx: Context, cluster_id: str, body: Forced | None = None) -> Response:
    """Delete a cluster, whatever its state is; `force`: without letting its daemons end in order. Errors: 400 a protected one."""
    force = body is not None and body.force is True
    clusters.remove(ctx, cluster_id, force=force)
    return Response({"stack_name": None}, status=200) if force else Response(status=204)


@V2.get(_ONE + "/pages/{page}", policy=reader("clusters:pages"), tx="none")
def show_page(ctx: Context, cluster_id: str, page: str) -> Response:
    """A web page of a cluster: `hdfs`, `yarn` or `jobs`, at `path` (the start without it), as its NameNode, ResourceManager or
    JobHistoryServer answers.

    Errors: 400 for what is no path, 404 for an unknown page, 409 where the node cannot be reached, 503 where it does not answer.
    """
    return pages.fetch(ctx, cluster_id, page, ctx.query.get("path") or "/")
