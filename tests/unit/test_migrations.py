"""Migrations make what the tables say, and lose nothing of what was shared before."""

from importlib.resources import files

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import text

from andromede.db.base import metadata
from andromede.run import migrate
from tests.cloud import fresh_database

POOL = (
    "INSERT INTO net_subnetpool (id, project_id, name, description, revision, created, updated, ip_version, prefixes, min_prefix, max_prefix, "
    "default_prefix, shared, is_default) VALUES "
    "(:id, 'p', '', '', 0, '2026-01-01 00:00:00.000000', '2026-01-01 00:00:00.000000', 4, '[]', 8, 32, 8, :shared, :off)"
)
RULES = "SELECT object_type, object_id, action, target FROM net_rbac ORDER BY object_id"


def go(connection, revision, *, down=False):
    config = Config()
    config.set_main_option("script_location", str(files("andromede") / "db" / "migrations"))
    config.attributes["connection"], config.attributes["metadata"] = connection, metadata
    (command.downgrade if down else command.upgrade)(config, revision)


def test_migrations_make_the_tables_and_keep_what_is_shared(tmp_path):
    database = fresh_database(tmp_path)
    try:
        with database.engine.connect().execution_options(writes=True) as db:
            db.rollback()
            metadata.drop_all(db)
            db.execute(text("DROP TABLE IF EXISTS alembic_version"))
            db.commit()
            go(db, "0004")
            for id_, shared in (("a", True), ("b", False)):
                db.execute(text(POOL), {"id": id_, "shared": shared, "off": False})
            db.commit()
            go(db, "head")
            assert list(db.execute(text(RULES))) == [("subnetpool", "a", "access_as_shared", "*")]
            db.rollback()
            assert compare_metadata(MigrationContext.configure(db, opts={"compare_type": True}), metadata) == []
            db.rollback()
            go(db, "0004", down=True)
            assert dict(db.execute(text("SELECT id, shared FROM net_subnetpool")).all()) == {"a": True, "b": False}
            assert db.scalar(text("SELECT count(*) FROM net_rbac")) == 0
            db.rollback()
        migrate.upgrade(database)
        with database.read() as db:
            assert len(list(db.execute(text(RULES)))) == 1
    finally:
        database.close()
