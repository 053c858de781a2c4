"""The face of the engine for services: submit, cancel and hurry operations, signal reconcilers.

Everything is written in the caller's transaction; the engine's process is woken once that is committed. A lost wake-up
costs a second: the engine looks by itself.
"""

import contextlib
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection, func, insert, select, update

from andromede.core.clock import now
from andromede.core.ids import new_id
from andromede.db.engine import after_commit
from andromede.engine.model import Kind
from andromede.engine.tables import operation

LIVE = ("running", "undoing")


class Waker(Protocol):
    """Tells the engine that there is something to do: `operations`, or the name of a reconciler."""

    def wake(self, topic: str) -> None:
        """Never blocks, never fails."""


class SocketWaker:
    """Wakes an engine in another process by a datagram to its Unix socket."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    def wake(self, topic: str) -> None:
        """Send; an engine that is away or busy will look by itself."""
        with contextlib.suppress(OSError):
            self._socket.sendto(topic.encode(), self._path)


class Operations:
    """Submits and steers operations."""

    def __init__(self, waker: Waker) -> None:
        self._waker = waker

    def submit(
        self,
        db: Connection,
        kind: Kind,
        resource: str,
        *,
        project_id: str | None = None,
        request_id: str | None = None,
        memo: dict[str, Any] | None = None,
    ) -> str:
        """A new operation on `resource`, in the caller's transaction; it starts after those submitted earlier on it have ended."""
        moment, id_ = now(), new_id()
        last = db.scalar(select(func.max(operation.c.number)).where(operation.c.resource == resource)) or 0
        db.execute(
            insert(operation).values(
                id=id_, number=last + 1, kind=kind.name, resource=resource, project_id=project_id, request_id=request_id,
                state="running", step=kind.steps[0].name, memo=memo or {}, tries=0, cancel=False, due=moment,
                deadline=moment + timedelta(seconds=kind.deadline), created=moment, updated=moment,
            )
        )  # fmt: skip
        after_commit(db, lambda: self._waker.wake("operations"))
        return id_

    def cancel(self, db: Connection, resource: str) -> None:
        """Have every operation of `resource` end before its next step, without undo: a delete comes after and clears up."""
        db.execute(
            update(operation).where(operation.c.resource == resource, operation.c.state.in_(LIVE)).values(cancel=True, due=now())
        )
        after_commit(db, lambda: self._waker.wake("operations"))

    def hurry(self, db: Connection, *resources: str) -> None:
        """Have waiting operations of these resources look again now."""
        changed = db.execute(
            update(operation).where(operation.c.resource.in_(resources), operation.c.state.in_(LIVE)).values(due=now())
        ).rowcount
        if changed:
            after_commit(db, lambda: self._waker.wake("operations"))

    def signal(self, db: Connection, reconciler: str) -> None:
        """Have a reconciler run once the transaction is committed."""
        after_commit(db, lambda: self._waker.wake(reconciler))

    def busy(self, db: Connection, resource: str) -> bool:
        """Whether an operation of `resource` is under way."""
        return bool(db.scalar(select(func.count()).where(operation.c.resource == resource, operation.c.state.in_(LIVE))))
