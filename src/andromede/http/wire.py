"""What goes over HTTP: msgspec structs, and which of their fields exist in which microversion.

    class Server(Wire):
        id: str
        tags: Annotated[list[str], since("2.26")] | UnsetType = UNSET

A field outside its versions is refused in a request and left out of an answer. Fields of answers that are not there
are UNSET, never null by accident.
"""

import types
from collections.abc import Hashable
from functools import cache
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, UnsetType

from andromede.core.errors import BadRequest
from andromede.http.versions import Version, parse

T = TypeVar("T")
__all__ = [
    "UNSET", "Body", "Text255", "UnsetType", "Wire", "between", "decode", "encode", "refuse_unversioned", "since", "trim", "until",
    "versioned",
]  # fmt: skip


class Wire(msgspec.Struct, kw_only=True, omit_defaults=False):
    """An answer. UNSET fields are left out."""


class Body(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A request. Unknown fields are refused."""


class Versions(msgspec.Struct, frozen=True):
    """The versions in which a field exists, both ends included."""

    first: Version
    last: Version


def since(first: str) -> Versions:
    """Exists from this version on."""
    return Versions(parse(first), (999, 0))


def until(last: str) -> Versions:
    """Exists up to this version."""
    return Versions((0, 0), parse(last))


def between(first: str, last: str) -> Versions:
    """Exists from one version to another."""
    return Versions(parse(first), parse(last))


_Plan = tuple[tuple[tuple[str, str, Versions], ...], tuple[str, ...]]
Text255 = Annotated[str, msgspec.Meta(max_length=255)]


def decode(kind: type[T], data: bytes | Any, *, version: Version = (0, 0)) -> T:
    """`data` (JSON text, or what JSON decodes to) as `kind`. Raises BadRequest that names the field.

    Numbers and booleans may be written as strings, as OpenStack's schemas allow.
    """
    try:
        raw = isinstance(data, bytes)
        value: T = msgspec.json.decode(data, type=kind, strict=False) if raw else msgspec.convert(data, type=kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadRequest(f"Invalid input: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest("The body is not valid JSON.") from error
    refuse_unversioned(value, version)
    return value


def encode(value: Any) -> bytes:
    """JSON."""
    return msgspec.json.encode(value)


def _plan_of(struct: msgspec.Struct) -> "_Plan":
    return _plan(type(struct))


@cache
def _plan(kind: Hashable) -> "_Plan":
    """(versioned fields as (attribute, wire name, versions), attributes that may hold further structs)."""
    assert isinstance(kind, type)
    hints = get_type_hints(kind, include_extras=True)
    versioned, nested = [], []
    for field in msgspec.structs.fields(kind):
        hint = hints[field.name]
        found = _versions(hint)
        if found is not None:
            versioned.append((field.name, field.encode_name, found))
        if _holds_struct(hint):
            nested.append(field.name)
    return tuple(versioned), tuple(nested)


def _versions(hint: Any) -> Versions | None:
    if get_origin(hint) is Annotated:
        for note in hint.__metadata__:
            if isinstance(note, Versions):
                return note
    return next((found for part in get_args(hint) if (found := _versions(part)) is not None), None) if _is_union(hint) else None


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType)


def _holds_struct(hint: Any) -> bool:
    return bool(_structs(hint))


def _walk(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _walk(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _walk(item)


def refuse_unversioned(value: Any, version: Version) -> None:
    """Raise BadRequest where a request sets a field that `version` does not have."""
    for struct in _walk(value):
        versioned, nested = _plan_of(struct)
        for name, wire, versions in versioned:
            if not versions.first <= version <= versions.last and getattr(struct, name) is not UNSET:
                raise BadRequest(f"Additional properties are not allowed ('{wire}' was unexpected)")
        for name in nested:
            refuse_unversioned(getattr(struct, name), version)


def versioned(kind: type[msgspec.Struct]) -> dict[str, Versions]:
    """The fields of a struct, by their names on the wire, that do not exist in every version."""
    key: Hashable = kind
    return {name: versions for _attribute, name, versions in _plan(key)[0]}


def trim(value: Any, version: Version) -> None:
    """Take out of an answer, in place, the fields that `version` does not have."""
    for struct in _walk(value):
        gone, deep = _trimming_of(struct, version)
        for name in gone:
            setattr(struct, name, UNSET)
        for name in deep:
            trim(getattr(struct, name), version)


def _trimming_of(struct: Hashable, version: Version) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return _trimming(type(struct), version)


@cache
def _trimming(kind: Hashable, version: Version) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(attributes that `version` does not have, attributes below which there may be more of them)."""
    assert isinstance(kind, type)
    versioned, nested = _plan(kind)
    gone = tuple(name for name, _wire, versions in versioned if not versions.first <= version <= versions.last)
    hints = get_type_hints(kind, include_extras=True)
    deep = tuple(name for name in nested if name not in gone and any(_affected(one, version, ()) for one in _structs(hints[name])))
    return gone, deep


def _affected(kind: type[msgspec.Struct], version: Version, above: tuple[type, ...]) -> bool:
    """Whether a struct, or one within it, has a field that `version` does not have."""
    if kind in above:
        return False
    versioned, nested = _plan(kind)
    hints = get_type_hints(kind, include_extras=True)
    return any(not versions.first <= version <= versions.last for _name, _wire, versions in versioned) or any(
        _affected(one, version, (*above, kind)) for name in nested for one in _structs(hints[name])
    )


def _structs(hint: Any) -> list[type[msgspec.Struct]]:
    """The struct types that a value of this type may be made of."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return [hint]
    return [found for part in get_args(hint) for found in _structs(part)]
