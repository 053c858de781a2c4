"""Flavors: finding the one a server asks for, and those a new cloud has.

Source of the SCS names and extra specs: SCS-0100 and SCS-0103.
"""

from typing import Any

from sqlalchemy import Connection, insert, or_, select

from andromede.core.clock import now
from andromede.core.context import Context
from andromede.core.errors import BadRequest
from andromede.services.compute.tables import flavor, flavor_access

SCS = (
    "SCS-1V-2", "SCS-1V-4", "SCS-1V-8", "SCS-2V-4", "SCS-2V-8", "SCS-2V-16", "SCS-4V-8", "SCS-4V-16", "SCS-4V-32",
    "SCS-8V-16", "SCS-8V-32", "SCS-16V-32", "SCS-1L-1", "SCS-2V-4-20s", "SCS-4V-16-100s", "SCS-2V-2-10s",
)  # fmt: skip
TINY = (("petit-1", 1, 128, 1), ("petit-2", 1, 192, 1), ("petit-4", 2, 512, 2))
"""(name, vCPUs, MiB, GiB): for trying out, with the small image."""
_CPU_TYPES = {"V": "shared-core", "L": "crowded-core"}
_DISK_TYPES = {"s": "ssd"}


def visible(ctx: Context) -> Any:
    """The condition on flavors that the caller may use: public ones, and those its project was given."""
    given = select(flavor_access.c.flavor_id).where(flavor_access.c.project_id == ctx.caller.project_id)
    return or_(flavor.c.public, flavor.c.id.in_(given))


def find_flavor(ctx: Context, ref: str) -> Any:
    """The flavor that a reference (an id, or a URL that ends in one) names, for a server that is to have it.

    Raises BadRequest, also for one that promises disks which servers here do not get.
    """
    id_ = ref.rstrip("/").rpartition("/")[2]
    query = select(flavor).where(flavor.c.id == id_, ~flavor.c.disabled)
    if not ctx.caller.admin:
        query = query.where(visible(ctx))
    row = ctx.db.execute(query).first()
    if row is None:
        raise BadRequest(f"Flavor {id_} could not be found.")
    if row.ephemeral or row.swap:
        raise BadRequest(f"Flavor {id_} has an ephemeral or a swap disk, which servers of this cloud do not get: give them volumes.")
    return row


def flavor_in_server(row: Any) -> dict[str, Any]:
    """What a server keeps of its flavor."""
    return {
        "id": row.id, "original_name": row.name, "vcpus": row.vcpus, "ram": row.ram, "disk": row.disk,
        "ephemeral": row.ephemeral, "swap": row.swap, "extra_specs": row.extra_specs,
    }  # fmt: skip


def parse_scs(name: str) -> dict[str, Any]:
    """The facts that an SCS flavor name states: `SCS-2V-4-20s` is 2 shared vCPUs, 4 GiB, 20 GB of local SSD."""
    _scs, cpu, ram, *disk = name.split("-")
    vcpus, kind = int(cpu[:-1]), cpu[-1]
    specs = {
        "scs:name-v1": ":".join((f"SCS-{cpu}", ram, *disk)),
        "scs:name-v2": name,
        "scs:cpu-type": _CPU_TYPES[kind],
    }
    size = 0
    if disk:
        specs["scs:disk0-type"] = _DISK_TYPES[disk[0][-1]]
        size = int(disk[0][:-1])
    return {"vcpus": vcpus, "ram": int(float(ram) * 1024), "disk": size, "extra_specs": specs}


def seed(db: Connection) -> None:
    """The flavors of a new cloud; existing names are left as they are."""
    known = set(db.scalars(select(flavor.c.name)))
    for number, (name, vcpus, ram, disk) in enumerate(TINY, 1):
        if name not in known:
            facts = {"vcpus": vcpus, "ram": ram, "disk": disk, "extra_specs": {"scs:cpu-type": "crowded-core"}}
            db.execute(insert(flavor).values(id=str(number), name=name, created=now(), **facts))
    for name in SCS:
        if name not in known:
            db.execute(insert(flavor).values(id=name, name=name, created=now(), **parse_scs(name)))
