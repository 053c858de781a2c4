"""What clients of S3 ask beside S3, at the same address: temporary keys (STS), their own access keys (IAM), and keys of encryption (KMS).

Calls are POSTs to the root. STS and IAM speak the query protocol (a form in, XML out), KMS JSON. Which service is meant is what the
signature says; the calls that need none are those of STS that bring a token. Source: AWS STS, IAM and KMS API References.
"""

from urllib.parse import parse_qsl

import msgspec
import structlog

from andromede.core.errors import CloudError
from andromede.http.plain import Reply
from andromede.services.identity.service import AccessKey
from andromede.services.object.callers import Callers
from andromede.services.object.s3 import iam, kms_calls, sts
from andromede.services.object.s3.ask import Ask
from andromede.services.object.s3.errors import S3Error, code_of
from andromede.services.object.s3.xml import Fields, document

log = structlog.get_logger("s3")
_MOST = 64 << 10
_SPACES = {"sts": "https://sts.amazonaws.com/doc/2011-06-15/", "iam": "https://iam.amazonaws.com/doc/2010-05-08/"}
_TARGET, _JSON = "TrentService.", "application/x-amz-json-1.1"
_CODES = {
    "InvalidArgument": "ValidationError", "InvalidRequest": "ValidationError", "BadRequest": "ValidationError", "NoSuchKey": "NoSuchEntity",
    "NotFound": "NoSuchEntity", "InvalidAccessKeyId": "InvalidClientTokenId", "InvalidToken": "InvalidClientTokenId", "Forbidden": "AccessDenied",
    "AuthorizationHeaderMalformed": "IncompleteSignature", "KMS.NotFoundException": "NotFoundException",
    "KMS.DisabledException": "DisabledException", "KMS.KMSInvalidStateException": "KMSInvalidStateException", "NotImplemented": "InvalidAction",
}  # fmt: skip


def meant(ask: Ask) -> bool:
    """Whether a request is for a service beside S3."""
    return ask.request.method == "POST" and ask.request.raw_path == "/" and not ask.bucket


async def answer(ask: Ask, callers: Callers) -> Reply:
    """Answer a call; an error too."""
    json = ask.request.headers.get("x-amz-target").startswith(_TARGET)
    try:
        body = await ask.request.read(_MOST)
        if json:
            return await _json(ask, body)
        return await _query(ask, callers, body)
    except CloudError as error:
        return _refusal(ask, error, json=json)


async def _json(ask: Ask, body: bytes) -> Reply:
    proven = await ask.signatures.prove_call(ask.request, body, ("kms",))
    if proven is None:
        raise CloudError("Request is missing Authentication Token", status=400, kind="MissingAuthenticationTokenException")
    handler = kms_calls.CALLS.get(ask.request.headers.get("x-amz-target")[len(_TARGET) :])
    if handler is None:
        raise CloudError("The operation is not supported.", status=400, kind="UnknownOperationException")
    try:
        given = msgspec.json.decode(body or b"{}", type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CloudError("The body is no JSON object.", status=400, kind="SerializationException") from error
    _note(ask, proven[0])
    result = await handler(ask.objects.keys, proven[0].caller, given)
    return Reply(200, [("content-type", _JSON), ("x-amzn-requestid", ask.request.id)], msgspec.json.encode(result) if result is not None else b"")


async def _query(ask: Ask, callers: Callers, body: bytes) -> Reply:
    try:
        given = dict(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=100, errors="strict"))
    except ValueError as error:
        raise S3Error("InvalidArgument", "The body is no form.") from error
    action = given.get("Action", "")
    proven = await ask.signatures.prove_call(ask.request, body, ("sts", "iam"))
    if proven is None:
        free = sts.FREE.get(action)
        if free is None:
            raise CloudError("Request is missing Authentication Token", status=403, kind="MissingAuthenticationToken")
        return _said(ask, "sts", action, await free(callers, given))
    key, service = proven
    handler = (sts.CALLS if service == "sts" else iam.CALLS).get(action)
    if handler is None:
        raise CloudError(f"Could not find operation {action[:64]}", status=400, kind="InvalidAction")
    _note(ask, key)
    return _said(ask, service, action, await handler(callers, key, given))


def _note(ask: Ask, key: AccessKey) -> None:
    ask.request.notes = {"user_id": key.caller.user_id, "project_id": key.caller.project_id}


def _said(ask: Ask, service: str, action: str, result: Fields) -> Reply:
    fields = [(f"{action}Result", result)] if result else []
    body = document(f"{action}Response", [*fields, ("ResponseMetadata", [("RequestId", ask.request.id)])], namespace=_SPACES[service])
    return Reply(200, [("content-type", "text/xml")], body)


def _refusal(ask: Ask, error: CloudError, *, json: bool) -> Reply:
    status, code = (error.status, error.kind) if not isinstance(error, S3Error) else code_of(error)
    if status >= 500 and status != 501:
        log.error("failed", request_id=ask.request.id, exc_info=error)
    code, status = _CODES.get(code, code), min(status, 500) if status != 501 else 400
    message = error.message if status < 500 else "We encountered an internal error. Please try again."
    if json:
        body = msgspec.json.encode({"__type": "AccessDeniedException" if code == "AccessDenied" else code, "message": message})
        return Reply(400 if status < 500 else 500, [("content-type", _JSON), ("x-amzn-requestid", ask.request.id)], body)
    told = [("Type", "Sender" if status < 500 else "Receiver"), ("Code", code), ("Message", message)]
    body = document("ErrorResponse", [("Error", told), ("RequestId", ask.request.id)], namespace=_SPACES["sts"])
    return Reply(status, [("content-type", "text/xml")], body)
