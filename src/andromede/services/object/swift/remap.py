"""Accounts and containers as hosts: `CONTAINER.ACCOUNT.DOMAIN/object`. Source: the Swift documentation, "Domain Remap"."""

from andromede.services.object.model import PREFIX
from andromede.services.object.swift.answers import bad
from andromede.services.object.swift.call import Call


def path(call: Call, given: bytes) -> bytes:
    """The path that a request's host and path mean together. Raises Refused."""
    host = call.headers.get("host").partition(":")[0].lower()
    domain = "." + call.settings.storage_domain.lower().lstrip(".")
    if not host.endswith(domain):
        return given
    parts = host[: -len(domain)].split(".")
    if len(parts) > 2 or not all(parts):
        raise bad("Bad domain in host header")
    account = parts[-1]
    if account.startswith(("auth_", "auth-")):
        account = account[5:]
    whole = f"/v1/{PREFIX}{account}" + (f"/{parts[0]}" if len(parts) == 2 else "")
    return whole.encode() + (given if given != b"/" else b"/" if len(parts) == 2 else b"")
