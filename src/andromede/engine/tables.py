"""The operations' table."""

from sqlalchemy import Boolean, Column, Index, Integer, String, Table, Text

from andromede.db.base import Json, Moment, metadata

operation = Table(
    "operation",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("number", Integer, nullable=False),  # order among the operations of one resource
    Column("kind", String(64), nullable=False),
    Column("resource", String(64), nullable=False, index=True),
    Column("project_id", String(64)),
    Column("request_id", String(64)),
    Column("state", String(16), nullable=False),  # running, undoing, done, failed, cancelled
    Column("step", String(64), nullable=False),
    Column("memo", Json, nullable=False),
    Column("fault", Text),
    Column("tries", Integer, nullable=False, default=0),
    Column("cancel", Boolean, nullable=False, default=False),
    Column("holder", String(128)),
    Column("lease", Moment),
    Column("due", Moment, nullable=False),
    Column("deadline", Moment, nullable=False),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
    Index("ix_operation_state_due", "state", "due"),
)
