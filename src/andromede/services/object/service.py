"""The rules of accounts, containers and objects, whichever protocol asks. Each change is one transaction of one shard.

Nobody is proven and nothing allowed here; that is the protocols'. Texts are already checked: an account, a container's and an
object's name are UTF-8 without NUL, a container's without a slash.
"""

import heapq
import secrets
from collections.abc import Callable, Iterator, Sequence

import msgspec

from andromede.core.errors import CloudError
from andromede.drivers.blob import Blob, Entry, Store, Usage, View
from andromede.services.object import changes, model
from andromede.services.object.changes import Found, Place, When
from andromede.services.object.errors import NoContainer, NoObject, NotEmpty, NoVersion, Taken
from andromede.services.object.kms import KeyStore
from andromede.services.object.model import Account, Container, Object
from andromede.services.object.watching import MOVED, Cause, bound, noted, watched

__all__ = ["Deletion", "Found", "Listed", "Objects", "Place", "When"]

class Deletion(msgspec.Struct, frozen=True):
    """One of several deletions: as the arguments of `Objects.delete`."""

    name: str
    version: str | None = None
    when: When | None = None


class Listed(msgspec.Struct, frozen=True):
    """A line of a listing: an object, or a prefix that several share up to the delimiter."""

    name: str
    object: Object | None = None


class Objects:
    """The object store over a blob driver. keys: those that objects are encrypted with on request, None for none."""

    def __init__(self, store: Store, keys: KeyStore | None = None) -> None:
        self.store, self.keys = store, keys

    def shard(self, account: str, container: str = "") -> int:
        """Where an account or a container lives."""
        return model.shard_of(f"{account}/{container}" if container else account, self.store.shards)

    # accounts
    def account(self, name: str) -> Account | None:
        """An account, None where nothing was ever kept of it."""
        entry = self.store.get(self.shard(name), model.account_key(name))
        return model.as_account(entry.value) if entry else None

    async def set_account(self, name: str, change: Callable[[dict[str, str]], dict[str, str]]) -> Account:
        """Change the headers of an account, which comes to be where it was not."""

        def run(view: View) -> Account:
            entry = view.get(model.account_key(name))
            before = model.as_account(entry.value) if entry else Account(created=model.stamp())
            after = msgspec.structs.replace(before, headers=change(dict(before.headers)))
            view.put(model.account_key(name), Entry(model.pack(after)))
            return after

        return await self.store.commit(self.shard(name), run)

    async def remove_account(self, name: str) -> None:
        """Forget an account. Raises NotEmpty where it has containers."""
        if next(self.containers(name), None) is not None:
            raise NotEmpty("The account has containers.")
        await self.store.commit(self.shard(name), lambda view: view.delete(model.account_key(name)))

    def containers(self, account: str, *, prefix: str = "", start: str = "", stop: str = "", reverse: bool = False) -> Iterator[Place]:
        """The containers of an account whose names begin with `prefix`, from `start` (with it) to before `stop`, by name."""
        low, high = changes.between(model.container_key(account), prefix, start, stop)
        skip = len(model.container_key(account))

        def of(shard: int) -> Iterator[Place]:
            for key, entry in self._each(shard, low, high, reverse=reverse):
                yield Place(shard, account, key[skip:].decode(), model.as_container(entry.value))

        lists = [of(shard) for shard in range(self.store.shards)]
        return heapq.merge(*lists, key=lambda place: place.name.encode(), reverse=reverse)

    def accounts(self) -> list[str]:
        """The accounts that have containers."""
        found = set()
        for shard in range(self.store.shards):
            low, high = b"c\0", b"c\1"
            while rows := self.store.scan(shard, low, high, 1):
                name = rows[0][0].split(b"\0", 2)[1].decode()
                found.add(name)
                low = model.end(model.container_key(name))
        return sorted(found)

    def everywhere(self) -> Iterator[Place]:
        """Every container of every account, in no order that means anything."""
        for shard in range(self.store.shards):
            for key, entry in self._each(shard, b"c\0", model.end(b"c\0")):
                _, account, name = key.decode().split("\0")
                yield Place(shard, account, name, model.as_container(entry.value))

    def usage(self, place: Place) -> Usage:
        """How many objects a container has, and their bytes: what Swift counts, so without earlier versions and parts."""
        return self.store.usage(place.shard, b"o" + place.id)

    def hidden(self, place: Place) -> Usage:
        """Earlier versions, and parts of uploads under way."""
        versions, parts = self.store.usage(place.shard, b"v" + place.id), self.store.usage(place.shard, b"p" + place.id)
        return Usage(versions.entries + parts.entries, versions.weight + parts.weight)

    # containers
    def find(self, account: str, name: str) -> Place | None:
        """A container."""
        shard = self.shard(account, name)
        entry = self.store.get(shard, model.container_key(account, name))
        return Place(shard, account, name, model.as_container(entry.value)) if entry else None

    def place(self, account: str, name: str) -> Place:
        """A container. Raises NoContainer."""
        found = self.find(account, name)
        if found is None:
            raise NoContainer("The specified bucket does not exist")
        return found

    async def create(self, account: str, name: str, change: Callable[[Container | None], Container | None], *, owner: str = "") -> tuple[Place, bool]:
        """Create a container, or change the one that is there: `change` gets it or None, and answers what it should become
        (None with None: a plain one). Answers it, and whether it is new."""
        shard, key = self.shard(account, name), model.container_key(account, name)

        def run(view: View) -> tuple[Place, bool]:
            entry = view.get(key)
            before = model.as_container(entry.value) if entry else None
            after = change(before) or before or Container(id=b"", created=0)
            if before is None:
                after = msgspec.structs.replace(after, id=secrets.token_bytes(8), created=model.stamp(), owner=owner)
            if after != before:
                view.put(key, Entry(model.pack(after)))
            return Place(shard, account, name, after), before is None

        return await self.store.commit(shard, run)

    async def change(self, place: Place, change: Callable[[Container], Container]) -> Place:
        """Change a container. Raises NoContainer."""

        def run(view: View) -> Place:
            after = change(changes.container_of(view, place))
            view.put(model.container_key(place.account, place.name), Entry(model.pack(after)))
            return msgspec.structs.replace(place, container=after)

        return await self.store.commit(place.shard, run)

    async def remove(self, place: Place) -> None:
        """Delete a container. Raises NoContainer, and NotEmpty where anything is in it."""

        def run(view: View) -> None:
            changes.container_of(view, place)
            for prefix in (b"o\0", b"v\0", b"u\0"):
                if view.scan(prefix + place.id, model.end(prefix + place.id), 1):
                    raise NotEmpty("The bucket you tried to delete is not empty")
            view.delete(model.container_key(place.account, place.name))

        await self.store.commit(place.shard, run)
        await self.release(place.name, place.account)

    def present(self, view: View, place: Place) -> Container:
        """The container as it is now, within a transaction. Raises NoContainer where it is gone, or another has its name."""
        return changes.container_of(view, place)

    # names of buckets, which are everybody's
    def bucket_account(self, name: str) -> str | None:
        """Whose a bucket's name is."""
        entry = self.store.get(model.shard_of(name, self.store.shards), model.bucket_key(name))
        return entry.value.decode() if entry else None

    async def claim(self, name: str, account: str) -> None:
        """Take a bucket's name for an account. Raises Taken where it is another's."""

        def run(view: View) -> None:
            entry = view.get(model.bucket_key(name))
            if entry is not None and entry.value.decode() != account:
                raise Taken("The requested bucket name is not available.")
            if entry is None:
                view.put(model.bucket_key(name), Entry(account.encode()))

        await self.store.commit(model.shard_of(name, self.store.shards), run)

    async def release(self, name: str, account: str) -> None:
        """Let go of a bucket's name, where it is the account's."""
        if self.bucket_account(name) != account:
            return

        def run(view: View) -> None:
            entry = view.get(model.bucket_key(name))
            if entry is not None and entry.value.decode() == account:
                view.delete(model.bucket_key(name))

        await self.store.commit(model.shard_of(name, self.store.shards), run)

    # objects
    def get(self, place: Place, name: str, version: str | None = None) -> Found:
        """An object, or a version of it (`null`: the null version), which may be a delete marker. Raises NoObject, NoVersion."""
        found = changes.find(self.store.get, self.store.scan, place, name, version)
        if found is None:
            raise NoObject("The specified key does not exist.") if version is None else NoVersion("The specified version does not exist.")
        return found

    def newest(self, place: Place, name: str) -> Found | None:
        """The newest of a name: the object, or the delete marker that hides the earlier ones."""
        found = changes.find(self.store.get, self.store.scan, place, name, None)
        return found or changes.latest(self.store.scan, place, name)

    async def put(
        self, place: Place, name: str, thing: Object, blobs: Sequence[Blob], when: When | None = None, *, cause: Cause | None = None,
    ) -> Found:  # fmt: skip
        """Put an object, with its stamp and version set. `blobs`: its bytes in order, owned by nothing; they are removed
        where this raises; `cause`: for who watches. Raises NoContainer and what `when` raises."""

        def run(view: View) -> Found:
            container = changes.container_of(view, place)
            if when is not None:
                before = view.get(model.object_key(place.id, name))
                when(model.as_object(before.value) if before else None)
            return changes.put_within(view, place, container, name, thing, blobs, cause)

        return await self.store.commit(place.shard, run, fresh=blobs)

    async def change_object(
        self, place: Place, name: str, change: Callable[[Object], Object], version: str | None = None, *, cause: Cause | None = None,
    ) -> Object:  # fmt: skip
        """Change what is kept of an object beside its bytes; its stamp stays. cause: where who watches is to learn of it. Raises
        NoContainer, NoObject, NoVersion."""

        def run(view: View) -> Object:
            container = changes.container_of(view, place)
            found = changes.find(lambda _shard, key: view.get(key), lambda _shard, *rest: view.scan(*rest), place, name, version)
            if found is None:
                raise NoObject("The specified key does not exist.") if version is None else NoVersion("The specified version does not exist.")
            after = change(found.object)
            if cause is not None and watched(container):
                after = bound(container, name, after)
                noted(view, place, container, name, after, cause.event, cause)
            if found.current:
                changes.expire(view, container.id, name, found.object, after)
                changes.keep(view, container.id, name, after, found.blobs)
            else:
                key = model.version_key(container.id, name, after.stamp)
                view.put(key, Entry(model.pack(after), found.blobs, b"v" + container.id, after.stored))
            return after

        return await self.store.commit(place.shard, run)

    async def move(self, place: Place, found: Found, thing: Object, blobs: Sequence[Blob]) -> bool:
        """Put the bytes of an object, or of a version, elsewhere: `blobs` hold the same, and `thing` says where. Answers whether it
        was done; where the object was changed meanwhile it is not, and `blobs` are removed."""

        def run(view: View) -> bool:
            container = changes.container_of(view, place)
            key = model.object_key(place.id, found.name)
            group = b"o"
            entry = view.get(key)
            if entry is None or model.as_object(entry.value).stamp != found.object.stamp:
                key, group = model.version_key(place.id, found.name, found.object.stamp), b"v"
                entry = view.get(key)
            if entry is None or entry.blobs != found.blobs or model.as_object(entry.value) != found.object:
                return False
            view.put(key, Entry(model.pack(thing), tuple(blobs), group + container.id, thing.stored))
            if watched(container):
                noted(view, place, container, found.name, msgspec.structs.replace(thing, s3={}), MOVED, None)
            return True

        return await self.store.commit(place.shard, run, fresh=blobs)

    async def delete(
        self, place: Place, name: str, version: str | None = None, when: When | None = None, *, mark: bool = True, cause: Cause | None = None,
    ) -> Found | None:  # fmt: skip
        """Delete an object, leaving a delete marker where versions are kept (though none for a name that has nothing, unless
        `mark`), or one version for good. Answers the marker that was made, or the version that was removed; None where there
        was nothing. Raises NoContainer and what `when` raises."""

        def run(view: View) -> Found | None:
            return changes.delete_one(view, place, changes.container_of(view, place), name, version, when, mark=mark, cause=cause)

        return await self.store.commit(place.shard, run)

    async def delete_many(self, place: Place, wanted: Sequence[Deletion], *, cause: Cause | None = None) -> list[Found | CloudError | None]:
        """Delete several, a hundred in a transaction; each with what `delete` answers, or what its `when` raised."""

        def some(view: View, each: Sequence[Deletion]) -> list[Found | CloudError | None]:
            container = changes.container_of(view, place)
            results: list[Found | CloudError | None] = []
            for one in each:
                try:
                    results.append(changes.delete_one(view, place, container, one.name, one.version, one.when, cause=cause))
                except CloudError as error:
                    results.append(error)
            return results

        results: list[Found | CloudError | None] = []
        for first in range(0, len(wanted), 100):
            each = wanted[first : first + 100]
            results += await self.store.commit(place.shard, lambda view, each=each: some(view, each))  # type: ignore[misc]
        return results

    def listing(
        self, place: Place, *, prefix: str = "", delimiter: str = "", start: str = "", stop: str = "", limit: int = 1000, reverse: bool = False,
        after: bool = False,
    ) -> list[Listed]:  # fmt: skip
        """Up to `limit` objects whose names begin with `prefix`, from `start` (with it, unless `after`) to before `stop`; those
        that share their names up to a `delimiter` after the prefix are one line, and whole groups are skipped without a look."""
        base = model.object_key(place.id)
        low, high = changes.between(base, prefix, start, stop)
        if after and start and low == base + start.encode():
            low += b"\0"
        cut, mark, skip = len(base) + len(prefix.encode()), delimiter.encode(), len(base)
        lines: list[Listed] = []
        if after and start.startswith(prefix) and delimiter and start[len(prefix) :].partition(delimiter)[1:] == (delimiter, ""):
            low = max(low, model.end(base + start.encode()))  # the group itself was the last line of the page before
        room = min(limit, 16) if delimiter else limit
        while len(lines) < limit and low < high:
            rows = self.store.scan(place.shard, low, high, room, reverse=reverse)
            shared = b""
            for key, entry in rows:
                if shared and key.startswith(shared):
                    continue
                at = key.find(mark, cut) if mark else -1
                shared = key[: at + len(mark)] if at >= 0 else b""
                lines.append(Listed(shared[skip:].decode()) if shared else Listed(key[skip:].decode(), model.as_object(entry.value)))
                if len(lines) == limit:
                    return lines
            if len(rows) < room:
                break
            last = rows[-1][0]
            if reverse:
                high = shared or last
            else:
                low = model.end(shared) if shared else last + b"\0"
            room = min(room * 2, 1000) if not shared else 16
        return lines

    def versions(self, place: Place, *, prefix: str = "", start: str = "", version: str = "", stop: str = "", room: int = 200) -> Iterator[Found]:
        """Objects and all their versions by name, the newest first; with `version`, those of `start` only that come after it.
        room: how many are read at a time."""
        base, hidden = model.object_key(place.id), b"v\0" + place.id
        low, high = changes.between(base, prefix, start, stop)
        now = ((key[len(base) :], 0, entry) for key, entry in self._each(place.shard, low, high, room=room))
        low, high = changes.between(hidden, prefix, start, stop)
        old = ((*changes.aged(key[len(hidden) :]), entry) for key, entry in self._each(place.shard, low, high, room=room))
        reached = not version
        last = b""
        for text, _age, entry in heapq.merge(now, old, key=lambda row: row[:2]):
            thing = model.as_object(entry.value)
            newest, last = text != last, text
            if not reached:
                if text.decode() != start:
                    reached = True
                else:
                    reached = (thing.version or "null") == version
                    continue
            yield Found(text.decode(), thing, entry.blobs, newest)

    def _each(self, shard: int, low: bytes, high: bytes, *, reverse: bool = False, room: int = 200) -> Iterator[tuple[bytes, Entry]]:
        while low < high:
            rows = self.store.scan(shard, low, high, room, reverse=reverse)
            yield from rows
            if len(rows) < room:
                return
            if reverse:
                high = rows[-1][0]
            else:
                low = rows[-1][0] + b"\0"
