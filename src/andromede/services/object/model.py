"""What is kept of accounts, containers and objects, and under which keys of the blob driver.

A container lives in one shard with all that is in it, so that whatever happens to it is one transaction. Keys sort as their
names' UTF-8 does, which is the order that both protocols list in. A name never holds a NUL, which separates.

    a\\0 account                               the account
    c\\0 account \\0 container                  the container
    b\\0 bucket                                whose container a name is, for everybody (S3)
    o\\0 container-id name                     the object
    v\\0 container-id name \\0 age              an earlier version, the newest first, or a delete marker
    u\\0 container-id name \\0 upload           a multipart upload under way
    p\\0 container-id upload number            one of its parts
    x\\0 moment container-id name              an object that expires at a moment
    k\\0 project \\0 name                      a key that objects are encrypted with (`kms`)
    t\\0 kind moment chance                    what is to be done because of a change (`tasks`)
    d\\0 account                               since when a project is missed (`leaving`)
"""

import hashlib
from typing import Any

import msgspec

from andromede.core.clock import now

LAST = (1 << 64) - 1
WATCHED = (b"a\0", b"c\0", b"b\0", b"k\0")
"""Keys of accounts, containers, buckets' names and keys of encryption: read by many requests, changed seldom."""
PLAIN = "application/octet-stream"
MARKER, SLO, DLO, LINK = "marker", "slo", "dlo", "link"
"""What an object may be besides bytes: a delete marker, a static or dynamic large object of Swift, a symbolic link."""
NAME = 1024
"""Bytes that an object's name may have."""
PREFIX = "AUTH_"
"""What Swift's names of accounts begin with, before the project's id."""


class Account(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A project's part of the store. `headers`: metadata as Swift names it, in lower case (`x-account-meta-…`)."""

    created: int
    headers: dict[str, str] = {}


class Container(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A container, or bucket.

    id: 8 bytes, never used again; created: microseconds; headers: Swift's metadata and settings, in lower case; versioning:
    `""` (never), `on`, `suspended`; s3: S3's settings by name (`policy`, `cors`, …), each as its own document;
    owner: the user who made it; swift_versions: `on` or `off` once X-Versions-Enabled was used.
    """

    id: bytes
    created: int
    headers: dict[str, str] = {}
    versioning: str = ""
    s3: dict[str, Any] = {}
    owner: str = ""


class Object(msgspec.Struct, omit_defaults=True, kw_only=True):
    """An object, or a version of one.

    stamp: when it was put, in microseconds, rising with each version of a name; etag: hexadecimal, without quotes, with `-N`
    where it was put in N parts; headers: metadata and other headers that are kept, in lower case, S3's and Swift's user
    metadata both as `meta-NAME`; kind: MARKER … or ""; target: what an SLO, DLO or link leads to; delete_at: seconds;
    version: `""` for the null version; parts: sizes of the parts it was put in; sums: checksums by algorithm, base64;
    s3: further state of S3 (tags, lock, ACL, encryption).
    """

    size: int = msgspec.field(name="s", default=0)
    etag: str = msgspec.field(name="e", default="")
    stamp: int = msgspec.field(name="t", default=0)
    content_type: str = msgspec.field(name="c", default=PLAIN)
    headers: dict[str, str] = msgspec.field(name="h", default_factory=dict)
    kind: str = msgspec.field(name="k", default="")
    target: Any = msgspec.field(name="l", default=None)
    delete_at: int = msgspec.field(name="d", default=0)
    version: str = msgspec.field(name="v", default="")
    parts: list[int] = msgspec.field(name="p", default_factory=list)
    sums: dict[str, str] = msgspec.field(name="u", default_factory=dict)
    s3: dict[str, Any] = msgspec.field(name="x", default_factory=dict)
    stored: int = msgspec.field(name="b", default=0)
    """Bytes that count: `size`, but of large objects of Swift only their manifest."""
    posted: int = msgspec.field(name="w", default=0)
    """When its metadata were changed by Swift's POST, in microseconds; 0 for never since it was put."""


_encode = msgspec.msgpack.Encoder().encode
_object = msgspec.msgpack.Decoder(Object).decode
_container = msgspec.msgpack.Decoder(Container).decode
_account = msgspec.msgpack.Decoder(Account).decode


def expired(thing: Object) -> bool:
    """Whether an object's time is over: it is as good as gone."""
    return bool(thing.delete_at) and thing.delete_at <= now().timestamp()


def project_of(account: str) -> str:
    """The project that an account of Swift's is of, empty for a name that is no account's."""
    return account[len(PREFIX) :] if account.startswith(PREFIX) else ""


def pack(thing: Account | Container | Object) -> bytes:
    """As the value of an entry; what goes without saying is left out, so that the driver keeps most of them twice."""
    if isinstance(thing, Object) and (thing.stored == thing.size or thing.content_type == PLAIN):
        kind = PLAIN if thing.content_type == PLAIN else thing.content_type  # the very default is left out, not what equals it
        thing = msgspec.structs.replace(thing, stored=0 if thing.stored == thing.size else thing.stored, content_type=kind)
    return _encode(thing)


def as_object(value: bytes) -> Object:
    """From the value of an entry."""
    thing = _object(value)
    thing.stored = thing.stored or thing.size
    return thing


def as_container(value: bytes) -> Container:
    """From the value of an entry."""
    return _container(value)


def as_account(value: bytes) -> Account:
    """From the value of an entry."""
    return _account(value)


def stamp(after: int = 0) -> int:
    """Now in microseconds, whole tens of them as Swift's five decimals have it, and later than `after`."""
    return max(int(now().timestamp() * 100_000) * 10, after + 10)


def shard_of(text: str, shards: int) -> int:
    """Where something lives. text: `account` or `account/container`."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest()) % shards


def account_key(account: str) -> bytes:
    """Of an account."""
    return b"a\0" + account.encode()


def container_key(account: str, name: str = "") -> bytes:
    """Of a container; without a name, what the keys of all of an account begin with."""
    return b"c\0" + account.encode() + b"\0" + name.encode()


def bucket_key(name: str) -> bytes:
    """Of the claim to a bucket's name."""
    return b"b\0" + name.encode()


def object_key(container: bytes, name: str = "") -> bytes:
    """Of an object."""
    return b"o\0" + container + name.encode()


def versions_key(container: bytes, name: str) -> bytes:
    """What the keys of the earlier versions of a name begin with."""
    return b"v\0" + container + name.encode() + b"\0"


def version_key(container: bytes, name: str, moment: int) -> bytes:
    """Of an earlier version, put at a moment."""
    return versions_key(container, name) + (LAST - moment).to_bytes(8)


def upload_key(container: bytes, name: str, upload: str) -> bytes:
    """Of a multipart upload."""
    return b"u\0" + container + name.encode() + b"\0" + upload.encode()


def part_key(container: bytes, upload: str, number: int = 0) -> bytes:
    """Of a part."""
    return b"p\0" + container + bytes.fromhex(upload) + number.to_bytes(2)


def expiry_key(moment: int, container: bytes, name: str) -> bytes:
    """Of an object that expires."""
    return b"x\0" + moment.to_bytes(8) + container + name.encode()


def end(prefix: bytes) -> bytes:
    """The first key after all that begin with a prefix."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1])
