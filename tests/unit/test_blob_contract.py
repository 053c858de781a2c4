"""What every blob driver must do, run against the fake and against the real ones.

With the fake it proves that the fake answers as they do; nothing about disks.
"""

import asyncio
import hashlib
import random
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from andromede.core.errors import DriverError, Forbidden, NotFound
from andromede.core.units import KIB, MIB
from andromede.drivers.blob import Blob, Entry, Finding, Store, Usage, View
from andromede.drivers.blob.fake import Fake
from andromede.drivers.blob.local import Local

TENANT = "5f3c0d5e8a7b4c6d9e0f1a2b3c4d5e6f"
Make = Callable[[Path], Store]


def _fake(_: Path) -> Store:
    return Fake(shards=4, inline=8 * KIB, grace=0)


def _local(folder: Path) -> Store:
    return Local(folder, b"m" * 32, shards=4, inline=8 * KIB, grace=0, segment_size=64 * KIB, watched=(b"a", b"k0", b"ke", b"x"))


DRIVERS: dict[str, Make] = {"fake": _fake, "local": _local}
pytestmark = [pytest.mark.timeout(60), pytest.mark.parametrize("driver", list(DRIVERS))]


def contract(story: Callable[[Store], Awaitable[None]]) -> Callable[[str, Path], None]:
    def test(driver: str, tmp_path: Path) -> None:
        store = DRIVERS[driver](tmp_path / "blob")
        try:
            asyncio.run(story(store))
        finally:
            store.close()

    test.__name__, test.__doc__ = story.__name__, story.__doc__
    return test


def content(size: int, seed: int = 0) -> bytes:
    return random.Random(f"{size}.{seed}").randbytes(size)


async def pieces(data: bytes, size: int = 60_000) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def write(store: Store, data: bytes, **how: object) -> Blob:
    return await store.write(TENANT, pieces(data), **how)


async def read(store: Store, blob: Blob, start: int = 0, stop: int | None = None, **how: object) -> bytes:
    return b"".join([piece async for piece in store.read(how.pop("tenant", TENANT), blob, start, stop, **how)])


async def read_until_it_fails(store: Store, blob: Blob) -> None:
    for _ in range(1000):
        await read(store, blob)
        await asyncio.sleep(0.01)


async def put(store: Store, key: bytes, entry: Entry, shard: int = 0) -> None:
    await store.commit(shard, lambda view: view.put(key, entry))


async def delete(store: Store, key: bytes, shard: int = 0) -> None:
    await store.commit(shard, lambda view: view.delete(key))


def findings(walk: Iterator[object]) -> list[Finding]:
    return [found for found in walk if isinstance(found, Finding)]


def keys(found: list[tuple[bytes, Entry]]) -> list[bytes]:
    return [key for key, _ in found]


@contract
async def test_it_says_what_it_has(store: Store) -> None:
    assert store.shards >= 2
    assert store.inline >= KIB
    assert {"standard", "plain"} <= set(store.classes)
    assert store.classes[0] == "standard"


@contract
async def test_an_entry_is_there_once_it_is_put(store: Store) -> None:
    entry = Entry(b"value", group=b"bucket", weight=7)
    assert store.get(0, b"a") is None
    await put(store, b"a", entry)
    assert store.get(0, b"a") == entry
    assert store.get(1, b"a") is None
    await put(store, b"a", Entry(b"other"))
    assert store.get(0, b"a") == Entry(b"other")
    await delete(store, b"a")
    assert store.get(0, b"a") is None
    await delete(store, b"a")


@contract
async def test_any_bytes_are_a_key_and_a_value_of_a_mebibyte_is_kept(store: Store) -> None:
    names = [b"\x00", b"\x00\x00", b"\xff" * 2048, b"a/\xe2\x82\xac", b"..", b"' OR 1=1 --"]
    for name in names:
        await put(store, name, Entry(name))
    assert keys(store.scan(0, b"", b"\xff" * 2049, 100)) == sorted(names)
    big = content(MIB)
    await put(store, b"big", Entry(big))
    for size in (0, 1, 100, 200, 255, 256, 257, 300, 1000, 5000):
        await put(store, b"size", Entry(big[:size]))
        assert store.get(0, b"size").value == big[:size]
    assert store.get(0, b"big").value == big
    assert dict(store.scan(0, b"b", b"c", 10)) == {b"big": Entry(big)}
    for key, value in ((b"", b""), (b"k" * 2049, b""), (b"k", bytes(MIB + 1))):
        with pytest.raises(ValueError, match=r"at most|has 1 to"):
            await put(store, key, Entry(value))


@contract
async def test_a_scan_goes_in_the_order_of_bytes_both_ways(store: Store) -> None:
    def change(view: View) -> None:
        for number in range(200):
            view.put(b"k%03d" % number, Entry(b"%d" % number))

    await store.commit(0, change)
    every = [b"k%03d" % number for number in range(200)]
    assert keys(store.scan(0, b"", b"\xff", 1000)) == every
    assert keys(store.scan(0, b"", b"\xff", 1000, reverse=True)) == every[::-1]
    assert keys(store.scan(0, b"k010", b"k020", 1000)) == every[10:20]
    assert keys(store.scan(0, b"k010", b"k020", 3)) == every[10:13]
    assert keys(store.scan(0, b"k010", b"k020", 3, reverse=True)) == every[17:20][::-1]
    assert store.scan(0, b"k010", b"k010", 3) == []
    assert store.scan(0, b"k020", b"k010", 3) == []
    assert store.scan(0, b"", b"\xff", 0) == []
    assert store.scan(0, b"k198", b"z", 5) == [(b"k198", Entry(b"198")), (b"k199", Entry(b"199"))]


@contract
async def test_a_transaction_sees_itself_and_those_before_it(store: Store) -> None:
    await put(store, b"b", Entry(b"old", group=b"g", weight=5))
    await put(store, b"d", Entry(b"stays", group=b"g", weight=1))

    def change(view: View) -> str:
        assert view.get(b"b").value == b"old"
        assert view.get(b"a") is None
        view.put(b"a", Entry(b"1", group=b"g", weight=2))
        view.put(b"b", Entry(b"new", group=b"h", weight=9))
        view.put(b"c", Entry(b"3", group=b"g", weight=4))
        assert view.get(b"b").value == b"new"
        assert keys(view.scan(b"", b"\xff", 10)) == [b"a", b"b", b"c", b"d"]
        assert keys(view.scan(b"", b"\xff", 2)) == [b"a", b"b"]
        view.delete(b"c")
        view.delete(b"nothing")
        assert view.get(b"c") is None
        assert view.scan(b"a", b"d", 10, reverse=True) == [(b"b", Entry(b"new", group=b"h", weight=9)), (b"a", view.get(b"a"))]
        assert keys(view.scan(b"b", b"\xff", 1, reverse=True)) == [b"d"]
        assert view.usage(b"g") == Usage(2, 3)
        assert view.usage(b"h") == Usage(1, 9)
        view.delete(b"d")
        assert keys(view.scan(b"", b"\xff", 2)) == [b"a", b"b"]
        return "answer"

    assert await store.commit(0, change) == "answer"
    assert keys(store.scan(0, b"", b"\xff", 10)) == [b"a", b"b"]
    assert store.usage(0, b"g") == Usage(1, 2)
    assert store.usage(0, b"h") == Usage(1, 9)
    assert store.usage(1, b"h") == Usage(0, 0)
    await delete(store, b"b")
    assert store.usage(0, b"h") == Usage(0, 0)


@contract
async def test_what_raises_changes_nothing_and_disturbs_nobody(store: Store) -> None:
    class OddError(Exception):
        pass

    def bad(view: View) -> None:
        view.put(b"a", Entry(b"never", group=b"g", weight=1))
        raise OddError

    async def failing() -> None:
        with pytest.raises(OddError):
            await store.commit(0, bad)

    async def working(number: int) -> None:
        await put(store, b"w%02d" % number, Entry(b"", group=b"g", weight=1))

    await asyncio.gather(*(failing() if number % 2 else working(number) for number in range(40)))
    assert store.get(0, b"a") is None
    assert store.usage(0, b"g") == Usage(20, 20)
    assert keys(store.scan(0, b"", b"\xff", 100)) == [b"w%02d" % number for number in range(0, 40, 2)]


@contract
async def test_transactions_of_a_shard_come_one_after_another(store: Store) -> None:
    await put(store, b"n", Entry(b"0"))

    def add(view: View) -> int:
        number = int(view.get(b"n").value) + 1
        view.put(b"n", Entry(b"%d" % number))
        return number

    got = await asyncio.gather(*(store.commit(0, add) for _ in range(100)))
    assert sorted(got) == list(range(1, 101))
    assert store.get(0, b"n").value == b"100"


@contract
async def test_a_transaction_runs_elsewhere_than_on_the_loop(store: Store) -> None:
    assert await store.commit(0, lambda _: threading.get_ident()) != threading.get_ident()


@contract
async def test_callers_may_be_on_several_loops(store: Store) -> None:
    async def many(name: bytes) -> None:
        await asyncio.gather(*(put(store, b"%s%d" % (name, number), Entry(name)) for number in range(30)))

    threads = [threading.Thread(target=lambda name=name: asyncio.run(many(name))) for name in (b"x", b"y", b"z")]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert len(store.scan(0, b"", b"\xff", 1000)) == 90


@contract
async def test_a_caller_that_gives_up_harms_nobody(store: Store) -> None:
    tasks = [asyncio.create_task(put(store, b"k%d" % number, Entry(b""))) for number in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert {b"k%d" % number for number in range(1, 20, 2)} <= set(keys(store.scan(0, b"", b"\xff", 100)))


SIZES = [0, 1, 4096, 8 * KIB - 1, 8 * KIB, 8 * KIB + 1, 64 * KIB, 64 * KIB + 1, 128 * KIB, MIB, 3 * MIB + 17]


@contract
async def test_bytes_come_back_as_they_went_in(store: Store) -> None:
    for storage in ("standard", "plain"):
        for size in SIZES:
            data = content(size)
            md5, sha = hashlib.md5(usedforsecurity=False), hashlib.sha256()
            blob = await write(store, data, storage=storage, hashers=(md5, sha))
            assert (blob.size, blob.storage, blob.foreign) == (size, storage, False)
            assert md5.hexdigest() == hashlib.md5(data, usedforsecurity=False).hexdigest()
            assert sha.hexdigest() == hashlib.sha256(data).hexdigest()
            assert await read(store, blob) == data
            await put(store, b"k", Entry(b"v", (blob,)))
            (kept,) = store.get(0, b"k").blobs
            assert (kept.id, kept.size, kept.storage) == (blob.id, size, storage)
            assert await read(store, kept) == data
    assert (await write(store, b"x")).storage == "standard"
    with pytest.raises(ValueError, match="storage class"):
        await write(store, b"x", storage="elsewhere")


@contract
async def test_a_part_of_the_bytes_can_be_read(store: Store) -> None:
    chance = random.Random(7)
    for size in (100, 8 * KIB, 200 * KIB, 3 * MIB + 17):
        data = content(size)
        blob = await write(store, data)
        for _ in range(20):
            start = chance.randrange(size)
            stop = chance.randrange(start, size + 1)
            assert await read(store, blob, start, stop) == data[start:stop]
        for edge in (64 * KIB, 128 * KIB, MIB):
            for start in (edge - 1, edge, edge + 1):
                assert await read(store, blob, start, start + 1) == data[start : start + 1]
        assert await read(store, blob, size - 1) == data[-1:]
        assert await read(store, blob, size) == b""
        assert await read(store, blob, 5, 10 * size) == data[5:]
        with pytest.raises(ValueError, match="start"):
            await read(store, blob, -1)


@contract
async def test_a_reader_may_stop_before_the_end(store: Store) -> None:
    blob = await write(store, content(5 * MIB))
    async for piece in store.read(TENANT, blob):
        assert piece
        break
    assert await read(store, blob) == content(5 * MIB)


@contract
async def test_what_the_source_raises_is_raised_and_leaves_nothing(store: Store) -> None:
    class GoneError(Exception):
        pass

    async def broken(size: int) -> AsyncIterator[bytes]:
        async for piece in pieces(content(size)):
            yield piece
        raise GoneError

    for size in (10, 5 * MIB):
        with pytest.raises(GoneError):
            await store.write(TENANT, broken(size))
    assert findings(store.check()) == []


@contract
async def test_a_hasher_that_raises_fails_the_write(store: Store) -> None:
    class Sour:
        def update(self, data: bytes, /) -> None:
            raise ArithmeticError

    for size in (10, 5 * MIB):
        with pytest.raises(ArithmeticError):
            await write(store, content(size), hashers=(Sour(),))
    assert findings(store.check()) == []


@contract
async def test_bytes_without_an_owner_are_found_and_removed(store: Store) -> None:
    blob = await write(store, content(MIB))
    (found,) = findings(store.check())
    assert (found.kind, found.mended) == ("orphan", False)
    assert await read(store, blob) == content(MIB)
    (found,) = findings(store.check(repair=True))
    assert (found.kind, found.mended) == ("orphan", True)
    assert findings(store.check()) == []
    with pytest.raises(NotFound):
        await read(store, blob)


@contract
async def test_bytes_go_with_the_last_entry_that_names_them(store: Store) -> None:
    for size in (100, MIB):
        first, second = await write(store, content(size, 1)), await write(store, content(size, 2))
        await put(store, b"k", Entry(b"", (first,)))
        old = store.get(0, b"k").blobs[0]
        await put(store, b"k", Entry(b"", (second,)))
        assert await read(store, store.get(0, b"k").blobs[0]) == content(size, 2)
        old = store.get(0, b"k").blobs[0]
        await delete(store, b"k")
        if size > store.inline:
            with pytest.raises(NotFound):
                await read_until_it_fails(store, old)
    assert findings(store.check()) == []


@contract
async def test_bytes_move_to_another_key(store: Store) -> None:
    for size in (100, MIB):
        blob = await write(store, content(size))
        await put(store, b"upload", Entry(b"", (blob,)))

        def move(view: View) -> None:
            entry = view.get(b"upload")
            view.put(b"object", Entry(b"whole", entry.blobs))
            view.delete(b"upload")

        await store.commit(0, move)
        assert store.get(0, b"upload") is None
        assert await read(store, store.get(0, b"object").blobs[0]) == content(size)
        await store.commit(0, lambda view: view.put(b"object", Entry(b"changed", view.get(b"object").blobs)))
        assert store.get(0, b"object").value == b"changed"
        assert await read(store, store.get(0, b"object").blobs[0]) == content(size)
    assert findings(store.check(repair=True)) == []


@contract
async def test_bytes_move_through_several_keys_in_one_transaction(store: Store) -> None:
    blob = await write(store, content(100))
    await put(store, b"a", Entry(b"", (blob,)))

    def around(view: View) -> None:
        blobs = view.get(b"a").blobs
        view.put(b"a", Entry(b""))
        view.put(b"b", Entry(b"", blobs))
        view.put(b"b", Entry(b""))
        view.put(b"c", Entry(b"", blobs))

    await store.commit(0, around)
    assert await read(store, store.get(0, b"c").blobs[0]) == content(100)


@contract
async def test_an_entry_of_many_blobs_keeps_their_order(store: Store) -> None:
    blobs = [await write(store, content(size, size)) for size in (10, 20 * KIB, 30, 100 * KIB)]
    for number, blob in enumerate(blobs):
        await put(store, b"part%d" % number, Entry(b"", (blob,)))

    def complete(view: View) -> None:
        parts = view.scan(b"part", b"paru", 100)
        view.put(b"whole", Entry(b"", tuple(entry.blobs[0] for _, entry in parts)))
        for key, _ in parts:
            view.delete(key)

    await store.commit(0, complete)
    whole = [await read(store, blob) for blob in store.get(0, b"whole").blobs]
    assert whole == [content(size, size) for size in (10, 20 * KIB, 30, 100 * KIB)]
    assert keys(store.scan(0, b"", b"\xff", 10)) == [b"whole"]


@contract
async def test_a_blob_has_one_owner(store: Store) -> None:
    for size in (100, MIB):
        blob = await write(store, content(size))
        await put(store, b"a", Entry(b"", (blob,)))
        kept = store.get(0, b"a").blobs

        def both(view: View, blob: Blob = blob) -> None:
            fresh = Blob(b"0" * 16, blob.size, blob.storage, blob.place)
            view.put(b"x", Entry(b"", (fresh,)))
            view.put(b"y", Entry(b"", (fresh,)))

        with pytest.raises(ValueError, match="one entry only"):
            await put(store, b"b", Entry(b"", kept))
        with pytest.raises(ValueError, match="one entry only"):
            await store.commit(0, both)
        await delete(store, b"a")
        with pytest.raises(ValueError, match="no longer owned"):
            await put(store, b"b", Entry(b"", kept))
        assert store.scan(0, b"", b"\xff", 10) == []


@contract
async def test_a_key_of_the_client_is_needed_to_read_again(store: Store) -> None:
    key = b"k" * 32
    for storage in ("standard", "plain"):
        for size in (100, MIB):
            blob = await write(store, content(size), key=key, storage=storage)
            assert blob.foreign
            await put(store, b"k", Entry(b"", (blob,)))
            kept = store.get(0, b"k").blobs[0]
            assert kept.foreign
            assert await read(store, kept, key=key) == content(size)
            for wrong in (b"x" * 32, None):
                with pytest.raises(Forbidden):
                    await read(store, kept, key=wrong)


@contract
async def test_another_tenants_key_opens_nothing(store: Store) -> None:
    for size in (100, MIB):
        blob = await write(store, content(size))
        with pytest.raises(DriverError):
            await read(store, blob, tenant="somebody else")
        assert await read(store, blob) == content(size)


@contract
async def test_what_a_tenant_is_called_is_no_path(store: Store) -> None:
    for tenant in ("../../etc", "a/b", "", "\x00", "é" * 500, "."):
        for size in (10, 20 * KIB):
            blob = await store.write(tenant, pieces(content(size)))
            assert await read(store, blob, tenant=tenant) == content(size)


@contract
async def test_reading_goes_on_while_others_write(store: Store) -> None:
    await put(store, b"n", Entry(b"0" * 10))
    done = False

    async def reader() -> int:
        last = times = 0
        while not done:
            number = int(store.get(0, b"n").value)
            assert number >= last
            last, times = number, times + 1
            assert len(store.scan(0, b"", b"\xff", 10)) == 1
            await asyncio.sleep(0)
        return times

    reading = asyncio.create_task(reader())
    for number in range(100):
        await put(store, b"n", Entry(b"%010d" % number))
    done = True
    assert await reading > 1


@contract
async def test_many_changes_by_chance_leave_what_a_dictionary_has(store: Store) -> None:
    chance = random.Random(11)
    model: dict[bytes, tuple[bytes, bytes, int]] = {}
    for _ in range(60):
        after = dict(model)

        keep = chance.random() < 0.8

        def change(view: View, after: dict[bytes, tuple[bytes, bytes, int]] = after, keep: bool = keep) -> None:
            for _ in range(chance.randrange(1, 12)):
                key = b"%d" % chance.randrange(40)
                if chance.random() < 0.3:
                    view.delete(key)
                    after.pop(key, None)
                else:
                    after[key] = (chance.randbytes(chance.randrange(400)), b"g%d" % chance.randrange(3), chance.randrange(100))
                    view.put(key, Entry(after[key][0], group=after[key][1], weight=after[key][2]))
            low, high = sorted((b"%d" % chance.randrange(40), b"%d" % chance.randrange(40)))
            limit, reverse = chance.randrange(1, 10), chance.random() < 0.5
            expected = sorted((key for key in after if low <= key < high), reverse=reverse)[:limit]
            assert keys(view.scan(low, high, limit, reverse=reverse)) == expected
            if not keep:
                raise KeyError

        if keep:
            await store.commit(0, change)
            model = after
        else:
            with pytest.raises(KeyError):
                await store.commit(0, change)
        assert {key: (entry.value, entry.group, entry.weight) for key, entry in store.scan(0, b"", b"\xff", 100)} == model
        for number in range(3):
            weights = [weight for _, group, weight in model.values() if group == b"g%d" % number]
            assert store.usage(0, b"g%d" % number) == Usage(len(weights), sum(weights))
    assert findings(store.check()) == []


@contract
async def test_room_is_given_back_and_nothing_else(store: Store) -> None:
    for number in range(40):
        size = 5 * KIB if number % 2 else 20 * KIB
        await put(store, b"k%02d" % number, Entry(b"%d" % number, (await write(store, content(size, number)),)))
    for number in range(30):
        await delete(store, b"k%02d" % number)
    for _ in store.compact():
        pass
    assert keys(store.scan(0, b"", b"\xff", 100)) == [b"k%02d" % number for number in range(30, 40)]
    for number in range(30, 40):
        size = 5 * KIB if number % 2 else 20 * KIB
        entry = store.get(0, b"k%02d" % number)
        assert entry.value == b"%d" % number
        assert await read(store, entry.blobs[0]) == content(size, number)
    assert findings(store.check()) == []


@contract
async def test_what_is_shredded_can_never_be_read_again(store: Store) -> None:
    kept, plain = await write(store, content(20_000)), await write(store, content(20_000), storage="plain")
    theirs, own = await store.write("another", pieces(b"theirs")), await write(store, b"own", key=b"k" * 32)

    def put(view: View) -> None:
        for number, blob in enumerate((kept, plain, theirs, own)):
            view.put(b"%d" % number, Entry(b"", (blob,)))

    await store.commit(0, put, fresh=[kept, plain, theirs, own])
    blobs = [store.get(0, b"%d" % number).blobs[0] for number in range(4)]
    store.shred(TENANT)
    store.shred("nobody")
    with pytest.raises(DriverError):
        await read(store, blobs[0])
    assert await read(store, blobs[1]) == content(20_000)
    assert b"".join([chunk async for chunk in store.read("another", blobs[2])]) == b"theirs"
    assert await read(store, blobs[3], key=b"k" * 32) == b"own"
    after = await write(store, b"later")
    await store.commit(0, lambda view: view.put(b"later", Entry(b"", (after,))), fresh=[after])
    assert await read(store, store.get(0, b"later").blobs[0]) == b"later"
    with pytest.raises(DriverError):
        await read(store, blobs[0])
