"""Encryption that clients ask for: by the store's own keys (AES256), by a key that is named (SSE-KMS, see `sealing`), or by a key
that they bring with each request (SSE-C).

A customer's key is never kept; what is kept is a salted hash of it, by which the parts of an upload are told to have the same.
Source: Amazon S3 User Guide, "Protecting data with server-side encryption".
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Any

import msgspec

from andromede.services.object import sealing
from andromede.services.object.model import Object
from andromede.services.object.s3.ask import Ask
from andromede.services.object.s3.errors import S3Error
from andromede.services.object.service import Place

HEADER = "x-amz-server-side-encryption"
OWN, SOURCE = f"{HEADER}-customer-", "x-amz-copy-source-server-side-encryption-customer-"
KEY_ID, CONTEXT, BUCKET_KEY = f"{HEADER}-aws-kms-key-id", f"{HEADER}-context", f"{HEADER}-bucket-key-enabled"
HEADERS = (HEADER, KEY_ID, CONTEXT, BUCKET_KEY, f"{OWN}algorithm", f"{OWN}key", f"{OWN}key-md5")
_WANTED = "wanted"


def brought(ask: Ask, prefix: str = OWN) -> bytes | None:
    """The key that a request brings, None for none. Raises InvalidArgument."""
    headers = ask.request.headers
    if f"{prefix}algorithm" not in headers and f"{prefix}key" not in headers and f"{prefix}key-md5" not in headers:
        return None
    if headers.get(f"{prefix}algorithm") != "AES256":
        raise S3Error("InvalidEncryptionAlgorithmError" if f"{prefix}algorithm" in headers else "InvalidArgument",
                      "Encryption with customer provided keys must provide a valid encryption algorithm.")  # fmt: skip
    key, digest = _decoded(headers.get(f"{prefix}key")), _decoded(headers.get(f"{prefix}key-md5"))
    if len(key) != 32:
        raise S3Error("InvalidArgument", "The secret key was invalid for the specified algorithm.", ArgumentName=f"{prefix}algorithm")
    if not hmac.compare_digest(hashlib.md5(key, usedforsecurity=False).digest(), digest):
        raise S3Error("InvalidArgument", "The calculated MD5 hash of the key did not match the hash that was provided.")
    return key


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def asked(ask: Ask, place: Place, key: bytes | None) -> dict[str, Any]:
    """What is kept of an object's encryption; a key that is named is looked for by `keyed`. Raises for what cannot be."""
    wanted = ask.header(HEADER)
    named = [name for name in (KEY_ID, CONTEXT, BUCKET_KEY) if name in ask.request.headers]
    if key is not None:
        if wanted or named:
            raise S3Error("InvalidArgument", "Server Side Encryption with Customer provided key is incompatible with the encryption method specified")
        return {"ssec": print_of(key)}
    if wanted == sealing.KMS:
        flag = ask.header(BUCKET_KEY).lower()
        default = sealing.by_default(place.container)
        bucket = flag == "true" if flag in {"true", "false"} else default is not None and default.bucket
        return {_WANTED: sealing.Wanted(ask.header(KEY_ID), _context(ask), bucket)}
    if wanted == "aws:kms:dsse":
        raise S3Error("NotImplemented", "Two layers of encryption (aws:kms:dsse) are not supported. Use aws:kms.")
    if KEY_ID in named or CONTEXT in named:
        raise S3Error("InvalidArgument", "Server Side Encryption with AWS KMS managed key requires HTTP header "
                      "x-amz-server-side-encryption : aws:kms", ArgumentName=HEADER, ArgumentValue=wanted[:64])  # fmt: skip
    if wanted and wanted != "AES256":
        raise S3Error("InvalidEncryptionAlgorithmError", ArgumentName=HEADER, ArgumentValue=wanted[:64])
    if not wanted and (usual := sealing.by_default(place.container)) is not None:
        return {_WANTED: usual}
    return {"sse": "AES256"} if wanted or "encryption" in place.container.s3 else {}


def _context(ask: Ask) -> str:
    """The encryption context that a request gives, as JSON. Raises InvalidArgument."""
    text = ask.header(CONTEXT)
    if not text:
        return ""
    try:
        given = msgspec.json.decode(base64.b64decode(text, validate=True), type=dict[str, str])
    except (binascii.Error, ValueError, RecursionError) as error:
        raise S3Error("InvalidArgument", f"The header '{CONTEXT}' shall be Base64-encoded UTF-8 string holding JSON which represents a "
                      "string-string map", ArgumentName=CONTEXT) from error  # fmt: skip
    return msgspec.json.encode(dict(sorted(given.items()))).decode()


async def keyed(ask: Ask, place: Place, thing: Object, key: bytes | None) -> bytes | None:
    """The key that a described object's bytes are written with, which is what was brought unless one is named: then the object gets its
    own. Raises what there is to say of the named one."""
    wanted = thing.s3.pop(_WANTED, None) if thing.s3 else None
    if wanted is None:
        return key
    if ask.proof is not None and not ask.proof.moment:
        raise S3Error("InvalidArgument", UNSIGNED)
    projects = (ask.caller.project_id,) if ask.caller is not None and ask.caller.project_id else ()
    asked_for = projects if KEY_ID in ask.request.headers else ()
    kept, secret = await sealing.under(ask.objects, place, ask.key, wanted, asked_for)
    thing.s3.update(kept)
    return secret


UNSIGNED = "Requests specifying Server Side Encryption with AWS KMS managed keys require AWS Signature Version 4."


def print_of(key: bytes) -> str:
    """What a key is known by again."""
    salt = secrets.token_bytes(8)
    return salt.hex() + hashlib.blake2b(key, salt=salt, digest_size=16).hexdigest()


def opens(thing: Object, key: bytes | None) -> None:
    """Whether a key that was brought, or none, is that of an object. Raises InvalidRequest, AccessDenied."""
    kept = thing.s3.get("ssec")
    if "kms" in thing.s3 and key is None:
        return
    if kept is None:
        if key is not None:
            raise S3Error("InvalidRequest", "The encryption parameters are not applicable to this object.")
        return
    if key is None:
        raise S3Error("InvalidRequest", "The object was stored using a form of Server Side Encryption. The correct parameters must be provided "
                      "to retrieve the object.")  # fmt: skip
    if not hmac.compare_digest(hashlib.blake2b(key, salt=bytes.fromhex(kept[:16]), digest_size=16).hexdigest(), kept[16:]):
        raise S3Error("AccessDenied")


def shown(ask: Ask, thing: Object) -> list[tuple[str, str]]:
    """The headers of an object's encryption."""
    if "ssec" in thing.s3:
        return [(f"{OWN}algorithm", "AES256"), (f"{OWN}key-md5", ask.header(f"{OWN}key-md5"))]
    if "sse" not in thing.s3:
        return []
    lines = [(HEADER, thing.s3["sse"])]
    if kms := thing.s3.get("kms"):
        lines.append((KEY_ID, kms["key"]))
        if kms.get("bucket"):
            lines.append((BUCKET_KEY, "true"))
    return lines
