"""Objects under keys that are named (SSE-KMS): each has a key of its own, sealed by the named one together with what it belongs to.

An object keeps in `s3["kms"]`: `key`, the ARN of the named key; `sealed`, its own; `context`, what the client gave, as JSON; `about`,
the ARN of the object or bucket that it was sealed for; `bucket`, whether that is the bucket. Both protocols read such objects, for as
long as the named key may be used.
"""

import secrets
from typing import Any

import msgspec

from andromede.core.errors import CloudError
from andromede.services.object.changes import Place
from andromede.services.object.kms import KeyStore
from andromede.services.object.model import Container, Object
from andromede.services.object.service import Objects

KMS = "aws:kms"


class Absent(CloudError):
    """No keys are kept here."""

    status, kind = 501, "NotImplemented"


class Wanted(msgspec.Struct, frozen=True):
    """A key that an object shall be under. name: "" for the project's default; context: JSON; bucket: it is sealed for the bucket."""

    name: str = ""
    context: str = ""
    bucket: bool = False


def by_default(container: Container) -> Wanted | None:
    """The key that a bucket's objects get, None where they get none."""
    config = container.s3.get("encryption")
    if config is None:
        return None
    rule = config["Rule"][0]
    default = rule["ApplyServerSideEncryptionByDefault"]
    if default["SSEAlgorithm"] != KMS:
        return None
    return Wanted(default.get("KMSMasterKeyID", ""), bucket=rule.get("BucketKeyEnabled", False))


async def under(objects: Objects, place: Place, name: str, wanted: Wanted, projects: tuple[str, ...] = ()) -> tuple[dict[str, Any], bytes]:
    """What is kept of an object's key, and the key. projects: whose named keys may be used besides the bucket's own, the first being who
    names it. Raises NoKey, KeyDisabled, KeyLeaving, Absent."""
    keys = _store(objects)
    names = projects or (place.account,)
    arn = await keys.find(names[0], wanted.name) if wanted.name else await keys.default(place.account)
    if arn.split(":")[4] not in {*names, place.account}:
        raise CloudError("The key is another project's.", status=403, kind="AccessDenied")
    secret = secrets.token_bytes(32)
    about = f"arn:aws:s3:::{place.name}" if wanted.bucket else f"arn:aws:s3:::{place.name}/{name}"
    sealed = await keys.seal(arn, secret, _context(wanted.context, about))
    kept: dict[str, Any] = {"key": arn, "sealed": sealed, "about": about}
    if wanted.context:
        kept["context"] = wanted.context
    if wanted.bucket:
        kept["bucket"] = True
    return {"sse": KMS, "kms": kept}, secret


async def secret_of(objects: Objects, thing: Object) -> bytes | None:
    """The key of an object, None where it is under none that is named. Raises NoKey, KeyDisabled, KeyLeaving, Absent."""
    kept = thing.s3.get("kms")
    if kept is None:
        return None
    return await _store(objects).open(kept["key"], kept["sealed"], _context(kept.get("context", ""), kept["about"]))


def _store(objects: Objects) -> KeyStore:
    if objects.keys is None:
        raise Absent("Encryption with keys of a key management service is not supported. Use AES256, or a key of your own.")
    return objects.keys


def _context(given: str, about: str) -> bytes:
    return f"{about}\0{given}".encode("utf-8", "surrogatepass")
