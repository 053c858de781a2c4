"""The rules of clusters: making one of servers in one transaction, scaling, changing, deleting it.

A request writes what is wished for and makes or orders the servers at once, so that a quota refuses the whole; all that comes after is
the reconciler's.
"""

import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from msgspec import UNSET
from sqlalchemy import Connection, insert, select, update

from andromede.core.clock import now
from andromede.core.context import Context
from andromede.core.errors import CloudError, NotFound
from andromede.core.ids import new_id
from andromede.services.compute import service as compute
from andromede.services.hadoop import checks, documents, keeping, nodes, plugin, registry, shapes, steps
from andromede.services.hadoop.api import wrong
from andromede.services.hadoop.tables import cluster, node, node_group, thing
from andromede.services.hadoop.words import ClusterChange, NewCluster, Scale, id_of, name_of
from andromede.services.identity import service as identity
from andromede.services.network import service as network

GRACE = timedelta(seconds=2)
"""How long the daemons of a cluster that is deleted may take to end in order and to put their last logs away."""
ACTIVE, ERROR, DELETING = "Active", "Error", "Deleting"
_SETTLED = (ACTIVE, ERROR)


def find(ctx: Context, cluster_id: str) -> Any:
    """A cluster's row that the caller may see. Raises NotFound."""
    return keeping.find(ctx, cluster, cluster_id)


def groups_of(db: Connection, cluster_id: str) -> list[Any]:
    """Its groups, in order."""
    return list(db.execute(select(node_group).where(node_group.c.cluster_id == cluster_id).order_by(node_group.c.place)).mappings())


def create(ctx: Context, body: NewCluster) -> list[str]:
    """The ids of the new clusters: one, or as many as `count` says. Their servers are being built when this returns.

    Raises BadRequest that names the field, and by Sahara's names for quotas and names that are taken.
    """
    if body.name is UNSET:
        raise wrong("name: it is a required property", "VALIDATION_ERROR")
    name_of(body.name, host=True)
    template = _template(ctx, body)
    plan = _plan(ctx, body, template)
    number = body.count or 1
    names = [body.name] if body.count is UNSET else [f"{body.name}-{index + 1}" for index in range(number)]
    return [_make(ctx, body, name, plan, template["id"] if template else None) for name in names]


def _template(ctx: Context, body: NewCluster) -> Any:
    if not body.cluster_template_id:
        return None
    id_of("cluster_template_id", body.cluster_template_id)
    try:
        return keeping.find(ctx, thing, body.cluster_template_id, kind=shapes.CLUSTER)
    except NotFound as error:
        raise wrong(f"cluster_template_id: Cluster template with id '{body.cluster_template_id}' not found", "NOT_FOUND") from error


def _plan(ctx: Context, body: NewCluster, template: Any) -> dict[str, Any]:
    """What is asked for, whole and checked."""
    base = template["facts"] if template else None
    versions = shapes.versions(ctx, body, base)
    facts = shapes.cluster_facts(body, {name: base[name] for name in shapes.cluster_names() if name in base} if base else None)
    groups = shapes.groups(ctx, body.node_groups) if body.node_groups else list(base["node_groups"]) if base else []
    if not groups:
        raise wrong("node_groups: a cluster needs groups of nodes, of its own or of its template", "VALIDATION_ERROR")
    plugin.check_counts([(one["node_processes"], one["count"]) for one in groups])
    key = body.user_keypair_id or None
    try:
        if key is not None:
            compute.public_key(ctx, key)
    except CloudError as error:
        raise wrong(f"user_keypair_id: Requested keypair '{key}' not found", "NOT_FOUND") from error
    facts["neutron_management_network"] = _network(ctx, facts["neutron_management_network"])
    images = [one["image_id"] or facts["default_image_id"] for one in groups]
    for one, image_id in zip(groups, images, strict=True):
        one["chosen_image"] = registry.chosen(ctx, image_id)
        registry.check_disk(ctx, one["chosen_image"], one["flavor_id"], "node_groups.flavor_id")
    return {**versions, **facts, "groups": groups, "user_keypair_id": key}


def _network(ctx: Context, wanted: str | None) -> str:
    try:
        if wanted is not None:
            network.old_compute.show_network(ctx, wanted)
            return wanted
        found = network.automatic(ctx)
    except NotFound as error:
        raise wrong(f"neutron_management_network: Network {wanted} not found", "NOT_FOUND") from error
    except CloudError as error:
        raise wrong(f"neutron_management_network: {error.message}", "NOT_FOUND") from error
    if not found:
        raise wrong("neutron_management_network: the project has no network for the nodes", "NOT_FOUND")
    return str(found[0].network_id)


def _make(ctx: Context, body: NewCluster, name: str, plan: Mapping[str, Any], template_id: str | None) -> str:
    keeping.free_name(ctx, cluster, name)
    for group in plan["groups"]:
        nodes.check_name(name, group["name"])
    id_, moment = new_id(), now()
    try:
        credential, access, secret = identity.give_key(ctx)
        held: dict[str, Any] = {"access": credential, "floating": []}
        if any(group["auto_security_group"] is not False for group in plan["groups"]):
            held["security_group"] = nodes.security_group(ctx, name, id_)
        if plan["anti_affinity"]:
            held["server_group"] = compute.keep_apart(ctx, f"{name}-{id_[:8]}")
    except CloudError as error:
        raise shapes.in_sahara(error) from error
    facts = {key: value for key, value in plan.items() if key != "groups"} | {"cluster_template_id": template_id}
    ctx.db.execute(
        insert(cluster).values(
            id=id_, project_id=ctx.project_id, user_id=ctx.caller.user_id, name=name, description=body.description or None,
            is_public=bool(body.is_public), is_protected=bool(body.is_protected), is_transient=bool(body.is_transient), facts=facts,
            secret=keeping.seal(ctx.parts, {"access": access, "secret": secret, "shared": secrets.token_hex(32)}), identity=f"CID-{new_id()}",
            generation=1, deleting=False, status="Spawning", status_description="", information={}, held=held, created=moment,
        )
    )  # fmt: skip
    for place, group in enumerate(plan["groups"]):
        _add_group(ctx, id_, place, group)
    total = nodes.fill(ctx, id_)
    steps.begin(ctx.db, id_, steps.CREATE, {steps.SERVERS: total, steps.ANSWERS: total, steps.DAEMONS: total, steps.WHOLE: 1})
    documents.tell(ctx.db, ctx.parts, id_)
    ctx.parts.operations.signal(ctx.db, documents.TOPIC)
    return id_


def _add_group(ctx: Context, cluster_id: str, place: int, group: Mapping[str, Any]) -> None:
    facts = {key: value for key, value in group.items() if key not in ("name", "count", "next")}
    ctx.db.execute(
        insert(node_group).values(
            id=new_id(), cluster_id=cluster_id, name=group["name"], place=place, wanted=group["count"], next=0, facts=facts, created=now()
        )
    )  # fmt: skip


def scale(ctx: Context, cluster_id: str, body: Scale) -> Any:
    """Give groups more nodes or fewer, and the cluster more groups; answers its row.

    Raises BadRequest where it is not Active, for groups that are not there (or are), and for what would leave it without what it needs.
    """
    row = keeping.own(ctx, find(ctx, cluster_id), "Scaling", changes={})
    if row["status"] != ACTIVE or row["deleting"]:
        raise wrong(f"Cluster cannot be scaled not in 'Active' status. Cluster status: {row['status']}", "INVALID_REFERENCE")
    if body.resize_node_groups is UNSET and body.add_node_groups is UNSET:
        raise wrong("resize_node_groups: it or add_node_groups is a required property", "VALIDATION_ERROR")
    have = {one["name"]: one for one in groups_of(ctx.db, cluster_id)}
    counts = {name: one["wanted"] for name, one in have.items()}
    chosen: dict[str, list[str]] = {}
    for number, one in enumerate(body.resize_node_groups or []):
        field = f"resize_node_groups[{number}]"
        if one.name not in have:
            raise wrong(f"{field}.name: The cluster doesn't contain node group with name '{one.name}'", "INVALID_REFERENCE")
        if not set(have[one.name]["facts"]["node_processes"]) <= plugin.WORKERS:
            raise wrong(f"{field}.name: node group '{one.name}' has a master in it, of which there is one", "NODE_GROUP_CANNOT_BE_SCALED")
        counts[one.name] = one.count
        chosen[one.name] = _chosen(ctx.db, have[one.name], one.instances or [], one.count, field)
    added = shapes.groups(ctx, body.add_node_groups or [])
    for new in added:
        if new["name"] in have:
            raise wrong(f"add_node_groups: The cluster has a node group with name '{new['name']}' already", "INVALID_REFERENCE")
        if not set(new["node_processes"]) <= plugin.WORKERS:
            raise wrong(f"add_node_groups: node group '{new['name']}' has a master in it, of which there is one", "NODE_GROUP_CANNOT_BE_SCALED")
        nodes.check_name(row["name"], new["name"])
        new["chosen_image"] = registry.chosen(ctx, new["image_id"] or row["facts"]["default_image_id"])
        registry.check_disk(ctx, new["chosen_image"], new["flavor_id"], "add_node_groups.flavor_id")
    wanted = [(group["facts"]["node_processes"], counts[name]) for name, group in have.items()]
    plugin.check_counts([*wanted, *((new["node_processes"], new["count"]) for new in added)])
    for place, new in enumerate(added, len(have)):
        _add_group(ctx, cluster_id, place, new)
    for name, count in counts.items():
        ctx.db.execute(update(node_group).where(node_group.c.id == have[name]["id"]).values(wanted=count, updated=now()))
    resize(ctx, cluster_id, chosen)
    return find(ctx, cluster_id)


def _chosen(db: Connection, group: Any, instances: Sequence[str], count: int, field: str) -> list[str]:
    """The nodes that are to go, by id or name."""
    rows = db.execute(select(node).where(node.c.group_id == group["id"], ~node.c.lost)).mappings().all()
    known = {key: row["server_id"] for row in rows for key in (row["server_id"], row["name"])}
    for one in instances:
        if one not in known:
            raise wrong(f"{field}.instances: the node group has no instance '{one[:80]}'", "INVALID_REFERENCE")
    if instances and len(instances) > max(len(rows) - count, 0):
        raise wrong(f"{field}.instances: {len(instances)} instances are named, but {max(len(rows) - count, 0)} are to go")
    return [known[one] for one in instances]


def resize(ctx: Context, cluster_id: str, chosen: Mapping[str, Sequence[str]] | None = None) -> None:
    """Bring the nodes of a cluster to the numbers that its groups want: make some, begin to decommission others.

    chosen: which are to go, by group. Raises BadRequest over a quota.
    """
    going = nodes.dismiss(ctx.db, cluster_id, chosen or {})
    more = nodes.fill(ctx, cluster_id)
    values: dict[str, Any] = {"updated": now(), "idle_since": None}
    reached = {steps.SERVERS: more, steps.ANSWERS: more, steps.DAEMONS: more, steps.WHOLE: 1} if more else {}
    if going:
        reached[steps.LEAVE] = going
    if reached:
        steps.begin(ctx.db, cluster_id, steps.SCALE, reached)
        values["status"] = "Adding Instances" if more else "Decommissioning"
    ctx.db.execute(update(cluster).where(cluster.c.id == cluster_id).values(values))
    documents.touch(ctx.db, cluster_id)
    documents.tell(ctx.db, ctx.parts, cluster_id)
    ctx.parts.operations.signal(ctx.db, documents.TOPIC)


def change(ctx: Context, cluster_id: str, body: ClusterChange) -> Any:
    """Rename or share a cluster, or verify its health; answers its row. Raises BadRequest, Forbidden, NotFound."""
    row = keeping.own(ctx, find(ctx, cluster_id), "Update", changes=keeping.given(body))
    if body.shares not in (UNSET, None, []):
        raise wrong("shares: this cloud has no Shared File Systems service", "INVALID_REFERENCE")
    values = keeping.common(body) | {"updated": now()}
    if body.name is not UNSET and body.name != row["name"]:
        keeping.free_name(ctx, cluster, name_of(body.name, host=True), but=cluster_id)
        values["name"] = body.name
    if body.verification is not UNSET:
        if row["status"] != ACTIVE:
            raise wrong(f"verification: a cluster is verified in status 'Active', and this one is in '{row['status']}'", "CANNOT_VERIFY_CLUSTER")
        values["verification"] = checks.run(ctx.db, row)
    ctx.db.execute(update(cluster).where(cluster.c.id == cluster_id).values(values))
    if "name" in values:
        documents.tell(ctx.db, ctx.parts, cluster_id)
    return find(ctx, cluster_id)


def remove(ctx: Context, cluster_id: str, *, force: bool = False) -> None:
    """Begin to delete a cluster, whatever its state is; one that is healthy may end in order first, unless `force`."""
    row = keeping.own(ctx, find(ctx, cluster_id), "Deletion")
    end(ctx.db, row, now() + GRACE if row["status"] == ACTIVE and not force else now(), force=force)
    documents.tell(ctx.db, ctx.parts, cluster_id)
    if force or row["status"] != ACTIVE:
        nodes.remove(ctx, nodes.of(ctx.db, cluster_id))
    ctx.parts.operations.signal(ctx.db, documents.TOPIC)


def end(db: Connection, row: Any, stop_by: Any, *, force: bool = False) -> None:
    """Mark a cluster as one that is to go."""
    if row["deleting"] and not force:
        return
    values = {"deleting": True, "status": DELETING, "status_description": "", "stop_by": stop_by, "updated": now()}
    db.execute(update(cluster).where(cluster.c.id == row["id"]).values(values))
