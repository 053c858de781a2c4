"""A volume that takes the place of another in a guest of QEMU's: which of both the guest has is QEMU's to say, whatever becomes of us."""

import asyncio
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from andromede.core.clock import monotonic
from andromede.core.ids import new_id
from andromede.core.units import MIB
from andromede.drivers.hypervisor import Drive, Guest, Power, State
from tests.host.hypervisors import HAVE_QEMU, WHY_NOT, QemuWorld
from tests.host.test_hypervisor_contract import asked

pytestmark = [pytest.mark.skipif(not HAVE_QEMU, reason=WHY_NOT), pytest.mark.timeout(120)]
OLD, NEW = b"old", b"new"


def tool(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=30).stdout


def drive(folder: Path, content: bytes, size: int = 8 * MIB, **more: str) -> Drive:
    """A volume with this at its begin."""
    id_ = new_id()
    path, raw = folder / f"{id_}.qcow2", folder / f"{id_}.raw"
    raw.write_bytes(content.ljust(size, b"\0"))
    tool("qemu-img", "convert", "-O", "qcow2", str(raw), str(path))
    return Drive(id=id_, path=str(path), size=size, **more)


def content(one: Drive) -> bytes:
    raw = Path(one.path).with_suffix(".raw")
    tool("qemu-img", "convert", "-U", "-O", "raw", one.path, str(raw))
    return raw.read_bytes()[:3]


async def has(world: QemuWorld, guest: Guest, *ids: str) -> None:
    end = monotonic() + 20
    seen = await world.driver.ensure(guest)
    while tuple(held.id for held in seen.drives) != ids:
        assert monotonic() < end, seen
        await asyncio.sleep(0.03)
        seen = await world.driver.ensure(guest)


def story(tell: Callable[[QemuWorld, Guest, Drive, Drive], Awaitable[None]]) -> Callable[[Path], None]:
    """With a guest that runs with `old`, and `new` for its place."""

    def test(tmp_path: Path) -> None:
        async def run() -> None:
            world = QemuWorld(tmp_path)
            try:
                old = drive(tmp_path, OLD)
                guest = world.guest(drives=(old,))
                await world.until(guest, State.RUNNING)
                await tell(world, guest, old, asked(drive(tmp_path, NEW, 16 * MIB), slot=old.id))
            finally:
                await world.end()

        asyncio.run(run())

    test.__name__, test.__doc__ = tell.__name__, tell.__doc__
    return test


@story
async def test_the_other_volume_has_the_data_and_the_place(world: QemuWorld, guest: Guest, old: Drive, new: Drive) -> None:
    swapped = asked(guest, drives=(new,))
    await world.driver.ensure(swapped)
    await has(world, swapped, new.id)
    assert await world.driver.ensure(swapped) == await world.driver.ensure(swapped)
    again = asked(old, slot="")
    beside = asked(guest, drives=(new, asked(again, slot=new_id())))
    await has(world, beside, new.id, old.id)
    await world.until(asked(beside, boots=1), State.RUNNING)
    await has(world, asked(beside, boots=1), new.id, old.id)
    await world.driver.remove(guest.id)
    assert (content(old), content(new)) == (OLD, OLD)


@story
async def test_a_swap_that_is_not_wanted_any_more(world: QemuWorld, guest: Guest, old: Drive, new: Drive) -> None:
    """Whether it is done by then or not, also by a driver that knows nothing of it."""
    await world.driver.ensure(asked(guest, drives=(new,)))
    await world.restart()
    await has(world, guest, old.id)
    swapped = asked(guest, drives=(new,))
    await has(world, swapped, new.id)
    back = asked(guest, drives=(asked(old, slot=old.id),))
    await has(world, back, old.id)


@story
async def test_a_guest_that_is_started_anew_has_what_was_whole(world: QemuWorld, guest: Guest, old: Drive, new: Drive) -> None:
    swapped = asked(guest, drives=(new,))
    await world.driver.ensure(swapped)
    off = asked(swapped, power=Power.STOPPED)
    await world.until(off, State.STOPPED)
    await world.driver.ensure(off)
    await world.until(swapped, State.RUNNING)
    await has(world, swapped, new.id)
    await world.driver.remove(guest.id)
    assert content(new) == OLD
