"""What people do through IAM with themselves: who they are, and their access keys for the project that they sign for."""

import asyncio

from andromede.core.errors import CloudError, Forbidden
from andromede.services.identity.service import AccessKey
from andromede.services.object.callers import Callers
from andromede.services.object.s3.sts import arn_of, iso
from andromede.services.object.s3.xml import Fields

Given = dict[str, str]


async def user(callers: Callers, key: AccessKey, given: Given) -> Fields:
    """GetUser."""
    name = _own(key, given)
    since = await asyncio.to_thread(callers.keys.since, key.caller.user_id)
    return [("User", [
        ("Path", "/"), ("UserName", name), ("UserId", key.caller.user_id), ("Arn", f"arn:aws:iam::{key.caller.project_id}:user/{name}"),
        ("CreateDate", iso(since)),
    ])]  # fmt: skip


async def listed(callers: Callers, key: AccessKey, given: Given) -> Fields:
    """ListAccessKeys."""
    name = _own(key, given)
    found = await asyncio.to_thread(callers.keys.listed, key.caller)
    lines = [
        ("member", [
            ("UserName", name), ("AccessKeyId", each.access), ("Status", "Active"), ("CreateDate", iso(each.created) if each.created else None),
        ])
        for each in found
    ]  # fmt: skip
    return [("UserName", name), ("AccessKeyMetadata", lines), ("IsTruncated", False)]


async def create(callers: Callers, key: AccessKey, given: Given) -> Fields:
    """CreateAccessKey."""
    name = _lasting(key, given)
    made = await asyncio.to_thread(callers.keys.create, key.caller)
    return [("AccessKey", [
        ("UserName", name), ("AccessKeyId", made.access), ("Status", "Active"), ("SecretAccessKey", made.secret), ("CreateDate", iso(made.created)),
    ])]  # fmt: skip


async def delete(callers: Callers, key: AccessKey, given: Given) -> Fields:
    """DeleteAccessKey."""
    _lasting(key, given)
    await asyncio.to_thread(callers.keys.remove, key.caller, given.get("AccessKeyId", ""))
    return []


def _own(key: AccessKey, given: Given) -> str:
    """The caller's name, which is the only one that may be named. Raises NoSuchEntity."""
    name = key.caller.user_name
    if given.get("UserName", name) != name:
        raise CloudError(f"The user with name {given['UserName'][:128]} cannot be found.", status=404, kind="NoSuchEntity")
    return name


def _lasting(key: AccessKey, given: Given) -> str:
    """As `_own`, for what only a lasting key may do: a temporary one must not make itself one. Raises AccessDenied."""
    if key.session is not None:
        raise Forbidden(f"{arn_of(key)} is not authorized to change access keys with temporary credentials.")
    return _own(key, given)


CALLS = {"GetUser": user, "ListAccessKeys": listed, "CreateAccessKey": create, "DeleteAccessKey": delete}
