"""Connections and transactions.

Two kinds of transaction, the same on both databases: `read` sees one snapshot; `write` is serializable (SQLite takes its
one write lock at the start, PostgreSQL detects conflicts), so rules checked inside it (quotas, unique names, room on a
host) hold. `Database.run` repeats a write that lost a conflict; what it runs must therefore only touch the database.
`Database.note` writes down what was seen, again and again, and stands in no other transaction's way.
"""

import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError

from andromede.core.errors import Unavailable

T = TypeVar("T")
_TRIES = 20
_TROUBLE = {
    "disk is full": "The disk that holds the cloud's database is full: its operator must free space there.",
    "No space left": "The disk that holds the cloud's database is full: its operator must free space there.",
    "readonly database": "The cloud's database cannot be written: its operator must make its directory writable again.",
    "unable to open": "The cloud's database cannot be opened: its operator must see to the directory it is in.",
    "disk I/O error": "The disk that holds the cloud's database does not work: its operator must see to it.",
}
_CONFLICTS = {"40001", "40P01"}  # serialization_failure, deadlock_detected


class Database:
    """One database. Threads may share it; each transaction uses a connection of its own.

    url: `sqlite:////path/file.db` or `postgresql+psycopg://…`. pool: connections kept.
    """

    def __init__(self, url: str, *, pool: int = 16) -> None:
        parsed = make_url(url)
        self.sqlite = parsed.get_backend_name() == "sqlite"
        self._turn = threading.Lock()
        if self.sqlite:
            if parsed.database:
                Path(parsed.database).parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            arguments: dict[str, Any] = {"connect_args": {"check_same_thread": False, "timeout": 15}}
        else:
            arguments = {"pool_pre_ping": True}
        self.engine: Engine = create_engine(parsed, pool_size=pool, max_overflow=pool, **arguments)
        if self.sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One snapshot; whatever is written in it is rolled back. Raises Unavailable where the database does not answer."""
        options = {} if self.sqlite else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with _answering(), self.engine.connect().execution_options(**options) as connection, connection.begin() as transaction:
            try:
                yield connection
            finally:
                transaction.rollback()

    @contextmanager
    def write(self, *, exact: bool = True) -> Iterator[Connection]:
        """One serializable transaction, committed at the end of the block unless it raises. May raise a conflict: see `run`.

        exact: not so where it is False, see `note`. Raises Unavailable where the database does not answer, or cannot write.
        """
        after: list[Callable[[], None]] = []
        options: dict[str, Any] = {"after": after}
        options |= {"writes": True} if self.sqlite else {"isolation_level": "SERIALIZABLE" if exact else "READ COMMITTED"}
        turn = self._turn if self.sqlite else nullcontext()
        with _answering(), turn, self.engine.connect().execution_options(**options) as connection, connection.begin():
            yield connection
        for action in after:
            action()

    def run(self, work: Callable[[Connection], T]) -> T:
        """`work` in a write transaction, again from the start when the database says that it conflicts with another.

        Raises Unavailable when it still conflicts after twenty tries, or the database does not answer.
        """
        return self._repeat(work, exact=True)

    def note(self, work: Callable[[Connection], T]) -> T:
        """`work` in a transaction that neither conflicts with what others read nor sees one snapshot: for rows that it alone writes,
        and of which no rule depends. Raises Unavailable as `run`."""
        return self._repeat(work, exact=False)

    def _repeat(self, work: Callable[[Connection], T], *, exact: bool) -> T:
        for attempt in range(_TRIES):
            try:
                with self.write(exact=exact) as connection:
                    return work(connection)
            except DBAPIError as error:
                if not _conflict(error):
                    raise
                if attempt == _TRIES - 1:
                    raise Unavailable("The cloud is too busy to change this now; try again.") from error
                time.sleep(random.uniform(0.2, 1.0) * min(0.005 * 2**attempt, 0.5))  # noqa: S311
        raise AssertionError

    def look(self, work: Callable[[Connection], T]) -> T:
        """`work` in a read transaction."""
        with self.read() as connection:
            return work(connection)

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def after_commit(connection: Connection, action: Callable[[], None]) -> None:
    """Have `action` run once the transaction of `connection` is committed; never when it is rolled back."""
    connection.get_execution_options()["after"].append(action)


@contextmanager
def _answering() -> Iterator[None]:
    """Turn what is wrong with the database itself, not with what was asked of it, into Unavailable."""
    try:
        yield
    except OperationalError as error:
        if _conflict(error):
            raise
        text = str(error.orig)
        said = next((said for part, said in _TROUBLE.items() if part in text), "The cloud's database does not answer.")
        raise Unavailable(said) from error


def _conflict(error: DBAPIError) -> bool:
    if isinstance(error, OperationalError) and isinstance(error.orig, sqlite3.OperationalError):
        return "locked" in str(error.orig) or "busy" in str(error.orig)
    return getattr(error.orig, "sqlstate", None) in _CONFLICTS


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=15000", "cache_size=-4096"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")
