"""Uploads by a browser's form: what is signed is not the request but a policy, which says what the form may hold.

Source: Amazon S3 API Reference, "Browser-Based Uploads Using POST" (signature version 4).
"""

import base64
import binascii
import hmac
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from andromede.core.clock import now, parse
from andromede.http.plain import Headers, Reply
from andromede.services.identity.service import same_signature
from andromede.services.object.s3 import encryption, room, sums, tagging, things, writing
from andromede.services.object.s3.ask import Ask, checked
from andromede.services.object.s3.errors import S3Error
from andromede.services.object.s3.signing import V4, Proof, mismatch
from andromede.services.object.s3.writing import XML
from andromede.services.object.s3.xml import document, parsed
from andromede.services.object.watching import POST

_MOST_FIELDS = 20 * 1024
_BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,70})"|([^\s;]{1,70}))', re.IGNORECASE)
_DISPOSITION = re.compile(r'(name|filename)="((?:[^"\\]|\\.)*)"', re.IGNORECASE)
_EXPIRES = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,15}Z")
_FREE = {"awsaccesskeyid", "file", "policy", "signature", "submit", "x-amz-signature"}
_PASSED = {"cache-control", "content-type", "content-disposition", "content-encoding", "content-language", "expires"}


class _Form:
    """The parts of a form as they come: fields first, then the file, of which no more is kept than a piece."""

    def __init__(self, source: AsyncIterator[bytes], boundary: str) -> None:
        self._source = aiter(source)
        self._mark = b"\r\n--" + boundary.encode("latin-1", "replace")
        self._kept = b"\r\n"
        self.fields: dict[str, str] = {}
        self.filename = ""

    async def _more(self) -> None:
        try:
            self._kept += await anext(self._source)
        except StopAsyncIteration:
            raise S3Error("MalformedPOSTRequest") from None

    async def _until(self, mark: bytes) -> bytes:
        while (at := self._kept.find(mark)) < 0:
            if len(self._kept) > _MOST_FIELDS:
                raise S3Error("MaxPostPreDataLengthExceeded")
            await self._more()
        taken, self._kept = self._kept[:at], self._kept[at + len(mark) :]
        return taken

    async def read_fields(self) -> None:
        """Everything before the file. Raises MalformedPOSTRequest, InvalidArgument where there is no file."""
        if (await self._until(self._mark)).strip():
            raise S3Error("MalformedPOSTRequest")
        size = 0
        while True:
            while len(self._kept) < 2:
                await self._more()
            if self._kept.startswith(b"--"):
                raise S3Error("InvalidArgument", "POST requires exactly one file upload per request.", ArgumentName="file", ArgumentValue="0")
            head = (await self._until(b"\r\n\r\n")).decode("utf-8", "replace")
            facts = {found[1].lower(): re.sub(r"\\(.)", r"\1", found[2]) for found in _DISPOSITION.finditer(head)}
            name = facts.get("name", "").lower()
            if name == "file":
                self.filename = facts.get("filename", "").replace("\\", "/").rpartition("/")[2]
                return
            value = await self._until(self._mark)
            size += len(name) + len(value)
            if size > _MOST_FIELDS:
                raise S3Error("MaxPostPreDataLengthExceeded")
            try:
                self.fields[name] = value.decode()
            except UnicodeDecodeError as error:
                raise S3Error("MalformedPOSTRequest") from error

    async def file(self, least: int, most: int) -> AsyncIterator[bytes]:
        """The bytes of the file. Raises EntityTooLarge, EntityTooSmall."""
        size, keep = 0, len(self._mark) - 1
        while True:
            at = self._kept.find(self._mark)
            ready = self._kept[:at] if at >= 0 else self._kept[:-keep] if len(self._kept) > keep else b""
            self._kept = self._kept[len(ready) :]
            size += len(ready)
            if size > most:
                raise S3Error("EntityTooLarge", MaxSizeAllowed=str(most), ProposedSize=str(size))
            if ready:
                yield ready
            if at >= 0:
                break
            await self._more()
        if size < least:
            raise S3Error("EntityTooSmall", MinSizeAllowed=str(least), ProposedSize=str(size))
        async for _rest in self._source:
            pass


async def post(ask: Ask) -> Reply:
    """PostObject."""
    kind = ask.header("content-type")
    found = _BOUNDARY.search(kind)
    if not kind.lower().startswith("multipart/form-data") or found is None:
        raise S3Error("MethodNotAllowed", Method="POST", ResourceType="BUCKET")
    place, request = ask.place, ask.request
    form = _Form(request.body(), found[1] or found[2])
    await form.read_fields()
    fields = form.fields
    ask.proof = await _signer(ask, fields)
    key = fields.get("key", "").replace("${filename}", form.filename)
    if not key:
        raise S3Error("InvalidArgument", "Bucket POST must contain a field named 'key'.  If it is specified, please check the order of the fields.",
                      ArgumentName="key")  # fmt: skip
    ask.key = checked(key)
    least, most = _permitted(ask, fields | {"key": key})
    _as_headers(ask, fields)
    writing.may_put(ask)
    thing, secret = things.described(ask, place)
    await room.check(ask, place, request.length or least)
    secret = await encryption.keyed(ask, place, thing, secret)
    if fields.get("tagging"):
        tags = tagging.from_document(await parsed(fields["tagging"].encode(), "Tagging"), tagging.OBJECT_MOST)
        thing = msgspec.structs.replace(thing, s3=thing.s3 | {"tags": tags})
    hashes = {name: sums.new(name) for name in sums.LENGTHS if sums.PREFIX + name in fields}
    md5 = sums.new("md5")
    blob = await ask.objects.store.write(
        place.account, form.file(least, min(most, ask.settings.most_put)), storage=things.storage(ask, thing.s3.get("class", "STANDARD")), key=secret,
        hashers=[md5, *hashes.values()],
    )  # fmt: skip
    for name, hasher in hashes.items():
        if sums.text(hasher.digest()) != fields[sums.PREFIX + name].strip():
            await writing.discard(ask.objects, place, blob)
            raise S3Error("BadDigest")
    made = {name: sums.text(hasher.digest()) for name, hasher in hashes.items()}
    thing = msgspec.structs.replace(thing, size=blob.size, etag=md5.digest().hex(), sums=made)
    stored = await ask.objects.put(place, ask.key, thing, [blob], cause=ask.cause(POST))
    return _answer(ask, fields, things.made(ask, place, stored.object), stored.object.etag)


def _answer(ask: Ask, fields: Mapping[str, str], headers: list[tuple[str, str]], etag: str) -> Reply:
    where = f"{ask.request.scheme}://{ask.header('host')}/{quote(ask.bucket)}/{quote(ask.key)}"
    target = fields.get("success_action_redirect") or fields.get("redirect", "")
    if urlsplit(target).scheme in {"http", "https"} and target.isprintable():
        told = f"bucket={quote(ask.bucket, safe='')}&key={quote(ask.key, safe='')}&etag=%22{etag}%22"
        return Reply(303, [("location", f"{target}{'&' if urlsplit(target).query else '?'}{told}"), *headers])
    headers = [("location", where), *headers]
    if fields.get("success_action_status") == "201":
        body = document("PostResponse", [("Location", where), ("Bucket", ask.bucket), ("Key", ask.key), ("ETag", f'"{etag}"')], namespace="")
        return Reply(201, [XML, *headers], body)
    return Reply(200 if fields.get("success_action_status") == "200" else 204, headers)


async def _signer(ask: Ask, fields: Mapping[str, str]) -> Proof | None:
    """Who signed a form's policy, None where there is none. Raises S3Error."""
    if "policy" not in fields:
        return None
    if ask.settings.version2 and "awsaccesskeyid" in fields:
        known = await ask.signatures.known(fields["awsaccesskeyid"], fields.get("x-amz-security-token", ""))
        if "signature" not in fields:
            raise S3Error("InvalidArgument", "Bucket POST must contain a field named 'signature'.", ArgumentName="signature")
        made = base64.b64encode(hmac.digest(known.secret.encode(), fields["policy"].encode(), "sha1")).decode()
        if not same_signature(made, fields["signature"]):
            raise mismatch(known.access, fields["signature"])
        return Proof(known, "UNSIGNED-PAYLOAD")
    if fields.get("x-amz-algorithm") != V4:
        raise S3Error("InvalidArgument", "Bucket POST must contain a field named 'X-Amz-Algorithm' with the value AWS4-HMAC-SHA256.")
    for name in ("x-amz-credential", "x-amz-signature", "x-amz-date"):
        if name not in fields:
            raise S3Error("InvalidArgument", f"Bucket POST must contain a field named '{name}'.", ArgumentName=name)
    signatures = ask.signatures
    access, date, scope = signatures.scope(fields["x-amz-credential"], "InvalidArgument")
    known = await signatures.known(access, fields.get("x-amz-security-token", ""))
    signatures.check_region(scope, "InvalidArgument")
    key = signatures.key(known.secret, date)
    if not same_signature(hmac.digest(key, fields["policy"].encode(), "sha256").hex(), fields["x-amz-signature"]):
        raise mismatch(access, fields["x-amz-signature"])
    return Proof(known, "UNSIGNED-PAYLOAD", fields["x-amz-date"], scope, key, fields["x-amz-signature"])


def _permitted(ask: Ask, fields: Mapping[str, str]) -> tuple[int, int]:
    """How many bytes the policy allows, if it allows the rest. Raises AccessDenied, InvalidPolicyDocument."""
    if "policy" not in fields:
        return 0, ask.settings.most_put
    try:
        policy: Any = msgspec.json.decode(base64.b64decode(fields["policy"], validate=True))
        if not _EXPIRES.fullmatch(policy["expiration"]):
            raise S3Error("InvalidPolicyDocument", "Invalid Policy: Invalid 'expiration' value.")
        expires = parse(policy["expiration"].replace("Z", "+00:00"))
        conditions = list(policy["conditions"])
    except (binascii.Error, ValueError, TypeError, KeyError, AttributeError, msgspec.DecodeError) as error:
        raise S3Error("InvalidPolicyDocument") from error
    if expires < now():
        raise S3Error("AccessDenied", "Invalid according to Policy: Policy expired.")
    values = dict(fields) | {"bucket": ask.bucket}
    least, most = 0, ask.settings.most_put
    covered = set[str]()
    for condition in conditions:
        for operator, name, value in _each(condition):
            if operator == "content-length-range":
                least, most = int(name), int(value)
                continue
            covered.add(name)
            present = values.get(name, "")
            met = present == value if operator == "eq" else present.startswith(value)
            if not met:
                raise S3Error("AccessDenied", f"Invalid according to Policy: Policy Condition failed: {operator} ${name} {value[:128]}")
    extra = sorted(name for name in fields if name not in covered and name not in _FREE and not name.startswith(("x-ignore-", sums.PREFIX)))
    if extra:
        raise S3Error("AccessDenied", f"Invalid according to Policy: Extra input fields: {', '.join(extra)[:256]}")
    return least, most


def _each(condition: Any) -> list[tuple[str, str, str]]:
    if isinstance(condition, dict) and condition:
        return [("eq", str(name).lower(), str(value)) for name, value in condition.items()]
    if isinstance(condition, list) and len(condition) == 3:
        operator = str(condition[0]).lower()
        if operator == "content-length-range" and all(re.fullmatch("[0-9]{1,15}", str(each)) for each in condition[1:]):
            return [(operator, str(condition[1]), str(condition[2]))]
        if operator in {"eq", "starts-with"} and str(condition[1]).startswith("$"):
            return [(operator, str(condition[1])[1:].lower(), str(condition[2]))]
    raise S3Error("InvalidPolicyDocument", "Invalid Policy: Invalid condition.")


def _as_headers(ask: Ask, fields: Mapping[str, str]) -> None:
    """From here on the form's fields are what headers are otherwise."""
    names = {name: name for name in fields if name in _PASSED or name.startswith(("x-amz-meta-", "x-amz-object-lock-", encryption.HEADER))}
    names |= {"acl": "x-amz-acl", "x-amz-storage-class": "x-amz-storage-class", "x-amz-website-redirect-location": "x-amz-website-redirect-location"}
    pairs = [(header, fields[name]) for name, header in names.items() if fields.get(name)]
    if any(letter in value for _name, value in pairs for letter in "\r\n\0"):
        raise S3Error("InvalidArgument", "A field that becomes a header may not hold line ends.")
    ask.request.headers = Headers([(name, ask.header(name)) for name in ("host", "origin") if name in ask.request.headers] + pairs)


