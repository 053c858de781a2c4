"""The drive's content: each chunk once for its space, nothing lost to the sweep, and the checks of the store stay right."""

import asyncio
import hashlib
import os
import random
import zlib

import pytest
from sqlalchemy import select

from andromede.core.errors import BadRequest, DriverError, Unavailable
from andromede.core.units import KIB, MIB
from andromede.drivers.blob import Finding
from andromede.drivers.blob.fake import Fake
from andromede.drivers.blob.local import Local
from andromede.services.drive import checksums, upkeep
from andromede.services.drive.content import Content, parts
from andromede.services.drive.errors import Mismatch
from andromede.services.drive.tables import body
from andromede.services.drive.tree import files, nodes, trash
from andromede.services.drive.tree.nodes import File
from tests.unit.test_drive_tree import QUOTA, Tree, free


async def stream(data, piece=64 * KIB):
    for at in range(0, len(data), piece):
        yield data[at : at + piece]


async def whole(content, stored, start=0, stop=None, space="s"):
    return b"".join([piece async for piece in content.read(space, stored.extents, start, stored.size if stop is None else stop)])


@pytest.fixture(params=["fake", "local"])
def store(request, tmp_path):
    made = Fake() if request.param == "fake" else Local(tmp_path / "store", b"k" * 32, shards=4, sync=False)
    yield made
    if request.param == "local":
        made.close()


@pytest.mark.parametrize("size", [0, 1, 256 * KIB, 256 * KIB + 1, 9 * MIB, 21 * MIB + 7])
def test_what_is_put_is_read_in_any_range(store, size):
    data = random.Random(size).randbytes(size)
    content = Content(store)

    async def run():
        check = checksums.Check("SHA1")
        stored = await content.put("s", stream(data), [check])
        assert check.text() == f"SHA1:{hashlib.sha1(data).hexdigest()}"
        assert stored.size == size == sum(length for _, length in parts(stored.extents))
        assert await whole(content, stored) == data
        for start, stop in ((0, 10), (size // 2, size // 2 + MIB), (max(0, size - 5), size), (3, 3)):
            assert await whole(content, stored, start, min(stop, size)) == data[start:stop]

    asyncio.run(run())
    assert [one for one in store.check() if isinstance(one, Finding)] == []


def test_chunks_are_kept_once_for_a_space_and_cut_where_the_bytes_say(store):
    content = Content(store)
    data = random.Random(1).randbytes(16 * MIB)

    async def run():
        await content.put("s", stream(data))
        first = content.usage("s")
        await content.put("s", stream(data, 100_001))
        assert content.usage("s") == first
        assert first.size == len(data)
        await content.put("s", stream(data[: 5 * MIB] + b"!" + data[5 * MIB :]))
        assert content.usage("s").size - first.size < 9 * MIB
        await content.put("other", stream(b"x"))
        assert (content.usage("other").size, content.spaces()) == (1, {"s", "other"})

    asyncio.run(run())


def test_a_full_disk_is_told_and_leaves_nothing_named():
    store = Fake()
    content = Content(store)
    store.full = True
    for size in (10, 30 * MIB):
        with pytest.raises(Unavailable):
            asyncio.run(content.put("s", stream(os.urandom(size))))
    assert content.usage("s").count == 0


def test_a_stream_that_ends_early_raises_what_it_raised(store):
    async def broken():
        yield os.urandom(12 * MIB)
        yield os.urandom(MIB)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        asyncio.run(Content(store).put("s", broken()))


def test_the_sweep_takes_what_nothing_names_and_is_old(store, database):
    tree = Tree(database)
    space = tree.space.id

    def put(path, data, content):
        stored = asyncio.run(content.put(space, stream(data)))
        file = File(stored.size, stored.extents, "")
        return tree.do(lambda db: files.put(db, tree.space, (path,), file, quota=QUOTA, by="u", check=free))[0]

    young, at_once = Content(store), Content(store, grace=-1)
    put("kept", b"kept", young)
    put("gone", b"gone", young)
    asyncio.run(young.put(space, stream(b"never named")))
    asyncio.run(young.put("left", stream(b"of a space that is no more")))
    tree.drop("gone")
    assert asyncio.run(upkeep.tidy(database, young, upkeep.Rules())) == ""
    assert young.usage(space).count == 3
    assert asyncio.run(upkeep.tidy(database, at_once, upkeep.Rules())) == "2 chunks"
    assert young.usage(space).count == 2
    assert young.spaces() == {space}
    tree.do(lambda db: trash.empty(db, tree.space))
    assert asyncio.run(upkeep.tidy(database, at_once, upkeep.Rules())) == "1 chunks"
    with database.read() as db:
        assert len(db.execute(select(body)).all()) == 1
        assert asyncio.run(whole(young, kept(db, tree), space=space)) == b"kept"
    assert [one for one in store.check() if isinstance(one, Finding)] == []


def kept(db, tree):
    one = nodes.find(db, tree.space.root_id, ("kept",))[-1]
    return File(one.size, nodes.extents_of(db, one.body_id), "")


def test_a_chunk_that_is_needed_again_is_young_again(store):
    old, content = Content(store, grace=-1), Content(store)

    async def run():
        stored = await old.put("s", stream(b"a" * 10))
        await old.put("s", stream(b"a" * 10))
        await content.renew("s", stored.extents)
        assert await content.sweep("s", set) == 0
        await old.renew("s", stored.extents)
        assert await old.sweep("s", lambda: {stored.extents[:32]}) == 0
        assert await old.sweep("s", set) == 1
        for again in (old.renew("s", stored.extents), whole(content, stored)):
            with pytest.raises(DriverError):
                await again

    asyncio.run(run())


def test_old_uploads_and_old_trash_go(database):
    tree = Tree(database)
    tree.put("f", 5)
    tree.drop("f")
    content = Content(Fake())
    assert asyncio.run(upkeep.tidy(database, content, upkeep.Rules(trash_days=-1))) == "1 old things"
    assert tree.usage().trash == 0


def test_checksums():
    data = b"some bytes"
    sums = {
        "SHA1": hashlib.sha1(data).hexdigest(), "MD5": hashlib.md5(data).hexdigest(), "SHA256": hashlib.sha256(data).hexdigest(),
        "Adler32": f"{zlib.adler32(data):08x}",
    }  # fmt: skip
    for kind, value in sums.items():
        (check,) = checksums.of_header(f"{kind}:{value.upper()}")
        check.update(data)
        check.prove()
        (check,) = checksums.of_header(f"{kind}:0{value[1:]}" if value[0] != "0" else f"{kind}:1{value[1:]}")
        check.update(data)
        with pytest.raises(Mismatch):
            check.prove()
    assert checksums.of_header("CRC32C:abc") == []
    for bad in ("nothing", "SHA1:a<b"):
        with pytest.raises(BadRequest):
            checksums.of_header(bad)
    with pytest.raises(BadRequest):
        checksums.of_kind("none")
    assert checksums.with_kind("SHA1:a MD5:b", "SHA1:c") == "MD5:b SHA1:c"
