"""Notifications: who is to learn of what happens in a bucket.

A target is a webhook: one that the operator declared, which the last part of an ARN of SNS, SQS or Lambda names, or any address on the
public internet, `arn:andromede:webhook:https://…`. What is sent is as Amazon's events are.
Source: Amazon S3 User Guide, "Amazon S3 Event Notifications", and "Event message structure".
"""

import re
from typing import Any

from andromede.core.errors import BadRequest
from andromede.core.ids import new_id
from andromede.drivers.blob import View
from andromede.http.outside import Limits, checked
from andromede.http.plain import Reply
from andromede.services.object import tasks
from andromede.services.object.model import stamp
from andromede.services.object.s3.ask import Ask
from andromede.services.object.s3.configs import body_of, keep
from andromede.services.object.s3.errors import S3Error
from andromede.services.object.s3.settings import Settings
from andromede.services.object.s3.writing import XML
from andromede.services.object.s3.xml import document, fields, malformed, parsed, shaped
from andromede.services.object.tasks import EVENT, Task
from andromede.services.object.watching import EVENTS, KINDS, fits, part

ANY = "arn:andromede:webhook:"
TEST = "s3:TestEvent"
_FILTER = {"S3Key": {"FilterRule": [{"Name": str, "Value": str}]}}
SHAPE: dict[str, Any] = {kind: [{"Id": str, name: str, "Event": [str], "Filter": _FILTER}] for kind, name in KINDS.items()}
_ARNS = {"TopicConfiguration": "sns", "QueueConfiguration": "sqs", "CloudFunctionConfiguration": "lambda"}
_ARN = re.compile(r"arn:aws:(sns|sqs|lambda):[A-Za-z0-9-]{0,64}:[A-Za-z0-9-]{0,64}:(?:function:)?([A-Za-z0-9_-]{1,80})")
_MOST = 100


def limits(settings: Settings) -> Limits:
    """What a bucket's owner may name by address."""
    return Limits(ports=settings.webhook_ports, hosts=settings.webhook_hosts, what="The address of the webhook is not allowed", silence=10.0)


def declared(target: str) -> str:
    """The name of the declared webhook that an ARN means, "" where it means none."""
    found = _ARN.fullmatch(target)
    return found[2] if found else ""


async def get(ask: Ask) -> Reply:
    """GetBucketNotificationConfiguration."""
    return Reply(200, [XML], document("NotificationConfiguration", fields(ask.place.container.s3.get("notification", {}), SHAPE)))


async def put(ask: Ask) -> Reply:
    """PutBucketNotificationConfiguration. Each target gets a test event."""
    root = await parsed(await body_of(ask), "NotificationConfiguration")
    if root.find("EventBridgeConfiguration") is not None:
        raise S3Error("NotImplemented", "EventBridge is not supported.")
    values = shaped(root, SHAPE)
    rules = [(kind, rule) for kind in KINDS for rule in values.get(kind, ())]
    if len(rules) > _MOST:
        raise malformed()
    names = set[str]()
    for kind, rule in rules:
        rule.setdefault("Id", new_id())
        if rule["Id"] in names or not 0 < len(rule["Id"]) <= 255:
            raise S3Error("InvalidArgument", "The Ids of the configurations must be unique.", ArgumentName="Id")
        names.add(rule["Id"])
        _check(ask, kind, rule)
    _distinct([rule for _kind, rule in rules])
    await keep(ask, "notification", values or None)
    targets = {rule[KINDS[kind]] for kind, rule in rules}
    place, made = ask.place, stamp()

    def run(view: View) -> None:
        for target in targets:
            facts = {"event": TEST, "target": target, "request": ask.request.id}
            tasks.add(view, Task(kind=EVENT, account=place.account, container=place.id, bucket=place.name, name="", made=made, facts=facts))

    if targets:
        await ask.objects.store.commit(place.shard, run)
    return Reply(200)


def _check(ask: Ask, kind: str, rule: dict[str, Any]) -> None:
    name, events = KINDS[kind], rule.get("Event", [])
    target = rule.get(name, "")
    if not events or not target or len(target) > 2048:
        raise malformed()
    for event in events:
        if not any(fits(event, each) for each in EVENTS) or "*" in event[:-1]:
            raise S3Error("InvalidArgument", "The event is not supported for notifications", ArgumentName="Event", ArgumentValue=event[:128])
    rules = rule.get("Filter", {}).get("S3Key", {}).get("FilterRule", [])
    found = [each.get("Name", "").lower() for each in rules]
    if len(found) != len(set(found)) or not set(found) <= {"prefix", "suffix"} or any(len(each.get("Value", "")) > 1024 for each in rules):
        raise S3Error("InvalidArgument", "filter rule name must be either prefix or suffix", ArgumentName="FilterRule.Name")
    if target.startswith(ANY):
        try:
            checked(target[len(ANY) :], limits(ask.settings))
        except BadRequest as error:
            raise S3Error("InvalidArgument", error.message, ArgumentName=name, ArgumentValue=target[:128]) from error
        return
    arn = _ARN.fullmatch(target)
    if arn is None or arn[1] != _ARNS[kind]:
        raise S3Error("InvalidArgument", "The ARN is not well formed", ArgumentName=name, ArgumentValue=target[:128])
    if arn[2] not in ask.settings.webhooks:
        raise S3Error("InvalidArgument", "Unable to validate the following destination configurations", ArgumentName=name, ArgumentValue=target[:128])


def _distinct(rules: list[dict[str, Any]]) -> None:
    """Raise InvalidArgument where two configurations could mean the same event of the same object."""
    for number, one in enumerate(rules):
        for other in rules[:number]:
            prefixes, suffixes = (part(one, "prefix"), part(other, "prefix")), (part(one, "suffix"), part(other, "suffix"))
            same = any(fits(each, event) and fits(wanted, event) for each in one["Event"] for wanted in other["Event"] for event in EVENTS)
            if same and _begins(*prefixes) and _begins(suffixes[0][::-1], suffixes[1][::-1]):
                raise S3Error("InvalidArgument", "Configurations overlap. Configurations on the same bucket cannot share a common event type.")


def _begins(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)
