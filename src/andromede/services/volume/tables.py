"""Block Storage's rows.

What is wished of a volume's data (`placed`, `make`, `size`, `source` …) is written by requests and operations, what is seen of it
(`seen_*`) by the observer of hosts alone.
"""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Integer, LargeBinary, String, Table, Text

from andromede.db.base import Json, Moment, metadata

EMPTY, OURS, FOREIGN = "", "ours", "foreign"
"""What is in a volume: nothing yet, a file system that hosts made and mounted for containers, or whatever a tenant may have written."""
_ID = String(36)
_PROJECT = String(64)
_NAME = String(255)

volume_type = Table(
    "volume_type",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("name", _NAME, nullable=False, unique=True),
    Column("description", Text),
    Column("public", Boolean, nullable=False, default=True),
    Column("extra_specs", Json, nullable=False),
    Column("qos_id", _ID, index=True),
    Column("encryption", Json),  # encryption_id, provider, cipher, key_size, control_location
    Column("created", Moment, nullable=False),
    Column("updated", Moment),
)

type_access = Table(
    "volume_type_access",
    metadata,
    Column("type_id", _ID, ForeignKey("volume_type.id", ondelete="CASCADE"), primary_key=True),
    Column("project_id", _PROJECT, primary_key=True),
)

default_type = Table(
    "volume_default_type",
    metadata,
    Column("project_id", _PROJECT, primary_key=True),
    Column("type_id", _ID, ForeignKey("volume_type.id", ondelete="CASCADE"), nullable=False),
)

qos = Table(
    "volume_qos",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("name", _NAME, nullable=False, unique=True),
    Column("consumer", String(16), nullable=False),
    Column("specs", Json, nullable=False),
    Column("created", Moment, nullable=False),
)

volume = Table(
    "volume_volume",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("project_id", _PROJECT, nullable=False, index=True),
    Column("user_id", _PROJECT, nullable=False),
    Column("name", _NAME),
    Column("description", Text),
    Column("size", Integer, nullable=False),  # GiB
    Column("status", String(32), nullable=False),
    Column("previous", String(32)),  # status to go back to
    Column("migration_status", String(32)),
    Column("zone", _NAME),
    Column("wanted_zone", _NAME),
    Column("host", _NAME, index=True),
    Column("type_id", _ID, index=True),
    Column("snapshot_id", _ID, index=True),
    Column("source_id", _ID, index=True),
    Column("backup_id", _ID),
    Column("group_id", _ID, index=True),
    Column("image", Json),  # volume_image_metadata
    Column("metadata", Json, nullable=False),
    Column("bootable", Boolean, nullable=False, default=False),
    Column("readonly", Boolean),  # none: nobody has said
    Column("multiattach", Boolean, nullable=False, default=False),
    Column("counted", Boolean, nullable=False, default=True),  # consumes quota
    Column("key_id", _ID),  # the Key Manager's secret
    Column("hints", Json, nullable=False),
    Column("format", String(16), nullable=False, default="qcow2"),
    Column("contents", String(16), nullable=False, default=""),  # EMPTY, OURS or FOREIGN
    Column("placed", Boolean, nullable=False, default=False),  # part of the host's desired set
    Column("target", _NAME, index=True),  # the host that its data is on its way to
    Column("move", Json),  # what that host is told of it: `stage`, `make`, `source`
    Column("seen_target", Json),  # what it says: `made`, `fault`
    Column("make", Integer, nullable=False, default=1),
    Column("source", Json),  # drivers.block.Source, until it is made
    Column("reading", _ID, index=True),  # the volume that it is being made from
    Column("stage", String(64), nullable=False, default=""),
    Column("exports", Json, nullable=False),  # drivers.block.Export
    Column("seen_made", Integer, nullable=False, default=0),
    Column("seen_size", BigInteger, nullable=False, default=0),
    Column("seen_used", BigInteger, nullable=False, default=0),
    Column("seen_snapshots", Json),
    Column("seen_exports", Json),
    Column("seen_fault", Text),
    Column("launched", Moment),
    Column("created", Moment, nullable=False),
    Column("updated", Moment),
)

snapshot = Table(
    "volume_snapshot",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("volume_id", _ID, ForeignKey("volume_volume.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("project_id", _PROJECT, nullable=False, index=True),
    Column("user_id", _PROJECT, nullable=False),
    Column("name", _NAME),
    Column("description", Text),
    Column("size", Integer, nullable=False),
    Column("status", String(32), nullable=False),
    Column("metadata", Json, nullable=False),
    Column("group_snapshot_id", _ID, index=True),
    Column("progress", String(10)),  # none: what follows from the status
    Column("purpose", _ID, index=True),  # what a passing one is for: nobody sees it
    Column("placed", Boolean, nullable=False, default=False),
    Column("counted", Boolean, nullable=False, default=True),
    Column("created", Moment, nullable=False),
    Column("updated", Moment),
)

attachment = Table(
    "volume_attachment",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("volume_id", _ID, ForeignKey("volume_volume.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("project_id", _PROJECT, nullable=False),
    Column("server_id", _ID, index=True),
    Column("host_name", _NAME),
    Column("mountpoint", _NAME),
    Column("mode", String(8), nullable=False, default="rw"),
    Column("status", String(32), nullable=False),
    Column("connector", Json),
    Column("attached", Moment),
    Column("created", Moment, nullable=False),
)

backup = Table(
    "volume_backup",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("project_id", _PROJECT, nullable=False, index=True),
    Column("user_id", _PROJECT, nullable=False),
    Column("volume_id", _ID, nullable=False, index=True),
    Column("snapshot_id", _ID),
    Column("parent_id", _ID, index=True),
    Column("name", _NAME),
    Column("description", Text),
    Column("container", _NAME, nullable=False),
    Column("prefix", _NAME, nullable=False),
    Column("zone", _NAME),
    Column("size", Integer, nullable=False),
    Column("objects", Integer, nullable=False, default=0),
    Column("status", String(32), nullable=False),
    Column("fail_reason", Text),
    Column("metadata", Json, nullable=False),
    Column("of_volume", Json),  # its metadata, image metadata, whether it was bootable; account: whose the objects are
    Column("sealed", LargeBinary),  # the passphrase of what an encrypted volume's was
    Column("data_timestamp", Moment),
    Column("created", Moment, nullable=False),
    Column("updated", Moment),
)

transfer = Table(
    "volume_transfer",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("volume_id", _ID, ForeignKey("volume_volume.id", ondelete="CASCADE"), nullable=False),
    Column("project_id", _PROJECT, nullable=False, index=True),
    Column("destination", _PROJECT),
    Column("name", _NAME),
    Column("salt", String(64), nullable=False),
    Column("digest", String(128), nullable=False),
    Column("snapshots", Boolean, nullable=False, default=True),
    Column("accepted", Boolean, nullable=False, default=False),
    Column("created", Moment, nullable=False),
)

message = Table(
    "volume_message",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("project_id", _PROJECT, nullable=False, index=True),
    Column("request_id", _NAME),
    Column("resource_type", String(36)),
    Column("resource_id", _ID),
    Column("event", String(64), nullable=False),
    Column("text", Text, nullable=False),
    Column("level", String(16), nullable=False),
    Column("created", Moment, nullable=False),
    Column("expires", Moment, nullable=False),
)

group_type = Table(
    "volume_group_type",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("name", _NAME, nullable=False, unique=True),
    Column("description", Text),
    Column("public", Boolean, nullable=False, default=True),
    Column("specs", Json, nullable=False),
    Column("created", Moment, nullable=False),
)

group = Table(
    "volume_group",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("project_id", _PROJECT, nullable=False, index=True),
    Column("user_id", _PROJECT, nullable=False),
    Column("name", _NAME),
    Column("description", Text),
    Column("type_id", _ID, ForeignKey("volume_group_type.id"), nullable=False, index=True),
    Column("volume_types", Json, nullable=False),
    Column("zone", _NAME),
    Column("status", String(32), nullable=False),
    Column("group_snapshot_id", _ID),
    Column("source_id", _ID),
    Column("created", Moment, nullable=False),
)

group_snapshot = Table(
    "volume_group_snapshot",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("project_id", _PROJECT, nullable=False, index=True),
    Column("user_id", _PROJECT, nullable=False),
    Column("group_id", _ID, ForeignKey("volume_group.id"), nullable=False, index=True),
    Column("type_id", _ID, nullable=False),
    Column("name", _NAME),
    Column("description", Text),
    Column("status", String(32), nullable=False),
    Column("created", Moment, nullable=False),
)

carrier = Table(
    "volume_carrier",
    metadata,
    Column("host", _NAME, primary_key=True),
    Column("disabled", Boolean, nullable=False, default=False),  # takes no new volumes
    Column("reason", _NAME),
)
