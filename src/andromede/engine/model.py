"""How operations are written: steps, their undo, and what a step may do.

A step acts on the world outside any transaction, and leaves its changes to rows with `work.then`; those are committed
together with the move to the next step, and only where the lease is still held. Every step may be repeated: it must
succeed when what it makes is there already. `undo` must succeed when there is nothing to undo.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import Connection

from andromede.core.context import Parts
from andromede.core.errors import CloudError
from andromede.db.engine import Database

Change = Callable[[Connection], None]


class Later(msgspec.Struct, frozen=True):
    """Not there yet: look again after so many seconds, or when something hurries the operation."""

    seconds: float


class Work:
    """What a step gets: the operation's own facts, its memo (kept between steps), the parts of the process."""

    def __init__(self, row: Any, parts: Parts, database: Database) -> None:
        self.id: str = row.id
        self.kind: str = row.kind
        self.resource: str = row.resource
        self.project_id: str | None = row.project_id
        self.request_id: str | None = row.request_id
        self.memo: dict[str, Any] = row.memo
        self.tries: int = row.tries
        self.fault: str | None = row.fault
        self.parts, self.database = parts, database
        self.changes: list[Change] = []

    def blame(self, fault: str | None, most: int) -> bool:
        """Whether the world told of a fault, which is counted; raises CloudError (409) with it when that is more than `most` times."""
        if not fault:
            return False
        self.memo["faults"] = self.memo.get("faults", 0) + 1
        if self.memo["faults"] > most:
            raise CloudError(fault, status=409)
        return True

    def then(self, change: Change) -> None:
        """Commit `change` with this step, or not at all."""
        self.changes.append(change)


class Step(msgspec.Struct, frozen=True):
    """A named step: `do` returns None when it is done, or Later; `undo` takes its effects on the world back."""

    name: str
    do: Callable[[Work], Later | None]
    undo: Callable[[Work], None] | None = None


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of operation.

    deadline: seconds after which it ends in a fault. commit: the step from which on nothing is undone.
    failed: writes the public fault into the rows, in the transaction that ends the operation.
    """

    name: str
    steps: tuple[Step, ...]
    deadline: float
    failed: Callable[[Connection, Work, str], None]
    commit: str | None = None

    def index(self, step: str) -> int:
        """Where a step stands. Raises KeyError for a step this version of the code does not know."""
        for number, candidate in enumerate(self.steps):
            if candidate.name == step:
                return number
        raise KeyError(step)


class Reconciler(msgspec.Struct, frozen=True):
    """A named background task that takes nothing, reads everything again, and runs at least every so many seconds.

    It answers what it did in a few words, or an empty text where nothing was to do.
    """

    name: str
    every: float
    run: Callable[[], str]
