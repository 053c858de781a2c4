"""What the rules of life of buckets make due, done: to be run once in a while, by one process at a time."""

import asyncio
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import groupby
from typing import Any

import msgspec
import structlog

from andromede.core.errors import CloudError
from andromede.services.object import sealing, uploads
from andromede.services.object.contents import own
from andromede.services.object.model import MARKER, Object
from andromede.services.object.s3 import lifecycle, locks
from andromede.services.object.service import Found, Objects, Place
from andromede.services.object.watching import EXPIRED, Cause

log = structlog.get_logger("s3")
_UNCHANGED = "changed meanwhile"


class Done(msgspec.Struct):
    """How much was done: objects that expired, versions and markers removed, uploads aborted, objects moved to another class."""

    expired: int = 0
    removed: int = 0
    aborted: int = 0
    moved: int = 0


class _Changed(CloudError):
    """The object is not the one that was looked at."""


async def run_lifecycle(objects: Objects, now: datetime, classes: Mapping[str, str] | None = None) -> Done:
    """Apply the rules of every bucket as of `now`. classes: as in the face's settings. What fails is logged and tried again next time."""
    done, moment = Done(), now.timestamp()
    for place in list(objects.everywhere()):
        rules = [rule for rule in place.container.s3.get("lifecycle", {}).get("Rule", ()) if rule["Status"] == "Enabled"]
        if not rules:
            continue
        try:
            await _Bucket(objects, place, rules, moment, classes or {}, done).run()
        except CloudError:
            log.exception("the rules of life of a bucket", bucket=place.name, account=place.account)
    return done


class _Bucket:
    """One bucket and its rules."""

    def __init__(
        self, objects: Objects, place: Place, rules: list[dict[str, Any]], moment: float, classes: Mapping[str, str], done: Done
    ) -> None:
        self._objects, self._place, self._rules, self._moment, self._classes, self._done = objects, place, rules, moment, classes, done

    async def run(self) -> None:
        """Everything that is due."""
        for _name, versions in groupby(self._versions(), key=lambda found: found.name):
            await self._name(list(versions))
            await asyncio.sleep(0)
        for upload in self._uploads():
            days = min((rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] for rule in self._rules
                        if "AbortIncompleteMultipartUpload" in rule and upload.name.startswith(lifecycle.prefix(rule))), default=None)  # fmt: skip
            if days is not None and lifecycle.due(upload.object.stamp, days) <= self._moment:
                await uploads.abort(self._objects, self._place, upload)
                self._done.aborted += 1

    def _versions(self) -> Iterator[Found]:
        for prefix in _outer([lifecycle.prefix(rule) for rule in self._rules]):
            yield from self._objects.versions(self._place, prefix=prefix)

    def _uploads(self) -> Iterator[uploads.Upload]:
        name = after = ""
        while page := uploads.uploads(self._objects, self._place, start=name, after=after, limit=500):
            yield from page
            name, after = page[-1].name, page[-1].id

    async def _name(self, versions: list[Found]) -> None:
        """What is due of one name; versions: the newest first."""
        newest = versions[0]
        if newest.object.kind == MARKER:
            if len(versions) == 1 and any(self._lone(rule, newest) for rule in self._rules if lifecycle.meant(rule, newest.name, newest.object)):
                await self._remove(newest)
        else:
            await self._current(newest)
        for position, found in enumerate(versions[1:]):
            await self._earlier(found, versions[position].object.stamp, position)

    def _lone(self, rule: dict[str, Any], marker: Found) -> bool:
        action = rule.get("Expiration", {})
        return bool(action.get("ExpiredObjectDeleteMarker")) or lifecycle.reached(action, marker.object.stamp, self._moment)

    async def _current(self, found: Found) -> None:
        rules = [rule for rule in self._rules if lifecycle.meant(rule, found.name, found.object)]
        if any(lifecycle.reached(rule.get("Expiration", {}), found.object.stamp, self._moment) for rule in rules):
            if not self._place.container.versioning and locks.keeps(found.object):
                return
            if await self._delete(found, None):
                self._done.expired += 1
            return
        for rule in rules:
            due = [each for each in rule.get("Transition", ()) if lifecycle.reached(each, found.object.stamp, self._moment)]
            if due and await self._move(found, max(due, key=lambda each: each.get("Days", 0))["StorageClass"]):
                return

    async def _earlier(self, found: Found, since: int, position: int) -> None:
        """An earlier version, `position` others behind the newest; `since`: the stamp of what took its place."""

        def reached(action: dict[str, Any]) -> bool:
            kept = action.get("NewerNoncurrentVersions", 0)
            return position >= kept and lifecycle.due(since, action["NoncurrentDays"]) <= self._moment

        rules = [rule for rule in self._rules if lifecycle.meant(rule, found.name, found.object)]
        if any(reached(rule["NoncurrentVersionExpiration"]) for rule in rules if "NoncurrentVersionExpiration" in rule):
            if not locks.keeps(found.object):
                await self._remove(found)
            return
        for rule in rules if found.object.kind != MARKER else ():
            due = [each for each in rule.get("NoncurrentVersionTransition", ()) if reached(each)]
            if due and await self._move(found, max(due, key=lambda each: each["NoncurrentDays"])["StorageClass"]):
                return

    async def _remove(self, found: Found) -> None:
        if await self._delete(found, found.object.version or "null"):
            self._done.removed += 1

    async def _delete(self, found: Found, version: str | None) -> bool:
        def same(before: Object | None) -> None:
            if before is None or before.stamp != found.object.stamp or (version is not None and locks.keeps(before)):
                raise _Changed(_UNCHANGED)

        try:
            await self._objects.delete(self._place, found.name, version, same, cause=Cause(EXPIRED))
        except _Changed:
            return False
        return True

    async def _move(self, found: Found, name: str) -> bool:
        """Write an object's bytes in another storage class. Those under a client's key cannot be, since it is not known."""
        thing = found.object
        if thing.s3.get("class", "STANDARD") == name or name not in self._classes or "ssec" in thing.s3 or thing.kind:
            return False
        try:
            key = await sealing.secret_of(self._objects, thing)
        except CloudError as error:
            log.warning("an object whose key may not be used stays in its class", bucket=self._place.name, cause=error.message)
            return False
        chunks = own(self._objects.store, self._place.account, found.blobs, key)(0, thing.size)
        blob = await self._objects.store.write(self._place.account, chunks, storage=self._classes[name], key=key)
        moved = msgspec.structs.replace(thing, s3=thing.s3 | {"class": name})
        if await self._objects.move(self._place, found, moved, [blob]):
            self._done.moved += 1
            return True
        return False


def _outer(prefixes: list[str]) -> list[str]:
    """Those prefixes that none of the others begins."""
    kept: list[str] = []
    for prefix in sorted(set(prefixes)):
        if not kept or not prefix.startswith(kept[-1]):
            kept.append(prefix)
    return kept
