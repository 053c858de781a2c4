"""S3 at Swift's address, as Swift's own `s3api` has it: what is signed as S3 signs is S3's, all else is Swift's.

Who looks for S3 beside Swift (SCS-0123) asks at the root of the address that the catalog tells of.
"""

from andromede.http.plain import Reply, Request
from andromede.services.object.s3.face import S3
from andromede.services.object.swift.face import Swift


class Beside:
    """Swift's face, with S3's behind it."""

    def __init__(self, swift: Swift, s3: S3) -> None:
        self._swift, self._s3 = swift, s3

    async def __call__(self, request: Request) -> Reply:
        """Answer a request."""
        return await (self._s3 if signed(request) else self._swift)(request)

    async def finish(self) -> None:
        """The process ends."""
        await self._s3.finish()


def signed(request: Request) -> bool:
    """Whether a request has a signature of S3's, of version 2 or 4, in its header or its address."""
    if request.headers.get("authorization").startswith(("AWS4-HMAC-SHA256", "AWS ")):
        return True
    names = {pair.partition("=")[0] for pair in request.raw_query.split("&")}
    return bool(names & {"X-Amz-Algorithm", "X-Amz-Signature"}) or {"AWSAccessKeyId", "Signature"} <= names
