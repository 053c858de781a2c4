"""The drive's rows about people: their devices, sign-ins that programs have begun, shares, notices, and how they say they are."""

from sqlalchemy import Boolean, Column, Index, Integer, String, Table, Text, UniqueConstraint

from andromede.db.base import Json, Moment, metadata

_ID = String(64)

device = Table(
    "drive_password",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("user_id", _ID, nullable=False, index=True),
    Column("name", String(255), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),  # SHA-256: the secret is drawn, not chosen
    Column("scopes", Json, nullable=False),  # any of read, write
    Column("created", Moment, nullable=False),
    Column("used", Moment),
    Column("expires", Moment),
    Column("wipe", Boolean, nullable=False, default=False),  # its device is to forget everything
)
"""App passwords, one for each device."""

login = Table(
    "drive_login",
    metadata,
    Column("id", String(64), primary_key=True),  # SHA-256 of what the program asks with
    Column("opened", String(64), nullable=False, unique=True),  # SHA-256 of what the person's browser is sent to
    Column("device", String(255), nullable=False),
    Column("user_id", _ID),  # who has let it; NULL until then
    Column("created", Moment, nullable=False),
)
"""Sign-ins that programs have begun (Login Flow v2)."""

share = Table(
    "drive_share",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", Integer, nullable=False),  # 0 user, 1 group, 3 link: the protocol's share types
    Column("node_id", Integer, nullable=False, index=True),
    Column("space_id", String(36), nullable=False),
    Column("owner_id", _ID, nullable=False, index=True),  # whose space it is in
    Column("by_id", _ID, nullable=False, index=True),  # who shared it
    Column("with_id", _ID, nullable=False, default=""),  # user or group; empty for a link
    Column("permissions", Integer, nullable=False),  # 1 read, 2 update, 4 create, 8 delete, 16 share
    Column("token", String(64), unique=True),
    Column("password", Text, nullable=False, default=""),  # argon2id; empty for none
    Column("label", String(255), nullable=False, default=""),
    Column("note", Text, nullable=False, default=""),
    Column("hide_download", Boolean, nullable=False, default=False),
    Column("expires", Moment),
    Column("created", Moment, nullable=False),
    Index("ix_drive_share_with", "kind", "with_id"),
    sqlite_autoincrement=True,
)

mount = Table(
    "drive_mount",
    metadata,
    Column("share_id", Integer, primary_key=True),
    Column("user_id", _ID, primary_key=True),
    Column("name", Text, nullable=False),  # where it is seen in the user's own tree
    Column("hidden", Boolean, nullable=False, default=False),  # the user does not want it
    UniqueConstraint("user_id", "name"),
)
"""Where a share is seen by whom it was given to."""

notice = Table(
    "drive_notice",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("user_id", _ID, nullable=False, index=True),
    Column("kind", String(32), nullable=False),
    Column("share_id", Integer, nullable=False, index=True),
    Column("facts", Json, nullable=False),
    Column("created", Moment, nullable=False),
    sqlite_autoincrement=True,
)

status = Table(
    "drive_status",
    metadata,
    Column("user_id", _ID, primary_key=True),
    Column("status", String(16), nullable=False),
    Column("icon", String(64), nullable=False, default=""),
    Column("message", String(255), nullable=False, default=""),
    Column("message_id", String(64), nullable=False, default=""),
    Column("clear", Moment),
    Column("changed", Moment, nullable=False),
)
