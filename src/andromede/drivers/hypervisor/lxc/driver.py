"""The hypervisor driver for system containers: LXC, unprivileged, each with a range of ids of its own.

LXC leaves a process for each container that watches its init; its title names the container, so it is found again by whoever comes
next. It does not depend on its parent, and when it ends so does the container. What LXC is told when a container ended in order is
a file; where that one is missing the process vanished.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from weakref import WeakValueDictionary

import msgspec

from andromede.core.clock import monotonic
from andromede.core.errors import DriverError
from andromede.core.ids import peer_name, tap_name
from andromede.core.units import KIB
from andromede.drivers.hypervisor import Guest, Host, Power, Reach, Seen, State, console, unreachable
from andromede.drivers.hypervisor.cgroup import Cgroups, Hierarchy
from andromede.drivers.hypervisor.checks import check, check_id, public
from andromede.drivers.hypervisor.lxc import captures, config, counters, groups, mounts, net, processes, roots, storage, volumes
from andromede.drivers.hypervisor.lxc.processes import Found
from andromede.drivers.hypervisor.lxc.store import ASKED, BY_ITSELF, CRASHED, Record, Store

T = TypeVar("T")
_ENDED = {"": State.ABSENT, ASKED: State.STOPPED, BY_ITSELF: State.STOPPED, CRASHED: State.CRASHED}
_STARTING, _ENDING = 60.0, 10.0
LXC_START = "/usr/bin/lxc-start"
_NOWHERE = "/nonexistent"
"""Where LXC looks for programs: as root it sets maps of ids itself where it finds no newuidmap, which would want them in /etc/subuid."""
_NOT_HERE = "A container has no such thing."


class Lxc:
    """The containers of one instance on one host. Must run as root.

    root: holds everything of every container; every folder above it must let others pass. tag: names the instance in cgroups.
    namespace: the network namespace in which the near ends of ports are; None for ours. changes: told of containers that end.
    unseal: gives the passphrase of an encrypted volume.
    """

    def __init__(
        self, root: Path, *, tag: str = "main", namespace: str | None = None, changes: asyncio.Queue[str] | None = None,
        cgroup_root: Path = Path("/sys/fs/cgroup"), ranges: range | None = None,
        unseal: volumes.Unseal = bytes,
    ) -> None:  # fmt: skip
        self.changes: asyncio.Queue[str] = asyncio.Queue(maxsize=4096) if changes is None else changes
        self.reach: Reach = unreachable
        self._store = Store(root) if ranges is None else Store(root, ranges)
        self._tag, self._namespace, self._unseal = tag, namespace, unseal
        self._cgroups = Cgroups(tag, cgroup_root)
        self._hierarchies: list[Hierarchy] = self._cgroups.hierarchies
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._unpacking = threading.Lock()
        self._captures = captures.Captures(root)
        self._watched: dict[str, int] = {}

    async def host(self) -> Host:
        """What this host offers now. Raises DriverError when LXC is not installed."""
        return await asyncio.to_thread(counters.host, self._store.root, self._cgroups.limits)

    async def observe(self) -> list[Seen]:
        """Every container of this instance; ABSENT for one of which only leftovers are there."""
        with public():
            running = {found.guest_id: found for found in await asyncio.to_thread(processes.scan, self._store.root)}
            await asyncio.to_thread(groups.sweep, self._hierarchies, self._tag, self._store.ids)
            known = {*self._store.ids(), *running, *groups.containers(self._hierarchies, self._tag)}
        return [await self._alone(guest_id, lambda one: self._observed(one, running.get(one))) for guest_id in sorted(known)]

    async def owner(self, guest_id: str) -> int:
        """The id that the container's root is on the host."""
        check_id(guest_id)
        with public():
            return self._store.take(guest_id)

    async def ensure(self, guest: Guest) -> Seen:
        """Move the container one step towards its description. Raises DriverError with a public sentence when it cannot."""
        check(guest)
        if len(guest.disks) != 1:
            raise DriverError("A container has one disk.", status=409)
        if any(drive.shared for drive in guest.drives):
            raise DriverError("A volume that several servers share cannot be mounted in a container.", status=409)
        if guest.power is Power.SUSPENDED:
            raise DriverError(_NOT_HERE, status=409)
        seen = await self._alone(guest.id, lambda _: self._copy(guest, self._step(guest)))
        self._watch(guest.id)
        return seen

    async def remove(self, guest_id: str) -> None:
        """End the container and delete all that was made for it. Idempotent, from every half-made state."""
        check_id(guest_id)
        await self._alone(guest_id, self._remove)
        self._unwatch(guest_id)

    async def console(self, guest_id: str) -> bytes:
        """The tail of its console, at most 100 KiB; empty when there is none."""
        check_id(guest_id)
        with public():
            return console.tail(self._store.path(guest_id) / "console.log")

    async def open(self, guest_id: str, what: str) -> socket.socket:
        """A connection to its console, as a terminal of LXC gives it, or to what listens in it; there is no display."""
        check_id(guest_id)
        if what.startswith("tcp "):
            found = self._find(self._store.load(guest_id))
            return await asyncio.to_thread(net.connect, found.init if found is not None else 0, what)
        if what != "serial" or self._find(self._store.load(guest_id)) is None:
            raise DriverError("The server does not run, or has no such console.", status=409)
        return await asyncio.to_thread(processes.console, self._store.root, guest_id)

    async def diagnostics(self, guest_id: str) -> dict[str, object]:
        """Counters of a running container. Raises DriverError (409) when it does not run."""
        check_id(guest_id)
        record = self._store.load(guest_id)
        found = self._find(record)
        if found is None or record.guest is None or not found.init:
            raise DriverError("The server does not run, so it has no counters.", status=409)
        with public():
            state = self._state(record)
            return await asyncio.to_thread(
                counters.diagnostics, record.guest, found.init, self._hierarchies, self._tag,
                started=record.started, state=state, disk=self._store.path(guest_id) / "disk",
            )

    async def close(self) -> None:
        """Let go of what is watched, and of groups that LXC held a little longer than their containers; containers go on."""
        for guest_id in list(self._watched):
            self._unwatch(guest_id)
        await asyncio.to_thread(self._captures.close)
        deadline = monotonic() + _ENDING
        while not await asyncio.to_thread(groups.sweep, self._hierarchies, self._tag, self._store.ids) and monotonic() < deadline:
            await asyncio.sleep(0.05)

    async def _alone(self, guest_id: str, work: Callable[[str], T]) -> T:
        """Do something about a container on a thread, while nobody else does."""
        lock = self._locks.get(guest_id)
        if lock is None:
            lock = self._locks[guest_id] = asyncio.Lock()
        async with lock:
            with public():
                return await asyncio.to_thread(work, guest_id)

    def _find(self, record: Record) -> Found | None:
        return processes.recorded(self._store.root, record.id, record.pid, record.ticks) or processes.find(self._store.root, record.id)

    def _observed(self, guest_id: str, found: Found | None) -> Seen:
        console.trim(self._store.path(guest_id) / "console.log")
        return self._look(self._store.load(guest_id), found)

    def _look(self, record: Record, found: Found | None) -> Seen:
        """What the container is now; writes down that it has ended."""
        if found is None:
            if record.pid:
                processes.settle(record.pid, record.ticks)
                self._gone(record)
            state = _ENDED[record.ended]
            if record.fault and not record.ended:
                state = State.STOPPED
            return Seen(id=record.id, state=state, boots=record.boots, fault=record.fault, captures=record.captures)
        if (record.pid, record.ticks) != (found.pid, found.ticks):
            record.pid, record.ticks, record.ended, record.fault = found.pid, found.ticks, "", None
            record.started = record.started or time.time()
            if self._store.path(record.id).is_dir():
                self._store.save(record)
        return self._running(record, self._state(record))

    def _state(self, record: Record) -> State:
        if groups.frozen(self._hierarchies, self._tag, record.id):
            return State.PAUSED
        return State.STOPPING if record.asked else State.RUNNING

    def _running(self, record: Record, state: State) -> Seen:
        nics = tuple(nic.port_id for nic in record.guest.nics) if record.guest else ()
        drives = volumes.held(self._store.path(record.id))
        return Seen(id=record.id, state=state, boots=record.boots, started=record.started, nics=nics, drives=drives, captures=record.captures)

    def _gone(self, record: Record) -> None:
        """A container that ran does not any more."""
        orderly = (self._store.path(record.id) / "ended").exists()
        if record.asked:
            self._ended(record, ASKED, None)
        elif orderly:
            self._ended(record, BY_ITSELF, None)
        else:
            self._ended(record, CRASHED, "The process that watches over the container ended unexpectedly, or the host was restarted.")

    def _ended(self, record: Record, ended: str, fault: str | None) -> None:
        volumes.release_all(self._store.path(record.id))
        record.pid = record.ticks = 0
        record.started = record.asked = 0.0
        record.ended, record.fault = ended, fault
        if self._store.path(record.id).is_dir():
            self._store.save(record)

    def _copy(self, guest: Guest, seen: Seen) -> Seen:
        """Move the copies of its root one step on."""
        record = self._store.load(guest.id)
        if not guest.captures and not record.captures and not record.parts:
            return seen
        if guest.captures and seen.state in (State.STOPPED, State.CRASHED):
            self._root(guest)
        if self._captures.converge(guest, record, self._store.take(guest.id)):
            self._store.save(record)
        return msgspec.structs.replace(seen, captures=record.captures)

    def _step(self, guest: Guest) -> Seen:
        captures.thaw(self._store.path(guest.id))
        record = self._store.load(guest.id)
        found = self._find(record)
        seen = self._look(record, found)
        stale = guest.boots > record.boots
        if guest.power is Power.STOPPED:
            return self._stop(guest, record, found) if found else self._rest(guest, record)
        if found is not None and stale:
            seen = self._stop(guest, record, found)
            if seen.state is State.STOPPING:
                return seen
            found = None
        if found is None:
            return seen if record.ended in {BY_ITSELF, CRASHED} and not stale else self._start(guest, record)
        return self._adjust(guest, record, found, seen)

    def _rest(self, guest: Guest, record: Record) -> Seen:
        """A container that is not to run: how it ended is forgotten."""
        self._store.make(guest.id)
        record.guest, record.boots = guest, max(record.boots, guest.boots)
        self._ended(record, ASKED, None)
        return Seen(id=guest.id, state=State.STOPPED, boots=record.boots)

    def _stop(self, guest: Guest, record: Record, found: Found) -> Seen:
        now, first = monotonic(), not record.asked
        if first:
            record.asked = now
            self._store.save(record)
        if guest.soft and now - record.asked < guest.grace and not groups.frozen(self._hierarchies, self._tag, guest.id):
            if first:
                processes.tell(found, self._signal(record.guest or guest))
            return self._running(record, State.STOPPING)
        self._kill(guest.id)
        self._ended(record, ASKED, None)
        return Seen(id=guest.id, state=State.STOPPED, boots=record.boots)

    def _signal(self, guest: Guest) -> int:
        name = roots.halt_signal(self._image(guest))
        return signal.SIGRTMIN + 3 if name == "SIGRTMIN+3" else int(signal.Signals[name])

    def _kill(self, guest_id: str) -> None:
        """End the container at once, and wait until it has."""
        deadline, last = monotonic() + _ENDING, None
        while (found := processes.find(self._store.root, guest_id)) is not None:
            last = found
            groups.thaw(self._hierarchies, self._tag, guest_id)
            processes.tell(found, signal.SIGKILL)
            if monotonic() > deadline:
                raise DriverError("The container does not end.")
            time.sleep(0.01)
        if last is not None:
            processes.settle(last.pid, last.ticks)

    def _adjust(self, guest: Guest, record: Record, found: Found, seen: Seen) -> Seen:
        """Bring a container that runs to what is asked without restarting it; its disk grows when it is started next."""
        if record.guest is None:
            record.guest = guest
        if seen.state is State.STOPPING and monotonic() - record.asked >= guest.grace:
            record.asked = 0.0
        self._cards(guest, record, found)
        self._volumes(guest, found)
        record.guest = msgspec.structs.replace(guest, nics=record.guest.nics)
        self._store.save(record)
        frozen = seen.state is State.PAUSED
        if (guest.power is Power.PAUSED) != frozen:
            program = "lxc-freeze" if guest.power is Power.PAUSED else "lxc-unfreeze"
            mounts.run([program, "-P", self._store.root, "-n", guest.id], cause="The container could not be paused or resumed.")
        return self._look(record, self._find(record))

    def _cards(self, guest: Guest, record: Record, found: Found) -> None:
        """Give a container that runs the cards that it lacks, and take away others: with its end on the host a card is gone."""
        assert record.guest is not None
        wanted = {nic.port_id for nic in guest.nics}
        kept = [nic for nic in record.guest.nics if nic.port_id in wanted]
        for nic in record.guest.nics:
            if nic.port_id not in wanted:
                processes.run_quietly([*self._there(), "ip", "link", "del", tap_name(nic.port_id)])
        has = processes.cards(found)
        for nic in guest.nics:
            if any(one.port_id == nic.port_id for one in kept):
                continue
            name = next(f"eth{number}" for number in range(64) if f"eth{number}" not in has)
            move: list[str | Path] = ["ip", "link", "set", peer_name(nic.port_id), "netns", str(found.init), "name", name]
            mounts.run([*self._there(), *move], cause="A network card could not be given to the container.")
            has.add(name)
            kept.append(nic)
        record.guest = msgspec.structs.replace(record.guest, nics=tuple(kept))

    def _volumes(self, guest: Guest, found: Found) -> None:
        """Give a container that runs the volumes that it lacks, take away others as soon as nothing inside uses them, tend the rest."""
        folder, first = self._store.path(guest.id), self._store.take(guest.id)
        wanted = {drive.id for drive in guest.drives}
        for volume_id in volumes.known(folder):
            if volume_id not in wanted:
                volumes.take(folder, volume_id, init=found.init)
        for drive in guest.drives:
            volumes.open_(folder, drive, first=first, unseal=self._unseal)
            volumes.give(folder, drive, first=first, init=found.init)
            volumes.tend(folder, drive)
        self._sheltered(guest)

    def _sheltered(self, guest: Guest) -> None:
        """What reads its volumes lives as long as the container does, whatever becomes of us."""
        folder = self._store.path(guest.id)
        groups.shelter(self._hierarchies, self._tag, guest.id, [storage.process(volumes.place(folder, drive.id)) for drive in guest.drives])

    def _there(self) -> list[str]:
        """What runs a program where the ends of ports are."""
        return [] if self._namespace is None else ["nsenter", f"--net=/run/netns/{self._namespace}", "--"]

    def _image(self, guest: Guest) -> Path | None:
        base = guest.disks[0].base
        return None if base is None else self._store.images / Path(base).name

    def _root(self, guest: Guest) -> Path | None:
        """Its root file system is mounted; where its image is unpacked."""
        folder, first, disk = self._store.make(guest.id), self._store.take(guest.id), guest.disks[0]
        with self._unpacking:
            image = None if disk.base is None else roots.unpack(self._store.images, Path(disk.base), roots.most(disk.size))
        roots.ensure(folder, image, disk, first=first)
        return image

    def _start(self, guest: Guest, record: Record) -> Seen:
        folder, first = self._store.make(guest.id), self._store.take(guest.id)
        record.guest = guest
        self._store.save(record)
        groups.remove(self._hierarchies, self._tag, guest.id, _ENDING)
        image = self._root(guest)
        volumes.release_all(folder)
        mounted = {drive.id: volumes.open_(folder, drive, first=first, unseal=self._unseal) for drive in guest.drives}
        console.compact(folder / "console.log")
        for name in ("ended", "lxc.log"):
            (folder / name).unlink(missing_ok=True)
        seed = _seed(Path(guest.seed), folder / "seed") if guest.seed else None
        words = config.text(
            guest, folder, first=first, tag=self._tag, hierarchies=self._hierarchies, signal=roots.halt_signal(image), seed=seed,
            volumes=mounted,
        )  # fmt: skip
        (folder / "config").write_text(words)
        (folder / "config").chmod(0o600)
        record.boots = guest.boots
        record.pid = record.ticks = 0
        record.asked, record.ended, record.fault = 0.0, "", None
        self._store.save(record)
        start: list[str | Path] = [LXC_START, "-P", self._store.root, "-n", guest.id, "-f", folder / "config"]
        try:
            command = [*self._there(), *start, "-o", folder / "lxc.log", "-l", "WARN"]
            with groups.hold(self._hierarchies, self._tag, guest.id):
                mounts.run(command, timeout=_STARTING, cause="The container could not be started.", path=_NOWHERE)
        except DriverError as error:
            self._kill(guest.id)
            volumes.release_all(folder)
            raise DriverError(error.message) from OSError(_tail(folder / "lxc.log"))
        self._sheltered(guest)
        record.started = time.time()
        return self._look(record, processes.find(self._store.root, guest.id))

    def _remove(self, guest_id: str) -> None:
        self._captures.remove(self._store.load(guest_id))
        self._kill(guest_id)
        volumes.release_all(self._store.path(guest_id))
        roots.release(self._store.path(guest_id))
        self._store.forget(guest_id)
        groups.remove(self._hierarchies, self._tag, guest_id)
        with self._unpacking:
            records = [self._store.load(one) for one in self._store.ids()]
            used = {Path(disk.base).name for record in records if record.guest for disk in record.guest.disks if disk.base}
            roots.prune(self._store.images, used)

    def _watch(self, guest_id: str) -> None:
        """Say it at once when a container that runs ends."""
        record = self._store.load(guest_id)
        if guest_id in self._watched or not record.pid:
            return
        with contextlib.suppress(OSError):
            handle = os.pidfd_open(record.pid)
            self._watched[guest_id] = handle
            asyncio.get_running_loop().add_reader(handle, self._over, guest_id)

    def _over(self, guest_id: str) -> None:
        self._unwatch(guest_id)
        with contextlib.suppress(asyncio.QueueFull):
            self.changes.put_nowait(guest_id)

    def _unwatch(self, guest_id: str) -> None:
        handle = self._watched.pop(guest_id, None)
        if handle is not None:
            asyncio.get_running_loop().remove_reader(handle)
            os.close(handle)


def _seed(source: Path, folder: Path) -> Path:
    """What is known of the server when it is started, for everybody inside to read."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


def _tail(path: Path) -> str:
    try:
        return path.read_bytes()[-2 * KIB :].decode(errors="replace")
    except FileNotFoundError:
        return ""
