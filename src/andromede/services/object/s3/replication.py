"""Replication: which objects of a bucket are to be copied where.

A destination is a bucket here, `arn:aws:s3:::BUCKET`, or one of another service that the operator declared,
`arn:andromede:remote:NAME:BUCKET`. Both buckets keep versions. A bucket of another project must allow `s3:ReplicateObject` to this one.
Source: Amazon S3 User Guide, "Replicating objects within and across Regions".
"""

from typing import Any

from andromede.core.context import Caller
from andromede.http.plain import Reply
from andromede.services.object.s3 import policy
from andromede.services.object.s3.ask import Ask
from andromede.services.object.s3.configs import body_of, keep
from andromede.services.object.s3.errors import S3Error
from andromede.services.object.s3.lifecycle import prefix
from andromede.services.object.s3.writing import XML
from andromede.services.object.s3.xml import document, fields, malformed, parsed, shaped
from andromede.services.object.service import Objects, Place

HERE, THERE = "arn:aws:s3:::", "arn:andromede:remote:"
_STATUS, _TAG = {"Status": str}, {"Key": str, "Value": str}
SHAPE: dict[str, Any] = {
    "Role": str,
    "Rule": [{
        "ID": str, "Priority": int, "Prefix": str, "Filter": {"Prefix": str, "Tag": _TAG, "And": {"Prefix": str, "Tag": [_TAG]}}, "Status": str,
        "SourceSelectionCriteria": {"SseKmsEncryptedObjects": _STATUS, "ReplicaModifications": _STATUS}, "ExistingObjectReplication": _STATUS,
        "Destination": {
            "Bucket": str, "Account": str, "StorageClass": str, "AccessControlTranslation": {"Owner": str},
            "EncryptionConfiguration": {"ReplicaKmsKeyID": str}, "ReplicationTime": {"Status": str, "Time": {"Minutes": int}},
            "Metrics": {"Status": str, "EventThreshold": {"Minutes": int}},
        },
        "DeleteMarkerReplication": _STATUS,
    }],
}  # fmt: skip
_MOST = 100


async def get(ask: Ask) -> Reply:
    """GetBucketReplication."""
    values = ask.place.container.s3.get("replication")
    if values is None:
        raise S3Error("ReplicationConfigurationNotFoundError", BucketName=ask.bucket)
    return Reply(200, [XML], document("ReplicationConfiguration", fields(values, SHAPE)))


async def put(ask: Ask) -> Reply:
    """PutBucketReplication."""
    values = shaped(await parsed(await body_of(ask), "ReplicationConfiguration"), SHAPE)
    rules = values.get("Rule", [])
    if not values.get("Role") or not 0 < len(rules) <= _MOST:
        raise malformed()
    if ask.place.container.versioning != "on":
        raise S3Error("InvalidRequest", "Versioning must be 'Enabled' on the bucket to apply a replication configuration")
    names, priorities = set[str](), set[int]()
    for number, rule in enumerate(rules):
        rule.setdefault("ID", f"rule-{number + 1}")
        rule["Destination"] = rule.get("Destination", {})
        _check(ask, rule)
        if rule["ID"] in names or len(rule["ID"]) > 255:
            raise S3Error("InvalidArgument", "Rule Id must be unique. Found same Id for more than one rule", ArgumentName="ID")
        if "Filter" in rule and rule["Priority"] in priorities:
            raise S3Error("InvalidRequest", f"Found duplicate priority {rule['Priority']}")
        names.add(rule["ID"])
        priorities.add(rule.get("Priority", -1))
    await keep(ask, "replication", values)
    return Reply(200)


async def delete(ask: Ask) -> Reply:
    """DeleteBucketReplication."""
    await keep(ask, "replication", None)
    return Reply(204)


def _check(ask: Ask, rule: dict[str, Any]) -> None:
    if rule.get("Status") not in {"Enabled", "Disabled"} or ("Filter" in rule and "Prefix" in rule):
        raise malformed()
    chosen = rule.get("Filter", {})
    if len(chosen) > 1 or ("And" in chosen and len(chosen["And"]) + len(chosen["And"].get("Tag", ())) < 2):
        raise malformed()
    if "Filter" in rule and ("Priority" not in rule or "DeleteMarkerReplication" not in rule or not 0 <= rule["Priority"] < 2**31):
        raise S3Error("InvalidRequest", "Priority and DeleteMarkerReplication must be specified for this version of the rule schema.")
    if "Tag" in chosen or "Tag" in chosen.get("And", {}):
        if rule["DeleteMarkerReplication"].get("Status") == "Enabled":
            raise S3Error("InvalidRequest", "Delete marker replication is not supported if any Tag filter is specified.")
    to = rule["Destination"]
    criteria = rule.get("SourceSelectionCriteria", {})
    absent = (rule.get("ExistingObjectReplication"), criteria.get("ReplicaModifications"), to.get("ReplicationTime"), to.get("Metrics"))
    if any(each is not None and each.get("Status") == "Enabled" for each in absent) or "AccessControlTranslation" in to:
        text = "Replication of existing objects, of changes of replicas, within a time, and to another owner is not supported."
        raise S3Error("NotImplemented", text)
    if criteria.get("SseKmsEncryptedObjects", {}).get("Status") == "Enabled" and not to.get("EncryptionConfiguration", {}).get("ReplicaKmsKeyID"):
        raise S3Error("InvalidRequest", "ReplicaKmsKeyID must be specified if SseKmsEncryptedObjects tag is present.")
    if to.get("StorageClass", "STANDARD") not in {"STANDARD", *ask.settings.classes}:
        raise S3Error("InvalidStorageClass", StorageClassRequested=to["StorageClass"][:64])
    _destination(ask, to.get("Bucket", ""), prefix(rule))


def _destination(ask: Ask, arn: str, name: str) -> None:
    if arn.startswith(THERE):
        name, _, bucket = arn[len(THERE) :].partition(":")
        remote = ask.settings.remotes.get(name)
        if remote is None or not bucket or len(bucket) > 63 or ask.place.account not in remote.projects:
            raise S3Error("InvalidRequest", "The destination is not one that the project may use.")
        return
    place = ask.find(arn.removeprefix(HERE)) if arn.startswith(HERE) else None
    if place is None or not may(place, ask.place.account, name):
        raise S3Error("InvalidRequest", "Destination bucket must exist." if place is None else "Access denied for the destination bucket.")
    if place.id == ask.place.id:
        raise S3Error("InvalidRequest", "Destination bucket cannot be the same as the source bucket.")
    if place.container.versioning != "on":
        raise S3Error("InvalidRequest", "Destination bucket must have versioning enabled.")


def found(objects: Objects, account: str, arn: str) -> Place | None:
    """The bucket here that a destination names, as a project sees it."""
    name = arn.removeprefix(HERE)
    own = objects.find(account, name)
    if own is not None:
        return own
    owner = objects.bucket_account(name)
    return objects.find(owner, name) if owner else None


def may(place: Place, account: str, name: str) -> bool:
    """Whether a project's objects may be replicated to a bucket under a name."""
    if place.account == account:
        return True
    text = place.container.s3.get("policy")
    who = Caller(user_id="", user_name="", user_domain_id="", project_id=account)
    if not text:
        return False
    verdict, _personal = policy.parsed(text).verdict(who, "s3:replicateobject", f"{HERE}{place.name}/{name}", lambda _key: [])
    return verdict == policy.ALLOW
