"""What Swift answers with: refusals as it words them, moments as it writes them, texts quoted as it quotes them."""

import functools
from collections.abc import Sequence
from email.utils import formatdate, parsedate_to_datetime
from urllib.parse import quote

from andromede.core.errors import CloudError
from andromede.http.plain import Reply

HTML = ("Content-Type", "text/html; charset=UTF-8")
PLAIN = ("Content-Type", "text/plain")
Pairs = list[tuple[str, str]]

REASONS: dict[int, tuple[str, str]] = {
    200: ("OK", ""),
    201: ("Created", ""),
    202: ("Accepted", "The request is accepted for processing."),
    204: ("No Content", ""),
    301: ("Moved Permanently", "The resource has moved permanently."),
    303: ("See Other", "The response to the request can be found under a different URI."),
    304: ("Not Modified", ""),
    400: ("Bad Request", "The server could not comply with the request since it is either malformed or otherwise incorrect."),
    401: ("Unauthorized", "This server could not verify that you are authorized to access the document you requested."),
    403: ("Forbidden", "Access was denied to this resource."),
    404: ("Not Found", "The resource could not be found."),
    405: ("Method Not Allowed", "The method is not allowed for this resource."),
    406: ("Not Acceptable", "The resource is not available in a format acceptable to your browser."),
    408: ("Request Timeout", "The server has waited too long for the request to be sent by the client."),
    409: ("Conflict", "There was a conflict when trying to complete your request."),
    411: ("Length Required", "Content-Length header required."),
    412: ("Precondition Failed", "A precondition for this request was not met."),
    413: ("Request Entity Too Large", "The body of your request was too large for this server."),
    416: ("Requested Range Not Satisfiable", "The Range requested is not available."),
    422: ("Unprocessable Entity", "Unable to process the contained instructions"),
    429: ("Too Many Requests", "Too many requests: slow down."),
    498: ("Rate Limited", "Slow down"),
    499: ("Client Disconnect", "The client was disconnected during request."),
    500: ("Internal Error", "The server has either erred or is incapable of performing the requested operation."),
    501: ("Not Implemented", "The requested method is not implemented by this server."),
    502: ("Bad Gateway", "Bad gateway."),
    503: ("Service Unavailable", "The server is currently unavailable. Please try again at a later time."),
    507: ("Insufficient Storage", "There was not enough space to save the resource."),
}  # fmt: skip


class Refused(CloudError):
    """An answer that ends a request. text: the body, Swift's usual one where it is empty; plain: it is no HTML."""

    def __init__(self, status: int, text: str = "", *, plain: bool = False, headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(text or line(status), status=status)
        self.text, self.plain, self.pairs = text, plain, list(headers)

    def reply(self) -> Reply:
        """As an answer."""
        kind = [] if any(name == "Content-Type" for name, _value in self.pairs) else [PLAIN if self.plain else HTML]
        return Reply(self.status, [*kind, *self.pairs], self.text.encode() if self.text else page(self.status))


def bad(text: str) -> Refused:
    """A 400 in plain text."""
    return Refused(400, text, plain=True)


def line(status: int) -> str:
    """`404 Not Found`."""
    return f"{status} {REASONS[status][0]}"


def page(status: int) -> bytes:
    """The body of an answer that has nothing else to say."""
    title, text = REASONS[status]
    return f"<html><h1>{title}</h1><p>{text}</p></html>".encode() if text else b""


def reply(status: int, headers: Sequence[tuple[str, str]] = ()) -> Reply:
    """An answer without a body of its own."""
    return Reply(status, [HTML, *headers], page(status))


@functools.lru_cache(4096)
def date_of(seconds: int) -> str:
    """A moment as HTTP has it."""
    return formatdate(seconds, usegmt=True)


def date(stamp: int) -> str:
    """The first whole second that is not before a stamp, as HTTP has it: what Swift's `Last-Modified` says."""
    return date_of(-(-stamp // 1_000_000))


def iso(stamp: int) -> str:
    """A stamp as listings have it: `2026-11-22T06:23:38.186760`."""
    return f"{_iso_second(stamp // 1_000_000)}.{stamp % 1_000_000:06d}"


@functools.lru_cache(4096)
def _iso_second(seconds: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def seconds_of(text: str) -> int | None:
    """The moment that an HTTP date names, None where it names none."""
    try:
        return int(parsedate_to_datetime(text).timestamp())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def true(text: str | None) -> bool:
    """Whether a text says yes, as Swift's settings and headers do."""
    return bool(text) and str(text).strip().lower() in {"true", "1", "yes", "on", "t", "y"}


def quoted(text: str) -> str:
    """A path for a URL or a header."""
    return quote(text, safe="/~")
