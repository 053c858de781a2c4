"""Limits that differ from the defaults, by project (or `class:default` for the defaults themselves)."""

from sqlalchemy import Column, Integer, String, Table

from andromede.db.base import metadata

limit = Table(
    "quota_limit",
    metadata,
    Column("project_id", String(64), primary_key=True),
    Column("resource", String(64), primary_key=True),
    Column("value", Integer, nullable=False),  # -1: no limit
)
