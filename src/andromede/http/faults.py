"""The one place that turns an error into an HTTP answer, in the shape of each service's API."""

from collections.abc import Callable
from http import HTTPStatus

import msgspec

from andromede.core.errors import CloudError

Fault = Callable[[CloudError, str], tuple[bytes, str]]
"""(error, request id) to (body, content type)."""

_JSON = "application/json"
_COMPUTE = {
    400: "badRequest", 401: "unauthorized", 403: "forbidden", 404: "itemNotFound", 405: "badMethod", 406: "notAcceptable",
    409: "conflictingRequest", 413: "overLimit", 415: "badMediaType", 429: "overLimit", 503: "serviceUnavailable",
}  # fmt: skip


def title(status: int) -> str:
    """The standard phrase of a status, `Not Found`."""
    return HTTPStatus(status).phrase


def compute(error: CloudError, _request_id: str) -> tuple[bytes, str]:
    """`{"itemNotFound": {"code": 404, "message": …}}`, as Compute and Block Storage answer."""
    name = _COMPUTE.get(error.status, "computeFault")
    return msgspec.json.encode({name: {"code": error.status, "message": error.message}}), _JSON


def identity(error: CloudError, _request_id: str) -> tuple[bytes, str]:
    """`{"error": {"code", "message", "title"}}`, as Identity answers."""
    return msgspec.json.encode({"error": {"code": error.status, "message": error.message, "title": title(error.status)}}), _JSON


def network(error: CloudError, _request_id: str) -> tuple[bytes, str]:
    """`{"NeutronError": {"type", "message", "detail"}}`, as Network answers."""
    return msgspec.json.encode({"NeutronError": {"type": error.kind, "message": error.message, "detail": ""}}), _JSON


def image(error: CloudError, _request_id: str) -> tuple[bytes, str]:
    """`{"code", "title", "message"}`; Image's own is the same as HTML, and its clients take both."""
    return msgspec.json.encode({"code": f"{error.status} {title(error.status)}", "title": title(error.status), "message": error.message}), _JSON


def key_manager(error: CloudError, _request_id: str) -> tuple[bytes, str]:
    """`{"code", "title", "description"}`, as Key Manager answers."""
    return msgspec.json.encode({"code": error.status, "title": title(error.status), "description": error.message}), _JSON


_PROCESSING = {400: "INVALID_DATA", 401: "UNAUTHORIZED", 403: "FORBIDDEN", 404: "NOT_FOUND", 409: "CONFLICT", 500: "INTERNAL_SERVER_ERROR"}


def data_processing(error: CloudError, _request_id: str) -> tuple[bytes, str]:
    """`{"error_code", "error_name", "error_message"}`, as Data Processing answers; kinds in capitals are names of its own."""
    name = error.kind if error.kind.isupper() else _PROCESSING.get(error.status, title(error.status).upper().replace(" ", "_"))
    return msgspec.json.encode({"error_code": error.status, "error_name": name, "error_message": error.message}), _JSON


def generic(error: CloudError, request_id: str) -> tuple[bytes, str]:
    """`{"errors": [{status, title, detail, request_id}]}`, the API SIG's shape."""
    one = {"status": error.status, "title": title(error.status), "detail": error.message, "request_id": request_id}
    return msgspec.json.encode({"errors": [one]}), _JSON
