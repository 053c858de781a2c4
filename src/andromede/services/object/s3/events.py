"""Telling webhooks what happened: each event until its target has taken it, or for three days. An event may come more than once.

A target that does not answer is asked once in a round, whatever waits for it.
"""

import asyncio
import hashlib
import hmac
import http.client
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus

import msgspec
import structlog

from andromede.core.clock import monotonic, now
from andromede.core.errors import BadRequest
from andromede.http.outside import Limits, checked, connection, target
from andromede.services.object import tasks
from andromede.services.object.s3.notifications import ANY, TEST, declared, limits
from andromede.services.object.s3.settings import Settings
from andromede.services.object.service import Objects
from andromede.services.object.tasks import EVENT, Due, Task

log = structlog.get_logger("s3")
_BATCH, _AT_ONCE, _ROUND = 500, 16, 60.0


async def deliver(objects: Objects, settings: Settings) -> int:
    """Send what is due, as much as there is in a minute. Answers how many events were taken."""
    end, taken = monotonic() + _ROUND, 0
    while monotonic() < end:
        count, more = await _some(objects, settings)
        taken += count
        if not more:
            break
    return taken


async def _some(objects: Objects, settings: Settings) -> tuple[int, bool]:
    """How many of a batch were taken, and whether more is due."""
    found = tasks.due(objects.store, EVENT, now().timestamp(), _BATCH)
    by_target: dict[str, list[Due]] = defaultdict(list)
    for one in found:
        by_target[one.task.facts["target"]].append(one)
    room = asyncio.Semaphore(_AT_ONCE)

    async def send(wanted: str, waiting: list[Due]) -> int:
        async with room:
            return await _Target(objects, settings, wanted).send(waiting)

    counts = await asyncio.gather(*(send(wanted, waiting) for wanted, waiting in by_target.items()))
    return sum(counts), len(found) == _BATCH


class _Target:
    """One webhook. Raises nothing: what fails is put off."""

    def __init__(self, objects: Objects, settings: Settings, wanted: str) -> None:
        self._objects, self._settings = objects, settings
        self._name, self._secret = wanted, ""
        hook = settings.webhooks.get(declared(wanted))
        if hook is not None:
            self._url, self._secret = hook.url, hook.secret
            self._limits = Limits(ports=None, hosts=(_host(hook.url),), what="The webhook", silence=10.0)
        else:
            self._url, self._limits = wanted.removeprefix(ANY), limits(settings)

    async def send(self, waiting: list[Due]) -> int:
        """How many were taken."""
        taken = 0
        for number, one in enumerate(waiting):
            body = msgspec.json.encode(record(one.task, self._settings.region))
            problem = await asyncio.to_thread(self._post, body)
            if not problem:
                await tasks.done(self._objects.store, one)
                taken += 1
                continue
            moment = now().timestamp()
            log.warning("a webhook did not take an event", bucket=one.task.bucket, target=self._name, cause=problem, tries=one.task.tries + 1)
            left = waiting[number:]
            for each in left:
                if tasks.over(each, moment):
                    log.error("an event is given up", bucket=each.task.bucket, target=self._name, what=each.task.facts["event"])
                    await tasks.done(self._objects.store, each)
            await tasks.later(self._objects.store, [each for each in left if not tasks.over(each, moment)], moment)
            break
        return taken

    def _post(self, body: bytes) -> str:
        """Send; what went wrong, "" for nothing."""
        headers = {"Content-Type": "application/json", "User-Agent": "andromede"}
        if self._secret:
            headers["X-Andromede-Signature"] = f"sha256={hmac.new(self._secret.encode(), body, hashlib.sha256).hexdigest()}"
        try:
            made = connection(checked(self._url, self._limits), self._limits)
            try:
                made.request("POST", target(self._url), body, headers)
                status = made.getresponse().status
            finally:
                made.close()
        except BadRequest as error:
            return error.message
        except (OSError, http.client.HTTPException) as error:
            return f"{type(error).__name__}: {error}"
        return "" if 200 <= status < 300 else f"status {status}"


def record(task: Task, region: str) -> dict[str, Any]:
    """What is sent of an event."""
    facts, at = task.facts, datetime.fromtimestamp(task.made / 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    if facts["event"] == TEST:
        return {"Service": "Amazon S3", "Event": TEST, "Time": at, "Bucket": task.bucket, "RequestId": facts.get("request", ""), "HostId": region}
    thing: dict[str, Any] = {"key": quote_plus(task.name, safe="/"), "sequencer": f"{task.stamp:016X}"}
    if facts["version"]:
        thing["versionId"] = facts["version"]
    if "ObjectRemoved" not in facts["event"] and "LifecycleExpiration" not in facts["event"]:
        thing |= {"size": facts["size"], "eTag": facts["etag"]}
    elif "DeleteMarker" in facts["event"]:
        thing |= {"eTag": "d41d8cd98f00b204e9800998ecf8427e"}
    return {"Records": [{
        "eventVersion": "2.3", "eventSource": "aws:s3", "awsRegion": region, "eventTime": at, "eventName": facts["event"].removeprefix("s3:"),
        "userIdentity": {"principalId": facts["user"]}, "requestParameters": {"sourceIPAddress": facts["address"]},
        "responseElements": {"x-amz-request-id": facts["request"], "x-amz-id-2": region},
        "s3": {
            "s3SchemaVersion": "1.0", "configurationId": facts["id"], "object": thing,
            "bucket": {"name": task.bucket, "ownerIdentity": {"principalId": task.account}, "arn": f"arn:aws:s3:::{task.bucket}"},
        },
    }]}  # fmt: skip


def _host(url: str) -> str:
    from urllib.parse import urlsplit

    return urlsplit(url).hostname or ""
