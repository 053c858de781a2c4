"""Logs of what is asked of a bucket, as objects in another bucket of its project: a line for each request, many lines in an object.

Lines are kept in memory for a while and written together, at the latest when the process ends; a process that is killed loses those of
the last minute, as Amazon's may lose some too. Source: Amazon S3 User Guide, "Amazon S3 server access log format".
"""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import structlog

from andromede.core.clock import monotonic, now
from andromede.core.errors import CloudError
from andromede.core.ids import random_bytes
from andromede.http.plain import Reply
from andromede.services.object import sealing
from andromede.services.object.model import Object
from andromede.services.object.s3.ask import Ask
from andromede.services.object.s3.configs import body_of, keep
from andromede.services.object.s3.errors import S3Error
from andromede.services.object.s3.writing import XML
from andromede.services.object.s3.xml import document, fields, parsed, shaped
from andromede.services.object.sending import once
from andromede.services.object.service import Objects

log = structlog.get_logger("s3")
SHAPE: dict[str, Any] = {
    "LoggingEnabled": {
        "TargetBucket": str, "TargetPrefix": str, "TargetObjectKeyFormat": {"SimplePrefix": {}, "PartitionedPrefix": {"PartitionDateSource": str}},
    },
}  # fmt: skip
_MOST = 1 << 20
_KINDS = {
    "": "", "uploads": "UPLOADS", "versions": "BUCKETVERSIONS", "object-lock": "OBJECT_LOCK_CONFIGURATION", "legal-hold": "LEGAL_HOLD",
    "policyStatus": "POLICY_STATUS", "publicAccessBlock": "PUBLIC_ACCESS_BLOCK", "ownershipControls": "OWNERSHIP_CONTROLS",
    "requestPayment": "REQUEST_PAYMENT", "logging": "LOGGING_STATUS", "delete": "MULTI_OBJECT_DELETE",
}  # fmt: skip
_Where = tuple[str, str, str, str]


async def get(ask: Ask) -> Reply:
    """GetBucketLogging."""
    return Reply(200, [XML], document("BucketLoggingStatus", fields(ask.place.container.s3.get("logging", {}), SHAPE)))


async def put(ask: Ask) -> Reply:
    """PutBucketLogging. Only the bucket's own project may get its logs."""
    root = await parsed(await body_of(ask), "BucketLoggingStatus")
    enabled = root.find("LoggingEnabled")
    if enabled is not None and enabled.find("TargetGrants") is not None:
        raise S3Error("NotImplemented", "TargetGrants are not supported: use a policy of the target bucket.")
    values = shaped(root, SHAPE)
    if not values:
        await keep(ask, "logging", None)
        return Reply(200)
    given = values["LoggingEnabled"]
    target = ask.objects.find(ask.place.account, given.get("TargetBucket", ""))
    if target is None or len(given.setdefault("TargetPrefix", "").encode()) > 512:
        raise S3Error("InvalidTargetBucketForLogging", TargetBucket=given.get("TargetBucket", "")[:64])
    source = given.get("TargetObjectKeyFormat", {}).get("PartitionedPrefix", {}).get("PartitionDateSource", "EventTime")
    if source not in {"EventTime", "DeliveryTime"}:
        raise S3Error("InvalidArgument", "PartitionDateSource must be EventTime or DeliveryTime", ArgumentName="PartitionDateSource")
    await keep(ask, "logging", values)
    return Reply(200)


class AccessLog:
    """The lines of a process that wait."""

    def __init__(self, objects: Objects, region: str, host: str, seconds: float) -> None:
        self._objects, self._region, self._host, self._seconds = objects, region, host, seconds
        self._waiting: dict[_Where, list[str]] = defaultdict(list)
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._writing = set[asyncio.Task[None]]()

    def noted(self, ask: Ask, sub: str, reply: Reply, began: float, code: str) -> Reply:
        """A reply whose request is to be logged, once it is sent. sub: the subresource that was meant; code: of an error."""
        turn = monotonic() - began
        if reply.stream is None or ask.request.method == "HEAD":
            self._add(ask, sub, reply, (code, 0 if ask.request.method == "HEAD" else len(reply.body), turn, turn))
            return reply
        stream = reply.stream

        async def counted() -> AsyncIterator[bytes]:
            size = 0
            try:
                async for piece in stream:
                    size += len(piece)
                    yield piece
            finally:
                self._add(ask, sub, reply, (code, size, turn, monotonic() - began))

        reply.stream = counted()
        return reply

    async def finish(self) -> None:
        """Write everything that waits."""
        if self._timer is not None:
            self._timer.cancel()
        self._flush()
        if self._writing:
            await asyncio.wait(self._writing)

    def _add(self, ask: Ask, sub: str, reply: Reply, facts: tuple[str, int, float, float]) -> None:
        text = _line(ask, sub, reply, facts, self._host)
        given = ask.place.container.s3["logging"]["LoggingEnabled"]
        prefix = given["TargetPrefix"]
        if "PartitionedPrefix" in given.get("TargetObjectKeyFormat", {}):
            prefix += f"{ask.place.account}/{self._region}/{ask.place.name}/{now():%Y/%m/%d}/"
        self._waiting[ask.place.account, given["TargetBucket"], prefix, ask.place.name].append(text)
        self._size += len(text)
        if self._size > _MOST:
            self._flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._flush)

    def _flush(self) -> None:
        waiting, self._waiting, self._size, self._timer = self._waiting, defaultdict(list), 0, None
        for (account, bucket, prefix, _source), lines in waiting.items():
            task = asyncio.get_running_loop().create_task(self._write(account, bucket, prefix, "".join(lines).encode("utf-8", "replace")))
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)

    async def _write(self, account: str, bucket: str, prefix: str, data: bytes) -> None:
        place = self._objects.find(account, bucket)
        if place is None:
            log.warning("the bucket for the logs is gone", account=account, bucket=bucket)
            return
        name = f"{prefix}{now():%Y-%m-%d-%H-%M-%S}-{random_bytes(8).hex().upper()}"
        digest = hashlib.md5(usedforsecurity=False)
        try:
            wanted = sealing.by_default(place.container)
            s3, key = await sealing.under(self._objects, place, name, wanted) if wanted is not None else ({}, None)
            blob = await self._objects.store.write(account, once(data), key=key, hashers=(digest,))
            thing = Object(size=len(data), etag=digest.hexdigest(), content_type="text/plain", s3=s3)
            await self._objects.put(place, name, thing, [blob])
        except CloudError as error:
            log.warning("lines of a log are lost", account=account, bucket=bucket, cause=error.message)


def operation(ask: Ask, sub: str) -> str:
    """What the log calls a request."""
    method, level = ask.request.method, "OBJECT" if ask.key else "BUCKET"
    if ask.website:
        return f"WEBSITE.{method}.{level}"
    if sub == "uploadId":
        return f"REST.{method}.{'UPLOAD' if method in {'POST', 'DELETE'} else 'PART' if method == 'PUT' else 'UPLOADS'}"
    if method == "PUT" and "x-amz-copy-source" in ask.request.headers:
        return "REST.COPY.OBJECT"
    kind = _KINDS.get(sub, sub.upper())
    return f"REST.{method}.{f'OBJECT_{kind}' if kind in {'TAGGING', 'ACL'} and ask.key else kind or level}"


def _line(ask: Ask, sub: str, reply: Reply, facts: tuple[str, int, float, float], host: str) -> str:
    request, proof, caller = ask.request, ask.proof, ask.caller
    code, size, turn, total = facts
    told = {name.lower(): value for name, value in reply.headers if name.lower() in {"content-length", "x-amz-version-id"}}
    who = f"arn:aws:iam::{caller.project_id}:user/{quote(caller.user_name, safe='@._-')}" if caller else "-"
    target = request.raw_path + (f"?{request.raw_query}" if request.raw_query else "")
    parts = [
        ask.place.account, ask.place.name, f"[{now():%d/%b/%Y:%H:%M:%S +0000}]", request.remote or "-", who,
        request.id[4:].replace("-", "")[:16].upper(), operation(ask, sub), quote(quote(ask.key)) if ask.key else "-",
        _quoted(f"{request.method} {target} HTTP/1.1"), str(reply.status), code or "-", str(size) if size else "-",
        told.get("content-length", "-") if ask.key and reply.status < 300 and request.method in {"GET", "HEAD"} else "-",
        str(int(total * 1000)), str(int(turn * 1000)), _quoted(ask.header("referer")), _quoted(ask.header("user-agent")),
        told.get("x-amz-version-id", "-"), host, ("SigV4" if proof.moment else "SigV2") if proof else "-", "-",
        ("QueryString" if proof.presigned else "AuthHeader") if proof else "-", _word(ask.header("host")), "-", "-", "-",
    ]  # fmt: skip
    return " ".join(parts) + "\n"


def _quoted(text: str) -> str:
    """A text in quotes, which nothing in it can end."""
    return '"{}"'.format("".join(_safe(letter) for letter in text[:2048])) if text else '"-"'


def _word(text: str) -> str:
    return "".join(_safe(letter) for letter in text[:256] if letter != " ") or "-"


def _safe(letter: str) -> str:
    if " " <= letter < "\x7f" and letter not in '"\\':
        return letter
    return "".join(f"\\x{byte:02x}" for byte in letter.encode("utf-8", "surrogateescape"))
