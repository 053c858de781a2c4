"""Identifiers, and the names of outside things that are derived from them.

An id is a random UUID4. Identity (Keystone) writes its ids as 32 hex digits, every other service with dashes;
both are strings and never compared across services.
"""

import os
import re
import threading
import uuid

_PLAIN, _VERSION_4 = ~(0xF000 << 64 | 0xC000 << 48), 0x4000 << 64 | 0x8000 << 48
_UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)


class _Chance:
    """Random bytes from the kernel, asked for by the page: a system call for each id is a tenth of a small request's time."""

    def __init__(self) -> None:
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        """A child must not draw what its parent draws."""
        self._lock = threading.Lock()
        self._page, self._at = b"", 0

    def draw(self, count: int) -> bytes:
        with self._lock:
            if self._at + count > len(self._page):
                self._page, self._at = os.urandom(max(4096, count)), 0
            self._at += count
            return self._page[self._at - count : self._at]


_chance = _Chance()


def random_bytes(count: int) -> bytes:
    """Bytes for ids and nonces that nobody can foresee and that never come again; keys are drawn with `secrets`."""
    return _chance.draw(count)


def new_id() -> str:
    """A new id with dashes, as Compute, Image and Network write theirs."""
    return str(uuid.uuid4())


def new_hex_id() -> str:
    """A new id of 32 hex digits, as Identity writes its own."""
    return uuid.uuid4().hex


def new_request_id() -> str:
    """An id for one request: `req-` and a UUID, as OpenStack's services send in `X-Openstack-Request-Id`."""
    text = (int.from_bytes(random_bytes(16)) & _PLAIN | _VERSION_4).to_bytes(16).hex()
    return f"req-{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def is_id(value: str) -> bool:
    """Whether `value` has the form of an id, with or without dashes."""
    return _UUID.fullmatch(value) is not None


def guest_name(server_id: str) -> str:
    """The name of a server's guest on its host."""
    return f"guest-{server_id}"


def tap_name(port_id: str) -> str:
    """The host interface of a port: `tap` and the first 11 characters, within Linux's 15 (as Neutron names them)."""
    return f"tap{port_id[:11]}"


def peer_name(port_id: str) -> str:
    """The other end of a port's host interface where a container has the port; it becomes the container's own."""
    return f"veth{port_id[:11]}"
