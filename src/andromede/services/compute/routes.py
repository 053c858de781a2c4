"""All of Compute's routes, declared by being imported here; `APIS` is what the application serves."""

from andromede.services.compute import (
    api,
    routes_actions,
    routes_aggregates,
    routes_consoles,
    routes_events,
    routes_flavors,
    routes_groups,
    routes_images,
    routes_interfaces,
    routes_keypairs,
    routes_life,
    routes_limits,
    routes_moves,
    routes_networks,
    routes_old_volumes,
    routes_operator,
    routes_security_groups,
    routes_servers,
    routes_shares,
    routes_tags,
    routes_volumes,
)  # fmt: skip

MODULES = (
    routes_servers, routes_life, routes_actions, routes_consoles, routes_flavors, routes_keypairs, routes_limits, routes_groups, routes_tags,
    routes_interfaces, routes_aggregates, routes_events, routes_images, routes_moves, routes_networks, routes_old_volumes,
    routes_operator, routes_security_groups, routes_shares, routes_volumes,
)  # fmt: skip
APIS = (api.root, api.api, routes_consoles.page)
