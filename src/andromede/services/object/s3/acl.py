"""Access control lists of buckets and objects. A grant is (grantee, permission): the grantee is a project, or a group.

Objects belong to the project of their bucket, whoever wrote them. Source: Amazon S3 User Guide, "Access control list (ACL) overview".
"""

from collections.abc import Sequence
from typing import Any

from andromede.services.object.s3.ask import Ask
from andromede.services.object.s3.errors import S3Error
from andromede.services.object.s3.xml import Node, Raw, document, escape
from andromede.services.object.service import Place

Grant = list[str]
ALL, KNOWN, LOGS = (f"http://acs.amazonaws.com/groups/{name}" for name in ("global/AllUsers", "global/AuthenticatedUsers", "s3/LogDelivery"))
FULL = "FULL_CONTROL"
PERMISSIONS = {"READ", "WRITE", "READ_ACP", "WRITE_ACP", FULL}
CANNED: dict[str, list[Grant]] = {
    "private": [], "public-read": [[ALL, "READ"]], "public-read-write": [[ALL, "READ"], [ALL, "WRITE"]],
    "authenticated-read": [[KNOWN, "READ"]], "bucket-owner-read": [], "bucket-owner-full-control": [],
    "log-delivery-write": [[LOGS, "WRITE"], [LOGS, "READ_ACP"]], "aws-exec-read": [],
}  # fmt: skip
_GRANTS = {
    "x-amz-grant-read": "READ", "x-amz-grant-write": "WRITE", "x-amz-grant-read-acp": "READ_ACP", "x-amz-grant-write-acp": "WRITE_ACP",
    "x-amz-grant-full-control": FULL,
}  # fmt: skip
HEADERS = ("x-amz-acl", *_GRANTS)
_MOST = 100
_XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
ENFORCED, OWNERS = "BucketOwnerEnforced", "bucket-owner-full-control"
"""An ownership under which there are no lists, and the one canned list that it takes."""


def from_headers(ask: Ask, owner: str) -> list[Grant] | None:
    """The grants that a request's headers give, beside the owner's; None where they give none. Raises InvalidArgument."""
    canned = ask.header("x-amz-acl")
    granted = [name for name in _GRANTS if name in ask.request.headers]
    if canned and granted:
        raise S3Error("InvalidRequest", "Specifying both Canned ACLs and Header Grants is not allowed")
    if canned:
        return grants_of(canned, owner)
    if not granted:
        return None
    grants = [[_grantee(text), _GRANTS[name]] for name in granted for text in ask.header(name).split(",")]
    return _few(grants)


def grants_of(canned: str, owner: str) -> list[Grant]:
    """The grants of a canned list. Raises InvalidArgument."""
    if canned not in CANNED:
        raise S3Error("InvalidArgument", ArgumentName="x-amz-acl", ArgumentValue=canned[:128])
    return [[owner, FULL], *CANNED[canned]]


def _grantee(text: str) -> str:
    kind, _, value = text.strip().partition("=")
    value = value.strip().strip('"')
    if kind == "uri" and value in {ALL, KNOWN, LOGS}:
        return value
    if kind == "id" and 0 < len(value) <= 64 and value.isalnum():
        return value
    if kind == "emailAddress":
        raise S3Error("UnresolvableGrantByEmailAddress")
    raise S3Error("InvalidArgument", "Argument format not recognized", ArgumentValue=text[:128])


def from_document(node: Node, owner: str) -> list[Grant]:
    """The grants of an `AccessControlPolicy`. Raises MalformedACLError, InvalidArgument."""
    listed = node.find("AccessControlList")
    told = node.find("Owner")
    if node.name != "AccessControlPolicy" or listed is None:
        raise S3Error("MalformedACLError")
    if told is not None and told.value("ID", owner) != owner:
        raise S3Error("AccessDenied")
    grants = []
    for each in listed.children:
        grantee, permission = each.find("Grantee"), each.value("Permission")
        if each.name != "Grant" or grantee is None or permission not in PERMISSIONS:
            raise S3Error("MalformedACLError")
        kind = grantee.attributes.get("type", "")
        text = f"uri={grantee.value('URI')}" if kind == "Group" else f"id={grantee.value('ID')}" if kind == "CanonicalUser" else "emailAddress="
        grants.append([_grantee(text), permission])
    return _few(grants)


def _few(grants: list[Grant]) -> list[Grant]:
    if len(grants) > _MOST:
        raise S3Error("MalformedACLError", "The ACL has more than 100 grants.")
    return grants


def shown(grants: Sequence[Grant] | None, owner: str) -> bytes:
    """The document of a list of grants; None: the owner's alone."""
    lines = []
    for grantee, permission in grants if grants is not None else [[owner, FULL]]:
        group = grantee.startswith("http:")
        who = f"<URI>{escape(grantee)}</URI>" if group else f"<ID>{escape(grantee)}</ID><DisplayName>{escape(grantee)}</DisplayName>"
        lines.append(
            f'<Grant><Grantee {_XSI} xsi:type="{"Group" if group else "CanonicalUser"}">{who}</Grantee><Permission>{permission}</Permission></Grant>'
        )
    return document("AccessControlPolicy", [("Owner", [("ID", owner), ("DisplayName", owner)]), ("AccessControlList", [("", Raw("".join(lines)))])])


def public(grants: Sequence[Grant] | None) -> bool:
    """Whether they grant anything to everybody."""
    return any(grantee in {ALL, KNOWN} for grantee, _permission in grants or ())


def permits(grants: Sequence[Grant] | None, permission: str, project: str | None, *, groups: bool = True) -> str:
    """Whom a permission is granted to that is meant: `group`, `project`, "" for nobody. project: whose, None for nobody's."""
    found = ""
    for grantee, granted in grants or ():
        if granted not in (permission, FULL):
            continue
        if groups and (grantee == ALL or (grantee == KNOWN and project is not None)):
            return "group"
        if grantee == project:
            found = "project"
    return found


def settable(place: Place, grants: Sequence[Grant] | None, owner: str, *, bucket: bool = False) -> None:
    """Whether grants may be set in a bucket. Raises AccessControlListNotSupported, AccessDenied."""
    s3: dict[str, Any] = place.container.s3
    if grants is not None and s3.get("ownership") == ENFORCED and list(grants) != [[owner, FULL]]:
        raise S3Error("InvalidBucketAclWithObjectOwnership" if bucket else "AccessControlListNotSupported")
    if public(grants) and s3.get("block", {}).get("BlockPublicAcls"):
        raise S3Error("AccessDenied")
