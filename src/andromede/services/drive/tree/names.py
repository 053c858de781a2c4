"""Names and paths: Unicode NFC, case kept, up to 255 bytes a name and 4 KiB a path; what may not be a name is refused, never changed."""

import unicodedata

from andromede.core.errors import BadRequest
from andromede.services.drive.errors import Forbidden

NAME, PATH = 255, 4096
"""Bytes of UTF-8 that a name and a path may have."""


def split(path: bytes | str) -> tuple[str, ...]:
    """The names of a path, unquoted, whose slashes at both ends and in a row do not count. Raises BadRequest where it is no path at all,
    for what is not UTF-8, has a NUL or goes up."""
    try:
        text = path.decode() if isinstance(path, bytes) else path
        text.encode()
    except UnicodeError:
        raise BadRequest("The path is not UTF-8.") from None
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    names = tuple(name for name in text.split("/") if name)
    if "\0" in text or "." in names or ".." in names:
        raise BadRequest("The path has a name that cannot be: a NUL, `.` or `..`.")
    return names


def allow(names: tuple[str, ...]) -> None:
    """Raise Forbidden unless something may be made at this path."""
    name = names[-1]
    if len(name.encode()) > NAME:
        raise Forbidden(f"A name may have {NAME} bytes of UTF-8; this one has {len(name.encode())}.")
    for char in name:
        if char < " " or char in "\\\x7f":
            raise Forbidden(f"A name may not have the character {char!a}.")
    if not name.strip():
        raise Forbidden("A name may not consist of spaces.")
    if (size := len("/".join(names).encode()) + 1) > PATH:
        raise Forbidden(f"A path may have {PATH} bytes of UTF-8; this one has {size}.")
