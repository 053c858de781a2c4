"""What happens to a container within one transaction: objects come, are replaced, become earlier versions, and go."""

import re
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from andromede.drivers.blob import Blob, Entry, View
from andromede.services.object import model
from andromede.services.object.errors import NoContainer, NoObject
from andromede.services.object.model import MARKER, Container, Object
from andromede.services.object.watching import DELETE, EXPIRED, EXPIRED_MARKED, MARKED, PUT, Cause, bound, noted, watched

When = Callable[[Object | None], None]
"""What must hold of the object that is there, or not, for a change to be made: it raises where it does not."""


class Place(msgspec.Struct, frozen=True):
    """A container that was found, and in which shard."""

    shard: int
    account: str
    name: str
    container: Container

    @property
    def id(self) -> bytes:
        """The container's id."""
        return self.container.id


class Found(msgspec.Struct, frozen=True):
    """An object that was found, and its bytes; `current`: it is the newest of its name."""

    name: str
    object: Object
    blobs: tuple[Blob, ...] = ()
    current: bool = True


def swift_time(moment: int) -> str:
    """A stamp as Swift's `X-Timestamp`, which also is the id of a version."""
    return f"{moment // 1_000_000}.{moment % 1_000_000 // 10:05d}"


def moment(text: str) -> int | None:
    """The stamp that `swift_time` wrote, None for any other text."""
    return int(text.replace(".", "")) * 10 if re.fullmatch(r"[0-9]{1,12}\.[0-9]{5}", text, re.ASCII) else None


def put_within(
    view: View, place: Place, container: Container, name: str, thing: Object, blobs: Iterable[Blob], cause: Cause | None = None, event: str = PUT,
) -> Found:  # fmt: skip
    """Put an object as part of a transaction of its container's shard; see `Objects.put`. event: what it is to who watches."""
    key = model.object_key(container.id, name)
    entry = view.get(key)
    before = model.as_object(entry.value) if entry else None
    stamp = model.stamp(_last(view, container, name, before))
    keeps = container.versioning == "on"
    after = msgspec.structs.replace(thing, stamp=stamp, version=swift_time(stamp) if keeps else "", stored=thing.stored or thing.size)
    if entry is not None and before is not None:
        _make_room(view, container, name, entry, before)
    if container.versioning == "suspended":
        _drop_null(view, container.id, name)
    if (container.s3 or container.headers) and watched(container):
        after = bound(container, name, after)
        noted(view, place, container, name, after, event, cause)
    expire(view, container.id, name, None, after)
    owned = tuple(blobs)
    keep(view, container.id, name, after, owned)
    return Found(name, after, owned)


def keep(view: View, container: bytes, name: str, thing: Object, blobs: tuple[Blob, ...]) -> None:
    """Write the current object of a name."""
    view.put(model.object_key(container, name), Entry(model.pack(thing), blobs, b"o" + container, thing.stored))


def between(base: bytes, prefix: str, start: str, stop: str) -> tuple[bytes, bytes]:
    """The keys that begin with a prefix, from a start to before a stop."""
    low, high = base + prefix.encode(), model.end(base + prefix.encode())
    return max(low, base + start.encode()) if start else low, min(high, base + stop.encode()) if stop else high


def container_of(view: View, place: Place) -> Container:
    """The container as it is now. Raises NoContainer where it is gone, or another has its name."""
    entry = view.get(model.container_key(place.account, place.name))
    container = model.as_container(entry.value) if entry else None
    if container is None or container.id != place.id:
        raise NoContainer("The specified bucket does not exist")
    return container


def find(get: Any, scan: Any, place: Place, name: str, version: str | None) -> Found | None:
    """An object, or a version of it. `get` and `scan` as a Store has them."""
    entry = get(place.shard, model.object_key(place.id, name))
    if entry is not None:
        thing = model.as_object(entry.value)
        if version is None or version == (thing.version or "null"):
            return Found(name, thing, entry.blobs)
    if version is None:
        return None
    low = model.versions_key(place.id, name)
    if version != "null":
        stamp = moment(version)
        each = get(place.shard, model.version_key(place.id, name, stamp)) if stamp is not None else None
        if each is None or model.as_object(each.value).version != version:
            return None
        return Found(name, model.as_object(each.value), each.blobs, current=False)
    for _key, each in scan(place.shard, low, model.end(low), 100_000):
        old = model.as_object(each.value)
        if not old.version:
            return Found(name, old, each.blobs, current=False)
    return None


def latest(scan: Any, place: Place, name: str) -> Found | None:
    """The newest of the earlier versions."""
    low = model.versions_key(place.id, name)
    for _key, entry in scan(place.shard, low, model.end(low), 1):
        return Found(name, model.as_object(entry.value), entry.blobs, current=False)
    return None


def _last(view: View, container: Container, name: str, before: Object | None) -> int:
    """The stamp of what is newest of a name."""
    if before is not None or not container.versioning:
        return before.stamp if before else 0
    low = model.versions_key(container.id, name)
    return next((model.as_object(entry.value).stamp for _key, entry in view.scan(low, model.end(low), 1)), 0)


def _make_room(view: View, container: Container, name: str, entry: Entry, before: Object) -> None:
    """What was current becomes an earlier version, where it is to be kept."""
    if container.versioning == "on" or (container.versioning and before.version):
        view.put(model.version_key(container.id, name, before.stamp), Entry(entry.value, entry.blobs, b"v" + container.id, before.stored))
    expire(view, container.id, name, before, None)


def _drop_null(view: View, container: bytes, name: str) -> None:
    low = model.versions_key(container, name)
    for key, entry in view.scan(low, model.end(low), 100_000):
        if not model.as_object(entry.value).version:
            view.delete(key)


def expire(view: View, container: bytes, name: str, before: Object | None, after: Object | None) -> None:
    """Note when an object expires, in the place of when it did."""
    if before is not None and before.delete_at:
        view.delete(model.expiry_key(before.delete_at, container, name))
    if after is not None and after.delete_at:
        view.put(model.expiry_key(after.delete_at, container, name), Entry(b""))


def delete(view: View, place: Place, container: Container, name: str, cause: Cause | None = None) -> Found | None:
    """Remove the current object, or mark it as deleted; None where there is nothing to remove."""
    key = model.object_key(container.id, name)
    entry = view.get(key)
    before = model.as_object(entry.value) if entry else None
    if not container.versioning:
        if before is None:
            return None
        expire(view, container.id, name, before, None)
        view.delete(key)
        if watched(container):
            noted(view, place, container, name, msgspec.structs.replace(before, stamp=model.stamp(before.stamp)), DELETE, cause)
        return Found(name, before)
    stamp = model.stamp(_last(view, container, name, before))
    if entry is not None and before is not None:
        _make_room(view, container, name, entry, before)
        view.delete(key)
    if container.versioning == "suspended":
        _drop_null(view, container.id, name)
    version = swift_time(stamp) if container.versioning == "on" else ""
    marker = Object(kind=MARKER, stamp=stamp, version=version, content_type="application/x-deleted;swift_versions_deleted=1")
    view.put(model.version_key(container.id, name, stamp), Entry(model.pack(marker), (), b"v" + container.id, 0))
    if watched(container):
        noted(view, place, container, name, marker, MARKED, _marking(cause))
    return Found(name, marker, current=False)


def _marking(cause: Cause | None) -> Cause | None:
    """The cause of a delete marker, where a deletion was asked for."""
    return msgspec.structs.replace(cause, event=EXPIRED_MARKED) if cause is not None and cause.event == EXPIRED else cause


def delete_one(
    view: View, place: Place, container: Container, name: str, version: str | None, when: When | None, *, mark: bool = True,
    cause: Cause | None = None,
) -> Found | None:  # fmt: skip
    """Delete an object or a version as part of a transaction; see `Objects.delete`. `when` comes before any change. Raises NoObject for a
    name that nothing can have, and that no delete marker shall have."""
    if len(name.encode()) > model.NAME:
        raise NoObject("No object has so long a name.")
    if version is not None:
        found = delete_version(view, place, name, version, when)
        if found is not None and watched(container):
            noted(view, place, container, name, found.object, DELETE, cause)
        return found
    entry = view.get(model.object_key(container.id, name))
    before = model.as_object(entry.value) if entry else None
    if when is not None:
        when(before)
    if before is None and not (mark and container.versioning):
        return None
    return delete(view, place, container, name, cause)


def delete_version(view: View, place: Place, name: str, version: str, when: When | None) -> Found | None:
    """Remove one version for good; the newest that is left is current then, unless it is a delete marker."""
    found = find(lambda _shard, key: view.get(key), lambda _shard, *rest: view.scan(*rest), place, name, version)
    if when is not None:
        when(found.object if found else None)
    if found is None:
        return None
    key = model.object_key(place.id, name)
    if found.current:
        expire(view, place.id, name, found.object, None)
        view.delete(key)
    else:
        view.delete(model.version_key(place.id, name, found.object.stamp))
    low = model.versions_key(place.id, name)
    if view.get(key) is None:
        for old, entry in view.scan(low, model.end(low), 1):
            thing = model.as_object(entry.value)
            if thing.kind != MARKER:
                view.delete(old)
                expire(view, place.id, name, None, thing)
                keep(view, place.id, name, thing, entry.blobs)
    return found


def aged(text: bytes) -> tuple[bytes, int]:
    """A name and an age, from what an earlier version's key ends with."""
    return text[:-9], int.from_bytes(text[-8:])
