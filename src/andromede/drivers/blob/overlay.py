"""One transaction's changes over what was there before: the `View` that every driver gives to a `change`.

It holds what was put and deleted until the driver makes it durable, so that a transaction that raises leaves no trace.
"""

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from andromede.drivers.blob import Blob, Entry, Usage

T = TypeVar("T")
KEY_LIMIT = 2048
VALUE_LIMIT = 1 << 20


class Base(Protocol):
    """What lies under a transaction."""

    def get(self, key: bytes) -> Entry | None:
        """The entry of a key."""

    def scan(self, start: bytes, stop: bytes, limit: int, *, reverse: bool = False) -> list[tuple[bytes, Entry]]:
        """Entries in the order of keys."""

    def usage(self, group: bytes) -> Usage:
        """The count of a group."""


class Overlay:
    """A `View`. owner: the key whose entry names a blob that was read from the store, None for one that was just written.

    before: the entries that the touched keys had. after: what they shall have, None for a key to be deleted.
    counts: by how much the groups grow, as [entries, weight].
    """

    __slots__ = ("_base", "_owner", "after", "before", "counts")

    def __init__(self, base: Base, owner: Callable[[Blob], bytes | None]) -> None:
        self._base = base
        self._owner = owner
        self.before: dict[bytes, Entry | None] = {}
        self.after: dict[bytes, Entry | None] = {}
        self.counts: dict[bytes, list[int]] = {}

    def get(self, key: bytes) -> Entry | None:
        """As `View.get`."""
        if key in self.after:
            return self.after[key]
        if key not in self.before:
            self.before[key] = self._base.get(key)
        return self.before[key]

    def scan(self, start: bytes, stop: bytes, limit: int, *, reverse: bool = False) -> list[tuple[bytes, Entry]]:
        """As `View.scan`."""
        ours = [(key, entry) for key, entry in self.after.items() if start <= key < stop]
        if not ours:
            return self._base.scan(start, stop, limit, reverse=reverse)
        found = [pair for pair in self._base.scan(start, stop, limit + len(ours), reverse=reverse) if pair[0] not in self.after]
        found += [(key, entry) for key, entry in ours if entry is not None]
        found.sort(key=lambda pair: pair[0], reverse=reverse)
        return found[:limit]

    def usage(self, group: bytes) -> Usage:
        """As `View.usage`."""
        known = self._base.usage(group)
        entries, weight = self.counts.get(group, (0, 0))
        return Usage(known.entries + entries, known.weight + weight)

    def put(self, key: bytes, entry: Entry) -> None:
        """As `View.put`."""
        if not 0 < len(key) <= KEY_LIMIT:
            raise ValueError(f"a key has 1 to {KEY_LIMIT} bytes, not {len(key)}")
        if len(entry.value) > VALUE_LIMIT:
            raise ValueError(f"a value has at most {VALUE_LIMIT} bytes, not {len(entry.value)}")
        self._set(key, entry)

    def delete(self, key: bytes) -> None:
        """As `View.delete`."""
        self._set(key, None)

    def _set(self, key: bytes, entry: Entry | None) -> None:
        old = self.get(key)
        if old is None and entry is None:
            return
        if old is not None and old.group:
            self._count(old, -1)
        if entry is not None and entry.group:
            self._count(entry, 1)
        if entry is None and self.before[key] is None:
            del self.after[key]
        else:
            self.after[key] = entry

    def _count(self, entry: Entry, sign: int) -> None:
        count = self.counts.setdefault(entry.group, [0, 0])
        count[0] += sign
        count[1] += sign * entry.weight

    def settle(self) -> list[Blob]:
        """The blobs that lose their owner. Raises ValueError where a blob would have two owners, or is not its owner's any more."""
        named: set[bytes] = set()
        blobs = 0
        for key, entry in self.after.items():
            if entry is None or not entry.blobs:
                continue
            for blob in entry.blobs:
                blobs += 1
                named.add(blob.id)
                owner = self._owner(blob)
                if owner is None:
                    continue
                if owner not in self.before:
                    self.before[owner] = self._base.get(owner)
                was = self.before[owner]
                if was is None or all(one.id != blob.id for one in was.blobs):
                    raise ValueError("a blob is no longer owned by the entry that it was read from")
                if owner != key and owner not in self.after:
                    raise ValueError("a blob may be named by one entry only")
        if len(named) != blobs:
            raise ValueError("a blob may be named by one entry only, once")
        return [
            blob
            for key in self.after
            if (entry := self.before[key]) is not None
            for blob in entry.blobs
            if blob.id not in named
        ]  # fmt: skip


class Noted(Generic[T]):
    """A transaction's change, and which blobs it gave an owner when it last ran."""

    def __init__(self, change: Callable[[Overlay], T]) -> None:
        self._change = change
        self._owned: set[bytes] = set()
        self._ran = self._raised = False

    def __call__(self, view: Overlay) -> T:
        """Run the change."""
        self._ran = False
        try:
            result = self._change(view)
        except BaseException:
            self._raised = True
            raise
        self._owned = {blob.id for entry in view.after.values() if entry is not None for blob in entry.blobs}
        self._ran, self._raised = True, False
        return result

    def unowned(self, fresh: Sequence[Blob], *, committed: bool) -> list[Blob]:
        """Those of the blobs that certainly belong to nothing: the change raised, or it was committed and did not name them."""
        if self._raised:
            return list(fresh)
        return [blob for blob in fresh if blob.id not in self._owned] if committed and self._ran else []
