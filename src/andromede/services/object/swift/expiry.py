"""Removing objects whose time is over. Nobody sees them any more; this gives back their room and their place in listings."""

from andromede.drivers.blob import View
from andromede.services.object import changes, model
from andromede.services.object.service import Objects, Place
from andromede.services.object.watching import EXPIRED, Cause

BATCH = 200


async def expired(objects: Objects, now: float, most: int = 10_000) -> int:
    """Remove up to `most` objects that expired before `now`, in seconds, in batches that are a transaction each. Answers how
    many rows were looked at; more may be left where that is `most`."""
    done = 0
    for shard in range(objects.store.shards):
        known: dict[bytes, Place] | None = None
        while done < most:
            rows = objects.store.scan(shard, b"x\0", b"x\0" + (int(now) + 1).to_bytes(8), min(BATCH, most - done))
            if not rows:
                break
            if known is None:
                known = _containers(objects, shard)
            keys = [key for key, _entry in rows]
            containers = known

            def run(view: View, keys: list[bytes] = keys, containers: dict[bytes, Place] = containers) -> None:
                for key in keys:
                    _remove(view, key, containers)

            await objects.store.commit(shard, run)
            done += len(rows)
    return done


def _containers(objects: Objects, shard: int) -> dict[bytes, Place]:
    out = {}
    low, high = b"c\0", model.end(b"c\0")
    while rows := objects.store.scan(shard, low, high, 1000):
        for key, entry in rows:
            _, account, name = key.decode().split("\0")
            place = Place(shard, account, name, model.as_container(entry.value))
            out[place.id] = place
        low = rows[-1][0] + b"\0"
    return out


def _remove(view: View, key: bytes, containers: dict[bytes, Place]) -> None:
    moment, container, name = int.from_bytes(key[2:10]), key[10:18], key[18:].decode()
    entry = view.get(model.object_key(container, name))
    there = containers.get(container)
    if entry is not None and there is not None and model.as_object(entry.value).delete_at == moment:
        changes.delete(view, there, there.container, name, Cause(EXPIRED))
    view.delete(key)
