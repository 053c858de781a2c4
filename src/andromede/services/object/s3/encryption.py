"""Encryption that clients ask for: by the store's own keys (AES256), or by a key that they bring with each request (SSE-C).

A customer's key is never kept; what is kept is a salted hash of it, by which the parts of an upload are told to have the same.
Source: Amazon S3 User Guide, "Protecting data with server-side encryption".
"""

import base64
import binascii
import hashlib
import hmac
import secrets

from andromede.services.object.model import Object
from andromede.services.object.s3.ask import Ask
from andromede.services.object.s3.errors import S3Error
from andromede.services.object.service import Place

HEADER = "x-amz-server-side-encryption"
OWN, SOURCE = f"{HEADER}-customer-", "x-amz-copy-source-server-side-encryption-customer-"


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


def asked(ask: Ask, place: Place, key: bytes | None) -> dict[str, str]:
    """What is kept of an object's encryption. Raises for what is not there."""
    wanted = ask.header(HEADER)
    if key is not None:
        if wanted:
            raise S3Error("InvalidArgument", "Server Side Encryption with Customer provided key is incompatible with the encryption method specified")
        return {"ssec": print_of(key)}
    if wanted in {"aws:kms", "aws:kms:dsse"} or f"{HEADER}-aws-kms-key-id" in ask.request.headers:
        raise S3Error("NotImplemented", "Encryption with keys of a key management service is not supported. Use AES256, or a key of your own.")
    if wanted and wanted != "AES256":
        raise S3Error("InvalidEncryptionAlgorithmError", ArgumentName=HEADER, ArgumentValue=wanted[:64])
    return {"sse": "AES256"} if wanted or "encryption" in place.container.s3 else {}


def print_of(key: bytes) -> str:
    """What a key is known by again."""
    salt = secrets.token_bytes(8)
    return salt.hex() + hashlib.blake2b(key, salt=salt, digest_size=16).hexdigest()


def opens(thing: Object, key: bytes | None) -> None:
    """Whether a key that was brought, or none, is that of an object. Raises InvalidRequest, AccessDenied."""
    kept = thing.s3.get("ssec")
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
    return [(HEADER, thing.s3["sse"])] if "sse" in thing.s3 else []
