"""Rules of life of objects: when they expire, move to another storage class, or are forgotten as earlier versions.

Source: Amazon S3 User Guide, "Lifecycle configuration elements". What becomes due is so from the next midnight in UTC on.
"""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from andromede.core.clock import parse
from andromede.core.ids import new_id
from andromede.services.object.model import MARKER, Object
from andromede.services.object.s3.ask import Ask
from andromede.services.object.s3.errors import S3Error
from andromede.services.object.s3.xml import malformed

Rule = dict[str, Any]
DAY = 86_400
_TAG = {"Key": str, "Value": str}
_SIZES = {"ObjectSizeGreaterThan": int, "ObjectSizeLessThan": int}
SHAPE = {
    "Rule": [{
        "ID": str, "Prefix": str, "Filter": {"Prefix": str, "Tag": _TAG, **_SIZES, "And": {"Prefix": str, "Tag": [_TAG], **_SIZES}}, "Status": str,
        "Expiration": {"Days": int, "Date": str, "ExpiredObjectDeleteMarker": bool},
        "Transition": [{"Days": int, "Date": str, "StorageClass": str}],
        "NoncurrentVersionExpiration": {"NoncurrentDays": int, "NewerNoncurrentVersions": int},
        "NoncurrentVersionTransition": [{"NoncurrentDays": int, "NewerNoncurrentVersions": int, "StorageClass": str}],
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": int},
    }],
}  # fmt: skip
_ACTIONS = {"Expiration", "Transition", "NoncurrentVersionExpiration", "NoncurrentVersionTransition", "AbortIncompleteMultipartUpload"}
_MOST = 1000


def checked(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """A configuration that somebody sends. Raises MalformedXML, InvalidArgument, InvalidRequest."""
    rules = values.get("Rule", [])
    if not 0 < len(rules) <= _MOST:
        raise malformed()
    names = set[str]()
    for rule in rules:
        rule.setdefault("ID", new_id())
        if len(rule["ID"]) > 255:
            raise S3Error("InvalidArgument", "ID length should not exceed allowed limit of 255")
        if rule["ID"] in names:
            raise S3Error("InvalidArgument", "Rule ID must be unique. Found same ID for more than one rule")
        names.add(rule["ID"])
        _check(ask, rule)
    return values


def _check(ask: Ask, rule: Rule) -> None:
    if rule.get("Status") not in {"Enabled", "Disabled"} or ("Filter" in rule) == ("Prefix" in rule) or not _ACTIONS & rule.keys():
        raise malformed()
    chosen = rule.get("Filter", {})
    if len(chosen) > 1 or ("And" in chosen and len(chosen["And"]) + len(chosen["And"].get("Tag", ())) < 2):
        raise malformed()
    expiration = rule.get("Expiration")
    if expiration is not None:
        if len(expiration) != 1:
            raise malformed()
        _when(expiration, "Expiration")
        if "ExpiredObjectDeleteMarker" in expiration and ("Tag" in chosen or "Tag" in chosen.get("And", {})):
            raise S3Error("InvalidRequest", "ExpiredObjectDeleteMarker cannot be specified with Tags.")
    for transition in rule.get("Transition", ()):
        if len(transition) != 2 or "StorageClass" not in transition:
            raise malformed()
        _when(transition, "Transition")
    for transition in rule.get("NoncurrentVersionTransition", ()):
        if "NoncurrentDays" not in transition:
            raise malformed()
        _positive(transition, "NoncurrentDays", "NewerNoncurrentVersions")
    for transition in (*rule.get("Transition", ()), *rule.get("NoncurrentVersionTransition", ())):
        if transition.get("StorageClass") not in ask.settings.classes:
            raise S3Error("InvalidStorageClass", StorageClassRequested=str(transition.get("StorageClass"))[:64])
    noncurrent = rule.get("NoncurrentVersionExpiration")
    if noncurrent is not None:
        if "NoncurrentDays" not in noncurrent:
            raise malformed()
        _positive(noncurrent, "NoncurrentDays", "NewerNoncurrentVersions")
    abort = rule.get("AbortIncompleteMultipartUpload")
    if abort is not None:
        if "DaysAfterInitiation" not in abort:
            raise malformed()
        if chosen and "Prefix" not in chosen:
            raise S3Error("InvalidRequest", "AbortIncompleteMultipartUpload cannot be specified with Tags or sizes.")
        _positive(abort, "DaysAfterInitiation")


def _positive(values: dict[str, Any], *names: str) -> None:
    for name in names:
        if name in values and not 0 < values[name] < 2**31:
            raise S3Error("InvalidArgument", f"'{name}' must be a positive integer")


def _when(values: dict[str, Any], action: str) -> None:
    if "Days" in values and (values["Days"] < (1 if action == "Expiration" else 0) or values["Days"] >= 2**31):
        raise S3Error("InvalidArgument", f"'Days' for {action} action must be a positive integer")
    if "Date" in values and _date(values["Date"]) % DAY:
        raise S3Error("InvalidArgument", "'Date' must be at midnight GMT")


def _date(text: str) -> int:
    try:
        return int(parse(text.strip().replace("Z", "+00:00")).timestamp())
    except (ValueError, OverflowError) as error:
        raise malformed() from error


def prefix(rule: Rule) -> str:
    """What the names begin with that a rule is for."""
    chosen = rule.get("Filter", {})
    return str(rule.get("Prefix", chosen.get("Prefix", chosen.get("And", {}).get("Prefix", ""))))


def meant(rule: Rule, name: str, thing: Object) -> bool:
    """Whether a rule is for an object."""
    if rule["Status"] != "Enabled" or not name.startswith(prefix(rule)):
        return False
    chosen = rule.get("Filter", {})
    all_of = chosen.get("And", chosen)
    tags = all_of.get("Tag", [])
    have = thing.s3.get("tags", {})
    if any(have.get(tag.get("Key")) != tag.get("Value", "") for tag in (tags if isinstance(tags, list) else [tags])):
        return False
    return bool(all_of.get("ObjectSizeGreaterThan", -1) < thing.size < all_of.get("ObjectSizeLessThan", 1 << 62))


def due(stamp: int, days: int) -> int:
    """When something is due that is so many days after a stamp: the midnight that follows."""
    return -(-(stamp // 1_000_000 + days * DAY) // DAY) * DAY


def reached(action: dict[str, Any], stamp: int, moment: float) -> bool:
    """Whether the day or the date of an action has come."""
    if "Date" in action:
        return _date(action["Date"]) <= moment
    return "Days" in action and due(stamp, action["Days"]) <= moment


def expiry(config: dict[str, Any] | None, name: str, thing: Object) -> str:
    """The `x-amz-expiration` header of an object, "" where it does not expire."""
    found: tuple[int, str] | None = None
    for rule in config["Rule"] if config and thing.kind != MARKER else ():
        action = rule.get("Expiration", {})
        if ("Days" in action or "Date" in action) and meant(rule, name, thing):
            at = _date(action["Date"]) if "Date" in action else due(thing.stamp, action["Days"])
            found = min(found or (at, rule["ID"]), (at, rule["ID"]))
    if found is None:
        return ""
    return f'expiry-date="{datetime.fromtimestamp(found[0], UTC):%a, %d %b %Y %H:%M:%S GMT}", rule-id="{quote(found[1])}"'
