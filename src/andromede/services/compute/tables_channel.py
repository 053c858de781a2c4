"""The documents that a server has for a program of the cloud's in it, and the state that this put last.

Documents are written by whoever speaks with it, states by the observer of hosts alone: they come all the time, so they have a table of
their own, and what people's requests write is never in the same row.
"""

from sqlalchemy import Column, ForeignKey, Integer, String, Table, Text

from andromede.db.base import Moment, metadata

channel = Table(
    "compute_channel",
    metadata,
    Column("server_id", String(36), ForeignKey("compute_server.id", ondelete="CASCADE"), primary_key=True),
    Column("topic", String(64), nullable=False),  # the reconciler that is woken by a state
    Column("number", Integer, nullable=False),  # goes up with each change of the documents
    Column("documents", Text, nullable=False),  # text by name, sealed
)

told = Table(
    "compute_told",
    metadata,
    Column("server_id", String(36), ForeignKey("compute_channel.server_id", ondelete="CASCADE"), primary_key=True),
    Column("state", Text),
    Column("heard", Moment),
)
