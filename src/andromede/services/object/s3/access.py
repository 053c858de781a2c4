"""Who may do what: roles in the bucket's own project, the bucket's policy, and access control lists.

In the own project readers read and members write, unless the policy denies it. Others get what the policy or a list grants; what is
granted to a whole project its members have by their roles.
"""

from typing import Any

from andromede.core.clock import now
from andromede.services.object.model import Object
from andromede.services.object.s3 import acl, policy
from andromede.services.object.s3.ask import Ask
from andromede.services.object.s3.errors import S3Error
from andromede.services.object.s3.signing import seconds
from andromede.services.object.s3.tagging import from_header
from andromede.services.object.service import Place

_BUCKET_LISTS = {
    "ListBucket": "READ", "ListBucketVersions": "READ", "ListBucketMultipartUploads": "READ", "PutObject": "WRITE", "DeleteObject": "WRITE",
    "GetBucketAcl": "READ_ACP", "PutBucketAcl": "WRITE_ACP",
}  # fmt: skip
_OBJECT_LISTS = {
    "GetObject": "READ", "GetObjectVersion": "READ", "GetObjectAcl": "READ_ACP", "GetObjectVersionAcl": "READ_ACP", "PutObjectAcl": "WRITE_ACP",
    "PutObjectVersionAcl": "WRITE_ACP", "GetObjectAttributes": "READ", "GetObjectVersionAttributes": "READ",
}  # fmt: skip
_OWNERS = {"GetBucketPolicy", "PutBucketPolicy", "DeleteBucketPolicy"}
_MANAGERS = {"BypassGovernanceRetention"}


def allowed(ask: Ask, place: Place, action: str, key: str = "", thing: Object | None = None) -> bool:
    """Whether the caller may do something to a bucket, or to an object of it. action: as in policies, without `s3:`; thing: the
    object that is there."""
    caller = ask.caller
    able = False
    own = caller is not None and caller.project_id == place.account
    if caller is not None:
        reads = action.startswith(("Get", "List"))
        able = caller.has("reader" if reads else "manager" if action in _MANAGERS else "member")
    s3 = place.container.s3
    if not s3 and own and able:
        return True
    block: dict[str, Any] = s3.get("block", {})
    text = s3.get("policy")
    if text and not (own and action in _OWNERS and caller is not None and caller.has("manager")):
        document = policy.parsed(text)
        resource = f"arn:aws:s3:::{place.name}/{key}" if key else f"arn:aws:s3:::{place.name}"
        verdict, personal = document.verdict(caller, f"s3:{action}".lower(), resource, _Context(ask, action, thing))
        if verdict == policy.DENY:
            return False
        narrowed = not own and block.get("RestrictPublicBuckets") and document.public
        if verdict == policy.ALLOW and not narrowed and (personal or able):
            return True
    if own:
        return able
    if s3.get("ownership") == acl.ENFORCED:
        return False
    groups = not block.get("IgnorePublicAcls")
    project = caller.project_id if caller else None
    for table, grants in ((_BUCKET_LISTS, s3.get("acl")), (_OBJECT_LISTS, thing.s3.get("acl") if thing else None)):
        if action in table and grants:
            found = acl.permits(grants, table[action], project, groups=groups)
            if found == "group" or (found and able):
                return True
    return False


def need(ask: Ask, place: Place, action: str, key: str = "", thing: Object | None = None) -> None:
    """Raises AccessDenied where the caller may not."""
    if not allowed(ask, place, action, key, thing):
        raise S3Error("AccessDenied")


class Reader:
    """Whoever asks, as manifests and links of Swift ask whether they may read what these lead to, object by object."""

    each = True

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def allow(self, account: str, place: Place | None, name: str, thing: Object | None, *, segment: bool = False) -> None:
        """Raise AccessDenied unless the caller may read an object, or may know that it, or its bucket, is not there."""
        del segment
        if place is not None:
            need(self._ask, place, "GetObject" if thing else "ListBucket", name if thing else "", thing)
        elif self._ask.caller is None or self._ask.caller.project_id != account or not self._ask.caller.has("reader"):
            raise S3Error("AccessDenied")


class _Context:
    """The values that condition keys have in a request, computed when asked for."""

    def __init__(self, ask: Ask, action: str, thing: Object | None) -> None:
        self._ask, self._action, self._thing = ask, action, thing

    def __call__(self, key: str) -> list[str]:
        ask = self._ask
        if key.startswith("s3:x-amz-") or key in {"s3:if-match", "s3:if-none-match"}:
            return _some(ask.header(key[3:]))
        if key in _QUERY:
            return [ask.query[_QUERY[key]]] if _QUERY[key] in ask.query else []
        if key.startswith("s3:existingobjecttag/"):
            tags = {name.lower(): value for name, value in (self._thing.s3.get("tags", {}) if self._thing else {}).items()}
            return [tags[key[21:]]] if key[21:] in tags else []
        if key.startswith(("s3:requestobjecttag/", "s3:requestobjecttagkeys")):
            given = from_header(ask.header("x-amz-tagging")) if ask.header("x-amz-tagging") else {}
            if key == "s3:requestobjecttagkeys":
                return list(given)
            return [value for name, value in given.items() if name.lower() == key[20:]]
        if key.startswith("s3:object-lock-"):
            return _some(ask.header(f"x-amz-{key[3:]}"))
        return self._about_the_caller(key)

    def _about_the_caller(self, key: str) -> list[str]:
        ask, caller, proof = self._ask, self._ask.caller, self._ask.proof
        project, user = (caller.project_id or "", caller.user_name) if caller else ("", "")
        values = {
            "aws:sourceip": ask.request.remote, "aws:securetransport": "true" if ask.request.scheme == "https" else "false",
            "aws:referer": ask.header("referer"), "aws:useragent": ask.header("user-agent"),
            "aws:currenttime": now().isoformat(), "aws:epochtime": str(int(now().timestamp())),
            "aws:username": user, "aws:userid": caller.user_id if caller else "anonymous",
            "aws:principaltype": "User" if caller else "Anonymous", "aws:principalaccount": project if caller else "anonymous",
            "aws:principalarn": f"arn:aws:iam::{project}:user/{user}" if caller else "",
            "s3:authtype": ("REST-QUERY-STRING" if proof.presigned else "REST-HEADER") if proof else "",
            "s3:signatureversion": ("AWS4-HMAC-SHA256" if proof.moment else "AWS") if proof else "",
        }  # fmt: skip
        if key == "s3:signatureage" and proof is not None and proof.moment:
            return [str(int((now().timestamp() - seconds(proof.moment)) * 1000))]
        return _some(values.get(key, ""))


_QUERY = {"s3:prefix": "prefix", "s3:delimiter": "delimiter", "s3:max-keys": "max-keys", "s3:versionid": "versionId"}


def _some(text: str) -> list[str]:
    return [text] if text else []
