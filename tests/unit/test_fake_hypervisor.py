"""What the fake has beside the contract: faults on demand, and room for many guests."""

import asyncio

import msgspec
import pytest

from andromede.core.clock import monotonic
from andromede.core.errors import DriverError
from andromede.core.ids import new_id
from andromede.core.units import GIB
from andromede.drivers.hypervisor import Disk, Guest, Power, State
from andromede.drivers.hypervisor.fake import Fake


def guest(**changes):
    return Guest(**({"id": new_id(), "vcpus": 1, "memory": GIB, "disks": (Disk(id="root", size=GIB),)} | changes))


def test_a_verb_fails_once_as_told():
    async def story():
        driver, one = Fake(), guest()
        driver.fail_next("ensure", one.id, "No luck.")
        assert (await driver.ensure(guest())).state is State.RUNNING
        with pytest.raises(DriverError, match="No luck"):
            await driver.ensure(one)
        assert (await driver.ensure(one)).state is State.RUNNING
        driver.fail_next("observe")
        with pytest.raises(DriverError):
            await driver.observe()
        assert len(await driver.observe()) == 2

    asyncio.run(story())


def test_what_the_host_offers_is_used_up_and_comes_back():
    async def story():
        driver, one = Fake(memory=4 * GIB, disk=10 * GIB), guest()
        await driver.ensure(one)
        host = await driver.host()
        assert (host.memory_free, host.disk_free) == (3 * GIB, 9 * GIB)
        await driver.remove(one.id)
        assert (await driver.host()).memory_free == 4 * GIB

    asyncio.run(story())


def test_the_console_is_written_and_bounded(tmp_path):
    async def story():
        driver, one = Fake(tmp_path), guest()
        await driver.ensure(one)
        assert b"Linux version" in await driver.console(one.id)
        driver.write(one.id, b"x" * 200_000 + b"end")
        text = await Fake(tmp_path).console(one.id)
        assert len(text) == 100 * 1024
        assert text.endswith(b"xend")

    asyncio.run(story())


def test_nothing_happens_to_a_guest_that_does_not_run():
    async def story():
        driver, one = Fake(), guest(power=Power.STOPPED)
        await driver.ensure(one)
        driver.crash(one.id)
        assert driver.changes.empty()
        assert (await driver.ensure(one)).state is State.STOPPED

    asyncio.run(story())


def test_a_foreign_file_is_left_alone(tmp_path):
    (tmp_path / "notes.json").write_text("mine")
    assert asyncio.run(Fake(tmp_path).observe()) == []


def test_a_lost_uid_is_given_again():
    async def story():
        driver, ids = Fake(uid_base=10), [new_id() for _ in range(4)]
        assert [await driver.owner(one) for one in ids] == [10, 11, 12, 13]
        await driver.remove(ids[0])
        assert await driver.owner(new_id()) == 10

    asyncio.run(story())


def test_thousands_are_cheap():
    async def story():
        driver = Fake()
        began = monotonic()
        guests = [guest() for _ in range(5000)]
        for one in guests:
            await driver.ensure(one)
        for one in guests:
            await driver.ensure(msgspec.structs.replace(one, power=Power.STOPPED))
        assert {seen.state for seen in await driver.observe()} == {State.STOPPED}
        assert monotonic() - began < 5

    asyncio.run(story())
