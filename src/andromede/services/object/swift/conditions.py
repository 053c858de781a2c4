"""If-Match and its kin, as Swift understands them."""

from andromede.http.plain import Headers
from andromede.services.object.model import Object, expired
from andromede.services.object.service import When
from andromede.services.object.swift.answers import Refused, bad, seconds_of

NAMES = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")


def tags(text: str) -> set[str]:
    """The ETags that a header names, without their quotes."""
    return {tag.strip().strip('"') for tag in text.split(",") if tag.strip()}


def unmet(headers: Headers, etag: str, stamp: int) -> int:
    """304 or 412 where a read's conditions are not met, else 0. stamp: when it was changed."""
    none, match = tags(headers.get("if-none-match")), tags(headers.get("if-match"))
    if none and (etag in none or "*" in none):
        return 304
    if match and etag not in match and "*" not in match:
        return 412
    changed = -(-stamp // 1_000_000)
    since, until = headers.get("if-modified-since"), headers.get("if-unmodified-since")
    if since and (moment := seconds_of(since)) is not None and changed <= moment:
        return 304
    if until and (moment := seconds_of(until)) is not None and changed > moment:
        return 412
    return 0


def of_put(headers: Headers) -> When | None:
    """What must hold of the object that a PUT would replace. Raises Refused for what Swift does not know."""
    none = tags(headers.get("if-none-match"))
    if not none:
        return None
    if "*" not in none:
        raise bad("If-None-Match only supports *")

    def when(before: Object | None) -> None:
        if before is not None and not expired(before):
            raise Refused(412)

    return when
