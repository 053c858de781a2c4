"""Settings of buckets that are documents: read by a shape, checked, kept, given back.

Each is kept under its name in the bucket's `s3`. What a setting does is elsewhere: CORS in `cors`, rules of life in `lifecycle` …
"""

from collections.abc import Callable
from typing import Any

import msgspec

from andromede.http.plain import Reply
from andromede.services.object import sealing
from andromede.services.object.model import Container
from andromede.services.object.s3 import acl, cors, lifecycle, locks, policy, tagging, website
from andromede.services.object.s3.ask import Ask
from andromede.services.object.s3.errors import S3Error
from andromede.services.object.s3.incoming import Incoming
from andromede.services.object.s3.writing import XML
from andromede.services.object.s3.xml import document, fields, malformed, parsed, shaped

Values = dict[str, Any]


class Config(msgspec.Struct, frozen=True):
    """A setting: its name in the bucket, root element, shape, what checks and makes its values, and the error where there is none.

    A bucket without it answers with `missing`, or with the values of `default` where it has no error."""

    name: str
    root: str
    shape: Values
    check: Callable[[Ask, Values], Values]
    missing: str = ""
    default: Values | None = None


async def body_of(ask: Ask) -> bytes:
    """The document that a request brings, checked against its checksums."""
    return await Incoming(ask.request, ask.proof, ask.settings.most_xml).whole()


async def keep(ask: Ask, name: str, value: Any) -> None:
    """Set something of the bucket's S3 state; None removes it."""

    def change(was: Container) -> Container:
        s3 = {key: each for key, each in was.s3.items() if key != name}
        return msgspec.structs.replace(was, s3=s3 if value is None else s3 | {name: value})

    await ask.objects.change(ask.place, change)


def getter(config: Config) -> Callable[[Ask], Any]:
    """Answers a setting."""

    async def get(ask: Ask) -> Reply:
        values = ask.place.container.s3.get(config.name, config.default)
        if values is None:
            raise S3Error(config.missing, BucketName=ask.bucket)
        return Reply(200, [XML], document(config.root, fields(values, config.shape)))

    return get


def putter(config: Config) -> Callable[[Ask], Any]:
    """Sets a setting."""

    async def put(ask: Ask) -> Reply:
        root = await parsed(await body_of(ask), config.root)
        await keep(ask, config.name, config.check(ask, shaped(root, config.shape)))
        return Reply(200)

    return put


def remover(config: Config) -> Callable[[Ask], Any]:
    """Removes a setting."""

    async def remove(ask: Ask) -> Reply:
        await keep(ask, config.name, None)
        return Reply(204)

    return remove


def _encryption(ask: Ask, values: Values) -> Values:
    rules = values.get("Rule", [])
    if len(rules) != 1 or "ApplyServerSideEncryptionByDefault" not in rules[0]:
        raise malformed()
    default = rules[0]["ApplyServerSideEncryptionByDefault"]
    if default.get("SSEAlgorithm") == "aws:kms:dsse" or (default.get("SSEAlgorithm") == sealing.KMS and ask.objects.keys is None):
        raise S3Error("NotImplemented", "This encryption is not supported. Use AES256.")
    if default.get("SSEAlgorithm") not in {"AES256", sealing.KMS}:
        raise malformed()
    if "KMSMasterKeyID" in default and (default["SSEAlgorithm"] != sealing.KMS or not 0 < len(default["KMSMasterKeyID"]) <= 512):
        raise S3Error("InvalidArgument", "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms")
    return values


_FLAGS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


def _flags(_ask: Ask, values: Values) -> Values:
    return {name: values.get(name, False) for name in _FLAGS}


CORS = Config("cors", "CORSConfiguration", cors.SHAPE, cors.checked, "NoSuchCORSConfiguration")
LIFECYCLE = Config("lifecycle", "LifecycleConfiguration", lifecycle.SHAPE, lifecycle.checked, "NoSuchLifecycleConfiguration")
WEBSITE = Config("website", "WebsiteConfiguration", website.SHAPE, website.checked, "NoSuchWebsiteConfiguration")
ENCRYPTION = Config(
    "encryption", "ServerSideEncryptionConfiguration",
    {"Rule": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": str, "KMSMasterKeyID": str}, "BucketKeyEnabled": bool}]}, _encryption,
    "ServerSideEncryptionConfigurationNotFoundError",
)  # fmt: skip
BLOCK = Config(
    "block", "PublicAccessBlockConfiguration", dict.fromkeys(_FLAGS, bool), _flags, "NoSuchPublicAccessBlockConfiguration",
)  # fmt: skip
SUBS = {"cors": CORS, "lifecycle": LIFECYCLE, "website": WEBSITE, "encryption": ENCRYPTION, "publicAccessBlock": BLOCK}


async def get_policy(ask: Ask) -> Reply:
    """GetBucketPolicy."""
    text = ask.place.container.s3.get("policy")
    if text is None:
        raise S3Error("NoSuchBucketPolicy", BucketName=ask.bucket)
    return Reply(200, [("content-type", "application/json")], text.encode())


async def put_policy(ask: Ask) -> Reply:
    """PutBucketPolicy."""
    data = await body_of(ask)
    document = policy.checked(data, ask.place.name)
    if document.public and ask.place.container.s3.get("block", {}).get("BlockPublicPolicy"):
        raise S3Error("AccessDenied")
    await keep(ask, "policy", data.decode())
    return Reply(204)


async def delete_policy(ask: Ask) -> Reply:
    """DeleteBucketPolicy."""
    await keep(ask, "policy", None)
    return Reply(204)


async def policy_status(ask: Ask) -> Reply:
    """GetBucketPolicyStatus."""
    text = ask.place.container.s3.get("policy")
    if text is None:
        raise S3Error("NoSuchBucketPolicy", BucketName=ask.bucket)
    return Reply(200, [XML], document("PolicyStatus", [("IsPublic", policy.parsed(text).public)]))


async def get_tagging(ask: Ask) -> Reply:
    """GetBucketTagging."""
    tags = ask.place.container.s3.get("tags")
    if tags is None:
        raise S3Error("NoSuchTagSet", BucketName=ask.bucket)
    return Reply(200, [XML], tagging.shown(tags))


async def put_tagging(ask: Ask) -> Reply:
    """PutBucketTagging."""
    await keep(ask, "tags", tagging.from_document(await parsed(await body_of(ask), "Tagging"), tagging.BUCKET_MOST))
    return Reply(204)


async def delete_tagging(ask: Ask) -> Reply:
    """DeleteBucketTagging."""
    await keep(ask, "tags", None)
    return Reply(204)


async def get_acl(ask: Ask) -> Reply:
    """GetBucketAcl."""
    return Reply(200, [XML], acl.shown(ask.place.container.s3.get("acl"), ask.place.account))


async def put_acl(ask: Ask) -> Reply:
    """PutBucketAcl."""
    grants = await grants_of(ask)
    acl.settable(ask.place, grants, ask.place.account)
    await keep(ask, "acl", grants)
    return Reply(200)


async def grants_of(ask: Ask) -> list[acl.Grant]:
    """The grants that a request brings, in headers or in a document."""
    data, owner = await body_of(ask), ask.place.account
    grants = acl.from_headers(ask, owner)
    if grants is not None and data:
        raise S3Error("InvalidRequest", "This request does not support content")
    if grants is not None:
        return grants
    if not data:
        raise S3Error("MissingSecurityHeader", "Your request was missing a required header", MissingHeaderName="x-amz-acl")
    return acl.from_document(await parsed(data), owner)


async def get_ownership(ask: Ask) -> Reply:
    """GetBucketOwnershipControls."""
    ownership = ask.place.container.s3.get("ownership")
    if ownership is None:
        raise S3Error("OwnershipControlsNotFoundError", BucketName=ask.bucket)
    return Reply(200, [XML], document("OwnershipControls", [("Rule", [("ObjectOwnership", ownership)])]))


async def put_ownership(ask: Ask) -> Reply:
    """PutBucketOwnershipControls."""
    values = shaped(await parsed(await body_of(ask), "OwnershipControls"), {"Rule": [{"ObjectOwnership": str}]})
    rules = values.get("Rule", [])
    ownership = rules[0].get("ObjectOwnership") if len(rules) == 1 else None
    if ownership not in {acl.ENFORCED, "BucketOwnerPreferred", "ObjectWriter"}:
        raise malformed()
    grants = ask.place.container.s3.get("acl")
    if ownership == acl.ENFORCED and grants is not None and grants != [[ask.place.account, acl.FULL]]:
        raise S3Error("InvalidBucketAclWithObjectOwnership")
    await keep(ask, "ownership", ownership)
    return Reply(200)


async def delete_ownership(ask: Ask) -> Reply:
    """DeleteBucketOwnershipControls."""
    await keep(ask, "ownership", None)
    return Reply(204)


async def get_lock(ask: Ask) -> Reply:
    """GetObjectLockConfiguration."""
    lock = ask.place.container.s3.get("lock")
    if lock is None:
        raise S3Error("ObjectLockConfigurationNotFoundError", BucketName=ask.bucket)
    return Reply(200, [XML], document("ObjectLockConfiguration", fields(lock, locks.SHAPE)))


async def put_lock(ask: Ask) -> Reply:
    """PutObjectLockConfiguration."""
    values = locks.configuration(shaped(await parsed(await body_of(ask), "ObjectLockConfiguration"), locks.SHAPE))
    if ask.place.container.versioning != "on":
        raise S3Error("InvalidBucketState", "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration")
    await keep(ask, "lock", values)
    return Reply(200)


async def request_payment(_ask: Ask) -> Reply:
    """GetBucketRequestPayment: the owner pays, always."""
    return Reply(200, [XML], document("RequestPaymentConfiguration", [("Payer", "BucketOwner")]))


async def set_request_payment(ask: Ask) -> Reply:
    """PutBucketRequestPayment: only what is so already."""
    root = await parsed(await body_of(ask), "RequestPaymentConfiguration")
    payer = root.value("Payer").strip()
    if payer not in {"BucketOwner", "Requester"}:
        raise malformed()
    if payer == "Requester":
        raise S3Error("NotImplemented", "Requester pays is not supported.")
    return Reply(200)
