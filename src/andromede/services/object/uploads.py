"""Multipart uploads: parts that are put apart and become one object in one transaction, without a byte moved."""

import hashlib
import secrets
from collections.abc import Sequence

import msgspec

from andromede.drivers.blob import Blob, Entry, View
from andromede.services.object import model
from andromede.services.object.changes import Found, Place, When, put_within
from andromede.services.object.errors import BadPart, NoUpload, TooSmall
from andromede.services.object.model import Object
from andromede.services.object.service import Objects
from andromede.services.object.watching import COMPLETE, Cause

LEAST = 5 << 20
"""Bytes that every part but the last has."""


class Part(msgspec.Struct, frozen=True):
    """A part as it was put."""

    number: int
    object: Object
    blobs: tuple[Blob, ...] = ()


class Upload(msgspec.Struct, frozen=True):
    """An upload under way; `object` is what the whole shall be."""

    name: str
    id: str
    object: Object


async def begin(objects: Objects, place: Place, name: str, thing: Object) -> Upload:
    """Begin an upload of an object that shall have the headers and the state of `thing`."""
    upload = Upload(name, secrets.token_hex(16), msgspec.structs.replace(thing, stamp=model.stamp()))

    def run(view: View) -> Upload:
        objects.present(view, place)
        view.put(model.upload_key(place.id, name, upload.id), Entry(model.pack(upload.object)))
        return upload

    return await objects.store.commit(place.shard, run)


def find(objects: Objects, place: Place, name: str, upload: str) -> Upload:
    """An upload. Raises NoUpload."""
    entry = objects.store.get(place.shard, _key(place, name, upload))
    if entry is None:
        raise _none()
    return Upload(name, upload, model.as_object(entry.value))


async def put_part(objects: Objects, place: Place, upload: Upload, number: int, part: Object, blobs: Sequence[Blob]) -> Object:
    """Put a part, in the place of an earlier one of its number. `blobs` are removed where this raises. Raises NoUpload."""
    kept = msgspec.structs.replace(part, stamp=model.stamp())

    def run(view: View) -> Object:
        if view.get(_key(place, upload.name, upload.id)) is None:
            raise _none()
        view.put(model.part_key(place.id, upload.id, number), Entry(model.pack(kept), tuple(blobs), b"p" + place.id, part.size))
        return kept

    return await objects.store.commit(place.shard, run, fresh=blobs)


def parts(objects: Objects, place: Place, upload: Upload, after: int = 0, limit: int = 10_000) -> list[Part]:
    """The parts that there are, by number."""
    low = model.part_key(place.id, upload.id, after + 1)
    return [_part(key, entry) for key, entry in objects.store.scan(place.shard, low, _past(place, upload.id), limit)]


def uploads(objects: Objects, place: Place, *, prefix: str = "", start: str = "", after: str = "", limit: int = 1000) -> list[Upload]:
    """The uploads under way by name, from `start`; with `after`, those of `start` whose ids come after it, and later names."""
    base = b"u\0" + place.id
    low = base + max(prefix.encode(), start.encode() + (b"\0" + after.encode() + b"\0" if after else b""))
    rows = objects.store.scan(place.shard, low, model.end(base + prefix.encode()), limit)
    return [Upload(*_texts(key[len(base) :]), model.as_object(entry.value)) for key, entry in rows]


async def complete(
    objects: Objects, place: Place, upload: Upload, wanted: Sequence[tuple[int, str]], thing: Object, when: When | None = None, *,
    cause: Cause | None = None,
) -> Found:  # fmt: skip
    """Make the object of the parts that are named by number and ETag, in rising order; the others are thrown away.

    `thing`: the object but for size, ETag and parts. Raises NoUpload, BadPart, TooSmall and what `when` raises.
    """

    def run(view: View) -> Found:
        container = objects.present(view, place)
        if view.get(_key(place, upload.name, upload.id)) is None:
            raise _none()
        if when is not None:
            before = view.get(model.object_key(place.id, upload.name))
            when(model.as_object(before.value) if before else None)
        there = {}
        for key, entry in view.scan(model.part_key(place.id, upload.id), _past(place, upload.id), 10_001):
            there[_part(key, entry).number] = _part(key, entry)
            view.delete(key)
        used = [_checked(there.get(number), number, etag, last=number == wanted[-1][0]) for number, etag in wanted]
        whole = hashlib.md5(b"".join(bytes.fromhex(part.object.etag) for part in used), usedforsecurity=False).hexdigest()
        sizes = [part.object.size for part in used]
        made = msgspec.structs.replace(thing, size=sum(sizes), stored=sum(sizes), etag=f"{whole}-{len(used)}", parts=sizes)
        view.delete(_key(place, upload.name, upload.id))
        return put_within(view, place, container, upload.name, made, [blob for part in used for blob in part.blobs], cause, COMPLETE)

    return await objects.store.commit(place.shard, run)


async def abort(objects: Objects, place: Place, upload: Upload) -> None:
    """Throw an upload and its parts away. Raises NoUpload."""

    def run(view: View) -> None:
        if view.get(_key(place, upload.name, upload.id)) is None:
            raise _none()
        view.delete(_key(place, upload.name, upload.id))
        for key, _entry in view.scan(model.part_key(place.id, upload.id), _past(place, upload.id), 10_001):
            view.delete(key)

    await objects.store.commit(place.shard, run)


def _checked(part: Part | None, number: int, etag: str, *, last: bool) -> Part:
    if part is None or part.object.etag != etag:
        raise BadPart(
            "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match "
            f"the part's entity tag. (part {number})"
        )
    if not last and part.object.size < LEAST:
        raise TooSmall("Your proposed upload is smaller than the minimum allowed size")
    return part


def _part(key: bytes, entry: Entry) -> Part:
    return Part(int.from_bytes(key[-2:]), model.as_object(entry.value), entry.blobs)


def _texts(key: bytes) -> tuple[str, str]:
    name, _, upload = key.decode().rpartition("\0")
    return name, upload


def _key(place: Place, name: str, upload: str) -> bytes:
    return model.upload_key(place.id, name, upload)


def _past(place: Place, upload: str) -> bytes:
    return model.end(model.part_key(place.id, upload)[:-2])


def _none() -> NoUpload:
    return NoUpload("The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.")
