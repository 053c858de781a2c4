"""What hosts have and what of it is taken. Every change happens in the transaction that decides it."""

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, case, delete, func, insert, select, update

from andromede.core.units import GIB, MIB
from andromede.services.compute.tables import host
from andromede.services.compute.tables_hosts import allocation, inventory, trait

VCPU, MEMORY, DISK = "VCPU", "MEMORY_MB", "DISK_GB"
_RATIOS = {VCPU: "cpu_ratio", MEMORY: "ram_ratio", DISK: "disk_ratio"}


class Room(msgspec.Struct):
    """An amount of what a host has. ram in MiB, disk in GiB."""

    vcpus: float
    ram: float
    disk: float


def need(row: Any) -> dict[str, int]:
    """What a server (or a flavor) takes, by resource class."""
    return {VCPU: row.vcpus, MEMORY: row.ram, DISK: row.disk}


def tell(db: Connection, row: Any, facts: Mapping[str, Any]) -> None:
    """Write what a host says that it has. row: of `compute_host`; facts: drivers.hypervisor.Host."""
    totals = {VCPU: facts["vcpus"], MEMORY: facts["memory"] // MIB, DISK: facts["disk"] // GIB}
    known = {one.resource_class: one for one in db.execute(select(inventory).where(inventory.c.host_id == row.id))}
    for name, total in totals.items():
        ratio = getattr(row, _RATIOS[name])
        if name not in known:
            used = db.scalar(
                select(func.coalesce(func.sum(allocation.c.used), 0)).where(allocation.c.host_id == row.id, allocation.c.resource_class == name)
            )
            values = {"total": total, "reserved": 0, "ratio": ratio, "used": used, "free": total * ratio - float(used or 0)}
            db.execute(insert(inventory).values(host_id=row.id, resource_class=name, **values))
        elif (known[name].total, known[name].ratio) != (total, ratio):
            here = (inventory.c.host_id == row.id, inventory.c.resource_class == name)
            free_now = (total - inventory.c.reserved) * ratio - inventory.c.used
            db.execute(update(inventory).where(*here).values(total=total, ratio=ratio, free=free_now))
    _set_traits(db, row.id, set(facts.get("traits") or ()))


def _set_traits(db: Connection, host_id: str, names: set[str]) -> None:
    known = set(db.scalars(select(trait.c.name).where(trait.c.host_id == host_id)))
    if known - names:
        db.execute(delete(trait).where(trait.c.host_id == host_id, trait.c.name.in_(known - names)))
    for name in sorted(names - known):
        db.execute(insert(trait).values(host_id=host_id, name=name))


def claim(db: Connection, consumer_id: str, host_name: str, amounts: Mapping[str, int]) -> None:
    """Have a consumer hold exactly these amounts of a host, and nothing of others. The caller has made sure that there is room."""
    free(db, consumer_id)
    host_id = db.scalar(select(host.c.id).where(host.c.name == host_name))
    taken = {name: amount for name, amount in amounts.items() if amount}
    if taken:
        rows = [{"consumer_id": consumer_id, "host_id": host_id, "resource_class": name, "used": amount} for name, amount in taken.items()]
        db.execute(insert(allocation), rows)
        _use(db, host_id, taken)


def free(db: Connection, consumer_id: str) -> None:
    """Have a consumer hold nothing."""
    held: dict[str, dict[str, int]] = {}
    for one in db.execute(delete(allocation).where(allocation.c.consumer_id == consumer_id).returning(*allocation.c)).all():
        held.setdefault(one.host_id, {})[one.resource_class] = -one.used
    for host_id, amounts in held.items():
        _use(db, host_id, amounts)


def hand_over(db: Connection, consumer_id: str, other_id: str) -> None:
    """Have another consumer hold what this one did."""
    free(db, other_id)
    db.execute(update(allocation).where(allocation.c.consumer_id == consumer_id).values(consumer_id=other_id))


def _use(db: Connection, host_id: Any, amounts: Mapping[str, int]) -> None:
    """Write what more is taken of a host, in one statement."""
    more = case(amounts, value=inventory.c.resource_class, else_=0)
    here = (inventory.c.host_id == host_id, inventory.c.resource_class.in_(list(amounts)))
    db.execute(update(inventory).where(*here).values(used=inventory.c.used + more, free=inventory.c.free - more))


def used(db: Connection) -> dict[str, Room]:
    """What is taken, by the name of the host; nothing for a host of which nothing is."""
    out: dict[str, Room] = {}
    query = (
        select(host.c.name, allocation.c.resource_class, func.sum(allocation.c.used).label("used"))
        .join(host, host.c.id == allocation.c.host_id)
        .group_by(host.c.name, allocation.c.resource_class)
    )
    fields = {VCPU: "vcpus", MEMORY: "ram", DISK: "disk"}
    for row in db.execute(query):
        if row.resource_class in fields:
            setattr(out.setdefault(row.name, Room(0, 0, 0)), fields[row.resource_class], int(row.used))
    return out
