"""Where data and programs are: the forms that URLs may have, and how a node finds them.

Swift's containers and S3's buckets are one store here, so `swift://container/object` is `s3a://container/object` to a node.
"""

import re
import uuid
from typing import Any

from sqlalchemy import select

from andromede.core.context import Context
from andromede.core.ids import random_bytes
from andromede.services.hadoop.api import wrong
from andromede.services.hadoop.tables import thing

SOURCE, BINARY = "data_source", "job_binary"
INTERNAL = "internal-db://"
TYPES = ("swift", "s3", "hdfs")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_RANDOM = re.compile(r"%RANDSTR\((\d{1,3})\)%")
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_S3 = ("accesskey", "secretkey", "endpoint", "ssl", "bucket_in_path")


def check_source(kind: str, url: str, credentials: dict[str, Any] | None) -> None:
    """Raise BadRequest for a data source of a kind that is not there, or whose URL does not fit its kind."""
    if kind not in TYPES:
        more = ": this cloud has no Shared File Systems service" if kind == "manila" else ""
        raise wrong(f"type: '{kind[:40]}' is not one of {', '.join(TYPES)}{more}", "VALIDATION_ERROR")
    if not url:
        raise wrong(f"url: {kind} url must not be empty")
    if kind == "hdfs":
        if "://" in url and not url.startswith("hdfs://"):
            raise wrong("url: HDFS url scheme must be 'hdfs'")
        return
    _of_store(url, ("swift",) if kind == "swift" else ("s3", "s3a"))
    check_credentials(kind, credentials)


def check_binary(url: str, extra: dict[str, Any] | None) -> None:
    """Raise BadRequest for a program that is nowhere a node can reach."""
    scheme = url.partition("://")[0] if "://" in url else ""
    if scheme == "internal-db":
        return
    if scheme == "manila":
        raise wrong("url: this cloud has no Shared File Systems service", "INVALID_REFERENCE")
    if scheme not in ("swift", "s3", "s3a"):
        raise wrong("url: 'url' must begin with swift://, s3://, s3a:// or internal-db://", "VALIDATION_ERROR")
    _, key = _of_store(url, (scheme,))
    if not key:
        raise wrong("url: it must name an object")
    check_credentials("swift" if scheme == "swift" else "s3", extra)


def check_credentials(kind: str, given: dict[str, Any] | None) -> None:
    """Raise BadRequest for credentials that lack something. Those of Swift are not needed: clusters have an access key of their own."""
    if not given:
        return
    if kind == "swift":
        for name in ("user", "password"):
            if not isinstance(given.get(name), str):
                raise wrong(f"credentials: '{name}' is not provided for swift")
        return
    unknown = sorted(set(given) - set(_S3))
    if unknown:
        raise wrong(f"credentials: unknown {unknown}")
    for name in ("accesskey", "secretkey"):
        if not isinstance(given.get(name), str) or not given[name]:
            raise wrong(f"credentials: '{name}' is not provided for s3")
    if not isinstance(given.get("endpoint", ""), str):
        raise wrong("credentials: 'endpoint' must be a text")


def _of_store(url: str, schemes: tuple[str, ...]) -> tuple[str, str]:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in schemes:
        raise wrong(f"url: URL scheme must be '{schemes[0]}'")
    container, _, key = rest.partition("/")
    container = container.removesuffix(".sahara") if scheme == "swift" else container
    if not _BUCKET.fullmatch(container):
        raise wrong("url: it must name a container or bucket")
    return container, key


def expanded(url: str) -> str:
    """A URL as nodes take it; random parts are drawn, as for the output of a job that runs often."""
    url = _RANDOM.sub(lambda found: "".join(_LETTERS[byte % len(_LETTERS)] for byte in random_bytes(min(int(found[1]), 200))), url)
    url = url.replace("%JOB_EXEC_ID%", str(uuid.uuid4()))
    if url.startswith("swift://"):
        container, key = _of_store(url, ("swift",))
        return f"s3a://{container}/{key}"
    if url.startswith("s3://"):
        return "s3a" + url.removeprefix("s3")
    if "://" not in url:
        return f"hdfs:///{url.lstrip('/')}" if url.startswith("/") else f"hdfs:///user/hadoop/{url}"
    return url


def credentials(url: str, given: dict[str, Any] | None, settings: dict[str, str]) -> None:
    """Settings of S3A for a bucket that has credentials of its own."""
    if not url.startswith("s3a://") or not given or "accesskey" not in given:
        return
    base = f"fs.s3a.bucket.{url.removeprefix('s3a://').partition('/')[0]}."
    settings[base + "access.key"], settings[base + "secret.key"] = given["accesskey"], given["secretkey"]
    if given.get("endpoint"):
        scheme = "" if "://" in given["endpoint"] else "https://" if given.get("ssl", True) else "http://"
        settings[base + "endpoint"] = scheme + given["endpoint"]
        settings[base + "path.style.access"] = "true" if given.get("bucket_in_path", True) else "false"


def resolved(ctx: Context, value: str, sources: dict[str, str]) -> str:
    """An argument in which `datasource://name` or a data source's id is its URL, and a URL of the store is one that nodes take."""
    if value in sources:
        return sources[value]
    if value.startswith("datasource://"):
        name = value.removeprefix("datasource://")
        row = ctx.db.execute(select(thing.c.facts).where(thing.c.kind == SOURCE, thing.c.project_id == ctx.project_id, thing.c.name == name)).first()
        if row is None:
            raise wrong(f"job_configs: DataSource with name '{name[:80]}' doesn't exist", "INVALID_REFERENCE")
        return expanded(row.facts["url"])
    return expanded(value) if value.startswith(("swift://", "s3://")) else value
