"""Checks of what callers send: one table of fields for each kind of thing; what no table names is kept as an extra attribute.

Identity's schemas are strict about types ("true" is not a boolean) and lenient about unknown attributes, which it keeps
and returns. Source: Identity API v3; the lengths are Keystone's.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from andromede.core.errors import BadRequest

Check = Callable[[str, Any], Any]
_PARTS = {"id", "links"}
_TAG = re.compile(r"[^,/]{1,255}")
MOST_TAGS = 80


class Fields(msgspec.Struct, frozen=True):
    """What a kind of thing has. `free`: further attributes are kept; otherwise they are refused."""

    kind: str
    checks: Mapping[str, Check]
    required: tuple[str, ...] = ()
    free: bool = True

    def read(self, body: Mapping[str, Any], *, creating: bool) -> tuple[dict[str, Any], dict[str, Any]]:
        """(checked values, extra attributes) of `{kind: {…}}`. Raises BadRequest that names the field."""
        wanted = body.get(self.kind)
        if not isinstance(wanted, dict):
            raise BadRequest(f"Invalid input: the body needs an object `{self.kind}`.")
        return self.check(wanted, creating=creating)

    def check(self, wanted: Mapping[str, Any], *, creating: bool) -> tuple[dict[str, Any], dict[str, Any]]:
        """The same for what stands behind the kind's name."""
        if creating:
            for name in self.required:
                if name not in wanted:
                    raise BadRequest(f"Invalid input for field '{name}': '{name}' is a required property.")
        values, extra = {}, {}
        for name, value in wanted.items():
            if name in self.checks:
                values[name] = self.checks[name](name, value)
            elif not self.free:
                raise BadRequest(f"Invalid input for field '{name}': additional properties are not allowed.")
            elif name not in _PARTS:
                extra[name] = value
        return values, extra


def _wrong(name: str, what: str) -> BadRequest:
    return BadRequest(f"Invalid input for field '{name}': {what}.")


def text(most: int = 65535, least: int = 0, *, null: bool = False) -> Check:
    """A string of so many characters, not only blanks where it must have any."""

    def check(name: str, value: Any) -> Any:
        if value is None and null:
            return None
        if not isinstance(value, str):
            raise _wrong(name, "it must be a string")
        if len(value) > most:
            raise _wrong(name, f"it is too long, at most {most} characters are allowed")
        if len(value) < least or (least and not value.strip()):
            raise _wrong(name, "it is too short, it must not be blank")
        return value

    return check


def boolean(*, null: bool = False) -> Check:
    """True or false, nothing that looks like it."""

    def check(name: str, value: Any) -> Any:
        if not (isinstance(value, bool) or (value is None and null)):
            raise _wrong(name, "it must be a boolean")
        return value

    return check


def number(least: int, most: int = 2**31 - 1, *, null: bool = False) -> Check:
    """A whole number."""

    def check(name: str, value: Any) -> Any:
        if value is None and null:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise _wrong(name, f"it must be a whole number from {least} to {most}")
        return value

    return check


def one_of(*allowed: str) -> Check:
    """One of a few words."""

    def check(name: str, value: Any) -> Any:
        if value not in allowed:
            raise _wrong(name, f"it must be one of {', '.join(allowed)}")
        return value

    return check


def ident(*, null: bool = True) -> Check:
    """An id: letters, digits, dashes and underscores."""

    def check(name: str, value: Any) -> Any:
        if value is None and null:
            return None
        if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value):
            raise _wrong(name, "it is not an id")
        return value

    return check


def url(name: str, value: Any) -> Any:
    """An address with a scheme and a host; placeholders in it are the catalog's."""
    if not isinstance(value, str) or len(value) > 2048 or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://\S+", value):
        raise _wrong(name, "it must be a URL")
    return value


def tag(name: str, value: Any) -> str:
    """One tag: 1 to 255 characters, neither comma nor slash."""
    if not isinstance(value, str) or not _TAG.fullmatch(value):
        raise _wrong(name, "a tag has 1 to 255 characters, without comma and slash")
    return value


def tags(name: str, value: Any) -> list[str]:
    """A list of different tags."""
    if not isinstance(value, list) or len(value) > MOST_TAGS:
        raise _wrong(name, f"it must be a list of at most {MOST_TAGS} tags")
    out = [tag(name, one) for one in value]
    if len(set(out)) != len(out):
        raise _wrong(name, "its tags must be different")
    return sorted(out)


def options(**known: Check) -> Check:
    """An object of known options; null takes one away."""

    def check(name: str, value: Any) -> Any:
        if not isinstance(value, dict):
            raise _wrong(name, "it must be an object")
        for key, one in value.items():
            if key not in known:
                raise _wrong(name, f"there is no option '{key}'")
            if one is not None:
                known[key](f"{name}.{key}", one)
        return value

    return check


def merged(before: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Options after a change."""
    return {name: value for name, value in {**before, **change}.items() if value is not None}


def nothing(name: str, value: Any) -> Any:
    """Any value."""
    del name
    return value


IMMUTABLE = options(immutable=boolean())
