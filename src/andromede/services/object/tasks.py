"""What is to be done because of a change, noted in the very transaction that makes the change: so none is lost, and none is for nothing.

A task lies in the shard of its container, under the moment when it is due. Whoever does it removes it then, or puts it off; a crash
between doing and removing has it done again. Kinds are one letter each: EVENT, REPLICA, SYNC.

    t\\0 kind due chance                         a task
"""

import heapq
import os
from collections.abc import Sequence
from typing import Any

import msgspec

from andromede.drivers.blob import Entry, Store, View
from andromede.services.object import model

EVENT, REPLICA, SYNC = "e", "r", "s"
_FIRST, _LONGEST = 5.0, 600.0
KEEP = 72 * 3600.0
"""Seconds after which a task that cannot be done is given up."""


class Task(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A task. made: microseconds; stamp: of the object or the version that it is about; facts: what its kind needs besides."""

    kind: str
    account: str
    container: bytes
    bucket: str
    name: str
    made: int
    stamp: int = 0
    tries: int = 0
    facts: dict[str, Any] = {}


class Due(msgspec.Struct, frozen=True):
    """A task, and where it lies."""

    shard: int
    key: bytes
    task: Task


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Task).decode


def add(view: View, task: Task, due: int = 0) -> None:
    """Note a task as part of a transaction. due: microseconds, at once where it is 0."""
    view.put(_key(task.kind, due or task.made), Entry(_encode(task)))


def due(store: Store, kind: str, moment: float, most: int) -> list[Due]:
    """Those that are due at a moment, in seconds, the earliest of all shards first."""
    low, high = _key(kind, 0)[:-8], _key(kind, int(moment * 1_000_000) + 1)[:-8]
    found = [((key[3:11], shard), key, entry) for shard in range(store.shards) for key, entry in store.scan(shard, low, high, most)]
    return [Due(place[1], key, _decode(entry.value)) for place, key, entry in heapq.nsmallest(most, found, key=lambda each: each[0])]


def ready(store: Store, kind: str, moment: float) -> bool:
    """Whether any is due at a moment, in seconds."""
    low, high = _key(kind, 0)[:-8], _key(kind, int(moment * 1_000_000) + 1)[:-8]
    return any(store.scan(shard, low, high, 1) for shard in range(store.shards))


def waiting(store: Store, kind: str, most: int = 10_000) -> int:
    """How many there are, `most` in each shard at most."""
    low = _key(kind, 0)[:-8]
    return sum(len(store.scan(shard, low, model.end(low[:3]), most)) for shard in range(store.shards))


async def done(store: Store, one: Due) -> None:
    """A task is done, or given up."""
    await store.commit(one.shard, lambda view: view.delete(one.key))


async def later(store: Store, some: Sequence[Due], moment: float) -> None:
    """Put tasks off: each time for twice as long."""
    for shard in {one.shard for one in some}:
        each = [one for one in some if one.shard == shard]
        await store.commit(shard, lambda view, each=each: _put_off(view, each, moment))  # type: ignore[misc]


def _put_off(view: View, some: Sequence[Due], moment: float) -> None:
    for one in some:
        if view.get(one.key) is not None:
            task = msgspec.structs.replace(one.task, tries=one.task.tries + 1)
            view.delete(one.key)
            add(view, task, int((moment + min(_FIRST * 2 ** min(task.tries, 20), _LONGEST)) * 1_000_000))


def over(one: Due, moment: float) -> bool:
    """Whether a task has waited for too long."""
    return one.task.made / 1_000_000 + KEEP < moment


def _key(kind: str, moment: int) -> bytes:
    return b"t\0" + kind.encode() + moment.to_bytes(8) + os.urandom(8)
