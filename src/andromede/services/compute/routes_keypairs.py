"""Routes of key pairs. They belong to a user, not to a project; a private key is never kept. Source: Compute API v2.1, "Keypairs"."""

import base64
import binascii
import hashlib
import re
from datetime import timedelta
from typing import Annotated, Any, Literal

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat, load_ssh_public_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import UNSET, UnsetType
from sqlalchemy import delete, func, insert, select

from andromede.core.clock import iso_micro, now
from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, NotFound, QuotaExceeded
from andromede.http import paging
from andromede.http.response import Response
from andromede.http.wire import Body, since
from andromede.services.compute.api import api, member, reader
from andromede.services.compute.tables import keypair
from andromede.services.quota import service as quota

_KEYS, _KEY = "/os-keypairs", "/os-keypairs/{keypair_name}"
_MOST = 1000
_NAME = re.compile(r"[A-Za-z0-9 _-]+")
_NEWER_NAME = re.compile(r"[A-Za-z0-9 _@.-]+")

quota.register(quota.Resource("key_pairs", "compute", 100, lambda _db, _project: 0))


class NewKey(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A key pair to be imported, or made where it has no public key."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    public_key: str | None = None
    type: Annotated[Literal["ssh", "x509"], since("2.2")] | UnsetType = UNSET
    user_id: Annotated[str, since("2.10")] | UnsetType = UNSET


class CreateKey(Body):
    """`POST /os-keypairs`."""

    keypair: NewKey


def fingerprint(public_key: str) -> str:
    """The MD5 fingerprint of an OpenSSH public key, as `ssh-keygen -E md5` shows it. Raises BadRequest for what is none."""
    words = public_key.split()
    try:
        load_ssh_public_key(public_key.strip().encode())
        raw = base64.b64decode(words[1], validate=True)
    except (ValueError, UnsupportedAlgorithm, binascii.Error, IndexError, UnicodeEncodeError) as error:
        raise BadRequest("Keypair data is invalid: failed to generate fingerprint") from error
    if "\n" in public_key.strip():
        raise BadRequest("Keypair data is invalid: it must be one public key on one line")
    digest = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    return ":".join(digest[at : at + 2] for at in range(0, 32, 2))


def certificate_fingerprint(text: str) -> str:
    """The SHA-1 fingerprint of an X.509 certificate in PEM. Raises BadRequest for what is none."""
    try:
        digest = x509.load_pem_x509_certificate(text.encode()).fingerprint(SHA1()).hex()  # noqa: S303
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadRequest("Keypair data is invalid: failed to generate X509 fingerprint. Error: it is no certificate in PEM") from error
    return ":".join(digest[at : at + 2] for at in range(0, 40, 2))


def _certificate(user_id: str) -> tuple[str, str]:
    """A new key and a certificate of it that says who its user is, both in PEM: for guests that people sign in to by certificate."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, user_id)])
    principal = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), _utf8(f"{user_id}@localhost"))
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now()).not_valid_after(now() + timedelta(days=3650))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([principal]), critical=False)
        .sign(key, SHA256())
    )  # fmt: skip
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return private, made.public_bytes(Encoding.PEM).decode()


def _utf8(text: str) -> bytes:
    """A short text as ASN.1's UTF8String."""
    data = text.encode()
    return bytes([0x0C, len(data)]) + data


def _generated() -> tuple[str, str]:
    """A new Ed25519 pair in OpenSSH's formats: (private, public)."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return private, f"{public} Generated-by-Andromede"


def _owner(ctx: Context) -> str:
    """The user whose keys are meant; another one than the caller only for admins, from 2.10 on."""
    wanted = ctx.query.get("user_id") if ctx.at_least("2.10") else None
    if wanted is None or wanted == ctx.caller.user_id:
        return ctx.caller.user_id
    if not ctx.caller.admin:
        ctx.refuse("compute:os-keypairs")
    return wanted


def _brief(ctx: Context, row: Any) -> dict[str, Any]:
    out = {"name": row["name"], "public_key": row["public_key"], "fingerprint": row["fingerprint"]}
    return out | {"type": row["type"]} if ctx.at_least("2.2") else out


def _find(ctx: Context, name: str) -> Any:
    row = ctx.db.execute(select(keypair).where(keypair.c.user_id == _owner(ctx), keypair.c.name == name)).mappings().first()
    if row is None:
        raise NotFound(f"Keypair {name} not found for user {_owner(ctx)}")
    return row


@api.get(_KEYS, policy=reader("os-keypairs:index"))
def list_keys(ctx: Context) -> dict[str, Any]:
    """The caller's key pairs by name, a page at a time from 2.35 on."""
    query = select(keypair).where(keypair.c.user_id == _owner(ctx)).order_by(keypair.c.name)
    if not ctx.at_least("2.35"):
        return {"keypairs": [{"keypair": _brief(ctx, row)} for row in ctx.db.execute(query).mappings()]}
    limit = paging.limit_of(ctx, most=_MOST)
    if marker := ctx.query.get("marker"):
        if ctx.db.execute(query.where(keypair.c.name == marker)).first() is None:
            raise BadRequest(f"marker [{marker}] not found")
        query = query.where(keypair.c.name > marker)
    rows = list(ctx.db.execute(query.limit(limit + 1)).mappings())
    found = paging.Page(rows[:limit], len(rows) > limit)
    out: dict[str, Any] = {"keypairs": [{"keypair": _brief(ctx, row)} for row in found.rows]}
    if (link := found.next_link(ctx, f"{ctx.base}/os-keypairs", marker="name")) is not None:
        out["keypairs_links"] = [{"rel": "next", "href": link}]
    return out


@api.post(_KEYS, policy=member("os-keypairs:create"))
def create_key(ctx: Context, body: CreateKey) -> Response:
    """Import a public key; up to 2.91, make a pair where none is given: its private half is in this answer alone.

    Errors: 400 a name or key that cannot be; 403 over the quota; 409 where the name is taken.
    """
    wanted = body.keypair
    owner = wanted.user_id if wanted.user_id is not UNSET else ctx.caller.user_id
    if owner != ctx.caller.user_id and not ctx.caller.admin:
        ctx.refuse("compute:os-keypairs:create")
    allowed = _NEWER_NAME if ctx.at_least("2.92") else _NAME
    if not allowed.fullmatch(wanted.name) or wanted.name.strip() != wanted.name:
        raise BadRequest("Keypair data is invalid: Keypair name contains unsafe characters")
    kind = "x509" if wanted.type == "x509" else "ssh"
    if wanted.public_key is None and ctx.at_least("2.92"):
        raise BadRequest("Invalid input for field/attribute keypair. 'public_key' is a required property")
    _take(ctx, owner)
    private = None
    if wanted.public_key is None:
        private, public = _generated() if kind == "ssh" else _certificate(owner)
    else:
        public = wanted.public_key
    if ctx.db.execute(select(keypair.c.id).where(keypair.c.user_id == owner, keypair.c.name == wanted.name)).first():
        raise Conflict(f"Key pair '{wanted.name}' already exists.")
    row = {"name": wanted.name, "user_id": owner, "type": kind, "public_key": public, "created": now()}
    row["fingerprint"] = fingerprint(public) if kind == "ssh" else certificate_fingerprint(public)
    ctx.db.execute(insert(keypair).values(row))
    shown = _brief(ctx, row) | {"user_id": owner}
    if private is not None:
        shown["private_key"] = private
    return Response({"keypair": shown}, status=201 if ctx.at_least("2.2") else 200)


def _take(ctx: Context, owner: str) -> None:
    """Key pairs are counted by user, under the limit of the project."""
    limit = quota.limits(ctx.db, ctx.caller.project_id or "", "compute")["key_pairs"]
    used = ctx.db.scalar(select(func.count()).where(keypair.c.user_id == owner)) or 0
    if limit != quota.UNLIMITED and used >= limit:
        raise QuotaExceeded("key_pairs", asked=1, used=used, limit=limit)


@api.get(_KEY, policy=reader("os-keypairs:show"))
def show_key(ctx: Context, keypair_name: str) -> dict[str, Any]:
    """One key pair, without its private half."""
    row = _find(ctx, keypair_name)
    return {
        "keypair": _brief(ctx, row) | {
            "user_id": row["user_id"], "id": row["id"], "created_at": iso_micro(row["created"]), "updated_at": None, "deleted": False,
            "deleted_at": None,
        }
    }  # fmt: skip


@api.delete(_KEY, policy=member("os-keypairs:delete"))
def delete_key(ctx: Context, keypair_name: str) -> Response:
    """Delete a key pair; servers keep the public key they were made with."""
    row = _find(ctx, keypair_name)
    ctx.db.execute(delete(keypair).where(keypair.c.id == row["id"]))
    return Response(status=204 if ctx.at_least("2.2") else 202)
