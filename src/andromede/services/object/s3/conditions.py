"""The conditions of bucket policies: operators over what a request is.

Source: AWS IAM User Guide, "IAM JSON policy elements: Condition operators".
"""

import ipaddress
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from andromede.core.clock import parse
from andromede.services.object.s3.like import like

Context = Callable[[str], list[str]]
"""From a key in lower case to the values that it has in a request; none where it has none."""

KEYS = {
    "aws:currenttime", "aws:epochtime", "aws:principalaccount", "aws:principalarn", "aws:principaltype", "aws:referer", "aws:securetransport",
    "aws:sourceip", "aws:useragent", "aws:userid", "aws:username", "s3:authtype", "s3:delimiter", "s3:if-match", "s3:if-none-match",
    "s3:locationconstraint", "s3:max-keys", "s3:object-lock-legal-hold", "s3:object-lock-mode", "s3:object-lock-retain-until-date", "s3:prefix",
    "s3:requestobjecttagkeys", "s3:signatureage", "s3:signatureversion", "s3:versionid", "s3:x-amz-acl", "s3:x-amz-content-sha256",
    "s3:x-amz-copy-source", "s3:x-amz-grant-full-control", "s3:x-amz-grant-read", "s3:x-amz-grant-read-acp", "s3:x-amz-grant-write",
    "s3:x-amz-grant-write-acp", "s3:x-amz-metadata-directive", "s3:x-amz-object-ownership", "s3:x-amz-server-side-encryption",
    "s3:x-amz-server-side-encryption-aws-kms-key-id",
    "s3:x-amz-server-side-encryption-customer-algorithm", "s3:x-amz-storage-class", "s3:x-amz-website-redirect-location",
}  # fmt: skip
FAMILIES = ("s3:existingobjecttag/", "s3:requestobjecttag/")


def _moment(text: str) -> float:
    return float(text) if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text, re.ASCII) else parse(text.replace("Z", "+00:00")).timestamp()


def _inside(value: str, network: str) -> bool:
    address, net = ipaddress.ip_address(value), ipaddress.ip_network(network, strict=False)
    return address.version == net.version and address in net


def _like(value: str, pattern: str) -> bool:
    return like(pattern, value)


_POSITIVE: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda value, wanted: value == wanted.replace("\ue000", "*").replace("\ue001", "?"),
    "StringEqualsIgnoreCase": lambda value, wanted: value.lower() == wanted.lower(),
    "StringLike": _like,
    "NumericEquals": lambda value, wanted: float(value) == float(wanted),
    "NumericLessThan": lambda value, wanted: float(value) < float(wanted),
    "NumericLessThanEquals": lambda value, wanted: float(value) <= float(wanted),
    "NumericGreaterThan": lambda value, wanted: float(value) > float(wanted),
    "NumericGreaterThanEquals": lambda value, wanted: float(value) >= float(wanted),
    "DateEquals": lambda value, wanted: _moment(value) == _moment(wanted),
    "DateLessThan": lambda value, wanted: _moment(value) < _moment(wanted),
    "DateLessThanEquals": lambda value, wanted: _moment(value) <= _moment(wanted),
    "DateGreaterThan": lambda value, wanted: _moment(value) > _moment(wanted),
    "DateGreaterThanEquals": lambda value, wanted: _moment(value) >= _moment(wanted),
    "Bool": lambda value, wanted: value.lower() == wanted.lower(),
    "BinaryEquals": lambda value, wanted: value == wanted,
    "IpAddress": _inside,
    "ArnEquals": _like,
    "ArnLike": _like,
}
_NEGATIVE = {
    "StringNotEquals": "StringEquals", "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase", "StringNotLike": "StringLike",
    "NumericNotEquals": "NumericEquals", "DateNotEquals": "DateEquals", "NotIpAddress": "IpAddress", "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
}  # fmt: skip


def _parts(operator: str) -> tuple[str, str, bool]:
    """A set's quantifier, the operator itself, and whether it holds for what is not there."""
    quantifier, _, name = operator.rpartition(":")
    return quantifier, name.removesuffix("IfExists"), name.endswith("IfExists")


def _test(name: str, value: str, wanted: str) -> bool:
    try:
        return _POSITIVE[name](value, wanted)
    except (ValueError, OverflowError):
        return False


def holds(operator: str, present: list[str], wanted: Sequence[str]) -> bool:
    """Whether a condition holds of the values that a key has in a request."""
    quantifier, name, optional = _parts(operator)
    if name == "Null":
        return any((each.lower() == "true") == (not present) for each in wanted)
    if not present:
        return optional or name in _NEGATIVE or quantifier == "ForAllValues"
    if name in _NEGATIVE:
        one = _NEGATIVE[name]
        free = [not any(_test(one, value, each) for each in wanted) for value in present]
        return any(free) if quantifier == "ForAnyValue" else all(free)
    met = [any(_test(name, value, each) for each in wanted) for value in present]
    return all(met) if quantifier == "ForAllValues" else any(met)


def condition_error(operator: str, key: str, values: Sequence[str]) -> str:
    """What is wrong with a condition that somebody sends, "" for nothing."""
    quantifier, name, optional = _parts(operator)
    if quantifier not in {"", "ForAllValues", "ForAnyValue"} or (name == "Null" and optional):
        return f"Invalid Condition type : {operator[:64]}"
    if name not in _POSITIVE and name not in _NEGATIVE and name != "Null":
        return f"Invalid Condition type : {operator[:64]}"
    if key.lower() not in KEYS and not key.lower().startswith(FAMILIES):
        return "Policy has an invalid condition key"
    one = _NEGATIVE.get(name, name)
    if not values:
        return "Policy has an invalid condition value"
    for value in values:
        if "${" in value:
            continue
        try:
            if one == "IpAddress":
                ipaddress.ip_network(value, strict=False)
            elif one.startswith("Numeric"):
                float(value)
            elif one.startswith("Date"):
                datetime.fromtimestamp(_moment(value), UTC)
        except (ValueError, OverflowError, OSError):
            return f"Invalid value for {name}: {value[:64]}"
    return ""
