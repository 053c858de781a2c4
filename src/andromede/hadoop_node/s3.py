"""Objects read and written with the tenant's keys: what jobs are made of, and logs. Signature version 4, path style, one request each."""

import hashlib
import hmac
import http.client
import shutil
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, urlsplit

from .document import S3

_UNSIGNED = "UNSIGNED-PAYLOAD"


class S3Error(Exception):
    """The object storage refused, or could not be reached."""


def parts(url: str) -> tuple[str, str]:
    """Bucket and key of `s3a://bucket/key`. Errors: S3Error."""
    split = urlsplit(url)
    if split.scheme not in {"s3a", "s3", "s3n"} or not split.netloc:
        raise S3Error(f"{url} is no s3a://bucket/key")
    return split.netloc, split.path.lstrip("/")


def get(s3: S3, url: str, target: Path) -> None:
    """Fetch an object into a file. Errors: S3Error."""
    connection, answer = _talk(s3, "GET", url, None, 0)
    try:
        with target.open("wb") as file:
            shutil.copyfileobj(answer, file, 1 << 20)
    except (OSError, http.client.HTTPException) as error:
        raise S3Error(f"{url}: {error!r}") from error
    finally:
        connection.close()


def put(s3: S3, source: Path, url: str) -> None:
    """Store a file, as long as it is now, as an object. Errors: S3Error."""
    size = source.stat().st_size
    connection, answer = _talk(s3, "PUT", url, source, size)
    answer.read()
    connection.close()


class _Part:
    """The first `left` bytes of a file: a log grows while it is sent."""

    def __init__(self, path: Path, left: int) -> None:
        self._file, self._left = path.open("rb"), left

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data

    def close(self) -> None:
        self._file.close()


def _talk(s3: S3, method: str, url: str, source: Path | None, size: int) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    bucket, key = parts(url)
    where = urlsplit(s3.endpoint)
    path = quote(f"{where.path.rstrip('/')}/{bucket}/{key}", safe="/~")
    headers = sign(s3, method, where.netloc, path, datetime.now(UTC))
    if source is not None:
        headers["Content-Length"] = str(size)
    kind = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
    connection = kind(where.netloc, timeout=60)
    body = _Part(source, size) if source is not None else None
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        if answer.status >= 300:
            said = answer.read(2000).decode(errors="replace")
            code = said.partition("<Code>")[2].partition("</Code>")[0]
            raise S3Error(f"{url}: the object storage answered {answer.status} {code or answer.reason}")
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        raise S3Error(f"{url}: {error!r}") from error
    except S3Error:
        connection.close()
        raise
    finally:
        if body is not None:
            body.close()
    return connection, answer


def sign(s3: S3, method: str, host: str, path: str, now: datetime) -> dict[str, str]:
    """The headers of a request without a query. Source: "Signature Version 4", the S3 API reference."""
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{s3.region or 'us-east-1'}/s3/aws4_request"
    names = "host;x-amz-content-sha256;x-amz-date"
    canonical = f"{method}\n{path}\n\nhost:{host}\nx-amz-content-sha256:{_UNSIGNED}\nx-amz-date:{stamp}\n\n{names}\n{_UNSIGNED}"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{s3.secret_key}".encode()
    for word in scope.split("/"):
        key = hmac.digest(key, word.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return {
        "Host": host,
        "x-amz-date": stamp,
        "x-amz-content-sha256": _UNSIGNED,
        "Authorization": f"AWS4-HMAC-SHA256 Credential={s3.access_key}/{scope}, SignedHeaders={names}, Signature={signature}",
    }
