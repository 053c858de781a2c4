"""Single bits that turn, anywhere: each is found by a deep check, and none is ever given out as content."""

import asyncio
import os
import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from andromede.core.errors import CloudError
from andromede.core.units import KIB
from andromede.drivers.blob import Entry, Finding
from andromede.drivers.blob.local import Local
from tests.faults.blob_child import SHARDS, hash_of, make, pieces

FLIPS, SEED = int(os.environ.get("ANDROMEDE_TEST_FLIPS") or 300), os.environ.get("ANDROMEDE_TEST_SEED") or ""
"""Bits to turn, in all; ANDROMEDE_TEST_FLIPS=10000 is the long run."""
pytestmark = pytest.mark.timeout(300 + FLIPS)
Model = dict[str, tuple[bytes, bytes]]


async def fill(store: Local, chance: random.Random) -> Model:
    """Entries of every kind, some written over, moved and deleted again."""
    model: Model = {}
    for number in range(160):
        key = f"k{chance.randrange(60):02d}"
        if chance.random() < 0.2:
            await store.commit(hash_of(key), lambda view, key=key: view.delete(key.encode()))
            model.pop(key, None)
            continue
        data = chance.randbytes(chance.choice((10, 500, 3000, 9 * KIB)))
        value = b"%d." % number * chance.choice((1, 200))
        blob = await store.write("tenant", pieces(data), storage=chance.choice(store.classes))
        entry = Entry(value, (blob,), group=b"g%d" % (number % 3), weight=len(data))
        await store.commit(hash_of(key), lambda view, key=key, entry=entry: view.put(key.encode(), entry))
        model[key] = (value, data)
    return model


async def served(store: Local, model: Model) -> list[str]:
    """Read everything; the keys that gave an error or are not found. Anything else must be what was written."""
    bad = []
    for number in range(60):
        key = f"k{number:02d}"
        try:
            entry = store.get(hash_of(key), key.encode())
            if entry is None:
                if key in model:
                    bad.append(key)
                continue
            assert key in model, key
            assert entry.value == model[key][0]
            data = b"".join([piece async for piece in store.read("tenant", entry.blobs[0])])
            assert data == model[key][1]
        except CloudError:
            bad.append(key)
    return bad


def found(store: Local, **how: bool) -> list[Finding]:
    return [one for one in store.check(**how) if isinstance(one, Finding)]


def told(folder: Path) -> list[object]:
    """Everything that the indexes say."""
    answer: list[object] = []
    for path in sorted(folder.glob("shard-*/index-*.db")):
        with sqlite3.connect(path) as db:
            for table, key in (("entries", "key"), ("groups", "name"), ("meta", "name")):
                answer.append(db.execute(f"select * from {table} order by {key}").fetchall())
        db.close()
    return answer


def flip(path: Path, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(bit // 8)
        byte = file.read(1)[0]
        file.seek(bit // 8)
        file.write(bytes([byte ^ (1 << bit % 8)]))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Model]:
    folder = tmp_path_factory.mktemp("rot") / "store"
    store = make(folder, sync=False)
    model = asyncio.run(fill(store, random.Random(3)))
    assert found(store) == []
    store.close()
    for path in folder.glob("shard-*/index-*.db"):
        with sqlite3.connect(path) as db:
            db.execute("pragma wal_checkpoint(truncate)")
        db.close()
    return folder, model


@pytest.mark.parametrize("kind", ["segment", "blob", "index"])
def test_every_bit_that_turns_is_found_and_none_is_served(filled: tuple[Path, Model], tmp_path: Path, kind: str) -> None:
    folder, model = filled
    chance = random.Random(kind + SEED)
    pattern = {"segment": "shard-*/segment-*", "blob": "blobs/*/*/*/*", "index": "shard-*/index-*.db"}[kind]
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    files = sorted(path for path in copy.glob(pattern) if path.is_file())
    unseen = 0
    for _ in range(FLIPS // 3):
        path = chance.choices(files, [file.stat().st_size for file in files])[0]
        used = [at for at, byte in enumerate(path.read_bytes()) if byte or kind != "index"]
        bit = chance.choice(used) * 8 + chance.randrange(8)
        before = told(copy) if kind == "index" else None
        flip(path, bit)
        what = f"{path.name}, byte {bit // 8} of {path.stat().st_size}, bit {bit % 8}"
        store = make(copy, sync=False)
        bad = asyncio.run(served(store, model))
        problems = found(store)
        if not problems:
            assert kind == "index", what
            assert bad == [], what
            assert _entries(told(copy)) == _entries(before), what
            unseen += 1
        if bad:
            assert problems, what
        if kind == "index":
            found(store, repair=True)
            assert asyncio.run(served(store, model)) == [], what
            assert found(store) == [], what
        store.close()
        shutil.rmtree(copy)
        shutil.copytree(folder, copy)
    assert unseen < FLIPS / 6


def test_a_bit_of_a_name_in_the_schema_is_rot_and_not_a_mistake_of_ours(filled: tuple[Path, Model], tmp_path: Path) -> None:
    """SQLite tells of it as of a statement that is wrong: no such table, no such column."""
    folder, model = filled
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    path = min(copy.glob("shard-*/index-*.db"))
    whole = path.read_bytes()
    schema = whole[: whole.rindex(b"CREATE TABLE") + 200].lower()
    names = [at for word in (b"entries", b"groups", b"meta", b"key ", b"row ", b"name ") for at in _all(schema, word)]
    assert len(names) > 8
    for at in names:
        path.write_bytes(whole)
        flip(path, (at + 1) * 8)
        store = make(copy, sync=False)
        asyncio.run(served(store, model))
        found(store, repair=True)
        assert asyncio.run(served(store, model)) == [], at
        assert found(store) == [], at
        store.close()
        shutil.rmtree(copy)
        shutil.copytree(folder, copy)


def _all(text: bytes, word: bytes) -> list[int]:
    return [at for at in range(len(text)) if text.startswith(word, at)]


def _entries(rows: list[object] | None) -> list[object]:
    """Without the positions, which a repair at the start may have moved."""
    assert rows is not None
    return [rows[at] for at in range(len(rows)) if at % 3 != 2]


def test_rot_in_what_is_dead_is_mended_and_the_living_stay(filled: tuple[Path, Model], tmp_path: Path) -> None:
    folder, model = filled
    chance = random.Random(9)
    mended = 0
    for turn in range(25):
        copy = tmp_path / f"copy{turn}"
        shutil.copytree(folder, copy)
        files = sorted(copy.glob("shard-*/segment-*"))
        path = chance.choices(files, [file.stat().st_size for file in files])[0]
        flip(path, chance.randrange(path.stat().st_size * 8))
        store = make(copy, sync=False)
        bad = asyncio.run(served(store, model))
        problems = found(store, repair=True)
        assert problems
        still = asyncio.run(served(store, model))
        assert set(still) <= set(bad)
        if not still:
            mended += 1
            assert all(one.mended for one in problems if one.kind != "orphan"), problems
            assert found(store) == []
            for index in copy.glob("shard-*/index-*"):
                index.unlink()
            store.close()
            store = make(copy, sync=False)
            assert asyncio.run(served(store, model)) == []
        store.close()
        shutil.rmtree(copy)
    assert mended > 5


def test_an_index_that_is_gone_is_built_again(filled: tuple[Path, Model], tmp_path: Path) -> None:
    folder, model = filled
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    usage = {}
    store = make(copy)
    for shard in range(SHARDS):
        for group in (b"g0", b"g1", b"g2"):
            usage[shard, group] = store.usage(shard, group)
    store.close()
    for path in [*copy.glob("shard-*/index-*"), copy / "epochs"]:
        path.unlink()
    store = make(copy)
    assert asyncio.run(served(store, model)) == []
    assert {place: store.usage(*place) for place in usage} == usage
    assert found(store) == []
    store.close()


def test_an_index_that_is_replaced_is_noticed_by_those_who_read(filled: tuple[Path, Model], tmp_path: Path) -> None:
    folder, model = filled
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    reader, other = make(copy), make(copy)
    assert asyncio.run(served(reader, model)) == []
    for path in copy.glob("shard-*/index-*.db"):
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(os.urandom(4096))
    assert any(one.kind == "index" for one in found(other, repair=True))

    async def change() -> None:
        key = next(iter(model))
        await other.commit(hash_of(key), lambda view: view.put(key.encode(), Entry(b"new")))
        entry = reader.get(hash_of(key), key.encode())
        assert entry is not None
        assert entry.value == b"new"

    asyncio.run(change())
    reader.close()
    other.close()


def test_a_segment_that_is_gone_is_an_error(filled: tuple[Path, Model], tmp_path: Path) -> None:
    folder, model = filled
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "shard-00" / "segment-00000001").unlink()
    store = make(copy)
    bad = asyncio.run(served(store, model))
    assert bad
    assert {one.key.decode() for one in found(store) if one.kind in {"lost", "rot"} and one.key} >= set(bad)
    store.close()


def _damaged(copy: Path, model: Model, *, bits: int) -> str:
    """Turn bits in the middle of the value of a long entry, which has no other copy; its key."""
    key = next(key for key, (value, _) in sorted(model.items()) if len(value) > 200)
    value = model[key][0]
    for path in copy.glob("shard-*/segment-*"):
        at = path.read_bytes().rfind(value)
        if at >= 0:
            for number in range(bits):
                flip(path, (at + len(value) // 2) * 8 + 5 * number)
            return key
    raise AssertionError("no segment has the value")


def test_one_bit_of_an_entry_is_turned_back(filled: tuple[Path, Model], tmp_path: Path) -> None:
    folder, model = filled
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    key = _damaged(copy, model, bits=1)
    store = make(copy)
    assert asyncio.run(served(store, model)) == [key]
    assert all(one.mended for one in found(store, repair=True))
    assert asyncio.run(served(store, model)) == []
    assert found(store) == []
    store.close()


def test_an_entry_that_nothing_can_bring_back_is_an_error_until_it_is_given_up(filled: tuple[Path, Model], tmp_path: Path) -> None:
    folder, model = filled
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    key = _damaged(copy, model, bits=3)
    store = make(copy)
    shard, name = hash_of(key), key.encode()
    assert any(not one.mended for one in found(store, repair=True))
    assert asyncio.run(served(store, model)) == [key]
    with pytest.raises(CloudError):
        store.scan(shard, b"", b"\xff", 1000)
    problems = found(store, repair=True, give_up=True)
    assert [one.key for one in problems if one.kind == "lost"] == [name]
    assert all(one.mended for one in problems), problems
    rest = {other: what for other, what in model.items() if other != key}
    assert asyncio.run(served(store, rest)) == []
    assert store.get(shard, name) is None
    assert found(store) == []
    counted = dict.fromkeys((b"g0", b"g1", b"g2"), 0)
    for _, entry in store.scan(shard, b"", b"\xff", 1000):
        counted[entry.group] += 1
    assert {group: store.usage(shard, group).entries for group in counted} == counted
    asyncio.run(store.commit(shard, lambda view: view.put(name, Entry(b"again"))))
    store.close()
