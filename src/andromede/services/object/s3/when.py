"""Conditions on requests: `If-Match` and its kin, of what is read, of what is copied, and of what is replaced or deleted.

Sources: RFC 9110, 13; Amazon S3 User Guide, "Add preconditions to S3 operations with conditional requests".
"""

from email.utils import parsedate_to_datetime

from andromede.services.object.contents import tag
from andromede.services.object.model import Object, expired
from andromede.services.object.s3.ask import Ask
from andromede.services.object.s3.errors import S3Error
from andromede.services.object.service import When

COPY = "x-amz-copy-source-"


def _tags(text: str) -> list[str]:
    return [tag.strip().removeprefix("W/").strip('"') for tag in text.split(",")]


def _seconds(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def for_reading(ask: Ask, thing: Object, prefix: str = "") -> None:
    """Whether an object may be read, or copied (`prefix`). Raises PreconditionFailed, and NotModified where it is not a copy."""
    headers = ask.request.headers
    match, none = headers.get(f"{prefix}if-match"), headers.get(f"{prefix}if-none-match")
    changed = int(thing.stamp / 1_000_000)
    if match:
        if match != "*" and thing.etag not in _tags(match):
            raise S3Error("PreconditionFailed", Condition=f"{prefix}If-Match")
    elif since := _seconds(headers.get(f"{prefix}if-unmodified-since")):
        if changed > since:
            raise S3Error("PreconditionFailed", Condition=f"{prefix}If-Unmodified-Since")
    refusal = "PreconditionFailed" if prefix else "NotModified"
    if none:
        if none == "*" or thing.etag in _tags(none):
            raise S3Error(refusal, Condition=f"{prefix}If-None-Match")
    elif (since := _seconds(headers.get(f"{prefix}if-modified-since"))) and changed <= since:
        raise S3Error(refusal, Condition=f"{prefix}If-Modified-Since")


def for_writing(ask: Ask) -> When | None:
    """What must hold of the present object for it to be replaced. Raises NotImplemented for two conditions at once, as S3 does."""
    match, none = ask.header("if-match"), ask.header("if-none-match")
    if not match and not none:
        return None
    if match and none:
        raise S3Error("NotImplemented", "A header you provided implies functionality that is not implemented", Header="If-None-Match")

    def check(before: Object | None) -> None:
        if none and before is not None and not expired(before) and (none == "*" or tag(before) in _tags(none)):
            raise S3Error("PreconditionFailed", Condition="If-None-Match")
        if match:
            _same(before, match)

    return check


def for_deleting(ask: Ask) -> When | None:
    """What must hold of the present object for it to be deleted."""
    match = ask.header("if-match")
    if not match:
        return None
    return lambda before: _same(before, match)


def same(etag: str) -> When:
    """That the present object has an ETag."""
    return lambda before: _same(before, etag)


def _same(before: Object | None, match: str) -> None:
    if before is None or expired(before):
        raise S3Error("NoSuchKey")
    if match != "*" and tag(before) not in _tags(match):
        raise S3Error("PreconditionFailed", Condition="If-Match")
