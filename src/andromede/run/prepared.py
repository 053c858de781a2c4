"""Whether the rows that a cloud starts with are there already, found out without loading what reads and writes them.

A mark beside the SQLite database says what made it ready: this code and these settings; and the schema it had then, so that
another file in its place is seen. A database elsewhere is looked at each time.
"""

import contextlib
import hashlib
import sqlite3
from pathlib import Path

import msgspec

import andromede
from andromede.run.home import Home


class _Mark(msgspec.Struct):
    made_by: str
    schema: str


def is_ready(home: Home) -> bool:
    """Whether there is nothing to do. Runs as the owner of the database."""
    schema = _schema(home)
    try:
        mark = msgspec.json.decode(_path(home).read_bytes(), type=_Mark)
    except (OSError, msgspec.MsgspecError):
        return False
    return bool(schema) and mark == _Mark(_made_by(home), schema)


def note(home: Home) -> None:
    """The database has been made ready by this code with these settings."""
    if schema := _schema(home):
        _path(home).write_bytes(msgspec.json.encode(_Mark(_made_by(home), schema)))


def _path(home: Home) -> Path:
    return home.path / "db" / "prepared.json"


def _made_by(home: Home) -> str:
    digest = hashlib.sha256(f"{andromede.__version__} {home.host} {home.settings}".encode())
    root = Path(andromede.__file__).parent
    for path in sorted(root.rglob("*.py")):
        facts = path.stat()
        digest.update(f"{path.relative_to(root)} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _schema(home: Home) -> str:
    """The version of a SQLite database's schema; empty where there is none, or it is another kind of database."""
    prefix = "sqlite:///"
    path = home.database_url.removeprefix(prefix)
    if path == home.database_url or not Path(path).exists():
        return ""
    with contextlib.closing(sqlite3.connect(path, timeout=15)) as link:
        try:
            row = link.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.OperationalError:
            return ""
    return str(row[0]) if row else ""
