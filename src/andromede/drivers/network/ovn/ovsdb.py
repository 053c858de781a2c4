"""One connection to an OVSDB server, shared by threads; it comes back by itself after the server does.

Every failure is a DriverError, within the time limit.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from ovsdbapp import exceptions
from ovsdbapp.backend.ovs_idl import command, connection, idlutils, transaction

from andromede.core.errors import DriverError
from andromede.drivers.network.ovn import messages

Row = Any
Transaction = Any
Notify = Callable[[str, Row], None]
T = TypeVar("T")
_BACKOFF_MS = (100, 1000)
messages.install()


class _Idl(connection.OvsdbIdl):
    """The local copy of a database that tells about each row as it comes and goes."""

    def __init__(self, remote: str, schema: Any, listener: Notify) -> None:
        self.listener = listener
        super().__init__(remote, schema)  # type: ignore[no-untyped-call]
        # private to the library, whose own maximum of 8 s is long for a server on the same machine
        self._session.reconnect.set_backoff(*_BACKOFF_MS)

    def notify(self, event: str, row: Row, updates: object = None) -> None:  # noqa: ARG002
        """Called by the library for each change."""
        self.listener(event, row)

    def cooperative_yield(self) -> None:
        """Called by the library for each row; threads need no yielding."""

    def connected(self) -> bool:
        """Whether the server is there and the copy is whole."""
        return bool(self._session.is_connected()) and self.state == self.IDL_S_MONITORING


class _Work(command.BaseCommand):
    """A function that reads and writes rows within a transaction; it may be run again when the server saw a conflict."""

    def __init__(self, api: object, work: Callable[[Transaction], None]) -> None:
        super().__init__(api)  # type: ignore[no-untyped-call]
        self.work = work

    def run_idl(self, txn: Transaction) -> None:
        """Called by the library."""
        self.work(txn)


class Ovsdb:
    """A database `schema` at `remote`, of which `tables` are mirrored.

    It connects at first use. timeout: seconds for connecting and for a transaction. listener: told of ("create" |
    "update" | "delete", row) under the lock.
    """

    def __init__(
        self, remote: str, schema: str, tables: tuple[str, ...], *, timeout: float, listener: Notify = lambda _event, _row: None
    ) -> None:
        self._remote, self._schema, self._names, self._timeout, self._listener = remote, schema, tables, timeout, listener
        self._opening = threading.Lock()
        self._connection: connection.Connection | None = None

    @property
    def idl(self) -> Any:
        """What transactions of the library look for."""
        return self._open().idl

    @property
    def tables(self) -> Any:
        """Tables by name, with `rows` by UUID; to be read within `reading` or a transaction."""
        return self._open().idl.tables

    def _open(self) -> connection.Connection:
        with self._opening:
            if self._connection is None:
                try:
                    helper = idlutils.get_schema_helper(self._remote, self._schema)
                    for name in self._names:
                        helper.register_table(name)
                    fresh = connection.Connection(_Idl(self._remote, helper, self._listener), self._timeout)
                    fresh.start()
                except Exception as failed:
                    raise DriverError("The network database does not answer") from failed
                self._connection = fresh
            return self._connection

    def _connected(self) -> connection.Connection:
        link = self._open()
        deadline = time.monotonic() + self._timeout
        while not link.idl.connected():
            if time.monotonic() > deadline:
                raise DriverError("The network database does not answer")
            time.sleep(0.02)
        return link

    def read(self, work: Callable[[], T]) -> T:
        """What `work` answers from the mirror, which does not change meanwhile. Raises DriverError without a server."""
        with self._connected().lock:
            return work()

    def write(self, work: Callable[[Transaction], None], *, extra: float = 0) -> None:
        """Run `work` in one transaction. extra: seconds beyond the usual limit. Raises DriverError."""
        link = self._connected()
        job = transaction.Transaction(self, link, self._timeout + extra, check_error=True, log_errors=False)
        job.add(_Work(self, work))
        try:
            job.commit()
        except exceptions.TimeoutException as late:
            raise DriverError("The network database does not answer in time") from late
        except DriverError:
            raise
        except Exception as failed:
            raise DriverError("The network database refused a change") from failed

    def close(self) -> None:
        """End the connection; a later use opens it again."""
        with self._opening:
            if self._connection is not None:
                self._connection.stop(self._timeout)
                self._connection = None


