"""Sending what changes in synchronized containers to their other sides, until it is taken or three days have passed.

Objects are sent as they are now, so what changed twice is sent once; the other side keeps what is newest. Large objects go as what they
lead to (static ones), or as manifests (dynamic ones); links go as links.
"""

import asyncio
from collections import defaultdict
from urllib.parse import quote

import structlog

from andromede.core.clock import now
from andromede.core.errors import BadRequest, CloudError
from andromede.core.ids import random_bytes
from andromede.drivers.blob import View
from andromede.http.outside import Limits
from andromede.services.object import contents, tasks
from andromede.services.object.changes import swift_time
from andromede.services.object.errors import NoObject
from andromede.services.object.model import DLO, LINK, SLO, expired, stamp
from andromede.services.object.sending import Answer, send
from andromede.services.object.service import Found, Objects, Place
from andromede.services.object.swift import metadata, symlinks, sync
from andromede.services.object.swift.settings import Settings
from andromede.services.object.swift.sync import Target
from andromede.services.object.tasks import SYNC, Due, Task
from andromede.services.object.watching import SYNC_KEY, SYNC_TO

log = structlog.get_logger("object")
_BATCH, _AT_ONCE, _STEP = 500, 8, 500


async def synchronize(objects: Objects, settings: Settings) -> int:
    """Send what is due. Answers how many objects the other sides have as they are here."""
    by_name: dict[tuple[bytes, str], list[Due]] = defaultdict(list)
    for one in tasks.due(objects.store, SYNC, now().timestamp(), _BATCH):
        by_name[one.task.container, "" if "walk" in one.task.facts else one.task.name].append(one)
    room = asyncio.Semaphore(_AT_ONCE)

    async def each(waiting: list[Due]) -> int:
        async with room:
            return await _one(objects, settings, waiting)

    return sum(await asyncio.gather(*(each(waiting) for waiting in by_name.values())))


async def _one(objects: Objects, settings: Settings, waiting: list[Due]) -> int:
    """Do what waits for one name, which is one thing to do; 1 where it was sent."""
    task = max((one.task for one in waiting), key=lambda each: each.stamp)
    place = objects.find(task.account, task.bucket)
    sent = 0
    if place is not None and place.id == task.container and place.container.headers.get(SYNC_TO):
        try:
            if "walk" in task.facts:
                await _walk(objects, place, task)
            else:
                await _send(objects, settings, place, task)
                sent = 1
        except (CloudError, OSError) as error:
            moment, told = now().timestamp(), getattr(error, "message", repr(error))
            log.warning("not synchronized", container=place.name, object=task.name, cause=told, tries=task.tries + 1)
            for one in waiting:
                if tasks.over(one, moment):
                    await tasks.done(objects.store, one)
            await tasks.later(objects.store, [one for one in waiting if not tasks.over(one, moment)], moment)
            return 0
    for one in waiting:
        await tasks.done(objects.store, one)
    return sent


async def _walk(objects: Objects, place: Place, task: Task) -> None:
    """Note some of a container's objects, and the rest of the way."""
    lines = objects.listing(place, start=task.name, limit=_STEP, after=True)
    made = stamp()

    def run(view: View) -> None:
        for line in lines:
            seen = line.object.stamp if line.object else 0
            one = Task(kind=SYNC, account=place.account, container=place.id, bucket=place.name, name=line.name, made=made, stamp=seen)
            tasks.add(view, one)
        if len(lines) == _STEP:
            sync.walk(view, place, lines[-1].name)

    await objects.store.commit(place.shard, run)


async def _send(objects: Objects, settings: Settings, place: Place, task: Task) -> None:
    """Have the other side be as this one. Raises CloudError where it is not."""
    to, key = sync.target(settings, place.container.headers[SYNC_TO]), place.container.headers.get(SYNC_KEY, "")
    try:
        found = objects.get(place, task.name)
    except NoObject:
        found = None
    if found is None or expired(found.object):
        answer = await _asked(to, key, "DELETE", task.name, swift_time(task.stamp))
        _check(answer, (404, 409))
        return
    moment = max(found.object.posted, found.object.stamp)
    there = await _asked(to, key, "HEAD", task.name, swift_time(moment))
    if there.status == 200 and there.headers.get("x-timestamp", "") >= swift_time(moment):
        return
    if "ssec" in found.object.s3:
        raise BadRequest("The object is encrypted with a key that its owner keeps.")
    headers, source, size = await _described(objects, place, found)
    _check(await _asked(to, key, "PUT", task.name, swift_time(moment), headers, source, size), ())


def _check(answer: Answer, fine: tuple[int, ...]) -> None:
    if not 200 <= answer.status < 300 and answer.status not in fine:
        raise CloudError(f"The other side answered {answer.status}.", status=503)


async def _described(objects: Objects, place: Place, found: Found) -> tuple[dict[str, str], contents.Source | None, int]:
    """What is sent of an object: headers, and bytes."""
    thing = found.object
    headers = {"content-type": thing.content_type}
    for name, value in thing.headers.items():
        if name.startswith("meta-") or name in metadata.KEPT:
            headers["x-object-" + name if name.startswith("meta-") else name] = value
    if thing.delete_at:
        headers["x-delete-at"] = str(thing.delete_at)
    if thing.kind == LINK:
        return headers | {name.lower(): value for name, value in symlinks.shown(thing) if name.lower().startswith("x-symlink")}, None, 0
    if thing.kind == DLO:
        return headers | {"x-object-manifest": str(thing.target)}, None, 0
    if thing.kind == SLO:
        whole = contents.static(objects, contents.OwnReader(place.account, BadRequest), place, found)
        return headers, whole.source, whole.size
    if "-" not in thing.etag:
        headers["etag"] = thing.etag
    return headers, contents.bytes_of(objects, place.account, found), thing.size


async def _asked(
    to: Target, key: str, method: str, name: str, moment: str, headers: dict[str, str] | None = None, source: contents.Source | None = None,
    size: int = 0,
) -> Answer:  # fmt: skip
    target = f"{to.url.path}/{quote(name)}"
    every = {"host": to.url.netloc, "x-timestamp": moment, "user-agent": "andromede", **(headers or {})}
    if to.realm:
        nonce = random_bytes(16).hex()
        every["x-container-sync-auth"] = f"{to.realm} {nonce} {sync.signature(to.key, key, method, target, moment, nonce)}"
    else:
        every["x-container-sync-key"] = key
    limits = Limits(ports=None, hosts=(to.url.hostname or "",), what="The other side", silence=60.0)
    return await send(to.url, limits, method, target, every, source(0, size) if source is not None and size else None, size)
