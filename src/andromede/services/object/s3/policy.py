"""Bucket policies: what a document says of a request.

Source: AWS IAM User Guide, "IAM JSON policy elements reference", and Amazon S3 User Guide, "Policies and permissions in Amazon S3".
Principals: `*`, a project (its id, or `arn:aws:iam::PROJECT:root`), a user (`arn:aws:iam::PROJECT:user/NAME` or `…/ID`).
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from andromede.core.context import Caller
from andromede.services.object.s3.conditions import Context, condition_error, holds
from andromede.services.object.s3.errors import S3Error
from andromede.services.object.s3.like import like

MOST = 20 * 1024
ALLOW, DENY = "Allow", "Deny"
_ARN, _IAM = "arn:aws:s3:::", "arn:aws:iam::"
_ELEMENTS = {"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"}
_NARROW = {
    "aws:sourceip", "aws:principalaccount", "aws:principalarn", "aws:userid", "aws:username", "s3:x-amz-server-side-encryption-aws-kms-key-id",
}  # fmt: skip
"""Keys whose conditions make a statement for everybody one that is not public."""


class Statement(msgspec.Struct, frozen=True):
    """A statement: each of principals, actions and resources with whether it is the ones that are not named."""

    effect: str
    principals: tuple[str, ...]
    other_principals: bool
    actions: tuple[str, ...]
    other_actions: bool
    resources: tuple[str, ...]
    other_resources: bool
    conditions: tuple[tuple[str, str, tuple[str, ...]], ...]

    @property
    def public(self) -> bool:
        """Whether it allows something to everybody."""
        if self.effect != ALLOW or not (self.other_principals or "*" in self.principals):
            return False
        return not any(
            key.lower() in _NARROW and not any(value in {"*", "0.0.0.0/0", "::/0"} for value in values) and "Not" not in operator
            for operator, key, values in self.conditions
        )


class Policy(msgspec.Struct, frozen=True):
    """A document's statements."""

    statements: tuple[Statement, ...]

    @property
    def public(self) -> bool:
        """Whether anything is allowed to everybody."""
        return any(statement.public for statement in self.statements)

    def verdict(self, caller: Caller | None, action: str, resource: str, context: Context) -> tuple[str, bool]:
        """`Deny`, `Allow` or "", and whether what allows it names more than a whole project."""
        found, personal = "", False
        for statement in self.statements:
            if found == ALLOW and personal and statement.effect == ALLOW:
                continue
            who = _principal(statement.principals, caller)
            if bool(who) == statement.other_principals:
                continue
            if any(like(each.lower(), action) for each in statement.actions) == statement.other_actions:
                continue
            if any(like(_filled(each, context), resource) for each in statement.resources) == statement.other_resources:
                continue
            if not all(
                holds(operator, context(key.lower()), [_filled(value, context) for value in values]) for operator, key, values in statement.conditions
            ):
                continue
            if statement.effect == DENY:
                return DENY, False
            found, personal = ALLOW, personal or statement.other_principals or who == "person"
        return found, personal


def _principal(principals: tuple[str, ...], caller: Caller | None) -> str:
    """`person` where a caller is named or everybody is, `project` where their project is, "" where they are not meant."""
    if "*" in principals:
        return "person"
    if caller is None or caller.project_id is None:
        return ""
    users = {f"{_IAM}{caller.project_id}:user/{caller.user_name}", f"{_IAM}{caller.project_id}:user/{caller.user_id}"}
    if any(each in users for each in principals):
        return "person"
    return "project" if any(each in {caller.project_id, f"{_IAM}{caller.project_id}:root"} for each in principals) else ""


def _filled(text: str, context: Context) -> str:
    """A text with its variables' values; a variable that has none matches nothing."""
    if "${" not in text:
        return text

    def value(found: re.Match[str]) -> str:
        name, _, default = found[1].partition(",")
        if name in {"*", "?", "$"}:
            return {"*": "\ue000", "?": "\ue001", "$": "$"}[name]
        values = context(name.strip().lower())
        if values:
            return values[0].replace("*", "\ue000").replace("?", "\ue001")
        return default.strip().strip("'") or "\ue002"

    return re.sub(r"\$\{([^}]*)\}", value, text)


@lru_cache(1024)
def parsed(text: str) -> Policy:
    """A document that was checked when it was put."""
    document = msgspec.json.decode(text)
    return Policy(tuple(_statement(each) for each in _many(document["Statement"])))


def checked(data: bytes, bucket: str) -> Policy:
    """A document that somebody sends for a bucket. Raises MalformedPolicy."""
    if len(data) > MOST:
        raise S3Error("MalformedPolicy", "Policy exceeds the maximum allowed document size.")
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _wrong("Policies must be valid JSON and the first byte must be '{'") from error
    if not isinstance(document, dict) or not document.keys() <= {"Version", "Id", "Statement"}:
        raise _wrong("Policies must be valid JSON and the first byte must be '{'" if not isinstance(document, dict) else "Unknown field")
    if document.get("Version", "2012-10-17") not in {"2012-10-17", "2008-10-17"}:
        raise _wrong("The policy must contain a valid version string")
    statements = _many(document.get("Statement"))
    if not statements or not all(isinstance(each, dict) for each in statements):
        raise _wrong("Could not parse the policy: Statement is empty!")
    for each in statements:
        _check(each, bucket)
    return Policy(tuple(_statement(each) for each in statements))


def _check(statement: Mapping[str, Any], bucket: str) -> None:
    if not statement.keys() <= _ELEMENTS:
        raise _wrong(f"Unknown field {min(statement.keys() - _ELEMENTS)[:64]}")
    if statement.get("Effect") not in {ALLOW, DENY}:
        raise _wrong(f"Invalid effect: {str(statement.get('Effect'))[:64]}")
    for name in ("Principal", "Action", "Resource"):
        if (name in statement) == (f"Not{name}" in statement):
            raise _wrong(f"Missing required field {name}")
    if "NotPrincipal" in statement and statement["Effect"] == ALLOW:
        raise _wrong("Allow with NotPrincipal is not allowed.")
    _check_principals(statement.get("Principal", statement.get("NotPrincipal")))
    actions = _texts(statement.get("Action", statement.get("NotAction")), "Policy has invalid action")
    if not all(each == "*" or re.fullmatch(r"s3:[A-Za-z*?]+", each) for each in actions):
        raise _wrong("Policy has invalid action")
    for each in _texts(statement.get("Resource", statement.get("NotResource")), "Policy has invalid resource"):
        name = each.removeprefix(_ARN).partition("/")[0]
        if each != "*" and (not each.startswith(_ARN) or not like(_filled(name, lambda _key: []), bucket)):
            raise _wrong("Policy has invalid resource")
    conditions = statement.get("Condition", {})
    if not isinstance(conditions, dict):
        raise _wrong("Conditions do not apply to combination of actions and resources in statement")
    for operator, keys in conditions.items():
        if not isinstance(keys, dict) or not keys:
            raise _wrong(f"Invalid Condition type : {operator[:64]}")
        for key, values in keys.items():
            problem = condition_error(operator, key, _values(values))
            if problem:
                raise _wrong(problem)


def _check_principals(given: Any) -> None:
    if given == "*":
        return
    if not isinstance(given, dict) or not given or not given.keys() <= {"AWS", "CanonicalUser"}:
        raise _wrong("Invalid principal in policy")
    for each in (text for value in given.values() for text in _texts(value, "Invalid principal in policy")):
        if each != "*" and not re.fullmatch(rf"({_IAM})?[0-9A-Za-z-]{{1,64}}|{_IAM}[0-9A-Za-z-]{{1,64}}:(root|user/[^*?]{{1,255}})", each):
            raise _wrong("Invalid principal in policy")


def _statement(given: Mapping[str, Any]) -> Statement:
    def of(name: str, get: Callable[[Any], list[str]]) -> tuple[tuple[str, ...], bool]:
        other = f"Not{name}" in given
        return tuple(get(given[f"Not{name}" if other else name])), other

    return Statement(
        given["Effect"], *of("Principal", _names), *of("Action", _values), *of("Resource", _values),
        tuple((operator, key, tuple(_values(values))) for operator, keys in given.get("Condition", {}).items() for key, values in keys.items()),
    )  # fmt: skip


def _names(given: Any) -> list[str]:
    return ["*"] if given == "*" else [name for value in given.values() for name in _values(value)]


def _many(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [] if given is None else [given]


def _values(given: Any) -> list[str]:
    return [str(each).lower() if isinstance(each, bool) else str(each) for each in _many(given)]


def _texts(given: Any, problem: str) -> list[str]:
    texts = _many(given)
    if not texts or not all(isinstance(each, str) for each in texts):
        raise _wrong(problem)
    return texts


def _wrong(text: str) -> S3Error:
    return S3Error("MalformedPolicy", text)
