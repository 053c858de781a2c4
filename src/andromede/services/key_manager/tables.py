"""Key Manager's rows. A secret's payload is sealed with a master key that is not in the database."""

from sqlalchemy import Boolean, Column, ForeignKey, Integer, LargeBinary, String, Table, Text, UniqueConstraint

from andromede.db.base import Json, Moment, metadata

_ID = String(36)
_PROJECT = String(64)
_NAME = String(255)

secret = Table(
    "key_secret",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("project_id", _PROJECT, nullable=False, index=True),
    Column("user_id", _PROJECT, nullable=False),
    Column("name", _NAME),
    Column("type", String(32), nullable=False),
    Column("algorithm", _NAME),
    Column("bit_length", Integer),
    Column("mode", _NAME),
    Column("content_type", _NAME),
    Column("payload", LargeBinary),  # sealed; none until the second step of two
    Column("metadata", Json, nullable=False),
    Column("hidden", Boolean, nullable=False, default=False),  # the cloud's own, of an encrypted volume
    Column("expires", Moment),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
)

container = Table(
    "key_container",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("project_id", _PROJECT, nullable=False, index=True),
    Column("user_id", _PROJECT, nullable=False),
    Column("name", _NAME),
    Column("type", String(32), nullable=False),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
)

container_secret = Table(
    "key_container_secret",
    metadata,
    Column("container_id", _ID, ForeignKey("key_container.id", ondelete="CASCADE"), primary_key=True),
    Column("secret_id", _ID, ForeignKey("key_secret.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("name", _NAME, primary_key=True),
)

order = Table(
    "key_order",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("project_id", _PROJECT, nullable=False, index=True),
    Column("user_id", _PROJECT, nullable=False),
    Column("type", String(32), nullable=False),
    Column("meta", Json, nullable=False),
    Column("status", String(16), nullable=False),
    Column("error_code", String(16)),
    Column("error", Text),
    Column("secret_id", _ID),
    Column("container_id", _ID),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
)

acl = Table(
    "key_acl",
    metadata,
    Column("target", _ID, primary_key=True),  # a secret's or a container's id
    Column("project_access", Boolean, nullable=False, default=True),
    Column("users", Json, nullable=False),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
)

consumer = Table(
    "key_consumer",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("target", _ID, nullable=False, index=True),  # a secret's or a container's id
    Column("project_id", _PROJECT, nullable=False),
    Column("service", _NAME, nullable=False),  # of a container's: its name
    Column("resource_type", _NAME, nullable=False, default=""),
    Column("resource_id", String(512), nullable=False),  # of a container's: its URL
    Column("created", Moment, nullable=False),
    UniqueConstraint("target", "service", "resource_type", "resource_id"),
)
