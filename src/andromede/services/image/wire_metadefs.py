"""Metadata definitions on the wire. Source: Image API v2, "Metadata Definitions"."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from andromede.core.clock import iso_z
from andromede.http.wire import Body, Text255

Name80 = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
_Text80 = Annotated[str, msgspec.Meta(max_length=80)]
_Long = Annotated[str, msgspec.Meta(max_length=500)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
_Count = Annotated[int, msgspec.Meta(ge=0)]


class Property(Body, kw_only=True, omit_defaults=True):
    """What a property may be: a piece of JSON Schema with words for people."""

    title: str
    type: Literal["array", "boolean", "integer", "number", "object", "string"]
    name: _Name | UnsetType = UNSET
    description: str | UnsetType = UNSET
    operators: list[str] | UnsetType = UNSET
    default: Any = UNSET
    enum: list[Any] | UnsetType = UNSET
    minimum: float | UnsetType = UNSET
    maximum: float | UnsetType = UNSET
    minLength: _Count | UnsetType = UNSET  # noqa: N815 - names of JSON Schema
    maxLength: _Count | UnsetType = UNSET  # noqa: N815
    pattern: str | UnsetType = UNSET
    minItems: _Count | UnsetType = UNSET  # noqa: N815
    maxItems: _Count | UnsetType = UNSET  # noqa: N815
    uniqueItems: bool | UnsetType = UNSET  # noqa: N815
    additionalItems: bool | UnsetType = UNSET  # noqa: N815
    items: dict[str, Any] | UnsetType = UNSET
    readonly: bool | UnsetType = UNSET
    required: list[str] | UnsetType = UNSET


class NewProperty(Property, kw_only=True):
    """`POST …/properties`, `PUT …/properties/{name}`."""

    name: _Name


class NewObject(Body, kw_only=True, omit_defaults=True):
    """`POST …/objects`, `PUT …/objects/{name}`: properties that belong together."""

    name: _Name
    description: str | UnsetType = UNSET
    required: list[str] | UnsetType = UNSET
    properties: dict[str, Property] | UnsetType = UNSET


class Tag(Body, kw_only=True):
    """A tag; `PUT …/tags/{name}`."""

    name: _Name


class NewTags(Body, kw_only=True):
    """`POST …/tags`."""

    tags: list[Tag]


class Association(Body, kw_only=True, omit_defaults=True):
    """`POST …/resource_types`: a kind of resource that a namespace is for."""

    name: Name80
    prefix: _Text80 | UnsetType | None = UNSET
    properties_target: _Text80 | UnsetType | None = UNSET


class Namespace(Body, kw_only=True):
    """`PUT /metadefs/namespaces/{namespace}`."""

    namespace: Name80
    display_name: _Text80 | None = None
    description: _Long | None = None
    visibility: Literal["public", "private"] = "private"
    protected: bool = False
    owner: Text255 | UnsetType = UNSET


class NewNamespace(Namespace, kw_only=True):
    """`POST /metadefs/namespaces`, with what is to be in it at once."""

    resource_type_associations: tuple[Association, ...] = ()
    properties: dict[str, Property] = msgspec.field(default_factory=dict)
    objects: tuple[NewObject, ...] = ()
    tags: tuple[Tag, ...] = ()


def values(given: Namespace) -> dict[str, Any]:
    """The columns of a namespace."""
    out = {name: getattr(given, name) for name in ("namespace", "display_name", "description", "visibility", "protected")}
    return out if given.owner is UNSET else out | {"owner": given.owner}


def body(given: Property | NewObject | Association) -> dict[str, Any]:
    """What is kept beside the name."""
    out: dict[str, Any] = msgspec.to_builtins(given)
    out.pop("name", None)
    return out


def _times(row: Any) -> dict[str, Any]:
    return {"created_at": iso_z(row["created_at"]), "updated_at": iso_z(row["updated_at"])}


def _path(row: Any, *rest: str) -> str:
    return "/".join(("/v2/metadefs/namespaces", row["namespace"], *rest))


def show(row: Any, associations: Iterable[Any] = ()) -> dict[str, Any]:
    """A namespace, with the kinds of resources that it is for."""
    texts = {name: row[name] for name in ("display_name", "description") if row[name] is not None}
    named = [show_association(one) for one in associations]
    return {
        "namespace": row["namespace"], **texts, "visibility": row["visibility"], "protected": row["protected"], "owner": row["owner"],
        **_times(row), "self": _path(row), "schema": "/v2/schemas/metadefs/namespace",
        **({"resource_type_associations": named} if named else {}),
    }  # fmt: skip


def show_association(item: Any) -> dict[str, Any]:
    """An association."""
    return {"name": item["name"]} | {name: value for name, value in item["body"].items() if value is not None} | _times(item)


def show_property(item: Any) -> dict[str, Any]:
    """A property."""
    return {"name": item["name"], **item["body"]}


def show_object(row: Any, item: Any) -> dict[str, Any]:
    """An object."""
    path = _path(row, "objects", item["name"])
    kept = {"required": [], "properties": {}} | item["body"]
    return {"name": item["name"], **kept, **_times(item), "self": path, "schema": "/v2/schemas/metadefs/object"}


def show_tag(item: Any) -> dict[str, Any]:
    """A tag."""
    return {"name": item["name"], **_times(item)}
