"""Tables of the audit log."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table, Text

from andromede.db.base import Moment, metadata

event = Table(
    "audit_event",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("position", BigInteger, unique=True),  # in the sealed log; none until the next sealing
    Column("at", Moment, nullable=False),
    Column("project_id", String(64)),
    Column("user_id", String(64)),
    Column("target_id", String(64), index=True),
    Column("request_id", String(64), nullable=False, index=True),
    Column("action", String(64), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("document", Text, nullable=False),  # byte by byte what is sealed
    Index("ix_audit_event_at", "at"),
    Index("ix_audit_event_project_at", "project_id", "at"),
)
tile = Table(
    "audit_tile",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("index", BigInteger, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False),
)
checkpoint = Table(
    "audit_checkpoint",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Moment, nullable=False),
    Column("note", Text, nullable=False),
)
