"""A request as S3 understands it: which bucket, which key, which query, who asks."""

from datetime import UTC, datetime
from email.utils import formatdate
from functools import lru_cache
from urllib.parse import unquote_plus

from andromede.core.context import Caller
from andromede.http.plain import Request
from andromede.services.object.model import NAME
from andromede.services.object.s3.errors import S3Error
from andromede.services.object.s3.settings import Settings
from andromede.services.object.s3.signing import Proof, Signatures
from andromede.services.object.service import Objects, Place
from andromede.services.object.watching import Cause, watched


class Ask:
    """A request. bucket, key: "" where the path names none; query: by name; pairs: in order; website: whether
    it is for the bucket's pages; caller: who asks, None for nobody."""

    __slots__ = ("bucket", "key", "objects", "pairs", "place_", "proof", "query", "request", "settings", "signatures", "website")

    def __init__(self, request: Request, objects: Objects, settings: Settings, signatures: Signatures) -> None:
        self.request, self.objects, self.settings, self.signatures = request, objects, settings, signatures
        self.proof: Proof | None = None
        self.place_: Place | None = None
        self.pairs = _pairs(request.raw_query) if request.raw_query else []
        self.query = dict(self.pairs)
        self.website = False
        self.bucket, self.key = self._names(request)

    @property
    def caller(self) -> Caller | None:
        """Who asks."""
        return self.proof.access.caller if self.proof else None

    @property
    def place(self) -> Place:
        """The bucket. Raises NoSuchBucket."""
        if self.place_ is None:
            raise S3Error("NoSuchBucket", BucketName=self.bucket)
        return self.place_

    def cause(self, event: str = "") -> Cause | None:
        """Who changes what in the bucket, where anybody is to learn of it."""
        if not watched(self.place.container):
            return None
        who = self.caller
        return Cause(event, who.user_id if who else "anonymous", self.request.remote, self.request.id)

    @property
    def version(self) -> str | None:
        """The version that is asked for."""
        return self.query.get("versionId") or None

    def header(self, name: str, default: str = "") -> str:
        """A header's value."""
        return self.request.headers.get(name, default)

    def find(self, bucket: str) -> Place | None:
        """A bucket as the caller sees it: their project's, or anybody's whose name was claimed."""
        if self.proof is not None and (project := self.proof.access.caller.project_id):
            place = self.objects.find(project, bucket)
            if place is not None:
                return place
        account = self.objects.bucket_account(bucket)
        return self.objects.find(account, bucket) if account else None

    def _names(self, request: Request) -> tuple[str, str]:
        """The bucket and the key, from the host and the path."""
        path = text_of(request.path)
        if not path.startswith("/"):
            raise S3Error("InvalidURI")
        host = self.virtual(request.headers.get("host"))
        if host:
            return host, checked(path[1:])
        bucket, _, key = path[1:].partition("/")
        return bucket, checked(key) if key else ""

    def virtual(self, host: str) -> str:
        """The bucket that a host names, "" for none."""
        if not self.settings.domain and not self.settings.website_domain:
            return ""
        name = host.lower()
        if not name.startswith("["):
            name = name.partition(":")[0]
        for domain, website in ((self.settings.domain, False), (self.settings.website_domain, True)):
            if domain and name.endswith("." + domain):
                self.website = website
                return name[: -len(domain) - 1]
        return ""


def text_of(data: bytes) -> str:
    """A name's text. Raises InvalidURI where it is no UTF-8, or holds a NUL."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise S3Error("InvalidURI") from error
    if "\0" in text:
        raise S3Error("InvalidURI")
    return text


def checked(key: str) -> str:
    """A key that may be. Raises KeyTooLongError, InvalidURI."""
    size = len(key) if key.isascii() else len(key.encode())
    if size > NAME:
        raise S3Error("KeyTooLongError", Size=str(size), MaxSizeAllowed=str(NAME))
    if "\0" in key:
        raise S3Error("InvalidURI")
    return key


def _pairs(raw: str) -> list[tuple[str, str]]:
    pairs = []
    for pair in raw.split("&"):
        name, _, value = pair.partition("=")
        if name:
            pairs.append((unquote_plus(name), _value(value)))
    return pairs


def _value(raw: str) -> str:
    if "%" not in raw and "+" not in raw:
        return raw
    try:
        value = unquote_plus(raw, errors="strict")
    except UnicodeDecodeError as error:
        raise S3Error("InvalidURI") from error
    if "\0" in value:
        raise S3Error("InvalidArgument")
    return value


@lru_cache(4096)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


def http_date(stamp: int) -> str:
    """A stamp as HTTP writes dates."""
    return _date(stamp // 1_000_000)


def iso(stamp: int) -> str:
    """A stamp as S3's documents write it."""
    return datetime.fromtimestamp(stamp // 1000 / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{stamp // 1000 % 1000:03d}Z"
