"""What every hypervisor driver must do with a running guest that goes to another host: run against two fakes, and two of QEMU."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from andromede.core.clock import monotonic
from andromede.core.errors import DriverError
from andromede.core.ids import new_id
from andromede.core.units import MIB
from andromede.drivers.hypervisor import Arrival, Departure, Disk, Guest, Move, Phase, Power, State, unreachable
from andromede.drivers.hypervisor.qemu import tpm
from tests.host.hypervisors import HAVE_QEMU, WHY_NOT, FakeWorld, QemuWorld
from tests.host.test_hypervisor_contract import asked
from tests.host.test_swapping import NEW, OLD, content, drive, has

pytestmark = pytest.mark.timeout(180)
_KINDS = {"fake": FakeWorld, "qemu": QemuWorld}
_QEMU = pytest.param("qemu", marks=pytest.mark.skipif(not HAVE_QEMU, reason=WHY_NOT))


class Two:
    """Two hosts, `here` and `there`. deaf: what `there` does not answer to. stuck: what it answers to and then does not take."""

    def __init__(self, kind: str, folder: Path) -> None:
        for name in ("here", "there"):
            (folder / name).mkdir()
        self.here, self.there = _KINDS[kind](folder / "here"), _KINDS[kind](folder / "there")
        self.kind, self.deaf, self.stuck = kind, "", ""
        self.ends: list[socket.socket] = []
        self.id = str(new_id())
        self.restarted()

    def restarted(self) -> None:
        self.here.driver.reach = self.reach

    async def reach(self, host: str, guest_id: str, what: str) -> socket.socket:
        assert host == "there"
        if self.deaf and what.startswith(self.deaf):
            raise DriverError("The host there does not answer.")
        if self.stuck and what.startswith(self.stuck):
            ours, theirs = socket.socketpair()
            self.ends.append(theirs)
            return ours
        return await self.there.driver.open(guest_id, what)

    async def runs(self, **changes: object) -> Guest:
        """A guest that runs here."""
        made = self.here.guest(**changes)
        guest = asked(made, disks=made.disks or (Disk(id="root", size=2 * MIB),))
        await self.here.until(guest, State.RUNNING)
        await self.here.up(guest.id)
        return guest

    async def described(self, guest: Guest) -> Move:
        going = asked(guest, departure=Departure(id=self.id))
        move = await self.moved(going, Phase.DESCRIBED)
        assert (move.id, bool(move.machine)) == (self.id, True)
        assert (await self.here.driver.ensure(going)).state in (State.RUNNING, State.PAUSED)
        return move

    async def awaits(self, guest: Guest, move: Move) -> Guest:
        """It waits there, with disks that are made empty."""
        coming = asked(guest, arrival=Arrival(id=move.id, machine=move.machine), disks=tuple(asked(disk, base=None) for disk in guest.disks))
        seen = await self.there.until(coming, State.ARRIVING)
        assert await self.there.driver.ensure(coming) == seen
        assert (await self.there.seen(guest.id)).state is State.ARRIVING
        return coming

    async def moved(self, guest: Guest, *phases: Phase, patience: float = 60.0) -> Move:
        """Call ensure here until the move is in one of the phases, or has a fault."""
        end = monotonic() + patience
        while True:
            seen = await self.here.driver.ensure(guest)
            if seen.move is not None and (seen.move.phase in phases or seen.move.fault):
                return seen.move
            assert monotonic() < end, seen
            await asyncio.sleep(0.02)

    async def end(self) -> None:
        for end in self.ends:
            end.close()
        await self.here.end()
        await self.there.end()


def _towards(guest: Guest, two: Two, **more: bool) -> Guest:
    return asked(guest, departure=Departure(id=two.id, to="there", **more))


def contract(story: Callable[[Two], Awaitable[None]]) -> Callable[[str, Path], None]:
    """A story of both kinds of drivers."""

    def test(kind: str, tmp_path: Path) -> None:
        async def run() -> None:
            two = Two(kind, tmp_path)
            try:
                await story(two)
            finally:
                await two.end()

        asyncio.run(run())

    test.__name__, test.__doc__ = story.__name__, story.__doc__
    return pytest.mark.parametrize("kind", ["fake", _QEMU])(test)


@contract
async def test_a_guest_goes_to_another_host(two: Two) -> None:
    """Its memory goes on there, and its disk boots there; here it does not run any more."""
    guest = await two.runs()
    coming = await two.awaits(guest, await two.described(guest))
    assert (await two.moved(_towards(guest, two, force=True), Phase.GONE)).fault == ""
    assert (await two.there.driver.ensure(coming)).state is State.RUNNING
    arrived = asked(coming, arrival=None)
    assert (await two.there.driver.ensure(arrived)).state is State.RUNNING
    await two.there.alive(guest.id)
    if two.kind == "qemu":
        assert b"guest is up" not in await two.there.driver.console(guest.id)
    again = await two.here.driver.ensure(guest)
    assert (again.state, again.move.phase) == (State.PAUSED, Phase.GONE)
    await two.here.driver.remove(guest.id)
    await two.there.restart()
    await two.there.until(asked(arrived, boots=1), State.RUNNING)
    await two.there.up(guest.id)


@pytest.mark.skipif(not HAVE_QEMU or not tpm.installed(), reason="needs QEMU and swtpm")
def test_a_guest_goes_with_what_its_tpm_holds(tmp_path: Path) -> None:
    async def story() -> None:
        two = Two("qemu", tmp_path)
        try:
            guest = await two.runs(tpm="tpm-crb", machine="q35")
            kept = two.here.folder / guest.id / "tpm/tpm2-00.permall"
            assert kept.stat().st_size > 0
            coming = await two.awaits(guest, await two.described(guest))
            assert (await two.moved(_towards(guest, two), Phase.GONE)).fault == ""
            assert (await two.there.driver.ensure(coming)).state is State.RUNNING
            await two.there.alive(guest.id)
            came = two.there.folder / guest.id / "tpm/tpm2-00.permall"
            assert came.read_bytes() == kept.read_bytes(), "another TPM would have been made with other seeds"
            assert came.stat().st_uid == await two.there.driver.owner(guest.id)
            await two.here.driver.remove(guest.id)
        finally:
            await two.end()

    asyncio.run(story())


@contract
async def test_a_paused_guest_goes_and_stays_paused(two: Two) -> None:
    guest = await two.runs()
    paused = asked(guest, power=Power.PAUSED)
    await two.here.until(paused, State.PAUSED)
    coming = await two.awaits(paused, await two.described(paused))
    await two.moved(_towards(paused, two), Phase.GONE)
    assert (await two.there.driver.ensure(asked(coming, arrival=None))).state is State.PAUSED
    await two.there.until(asked(coming, arrival=None, power=Power.RUNNING), State.RUNNING)
    await two.there.alive(guest.id)


@contract
async def test_a_guest_stays_where_the_other_host_cannot_be_reached(two: Two) -> None:
    """Whatever of it cannot be sent; afterwards it can still go."""
    guest = await two.runs()
    move = await two.described(guest)
    coming = await two.awaits(guest, move)
    for part in ("disk", "memory") if two.kind == "qemu" else ():
        two.deaf = part
        assert (await two.moved(_towards(guest, two), Phase.GONE)).fault == "The host there does not answer."
        assert (await two.moved(_towards(guest, two), Phase.GONE)).fault, "it is not tried again by itself"
        assert (await two.here.driver.ensure(asked(guest, departure=Departure(id=two.id)))).state is State.RUNNING
    two.deaf = ""
    seen = await two.here.driver.ensure(guest)
    assert (seen.state, seen.move) == (State.RUNNING, None)
    await two.there.driver.remove(guest.id)
    two.id = str(new_id())
    coming = await two.awaits(guest, await two.described(guest))
    await two.moved(_towards(guest, two), Phase.GONE)
    assert (await two.there.driver.ensure(coming)).state is State.RUNNING
    await two.there.alive(guest.id)


@contract
async def test_a_departure_that_is_taken_back(two: Two) -> None:
    """While it is sent, also by a driver that knows nothing of it: the guest goes on here."""
    guest = await two.runs()
    coming = await two.awaits(guest, await two.described(guest))
    two.stuck = "memory"
    for _ in range(3 if two.kind == "qemu" else 1):
        seen = await two.here.driver.ensure(_towards(guest, two))
        assert seen.move.phase in (Phase.DESCRIBED, Phase.SENDING)
    two.stuck = ""
    await two.here.restart()
    two.restarted()
    seen = await two.here.until(guest, State.RUNNING)
    assert seen.move is None
    await two.here.alive(guest.id)
    later = asked(coming, arrival=Arrival(id=str(new_id()), machine=coming.arrival.machine))
    await two.there.until(later, State.ARRIVING)
    await two.there.driver.remove(guest.id)
    assert await two.there.seen(guest.id) is None


@contract
async def test_what_has_been_sent_does_not_run_here_again_unless_it_is_told_to(two: Two) -> None:
    guest = await two.runs()
    await two.awaits(guest, await two.described(guest))
    two.deaf = "finish"
    with pytest.raises(DriverError):
        await two.moved(_towards(guest, two), Phase.GONE)
    await two.here.restart()
    two.restarted()
    with pytest.raises(DriverError):
        await two.here.driver.ensure(_towards(guest, two))
    seen = await two.here.driver.ensure(guest)
    assert (seen.state, seen.move.phase) == (State.PAUSED, Phase.SENT)
    await two.there.driver.remove(guest.id)
    back = asked(guest, departure=Departure(id=two.id, back=True))
    await two.here.until(back, State.RUNNING)
    assert (await two.here.driver.ensure(back)).move is None
    await two.here.alive(guest.id)
    assert (await two.here.driver.ensure(guest)).state is State.RUNNING


@contract
async def test_a_host_that_loses_what_it_waits_for_says_so(two: Two) -> None:
    guest = await two.runs()
    coming = await two.awaits(guest, await two.described(guest))
    await two.there.crash(guest.id)
    assert (await two.there.until(coming, State.CRASHED)).state is State.CRASHED
    assert (await two.there.driver.ensure(coming)).state is State.CRASHED, "it is not made again by itself"
    if two.kind == "qemu":
        assert (await two.moved(_towards(guest, two), Phase.GONE)).fault
        assert (await two.here.driver.ensure(asked(guest, departure=Departure(id=two.id)))).state is State.RUNNING


@pytest.mark.skipif(not HAVE_QEMU, reason=WHY_NOT)
def test_a_machine_that_the_host_does_not_know_is_refused(tmp_path: Path) -> None:
    async def run() -> None:
        world = QemuWorld(tmp_path)
        try:
            with pytest.raises(DriverError, match="does not know"):
                await world.driver.ensure(world.guest(arrival=Arrival(id=str(new_id()), machine=b"{")))
            guest = world.guest()
            await world.until(guest, State.RUNNING)
            with pytest.raises(DriverError):
                await world.driver.open(guest.id, "memory")
        finally:
            await world.end()

    asyncio.run(run())


def test_a_host_that_knows_no_other_says_so() -> None:
    with pytest.raises(DriverError, match="two cannot be reached"):
        asyncio.run(unreachable("two", "x", "disk 0"))


@pytest.mark.skipif(not HAVE_QEMU, reason=WHY_NOT)
def test_volumes_go_with_the_guest(tmp_path: Path) -> None:
    """What the volume holds is in the one that waits there; the guest finds it in the same place, and can swap it there."""

    async def run() -> None:
        two = Two("qemu", tmp_path)
        try:
            old, new = drive(tmp_path, OLD), drive(tmp_path, NEW)
            there = drive(tmp_path, b"")
            guest = two.here.guest(drives=(old,))
            await two.here.until(guest, State.RUNNING)
            move = await two.described(guest)
            await two.awaits(asked(guest, drives=(asked(there, id=old.id),)), move)
            assert (await two.moved(_towards(guest, two), Phase.GONE)).fault == ""
            coming = asked(guest, drives=(asked(there, id=old.id),), disks=tuple(asked(disk, base=None) for disk in guest.disks))
            assert [one.id for one in (await two.there.driver.ensure(coming)).drives] == [old.id]
            await two.there.alive(guest.id)
            await has(two.there, asked(coming, drives=(asked(new, slot=old.id),)), new.id)
            await two.there.driver.remove(guest.id)
            assert (content(there), content(new)) == (OLD, OLD)
        finally:
            await two.end()

    asyncio.run(run())
