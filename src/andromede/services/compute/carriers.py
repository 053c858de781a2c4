"""Compute's hosts as Block Storage knows them: what carries volumes."""

from collections.abc import Sequence

from sqlalchemy import Connection, select

from andromede.core.units import GIB
from andromede.engine.client import Operations
from andromede.services.compute import devices, hosts, inventory
from andromede.services.compute.tables import host
from andromede.services.volume.service import Carrier


class ComputeHosts:
    """Every host of Compute carries volumes on its own disk."""

    def every(self, db: Connection) -> Sequence[Carrier]:
        """All of them, by name."""
        used = inventory.used(db)
        out = []
        for row in db.execute(select(host).order_by(host.c.name)):
            total = (row.facts or {}).get("disk", 0) / GIB * row.disk_ratio
            alive = hosts.alive(row) and row.facts is not None
            out.append(
                Carrier(
                    name=row.name, zone=row.zone, alive=alive, enabled=row.enabled, generation=row.generation, held=row.seen_generation,
                    total=total, free=total - (used[row.name].disk if row.name in used else 0), reason=row.disabled_reason, seen=row.seen,
                )
            )  # fmt: skip
        return out

    def changed(self, db: Connection, operations: Operations, *names: str | None) -> None:
        """The desired set of these hosts has changed in this transaction."""
        hosts.changed(db, operations, *names)

    def has(self, db: Connection, server_id: str, volume_id: str) -> bool:
        """Whether a server of this cloud has a volume."""
        return devices.find(db, server_id, volume_id) is not None
