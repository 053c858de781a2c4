"""Routes of templates of node groups and of clusters. Source: Data Processing API v1.1 and v2."""

from typing import Any

from msgspec import UNSET
from sqlalchemy import select

from andromede.core.context import Context
from andromede.http.response import Response
from andromede.services.hadoop import keeping, plugin, registry, shapes
from andromede.services.hadoop.api import both, member, newer, reader, version, wrong
from andromede.services.hadoop.tables import cluster, thing
from andromede.services.hadoop.words import ClusterTemplate, Group, name_of

_GROUPS, _GROUP = "/node-group-templates", "/node-group-templates/{node_group_template_id}"
_PLUGIN = ("plugin_name", "version")
_OURS = ("id", "created_at", "updated_at", "project_id", "tenant_id", "is_default")
_CLUSTERS, _CLUSTER = "/cluster-templates", "/cluster-templates/{cluster_template_id}"


def group_view(ctx: Context, facts: Any) -> dict[str, Any]:
    """A group's facts, as this version of the API has them."""
    hidden = () if newer(ctx) else shapes.V2_ONLY
    return {name: value for name, value in facts.items() if name not in hidden and name not in ("plugin_name", "version", "chosen_image")}


def _group(ctx: Context, row: Any) -> dict[str, Any]:
    facts = row["facts"]
    return keeping.shown(ctx, row, plugin_name=facts["plugin_name"], is_default=False, **version(ctx, facts["version"]), **group_view(ctx, facts))


def _cluster(ctx: Context, row: Any) -> dict[str, Any]:
    facts = dict(row["facts"])
    groups = [group_view(ctx, one) for one in facts.pop("node_groups")]
    facts.pop("version")
    return keeping.shown(ctx, row, is_default=False, node_groups=groups, **version(ctx, row["facts"]["version"]), **facts)


@both("get", _GROUPS, policy=reader("node-group-templates:list"))
def list_node_group_templates(ctx: Context) -> dict[str, Any]:
    """The templates of node groups."""
    return keeping.listed(ctx, thing, "node_group_templates", lambda row: _group(ctx, row), kind=shapes.NODE_GROUP)


@both("post", _GROUPS, policy=member("node-group-templates:create"), status=202)
def create_node_group_template(ctx: Context, body: Group) -> dict[str, Any]:
    """Keep a template of node groups. Errors: 400 for a field, the plugin or a process that cannot be, or a name that is taken."""
    if body.name is UNSET:
        raise wrong("name: it is a required property", "VALIDATION_ERROR")
    facts = shapes.versions(ctx, body) | shapes.group_facts(ctx, body)
    _image(ctx, "image_id", facts["image_id"])
    return {"node_group_template": _group(ctx, keeping.add(ctx, shapes.NODE_GROUP, body, name_of(body.name, host=True), facts))}


def _image(ctx: Context, field: str, image_id: str | None) -> None:
    if image_id is not None:
        registry.chosen(ctx, image_id, field)


@both("get", _GROUP, policy=reader("node-group-templates:show"))
def show_node_group_template(ctx: Context, node_group_template_id: str) -> dict[str, Any]:
    """A template of node groups."""
    return {"node_group_template": _group(ctx, keeping.find(ctx, thing, node_group_template_id, kind=shapes.NODE_GROUP))}


@both("change", _GROUP, policy=member("node-group-templates:update"), status=202)
def change_node_group_template(ctx: Context, node_group_template_id: str, body: Group) -> dict[str, Any]:
    """Change a template; what was made from it stays as it is. Errors: 400 for what cannot be, or a protected one."""
    row = keeping.find(ctx, thing, node_group_template_id, kind=shapes.NODE_GROUP)
    keeping.own(ctx, row, "Update", changes=keeping.given(body))
    facts = shapes.versions(ctx, body, row["facts"]) | shapes.group_facts(ctx, body, {k: v for k, v in row["facts"].items() if k not in _PLUGIN})
    _image(ctx, "image_id", facts["image_id"])
    name = None if body.name is UNSET else name_of(body.name, host=True)
    return {"node_group_template": _group(ctx, keeping.alter(ctx, row, body, name=name, facts=facts))}


@both("delete", _GROUP, policy=member("node-group-templates:delete"))
def delete_node_group_template(ctx: Context, node_group_template_id: str) -> None:
    """Forget a template. Errors: 400 one that a cluster template uses, or a protected one."""
    row = keeping.find(ctx, thing, node_group_template_id, kind=shapes.NODE_GROUP)
    for other in ctx.db.execute(select(thing.c.name, thing.c.facts).where(thing.c.kind == shapes.CLUSTER)):
        if any(one["node_group_template_id"] == row["id"] for one in other.facts["node_groups"]):
            raise wrong(f"Node group template {row['name']} in use by cluster template '{other.name}'", "INVALID_REFERENCE")
    keeping.remove(ctx, row)


@both("get", _GROUP + "/export", policy=reader("node-group-templates:export"))
def export_node_group_template(ctx: Context, node_group_template_id: str) -> Response:
    """A template as a file, without what is this cloud's alone."""
    shown = _group(ctx, keeping.find(ctx, thing, node_group_template_id, kind=shapes.NODE_GROUP))
    out = {name: value for name, value in shown.items() if name not in _OURS}
    out |= {name: f"{{{name}}}" for name in ("flavor_id", "security_groups", "image_id", "floating_ip_pool")}
    return _file("node_group_template", out)


def _file(kind: str, content: dict[str, Any]) -> Response:
    return Response({kind: content}, headers=[("content-disposition", f"attachment; filename={kind}.json")])


@both("get", _CLUSTERS, policy=reader("cluster-templates:list"))
def list_cluster_templates(ctx: Context) -> dict[str, Any]:
    """The templates of clusters."""
    return keeping.listed(ctx, thing, "cluster_templates", lambda row: _cluster(ctx, row), kind=shapes.CLUSTER)


@both("post", _CLUSTERS, policy=member("cluster-templates:create"), status=202)
def create_cluster_template(ctx: Context, body: ClusterTemplate) -> dict[str, Any]:
    """Keep a template of clusters. Errors: 400 for a field, the plugin or a group that cannot be, or a name that is taken."""
    if body.name is UNSET:
        raise wrong("name: it is a required property", "VALIDATION_ERROR")
    facts: dict[str, Any] = shapes.versions(ctx, body) | shapes.cluster_facts(body)
    facts["node_groups"] = shapes.groups(ctx, body.node_groups or [])
    if facts["node_groups"]:
        plugin.check_counts([(one["node_processes"], one["count"]) for one in facts["node_groups"]])
    _image(ctx, "default_image_id", facts["default_image_id"])
    return {"cluster_template": _cluster(ctx, keeping.add(ctx, shapes.CLUSTER, body, name_of(body.name, host=True), facts))}


@both("get", _CLUSTER, policy=reader("cluster-templates:show"))
def show_cluster_template(ctx: Context, cluster_template_id: str) -> dict[str, Any]:
    """A template of clusters."""
    return {"cluster_template": _cluster(ctx, keeping.find(ctx, thing, cluster_template_id, kind=shapes.CLUSTER))}


@both("change", _CLUSTER, policy=member("cluster-templates:update"), status=202)
def change_cluster_template(ctx: Context, cluster_template_id: str, body: ClusterTemplate) -> dict[str, Any]:
    """Change a template; clusters that were made from it stay as they are. Errors: 400 for what cannot be, or a protected one."""
    row = keeping.find(ctx, thing, cluster_template_id, kind=shapes.CLUSTER)
    keeping.own(ctx, row, "Update", changes=keeping.given(body))
    before = row["facts"]
    facts: dict[str, Any] = shapes.versions(ctx, body, before) | shapes.cluster_facts(body, {name: before[name] for name in shapes.cluster_names()})
    if body.cluster_configs is not UNSET:
        facts["cluster_configs"] = body.cluster_configs or {}
    facts["node_groups"] = before["node_groups"] if body.node_groups is UNSET else shapes.groups(ctx, body.node_groups or [])
    if facts["node_groups"]:
        plugin.check_counts([(one["node_processes"], one["count"]) for one in facts["node_groups"]])
    _image(ctx, "default_image_id", facts["default_image_id"])
    name = None if body.name is UNSET else name_of(body.name, host=True)
    return {"cluster_template": _cluster(ctx, keeping.alter(ctx, row, body, name=name, facts=facts))}


@both("delete", _CLUSTER, policy=member("cluster-templates:delete"))
def delete_cluster_template(ctx: Context, cluster_template_id: str) -> None:
    """Forget a template. Errors: 400 one that a cluster was made from, or a protected one."""
    row = keeping.find(ctx, thing, cluster_template_id, kind=shapes.CLUSTER)
    for other in ctx.db.execute(select(cluster.c.name, cluster.c.facts)):
        if other.facts.get("cluster_template_id") == row["id"]:
            raise wrong(f"Cluster template {row['name']} in use by cluster '{other.name}'", "INVALID_REFERENCE")
    keeping.remove(ctx, row)


@both("get", _CLUSTER + "/export", policy=reader("cluster-templates:export"))
def export_cluster_template(ctx: Context, cluster_template_id: str) -> Response:
    """A template as a file, without what is this cloud's alone."""
    shown = _cluster(ctx, keeping.find(ctx, thing, cluster_template_id, kind=shapes.CLUSTER))
    out = {name: value for name, value in shown.items() if name not in _OURS}
    return _file("cluster_template", out | {"default_image_id": "{default_image_id}", "node_groups": "{node_groups}"})
