"""Where volumes are: the hosts that carry them, what each of those should have, and what is seen there."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from sqlalchemy import Connection, select, update

from andromede.core.units import GIB
from andromede.db.base import chunks
from andromede.drivers import block
from andromede.engine.client import Operations
from andromede.services.key_manager import service as keys
from andromede.services.volume.tables import carrier, snapshot, volume

POOL = "local"


class Carrier(msgspec.Struct, frozen=True):
    """A host as Block Storage knows it. Sizes in GiB; `generation` is that of its desired set, `held` that of the set it has."""

    name: str
    zone: str
    alive: bool
    enabled: bool
    generation: int
    held: int
    total: float
    free: float
    reason: str | None = None
    seen: Any = None


class Carriers(Protocol):
    """The hosts, which are Compute's."""

    def every(self, db: Connection) -> Sequence[Carrier]:
        """All of them, by name."""

    def changed(self, db: Connection, operations: Operations, *names: str | None) -> None:
        """The desired set of these hosts has changed in this transaction."""

    def has(self, db: Connection, server_id: str, volume_id: str) -> bool:
        """Whether a server of this cloud has a volume."""

    def let_go(self, db: Connection, operations: Operations, server_id: str, volume_id: str, request_id: str | None) -> None:
        """Have a server let go of a volume."""

    def extended(self, db: Connection, server_id: str, request_id: str | None) -> None:
        """A volume of a server was made larger: an action of the server's."""


def backend(host: str | None) -> str | None:
    """A host as it is named in `os-vol-host-attr:host`."""
    return None if host is None else f"{host}@{POOL}#{POOL}"


def taken(db: Connection) -> dict[str, int]:
    """GiB that volumes take, by host."""
    out: dict[str, int] = {}
    for row in db.execute(select(volume.c.host, volume.c.target, volume.c.size).where(volume.c.host.is_not(None))):
        for name in (row.host, row.target) if row.target else (row.host,):
            out[name] = out.get(name, 0) + row.size
    return out


CAPABILITIES = {"vendor_name": "Andromède", "volume_backend_name": POOL, "storage_protocol": "file", "driver_version": "1.0"}
"""What types may ask of a pool, as texts; whatever else they ask without a scope, no pool has."""
_ABLE = ("multiattach", "QoS_support", "thin_provisioning_support")


def suits(extra_specs: Mapping[str, str]) -> bool:
    """Whether the pools of this cloud have what a type asks of them."""
    for key, value in extra_specs.items():
        name = key.removeprefix("capabilities:")
        if ":" in name:
            continue
        wanted = value.replace("<is>", "").strip()
        if name in _ABLE:
            if wanted.lower() not in ("true", "false"):
                return False
        elif CAPABILITIES.get(name) != wanted:
            return False
    return True


def choose(carriers: Carriers, db: Connection, size: int, zone: str | None, *, only: str | None = None, avoid: Iterable[str] = ()) -> str | None:
    """The host with the most room on which a volume fits; None where there is none."""
    used, away = taken(db), {*avoid, *db.scalars(select(carrier.c.host).where(carrier.c.disabled))}
    fits = [
        (one.free - used.get(one.name, 0), one.name)
        for one in carriers.every(db)
        if one.alive and one.enabled and (zone is None or one.zone == zone) and (only is None or one.name == only) and one.name not in away
    ]
    fits = [(room, name) for room, name in fits if room >= size]
    return max(fits)[1] if fits else None


def desired(db: Connection, host: str) -> tuple[block.Volume, ...]:
    """All volumes that a host should have."""
    here = (volume.c.host == host) | (volume.c.target == host)
    rows = list(db.execute(select(volume).where(here, volume.c.placed).order_by(volume.c.id)))
    of_volumes = _snapshots(db, [row.id for row in rows])
    sealed = keys.sealed(db, [row.key_id for row in rows if row.key_id])
    return tuple(_wish(row, of_volumes.get(row.id, ()), sealed) if row.host == host else _coming(row, sealed) for row in rows)


def _coming(row: Any, sealed: Mapping[str, bytes]) -> block.Volume:
    """A volume whose data is on its way to a host."""
    secret, move = sealed.get(row.key_id, b"") if row.key_id else b"", row.move or {}
    source = block.Source(stage=move["stage"], secret=secret) if move.get("source") else None
    return block.Volume(
        id=row.id, size=max(row.size * GIB, row.seen_size or 0), format=row.format, secret=secret, make=move.get("make", 0), source=source,
        stage=move.get("stage", ""),
    )  # fmt: skip


def _snapshots(db: Connection, ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
    out: dict[str, list[str]] = {}
    for some in chunks(ids):
        query = select(snapshot.c.volume_id, snapshot.c.id).where(snapshot.c.volume_id.in_(some), snapshot.c.placed)
        for row in db.execute(query.order_by(snapshot.c.id)):
            out.setdefault(row.volume_id, []).append(row.id)
    return {id_: tuple(names) for id_, names in out.items()}


def _wish(row: Any, snapshots: tuple[str, ...], sealed: Mapping[str, bytes]) -> block.Volume:
    return block.Volume(
        id=row.id, size=row.size * GIB, format=row.format, secret=sealed.get(row.key_id, b"") if row.key_id else b"", make=row.make,
        source=msgspec.convert(row.source, block.Source) if row.source else None, snapshots=snapshots,
        exports=tuple(msgspec.convert(one, block.Export) for one in row.exports), stage=row.stage,
    )  # fmt: skip


def differences(before: Mapping[str, block.Seen], now: Mapping[str, block.Seen]) -> tuple[list[block.Seen], list[str]]:
    """What a host sees differently from its last report, and what it sees no more."""
    return [one for id_, one in now.items() if before.get(id_) != one], list(before.keys() - now.keys())


def note(db: Connection, operations: Operations, host: str, altered: Sequence[block.Seen], gone: Sequence[str], *, fresh: bool) -> None:
    """Write what is seen into the rows, and hurry the operations that wait for it."""
    for one in altered:
        values = {
            "seen_made": one.made, "seen_size": one.size, "seen_used": one.used, "seen_snapshots": list(one.snapshots),
            "seen_exports": one.exports, "seen_fault": one.fault,
        }  # fmt: skip
        db.execute(update(volume).where(volume.c.id == one.id, volume.c.host == host).values(values))
        told = {"made": one.made, "fault": one.fault}
        db.execute(update(volume).where(volume.c.id == one.id, volume.c.target == host).values(seen_target=told))
    away = list(gone)
    if fresh:
        there = {one.id for one in altered}
        away += [id_ for id_ in db.scalars(select(volume.c.id).where(volume.c.host == host, volume.c.seen_made > 0)) if id_ not in there]
    nothing = {"seen_made": 0, "seen_size": 0, "seen_used": 0, "seen_snapshots": [], "seen_exports": {}, "seen_fault": None}
    for some in chunks(away):
        db.execute(update(volume).where(volume.c.id.in_(some), volume.c.host == host).values(nothing))
        db.execute(update(volume).where(volume.c.id.in_(some), volume.c.target == host).values(seen_target=None))
    ids = [one.id for one in altered] + away
    if ids:
        waiting = set(ids)
        for some in chunks(ids):
            waiting |= set(db.scalars(select(volume.c.id).where(volume.c.reading.in_(some))))
        for some in chunks(waiting):
            operations.hurry(db, *some)
