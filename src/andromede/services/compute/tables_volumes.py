"""The volumes of servers. `seen` is written by the observer of hosts alone."""

from sqlalchemy import Boolean, Column, ForeignKey, Integer, String, Table, false

from andromede.db.base import Moment, metadata

_ID = String(36)

block_device = Table(
    "compute_block_device",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("server_id", _ID, ForeignKey("compute_server.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("volume_id", _ID, nullable=False, index=True),
    Column("attachment_id", _ID),
    Column("made", Boolean, nullable=False, default=False),  # for this server, when it was built
    Column("boot_index", Integer, nullable=False, default=-1),
    Column("device_name", String(255), nullable=False),
    Column("bus", String(16), nullable=False),
    Column("delete_on_termination", Boolean, nullable=False, default=False),
    Column("tag", String(255)),
    Column("leaving", Boolean, nullable=False, default=False),
    Column("seen", Boolean, nullable=False, default=False),
    Column("swap", _ID),  # the volume that is to take its place
    Column("swapping", Boolean, nullable=False, default=False, server_default=false()),  # whether it still is to
    Column("seen_swap", Boolean, nullable=False, default=False, server_default=false()),
    Column("slot", _ID),  # names the device in the guest, where that is not the volume's id
    Column("created", Moment, nullable=False),
)
