"""Identifiers, and the names of outside things that are derived from them.

An id is a random UUID4. Identity (Keystone) writes its ids as 32 hex digits, every other service with dashes;
both are strings and never compared across services.
"""

import re
import uuid

_UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)


def new_id() -> str:
    """A new id with dashes, as Compute, Image and Network write theirs."""
    return str(uuid.uuid4())


def new_hex_id() -> str:
    """A new id of 32 hex digits, as Identity writes its own."""
    return uuid.uuid4().hex


def new_request_id() -> str:
    """An id for one request: `req-` and a UUID, as OpenStack's services send in `X-Openstack-Request-Id`."""
    return f"req-{uuid.uuid4()}"


def is_id(value: str) -> bool:
    """Whether `value` has the form of an id, with or without dashes."""
    return _UUID.fullmatch(value) is not None


def guest_name(server_id: str) -> str:
    """The name of a server's guest on its host."""
    return f"guest-{server_id}"


def tap_name(port_id: str) -> str:
    """The host interface of a port: `tap` and the first 11 characters, within Linux's 15 (as Neutron names them)."""
    return f"tap{port_id[:11]}"
