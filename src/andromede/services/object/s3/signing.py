"""Who signed a request: signatures of version 4 in a header or in the query, and of version 2 where that is allowed.

Source: Amazon S3 API Reference, "Authenticating Requests (AWS Signature Version 4)". A path and a query are taken as they were
sent first, and only where that fails in the one form that the specification has, since most clients send that already.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from urllib.parse import quote, unquote_plus, unquote_to_bytes

import msgspec

from andromede.core.clock import now
from andromede.http.plain import Request
from andromede.services.identity.service import AccessKey, Expired, derived_key, same_signature
from andromede.services.object.callers import Callers
from andromede.services.object.s3.errors import S3Error
from andromede.services.object.s3.settings import Settings

V4 = "AWS4-HMAC-SHA256"
SKEW, LONGEST = 900, 604_800
UNSIGNED = "UNSIGNED-PAYLOAD"
STREAMS = {
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD": (True, False), "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER": (True, True),
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER": (False, True),
}  # fmt: skip
"""Payloads in signed chunks or not, with a trailer or not."""
_HEX = re.compile(r"[0-9a-f]{64}")
_DATE = re.compile(r"[0-9]{8}T[0-9]{6}Z", re.ASCII)
_MOST_KEYS = 4096
_BROKEN = "AuthorizationHeaderMalformed"


class Proof(msgspec.Struct, frozen=True):
    """Who signed. payload: what was said of the body (`x-amz-content-sha256`); moment, scope, key, signature: what the
    signatures of chunks go on from; presigned: in the query."""

    access: AccessKey
    payload: str
    moment: str = ""
    scope: str = ""
    key: bytes = b""
    signature: str = ""
    presigned: bool = False


class Signatures:
    """Proves who signed requests."""

    def __init__(self, callers: Callers, settings: Settings) -> None:
        self._callers, self._settings = callers, settings
        self._keys: dict[tuple[str, str], bytes] = {}

    async def prove(self, request: Request, query: Sequence[tuple[str, str]]) -> Proof | None:
        """Who signed a request, None where nobody did. Raises S3Error."""
        given = request.headers.get("authorization")
        if given.startswith(V4):
            return await self._header(request, given)
        names = {name for name, _value in query}
        if "X-Amz-Algorithm" in names or "X-Amz-Signature" in names or "X-Amz-Credential" in names:
            return await self._query(request, dict(query))
        if given.startswith("AWS ") or ("Signature" in names and "AWSAccessKeyId" in names):
            return await self._second(request, given, query)
        if given:
            raise S3Error("InvalidArgument", "Unsupported Authorization Type", ArgumentName="Authorization")
        return None

    async def known(self, access: str, token: str = "") -> AccessKey:
        """An access key, or the temporary one of a session. Raises InvalidAccessKeyId, InvalidToken, ExpiredToken."""
        good = access and access.isprintable() and len(access) <= 128
        try:
            key = None if not good else await (self._callers.of_session(access, token) if token else self._callers.of_key(access))
        except Expired as error:
            raise S3Error("ExpiredToken") from error
        if key is None or key.caller.project_id is None:
            raise S3Error("InvalidToken") if token else S3Error("InvalidAccessKeyId", AWSAccessKeyId=access[:128])
        if key.caller.rules is not None:
            raise S3Error("AccessDenied", "The key's application credential has access rules, which name no call of S3.")
        return key

    def key(self, secret: str, date: str) -> bytes:
        """The key that signs on a day."""
        kept = self._keys.get((secret, date))
        if kept is None:
            if len(self._keys) >= _MOST_KEYS:
                self._keys.clear()
            kept = self._keys[secret, date] = derived_key(secret, date, self._settings.region, "s3")
        return kept

    async def prove_call(self, request: Request, body: bytes, services: Sequence[str]) -> tuple[AccessKey, str] | None:
        """Who signed a call of another service than S3, and of which; None where nobody did. Raises S3Error."""
        given = request.headers.get("authorization")
        if not given:
            return None
        if not given.startswith(V4 + " "):
            raise S3Error("InvalidRequest", "Please use AWS4-HMAC-SHA256.")
        facts, moment = _facts(given), request.headers.get("x-amz-date")
        if not _DATE.fullmatch(moment):
            raise S3Error("AccessDenied", "AWS authentication requires a valid x-amz-date header")
        parts = facts["Credential"].split("/")
        service = parts[-2] if len(parts) > 4 else ""
        if service not in services or parts[-3] not in {self._settings.region, "us-east-1"} or parts[-1] != "aws4_request":
            raise S3Error(_BROKEN, f"Credential should be scoped to one of the services {', '.join(services)} in {self._settings.region}.")
        if parts[-4] != moment[:8]:
            raise S3Error(_BROKEN, "The date of the credential is not that of x-amz-date.")
        known = await self.known("/".join(parts[:-4]), request.headers.get("x-amz-security-token"))
        _fresh(moment)
        key = derived_key(known.secret, parts[-4], parts[-3], service)
        scope = "/".join(parts[-4:])
        self._check(request, facts["SignedHeaders"], hashlib.sha256(body).hexdigest(), (moment, scope, key), facts["Signature"], known.access)
        return known, service

    def scope(self, credential: str, broken: str) -> tuple[str, str, str]:
        """The access key, the day and the scope of a credential. Raises the error of code `broken`."""
        access, *rest = credential.split("/")
        if len(rest) > 4:
            access, rest = "/".join([access, *rest[:-4]]), rest[-4:]
        if len(rest) != 4:
            raise S3Error(broken, "The Credential is malformed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".")
        date, _region, service, end = rest
        if len(date) != 8 or not (date.isascii() and date.isdigit()):
            raise S3Error(broken, f"Invalid credential date \"{date}\". This date is not in the same format as YYYYMMDD.")
        if service != "s3":
            raise S3Error(broken, f"The authorization header is malformed; incorrect service \"{service}\". This endpoint belongs to \"s3\".")
        if end != "aws4_request":
            raise S3Error(broken, f"The authorization header is malformed; incorrect terminal \"{end}\". This endpoint uses \"aws4_request\".")
        return access, date, "/".join(rest)

    def check_region(self, scope: str, broken: str) -> None:
        """Raise the error of code `broken` for a scope of another region; who has no key here is told that first."""
        region = scope.split("/")[1]
        if region != self._settings.region:
            raise S3Error(
                broken, f"The authorization header is malformed; the region '{region}' is wrong; expecting '{self._settings.region}'",
                Region=self._settings.region,
            )  # fmt: skip

    async def _header(self, request: Request, given: str) -> Proof:
        broken, facts = _BROKEN, _facts(given)
        headers = request.headers
        moment = headers.get("x-amz-date") or _basic(headers.get("date"))
        if not _DATE.fullmatch(moment):
            raise S3Error("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")
        access, date, scope = self.scope(facts["Credential"], broken)
        if date != moment[:8]:
            raise S3Error(broken, f"Invalid credential date \"{date}\". This date is not the same as X-Amz-Date: \"{moment[:8]}\".")
        payload = headers.get("x-amz-content-sha256")
        if not payload:
            raise S3Error("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
        if payload != UNSIGNED and payload not in STREAMS and not _HEX.fullmatch(payload):
            raise S3Error("InvalidArgument", "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a STREAMING payload or a valid sha256 value.",
                          ArgumentName="x-amz-content-sha256", ArgumentValue=payload[:128])  # fmt: skip
        known = await self.known(access, headers.get("x-amz-security-token"))
        self.check_region(scope, broken)
        _fresh(moment)
        key = self.key(known.secret, date)
        self._check(request, facts["SignedHeaders"], payload, (moment, scope, key), facts["Signature"], known.access)
        return Proof(known, payload, moment, scope, key, facts["Signature"])

    async def _query(self, request: Request, query: dict[str, str]) -> Proof:
        broken = "AuthorizationQueryParametersError"
        wanted = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Expires")
        if any(name not in query for name in wanted):
            raise S3Error(broken, "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, "
                          "X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.")  # fmt: skip
        algorithm, credential, signature, moment, signed, expires = (query[name] for name in wanted)
        if algorithm != V4:
            raise S3Error(broken, f"X-Amz-Algorithm only supports \"{V4}\"")
        if request.headers.get("authorization"):
            raise S3Error("InvalidArgument", "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string "
                          "parameter or the Authorization header should be specified", ArgumentName="Authorization")  # fmt: skip
        if not _DATE.fullmatch(moment):
            raise S3Error(broken, "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
        if not (expires.isascii() and expires.isdigit() and len(expires) < 9):
            raise S3Error(broken, "X-Amz-Expires should be a number")
        if not 0 < int(expires) <= LONGEST:
            raise S3Error(broken, "X-Amz-Expires must be less than a week (in seconds)")
        access, date, scope = self.scope(credential, broken)
        if date != moment[:8]:
            raise S3Error(broken, f"Invalid credential date \"{date}\". This date is not the same as X-Amz-Date: \"{moment[:8]}\".")
        known = await self.known(access, query.get("X-Amz-Security-Token", ""))
        self.check_region(scope, broken)
        at, present = seconds(moment), now().timestamp()
        if at - present > SKEW:
            raise S3Error("AccessDenied", "Request is not valid yet")
        if present > at + int(expires):
            raise S3Error("AccessDenied", "Request has expired", Expires=expires)
        key = self.key(known.secret, date)
        payload = request.headers.get("x-amz-content-sha256") or UNSIGNED
        for said in dict.fromkeys((query.get("X-Amz-Content-Sha256", UNSIGNED), payload)):
            try:
                self._check(request, signed, said, (moment, scope, key), signature, known.access)
            except S3Error as error:
                refused = error
            else:
                return Proof(known, payload if payload in STREAMS else said, moment, scope, key, signature, presigned=True)
        raise refused

    def _check(
        self, request: Request, signed: str, payload: str, day: tuple[str, str, bytes], signature: str, access: str
    ) -> None:  # fmt: skip
        """Whether a signature is that of a request. Raises S3Error."""
        names = signed.split(";")
        headers = request.headers
        unsigned = [name for name in headers if name.startswith("x-amz-") and name not in names and name != "x-amz-content-sha256"]
        if "host" not in names or unsigned:
            raise S3Error("AccessDenied", "There were headers present in the request which were not signed",
                          HeadersNotSigned=", ".join(unsigned) or "host")  # fmt: skip
        lines = "".join([f"{name}:{' '.join(headers.get(name).split())}\n" for name in names])
        said = [pair for pair in request.raw_query.split("&") if pair and not pair.startswith("X-Amz-Signature=")]
        pairs = sorted([pair if "=" in pair else pair + "=" for pair in said])
        text = f"{request.method}\n{request.raw_path}\n{'&'.join(pairs)}\n{lines}\n{signed}\n{payload}"
        if same_signature(sign(day, text), signature):
            return
        text = f"{request.method}\n{_path(request.raw_path)}\n{_pairs(pairs)}\n{lines}\n{signed}\n{payload}"
        if not same_signature(sign(day, text), signature):
            raise mismatch(access, signature, text)

    async def _second(self, request: Request, given: str, query: Sequence[tuple[str, str]]) -> Proof:
        """Version 2, whose text is made of the few things that it signs."""
        if not self._settings.version2:
            raise S3Error("InvalidRequest", "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.")
        values = dict(query)
        headers = request.headers
        if given:
            access, _, signature = given.removeprefix("AWS ").strip().rpartition(":")
            date = "" if "x-amz-date" in headers else headers.get("date")
            said = headers.get("x-amz-date") or date
            at = seconds(said) if _DATE.fullmatch(said) else _mail(said)
            if at is None:
                raise S3Error("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")
            if abs(at - now().timestamp()) > SKEW:
                raise S3Error("RequestTimeTooSkewed", RequestTime=said)
        else:
            access, signature, date = values["AWSAccessKeyId"], values["Signature"], values.get("Expires", "")
            if not (date.isascii() and date.isdigit() and len(date) < 12) or int(date) < now().timestamp():
                raise S3Error("AccessDenied", "Request has expired")
        token = values.get("x-amz-security-token", "") if not given else ""
        known = await self.known(access, headers.get("x-amz-security-token") or token)
        signed = [*headers.items(), *([("x-amz-security-token", token)] if token else [])]
        amz = "".join(f"{name}:{value.strip()}\n" for name, value in sorted(signed) if name.startswith("x-amz-"))
        bucket = _virtual(headers.get("host"), self._settings.domain)
        parts = [f"{name}={value}" if value else name for name, value in sorted(query) if name in _SIGNED_BY_TWO]
        path = (f"/{bucket}" if bucket else "") + request.raw_path
        for each in (path, path + "/") if path.count("/") == 1 else (path,):  # some write a bucket with a slash at its end
            resource = each + ("?" + "&".join(parts) if parts else "")
            text = f"{request.method}\n{headers.get('content-md5')}\n{headers.get('content-type')}\n{date}\n{amz}{resource}"
            made = base64.b64encode(hmac.new(known.secret.encode(), _bytes(text), hashlib.sha1).digest()).decode()
            if same_signature(made, signature):
                return Proof(known, UNSIGNED, presigned=not given)
        raise mismatch(known.access, signature, text)


_SIGNED_BY_TWO = {
    "acl", "cors", "delete", "lifecycle", "location", "logging", "notification", "partNumber", "policy", "requestPayment", "tagging", "torrent",
    "uploadId", "uploads", "versionId", "versioning", "versions", "website", "restore", "response-cache-control", "response-content-disposition",
    "response-content-encoding", "response-content-language", "response-content-type", "response-expires",
}  # fmt: skip


def _facts(given: str) -> dict[str, str]:
    """What an Authorization header says. Raises AuthorizationHeaderMalformed."""
    facts = {name.strip(): value.strip() for part in given[len(V4) :].split(",") for name, _, value in [part.partition("=")]}
    if not given.startswith(V4 + " ") or facts.keys() != {"Credential", "SignedHeaders", "Signature"}:
        raise S3Error(_BROKEN, "The authorization header is malformed; it needs a Credential, SignedHeaders and a Signature.")
    return facts


def _fresh(moment: str) -> None:
    """Raise RequestTimeTooSkewed unless a moment is about now."""
    present = now()
    if abs(seconds(moment) - present.timestamp()) > SKEW:
        raise S3Error("RequestTimeTooSkewed", RequestTime=moment, ServerTime=present.strftime("%Y-%m-%dT%H:%M:%SZ"),
                      MaxAllowedSkewMilliseconds=str(SKEW * 1000))  # fmt: skip


def sign(day: tuple[str, str, bytes], canonical: str) -> str:
    """The signature of a canonical request, by a moment, a scope and a day's key."""
    moment, scope, key = day
    digest = hashlib.sha256(_bytes(canonical)).hexdigest()
    return hmac.digest(key, f"{V4}\n{moment}\n{scope}\n{digest}".encode(), "sha256").hex()


def chain(proof: Proof, kind: str, before: str, digests: str) -> str:
    """The signature of a chunk or of a trailer, which goes on from the one before."""
    return hmac.digest(proof.key, f"{V4}-{kind}\n{proof.moment}\n{proof.scope}\n{before}\n{digests}".encode(), "sha256").hex()


def mismatch(access: str, signature: str, text: str = "") -> S3Error:
    """The error of a signature that is not the one that was computed."""
    return S3Error("SignatureDoesNotMatch", AWSAccessKeyId=access, SignatureProvided=signature[:128], CanonicalRequest=text[:4096])


@lru_cache(256)
def seconds(moment: str) -> float:
    """Of a moment such as 20260131T120000Z. Raises AccessDenied for what is no moment."""
    try:
        return datetime(
            int(moment[:4]), int(moment[4:6]), int(moment[6:8]), int(moment[9:11]), int(moment[11:13]), int(moment[13:15]), tzinfo=UTC
        ).timestamp()  # fmt: skip
    except (ValueError, OverflowError) as error:
        raise S3Error("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header") from error


def _basic(text: str) -> str:
    if _DATE.fullmatch(text):
        return text
    at = _mail(text)
    return datetime.fromtimestamp(at, UTC).strftime("%Y%m%dT%H%M%SZ") if at is not None else ""


def _mail(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _path(raw: str) -> str:
    return quote(unquote_to_bytes(raw), safe="/-_.~")


def _pairs(pairs: Sequence[str]) -> str:
    made = []
    for pair in pairs:
        name, _, value = pair.partition("=")
        made.append((quote(unquote_plus(name), safe="-_.~"), quote(unquote_plus(value), safe="-_.~")))
    return "&".join(f"{name}={value}" for name, value in sorted(made))


def _virtual(host: str, domain: str) -> str:
    name = host.partition(":")[0].lower()
    return name.removesuffix("." + domain) if domain and name.endswith("." + domain) else ""
