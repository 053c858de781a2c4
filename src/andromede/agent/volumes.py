"""The volumes of a host: made as its desired set says, each by a task of its own, and kept apart from the guests that hold them.

While a guest holds a volume, its hypervisor changes the volume's size and snapshots, and this loop only looks and exports. A
volume that nobody asks for is removed, but never while a guest holds it, nor before a first set is known.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from weakref import WeakValueDictionary

import msgspec
import structlog

from andromede.agent.images import ImageCache
from andromede.core.errors import CloudError
from andromede.drivers.block import Block, Seen, Volume
from andromede.drivers.host import Image
from andromede.drivers.hypervisor import Held
from andromede.drivers.hypervisor import Seen as SeenGuest

log = structlog.get_logger("agent")
REST, SOON, LATE = 300.0, 0.3, 10.0
_AT_ONCE = 6


class VolumeLoop:
    """All methods run on one event loop. tell: says that what is seen has changed."""

    def __init__(self, block: Block, images: ImageCache, tell: Callable[[], Awaitable[None]]) -> None:
        self._block, self._images, self._tell = block, images, tell
        self.wishes: dict[str, Volume] = {}
        self._seen: dict[str, Seen] = {}
        self._held: dict[str, dict[str, Held]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._pokes: dict[str, asyncio.Event] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._begun = False

    @property
    def seen(self) -> tuple[Seen, ...]:
        """What is seen of every volume."""
        return tuple(self._seen.values())

    @property
    def images(self) -> set[str]:
        """The images that volumes are still to be made from."""
        return {wish.source.image for wish in self.wishes.values() if wish.source is not None and wish.source.image}

    def take(self, volumes: Iterable[Volume]) -> set[str]:
        """Hold a new set; answers the ids of those that are to be other than before."""
        before, self.wishes = self.wishes, {one.id: one for one in volumes}
        altered = {id_ for id_ in before.keys() | self.wishes.keys() if before.get(id_) != self.wishes.get(id_)}
        for id_ in altered if self._begun else ():
            if id_ in self._seen:  # what went wrong before says nothing of what is asked now
                self._seen[id_] = msgspec.structs.replace(self._seen[id_], fault=None)
            if id_ not in self.wishes and id_ in self._tasks:
                self._tasks[id_].cancel()
                self._tasks.pop(id_)
            self._poke(id_)
        return altered

    async def sweep(self, volumes: Iterable[Volume]) -> None:
        """See to every volume that is there or should be. Called once it is known what guests hold."""
        if not self._begun:
            self.wishes, self._begun = {one.id: one for one in volumes}, True
        for id_ in {*self.wishes, *await self._block.observe(), *self._seen}:
            self._start(id_)

    def hold(self, guest: SeenGuest) -> None:
        """A guest is seen with these volumes."""
        before = self._held.get(guest.id, {})
        self._held[guest.id] = {one.id: one for one in guest.drives}
        for id_ in before.keys() | self._held[guest.id].keys():
            if before.get(id_) != self._held[guest.id].get(id_):
                self._poke(id_)

    def blame(self, ids: Iterable[str], message: str) -> None:
        """A guest could not be brought to what is asked: a fault of those of its volumes that are not as they should be."""
        for id_ in ids:
            wish, seen = self.wishes.get(id_), self._seen.get(id_)
            if wish is not None and seen is not None and (seen.size < wish.size or set(seen.snapshots) != set(wish.snapshots)):
                self._seen[id_] = msgspec.structs.replace(seen, fault=message)

    def free(self, guest_id: str) -> None:
        """A guest is gone."""
        for id_ in self._held.pop(guest_id, {}):
            self._poke(id_)

    @contextlib.asynccontextmanager
    async def using(self, ids: Iterable[str]) -> AsyncIterator[None]:
        """Keep this loop off some volumes while a guest takes or gives them back."""
        async with contextlib.AsyncExitStack() as stack:
            for id_ in sorted(ids):
                await stack.enter_async_context(self._lock(id_))
            yield

    def cancel(self) -> None:
        """End what is under way."""
        for task in self._tasks.values():
            task.cancel()

    def _holder(self, volume_id: str) -> Held | None:
        return next((held[volume_id] for held in self._held.values() if volume_id in held), None)

    def _lock(self, volume_id: str) -> asyncio.Lock:
        lock = self._locks.get(volume_id)
        if lock is None:
            lock = self._locks[volume_id] = asyncio.Lock()
        return lock

    def _poke(self, volume_id: str) -> None:
        if volume_id in self._pokes:
            self._pokes[volume_id].set()
        self._start(volume_id)

    def _start(self, volume_id: str) -> None:
        task = self._tasks.get(volume_id)
        if self._begun and (task is None or task.done()):
            self._pokes[volume_id] = asyncio.Event()
            self._tasks[volume_id] = asyncio.create_task(self._follow(volume_id))

    async def _follow(self, volume_id: str) -> None:
        """Converge one volume until it is as wished, again whenever it is poked, until it is gone."""
        poke, tries = self._pokes[volume_id], 0
        while True:
            poke.clear()
            wish = self.wishes.get(volume_id)
            try:
                if wish is None:
                    if await self._remove(volume_id):
                        return
                    settled = False
                else:
                    settled = await self._converge(wish)
                tries = 0 if settled else tries
            except Exception as error:  # noqa: BLE001 - whatever a driver raises becomes a fault that is told, and is tried again
                settled, tries = False, tries + 1
                message = error.message if isinstance(error, CloudError) else "The host could not do this; its log says why."
                (log.warning if isinstance(error, CloudError) else log.exception)(
                    "volume not as wished", volume=volume_id, error=message, cause=repr(error.__cause__), tries=tries
                )
                await self._see(msgspec.structs.replace(self._seen.get(volume_id) or Seen(id=volume_id), fault=message))
            try:
                await asyncio.wait_for(poke.wait(), REST if settled else min(LATE, SOON * 2**tries))
            except TimeoutError:
                continue

    async def _converge(self, wish: Volume) -> bool:
        async with self._lock(wish.id), self._gate:
            held = self._holder(wish.id)
            seen = await (self._block.ensure(await self._resolved(wish)) if held is None else self._block.look(wish.id))
        if held is not None:
            seen = _as_held(seen, held)
        ready = all(export.snapshot in {*seen.snapshots, *(("",) if held is None else ())} for export in wish.exports)
        if ready and {export.id for export in wish.exports} != seen.exports.keys():
            await self._see(seen)
            async with self._gate:
                seen = await self._block.publish(wish)
            held = self._holder(wish.id)
            seen = _as_held(seen, held) if held is not None else seen
        await self._see(seen)
        same = held is not None or set(seen.snapshots) == set(wish.snapshots)
        return seen.made >= wish.make and same and {export.id for export in wish.exports} == seen.exports.keys()

    async def _resolved(self, wish: Volume) -> Volume:
        """With the path of this host's hold on the image that it is made from."""
        source = wish.source
        if source is None or not source.image:
            return wish
        image = Image(id=source.image, path=source.path, format=source.format, size=source.size)
        path = await asyncio.to_thread(self._images.ensure, image)
        return msgspec.structs.replace(wish, source=msgspec.structs.replace(source, path=path))

    async def _remove(self, volume_id: str) -> bool:
        """Whether it is gone; one that a guest holds stays until it is free."""
        async with self._lock(volume_id):
            if self._holder(volume_id) is not None:
                return False
            await self._block.remove(volume_id)
        self._seen.pop(volume_id, None)
        self._pokes.pop(volume_id, None)
        await self._tell()
        return True

    async def _see(self, seen: Seen) -> None:
        if self._seen.get(seen.id) != seen:
            self._seen[seen.id] = seen
            await self._tell()


def _as_held(seen: Seen, held: Held) -> Seen:
    return msgspec.structs.replace(seen, size=held.size, snapshots=held.snapshots, held=True)
