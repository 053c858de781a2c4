"""What the tests of the blob driver kill: it writes, and notes in a file what it begins and what it was told is durable.

    python -m tests.faults.blob_child FOLDER LOG NAME SEED
"""

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from andromede.core.units import KIB
from andromede.drivers.blob import Entry, View
from andromede.drivers.blob.local import Local

KEY = b"k" * 32
SHARDS, KEYS, TASKS = 2, 6, 4


def make(folder: Path, **how: object) -> Local:
    return Local(folder, KEY, shards=SHARDS, inline=4 * KIB, segment_size=64 * KIB, watched=(b"a.", b"mo"), **how)


def content(name: str, number: int) -> bytes:
    chance = random.Random(f"{name}.{number}")
    return chance.randbytes(chance.choice((0, 10, 1000, 3000, 4 * KIB, 9 * KIB, 70 * KIB)))


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def work(store: Local, log: int, name: str, task: int, chance: random.Random) -> None:
    """Change keys that nobody else changes, one after another; lines are `begin|done NUMBER KEY put|delete`."""
    number = 0
    while True:
        number += 1
        key = f"{name}.{task}.{chance.randrange(KEYS)}"
        shard = hash_of(key)
        line = f"{number} {key} {'delete' if chance.random() < 0.25 else 'put'}\n"
        os.write(log, f"begin {line}".encode())
        if line.endswith("delete\n"):
            await store.commit(shard, lambda view, key=key: view.delete(key.encode()))
        else:
            blob = await store.write("tenant", pieces(content(key, number)))
            entry = Entry(str(number).encode() * chance.choice((1, 100)), (blob,), group=name.encode(), weight=number)

            def change(view: View, key: str = key, entry: Entry = entry) -> None:
                view.put(b"moving." + key.encode(), entry)
                view.delete(b"moving." + key.encode())
                view.put(key.encode(), entry)

            await store.commit(shard, change)
        os.write(log, f"done {line}".encode())


def hash_of(key: str) -> int:
    return sum(key.encode()) % SHARDS


async def main() -> None:
    folder, path, name, seed = sys.argv[1:5]
    chance = random.Random(seed)
    store = make(Path(folder))
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(log, b"open\n")
    await asyncio.gather(*(work(store, log, name, task, random.Random(chance.random())) for task in range(TASKS)))


if __name__ == "__main__":
    asyncio.run(main())
