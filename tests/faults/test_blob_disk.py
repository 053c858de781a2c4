"""What the blob driver does where the disk is full, fails, or does not do what it said."""

import asyncio
import contextlib
import errno
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from andromede.core.errors import DriverError, Unavailable
from andromede.core.units import KIB, MIB
from andromede.drivers.blob import Entry, Finding
from andromede.drivers.blob.local import Local
from andromede.drivers.blob.local.disk import Disk
from andromede.drivers.blob.local.writer import Writer
from tests.faults.blob_child import make, pieces

pytestmark = pytest.mark.timeout(120)


class Failing(Disk):
    """Fails what it is told to, by the name of the verb: with an errno, where `where` is in the file's path."""

    def __init__(self) -> None:
        super().__init__(sync=False)
        self.fails: dict[str, int] = {}
        self.where = ""
        self.short: int | None = None
        self.calls: list[str] = []

    def _maybe(self, verb: str, fd: int) -> None:
        self.calls.append(verb)
        if verb in self.fails and self.where in str(Path(f"/proc/self/fd/{fd}").readlink()):
            raise OSError(self.fails[verb], os.strerror(self.fails[verb]))

    def write(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
        if "write" in self.fails and self.short is not None:
            os.pwrite(fd, data[: self.short], offset)
        self._maybe("write", fd)
        super().write(fd, data, offset)

    def sync(self, fd: int) -> None:
        self._maybe("sync", fd)

    def truncate(self, fd: int, size: int) -> None:
        self._maybe("truncate", fd)
        super().truncate(fd, size)

    def read(self, fd: int, size: int, offset: int) -> bytes:
        self._maybe("read", fd)
        return super().read(fd, size, offset)


def story(tell: Callable[[Local, Failing, Path], object]) -> Callable[[Path], None]:
    def test(tmp_path: Path) -> None:
        disk = Failing()
        store = make(tmp_path / "store", disk=disk, grace=0)
        try:
            asyncio.run(tell(store, disk, tmp_path / "store"))
        finally:
            disk.fails = {}
            store.close()

    test.__name__, test.__doc__ = tell.__name__, tell.__doc__
    return test


async def put(store: Local, key: str, data: bytes = b"x" * 100, shard: int = 0) -> None:
    blob = await store.write("tenant", pieces(data))
    await store.commit(shard, lambda view: view.put(key.encode(), Entry(data[:300], (blob,), group=b"g", weight=1)))


async def get(store: Local, key: str, shard: int = 0) -> bytes | None:
    entry = store.get(shard, key.encode())
    if entry is None:
        return None
    return b"".join([piece async for piece in store.read("tenant", entry.blobs[0])])


def sound(store: Local) -> None:
    assert [one for one in store.check() if isinstance(one, Finding)] == []


FAILURES = [
    ({"write": errno.ENOSPC}, None),
    ({"write": errno.ENOSPC}, 50),
    ({"write": errno.EIO}, 10),
    ({"sync": errno.EIO}, None),
    ({"sync": errno.ENOSPC}, None),
    ({"write": errno.ENOSPC, "truncate": errno.EIO}, 70),
    ({"sync": errno.EIO, "truncate": errno.EIO}, None),
]


@pytest.mark.parametrize("fails", range(len(FAILURES)))
@pytest.mark.parametrize("where", ["segment-", "segment-00000001"])
def test_a_commit_that_fails_changes_nothing_and_the_next_one_works(tmp_path: Path, fails: int, where: str) -> None:
    async def tell() -> None:
        disk = Failing()
        store = make(tmp_path / "store", disk=disk)
        await put(store, "before", b"b" * 2000)
        disk.where = where
        disk.fails, disk.short = FAILURES[fails]
        failed: list[str] = []
        for turn in range(3):
            names = [f"{turn}.{number}" for number in range(5)]
            results = await asyncio.gather(*(put(store, name) for name in names), return_exceptions=True)
            assert all(result is None or isinstance(result, Unavailable) for result in results)
            failed += [name for name, result in zip(names, results, strict=True) if result is not None]
            assert len(failed) == 5 * (turn + 1) or where != "segment-"
        assert failed
        assert [await get(store, key) for key in failed] == [None] * len(failed)
        with contextlib.suppress(Unavailable):
            assert await store.commit(0, lambda view: view.usage(b"g").entries) == store.usage(0, b"g").entries
        disk.fails, disk.short = {}, None
        await put(store, "after", b"a" * 3000)
        assert await get(store, "before") == b"b" * 2000
        assert await get(store, "after") == b"a" * 3000
        assert [await get(store, key) for key in failed] == [None] * len(failed)
        sound(store)
        store.close()
        for name in (tmp_path / "store").glob("shard-*/index-*"):
            name.unlink()
        again = make(tmp_path / "store")
        assert await get(again, "before") == b"b" * 2000
        assert await get(again, "after") == b"a" * 3000
        assert [await get(again, key) for key in failed] == [None] * len(failed)
        sound(again)
        again.close()

    asyncio.run(tell())


@story
async def test_a_file_that_a_sync_failed_on_is_never_written_again(store: Local, disk: Failing, folder: Path) -> None:
    await put(store, "a")
    before = (folder / "shard-00" / "segment-00000001").read_bytes()
    disk.fails, disk.where = {"sync": errno.EIO}, "segment-00000001"
    with pytest.raises(Unavailable, match="fails"):
        await put(store, "b")
    disk.fails = {}
    await put(store, "c")
    assert (folder / "shard-00" / "segment-00000001").read_bytes() == before
    assert (folder / "shard-00" / "segment-00000002").exists()


@story
async def test_the_refusal_says_what_to_do(store: Local, disk: Failing, folder: Path) -> None:
    for number, text in ((errno.ENOSPC, "full: free room"), (errno.EDQUOT, "full"), (errno.EIO, "kernel's log"), (errno.EROFS, "mount")):
        disk.fails = {"write": number}
        for data in (b"x", bytes(3 * MIB)):
            with pytest.raises(Unavailable, match=text) as caught:
                await put(store, "a", data)
            assert str(folder) not in caught.value.message
    disk.fails = {}
    sound(store)


@story
async def test_a_large_blob_that_fails_leaves_nothing(store: Local, disk: Failing, folder: Path) -> None:
    await put(store, "a", bytes(9 * KIB))
    (kept,) = [path for path in folder.glob("blobs/*/*/*/*") if path.is_file()]
    for verb in ("write", "sync"):
        disk.fails = {verb: errno.EIO}
        with pytest.raises(Unavailable):
            await put(store, "b", bytes(5 * MIB))
        disk.fails = {}
        await asyncio.sleep(0.05)
        assert [path for path in folder.glob("blobs/*/*/*/*") if path.is_file()] == [kept]


@story
async def test_a_disk_that_can_not_be_read_gives_an_error_and_no_bytes(store: Local, disk: Failing, folder: Path) -> None:
    for key, data in (("small", b"s" * 1000), ("large", bytes(MIB))):
        await put(store, key, data)
        disk.fails = {"read": errno.EIO}
        with pytest.raises(DriverError):
            await get(store, key)
        disk.fails = {}
        assert await get(store, key) == data


@story
async def test_an_index_that_is_full_takes_nothing_in(store: Local, disk: Failing, folder: Path) -> None:
    """Whether it refuses the rows or, the records being on the disk already, the commit: they are taken back."""
    monkeypatch = pytest.MonkeyPatch()
    shard = store.parts[0]
    ready = shard.writer

    def narrow() -> Writer:
        writer = ready()
        with writer.locked():
            index = writer.catch_up()
            index.execute(f"pragma max_page_count = {index.execute('pragma page_count').fetchone()[0]}")
        return writer

    monkeypatch.setattr(shard, "writer", narrow)
    failed = 0
    for number in range(200):
        (result,) = await asyncio.gather(put(store, f"more{number:05d}"), return_exceptions=True)
        if result is not None:
            assert isinstance(result, Unavailable)
            assert "full" in result.message
            failed += 1
            assert await get(store, f"more{number:05d}") is None
    assert failed
    monkeypatch.undo()
    store.close()
    store = make(folder, grace=0)
    await put(store, "after")
    sound(store)
    store.close()


@story
async def test_many_failures_by_chance(store: Local, disk: Failing, folder: Path) -> None:
    chance = random.Random(5)
    known: dict[str, bytes] = {}
    disk.where = "segment-"
    for number in range(300):
        disk.fails = {}
        for verb in ("write", "sync", "truncate"):
            if chance.random() < 0.2:
                disk.fails[verb] = chance.choice((errno.EIO, errno.ENOSPC))
        disk.short = chance.choice((None, 1, 60, 1000))
        key, data = f"k{chance.randrange(10)}", b"%d" % number * chance.choice((1, 500))
        try:
            await put(store, key, data)
            known[key] = data
        except Unavailable:
            pass
        except DriverError as error:
            pytest.fail(error.message)
    disk.fails = {}
    await put(store, "end")
    for key, data in known.items():
        assert await get(store, key) == data
    sound(store)
    again = make(folder)
    for path in folder.glob("shard-*/index-*"):
        path.unlink()
    again.close()
    again = make(folder)
    for key, data in known.items():
        assert await get(again, key) == data
    again.close()
