"""Compute's rows.

A server's wish (`power`, `boots`, `placed`, …) is written by requests and operations, what is seen of it (`seen_*`) by the
observer of hosts alone.
"""

from sqlalchemy import BigInteger, Boolean, Column, Float, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

from andromede.db.base import Json, Moment, metadata
from andromede.services.compute import tables_hosts

HOSTS = tables_hosts

_ID = String(36)
_PROJECT = String(64)

host = Table(
    "compute_host",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("number", Integer, nullable=False, unique=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("zone", String(255), nullable=False),  # its own, or that of an aggregate it is in
    Column("own_zone", String(255), nullable=False, server_default="nova"),
    Column("enabled", Boolean, nullable=False, default=True),
    Column("disabled_reason", String(255)),
    Column("forced_down", Boolean, nullable=False, default=False),
    Column("generation", Integer, nullable=False, default=1),  # of the desired set, without what `change` adds to it
    Column("seen_generation", Integer, nullable=False, default=0),
    Column("seen", Moment),  # last report
    Column("facts", Json),  # drivers.hypervisor.Host
    Column("cpu_ratio", Float, nullable=False, default=16.0),
    Column("ram_ratio", Float, nullable=False, default=1.0),
    Column("disk_ratio", Float, nullable=False, default=1.0),
    Column("created", Moment, nullable=False),
)

change = Table(  # each row is one more in a host's generation: whoever changes its set adds one, and meets nobody else who does
    "compute_host_change",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("host", String(255), nullable=False, index=True),
)

flavor = Table(
    "compute_flavor",
    metadata,
    Column("id", String(255), primary_key=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("vcpus", Integer, nullable=False),
    Column("ram", Integer, nullable=False),  # MiB
    Column("disk", Integer, nullable=False),  # GiB; 0: as large as the image
    Column("ephemeral", Integer, nullable=False, default=0),
    Column("swap", Integer, nullable=False, default=0),
    Column("rxtx_factor", Float, nullable=False, default=1.0),
    Column("public", Boolean, nullable=False, default=True),
    Column("disabled", Boolean, nullable=False, default=False),
    Column("description", Text),
    Column("extra_specs", Json, nullable=False),
    Column("created", Moment, nullable=False),
    Column("updated", Moment),
)

flavor_access = Table(
    "compute_flavor_access",
    metadata,
    Column("flavor_id", String(255), ForeignKey("compute_flavor.id", ondelete="CASCADE"), primary_key=True),
    Column("project_id", _PROJECT, primary_key=True),
)

keypair = Table(
    "compute_keypair",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("user_id", _PROJECT, nullable=False),
    Column("name", String(255), nullable=False),
    Column("type", String(16), nullable=False),
    Column("public_key", Text, nullable=False),
    Column("fingerprint", String(255), nullable=False),
    Column("created", Moment, nullable=False),
    UniqueConstraint("user_id", "name"),
)

server = Table(
    "compute_server",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("project_id", _PROJECT, nullable=False),
    Column("user_id", _PROJECT, nullable=False),
    Column("name", String(255), nullable=False),
    Column("hostname", String(255), nullable=False),
    Column("description", Text),
    Column("flavor", Json, nullable=False),  # as it was when the server was made
    Column("flavor_id", String(255), nullable=False),
    Column("vcpus", Integer, nullable=False),
    Column("ram", Integer, nullable=False),
    Column("disk", Integer, nullable=False),
    Column("image_id", _ID),
    Column("image", Json, nullable=False),  # services.image.Bootable, kernel and ramdisk included
    Column("key_name", String(255)),
    Column("public_key", Text),
    Column("config_drive", Boolean, nullable=False, default=False),
    Column("user_data", Text),  # base64
    Column("files", Json, nullable=False),  # personality: path to base64
    Column("metadata", Json, nullable=False),
    Column("zone", String(255)),  # asked for
    Column("hints", Json, nullable=False),
    Column("wanted_host", String(255)),
    Column("group_id", _ID, index=True),
    Column("reservation_id", String(32), nullable=False),
    Column("launch_index", Integer, nullable=False, default=0),
    Column("password", Text),  # what the guest posted, encrypted with its user's key
    Column("access_ipv4", String(64), nullable=False, default=""),
    Column("access_ipv6", String(64), nullable=False, default=""),
    Column("disk_config", String(8), nullable=False, default="MANUAL"),
    Column("vm_state", String(32), nullable=False),
    Column("task_state", String(64)),
    Column("fault", Json),
    Column("locked_by", String(16)),
    Column("locked_reason", String(255)),
    Column("host", String(255), index=True),
    Column("placed", Boolean, nullable=False, default=False),  # part of the host's desired set
    Column("power", String(16), nullable=False),
    Column("boots", Integer, nullable=False, default=0),
    Column("soft", Boolean, nullable=False, default=False),
    Column("seen_state", String(16), nullable=False, default="absent"),
    Column("seen_boots", Integer, nullable=False, default=0),
    Column("seen_fault", Text),
    Column("root_number", Integer, nullable=False, server_default="0"),  # how often the root disk was made anew
    Column("past", Json),  # the disk and the point of it that the root disk is made from, instead of the image
    Column("point", String(64)),  # a state of the root disk that is kept, to go back to
    Column("base", Json),  # what the root disk is made from, where that is not `image`
    Column("before", Json),  # what it was before it was resized or moved, until that is confirmed
    Column("confirm_by", Moment),
    Column("rescue", Json),  # the image it is rescued with, and where that is plugged in
    Column("nic_tags", Json),  # port id to its device tag
    Column("captures", Json),  # image id to where a copy of the root disk is to be put
    Column("seen_captures", Json),  # image id to a fault, or an empty text where the copy is whole
    Column("target", String(255), index=True),  # the host that it is on its way to while it runs
    Column("move", Json),  # what both hosts are told of that
    Column("seen_move", Json),  # what they say of it: `source`, `target`
    Column("shelved_image", _ID),
    Column("reclaim", Moment),  # when a server that was deleted softly goes for good
    Column("launched", Moment),
    Column("terminated", Moment),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
    Column("deleted", Moment),
    Index("ix_compute_server_project", "project_id", "deleted", "created", "id"),
)

server_tag = Table(
    "compute_server_tag",
    metadata,
    Column("server_id", _ID, ForeignKey("compute_server.id", ondelete="CASCADE"), primary_key=True),
    Column("tag", String(80), primary_key=True, index=True),
)

action = Table(
    "compute_action",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("server_id", _ID, nullable=False, index=True),
    Column("action", String(64), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("user_id", _PROJECT),
    Column("project_id", _PROJECT),
    Column("started", Moment, nullable=False),
    Column("finished", Moment),
    Column("result", String(16)),  # Success, Error
    Column("message", Text),
    Column("host", String(255)),
)

action_event = Table(
    "compute_action_event",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("server_id", _ID, nullable=False, index=True),
    Column("request_id", String(64), nullable=False),
    Column("event", String(255), nullable=False),
    Column("started", Moment, nullable=False),
    Column("finished", Moment),
    Column("result", String(16)),  # Success, Error
    Column("details", Text),
    Column("host", String(255)),
)

migration = Table(
    "compute_migration",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", _ID, nullable=False, unique=True),
    Column("server_id", _ID, nullable=False, index=True),
    Column("project_id", _PROJECT),
    Column("user_id", _PROJECT),
    Column("kind", String(16), nullable=False),  # migration, resize, live-migration, evacuation
    Column("status", String(16), nullable=False),
    Column("source", String(255)),
    Column("target", String(255)),
    Column("old_flavor", String(255)),
    Column("new_flavor", String(255)),
    Column("progress", Json),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
)

console_token = Table(
    "compute_console_token",
    metadata,
    Column("digest", String(64), primary_key=True),  # SHA-256 of the token
    Column("server_id", _ID, nullable=False, index=True),
    Column("kind", String(16), nullable=False),  # vnc, serial
    Column("expires", Moment, nullable=False),
)

server_group = Table(
    "compute_server_group",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("project_id", _PROJECT, nullable=False, index=True),
    Column("user_id", _PROJECT, nullable=False),
    Column("name", String(255), nullable=False),
    Column("policy", String(32), nullable=False),
    Column("rules", Json, nullable=False),
    Column("created", Moment, nullable=False),
)
