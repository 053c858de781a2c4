"""Another S3 service, as a place that objects are copied to."""

import base64
import re
from collections.abc import AsyncIterator
from hashlib import sha256
from urllib.parse import quote, urlsplit

from andromede.core.clock import now
from andromede.core.errors import Unavailable
from andromede.http.outside import Limits
from andromede.services.identity.service import derived_key
from andromede.services.object.contents import Source
from andromede.services.object.s3.settings import Remote
from andromede.services.object.s3.signing import UNSIGNED, sign
from andromede.services.object.sending import Answer, once, send

WHOLE, PART = 5 << 30, 1 << 30
"""Bytes that are put in one request at most, and in each of several."""
_EMPTY = sha256(b"").hexdigest()
_ID, _ETAG = re.compile(rb"<UploadId>([^<]{1,2048})</UploadId>"), re.compile(r'"?([0-9A-Za-z-]+)"?')


class Service:
    """A declared service."""

    def __init__(self, remote: Remote) -> None:
        self._remote, self._parts = remote, urlsplit(remote.url)
        self._limits = Limits(ports=None, hosts=(self._parts.hostname or "",), what="The service", silence=60.0)

    async def put(self, bucket: str, name: str, headers: dict[str, str], source: Source, size: int, md5: str = "") -> None:
        """Put an object. md5: of all of it in hexadecimal, "" where it is not known. Raises Unavailable."""
        path = f"/{quote(bucket, safe='-_.~')}/{quote(name, safe='/-_.~')}"
        if size > WHOLE:
            await self._in_parts(path, headers, source, size)
            return
        if md5:
            headers = headers | {"content-md5": base64.b64encode(bytes.fromhex(md5)).decode()}
        await self._send("PUT", path, headers, source(0, size) if size else None, size)

    async def delete(self, bucket: str, name: str) -> None:
        """Delete an object; where versions are kept there, it is marked as deleted. Raises Unavailable."""
        await self._send("DELETE", f"/{quote(bucket, safe='-_.~')}/{quote(name, safe='/-_.~')}", {})

    async def _in_parts(self, path: str, headers: dict[str, str], source: Source, size: int) -> None:
        answer = _ID.search((await self._send("POST", f"{path}?uploads=", headers)).body)
        if answer is None:
            raise Unavailable("The service began no upload.")
        upload = quote(answer[1].decode(), safe="-_.~")
        try:
            lines = ""
            for number, start in enumerate(range(0, size, PART), 1):
                stop = min(start + PART, size)
                told = await self._send("PUT", f"{path}?partNumber={number}&uploadId={upload}", {}, source(start, stop), stop - start)
                etag = _ETAG.fullmatch(told.headers.get("etag", ""))
                lines += f"<Part><PartNumber>{number}</PartNumber><ETag>{etag[1] if etag else ''}</ETag></Part>"
            body = f"<CompleteMultipartUpload>{lines}</CompleteMultipartUpload>".encode()
            if b"<Error>" in (await self._send("POST", f"{path}?uploadId={upload}", {}, once(body), len(body))).body:
                raise Unavailable("The service did not complete the upload.")
        except BaseException:
            await self._send("DELETE", f"{path}?uploadId={upload}", {})
            raise

    async def _send(self, method: str, path: str, headers: dict[str, str], body: AsyncIterator[bytes] | None = None, size: int = 0) -> Answer:
        """Send a request. Raises Unavailable for any other answer than success, and what `body` raises."""
        answer = await send(self._parts, self._limits, method, path, self._signed(method, path, headers, empty=body is None), body, size)
        if not 200 <= answer.status < 300 and not (method == "DELETE" and answer.status == 404):
            raise Unavailable(f"The service {self._parts.hostname} answered {answer.status}: {answer.body[:300].decode('utf-8', 'replace')}")
        return answer

    def _signed(self, method: str, path: str, headers: dict[str, str], *, empty: bool) -> dict[str, str]:
        moment, payload = now().strftime("%Y%m%dT%H%M%SZ"), _EMPTY if empty else UNSIGNED
        raw, _, query = path.partition("?")
        every = headers | {"host": self._parts.netloc.rpartition("@")[2], "x-amz-date": moment, "x-amz-content-sha256": payload}
        names = sorted(every)
        lines = "".join(f"{name}:{' '.join(every[name].split())}\n" for name in names)
        scope = f"{moment[:8]}/{self._remote.region}/s3/aws4_request"
        key = derived_key(self._remote.secret_key, moment[:8], self._remote.region, "s3")
        text = f"{method}\n{raw}\n{'&'.join(sorted(query.split('&')))}\n{lines}\n{';'.join(names)}\n{payload}"
        signature = sign((moment, scope, key), text)
        told = f"AWS4-HMAC-SHA256 Credential={self._remote.access_key}/{scope}, SignedHeaders={';'.join(names)}, Signature={signature}"
        return every | {"authorization": told}
