"""Who is to learn of a change of an object: called within the transaction that makes the change, it leaves tasks for whoever tells them.

A container asks for that by its settings: S3's notifications and replication, and Swift's container sync. Which protocol made the
change makes no difference.
"""

from typing import TYPE_CHECKING, Any

import msgspec

from andromede.drivers.blob import View
from andromede.services.object import tasks
from andromede.services.object.model import LINK, MARKER, Container, Object, stamp
from andromede.services.object.tasks import EVENT, REPLICA, SYNC, Task

if TYPE_CHECKING:
    from andromede.services.object.changes import Place

PUT, COPY, POST, COMPLETE = (f"s3:ObjectCreated:{how}" for how in ("Put", "Copy", "Post", "CompleteMultipartUpload"))
DELETE, MARKED = "s3:ObjectRemoved:Delete", "s3:ObjectRemoved:DeleteMarkerCreated"
EXPIRED, EXPIRED_MARKED, MOVED = "s3:LifecycleExpiration:Delete", "s3:LifecycleExpiration:DeleteMarkerCreated", "s3:LifecycleTransition"
TAGGED, UNTAGGED, LISTED = "s3:ObjectTagging:Put", "s3:ObjectTagging:Delete", "s3:ObjectAcl:Put"
LOCKED, POSTED = "lock", "post"
"""No events of S3's: changes that go with copies only."""
EVENTS = (PUT, COPY, POST, COMPLETE, DELETE, MARKED, EXPIRED, EXPIRED_MARKED, MOVED, TAGGED, UNTAGGED, LISTED)
SYNC_TO, SYNC_KEY = "x-container-sync-to", "x-container-sync-key"
PENDING, COMPLETED, FAILED = "PENDING", "COMPLETED", "FAILED"
KINDS = {"TopicConfiguration": "Topic", "QueueConfiguration": "Queue", "CloudFunctionConfiguration": "CloudFunction"}
"""The kinds of a notification's targets, and what names the target in each."""


class Cause(msgspec.Struct, frozen=True):
    """Why something happens. event: one of EVENTS where it is not what the change itself tells; by whom, from where, in which request."""

    event: str = ""
    user: str = ""
    address: str = ""
    request: str = ""


NOTHING = Cause()


def watched(container: Container) -> bool:
    """Whether anybody is to learn of changes."""
    return "notification" in container.s3 or "replication" in container.s3 or SYNC_TO in container.headers


def bound(container: Container, name: str, thing: Object) -> Object:
    """An object that is about to be put, with where copies of it are to go."""
    targets = destinations(container, name, thing)
    return msgspec.structs.replace(thing, s3=thing.s3 | {"replication": dict.fromkeys(targets, PENDING)}) if targets else thing


def noted(view: View, place: "Place", container: Container, name: str, thing: Object, event: str, cause: Cause | None) -> None:
    """Note what is to be done of a change. event: what it is where the cause does not say more."""
    cause = cause or NOTHING
    event, made = cause.event or event, stamp()
    base = Task(kind=EVENT, account=place.account, container=container.id, bucket=place.name, name=name, made=made, stamp=thing.stamp)
    for kind, rule in _rules(container, event, name):
        facts = {
            "event": event, "id": rule["Id"], "target": rule[KINDS[kind]], "size": thing.size, "etag": thing.etag, "version": thing.version,
            "user": cause.user, "address": cause.address, "request": cause.request,
        }  # fmt: skip
        tasks.add(view, msgspec.structs.replace(base, facts=facts))
    if "replication" in container.s3 and "replica" not in thing.s3:
        targets = thing.s3.get("replication", {})
        if thing.kind == MARKER and event in {MARKED, EXPIRED_MARKED}:
            targets = destinations(container, name, thing)
        elif event.startswith(("s3:ObjectRemoved", "s3:LifecycleExpiration")):
            targets = {}
        for target in targets:
            tasks.add(view, msgspec.structs.replace(base, kind=REPLICA, facts={"target": target, "version": thing.version}))
    if SYNC_TO in container.headers:
        tasks.add(view, msgspec.structs.replace(base, kind=SYNC))


def _rules(container: Container, event: str, name: str) -> list[tuple[str, dict[str, Any]]]:
    """The notifications that a change is for."""
    config = container.s3.get("notification")
    if config is None:
        return []
    every = ((kind, rule) for kind in KINDS for rule in config.get(kind, ()))
    return [(kind, rule) for kind, rule in every if any(fits(wanted, event) for wanted in rule["Event"]) and chosen(rule, name)]


def fits(wanted: str, event: str) -> bool:
    """Whether an event is of a kind, which may end in a star."""
    return event.startswith(wanted[:-1]) if wanted.endswith("*") else event == wanted


def chosen(rule: dict[str, Any], name: str) -> bool:
    """Whether a notification is for a name."""
    return name.startswith(part(rule, "prefix")) and name.endswith(part(rule, "suffix"))


def part(rule: dict[str, Any], which: str) -> str:
    """The prefix or the suffix that a notification is for."""
    rules = rule.get("Filter", {}).get("S3Key", {}).get("FilterRule", ())
    return next((str(each.get("Value", "")) for each in rules if each.get("Name", "").lower() == which), "")


def destinations(container: Container, name: str, thing: Object) -> dict[str, dict[str, Any]]:
    """Where copies of an object go: the rule that says so, by the ARN of the bucket, of several that of the highest priority."""
    found: dict[str, dict[str, Any]] = {}
    if "replication" not in container.s3 or container.versioning != "on" or "replica" in thing.s3 or "ssec" in thing.s3 or thing.kind == LINK:
        return found
    for rule in sorted(container.s3["replication"]["Rule"], key=lambda each: -each.get("Priority", 0)):
        if rule["Status"] != "Enabled" or not _meant(rule, name, thing):
            continue
        if thing.kind == MARKER and rule.get("DeleteMarkerReplication", {}).get("Status") != "Enabled":
            continue
        if "kms" in thing.s3 and rule.get("SourceSelectionCriteria", {}).get("SseKmsEncryptedObjects", {}).get("Status") != "Enabled":
            continue
        found.setdefault(rule["Destination"]["Bucket"], rule)
    return found


def _meant(rule: dict[str, Any], name: str, thing: Object) -> bool:
    given = rule.get("Filter", {})
    all_of = given.get("And", given)
    prefix, tags = rule.get("Prefix", all_of.get("Prefix", "")), all_of.get("Tag", [])
    have = thing.s3.get("tags", {})
    return name.startswith(prefix) and all(have.get(tag.get("Key")) == tag.get("Value", "") for tag in (tags if isinstance(tags, list) else [tags]))
