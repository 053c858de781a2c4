"""Answers that are more than a struct with the route's status."""

from collections.abc import AsyncIterator
from typing import Any


class Response:
    """body: a struct, dict, list or bytes (encoded as JSON unless bytes); None is an empty body.

    stream: chunks instead of a body. headers: lower-case names.
    """

    __slots__ = ("body", "content_type", "headers", "status", "stream")

    def __init__(
        self,
        body: Any = None,
        *,
        status: int | None = None,
        headers: list[tuple[str, str]] | None = None,
        content_type: str = "application/json",
        stream: AsyncIterator[bytes] | None = None,
    ) -> None:
        self.body, self.status, self.headers = body, status, headers or []
        self.content_type, self.stream = content_type, stream
