"""Object lock: retention and legal holds, which keep versions from being deleted.

An object's lock is {"mode": GOVERNANCE or COMPLIANCE, "until": seconds}, its hold "ON" or "OFF". Source: Amazon S3 User Guide, "Using
S3 Object Lock".
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from andromede.core.clock import now, parse
from andromede.services.object.model import Object
from andromede.services.object.s3 import access
from andromede.services.object.s3.ask import Ask
from andromede.services.object.s3.errors import S3Error
from andromede.services.object.s3.xml import Node, malformed
from andromede.services.object.service import Place

GOVERNANCE, COMPLIANCE = "GOVERNANCE", "COMPLIANCE"
MODES = {GOVERNANCE, COMPLIANCE}
_MODE, _UNTIL, _HOLD = "x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date", "x-amz-object-lock-legal-hold"
HEADERS = (_MODE, _UNTIL, _HOLD)
SHAPE = {
    "ObjectLockEnabled": str,
    "Rule": {"DefaultRetention": {"Mode": str, "Days": int, "Years": int}},
}


def enabled(place: Place) -> bool:
    """Whether a bucket locks objects."""
    return bool(place.container.s3.get("lock"))


def for_new(ask: Ask, place: Place) -> dict[str, Any]:
    """The lock and the hold that a new object gets, by its headers or by its bucket's rule. Raises InvalidRequest, InvalidArgument."""
    mode, until, hold = (ask.header(name) for name in HEADERS)
    lock = place.container.s3.get("lock")
    if not (mode or until or hold):
        return by_rule(place)
    if not lock:
        raise S3Error("InvalidRequest", "Bucket is missing Object Lock Configuration")
    made: dict[str, Any] = {}
    if mode or until:
        if not (mode and until):
            raise S3Error("InvalidArgument", f"{_UNTIL} and {_MODE} must both be supplied")
        if mode not in MODES:
            raise S3Error("InvalidArgument", "Unknown wormMode directive.", ArgumentName=_MODE, ArgumentValue=mode[:64])
        made["lock"] = {"mode": mode, "until": _future(until)}
        access.need(ask, place, "PutObjectRetention", ask.key)
    if hold:
        if hold not in {"ON", "OFF"}:
            raise S3Error("InvalidArgument", "Legal Hold must be either of 'ON' or 'OFF'", ArgumentName=_HOLD)
        made["hold"] = hold
        access.need(ask, place, "PutObjectLegalHold", ask.key)
    return made


def by_rule(place: Place) -> dict[str, Any]:
    """The lock that a bucket's rule gives to each new object, through whichever protocol it comes."""
    rule = place.container.s3.get("lock", {}).get("Rule", {}).get("DefaultRetention")
    if not rule:
        return {}
    days = rule.get("Days") or rule["Years"] * 365
    return {"lock": {"mode": rule["Mode"], "until": int(now().timestamp()) + days * 86_400}}


def shown(thing: Object) -> list[tuple[str, str]]:
    """The headers of an object's lock and hold."""
    lines = []
    if lock := thing.s3.get("lock"):
        lines += [(_MODE, lock["mode"]), (_UNTIL, until_text(lock["until"]))]
    if hold := thing.s3.get("hold"):
        lines.append((_HOLD, hold))
    return lines


def until_text(seconds: int) -> str:
    """The end of a retention."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _future(text: str) -> int:
    try:
        seconds = int(parse(text.replace("Z", "+00:00")).timestamp())
    except (ValueError, OverflowError) as error:
        raise S3Error("InvalidArgument", "The retain until date must be provided in ISO 8601 format", ArgumentName=_UNTIL) from error
    if seconds <= now().timestamp():
        raise S3Error("InvalidArgument", "The retain until date must be in the future!", ArgumentName=_UNTIL)
    return seconds


def bypass(ask: Ask, place: Place, key: str) -> bool:
    """Whether governance is to be passed over. Raises AccessDenied where the caller may not."""
    if ask.header("x-amz-bypass-governance-retention").lower() != "true":
        return False
    return access.allowed(ask, place, "BypassGovernanceRetention", key)


def may_go(*, passing: bool) -> Callable[[Object | None], None]:
    """A condition of a version's removal: that nothing keeps it."""

    def check(before: Object | None) -> None:
        if before is not None and keeps(before, passing=passing):
            raise S3Error("AccessDenied", "Access Denied because object protected by object lock.")

    return check


def keeps(thing: Object, *, passing: bool = False) -> bool:
    """Whether a version is kept from removal now."""
    if thing.s3.get("hold") == "ON":
        return True
    lock = thing.s3.get("lock")
    return bool(lock and lock["until"] > now().timestamp() and not (passing and lock["mode"] == GOVERNANCE))


def retention(node: Node) -> dict[str, Any] | None:
    """The lock that a `Retention` asks for; None where it is to be lifted. Raises MalformedXML, InvalidArgument."""
    mode, until = node.value("Mode"), node.value("RetainUntilDate")
    if not mode and not until:
        return None
    if mode not in MODES or not until:
        raise malformed()
    return {"mode": mode, "until": _future(until)}


def retained(thing: Object, lock: dict[str, Any] | None, *, passing: bool) -> Object:
    """An object with another lock. Raises AccessDenied where the present one does not allow it."""
    old = thing.s3.get("lock")
    if old and old["until"] > now().timestamp():
        weaker = lock is None or lock["until"] < old["until"] or (old["mode"] == COMPLIANCE and lock["mode"] != COMPLIANCE)
        changed = weaker or (lock is not None and lock["mode"] != old["mode"])
        if changed and not (passing and old["mode"] == GOVERNANCE):
            raise S3Error("AccessDenied", "Access Denied because object protected by object lock.")
    s3 = {name: value for name, value in thing.s3.items() if name != "lock"}
    return msgspec.structs.replace(thing, s3=s3 | ({"lock": lock} if lock else {}))


def configuration(values: dict[str, Any]) -> dict[str, Any]:
    """A bucket's lock configuration, checked. Raises MalformedXML, InvalidArgument."""
    if values.get("ObjectLockEnabled") != "Enabled":
        raise malformed()
    rule = values.get("Rule", {}).get("DefaultRetention")
    if "Rule" in values:
        if not rule or rule.get("Mode") not in MODES or ("Days" in rule) == ("Years" in rule):
            raise malformed()
        length = rule.get("Days", rule.get("Years", 0))
        if length <= 0 or length > (36_500 if "Days" in rule else 100):
            raise S3Error("InvalidRetentionPeriod")
    return values
