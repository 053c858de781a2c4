"""What hangs on ports and floating IPs beside addresses, as rows: the rules of port forwarding, and trunks with their ports."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, select, update

from andromede.core.errors import Conflict
from andromede.services.network.rows import bump, bury, gather, touch
from andromede.services.network.tables import fixed, floating, forward, port, router, subport, trunk

SUBPORT = "trunk:subport"

# port forwarding


def forward_view(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A rule as a floating IP shows it; a range has no single port."""
    single = row["outer_first"] == row["outer_last"]
    return {
        "id": row["id"], "protocol": row["protocol"], "internal_ip_address": row["address"], "internal_port_id": row["port_id"],
        "external_port": row["outer_first"] if single else None,
        "internal_port": row["inner_first"] if row["inner_first"] == row["inner_last"] else None,
    }  # fmt: skip


def forwards_of(db: Connection, floating_ids: Iterable[str]) -> list[RowMapping]:
    """The rules of floating IPs, by port."""
    order = forward.c.protocol, forward.c.outer_first
    return list(gather(db, floating_ids, lambda some: select(forward).where(forward.c.floating_id.in_(some)).order_by(*order)))


def drop_forwards(db: Connection, ids: Iterable[str]) -> None:
    """Delete rules; floating IPs that have none left are free again."""
    wanted = list(ids)
    if not wanted:
        return
    homes = list(db.scalars(select(forward.c.floating_id).where(forward.c.id.in_(wanted)).distinct()))
    bump(db, router, router.c.id.in_(select(floating.c.router_id).where(floating.c.id.in_(homes), floating.c.router_id.is_not(None))))
    bury(db, forward, wanted)
    for id_ in homes:
        if db.scalar(select(forward.c.id).where(forward.c.floating_id == id_).limit(1)) is None:
            touch(db, floating, id_, router_id=None)


def drop_forwards_to(db: Connection, port_ids: Sequence[str], left: set[str] | None = None) -> None:
    """Delete the rules that lead to ports; `left`: but for those to addresses that they keep."""
    query = select(forward.c.id).where(forward.c.port_id.in_(list(port_ids)))
    drop_forwards(db, list(db.scalars(query if left is None else query.where(forward.c.address.not_in(left)))))


def refuse_forwarding(db: Connection, floating_id: str) -> None:
    """Raise Conflict where a floating IP has rules."""
    if db.scalar(select(forward.c.id).where(forward.c.floating_id == floating_id).limit(1)):
        raise Conflict(f"Floating IP {floating_id} in use by Port Forwarding resources.", kind="FipInUseByPortForwarding")


def forwarded_to(db: Connection, port_id: str, address: str) -> bool:
    """Whether a rule leads to an address of a port."""
    return db.scalar(select(forward.c.id).where(forward.c.port_id == port_id, forward.c.address == address).limit(1)) is not None


def forwarding_by(db: Connection, router_id: str, subnet_ids: Iterable[str]) -> bool:
    """Whether rules lead by a router into one of these subnets."""
    query = (
        select(forward.c.id).join(floating, floating.c.id == forward.c.floating_id)
        .join(fixed, (fixed.c.port_id == forward.c.port_id) & (fixed.c.address == forward.c.address))
        .where(floating.c.router_id == router_id, fixed.c.subnet_id.in_(list(subnet_ids)))
    )  # fmt: skip
    return db.scalar(query.limit(1)) is not None


# trunks


def subports_of(db: Connection, trunk_ids: Iterable[str]) -> list[RowMapping]:
    """The ports of trunks with their MAC and state, by VLAN."""
    query = select(subport, port.c.mac, port.c.status).join(port, port.c.id == subport.c.port_id).order_by(subport.c.segment)
    return list(gather(db, trunk_ids, lambda some: query.where(subport.c.trunk_id.in_(some))))


def parents_of(db: Connection, port_ids: Iterable[str]) -> dict[str, tuple[str, int]]:
    """For ports of trunks: the port that their trunk is of, and their VLAN."""
    query = select(subport.c.port_id, subport.c.segment, trunk.c.port_id.label("parent")).join(trunk, trunk.c.id == subport.c.trunk_id)
    rows = gather(db, port_ids, lambda some: query.where(subport.c.port_id.in_(some)))
    return {row["port_id"]: (row["parent"], row["segment"]) for row in rows}


def free_subports(db: Connection, port_ids: Sequence[str]) -> None:
    """Take ports out of their trunks."""
    db.execute(delete(subport).where(subport.c.port_id.in_(list(port_ids))))
    for id_ in port_ids:
        touch(db, port, id_, device_id="", device_owner="", host="", status="DOWN")


def free_trunks(db: Connection, port_ids: Sequence[str]) -> None:
    """These ports go: their trunks go with them, and the ports of those are free."""
    ids = list(db.scalars(select(trunk.c.id).where(trunk.c.port_id.in_(list(port_ids)))))
    if ids:
        free_subports(db, list(db.scalars(select(subport.c.port_id).where(subport.c.trunk_id.in_(ids)))))
        bury(db, trunk, ids)


def follow(db: Connection, port_id: str, host: str) -> None:
    """The ports of a trunk are where its own port is."""
    inside = select(subport.c.port_id).join(trunk, trunk.c.id == subport.c.trunk_id).where(trunk.c.port_id == port_id)
    db.execute(update(port).where(port.c.id.in_(inside)).values(host=host, status="DOWN", generation=port.c.generation + 1))


def refuse_trunked(db: Connection, port_id: str) -> None:
    """Raise Conflict for a port that a trunk is of, or that is in one."""
    found = db.scalar(select(trunk.c.id).where(trunk.c.port_id == port_id))
    if found is not None:
        raise Conflict(f"Port {port_id} is currently a parent port for trunk {found}.", kind="PortInUseAsTrunkParent")
    found = db.scalar(select(subport.c.trunk_id).where(subport.c.port_id == port_id))
    if found is not None:
        raise Conflict(f"Port {port_id} is currently a subport for trunk {found}.", kind="PortInUseAsSubPort")
