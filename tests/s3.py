"""The S3 face behind a real server on loopback, with boto3 clients of a cloud's users, and requests by hand."""

import contextlib
import hashlib
import hmac
import http.client
import itertools
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from andromede.drivers.blob.fake import Fake
from andromede.http.plain import serve
from andromede.services.object.kms import LocalKeys
from andromede.services.object.s3 import S3, Settings
from andromede.services.object.service import Objects
from tests import objects as ground
from tests.cloud import Cloud

REGION = "us-east-1"
EMPTY = hashlib.sha256(b"").hexdigest()
UNSIGNED = "UNSIGNED-PAYLOAD"
_numbers = itertools.count(1)


class Site:
    """A served face. `url`; `objects`: what it stands on; `client()`: a boto3 client of the ordinary user; `keys`: theirs."""

    def __init__(self, cloud, url, objects, settings):
        self.cloud, self.url, self.objects, self.settings = cloud, url, objects, settings
        self.keys = ground.access_key(cloud)
        self.project = self.token(cloud.user)["project"]["id"]
        self.host = urlsplit(url).netloc

    def token(self, who):
        return who.get("/identity/v3/auth/tokens", headers={"x-subject-token": who.token}).json["token"]

    def client(self, keys=None, **config):
        config.setdefault("retries", {"max_attempts": 1})
        s3 = {"addressing_style": "path", **config.pop("s3", {})}
        keys = keys or self.keys
        region = config.pop("region", self.settings.region)
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=keys[0],
            aws_secret_access_key=keys[1],
            aws_session_token=keys[2] if len(keys) > 2 else None,
            region_name=region,
            config=Config(s3=s3, **config),
        )

    def service(self, name, keys=None, region=None):
        """A client of a service beside S3. keys: with a session's token as a third."""
        access, secret, *token = keys or self.keys
        return boto3.client(
            name, endpoint_url=self.url, aws_access_key_id=access, aws_secret_access_key=secret, aws_session_token=token[0] if token else None,
            region_name=region or self.settings.region, config=Config(retries={"max_attempts": 1}),
        )  # fmt: skip

    def nobody(self):
        from botocore import UNSIGNED as NO

        return self.client(signature_version=NO)

    def bucket(self, client=None, **more):
        name = f"bucket-{next(_numbers)}"
        (client or self.client()).create_bucket(Bucket=name, **more)
        return name

    def send(self, method, path, body=b"", headers=None, *, signed=True, keys=None, **more):
        """A request by hand; answers status, headers, body."""
        headers = dict(headers or {})
        headers.setdefault("host", self.host)
        if signed:
            headers |= sign(keys or self.keys, method, path, headers, **more)
        connection = http.client.HTTPConnection(self.host, timeout=20)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            if "content-length" not in headers and "transfer-encoding" not in headers:
                headers["content-length"] = str(len(body))
            for name, value in headers.items():
                for each in value if isinstance(value, list) else [value]:
                    connection.putheader(name, each)
            connection.endheaders()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.send(body)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()


def signing_key(secret, date, region=REGION, service="s3"):
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def sign(
    keys,
    method,
    path,
    headers,
    *,
    payload=EMPTY,
    moment=None,
    region=REGION,
    service="s3",
    date=None,
    canonical_path=None,
    leave=(),
):
    """The headers that sign a request, written from the specification and not from what is tested."""
    moment = moment or datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    date = date or moment[:8]
    raw, _, query = path.partition("?")
    pairs = sorted((pair if "=" in pair else pair + "=") for pair in query.split("&") if pair)
    every = {**headers, "x-amz-date": moment, "x-amz-content-sha256": payload}
    names = sorted(name for name in every if name not in leave)
    lines = "".join(
        f"{name}:{','.join(every[name]) if isinstance(every[name], list) else ' '.join(every[name].split())}\n" for name in names
    )
    text = "\n".join([method, canonical_path or raw, "&".join(pairs), lines, ";".join(names), payload])
    scope = f"{date}/{region}/{service}/aws4_request"
    digest = hashlib.sha256(text.encode()).hexdigest()
    signature = hmac.new(
        signing_key(keys[1], date, region, service), f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}".encode(), hashlib.sha256
    ).hexdigest()
    return {
        "x-amz-date": moment, "x-amz-content-sha256": payload,
        "authorization": f"AWS4-HMAC-SHA256 Credential={keys[0]}/{scope}, SignedHeaders={';'.join(names)}, Signature={signature}",
    }  # fmt: skip


def presigned(keys, method, path, host, *, expires="300", moment=None, extra=""):
    """A path with a signature in its query."""
    moment = moment or datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{moment[:8]}/{REGION}/s3/aws4_request"
    query = (
        f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={quote(f'{keys[0]}/{scope}', safe='')}&X-Amz-Date={moment}"
        f"&X-Amz-Expires={expires}&X-Amz-SignedHeaders=host{extra}"
    )
    pairs = "&".join(sorted(query.split("&")))
    text = "\n".join([method, path, pairs, f"host:{host}\n", "host", UNSIGNED])
    digest = hashlib.sha256(text.encode()).hexdigest()
    signature = hmac.new(
        signing_key(keys[1], moment[:8]), f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}".encode(), hashlib.sha256
    ).hexdigest()
    return f"{path}?{query}&X-Amz-Signature={signature}"


@contextlib.contextmanager
def site(folder, store=None, **settings):
    """A cloud and the S3 face beside it, over a store (the one in memory)."""
    cloud = Cloud(folder)
    store = store or Fake(classes=("standard", "plain", "cold"))
    objects = Objects(store, LocalKeys(store, b"m" * 32))
    chosen = Settings(
        **{
            "domain": "s3.test",
            "website_domain": "web.test",
            "classes": {"STANDARD_IA": "cold", "GLACIER_IR": "cold"},
            **settings,
        }
    )
    try:
        with ground.served(lambda: serve(S3(objects, ground.callers(cloud), chosen), "s3")) as url:
            yield Site(cloud, url, objects, chosen)
    finally:
        cloud.close()


@contextlib.contextmanager
def fails(code, status=None):
    """What is within fails with a code of S3."""
    with pytest.raises(ClientError) as caught:
        yield caught
    response = caught.value.response
    assert response["Error"]["Code"] == code, response
    if status is not None:
        assert response["ResponseMetadata"]["HTTPStatusCode"] == status
