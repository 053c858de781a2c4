"""Checking the signatures of requests that are signed with an access key and a secret.

Sources: AWS General Reference, "Signature Version 2 signing process" and "Signature Version 4 signing process"; the
Amazon S3 REST documentation for its first string to sign. Comparisons take the same time whatever differs.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from andromede.core.errors import BadRequest

_V4 = "AWS4-HMAC-SHA256"


class Signed(msgspec.Struct, kw_only=True):
    """What a service says of a request it got, as EC2-style credentials of the Identity API."""

    access: str
    signature: str = ""
    host: str = ""
    verb: str = "GET"
    path: str = "/"
    params: dict[str, Any] = {}
    headers: dict[str, Any] = {}
    body_hash: str = ""


def same(one: str, other: str) -> bool:
    """Whether two signatures are equal."""
    return hmac.compare_digest(one.encode("utf-8", "surrogateescape"), other.encode("utf-8", "surrogateescape"))


def derived_key(secret: str, date: str, region: str, service: str) -> bytes:
    """Version 4's key of a day, region and service."""
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def _escape(text: str) -> str:
    return quote(text, safe="-_.~")


def _query(params: Mapping[str, Any], leave_out: str) -> str:
    pairs = sorted((_escape(str(name)), _escape(str(value))) for name, value in params.items() if name != leave_out)
    return "&".join(f"{name}={value}" for name, value in pairs)


def version2(request: Signed, secret: str, host: str) -> str:
    """The signature that version 2 gives."""
    method = str(request.params.get("SignatureMethod", "HmacSHA256"))
    digest = {"HmacSHA256": hashlib.sha256, "HmacSHA1": hashlib.sha1}.get(method)
    if digest is None:
        raise BadRequest("Unknown signature method.")
    text = "\n".join((request.verb, host.lower(), request.path, _query(request.params, "Signature")))
    return base64.b64encode(hmac.new(secret.encode(), text.encode(), digest).digest()).decode()


def version4(request: Signed, secret: str, host: str) -> str:
    """The signature that version 4 gives, of a request signed by header or by query string."""
    headers = {name.lower(): " ".join(str(value).split()) for name, value in request.headers.items()}
    if "host" in headers or host:
        headers["host"] = host or headers["host"]
    params = request.params
    in_query = params.get("X-Amz-Algorithm") == _V4
    if in_query:
        credential, names, moment = (str(params.get(name, "")) for name in ("X-Amz-Credential", "X-Amz-SignedHeaders", "X-Amz-Date"))
    else:
        facts = _authorization(headers.get("authorization", ""))
        credential, names = facts.get("Credential", ""), facts.get("SignedHeaders", "")
        moment = headers.get("x-amz-date") or str(params.get("X-Amz-Date") or "")
    parts = credential.split("/")
    if len(parts) != 5:
        raise BadRequest("The signature names no credential scope.")
    _access, date, region, service, _end = parts
    signed = names.split(";")
    canonical = "\n".join((
        request.verb, quote(request.path or "/", safe="/-_.~%"), _query(params, "X-Amz-Signature"),
        "".join(f"{name}:{headers.get(name, '')}\n" for name in signed), names,
        request.body_hash or hashlib.sha256(b"").hexdigest(),
    ))  # fmt: skip
    scope = "/".join(parts[1:])
    text = "\n".join((_V4, moment, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    return hmac.new(derived_key(secret, date, region, service), text.encode(), hashlib.sha256).hexdigest()


def _authorization(text: str) -> dict[str, str]:
    _scheme, _, rest = text.partition(" ")
    return {name.strip(): value.strip() for part in rest.split(",") for name, _, value in [part.partition("=")]}


def verify_request(request: Signed, secret: str) -> bool:
    """Whether the request was signed with this secret; a port in the host may have been signed or not."""
    four = request.params.get("X-Amz-Algorithm") == _V4 or _V4 in str(
        next((value for name, value in request.headers.items() if name.lower() == "authorization"), "")
    )
    make = version4 if four else version2
    if not four and str(request.params.get("SignatureVersion")) != "2":
        raise BadRequest("Unknown signature version.")
    hosts = [request.host, request.host.partition(":")[0]] if ":" in request.host else [request.host]
    return any(same(make(request, secret, host), request.signature) for host in hosts)


def verify_text(token: str, signature: str, secret: str) -> bool:
    """Whether `signature` is that of a string to sign (in base64), as S3 signs it in version 4, or in its first one."""
    try:
        text = base64.b64decode(token.translate({45: "+", 95: "/"}), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest("Invalid input for field 'token': it is not base64.") from error
    if text.startswith(_V4.encode()):
        lines = text.decode("utf-8", "replace").split("\n")
        parts = lines[2].split("/") if len(lines) > 2 else []
        if len(parts) != 4:
            raise BadRequest("Invalid input for field 'token': it names no credential scope.")
        key = derived_key(secret, *parts[:3])
        return same(hmac.new(key, text, hashlib.sha256).hexdigest(), signature)
    return same(base64.b64encode(hmac.new(secret.encode(), text, hashlib.sha1).digest()).decode(), signature)
