"""The engine's loop: workers that claim and run operations, a thread a reconciler, a socket for wake-ups."""

import os
import socket
import threading
import traceback
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Connection, and_, case, delete, or_, select, update
from sqlalchemy.exc import DBAPIError

from andromede.core.clock import monotonic, now
from andromede.core.context import Parts
from andromede.core.errors import CloudError
from andromede.db.engine import Database
from andromede.engine.client import LIVE
from andromede.engine.metrics import Health, Tally
from andromede.engine.model import Kind, Later, Reconciler, Work
from andromede.engine.tables import operation

log = structlog.get_logger("engine")
LEASE = timedelta(seconds=60)
KEEP = timedelta(hours=1)
_UNEXPECTED_TRIES = 5
_INTERNAL = "An unexpected error happened in the cloud; its operator finds the cause in the log."


class _Lost(Exception):
    """The lease is no longer ours; somebody else goes on."""


class Engine:
    """Runs operations and reconcilers until stopped.

    name: this engine's, the same after a restart, so that its own stale leases are freed at once.
    """

    def __init__(
        self, database: Database, parts: Parts, kinds: Sequence[Kind], reconcilers: Sequence[Reconciler] = (), *,
        name: str = "engine", workers: int = 4, socket_path: Path | None = None,
    ) -> None:  # fmt: skip
        self.database, self.parts, self.name = database, parts, name
        self.kinds = {kind.name: kind for kind in kinds}
        self.reconcilers = {one.name: one for one in reconcilers}
        self.health = {one.name: Health(one.name, one.every) for one in reconcilers}
        self.tally = Tally()
        self._workers, self._socket_path = workers, socket_path
        self._stop = threading.Event()
        self._work = threading.Condition()
        self._pending = 0
        self._signals = {name: threading.Event() for name in self.reconcilers}
        self._threads: list[threading.Thread] = []
        self._socket: socket.socket | None = None

    def start(self) -> None:
        """Free leases left by an earlier run of this engine, then start all threads."""
        self.database.run(lambda db: db.execute(update(operation).where(operation.c.holder == self.name).values(holder=None, lease=None)))
        for number in range(self._workers):
            self._spawn(f"worker-{number}", self._worker)
        for one in self.reconcilers.values():
            self._spawn(one.name, self._reconcile, one)
        if self._socket_path is not None:
            self._socket_path.unlink(missing_ok=True)
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.bind(str(self._socket_path))
            self._socket_path.chmod(0o660)
            self._spawn("wake", self._listen)

    def stop(self, timeout: float = 10.0) -> None:
        """Let the steps under way end, and stop."""
        self._stop.set()
        with self._work:
            self._work.notify_all()
        for event in self._signals.values():
            event.set()
        if self._socket is not None and self._socket_path is not None:
            self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            self._socket_path.unlink(missing_ok=True)
        end = monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, end - monotonic()))

    def wake(self, topic: str) -> None:
        """Look for operations now, or run the reconciler of that name."""
        if topic == "operations":
            with self._work:
                self._pending += 1
                self._work.notify()
        elif topic in self._signals:
            self._signals[topic].set()

    def _spawn(self, name: str, target: Any, *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _listen(self) -> None:
        assert self._socket is not None
        while not self._stop.is_set():
            try:
                topic = self._socket.recv(256)
            except OSError:
                return
            self.wake(topic.decode("ascii", "replace"))

    def _worker(self) -> None:
        while not self._stop.is_set():
            try:
                ran = self.run_one()
            except Exception:
                log.exception("worker failed")
                ran = False
                self._stop.wait(1)
            if not ran:
                with self._work:
                    if not self._pending:
                        self._work.wait(self._idle())
                    self._pending = max(0, self._pending - 1)

    def _idle(self) -> float:
        try:
            due = self.database.look(lambda db: db.scalar(select(operation.c.due).where(_claimable(None)).order_by(operation.c.due).limit(1)))
        except (DBAPIError, CloudError):
            return 1.0
        return 1.0 if due is None else min(1.0, max(0.01, (due - now()).total_seconds()))

    def run_one(self) -> bool:
        """Claim one due operation and run its steps as far as they go. False where none was due."""
        row = self.database.run(self._claim)
        if row is None:
            return False
        kind = self.kinds.get(row.kind)
        try:
            if kind is None:
                self._end(row, "failed", f"This version of the cloud does not know operations of kind {row.kind}.")
            else:
                while self._advance(kind, row):
                    row = self._reread(row)
                    if self._stop.is_set():
                        self._release(row)
                        break
        except _Lost:
            self.tally.lost += 1
            log.warning("lease lost", operation=row.id, kind=row.kind)
        return True

    def run_all(self, most: int = 10000) -> int:
        """Run until nothing is due; answers how many turns it took."""
        turns = 0
        while turns < most and self.run_one():
            turns += 1
        return turns

    def _claim(self, db: Connection) -> Any:
        found = db.execute(
            select(operation.c.id).where(_claimable(now())).order_by(operation.c.due).limit(1).with_for_update(skip_locked=True)
        ).scalar()
        if found is None:
            return None
        db.execute(update(operation).where(operation.c.id == found).values(holder=self.name, lease=now() + LEASE))
        return db.execute(select(operation).where(operation.c.id == found)).one()

    def _reread(self, row: Any) -> Any:
        fresh = self.database.look(lambda db: db.execute(select(operation).where(operation.c.id == row.id)).first())
        if fresh is None or fresh.holder != self.name or fresh.state not in LIVE:
            raise _Lost
        return fresh

    def _release(self, row: Any) -> None:
        self.database.run(
            lambda db: db.execute(
                update(operation).where(operation.c.id == row.id, operation.c.holder == self.name).values(holder=None, lease=None)
            )
        )

    def _advance(self, kind: Kind, row: Any) -> bool:
        """One step. True where the next can follow at once."""
        work = Work(row, self.parts, self.database)
        if row.cancel:
            self._end(row, "cancelled", row.fault, work=work)
            return False
        try:
            index = kind.index(row.step)
        except KeyError:
            self._end(row, "failed", f"This version of the cloud does not know the step {row.step} of {row.kind}.", kind=kind, work=work)
            return False
        if row.state == "undoing":
            return self._undo(kind, row, work, index)
        if now() > row.deadline:
            return self._fail(kind, row, work, index, f"{kind.name} did not end within {kind.deadline:.0f} seconds (at: {row.step}).")
        began = monotonic()
        try:
            outcome = kind.steps[index].do(work)
            self.tally.step(kind.name, row.step, "later" if isinstance(outcome, Later) else "done", began)
            if isinstance(outcome, Later):
                # whatever hurried the operation since it was claimed wins over the wait
                due = case((operation.c.due == row.due, now() + timedelta(seconds=outcome.seconds)), else_=operation.c.due)
                self._move(row, work, due=due, holder=None, lease=None)
                return False
            if index + 1 < len(kind.steps):
                self._move(row, work, step=kind.steps[index + 1].name, tries=0, lease=now() + LEASE)
                return True
            self._end(row, "done", None, work=work, changes=True)
        except _Lost:
            raise
        except CloudError as error:
            again = error.status >= 500 and now() < row.deadline
            self.tally.step(kind.name, row.step, "again" if again else "failed", began)
            return self._again(row, work, error) if again else self._fail(kind, row, work, index, error.message)
        except Exception as error:  # noqa: BLE001 - whatever a step raises ends in a retry or in a named fault
            again = row.tries + 1 < _UNEXPECTED_TRIES
            self.tally.step(kind.name, row.step, "again" if again else "failed", began)
            return self._again(row, work, error) if again else self._fail(kind, row, work, index, _INTERNAL)
        return False

    def _again(self, row: Any, work: Work, error: Exception) -> bool:
        work.changes.clear()
        trace = "".join(traceback.format_exception(error)) if not isinstance(error, CloudError) else repr(error.__cause__ or error)
        log.warning("step failed, will be tried again", operation=row.id, kind=row.kind, step=row.step, tries=row.tries + 1, error=trace)
        delay = min(30.0, 0.25 * 2 ** min(row.tries, 10))
        fault = error.message if isinstance(error, CloudError) else _INTERNAL
        self._move(row, work, tries=row.tries + 1, fault=fault, due=now() + timedelta(seconds=delay), holder=None, lease=None)
        return False

    def _fail(self, kind: Kind, row: Any, work: Work, index: int, fault: str) -> bool:
        log.error("operation failed", operation=row.id, kind=row.kind, resource=row.resource, step=row.step, fault=fault)
        work.changes.clear()
        if kind.commit is not None and index > kind.index(kind.commit):
            self._end(row, "failed", fault, kind=kind, work=work)
            return False
        extra = timedelta(seconds=max(60.0, kind.deadline))
        self._move(row, work, state="undoing", fault=fault, tries=0, deadline=now() + extra, lease=now() + LEASE)
        return True

    def _undo(self, kind: Kind, row: Any, work: Work, index: int) -> bool:
        undo, began = kind.steps[index].undo, monotonic()
        try:
            if undo is not None:
                undo(work)
                self.tally.step(kind.name, row.step, "undone", began)
        except Exception as error:
            if now() < row.deadline:
                return self._again_undo(row, work, error)
            log.exception("undo given up", operation=row.id, kind=row.kind, step=row.step)
        if index > 0:
            self._move(row, work, step=kind.steps[index - 1].name, tries=0, lease=now() + LEASE)
            return True
        self._end(row, "failed", row.fault, kind=kind, work=work, changes=True)
        return False

    def _again_undo(self, row: Any, work: Work, error: Exception) -> bool:
        work.changes.clear()
        log.warning("undo failed, will be tried again", operation=row.id, kind=row.kind, step=row.step, error=repr(error))
        delay = min(30.0, 0.25 * 2 ** min(row.tries, 10))
        self._move(row, work, tries=row.tries + 1, due=now() + timedelta(seconds=delay), holder=None, lease=None)
        return False

    def _move(self, row: Any, work: Work, **values: Any) -> None:
        def commit(db: Connection) -> None:
            mine = and_(operation.c.id == row.id, operation.c.holder == self.name, operation.c.lease == row.lease)
            if not db.execute(update(operation).where(mine).values(memo=work.memo, updated=now(), **values)).rowcount:
                raise _Lost
            for change in work.changes:
                change(db)

        self.database.run(commit)

    def _end(
        self, row: Any, state: str, fault: str | None, *, kind: Kind | None = None, work: Work | None = None, changes: bool = False
    ) -> None:
        def commit(db: Connection) -> None:
            mine = and_(operation.c.id == row.id, operation.c.holder == self.name)
            ended = db.execute(
                update(operation).where(mine).values(state=state, fault=fault, holder=None, lease=None, updated=now(), due=now())
            )
            if not ended.rowcount:
                raise _Lost
            if changes and work is not None:
                for change in work.changes:
                    change(db)
            if kind is not None and work is not None and state == "failed":
                kind.failed(db, work, fault or _INTERNAL)

        self.database.run(commit)
        self.tally.ended[row.kind, state] += 1
        self.wake("operations")

    def _reconcile(self, one: Reconciler) -> None:
        health, signal = self.health[one.name], self._signals[one.name]
        while not self._stop.is_set():
            signal.clear()
            self.reconcile_once(one, health)
            signal.wait(one.every if not health.error else min(one.every, 2.0))

    def reconcile_once(self, one: Reconciler, health: Health) -> None:
        """One pass, measured; an error is kept for the listing and the next pass comes sooner."""
        health.began = monotonic()
        try:
            health.said = one.run()
            health.error = ""
        except Exception as error:
            health.failures += 1
            health.error = error.message if isinstance(error, CloudError) else repr(error)
            log.exception("reconciler failed", reconciler=one.name)
        health.runs += 1
        health.last = monotonic()
        health.seconds = health.last - health.began
        if health.said:
            log.debug("reconciled", reconciler=one.name, said=health.said, ms=round(health.seconds * 1000, 1))


def _claimable(moment: datetime | None) -> Any:
    """Live, due by `moment` (whenever, for None), not held, and first among the live operations of its resource.

    What was written later than now is from before the clock was set back: it is due at once, not when the clock gets there again.
    """
    earlier = operation.alias("earlier")
    blocked = (
        select(earlier.c.id)
        .where(earlier.c.resource == operation.c.resource, earlier.c.number < operation.c.number, earlier.c.state.in_(LIVE))
        .exists()
    )
    terms = [operation.c.state.in_(LIVE), or_(operation.c.lease.is_(None), operation.c.lease < now()), ~blocked]
    if moment is not None:
        terms.append(or_(operation.c.due <= moment, operation.c.updated > moment))
    return and_(*terms)


def purge(database: Database) -> Reconciler:
    """A reconciler that forgets operations which ended an hour ago."""

    def run() -> str:
        ended = and_(operation.c.state.not_in(LIVE), operation.c.updated < now() - KEEP)
        count = database.run(lambda db: db.execute(delete(operation).where(ended)).rowcount)
        return f"{count} forgotten" if count else ""

    return Reconciler("operations.purge", 300.0, run)


def process_name(host: str) -> str:
    """An engine's name: unique among the engines of a cloud, stable over its restarts."""
    return f"engine@{host}" if host else f"engine@{os.uname().nodename}"
