"""What a cluster shall be: groups of nodes and settings, put together from templates and requests, and checked as a whole."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from andromede.core.context import Context
from andromede.core.errors import BadRequest, CloudError, NotFound
from andromede.services.compute import service as compute
from andromede.services.hadoop import keeping, plugin
from andromede.services.hadoop.api import asked_version, wrong
from andromede.services.hadoop.tables import thing
from andromede.services.hadoop.words import Common, Group, GroupInCluster, id_of, name_of

NODE_GROUP, CLUSTER = "node_group_template", "cluster_template"
_DEFAULTS: dict[str, Any] = {
    "flavor_id": None, "node_processes": [], "node_configs": {}, "image_id": None, "volumes_per_node": 0, "volumes_size": 0, "volume_type": None,
    "volumes_availability_zone": None, "volume_mount_prefix": "/volumes/disk", "volume_local_to_instance": False, "floating_ip_pool": None,
    "security_groups": None, "auto_security_group": True, "availability_zone": None, "is_proxy_gateway": False, "use_autoconfig": True,
    "shares": None, "boot_from_volume": False, "boot_volume_type": None, "boot_volume_availability_zone": None,
    "boot_volume_local_to_instance": False,
}  # fmt: skip
V2_ONLY = ("boot_from_volume", "boot_volume_type", "boot_volume_availability_zone", "boot_volume_local_to_instance")
_CLUSTER_DEFAULTS: dict[str, Any] = {
    "default_image_id": None, "cluster_configs": {}, "anti_affinity": [], "neutron_management_network": None, "shares": None,
    "use_autoconfig": True, "domain_name": None,
}  # fmt: skip
_META = {field.name for field in msgspec.structs.fields(Common)} | {
    "plugin_name", "hadoop_version", "plugin_version", "count", "node_group_template_id", "id", "created_at", "updated_at", "net_id",
    "node_groups", "cluster_template_id", "user_keypair_id", "is_transient",
}  # fmt: skip


def group_facts(ctx: Context, body: Group, base: Mapping[str, Any] | None = None, *, field: str = "") -> dict[str, Any]:
    """What a group is, of a body over what its template says. Raises BadRequest that names the field."""
    facts = {**_DEFAULTS, **(base or {}), **{name: value for name, value in keeping.given(body).items() if name not in _META}}
    at = f"{field}." if field else ""
    if facts["flavor_id"] is None or facts["flavor_id"] == "":
        raise wrong(f"{at}flavor_id: it is a required property", "VALIDATION_ERROR")
    facts["flavor_id"] = str(facts["flavor_id"])
    try:
        compute.flavor_of(ctx, facts["flavor_id"])
    except BadRequest as error:
        raise wrong(f"{at}flavor_id: Requested flavor '{facts['flavor_id']}' not found", "NOT_FOUND") from error
    if not facts["node_processes"]:
        raise wrong(f"{at}node_processes: there must be one at least", "VALIDATION_ERROR")
    plugin.check_processes(facts["node_processes"])
    facts["node_configs"] = facts["node_configs"] or {}
    plugin.check_configs(f"{at}node_configs", facts["node_configs"], cluster=False)
    if facts["image_id"] is not None:
        id_of(f"{at}image_id", facts["image_id"])
    if facts["volumes_per_node"] and not facts["volumes_size"]:
        raise wrong(f"{at}volumes_size: You must specify a volumes_size parameter")
    if facts["shares"]:
        raise wrong(f"{at}shares: this cloud has no Shared File Systems service", "INVALID_REFERENCE")
    if facts["boot_from_volume"]:
        raise wrong(f"{at}boot_from_volume: nodes boot from disks of their own; use volumes_per_node for HDFS", "INVALID_REFERENCE")
    if facts["is_proxy_gateway"]:
        raise wrong(f"{at}is_proxy_gateway: nodes are never reached from outside, so no node is a gateway to others", "INVALID_REFERENCE")
    if facts["volumes_availability_zone"] or facts["volume_local_to_instance"]:
        facts["volume_local_to_instance"] = True  # a volume is made where its server is
    return facts


def cluster_facts(body: Any, base: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a cluster is beside its groups. Raises BadRequest that names the field."""
    asked = {name: value for name, value in keeping.given(body).items() if name not in _META}
    if body.net_id is not UNSET and body.net_id:
        asked["neutron_management_network"] = body.net_id
    base = base or {}
    facts = {**_CLUSTER_DEFAULTS, **base, **{name: value for name, value in asked.items() if value is not None}}
    merged = {target: dict(values) for target, values in (base.get("cluster_configs") or {}).items()}
    plugin.check_configs("cluster_configs", asked.get("cluster_configs") or {}, cluster=True)
    for target, values in (asked.get("cluster_configs") or {}).items():
        merged.setdefault(target, {}).update(values)
    facts["cluster_configs"] = merged
    for name in ("default_image_id", "neutron_management_network"):
        if facts[name] is not None:
            id_of(name, facts[name])
    unknown = sorted(set(facts["anti_affinity"]) - plugin.KNOWN)
    if unknown:
        raise wrong(f"anti_affinity: Plugin doesn't contain node processes {unknown}", "INVALID_REFERENCE")
    if facts["shares"]:
        raise wrong("shares: this cloud has no Shared File Systems service", "INVALID_REFERENCE")
    if facts["domain_name"]:
        raise wrong("domain_name: this cloud has no DNS service; nodes know each other by name anyhow", "INVALID_REFERENCE")
    return facts


def groups(ctx: Context, bodies: Sequence[GroupInCluster]) -> list[dict[str, Any]]:
    """The groups of a cluster or its template: name, count, node_group_template_id and the facts. Raises BadRequest."""
    out: list[dict[str, Any]] = []
    for number, body in enumerate(bodies):
        field = f"node_groups[{number}]"
        base, template_id = None, body.node_group_template_id or None
        if template_id is not None:
            id_of(f"{field}.node_group_template_id", template_id)
            try:
                base = dict(keeping.find(ctx, thing, template_id, kind=NODE_GROUP)["facts"])
            except NotFound as error:
                raise wrong(f"{field}.node_group_template_id: NodeGroup template with id '{template_id}' not found", "NOT_FOUND") from error
        if body.name is UNSET:
            raise wrong(f"{field}.name: it is a required property", "VALIDATION_ERROR")
        if body.count is UNSET:
            raise wrong(f"{field}.count: it is a required property", "VALIDATION_ERROR")
        facts = group_facts(ctx, body, {name: base[name] for name in _DEFAULTS if name in base} if base else None, field=field)
        out.append({"name": name_of(body.name, host=True), "count": body.count, "node_group_template_id": template_id, **facts})
    names = [one["name"] for one in out]
    if len(set(names)) != len(names):
        raise wrong("node_groups: Duplicates in node group names are detected")
    return out


def versions(ctx: Context, body: Any, base: Mapping[str, Any] | None = None) -> dict[str, str]:
    """The plugin and its version, of a body or of what it is made from. Raises BadRequest."""
    named, version = body.plugin_name, asked_version(ctx, body)
    base = base or {}
    for field, value in (("plugin_name", named), ("plugin_version / hadoop_version", version)):
        if value is UNSET and not base:
            raise wrong(f"{field}: it is a required property", "VALIDATION_ERROR")
    name = base["plugin_name"] if named is UNSET else named
    number = base["version"] if version is UNSET else version
    plugin.check(name, number)
    return {"plugin_name": name, "version": number}


def cluster_names() -> tuple[str, ...]:
    """The facts of a cluster that a template may hold, beside its groups."""
    return tuple(_CLUSTER_DEFAULTS)


def in_sahara(error: CloudError) -> CloudError:
    """What another service refused, as a refusal of Data Processing's: its status 400, as all of them have."""
    kind = "QUOTA_ERROR" if error.kind == "OverQuota" else "NOT_FOUND" if error.status == 404 else "INVALID_REFERENCE"
    return wrong(error.message, kind) if error.status < 500 else error

