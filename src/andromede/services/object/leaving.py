"""What deleted projects leave behind: everything that they kept is removed after a time of grace, then their keys are destroyed.

Without its keys, whatever of a project still lies on a disk or in a copy of one can never be read again. What a lock or a legal hold
keeps stays until that ends, and the keys with it. A project that is there again, as after its database was brought back, loses
nothing; and where no project at all is found, something is wrong with the database, and nothing is done.

    d\\0 account                                since when a project is missed, in seconds
"""

import asyncio
from collections.abc import Callable

import msgspec
import structlog

from andromede.core.errors import CloudError, DriverError
from andromede.core.ids import is_id
from andromede.drivers.blob import Entry, View
from andromede.services.object import model
from andromede.services.object.kms import LocalKeys
from andromede.services.object.s3 import locks
from andromede.services.object.service import Objects, Place

log = structlog.get_logger("object")
_BATCH = 500


class Left(msgspec.Struct):
    """What was done: objects, versions and parts that were removed, and the projects that are gone wholly."""

    removed: int = 0
    gone: int = 0


async def leave(objects: Objects, known: Callable[[set[str]], set[str]], moment: float, grace: float) -> Left:
    """Remove what projects left that are gone for longer than `grace` seconds at a moment. known: which of these projects there are, of
    all that there are where it is asked for none. Raises DriverError where there are none at all."""
    done = Left()
    there = {account for account in await asyncio.to_thread(_accounts, objects) if is_id(account)}
    if not there:
        return done
    if not known(set()):
        raise DriverError("Identity knows no project at all: nothing of the object store is touched.")
    missed = there - known(there)
    for account in sorted(there):
        shard, key = objects.shard(account), _mark(account)
        entry = objects.store.get(shard, key)
        if account not in missed:
            if entry is not None:
                await objects.store.commit(shard, lambda view, key=key: view.delete(key))  # type: ignore[misc]
            continue
        since = int.from_bytes(entry.value) if entry is not None else int(moment)
        if entry is None:
            await objects.store.commit(shard, lambda view, key=key: view.put(key, Entry(int(moment).to_bytes(8))))  # type: ignore[misc]
        if since + grace <= moment:
            await _remove(objects, account, done)
    return done


async def _remove(objects: Objects, account: str, done: Left) -> None:
    """Remove an account, as far as nothing is locked."""
    empty = True
    for place in list(objects.containers(account)):
        try:
            locked = await _empty(objects, place, done)
            if not locked:
                await objects.remove(place)
        except CloudError as error:
            log.warning("a container of a deleted project stays", account=account, container=place.name, cause=error.message)
            locked = True
        empty = empty and not locked
    if not empty:
        return
    shard = objects.shard(account)

    def forget(view: View) -> None:
        view.delete(model.account_key(account))
        view.delete(_mark(account))

    if isinstance(objects.keys, LocalKeys):
        await objects.keys.forget(account)
    await asyncio.to_thread(objects.store.shred, account)
    await objects.store.commit(shard, forget)
    done.gone += 1
    log.info("everything of a deleted project is removed", account=account)


async def _empty(objects: Objects, place: Place, done: Left) -> bool:
    """Remove what is in a container; whether something is locked."""
    locked = False
    for prefix in (b"u\0", b"p\0", b"o\0", b"v\0"):
        low, high = prefix + place.id, model.end(prefix + place.id)
        while rows := objects.store.scan(place.shard, low, high, _BATCH):
            keys = [key for key, entry in rows if prefix in {b"u\0", b"p\0"} or not locks.keeps(model.as_object(entry.value))]
            locked = locked or len(keys) < len(rows)
            await objects.store.commit(place.shard, lambda view, keys=keys: _drop(view, keys))  # type: ignore[misc]
            done.removed += len(keys)
            low = rows[-1][0] + b"\0"
    return locked


def _drop(view: View, keys: list[bytes]) -> None:
    for key in keys:
        view.delete(key)


def _accounts(objects: Objects) -> list[str]:
    """Every account of which anything is kept."""
    found = set(objects.accounts())
    for prefix in (b"a\0", b"k\0", b"d\0"):
        for shard in range(objects.store.shards):
            low, high = prefix, model.end(prefix)
            while rows := objects.store.scan(shard, low, high, _BATCH):
                found |= {key.split(b"\0", 2)[1].decode() for key, _entry in rows}
                low = rows[-1][0] + b"\0"
    return sorted(found)


def _mark(account: str) -> bytes:
    return b"d\0" + account.encode()
