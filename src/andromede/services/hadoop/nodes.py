"""The nodes of clusters, which are servers of the project: making, decommissioning and removing them."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from andromede.core.clock import now
from andromede.core.context import Context, Parts
from andromede.core.errors import CloudError
from andromede.services.compute import service as compute
from andromede.services.hadoop import shapes
from andromede.services.hadoop.api import wrong
from andromede.services.hadoop.tables import cluster, node, node_group
from andromede.services.network import service as network
from andromede.services.volume import service as volume

_LABEL = 63
_NUMBER = 5


def check_name(cluster_name: str, group_name: str) -> None:
    """Raise BadRequest where the names of nodes would be longer than a host's may be."""
    length = len(f"{cluster_name}-{group_name}-") + _NUMBER
    if length > _LABEL:
        raise wrong(f"name: host names of the group '{group_name}' would have {length} characters, and {_LABEL} are the most", "INVALID_DATA")


def security_group(ctx: Context, name: str, cluster_id: str) -> str:
    """A group for the nodes of one cluster: they reach each other, and nobody else reaches them but over SSH. Raises what Network says."""
    id_ = network.security.create_group(ctx, f"hadoop-{name}-{cluster_id[:8]}", f"Nodes of the cluster {name}")["id"]
    network.security.create_rule(ctx, id_, protocol=None, low=None, high=None, cidr=None, remote=id_)
    network.security.create_rule(ctx, id_, protocol="tcp", low=22, high=22, cidr="0.0.0.0/0", remote=None)
    return str(id_)


def of(db: Connection, cluster_id: str) -> list[Any]:
    """A cluster's nodes, those that were lost too, in the order in which they were made."""
    return list(db.execute(select(node).where(node.c.cluster_id == cluster_id).order_by(node.c.created, node.c.number)).mappings())


def fill(ctx: Context, cluster_id: str) -> int:
    """Make the nodes that the groups of a cluster lack; how many. Raises BadRequest with what Compute or Network refused."""
    row = ctx.db.execute(select(cluster).where(cluster.c.id == cluster_id)).mappings().one()
    made = 0
    groups = ctx.db.execute(select(node_group).where(node_group.c.cluster_id == cluster_id).order_by(node_group.c.place)).mappings().all()
    for group in groups:
        staying = (node.c.group_id == group["id"], node.c.leaving.is_(None), ~node.c.lost)
        have = ctx.db.scalar(select(func.count()).where(*staying)) or 0
        for number in range(group["next"], group["next"] + group["wanted"] - have):
            try:
                _make(ctx, row, group, number)
            except CloudError as error:
                raise shapes.in_sahara(error) from error
            made += 1
        if group["wanted"] > have:
            after = group["next"] + group["wanted"] - have
            ctx.db.execute(update(node_group).where(node_group.c.id == group["id"]).values(next=after, updated=now()))
    return made


def _make(ctx: Context, row: Any, group: Any, number: int) -> None:
    facts, whole = group["facts"], row["facts"]
    groups = list(facts["security_groups"] or [])
    if facts["auto_security_group"] is not False and "security_group" in row["held"]:
        groups.append(row["held"]["security_group"])
    apart = set(whole["anti_affinity"]) & set(facts["node_processes"])
    name = f"{row['name']}-{group['name']}-{number}".lower()
    id_ = compute.create(
        ctx, name=name, image=facts["chosen_image"], flavor=facts["flavor_id"], network_id=whole["neutron_management_network"],
        key=whole["user_keypair_id"], security_groups=groups, zone=facts["availability_zone"],
        group=row["held"].get("server_group") if apart else None, metadata={"hadoop_cluster": row["id"]},
    )  # fmt: skip
    addresses = compute.addresses(ctx.db, [id_]).get(id_, [])
    if not addresses:
        raise wrong("neutron_management_network: the network gives its servers no IPv4 address", "INVALID_REFERENCE")
    server = compute.seen(ctx.db, [id_])[id_]
    floating = _float(ctx, id_, facts["floating_ip_pool"]) if facts["floating_ip_pool"] else {}
    made = [
        volume.create(ctx, "blank", None, facts["volumes_size"], facts["volume_type"], name=f"{name}-{each + 1}").id
        for each in range(facts["volumes_per_node"])
    ]
    ctx.db.execute(
        insert(node).values(
            server_id=id_, cluster_id=row["id"], group_id=group["id"], name=name, number=number, address=addresses[0].address,
            floating=floating.get("ip"), floating_id=floating.get("id"), vcpus=server.vcpus, ram=server.ram, container=server.container,
            volumes=made, leaving=None, lost=False, ready=None, created=now(),
        )
    )  # fmt: skip


def _float(ctx: Context, server_id: str, pool: str) -> dict[str, Any]:
    made: dict[str, Any] = network.old_compute.create_floating(ctx, pool)
    network.old_compute.lead(ctx, server_id, made["ip"], None)
    return made


def dismiss(db: Connection, cluster_id: str, chosen: Mapping[str, Sequence[str]]) -> int:
    """Begin to decommission the nodes that groups have too many of: those that are chosen, then the youngest. How many."""
    going = 0
    for group in db.execute(select(node_group).where(node_group.c.cluster_id == cluster_id)).mappings().all():
        staying = (node.c.group_id == group["id"], node.c.leaving.is_(None), ~node.c.lost)
        rows = db.execute(select(node.c.server_id).where(*staying).order_by(node.c.number.desc())).scalars().all()
        named = list(chosen.get(group["name"], ()))
        order = [*named, *(id_ for id_ in rows if id_ not in named)]
        for id_ in order[: max(len(rows) - group["wanted"], 0)]:
            db.execute(update(node).where(node.c.server_id == id_).values(leaving=now()))
            going += 1
    return going


def remove(ctx: Context, rows: Sequence[Any]) -> None:
    """Have the servers of nodes deleted, and give back what was theirs alone. Their rows stay until the servers are gone."""
    for row in rows:
        if row["floating_id"]:
            _sink(ctx, row["floating_id"])
            ctx.db.execute(update(node).where(node.c.server_id == row["server_id"]).values(floating=None, floating_id=None))
        compute.remove(ctx, row["server_id"])


def _sink(ctx: Context, floating_id: str) -> None:
    try:
        network.old_compute.delete_floating(ctx, floating_id)
    except CloudError as error:
        if error.status != 404:
            raise


def forget(db: Connection, parts: Parts, row: Any) -> None:
    """A node's server is gone: so is the node. Volumes that it never got go too."""
    for id_ in row["volumes"]:
        volume.forget(db, id_)
        volume.release(db, parts, None, id_, remove=True, request_id=None)
    db.execute(delete(node).where(node.c.server_id == row["server_id"]))


def mount(ctx: Context, row: Any, server: compute.Server) -> bool:
    """Bring a node's volumes to it, a step further each time; whether it has all of them. Raises CloudError where one cannot be made."""
    if not row["volumes"]:
        return True
    there = {id_ for id_, _where, seen in compute.volumes_of(ctx.db, [row["server_id"]]).get(row["server_id"], []) if seen}
    given = {id_ for id_, _where, _seen in compute.volumes_of(ctx.db, [row["server_id"]]).get(row["server_id"], [])}
    for id_ in row["volumes"]:
        if id_ in given:
            continue
        status, fault = volume.state_of(ctx.db, id_)
        if status in ("error", "deleted"):
            raise wrong(f"the volume {id_} of {row['name']} could not be made: {fault or status}")
        if status == "available":
            compute.give_volume(ctx, row["server_id"], id_)
        elif server.host is not None:
            volume.begin(ctx.db, ctx.parts, id_, server.host, request_id=ctx.request_id)
    return set(row["volumes"]) <= there


