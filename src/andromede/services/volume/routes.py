"""All of Block Storage's routes, declared by being imported here; `APIS` is what the application serves."""

from andromede.services.volume import (
    api,
    routes_actions,
    routes_attachments,
    routes_backups,
    routes_group_types,
    routes_groups,
    routes_misc,
    routes_moves,
    routes_quotas,
    routes_snapshots,
    routes_transfers,
    routes_type_more,
    routes_types,
    routes_volumes,
)  # fmt: skip

MODULES = (
    routes_volumes, routes_actions, routes_snapshots, routes_types, routes_type_more, routes_attachments, routes_quotas, routes_misc,
    routes_transfers, routes_backups, routes_groups, routes_group_types, routes_moves,
)  # fmt: skip
APIS = (api.root, api.api)
