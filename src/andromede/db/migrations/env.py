"""Runs the migrations on the connection that the caller opened."""

from typing import Any

from alembic import context

from andromede.db.base import Json, Moment

config = context.config


def _render(kind: str, item: Any, autogen: Any) -> Any:
    """How our column types are written in a migration."""
    if kind == "type" and isinstance(item, Json | Moment):
        name = type(item).__name__
        autogen.imports.add(f"from andromede.db.base import {name}")
        return f"{name}()"
    return False


context.configure(
    connection=config.attributes["connection"],
    target_metadata=config.attributes["metadata"],
    render_as_batch=True,
    transaction_per_migration=True,
    compare_type=True,
    render_item=_render,
)
with context.begin_transaction():
    context.run_migrations()
