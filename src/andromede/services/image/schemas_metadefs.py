"""The JSON schemas of metadata definitions, as clients read them."""

from typing import Any

from andromede.core.errors import NotFound

_TEXT, _READ = {"type": "string"}, {"type": "string", "readOnly": True}
_TIMES = {name: {"type": "string", "readOnly": True, "format": "date-time"} for name in ("created_at", "updated_at")}
_LINKS = {"self": _READ, "schema": _READ}
_NAMES = {"type": "array", "items": _TEXT}
_COUNT = {"type": "integer", "minimum": 0}
_PROPERTY: dict[str, Any] = {
    "name": {"type": "string", "maxLength": 255},
    "title": _TEXT,
    "description": _TEXT,
    "type": {"type": "string", "enum": ["array", "boolean", "integer", "number", "object", "string", None]},
    "operators": _NAMES,
    "default": {},
    "enum": {"type": "array"},
    "minimum": {"type": "number"},
    "maximum": {"type": "number"},
    "minLength": _COUNT,
    "maxLength": _COUNT,
    "pattern": {"type": "string", "format": "regex"},
    "minItems": _COUNT,
    "maxItems": _COUNT,
    "uniqueItems": {"type": "boolean"},
    "additionalItems": {"type": "boolean"},
    "items": {"type": "object"},
    "readonly": {"type": "boolean"},
    "required": _NAMES,
}
_PROPERTIES = {"type": "object", "additionalProperties": {"type": "object", "properties": _PROPERTY, "required": ["title", "type"]}}
_OBJECT = {"name": {"type": "string", "maxLength": 255}, "description": _TEXT, "required": _NAMES, "properties": _PROPERTIES, **_TIMES, **_LINKS}
_TAG = {"name": {"type": "string", "maxLength": 255}, **_TIMES}
_SHORT = {"type": "string", "maxLength": 80}
_ASSOCIATION = {"name": _SHORT, "prefix": _SHORT, "properties_target": _SHORT, **_TIMES}
_NAMESPACE = {
    "namespace": _SHORT, "display_name": _SHORT, "description": {"type": "string", "maxLength": 500},
    "visibility": {"type": "string", "enum": ["public", "private"]}, "protected": {"type": "boolean"},
    "owner": {"type": "string", "maxLength": 255}, **_TIMES, **_LINKS,
    "resource_type_associations": {"type": "array", "items": {"type": "object", "properties": _ASSOCIATION, "required": ["name"]}},
    "properties": _PROPERTIES, "objects": {"type": "array", "items": {"type": "object", "properties": _OBJECT, "required": ["name"]}},
    "tags": {"type": "array", "items": {"type": "object", "properties": {"name": _TAG["name"]}}},
}  # fmt: skip


def _one(name: str, properties: dict[str, Any], required: str = "name") -> dict[str, Any]:
    return {"name": name, "properties": properties, "required": [required], "additionalProperties": False}


def _many(name: str, item: dict[str, Any]) -> dict[str, Any]:
    listed = {"type": "array", "items": item}
    return {"name": name, "properties": {name: listed, "first": _TEXT, "next": _TEXT, "schema": _TEXT}}


_ALL: dict[str, dict[str, Any]] = {
    "namespace": _one("namespace", _NAMESPACE, "namespace"),
    "namespaces": _many("namespaces", _one("namespace", _NAMESPACE, "namespace")),
    "resource_type": _one("resource_type_association", _ASSOCIATION),
    "resource_types": _many("resource_type_associations", _one("resource_type_association", _ASSOCIATION)),
    "property": _one("property", _PROPERTY) | {"required": ["name", "title", "type"]},
    "properties": {"name": "properties", "properties": {"properties": _PROPERTIES}},
    "object": _one("object", _OBJECT),
    "objects": _many("objects", _one("object", _OBJECT)),
    "tag": _one("tag", _TAG),
    "tags": _many("tags", _one("tag", _TAG)),
}


def find(name: str) -> dict[str, Any]:
    """A schema by name. Raises NotFound."""
    if name not in _ALL:
        raise NotFound(f"There is no schema metadefs/{name}.")
    return _ALL[name]
