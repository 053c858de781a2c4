"""Copying objects to where the rules of their buckets say, until it is done or three days have passed.

A copy within this cloud has the version id and the moment of what it is a copy of, so the order of versions is the same whatever comes
first. Another service has ids of its own; there what is newer stays the newest.
"""

import asyncio
from collections import defaultdict
from typing import Any

import msgspec
import structlog

from andromede.core.clock import now
from andromede.core.errors import BadRequest, CloudError
from andromede.services.object import changes, contents, placing, sealing, tasks
from andromede.services.object.errors import NoContainer
from andromede.services.object.model import DLO, MARKER, SLO, Object
from andromede.services.object.s3 import replication, sums
from andromede.services.object.s3.remote import Service
from andromede.services.object.s3.settings import Settings
from andromede.services.object.service import Found, Objects, Place
from andromede.services.object.tasks import REPLICA, Due
from andromede.services.object.watching import COMPLETED, FAILED, destinations

log = structlog.get_logger("s3")
_BATCH, _AT_ONCE = 500, 8
_KEPT = ("tags", "lock", "hold", "part_sums", "sum_type")
_NAMED = {"cache-control", "content-disposition", "content-encoding", "content-language", "expires", "x-amz-website-redirect-location"}


class Never(CloudError):
    """It will not be possible later either."""

    status = 409


async def replicate(objects: Objects, settings: Settings) -> int:
    """Copy what is due. Answers how many copies were made."""
    by_name: dict[tuple[bytes, str], list[Due]] = defaultdict(list)
    for one in tasks.due(objects.store, REPLICA, now().timestamp(), _BATCH):
        by_name[one.task.container, one.task.name].append(one)
    room = asyncio.Semaphore(_AT_ONCE)

    async def each(waiting: list[Due]) -> int:
        async with room:
            return sum([await _one(objects, settings, one) for one in sorted(waiting, key=lambda one: one.task.stamp)])

    return sum(await asyncio.gather(*(each(waiting) for waiting in by_name.values())))


async def _one(objects: Objects, settings: Settings, one: Due) -> int:
    """Do a task; 1 where a copy is there now."""
    task, target = one.task, one.task.facts["target"]
    source = objects.find(task.account, task.bucket)
    found = None
    if source is not None and source.id == task.container:
        found = changes.find(objects.store.get, objects.store.scan, source, task.name, task.facts["version"] or "null")
    if source is None or found is None:
        await tasks.done(objects.store, one)
        return 0
    try:
        await _copied(objects, settings, source, found, target)
    except (CloudError, OSError) as error:
        moment, told = now().timestamp(), getattr(error, "message", repr(error))
        for_good = isinstance(error, Never | BadRequest) or tasks.over(one, moment)
        log.warning("not replicated", bucket=task.bucket, key=task.name, target=target, cause=told, tries=task.tries + 1, given_up=for_good)
        if not for_good:
            await tasks.later(objects.store, [one], moment)
            return 0
        await _mark(objects, source, found, target, FAILED)
        await tasks.done(objects.store, one)
        return 0
    await _mark(objects, source, found, target, COMPLETED)
    await tasks.done(objects.store, one)
    return 1


async def _mark(objects: Objects, place: Place, found: Found, target: str, state: str) -> None:
    """Write down what became of a copy, where the object still is as it was."""
    if found.object.kind == MARKER:
        return

    def change(was: Object) -> Object:
        states = was.s3.get("replication", {})
        if was.stamp != found.object.stamp or target not in states or was.s3.get("tags") != found.object.s3.get("tags"):
            return was
        return msgspec.structs.replace(was, s3=was.s3 | {"replication": states | {target: state}})

    try:
        await objects.change_object(place, found.name, change, found.object.version or "null")
    except CloudError as error:
        if error.status != 404:
            raise


async def _copied(objects: Objects, settings: Settings, source: Place, found: Found, target: str) -> None:
    rule = destinations(source.container, found.name, found.object).get(target)
    if rule is None:
        raise Never("The bucket's rules no longer say so.")
    if target.startswith(replication.THERE):
        await _there(objects, settings, source, found, target)
        return
    place = replication.found(objects, source.account, target)
    if place is None or place.container.versioning != "on" or not replication.may(place, source.account, found.name):
        raise Never("The destination is not there, keeps no versions, or does not allow it.")
    await _here(objects, settings, source, found, place, rule)


async def _here(objects: Objects, settings: Settings, source: Place, found: Found, place: Place, rule: dict[str, Any]) -> None:
    thing = found.object
    known = changes.find(objects.store.get, objects.store.scan, place, found.name, changes.swift_time(thing.stamp))
    if known is not None:
        if thing.kind != MARKER:
            await objects.change_object(place, found.name, lambda was: _retagged(was, thing), known.object.version)
        return
    if thing.kind == MARKER:
        await objects.store.commit(place.shard, lambda view: placing.place(view, place, found.name, thing, ()))
        return
    to = rule["Destination"]
    s3: dict[str, Any] = {name: thing.s3[name] for name in _KEPT if name in thing.s3} | {"replica": True}
    if source.account == place.account and "acl" in thing.s3:
        s3["acl"] = thing.s3["acl"]
    name = to.get("StorageClass", thing.s3.get("class", "STANDARD"))
    if name in settings.classes:
        s3["class"] = name
    key, wanted = None, sealing.by_default(place.container)
    if "kms" in thing.s3:
        wanted = sealing.Wanted(to["EncryptionConfiguration"]["ReplicaKmsKeyID"])
    if wanted is not None:
        sealed, key = await sealing.under(objects, place, found.name, wanted)
        s3 |= sealed
    elif "sse" in thing.s3 or "encryption" in place.container.s3:
        s3["sse"] = "AES256"
    read, size, plain = await _content(objects, source, found)
    md5 = sums.new("md5")
    blob = await objects.store.write(place.account, read(0, size), storage=settings.classes.get(name, ""), key=key, hashers=() if plain else (md5,))
    copy = msgspec.structs.replace(thing, s3=s3, kind="", target=None, stored=size, size=size)
    if not plain:
        copy = msgspec.structs.replace(copy, etag=md5.digest().hex(), parts=[], sums={})
    try:
        await objects.store.commit(place.shard, lambda view: placing.place(view, place, found.name, copy, [blob]), fresh=[blob])
    except NoContainer as error:
        raise Never("The destination is gone.") from error


def _retagged(was: Object, thing: Object) -> Object:
    """A copy with what may have changed of its original since."""
    s3 = {name: value for name, value in was.s3.items() if name not in {"tags", "lock", "hold"}}
    s3 |= {name: thing.s3[name] for name in ("tags", "lock", "hold") if name in thing.s3}
    return msgspec.structs.replace(was, s3=s3, headers=thing.headers, content_type=thing.content_type, posted=thing.posted)


async def _content(objects: Objects, source: Place, found: Found) -> tuple[contents.Source, int, bool]:
    """An object's bytes, how many, and whether they are its own."""
    if found.object.kind not in {SLO, DLO}:
        return contents.bytes_of(objects, source.account, found), found.object.size, True
    whole = await contents.opened(objects, contents.OwnReader(source.account, Never), source, found)
    return whole.source, whole.size, False


async def _there(objects: Objects, settings: Settings, source: Place, found: Found, target: str) -> None:
    name, _, bucket = target[len(replication.THERE) :].partition(":")
    remote, thing = settings.remotes.get(name), found.object
    if remote is None or source.account not in remote.projects:
        raise Never("The service is no longer declared for the project.")
    if not found.current:
        latest = objects.newest(source, found.name)
        newer = latest is not None and latest.object.stamp > thing.stamp
        if latest is not None and newer and latest.object.s3.get("replication", {}).get(target, COMPLETED) == COMPLETED:
            raise Never("A newer version is there already.")
    service = Service(remote)
    if thing.kind == MARKER:
        await service.delete(bucket, found.name)
        return
    headers = {"content-type": thing.content_type}
    for key, value in thing.headers.items():
        if key in _NAMED or key.startswith("meta-"):
            headers[f"x-amz-{key}" if key.startswith("meta-") else key] = value
    if thing.s3.get("tags"):
        from urllib.parse import urlencode

        headers["x-amz-tagging"] = urlencode(thing.s3["tags"])
    read, size, plain = await _content(objects, source, found)
    await service.put(bucket, found.name, headers, read, size, thing.etag if plain and "-" not in thing.etag else "")
