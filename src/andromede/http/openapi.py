"""The OpenAPI 3.1 description of every route, made from the declarations: nothing in it is written twice.

Beyond the standard: `x-policy` (who may call), `x-openstack-quota`, and `x-openstack-min-microversion` and
`x-openstack-max-microversion` (both included) where an API has microversions. A POST that takes actions is one operation with
the actions' bodies as `oneOf`; `x-openstack-actions` says of each what an operation of its own would say.
"""

import inspect
import re
import typing
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from functools import cache
from typing import Any

import msgspec

from andromede import __version__
from andromede.core.context import Context
from andromede.http import faults, wire
from andromede.http.api import Api, Route, parameters
from andromede.http.policy import Level, Policy
from andromede.http.response import Response
from andromede.http.versions import Version, show

Schema = dict[str, Any]
_PATH = "/openapi.json"
_LAST = 999
_TEXT: Schema = {"type": "string"}
_CODE: Schema = {"type": "integer"}
_PATCHES = {"PATCH /image/v2/images/{image_id}": "application/openstack-images-v2.1-json-patch"}


def _shape(required: Iterable[tuple[str, Schema]]) -> Schema:
    properties = dict(required)
    return {"type": "object", "properties": properties, "required": list(properties)}


_FAULTS: dict[Callable[..., Any], Schema] = {
    faults.compute: {
        "description": "One member, named after the error.", "type": "object",
        "additionalProperties": _shape([("code", _CODE), ("message", _TEXT)]),
    },
    faults.identity: _shape([("error", _shape([("code", _CODE), ("message", _TEXT), ("title", _TEXT)]))]),
    faults.network: _shape([("NeutronError", _shape([("type", _TEXT), ("message", _TEXT), ("detail", _TEXT)]))]),
    faults.image: _shape([("code", _TEXT), ("title", _TEXT), ("message", _TEXT)]),
    faults.generic: _shape(
        [("errors", {"type": "array", "items": _shape([("status", _CODE), ("title", _TEXT), ("detail", _TEXT), ("request_id", _TEXT)])})]
    ),
}  # fmt: skip


def served(apis: Sequence[Api]) -> Api:
    """An API of one route, `GET /openapi.json`, that describes `apis` and itself."""
    api = Api("openapi", type="openapi", prefix=_PATH, fault=faults.generic)

    @cache
    def encoded() -> bytes:
        return msgspec.json.encode(document([*apis, api]))

    @api.get("", policy=Policy("openapi:show", Level.PUBLIC), tx="none")
    def show_openapi(_ctx: Context) -> Response:
        """Every route of this cloud, as an OpenAPI 3.1 document."""
        return Response(encoded())

    return api


def document(apis: Sequence[Api]) -> Schema:
    """The description of `apis`, as JSON."""
    routes = [route for api in apis for route in api.routes]
    kinds = [kind for route in routes for kind in (route.body, route.answer, route.query) if _has_schema(kind)]
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    known = {_key(kind): schema for kind, schema in zip(kinds, schemas, strict=True)}
    for kind in _structs(kinds):
        _mark(kind, components)
    paths: dict[str, Schema] = {}
    for (method, path), name in _names(routes).items():
        same = [route for route in routes if (route.method, route.path) == (method, path)]
        paths.setdefault(path, {})[method.lower()] = _operation(same, known, name)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Andromède", "version": __version__, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in dict.fromkeys(api.name for api in apis)],
        "paths": paths,
        "components": {
            "schemas": components | {f"Fault.{fault.__name__}": schema for fault, schema in _FAULTS.items()},
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}},
            "parameters": {api.name: _version_header(api) for api in apis if api.versions},
        },
        "security": [{"token": []}],
    }


def _key(kind: Any) -> str:
    return repr(kind)


def _has_schema(kind: Any) -> bool:
    """Whether JSON of this type can be described: not where there is none, or the handler writes its answer itself."""
    return kind not in (None, type(None), bytes, Response) and typing.get_origin(kind) is not AsyncIterator


def _structs(kinds: Iterable[Any]) -> set[type[msgspec.Struct]]:
    found: set[type[msgspec.Struct]] = set()
    pending = list(kinds)
    while pending:
        kind = pending.pop()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            if kind not in found:
                found.add(kind)
                pending += typing.get_type_hints(kind, include_extras=True).values()
        else:
            pending += typing.get_args(kind)
    return found


def _mark(kind: type[msgspec.Struct], components: dict[str, Any]) -> None:
    """Say of a struct's fields in which microversions they exist."""
    schema = components.get(kind.__name__) or components.get(f"{kind.__module__}.{kind.__qualname__}", {})
    for name, versions in wire.versioned(kind).items():
        if name in schema.get("properties", {}):
            schema["properties"][name] = {**schema["properties"][name], **_range(versions.first, versions.last)}


def _range(first: Version, last: Version) -> Schema:
    out = {}
    if first > (0, 0):
        out["x-openstack-min-microversion"] = show(first)
    if last[0] < _LAST:
        out["x-openstack-max-microversion"] = show(last)
    return out


def _versions(route: Route) -> Schema:
    if route.api.versions is None:
        return {}
    highest = min(route.last, route.api.versions.highest)
    return _range(max(route.first, route.api.versions.lowest), highest)


def _words(route: Route) -> Schema:
    summary, _, rest = (inspect.getdoc(route.handler) or "").partition("\n\n")
    summary = " ".join(summary.split())
    return {"summary": summary, **({"description": rest.strip()} if rest.strip() else {})}


def _rules(route: Route) -> Schema:
    policy = {"name": route.policy.name, "level": route.policy.level.value}
    out: Schema = {"x-policy": policy, **_versions(route)}
    if route.quota:
        out["x-openstack-quota"] = list(route.quota)
    return out


def _operation(routes: list[Route], known: dict[str, Schema], name: str) -> Schema:
    first = routes[0]
    out: Schema = {"tags": [first.api.name], "operationId": name}
    if first.action is None:
        out |= _words(first) | _rules(first)
    else:
        out["summary"] = f"Actions: {', '.join(str(route.action) for route in routes)}."
        out["x-openstack-actions"] = {route.action: _words(route) | _rules(route) | {"status": route.status} for route in routes}
    if len(routes) > 1 and first.action is None:
        out |= _range(min(route.first for route in routes), max(route.last for route in routes))
    given = [{"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}} for name in parameters(first.path)]
    asked = [_query(name, schema) for name, schema in known.get(_key(first.query), {}).get("properties", {}).items()]
    header = [{"$ref": f"#/components/parameters/{first.api.name}"}] if first.api.versions else []
    if given or asked or header:
        out["parameters"] = [*given, *asked, *header]
    if body := _request(routes, known):
        out["requestBody"] = body
    if all(route.policy.level is Level.PUBLIC for route in routes):
        out["security"] = []
    out["responses"] = _responses(routes, known)
    return out


def _names(routes: Sequence[Route]) -> dict[tuple[str, str], str]:
    """The operationId of each method and path: the API's and the handler's names; where those do not suffice, with words of the path, then
    with its parameters, and then with the version of the API."""

    def short(route: Route) -> str:
        if route.action is None:
            return f"{route.api.name}_{route.handler.__name__}"
        return f"{route.api.name}_{_fixed(route)[0]}_action"

    keys = {(route.method, route.path): route for route in routes}
    counts = Counter(short(route) for route in keys.values())
    words = {key: short(route) if counts[short(route)] == 1 else "_".join([short(route), *_fixed(route)]) for key, route in keys.items()}
    again = Counter(words.values())
    words = {key: word if again[word] == 1 else "_".join([word, *re.findall(r"{(\w+)}", key[1])]) for key, word in words.items()}
    still = Counter(words.values())
    words = {key: word if still[word] == 1 else f"{word}_{keys[key].api.prefix.rpartition('/')[2]}" for key, word in words.items()}
    return {key: re.sub(r"\W", "_", word) for key, word in words.items()}


def _fixed(route: Route) -> list[str]:
    parts = route.path.removeprefix(route.api.prefix).split("/")
    return [part for part in parts if part and not part.startswith("{")] or ["root"]


def _query(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "query", "schema": schema}


def _version_header(api: Api) -> Schema:
    assert api.versions is not None
    lowest, highest = show(api.versions.lowest), show(api.versions.highest)
    return {
        "name": "OpenStack-API-Version", "in": "header", "example": f"{api.type} {highest}",
        "description": f"The microversion wanted, from {lowest} (also without this header) to {highest}, or `latest`.",
        "schema": {"type": "string", "pattern": rf"^{api.type} (latest|\d+\.\d+)$"},
    }  # fmt: skip


def _request(routes: list[Route], known: dict[str, Schema]) -> Schema | None:
    first = routes[0]
    if first.action is not None:
        acts = [_shape([(str(route.action), known.get(_key(route.body), {}))]) | {"additionalProperties": False} for route in routes]
        return {"required": True, "content": {"application/json": {"schema": {"oneOf": acts}}}}
    if first.body is None:
        return None
    if not _has_schema(first.body):
        return {"required": True, "content": {_PATCHES.get(first.name, "application/octet-stream"): {}}}
    bodies = [known[_key(route.body)] for route in routes]
    schema = bodies[0] if len(bodies) == 1 else {"oneOf": bodies}
    return {"required": not first.body_optional, "content": {"application/json": {"schema": schema}}}


def _responses(routes: list[Route], known: dict[str, Schema]) -> Schema:
    out: Schema = {}
    for route in routes:
        answer: Schema = {"description": "Done."}
        if schema := known.get(_key(route.answer)):
            answer["content"] = {"application/json": {"schema": schema}}
        out.setdefault(str(route.status), answer)
    fault = {"$ref": f"#/components/schemas/Fault.{routes[0].api.fault.__name__}"}
    out["default"] = {"description": "An error.", "content": {"application/json": {"schema": fault}}}
    return out
