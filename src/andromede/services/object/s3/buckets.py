"""Buckets themselves: ListBuckets, CreateBucket, HeadBucket, DeleteBucket, GetBucketLocation."""

import base64
import binascii
import ipaddress
import re
from itertools import islice

import msgspec

from andromede.http.plain import Reply
from andromede.services.object import uploads
from andromede.services.object.errors import Taken
from andromede.services.object.model import Container
from andromede.services.object.s3 import acl
from andromede.services.object.s3.ask import Ask, iso
from andromede.services.object.s3.errors import S3Error
from andromede.services.object.s3.incoming import Incoming
from andromede.services.object.s3.listing import whole
from andromede.services.object.s3.writing import XML
from andromede.services.object.s3.xml import Raw, document, malformed, parsed

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_RESERVED = (("xn--", "sthree-", "amzn-s3-demo-"), ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"))
_OWNERSHIPS = {"BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"}
_MOST = 10_000


def name_error(name: str) -> bool:
    """Whether a bucket may not be called so. Source: Amazon S3 User Guide, "General purpose bucket naming rules"."""
    if not _NAME.fullmatch(name) or ".." in name or name.startswith(_RESERVED[0]) or name.endswith(_RESERVED[1]):
        return True
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True


async def list_all(ask: Ask) -> Reply:
    """ListBuckets: the containers of the caller's project."""
    caller = ask.caller
    if caller is None or caller.project_id is None or not caller.has("reader"):
        raise S3Error("AccessDenied")
    most = whole(ask.query.get("max-buckets", ""), "max-buckets", _MOST)
    if not most:
        raise S3Error("InvalidArgument", "max-buckets must be from 1 to 10000", ArgumentName="max-buckets")
    prefix, token = ask.query.get("prefix", ""), ask.query.get("continuation-token", "")
    try:
        start = base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise S3Error("InvalidArgument", "The continuation token provided is incorrect", ArgumentName="continuation-token") from error
    found = list(islice(ask.objects.containers(caller.project_id, prefix=prefix, start=start), most + 1))
    region = ask.settings.region
    if (wanted := ask.query.get("bucket-region")) and wanted != region:
        found = []
    lines = [
        ("Bucket", [("Name", place.name), ("CreationDate", iso(place.container.created)), ("BucketRegion", region)]) for place in found[:most]
    ]  # fmt: skip
    following = base64.urlsafe_b64encode(found[most].name.encode()).decode() if len(found) > most else None
    owner = [("ID", caller.project_id), ("DisplayName", caller.project_name or caller.project_id)]
    body = [("Owner", owner), ("Buckets", lines), ("ContinuationToken", following), ("Prefix", prefix or None)]
    return Reply(200, [XML], document("ListAllMyBucketsResult", body))


async def create(ask: Ask) -> Reply:
    """CreateBucket."""
    caller, name, region = ask.caller, ask.bucket, ask.settings.region
    if caller is None or caller.project_id is None or not caller.has("member"):
        raise S3Error("AccessDenied")
    if name_error(name):
        raise S3Error("InvalidBucketName", BucketName=name[:128])
    account = caller.project_id
    body = await Incoming(ask.request, ask.proof, ask.settings.most_xml).whole()
    if body:
        root = await parsed(body, "CreateBucketConfiguration")
        asked = root.value("LocationConstraint").strip()
        if asked and asked != region and not (asked == "EU" and region == "eu-west-1"):
            raise S3Error("InvalidLocationConstraint", LocationConstraint=asked[:64])
        if not {node.name for node in root.children} <= {"LocationConstraint", "Tags"}:
            raise malformed()
    grants = acl.from_headers(ask, account)
    ownership = ask.header("x-amz-object-ownership")
    if ownership and ownership not in _OWNERSHIPS:
        raise S3Error("InvalidArgument", "Invalid x-amz-object-ownership header", ArgumentName="x-amz-object-ownership")
    if ownership == acl.ENFORCED and grants is not None and grants != [[account, acl.FULL]]:
        raise S3Error("InvalidBucketAclWithObjectOwnership")
    locked = ask.header("x-amz-bucket-object-lock-enabled").lower() == "true"
    s3 = {
        **({"acl": grants} if grants is not None and grants != [[account, acl.FULL]] else {}), **({"ownership": ownership} if ownership else {}),
        **({"lock": {"ObjectLockEnabled": "Enabled"}} if locked else {}),
    }  # fmt: skip
    try:
        await ask.objects.claim(name, account)
    except Taken as error:
        raise S3Error("BucketAlreadyExists", BucketName=name) from error
    if ask.objects.find(account, name) is not None:
        if region != "us-east-1":
            raise S3Error("BucketAlreadyOwnedByYou", BucketName=name)
        return Reply(200, [("location", f"/{name}")])

    def new(before: Container | None) -> Container | None:
        return before or Container(id=b"", created=0, s3=s3, versioning="on" if locked else "")

    await ask.objects.create(account, name, new, owner=caller.user_id)
    return Reply(200, [("location", f"/{name}")])


async def head(ask: Ask) -> Reply:
    """HeadBucket."""
    assert ask.place
    return Reply(200, [XML, ("x-amz-bucket-region", ask.settings.region), ("x-amz-access-point-alias", "false")])


async def delete(ask: Ask) -> Reply:
    """DeleteBucket. Uploads that were not completed do not keep a bucket."""
    place = ask.place
    if not ask.objects.listing(place, limit=1) and next(ask.objects.versions(place), None) is None:
        for upload in uploads.uploads(ask.objects, place, limit=_MOST):
            await uploads.abort(ask.objects, place, upload)
    await ask.objects.remove(place)
    return Reply(204)


async def location(ask: Ask) -> Reply:
    """GetBucketLocation."""
    region = ask.settings.region
    return Reply(200, [XML], document("LocationConstraint", [("", Raw("" if region == "us-east-1" else region))]))


async def versioning(ask: Ask) -> Reply:
    """GetBucketVersioning."""
    states = {"on": "Enabled", "suspended": "Suspended"}
    return Reply(200, [XML], document("VersioningConfiguration", [("Status", states.get(ask.place.container.versioning))]))


async def set_versioning(ask: Ask) -> Reply:
    """PutBucketVersioning."""
    root = await parsed(await Incoming(ask.request, ask.proof, ask.settings.most_xml).whole(), "VersioningConfiguration")
    status = root.value("Status").strip()
    if root.value("MfaDelete").strip() == "Enabled" or "x-amz-mfa" in ask.request.headers:
        raise S3Error("NotImplemented", "MFA delete is not supported.")
    if status not in {"Enabled", "Suspended"}:
        raise S3Error("IllegalVersioningConfigurationException")

    def change(was: Container) -> Container:
        if status == "Suspended" and was.s3.get("replication"):
            raise S3Error("InvalidBucketState", "A replication configuration is present on this bucket, so you cannot change the versioning state.")
        if status == "Suspended" and was.s3.get("lock"):
            raise S3Error("InvalidBucketState", "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.")
        return msgspec.structs.replace(was, versioning="on" if status == "Enabled" else "suspended")

    await ask.objects.change(ask.place, change)
    return Reply(200)
