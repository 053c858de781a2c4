"""Objects that come from elsewhere with the moment at which they were put there: they take the place that this moment gives them.

What comes late becomes an earlier version, where versions are kept, or nothing at all; what comes twice is there once.
"""

from collections.abc import Iterable

import msgspec

from andromede.drivers.blob import Blob, Entry, View
from andromede.services.object import changes, model
from andromede.services.object.changes import Place, swift_time
from andromede.services.object.model import MARKER, Container, Object
from andromede.services.object.watching import MARKED, PUT, noted, watched


def newest(view: View, container: Container, name: str) -> Object | None:
    """The newest of a name, which may be a delete marker."""
    entry = view.get(model.object_key(container.id, name))
    if entry is not None:
        return model.as_object(entry.value)
    low = model.versions_key(container.id, name)
    return next((model.as_object(found.value) for _key, found in view.scan(low, model.end(low), 1)), None)


def place(view: View, where: Place, name: str, thing: Object, blobs: Iterable[Blob]) -> bool:
    """Put an object or a delete marker that has its stamp, as part of a transaction of its container's shard. Answers whether it is new
    here. Raises NoContainer."""
    container = changes.container_of(view, where)
    last = newest(view, container, name)
    if container.versioning != "on":
        if last is not None and last.stamp >= thing.stamp:
            return False
        return _instead(view, where, container, name, thing, tuple(blobs))
    thing = msgspec.structs.replace(thing, version=swift_time(thing.stamp), stored=thing.stored or thing.size)
    old = model.version_key(container.id, name, thing.stamp)
    if (last is not None and last.stamp == thing.stamp) or view.get(old) is not None:
        return False
    value = Entry(model.pack(thing), tuple(blobs), b"v" + container.id, 0 if thing.kind == MARKER else thing.stored)
    if last is not None and last.stamp > thing.stamp:
        view.put(old, value)
    else:
        _step_back(view, container, name)
        if thing.kind == MARKER:
            view.put(old, value)
        else:
            changes.expire(view, container.id, name, None, thing)
            changes.keep(view, container.id, name, thing, tuple(blobs))
    if watched(container):
        noted(view, where, container, name, thing, MARKED if thing.kind == MARKER else PUT, None)
    return True


def _step_back(view: View, container: Container, name: str) -> None:
    """What is current becomes an earlier version."""
    key = model.object_key(container.id, name)
    entry = view.get(key)
    if entry is not None:
        before = model.as_object(entry.value)
        view.put(model.version_key(container.id, name, before.stamp), Entry(entry.value, entry.blobs, b"v" + container.id, before.stored))
        changes.expire(view, container.id, name, before, None)
        view.delete(key)


def _instead(view: View, where: Place, container: Container, name: str, thing: Object, blobs: tuple[Blob, ...]) -> bool:
    """Put an object in the place of another, where no versions are kept."""
    if thing.kind == MARKER:
        return changes.delete(view, where, container, name) is not None
    entry = view.get(model.object_key(container.id, name))
    before = model.as_object(entry.value) if entry is not None else None
    thing = msgspec.structs.replace(thing, version="", stored=thing.stored or thing.size)
    changes.expire(view, container.id, name, before, thing)
    changes.keep(view, container.id, name, thing, blobs)
    if watched(container):
        noted(view, where, container, name, thing, PUT, None)
    return True
