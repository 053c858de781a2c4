"""What a project does with the keys that its objects are encrypted with, as clients of AWS KMS ask for it.

Readers look; managers change, since who disables a key makes all that is under it unreadable. What encrypts data other than
objects (Encrypt, GenerateDataKey …) is not here.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from andromede.core.clock import now
from andromede.core.context import Caller
from andromede.core.errors import BadRequest, CloudError, Forbidden
from andromede.services.object.kms import DEFAULT, PENDING, PREFIX, Key, KeyLeaving, KeyStore, LocalKeys, NoKey

Given = dict[str, Any]
Answer = dict[str, Any] | None
_ALIAS = re.compile(r"alias/[a-zA-Z0-9/_-]{1,240}", re.ASCII)
_DAY, _EACH = 86_400, 100


def _local(keys: KeyStore | None) -> LocalKeys:
    if not isinstance(keys, LocalKeys):
        raise CloudError("The keys are not kept here.", status=400, kind="UnsupportedOperationException")
    return keys


def _may(caller: Caller, role: str) -> str:
    """The caller's project. Raises Forbidden."""
    if not caller.has(role) or caller.project_id is None:
        raise Forbidden(f"This needs the role {role} on the project.")
    return caller.project_id


def _text(given: Given, name: str, *, needed: bool = True, most: int = 2048) -> str:
    value = given.get(name)
    if value is None and not needed:
        return ""
    if not isinstance(value, str) or (needed and not value) or len(value) > most:
        raise BadRequest(f"{name} must be a text of at most {most} characters.")
    return value


def _found(keys: LocalKeys, project: str, given: Given, name: str = "KeyId") -> Key:
    """A key of the project. Raises NoKey."""
    text = _text(given, name)
    owner, key = keys.look(project, text)
    if owner != project:
        raise NoKey(f"Key '{text[:512]}' does not exist")
    return key


def _shown(keys: LocalKeys, project: str, key: Key) -> dict[str, Any]:
    out: dict[str, Any] = {
        "AWSAccountId": project, "KeyId": key.id, "Arn": keys.arn(project, key.id), "CreationDate": key.created, "Enabled": key.state == "Enabled",
        "Description": key.description, "KeyUsage": "ENCRYPT_DECRYPT", "KeyState": key.state, "Origin": "AWS_KMS", "MultiRegion": False,
        "KeyManager": "AWS" if key.own else "CUSTOMER", "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT", "KeySpec": "SYMMETRIC_DEFAULT",
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
    }  # fmt: skip
    return out | ({"DeletionDate": key.gone} if key.gone else {})


async def create(kept: KeyStore | None, caller: Caller, given: Given) -> Answer:
    """CreateKey."""
    keys, project = _local(kept), _may(caller, "manager")
    usual = {"KeyUsage": "ENCRYPT_DECRYPT", "KeySpec": "SYMMETRIC_DEFAULT", "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT", "Origin": "AWS_KMS"}
    if any(given.get(name, value) != value for name, value in usual.items()) or given.get("MultiRegion"):
        raise CloudError("Only symmetric keys that encrypt are supported.", status=400, kind="UnsupportedOperationException")
    if given.get("Policy") or given.get("Tags"):
        raise CloudError("Policies and tags of keys are not supported.", status=400, kind="UnsupportedOperationException")
    if len(keys.keys(project)) >= _EACH:
        raise CloudError(f"A project may have {_EACH} keys.", status=400, kind="LimitExceededException")
    key = await keys.create(project, _text(given, "Description", needed=False, most=8192))
    return {"KeyMetadata": _shown(keys, project, key)}


async def describe(kept: KeyStore | None, caller: Caller, given: Given) -> Answer:
    """DescribeKey."""
    keys, project = _local(kept), _may(caller, "reader")
    if _text(given, "KeyId").endswith(DEFAULT):
        await keys.default(project)
    return {"KeyMetadata": _shown(keys, project, _found(keys, project, given))}


async def listed(kept: KeyStore | None, caller: Caller, _given: Given) -> Answer:
    """ListKeys."""
    keys, project = _local(kept), _may(caller, "reader")
    moment = now().timestamp()
    there = [key for key in keys.keys(project) if not key.gone or key.gone > moment]
    return {"Keys": [{"KeyId": key.id, "KeyArn": keys.arn(project, key.id)} for key in there], "Truncated": False}


def _switched(*, disabled: bool) -> Callable[[KeyStore | None, Caller, Given], Awaitable[Answer]]:
    async def switch(kept: KeyStore | None, caller: Caller, given: Given) -> Answer:
        """EnableKey, DisableKey."""
        keys, project = _local(kept), _may(caller, "manager")
        key = _changeable(keys, project, given)
        await keys.change(project, key.id, lambda was: msgspec.structs.replace(was, disabled=disabled))
        return None

    return switch


def _changeable(keys: LocalKeys, project: str, given: Given) -> Key:
    key = _found(keys, project, given)
    if key.own:
        raise Forbidden(f"You cannot perform this operation on an AWS managed key: {keys.arn(project, key.id)}")
    if key.state == PENDING:
        raise KeyLeaving(f"{keys.arn(project, key.id)} is pending deletion.")
    return key


async def schedule(kept: KeyStore | None, caller: Caller, given: Given) -> Answer:
    """ScheduleKeyDeletion."""
    keys, project = _local(kept), _may(caller, "manager")
    days = given.get("PendingWindowInDays", 30)
    if not isinstance(days, int) or not 7 <= days <= 30:
        raise BadRequest("PendingWindowInDays must be from 7 to 30.")
    key = _changeable(keys, project, given)
    gone = int(now().timestamp()) + days * _DAY
    await keys.change(project, key.id, lambda was: msgspec.structs.replace(was, gone=gone, disabled=True))
    return {"KeyId": keys.arn(project, key.id), "DeletionDate": gone, "KeyState": PENDING, "PendingWindowInDays": days}


async def cancel(kept: KeyStore | None, caller: Caller, given: Given) -> Answer:
    """CancelKeyDeletion: the key is disabled from then on."""
    keys, project = _local(kept), _may(caller, "manager")
    key = _found(keys, project, given)
    if key.state != PENDING:
        raise KeyLeaving(f"{keys.arn(project, key.id)} is not pending deletion.")
    await keys.change(project, key.id, lambda was: msgspec.structs.replace(was, gone=0))
    return {"KeyId": keys.arn(project, key.id)}


async def change_description(kept: KeyStore | None, caller: Caller, given: Given) -> Answer:
    """UpdateKeyDescription."""
    keys, project = _local(kept), _may(caller, "manager")
    key, text = _changeable(keys, project, given), _text(given, "Description", needed=False, most=8192)
    await keys.change(project, key.id, lambda was: msgspec.structs.replace(was, description=text))
    return None


async def aliases(kept: KeyStore | None, caller: Caller, given: Given) -> Answer:
    """ListAliases."""
    keys, project = _local(kept), _may(caller, "reader")
    only = _found(keys, project, given).id if given.get("KeyId") else ""
    found = [{"AliasName": name, "AliasArn": keys.arn(project, name), "TargetKeyId": id_} for name, id_ in keys.aliases(project)]
    return {"Aliases": [each for each in found if not only or each["TargetKeyId"] == only], "Truncated": False}


def _alias(given: Given) -> str:
    name = _text(given, "AliasName", most=256)
    if not _ALIAS.fullmatch(name) or name.startswith(f"{PREFIX}aws/"):
        raise BadRequest("AliasName must be alias/NAME, with letters, digits and /_- only, and not begin with alias/aws/.")
    return name


def _named(*, new: bool) -> Callable[[KeyStore | None, Caller, Given], Awaitable[Answer]]:
    async def name(kept: KeyStore | None, caller: Caller, given: Given) -> Answer:
        """CreateAlias, UpdateAlias."""
        keys, project, alias = _local(kept), _may(caller, "manager"), _alias(given)
        key = _found(keys, project, given, "TargetKeyId")
        there = alias in dict(keys.aliases(project))
        if there and new:
            raise CloudError(f"An alias with the name {keys.arn(project, alias)} already exists", status=400, kind="AlreadyExistsException")
        if not there and not new:
            raise NoKey(f"Alias {keys.arn(project, alias)} is not found.")
        await keys.name(project, alias, key.id)
        return None

    return name


async def unname(kept: KeyStore | None, caller: Caller, given: Given) -> Answer:
    """DeleteAlias."""
    keys, project, alias = _local(kept), _may(caller, "manager"), _alias(given)
    if not await keys.name(project, alias, None):
        raise NoKey(f"Alias {keys.arn(project, alias)} is not found.")
    return None


CALLS: dict[str, Callable[[KeyStore | None, Caller, Given], Awaitable[Answer]]] = {
    "CreateKey": create, "DescribeKey": describe, "ListKeys": listed, "EnableKey": _switched(disabled=False), "DisableKey": _switched(disabled=True),
    "ScheduleKeyDeletion": schedule, "CancelKeyDeletion": cancel, "UpdateKeyDescription": change_description, "ListAliases": aliases,
    "CreateAlias": _named(new=True), "UpdateAlias": _named(new=False), "DeleteAlias": unname,
}  # fmt: skip
