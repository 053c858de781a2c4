"""What every block driver does: the fake in memory and on disk, and files made by qemu-img, plain and encrypted."""

import asyncio
import shutil
import uuid

import pytest

from andromede.core.errors import DriverError
from andromede.core.units import MIB
from andromede.drivers.block import Export, Source, Volume
from andromede.drivers.block.fake import FakeBlock
from andromede.drivers.block.local import Local
from andromede.drivers.seal import Sealer, from_file

SIZE = 4 * MIB
WORLDS = ["fake", pytest.param("local", marks=pytest.mark.skipif(shutil.which("qemu-img") is None, reason="needs qemu-img"))]
SHAPES = [("qcow2", b""), ("raw", b""), ("qcow2", b"sealed"), ("raw", b"sealed")]


@pytest.fixture(params=WORLDS)
def make(request, tmp_path):
    """Makes the driver, again over the same folder after a restart."""
    if request.param == "fake":
        return lambda: FakeBlock(tmp_path / "books")
    return lambda: Local(tmp_path / "volumes", unseal=lambda sealed: sealed * 4)


@pytest.fixture(params=SHAPES, ids=lambda shape: shape[0] + ("-luks" if shape[1] else ""))
def shape(request):
    return {"format": request.param[0], "secret": request.param[1]}


def new(**more):
    return Volume(**({"id": str(uuid.uuid4()), "size": SIZE} | more))


async def content(driver, volume, *, snapshot="", count=5):
    """The beginning of what a volume of no encryption made from this one holds."""
    copy = new(source=Source(volume=volume.id, snapshot=snapshot), exports=(Export(id="look"),), size=volume.size)
    await driver.ensure(copy)
    await driver.publish(copy)
    data = await driver.read(copy.id, "look", 0, count)
    await driver.remove(copy.id)
    return data


def image(tmp_path, data=b"IMAGE"):
    path = tmp_path / f"image-{uuid.uuid4()}"
    path.write_bytes(data.ljust(65536, b"\0"))
    return Source(image=str(uuid.uuid4()), path=str(path), size=65536, format="raw")


def test_the_life_of_a_volume(make, shape, tmp_path):
    async def story():
        driver = make()
        volume = new(**shape, source=image(tmp_path), snapshots=("first",))
        seen = await driver.ensure(volume)
        assert (seen.made, seen.size, seen.snapshots, seen.fault) == (1, SIZE, ("first",), None)
        assert await driver.ensure(volume) == seen
        assert await content(driver, volume, snapshot="first") == b"IMAGE"
        larger = new(**shape, id=volume.id, size=2 * SIZE, snapshots=("first", "second"))
        seen = await driver.ensure(larger)
        assert (seen.size, seen.snapshots) == (2 * SIZE, ("first", "second"))
        again = new(**shape, id=volume.id, size=2 * SIZE, make=2, source=image(tmp_path, b"OTHER"))
        assert (await driver.ensure(again)).snapshots == ()
        driver = make()
        assert (await driver.look(volume.id)).made == 2
        assert await content(driver, again) == b"OTHER"
        assert driver.path(again)
        with pytest.raises(DriverError, match="not there on the host as it should be"):
            driver.path(volume)
        assert volume.id in await driver.observe()
        await driver.remove(volume.id)
        await driver.remove(volume.id)
        assert volume.id not in await driver.observe()

    asyncio.run(story())


def test_going_back_to_a_snapshot_and_into_another_shape(make, shape, tmp_path):
    async def story():
        driver = make()
        volume = new(**shape, source=image(tmp_path), snapshots=("kept",))
        await driver.ensure(volume)
        back = new(**shape, id=volume.id, make=2, snapshots=("kept",), source=Source(volume=volume.id, snapshot="kept", keep=True))
        seen = await driver.ensure(back)
        assert (seen.made, seen.snapshots) == (2, ("kept",))
        other = new(id=volume.id, make=3, format="raw", secret=b"another", source=Source(volume=volume.id))
        assert (await driver.ensure(other)).made == 3
        assert await content(driver, other) == b"IMAGE"

    asyncio.run(story())


def test_what_is_staged_becomes_a_volume(make, shape):
    async def story():
        driver = make()
        volume = new(**shape, make=0, stage="restore")
        assert (await driver.ensure(volume)).made == 0
        await driver.write(volume.id, "restore", 0, b"STAGE")
        await driver.write(volume.id, "restore", MIB, b"\0" * 10)
        made = new(**shape, id=volume.id, stage="restore", source=Source(stage="restore"))
        assert (await driver.ensure(made)).made == 1
        assert await content(driver, made) == b"STAGE"

    asyncio.run(story())


def test_what_cannot_be_made_is_said(make, tmp_path):
    async def story():
        driver = make()
        with pytest.raises(DriverError):
            await driver.ensure(new(source=Source(volume=str(uuid.uuid4()))))
        with pytest.raises(DriverError):
            await driver.ensure(new(source=Source(image=str(uuid.uuid4()), path=str(tmp_path / "none"), format="raw")))
        with pytest.raises(DriverError, match="512"):
            await driver.ensure(new(size=100))
        with pytest.raises(DriverError, match="UUID"):
            await driver.look("../../etc")
        with pytest.raises(DriverError, match="format"):
            await driver.ensure(new(format="vmdk"))
        with pytest.raises(DriverError, match="characters"):
            await driver.ensure(new(snapshots=("../x",)))
        volume = new()
        await driver.ensure(volume)
        with pytest.raises(DriverError):
            await driver.read(volume.id, "none", 0, 1)

    asyncio.run(story())


@pytest.mark.skipif(shutil.which("qemu-img") is None, reason="needs qemu-img")
def test_a_hostile_image_never_reads_a_file_of_the_host(tmp_path):
    """Whatever a header says of a backing file, none is opened; and a raw image that holds a qcow2 header stays raw."""
    secret = tmp_path / "shadow"
    secret.write_bytes(b"ROOTS-SECRET".ljust(65536, b"\0"))

    async def story():
        driver = Local(tmp_path / "volumes", unseal=bytes)
        path = tmp_path / "evil"
        tool = await asyncio.create_subprocess_exec(
            "qemu-img", "create", "-q", "-f", "qcow2", "-b", str(secret), "-F", "raw", str(path), str(SIZE)
        )
        assert await tool.wait() == 0
        for format_ in ("qcow2", "raw"):
            source = Source(image=str(uuid.uuid4()), path=str(path), size=path.stat().st_size, format=format_)
            volume = new(source=source, exports=(Export(id="all"),))
            await driver.ensure(volume)
            await driver.publish(volume)
            assert b"ROOTS-SECRET" not in await driver.read(volume.id, "all", 0, SIZE)

    asyncio.run(story())


def test_seals(tmp_path):
    first, again = from_file(tmp_path / "master"), from_file(tmp_path / "master")
    assert again.open(first.seal(b"word")) == b"word"
    assert first.seal(b"word") != first.seal(b"word")
    assert first.passphrase(first.seal(b"\1\2")) == b"0102"
    with pytest.raises(DriverError, match="master key"):
        Sealer(b"\0" * 32).open(first.seal(b"word"))
    assert (tmp_path / "master").stat().st_mode & 0o777 == 0o600
