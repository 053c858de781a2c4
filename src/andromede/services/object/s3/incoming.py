"""The body of a request as it comes: whole or in signed chunks, hashed on its way, refused where it is not what was said.

Nothing is kept in memory but the piece at hand. What is wrong shows while the bytes are taken, or in `finish`, before they
become anybody's. Source: Amazon S3 API Reference, "Signature Calculations for the Authorization Header: Transferring Payload in
Multiple Chunks", and "… with trailing headers".
"""

import base64
import binascii
import hashlib
from collections.abc import AsyncIterator
from typing import Any

from andromede.http.plain import Request
from andromede.services.identity.service import same_signature
from andromede.services.object.s3 import sums
from andromede.services.object.s3.errors import S3Error
from andromede.services.object.s3.signing import STREAMS, UNSIGNED, Proof, chain, mismatch

_LINE, _CHUNK = 4096, 1 << 30
_NOTHING = hashlib.sha256(b"").hexdigest()


class Incoming:
    """The bytes that a request brings, and what was said of them.

    hashers: what a store is to feed; etag: MD5, and sums: checksums by algorithm in base64, both after `finish`.
    """

    def __init__(self, request: Request, proof: Proof | None, most: int, *, algorithm: str = "", of_body: bool = True) -> None:
        """algorithm: of a checksum to compute though none was sent; of_body: whether checksums in headers are the body's.
        Raises S3Error for headers that cannot be."""
        headers = request.headers
        self._request, self._proof = request, proof
        payload = proof.payload if proof else headers.get("x-amz-content-sha256", UNSIGNED)
        self._signed, self._trails = STREAMS.get(payload, (False, False))
        self._chunked = payload in STREAMS
        if self._signed and proof is None:
            raise S3Error("AccessDenied", "Chunks are signed, and nobody signs.")
        self.length = _length(request, chunked=self._chunked)
        if self.length > most:
            raise S3Error("EntityTooLarge", MaxSizeAllowed=str(most), ProposedSize=str(self.length))
        self._md5_said = _md5(headers.get("content-md5")) if "content-md5" in headers else None
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._hash = hashlib.sha256() if not self._chunked and payload != UNSIGNED and (proof or len(payload) == 64) else None
        self._payload = payload
        self._said: dict[str, bytes] = {}
        self._trailing = ""
        self._sums: dict[str, Any] = {}
        if of_body:
            self._expect(request, algorithm)
        self.hashers: list[Any] = [self._md5, *self._sums.values()]
        if self._hash is not None:
            self.hashers.append(self._hash)
        self.etag = ""
        self.sums: dict[str, str] = {}
        self.size = 0

    def _expect(self, request: Request, algorithm: str) -> None:
        headers = request.headers
        told = [name for name in headers if name in sums.HEADERS]
        trailer = headers.get("x-amz-trailer").strip().lower()
        if trailer:
            if not self._trails:
                raise S3Error("InvalidRequest", "The x-amz-trailer header needs a payload with a trailer.")
            if trailer not in sums.HEADERS:
                raise S3Error("InvalidRequest", "The value specified in the x-amz-trailer header is not supported")
            self._trailing = trailer
        if len(told) + bool(trailer) > 1:
            raise S3Error("InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
        for name in told:
            self._said[sums.HEADERS[name]] = sums.told(sums.HEADERS[name], headers.get(name))
        wanted = headers.get("x-amz-sdk-checksum-algorithm")
        names = [sums.HEADERS[name] for name in (*told, trailer) if name]
        if wanted:
            sums.algorithm(wanted)
            if names and names[0] != wanted.lower():
                raise S3Error("InvalidRequest", "Value for x-amz-sdk-checksum-algorithm header is invalid.")
        if algorithm and algorithm not in names:
            names.append(algorithm)
        self._sums = {name: sums.new(name) for name in names}

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes themselves. Raises S3Error, and Gone where the client goes away."""
        source = self._decoded() if self._chunked else self._request.body()
        async for piece in source:
            self.size += len(piece)
            if self.size > self.length:
                raise S3Error("IncompleteBody", "The request body is longer than the length that was announced.")
            yield piece
        if self.size != self.length:
            raise S3Error("IncompleteBody")

    async def whole(self) -> bytes:
        """All of a short body, checked."""
        parts = []
        async for piece in self.chunks():
            for hasher in self.hashers:
                hasher.update(piece)
            parts.append(piece)
        self.finish()
        return b"".join(parts)

    def finish(self) -> None:
        """After the hashers were fed: whether everything is as it was said. Raises S3Error."""
        digest = self._md5.digest()
        if self._md5_said is not None and digest != self._md5_said:
            raise S3Error("BadDigest", "The Content-MD5 you specified did not match what we received.",
                          ExpectedDigest=sums.text(self._md5_said), CalculatedDigest=sums.text(digest))  # fmt: skip
        if self._hash is not None and self._hash.hexdigest() != self._payload:
            raise S3Error("XAmzContentSHA256Mismatch", ClientComputedContentSHA256=self._payload, S3ComputedContentSHA256=self._hash.hexdigest())
        for name, hasher in self._sums.items():
            value = hasher.digest()
            if name in self._said and self._said[name] != value:
                raise S3Error("BadDigest", f"The {name.upper()} you specified did not match the calculated checksum.")
            self.sums[name] = sums.text(value)
        self.etag = digest.hex()

    async def _decoded(self) -> AsyncIterator[bytes]:
        """The bytes in the chunks. Each chunk says how long it is and how it is signed; the last one is empty."""
        pieces = _Pieces(self._request.body())
        before = self._proof.signature if self._proof else ""
        while True:
            line = await pieces.line()
            size_text, _, extension = line.partition(";")
            size = _hex(size_text)
            hasher = hashlib.sha256() if self._signed else None
            left = size
            while left:
                piece = await pieces.some(left)
                left -= len(piece)
                if hasher is not None:
                    hasher.update(piece)
                yield piece
            if hasher is not None and self._proof is not None:
                given = extension.strip().removeprefix("chunk-signature=")
                made = chain(self._proof, "PAYLOAD", before, f"{_NOTHING}\n{hasher.hexdigest()}")
                if not same_signature(made, given):
                    raise mismatch(self._proof.access.access, given)
                before = made
            if not size:
                break
            if await pieces.line():
                raise _framing()
        await self._trailer(pieces, before)

    async def _trailer(self, pieces: "_Pieces", before: str) -> None:
        lines: list[tuple[str, str]] = []
        while line := await pieces.line(last=True):
            name, colon, value = line.partition(":")
            if not colon or len(lines) > 8:
                raise S3Error("MalformedXML", "The trailing headers are not well-formed.") if colon else _framing()
            lines.append((name.strip().lower(), value.strip()))
        await pieces.end()
        values = dict(lines)
        given = values.pop("x-amz-trailer-signature", "")
        if self._signed and self._trails and self._proof is not None:
            text = "".join(f"{name}:{value}\n" for name, value in lines if name != "x-amz-trailer-signature")
            made = chain(self._proof, "TRAILER", before, hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest())
            if not same_signature(made, given):
                raise mismatch(self._proof.access.access, given)
        if set(values) != ({self._trailing} if self._trailing else set()):
            raise S3Error("InvalidRequest", "The trailing headers are not those that the x-amz-trailer header announced.")
        for name, value in values.items():
            self._said[sums.HEADERS[name]] = sums.told(sums.HEADERS[name], value)


class _Pieces:
    """A stream that is read by lines and by lengths."""

    def __init__(self, source: AsyncIterator[bytes]) -> None:
        self._source = aiter(source)
        self._kept, self._at = b"", 0

    async def _more(self) -> bool:
        try:
            piece = await anext(self._source)
        except StopAsyncIteration:
            return False
        self._kept, self._at = self._kept[self._at :] + piece, 0
        return True

    async def line(self, *, last: bool = False) -> str:
        """Up to the end of a line, without it; `last`: the stream may end instead."""
        while (end := self._kept.find(b"\r\n", self._at, self._at + _LINE)) < 0:
            if len(self._kept) - self._at >= _LINE:
                raise _framing()
            if not await self._more():
                if last and self._at == len(self._kept):
                    return ""
                raise S3Error("IncompleteBody")
        line, self._at = self._kept[self._at : end], end + 2
        return line.decode("utf-8", "surrogateescape")

    async def some(self, most: int) -> bytes:
        """At least one byte, at most so many."""
        while self._at == len(self._kept):
            if not await self._more():
                raise S3Error("IncompleteBody")
        at = self._at
        self._at = min(at + most, len(self._kept))
        return self._kept[at : self._at] if at or self._at < len(self._kept) else self._kept

    async def end(self) -> None:
        """Nothing may follow."""
        while self._at == len(self._kept):
            if not await self._more():
                return
        raise _framing()


def _framing() -> S3Error:
    return S3Error("InvalidRequest", "The chunks of the body are not well-formed.")


def _hex(text: str) -> int:
    text = text.strip()
    if not 0 < len(text) <= 8 or any(letter not in "0123456789abcdefABCDEF" for letter in text):
        raise _framing()
    size = int(text, 16)
    if size > _CHUNK:
        raise _framing()
    return size


def _length(request: Request, *, chunked: bool) -> int:
    if not chunked:
        if request.length is None:
            raise S3Error("MissingContentLength")
        return request.length
    text = request.headers.get("x-amz-decoded-content-length")
    if not text:
        raise S3Error("MissingContentLength")
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise S3Error("InvalidArgument", "The x-amz-decoded-content-length header is not a number.", ArgumentName="x-amz-decoded-content-length")
    return int(text)


def _md5(text: str) -> bytes:
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != 16:
        raise S3Error("InvalidDigest", "The Content-MD5 you specified was invalid.")
    return digest
