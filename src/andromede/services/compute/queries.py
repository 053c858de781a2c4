"""Which parameters the query strings of Compute's routes may have; others are refused, from a microversion on.

Source: Compute API v2.1, microversions 2.53, 2.58, 2.75, 2.97, 2.99 and 2.102 ("All APIs now reject unknown query string parameters").
"""

from andromede.core.context import Context
from andromede.core.errors import BadRequest
from andromede.http.api import Route

_PAGE = frozenset({"limit", "marker"})
_SERVERS = frozenset(
    (
        "access_ip_v4", "access_ip_v6", "all_tenants", "auto_disk_config", "availability_zone", "block_device_mapping", "changes-before",
        "changes-since", "config_drive", "created_at", "deleted", "description", "display_description", "display_name", "flavor", "host",
        "hostname", "image", "image_ref", "info_cache", "ip", "ip6", "kernel_id", "key_name", "launch_index", "launched_at", "limit",
        "locked", "locked_by", "marker", "metadata", "name", "node", "not-tags", "not-tags-any", "pci_devices", "power_state", "progress",
        "project_id", "ramdisk_id", "reservation_id", "root_device_name", "security_groups", "services", "soft_deleted", "sort_dir",
        "sort_key", "status", "system_metadata", "tags", "tags-any", "task_state", "tenant_id", "terminated_at", "user_id", "uuid",
        "vm_state",
    )
)  # fmt: skip
_FLAVORS = frozenset({"is_public", "limit", "marker", "minDisk", "minRam", "name", "sort_dir", "sort_key"})
_MIGRATIONS = frozenset(
    (
        "changes-before", "changes-since", "hidden", "host", "instance_uuid", "limit", "marker", "migration_type", "project_id",
        "source_compute", "status", "user_id",
    )
)  # fmt: skip
_USER, _NONE = frozenset({"user_id"}), frozenset[str]()
_KNOWN: dict[str, tuple[str, frozenset[str]]] = {
    "/servers": ("2.75", _SERVERS),
    "/servers/detail": ("2.75", _SERVERS),
    "/flavors": ("2.75", _FLAVORS),
    "/flavors/detail": ("2.75", _FLAVORS),
    "/limits": ("2.75", frozenset({"tenant_id"})),
    "/os-console-auth-tokens/{}": ("2.99", _NONE),
    "/os-hypervisors": ("2.53", _PAGE | {"hypervisor_hostname_pattern", "with_servers"}),
    "/os-hypervisors/detail": ("2.53", _PAGE | {"hypervisor_hostname_pattern", "with_servers"}),
    "/os-hypervisors/{}": ("2.53", frozenset({"with_servers"})),
    "/os-keypairs": ("2.75", _PAGE | _USER),
    "/os-keypairs/{}": ("2.75", _USER),
    "/os-migrations": ("2.59", _MIGRATIONS),
    "/os-quota-sets/{}": ("2.75", _USER),
    "/os-quota-sets/{}/detail": ("2.75", _USER),
    "/os-server-groups": ("2.75", frozenset({"all_projects", "limit", "offset"})),
    "/os-services": ("2.75", frozenset({"binary", "host"})),
    "/os-simple-tenant-usage": ("2.75", _PAGE | {"detailed", "end", "start"}),
    "/os-simple-tenant-usage/{}": ("2.75", _PAGE | {"end", "start"}),
    "/servers/{}/os-instance-actions": ("2.58", _PAGE | {"changes-before", "changes-since"}),
    "/servers/{}/os-volume_attachments": ("2.75", frozenset({"limit", "offset"})),
    "/servers/{}/shares": ("2.97", _NONE),
}

def check(ctx: Context, route: Route) -> None:
    """Raise BadRequest where the query names what this route does not know, at a version that minds."""
    if not ctx.query.pairs or route.method in ("POST", "PATCH"):
        return
    path = "/".join("{}" if part.startswith("{") else part for part in route.path.removeprefix(route.api.prefix).split("/"))
    first, known = _KNOWN.get(path, ("2.102", _NONE))
    if path not in _KNOWN and route.method != "GET":
        return
    if not ctx.at_least(first):
        return
    for name, _ in ctx.query.pairs:
        if name not in known:
            raise BadRequest(f"Invalid input for query parameters. Additional properties are not allowed ('{name}' was unexpected)")
