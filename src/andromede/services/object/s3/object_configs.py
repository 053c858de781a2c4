"""What is set of objects beside their bytes: tags, access control lists, retention and legal holds."""

import msgspec

from andromede.http.plain import Reply
from andromede.services.object.model import MARKER, Object
from andromede.services.object.s3 import acl, locks, reading, tagging
from andromede.services.object.s3.ask import Ask
from andromede.services.object.s3.configs import body_of, grants_of
from andromede.services.object.s3.errors import S3Error
from andromede.services.object.s3.writing import XML
from andromede.services.object.s3.xml import document, malformed, parsed
from andromede.services.object.service import Found
from andromede.services.object.watching import LISTED, LOCKED, TAGGED, UNTAGGED


def _found(ask: Ask, action: str) -> Found:
    return reading.looked_up(ask, ask.place, ask.key, ask.version, action)


def _headers(ask: Ask, thing: Object) -> list[tuple[str, str]]:
    return [("x-amz-version-id", thing.version or "null")] if ask.place.container.versioning else []


def _with(thing: Object, name: str, value: object) -> Object:
    if thing.kind == MARKER:
        raise S3Error("MethodNotAllowed", ResourceType="DeleteMarker")
    s3 = {key: each for key, each in thing.s3.items() if key != name}
    return msgspec.structs.replace(thing, s3=s3 if value is None else s3 | {name: value})


async def get_tagging(ask: Ask) -> Reply:
    """GetObjectTagging."""
    thing = _found(ask, "GetObjectTagging").object
    return Reply(200, [XML, *_headers(ask, thing)], tagging.shown(thing.s3.get("tags", {})))


async def put_tagging(ask: Ask) -> Reply:
    """PutObjectTagging."""
    _found(ask, "PutObjectTagging")
    tags = tagging.from_document(await parsed(await body_of(ask), "Tagging"), tagging.OBJECT_MOST)
    thing = await ask.objects.change_object(ask.place, ask.key, lambda was: _with(was, "tags", tags or None), ask.version, cause=ask.cause(TAGGED))
    return Reply(200, _headers(ask, thing))


async def delete_tagging(ask: Ask) -> Reply:
    """DeleteObjectTagging."""
    _found(ask, "DeleteObjectTagging")
    thing = await ask.objects.change_object(ask.place, ask.key, lambda was: _with(was, "tags", None), ask.version, cause=ask.cause(UNTAGGED))
    return Reply(204, _headers(ask, thing))


async def get_acl(ask: Ask) -> Reply:
    """GetObjectAcl."""
    thing = _found(ask, "GetObjectAcl").object
    return Reply(200, [XML, *_headers(ask, thing)], acl.shown(thing.s3.get("acl"), ask.place.account))


async def put_acl(ask: Ask) -> Reply:
    """PutObjectAcl."""
    _found(ask, "PutObjectAcl")
    grants = await grants_of(ask)
    acl.settable(ask.place, grants, ask.place.account)
    thing = await ask.objects.change_object(ask.place, ask.key, lambda was: _with(was, "acl", grants), ask.version, cause=ask.cause(LISTED))
    return Reply(200, _headers(ask, thing))


def _locked(ask: Ask) -> None:
    if not locks.enabled(ask.place):
        raise S3Error("InvalidRequest", "Bucket is missing Object Lock Configuration")


async def get_retention(ask: Ask) -> Reply:
    """GetObjectRetention."""
    _locked(ask)
    lock = _found(ask, "GetObjectRetention").object.s3.get("lock")
    if lock is None:
        raise S3Error("NoSuchObjectLockConfiguration", Key=ask.key)
    return Reply(200, [XML], document("Retention", [("Mode", lock["mode"]), ("RetainUntilDate", locks.until_text(lock["until"]))]))


async def put_retention(ask: Ask) -> Reply:
    """PutObjectRetention."""
    _locked(ask)
    _found(ask, "PutObjectRetention")
    lock = locks.retention(await parsed(await body_of(ask), "Retention"))
    passing = locks.bypass(ask, ask.place, ask.key)

    def change(was: Object) -> Object:
        return locks.retained(was, lock, passing=passing)

    thing = await ask.objects.change_object(ask.place, ask.key, change, ask.version, cause=ask.cause(LOCKED))
    return Reply(200, _headers(ask, thing))


async def get_hold(ask: Ask) -> Reply:
    """GetObjectLegalHold."""
    _locked(ask)
    hold = _found(ask, "GetObjectLegalHold").object.s3.get("hold")
    if hold is None:
        raise S3Error("NoSuchObjectLockConfiguration", Key=ask.key)
    return Reply(200, [XML], document("LegalHold", [("Status", hold)]))


async def put_hold(ask: Ask) -> Reply:
    """PutObjectLegalHold."""
    _locked(ask)
    _found(ask, "PutObjectLegalHold")
    status = (await parsed(await body_of(ask), "LegalHold")).value("Status").strip()
    if status not in {"ON", "OFF"}:
        raise malformed()
    thing = await ask.objects.change_object(ask.place, ask.key, lambda was: _with(was, "hold", status), ask.version, cause=ask.cause(LOCKED))
    return Reply(200, _headers(ask, thing))
