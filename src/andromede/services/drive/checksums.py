"""Checksums that clients send and ask for: `OC-Checksum: SHA1:…`, of the whole content."""

import hashlib
import zlib
from collections.abc import Callable, Iterable

from andromede.core.errors import BadRequest
from andromede.services.drive.errors import Mismatch


class Adler32:
    """As hashlib's objects."""

    def __init__(self) -> None:
        self._value = 1

    def update(self, data: bytes, /) -> None:
        """Take more bytes."""
        self._value = zlib.adler32(data, self._value)

    def hexdigest(self) -> str:
        """The checksum of all of them."""
        return f"{self._value:08x}"


_KINDS: dict[str, Callable[[], "Adler32 | hashlib._Hash"]] = {
    "SHA1": lambda: hashlib.sha1(usedforsecurity=False), "MD5": lambda: hashlib.md5(usedforsecurity=False),
    "SHA256": hashlib.sha256, "ADLER32": Adler32,
}  # fmt: skip


class Check:
    """A checksum that content must have, or that is to be found out. kind: SHA1, MD5, SHA256 or ADLER32."""

    def __init__(self, kind: str, expected: str = "") -> None:
        self.kind, self.expected = kind, expected.lower()
        self.hasher = _KINDS[kind]()

    def update(self, data: bytes, /) -> None:
        """Take more of the content."""
        self.hasher.update(data)

    def text(self) -> str:
        """As nodes keep it."""
        return f"{self.kind}:{self.hasher.hexdigest()}"

    def prove(self) -> None:
        """Raise Mismatch unless the content was what it is said to be."""
        if self.expected and self.hasher.hexdigest() != self.expected:
            raise Mismatch(f"The content has the {self.text()}, and {self.kind}:{self.expected} came with it.")


def of_header(text: str) -> list[Check]:
    """The checks of an `OC-Checksum`; kinds that nobody here knows are left out. Raises BadRequest."""
    checks = []
    for word in text.split():
        kind, colon, value = word.partition(":")
        if not colon or not value.isascii() or not value.isalnum():
            raise BadRequest("The header OC-Checksum is not like `SHA1:…`.")
        if kind.upper() in _KINDS:
            checks.append(Check(kind.upper(), value))
    return checks


def prove(checks: Iterable[Check]) -> None:
    """Raise Mismatch unless the content was what all of them say."""
    for check in checks:
        check.prove()


def texts(checks: Iterable[Check]) -> str:
    """As nodes keep them."""
    return " ".join(check.text() for check in checks)


def of_kind(kind: str) -> Check:
    """A check that finds a checksum out. Raises BadRequest for a kind that nobody here knows."""
    if kind.upper() not in _KINDS:
        raise BadRequest(f"There are the checksums {', '.join(_KINDS)}.")
    return Check(kind.upper())


def with_kind(texts: str, text: str) -> str:
    """Checksums as nodes keep them, with one more, or another of its kind."""
    kind = text.partition(":")[0]
    return " ".join([*[one for one in texts.split() if one.partition(":")[0] != kind], text])
