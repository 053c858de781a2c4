"""The hypervisor driver for QEMU over QMP.

QEMU is started so that it stays when its guest switches off or panics (`-action shutdown=pause,panic=pause`): its run
state then says how the guest ended, also to a driver that was not there at the time. A QEMU that is gone without our
doing has crashed. So no state has to be remembered that could be lost, and nothing depends on being QEMU's parent.
"""

import asyncio
import contextlib
import socket
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from weakref import WeakValueDictionary

import msgspec

from andromede.core.clock import monotonic
from andromede.core.errors import DriverError
from andromede.core.units import MIB
from andromede.drivers.hypervisor import Guest, Host, Power, Reach, Seen, State, console, unreachable
from andromede.drivers.hypervisor.cgroup import Cgroups
from andromede.drivers.hypervisor.checks import check, check_id, public
from andromede.drivers.hypervisor.qemu import (
    cmdline,
    counters,
    disks,
    files,
    hotplug,
    moving,
    process,
    saved,
    streams,
    swapping,
    tpm,
    volumes,
)
from andromede.drivers.hypervisor.qemu.capture import Captures
from andromede.drivers.hypervisor.qemu.live import Live, Lives
from andromede.drivers.hypervisor.qemu.probe import Acceleration, proved
from andromede.drivers.hypervisor.qemu.process import Found
from andromede.drivers.hypervisor.qemu.qmp import MonitorError
from andromede.drivers.hypervisor.qemu.store import ASKED, BY_ITSELF, CRASHED, SAVED, Record, Store, host_boot

_STATES = {"running": State.RUNNING, "suspended": State.RUNNING, "shutdown": State.STOPPED} | dict.fromkeys(
    ("guest-panicked", "internal-error", "watchdog"), State.CRASHED
)
_FAULTS = {
    "guest-panicked": "The operating system of the server panicked.",
    "internal-error": "The hypervisor met an internal error while it ran the server.",
    "io-error": "The server is paused because its disk could not be written; the host may have no disk space left.",
}
_MUTE = "The hypervisor process of the server does not answer."
_ENDED = {"": State.ABSENT, ASKED: State.STOPPED, BY_ITSELF: State.STOPPED, CRASHED: State.CRASHED, SAVED: State.SUSPENDED}


class Qemu:
    """The guests of one instance on one host. Must run as root.

    state_dir: holds everything of every guest; made root's alone. uid_base, uid_count: the uids that guests run as, used for
    nothing else. tag: names the instance in cgroups and command lines; one per state_dir. vnet_hdr: offloads on taps; off for
    the userspace datapath. acceleration: what `probe` answered before; None to probe when first needed. greeting: seconds a
    new QEMU may take to answer. tending: seconds between looks at the size of logs. letting_go: seconds a guest has to let go of
    a network card. unseal: opens the sealed passphrases of volumes.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        uid_base: int,
        uid_count: int = 10_000,
        tag: str = "main",
        vnet_hdr: bool = False,
        acceleration: Acceleration | None = None,
        cgroup_root: Path = Path("/sys/fs/cgroup"),
        greeting: float = 30.0,
        tending: float = 5.0,
        letting_go: float = 15.0,
        unseal: volumes.Unseal = bytes,
    ) -> None:
        self.changes: asyncio.Queue[str] = asyncio.Queue(maxsize=4096)
        self._store = Store(state_dir, uid_base, uid_count)
        self._cgroups = Cgroups(tag, cgroup_root)
        self._tag, self._uid_base, self._vnet_hdr = tag, uid_base, vnet_hdr
        self._acceleration = acceleration
        self._probing = asyncio.Lock()
        self._greeting, self._letting_go, self._unseal = greeting, letting_go, unseal
        self.reach: Reach = unreachable
        self._live = Lives(state_dir, self.changes)
        self._captures = Captures(state_dir)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._tender = console.Tender(state_dir, tending)

    @property
    def limits(self) -> str:
        """Which limits on guests the host enforces, in a sentence."""
        return self._cgroups.limits

    async def acceleration(self) -> Acceleration:
        """How guests run here; proved once."""
        async with self._probing:
            if self._acceleration is None:
                key = f"{host_boot()} {await counters.version()}"
                self._acceleration = await proved(self._store.root, uid=self._uid_base, key=key)
            return self._acceleration

    async def host(self) -> Host:
        """What this host offers now. Raises DriverError when QEMU is not installed."""
        return await counters.host(self._store.root, await self.acceleration(), self.limits)

    async def observe(self) -> list[Seen]:
        """Every guest of this instance; ABSENT for one of which only leftovers are there."""
        with public():
            running = {found.guest_id: found for found in await asyncio.to_thread(process.scan, self._tag)}
            known = {*self._store.ids(), *running, *self._cgroups.guests()}
        gate = asyncio.Semaphore(64)

        async def one(guest_id: str) -> Seen | None:
            async with gate, self._lock(guest_id):
                with public():
                    self._tender.trim(guest_id)
                    seen = await self._look(self._store.load(guest_id)[0], running.get(guest_id))
                    left = seen.state is not State.ABSENT or guest_id in self._store.ids() | self._cgroups.guests()
                    return seen if left else None

        every = await asyncio.gather(*(one(guest_id) for guest_id in sorted(known)))
        return [seen for seen in every if seen is not None]

    async def ensure(self, guest: Guest) -> Seen:
        """Move `guest` one step towards its description. Raises DriverError with a public sentence when it cannot."""
        check(guest)
        self._tender.start(self._live)
        async with self._lock(guest.id):
            with public():
                record, sound = self._store.load(guest.id)
                found = None if sound and record.pid else await self._search(guest.id)
                seen = await self._look(record, found)
                if record.departing:
                    return await self._depart(guest, record, seen)
                seen = await self._copy(guest, record, await self._step(guest, record, seen))
                return await self._depart(guest, record, seen)

    async def owner(self, guest_id: str) -> int:
        """The uid that the guest runs as, and that may open its taps."""
        check_id(guest_id)
        with public():
            uid = self._store.owner(guest_id)
            if uid is None:
                busy = {found.uid for found in await asyncio.to_thread(process.scan, self._tag)}
                uid = self._store.take(guest_id, busy)
            return uid

    async def remove(self, guest_id: str) -> None:
        """End the guest and delete all that was made for it. Idempotent, from every half-made state."""
        check_id(guest_id)
        async with self._lock(guest_id):
            with public():
                await self._captures.remove(self._store.load(guest_id)[0])
                await self._live.kill(guest_id, orderly=False)
                for found in await asyncio.to_thread(process.scan, self._tag):
                    held = process.hold(found, self._tag) if found.guest_id == guest_id else None
                    if held is not None:
                        self._live.hold(guest_id, held)
                        await self._live.kill(guest_id, orderly=False)
                await asyncio.to_thread(self._store.forget, guest_id)
                await asyncio.to_thread(self._cgroups.remove, guest_id)

    async def console(self, guest_id: str) -> bytes:
        """The tail of its serial console, at most 100 KiB; empty when there is none."""
        check_id(guest_id)
        with public():
            self._tender.trim(guest_id)
            return console.tail(self._store.path(guest_id) / "console.log")

    async def open(self, guest_id: str, what: str) -> socket.socket:
        """A connection to a running guest's `serial` line or `vnc` display. Raises DriverError (409)."""
        check_id(guest_id)
        async with self._lock(guest_id):
            record, _ = self._store.load(guest_id)
            await self._look(record, await self._search(guest_id))
            live = self._live.get(guest_id)
            with public():
                if record.arrival and live is not None and live.monitor is not None and what not in ("serial", "vnc"):
                    return await moving.take(live.monitor, self._store.path(guest_id), record, self._store.save, what)
                return await streams.connect(self._live.get(guest_id), self._store.path(guest_id), record.guest, what)

    async def diagnostics(self, guest_id: str) -> dict[str, object]:
        """Counters of a running guest. Raises DriverError (409) when it does not run or does not answer."""
        check_id(guest_id)
        async with self._lock(guest_id):
            record, _ = self._store.load(guest_id)
            seen = await self._look(record, await self._search(guest_id))
            acceleration = await self.acceleration()
            return await counters.of(self._live.get(guest_id), record.guest, seen, acceleration.name)

    async def close(self) -> None:
        """Let go of sockets and tasks; guests go on."""
        await self._tender.close()
        for guest_id in list(self._live):
            await self._live.drop(guest_id)

    async def _look(self, record: Record, found: Found | None) -> Seen:
        """What the guest is now; takes hold of its process, and brings one to its end whose guest has ended."""
        live = await self._attach(record, found)
        if live is None:
            if record.pid:
                await self._gone(record)
            state = _ENDED[record.ended]
            if record.fault and not record.ended:
                state = State.STOPPED
            return Seen(id=record.id, state=state, boots=record.boots, fault=record.fault, captures=record.captures)
        if live.monitor is None:
            return self._running(record, State.RUNNING, _MUTE)
        try:
            status = await live.monitor.status()
        except MonitorError:
            await live.mute()
            return self._running(record, State.RUNNING, _MUTE) if live.process.alive else await self._look(record, None)
        state = _STATES.get(status, State.PAUSED)
        if state in {State.STOPPED, State.CRASHED}:
            ended = CRASHED if state is State.CRASHED else ASKED if record.asked else BY_ITSELF
            await self._finish(record, ended, _FAULTS.get(status))
            return Seen(id=record.id, state=state, boots=record.boots, fault=record.fault, captures=record.captures)
        if record.asked and state is State.RUNNING:
            state = State.STOPPING
        if record.arrival and not record.arrived:
            state = State.ARRIVING
        return self._running(record, state, _FAULTS.get(status))

    def _running(self, record: Record, state: State, fault: str | None = None) -> Seen:
        nics = tuple(nic.port_id for nic in record.guest.nics) if record.guest else ()
        return Seen(
            id=record.id, state=state, boots=record.boots, started=record.started, fault=fault, nics=nics, drives=record.drives,
            captures=record.captures,
        )  # fmt: skip

    async def _attach(self, record: Record, found: Found | None) -> Live | None:
        live = self._live.get(record.id)
        if live is not None and not live.process.alive:
            await self._live.drop(record.id)
            live = None
        if live is None:
            found = process.recorded(record.id, record.pid, record.ticks, self._tag) or found
            held = process.hold(found, self._tag) if found is not None else None
            if found is None or held is None:
                return None
            live = self._live.hold(record.id, held)
            if (record.pid, record.ticks) != (found.pid, found.ticks):
                record.pid, record.ticks, record.boots, record.uid = found.pid, found.ticks, found.boots, found.uid
                record.started, record.ended, record.fault, record.host_boot = time.time(), "", None, host_boot()
                if self._store.path(record.id).is_dir():
                    self._store.save(record)
        with contextlib.suppress(MonitorError):
            await self._live.connect(record.id, 2.0)
        return live

    async def _gone(self, record: Record) -> None:
        """Record that the process of a guest that should run is not there any more."""
        fault = process.obituary(self._store.path(record.id) / "qemu.log", restarted=record.host_boot != host_boot())
        self._ended(record, ASKED if record.asked else CRASHED, None if record.asked else fault)

    def _ended(self, record: Record, ended: str, fault: str | None) -> None:
        record.pid = record.ticks = 0
        record.started = record.asked = 0.0
        record.departing, record.streaming, record.sent, record.gone = "", False, False, False
        record.ended, record.fault = ended, fault
        if self._store.path(record.id).is_dir():
            self._store.save(record)

    async def _step(self, guest: Guest, record: Record, seen: Seen) -> Seen:
        if seen.state is State.ARRIVING:
            if guest.arrival is None or guest.arrival.id == record.arrival:
                return seen
            await self._finish(record, CRASHED, None)  # it waits for a move that has been given up meanwhile
            return await self._start(guest, record)
        up = seen.state in {State.RUNNING, State.PAUSED, State.STOPPING}
        stale = guest.boots > record.boots
        if guest.power is Power.SUSPENDED and not stale:
            return await self._suspend(guest, record, seen) if up else seen
        if guest.power is Power.STOPPED:
            return await self._stop(guest, record, seen) if up else await self._rest(guest, record)
        if up and stale:
            seen = await self._stop(guest, record, seen)
            up = seen.state is State.STOPPING
            if up:
                return seen
        if not up:
            if record.ended in {BY_ITSELF, CRASHED} and not stale:
                return seen
            return await self._start(guest, record)
        return await self._adjust(guest, record, seen)

    async def _rest(self, guest: Guest, record: Record) -> Seen:
        """A guest that is not to run: its disks are made, and how it ended is forgotten."""
        folder, guest = self._store.make(guest.id), swapping.standing(guest, record)
        record.uid = await self.owner(guest.id)
        if not self._captures.busy(guest.id):
            await disks.prepare(folder, guest, record)
        saved.path(folder).unlink(missing_ok=True)
        record.guest, record.boots = guest, max(record.boots, guest.boots)
        self._ended(record, ASKED, None)
        return Seen(id=guest.id, state=State.STOPPED, boots=record.boots)

    async def _stop(self, guest: Guest, record: Record, seen: Seen) -> Seen:
        live = self._live[guest.id]
        now = monotonic()
        first = not record.asked
        if first:
            record.asked = now
            self._store.make(guest.id)
            self._store.save(record)
        if guest.soft and seen.state is not State.PAUSED and now - record.asked < guest.grace:
            # Asked again now and then, for a guest that is still booting does not hear it.
            if live.monitor is not None and (first or now - live.nudged >= 5.0):
                live.nudged = now
                with contextlib.suppress(MonitorError):
                    await live.monitor.run("system_powerdown")
            return self._running(record, State.STOPPING)
        await self._finish(record, ASKED, None)
        return Seen(id=guest.id, state=State.STOPPED, boots=record.boots)

    async def _adjust(self, guest: Guest, record: Record, seen: Seen) -> Seen:
        """Bring a process that runs to what is asked without restarting it."""
        live = self._live[guest.id]
        if live.monitor is None:
            return seen
        if record.guest is None:
            record.guest = guest
            self._store.save(record)
        if seen.state is State.STOPPING and monotonic() - record.asked >= guest.grace:
            record.asked = 0.0
            self._store.save(record)
        folder = self._store.path(guest.id)
        try:
            if await live.monitor.status() == "inmigrate":  # we ended before its memory was loaded
                await self._live.kill(guest.id, orderly=False)
                self._ended(record, SAVED if saved.path(folder).exists() else CRASHED, None)
                return await self._look(record, None)
            if record.saving:
                await saved.take_back(live.monitor, folder, record)
                self._store.save(record)
            if await disks.converge(live.monitor, folder, guest, record):
                self._store.save(record)
            await hotplug.converge(
                live, live.monitor, guest, record, self._store.save, vnet_hdr=self._vnet_hdr, patience=self._letting_go
            )
            await volumes.converge(live, live.monitor, guest, record, self._store.save, self._unseal)
            if guest.power is Power.PAUSED and seen.state is State.RUNNING:
                await live.monitor.run("stop")
            elif guest.power is Power.RUNNING and seen.state is State.PAUSED:
                await live.monitor.run("cont")
        except MonitorError as error:
            if live.process.alive:
                raise DriverError(_MUTE) from error
        return await self._look(record, None)

    async def _start(self, guest: Guest, record: Record) -> Seen:
        acceleration = await self.acceleration()
        folder, guest = self._store.make(guest.id), swapping.standing(guest, record)
        uid = await self.owner(guest.id)
        await self._captures.forget(record)
        await disks.prepare(folder, guest, record)
        before = msgspec.structs.replace(record)
        was = moving.machine(guest.arrival) if guest.arrival is not None else saved.before(guest, record, folder)
        if was is not None and record.guest is not None:
            wanted = {nic.port_id for nic in guest.nics}
            guest = msgspec.structs.replace(guest, nics=tuple(nic for nic in record.guest.nics if nic.port_id in wanted))
        kvm = acceleration.name == "kvm"
        shares = guest.vcpus * 1024 if guest.cpu_shares is None else guest.cpu_shares
        memory = guest.memory + guest.memory // 32 + 384 * MIB
        joins = self._cgroups.prepare(guest.id, shares=shares, memory=memory, pids=guest.vcpus + 128)
        record.guest, record.boots, record.uid, record.host_boot = guest, guest.boots, uid, host_boot()
        record.pid = record.ticks = 0
        record.asked, record.ended, record.fault, record.cut, record.drives, record.mirrors = 0.0, "", None, (), (), {}
        record.arrival, record.arrived = guest.arrival.id if guest.arrival is not None else "", False
        with ExitStack() as stack:
            opened = files.open_all(stack, folder, guest, uid=uid, vnet_hdr=self._vnet_hdr)
            files.open_drives(stack, guest, opened, uid=uid, unseal=self._unseal)
            if guest.tpm:
                opened.tpm = await asyncio.to_thread(partial(tpm.start, stack, folder, uid=uid, groups=joins))
            self._store.save(record)
            arguments = cmdline.build(guest, opened, tag=self._tag, kvm=kvm, paused=guest.power is Power.PAUSED, before=was)
            run = partial(
                process.launch,
                arguments,
                uid=uid,
                gid=uid if acceleration.group is None or not kvm else acceleration.group,
                groups=joins,
                fds=opened.all(),
                log=folder / "qemu.log",
            )
            held = process.adopt(await asyncio.to_thread(run))
        try:
            if held is None:
                raise MonitorError("ended at once")
            live = self._live.hold(guest.id, held)
            await self._live.connect(guest.id, self._greeting)
            if record.arrival and live.monitor is not None:
                await moving.receive(live.monitor, folder, record)
            elif was is not None and live.monitor is not None:
                await saved.load(live.monitor, folder)
                await live.monitor.run("cont")
            if guest.drives and live.monitor is not None:
                await volumes.note(live.monitor, record, self._store.save)
        except MonitorError as error:
            await self._live.kill(guest.id, orderly=False)
            before.pid = 0
            self._store.save(before)
            raise await counters.cannot_start(folder) from error
        record.pid, record.ticks, record.started = held.pid, held.ticks, time.time()
        self._store.save(record)
        saved.path(folder).unlink(missing_ok=True)
        return await self._look(record, None)

    async def _suspend(self, guest: Guest, record: Record, seen: Seen) -> Seen:
        live = self._live[guest.id]
        if live.monitor is None:
            return seen
        try:
            whole = await saved.save(live, live.monitor, self._store.make(guest.id), record)
        except MonitorError as error:
            raise DriverError(_MUTE) from error
        finally:
            self._store.save(record)
        if not whole:
            return self._running(record, State.PAUSED)
        await self._finish(record, SAVED, None)
        return await self._look(record, None)

    async def _depart(self, guest: Guest, record: Record, seen: Seen) -> Seen:
        """See to the way to another host."""
        live = self._live.get(guest.id)
        if live is None or live.monitor is None or seen.state not in {State.RUNNING, State.PAUSED}:
            return seen
        if guest.departure is None and not record.departing:
            return seen
        try:
            move = await moving.depart(live.monitor, guest, record, self._store.save, self.reach)
            return msgspec.structs.replace(await self._look(record, None), move=move)
        except MonitorError as error:
            raise DriverError(_MUTE) from error

    async def _copy(self, guest: Guest, record: Record, seen: Seen) -> Seen:
        """See to the copies of disks that are wanted."""
        if not guest.captures and not record.captures and not record.parts and not self._captures.busy(guest.id):
            return seen
        live = self._live.get(guest.id)
        try:
            changed = await self._captures.converge(guest, record, live.monitor if live else None, up=live is not None)
        except MonitorError as error:
            raise DriverError(_MUTE) from error
        if changed and self._store.path(guest.id).is_dir():
            self._store.save(record)
        return msgspec.structs.replace(seen, captures=record.captures)

    async def _finish(self, record: Record, ended: str, fault: str | None) -> None:
        await self._live.kill(record.id, orderly=True)
        self._ended(record, ended, fault)

    async def _search(self, guest_id: str) -> Found | None:
        running = await asyncio.to_thread(process.scan, self._tag)
        return next((found for found in running if found.guest_id == guest_id), None)

    def _lock(self, guest_id: str) -> asyncio.Lock:
        lock = self._locks.get(guest_id)
        if lock is None:
            lock = self._locks[guest_id] = asyncio.Lock()
        return lock
