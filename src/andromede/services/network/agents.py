"""What works for Network on each host, as Neutron tells of agents: the host's `ovn-controller` and its metadata service.

The hosts are Compute's, which stands above Network; so the wiring hands over how to find them (`parts.chassis`).
"""

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, insert, select

from andromede.core.clock import iso_z
from andromede.core.errors import NotFound
from andromede.services.network.tables import setting

CONTROLLER, METADATA = "OVN Controller agent", "OVN Metadata agent"
_BINARIES = {CONTROLLER: "ovn-controller", METADATA: "andromede-metadata"}
_NOTE = "agent:"


class Chassis(msgspec.Struct, frozen=True, kw_only=True):
    """A host that guests' ports may be on. seen: when it last reported; controller, metadata: whether these served it then, and now."""

    id: str
    name: str
    zone: str
    created: datetime
    seen: datetime | None
    controller: bool
    metadata: bool


FindChassis = Callable[[Connection], list[Chassis]]


def views(db: Connection, chassis: list[Chassis]) -> list[dict[str, Any]]:
    """All agents as they are shown, in the order of hosts."""
    rows = db.execute(select(setting.c.name, setting.c.value).where(setting.c.name.startswith(_NOTE)))
    notes = {row.name: row.value for row in rows}
    return [
        _view(one, kind, notes.get(_NOTE + id_of(one, kind), ""), alive=alive)
        for one in chassis
        for kind, alive in ((CONTROLLER, one.controller), (METADATA, one.metadata))
    ]


def id_of(chassis: Chassis, kind: str) -> str:
    """The id of an agent, from its host's."""
    return str(uuid.uuid5(uuid.UUID(chassis.id), kind))


def find(db: Connection, chassis: list[Chassis], id_: str) -> dict[str, Any]:
    """One agent. Raises NotFound."""
    found = next((view for view in views(db, chassis) if view["id"] == id_), None)
    if found is None:
        raise NotFound(f"Agent {id_} could not be found.", kind="AgentNotFound")
    return found


def describe(db: Connection, id_: str, text: str) -> None:
    """Keep a description."""
    db.execute(delete(setting).where(setting.c.name == _NOTE + id_))
    if text:
        db.execute(insert(setting).values(name=_NOTE + id_, value=text))


def _view(one: Chassis, kind: str, description: str, *, alive: bool) -> dict[str, Any]:
    return {
        "id": id_of(one, kind), "agent_type": kind, "binary": _BINARIES[kind], "topic": "n/a", "host": one.name, "admin_state_up": True,
        "availability_zone": one.zone, "alive": alive, "created_at": iso_z(one.created), "started_at": iso_z(one.created),
        "heartbeat_timestamp": iso_z(one.seen or one.created), "description": description, "configurations": {}, "resource_versions": {},
        "resources_synced": None,
    }  # fmt: skip
