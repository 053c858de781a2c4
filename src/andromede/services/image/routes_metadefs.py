"""Routes of metadata definitions."""

from typing import Any

from andromede.core.clock import iso_z
from andromede.core.context import Context
from andromede.services.image import metadefs, schemas_metadefs, wire_metadefs
from andromede.services.image.api import admin, api, reader, user
from andromede.services.image.metadefs import OBJECT, PROPERTY, TAG, TYPE
from andromede.services.image.wire_metadefs import Association, Namespace, NewNamespace, NewObject, NewProperty, NewTags, Tag

_ALL, _ONE = "/metadefs/namespaces", "/metadefs/namespaces/{namespace}"
_OBJECTS, _PROPERTIES, _TAGS, _TYPES = (f"{_ONE}/{kind}" for kind in ("objects", "properties", "tags", "resource_types"))


@api.get("/schemas/metadefs/{name}", policy=user("schemas:show"), tx="none")
def show_metadef_schema(_ctx: Context, name: str) -> dict[str, Any]:
    """The JSON schema of a kind of metadata definition, or of its list. 404 for any other."""
    return schemas_metadefs.find(name)


@api.get("/metadefs/resource_types", policy=reader("metadefs:resource_types:list"))
def list_resource_types(ctx: Context) -> dict[str, Any]:
    """The kinds of resources that definitions may be for."""
    named = metadefs.types(ctx)
    shown = [{"name": one["name"]} | ({"created_at": iso_z(one["created_at"])} if one["created_at"] else {}) for one in named]
    return {"resource_types": shown}


@api.get(_ALL, policy=reader("metadefs:namespaces:list"))
def list_namespaces(ctx: Context) -> dict[str, Any]:
    """The namespaces, in pages. Filters: `visibility`, `resource_types`."""
    page = metadefs.listing(ctx)
    named: dict[str, list[Any]] = {}
    for one in metadefs.items(ctx, [row["id"] for row in page.rows], TYPE):
        named.setdefault(one["namespace_id"], []).append(one)
    shown = [wire_metadefs.show(row, named.get(row["id"], [])) for row in page.rows]
    following = page.next_link(ctx, "/v2/metadefs/namespaces", marker="namespace")
    links = {"first": "/v2/metadefs/namespaces"} | ({"next": following} if following else {})
    return {"namespaces": shown, **links, "schema": "/v2/schemas/metadefs/namespaces"}


@api.post(_ALL, policy=admin("metadefs:namespaces:create"), status=201)
def create_namespace(ctx: Context, body: NewNamespace) -> dict[str, Any]:
    """A new namespace, with what is to be in it. 409 where its name is taken."""
    row = metadefs.create(ctx, wire_metadefs.values(body))
    for association in body.resource_type_associations:
        metadefs.add(ctx, row, TYPE, association.name, wire_metadefs.body(association))
    for name, one in body.properties.items():
        metadefs.add(ctx, row, PROPERTY, name, wire_metadefs.body(one))
    for thing in body.objects:
        metadefs.add(ctx, row, OBJECT, thing.name, wire_metadefs.body(thing))
    for tag in body.tags:
        metadefs.add(ctx, row, TAG, tag.name, {})
    return wire_metadefs.show(row, metadefs.items(ctx, [row["id"]], TYPE))


@api.get(_ONE, policy=reader("metadefs:namespaces:show"))
def show_namespace(ctx: Context, namespace: str) -> dict[str, Any]:
    """A namespace with all that is in it."""
    row = metadefs.find(ctx, namespace)
    shown = wire_metadefs.show(row, metadefs.items(ctx, [row["id"]], TYPE))
    properties = {one["name"]: one["body"] for one in metadefs.items(ctx, [row["id"]], PROPERTY)}
    objects = [wire_metadefs.show_object(row, one) for one in metadefs.items(ctx, [row["id"]], OBJECT)]
    tags = [{"name": one["name"]} for one in metadefs.items(ctx, [row["id"]], TAG)]
    more = {"properties": properties, "objects": objects, "tags": tags}
    return shown | {name: found for name, found in more.items() if found}


@api.put(_ONE, policy=admin("metadefs:namespaces:update"))
def update_namespace(ctx: Context, namespace: str, body: Namespace) -> dict[str, Any]:
    """Replace what is said of a namespace; what is in it stays. 409 where its new name is taken."""
    row = metadefs.change(ctx, metadefs.find(ctx, namespace), wire_metadefs.values(body))
    return wire_metadefs.show(row, metadefs.items(ctx, [row["id"]], TYPE))


@api.delete(_ONE, policy=admin("metadefs:namespaces:delete"))
def delete_namespace(ctx: Context, namespace: str) -> None:
    """Delete a namespace with all that is in it. 403 where it is protected."""
    metadefs.remove(ctx, metadefs.find_open(ctx, namespace))


@api.get(_TYPES, policy=reader("metadefs:associations:list"))
def list_associations(ctx: Context, namespace: str) -> dict[str, Any]:
    """The kinds of resources that a namespace is for."""
    found = metadefs.items(ctx, [metadefs.find(ctx, namespace)["id"]], TYPE)
    return {"resource_type_associations": [wire_metadefs.show_association(one) for one in found]}


@api.post(_TYPES, policy=admin("metadefs:associations:create"), status=201)
def create_association(ctx: Context, namespace: str, body: Association) -> dict[str, Any]:
    """A namespace is for a kind of resource. 409 where it is already."""
    found = metadefs.add(ctx, metadefs.find(ctx, namespace), TYPE, body.name, wire_metadefs.body(body))
    return wire_metadefs.show_association(found)


@api.delete(f"{_TYPES}/{{name}}", policy=admin("metadefs:associations:delete"))
def delete_association(ctx: Context, namespace: str, name: str) -> None:
    """A namespace is no longer for a kind of resource."""
    metadefs.drop(ctx, metadefs.find_open(ctx, namespace), TYPE, name)


@api.get(_PROPERTIES, policy=reader("metadefs:properties:list"))
def list_properties(ctx: Context, namespace: str) -> dict[str, Any]:
    """The properties of a namespace, by name."""
    found = metadefs.items(ctx, [metadefs.find(ctx, namespace)["id"]], PROPERTY)
    return {"properties": {one["name"]: wire_metadefs.show_property(one) for one in found}}


@api.post(_PROPERTIES, policy=admin("metadefs:properties:create"), status=201)
def create_property(ctx: Context, namespace: str, body: NewProperty) -> dict[str, Any]:
    """A new property. 409 where its name is taken."""
    return wire_metadefs.show_property(metadefs.add(ctx, metadefs.find(ctx, namespace), PROPERTY, body.name, wire_metadefs.body(body)))


@api.get(f"{_PROPERTIES}/{{name}}", policy=reader("metadefs:properties:show"))
def show_property(ctx: Context, namespace: str, name: str) -> dict[str, Any]:
    """A property; with `resource_type` in the query, its name may carry the prefix that the association gives."""
    row = metadefs.find(ctx, namespace)
    if wanted := ctx.query.get("resource_type"):
        prefix = metadefs.item(ctx, row, TYPE, wanted)["body"].get("prefix") or ""
        return wire_metadefs.show_property(metadefs.item(ctx, row, PROPERTY, name.removeprefix(prefix))) | {"name": name}
    return wire_metadefs.show_property(metadefs.item(ctx, row, PROPERTY, name))


@api.put(f"{_PROPERTIES}/{{name}}", policy=admin("metadefs:properties:update"))
def update_property(ctx: Context, namespace: str, name: str, body: NewProperty) -> dict[str, Any]:
    """Replace a property; it may get another name. 409 where that is taken."""
    row = metadefs.find(ctx, namespace)
    found = metadefs.change_item(ctx, row, metadefs.item(ctx, row, PROPERTY, name), body.name, wire_metadefs.body(body))
    return wire_metadefs.show_property(found)


@api.delete(_PROPERTIES, policy=admin("metadefs:properties:delete"))
def delete_properties(ctx: Context, namespace: str) -> None:
    """Delete all properties of a namespace."""
    metadefs.drop(ctx, metadefs.find_open(ctx, namespace), PROPERTY)


@api.delete(f"{_PROPERTIES}/{{name}}", policy=admin("metadefs:properties:delete"))
def delete_property(ctx: Context, namespace: str, name: str) -> None:
    """Delete a property."""
    metadefs.drop(ctx, metadefs.find_open(ctx, namespace), PROPERTY, name)


@api.get(_OBJECTS, policy=reader("metadefs:objects:list"))
def list_objects(ctx: Context, namespace: str) -> dict[str, Any]:
    """The objects of a namespace, in pages."""
    row = metadefs.find(ctx, namespace)
    found = [wire_metadefs.show_object(row, one) for one in metadefs.page(ctx, row, OBJECT)]
    return {"objects": found, "schema": "/v2/schemas/metadefs/objects"}


@api.post(_OBJECTS, policy=admin("metadefs:objects:create"), status=201)
def create_object(ctx: Context, namespace: str, body: NewObject) -> dict[str, Any]:
    """A new object. 409 where its name is taken."""
    row = metadefs.find(ctx, namespace)
    return wire_metadefs.show_object(row, metadefs.add(ctx, row, OBJECT, body.name, wire_metadefs.body(body)))


@api.get(f"{_OBJECTS}/{{name}}", policy=reader("metadefs:objects:show"))
def show_object(ctx: Context, namespace: str, name: str) -> dict[str, Any]:
    """An object."""
    row = metadefs.find(ctx, namespace)
    return wire_metadefs.show_object(row, metadefs.item(ctx, row, OBJECT, name))


@api.put(f"{_OBJECTS}/{{name}}", policy=admin("metadefs:objects:update"))
def update_object(ctx: Context, namespace: str, name: str, body: NewObject) -> dict[str, Any]:
    """Replace an object; it may get another name. 409 where that is taken."""
    row = metadefs.find(ctx, namespace)
    found = metadefs.change_item(ctx, row, metadefs.item(ctx, row, OBJECT, name), body.name, wire_metadefs.body(body))
    return wire_metadefs.show_object(row, found)


@api.delete(_OBJECTS, policy=admin("metadefs:objects:delete"))
def delete_objects(ctx: Context, namespace: str) -> None:
    """Delete all objects of a namespace."""
    metadefs.drop(ctx, metadefs.find_open(ctx, namespace), OBJECT)


@api.delete(f"{_OBJECTS}/{{name}}", policy=admin("metadefs:objects:delete"))
def delete_object(ctx: Context, namespace: str, name: str) -> None:
    """Delete an object."""
    metadefs.drop(ctx, metadefs.find_open(ctx, namespace), OBJECT, name)


@api.get(_TAGS, policy=reader("metadefs:tags:list"))
def list_tags(ctx: Context, namespace: str) -> dict[str, Any]:
    """The tags of a namespace, in pages."""
    row = metadefs.find(ctx, namespace)
    return {"tags": [{"name": one["name"]} for one in metadefs.page(ctx, row, TAG)], "schema": "/v2/schemas/metadefs/tags"}


@api.post(_TAGS, policy=admin("metadefs:tags:create"), status=201)
def create_tags(ctx: Context, namespace: str, body: NewTags) -> dict[str, Any]:
    """Have these tags in a namespace, in the place of those it had; with `X-Openstack-Append: true`, beside them."""
    row = metadefs.find(ctx, namespace)
    if ctx.headers.get("x-openstack-append", "").lower() != "true":
        metadefs.drop(ctx, row, TAG)
    for one in body.tags:
        metadefs.add(ctx, row, TAG, one.name, {})
    return {"tags": [{"name": one["name"]} for one in metadefs.items(ctx, [row["id"]], TAG)]}


@api.delete(_TAGS, policy=admin("metadefs:tags:delete"))
def delete_tags(ctx: Context, namespace: str) -> None:
    """Delete all tags of a namespace."""
    metadefs.drop(ctx, metadefs.find_open(ctx, namespace), TAG)


@api.post(f"{_TAGS}/{{name}}", policy=admin("metadefs:tags:create"), status=201)
def create_tag(ctx: Context, namespace: str, name: str) -> dict[str, Any]:
    """A new tag. 409 where it is there already."""
    return wire_metadefs.show_tag(metadefs.add(ctx, metadefs.find(ctx, namespace), TAG, name, {}))


@api.get(f"{_TAGS}/{{name}}", policy=reader("metadefs:tags:show"))
def show_tag(ctx: Context, namespace: str, name: str) -> dict[str, Any]:
    """A tag."""
    return wire_metadefs.show_tag(metadefs.item(ctx, metadefs.find(ctx, namespace), TAG, name))


@api.put(f"{_TAGS}/{{name}}", policy=admin("metadefs:tags:update"))
def update_tag(ctx: Context, namespace: str, name: str, body: Tag) -> dict[str, Any]:
    """Give a tag another name. 409 where that is taken."""
    row = metadefs.find(ctx, namespace)
    return wire_metadefs.show_tag(metadefs.change_item(ctx, row, metadefs.item(ctx, row, TAG, name), body.name, {}))


@api.delete(f"{_TAGS}/{{name}}", policy=admin("metadefs:tags:delete"))
def delete_tag(ctx: Context, namespace: str, name: str) -> None:
    """Delete a tag."""
    metadefs.drop(ctx, metadefs.find_open(ctx, namespace), TAG, name)
