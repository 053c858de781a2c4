"""The host loop: makes a host be as its desired set says, one guest at a time, and keeps the report of what is seen.

Only what the ledger names is kept; guests of ours that nobody asks for are removed, but never before a first set is known.
"""

import asyncio
import contextlib
import shutil
import socket
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from andromede.agent.config_drive import build, lay
from andromede.agent.images import ImageCache
from andromede.agent.ledger import Ledger
from andromede.agent.metadata import STATE, Posted
from andromede.agent.passwords import Passwords
from andromede.agent.prepare import drive_path, drives_of, guest_of, images_of, seed_path
from andromede.agent.volumes import VolumeLoop
from andromede.core.errors import CloudError
from andromede.drivers.block import Block
from andromede.drivers.block.fake import FakeBlock
from andromede.drivers.host import Desired, Report, Told, Wish
from andromede.drivers.hypervisor import LXC, Guest, Host, Hypervisor, Power, Seen, State
from andromede.drivers.network import MetadataEnd, Plug, Plugged, link_local

log = structlog.get_logger("agent")
SWEEP = 10.0
SOON = 0.3
_ENDED = {State.CRASHED, State.STOPPED}
_SETTLED = {
    Power.RUNNING: {State.RUNNING, *_ENDED}, Power.STOPPED: {State.STOPPED}, Power.PAUSED: {State.PAUSED},
    Power.SUSPENDED: {State.SUSPENDED, *_ENDED},
}  # fmt: skip

_PLUGGED = {State.RUNNING, State.PAUSED}


class Metadata(Protocol):
    """Serves metadata inside networks; see `agent.metadata`."""

    def listen(self, end: MetadataEnd, namespace: str) -> None:
        """Serve in a namespace."""

    def silence(self, network_id: str) -> None:
        """Serve there no more."""

    def publish(self, documents: dict[tuple[str, str], dict[str, bytes]]) -> None:
        """What is answered, by (network id, address of the asker)."""

    @property
    def alive(self) -> bool:
        """Whether it serves."""

    def fileno(self) -> int:
        """What becomes readable when a guest has posted."""

    def posted(self) -> list[Posted]:
        """What guests posted as their passwords and states since the last call."""


class HostLoop:
    """One host. All methods run on one event loop. block: the driver of its volumes; one that keeps books where it has none."""

    def __init__(
        self, folder: Path, hypervisor: Hypervisor, plug: Plug, metadata: Metadata | None = None, block: Block | None = None
    ) -> None:
        self._folder, self.hypervisor, self._plug, self._metadata = folder, hypervisor, plug, metadata
        folder.mkdir(parents=True, exist_ok=True, mode=0o711)
        (folder / "drives").mkdir(exist_ok=True, mode=0o700)
        self._ledger = Ledger(folder / "ledger")
        self._images = ImageCache(folder / "images")
        self.block = block or FakeBlock()
        self._volumes = VolumeLoop(self.block, self._images, self._tell)
        self._desired = self._ledger.load()
        self._wishes: dict[str, Wish] = {wish.id: wish for wish in (self._desired.guests if self._desired else ())}
        self._seen: dict[str, Seen] = {}
        self._host: Host | None = None
        self._network: tuple[str, ...] = ()
        self._serial = 1
        self._news = asyncio.Condition()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._pokes: dict[str, asyncio.Event] = {}
        self._sweep_now = asyncio.Event()
        self._listening: dict[str, MetadataEnd] = {}
        self._passwords = Passwords(folder / "passwords")
        self._told: dict[str, Told] = {}

    async def take(self, desired: Desired) -> None:
        """Hold a new set, on disk first; an older one than the one held is ignored."""
        if self._desired is not None and desired.generation < self._desired.generation:
            return
        await asyncio.to_thread(self._ledger.store, desired)
        before, self._desired = self._wishes, desired
        self._wishes = {wish.id: wish for wish in desired.guests}
        altered = self._volumes.take(desired.volumes)
        for guest_id in before.keys() | self._wishes.keys():
            wish = self._wishes.get(guest_id)
            if _public(before.get(guest_id)) != _public(wish) or (wish is not None and any(one.id in altered for one in wish.volumes)):
                self._poke(guest_id)
        self._publish()
        self._sweep_now.set()
        await self._tell()

    async def report(self, serial: int, wait: float) -> Report:
        """What is seen, once it is newer than `serial` or `wait` seconds have passed."""
        async with self._news:
            if self._serial <= serial and wait > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait_for(lambda: self._serial > serial), wait)
        generation = self._desired.generation if self._desired else 0
        return Report(
            serial=self._serial, generation=generation, host=self._host, guests=tuple(self._seen.values()), network=self._network,
            passwords=self._passwords.known, volumes=self._volumes.seen,
            told={id_: one for id_, one in self._told.items() if one.serial > serial or serial > self._serial},
        )  # fmt: skip

    async def console(self, guest_id: str) -> bytes:
        """The tail of a guest's console."""
        return await self.hypervisor.console(guest_id)

    async def open(self, guest_id: str, what: str) -> socket.socket:
        """A connection to a guest's console."""
        return await self.hypervisor.open(guest_id, what)

    async def diagnostics(self, guest_id: str) -> dict[str, object]:
        """A guest's counters."""
        return await self.hypervisor.diagnostics(guest_id)

    async def run(self) -> None:
        """Converge until cancelled."""
        listener = asyncio.create_task(self._listen())
        hearing = asyncio.create_task(self._hear())
        try:
            while True:
                self._sweep_now.clear()
                try:
                    await self._sweep()
                except (CloudError, OSError) as error:
                    log.error("the host cannot be looked over", error=str(error), cause=repr(error.__cause__))
                try:
                    await asyncio.wait_for(self._sweep_now.wait(), SWEEP)
                except TimeoutError:
                    continue
        finally:
            for task in (*self._tasks.values(), listener, hearing):
                task.cancel()
            self._volumes.cancel()

    async def _listen(self) -> None:
        """Look again at guests that changed by themselves."""
        while True:
            self._poke(await self.hypervisor.changes.get())

    async def _hear(self) -> None:
        """Keep what guests post: their passwords for as long as they are there, of their states the last."""
        if self._metadata is None:
            return
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._metadata.fileno(), ready.set)
        try:
            while True:
                await ready.wait()
                ready.clear()
                for one in self._metadata.posted():
                    self.hear(one)
                await self._tell()
        finally:
            loop.remove_reader(self._metadata.fileno())

    def hear(self, one: Posted) -> None:
        """Keep what a guest posted; of a state, when it came too."""
        guest_id = self._who(one.network_id, one.address)
        if one.path != STATE:
            self._passwords.keep(guest_id, one.data)
        elif guest_id is not None and self._wishes[guest_id].private:
            self._told[guest_id] = Told(serial=self._serial + 1, data=one.data)

    def _who(self, network_id: str, address: str) -> str | None:
        for wish in self._wishes.values():
            for nic in wish.nics:
                if nic.network_id == network_id and address in (*nic.addresses, link_local(nic.mac)):
                    return wish.id
        return None

    async def _sweep(self) -> None:
        """Look at everything: the host itself, networks' metadata ends, guests that exist, guests that should."""
        host, network = await self.hypervisor.host(), await self._serving()
        if (host, network) != (self._host, self._network):
            self._host, self._network = host, network
            await self._tell()
        if self._desired is None:
            return
        await self._ends(self._desired)
        seen = await self.hypervisor.observe()
        for one in seen:
            self._volumes.hold(one)
        for guest_id in {one.id for one in seen} | self._wishes.keys():
            self._start(guest_id)
        await self._volumes.sweep(self._desired.volumes)
        self._publish()
        used = self._volumes.images | {image.id for wish in self._wishes.values() for image in images_of(wish)}
        await asyncio.to_thread(self._images.keep, used)
        await self._unplug({port for one in (*seen, *self._seen.values()) for port in one.nics})

    async def _serving(self) -> tuple[str, ...]:
        parts = {"controller": await self._plug.serves(), "metadata": self._metadata is None or self._metadata.alive}
        return tuple(name for name, serves in parts.items() if serves)

    async def _ends(self, desired: Desired) -> None:
        wanted = {end.network_id: end for end in desired.metadata}
        for network_id in self._listening.keys() - wanted.keys():
            if self._metadata is not None:
                self._metadata.silence(network_id)
            await self._plug.remove_metadata(network_id)
            del self._listening[network_id]
        for network_id, end in wanted.items():
            if self._listening.get(network_id) == end:
                continue
            namespace = await self._plug.ensure_metadata(end)
            if self._metadata is not None:
                self._metadata.listen(end, namespace)
            self._listening[network_id] = end

    async def _unplug(self, held: set[str]) -> None:
        """Remove taps and ends that belong to nothing we hold. held: ports whose taps guests have open."""
        ports, networks = await self._plug.observe()
        wanted = {nic.port_id for wish in self._wishes.values() for nic in wish.nics} | held
        busy = {guest_id for guest_id, task in self._tasks.items() if not task.done() and guest_id not in self._wishes}
        if not busy:
            for port in ports:
                if not any(known.startswith(port) for known in wanted):
                    await self._plug.remove(port)
        for network in networks:
            if not any(known.startswith(network) for known in self._listening):
                await self._plug.remove_metadata(network)

    def _publish(self) -> None:
        if self._metadata is None:
            return
        self._metadata.publish(
            {
                (nic.network_id, address): wish.files | wish.private | self._passwords.files(wish.id)
                for wish in self._wishes.values()
                for nic in wish.nics
                for address in (*nic.addresses, link_local(nic.mac))
            }
        )

    def _poke(self, guest_id: str) -> None:
        if guest_id in self._pokes:
            self._pokes[guest_id].set()
        self._start(guest_id)

    def _start(self, guest_id: str) -> None:
        task = self._tasks.get(guest_id)
        if task is None or task.done():
            self._pokes[guest_id] = asyncio.Event()
            self._tasks[guest_id] = asyncio.create_task(self._follow(guest_id))
            # it ends when its guest is gone; only then may what the guest was plugged into go
            self._tasks[guest_id].add_done_callback(lambda _: self._sweep_now.set())

    async def _follow(self, guest_id: str) -> None:
        """Converge one guest until it is as wished, again whenever it is poked, until it is gone."""
        poke, tries = self._pokes[guest_id], 0
        while True:
            poke.clear()
            wish = self._wishes.get(guest_id)
            try:
                if wish is None:
                    await self._remove(guest_id)
                    return
                settled = await self._converge(wish)
                tries = 0
            except Exception as error:
                settled, tries = False, tries + 1
                if isinstance(error, CloudError):
                    message = error.message
                    log.warning("guest not as wished", guest=guest_id, error=message, cause=repr(error.__cause__), tries=tries)
                else:
                    message = "The host could not do this; its log says why."
                    log.exception("guest not as wished", guest=guest_id, tries=tries)
                self._volumes.blame([one.id for one in wish.volumes] if wish is not None else [], message)
                # What it was seen to have it still has, as far as is known: its volumes above all, which must not be taken for free.
                before = self._seen.get(guest_id) or Seen(id=guest_id, state=State.ABSENT)
                await self._see(msgspec.structs.replace(before, fault=message))
            try:
                await asyncio.wait_for(poke.wait(), SWEEP if settled else min(SWEEP, SOON * 2**tries))
            except TimeoutError:
                continue

    async def _converge(self, wish: Wish) -> bool:
        async with self._volumes.using([one.id for one in wish.volumes]):
            guest = await self._prepare(wish)
            seen = await self.hypervisor.ensure(guest)
            before = self._seen.get(wish.id)
            await self._see(seen)
        if before is not None and set(before.nics) - set(seen.nics):
            self._sweep_now.set()
        plugged = seen.state not in _PLUGGED or (set(seen.nics) == {nic.port_id for nic in wish.nics} and _served(guest, seen))
        copied = seen.captures.keys() == {one.id for one in wish.captures}
        moved = wish.departure is None and wish.arrival is None and seen.move is None
        return seen.state in _SETTLED[wish.power] and seen.boots == wish.boots and plugged and copied and moved

    async def _prepare(self, wish: Wish) -> Guest:
        """What a guest needs around it: image, taps, config drive."""
        paths = {image.id: await asyncio.to_thread(self._images.ensure, image) for image in images_of(wish)}
        container = wish.hypervisor == LXC
        if container:
            await asyncio.to_thread(lay, seed_path(self._folder, wish.id), wish.files)
        elif wish.config_drive:
            await asyncio.to_thread(build, drive_path(self._folder, wish.id), wish.files)
        owner = 0 if container else await self.hypervisor.owner(wish.id)
        for nic in wish.nics:
            plugged = Plugged(port_id=nic.port_id, mac=nic.mac, mtu=nic.mtu, owner=owner, queues=wish.queues, container=container)
            await self._plug.ensure(plugged)
        return guest_of(wish, self._folder, paths, drives_of(wish, self._volumes.wishes, self.block.path))

    async def _remove(self, guest_id: str) -> None:
        await self.hypervisor.remove(guest_id)
        await asyncio.to_thread(drive_path(self._folder, guest_id).unlink, missing_ok=True)
        await asyncio.to_thread(shutil.rmtree, seed_path(self._folder, guest_id), ignore_errors=True)
        self._seen.pop(guest_id, None)
        self._volumes.free(guest_id)
        self._passwords.forget(guest_id)
        self._told.pop(guest_id, None)
        self._pokes.pop(guest_id, None)
        await self._tell()

    async def _see(self, seen: Seen) -> None:
        if self._seen.get(seen.id) != seen:
            self._seen[seen.id] = seen
            self._volumes.hold(seen)
            await self._tell()

    async def _tell(self) -> None:
        async with self._news:
            self._serial += 1
            self._news.notify_all()


def _public(wish: Wish | None) -> Wish | None:
    """What of a wish the guest itself is made of."""
    return msgspec.structs.replace(wish, private={}) if wish is not None and wish.private else wish


def _served(guest: Guest, seen: Seen) -> bool:
    """Whether a guest has the volumes that it should, as they should be."""
    held = {one.id: one for one in seen.drives}
    return held.keys() == {drive.id for drive in guest.drives} and all(
        held[drive.id].size >= drive.size and (drive.format == "raw" or set(held[drive.id].snapshots) == set(drive.snapshots))
        for drive in guest.drives
    )
