"""Compute's hosts as Block Storage knows them: what carries volumes."""

from collections.abc import Sequence

from sqlalchemy import Connection, insert, select

from andromede.core.clock import now
from andromede.core.units import GIB
from andromede.engine.client import Operations
from andromede.services.compute import devices, hosts, inventory
from andromede.services.compute.operations.volumes import DETACH
from andromede.services.compute.tables import action, host, server
from andromede.services.volume.service import Carrier


class ComputeHosts:
    """Every host of Compute carries volumes on its own disk."""

    def every(self, db: Connection) -> Sequence[Carrier]:
        """All of them, by name."""
        used = inventory.used(db)
        out = []
        for row in db.execute(hosts.known().order_by(host.c.name)):
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

    def let_go(self, db: Connection, operations: Operations, server_id: str, volume_id: str, request_id: str | None) -> None:
        """Have a server let go of a volume."""
        row = db.execute(select(server).where(server.c.id == server_id)).one()
        device = devices.find(db, server_id, volume_id)
        devices.change(db, device.id, leaving=True)
        hosts.changed(db, operations, row.host)
        memo = {"device": device.id, "attachment": device.attachment_id}
        operations.submit(db, DETACH, row.id, project_id=row.project_id, request_id=request_id, memo=memo)

    def extended(self, db: Connection, server_id: str, request_id: str | None) -> None:
        """A volume of a server was made larger: an action of the server's."""
        row = db.execute(select(server).where(server.c.id == server_id)).first()
        if row is not None:
            moment = now()
            values = {"project_id": row.project_id, "user_id": row.user_id, "started": moment, "finished": moment, "host": row.host}
            db.execute(insert(action).values(server_id=server_id, action="extend_volume", request_id=request_id or "", result="Success", **values))
