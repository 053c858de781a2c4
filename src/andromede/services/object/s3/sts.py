"""The Security Token Service: who one is, and temporary keys.

A role is one of the project's roles that the caller has: `arn:aws:iam::PROJECT-ID:role/NAME`. A web identity's token is one of Identity's.
"""

import asyncio
import re
from datetime import UTC, datetime

from andromede.core.errors import BadRequest, CloudError
from andromede.services.identity.service import AccessKey, Credentials
from andromede.services.object.callers import Callers
from andromede.services.object.s3.xml import Fields

Given = dict[str, str]
_ROLE = re.compile(r"arn:aws:iam::([0-9A-Za-z-]{1,64}):role/([^/]{1,255})")
_NAME = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
_NOT_HERE = ("Policy", "PolicyArns.member.1.arn", "SerialNumber", "TokenCode")


def iso(seconds: float) -> str:
    """A moment as these services write it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def arn_of(key: AccessKey) -> str:
    """Who signs with a key."""
    caller, session = key.caller, key.session
    if session is not None and session.role:
        return f"arn:aws:sts::{caller.project_id}:assumed-role/{session.role}/{session.name}"
    return f"arn:aws:iam::{caller.project_id}:user/{caller.user_name}"


async def identity(_callers: Callers, key: AccessKey, _given: Given) -> Fields:
    """GetCallerIdentity."""
    return [("Arn", arn_of(key)), ("UserId", key.caller.user_id), ("Account", key.caller.project_id)]


async def session(callers: Callers, key: AccessKey, given: Given) -> Fields:
    """GetSessionToken."""
    _refuse(given)
    made = await asyncio.to_thread(callers.sessions.of_key, key, _seconds(given, 43_200))
    return [("Credentials", _shown(made))]


async def role(callers: Callers, key: AccessKey, given: Given) -> Fields:
    """AssumeRole."""
    _refuse(given)
    project, name, told = _wanted(given)
    made = await asyncio.to_thread(callers.sessions.of_key, key, _seconds(given, 3600), project=project, role=name, name=told)
    return _assumed(made, project, name, told)


async def web_identity(callers: Callers, given: Given) -> Fields:
    """AssumeRoleWithWebIdentity."""
    _refuse(given)
    project, name, told = _wanted(given)
    seconds = _seconds(given, 3600)
    caller = await callers.of_token(given.get("WebIdentityToken", ""))
    if caller is None:
        raise CloudError("The token is not valid, or has expired.", status=400, kind="InvalidIdentityToken")
    if caller.rules is not None:
        raise CloudError("The token's application credential has access rules, which name no call of S3.", status=403, kind="AccessDenied")
    made = await asyncio.to_thread(callers.sessions.of_token, caller, seconds, project=project, role=name, name=told)
    return [*_assumed(made, project, name, told), ("SubjectFromWebIdentityToken", caller.user_id), ("Provider", "identity")]


def _refuse(given: Given) -> None:
    for name in _NOT_HERE:
        if name in given:
            raise BadRequest(f"{name.partition('.')[0]} is not supported.")


def _seconds(given: Given, default: int) -> float:
    text = given.get("DurationSeconds", str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 9):
        raise BadRequest("DurationSeconds must be a number of seconds.")
    return float(text)


def _wanted(given: Given) -> tuple[str, str, str]:
    found, name = _ROLE.fullmatch(given.get("RoleArn", "")), given.get("RoleSessionName", "")
    if found is None:
        raise BadRequest("RoleArn must be arn:aws:iam::PROJECT-ID:role/NAME, with one of your roles on that project.")
    if not _NAME.fullmatch(name):
        raise BadRequest("RoleSessionName must have 2 to 64 letters, digits and +=,.@-_ only.")
    return found[1], found[2], name


def _shown(made: Credentials) -> Fields:
    return [
        ("AccessKeyId", made.access), ("SecretAccessKey", made.secret), ("SessionToken", made.token), ("Expiration", iso(made.expires)),
    ]  # fmt: skip


def _assumed(made: Credentials, project: str, role: str, name: str) -> Fields:
    user = [("AssumedRoleId", f"{made.caller.user_id}:{name}"), ("Arn", f"arn:aws:sts::{project}:assumed-role/{role}/{name}")]
    return [("Credentials", _shown(made)), ("AssumedRoleUser", user)]


CALLS = {"GetCallerIdentity": identity, "GetSessionToken": session, "AssumeRole": role}
FREE = {"AssumeRoleWithWebIdentity": web_identity}
"""Those that nobody signs: they bring a token."""
