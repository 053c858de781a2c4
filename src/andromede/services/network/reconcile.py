"""Keeps the fabric as the rows say, and the state of ports as the fabric says.

A pass takes what has a tombstone away, then ensures what has changed since it was last ensured. Every minute, and first of
all after a start, it also compares all that the fabric holds with the rows: what has no row is removed, what is missing is
ensured. The fabric is never called inside a transaction; what is written afterwards holds only for the generation that was read.
"""

import threading
from collections.abc import Callable

from sqlalchemy import Connection, case, delete, select, update

from andromede.core.clock import monotonic
from andromede.core.errors import CloudError
from andromede.db.base import chunks
from andromede.db.engine import Database
from andromede.drivers.network import Fabric, Spec
from andromede.services.network import ports
from andromede.services.network.fabric import specs, within
from andromede.services.network.tables import FABRIC, port, tombstone

FULL_EVERY, BATCH = 60.0, 200
_SLOW_LOOK, _QUICK_LOOK = 10.0, 2.0


class Follower:
    """Drives one fabric. `clock` is for tests."""

    def __init__(self, database: Database, fabric: Fabric, *, clock: Callable[[], float] = monotonic) -> None:
        self._database, self._fabric, self._clock = database, fabric, clock
        self._next_full = self._next_look = float("-inf")
        self._turn = threading.Lock()

    def run(self) -> str:
        """One pass; answers what it did. Raises the first error of the fabric, after trying everything else."""
        with self._turn:
            errors: list[CloudError] = []
            gone = self._bury()
            full = self._clock() >= self._next_full
            if full:
                gone += self._compare()
            made = sum(self._follow(kind, behind, errors) for kind, behind in self._behind().items())
            if errors:
                raise errors[0]
            if full:
                self._next_full = self._clock() + FULL_EVERY
            return f"{made} ensured, {gone} removed" if made or gone else ""

    def _bury(self) -> int:
        """Remove what has a tombstone, the things that refer to others first."""
        with self._database.read() as db:
            dead = [(row.kind, row.id) for row in db.execute(select(tombstone.c.kind, tombstone.c.id))]
        for kind in reversed(FABRIC):
            for some in chunks([id_ for each, id_ in dead if each == kind]):
                self._fabric.remove(kind, some)
                self._database.run(lambda db, kind=kind, some=some: _forget(db, kind, some))  # type: ignore[misc]
        return len(dead)

    def _compare(self) -> int:
        """Everything: remove what has no row, have what is missing ensured again."""
        removed = 0
        for kind in reversed(FABRIC):
            table = FABRIC[kind]
            there = self._fabric.observe(kind)
            with self._database.read() as db:
                wanted = set(db.scalars(select(table.c.id).where(*within(kind))))
            for some in chunks(sorted(there - wanted)):
                self._fabric.remove(kind, some)
                removed += len(some)
            for some in chunks(sorted(wanted - there)):
                self._database.run(
                    lambda db, table=table, some=some: db.execute(  # type: ignore[misc]
                        update(table).where(table.c.id.in_(some)).values(seen_generation=0)
                    )
                )
        return removed

    def _behind(self) -> dict[str, list[str]]:
        """Ids of what has changed by kind, of one moment: never a port without the network that came just before it."""
        with self._database.read() as db:
            return {
                kind: list(db.scalars(select(table.c.id).where(table.c.generation != table.c.seen_generation, *within(kind))))
                for kind, table in FABRIC.items()
            }

    def _follow(self, kind: str, behind: list[str], errors: list[CloudError]) -> int:
        """Ensure what has changed. A batch that the fabric refuses is tried one by one, so that one bad row holds up no other."""
        made = 0
        for start in range(0, len(behind), BATCH):
            some = behind[start : start + BATCH]
            with self._database.read() as db:
                wanted, generations = specs(db, kind, some)
            done, failed = self._ensure(wanted)
            errors += failed
            seen = {id_: generations[id_] for id_ in done}
            if seen:
                self._database.run(lambda db, seen=seen: _saw(db, kind, seen))  # type: ignore[misc]
            made += len(done)
            if failed and not done:
                break
        return made

    def _ensure(self, wanted: list[Spec]) -> tuple[list[str], list[CloudError]]:
        if not wanted:
            return [], []
        try:
            self._fabric.ensure(wanted)
        except CloudError as error:
            if len(wanted) == 1 or not self._answers():
                return [], [error]
            done, errors = [], []
            for each in wanted:
                good, bad = self._ensure([each])
                done += good
                errors += bad
            return done, errors
        return [each.id for each in wanted], []

    def _answers(self) -> bool:
        """Whether the fabric is there at all, so that a failure is about what was asked."""
        try:
            self._fabric.observe("network")
        except CloudError:
            return False
        return True

    def watch(self) -> str:
        """Have the state of bound ports follow the fabric: often while one is not up yet, seldom otherwise."""
        waiting = select(port.c.id).where(port.c.host != "", port.c.status == "DOWN", within("port")[0])
        now = self._clock()
        if now < self._next_look:
            return ""
        with self._database.read() as db:
            pending = db.scalar(waiting.limit(1)) is not None
        if not pending and now < self._next_look + _SLOW_LOOK - _QUICK_LOOK:
            return ""
        self._next_look = now + _QUICK_LOOK
        bound = self._fabric.bound()
        with self._database.read() as db:
            rows = list(db.execute(select(port.c.id, port.c.host, port.c.status).where(within("port")[0], port.c.device_owner != ports.METADATA)))
        up = [row.id for row in rows if row.status != "ACTIVE" and row.host and bound.get(row.id)]
        down = [row.id for row in rows if row.status == "ACTIVE" and not (row.host and bound.get(row.id))]
        for some in chunks(up):
            self._database.run(lambda db, some=some: ports.set_status(db, some, ()))  # type: ignore[misc]
        for some in chunks(down):
            self._database.run(lambda db, some=some: ports.set_status(db, (), some))  # type: ignore[misc]
        return f"{len(up)} up, {len(down)} down" if up or down else ""


def _forget(db: Connection, kind: str, ids: list[str]) -> None:
    db.execute(delete(tombstone).where(tombstone.c.kind == kind, tombstone.c.id.in_(ids)))


def _saw(db: Connection, kind: str, seen: dict[str, int]) -> None:
    """Note the generation that was ensured; the row may have gone on since, and is then still behind."""
    table = FABRIC[kind]
    for some in chunks(seen):
        value = case({id_: seen[id_] for id_ in some}, value=table.c.id)
        db.execute(update(table).where(table.c.id.in_(some)).values(seen_generation=value))
