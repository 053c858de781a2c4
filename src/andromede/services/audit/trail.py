"""What the HTTP layer tells the audit log: changes in their own transactions, everything else in one of its own.

A change and its event are committed together or not at all. A route that keeps its own transactions is told of before (outcome `pending`)
and after. What is refused, and what an operator reads, is committed before it is answered; those that come at once share a transaction.
"""

import threading
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert

from andromede.core.clock import monotonic
from andromede.core.context import Context
from andromede.core.errors import CloudError
from andromede.db.engine import Database
from andromede.http.api import Route
from andromede.http.policy import Level
from andromede.http.response import Response
from andromede.services.audit import events, tables

_READS = {"GET", "HEAD"}
STRANGERS, PERIOD = 100, 10.0
"""How many refusals of nobody known are written in so many seconds; the others are counted in the next that is."""


class Trail:
    """The audit log as the application sees it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock, self._turn = threading.Lock(), threading.Lock()
        self._waiting: list[_Entry] = []
        self._since, self._strangers, self._untold = 0.0, 0, 0

    def wanted(self, ctx: Context, route: Route) -> bool:
        """Whether a request is told of where it succeeds: every change, and what an operator reads of tenants."""
        if ctx.method not in _READS:
            return True
        return ctx.caller.admin and route.policy.level not in (Level.PUBLIC, Level.USER)

    def wanted_refusal(self, ctx: Context, error: CloudError) -> bool:
        """Whether a refusal is told of: of every change that failed, and of anything that was not allowed."""
        return ctx.method not in _READS or error.status in (401, 403)

    def note(self, db: Connection, ctx: Context, route: Route, params: Mapping[str, str], response: Response) -> None:
        """Write the event of a change into its transaction."""
        code = response.status or route.status
        db.execute(insert(tables.event).values(**events.event(ctx, route, params, code=code, outcome="success", body=response.body)))

    def begin(self, ctx: Context, route: Route, params: Mapping[str, str]) -> None:
        """Tell of a change before it is known how it ends. What anyone may ask for, such as signing in, changes nothing of anybody's."""
        if ctx.method in _READS or route.policy.level is Level.PUBLIC:
            return
        self._commit(events.event(ctx, route, params, code=100, outcome="pending"))

    def tell(self, ctx: Context, route: Route, params: Mapping[str, str], response: Response) -> None:
        """Tell of what succeeded outside of a transaction of its own."""
        code = response.status or route.status
        outcome = "success" if code < 400 else "failure"
        self._commit(events.event(ctx, route, params, code=code, outcome=outcome, body=response.body))

    def refused(self, ctx: Context, route: Route | None, params: Mapping[str, str], error: CloudError) -> None:
        """Tell of what `wanted_refusal` says; of what strangers are refused only as much as fits."""
        more = {}
        if not ctx.caller.user_id:
            with self._lock:
                if monotonic() - self._since > PERIOD:
                    self._since, self._strangers = monotonic(), 0
                self._strangers += 1
                if self._strangers > STRANGERS:
                    self._untold += 1
                    return
                more, self._untold = ({"untold": self._untold} if self._untold else {}), 0
        self._commit(events.event(ctx, route, params, code=error.status, outcome="failure", more=more))

    def _commit(self, row: dict[str, Any]) -> None:
        """Write a row, with those of others that wait for the same."""
        mine = _Entry(row)
        with self._lock:
            self._waiting.append(mine)
        with self._turn:
            if mine.done:
                if mine.error is not None:
                    raise mine.error
                return
            with self._lock:
                batch, self._waiting = self._waiting, []
            error: Exception | None = None
            try:
                self._database.run(lambda db: db.execute(insert(tables.event), [one.row for one in batch]))
            except Exception as raised:
                error = raised
                raise
            finally:
                for one in batch:
                    one.done, one.error = True, error


class _Entry:
    __slots__ = ("done", "error", "row")

    def __init__(self, row: dict[str, Any]) -> None:
        self.row, self.done = row, False
        self.error: Exception | None = None
