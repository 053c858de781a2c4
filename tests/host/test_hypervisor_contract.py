"""What every hypervisor driver must do, run against the fake and against QEMU.

With the fake it proves that the fake answers as QEMU does; nothing about guests.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from andromede.core.errors import DriverError
from andromede.core.ids import new_id
from andromede.core.units import MIB
from andromede.drivers.hypervisor import MOST_NICS, Capture, Disk, Guest, Nic, Power, State
from tests.host.hypervisors import HAVE_LXC, HAVE_QEMU, LETTING_GO, WHY_NO_LXC, WHY_NOT, FakeWorld, LxcWorld, QemuWorld, World

pytestmark = pytest.mark.timeout(120)
_KINDS = {"fake": FakeWorld, "qemu": QemuWorld, "lxc": LxcWorld}
_QEMU = pytest.param("qemu", marks=pytest.mark.skipif(not HAVE_QEMU, reason=WHY_NOT))
_LXC = pytest.param("lxc", marks=pytest.mark.skipif(not HAVE_LXC, reason=WHY_NO_LXC))


@contextlib.asynccontextmanager
async def _world(kind: str, folder: Path) -> AsyncIterator[World]:
    world = _KINDS[kind](folder)
    try:
        yield world
    finally:
        await world.end()


def contract(story: Callable[[World], Awaitable[None]]) -> Callable[[str, Path], None]:
    """A story of every driver."""
    return pytest.mark.parametrize("kind", ["fake", _QEMU, _LXC])(_told(story))


def machine(story: Callable[[World], Awaitable[None]]) -> Callable[[str, Path], None]:
    """A story of virtual machines: what it tells of, containers do not have."""
    return pytest.mark.parametrize("kind", ["fake", _QEMU])(_told(story))


def _told(story: Callable[[World], Awaitable[None]]) -> Callable[[str, Path], None]:
    def test(kind: str, tmp_path: Path) -> None:
        async def run() -> None:
            async with _world(kind, tmp_path) as world:
                await story(world)

        asyncio.run(run())

    test.__name__, test.__doc__ = story.__name__, story.__doc__
    return test


def asked(guest: Guest, **changes: object) -> Guest:
    return msgspec.structs.replace(guest, **changes)


@contract
async def test_a_host_tells_what_it_offers(world: World) -> None:
    host = await world.driver.host()
    assert host.vcpus > 0
    assert 0 <= host.memory_free <= host.memory
    assert 0 <= host.disk_free <= host.disk
    assert host.acceleration in {"kvm", "tcg"}
    assert bool(host.why) == (host.acceleration == "tcg")
    assert host.limits
    assert host.version > 0


@contract
async def test_a_guest_starts_and_is_seen(world: World) -> None:
    guest = world.guest()
    assert await world.driver.observe() == []
    seen = await world.until(guest, State.RUNNING)
    assert seen.id == guest.id
    assert seen.fault is None
    assert seen.started > 1e9
    await world.up(guest.id)
    assert await world.seen(guest.id) == seen
    assert (await world.driver.ensure(guest)) == seen


@contract
async def test_a_guest_can_be_made_stopped(world: World) -> None:
    guest = world.guest(power=Power.STOPPED, boots=3)
    seen = await world.driver.ensure(guest)
    assert (seen.state, seen.boots, seen.started) == (State.STOPPED, 3, 0.0)
    assert (await world.until(asked(guest, power=Power.RUNNING), State.RUNNING)).boots == 3


@contract
async def test_a_hard_stop_is_at_once_and_a_start_follows(world: World) -> None:
    guest = world.guest()
    await world.until(guest, State.RUNNING)
    seen = await world.driver.ensure(asked(guest, power=Power.STOPPED))
    assert seen.state is State.STOPPED
    assert await world.seen(guest.id) == seen
    assert (await world.driver.ensure(asked(guest, power=Power.STOPPED))).state is State.STOPPED
    assert (await world.until(guest, State.RUNNING)).state is State.RUNNING


@contract
async def test_a_soft_stop_lets_the_guest_end_itself(world: World) -> None:
    guest = world.guest()
    await world.until(guest, State.RUNNING)
    await world.up(guest.id)
    soft = asked(guest, power=Power.STOPPED, soft=True)
    assert (await world.driver.ensure(soft)).state is State.STOPPING
    assert (await world.until(soft, State.STOPPED)).fault is None
    await world.until(guest, State.RUNNING)


@contract
async def test_a_soft_stop_is_forced_after_its_grace(world: World) -> None:
    guest = world.guest()
    await world.until(guest, State.RUNNING)
    await world.deafen(guest.id)
    soft = asked(guest, power=Power.STOPPED, soft=True, grace=1.0)
    assert (await world.driver.ensure(soft)).state is State.STOPPING
    assert (await world.seen(guest.id)).state is State.STOPPING
    await asyncio.sleep(0.5)
    assert (await world.driver.ensure(soft)).state is State.STOPPING
    await asyncio.sleep(0.6)
    assert (await world.driver.ensure(soft)).state is State.STOPPED


@contract
async def test_the_grace_goes_on_over_a_restart_of_ours(world: World) -> None:
    guest = world.guest()
    await world.until(guest, State.RUNNING)
    await world.deafen(guest.id)
    soft = asked(guest, power=Power.STOPPED, soft=True, grace=1.0)
    assert (await world.driver.ensure(soft)).state is State.STOPPING
    await world.restart()
    assert (await world.driver.ensure(soft)).state is State.STOPPING
    await asyncio.sleep(1.1)
    assert (await world.driver.ensure(soft)).state is State.STOPPED


@contract
async def test_a_stop_that_is_taken_back_ends_in_a_running_guest(world: World) -> None:
    guest = world.guest()
    await world.until(guest, State.RUNNING)
    await world.up(guest.id)
    await world.driver.ensure(asked(guest, power=Power.STOPPED, soft=True))
    await world.until(guest, State.RUNNING)
    await world.up(guest.id, times=2)


@contract
async def test_a_deaf_guest_whose_stop_is_taken_back_goes_on(world: World) -> None:
    guest = world.guest(grace=0.5)
    await world.until(guest, State.RUNNING)
    await world.deafen(guest.id)
    assert (await world.driver.ensure(asked(guest, power=Power.STOPPED, soft=True))).state is State.STOPPING
    assert (await world.driver.ensure(guest)).state is State.STOPPING
    assert (await world.until(guest, State.RUNNING)).boots == 0


@contract
async def test_pause_and_resume(world: World) -> None:
    guest = world.guest(power=Power.PAUSED)
    assert (await world.until(guest, State.PAUSED)).started > 0
    assert (await world.seen(guest.id)).state is State.PAUSED
    await world.until(asked(guest, power=Power.RUNNING), State.RUNNING)
    await world.up(guest.id)
    await world.until(guest, State.PAUSED)
    assert (await world.driver.ensure(asked(guest, power=Power.STOPPED, soft=True))).state is State.STOPPED


@contract
async def test_more_boots_restart_a_guest(world: World) -> None:
    guest = world.guest()
    await world.until(guest, State.RUNNING)
    await world.up(guest.id)
    assert (await world.driver.ensure(asked(guest, boots=1))).boots == 1
    await world.up(guest.id, times=2)
    soft = asked(guest, boots=2, soft=True)
    assert (await world.driver.ensure(soft)).state is State.STOPPING
    assert (await world.until(soft, State.RUNNING)).boots == 2
    await world.up(guest.id, times=3)
    assert (await world.driver.ensure(asked(guest, boots=1))).boots == 2, "a lower count is no restart"


@contract
async def test_a_guest_that_switches_itself_off_stays_off(world: World) -> None:
    guest = world.guest()
    await world.until(guest, State.RUNNING)
    await world.power_off(guest.id)
    async with asyncio.timeout(10):
        assert await world.driver.changes.get() == guest.id
    assert (await world.until(guest, State.STOPPED)).fault is None
    assert (await world.driver.ensure(guest)).state is State.STOPPED
    assert (await world.driver.ensure(asked(guest, power=Power.STOPPED))).state is State.STOPPED
    assert (await world.until(guest, State.RUNNING)).state is State.RUNNING


@contract
async def test_a_guest_that_switched_itself_off_starts_at_more_boots(world: World) -> None:
    guest = world.guest()
    await world.until(guest, State.RUNNING)
    await world.power_off(guest.id)
    await world.until(guest, State.STOPPED)
    assert (await world.until(asked(guest, boots=1), State.RUNNING)).boots == 1


@contract
async def test_a_guest_that_switched_itself_off_while_we_were_away_is_not_taken_for_crashed(world: World) -> None:
    guest = world.guest()
    await world.until(guest, State.RUNNING)
    await world.up(guest.id)
    await world.restart()
    await world.power_off(guest.id)
    await asyncio.sleep(0.3)
    await world.restart()
    assert (await world.seen(guest.id)).state is State.STOPPED
    await world.restart()
    assert (await world.driver.ensure(guest)).state is State.STOPPED


@contract
async def test_a_guest_whose_process_is_gone_has_crashed(world: World) -> None:
    guest = world.guest()
    await world.until(guest, State.RUNNING)
    await world.crash(guest.id)
    async with asyncio.timeout(10):
        assert await world.driver.changes.get() == guest.id
    seen = await world.driver.ensure(guest)
    assert seen.state is State.CRASHED
    assert seen.fault
    assert "/" not in seen.fault
    assert await world.driver.ensure(guest) == seen, "it is not started again by itself"
    assert await world.seen(guest.id) == seen
    await world.restart()
    assert await world.seen(guest.id) == seen
    assert (await world.until(asked(guest, boots=1), State.RUNNING)).fault is None


@contract
async def test_a_crash_is_forgotten_by_a_stop(world: World) -> None:
    guest = world.guest()
    await world.until(guest, State.RUNNING)
    await world.crash(guest.id)
    await world.until(guest, State.CRASHED)
    stopped = await world.driver.ensure(asked(guest, power=Power.STOPPED))
    assert (stopped.state, stopped.fault) == (State.STOPPED, None)
    await world.until(guest, State.RUNNING)


@machine
async def test_a_panic_is_a_crash(world: World) -> None:
    guest = world.guest()
    await world.until(guest, State.RUNNING)
    await world.panic(guest.id)
    assert "panicked" in ((await world.until(guest, State.CRASHED)).fault or "")


@contract
async def test_a_process_that_goes_while_it_is_asked_to_stop_has_stopped(world: World) -> None:
    guest = world.guest()
    await world.until(guest, State.RUNNING)
    await world.deafen(guest.id)
    soft = asked(guest, power=Power.STOPPED, soft=True)
    assert (await world.driver.ensure(soft)).state is State.STOPPING
    await world.crash(guest.id)
    assert (await world.until(soft, State.STOPPED)).fault is None


@contract
async def test_a_fresh_driver_adopts_what_runs(world: World) -> None:
    guest = world.guest(boots=4)
    before = await world.until(guest, State.RUNNING)
    await world.up(guest.id)
    await world.restart()
    assert await world.driver.observe() == [before]
    assert await world.driver.ensure(guest) == before
    assert (await world.driver.console(guest.id)) != b""
    await world.power_off(guest.id)
    await world.until(guest, State.STOPPED)


async def _until_cards(world: World, guest: Guest, patience: float = 10.0) -> None:
    wanted = {nic.port_id for nic in guest.nics}
    async with asyncio.timeout(patience):
        while set((await world.driver.ensure(guest)).nics) != wanted:
            await asyncio.sleep(0.05)


@contract
async def test_network_cards_follow_while_a_guest_runs(world: World) -> None:
    guest = world.guest()
    first, second, third = [await world.nic(guest.id) for _ in range(3)]
    guest = asked(guest, nics=(first,))
    assert (await world.until(guest, State.RUNNING)).nics == (first.port_id,)
    await world.up(guest.id)
    two = asked(guest, nics=(first, second))
    seen = await world.driver.ensure(two)
    assert seen.nics == (first.port_id, second.port_id), "a card is there at once"
    assert await world.cards(guest.id) == set(seen.nics)
    assert await world.seen(guest.id) == await world.driver.ensure(two) == seen
    assert len((await world.driver.diagnostics(guest.id))["nic_details"]) == 2
    other = asked(guest, nics=(second, third))
    await _until_cards(world, other)
    assert await world.cards(guest.id) == {second.port_id, third.port_id}
    await _until_cards(world, asked(guest, nics=(first, second, third)))
    await _until_cards(world, asked(guest, nics=()))
    assert await world.cards(guest.id) == set()
    assert (await world.driver.ensure(asked(guest, power=Power.STOPPED))).nics == ()
    assert (await world.until(two, State.RUNNING)).nics == (first.port_id, second.port_id)


@contract
async def test_network_cards_follow_over_restarts_of_ours(world: World) -> None:
    guest = world.guest()
    first, second = await world.nic(guest.id), await world.nic(guest.id)
    await world.until(asked(guest, nics=(first,)), State.RUNNING)
    await world.up(guest.id)
    await world.driver.ensure(asked(guest, nics=(first, second)))
    await world.restart()
    assert (await world.seen(guest.id)).nics == (first.port_id, second.port_id)
    await world.driver.ensure(asked(guest, nics=(second,)))
    await world.restart()
    await _until_cards(world, asked(guest, nics=(second,)))
    assert await world.cards(guest.id) == {second.port_id}


@contract
async def test_as_many_cards_as_there_may_be_can_all_be_plugged_in(world: World) -> None:
    guest = world.guest()
    await world.until(guest, State.RUNNING)
    nics = tuple([await world.nic(guest.id) for _ in range(MOST_NICS)])
    assert len((await world.driver.ensure(asked(guest, nics=nics))).nics) == MOST_NICS


@machine
async def test_a_guest_that_keeps_a_card_is_cut_from_its_network(world: World) -> None:
    guest = world.guest()
    nic = await world.nic(guest.id)
    await world.until(asked(guest, nics=(nic,)), State.RUNNING)
    await world.deafen(guest.id)
    assert (await world.driver.ensure(guest)).nics == (nic.port_id,)
    assert (await world.driver.ensure(guest)).nics == (nic.port_id,)
    await asyncio.sleep(LETTING_GO)
    assert (await world.driver.ensure(guest)).nics == ()
    assert (await world.seen(guest.id)).nics == ()
    again = asked(guest, nics=(nic,), boots=1)
    assert (await world.until(again, State.RUNNING)).nics == (nic.port_id,)


@contract
async def test_a_paused_guest_gets_its_card(world: World) -> None:
    guest = world.guest(power=Power.PAUSED)
    nic = await world.nic(guest.id)
    await world.until(guest, State.PAUSED)
    assert (await world.driver.ensure(asked(guest, nics=(nic,)))).nics == (nic.port_id,)


@contract
async def test_a_damaged_record_hides_no_guest(world: World) -> None:
    guest = world.guest(power=Power.STOPPED)
    await world.driver.ensure(guest)
    await world.damage(guest.id)
    await world.restart()
    seen = await world.seen(guest.id)
    assert seen is not None
    assert seen.state is State.STOPPED
    assert "damaged" in (seen.fault or "")
    assert (await world.until(asked(guest, power=Power.RUNNING, boots=2), State.RUNNING)).boots == 2


@contract
async def test_the_console_outlives_restarts_and_has_an_end(world: World) -> None:
    guest = world.guest()
    assert await world.driver.console(guest.id) == b""
    await world.until(guest, State.RUNNING)
    await world.up(guest.id)
    await world.driver.ensure(asked(guest, boots=1))
    await world.up(guest.id, times=2)
    assert len(await world.driver.console(guest.id)) <= 100 * 1024


@contract
async def test_diagnostics_have_compute_s_keys(world: World) -> None:
    guest = world.guest(vcpus=2)
    with pytest.raises(DriverError) as error:
        await world.driver.diagnostics(guest.id)
    assert error.value.status == 409
    await world.until(guest, State.RUNNING)
    await world.up(guest.id)
    counters = await world.driver.diagnostics(guest.id)
    assert {
        "state", "driver", "hypervisor", "hypervisor_os", "uptime", "config_drive", "num_cpus", "num_nics", "num_disks",
        "cpu_details", "nic_details", "disk_details", "memory_details",
    } == set(counters)  # fmt: skip
    assert counters["state"] == "running"
    assert counters["num_cpus"] == len(counters["cpu_details"]) == 2
    assert set(counters["cpu_details"][0]) == {"id", "time", "utilisation"}
    assert len(counters["disk_details"]) == counters["num_disks"] == len(guest.disks)
    for disk in counters["disk_details"]:
        assert set(disk) == {"read_bytes", "read_requests", "write_bytes", "write_requests", "errors_count"}
    assert counters["memory_details"]["maximum"] == 32


@contract
async def test_owners_are_unique_and_come_back(world: World) -> None:
    ids = [new_id() for _ in range(5)]
    owners = [await world.driver.owner(guest_id) for guest_id in ids]
    assert len(set(owners)) == 5
    await world.restart()
    assert [await world.driver.owner(guest_id) for guest_id in ids] == owners
    assert {seen.id: seen.state for seen in await world.driver.observe()} == dict.fromkeys(ids, State.ABSENT)
    await world.driver.remove(ids[1])
    assert await world.driver.owner(new_id()) == owners[1]


@contract
async def test_removing_is_idempotent(world: World) -> None:
    guest = world.guest()
    await world.driver.remove(guest.id)
    for power in (Power.RUNNING, Power.STOPPED, Power.PAUSED):
        await world.driver.ensure(asked(guest, power=power))
        await world.driver.remove(guest.id)
        await world.driver.remove(guest.id)
        assert await world.driver.observe() == []
        assert await world.driver.console(guest.id) == b""


@contract
async def test_a_removed_guest_can_be_made_again(world: World) -> None:
    guest = world.guest(boots=7)
    await world.until(guest, State.RUNNING)
    await world.driver.remove(guest.id)
    assert (await world.until(asked(guest, boots=0), State.RUNNING)).boots == 0


@contract
async def test_many_guests_at_once(world: World) -> None:
    guests = [world.guest() for _ in range(4)]
    seen = await asyncio.gather(*(world.driver.ensure(guest) for guest in guests))
    assert {one.state for one in seen} == {State.RUNNING}
    assert sorted(one.id for one in await world.driver.observe()) == sorted(guest.id for guest in guests)
    await asyncio.gather(*(world.driver.remove(guest.id) for guest in guests))
    assert await world.driver.observe() == []


NIC = Nic(port_id="port", mac="fa:16:3e:00:00:01")
WRONG = {
    "an id that is none": {"id": "../../etc"},
    "a firmware": {"firmware": "coreboot"},
    "no vcpu": {"vcpus": 0},
    "no memory": {"memory": 1},
    "a disk id": {"disks": (Disk(id="../x", size=MIB),)},
    "a disk size": {"disks": (Disk(id="x", size=1),)},
    "a bus": {"disks": (Disk(id="x", size=MIB, bus="floppy"),)},
    "a format": {"disks": (Disk(id="x", size=MIB, base_format="vmdk"),)},
    "two disks": {"disks": (Disk(id="x", size=MIB), Disk(id="x", size=MIB))},
    "a mac": {"nics": (asked(NIC, mac="x,script=/bin/sh"),)},
    "a port id": {"nics": (asked(NIC, port_id="a,b"),)},
    "a model": {"nics": (asked(NIC, model="ne2k"),)},
    "two cards": {"nics": (NIC, NIC)},
}


@machine
async def test_wrong_descriptions_are_refused(world: World) -> None:
    for why, changes in WRONG.items():
        with pytest.raises(DriverError, match=r"\.$") as error:
            await world.driver.ensure(world.guest(**changes))
        assert "etc" not in error.value.message, why
    for verb in (world.driver.owner, world.driver.remove, world.driver.console, world.driver.diagnostics):
        with pytest.raises(DriverError):
            await verb("../../etc")
    assert await world.driver.observe() == []


@machine
async def test_suspend_and_resume(world: World) -> None:
    """What the guest held in memory goes on, also when a fresh driver resumes it; a higher boots starts it afresh."""
    nic = await world.nic(guest_id := str(new_id()))
    guest = world.guest(id=guest_id, nics=(nic,))
    await world.until(guest, State.RUNNING)
    await world.up(guest.id)
    late = await world.nic(guest.id)
    guest = asked(guest, nics=(nic, late))
    await world.plugged(guest)
    asleep = asked(guest, power=Power.SUSPENDED)
    seen = await world.until(asleep, State.SUSPENDED)
    assert (seen.boots, seen.started) == (0, 0.0)
    assert await world.driver.ensure(asleep) == seen
    await world.restart()
    assert (await world.seen(guest.id)).state is State.SUSPENDED
    assert (await world.driver.ensure(asleep)).state is State.SUSPENDED
    await world.until(guest, State.RUNNING)
    await world.plugged(guest)
    await world.alive(guest.id)
    assert (await world.driver.console(guest.id)).count(b"guest is up") <= 1
    await world.until(asleep, State.SUSPENDED)
    again = asked(guest, boots=1)
    await world.until(again, State.RUNNING)
    await world.up(guest.id, times=2)


@machine
async def test_a_suspend_that_is_taken_back(world: World) -> None:
    guest = world.guest()
    await world.until(guest, State.RUNNING)
    await world.driver.ensure(asked(guest, power=Power.SUSPENDED))
    await world.until(guest, State.RUNNING)
    await world.until(asked(guest, power=Power.SUSPENDED), State.SUSPENDED)
    assert (await world.until(asked(guest, power=Power.STOPPED), State.STOPPED)).fault is None
    await world.until(guest, State.RUNNING)


@contract
async def test_copies_of_disks(world: World) -> None:
    """Of a guest that runs, rests, or does not run; each is whole before it has its name, and made once."""
    guest = world.guest()
    folder = world.folder.parent / "copies"
    folder.mkdir(exist_ok=True)

    def capture(name: str) -> Capture:
        return Capture(id=name, disk=guest.disks[0].id, path=str(folder / name))

    if not guest.disks:
        guest = asked(guest, disks=(Disk(id="root", size=2 * MIB),))
    await world.until(guest, State.RUNNING)
    for number, power in enumerate(world.resting):
        one = capture(f"copy-{number}")
        wanted = asked(guest, power=power, captures=(one,))
        await world.captured(wanted, one.id)
        assert (folder / one.id).read_bytes().startswith(world.copied)
        (folder / one.id).unlink()
        assert (await world.driver.ensure(wanted)).captures == {one.id: ""}
        assert not (folder / one.id).exists(), "made once"
        assert (await world.driver.ensure(asked(guest, power=power))).captures == {}
    await world.until(guest, State.RUNNING)
    await world.driver.ensure(asked(guest, captures=(capture("dropped"),)))
    await world.driver.ensure(guest)
    await world.driver.ensure(asked(guest, captures=(capture("removed"),)))
    await world.driver.remove(guest.id)
    assert list(folder.iterdir()) == []


@machine
async def test_disks_are_kept_as_they_were_at_a_point(world: World) -> None:
    guest = world.guest(disks=world.guest().disks[:1] or (Disk(id="root", size=2 * MIB),))
    (root,) = guest.disks
    await world.until(guest, State.RUNNING)
    marked = msgspec.structs.replace(root, size=root.size + MIB, points=("before",))
    await world.until(asked(guest, disks=(marked,), boots=1), State.RUNNING)
    back = msgspec.structs.replace(root, id="root.1", past=(root.id, "before"))
    seen = await world.until(asked(guest, disks=(back,), boots=2), State.RUNNING)
    assert (seen.boots, seen.fault) == (2, None)
    kept = msgspec.structs.replace(back, points=("again",))
    await world.until(asked(guest, disks=(kept,), boots=3), State.RUNNING)
    assert (await world.driver.ensure(asked(guest, disks=(back,), boots=3))).fault is None


@machine
async def test_a_guest_is_rescued_from_another_disk(world: World) -> None:
    guest = world.guest(disks=world.guest().disks[:1] or (Disk(id="root", size=2 * MIB),))
    (root,) = guest.disks
    for number, stable in enumerate((False, True)):
        extra = msgspec.structs.replace(root, id="rescue")
        disks = (root, extra) if stable else (extra, root)
        await world.until(asked(guest, disks=disks, boot_from="rescue", boots=2 * number + 1), State.RUNNING)
        await world.until(asked(guest, boots=2 * number + 2), State.RUNNING)


@machine
async def test_consoles_are_opened_while_a_guest_runs(world: World) -> None:
    guest = world.guest()
    with pytest.raises(DriverError):
        await world.driver.open(guest.id, "vnc")
    await world.until(guest, State.RUNNING)
    await world.up(guest.id)
    with await world.driver.open(guest.id, "vnc") as line:
        line.settimeout(10)
        assert (await asyncio.to_thread(line.recv, 12)).startswith(b"RFB 003")
    with await world.driver.open(guest.id, "serial") as line, await world.driver.open(guest.id, "serial") as other:
        line.settimeout(10)
        other.settimeout(10)
    with pytest.raises(DriverError):
        await world.driver.open(guest.id, "spice")


@pytest.mark.skipif(not HAVE_LXC, reason=WHY_NO_LXC)
def test_a_container_s_disk_grows_and_another_one_begins_empty_but_for_its_past(tmp_path: Path) -> None:
    async def story() -> None:
        async with _world("lxc", tmp_path) as world:
            guest = world.guest()
            await world.until(guest, State.RUNNING)
            await world.up(guest.id)
            note = world.folder / guest.id / "root/note"
            note.write_text("kept")
            (disk,) = guest.disks
            back = asked(guest, boots=1, disks=(msgspec.structs.replace(disk, id="root.1", past=("root", "point")),))
            assert (await world.driver.ensure(back)).boots == 1
            assert note.read_text() == "kept"
            larger = asked(back, boots=2, disks=(msgspec.structs.replace(back.disks[0], size=128 * MIB),))
            assert (await world.driver.ensure(larger)).boots == 2
            assert note.read_text() == "kept"
            assert os.statvfs(note.parent).f_blocks * os.statvfs(note.parent).f_frsize > 100 * MIB
            anew = asked(guest, boots=3, disks=(msgspec.structs.replace(disk, id="root.2"),))
            assert (await world.driver.ensure(anew)).boots == 3
            await world.up(guest.id, times=4)
            assert not note.exists()
            assert [path.name for path in note.parents[1].glob("*.img")] == ["root.2.img"]

    asyncio.run(story())
