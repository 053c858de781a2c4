"""Bringing a database to the schema of this version."""

from importlib.resources import files

from alembic import command
from alembic.config import Config

from andromede.db.base import metadata
from andromede.db.engine import Database
from andromede.engine import tables as engine_tables
from andromede.services.audit import tables as audit_tables
from andromede.services.compute import tables as compute_tables
from andromede.services.compute import tables_channel, tables_volumes
from andromede.services.drive import tables as drive_tables
from andromede.services.drive import tables_people as drive_people_tables
from andromede.services.hadoop import tables as hadoop_tables
from andromede.services.identity import tables as identity_tables
from andromede.services.image import tables as image_tables
from andromede.services.key_manager import tables as key_tables
from andromede.services.network import tables as network_tables
from andromede.services.quota import tables as quota_tables
from andromede.services.volume import tables as volume_tables

TABLES = (
    engine_tables, audit_tables, compute_tables, tables_channel, tables_volumes, drive_tables, drive_people_tables, hadoop_tables,
    identity_tables, image_tables, key_tables, network_tables, quota_tables, volume_tables,
)  # fmt: skip


def upgrade(database: Database) -> None:
    """Run the migrations that are missing, each in a transaction of its own."""
    config = Config()
    config.set_main_option("script_location", str(files("andromede") / "db" / "migrations"))
    with database.engine.connect().execution_options(writes=True) as connection:
        config.attributes["connection"] = connection
        config.attributes["metadata"] = metadata
        command.upgrade(config, "head")
