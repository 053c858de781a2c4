"""The mark that lets a second `up` leave the database alone: it holds for this code, these settings and that schema only."""

import sqlite3

import pytest

from andromede.run import prepared
from andromede.run.home import Home


@pytest.fixture
def home(tmp_path):
    (tmp_path / "db").mkdir()
    home = Home.at(tmp_path)
    with sqlite3.connect(tmp_path / "db" / "cloud.sqlite") as link:
        link.execute("CREATE TABLE alembic_version (version_num TEXT)")
        link.execute("INSERT INTO alembic_version VALUES ('0001')")
    return home


def test_a_database_that_was_made_ready_is_known(home):
    assert not prepared.is_ready(home)
    prepared.note(home)
    assert prepared.is_ready(home)


def test_other_settings_are_seen(home):
    prepared.note(home)
    home.config.write_text("[api]\nport = 5001\n")
    assert not prepared.is_ready(home)


def test_another_schema_is_seen(home):
    prepared.note(home)
    with sqlite3.connect(home.path / "db" / "cloud.sqlite") as link:
        link.execute("UPDATE alembic_version SET version_num = '0000'")
    assert not prepared.is_ready(home)


def test_a_missing_database_and_a_damaged_mark_are_seen(home):
    prepared.note(home)
    (home.path / "db" / "prepared.json").write_text("{")
    assert not prepared.is_ready(home)
    prepared.note(home)
    (home.path / "db" / "cloud.sqlite").unlink()
    assert not prepared.is_ready(home)


def test_a_database_elsewhere_is_looked_at_each_time(home):
    home.config.write_text('[database]\nurl = "postgresql+psycopg://nowhere/cloud"\n')
    prepared.note(home)
    assert not prepared.is_ready(home)
