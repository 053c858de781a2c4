"""Compute's rows of what hosts have, what of it is taken, and which hosts belong together.

The shape is Placement's: a provider (a host) has inventories by resource class, consumers hold allocations of them, traits tell
what else a host is. `used` is the sum of the allocations; `inventory.claim` and `inventory.free` alone change them, and `free`.
"""

from sqlalchemy import BigInteger, Column, Float, ForeignKey, Index, Integer, String, Table

from andromede.db.base import Json, Moment, metadata

_ID = String(36)


def _of_host() -> Column[str]:
    return Column("host_id", _ID, ForeignKey("compute_host.id", ondelete="CASCADE"), primary_key=True)


inventory = Table(
    "compute_inventory",
    metadata,
    _of_host(),
    Column("resource_class", String(255), primary_key=True),  # VCPU, MEMORY_MB, DISK_GB
    Column("total", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False, default=0),
    Column("ratio", Float, nullable=False, default=1.0),
    Column("used", BigInteger, nullable=False, default=0),
    Column("free", Float, nullable=False, default=0.0),  # (total - reserved) * ratio - used, in the order that hosts are looked at
    Index("ix_compute_inventory_free", "resource_class", "free"),
)

allocation = Table(
    "compute_allocation",
    metadata,
    Column("consumer_id", _ID, primary_key=True),  # a server, or the migration that holds room for it elsewhere
    Column("host_id", _ID, ForeignKey("compute_host.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("resource_class", String(255), primary_key=True),
    Column("used", BigInteger, nullable=False),
)

trait = Table("compute_trait", metadata, _of_host(), Column("name", String(255), primary_key=True))

aggregate = Table(
    "compute_aggregate",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", _ID, nullable=False, unique=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("zone", String(255)),
    Column("metadata", Json, nullable=False),
    Column("created", Moment, nullable=False),
    Column("updated", Moment),
)

aggregate_host = Table(
    "compute_aggregate_host",
    metadata,
    Column("aggregate_id", Integer, ForeignKey("compute_aggregate.id", ondelete="CASCADE"), primary_key=True),
    Column("host_id", _ID, ForeignKey("compute_host.id", ondelete="CASCADE"), primary_key=True, index=True),
)
