"""Errors with two texts: the public one goes to the caller, the cause chain (`raise … from`) goes to the log.

`status` is the HTTP answer, `kind` the stable name some services put on the wire (Neutron's `type`). Nothing here
knows HTTP otherwise; `http.faults` is the one place that turns an error into an answer.
"""

from collections.abc import Mapping


class CloudError(Exception):
    """Anything a caller may be told. `message` must never hold a secret or a path of the host."""

    status = 500
    kind = "InternalError"

    def __init__(
        self, message: str, *, kind: str | None = None, status: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.headers = dict(headers or {})
        if kind is not None:
            self.kind = kind
        if status is not None:
            self.status = status


class BadRequest(CloudError):
    """The request cannot be understood, or a value of it is not allowed."""

    status, kind = 400, "BadRequest"


class Unauthorized(CloudError):
    """No valid proof of who is calling."""

    status, kind = 401, "Unauthorized"


class Forbidden(CloudError):
    """Known, and not allowed."""

    status, kind = 403, "Forbidden"


class NotFound(CloudError):
    """There is no such thing, or the caller may not know that there is."""

    status, kind = 404, "NotFound"


class MethodNotAllowed(CloudError):
    """The resource exists, the method does not."""

    status, kind = 405, "MethodNotAllowed"


class NotAcceptable(CloudError):
    """The API version asked for is not served."""

    status, kind = 406, "NotAcceptable"


class Conflict(CloudError):
    """The state of the resource does not allow it, or a name is taken."""

    status, kind = 409, "Conflict"


class Gone(CloudError):
    """What was there is deliberately no longer to be had."""

    status, kind = 410, "Gone"


class PreconditionFailed(CloudError):
    """`If-Match` and its kin did not hold."""

    status, kind = 412, "PreconditionFailed"


class TooLarge(CloudError):
    """More bytes than the limit."""

    status, kind = 413, "RequestEntityTooLarge"


class UnsupportedMedia(CloudError):
    """A content type the route does not take."""

    status, kind = 415, "UnsupportedMediaType"


class TooManyRequests(CloudError):
    """Come back later."""

    status, kind = 429, "TooManyRequests"


class Unavailable(CloudError):
    """A part of the cloud that this needs does not answer now."""

    status, kind = 503, "ServiceUnavailable"


class QuotaExceeded(CloudError):
    """Over a limit of the project. Status 403 as Compute answers; Network answers 409 with kind `OverQuota`."""

    status, kind = 403, "OverQuota"

    def __init__(self, resource: str, *, asked: int, used: int, limit: int, status: int | None = None) -> None:
        super().__init__(f"Quota exceeded for {resource}: Requested {asked}, but already used {used} of {limit} {resource}", status=status)
        self.resource, self.asked, self.used, self.limit = resource, asked, used, limit


class DriverError(CloudError):
    """A driver could not bring about the state that was asked for. `message` becomes the fault of the resource."""

    status, kind = 500, "DriverError"
