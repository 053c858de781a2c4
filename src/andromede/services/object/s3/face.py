"""S3 over HTTP: which operation a request is, who may do it, and how its errors are told."""

import base64
import hashlib
from collections.abc import Awaitable, Callable

import structlog

from andromede.core.clock import monotonic
from andromede.core.errors import CloudError
from andromede.http.plain import Reply, Request
from andromede.services.object.callers import Callers
from andromede.services.object.s3 import (
    access,
    access_log,
    buckets,
    configs,
    cors,
    deleting,
    forms,
    listing,
    multipart,
    notifications,
    object_configs,
    reading,
    replication,
    services,
    website,
    writing,
)
from andromede.services.object.s3.ask import Ask
from andromede.services.object.s3.errors import CODES, S3Error, code_of
from andromede.services.object.s3.settings import Settings
from andromede.services.object.s3.signing import Signatures
from andromede.services.object.s3.xml import document
from andromede.services.object.service import Objects

log = structlog.get_logger("s3")
Handler = Callable[[Ask], Awaitable[Reply]]

SERVICE, BUCKET, OBJECT = "service", "bucket", "object"
SELF = ""
"""The handler itself sees to who may."""


async def _copy_or_put(ask: Ask) -> Reply:
    writing.may_put(ask)
    return await (writing.copy(ask) if "x-amz-copy-source" in ask.request.headers else writing.put(ask))


async def _create_upload(ask: Ask) -> Reply:
    writing.may_put(ask)
    return await multipart.create(ask)


ROUTES: dict[tuple[str, str, str], tuple[str, Handler]] = {
    (SERVICE, "", "GET"): (SELF, buckets.list_all),
    (BUCKET, "", "GET"): ("ListBucket", listing.objects),
    (BUCKET, "", "HEAD"): ("ListBucket", buckets.head),
    (BUCKET, "", "PUT"): (SELF, buckets.create),
    (BUCKET, "", "DELETE"): ("DeleteBucket", buckets.delete),
    (BUCKET, "", "POST"): (SELF, forms.post),
    (BUCKET, "delete", "POST"): (SELF, deleting.delete_many),
    (BUCKET, "location", "GET"): ("GetBucketLocation", buckets.location),
    (BUCKET, "versions", "GET"): ("ListBucketVersions", listing.versions),
    (BUCKET, "uploads", "GET"): ("ListBucketMultipartUploads", listing.multipart),
    (BUCKET, "versioning", "GET"): ("GetBucketVersioning", buckets.versioning),
    (BUCKET, "versioning", "PUT"): ("PutBucketVersioning", buckets.set_versioning),
    (BUCKET, "policy", "GET"): ("GetBucketPolicy", configs.get_policy),
    (BUCKET, "policy", "PUT"): ("PutBucketPolicy", configs.put_policy),
    (BUCKET, "policy", "DELETE"): ("DeleteBucketPolicy", configs.delete_policy),
    (BUCKET, "policyStatus", "GET"): ("GetBucketPolicyStatus", configs.policy_status),
    (BUCKET, "tagging", "GET"): ("GetBucketTagging", configs.get_tagging),
    (BUCKET, "tagging", "PUT"): ("PutBucketTagging", configs.put_tagging),
    (BUCKET, "tagging", "DELETE"): ("PutBucketTagging", configs.delete_tagging),
    (BUCKET, "acl", "GET"): ("GetBucketAcl", configs.get_acl),
    (BUCKET, "acl", "PUT"): ("PutBucketAcl", configs.put_acl),
    (BUCKET, "ownershipControls", "GET"): ("GetBucketOwnershipControls", configs.get_ownership),
    (BUCKET, "ownershipControls", "PUT"): ("PutBucketOwnershipControls", configs.put_ownership),
    (BUCKET, "ownershipControls", "DELETE"): ("PutBucketOwnershipControls", configs.delete_ownership),
    (BUCKET, "object-lock", "GET"): ("GetBucketObjectLockConfiguration", configs.get_lock),
    (BUCKET, "object-lock", "PUT"): ("PutBucketObjectLockConfiguration", configs.put_lock),
    (BUCKET, "requestPayment", "GET"): ("GetBucketRequestPayment", configs.request_payment),
    (BUCKET, "logging", "GET"): ("GetBucketLogging", access_log.get),
    (BUCKET, "logging", "PUT"): ("PutBucketLogging", access_log.put),
    (BUCKET, "notification", "GET"): ("GetBucketNotification", notifications.get),
    (BUCKET, "notification", "PUT"): ("PutBucketNotification", notifications.put),
    (BUCKET, "replication", "GET"): ("GetReplicationConfiguration", replication.get),
    (BUCKET, "replication", "PUT"): ("PutReplicationConfiguration", replication.put),
    (BUCKET, "replication", "DELETE"): ("PutReplicationConfiguration", replication.delete),
    (BUCKET, "requestPayment", "PUT"): ("PutBucketRequestPayment", configs.set_request_payment),
    (OBJECT, "", "GET"): (SELF, reading.get),
    (OBJECT, "", "HEAD"): (SELF, reading.get),
    (OBJECT, "", "PUT"): (SELF, _copy_or_put),
    (OBJECT, "", "DELETE"): (SELF, deleting.delete),
    (OBJECT, "attributes", "GET"): (SELF, reading.attributes),
    (OBJECT, "tagging", "GET"): (SELF, object_configs.get_tagging),
    (OBJECT, "tagging", "PUT"): (SELF, object_configs.put_tagging),
    (OBJECT, "tagging", "DELETE"): (SELF, object_configs.delete_tagging),
    (OBJECT, "acl", "GET"): (SELF, object_configs.get_acl),
    (OBJECT, "acl", "PUT"): (SELF, object_configs.put_acl),
    (OBJECT, "retention", "GET"): (SELF, object_configs.get_retention),
    (OBJECT, "retention", "PUT"): (SELF, object_configs.put_retention),
    (OBJECT, "legal-hold", "GET"): (SELF, object_configs.get_hold),
    (OBJECT, "legal-hold", "PUT"): (SELF, object_configs.put_hold),
    (OBJECT, "uploads", "POST"): (SELF, _create_upload),
    (OBJECT, "uploadId", "PUT"): ("PutObject", multipart.put_part),
    (OBJECT, "uploadId", "POST"): ("PutObject", multipart.complete),
    (OBJECT, "uploadId", "GET"): ("ListMultipartUploadParts", multipart.list_parts),
    (OBJECT, "uploadId", "DELETE"): ("AbortMultipartUpload", multipart.abort),
}
_NAMES = {"cors": "CORS", "lifecycle": "LifecycleConfiguration", "website": "Website", "encryption": "EncryptionConfiguration",
          "publicAccessBlock": "PublicAccessBlock"}  # fmt: skip
for _each, _config in configs.SUBS.items():
    _name = _NAMES[_each]
    _get, _put = (f"{verb}{_name if _each in {'lifecycle', 'encryption'} else f'Bucket{_name}'}" for verb in ("Get", "Put"))
    ROUTES[BUCKET, _each, "GET"] = (_get, configs.getter(_config))
    ROUTES[BUCKET, _each, "PUT"] = (_put, configs.putter(_config))
    ROUTES[BUCKET, _each, "DELETE"] = (f"DeleteBucket{_name}" if _each == "website" else _put, configs.remover(_config))

KNOWN = {(level, sub) for level, sub, _method in ROUTES if sub}
ABSENT = {
    "accelerate", "analytics", "intelligent-tiering", "inventory", "metrics", "metadataConfiguration", "metadataTable",
    "renameObject", "restore", "select", "session", "torrent", "abac",
}  # fmt: skip
"""Subresources of S3 that are not here."""


class S3:
    """The S3 face: a request in, a reply out."""

    def __init__(self, objects: Objects, callers: Callers, settings: Settings | None = None) -> None:
        self._objects = objects
        self._settings = settings or Settings()
        self._callers, self._signatures = callers, Signatures(callers, self._settings)
        self._host = base64.b64encode(hashlib.sha256(self._settings.region.encode()).digest()).decode()
        self._log = access_log.AccessLog(objects, self._settings.region, self._host, self._settings.log_seconds)

    async def __call__(self, request: Request) -> Reply:
        """Answers a request; an error too."""
        ask: Ask | None = None
        code, began = "", monotonic()
        try:
            ask = Ask(request, self._objects, self._settings, self._signatures)
            reply = await self._answer(ask)
        except CloudError as error:
            reply, code = self._refusal(request, error, ask), code_of(error)[1]
        except Exception:
            log.exception("unexpected", request_id=request.id)
            reply, code = self._refusal(request, S3Error("InternalError"), ask), "InternalError"
        if ask is not None and ask.place_ is not None and "logging" in ask.place_.container.s3:
            reply = self._log.noted(ask, _named(ask), reply, began, code)
        reply.headers += [("x-amz-request-id", _id(request)), ("x-amz-id-2", self._host)]
        if "origin" in request.headers and ask is not None and request.method != "OPTIONS":
            reply.headers += cors.headers(ask.place_, request.method, request.headers)
        return reply

    async def finish(self) -> None:
        """The process ends: write what waits."""
        await self._log.finish()

    async def _answer(self, ask: Ask) -> Reply:
        request = ask.request
        if request.method == "OPTIONS":
            ask.place_ = ask.find(ask.bucket) if ask.bucket else None
            return await cors.preflight(ask)
        if ask.website:
            ask.place_ = ask.find(ask.bucket)
            return await website.serve(ask)
        if request.method == "POST" and services.meant(ask):
            return await services.answer(ask, self._callers)
        ask.proof = await self._signatures.prove(request, ask.pairs)
        if ask.proof is not None:
            caller = ask.proof.access.caller
            request.notes = {"user_id": caller.user_id, "project_id": caller.project_id}
        if ask.bucket:
            ask.place_ = ask.find(ask.bucket)
        level = OBJECT if ask.key else BUCKET if ask.bucket else SERVICE
        sub = _sub(ask, level) if ask.pairs else ""
        route = ROUTES.get((level, sub, request.method))
        if route is None:
            raise S3Error("MethodNotAllowed", Method=request.method, ResourceType=(sub or level).upper())
        action, handler = route
        if ask.place_ is None:
            if handler is not buckets.create and level != SERVICE:
                raise S3Error("NoSuchBucket", BucketName=ask.bucket)
        elif (owner := ask.header("x-amz-expected-bucket-owner")) and owner != ask.place_.account:
            raise S3Error("AccessDenied")
        if action:
            access.need(ask, ask.place, action, ask.key)
        return await handler(ask)

    def _refusal(self, request: Request, error: CloudError, ask: Ask | None) -> Reply:
        """What an error answers."""
        status, code = code_of(error)
        if status >= 500 and not isinstance(error, S3Error):
            log.error("failed", request_id=request.id, exc_info=error)
        facts = dict(error.facts) if isinstance(error, S3Error) else {}
        if ask is not None:
            facts.setdefault("BucketName", ask.bucket)
            if ask.key:
                facts.setdefault("Key", ask.key)
        told = status < 500 or status == 503 or isinstance(error, S3Error)
        message = error.message if told else CODES["InternalError"][1]
        fields = [
            ("Code", code), ("Message", message), *((name, value) for name, value in facts.items() if value), ("Resource", request.raw_path),
            ("RequestId", _id(request)), ("HostId", self._host),
        ]  # fmt: skip
        return Reply(status, [("content-type", "application/xml"), *error.headers.items()], document("Error", fields, namespace=""))


def _id(request: Request) -> str:
    return request.id[4:].replace("-", "")[:16].upper()


def _named(ask: Ask) -> str:
    """The subresource that a request names, for the log."""
    return "uploadId" if "uploadId" in ask.query else next((name for name in ask.query if ("object" if ask.key else "bucket", name) in KNOWN), "")


def _sub(ask: Ask, level: str) -> str:
    """The subresource that the query names. Raises NotImplemented for those that are not here."""
    query = ask.query
    if "uploadId" in query and level == OBJECT:
        return "uploadId"
    for name in query:
        if (level, name) in KNOWN:
            return name
        if name in ABSENT:
            raise S3Error("NotImplemented", Header=name)
    return ""
